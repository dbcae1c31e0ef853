/* The plain kernels that run anywhere: no intrinsics, libm's expf, sums in double. */
#include "kernels.h"

#include "base/dtype.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Below this d a column counts as impossible, at every level alike: e^-87 is about the least normal float. */
#define MIN_EXPONENT (-87.0f)

static float max_ref(const float *z, size_t n) {
    float m = -INFINITY;
    for (size_t i = 0; i < n; i++)
        m = z[i] > m ? z[i] : m;
    return m;
}

static size_t count_greater_ref(const float *z, size_t n, float threshold) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += z[i] > threshold;
    return count;
}

static size_t count_equal_ref(const float *z, size_t n, float value) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += z[i] == value;
    return count;
}

static size_t find_greater_ref(uint16_t *found, const float *z, size_t n, float threshold) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (z[i] > threshold)
            found[count++] = (uint16_t)i;
    return count;
}

static size_t copy_greater_ref(float *out, const float *z, size_t n, float threshold) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        out[count] = z[i];
        count += z[i] > threshold;
    }
    return count;
}

static size_t find_between_ref(uint16_t *found, const float *z, size_t n, float low, float high) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (z[i] >= low && z[i] <= high)
            found[count++] = (uint16_t)i;
    return count;
}

static ent_sifted sift_ref(float *inside, const float *z, size_t n, float low, float high) {
    ent_sifted sifted = {.n_below = 0};
    for (size_t i = 0; i < n; i++) {
        sifted.n_below += z[i] < low;
        sifted.n_upto_low += z[i] <= low;
        sifted.n_below_high += z[i] < high;
        sifted.n_upto_high += z[i] <= high;
        if (z[i] > low && z[i] < high)
            inside[sifted.n_inside++] = z[i];
        sifted.has_nonfinite |= !isfinite(z[i]);
    }
    return sifted;
}

static ent_masses masses_ref(float *out, const ent_masses_task *task) {
    ent_masses masses = {0, 0};
    for (size_t i = 0; i < task->n; i++) {
        out[i] = ent_mass(task->z[i] - task->m, task->scale);
        const uint64_t units = ent_mass_units(out[i], task->magic);
        masses.all += units;
        masses.above += task->z[i] > task->high ? units : 0;
    }
    return masses;
}

typedef struct lanes_of_moments {
    float n_top[ENT_LANES], s[ENT_LANES], t[ENT_LANES], u[ENT_LANES];
} lanes_of_moments;

static double sum_lanes(const float *lanes) {
    double sums[ENT_LANES];
    for (size_t lane = 0; lane < ENT_LANES; lane++)
        sums[lane] = (double)lanes[lane];
    for (size_t half = ENT_LANES / 2; half; half /= 2)
        for (size_t lane = 0; lane < half; lane++)
            sums[lane] += sums[lane + half];
    return sums[0];
}

static void moments_ref(ent_moments *moments, const ent_moments_task *task) {
    lanes_of_moments lanes = {{0}, {0}, {0}, {0}};
    const float low = -125.5f / (task->scale * 0x1.715476p+0f); /* as in ent_mass */
    for (size_t i = 0; i < task->n; i++) {
        const size_t lane = i % ENT_LANES;
        const float raw = task->z[i] - task->m, x = low > raw ? low : raw;
        const float e = raw == 0 ? 0 : raw > low ? ent_mass(raw, task->scale) : 0, product = e * x;
        lanes.n_top[lane] += raw == 0;
        lanes.s[lane] += e;
        lanes.t[lane] += product; /* 0 * NaN is NaN */
        lanes.u[lane] += product * x;
    }
    *moments = (ent_moments){sum_lanes(lanes.n_top), sum_lanes(lanes.s), sum_lanes(lanes.t), sum_lanes(lanes.u)};
}

static ent_kept keep_ref(float *out, const float *z, size_t n, float threshold) {
    ent_kept kept = {0, 0};
    for (size_t i = 0; i < n; i++) {
        kept.n += z[i] >= threshold;
        kept.n_equal += z[i] == threshold;
        out[i] = z[i] >= threshold ? z[i] : -INFINITY;
    }
    return kept;
}

/* e^(scale x) for x = z - m, exactly 0 below the cut, NaN for NaN. */
static double exp_ref(float x, float scale) {
    const float d = x * scale;
    return d < MIN_EXPONENT ? 0 : (double)expf(d);
}

