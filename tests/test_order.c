/* Quantiles and exact ranks against a sort, with NumPy's formula for what lies between two values. */
#include "harness.h"
#include "harness_stream.h"

#include "base/order.h"

#include <entrol/base.h>

static entrol_context *context;

static int compare_floats(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* numpy.quantile(sorted, q, method="linear") in f64. */
static double numpy_quantile(const float *sorted, size_t n, double q) {
    const double rank = q * (double)(n - 1), below = floor(rank), w = rank - below;
    const double a = (double)sorted[(size_t)below], b = (double)sorted[(size_t)below + (w > 0)];
    return w < 0.5 ? a + w * (b - a) : b - (b - a) * (1 - w);
}

static double quantile_of(const float *values, const uint8_t *valid, size_t n, double q) {
    double quantile = -77;
    CHECK_INT(entrol_quantile(context, &quantile, NULL, values, valid, n, &q, 1, NULL), ENTROL_OK);
    return quantile;
}

/* Values that numpy.quantile printed (NumPy's manual and its tests). */
static void test_known_quantiles(void) {
    static const float a[6] = {10, 7, 4, 3, 2, 1};
    CHECK(quantile_of(a, NULL, 6, 0.5) == 3.5);
    static const float b[8] = {0, 0.5f, 1, 1.5f, 2, 2.5f, 3, 3.5f};
    CHECK(quantile_of(b, NULL, 8, 0) == 0);
    CHECK(quantile_of(b, NULL, 8, 1) == 3.5);
    CHECK(quantile_of(b, NULL, 8, 0.5) == 1.75);
    static const float c[4] = {4, 2, 1, 3};
    CHECK(quantile_of(c, NULL, 4, 0.25) == 1.75);
    CHECK(quantile_of(c, NULL, 4, 0.75) == 3.25);
    static const float one[1] = {42};
    CHECK(quantile_of(one, NULL, 1, 0) == 42 && quantile_of(one, NULL, 1, 0.3) == 42 &&
          quantile_of(one, NULL, 1, 1) == 42);
}

/* Normal numbers, few distinct ones, all bit patterns (without NaN), and halves of both signs of zero. */
static float draw(int kind) {
    uint32_t bits;
    float value;
    switch (kind) {
    case 0:
        return (float)test_normal();
    case 1:
        return (float)test_below(5) - 2;
    case 2:
        return test_below(2) ? 0.0f : -0.0f;
    default:
        do {
            bits = (uint32_t)test_random();
            memcpy(&value, &bits, sizeof value);
        } while (!isfinite(value));
        return value;
    }
}

/* ent_set_ranks: as they are. */
static void keep_ranks(ent_ranked *ranked, size_t n_ranked, uint64_t n, const void *user) {
    for (size_t j = 0; j < n_ranked; j++)
        if (ranked[j].k >= n) /* n is a guess */
            ranked[j].k = n - 1;
    *ranked = user ? *(const ent_ranked *)user : *ranked;
}

static void check_rank(entrol_context *own, const ent_values *view, const float *sorted, size_t n_valid, size_t k) {
    const ent_source source = {.memory = *view};
    const ent_ranked wanted = {.k = k};
    ent_ranked ranked = wanted;
    ent_census census;
    CHECK_INT(ent_find_ranks(own, &census, &ranked, 1, &source, keep_ranks, &wanted), ENTROL_OK);
    CHECK_INT(census.n_valid, n_valid);
    CHECK_SAY(ranked.value == sorted[k], "rank %zu is %.9g, not %.9g", k, (double)ranked.value, (double)sorted[k]);
    CHECK(ranked.next == sorted[k + 1 < n_valid ? k + 1 : k]);
}

static void test_against_sort(void) {
    static const size_t sizes[] = {1, 2, 3, 7, 64, 101, 1000};
    for (int round = 0; round < 280; round++) {
        const size_t n = sizes[round % 7];
        guarded memory = guarded_allocate(n * sizeof(float), true), mask = guarded_allocate(n, true);
        float *values = memory.data, *sorted = malloc((n + 1) * sizeof *sorted);
        uint8_t *valid = mask.data;
        size_t n_valid = 0;
        for (size_t i = 0; i < n; i++) {
            valid[i] = (uint8_t)(test_below(4) ? 1 + test_below(255) : 0); /* any byte but 0 is valid */
            values[i] = valid[i] ? draw(round / 7 % 4) : (float)NAN;
            if (valid[i])
                sorted[n_valid++] = values[i];
        }
        qsort(sorted, n_valid, sizeof *sorted, compare_floats);
        const double q[] = {0, 0.05, 0.2, 0.5, 0.8, 0.95, 1, test_uniform()};
        double quantiles[8];
        CHECK_INT(entrol_quantile(context, quantiles, NULL, values, valid, n, q, 8, NULL), ENTROL_OK);
        for (size_t j = 0; j < 8; j++) {
            const double expected = n_valid ? numpy_quantile(sorted, n_valid, q[j]) : (double)NAN;
            CHECK_SAY(quantiles[j] == expected || (!n_valid && isnan(quantiles[j])),
                      "n %zu q %g: %.17g, expected %.17g", n_valid, q[j], quantiles[j], expected);
        }
        const ent_values view = {values, valid, n};
        for (size_t k = 0; k < n_valid; k += 1 + n_valid / 50)
            check_rank(context, &view, sorted, n_valid, k);
        free(sorted);
        guarded_free(&memory);
        guarded_free(&mask);
    }
}

/* Neighbours in the order that differ in their first, middle or last bits only. */
static void test_neighbours(void) {
    static const float pairs[][2] = {{1, 1.0000001f},          {-1.0000001f, -1}, {1, 1.0001f},
                                     {-3e38f, 3e38f},          {-1e-45f, 0},      {-0.0f, 1e-45f},
                                     {0.99999994f, 1},         {-1e-45f, 1e-45f}, {-INFINITY, -3.4028235e38f},
                                     {3.4028235e38f, INFINITY}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const float values[2] = {pairs[i][1], pairs[i][0]};
        const ent_values view = {values, NULL, 2};
        check_rank(context, &view, pairs[i], 2, 0);
        check_rank(context, &view, pairs[i], 2, 1);
    }
}

/* Equal values have one form, whichever of them comes first. */
static void test_no_minus_zero(void) {
    static const float zeros[2] = {0.0f, -0.0f};
    CHECK(!signbit(quantile_of(zeros, NULL, 2, 0)) && !signbit(quantile_of(zeros, NULL, 2, 1)));
}

/* Logprobs may be -inf. Between an infinity and a number lies the infinity, at the ends the value itself. */
static void test_infinite_values(void) {
    static const float values[4] = {-INFINITY, -INFINITY, 1, INFINITY};
    CHECK(quantile_of(values, NULL, 4, 0) == -INFINITY);
    CHECK(quantile_of(values, NULL, 4, 0.1) == -INFINITY);
    CHECK(quantile_of(values, NULL, 4, 0.4) == -INFINITY);
    CHECK(quantile_of(values, NULL, 4, 0.6) == -INFINITY);
    CHECK(quantile_of(values, NULL, 3, 1) == 1);
    CHECK(quantile_of(values + 2, NULL, 2, 0) == 1);
    CHECK(quantile_of(values + 2, NULL, 2, 0.01) == INFINITY);
    static const float ends[2] = {-INFINITY, INFINITY};
    CHECK(quantile_of(ends, NULL, 2, 0.49) == -INFINITY);
    CHECK(quantile_of(ends, NULL, 2, 0.5) == INFINITY);
}

static void test_trouble(void) {
    const float values[5] = {1, (float)NAN, 3, (float)NAN, 5};
    static const uint8_t sound[5] = {1, 0, 1, 0, 1}, nothing[5];
    const double q[2] = {0.5, 1};
    double quantiles[2];
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_quantile(context, quantiles, &diagnosis, values, NULL, 5, q, 2, NULL), ENTROL_OK);
    CHECK(isnan(quantiles[0]) && isnan(quantiles[1]));
    CHECK_INT(diagnosis.n_bad, 2);
    CHECK_INT(diagnosis.first_row, 1);
    CHECK_INT(diagnosis.reason, ENTROL_REASON_NAN);
    CHECK_INT(entrol_quantile(context, quantiles, &diagnosis, values, sound, 5, q, 2, NULL), ENTROL_OK);
    CHECK(quantiles[0] == 3 && quantiles[1] == 5 && diagnosis.n_bad == 0 && diagnosis.reason == ENTROL_REASON_NONE);
    CHECK_INT(entrol_quantile(context, quantiles, &diagnosis, values, nothing, 5, q, 2, NULL), ENTROL_OK);
    CHECK(isnan(quantiles[0]) && diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT);
    CHECK_INT(entrol_quantile(context, quantiles, &diagnosis, NULL, NULL, 0, q, 2, NULL), ENTROL_OK);
    CHECK(isnan(quantiles[0]) && diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT);
    CHECK_INT(entrol_quantile(context, NULL, NULL, values, NULL, 5, NULL, 0, NULL), ENTROL_OK);
}

