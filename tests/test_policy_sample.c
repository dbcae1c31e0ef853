/* entrol_policy_sample: what the numbers are made of, the distributions they come from (chi-square, Kolmogorov and
 * Smirnov, moments, and -ln p of draws against the entropy of every kind in the registry), the same bits for any number
 * of threads, split and machine, special values, and bad arguments. */
#include "harness_policy.h"

#include "oracle.h"

#include "policy/draws.h"
#include "base/portable.h"

static entrol_context *context;

/* --- Numbers --- */

static void test_portable_functions(void) {
    double worst_log = 0, worst_exp = 0;
    for (int i = 0; i < 200000; i++) {
        const double x = i % 2 ? exp(1400 * (test_uniform() - 0.5)) : 1 + 0.1 * test_normal() * test_uniform();
        if (x > 0) {
            const long double exact = logl((long double)x);
            worst_log = fmax(worst_log, fabs((double)((ent_portable_log(x) - exact) / (exact + (exact == 0)))));
        }
        const double y = i % 2 ? 1400 * (test_uniform() - 0.5) : test_normal();
        worst_exp = fmax(worst_exp, fabs((double)(ent_portable_exp(y) / expl((long double)y) - 1)));
    }
    printf("  log within %.1e, exp within %.1e of themselves\n", worst_log, worst_exp);
    CHECK(worst_log < 1e-15 && worst_exp < 1e-15);
    CHECK(ent_portable_log(1) == 0 && ent_portable_exp(0) == 1);
    CHECK(ent_portable_exp(-INFINITY) == 0 && ent_portable_exp(-750) == 0 && ent_portable_exp(711) == INFINITY);
    CHECK(ent_portable_exp(-745) > 0);
}

/* Against the distribution function: the error in x is that in p over the density. */
static void test_normal_quantile(void) {
    double worst = 0;
    for (int i = 0; i < 20000; i++) {
        const double p = i % 4 == 0   ? 0x1p-53 * (1 + (double)test_below(1000))
                         : i % 4 == 1 ? exp(-36 * test_uniform())
                                      : test_uniform();
        if (p == 0 || p > 0.5)
            continue;
        const long double x = ent_normal_quantile(p), mass = erfcl(-x / sqrtl(2)) / 2;
        const long double off = (mass - p) / (expl(-x * x / 2) / sqrtl(2 * acosl(-1)));
        worst = fmax(worst, fabs((double)(off / x)));
        CHECK(ent_normal_quantile(1 - p) >= 0);
    }
    printf("  the normal quantile within %.1e of itself\n", worst);
    CHECK(worst < 1e-15);
    CHECK(ent_normal_quantile(0.5) == 0);
    CHECK_NEAR(ent_normal_quantile(0.975), 1.959963984540054, 1e-15);
}

static void test_uniform_bits(void) {
    ent_draws draws = ent_draws_begin(1, 2);
    double least = 1, greatest = 0;
    size_t n_high = 0;
    for (int i = 0; i < 100000; i++) {
        const double u = ent_draw_uniform(&draws);
        least = fmin(least, u);
        greatest = fmax(greatest, u);
        n_high += u > 0.5;
        CHECK(u > 0 && u < 1 && u * 0x1p53 == floor(u * 0x1p53));
    }
    CHECK(least < 1e-3 && greatest > 1 - 1e-3);
    CHECK(fabs((double)n_high - 50000) < 5 * sqrt(25000));
}

/* --- Draws of one distribution --- */

enum { N_DRAWS = 20000 };

typedef struct drawn {
    entrol_policy policy; /* N_DRAWS equal rows */
    double *actions, *before;
    entrol_matrix matrix;
} drawn;

