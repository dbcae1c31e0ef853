/* Every kernel at every level this machine has, against exact sums in long double: guard pages on both sides, sizes
 * around the vector widths, special values. Prints the measured error beside the contract of kernels.h. */
#include "harness.h"

#include "measure/kernels/kernels.h"
#include "oracle.h"

#include <float.h>

/* What the contract allows a sum of terms e^d f(d), in the order s, t, u, q: see kernels.h. */
typedef struct exact_sums {
    long double value[5], allowed[5];
} exact_sums;

static const size_t sizes[] = {0,  1,  2,  3,  4,  5,   7,   8,   9,   15,  16,   17,   31,   32,  33,
                               47, 63, 64, 65, 99, 127, 128, 129, 255, 257, 1000, 1023, 2047, 2048};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

/* From one case to the next: a prime that none of the cases' periods has. */
static size_t stride(void) {
    return is_quick() ? 11 : 1;
}

static const ent_kernels *kernels;
static double worst[5]; /* n_top, s, t, u, q of the level being tested: largest error as a share of what is allowed */

static guarded floats(size_t n, bool at_end) {
    return guarded_allocate(n * sizeof(float), at_end);
}

static void fill_normal(float *z, size_t n, double spread) {
    for (size_t i = 0; i < n; i++)
        z[i] = (float)(test_normal() * spread);
}

static float max_of(const float *z, size_t n) {
    float m = -INFINITY;
    for (size_t i = 0; i < n; i++)
        m = z[i] > m ? z[i] : m;
    return m;
}

static void check_max(void) {
    for (size_t k = 0; k < 2 * N_SIZES; k++) {
        const size_t n = sizes[k / 2];
        guarded buffer = floats(n, k % 2);
        float *z = buffer.data;
        fill_normal(z, n, 3);
        CHECK(kernels->max(z, n) == max_of(z, n));
        for (size_t i = 0; i < n; i++) {
            const float kept = z[i];
            z[i] = 100;
            CHECK_SAY(kernels->max(z, n) == 100, "max of %zu misses column %zu", n, i);
            z[i] = NAN;
            CHECK_SAY(kernels->max(z, n) == max_of(z, n), "max of %zu with a NaN at %zu", n, i);
            z[i] = kept;
        }
        guarded_free(&buffer);
    }
}

static void check_greater(void) {
    uint16_t found[ENT_CHUNK];
    for (size_t k = 0; k < 2 * N_SIZES; k++) {
        const size_t n = sizes[k / 2];
        guarded buffer = floats(n, k % 2);
        float *z = buffer.data;
        for (size_t i = 0; i < n; i++)
            z[i] = (float)test_below(7);
        size_t expected = 0;
        guarded copy = floats(n, 1 - k % 2);
        const size_t n_found = kernels->find_greater(found, z, n, 4);
        CHECK_INT(kernels->copy_greater(copy.data, z, n, 4), n_found);
        for (size_t i = 0; i < n; i++)
            if (z[i] > 4) {
                CHECK(expected < n_found && found[expected] == i && ((float *)copy.data)[expected] == z[i]);
                expected++;
            }
        CHECK_INT(n_found, expected);
        CHECK_INT(kernels->count_greater(z, n, 4), expected);
        size_t n_equal = 0;
        for (size_t i = 0; i < n; i++)
            n_equal += z[i] == 4;
        CHECK_INT(kernels->count_equal(z, n, 4), n_equal);
        if (n > 0) {
            z[n - 1] = -INFINITY;
            CHECK_INT(kernels->count_greater(z, n, -INFINITY), n - 1);
        }
        guarded_free(&copy);
        guarded_free(&buffer);
    }
}

static void check_between(void) {
    uint16_t found[ENT_CHUNK];
    for (size_t k = 0; k < 2 * N_SIZES; k++) {
        const size_t n = sizes[k / 2];
        const float low = k % 3 ? 2 : -INFINITY, high = k % 5 ? 4 : INFINITY;
        guarded buffer = floats(n, k % 2);
        float *z = buffer.data;
        for (size_t i = 0; i < n; i++)
            z[i] = test_below(9) ? (float)test_below(7) : -INFINITY;
        size_t expected = 0;
        const size_t n_found = kernels->find_between(found, z, n, low, high);
        for (size_t i = 0; i < n; i++)
            if (z[i] >= low && z[i] <= high) {
                CHECK(expected < n_found && found[expected] == i);
                expected++;
            }
        CHECK_INT(n_found, expected);
        guarded_free(&buffer);
    }
}

static void check_sift(void) {
    for (size_t k = 0; k < 8 * N_SIZES; k++) {
        const size_t n = sizes[k / 8];
        guarded in = floats(n, k % 2), result = floats(n, true);
        float *z = in.data, *inside = result.data;
        const float low = k % 8 == 7 ? INFINITY : k % 3 ? 2 : -INFINITY, high = k % 5 ? fmaxf(low, 4) : INFINITY;
        ent_sifted expected = {.n_below = 0};
        for (size_t i = 0; i < n; i++) {
            z[i] = (float)test_below(14) / 2;
            if (k % 4 == 3 && test_below(20) == 0)
                z[i] = (float[]){NAN, INFINITY, -INFINITY}[test_below(3)];
            expected.has_nonfinite |= !isfinite(z[i]);
        }
        const ent_sifted sifted = kernels->sift(inside, z, n, low, high);
        for (size_t i = 0; i < n; i++) {
            expected.n_below += z[i] < low;
            expected.n_upto_low += z[i] <= low;
            expected.n_below_high += z[i] < high;
            expected.n_upto_high += z[i] <= high;
            if (z[i] > low && z[i] < high)
                CHECK(expected.n_inside < sifted.n_inside && inside[expected.n_inside++] == z[i]);
        }
        CHECK(sifted.n_below == expected.n_below && sifted.n_upto_low == expected.n_upto_low);
        CHECK(sifted.n_below_high == expected.n_below_high && sifted.n_upto_high == expected.n_upto_high);
        CHECK_INT(sifted.n_inside, expected.n_inside);
        CHECK_INT(sifted.has_nonfinite, expected.has_nonfinite);
        guarded_free(&in);
        guarded_free(&result);
    }
}

