/* Entropies of given probabilities, of counts and of Gaussians, against their textbook formulas. */
#include "harness.h"
#include "oracle.h"

#include <entrol/entrol.h>

static entrol_context *context;

static entrol_matrix matrix_of(const void *data, entrol_dtype dtype, size_t n_rows, size_t n_columns) {
    return (entrol_matrix){data, dtype, n_rows, n_columns, (ptrdiff_t)n_columns};
}

/* The entropy of one row of f64, and why it is NaN. */
static double entropy_of(const double *p, size_t n, entrol_scale scale, double tolerance, entrol_diagnosis *diagnosis) {
    const entrol_matrix matrix = matrix_of(p, ENTROL_F64, 1, n);
    double entropy = -77;
    CHECK_INT(entrol_entropy_of_distributions(context, &entropy, diagnosis, &matrix, scale, tolerance), ENTROL_OK);
    return entropy;
}

static void test_known_entropies(void) {
    const double coin[2] = {0.5, 0.5}, three[3] = {0.2, 0.3, 0.5}, certain[3] = {0, 1, 0}, one[1] = {1};
    CHECK_NEAR(entropy_of(coin, 2, ENTROL_PROBABILITIES, 1e-6, NULL), log(2), 1e-16);
    /* -(0.2 ln 0.2 + 0.3 ln 0.3 + 0.5 ln 0.5), as scipy.stats.entropy gives it */
    CHECK_NEAR(entropy_of(three, 3, ENTROL_PROBABILITIES, 1e-6, NULL), 1.0296530140645737, 1e-15);
    const double h = entropy_of(certain, 3, ENTROL_PROBABILITIES, 1e-6, NULL);
    CHECK(h == 0 && !signbit(h)); /* torch gives -0.0 here */
    const double alone = entropy_of(one, 1, ENTROL_PROBABILITIES, 0, NULL);
    CHECK(alone == 0 && !signbit(alone));
}

static void test_log_probabilities(void) {
    const double three[3] = {log(0.2), log(0.3), log(0.5)};
    CHECK_NEAR(entropy_of(three, 3, ENTROL_LOG_PROBABILITIES, 1e-6, NULL), 1.0296530140645737, 1e-15);
    const double certain[3] = {-(double)INFINITY, 0, -(double)INFINITY};
    const double h = entropy_of(certain, 3, ENTROL_LOG_PROBABILITIES, 1e-6, NULL);
    CHECK(h == 0 && !signbit(h));
    const double minus_zero[1] = {-0.0};
    CHECK(!signbit(entropy_of(minus_zero, 1, ENTROL_LOG_PROBABILITIES, 1e-6, NULL)));
    /* A probability that a double cannot hold still has its logarithm: it adds nothing, and no NaN. */
    const double tiny[2] = {0, -5000};
    CHECK_NEAR(entropy_of(tiny, 2, ENTROL_LOG_PROBABILITIES, 1e-6, NULL), 0, 0);
}

static void test_uniform_and_random(void) {
    for (size_t n = 1; n <= 300000; n = n * 3 + 1) {
        double *p = malloc(n * sizeof *p);
        for (size_t i = 0; i < n; i++)
            p[i] = 1.0 / (double)n;
        CHECK_NEAR(entropy_of(p, n, ENTROL_PROBABILITIES, 1e-12, NULL), log((double)n), 1e-14);
        long double total = 0, expected = 0;
        for (size_t i = 0; i < n; i++)
            total += p[i] = exp(2 * test_normal());
        for (size_t i = 0; i < n; i++) {
            p[i] = (double)(p[i] / total);
            expected -= p[i] * logl(p[i]);
        }
        CHECK_NEAR(entropy_of(p, n, ENTROL_PROBABILITIES, 1e-12, NULL), expected, 1e-14);
        free(p);
    }
}