static void test_bad_arguments(void) {
    const float values[1] = {1};
    const double good = 0.5, bad[] = {-1e-9, 1.0000001, (double)NAN, (double)INFINITY};
    double quantile = 77;
    entrol_diagnosis diagnosis;
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(entrol_quantile(context, &quantile, &diagnosis, values, NULL, 1, &bad[i], 1, NULL),
                  ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(diagnosis.argument, "q");
    }
    CHECK_INT(entrol_quantile(NULL, &quantile, &diagnosis, values, NULL, 1, &good, 1, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "context");
    CHECK_INT(entrol_quantile(context, &quantile, &diagnosis, NULL, NULL, 1, &good, 1, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "values");
    CHECK_INT(entrol_quantile(context, &quantile, &diagnosis, values, NULL, 1, NULL, 1, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "q");
    CHECK_INT(entrol_quantile(context, NULL, &diagnosis, values, NULL, 1, &good, 1, NULL), ENTROL_OK);
    CHECK(quantile == 77);
}

/* More values than one task takes: the same bits for any number of threads, and NumPy's. torch once refused more than
 * 2^24 values; ranks in f32 go wrong at a million: q = 0.8, n = 1,000,003 is rank 800001.6. */
static void test_many_values(void) {
    const size_t n = 1000003;
    float *values = malloc(n * sizeof *values), *sorted = malloc(n * sizeof *sorted);
    uint8_t *valid = malloc(n);
    for (size_t i = 0; i < n; i++) {
        sorted[i] = values[i] = (float)exp(3 * test_normal());
        valid[i] = 1;
    }
    qsort(sorted, n, sizeof *sorted, compare_floats);
    const double q[3] = {0.8, 0.5, 0.05};
    for (size_t n_threads = 1; n_threads <= 5; n_threads += 2) {
        entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
        options.n_threads = n_threads;
        entrol_context *own;
        double quantiles[3];
        if (!CHECK(entrol_context_create(&own, &options) == ENTROL_OK))
            break;
        CHECK_INT(entrol_quantile(own, quantiles, NULL, values, n_threads == 3 ? valid : NULL, n, q, 3, NULL),
                  ENTROL_OK);
        for (int j = 0; j < 3; j++)
            CHECK(quantiles[j] == numpy_quantile(sorted, n, q[j]));
        entrol_context_destroy(own);
    }
    values[900000] = values[300000] = (float)NAN;
    entrol_diagnosis diagnosis;
    double unused;
    CHECK_INT(entrol_quantile(context, &unused, &diagnosis, values, NULL, n, q, 1, NULL), ENTROL_OK);
    CHECK_INT(diagnosis.first_row, 300000);
    CHECK_INT(diagnosis.n_bad, 2);
    free(values);
    free(sorted);
    free(valid);
}

/* --- NaNs --- */

static void test_nan_policies(void) {
    static const float values[6] = {5, (float)NAN, 1, 3, (float)NAN, 2};
    static const uint8_t all[6] = {1, 1, 1, 1, 1, 1};
    static const float nothing[2] = {(float)NAN, (float)NAN};
    const double q = 0.5;
    double quantile;
    entrol_diagnosis diagnosis;
    entrol_quantile_options options = ENTROL_QUANTILE_OPTIONS_INIT;
    options.nan = ENTROL_NAN_IGNORE;
    CHECK_INT(entrol_quantile(context, &quantile, &diagnosis, values, all, 6, &q, 1, &options), ENTROL_OK);
    CHECK(quantile == 2.5 && diagnosis.n_bad == 0 && diagnosis.reason == ENTROL_REASON_NONE);
    CHECK_INT(entrol_quantile(context, &quantile, &diagnosis, nothing, NULL, 2, &q, 1, &options), ENTROL_OK);
    CHECK(isnan(quantile) && diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT);
    options.nan = ENTROL_NAN_PROPAGATE;
    CHECK_INT(entrol_quantile(context, &quantile, &diagnosis, values, NULL, 6, &q, 1, &options), ENTROL_OK);
    CHECK(isnan(quantile) && diagnosis.n_bad == 0 && diagnosis.reason == ENTROL_REASON_NONE);
    options.nan = (entrol_nan_policy)3;
    CHECK_INT(entrol_quantile(context, &quantile, &diagnosis, values, NULL, 6, &q, 1, &options), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "options");
}

static void test_methods(void) {
    entrol_quantile_method method = ENTROL_QUANTILE_LINEAR;
    CHECK_INT(entrol_quantile_method_parse(&method, "hazen"), ENTROL_OK);
    CHECK_INT(method, ENTROL_QUANTILE_HAZEN);
    CHECK_INT(entrol_quantile_method_parse(&method, "hazel"), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_quantile_method_parse(NULL, "lower"), ENTROL_OK);
    CHECK_INT(method, ENTROL_QUANTILE_HAZEN);
    CHECK_STRING(entrol_quantile_method_name(ENTROL_QUANTILE_TORCH_F32_RANK), "torch_f32_rank");
    CHECK(entrol_quantile_method_name((entrol_quantile_method)15) == NULL);
}

/* The published ranks of both kinds of arithmetic, for 0.8 of 101 values: 80 and 80.0000012. */
static void test_torch_ranks(void) {
    float values[101];
    const double q = 0.8;
    double quantile;
    entrol_quantile_options options = ENTROL_QUANTILE_OPTIONS_INIT;
    for (int i = 0; i < 101; i++)
        values[i] = i <= 80 ? 0.0f : 1e6f;
    options.method = ENTROL_QUANTILE_TORCH_F32_RANK;
    CHECK_INT(entrol_quantile(context, &quantile, NULL, values, NULL, 101, &q, 1, &options), ENTROL_OK);
    CHECK(quantile == 0);
    options.method = ENTROL_QUANTILE_TORCH;
    CHECK_INT(entrol_quantile(context, &quantile, NULL, values, NULL, 101, &q, 1, &options), ENTROL_OK);
    CHECK_NEAR(quantile, 1.1920929, 1e-6);
}

/* --- Streams, and values that a sample misjudges --- */

/* Kinds of values: some are such that the sample says nothing or something wrong of them. */
enum { SMOOTH, TIES, TWO, SORTED, FAR_TAIL, NO_SAMPLE, N_KINDS_OF_VALUES };

/* The place of a stretch's sample, as order_find.c takes it. */
static size_t sampled_place(size_t stretch, size_t every) {
    uint64_t z = (stretch + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return stretch * every + (z ^ (z >> 31)) % every;
}

static void fill_values(float *values, size_t n, int kind) {
    for (size_t i = 0; i < n; i++)
        values[i] = kind == TIES        ? (float)test_below(4)
                    : kind == TWO       ? (float)(test_below(1000) == 0)
                    : kind == SORTED    ? (float)i
                    : kind == FAR_TAIL  ? (float)exp(12 * test_normal())
                    : kind == NO_SAMPLE ? (float)test_uniform()
                                        : (float)test_normal();
    const size_t every = n / 32768; /* an adversary who knows which values are looked at */
    for (size_t j = 0; kind == NO_SAMPLE && j < n / every; j++)
        values[sampled_place(j, every)] = 2 + (float)test_uniform();
}

static void test_large(void) {
    static const double q[] = {0,    1e-6, 0.1,  0.5,  0.5,  0.8,  0.999999, 1,    0.3, 0.31,
                               0.32, 0.33, 0.34, 0.35, 0.36, 0.37, 0.38,     0.39, 0.4}; /* more than one pass takes */
    enum { N_Q = sizeof q / sizeof *q };
    const size_t n = is_quick() ? 150000 : 700001;
    float *values = malloc(n * sizeof *values), *sorted = malloc(n * sizeof *sorted);
    uint8_t *valid = malloc(n);
    for (int kind = 0; kind < N_KINDS_OF_VALUES; kind++) {
        const bool has_mask = kind % 2;
        size_t n_valid = 0;
        double quantiles[N_Q], of_stream[N_Q];
        fill_values(values, n, kind);
        for (size_t i = 0; i < n; i++) {
            valid[i] = i / 3000 % 2 == 0 || test_below(10) > 0;
            if (!has_mask || valid[i])
                sorted[n_valid++] = values[i];
        }
        qsort(sorted, n_valid, sizeof *sorted, compare_floats);
        pieces pieces = {.values = values, .valid = has_mask ? valid : NULL, .n = n};
        const entrol_stream stream = {read_piece, &pieces};
        CHECK_INT(entrol_quantile(context, quantiles, NULL, values, pieces.valid, n, q, N_Q, NULL), ENTROL_OK);
        CHECK_INT(entrol_quantile_of_stream(context, of_stream, NULL, &stream, q, N_Q, NULL), ENTROL_OK);
        for (size_t j = 0; j < N_Q; j++)
            CHECK_SAY(quantiles[j] == numpy_quantile(sorted, n_valid, q[j]) && of_stream[j] == quantiles[j],
                      "kind %d, q %g: %.9g, of a stream %.9g, not %.9g", kind, q[j], quantiles[j], of_stream[j],
                      numpy_quantile(sorted, n_valid, q[j]));
    }
    free(values);
    free(sorted);
    free(valid);
}

static void test_streams_that_fail(void) {
    static const float values[5] = {3, 1, 4, 1, 5};
    const double q = 0.5;
    for (size_t fails_at = 1; fails_at <= 6; fails_at++) {
        pieces pieces = {.values = values, .n = 5, .fails_at = fails_at};
        const entrol_stream stream = {read_piece, &pieces};
        double quantile = 77;
        CHECK_INT(entrol_quantile_of_stream(context, &quantile, NULL, &stream, &q, 1, NULL), ENTROL_ERROR_READ);
        CHECK(quantile == 77);
    }
    for (size_t n_lost = 1; n_lost <= 5; n_lost += 4) { /* it forgets to begin again, or loses a value */
        pieces shrinks = {.values = values, .n = 5, .n_lost = n_lost};
        const entrol_stream stream = {read_piece, &shrinks};
        double quantile = 77;
        CHECK_INT(entrol_quantile_of_stream(context, &quantile, NULL, &stream, &q, 1, NULL), ENTROL_ERROR_READ);
        CHECK(quantile == 77);
    }
    pieces nothing = {.values = values};
    const entrol_stream stream = {read_piece, &nothing}, none = {NULL, NULL};
    double quantile;
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_quantile_of_stream(context, &quantile, &diagnosis, &stream, &q, 1, NULL), ENTROL_OK);
    CHECK(isnan(quantile) && diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT);
    CHECK_INT(entrol_quantile_of_stream(context, &quantile, &diagnosis, &none, &q, 1, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "stream");
    CHECK_INT(entrol_quantile_of_stream(context, &quantile, &diagnosis, NULL, &q, 1, NULL), ENTROL_ERROR_ARGUMENT);
}

/* An allocator that has nothing beyond what a context itself needs. */
static bool is_empty;
static void *allocate_little(void *user, size_t n_bytes) {
    (void)user;
    return is_empty ? NULL : malloc(n_bytes);
}
static void release_little(void *user, void *memory) {
    (void)user;
    free(memory);
}

static void test_without_memory(void) {
    const size_t n = 200000;
    float *values = malloc(n * sizeof *values), *sorted = malloc(n * sizeof *sorted);
    const double q[17] = {0.25};
    double quantile[17];
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    entrol_context *own = NULL;
    fill_values(values, n, SMOOTH);
    memcpy(sorted, values, n * sizeof *values);
    qsort(sorted, n, sizeof *sorted, compare_floats);
    options.n_threads = 1;
    options.allocate = allocate_little;
    options.release = release_little;
    CHECK_INT(entrol_context_create(&own, &options), ENTROL_OK);
    is_empty = true;
    CHECK_INT(entrol_quantile(own, quantile, NULL, values, NULL, n, q, 1, NULL), ENTROL_OK);
    CHECK(quantile[0] == numpy_quantile(sorted, n, 0.25));
    CHECK_INT(entrol_quantile(own, quantile, NULL, values, NULL, n, q, 17, NULL), ENTROL_ERROR_MEMORY);
    is_empty = false;
    entrol_context_destroy(own);
    free(values);
    free(sorted);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    if (entrol_context_create(&context, NULL) != ENTROL_OK)
        return 1;
    TEST(test_known_quantiles);
    TEST(test_against_sort);
    TEST(test_neighbours);
    TEST(test_no_minus_zero);
    TEST(test_infinite_values);
    TEST(test_trouble);
    TEST(test_bad_arguments);
    TEST(test_many_values);
    TEST(test_nan_policies);
    TEST(test_methods);
    TEST(test_torch_ranks);
    TEST(test_large);
    TEST(test_streams_that_fail);
    TEST(test_without_memory);
    entrol_context_destroy(context);
    return test_end();
}
