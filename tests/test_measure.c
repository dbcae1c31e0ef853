/* entrol_measure_rows against the oracle: every row kind that breaks kernels, at every level, dtype and layout. */
#include "harness.h"

#include "harness_rows.h"
#include "oracle.h"

#include <entrol/entrol.h>

#include <sys/mman.h>

/* Every statistic of every row, in memory of its own. */
typedef struct results {
    entrol_record record;
    float floats[8][64];
    int32_t rank[64], top_id[64 * 5];
    float top_logprob[64 * 5];
} results;

static void results_reset(results *results) {
    memset(results, 0x55, sizeof *results);
    float(*f)[64] = results->floats;
    results->record = (entrol_record){
        sizeof(entrol_record), f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], results->rank, results->top_id,
        results->top_logprob,  5,    NULL, NULL, NULL};
}

/* The largest errors seen, in units of the tolerance, by level and statistic. */
static double worst[ENTROL_CPU_NEON + 1][8];
static const char *const statistic_names[8] = {"entropy",  "logsumexp", "logprob",       "varentropy",
                                               "top_prob", "margin",    "sum_p_squared", "renyi"};

/* The contract of measure.h: 2e-6 max(1, |value|), and 1e-3 of the value where entropy or varentropy is below 1e-3. */
static double tolerance_of(int statistic, double value, double temperature) {
    double tolerance = 2e-6 * fmax(1, fabs(value));
    if ((statistic == 0 || statistic == 3) && value < 1e-3)
        tolerance = fmin(tolerance, 1e-3 * value + 1e-25); /* the oracle's own rounding, for a uniform row */
    return temperature == 1 ? tolerance : 2 * tolerance;   /* 1 / T is rounded to float */
}

static void check_row(const results *results, size_t row, const oracle_row *oracle, double temperature,
                      const char *what, size_t n, entrol_cpu cpu) {
    const long double expected[8] = {oracle->entropy,  oracle->logsumexp, oracle->logprob,       oracle->varentropy,
                                     oracle->top_prob, oracle->margin,    oracle->sum_p_squared, oracle->renyi};
    for (int i = 0; i < 8; i++) {
        const double value = (double)expected[i], got = (double)results->floats[i][row];
        if (oracle->is_trouble) {
            CHECK_SAY(isnan(got), "%s, %s, V = %zu: %s of a row in trouble is %g", entrol_cpu_name(cpu), what, n,
                      statistic_names[i], got);
            continue;
        }
        const double tolerance = tolerance_of(i, value, temperature);
        if (isfinite(value))
            worst[cpu][i] = fmax(worst[cpu][i], fabs(got - value) / tolerance);
        CHECK_SAY(test_near(got, value, tolerance), "%s, %s, V = %zu, T = %g: %s is %.9g, exactly %.9g",
                  entrol_cpu_name(cpu), what, n, temperature, statistic_names[i], got, value);
        CHECK_SAY(got != 0 || !signbit(got), "%s, %s, V = %zu: %s is -0", entrol_cpu_name(cpu), what, n,
                  statistic_names[i]);
    }
    CHECK_INT(results->rank[row], oracle->rank);
}

static void check_top(const results *results, size_t row, const double *logits, const unsigned char *allowed,
                      size_t n) {
    int64_t columns[5];
    const size_t n_found = oracle_top(columns, logits, allowed, n, 5);
    for (size_t i = 0; i < 5; i++) {
        CHECK_INT(results->top_id[row * 5 + i], i < n_found ? columns[i] : -1);
        if (i >= n_found)
            CHECK(results->top_logprob[row * 5 + i] == -INFINITY);
    }
}

/* Measures a sheet at every level; the oracle's work is done once. */
static void check_sheet(const sheet *sheet, double temperature, double order, const char *what) {
    static results results[ENTROL_CPU_NEON + 1];
    entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
    options.temperature = temperature;
    options.renyi_order = order;
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
        results_reset(&results[cpu]);
        if (contexts[cpu])
            CHECK_INT(entrol_measure_rows(contexts[cpu], &results[cpu].record, NULL, &sheet->matrix, sheet->targets,
                                          &options),
                      ENTROL_OK);
    }
    for (size_t row = 0; row < sheet->n_rows; row++) {
        double *logits = sheet_row(sheet, row);
        oracle_row oracle;
        oracle_measure(&oracle, logits, NULL, sheet->n_columns, sheet->targets[row], temperature, order);
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
            if (!contexts[cpu])
                continue;
            check_row(&results[cpu], row, &oracle, temperature, what, sheet->n_columns, (entrol_cpu)cpu);
            if (!oracle.is_trouble)
                check_top(&results[cpu], row, logits, NULL, sheet->n_columns);
        }
        free(logits);
    }
}