static void check_keep(void) {
    for (size_t k = 0; k < 4 * N_SIZES; k++) {
        const size_t n = sizes[k / 4];
        guarded in = floats(n, k % 2), result = floats(n, k % 2);
        float *z = in.data, *out = result.data;
        size_t n_kept = 0, n_equal = 0;
        for (size_t i = 0; i < n; i++)
            z[i] = test_below(5) ? (float)test_below(3) * (k % 4 ? 1 : -0.0f) : -INFINITY;
        const float threshold = (float)(k / 2 % 2);
        const ent_kept kept = kernels->keep(k % 3 ? out : z, z, n, threshold);
        for (size_t i = 0; k % 3 && i < n; i++) {
            n_kept += z[i] >= threshold;
            n_equal += z[i] == threshold;
            CHECK(z[i] >= threshold ? memcmp(&out[i], &z[i], sizeof *z) == 0 : out[i] == -INFINITY);
        }
        for (size_t i = 0; k % 3 == 0 && i < n; i++) { /* in place */
            n_kept += z[i] > -INFINITY;
            n_equal += z[i] == threshold;
            CHECK(z[i] >= threshold || z[i] == -INFINITY);
        }
        CHECK_INT(kept.n, n_kept);
        CHECK_INT(kept.n_equal, n_equal);
        guarded_free(&in);
        guarded_free(&result);
    }
}

/* By the contract, and the same bits as one by one in plain C; in units, exact whatever their size. */
static void check_masses(void) {
    double worst_mass = 0;
    for (size_t k = 0; k < 16 * N_SIZES; k += stride()) {
        const size_t n = sizes[k / 16];
        guarded in = floats(n, k % 2), result = floats(n, k % 2);
        float *z = in.data, *out = result.data;
        fill_normal(z, n, (double[]){0.1, 2.5, 12, 40}[k % 4]);
        for (size_t i = 0; i < n; i += 5)
            z[i] = k % 3 ? z[i] : -INFINITY;
        const float m = n ? max_of(z, n) : 0;
        ent_masses_task task = {.z = z, .n = n, .m = isfinite(m) ? m : 0, .scale = (float)exp(test_normal() / 2)};
        task.high = task.m - (k % 5 ? 1 : 0);
        task.magic = ldexp(1, (int)(k % 22) + 1);
        uint64_t all = 0, above = 0;
        const ent_masses masses = kernels->masses(out, &task);
        for (size_t i = 0; i < n; i++) {
            const float x = z[i] - task.m, alone = ent_mass(x, task.scale);
            const long double d = (long double)x * (long double)task.scale, exact = d < -87 ? 0 : expl(d);
            const long double units = roundl(ldexpl((long double)out[i], 52 - (int)(k % 22) - 1));
            CHECK_SAY(memcmp(&alone, &out[i], sizeof alone) == 0, "the mass at %a is %a, in plain C %a", (double)x,
                      (double)out[i], (double)alone);
            CHECK(x != 0 || out[i] == 1);
            const long double allowed = exact * (5e-7L + 1.5e-7L * fabsl(d)) + 2e-38L; /* e^-87 may count */
            CHECK(d < -87 ? out[i] == 0 : fabsl((long double)out[i] - exact) <= allowed);
            if (exact > 1e-37L)
                worst_mass = fmax(worst_mass, (double)(fabsl((long double)out[i] - exact) / allowed));
            CHECK(fabsl((long double)ent_mass_units(out[i], task.magic) - units) <= 1);
            all += ent_mass_units(out[i], task.magic);
            above += z[i] > task.high ? ent_mass_units(out[i], task.magic) : 0;
        }
        CHECK(masses.all == all && masses.above == above);
        guarded_free(&in);
        guarded_free(&result);
    }
    printf("    masses, %s: largest error as a share of the contract: %.2f\n", entrol_cpu_name(kernels->cpu),
           worst_mass);
}

