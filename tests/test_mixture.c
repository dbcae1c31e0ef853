/* entrol_mixture_rows against the oracle: every row kind, one to sixteen matrices, rows that are nearly and exactly
 * equal, far apart and impossible in parts, dtypes, masks, temperatures, trouble, levels, and the same bits for any
 * number of threads; against entrol_compare_rows for two; and its kernel by the contract of kernels.h. */
#include "harness.h"

#include "harness_rows.h"
#include "measure/kernels/kernels.h"
#include "oracle.h"

#include <float.h>

enum { MOST_ROWS = 80, MOST = ENTROL_MAX_MIXTURE };

static double worst[ENTROL_CPU_NEON + 1][2]; /* absolute, and relative: share of what is allowed */

typedef struct results {
    float mean_entropy[MOST_ROWS], information[MOST_ROWS];
} results;

static entrol_status mix(entrol_context *context, results *results, entrol_diagnosis *diagnosis, const sheet *sheets,
                         size_t n, const entrol_measure_options *options) {
    entrol_matrix matrices[MOST];
    memset(results, 0x55, sizeof *results);
    for (size_t m = 0; m < n; m++)
        matrices[m] = sheets[m].matrix;
    return entrol_mixture_rows(context, results->mean_entropy, results->information, diagnosis, matrices, n, options);
}

static void sheets_make(sheet *sheets, size_t n, size_t n_rows, size_t n_columns, entrol_dtype dtype) {
    for (size_t m = 0; m < n; m++)
        sheets[m] = sheet_make(n_rows, n_columns, dtype);
}

static void sheets_free(sheet *sheets, size_t n) {
    for (size_t m = 0; m < n; m++)
        sheet_free(&sheets[m]);
}

static oracle_mixture mix_exactly(const sheet *sheets, size_t n, size_t row, const unsigned char *allowed,
                                  double temperature) {
    double *rows[MOST] = {NULL};
    oracle_mixture exact;
    for (size_t m = 0; m < n; m++)
        rows[m] = sheet_row(&sheets[m], row);
    oracle_mix(&exact, (const double *const *)rows, n, allowed, sheets->n_columns, temperature);
    for (size_t m = 0; m < n; m++)
        free(rows[m]);
    return exact;
}

/* --- The oracle --- */

static void test_oracle(void) {
    for (size_t k = 0; k < 200; k++) {
        double values[5][30];
        const double *rows[5] = {values[0], values[1], values[2], values[3], values[4]};
        const size_t n = 1 + test_below(30), n_rows = 1 + test_below(5);
        oracle_mixture mixture;
        oracle_pair pair;
        for (size_t i = 0; i < 150; i++)
            values[i / 30][i % 30] = test_normal() * 3;
        oracle_mix(&mixture, rows, n_rows, NULL, n, 1);
        CHECK_NEAR(mixture.textbook_information, mixture.information, 1e-14);
        oracle_mix(&mixture, rows, 2, NULL, n, 1);
        oracle_compare(&pair, values[0], values[1], NULL, n, 1);
        CHECK_NEAR(mixture.information, pair.jsd, 1e-15);
        CHECK_NEAR(mixture.mean_entropy, pair.mean_entropy, 1e-15);
    }
}

/* --- Every row kind --- */

/* The contract of measure.h: 2e-6 max(1, value), and 1e-5 of the mutual information or 1e-18. */
static void check_values(entrol_cpu cpu, const results *results, const oracle_mixture *exact, size_t n,
                         const char *what) {
    const double information = (double)exact->information, entropy = (double)exact->mean_entropy;
    const double errors[2] = {fabs((double)results->information[0] - information),
                              fabs((double)results->mean_entropy[0] - entropy)};
    const double absolute = fmax(errors[0], errors[1] / fmax(1, entropy)) / 2e-6;
    const double relative = errors[0] / (1e-5 * information + 1e-18);
    worst[cpu][0] = fmax(worst[cpu][0], absolute);
    worst[cpu][1] = fmax(worst[cpu][1], relative);
    CHECK_SAY(absolute <= 1 && relative <= 1, "%s: %s, %zu rows: %.9g and %.9g, exactly %.9g and %.9g",
              entrol_cpu_name(cpu), what, n, (double)results->information[0], (double)results->mean_entropy[0],
              information, entropy);
    CHECK(!signbit(results->information[0]) && results->information[0] <= (float)log((double)n));
}