/* Quickly, only every third long row, and every seventh large one. */
static bool is_left_out(int kind, size_t n) {
    return is_quick() && n > 1000 && ((size_t)kind + n) % (n > 60000 ? 7 : 3) != 0;
}

static void check_kinds(size_t n, entrol_dtype dtype) {
    static const double temperatures[] = {1, 0.7, 3}, orders[] = {2, 0.5, INFINITY, 0, 1, 3};
    for (int kind = 0; kind < N_KINDS; kind++) {
        if (is_left_out(kind, n))
            continue;
        sheet sheet = sheet_make(1, n, dtype);
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j, kind_value(kind, j, n));
        sheet.targets[0] = (int64_t)(kind % 3 ? test_below(n) : n / 2);
        check_sheet(&sheet, n > 10000 ? 1 : temperatures[kind % 3], orders[kind % 6], kind_name(kind));
        sheet_free(&sheet);
    }
}

/* Logits of the temperature's own size, so that the probabilities are ordinary. */
static void test_temperatures_at_their_bounds(void) {
    for (int k = 0; k < 16; k++) {
        const double temperature = k % 2 ? 1e-6 : 1e6;
        const size_t n = (size_t[]){2, 4, 64, 65, 300, 5000, 7, 2049}[k / 2];
        sheet sheet = sheet_make(3, n, k % 3 ? ENTROL_F32 : ENTROL_F64);
        for (size_t j = 0; j < 3 * n; j++)
            sheet_put(&sheet, 0, j, test_normal() * 3 * temperature);
        for (size_t row = 0; row < 3; row++)
            sheet.targets[row] = (int64_t)test_below(n);
        check_sheet(&sheet, temperature, 2, "bound of temperature");
        sheet_free(&sheet);
    }
}

/* A few columns at the top or near it, and the rest far below or just below, where the squares about the mean are small
 * differences. */
static void test_levels_of_a_row(void) {
    static const size_t sizes[] = {66, 500, 2048, 4100};
    for (size_t k = 0; k < (is_quick() ? 60 : 1200); k++) {
        const size_t n = sizes[k % 4], n_top = 1 + test_below(40), n_middle = test_below(40);
        const double gap = k % 3 ? 12 * test_uniform() : 0.05 * test_uniform(), middle = gap * test_uniform();
        sheet sheet = sheet_make(1, n, k % 5 ? ENTROL_F32 : ENTROL_F64);
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j, j < n_top ? 0 : j < n_top + n_middle ? -middle : -gap);
        sheet.targets[0] = (int64_t)(n - 1);
        check_sheet(&sheet, 1, 2, "levels");
        sheet_free(&sheet);
    }
}

/* A great column or two in every lane, and then equal small ones, which are rounded the same way wherever they are
 * added to a great one: a sum that is a chain of additions is wrong by up to half a unit for each of them. */
static void test_small_columns_after_great_ones(void) {
    static const size_t sizes[] = {500, 1000, 2048, 5000};
    for (size_t k = 0; k < (is_quick() ? 100 : 800); k++) {
        const size_t n = sizes[k % 4], n_top = 1 + test_below(2), n_great = n_top + 8 + test_below(56);
        const double great = -2 - 1.5 * test_uniform(), small = -11 - 4 * test_uniform();
        sheet sheet = sheet_make(1, n, ENTROL_F32);
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j, j < n_top ? 0 : j < n_great ? great : small);
        sheet.targets[0] = (int64_t)test_below(n);
        check_sheet(&sheet, 1, 2, "small after great");
        sheet_free(&sheet);
    }
}

/* --- The table of docs/method.md --- */