/* By the contract, and the same bits at every level as the plain kernel's. */
static void check_moments(void) {
    double worst_moment = 0;
    for (size_t k = 0; k < 16 * N_SIZES; k += stride()) {
        const size_t n = sizes[k / 16];
        guarded in = floats(n, k % 2);
        float *z = in.data;
        fill_normal(z, n, (double[]){0.1, 2.5, 12, 40}[k % 4]);
        for (size_t i = 0; i < n; i += 5)
            z[i] = k % 3 ? roundf(z[i]) : -INFINITY;
        const float most = n ? max_of(z, n) : 0, m = isfinite(most) ? most : 0;
        ent_moments_task task = {z, n, m, (float)exp(test_normal() / 2), 1};
        ent_moments moments, plain;
        kernels->moments(&moments, &task);
        ent_kernels_for(ENTROL_CPU_SCALAR)->moments(&plain, &task);
        CHECK(memcmp(&moments, &plain, sizeof plain) == 0);
        long double exact[3] = {0}, allowed[3] = {0};
        double n_top = 0;
        for (size_t i = 0; i < n; i++) {
            const long double x = (long double)(z[i] - m), d = x * (long double)task.scale, e = d < -87 ? 0 : expl(d);
            const long double terms[3] = {e, e == 0 ? 0 : e * x, e == 0 ? 0 : e * x * x};
            n_top += x == 0;
            for (int sum = 0; sum < 3 && x != 0; sum++) {
                exact[sum] += terms[sum];
                allowed[sum] += fabsl(terms[sum]) * (6e-6L + 3e-7L * fabsl(d)) + 1e-36L;
            }
        }
        CHECK(moments.n_top == n_top);
        task.has_top = n_top > 0;
        kernels->moments(&plain, &task);
        CHECK(memcmp(&moments, &plain, sizeof plain) == 0);
        const double sums[3] = {moments.s, moments.t, moments.u};
        for (int sum = 0; sum < 3 && n; sum++) {
            const double share = (double)(fabsl((long double)sums[sum] - exact[sum]) / allowed[sum]);
            CHECK_SAY(!(allowed[sum] > 0) || share <= 1, "sum %d of %zu: %g, exactly %Lg", sum, n, sums[sum],
                      exact[sum]);
            worst_moment = allowed[sum] > 0 ? fmax(worst_moment, share) : worst_moment;
        }
        if (n) {
            z[n / 2] = NAN;
            kernels->moments(&moments, &task);
            CHECK(isnan(moments.t));
        }
        guarded_free(&in);
    }
    printf("    moments, %s: largest error as a share of the contract: %.2f\n", entrol_cpu_name(kernels->cpu),
           worst_moment);
}

/* Where kernels may or may not count a column as 0. */
static bool may_be_0(long double d) {
    return fabsl(d + 87) < 0.02L;
}

static void add_exactly(exact_sums *exact, int sum, long double term, long double d) {
    exact->value[sum] += term;
    exact->allowed[sum] += fabsl(term) * (1.2e-6L + 1.5e-7L * fabsl(d) * (sum == 4 ? 2 : 1)) + (sum == 4 ? 1e-37L : 0);
    exact->allowed[sum] += may_be_0(d) ? fabsl(term) : 0;
}

static void sum_exactly(exact_sums *exact, const ent_sums_task *task) {
    memset(exact, 0, sizeof *exact);
    for (size_t i = 0; i < task->n; i++) {
        const long double x = (long double)task->z[i] - (long double)task->m;
        const long double d = x * (long double)task->scale;
        if (task->has_top && x == 0) {
            exact->value[0]++;
            continue;
        }
        if (d < -87)
            continue;
        const long double e = expl(d), from_pivot = x - (long double)task->pivot;
        add_exactly(exact, 1, e, d);
        add_exactly(exact, 2, e * x, d);
        add_exactly(exact, 3, e * from_pivot * from_pivot, d);
        add_exactly(exact, 4, e * e, d);
        /* x is rounded to float before the pivot is taken from it */
        exact->allowed[3] += 1.2e-7L * e * fabsl(from_pivot) * (fabsl(x) + fabsl((long double)task->pivot));
    }
}

static void compare_sums(const ent_sums *sums, const ent_sums_task *task) {
    exact_sums exact;
    sum_exactly(&exact, task);
    const double got[5] = {sums->n_top, sums->s, sums->t, sums->u, sums->q};
    for (int i = 0; i < (task->squares ? 5 : 3); i++) {
        const long double error = fabsl((long double)got[i] - exact.value[i]);
        if (error > 0)
            worst[i] = fmax(worst[i], (double)(error / exact.allowed[i]));
        CHECK_SAY(error <= exact.allowed[i], "sum %d of %zu columns is %.9g, exactly %.9Lg", i, task->n, got[i],
                  exact.value[i]);
    }
}

static float min_of(const float *z, size_t n) {
    float least = INFINITY;
    for (size_t i = 0; i < n; i++)
        least = z[i] < least ? z[i] : least;
    return least;
}

/* The sums and the range of the columns, and the same again where all are near. */
static void check_task(ent_sums_task *task) {
    ent_sums sums;
    kernels->sums(&sums, task);
    compare_sums(&sums, task);
    CHECK(sums.greatest == max_of(task->z, task->n) && sums.least == min_of(task->z, task->n));
    task->is_near = 1;
    kernels->sums(&sums, task);
    CHECK(sums.greatest == max_of(task->z, task->n) && sums.least == min_of(task->z, task->n));
    if (ent_are_near((double)sums.least, (double)task->m, (double)task->scale))
        compare_sums(&sums, task);
    task->is_near = 0;
}

static void check_sums(void) {
    memset(worst, 0, sizeof worst);
    for (size_t k = 0; k < 24 * N_SIZES; k += stride()) {
        const size_t n = sizes[k / 24];
        guarded buffer = floats(n, k % 2);
        float *z = buffer.data;
        fill_normal(z, n, (double[]){0.1, 2.5, 12, 40}[k % 4]);
        for (size_t i = 0; i < n; i += 5)
            z[i] = k % 3 ? z[i] : -INFINITY;
        const float m = n ? max_of(z, n) : 0;
        ent_sums_task task = {.z = z, .n = n, .m = isfinite(m) ? m : 0, .scale = (float)exp(test_normal() / 2)};
        task.squares = k % 3 == 0;
        task.pivot = -(float)test_uniform();
        task.has_top = 1;
        task.next = (const char *)z; /* prefetching past the end must be harmless */
        task.next_step = 4;
        check_task(&task);
        task.has_top = 0;
        check_task(&task);
        task.m += 1; /* no column is the greatest */
        check_task(&task);
        task.m -= 4; /* some are above */
        check_task(&task);
        guarded_free(&buffer);
    }
    printf("    sums, %s: largest error as a share of the contract: s %.2f, t %.2f, u %.2f, q %.2f\n",
           entrol_cpu_name(kernels->cpu), worst[1], worst[2], worst[3], worst[4]);
}