static void check_sheets(const sheet *sheets, size_t n, const unsigned char *allowed,
                         const entrol_measure_options *options, const char *what) {
    static results results;
    const oracle_mixture exact = mix_exactly(sheets, n, 0, allowed, options->temperature);
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
        if (!contexts[cpu])
            continue;
        entrol_diagnosis diagnosis;
        CHECK_INT(mix(contexts[cpu], &results, &diagnosis, sheets, n, options), ENTROL_OK);
        CHECK_INT(diagnosis.n_bad, 0);
        check_values((entrol_cpu)cpu, &results, &exact, n, what);
    }
}

/* How the other rows come from the first. */
enum { OTHER_KINDS, NEAR, NEARER, ONE_NEAR, SHARPER, N_RELATIONS };

static double related(int relation, int kind, size_t m, double first, size_t i, size_t n) {
    switch (relation) {
    case OTHER_KINDS:
        return kind_value((kind * 7 + 3 * (int)m) % N_KINDS, i, n);
    case NEAR:
        return first + 100 * (double)m + test_normal() * 1e-3;
    case NEARER:
        return first + test_normal() * 1e-11; /* equal, but for f64 and logits near 0 */
    case ONE_NEAR:
        return m == 1 ? first + test_normal() * 1e-2 : 3 * test_normal();
    default:
        return (1 + 0.2 * (double)m) * first;
    }
}

static bool is_possible(const sheet *sheet) {
    for (size_t j = 0; j < sheet->n_columns; j++)
        if (sheet_get(sheet, 0, j) > -INFINITY)
            return true;
    return false;
}

static void check_kinds(size_t n_columns, int step) {
    static const double temperatures[] = {1, 0.5, 4};
    for (int kind = (int)test_below((size_t)step); kind < N_KINDS; kind += step) {
        const int relation = (int)test_below(N_RELATIONS);
        const size_t n = 1 + test_below(test_below(3) ? 4 : MOST), of_dtype = test_below(5); /* 4: different ones */
        sheet sheets[MOST];
        bool all_possible = true;
        for (size_t m = 0; m < n; m++) {
            sheets[m] = sheet_make(1, n_columns, (entrol_dtype)(of_dtype < 4 ? of_dtype : test_below(4)));
            for (size_t j = 0; j < n_columns; j++)
                sheet_put(&sheets[m], 0, j,
                          m ? related(relation, kind, m, sheet_get(&sheets[0], 0, j), j, n_columns)
                            : kind_value(kind, j, n_columns));
            all_possible = all_possible && is_possible(&sheets[m]);
        }
        entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
        options.temperature = temperatures[test_below(3)];
        char what[120];
        snprintf(what, sizeof what, "%s, relation %d, V = %zu, dtype %zu, T = %g", kind_name(kind), relation, n_columns,
                 of_dtype, options.temperature);
        if (all_possible)
            check_sheets(sheets, n, NULL, &options, what);
        sheets_free(sheets, n);
    }
}

static void test_short(void) {
    for (size_t n = 1; n <= 66; n += is_quick() ? 7 : 1)
        check_kinds(n, is_quick() ? 5 : 1);
}

static void test_long(void) {
    static const size_t sizes[] = {67, 255, 256, 257, 2047, 2048, 2049, 10007};
    for (size_t i = 0; i < (is_quick() ? 3 : 8); i++)
        check_kinds(sizes[i], is_quick() ? 12 : 3);
}

static void test_vocabularies(void) {
    check_kinds(is_quick() ? 8209 : 65537, is_quick() ? 24 : 6);
    if (!is_quick())
        check_kinds(151936, 12);
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        if (contexts[cpu])
            printf("    %s: largest error as a share of 2e-6 max(1, value): %.3f; of 1e-5 of the information: %.3f\n",
                   entrol_cpu_name((entrol_cpu)cpu), worst[cpu][0], worst[cpu][1]);
}