/* Rows that are all the same row: their stride is 0. */
static drawn draw(entrol_policy_kind kind, const double *first, const double *second, size_t n, size_t n_actions) {
    drawn drawn = {.policy = ENTROL_POLICY_INIT};
    drawn.policy.kind = kind;
    drawn.policy.first = (entrol_matrix){first, ENTROL_F64, N_DRAWS, n, 0};
    drawn.policy.second = (entrol_matrix){second, ENTROL_F64, 1, oracle_policy_n_second(kind, n), 0};
    drawn.actions = malloc(N_DRAWS * n_actions * sizeof(double));
    drawn.before = malloc(N_DRAWS * n_actions * sizeof(double));
    drawn.matrix = (entrol_matrix){drawn.actions, ENTROL_F64, N_DRAWS, n_actions, (ptrdiff_t)n_actions};
    return drawn;
}

static void fill(drawn *drawn) {
    const entrol_policy_sample_options options = {sizeof options, test_random(), 0, 0};
    const size_t n = drawn->matrix.n_columns;
    const entrol_destination actions = {drawn->actions, ENTROL_F64, (ptrdiff_t)n, 0};
    const entrol_destination before = {drawn->before, ENTROL_F64, (ptrdiff_t)n, 0};
    const bool is_squashed = drawn->policy.kind == ENTROL_POLICY_SQUASHED_GAUSSIAN;
    entrol_diagnosis diagnosis;
    CHECK_INT(
        entrol_policy_sample(context, &actions, is_squashed ? &before : NULL, &diagnosis, &drawn->policy, &options),
        ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 0);
}

