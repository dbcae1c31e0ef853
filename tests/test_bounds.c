/* Bounds on the entropy from the most probable columns: against the formulas in long double, against whole
 * distributions that were cut, and against the distributions that attain them. */
#include "harness.h"
#include "oracle.h"

#include <entrol/entrol.h>

static entrol_context *context;

static const double no_chosen = (double)NAN, impossible = -(double)INFINITY;

typedef struct bounds {
    float lower, upper, tail, mean;
    entrol_reason reason;
    size_t column;
} bounds;

static bounds bounds_of(const entrol_top_logprobs *top) {
    bounds result = {-77, -77, -77, -77, ENTROL_REASON_NONE, 0};
    entrol_diagnosis diagnosis;
    const entrol_entropy_interval interval = {sizeof interval, &result.lower, &result.upper, &result.tail,
                                              &result.mean};
    CHECK_INT(entrol_entropy_bounds(context, &interval, &diagnosis, top), ENTROL_OK);
    result.reason = diagnosis.n_bad ? diagnosis.reason : ENTROL_REASON_NONE;
    result.column = diagnosis.first_column;
    return result;
}

/* One row of f64. */
static entrol_top_logprobs row_of(const double *logprobs, size_t k, uint64_t n_columns, double error) {
    entrol_top_logprobs top = ENTROL_TOP_LOGPROBS_INIT;
    top.logprobs = (entrol_matrix){logprobs, ENTROL_F64, 1, k, (ptrdiff_t)k};
    top.n_columns = n_columns;
    top.error = top.relative_error = error;
    return top;
}

static bounds bounds_of_row(const double *logprobs, size_t k, uint64_t n_columns) {
    const entrol_top_logprobs top = row_of(logprobs, k, n_columns, 0);
    return bounds_of(&top);
}

static long double term(long double p) {
    return p > 0 ? -p * logl(p) : 0;
}

/* The formulas of the header, word for word. `chosen` adds to what is known; the cap is the least of the k. */
static void oracle_bounds(long double *lower, long double *upper, const double *logprobs, size_t k, double chosen,
                          long double n_columns) {
    long double h = 0, r = 1, cap = 1, n = n_columns - (long double)k;
    for (size_t i = 0; i < k; i++) {
        const long double p = expl((long double)logprobs[i]);
        h += term(p);
        r -= p;
        cap = p < cap ? p : cap;
    }
    if (!isnan(chosen)) {
        h += term(expl((long double)chosen));
        r -= expl((long double)chosen);
        n--;
    }
    const long double m = floorl(r / cap), s = r - m * cap;
    *lower = h + m * term(cap) + term(s);
    *upper = h - r * logl(r / n);
}

/* --- Whole distributions, cut --- */

/* p_1 >= p_2 >= ..., of several kinds; returns how many. */
enum { KINDS = 6, MOST = 3000 };
static size_t make_distribution(double *p, int kind) {
    const size_t n = 2 + test_below(MOST - 2);
    const double power = 0.5 + 2.5 * test_uniform(), certain = 1 - pow(10, -0.5 - 8 * test_uniform());
    long double total = 0;
    for (size_t i = 0; i < n; i++) {
        p[i] = kind == 0   ? pow((double)(i + 1), -power)                             /* Zipf */
               : kind == 1 ? 1                                                        /* uniform */
               : kind == 2 ? (i == 0 ? certain : (1 - certain) / (double)(n - 1))     /* nearly certain */
               : kind == 3 ? 1 + floor(4 * (double)(n - i) / (double)n)               /* ties */
               : kind == 4 ? pow(0.3 + 0.69 * power / 3, (double)(i < 600 ? i : 600)) /* geometric */
                           : exp(-(double)i / (double)n * 30 * test_uniform());       /* uneven */
        total += p[i];
    }
    for (size_t i = 0; i < n; i++)
        p[i] = (double)(p[i] / total);
    for (size_t i = 1; i < n; i++) /* insertion: only kind 5 is out of order */
        for (size_t j = i; kind == 5 && j > 0 && p[j] > p[j - 1]; j--) {
            const double swapped = p[j];
            p[j] = p[j - 1];
            p[j - 1] = swapped;
        }
    return n;
}