/* Ever smaller differences: the information keeps its digits down to what f64 logits can show. */
static void test_nearly_equal(void) {
    const entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
    for (int power = 1; power <= 12; power += is_quick() ? 5 : 1)
        for (size_t n = 2; n <= MOST; n += 7) {
            sheet sheets[MOST];
            sheets_make(sheets, n, 1, 3000, ENTROL_F64);
            for (size_t j = 0; j < 3000; j++) {
                const double z = test_normal() * 2.5;
                for (size_t m = 0; m < n; m++)
                    sheet_put(&sheets[m], 0, j, z + 50 * (double)m + pow(10, -power) * test_normal());
            }
            check_sheets(sheets, n, NULL, &options, "nearly equal");
            sheets_free(sheets, n);
        }
}

static void test_equal(void) {
    static results results;
    for (size_t k = 0; k < 120; k++) {
        const size_t n_columns = k % 2 ? 1 + test_below(64) : 65 + test_below(3000), n = 1 + k % MOST;
        const entrol_dtype dtype = (entrol_dtype)(k / 2 % 4);
        sheet sheets[MOST];
        sheets_make(sheets, n, 1, n_columns, dtype);
        for (size_t j = 0; j < n_columns; j++) {
            const double z = j % 7 == 3 ? -INFINITY : floor(test_normal() * 6);
            for (size_t m = 0; m < n; m++) /* a shift that these logits can have exactly */
                sheet_put(&sheets[m], 0, j, z + (dtype == ENTROL_BF16 ? 0 : 16 * (double)m));
        }
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
            if (contexts[cpu]) {
                CHECK_INT(mix(contexts[cpu], &results, NULL, sheets, n, NULL), ENTROL_OK);
                CHECK(results.information[0] == 0 && !signbit(results.information[0]));
            }
        sheets_free(sheets, n);
    }
}

/* --- Values known by hand --- */

static void expect_values(entrol_dtype dtype, size_t n, double values[3][3], double information, double entropy) {
    static results results;
    sheet sheets[3];
    sheets_make(sheets, n, 1, 3, dtype);
    for (size_t m = 0; m < n; m++)
        for (size_t j = 0; j < 3; j++)
            sheet_put(&sheets[m], 0, j, values[m][j]);
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        if (contexts[cpu]) {
            CHECK_INT(mix(contexts[cpu], &results, NULL, sheets, n, NULL), ENTROL_OK);
            CHECK_NEAR(results.information[0], information, 1e-6);
            CHECK_NEAR(results.mean_entropy[0], entropy, 1e-6);
        }
    sheets_free(sheets, n);
}

static void test_impossible(void) {
    const double inf = (double)INFINITY, two = log(2), three = log(3);
    for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++) {
        const entrol_dtype as = (entrol_dtype)dtype;
        const double far = as == ENTROL_F64 ? -1e300 : as == ENTROL_F16 ? -60000 : -1e30;
        /* no column in common: the mean is uniform, and tells which row it came from */
        expect_values(as, 3, (double[3][3]){{7, -inf, -inf}, {-inf, 0, -inf}, {-inf, -inf, -3}}, three, three);
        expect_values(as, 2, (double[3][3]){{0, -inf, -inf}, {-inf, 3, 3}}, two, two / 2 + two);
        /* a column that none has, and one that is no float's */
        expect_values(as, 2, (double[3][3]){{0, far, -inf}, {far, 0, -inf}}, two, two);
        expect_values(as, 2, (double[3][3]){{0, -200, -inf}, {0, -300, -inf}}, 0, 0);
        expect_values(as, 2, (double[3][3]){{0, far, far}, {0, -inf, -inf}}, 0, 0);
        /* (1, 0) and (1/2, 1/2): H(3/4, 1/4) - ln(2) / 2 */
        const double entropy = -(0.75 * log(0.75) + 0.25 * log(0.25));
        expect_values(as, 2, (double[3][3]){{5, -inf, -inf}, {1, 1, -inf}}, entropy - two / 2, entropy);
        /* one row: nothing to tell apart */
        expect_values(as, 1, (double[3][3]){{1, 1, -inf}}, 0, two);
    }
}