/* ln sum e^z by the greatest and a serial sum in float. */
static float log_sum_f32(const float *z, size_t n) {
    float max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        max = z[i] > max ? z[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += expf(z[i] - max);
    return max + logf(sum);
}

/* verl's and Liger's formula: ln sum e^z - sum p z. */
static double entropy_by_mean_logit(const float *z, size_t n) {
    const float log_sum = log_sum_f32(z, n);
    float mean = 0;
    for (size_t i = 0; i < n; i++)
        mean += expf(z[i] - log_sum) * z[i];
    return (double)(log_sum - mean);
}

/* TRL's: -sum p ln p. */
static double entropy_by_log_probabilities(const float *z, size_t n) {
    const float log_sum = log_sum_f32(z, n);
    float entropy = 0;
    for (size_t i = 0; i < n; i++)
        entropy -= expf(z[i] - log_sum) * (z[i] - log_sum);
    return (double)entropy;
}

static double table_value(int kind, size_t i) {
    static double normal[131072];
    if (kind == 0)
        normal[i] = 2.5 * test_normal();
    return kind == 0   ? normal[i]
           : kind == 1 ? normal[i] + 1000
           : kind == 2 ? 0.5
           : kind == 3 ? (i == 77 ? 40 : test_normal())
                       : (i == 77      ? 1
                          : i == 99999 ? 3
                                       : (double)-INFINITY);
}

/* Errors against exact arithmetic. The formulas are summed serially in float; the libraries themselves are measured by
 * bench/peers.py. */
static void test_accuracy_table(void) {
    static const char *const names[] = {"N(0, 2.5)", "the same + 1000", "uniform", "one at 40, the rest N(0, 1)",
                                        "two finite, the rest -inf"};
    const size_t n = 131072;
    printf("    entropy at V = 131,072, less the exact one:\n    %-28s %13s %13s %13s\n", "row", "exact",
           "lse - sum pz", "-sum p ln p");
    for (int kind = 0; kind < 5; kind++) {
        sheet sheet = sheet_make(1, n, ENTROL_F32);
        for (size_t i = 0; i < n; i++)
            sheet_put(&sheet, 0, i, table_value(kind, i));
        const float *z = sheet.matrix.data;
        double *logits = sheet_row(&sheet, 0);
        oracle_row oracle;
        oracle_measure(&oracle, logits, NULL, n, -1, 1, 2);
        printf("    %-28s %13.6g %13.1e %13.1e", names[kind], (double)oracle.entropy,
               entropy_by_mean_logit(z, n) - (double)oracle.entropy,
               entropy_by_log_probabilities(z, n) - (double)oracle.entropy);
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
            float entropy;
            entrol_record record = ENTROL_RECORD_INIT;
            record.entropy = &entropy;
            if (!contexts[cpu])
                continue;
            entrol_measure_rows(contexts[cpu], &record, NULL, &sheet.matrix, NULL, NULL);
            printf("  %s %.1e", entrol_cpu_name((entrol_cpu)cpu), (double)entropy - (double)oracle.entropy);
            CHECK_NEAR(entropy, oracle.entropy, tolerance_of(0, (double)oracle.entropy, 1));
        }
        printf("\n");
        free(logits);
        sheet_free(&sheet);
    }
}

static void test_large(void) {
    static const size_t sizes[] = {65537, 128257, 129920, 151936, 262144};
    for (size_t i = 0; i < 5; i += is_quick() ? 2 : 1)
        check_kinds(sizes[i], ENTROL_F32);
}

static void test_small(void) {
    for (size_t n = 1; n <= 300; n += n < 70 ? 1 : 23)
        for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++)
            check_kinds(n, (entrol_dtype)dtype);
}

static void test_dtypes(void) {
    static const size_t sizes[] = {2047, 2048, 2049, 10007};
    for (size_t i = 0; i < 4; i++)
        for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++)
            check_kinds(sizes[i], (entrol_dtype)dtype);
}

static void test_f16_extremes(void) {
    sheet sheet = sheet_make(1, 300, ENTROL_F16);
    for (size_t j = 0; j < 300; j++)
        sheet_put(&sheet, 0, j, j % 3 ? -65504 : j % 2 ? 65504 : test_normal());
    check_sheet(&sheet, 1, 2, "f16 extremes");
    sheet.matrix.n_columns = 30;
    sheet.n_columns = 30;
    check_sheet(&sheet, 1, 2, "f16 extremes");
    sheet_free(&sheet);
}

static entrol_cpu cpu_tested;