static long double entropy_of(const double *p, size_t n) {
    long double h = 0;
    for (size_t i = 0; i < n; i++)
        h += term((long double)p[i]);
    return h;
}

static double rounded(double value, int decimals) {
    const double scale = pow(10, decimals);
    return rint(value * scale) / scale;
}

/* A cut of a distribution: the k most probable in any order, and maybe one that came from the rest. */
typedef struct cut {
    double logprobs[256], chosen;
    size_t k, n;
} cut;

static cut make_cut(const double *p, size_t n) {
    cut cut = {.k = 1 + test_below(n < 256 ? n : 256), .n = n, .chosen = no_chosen};
    for (size_t i = 0; i < cut.k; i++)
        cut.logprobs[i] = log(p[i]);
    for (size_t i = cut.k; i-- > 1;) {
        const size_t j = test_below(i + 1);
        const double swapped = cut.logprobs[i];
        cut.logprobs[i] = cut.logprobs[j];
        cut.logprobs[j] = swapped;
    }
    if (cut.k < n && test_below(2))
        cut.chosen = log(p[cut.k + test_below(n - cut.k)]);
    return cut;
}

static entrol_top_logprobs top_of(const cut *cut, uint64_t n_columns, double error) {
    entrol_top_logprobs top = row_of(cut->logprobs, cut->k, n_columns, error);
    top.chosen = &cut->chosen;
    return top;
}

/* With no errors allowed, both ends are the formulas' to the last float; and they hold the truth. */
static void test_formulas(void) {
    static double p[MOST];
    for (int i = 0; i < (is_quick() ? 60 : 1200); i++) {
        const size_t n = make_distribution(p, i % KINDS);
        const cut cut = make_cut(p, n);
        const entrol_top_logprobs top = top_of(&cut, n, 0), open = top_of(&cut, 0, 0);
        const bounds actual = bounds_of(&top);
        long double lower, upper, h = entropy_of(p, n), tail = 1;
        oracle_bounds(&lower, &upper, cut.logprobs, cut.k, cut.chosen, (long double)n);
        for (size_t j = 0; j < cut.k; j++)
            tail -= expl((long double)cut.logprobs[j]);
        tail -= isnan(cut.chosen) ? 0 : expl((long double)cut.chosen);
        const bool is_closed = cut.k + (isnan(cut.chosen) ? 0 : 1) == n || tail < 1e-15L;
        CHECK_INT(actual.reason, ENTROL_REASON_NONE);
        CHECK_SAY((long double)actual.lower <= h && h <= (long double)actual.upper,
                  "kind %d, n %zu, k %zu: [%.9g, %.9g] and %.9Lg", i % KINDS, n, cut.k, (double)actual.lower,
                  (double)actual.upper, h);
        CHECK_NEAR(actual.tail, tail > 0 ? tail : 0, 1e-7);
        if (!is_closed) {
            CHECK_SAY((long double)actual.lower <= lower + 1e-14L &&
                          (long double)actual.lower >= lower - 4e-7L - 3e-7L * lower,
                      "lower %.9g, not %.9Lg", (double)actual.lower, lower);
            CHECK_SAY((long double)actual.upper >= upper - 1e-14L &&
                          (long double)actual.upper <= upper + 4e-7L + 3e-7L * upper,
                      "upper %.9g, not %.9Lg", (double)actual.upper, upper);
            const bounds unknown = bounds_of(&open);
            CHECK(unknown.lower == actual.lower && isinf(unknown.upper));
        }
    }
}

/* What was recorded is rounded: to so many decimals, or to f32. The interval still holds the truth, and costs little.
 */