static void sums_ref(ent_sums *sums, const ent_sums_task *task) {
    ent_sums total = {.greatest = -INFINITY, .least = INFINITY};
    for (size_t i = 0; i < task->n; i++) {
        const float x = task->z[i] - task->m;
        const int is_top = task->has_top && x == 0;
        const double e = is_top ? 0 : exp_ref(x, task->scale);
        total.greatest = task->z[i] > total.greatest ? task->z[i] : total.greatest;
        total.least = task->z[i] < total.least ? task->z[i] : total.least;
        total.n_top += is_top;
        total.s += e;
        if (e == 0 && x >= -INFINITY) /* 0 * -inf is no term, but a NaN is one */
            continue;
        const double from_pivot = (double)x - (double)task->pivot;
        total.t += e * (double)x;
        total.u += e * from_pivot * from_pivot;
        total.q += e * e;
    }
    *sums = total;
}

/* One lane of lanes_ref, as if it were a row of its own. */
static void lane_ref(ent_lanes_sums *sums, size_t lane, const float *tile, size_t n_columns, float scale) {
    float row[ENT_SHORT];
    for (size_t j = 0; j < n_columns; j++)
        row[j] = tile[j * ENT_LANES + lane];
    const float m = max_ref(row, n_columns);
    ent_sums_task task = {
        .z = row, .n = n_columns, .m = m == -INFINITY ? 0 : m, .scale = scale, .has_top = 1, .squares = 1};
    ent_sums total, about_mean;
    sums_ref(&total, &task);
    const double mean = total.t / (total.s + total.n_top);
    task.pivot = (float)mean;
    sums_ref(&about_mean, &task);
    sums->m[lane] = m;
    sums->least[lane] = total.least;
    sums->n_top[lane] = (float)total.n_top;
    sums->s[lane] = (float)total.s;
    sums->t[lane] = (float)total.t;
    sums->u[lane] = (float)(about_mean.u + total.n_top * mean * mean);
    sums->q[lane] = (float)total.q;
}

static void lanes_ref(ent_lanes_sums *sums, const float *tile, size_t n_columns, float scale, int squares) {
    (void)squares; /* everything is computed: this level is for correctness */
    for (size_t lane = 0; lane < ENT_LANES; lane++)
        lane_ref(sums, lane, tile, n_columns, scale);
}

static void lanes_values_ref(ent_lanes_values *values, const ent_lanes_sums *sums, const float *targets, float scale,
                             int squares) {
    (void)squares;
    values->bad = 0;
    for (size_t i = 0; i < ENT_LANES; i++) {
        const double m = (double)sums->m[i], n_top = (double)sums->n_top[i], s = (double)sums->s[i];
        const double t = (double)sums->t[i], sum = n_top + s, log_sum = log1p(n_top - 1 + s);
        values->entropy[i] = (float)(log_sum - (double)scale * t / sum) + 0.0f;
        values->logsumexp[i] = (float)(m * (double)scale + log_sum) + 0.0f;
        values->logprob[i] = (float)(((double)targets[i] - m) * (double)scale - log_sum) + 0.0f;
        values->top_prob[i] = (float)(1 / sum);
        values->varentropy[i] = (float)((double)scale * (double)scale * (double)sums->u[i] / sum);
        values->sum_p_squared[i] = (float)((n_top + (double)sums->q[i]) / (sum * sum));
        values->bad |= (unsigned)(!isfinite(m) || isnan(t)) << i;
    }
}

static void gradient_ref(float *out, const ent_gradient_task *task) {
    for (size_t i = 0; i < task->n; i++) {
        const float x = task->z[i] - task->m;
        const double e = exp_ref(x, task->scale);
        const double y = (double)(x * task->scale) - (double)task->mu;
        const double terms = (double)task->first + (double)task->slope * (double)x + (double)task->square * y * y;
        const double added = task->add ? (double)task->add[i] : 0;
        out[i] = (float)(added + (e == 0 && x >= -INFINITY ? 0 : e * terms)); /* no 0 * inf */
    }
}

static void stream_end_ref(void) {
}