static void check_sums_nan(void) {
    for (size_t k = 0; k < N_SIZES; k++) {
        guarded buffer = floats(sizes[k], k % 2);
        float *z = buffer.data;
        fill_normal(z, sizes[k], 2);
        for (size_t i = 0; i < sizes[k]; i++) {
            const float kept = z[i];
            /* a signalling NaN with a payload, of either sign, as well as the common one */
            const uint32_t patterns[3] = {0x7fc00000, 0x7f812345, 0xffffffff};
            memcpy(&z[i], &patterns[i % 3], sizeof *z);
            ent_sums sums;
            const ent_sums_task task = {.z = z,
                                        .n = sizes[k],
                                        .m = 9,
                                        .scale = 1,
                                        .has_top = i % 2,
                                        .squares = i % 5 == 0,
                                        .is_near = i % 7 < 3};
            kernels->sums(&sums, &task);
            CHECK_SAY(isnan(sums.t), "a NaN at %zu of %zu is lost", i, sizes[k]);
            z[i] = kept;
        }
        guarded_free(&buffer);
    }
}

/* Each lane against the plain formula; lanes must not see each other. */
static void compare_lane(const ent_lanes_sums *sums, const float *tile, size_t lane, size_t n_columns, float scale) {
    float z[ENT_SHORT];
    for (size_t j = 0; j < n_columns; j++)
        z[j] = tile[j * ENT_LANES + lane];
    const float m = max_of(z, n_columns);
    CHECK(sums->m[lane] == m && sums->least[lane] == min_of(z, n_columns));
    ent_sums_task task = {.z = z, .n = n_columns, .m = isfinite(m) ? m : 0, .scale = scale, .has_top = 1};
    exact_sums exact;
    sum_exactly(&exact, &task);
    const long double mean = exact.value[2] / (exact.value[0] + exact.value[1]);
    long double u = exact.value[0] * mean * mean;
    for (size_t j = 0; j < n_columns; j++) {
        const long double x = (long double)z[j] - (long double)task.m;
        if (x != 0 && x * (long double)scale >= -87)
            u += expl(x * (long double)scale) * (x - mean) * (x - mean);
    }
    const float got[5] = {sums->n_top[lane], sums->s[lane], sums->t[lane], sums->u[lane], sums->q[lane]};
    for (int i = 0; i < 5; i++)
        if (i != 3)
            CHECK_NEAR(got[i], exact.value[i], exact.allowed[i]);
    if (exact.value[0] > 0) /* the squares about the mean: as exact as the mean and the terms */
        CHECK_NEAR(got[3], u, 3e-6 * (double)u + 2 * (double)exact.allowed[3] + 1e-37);
}

static void check_lanes(void) {
    for (size_t n_columns = 1; n_columns <= ENT_SHORT; n_columns++) {
        guarded buffer = floats(n_columns * ENT_LANES, n_columns % 2);
        float *tile = buffer.data;
        fill_normal(tile, n_columns * ENT_LANES, n_columns % 3 ? 2 : 20);
        for (size_t j = 0; j < n_columns; j++) {
            tile[j * ENT_LANES + 3] = -INFINITY;
            tile[j * ENT_LANES + 5] = j == 0 ? 1 : -INFINITY;
            tile[j * ENT_LANES + 7] = 4;
        }
        const float scale = (float)exp(test_normal() / 2);
        ent_lanes_sums sums;
        kernels->lanes(&sums, tile, n_columns, scale, 1);
        for (size_t lane = 0; lane < ENT_LANES; lane++)
            compare_lane(&sums, tile, lane, n_columns, scale);
        guarded_free(&buffer);
    }
}

/* ln(1 + x) of every size of x, and what follows from it; lanes in trouble are told. */
static void check_lanes_values(void) {
    for (size_t k = 0; k < 2000; k++) {
        ent_lanes_sums sums;
        ent_lanes_values values;
        float targets[ENT_LANES];
        const float scale = (float)exp(test_normal());
        unsigned bad = 0;
        for (size_t i = 0; i < ENT_LANES; i++) {
            const size_t kind = test_below(20);
            sums.m[i] = kind == 0 ? -INFINITY : kind == 1 ? INFINITY : (float)test_normal() * 10;
            sums.n_top[i] = (float)(1 + test_below(k % 2 ? 1 : 64));
            sums.s[i] = (float)exp(-80 * test_uniform() * (double)(k % 3)) * 64 * (float)test_uniform();
            sums.t[i] = kind == 2 ? NAN : -sums.s[i] * 20 * (float)test_uniform();
            sums.u[i] = sums.s[i] * 9 * (float)test_uniform();
            sums.q[i] = sums.s[i] * (float)test_uniform();
            targets[i] = kind == 3 ? NAN : kind == 4 ? -INFINITY : sums.m[i] - 30 * (float)test_uniform();
            bad |= (unsigned)(kind < 3) << i;
        }
        kernels->lanes_values(&values, &sums, targets, scale, 1);
        CHECK_INT(values.bad, bad);
        for (size_t i = 0; i < ENT_LANES; i++) {
            if ((bad >> i) & 1)
                continue;
            const double sum = (double)sums.n_top[i] + (double)sums.s[i], T = (double)scale;
            const double log_sum = log1p((double)sums.n_top[i] - 1 + (double)sums.s[i]),
                         mean = T * (double)sums.t[i] / sum;
            const double apart = ((double)targets[i] - (double)sums.m[i]) * T, tiny = 1e-37;
            CHECK_NEAR(values.entropy[i], log_sum - mean, 4e-7 * fmax(log_sum, -mean) + tiny);
            CHECK_NEAR(values.logsumexp[i], (double)sums.m[i] * T + log_sum,
                       4e-7 * fmax(log_sum, fabs((double)sums.m[i] * T)) + tiny);
            CHECK(test_near((double)values.logprob[i], apart - log_sum, 4e-7 * fmax(log_sum, fabs(apart)) + tiny));
            CHECK_NEAR(values.top_prob[i], 1 / sum, 4e-7 / sum);
            CHECK_NEAR(values.varentropy[i], T * T * (double)sums.u[i] / sum,
                       4e-7 * T * T * (double)sums.u[i] / sum + tiny);
            CHECK_NEAR(values.sum_p_squared[i], ((double)sums.n_top[i] + (double)sums.q[i]) / sum / sum, 4e-7);
        }
    }
}