static void test_rounded_logprobs(void) {
    static double p[MOST];
    double widest = 0;
    for (int i = 0; i < (is_quick() ? 60 : 1800); i++) {
        const size_t n = make_distribution(p, i % KINDS);
        cut cut = make_cut(p, n);
        const int decimals = 3 + i / KINDS % 5; /* 7: f32 */
        const double error = decimals == 7 ? 2e-6 : 0.5 * pow(10, -decimals);
        const entrol_top_logprobs exact = top_of(&cut, n, 0);
        const bounds best = bounds_of(&exact);
        for (size_t j = 0; j < cut.k; j++)
            cut.logprobs[j] = decimals == 7 ? (double)(float)cut.logprobs[j] : rounded(cut.logprobs[j], decimals);
        if (!isnan(cut.chosen))
            cut.chosen = decimals == 7 ? (double)(float)cut.chosen : rounded(cut.chosen, decimals);
        const entrol_top_logprobs top = top_of(&cut, n, error * 1.0001);
        const bounds actual = bounds_of(&top);
        const long double h = entropy_of(p, n);
        CHECK_INT(actual.reason, ENTROL_REASON_NONE);
        CHECK_SAY((long double)actual.lower <= h && h <= (long double)actual.upper,
                  "%d decimals, kind %d, n %zu, k %zu: [%.9g, %.9g] and %.9Lg", decimals, i % KINDS, n, cut.k,
                  (double)actual.lower, (double)actual.upper, h);
        widest = fmax(widest, (double)(actual.upper - best.upper) / error);
        widest = fmax(widest, (double)(best.lower - actual.lower) / error);
    }
    CHECK_SAY(widest < 150, "an error of e moves an end by %.3g e", widest);
}

/* The distributions that attain both ends. */
static void test_bounds_are_attained(void) {
    const double known[3] = {log(0.4), log(0.2), log(0.1)};
    /* 0.3 is left: three of 0.1 at one end, equal shares of 97 at the other. */
    const bounds actual = bounds_of_row(known, 3, 100);
    const long double h = term(0.4L) + term(0.2L) + term(0.1L);
    CHECK_NEAR(actual.lower, h + 3 * term(0.1L), 2e-7);
    CHECK_NEAR(actual.upper, h + 97 * term(0.3L / 97), 4e-7);
    CHECK((long double)actual.lower <= h + 3 * term(0.1L) && (long double)actual.upper >= h + 97 * term(0.3L / 97));
    /* Twice the cap, and what is then left. */
    const double two[2] = {log(0.55), log(0.2)};
    CHECK_NEAR(bounds_of_row(two, 2, 0).lower, term(0.55L) + 2 * term(0.2L) + term(0.05L), 2e-7);
    /* A chosen column outside has its own term, and is no cap: the rest may have more than it. */
    entrol_top_logprobs top = row_of(two, 2, 1000, 0);
    const double chosen = log(0.001);
    top.chosen = &chosen;
    const bounds outside = bounds_of(&top);
    CHECK_NEAR(outside.lower, term(0.55L) + 2 * term(0.2L) + term(0.001L) + term(0.049L), 2e-7);
    CHECK_NEAR(outside.upper, term(0.55L) + term(0.2L) + term(0.001L) + 997 * term(0.249L / 997), 4e-7);
    CHECK_NEAR(outside.tail, 0.249, 1e-7);
    CHECK_NEAR(outside.mean, (log(0.55) + log(0.2)) / 2, 1e-7);
}

/* The example of the project's own description: Zipf 1.5 over 152,000 columns, of which 20 are known. */
static void test_zipf(void) {
    enum { N = 152000, K = 20 };
    double known[K], *p = malloc(N * sizeof *p);
    long double total = 0, kept = 0, renormalised = 0;
    for (size_t i = 0; i < N; i++)
        total += p[i] = pow((double)(i + 1), -1.5);
    for (size_t i = 0; i < N; i++)
        p[i] = (double)(p[i] / total);
    for (size_t i = 0; i < K; i++) {
        known[i] = log(p[i]);
        kept += p[i];
    }
    for (size_t i = 0; i < K; i++)
        renormalised += term(p[i] / kept);
    const bounds actual = bounds_of_row(known, K, N);
    CHECK_NEAR(entropy_of(p, N), 3.18, 0.005);
    CHECK_NEAR(actual.lower, 2.70, 0.005);
    CHECK_NEAR(actual.upper, 4.08, 0.005);
    CHECK_NEAR(renormalised, 1.96, 0.005); /* below the lower bound */
    free(p);
}