static void gradient_lanes_ref(float *tile, size_t n_columns, float scale, const ent_gradient_lanes *lanes) {
    for (size_t lane = 0; lane < ENT_LANES; lane++)
        for (size_t j = 0; j < n_columns; j++) {
            float *z = &tile[j * ENT_LANES + lane];
            const ent_gradient_task task = {.z = z,
                                            .n = 1,
                                            .m = lanes->m[lane],
                                            .scale = scale,
                                            .first = lanes->first[lane],
                                            .slope = lanes->slope[lane],
                                            .square = lanes->square[lane],
                                            .mu = lanes->mu[lane]};
            gradient_ref(z, &task);
        }
}

/* p - q - tops of a column. Impossible in both, it is 0: nothing multiplies it but 0. */
static double apart_ref(const ent_pair_task *task, size_t i) {
    if (task->p[i] == -INFINITY && task->q[i] == -INFINITY)
        return 0;
    return task->high ? (double)task->high[i] + (double)task->low[i]
                      : (double)task->p[i] - (double)task->q[i] - (double)task->tops[0] - (double)task->tops[1];
}

/* Less a number in two parts; finite. */
static double beyond_ref(double apart, const float from[2], double scale) {
    const double x = scale * (apart - (double)from[0] - (double)from[1]);
    return fmin(fmax(x, -(double)FLT_MAX), (double)FLT_MAX);
}

static double weight_ref(float z, float m, float scale, float each) {
    return (double)each * exp_ref(z - m, scale);
}

/* q - p, whose digits are delta's where the two are close. */
static double gain_ref(double p, double q, double delta) {
    return fabs(delta) <= 1 ? p * expm1(-delta) : q - p;
}

static double jsd_ref(double p, double q, double delta) {
    const double size = fabs(delta), w = exp(-size), r = tanh(delta / 2);
    if (size <= 1)
        return 0.25 * (p + q) * ((1 + r) * log1p(r) + (1 - r) * log1p(-r));
    return 0.5 * fmax(p, q) * ((1 + w) * (log(2) - log1p(w)) - w * size);
}

static void pair_sums_ref(ent_pair_sums *sums, const ent_pair_task *task) {
    ent_pair_sums total = {.kl_pq = 0};
    for (size_t i = 0; i < task->n; i++) {
        const double p = weight_ref(task->p[i], task->p_m, task->scale, task->p_each);
        const double q = weight_ref(task->q[i], task->q_m, task->scale, task->q_each);
        const double apart = apart_ref(task, i), delta = beyond_ref(apart, task->shift, (double)task->scale);
        const double gain = gain_ref(p, q, delta);
        const int is_near = fabs(delta) <= 1;
        total.kl_pq += is_near ? p * (expm1(-delta) + delta) : gain + p * delta;
        total.kl_qp += is_near ? q * (expm1(delta) - delta) : -gain - q * delta;
        total.jsd += task->wants_jsd ? jsd_ref(p, q, delta) : 0;
        total.gain += gain;
        total.mean += p * beyond_ref(apart, task->pivot, 1);
        total.only_p |= task->p[i] > -INFINITY && !(task->q[i] > -INFINITY);
        total.only_q |= task->q[i] > -INFINITY && !(task->p[i] > -INFINITY);
    }
    *sums = total;
}

static void pair_gradient_ref(float *out, const ent_pair_task *task) {
    for (size_t i = 0; i < task->n; i++) {
        const double p = weight_ref(task->p[i], task->p_m, task->scale, task->p_each);
        const double q = weight_ref(task->q[i], task->q_m, task->scale, task->q_each), scale = (double)task->scale;
        const double apart = apart_ref(task, i), delta = beyond_ref(apart, task->shift, scale);
        const double of_pq = (double)task->by_pq * scale * (p * beyond_ref(apart, task->pivot, 1));
        out[i] = task->p[i] == -INFINITY ? 0 : (float)(of_pq - (double)task->by_qp * gain_ref(p, q, delta));
    }
}

/* ln p of a row's column, as far down as the kernels tell apart. */
static double log_probability_ref(const ent_mixture_task *task, size_t row, size_t i) {
    const double z = task->wide[row] ? task->wide[row][i] : (double)task->z[row][i];
    return fmax(task->scale * (z - task->m[row]) - task->log_sum[row], ENT_LEAST_LOG);
}

/* One column, by the greatest of its probabilities: w = p / that, and the sum of w ln(w / mean), which is that of
 * w (y + e^-y - 1), y = ln(w / mean), where the rows are close. */