/* A NaN or +inf anywhere makes its own row NaN, is named, and touches no other row. */
static void check_trouble(void) {
    static const size_t sizes[] = {1, 3, 18, 64, 65, 257, 4133};
    entrol_context *context = context_at(cpu_tested, 2);
    for (size_t k = 0; k < 7; k++) {
        const size_t n = sizes[k];
        for (size_t column = 0; column < n; column += 1 + n / 97) {
            sheet sheet = sheet_make(3, n, column % 2 ? ENTROL_F32 : ENTROL_BF16);
            for (size_t j = 0; j < 3 * n; j++)
                sheet_put(&sheet, 0, j, test_normal());
            sheet_put(&sheet, 1, column, column % 3 ? (double)NAN : INFINITY);
            results results;
            results_reset(&results);
            entrol_diagnosis diagnosis;
            CHECK_INT(entrol_measure_rows(context, &results.record, &diagnosis, &sheet.matrix, sheet.targets, NULL), 0);
            CHECK_INT(diagnosis.n_bad, 1);
            CHECK_INT(diagnosis.first_row, 1);
            CHECK_INT(diagnosis.first_column, column);
            CHECK_INT(diagnosis.reason, column % 3 ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE);
            for (int i = 0; i < 8; i++)
                CHECK(isnan(results.floats[i][1]) && !isnan(results.floats[i][0]) && !isnan(results.floats[i][2]));
            CHECK(results.rank[1] == 0 && results.top_id[5] == -1 && isnan(results.top_logprob[5]));
            sheet_free(&sheet);
        }
    }
    entrol_context_destroy(context);
}

static void check_empty_support(void) {
    entrol_context *context = context_at(cpu_tested, 1);
    for (size_t n = 1; n < 5000; n = n * 3 + 1) {
        sheet sheet = sheet_make(2, n, ENTROL_F32);
        for (size_t j = 0; j < n; j++) {
            sheet_put(&sheet, 0, j, -INFINITY);
            sheet_put(&sheet, 1, j, j == n / 2 ? -7 : -INFINITY);
        }
        results results;
        results_reset(&results);
        entrol_diagnosis diagnosis;
        sheet.targets[1] = (int64_t)(n / 2);
        entrol_measure_rows(context, &results.record, &diagnosis, &sheet.matrix, sheet.targets, NULL);
        CHECK(diagnosis.n_bad == 1 && diagnosis.first_row == 0 && diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT);
        /* a certain event: exactly 0 and exactly 1, and positive zeros */
        const float zero = 0;
        CHECK(memcmp(&results.floats[0][1], &zero, sizeof zero) == 0 && results.floats[1][1] == -7);
        CHECK(results.floats[2][1] == 0 && results.floats[3][1] == 0 && results.floats[4][1] == 1);
        CHECK(results.floats[5][1] == 1 && results.floats[6][1] == 1 && results.rank[1] == 1);
        sheet_free(&sheet);
    }
    entrol_context_destroy(context);
}

static void check_targets(void) {
    entrol_context *context = context_at(cpu_tested, 1);
    const int64_t targets[4] = {-1, 9, INT64_MIN, 2};
    const float logits[4][9] = {{1, 2, 3}, {4}, {5}, {-INFINITY, 1, -INFINITY}};
    const entrol_matrix matrix = {logits, ENTROL_F32, 4, 9, 9};
    results results;
    results_reset(&results);
    entrol_diagnosis diagnosis;
    entrol_measure_rows(context, &results.record, &diagnosis, &matrix, targets, NULL);
    CHECK(diagnosis.n_bad == 3 && diagnosis.first_row == 0 && diagnosis.reason == ENTROL_REASON_TARGET);
    CHECK(isnan(results.floats[2][1]) && results.rank[1] == 0 && !isnan(results.floats[0][1]));
    CHECK(results.floats[2][3] == -INFINITY && results.rank[3] == 8);
    entrol_context_destroy(context);
}