static void test_known_whole(void) {
    const double coin[3] = {log(0.5), log(0.5), impossible}, certain[1] = {0}, both[2] = {0, impossible};
    bounds actual = bounds_of_row(coin, 2, 2); /* every column is known */
    CHECK_NEAR(actual.lower, log(2), 1e-7);
    CHECK((double)actual.lower <= log(2) && (double)actual.upper >= log(2));
    CHECK_NEAR(actual.upper, log(2), 1e-7);
    actual = bounds_of_row(coin, 3, 0); /* the least is impossible, and so is all that is less probable */
    CHECK_NEAR(actual.lower, log(2), 1e-7);
    CHECK_NEAR(actual.upper, log(2), 1e-7);
    actual = bounds_of_row(certain, 1, 1);
    CHECK(actual.lower == 0 && actual.upper == 0 && !signbit(actual.lower) && actual.tail == 0 && actual.mean == 0);
    actual = bounds_of_row(both, 2, 0);
    CHECK(actual.lower == 0 && actual.upper == 0 && actual.mean == 0);
    /* Within rounding, too: the sum is 1 - 2e-5. */
    const double nearly[3] = {log(0.49999), log(0.49999), impossible};
    actual = bounds_of_row(nearly, 3, 0);
    CHECK(actual.reason == ENTROL_REASON_NONE && (double)actual.lower <= log(2) &&
          (double)actual.upper >= log(2) - 1e-9);
    CHECK((double)actual.upper < log(2) + 1e-4);
    /* With the default errors a certain event's bounds are near 0, but V must be known. */
    entrol_top_logprobs top = row_of(certain, 1, 262144, 2e-6);
    actual = bounds_of(&top);
    CHECK(actual.lower == 0 && actual.upper > 0 && actual.upper < 1e-4f);
    top.n_columns = 0;
    CHECK(isinf(bounds_of(&top).upper));
}

/* Sums within rounding are read as 1, and both ends move outward; beyond it, they are trouble. */
static void test_sums(void) {
    for (size_t k = 2; k <= 40; k += 19) {
        double logprobs[40];
        for (int i = 0; i < 2; i++) {
            const double excess = ((double)k + 1) * 1e-5 * (i == 0 ? 0.99 : 1.01);
            for (size_t j = 0; j < k; j++)
                logprobs[j] = log((1 + excess) / (double)k);
            const bounds actual = bounds_of_row(logprobs, k, 100000);
            CHECK_INT(actual.reason, i == 0 ? ENTROL_REASON_NONE : ENTROL_REASON_SUM);
            CHECK(i == 1 || actual.tail == 0);
            CHECK(i == 1 || ((double)actual.lower <= log((double)k) && (double)actual.upper >= log((double)k)));
            CHECK(i == 1 || (double)(actual.upper - actual.lower) < 60 * excess);
        }
    }
    /* Errors that explain a greater sum make it rounding: three decimals of four equal ones. */
    const double four[4] = {-1.386, -1.386, -1.386, -1.386}; /* sums to 1.0003 */
    entrol_top_logprobs top = row_of(four, 4, 1000, 0);
    CHECK_INT(bounds_of(&top).reason, ENTROL_REASON_SUM);
    top.error = 5e-4;
    const bounds actual = bounds_of(&top);
    CHECK((double)actual.lower <= log(4) && (double)actual.upper >= log(4) && (double)actual.upper < log(4) + 0.02);
}

static void test_caps(void) {
    const double one[1] = {log(0.5)};
    entrol_top_logprobs top = row_of(one, 1, 1000, 0);
    double cap = log(0.01);
    top.caps = &cap;
    CHECK_NEAR(bounds_of(&top).lower, term(0.5L) + 50 * term(0.01L), 4e-7);
    cap = 0; /* anything: all of the rest may be one column's */
    CHECK_NEAR(bounds_of(&top).lower, 2 * term(0.5L), 1e-7);
    cap = no_chosen;
    CHECK_NEAR(bounds_of(&top).lower, 2 * term(0.5L), 1e-7);
    /* Only the chosen column is known: the rest has no cap. */
    const size_t none = 0;
    const double chosen = log(0.1);
    top.counts = &none;
    top.chosen = &chosen;
    const bounds actual = bounds_of(&top);
    CHECK_NEAR(actual.lower, term(0.1L) + term(0.9L), 1e-7);
    CHECK_NEAR(actual.upper, term(0.1L) + 999 * term(0.9L / 999), 1e-6);
    CHECK(isnan(actual.mean));
}