static void mixture_column_ref(ent_mixture_sums *sums, const ent_mixture_task *task, size_t i) {
    double log_p[ENT_MIXTURE_ROWS], top = ENT_LEAST_LOG, least = 0, sum = 0, near = 0, far = 0;
    for (size_t row = 0; row < task->n_rows; row++) {
        log_p[row] = log_probability_ref(task, row, i);
        top = fmax(top, log_p[row]);
    }
    for (size_t row = 0; row < task->n_rows; row++) {
        sum += exp(log_p[row] - top);
        least = fmin(least, log_p[row] - top);
    }
    const double mean = sum / (double)task->n_rows, log_mean = log(mean), each = exp(top);
    for (size_t row = 0; row < task->n_rows; row++) {
        const double w = exp(log_p[row] - top), y = log_p[row] - top - log_mean;
        near += w * y * y * (0.5 - y * (1.0 / 6 - y * (1.0 / 24 - y * (1.0 / 120 - y / 720))));
        far += w * y;
        sums->gain[row] += each * (w - mean);
    }
    sums->information += each * (least >= -ENT_CLOSE ? near : far) / (double)task->n_rows;
}

static void mixture_sums_ref(ent_mixture_sums *sums, const ent_mixture_task *task) {
    *sums = (ent_mixture_sums){.information = 0};
    for (size_t i = 0; i < task->n; i++)
        mixture_column_ref(sums, task, i);
}

static void soft_cap_ref(float *z, size_t n, float cap) {
    for (size_t i = 0; i < n; i++)
        z[i] = cap * tanhf(z[i] / cap);
}

static void narrow_f32_ref(void *out, const float *x, size_t n) {
    memcpy(out, x, n * sizeof *x);
}

static void narrow_f16_ref(void *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const uint16_t half = ent_float_to_f16(x[i]);
        memcpy((char *)out + i * sizeof half, &half, sizeof half);
    }
}

static void narrow_bf16_ref(void *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const uint16_t half = ent_float_to_bf16(x[i]);
        memcpy((char *)out + i * sizeof half, &half, sizeof half);
    }
}

static void apply_mask(float *out, size_t n, const uint8_t *mask) {
    for (size_t i = 0; mask && i < n; i++)
        out[i] = (mask[i / 8] >> (i % 8)) & 1 ? out[i] : -INFINITY;
}

static void widen_f32_ref(float *out, const void *z, size_t n, const uint8_t *mask) {
    if (n) /* of nothing, z may be NULL */
        memcpy(out, z, n * sizeof *out);
    apply_mask(out, n, mask);
}

static void widen_f16_ref(float *out, const void *z, size_t n, const uint8_t *mask) {
    for (size_t i = 0; i < n; i++)
        out[i] = (float)ent_element(z, ENTROL_F16, i);
    apply_mask(out, n, mask);
}

static void widen_bf16_ref(float *out, const void *z, size_t n, const uint8_t *mask) {
    for (size_t i = 0; i < n; i++)
        out[i] = (float)ent_element(z, ENTROL_BF16, i);
    apply_mask(out, n, mask);
}

void ent_kernels_ref(ent_kernels *kernels) {
    *kernels = (ent_kernels){
        .cpu = ENTROL_CPU_SCALAR,
        .max = max_ref,
        .count_greater = count_greater_ref,
        .count_equal = count_equal_ref,
        .find_greater = find_greater_ref,
        .copy_greater = copy_greater_ref,
        .find_between = find_between_ref,
        .sift = sift_ref,
        .sums = sums_ref,
        .lanes = lanes_ref,
        .lanes_values = lanes_values_ref,
        .masses = masses_ref,
        .moments = moments_ref,
        .keep = keep_ref,
        .gradient = gradient_ref,
        .stream_end = stream_end_ref,
        .gradient_lanes = gradient_lanes_ref,
        .soft_cap = soft_cap_ref,
        .pair_sums = pair_sums_ref,
        .pair_gradient = pair_gradient_ref,
        .mixture_sums = mixture_sums_ref,
        .narrow = {[ENTROL_F32] = narrow_f32_ref, [ENTROL_F16] = narrow_f16_ref, [ENTROL_BF16] = narrow_bf16_ref},
        .widen = {[ENTROL_F32] = widen_f32_ref, [ENTROL_F16] = widen_f16_ref, [ENTROL_BF16] = widen_bf16_ref}};
}