static void test_masks(void) {
    for (size_t k = 0; k < 60; k++) {
        const size_t n_columns = k % 2 ? 2 + test_below(62) : 65 + test_below(5000), n = 2 + k % 3;
        unsigned char *allowed = malloc(n_columns);
        uint8_t *mask = calloc(n_columns / 8 + 1, 1);
        sheet sheets[MOST];
        for (size_t m = 0; m < n; m++)
            sheets[m] = sheet_make(1, n_columns, (entrol_dtype)((k + m) % 4));
        for (size_t j = 0; j < n_columns; j++) {
            allowed[j] = test_below(3) > 0 || j == n_columns / 2;
            mask[j / 8] |= (uint8_t)(allowed[j] << j % 8);
            for (size_t m = 0; m < n; m++) /* what is masked is not looked at */
                sheet_put(&sheets[m], 0, j, allowed[j] ? test_normal() : (double[]){NAN, INFINITY, 1}[(j + m) % 3]);
        }
        entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
        options.mask = mask;
        options.temperature = 2;
        check_sheets(sheets, n, allowed, &options, "masked");
        sheets_free(sheets, n);
        free(allowed);
        free(mask);
    }
}

/* Two rows: their Jensen-Shannon divergence. */
static void test_as_compare(void) {
    static results results;
    float jsd[60], mean_entropy[60];
    entrol_comparison comparison = ENTROL_COMPARISON_INIT;
    comparison.jsd = jsd;
    comparison.mean_entropy = mean_entropy;
    for (size_t n_columns = 3; n_columns <= 3000; n_columns *= 10) {
        sheet sheets[2];
        sheets_make(sheets, 2, 60, n_columns, ENTROL_F32);
        for (size_t i = 0; i < 60 * n_columns; i++) {
            const double z = test_normal() * 3;
            sheet_put(&sheets[0], i / n_columns, i % n_columns, z);
            sheet_put(&sheets[1], i / n_columns, i % n_columns,
                      z + pow(10, -(double)(i / n_columns % 8)) * test_normal());
        }
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
            if (!contexts[cpu])
                continue;
            entrol_compare_rows(contexts[cpu], &comparison, NULL, &sheets[0].matrix, &sheets[1].matrix, NULL);
            CHECK_INT(mix(contexts[cpu], &results, NULL, sheets, 2, NULL), ENTROL_OK);
            for (size_t row = 0; row < 60; row++) {
                CHECK_NEAR(results.information[row], jsd[row], 2e-5 * (double)jsd[row] + 2e-18);
                CHECK_NEAR(results.mean_entropy[row], mean_entropy[row], 4e-6 * fmax(1, (double)mean_entropy[row]));
            }
        }
        sheets_free(sheets, 2);
    }
}

/* --- Rows together --- */

enum { FINE, NAN_IN_FIRST, NAN_IN_LAST, EMPTY, BOTH, INFINITE, N_SORTS };

static int sort_of(size_t row) {
    return row % 3 ? FINE : (int)(row / 3 % N_SORTS);
}

static void fill_sorts(sheet *sheets, size_t n) {
    for (size_t row = 0; row < sheets->n_rows; row++) {
        const int sort = sort_of(row);
        for (size_t j = 0; j < sheets->n_columns; j++)
            for (size_t m = 0; m < n; m++)
                sheet_put(&sheets[m], row, j, sort == EMPTY && m == 0 ? -INFINITY : test_normal());
        if (sort == NAN_IN_FIRST || sort == BOTH)
            sheet_put(&sheets[0], row, 1, NAN);
        if (sort == NAN_IN_LAST || sort == BOTH)
            sheet_put(&sheets[n - 1], row, 2, NAN);
        if (sort == INFINITE)
            sheet_put(&sheets[n - 1], row, 3, INFINITY);
    }
}

/* Of every matrix this row alone. */
static void check_alone(entrol_cpu cpu, const results *together, const sheet *sheets, size_t n, size_t row) {
    entrol_matrix matrices[MOST];
    float mean_entropy, information;
    for (size_t m = 0; m < n; m++) {
        matrices[m] = sheets[m].matrix;
        matrices[m].n_rows = 1;
        matrices[m].data =
            (const char *)matrices[m].data + row * sheets[m].n_columns * entrol_dtype_size(sheets[m].dtype);
    }
    CHECK_INT(entrol_mixture_rows(contexts[cpu], &mean_entropy, &information, NULL, matrices, n, NULL), ENTROL_OK);
    CHECK(memcmp(&mean_entropy, &together->mean_entropy[row], sizeof mean_entropy) == 0);
    CHECK(memcmp(&information, &together->information[row], sizeof information) == 0);
}