/* Each dtype's rounded probabilities are taken as they are; odd addresses, strides of both signs. */
static void test_dtypes_and_strides(void) {
    enum { ROWS = 5, COLUMNS = 7, STRIDE = 9 };
    for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++) {
        const size_t size = entrol_dtype_size((entrol_dtype)dtype);
        guarded memory = guarded_allocate(((ROWS - 1) * STRIDE + COLUMNS) * size + 1, true);
        char *data = (char *)memory.data + (dtype % 2);
        double expected[ROWS], entropy[ROWS];
        for (size_t row = 0; row < ROWS; row++) {
            long double sum = 0;
            double left = 1;
            for (size_t column = 0; column < COLUMNS; column++) {
                const double p = column == COLUMNS - 1 ? left : left * test_uniform();
                left -= p;
                oracle_encode((entrol_dtype)dtype, data, row * STRIDE + column, p);
                const long double held = oracle_decode((entrol_dtype)dtype, data, row * STRIDE + column);
                sum -= held > 0 ? held * logl(held) : 0;
            }
            expected[row] = (double)sum;
        }
        entrol_matrix matrix = {data, (entrol_dtype)dtype, ROWS, COLUMNS, STRIDE};
        CHECK_INT(entrol_entropy_of_distributions(context, entropy, NULL, &matrix, ENTROL_PROBABILITIES, 1e-2),
                  ENTROL_OK);
        for (int row = 0; row < ROWS; row++)
            CHECK_NEAR(entropy[row], expected[row], 1e-14);
        matrix.data = data + (ROWS - 1) * STRIDE * size;
        matrix.row_stride = -STRIDE;
        CHECK_INT(entrol_entropy_of_distributions(context, entropy, NULL, &matrix, ENTROL_PROBABILITIES, 1e-2),
                  ENTROL_OK);
        for (int row = 0; row < ROWS; row++)
            CHECK_NEAR(entropy[row], expected[ROWS - 1 - row], 1e-14);
        guarded_free(&memory);
    }
}

static void test_bad_rows(void) {
    const double nan_value = (double)NAN, infinity = (double)INFINITY;
    const struct {
        double p[3];
        entrol_scale scale;
        entrol_reason reason;
        size_t column;
    } cases[] = {
        {{0.5, nan_value, 0.5}, ENTROL_PROBABILITIES, ENTROL_REASON_NAN, 1},
        {{0.5, 0.75, -0.25}, ENTROL_PROBABILITIES, ENTROL_REASON_NEGATIVE, 2},
        {{1.1, 0, 0}, ENTROL_PROBABILITIES, ENTROL_REASON_NEGATIVE, 0},
        {{infinity, 0, 0}, ENTROL_PROBABILITIES, ENTROL_REASON_NEGATIVE, 0},
        {{0.5, 0.4, 0.0}, ENTROL_PROBABILITIES, ENTROL_REASON_SUM, 0},
        {{0.5, 0.5, 0.1}, ENTROL_PROBABILITIES, ENTROL_REASON_SUM, 0},
        {{0, 0, 0}, ENTROL_PROBABILITIES, ENTROL_REASON_SUM, 0},
        {{-infinity, nan_value, 0}, ENTROL_LOG_PROBABILITIES, ENTROL_REASON_NAN, 1},
        {{-infinity, 0.5, 0}, ENTROL_LOG_PROBABILITIES, ENTROL_REASON_NEGATIVE, 1},
        {{-1, -1, -5}, ENTROL_LOG_PROBABILITIES, ENTROL_REASON_SUM, 0},
        {{-infinity, -infinity, -infinity}, ENTROL_LOG_PROBABILITIES, ENTROL_REASON_SUM, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        entrol_diagnosis diagnosis;
        CHECK_SAY(isnan(entropy_of(cases[i].p, 3, cases[i].scale, 1e-6, &diagnosis)), "case %zu", i);
        CHECK_INT(diagnosis.n_bad, 1);
        CHECK_SAY(diagnosis.reason == cases[i].reason, "case %zu: %s", i, entrol_reason_string(diagnosis.reason));
        CHECK_SAY(diagnosis.first_column == cases[i].column, "case %zu: column %zu", i, diagnosis.first_column);
    }
}

static void test_tolerance(void) {
    const double p[2] = {0.5, 0.499};
    CHECK(isnan(entropy_of(p, 2, ENTROL_PROBABILITIES, 0.0009, NULL)));
    CHECK(!isnan(entropy_of(p, 2, ENTROL_PROBABILITIES, 0.0011, NULL)));
    const double above[1] = {1.0005};
    CHECK(isnan(entropy_of(above, 1, ENTROL_PROBABILITIES, 1e-6, NULL)));
    CHECK_NEAR(entropy_of(above, 1, ENTROL_PROBABILITIES, 1e-3, NULL), 0, 1e-3);
}

/* Many rows on several threads: the diagnosis counts all and names the first. */
static void test_diagnosis_of_many(void) {
    enum { N = 5000 };
    static double p[N][2], entropy[N];
    for (int i = 0; i < N; i++)
        p[i][0] = p[i][1] = 0.5;
    for (int i = 1234; i < N; i += 100)
        p[i][1] = 0.75;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 4;
    entrol_context *own = NULL;
    CHECK_INT(entrol_context_create(&own, &options), ENTROL_OK);
    const entrol_matrix matrix = matrix_of(p, ENTROL_F64, N, 2);
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_entropy_of_distributions(own, entropy, &diagnosis, &matrix, ENTROL_PROBABILITIES, 1e-6),
              ENTROL_OK);
    CHECK_INT(diagnosis.first_row, 1234);
    CHECK_INT(diagnosis.n_bad, 38);
    CHECK_INT(diagnosis.reason, ENTROL_REASON_SUM);
    for (int i = 0; i < N; i++)
        CHECK_NEAR(entropy[i], i >= 1234 && i % 100 == 34 ? (double)NAN : log(2), 1e-16);
    entrol_context_destroy(own);
}