static void drawn_free(drawn *drawn) {
    free(drawn->actions);
    free(drawn->before);
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Column i of n against a distribution function; sorts a copy. One in a million is beyond 2.7 / sqrt(N). */
static void check_distribution(const double *values, size_t i, size_t n, double (*function)(double x, const double *of),
                               const double *of, const char *what) {
    double *sorted = malloc(N_DRAWS * sizeof *sorted), worst = 0;
    for (size_t row = 0; row < N_DRAWS; row++)
        sorted[row] = values[row * n + i];
    qsort(sorted, N_DRAWS, sizeof *sorted, compare_doubles);
    for (size_t row = 0; row < N_DRAWS; row++) {
        const double f = function(sorted[row], of);
        worst = fmax(worst, fmax(fabs(f - (double)row / N_DRAWS), fabs((double)(row + 1) / N_DRAWS - f)));
    }
    CHECK_SAY(worst * sqrt(N_DRAWS) < 2.7, "%s: %g from its distribution", what, worst * sqrt(N_DRAWS));
    free(sorted);
}

/* --- Discrete kinds --- */

static void test_categorical(void) {
    static const uint8_t mask = 0xdf; /* not column 5 */
    const double logits[8] = {0, 1, -2, 3, -INFINITY, 9, 0.5, -1};
    double p[8], sum = 0;
    size_t counts[8] = {0};
    for (size_t i = 0; i < 8; i++)
        sum += p[i] = i == 5 ? 0 : exp(logits[i]);
    for (size_t i = 0; i < 8; i++)
        p[i] /= sum;
    drawn drawn = draw(ENTROL_POLICY_CATEGORICAL, logits, NULL, 8, 1);
    drawn.policy.mask = &mask;
    fill(&drawn);
    for (size_t row = 0; row < N_DRAWS; row++)
        counts[(size_t)drawn.actions[row]]++;
    test_check_chi_square(counts, p, 8, "categorical");
    drawn_free(&drawn);
}

/* All pairs of a 2 and a 3: independent, too. */
static void test_multi_discrete(void) {
    static const size_t sizes[2] = {2, 3};
    const double logits[5] = {0, 1, -1, 0, 1};
    double p[6];
    size_t counts[6] = {0};
    const double first = 1 + exp(1), second = exp(-1) + 1 + exp(1);
    for (size_t i = 0; i < 6; i++)
        p[i] = exp(logits[i / 3]) / first * exp(logits[2 + i % 3]) / second;
    drawn drawn = draw(ENTROL_POLICY_MULTI_DISCRETE, logits, NULL, 5, 2);
    drawn.policy.sizes = sizes;
    drawn.policy.n_sizes = 2;
    fill(&drawn);
    for (size_t row = 0; row < N_DRAWS; row++)
        counts[(size_t)drawn.actions[2 * row] * 3 + (size_t)drawn.actions[2 * row + 1]]++;
    test_check_chi_square(counts, p, 6, "multi-discrete");
    drawn_free(&drawn);
}

static void test_bernoulli(void) {
    const double logits[3] = {-2, 0.5, INFINITY};
    double p[8];
    size_t counts[8] = {0};
    for (size_t i = 0; i < 8; i++) {
        p[i] = i >= 4;
        for (size_t k = 0; k < 2; k++)
            p[i] *= 1 / (1 + exp(i >> k & 1 ? -logits[k] : logits[k]));
    }
    drawn drawn = draw(ENTROL_POLICY_BERNOULLI, logits, NULL, 3, 3);
    fill(&drawn);
    for (size_t row = 0; row < N_DRAWS; row++) {
        const double *bits = drawn.actions + 3 * row;
        counts[(size_t)bits[0] + 2 * (size_t)bits[1] + 4 * (size_t)bits[2]]++;
    }
    test_check_chi_square(counts, p, 8, "bernoulli");
    drawn_free(&drawn);
}

/* --- Continuous kinds --- */

static double gaussian_function(double x, const double *of) {
    return erfc((of[0] - x) / exp(of[1]) / sqrt(2)) / 2;
}

static double squashed_function(double a, const double *of) {
    return gaussian_function(atanh(a), of);
}

static void test_gaussian(void) {
    const double first[2] = {1, -3}, second[2] = {-1, 2};
    drawn drawn = draw(ENTROL_POLICY_GAUSSIAN, first, second, 2, 2);
    fill(&drawn);
    for (size_t i = 0; i < 2; i++) {
        const double of[2] = {first[i], second[i]};
        check_distribution(drawn.actions, i, 2, gaussian_function, of, "gaussian");
    }
    drawn_free(&drawn);
}

static void test_squashed_gaussian(void) {
    const double first[2] = {0.3, -1}, second[2] = {-1, 0.7};
    drawn drawn = draw(ENTROL_POLICY_SQUASHED_GAUSSIAN, first, second, 2, 2);
    fill(&drawn);
    for (size_t i = 0; i < 2; i++) {
        const double of[2] = {first[i], second[i]};
        check_distribution(drawn.actions, i, 2, squashed_function, of, "squashed gaussian");
        check_distribution(drawn.before, i, 2, gaussian_function, of, "before the squash");
    }
    for (size_t i = 0; i < 2 * N_DRAWS; i++)
        CHECK_NEAR(drawn.actions[i], tanh(drawn.before[i]), 4e-16);
    drawn_free(&drawn);
}

/* Mean and covariance, to 5 standard errors of each. */
static void test_full_gaussian(void) {
    const double mean[3] = {1, -1, 0}, l[9] = {2, 0, 0, -1, 0.5, 0, 0.3, 1, 1.5};
    drawn drawn = draw(ENTROL_POLICY_FULL_GAUSSIAN, mean, l, 3, 3);
    fill(&drawn);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j <= i; j++) {
            double exact = 0, of_i = 0, of_j = 0, sum = 0, sum_i = 0;
            for (size_t k = 0; k < 3; k++) {
                exact += l[3 * i + k] * l[3 * j + k];
                of_i += l[3 * i + k] * l[3 * i + k];
                of_j += l[3 * j + k] * l[3 * j + k];
            }
            for (size_t row = 0; row < N_DRAWS; row++) {
                sum += (drawn.actions[3 * row + i] - mean[i]) * (drawn.actions[3 * row + j] - mean[j]);
                sum_i += drawn.actions[3 * row + i] - mean[i];
            }
            CHECK_NEAR(sum_i / N_DRAWS, 0, 5 * sqrt(of_i / N_DRAWS));
            CHECK_NEAR(sum / N_DRAWS, exact, 5 * sqrt((of_i * of_j + exact * exact) / N_DRAWS));
        }
    drawn_free(&drawn);
}