static void test_trouble(void) {
    const struct {
        double p[3], chosen;
        uint64_t n_columns;
        entrol_reason reason;
        size_t column;
    } cases[] = {
        {{-1, no_chosen, -2}, no_chosen, 0, ENTROL_REASON_NAN, 1},
        {{-1, -2, 0.01}, no_chosen, 0, ENTROL_REASON_NEGATIVE, 2},
        {{-1, -2, -3}, 0.01, 0, ENTROL_REASON_NEGATIVE, 3},
        {{-0.5, -0.9, -5}, no_chosen, 0, ENTROL_REASON_SUM, 0},
        {{-1, -1.5, -5}, -0.5, 0, ENTROL_REASON_SUM, 0},
        {{-1, -2, -3}, no_chosen, 2, ENTROL_REASON_COLUMNS, 0}, /* three columns of two */
        {{-1, -2, -3}, -4, 3, ENTROL_REASON_COLUMNS, 0},
        {{-1, -2, -3}, no_chosen, 3, ENTROL_REASON_COLUMNS, 0},  /* 0.45 is left, for none */
        {{-1, -2, -3}, no_chosen, 11, ENTROL_REASON_COLUMNS, 0}, /* and for 8 of 0.0498 */
        {{-1, -2, -3}, no_chosen, 13, ENTROL_REASON_NONE, 0},
        {{-1, -2, -40}, no_chosen, 0, ENTROL_REASON_COLUMNS, 0}, /* 1e17 columns */
        {{-1, -2, impossible}, no_chosen, 0, ENTROL_REASON_SUM, 0},
        {{impossible, impossible, impossible}, no_chosen, 0, ENTROL_REASON_SUM, 0},
        {{-1, -2, -3}, impossible, 0, ENTROL_REASON_NONE, 0},
        {{(double)INFINITY, -2, -3}, no_chosen, 0, ENTROL_REASON_NEGATIVE, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        entrol_top_logprobs top = row_of(cases[i].p, 3, cases[i].n_columns, 2e-6);
        top.chosen = &cases[i].chosen;
        const bounds actual = bounds_of(&top);
        CHECK_SAY(actual.reason == cases[i].reason, "case %zu: %s", i, entrol_reason_string(actual.reason));
        CHECK_SAY(actual.column == cases[i].column, "case %zu: column %zu", i, actual.column);
        CHECK(isnan(actual.lower) == (cases[i].reason != ENTROL_REASON_NONE) &&
              isnan(actual.lower) == isnan(actual.upper));
    }
    const size_t none = 0;
    entrol_top_logprobs top = row_of(cases[0].p, 3, 100, 0);
    top.counts = &none;
    CHECK_INT(bounds_of(&top).reason, ENTROL_REASON_EMPTY_SUPPORT);
}

/* Many rows: a count each, padding that is never read, every dtype, strides, any number of threads. */
static void test_rows(void) {
    enum { ROWS = 9000, K = 7, STRIDE = 11 };
    for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++) {
        const size_t size = entrol_dtype_size((entrol_dtype)dtype);
        guarded memory = guarded_allocate(((ROWS - 1) * STRIDE + K) * size, true);
        float *out = malloc(8 * ROWS * sizeof *out);
        double *chosen = malloc(ROWS * sizeof *chosen), *errors = malloc(ROWS * sizeof *errors);
        size_t *counts = malloc(ROWS * sizeof *counts);
        for (size_t row = 0; row < ROWS; row++) {
            double left = 1;
            counts[row] = test_below(K + 1);
            chosen[row] = test_below(2) ? -8 - test_uniform() : no_chosen;
            errors[row] = test_below(2) ? 1e-3 * test_uniform() : no_chosen;
            for (size_t j = 0; j < K; j++) {
                const double p = left * (0.3 + 0.3 * test_uniform());
                left -= p;
                oracle_encode((entrol_dtype)dtype, memory.data, row * STRIDE + j,
                              j < counts[row] ? log(p)
                              : test_below(2) ? no_chosen
                                              : 700);
            }
        }
        entrol_top_logprobs top = ENTROL_TOP_LOGPROBS_INIT;
        top.logprobs = (entrol_matrix){memory.data, (entrol_dtype)dtype, ROWS, K, STRIDE};
        top.counts = counts;
        top.chosen = chosen;
        top.errors = errors;
        top.n_columns = 50000;
        entrol_diagnosis diagnosis;
        const entrol_entropy_interval all = {sizeof all, out, out + ROWS, out + 2 * ROWS, out + 3 * ROWS};
        CHECK_INT(entrol_entropy_bounds(context, &all, &diagnosis, &top), ENTROL_OK);
        size_t n_empty = 0, first_empty = ROWS;
        for (size_t row = 0; row < ROWS; row++) {
            double p[K];
            for (size_t j = 0; j < counts[row]; j++)
                p[j] = oracle_decode((entrol_dtype)dtype, memory.data, row * STRIDE + j);
            entrol_top_logprobs one = row_of(p, counts[row], 50000, 2e-6);
            one.chosen = &chosen[row];
            one.error = isnan(errors[row]) ? 2e-6 : errors[row];
            const bounds expected = bounds_of(&one);
            CHECK(test_near((double)out[row], (double)expected.lower, 0) &&
                  test_near((double)out[ROWS + row], (double)expected.upper, 0) &&
                  test_near((double)out[2 * ROWS + row], (double)expected.tail, 0) &&
                  test_near((double)out[3 * ROWS + row], (double)expected.mean, 0));
            n_empty += expected.reason != ENTROL_REASON_NONE;
            if (expected.reason != ENTROL_REASON_NONE && first_empty == ROWS)
                first_empty = row;
        }
        CHECK(diagnosis.n_bad == n_empty && n_empty > 0 && diagnosis.first_row == first_empty);
        entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
        options.n_threads = 3;
        entrol_context *threads;
        CHECK_INT(entrol_context_create(&threads, &options), ENTROL_OK);
        entrol_entropy_interval again = {sizeof again, out + 4 * ROWS, out + 5 * ROWS, NULL, NULL};
        CHECK_INT(entrol_entropy_bounds(threads, &again, NULL, &top), ENTROL_OK);
        CHECK(memcmp(out, out + 4 * ROWS, 2 * ROWS * sizeof *out) == 0);
        entrol_context_destroy(threads);
        free(out);
        free(chosen);
        free(errors);
        free(counts);
        guarded_free(&memory);
    }
}