static void test_empty_matrices(void) {
    entrol_diagnosis diagnosis;
    double entropy = 77;
    entrol_matrix matrix = matrix_of(NULL, ENTROL_F32, 0, 5);
    CHECK_INT(entrol_entropy_of_distributions(context, &entropy, &diagnosis, &matrix, ENTROL_PROBABILITIES, 1e-6),
              ENTROL_OK);
    CHECK(entropy == 77 && diagnosis.n_bad == 0);
    matrix = matrix_of(NULL, ENTROL_F32, 1, 0);
    CHECK_INT(entrol_entropy_of_distributions(context, &entropy, &diagnosis, &matrix, ENTROL_PROBABILITIES, 1e-6),
              ENTROL_OK);
    CHECK(isnan(entropy) && diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT);
}

static void test_bad_arguments(void) {
    const double p[1] = {1};
    const entrol_matrix good = matrix_of(p, ENTROL_F64, 1, 1), no_data = matrix_of(NULL, ENTROL_F64, 1, 1),
                        no_dtype = matrix_of(p, (entrol_dtype)77, 1, 1);
    const struct {
        entrol_context *context;
        const entrol_matrix *matrix;
        entrol_scale scale;
        double tolerance;
        const char *argument;
    } cases[] = {
        {NULL, &good, ENTROL_PROBABILITIES, 0, "context"},
        {context, NULL, ENTROL_PROBABILITIES, 0, "distributions"},
        {context, &no_data, ENTROL_PROBABILITIES, 0, "distributions.data"},
        {context, &no_dtype, ENTROL_PROBABILITIES, 0, "distributions"},
        {context, &good, (entrol_scale)77, 0, "scale"},
        {context, &good, ENTROL_PROBABILITIES, -1e-9, "tolerance"},
        {context, &good, ENTROL_PROBABILITIES, 1, "tolerance"},
        {context, &good, ENTROL_PROBABILITIES, (double)NAN, "tolerance"},
    };
    double entropy = 77;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        entrol_diagnosis diagnosis;
        CHECK_INT(entrol_entropy_of_distributions(cases[i].context, &entropy, &diagnosis, cases[i].matrix,
                                                  cases[i].scale, cases[i].tolerance),
                  ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(diagnosis.argument, cases[i].argument);
    }
    CHECK(entropy == 77);
    CHECK_INT(entrol_entropy_of_distributions(context, NULL, NULL, &good, ENTROL_PROBABILITIES, 0), ENTROL_OK);
}

static double entropy_of_counts(const uint64_t *counts, size_t n) {
    double entropy = -77;
    CHECK_INT(entrol_entropy_of_counts(context, &entropy, counts, n, ENTROL_ESTIMATOR_PLUG_IN), ENTROL_OK);
    return entropy;
}