static double power_function(double u, const double *of) {
    return pow(u, of[0]);
}

static double arcsine_function(double u, const double *of) {
    (void)of;
    return 2 / acos(-1) * asin(sqrt(u));
}

static double two_three_function(double u, const double *of) {
    (void)of;
    return u * u * (6 - 8 * u + 3 * u * u);
}

static void test_beta(void) {
    const double shapes[5][2] = {{0.5, 0.5}, {2, 3}, {0.02, 1}, {1, 1}, {5, 1}};
    double first[5], second[5];
    for (size_t i = 0; i < 5; i++) {
        first[i] = log(shapes[i][0]);
        second[i] = log(shapes[i][1]);
    }
    drawn drawn = draw(ENTROL_POLICY_BETA, first, second, 5, 5);
    drawn.policy.low = 0;
    fill(&drawn);
    check_distribution(drawn.actions, 0, 5, arcsine_function, NULL, "Beta(0.5, 0.5)");
    check_distribution(drawn.actions, 1, 5, two_three_function, NULL, "Beta(2, 3)");
    for (size_t i = 2; i < 5; i++)
        check_distribution(drawn.actions, i, 5, power_function, shapes[i], "Beta(a, 1)");
    drawn_free(&drawn);
}

/* Great shapes and very unequal ones, by their moments. */
static void test_beta_moments(void) {
    const double shapes[3][2] = {{1e6, 1e6}, {1e4, 3}, {1e-6, 2e-6}};
    double first[3], second[3];
    for (size_t i = 0; i < 3; i++) {
        first[i] = log(shapes[i][0]);
        second[i] = log(shapes[i][1]);
    }
    drawn drawn = draw(ENTROL_POLICY_BETA, first, second, 3, 3);
    drawn.policy.low = 0;
    fill(&drawn);
    for (size_t i = 0; i < 3; i++) {
        const double a = shapes[i][0], b = shapes[i][1], t = a + b, mean = a / t, variance = mean * (b / t) / (t + 1);
        double sum = 0, square = 0;
        for (size_t row = 0; row < N_DRAWS; row++) {
            sum += drawn.actions[3 * row + i] - mean;
            square += (drawn.actions[3 * row + i] - mean) * (drawn.actions[3 * row + i] - mean);
        }
        CHECK_NEAR(sum / N_DRAWS, 0, 5 * sqrt(variance / N_DRAWS));
        CHECK_NEAR(square / N_DRAWS / variance, 1, 0.1); /* kurtosis 3 and less: 7 standard errors */
    }
    drawn_free(&drawn);
}

/* --- Every kind: the mean of -ln p is the entropy --- */

static void test_entropy_of_draws(void) {
    static batch batch;
    for (int kind = 0; kind < count_kinds(); kind++) {
        batch_plan plan = {.kind = (entrol_policy_kind)kind, .n_rows = 1, .n = 4, .spread = 0.5};
        batch_make(&batch, &plan);
        const size_t n_actions = batch.actions.n_columns;
        drawn drawn = draw(plan.kind, batch.first.buffer.data, batch.second.buffer.data, 4, n_actions);
        drawn.policy.sizes = batch.sizes;
        drawn.policy.n_sizes = batch.p.n_sizes;
        fill(&drawn);
        double *logprob = malloc(N_DRAWS * sizeof *logprob), *entropy = malloc(N_DRAWS * sizeof *entropy);
        const entrol_policy_record record = {sizeof record, entropy, logprob, NULL, NULL};
        entrol_diagnosis diagnosis;
        CHECK_INT(entrol_policy_measure(context, &record, &diagnosis, &drawn.policy, &drawn.matrix, NULL, NULL),
                  ENTROL_OK);
        CHECK_INT(diagnosis.n_bad, 0);
        double sum = 0, square = 0;
        for (size_t row = 0; row < N_DRAWS; row++) {
            const double off = -logprob[row] - entropy[0];
            sum += off / N_DRAWS;
            square += off * off / N_DRAWS;
        }
        CHECK_SAY(fabs(sum) < 5 * sqrt(square / N_DRAWS) + 1e-12, "%s: -ln p of draws is %g off, %g allowed",
                  entrol_policy_kind_name(plan.kind), sum, 5 * sqrt(square / N_DRAWS));
        free(logprob);
        free(entropy);
        drawn_free(&drawn);
        batch_free(&batch);
    }
}