/* A gradient's element exactly, and what the contract allows. */
static long double gradient_exactly(long double *allowed, const ent_gradient_task *task, float z) {
    const long double x = (long double)z - (long double)task->m, d = x * (long double)task->scale;
    const long double y = d - (long double)task->mu, first = task->first, slope = task->slope, c = task->square;
    const long double e = d < -87 ? 0 : expl(d), size = fabsl(first) + fabsl(slope * x) + fabsl(c * y * y);
    *allowed = 1e-37L; /* what comes of a float near the least */
    if (d == -INFINITY)
        return 0;
    *allowed += (e * (5e-7L + 1.5e-7L * fabsl(d)) + 1e-37L) * size +
                3.6e-7L * e * (fabsl(d) + fabsl((long double)task->mu)) * fabsl(c * y);
    return e * (first + slope * x + c * y * y);
}

static double worst_gradient;

static void compare_gradient(const ent_gradient_task *task, const float *z, const float *added, const float *out) {
    for (size_t i = 0; i < task->n; i++) {
        long double allowed, exact = gradient_exactly(&allowed, task, z[i]);
        const float sum = added ? added[i] : 0;
        allowed += 6e-8L * fabsl(exact + (long double)sum); /* the addition's own rounding */
        const long double error = fabsl((long double)out[i] - exact - (long double)sum);
        worst_gradient = fmax(worst_gradient, (double)(error / allowed));
        CHECK_SAY(error <= allowed, "gradient %zu of %zu is %.9g, exactly %.9Lg", i, task->n, (double)out[i], exact);
        CHECK(z[i] > -INFINITY || out[i] == sum);
    }
}

/* Into a buffer of its own, past the caches, onto what is there, and in place. */
static void check_gradient(void) {
    worst_gradient = 0;
    for (size_t k = 0; k < 16 * N_SIZES; k += stride()) {
        const size_t n = sizes[k / 16], way = k % 4;
        guarded in = floats(n, k % 2), result = floats(n, k % 3 == 0), before = floats(n, true);
        float *z = in.data, *out = result.data, *old = before.data, *kept = malloc((n + 1) * sizeof *kept);
        fill_normal(z, n, (double[]){0.1, 2.5, 12, 40}[k / 4 % 4]);
        fill_normal(old, n, 1);
        for (size_t i = 0; i < n; i += 5)
            z[i] = k % 5 ? z[i] : -INFINITY;
        const float m = n ? max_of(z, n) : 0;
        ent_gradient_task task = {.z = z, .n = n, .m = isfinite(m) ? m : 0, .scale = (float)exp(test_normal() / 2)};
        task.mu = -3 * (float)test_uniform();
        task.first = (float)test_normal();
        task.slope = k % 7 ? (float)test_normal() : 0;
        task.square = k % 2 ? (float)test_normal() : 0;
        task.is_near = n > 0 && ent_are_near((double)min_of(z, n), (double)task.m, (double)task.scale);
        task.stream = way == 1;
        task.next = (const char *)z;
        task.next_step = 4;
        memcpy(kept, z, n * sizeof *z);
        if (way == 2) {
            memcpy(out, old, n * sizeof *old);
            task.add = out;
        }
        kernels->gradient(way == 3 ? z : out, &task);
        compare_gradient(&task, kept, way == 2 ? old : NULL, way == 3 ? z : out);
        guarded_free(&in);
        guarded_free(&result);
        guarded_free(&before);
        free(kept);
    }
    printf("    gradient, %s: largest error as a share of the contract: %.2f\n", entrol_cpu_name(kernels->cpu),
           worst_gradient);
}

static void check_gradient_lanes(void) {
    for (size_t n_columns = 1; n_columns <= ENT_SHORT; n_columns++) {
        guarded buffer = floats(n_columns * ENT_LANES, n_columns % 2);
        float *tile = buffer.data, kept[ENT_SHORT * ENT_LANES];
        const float scale = (float)exp(test_normal() / 2);
        ent_gradient_lanes lanes;
        fill_normal(tile, n_columns * ENT_LANES, n_columns % 3 ? 2 : 20);
        for (size_t lane = 0; lane < ENT_LANES; lane++) {
            lanes.m[lane] = -INFINITY;
            for (size_t j = 0; j < n_columns; j++)
                lanes.m[lane] = fmaxf(lanes.m[lane], tile[j * ENT_LANES + lane]);
            lanes.mu[lane] = -(float)test_uniform();
            lanes.first[lane] = lane == 4 ? 0 : (float)test_normal();
            lanes.slope[lane] = lane == 4 ? 0 : (float)test_normal();
            lanes.square[lane] = lane == 4 || lane % 2 || n_columns % 3 == 1 ? 0 : (float)test_normal();
        }
        memcpy(kept, tile, n_columns * ENT_LANES * sizeof *kept);
        kernels->gradient_lanes(tile, n_columns, scale, &lanes);
        for (size_t lane = 0; lane < ENT_LANES; lane++)
            for (size_t j = 0; j < n_columns; j++) {
                const ent_gradient_task task = {.z = &kept[j * ENT_LANES + lane],
                                                .n = 1,
                                                .m = lanes.m[lane],
                                                .scale = scale,
                                                .first = lanes.first[lane],
                                                .slope = lanes.slope[lane],
                                                .square = lanes.square[lane],
                                                .mu = lanes.mu[lane]};
                compare_gradient(&task, task.z, NULL, &tile[j * ENT_LANES + lane]);
                CHECK(lane != 4 || tile[j * ENT_LANES + lane] == 0);
            }
        guarded_free(&buffer);
    }
}