static void check_together(entrol_cpu cpu, size_t n, size_t n_rows, size_t n_columns, size_t n_threads, bool is_wide) {
    static results results;
    entrol_context *context = context_at(cpu, n_threads);
    sheet sheets[MOST];
    sheets_make(sheets, n, n_rows, n_columns, ENTROL_F32);
    if (is_wide) {
        sheet_free(&sheets[n - 1]);
        sheets[n - 1] = sheet_make(n_rows, n_columns, ENTROL_F64);
    }
    fill_sorts(sheets, n);
    entrol_diagnosis diagnosis;
    CHECK_INT(mix(context, &results, &diagnosis, sheets, n, NULL), ENTROL_OK);
    size_t n_bad = 0;
    for (size_t row = 0; row < n_rows; row++) {
        const bool is_bad = sort_of(row) != FINE;
        check_alone(cpu, &results, sheets, n, row);
        CHECK(isnan(results.information[row]) == is_bad && isnan(results.mean_entropy[row]) == is_bad);
        n_bad += is_bad;
    }
    CHECK_INT(diagnosis.n_bad, n_bad);
    if (n_bad > 0)
        CHECK(diagnosis.first_row == 3 && diagnosis.first_column == 1 && diagnosis.reason == ENTROL_REASON_NAN);
    sheets_free(sheets, n);
    entrol_context_destroy(context);
}

static void test_together(void) {
    static const size_t threads[] = {1, 2, 7};
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        for (size_t k = 0; k < 6 && contexts[cpu]; k += is_quick() ? 3 : 1) {
            check_together((entrol_cpu)cpu, 3, 71, 4, threads[k / 2], k % 2);
            check_together((entrol_cpu)cpu, 2, 80, 64, threads[k / 2], k % 2);
            check_together((entrol_cpu)cpu, 16, 50, 65, threads[k / 2], k % 2);
            check_together((entrol_cpu)cpu, 3, 30, 2500, threads[k / 2], k % 2);
            check_together((entrol_cpu)cpu, 2, 4, 70000, threads[k / 2], k % 2); /* shared by the threads */
        }
}

/* Rows enough for many tasks; rows from the last to the first; one of the outputs alone. */
static void test_many_rows(void) {
    const size_t n_rows = 20000, n_columns = 18;
    sheet sheets[2];
    sheets_make(sheets, 2, n_rows, n_columns, ENTROL_F32);
    float *values = calloc(2 * n_rows, sizeof *values), *expected = calloc(n_rows, sizeof *expected);
    for (size_t i = 0; i < n_rows * n_columns; i++)
        for (size_t m = 0; m < 2; m++)
            ((float *)sheets[m].buffer.data)[i] = (float)test_normal();
    entrol_matrix matrices[2] = {sheets[0].matrix, sheets[1].matrix};
    for (size_t n_threads = 1; n_threads <= 7; n_threads += n_threads < 2 ? 1 : 5) {
        entrol_context *context = context_at(ENTROL_CPU_BEST, n_threads);
        float *information = n_threads == 1 ? expected : values;
        CHECK_INT(entrol_mixture_rows(context, NULL, information, NULL, matrices, 2, NULL), ENTROL_OK);
        CHECK(n_threads == 1 || memcmp(values, expected, n_rows * sizeof *values) == 0);
        entrol_context_destroy(context);
    }
    for (size_t m = 0; m < 2; m++) {
        matrices[m].data = (const float *)matrices[m].data + (n_rows - 1) * n_columns;
        matrices[m].row_stride = -(ptrdiff_t)n_columns;
    }
    CHECK_INT(entrol_mixture_rows(contexts[ENTROL_CPU_SCALAR], NULL, values, NULL, matrices, 2, NULL), ENTROL_OK);
    for (size_t row = 0; row < n_rows; row++)
        CHECK_NEAR(values[row], expected[n_rows - 1 - row], 1e-5 * (double)expected[n_rows - 1 - row]);
    free(values);
    free(expected);
    sheets_free(sheets, 2);
}