/* --- The same bits --- */

enum { N_ROWS = 40, MOST_ACTIONS = 12 };

typedef struct actions {
    double values[N_ROWS * MOST_ACTIONS];
} actions;

/* Rows from `first` on, `n_rows` of them, as a rank of its own would have them. */
static void sample_part(actions *out, const batch *batch, size_t first, size_t n_rows, uint64_t seed) {
    const size_t n = batch->actions.n_columns;
    entrol_policy part = batch->p;
    const entrol_policy_sample_options options = {sizeof options, seed, first, 0};
    const entrol_destination to = {out->values + first * n, ENTROL_F64, (ptrdiff_t)n, 0};
    part.first.n_rows = n_rows;
    part.first.data =
        (const char *)part.first.data + first * part.first.n_columns * entrol_dtype_size(part.first.dtype);
    if (part.second.n_rows > 1) {
        part.second.n_rows = n_rows;
        part.second.data =
            (const char *)part.second.data + first * part.second.n_columns * entrol_dtype_size(part.second.dtype);
    }
    if (part.mask)
        part.mask += (ptrdiff_t)first * part.mask_row_stride;
    CHECK_INT(entrol_policy_sample(context, &to, NULL, NULL, &part, &options), ENTROL_OK);
}

static void test_threads_and_ranks(void) {
    static batch batch;
    static actions one, got;
    for (int kind = 0; kind < count_kinds(); kind++) {
        batch_plan plan = plan_at_random((entrol_policy_kind)kind, N_ROWS, MOST_ACTIONS);
        batch_make(&batch, &plan);
        memset(&one, 0, sizeof one);
        sample_part(&one, &batch, 0, N_ROWS, 7);
        entrol_context *own = context;
        for (size_t n_threads = 1; n_threads <= 5; n_threads += 2) {
            context = context_at(ENTROL_CPU_BEST, n_threads);
            memset(&got, 0, sizeof got);
            sample_part(&got, &batch, 0, N_ROWS, 7);
            CHECK(memcmp(&one, &got, sizeof one) == 0);
            memset(&got, 0, sizeof got);
            for (size_t first = 0, n_rows; first < N_ROWS; first += n_rows) {
                n_rows = 2 + test_below(10);
                n_rows = n_rows < N_ROWS - first ? n_rows : N_ROWS - first;
                sample_part(&got, &batch, first, n_rows, 7);
            }
            CHECK_SAY(memcmp(&one, &got, sizeof one) == 0, "%s: parts differ from the whole",
                      entrol_policy_kind_name(plan.kind));
            entrol_context_destroy(context);
        }
        context = own;
        sample_part(&got, &batch, 0, N_ROWS, 8);
        CHECK(plan.kind < ENTROL_POLICY_GAUSSIAN || memcmp(&one, &got, sizeof one) != 0);
        batch_free(&batch);
    }
}