/* The nearest half of every kind of float: random patterns, halves themselves, and half way between two. */
static void check_soft_cap(void) {
    for (size_t k = 0; k < 8 * N_SIZES; k++) {
        const size_t n = sizes[k / 8];
        const float cap = (float)exp(2 * test_normal());
        guarded buffer = floats(n, k % 2), before = floats(n, k % 2);
        float *z = buffer.data, *given = before.data;
        for (size_t i = 0; i < n; i++)
            given[i] =
                i % 7 == 3 ? cap * 0.625f : (float)test_normal() * cap * (float[]){1e-3f, 0.6f, 4, 100}[k / 2 % 4];
        if (n > 2 && k % 3 == 0) {
            given[n - 1] = NAN;
            given[n / 2] = INFINITY;
            given[0] = -INFINITY;
        }
        memcpy(z, given, n * sizeof *z);
        kernels->soft_cap(z, n, cap);
        for (size_t i = 0; i < n; i++) {
            const long double exact = (long double)cap * tanhl((long double)given[i] / (long double)cap);
            CHECK_SAY(test_near((double)z[i], (double)exact, 5e-7 * (double)fabsl(exact)),
                      "soft cap %.9g of %.9g is %.9g, exactly %.9Lg", (double)cap, (double)given[i], (double)z[i],
                      exact);
            CHECK(!(fabsf(z[i]) > cap));
        }
        guarded_free(&buffer);
        guarded_free(&before);
    }
}

/* --- Two rows --- */

static double worst_pair[5];

/* The terms of a column, in the form for a small delta or in the other. */
static void find_pair_terms(long double terms[5], long double p, long double q, long double u, long double delta,
                            int is_near) {
    const long double size = fabsl(delta), w = expl(-size), r = tanhl(delta / 2);
    const long double gain = is_near ? p * expm1l(-delta) : q - p;
    terms[0] = is_near ? p * (expm1l(-delta) + delta) : gain + p * delta;
    terms[1] = is_near ? q * (expm1l(delta) - delta) : -gain - q * delta;
    terms[2] = is_near ? 0.25L * (p + q) * ((1 + r) * log1pl(r) + (1 - r) * log1pl(-r))
                       : 0.5L * fmaxl(p, q) * ((1 + w) * (logl(2) - log1pl(w)) - w * size);
    terms[3] = gain;
    terms[4] = p * u;
}

/* A column's terms in long double, and what the contract allows them. Here p, q and delta do not belong together, so
 * the two forms differ, and where a float cannot tell which is due, or whether a column counts as 0, either is right.
 */
static void add_pair_exactly(long double value[5], long double allowed[5], const ent_pair_task *task, size_t i) {
    const long double scale = (long double)task->scale, most = FLT_MAX;
    const long double dp = ((long double)task->p[i] - (long double)task->p_m) * scale;
    const long double dq = ((long double)task->q[i] - (long double)task->q_m) * scale;
    const long double p = dp < -87 ? 0 : expl(dp) * (long double)task->p_each;
    const long double q = dq < -87 ? 0 : expl(dq) * (long double)task->q_each;
    const long double apart = task->high ? (long double)task->high[i] + (long double)task->low[i]
                                         : (long double)task->p[i] - (long double)task->q[i] -
                                               (long double)task->tops[0] - (long double)task->tops[1];
    const long double u = fmaxl(-most, fminl(most, apart - (long double)task->pivot[0] - (long double)task->pivot[1]));
    const long double x = (apart - (long double)task->shift[0] - (long double)task->shift[1]) * scale;
    const long double delta = fmaxl(-most, fminl(most, x)), size = fabsl(delta);
    const int is_near = size <= 1, is_either = fabsl(size - 1) < 1e-6L;
    long double terms[5], others[5], without_p[5], without_q[5];
    find_pair_terms(terms, p, q, u, delta, is_near);
    find_pair_terms(others, p, q, u, delta, !is_near);
    find_pair_terms(without_p, may_be_0(dp) ? 0 : p, q, u, delta, is_near);
    find_pair_terms(without_q, p, may_be_0(dq) ? 0 : q, u, delta, is_near);
    const long double more[5] = {p + q + p * size, p + q + q * size, p + q, p + q, 0};
    const long double f = 3e-6L + 1.5e-7L * ((p > 0 ? fabsl(dp) : 0) + (q > 0 ? fabsl(dq) : 0));
    for (int k = 0; k < 5 && (p > 0 || q > 0); k++) {
        value[k] += terms[k];
        allowed[k] += f * (fabsl(terms[k]) + (is_near && !is_either ? 0 : more[k])) + 1e-37L;
        allowed[k] += 1.5e-45L * (size + fabsl(u)); /* p and q are rounded to the least float's multiples */
        allowed[k] += is_either ? fabsl(terms[k] - others[k]) : 0;
        allowed[k] += fabsl(terms[k] - without_p[k]) + fabsl(terms[k] - without_q[k]);
    }
}