/* Masked columns do not exist, whatever they hold. */
static void check_mask(void) {
    entrol_context *context = context_at(cpu_tested, 2);
    for (size_t n = 1; n < 6000; n += 1 + n / 3) {
        for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++) {
            sheet sheet = sheet_make(2, n, (entrol_dtype)dtype);
            const size_t n_bytes = (n + 7) / 8;
            guarded mask = guarded_allocate(2 * n_bytes, true);
            uint8_t *bits = mask.data;
            unsigned char *allowed = calloc(2 * n, 1);
            for (size_t i = 0; i < 2 * n; i++) {
                allowed[i] = i % n == n / 2 || test_below(3) > 0;
                bits[i / n * n_bytes + i % n / 8] &= (uint8_t) ~(1 << (i % n % 8));
                bits[i / n * n_bytes + i % n / 8] |= (uint8_t)(allowed[i] << (i % n % 8));
                sheet_put(&sheet, 0, i, allowed[i] ? test_normal() * 3 : (double[]){NAN, INFINITY, 500}[i % 3]);
            }
            sheet.targets[0] = (int64_t)test_below(n);
            entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
            options.mask = bits;
            options.mask_row_stride = (ptrdiff_t)n_bytes;
            results results;
            results_reset(&results);
            entrol_measure_rows(context, &results.record, NULL, &sheet.matrix, sheet.targets, &options);
            for (size_t row = 0; row < 2; row++) {
                double *logits = sheet_row(&sheet, row);
                oracle_row oracle;
                oracle_measure(&oracle, logits, allowed + row * n, n, sheet.targets[row], 1, 2);
                check_row(&results, row, &oracle, 1, "masked", n, cpu_tested);
                check_top(&results, row, logits, allowed + row * n, n);
                free(logits);
            }
            sheet_free(&sheet);
            guarded_free(&mask);
            free(allowed);
        }
    }
    entrol_context_destroy(context);
}

/* The same bits for any number of threads, any neighbours, any address and any stride. */
static void check_same_bits(void) {
    for (size_t n = 1; n < 9000; n = n * 2 + 3) {
        sheet sheet = sheet_make(37, n, ENTROL_F32);
        for (size_t j = 0; j < 37 * n; j++)
            sheet_put(&sheet, 0, j, test_normal() * 4);
        results expected, got;
        results_reset(&expected);
        entrol_context *one = context_at(cpu_tested, 1);
        entrol_measure_rows(one, &expected.record, NULL, &sheet.matrix, sheet.targets, NULL);
        for (size_t n_threads = 2; n_threads <= 7; n_threads += 5) {
            entrol_context *many = context_at(cpu_tested, n_threads);
            results_reset(&got);
            entrol_measure_rows(many, &got.record, NULL, &sheet.matrix, sheet.targets, NULL);
            CHECK(memcmp(got.floats, expected.floats, sizeof got.floats) == 0);
            CHECK(memcmp(got.rank, expected.rank, sizeof got.rank) == 0);
            entrol_context_destroy(many);
        }
        /* one row at a time, from an odd address */
        char *odd = malloc(n * sizeof(float) + 3);
        for (size_t row = 0; row < 37; row++) {
            memcpy(odd + 3, (char *)sheet.buffer.data + row * n * sizeof(float), n * sizeof(float));
            const entrol_matrix alone = {odd + 3, ENTROL_F32, 1, n, 0};
            results_reset(&got);
            entrol_measure_rows(one, &got.record, NULL, &alone, sheet.targets, NULL);
            for (int i = 0; i < 8; i++)
                CHECK(memcmp(&got.floats[i][0], &expected.floats[i][row], sizeof(float)) == 0);
        }
        /* rows backwards */
        entrol_matrix backwards = sheet.matrix;
        backwards.data = (char *)sheet.buffer.data + 36 * n * sizeof(float);
        backwards.row_stride = -(ptrdiff_t)n;
        results_reset(&got);
        entrol_measure_rows(one, &got.record, NULL, &backwards, sheet.targets, NULL);
        CHECK(memcmp(&got.floats[0][36], &expected.floats[0][0], sizeof(float)) == 0);
        free(odd);
        entrol_context_destroy(one);
        sheet_free(&sheet);
    }
}