/* FNV-1a over the actions' bytes, the least first, of parameters that are exact everywhere. */
static uint64_t digest_of(entrol_policy_kind kind) {
    double first[64], second[64], out[64] = {0};
    static const size_t sizes[2] = {1, 3};
    for (size_t i = 0; i < 64; i++) {
        first[i] = (double)(i * 7 % 16) / 8 - 1;
        second[i] = (double)(i * 5 % 16) / 16 + 0.25;
    }
    entrol_policy p = ENTROL_POLICY_INIT;
    p.kind = kind;
    p.sizes = sizes;
    p.n_sizes = 2;
    p.first = (entrol_matrix){first, ENTROL_F64, 16, 4, 4};
    p.second = (entrol_matrix){second, ENTROL_F64, 1, oracle_policy_n_second(kind, 4), 4};
    const entrol_destination to = {out, ENTROL_F64, 4, 0};
    const entrol_policy_sample_options options = {sizeof options, 12345, 0, 0};
    CHECK_INT(entrol_policy_sample(context, &to, NULL, NULL, &p, &options), ENTROL_OK);
    uint64_t digest = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof out; i++)
        digest = (digest ^ ((const unsigned char *)out)[i]) * 0x100000001b3u;
    return digest;
}

/* What gcc and clang, optimised and not, gave on x86-64 and AArch64. That the numbers are the right ones is
 * test_policy_peers' part. */
static void test_same_on_every_machine(void) {
    static const uint64_t expected[] = {0x8271dcf705312e2d, 0x29ea4963cc1a66d8, 0xe8fdf6a4ff9c6278, 0xd876c6e2ff837bb2,
                                        0x6dffe60179f4ec62, 0xe017dd2d60e82794, 0xb8ea9e90daff64f7};
    CHECK_INT(count_kinds(), sizeof expected / sizeof *expected);
    for (int kind = 0; kind < count_kinds(); kind++) {
        const uint64_t digest = digest_of((entrol_policy_kind)kind);
        CHECK_SAY(digest == expected[kind], "%s: 0x%016llx", entrol_policy_kind_name((entrol_policy_kind)kind),
                  (unsigned long long)digest);
    }
}

/* --- Special values --- */

static double sample_one(entrol_policy_kind kind, double first, double second, int is_deterministic,
                         entrol_diagnosis *diagnosis) {
    double action = 1234;
    entrol_policy p = ENTROL_POLICY_INIT;
    p.kind = kind;
    p.first = (entrol_matrix){&first, ENTROL_F64, 1, 1, 1};
    p.second = (entrol_matrix){&second, ENTROL_F64, 1, 1, 1};
    const entrol_destination to = {&action, ENTROL_F64, 1, 0};
    const entrol_policy_sample_options options = {sizeof options, test_random(), 0, is_deterministic};
    CHECK_INT(entrol_policy_sample(context, &to, NULL, diagnosis, &p, &options), ENTROL_OK);
    return action;
}

static void test_special_values(void) {
    entrol_diagnosis diagnosis;
    CHECK(sample_one(ENTROL_POLICY_GAUSSIAN, 0.3, -INFINITY, 0, &diagnosis) == 0.3);
    CHECK_NEAR(sample_one(ENTROL_POLICY_SQUASHED_GAUSSIAN, 0.3, -INFINITY, 0, &diagnosis), tanh(0.3), 1e-16);
    CHECK(fabs(sample_one(ENTROL_POLICY_SQUASHED_GAUSSIAN, 0, 100, 0, &diagnosis)) == 1); /* rounded onto a bound */
    CHECK_INT(diagnosis.n_bad, 0);
    CHECK(isnan(sample_one(ENTROL_POLICY_GAUSSIAN, 0, 720, 0, &diagnosis)));
    CHECK_INT(diagnosis.reason, ENTROL_REASON_PARAMETER);
    CHECK(isnan(sample_one(ENTROL_POLICY_GAUSSIAN, NAN, 0, 0, &diagnosis)));
    CHECK_INT(diagnosis.reason, ENTROL_REASON_NAN);
    const double far = sample_one(ENTROL_POLICY_BETA, -13.8, -13.8, 0, &diagnosis); /* shapes of 1e-6 */
    CHECK(far >= -1 && far <= 1 && diagnosis.n_bad == 0);
    CHECK(sample_one(ENTROL_POLICY_BERNOULLI, -INFINITY, 0, 0, &diagnosis) == 0);
    CHECK(sample_one(ENTROL_POLICY_CATEGORICAL, -1e308, 0, 0, &diagnosis) == 0);
    CHECK(isnan(sample_one(ENTROL_POLICY_CATEGORICAL, -INFINITY, 0, 0, &diagnosis)));
    CHECK_INT(diagnosis.reason, ENTROL_REASON_EMPTY_SUPPORT);
}