static void check_refused(const entrol_matrix *matrices, size_t n, const entrol_measure_options *options,
                          const char *argument) {
    entrol_diagnosis diagnosis = {0};
    float value[2] = {5, 5};
    CHECK_INT(entrol_mixture_rows(contexts[ENTROL_CPU_SCALAR], value, NULL, &diagnosis, matrices, n, options),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "none", argument);
    CHECK(value[0] == 5);
}

static void test_bad_arguments(void) {
    float z[6] = {1, 2, 3, 4, 5, 6}, value[2];
    entrol_matrix matrices[17];
    for (size_t m = 0; m < 17; m++)
        matrices[m] = (entrol_matrix){z, ENTROL_F32, 2, 2, 2};
    entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
    check_refused(NULL, 2, NULL, "matrices");
    check_refused(matrices, 0, NULL, "n_matrices");
    check_refused(matrices, 17, NULL, "n_matrices");
    options.temperature = 0;
    check_refused(matrices, 2, &options, "options.temperature");
    matrices[1].n_rows = 1;
    check_refused(matrices, 2, NULL, "matrices");
    matrices[1] = (entrol_matrix){z, ENTROL_F32, 2, 3, 3};
    check_refused(matrices, 2, NULL, "matrices");
    matrices[1] = (entrol_matrix){z, (entrol_dtype)9, 2, 2, 2};
    check_refused(matrices, 2, NULL, "matrices");
    CHECK_INT(entrol_mixture_rows(NULL, value, NULL, NULL, matrices, 1, NULL), ENTROL_ERROR_ARGUMENT);
    matrices[0].n_rows = 0;
    CHECK_INT(entrol_mixture_rows(contexts[ENTROL_CPU_SCALAR], value, NULL, NULL, matrices, 1, NULL), ENTROL_OK);
    matrices[0] = (entrol_matrix){NULL, ENTROL_F32, 2, 0, 0};
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_mixture_rows(contexts[ENTROL_CPU_SCALAR], value, NULL, &diagnosis, matrices, 1, NULL), ENTROL_OK);
    CHECK(diagnosis.n_bad == 2 && diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT && isnan(value[0]));
}

/* --- The kernel --- */

enum { MOST_COLUMNS = 300 };

/* The sums and what the contract of kernels.h allows them: information first, then the gains. */
typedef struct exact_sums {
    long double value[MOST + 1], allowed[MOST + 1];
} exact_sums;

/* Terms by y = ln(p / mean): one that is near 0 keeps its digits. */
static void add_terms(exact_sums *sums, const long double *log_p, size_t n, long double top, long double least) {
    long double above = 0, term = 0, sizes = 0, greatest = expl(top); /* above: mean / greatest - 1 */
    for (size_t m = 0; m < n; m++)
        above += expm1l(log_p[m] - top) / (long double)n;
    for (size_t m = 0; m < n; m++) {
        const long double y = log_p[m] - top - log1pl(above), mean = greatest * (1 + above), p = expl(log_p[m]);
        term += (p == 0 ? mean : p * (fabsl(y) < 0.5L ? y + expm1l(-y) : y + expl(-y) - 1)) / (long double)n;
        sizes += p == 0 ? 0 : p * fabsl(y) * (2 + fabsl(log_p[m]));
        sums->value[m + 1] += mean * expm1l(y);
        sums->allowed[m + 1] += 1e-9L * (greatest - expl(least)) + 4e-16L * greatest * (2 - top) + 1e-300L;
    }
    sums->value[0] += term;
    sums->allowed[0] += 1e-7L * term + 4e-16L * sizes + 1e-300L;
}

static void add_column(exact_sums *sums, const ent_mixture_task *task, size_t i) {
    long double log_p[MOST], top = -(long double)INFINITY, least = 0;
    for (size_t m = 0; m < task->n_rows; m++) {
        const long double z = task->wide[m] ? (long double)task->wide[m][i] : (long double)task->z[m][i];
        log_p[m] = (long double)task->scale * (z - (long double)task->m[m]) - (long double)task->log_sum[m];
        top = fmaxl(top, log_p[m]);
        least = fminl(least, log_p[m]);
    }
    if (top > -(long double)INFINITY)
        add_terms(sums, log_p, task->n_rows, top, least);
}