static void test_counts(void) {
    const uint64_t fair[2] = {7, 7}, three[4] = {2, 3, 0, 5}, certain[3] = {0, 9, 0}, zero[2] = {0, 0};
    CHECK_NEAR(entropy_of_counts(fair, 2), log(2), 1e-16);
    CHECK_NEAR(entropy_of_counts(three, 4), 1.0296530140645737, 1e-15);
    CHECK(entropy_of_counts(certain, 3) == 0 && !signbit(entropy_of_counts(certain, 3)));
    CHECK(isnan(entropy_of_counts(zero, 2)) && isnan(entropy_of_counts(NULL, 0)));
    /* The letters of "mississippi": 4 i, 4 s, 2 p, 1 m; 1.823 bits in many textbooks. */
    const uint64_t letters[4] = {4, 4, 2, 1};
    CHECK_NEAR(entropy_of_counts(letters, 4) / log(2), 1.823, 5e-4);
    /* Counts near 2^64: half and half. One more is an overflow, and nothing is written. */
    const uint64_t large[3] = {UINT64_C(1) << 63, (UINT64_C(1) << 63) - 1, 1};
    CHECK_NEAR(entropy_of_counts(large, 2), log(2), 1e-15);
    double entropy = 77;
    CHECK_INT(entrol_entropy_of_counts(context, &entropy, large, 3, ENTROL_ESTIMATOR_PLUG_IN), ENTROL_ERROR_OVERFLOW);
    CHECK(entropy == 77);
    CHECK_INT(entrol_entropy_of_counts(context, &entropy, NULL, 1, ENTROL_ESTIMATOR_PLUG_IN), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_entropy_of_counts(context, NULL, fair, 2, ENTROL_ESTIMATOR_PLUG_IN), ENTROL_OK); /* not wanted */
    CHECK_INT(entrol_entropy_of_counts(context, NULL, large, 3, ENTROL_ESTIMATOR_PLUG_IN), ENTROL_ERROR_OVERFLOW);
}

/* Zipf's law over a million symbols: the sum of a million terms stays exact to a few units. */
static void test_many_counts(void) {
    const size_t n = 1000000;
    uint64_t *counts = malloc(n * sizeof *counts);
    long double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++)
        total += counts[i] = UINT64_C(1000000000) / (i + 1);
    for (size_t i = 0; i < n; i++)
        sum -= counts[i] / total * logl(counts[i] / total);
    CHECK_NEAR(entropy_of_counts(counts, n), sum, 1e-13);
    free(counts);
}

static double gaussian(const double *sigma, size_t n) {
    double entropy = -77;
    CHECK_INT(entrol_gaussian_entropy(&entropy, sigma, n), ENTROL_OK);
    return entropy;
}

/* torch.distributions.Normal.entropy: 0.5 + 0.5 log(2 pi) + log sigma, summed by Independent. */
static void test_gaussian(void) {
    const double one[1] = {1}, three[3] = {0.5, 2, 0.1}, zero[2] = {1, 0}, negative[2] = {0, -1},
                 nan_value[1] = {(double)NAN}, least[1] = {0x1p-1074};
    const double standard = 0.5 + 0.5 * log(2 * 3.14159265358979323846);
    CHECK_NEAR(gaussian(one, 1), standard, 1e-15);
    CHECK_NEAR(gaussian(three, 3), 3 * standard + log(0.1), 1e-14);
    CHECK(gaussian(three + 2, 1) < 0);
    CHECK(gaussian(zero, 2) == -INFINITY);
    CHECK(isnan(gaussian(negative, 2)) && isnan(gaussian(nan_value, 1)));
    CHECK_NEAR(gaussian(least, 1), standard - 1074 * log(2), 1e-12);
    CHECK(gaussian(NULL, 0) == 0);
    double entropy = 77;
    CHECK_INT(entrol_gaussian_entropy(&entropy, NULL, 1), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_gaussian_entropy(NULL, one, 1), ENTROL_OK);
    CHECK(entropy == 77);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    if (entrol_context_create(&context, NULL) != ENTROL_OK)
        return 1;
    TEST(test_known_entropies);
    TEST(test_log_probabilities);
    TEST(test_uniform_and_random);
    TEST(test_dtypes_and_strides);
    TEST(test_bad_rows);
    TEST(test_tolerance);
    TEST(test_diagnosis_of_many);
    TEST(test_empty_matrices);
    TEST(test_bad_arguments);
    TEST(test_counts);
    TEST(test_many_counts);
    TEST(test_gaussian);
    entrol_context_destroy(context);
    return test_end();
}