static void test_deterministic(void) {
    entrol_diagnosis diagnosis;
    CHECK(sample_one(ENTROL_POLICY_GAUSSIAN, 0.7, 3, 1, &diagnosis) == 0.7);
    CHECK_NEAR(sample_one(ENTROL_POLICY_SQUASHED_GAUSSIAN, 0.7, 3, 1, &diagnosis), tanh(0.7), 1e-16);
    CHECK_NEAR(sample_one(ENTROL_POLICY_BETA, log(2), log(6), 1, &diagnosis), -0.5, 1e-15);
    CHECK(sample_one(ENTROL_POLICY_BERNOULLI, 0, 0, 1, &diagnosis) == 0);
    CHECK(sample_one(ENTROL_POLICY_BERNOULLI, 0.1, 0, 1, &diagnosis) == 1);
    const double logits[4] = {1, 5, 5, 0}, mean[2] = {3, 4}, l[4] = {1, 0, 1, 1};
    double choice, both[2];
    entrol_policy p = ENTROL_POLICY_INIT;
    p.first = (entrol_matrix){logits, ENTROL_F64, 1, 4, 4};
    entrol_destination to = {&choice, ENTROL_F64, 1, 0};
    const entrol_policy_sample_options options = {sizeof options, 0, 0, 1};
    CHECK_INT(entrol_policy_sample(context, &to, NULL, NULL, &p, &options), ENTROL_OK);
    CHECK(choice == 1);
    p.kind = ENTROL_POLICY_FULL_GAUSSIAN;
    p.first = (entrol_matrix){mean, ENTROL_F64, 1, 2, 2};
    p.second = (entrol_matrix){l, ENTROL_F64, 1, 4, 4};
    to.data = both;
    CHECK_INT(entrol_policy_sample(context, &to, NULL, NULL, &p, &options), ENTROL_OK);
    CHECK(both[0] == 3 && both[1] == 4);
}

/* Every dtype gets the nearest to what f64 gets. */
static void test_dtypes(void) {
    static batch batch;
    static actions exact;
    for (int kind = 0; kind < count_kinds(); kind++)
        for (int dtype = ENTROL_F32; dtype <= ENTROL_BF16; dtype++) {
            batch_plan plan = plan_at_random((entrol_policy_kind)kind, N_ROWS, 4);
            batch_make(&batch, &plan);
            sample_part(&exact, &batch, 0, N_ROWS, 3);
            const size_t n = batch.actions.n_columns;
            sheet out = sheet_make(N_ROWS, n, (entrol_dtype)dtype);
            const entrol_destination to = destination_of(&out, 0);
            const entrol_policy_sample_options options = {sizeof options, 3, 0, 0};
            CHECK_INT(entrol_policy_sample(context, &to, NULL, NULL, &batch.p, &options), ENTROL_OK);
            for (size_t i = 0; i < N_ROWS * n; i++)
                CHECK_NEAR(sheet_get(&out, i / n, i % n), exact.values[i], rounding(out.dtype, exact.values[i]));
            sheet_free(&out);
            batch_free(&batch);
        }
}