/* Each column's element: the terms of mean and gain. */
static void compare_pair_gradient(const ent_pair_task *task) {
    guarded buffer = floats(task->n, true);
    float *out = buffer.data;
    kernels->pair_gradient(out, task);
    for (size_t i = 0; i < task->n; i++) {
        long double value[5] = {0}, allowed[5] = {0};
        if (task->p[i] == -INFINITY) {
            CHECK(out[i] == 0);
            continue;
        }
        add_pair_exactly(value, allowed, task, i);
        const long double by_pq = (long double)task->by_pq * (long double)task->scale, by_qp = (long double)task->by_qp;
        const long double exact = by_pq * value[4] - by_qp * value[3];
        const long double most = fabsl(by_pq) * allowed[4] + fabsl(by_qp) * allowed[3] + 1e-37L;
        if (task->q[i] > -INFINITY) /* else u is worthless */
            CHECK_SAY(fabsl((long double)out[i] - exact) <= most, "pair gradient %zu of %zu is %.9g, exactly %.9Lg", i,
                      task->n, (double)out[i], exact);
    }
    guarded_free(&buffer);
}

static void compare_pair(const ent_pair_task *task) {
    long double value[5] = {0}, allowed[5] = {0};
    ent_pair_sums sums;
    int only_p = 0, only_q = 0;
    for (size_t i = 0; i < task->n; i++) {
        only_p |= task->p[i] > -INFINITY && task->q[i] == -INFINITY;
        only_q |= task->q[i] > -INFINITY && task->p[i] == -INFINITY;
        if (!(task->p[i] == -INFINITY && task->q[i] == -INFINITY))
            add_pair_exactly(value, allowed, task, i);
    }
    kernels->pair_sums(&sums, task);
    compare_pair_gradient(task);
    CHECK(sums.only_p == only_p && sums.only_q == only_q);
    const double got[5] = {sums.kl_pq, sums.kl_qp, sums.jsd, sums.gain, sums.mean};
    for (int k = 0; k < 5; k++) {
        const long double error = fabsl((long double)got[k] - value[k]);
        if (k == 2 && !task->wants_jsd) {
            CHECK(got[k] == 0);
            continue;
        }
        if (fabsl(value[k]) > (long double)FLT_MAX / 4 || allowed[k] > 1e30L) /* worthless: see ent_pair_sums */
            continue;
        worst_pair[k] = error > 0 ? fmax(worst_pair[k], (double)(error / allowed[k])) : worst_pair[k];
        CHECK_SAY(error <= allowed[k], "sum %d of pairs of %zu columns is %.9g, exactly %.9Lg, allowed %.3Lg", k,
                  task->n, got[k], value[k], allowed[k]);
    }
}

/* Two rows of which the second is near the first, or not; some columns are impossible in one or both. */
static void fill_pair(float *p, float *q, size_t n, size_t k) {
    fill_normal(p, n, (double[]){0.1, 2.5, 12, 40}[k % 4]);
    for (size_t i = 0; i < n; i++) {
        q[i] = k / 4 % 3 ? p[i] + (float)test_normal() * (k / 4 % 3 == 1 ? 1e-3f : 1) : 2 * (float)test_normal();
        if (k % 5 == 0 && test_below(8) == 0)
            p[i] = -INFINITY;
        if (k % 5 == 0 && test_below(8) == 0)
            q[i] = -INFINITY;
    }
}

static ent_pair_task pair_task(const float *p, const float *q, size_t n) {
    ent_pair_task task = {.p = p, .q = q, .n = n, .scale = (float)exp(test_normal() / 2), .wants_jsd = 1};
    const float p_m = max_of(p, n), q_m = max_of(q, n);
    task.p_m = isfinite(p_m) ? p_m : 0;
    task.q_m = isfinite(q_m) ? q_m : 0;
    task.p_each = 1 / (1 + (float)n * (float)test_uniform());
    task.q_each = task.p_each;
    task.by_pq = (float)test_normal();
    task.by_qp = (float)test_normal();
    const double tops = (double)task.p_m - (double)task.q_m, shift = 1e-3 * test_normal();
    task.tops[0] = (float)tops;
    task.tops[1] = (float)(tops - (double)task.tops[0]);
    task.shift[0] = (float)shift;
    task.shift[1] = (float)(shift - (double)task.shift[0]);
    task.pivot[0] = (float)test_normal();
    task.pivot[1] = task.pivot[0] * 1e-9f;
    return task;
}

static void check_pair_sums(void) {
    memset(worst_pair, 0, sizeof worst_pair);
    for (size_t k = 0; k < 12 * N_SIZES; k += stride()) {
        const size_t n = sizes[k / 12];
        guarded a = floats(n, k % 2), b = floats(n, k % 2), c = floats(n, k % 2), d = floats(n, k % 2);
        float *p = a.data, *q = b.data, *high = c.data, *low = d.data;
        fill_pair(p, q, n, k);
        ent_pair_task task = pair_task(p, q, n);
        task.wants_jsd = k % 5 > 0;
        compare_pair(&task);
        for (size_t i = 0; i < n; i++) {
            high[i] = p[i] - q[i] - task.tops[0];
            low[i] = isfinite(high[i]) ? high[i] * 1e-8f : 0;
        }
        task.high = high;
        task.low = low;
        task.wants_jsd = k % 3 > 0;
        compare_pair(&task);
        guarded_free(&a);
        guarded_free(&b);
        guarded_free(&c);
        guarded_free(&d);
    }
    printf("    pairs, %s: largest error as a share of the contract: kl_pq %.2f, kl_qp %.2f, jsd %.2f, gain %.2f, "
           "mean %.2f\n",
           entrol_cpu_name(kernels->cpu), worst_pair[0], worst_pair[1], worst_pair[2], worst_pair[3], worst_pair[4]);
}