/* Rows near the first, or not; some columns are impossible in some rows. */
static void fill_task(ent_mixture_task *task, float (*z)[MOST_COLUMNS], double (*wide)[MOST_COLUMNS], size_t k) {
    const double apart = pow(10, -(double)(k % 12)), spread = (double[]){0.1, 2.5, 40}[k % 3];
    for (size_t i = 0; i < task->n; i++) {
        const double first = test_normal() * spread;
        for (size_t m = 0; m < task->n_rows; m++) {
            const bool is_possible = k % 5 > 0 || test_below(6) > 0;
            wide[m][i] = is_possible ? first + apart * test_normal() : -(double)INFINITY;
            z[m][i] = (float)wide[m][i];
        }
    }
    for (size_t m = 0; m < task->n_rows; m++) {
        task->m[m] = 5 * spread + apart * test_normal(); /* no p is above 1 */
        task->log_sum[m] = 1 + 1e-7 * test_normal();
        task->z[m] = z[m];
        task->wide[m] = k % 2 ? wide[m] : NULL;
    }
}

static void check_kernel(const ent_kernels *kernels) {
    static float z[MOST][MOST_COLUMNS];
    static double wide[MOST][MOST_COLUMNS];
    double worst_share[2] = {0, 0};
    for (size_t k = 0; k < (is_quick() ? 300 : 3000); k++) {
        ent_mixture_task task = {.n = k < 40 ? k : test_below(MOST_COLUMNS + 1), .n_rows = 1 + test_below(MOST)};
        ent_mixture_sums sums;
        exact_sums exact = {.value = {0}};
        task.scale = (double)(float)exp(test_normal() / 2);
        fill_task(&task, z, wide, k);
        for (size_t i = 0; i < task.n; i++)
            add_column(&exact, &task, i);
        kernels->mixture_sums(&sums, &task);
        for (size_t j = 0; j <= task.n_rows; j++) {
            const long double got = (long double)(j ? sums.gain[j - 1] : sums.information);
            const long double error = fabsl(got - exact.value[j]);
            if (error > 0)
                worst_share[j > 0] = fmax(worst_share[j > 0], (double)(error / exact.allowed[j]));
            CHECK_SAY(error <= exact.allowed[j],
                      "%s: sum %zu of %zu columns, %zu rows, case %zu: %.12Lg, exactly %.12Lg",
                      entrol_cpu_name(kernels->cpu), j, task.n, task.n_rows, k, got, exact.value[j]);
        }
    }
    printf("    %s: largest error as a share of the kernel's contract: information %.2f, gain %.2f\n",
           entrol_cpu_name(kernels->cpu), worst_share[0], worst_share[1]);
}

/* Reads nothing behind the last column. */
static void check_bounds(const ent_kernels *kernels) {
    for (size_t n = 0; n <= 40; n++)
        for (int is_wide = 0; is_wide < 2; is_wide++) {
            guarded buffer = guarded_allocate(n * (is_wide ? sizeof(double) : sizeof(float)), true);
            memset(buffer.data, 0, n * (is_wide ? sizeof(double) : sizeof(float)));
            ent_mixture_task task = {.n = n, .n_rows = 3, .scale = 1};
            for (size_t m = 0; m < 3; m++) {
                task.z[m] = is_wide ? NULL : buffer.data;
                task.wide[m] = is_wide ? buffer.data : NULL;
            }
            ent_mixture_sums sums;
            kernels->mixture_sums(&sums, &task);
            CHECK(sums.information == 0 && sums.gain[0] == 0);
            guarded_free(&buffer);
        }
}

static void test_kernel(void) {
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        if (contexts[cpu]) {
            check_kernel(ent_kernels_for((entrol_cpu)cpu));
            check_bounds(ent_kernels_for((entrol_cpu)cpu));
        }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    contexts_open(NULL);
    TEST(test_oracle);
    TEST(test_short);
    TEST(test_long);
    TEST(test_vocabularies);
    TEST(test_nearly_equal);
    TEST(test_equal);
    TEST(test_impossible);
    TEST(test_masks);
    TEST(test_as_compare);
    TEST(test_together);
    TEST(test_many_rows);
    TEST(test_bad_arguments);
    TEST(test_kernel);
    contexts_close();
    return test_end();
}