static const char *complain(const entrol_policy *p, const entrol_destination *actions, const entrol_destination *before,
                            const entrol_policy_sample_options *options) {
    entrol_diagnosis diagnosis = {0};
    CHECK_INT(entrol_policy_sample(context, actions, before, &diagnosis, p, options), ENTROL_ERROR_ARGUMENT);
    return diagnosis.argument ? diagnosis.argument : "nothing";
}

static void test_arguments(void) {
    double mean = 0, log_sigma = 0, out = 0;
    entrol_policy p = ENTROL_POLICY_INIT;
    p.kind = ENTROL_POLICY_GAUSSIAN;
    p.first = (entrol_matrix){&mean, ENTROL_F64, 1, 1, 1};
    p.second = (entrol_matrix){&log_sigma, ENTROL_F64, 1, 1, 1};
    const entrol_destination good = {&out, ENTROL_F64, 1, 0}, adds = {&out, ENTROL_F64, 1, 1},
                             no_data = {NULL, ENTROL_F64, 1, 0};
    const entrol_policy_sample_options no_size = {0, 0, 0, 0};
    CHECK_STRING(complain(NULL, &good, NULL, NULL), "policy");
    CHECK_STRING(complain(&p, &adds, NULL, NULL), "actions.add");
    CHECK_STRING(complain(&p, &no_data, NULL, NULL), "actions");
    CHECK_STRING(complain(&p, &good, &good, NULL), "before");
    CHECK_STRING(complain(&p, &good, NULL, &no_size), "options");
    double means[2] = {0, 0}, two[2] = {7, 7};
    const entrol_destination on_each_other = {two, ENTROL_F64, 0, 0};
    p.first = (entrol_matrix){means, ENTROL_F64, 2, 1, 1};
    CHECK_STRING(complain(&p, &on_each_other, NULL, NULL), "actions");
    CHECK(two[0] == 7 && two[1] == 7);
    p.first = (entrol_matrix){&mean, ENTROL_F64, 1, 1, 1};
    CHECK(out == 0);
    CHECK_INT(entrol_policy_sample(context, NULL, NULL, NULL, &p, NULL), ENTROL_OK);
}

/* bf16 holds every whole number up to 2^8, f16 up to 2^11. */
static void test_choices_beyond_a_dtype(void) {
    static double logits[2050];
    uint16_t out;
    for (int is_half = 0; is_half < 2; is_half++) {
        const size_t most = is_half ? 2049 : 257;
        const entrol_destination to = {&out, is_half ? ENTROL_F16 : ENTROL_BF16, 1, 0};
        entrol_policy p = ENTROL_POLICY_INIT;
        p.first = (entrol_matrix){logits, ENTROL_F64, 1, most, (ptrdiff_t)most};
        logits[most - 1] = 1000;
        CHECK_INT(entrol_policy_sample(context, &to, NULL, NULL, &p, NULL), ENTROL_OK);
        CHECK(oracle_decode(to.dtype, &out, 0) == (double)most - 1);
        p.first.n_columns = most + 1;
        CHECK_STRING(complain(&p, &to, NULL, NULL), "actions.dtype");
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    context = context_at(ENTROL_CPU_BEST, 1);
    TEST(test_portable_functions);
    TEST(test_normal_quantile);
    TEST(test_uniform_bits);
    TEST(test_categorical);
    TEST(test_multi_discrete);
    TEST(test_bernoulli);
    TEST(test_gaussian);
    TEST(test_squashed_gaussian);
    TEST(test_full_gaussian);
    TEST(test_beta);
    TEST(test_beta_moments);
    TEST(test_entropy_of_draws);
    TEST(test_threads_and_ranks);
    TEST(test_same_on_every_machine);
    TEST(test_special_values);
    TEST(test_deterministic);
    TEST(test_dtypes);
    TEST(test_arguments);
    TEST(test_choices_beyond_a_dtype);
    entrol_context_destroy(context);
    return test_end();
}