/* Rows so few and long that threads share each of them. Trouble anywhere is found, and the bits are the same. */
static void check_shared_rows(void) {
    static const size_t sizes[] = {32769, 65537, 131073, 600001};
    for (size_t k = 0; k < (is_quick() ? 3 : 4); k++) {
        const size_t n = sizes[k];
        sheet sheet = sheet_make(3, n, k % 2 ? ENTROL_BF16 : ENTROL_F32);
        for (size_t j = 0; j < 3 * n; j++)
            sheet_put(&sheet, 0, j, test_normal() * 4 - (double)(j % n) * 40 / (double)n * (k % 3 ? 1 : -1));
        sheet_put(&sheet, 1, n - 1 - test_below(n / 2), NAN);
        results expected, got;
        entrol_diagnosis diagnosis, expected_diagnosis;
        for (size_t n_threads = 1; n_threads <= 7; n_threads += n_threads < 2 ? 1 : 5) {
            entrol_context *context = context_at(cpu_tested, n_threads);
            results_reset(n_threads == 1 ? &expected : &got);
            entrol_measure_rows(context, n_threads == 1 ? &expected.record : &got.record,
                                n_threads == 1 ? &expected_diagnosis : &diagnosis, &sheet.matrix, sheet.targets, NULL);
            entrol_context_destroy(context);
            if (n_threads == 1)
                continue;
            CHECK(memcmp(got.floats, expected.floats, sizeof got.floats) == 0);
            CHECK(memcmp(got.rank, expected.rank, sizeof got.rank) == 0);
            CHECK(memcmp(got.top_id, expected.top_id, sizeof got.top_id) == 0);
            CHECK(diagnosis.n_bad == 1 && diagnosis.first_row == 1 &&
                  diagnosis.first_column == expected_diagnosis.first_column);
        }
        CHECK(!isnan(expected.floats[0][0]) && isnan(expected.floats[0][1]));
        sheet_free(&sheet);
    }
}

/* What is asked for changes nothing in what else is asked for. */
static void check_subsets(void) {
    sheet sheet = sheet_make(20, 5000, ENTROL_F32);
    entrol_context *context = context_at(cpu_tested, 1);
    for (size_t k = 0; k < 2; k++) {
        sheet.matrix.n_columns = k ? 40 : 5000;
        for (size_t j = 0; j < 20 * 5000; j++)
            sheet_put(&sheet, 0, j, test_normal() * 4);
        results all, one;
        results_reset(&all);
        entrol_measure_rows(context, &all.record, NULL, &sheet.matrix, sheet.targets, NULL);
        for (int i = 0; i < 8; i++) {
            results_reset(&one);
            entrol_record record = ENTROL_RECORD_INIT;
            float **slots[8] = {&record.entropy,  &record.logsumexp, &record.logprob,       &record.varentropy,
                                &record.top_prob, &record.margin,    &record.sum_p_squared, &record.renyi};
            *slots[i] = one.floats[i];
            entrol_measure_rows(context, &record, NULL, &sheet.matrix, sheet.targets, NULL);
            CHECK_SAY(memcmp(one.floats[i], all.floats[i], 20 * sizeof(float)) == 0, "%s alone differs",
                      statistic_names[i]);
        }
    }
    entrol_context_destroy(context);
    sheet_free(&sheet);
}

/* Shifting all logits by a power of two that keeps them exact changes no statistic but logsumexp. */
static void check_shift(void) {
    entrol_context *context = context_at(cpu_tested, 1);
    for (size_t n = 5; n < 40000; n *= 7) {
        sheet sheet = sheet_make(2, n, ENTROL_F32);
        for (size_t j = 0; j < n; j++) {
            const double z = (double)test_below(1 << 12) / 256;
            sheet_put(&sheet, 0, j, z);
            sheet_put(&sheet, 1, j, z + 1024);
        }
        results results;
        results_reset(&results);
        entrol_measure_rows(context, &results.record, NULL, &sheet.matrix, sheet.targets, NULL);
        for (int i = 0; i < 8; i++)
            CHECK(i == 1 || results.floats[i][0] == results.floats[i][1]);
        sheet_free(&sheet);
    }
    entrol_context_destroy(context);
}

/* Rows whose offsets pass 2^31 and 2^32 elements, in memory that is only touched where rows are. */
static void check_far_offsets(void) {
    const size_t stride = ((size_t)1 << 31) + 8, n_bytes = (2 * stride + 64) * sizeof(float);
    float *data = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
        test_skip("no address space for 16 GiB");
        return;
    }
    for (size_t row = 0; row < 3; row++)
        for (size_t j = 0; j < 4; j++)
            data[row * stride + j] = (float)(j * row);
    const entrol_matrix matrix = {data, ENTROL_F32, 3, 4, (ptrdiff_t)stride};
    entrol_context *context = context_at(cpu_tested, 1);
    float entropy[3];
    entrol_record record = ENTROL_RECORD_INIT;
    record.entropy = entropy;
    CHECK_INT(entrol_measure_rows(context, &record, NULL, &matrix, NULL, NULL), ENTROL_OK);
    for (size_t row = 0; row < 3; row++) {
        const double logits[4] = {0, (double)row, 2 * (double)row, 3 * (double)row};
        oracle_row oracle;
        oracle_measure(&oracle, logits, NULL, 4, -1, 1, 2);
        CHECK_NEAR(entropy[row], oracle.entropy, 2e-6);
    }
    entrol_context_destroy(context);
    munmap(data, n_bytes);
}