static float narrow_case(entrol_dtype dtype, size_t k) {
    uint32_t bits = (uint32_t)test_random();
    uint16_t halves[2] = {(uint16_t)bits, (uint16_t)(bits + 1)};
    float value;
    if (k % 3 == 0) {
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    const double low = oracle_decode(dtype, halves, 0), high = oracle_decode(dtype, halves, 1);
    return (float)(k % 3 == 1 || !isfinite(low) || !isfinite(high) ? low : low / 2 + high / 2);
}

static void check_narrow(void) {
    for (size_t k = 0; k < 40 * N_SIZES; k++)
        for (int dtype = ENTROL_F32; dtype <= ENTROL_BF16; dtype++) {
            const size_t n = sizes[k / 40], size = entrol_dtype_size((entrol_dtype)dtype);
            guarded in = floats(n, k % 2), result = guarded_allocate(n * size + !(k % 2), k % 2);
            float *x = in.data;
            char *out = (char *)result.data + !(k % 2); /* unaligned, or up to the last byte */
            for (size_t i = 0; i < n; i++)
                x[i] = narrow_case(dtype == ENTROL_F32 ? ENTROL_F16 : (entrol_dtype)dtype, i + k);
            kernels->narrow[dtype](out, x, n);
            for (size_t i = 0; i < n; i++) {
                char expected[4];
                oracle_encode((entrol_dtype)dtype, expected, 0, (double)x[i]);
                CHECK_SAY(isnan(x[i]) ? isnan(oracle_decode((entrol_dtype)dtype, out, i))
                                      : memcmp(expected, out + i * size, size) == 0,
                          "%s of %a is %a", entrol_dtype_name((entrol_dtype)dtype), (double)x[i],
                          oracle_decode((entrol_dtype)dtype, out, i));
            }
            guarded_free(&in);
            guarded_free(&result);
        }
}

static void check_widen_one(entrol_dtype dtype, size_t n, bool at_end, bool with_mask) {
    const size_t size = entrol_dtype_size(dtype);
    guarded in = guarded_allocate(n * size + (at_end ? 0 : 1), at_end), out = floats(n, at_end);
    guarded mask = guarded_allocate((n + 7) / 8, at_end);
    char *z = (char *)in.data + (at_end ? 0 : 1); /* unaligned, or up to the last byte */
    uint8_t *bits = mask.data;
    float *wide = out.data;
    for (size_t i = 0; i < n * size; i++)
        z[i] = (char)test_random();
    for (size_t i = 0; i < (n + 7) / 8; i++)
        bits[i] = (uint8_t)test_random();
    kernels->widen[dtype](wide, z, n, with_mask ? bits : NULL);
    for (size_t i = 0; i < n; i++) {
        const int allowed = !with_mask || ((bits[i / 8] >> (i % 8)) & 1);
        const double expected = allowed ? oracle_decode(dtype, z, i) : -INFINITY;
        CHECK_SAY(isnan(expected) ? isnan(wide[i]) : (double)wide[i] == expected,
                  "%s column %zu of %zu: %g, expected %g", entrol_dtype_name(dtype), i, n, (double)wide[i], expected);
    }
    guarded_free(&in);
    guarded_free(&out);
    guarded_free(&mask);
}

static void check_widen(void) {
    for (size_t k = 0; k < 4 * N_SIZES; k++)
        for (int dtype = ENTROL_F32; dtype <= ENTROL_BF16; dtype++)
            check_widen_one((entrol_dtype)dtype, sizes[k / 4], k & 1, (k & 2) != 0);
}

static void check_every_half(entrol_dtype dtype) {
    static uint16_t all[65536];
    float wide[ENT_CHUNK];
    for (size_t i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    for (size_t first = 0; first < 65536; first += ENT_CHUNK) {
        kernels->widen[dtype](wide, all + first, ENT_CHUNK, NULL);
        for (size_t i = 0; i < ENT_CHUNK; i++)
            CHECK(test_near((double)wide[i], oracle_decode(dtype, all, first + i), 0));
    }
}

static void check_halves(void) {
    check_every_half(ENTROL_F16);
    check_every_half(ENTROL_BF16);
}

static void skip_level(void) {
    test_skip("this machine has no such instruction set");
}

static void run_level(entrol_cpu cpu) {
    static const struct {
        const char *name;
        void (*function)(void);
    } checks[] = {{"max", check_max},           {"greater", check_greater},
                  {"sums", check_sums},         {"sums_nan", check_sums_nan},
                  {"lanes", check_lanes},       {"lanes_values", check_lanes_values},
                  {"widen", check_widen},       {"halves", check_halves},
                  {"gradient", check_gradient}, {"gradient_lanes", check_gradient_lanes},
                  {"narrow", check_narrow},     {"between", check_between},
                  {"sift", check_sift},         {"keep", check_keep},
                  {"masses", check_masses},     {"moments", check_moments},
                  {"soft_cap", check_soft_cap}, {"pair_sums", check_pair_sums}};
    char name[64];
    if (!entrol_cpu_available(cpu)) {
        snprintf(name, sizeof name, "level_%s", entrol_cpu_name(cpu));
        test_run(name, skip_level);
        return;
    }
    kernels = ent_kernels_for(cpu);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        snprintf(name, sizeof name, "%s_%s", checks[i].name, entrol_cpu_name(cpu));
        test_run(name, checks[i].function);
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        run_level((entrol_cpu)cpu);
    return test_end();
}