static void test_bad_arguments(void) {
    const double p[1] = {-1};
    const size_t two = 2;
    float lower = -77;
    const entrol_entropy_interval interval = {sizeof interval, &lower, NULL, NULL, NULL};
    for (int i = 0; i < 8; i++) {
        entrol_top_logprobs top = row_of(p, 1, 10, 0);
        top.size = i == 0 ? 0 : top.size;
        top.logprobs.dtype = i == 1 ? (entrol_dtype)9 : top.logprobs.dtype;
        top.logprobs.data = i == 2 ? NULL : top.logprobs.data;
        top.error = i == 3 ? -1 : i == 4 ? no_chosen : top.error;
        top.relative_error = i == 5 ? 2 : top.relative_error;
        top.counts = i == 6 ? &two : NULL;
        static const char *const names[] = {"top",       "top.logprobs",       "top.logprobs.data", "top.error",
                                            "top.error", "top.relative_error", "top.counts",        "interval"};
        entrol_diagnosis diagnosis;
        CHECK_INT(entrol_entropy_bounds(context, i == 7 ? NULL : &interval, &diagnosis, &top), ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(diagnosis.argument, names[i]);
    }
    entrol_top_logprobs top = row_of(p, 1, 10, 0);
    CHECK_INT(entrol_entropy_bounds(NULL, &interval, NULL, &top), ENTROL_ERROR_ARGUMENT);
    CHECK(lower == -77);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    if (entrol_context_create(&context, &options) != ENTROL_OK)
        return 1;
    TEST(test_formulas);
    TEST(test_rounded_logprobs);
    TEST(test_bounds_are_attained);
    TEST(test_zipf);
    TEST(test_known_whole);
    TEST(test_sums);
    TEST(test_caps);
    TEST(test_trouble);
    TEST(test_rows);
    TEST(test_bad_arguments);
    entrol_context_destroy(context);
    return test_end();
}