static void test_arguments(void) {
    entrol_context *context = context_at(ENTROL_CPU_BEST, 1);
    float entropy[1] = {5};
    entrol_record record = ENTROL_RECORD_INIT;
    record.entropy = entropy;
    const float logits[2] = {0, 0};
    const entrol_matrix good = {logits, ENTROL_F32, 1, 2, 2};
    entrol_matrix bad = good;
    entrol_diagnosis diagnosis;
    entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
    static const double temperatures[] = {0, -1, 0.99e-6, 1.01e6, NAN, INFINITY};
    for (size_t i = 0; i < 6; i++) {
        options.temperature = temperatures[i];
        CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &good, NULL, &options), ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(diagnosis.argument, "options.temperature");
    }
    CHECK_INT(entrol_measure_rows(NULL, &record, &diagnosis, &good, NULL, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "context");
    bad.data = NULL;
    CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &bad, NULL, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "logits.data");
    bad = good;
    bad.dtype = (entrol_dtype)9;
    CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &bad, NULL, NULL), ENTROL_ERROR_ARGUMENT);
    bad = good;
    bad.n_rows = SIZE_MAX / 2;
    CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &bad, NULL, NULL), ENTROL_ERROR_OVERFLOW);
    record.logprob = entropy;
    CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &good, NULL, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "targets");
    record.logprob = NULL;
    record.n_top = ENTROL_MAX_TOP + 1;
    CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &good, NULL, NULL), ENTROL_ERROR_ARGUMENT);
    record.n_top = 0;
    record.size = 0;
    CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &good, NULL, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK(entropy[0] == 5);
    record.size = sizeof record;
    bad = good;
    bad.n_rows = 0;
    CHECK_INT(entrol_measure_rows(context, &record, NULL, &bad, NULL, NULL), ENTROL_OK);
    bad = good;
    bad.n_columns = 0;
    CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &bad, NULL, NULL), ENTROL_OK);
    CHECK(isnan(entropy[0]) && diagnosis.n_bad == 1 && diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT);
    entrol_context_destroy(context);
}

static void skip_level(void) {
    test_skip("this machine has no such instruction set");
}

static void print_worst(entrol_cpu cpu) {
    printf("    %s: largest error as a share of the contract:", entrol_cpu_name(cpu));
    for (int i = 0; i < 8; i++)
        printf(" %s %.2f", statistic_names[i], worst[cpu][i]);
    printf("\n");
}

/* What holds of each level alone. */
static void run_level(entrol_cpu cpu) {
    static const struct {
        const char *name;
        void (*function)(void);
    } checks[] = {{"trouble", check_trouble},        {"empty_support", check_empty_support},
                  {"targets", check_targets},        {"mask", check_mask},
                  {"same_bits", check_same_bits},    {"shared_rows", check_shared_rows},
                  {"subsets", check_subsets},        {"shift", check_shift},
                  {"far_offsets", check_far_offsets}};
    char name[64];
    cpu_tested = cpu;
    if (!contexts[cpu]) {
        snprintf(name, sizeof name, "level_%s", entrol_cpu_name(cpu));
        test_run(name, skip_level);
        return;
    }
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        snprintf(name, sizeof name, "%s_%s", checks[i].name, entrol_cpu_name(cpu));
        test_run(name, checks[i].function);
    }
    print_worst(cpu);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    contexts_open(NULL);
    TEST(test_arguments);
    TEST(test_small);
    TEST(test_dtypes);
    TEST(test_accuracy_table);
    TEST(test_large);
    TEST(test_levels_of_a_row);
    TEST(test_small_columns_after_great_ones);
    TEST(test_temperatures_at_their_bounds);
    TEST(test_f16_extremes);
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        run_level((entrol_cpu)cpu);
    contexts_close();
    return test_end();
}
