/* Gradients of logits against the analytic oracle, which is itself checked by finite differences of the measured
 * values: every row kind, dtype, destination and level, masks, shards, trouble, and the same bits for any number of
 * threads. */
#include "harness.h"

#include "harness_rows.h"
#include "oracle.h"

#include <float.h>
#include <stdatomic.h>

enum { MOST_ROWS = 64 };

static double worst[ENTROL_CPU_NEON + 1]; /* error as a share of 1e-5 of the greatest part */

/* What a loss says of each row. */
typedef struct loss {
    float logprob[MOST_ROWS], entropy[MOST_ROWS], varentropy[MOST_ROWS];
    entrol_gradient record;
} loss;

/* Parts: 1 logprob, 2 entropy, 4 varentropy. */
static void loss_make(loss *loss, unsigned parts) {
    for (size_t row = 0; row < MOST_ROWS; row++) {
        loss->logprob[row] = (float)test_normal();
        loss->entropy[row] = (float)test_normal();
        loss->varentropy[row] = (float)test_normal();
    }
    loss->record = (entrol_gradient){sizeof(entrol_gradient),
                                     parts & 1 ? loss->logprob : NULL,
                                     parts & 2 ? loss->entropy : NULL,
                                     parts & 4 ? loss->varentropy : NULL,
                                     NULL,
                                     NULL,
                                     NULL,
                                     NULL,
                                     NULL,
                                     NULL};
}

static double part(const float *array, size_t row) {
    return array ? (double)array[row] : 0;
}

/* A row's gradient exactly; free() its d_logits. To its sizes those of the record are added, whose mean of d was
 * rounded. */
static oracle_gradient expect(const sheet *sheet, size_t row, const unsigned char *allowed, const loss *loss,
                              double temperature) {
    const double by[3] = {part(loss->record.logprob, row), part(loss->record.entropy, row),
                          part(loss->record.varentropy, row)};
    double *logits = sheet_row(sheet, row);
    oracle_gradient exact = {.d_logits = malloc(sheet->n_columns * sizeof(long double))};
    oracle_differentiate(&exact, logits, allowed, sheet->n_columns, sheet->targets[row], temperature, by);
    exact.sizes += (fabs(by[0]) + fabs(by[1]) + fabs(by[2])) / temperature;
    free(logits);
    return exact;
}

/* The states of all rows, with what varentropy needs. */
static void measure(entrol_context *context, entrol_state *states, const entrol_matrix *logits, const int64_t *targets,
                    const entrol_measure_options *options) {
    float varentropy[MOST_ROWS];
    entrol_record record = ENTROL_RECORD_INIT;
    record.varentropy = varentropy;
    record.state = states;
    CHECK_INT(entrol_measure_rows(context, &record, NULL, logits, targets, options), ENTROL_OK);
}

/* --- The oracle --- */

static long double loss_of(const double *z, size_t n, int64_t target, double temperature, const double *by) {
    oracle_row row;
    oracle_measure(&row, z, NULL, n, target, temperature, 1);
    return (long double)by[0] * row.logprob + (long double)by[1] * row.entropy + (long double)by[2] * row.varentropy;
}

static void test_oracle(void) {
    for (size_t k = 0; k < 300; k++) {
        const size_t n = 1 + test_below(40);
        double z[40], up[40], down[40], by[3];
        long double dz[40], slope = 0, moved;
        oracle_gradient gradient = {.d_logits = dz};
        const double temperature = exp(test_normal() / 2);
        const int64_t target = (int64_t)test_below(n);
        for (size_t i = 0; i < 3; i++)
            by[i] = test_normal();
        for (size_t i = 0; i < n; i++)
            z[i] = k % 5 == 0 && i % 3 && (int64_t)i != target ? -INFINITY : test_normal() * 2;
        oracle_differentiate(&gradient, z, NULL, n, target, temperature, by);
        for (size_t i = 0; i < n; i++) {
            const double step = 1e-4 * test_normal();
            up[i] = z[i] + step;
            down[i] = z[i] - step;
            slope += z[i] > -INFINITY ? dz[i] * ((long double)up[i] - (long double)down[i]) : 0;
        }
        moved = loss_of(up, n, target, temperature, by) - loss_of(down, n, target, temperature, by);
        CHECK_NEAR(moved, slope, 3e-9 / (temperature * temperature * temperature)); /* the step cubed, and more */
    }
}

/* --- Every row kind --- */

static void compare(entrol_cpu cpu, const sheet *result, size_t row, const oracle_gradient *exact, double before,
                    const char *what) {
    long double sum = 0;
    const bool is_wide = result->dtype == ENTROL_F32 || result->dtype == ENTROL_F64;
    for (size_t j = 0; j < result->n_columns; j++) {
        const double got = sheet_get(result, row, j), value = (double)exact->d_logits[j] + before;
        const double error = fabs(got - value), allowed = 1e-5 * (double)exact->greatest;
        if (is_wide && before == 0 && exact->greatest > 1e-12L)
            worst[cpu] = fmax(worst[cpu], error / allowed);
        CHECK_SAY(error <= allowed + rounding(result->dtype, value) + 1e-18, /* the oracle's own, for a flat row */
                  "%s, %s, V = %zu: column %zu is %.9g, expected %.9g, the greatest part %.3Lg", entrol_cpu_name(cpu),
                  what, result->n_columns, j, got, value, exact->greatest);
        sum +=
            (long double)got - exact->d_logits[j]; /* the exact ones' sum is 0, but for a target that is impossible */
    }
    if (is_wide && before == 0)
        CHECK_SAY(fabsl(sum) <= 2e-6L * exact->sizes, "%s, %s, V = %zu: the sum is %Lg of %Lg", entrol_cpu_name(cpu),
                  what, result->n_columns, sum, exact->sizes);
}

enum { AS_F32, AS_LOGITS, ADDED, IN_PLACE, N_WAYS };

static void check_way(entrol_cpu cpu, const sheet *logits, const entrol_state *state, const loss *loss,
                      const oracle_gradient *exact, const entrol_measure_options *options, int way, const char *what) {
    sheet result = sheet_make(1, logits->n_columns, way == AS_F32 ? ENTROL_F32 : logits->dtype);
    const double before = way == ADDED ? 0.25 : 0;
    for (size_t j = 0; j < result.n_columns; j++)
        sheet_put(&result, 0, j, way == IN_PLACE ? sheet_get(logits, 0, j) : way == ADDED ? before : NAN);
    const entrol_destination to = destination_of(&result, way == ADDED);
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_gradient_rows(contexts[cpu], &to, &diagnosis, &loss->record, state,
                                   way == IN_PLACE ? &result.matrix : &logits->matrix, logits->targets, options),
              ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 0);
    compare(cpu, &result, 0, exact, before, what);
    sheet_free(&result);
}

static void check_kind(const sheet *sheet, unsigned parts, double temperature, const char *what) {
    static loss loss;
    entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
    options.temperature = temperature;
    loss_make(&loss, parts);
    oracle_gradient exact = expect(sheet, 0, NULL, &loss, temperature);
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
        entrol_state state;
        if (!contexts[cpu])
            continue;
        measure(contexts[cpu], &state, &sheet->matrix, sheet->targets, &options);
        for (int way = 0; way < (sheet->n_columns > 20000 ? 1 : N_WAYS); way++)
            check_way((entrol_cpu)cpu, sheet, &state, &loss, &exact, &options, way, what);
    }
    free(exact.d_logits);
}

/* Every `step`th kind. Temperatures are powers of two: 1 / T is rounded to float. */
static void check_kinds(size_t n, entrol_dtype dtype, int step) {
    static const double temperatures[] = {1, 0.5, 4};
    for (int kind = (int)test_below((size_t)step); kind < N_KINDS; kind += step) {
        sheet sheet = sheet_make(1, n, dtype);
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j, kind_value(kind, j, n));
        for (size_t j = 0; j < n; j++) { /* any target that is possible */
            const size_t target = (test_below(n) + j) % n;
            sheet.targets[0] = (int64_t)target;
            if (sheet_get(&sheet, 0, target) > -INFINITY)
                break;
        }
        if (sheet_get(&sheet, 0, (size_t)sheet.targets[0]) > -INFINITY)
            check_kind(&sheet, 1 + (unsigned)(kind + (int)n) % 7, temperatures[kind % 3], kind_name(kind));
        sheet_free(&sheet);
    }
}

static void test_short(void) {
    for (size_t n = 1; n <= 66; n += is_quick() ? 5 : 1)
        check_kinds(n, (entrol_dtype)(n % 4), 1);
    for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++)
        check_kinds(18, (entrol_dtype)dtype, 1);
}

static void test_long(void) {
    static const size_t sizes[] = {67, 255, 2047, 2048, 2049, 10007};
    for (size_t i = 0; i < (is_quick() ? 2 : 6); i++)
        for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++)
            check_kinds(sizes[i], (entrol_dtype)dtype, 1);
    check_kinds(2049, ENTROL_F32, is_quick() ? 4 : 1);
}

static void test_vocabularies(void) {
    check_kinds(65537, ENTROL_F32, is_quick() ? 12 : 2);
    check_kinds(151936, ENTROL_F32, is_quick() ? 24 : 4);
    check_kinds(262144, ENTROL_BF16, is_quick() ? 24 : 8);
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        if (contexts[cpu])
            printf("    %s: largest error as a share of 1e-5 of the greatest part: %.3f\n",
                   entrol_cpu_name((entrol_cpu)cpu), worst[cpu]);
}

static void test_f16_extremes(void) {
    sheet sheet = sheet_make(1, 300, ENTROL_F16);
    for (size_t j = 0; j < 300; j++)
        sheet_put(&sheet, 0, j, j % 3 ? -65504 : j % 2 ? 65504 : 0x1p-24 * (double)j);
    for (unsigned parts = 1; parts < 8; parts++)
        check_kind(&sheet, parts, 1, "f16 extremes");
    sheet_free(&sheet);
}

/* Targets whose distance from the greatest logit, over T or squared, is beyond a double. */
static void test_far_targets(void) {
    static const double targets[] = {-1e200, -DBL_MAX}, temperatures[] = {1, 0.5};
    for (size_t k = 0; k < 8; k++) {
        const size_t n = k / 4 ? 2049 : 18;
        sheet sheet = sheet_make(1, n, ENTROL_F64);
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j, test_normal());
        sheet_put(&sheet, 0, n / 2, targets[k % 2]);
        sheet.targets[0] = (int64_t)(n / 2);
        for (unsigned parts = 1; parts < 8; parts++)
            check_kind(&sheet, parts, temperatures[k / 2 % 2], "far target");
        sheet_free(&sheet);
    }
}

/* --- Rows together --- */

/* Every third row is of a sort of its own. */
enum { FINE, ZERO_RECORD, HAS_NAN, EMPTY, NO_TARGET, IMPOSSIBLE_TARGET, N_SORTS };

static int sort_of(size_t row) {
    return row % 3 ? FINE : (int)(row / 3 % N_SORTS);
}

/* A row whose record is 0 has a NaN among its logits, which nobody must look at. */
static void fill_sorts(sheet *sheet, loss *loss) {
    for (size_t row = 0; row < sheet->n_rows; row++) {
        const int sort = sort_of(row);
        for (size_t j = 0; j < sheet->n_columns; j++)
            sheet_put(sheet, row, j, sort == EMPTY || j % 7 == 3 ? -INFINITY : test_normal());
        sheet->targets[row] = (int64_t)(sort == NO_TARGET           ? sheet->n_columns
                                        : sort == IMPOSSIBLE_TARGET ? 3
                                                                    : sheet->n_columns - 1);
        if (sort == ZERO_RECORD)
            loss->logprob[row] = loss->entropy[row] = loss->varentropy[row] = 0;
        if (sort == ZERO_RECORD || sort == HAS_NAN)
            sheet_put(sheet, row, test_below(sheet->n_columns), NAN);
    }
}

static void check_sorted_row(entrol_cpu cpu, const sheet *logits, const sheet *result, size_t row, const loss *loss,
                             double before) {
    const int sort = sort_of(row);
    if (sort == FINE || sort == IMPOSSIBLE_TARGET) {
        oracle_gradient exact = expect(logits, row, NULL, loss, 1);
        compare(cpu, result, row, &exact, before, "rows together");
        free(exact.d_logits);
        CHECK(sheet_get(result, row, 3) == before); /* -inf: exactly nothing */
    }
    for (size_t j = 0; j < logits->n_columns; j++) {
        const double got = sheet_get(result, row, j);
        if (sort == ZERO_RECORD)
            CHECK(got == before);
        else if (sort != FINE && sort != IMPOSSIBLE_TARGET)
            CHECK(isnan(got));
    }
}

static size_t find_nan(const sheet *sheet, size_t row) {
    size_t j = 0;
    while (j < sheet->n_columns && !isnan(sheet_get(sheet, row, j)))
        j++;
    return j;
}

static void check_together(entrol_cpu cpu, size_t n_columns, int way) {
    static loss loss;
    const double before = way == ADDED ? 0.5 : 0;
    entrol_state states[MOST_ROWS];
    sheet logits = sheet_make(MOST_ROWS - 3, n_columns, ENTROL_F32),
          result = sheet_make(MOST_ROWS - 3, n_columns, ENTROL_F32);
    loss_make(&loss, 7);
    fill_sorts(&logits, &loss);
    for (size_t i = 0; i < logits.n_rows * n_columns; i++)
        sheet_put(&result, i / n_columns, i % n_columns,
                  way == IN_PLACE ? sheet_get(&logits, i / n_columns, i % n_columns)
                  : way == ADDED  ? before
                                  : NAN);
    measure(contexts[cpu], states, &logits.matrix, logits.targets, NULL);
    const entrol_destination to = destination_of(&result, way == ADDED);
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_gradient_rows(contexts[cpu], &to, &diagnosis, &loss.record, states,
                                   way == IN_PLACE ? &result.matrix : &logits.matrix, logits.targets, NULL),
              ENTROL_OK);
    size_t n_bad = 0;
    for (size_t row = 0; row < logits.n_rows; row++) {
        const int sort = sort_of(row);
        n_bad += sort == HAS_NAN || sort == EMPTY || sort == NO_TARGET;
        check_sorted_row(cpu, &logits, &result, row, &loss, before);
    }
    CHECK_INT(diagnosis.n_bad, n_bad);
    CHECK_INT(diagnosis.first_row, 3 * HAS_NAN);
    CHECK_INT(diagnosis.first_column, find_nan(&logits, 3 * HAS_NAN));
    CHECK_INT(diagnosis.reason, ENTROL_REASON_NAN);
    sheet_free(&logits);
    sheet_free(&result);
}

static void test_together(void) {
    static const size_t sizes[] = {4, 18, 64, 65, 2500};
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        for (size_t k = 0; k < 5 * N_WAYS && contexts[cpu]; k += is_quick() ? 3 : 1)
            check_together((entrol_cpu)cpu, sizes[k / N_WAYS], (int)(k % N_WAYS));
}

/* One row and what is wrong with it, which is named although the gradient takes its place, by either call. */
static void check_trouble_in_place(size_t n, entrol_reason reason) {
    for (int is_fused = 0; is_fused < 2; is_fused++) {
        static loss loss;
        const size_t column = n / 2;
        sheet logits = sheet_make(1, n, ENTROL_F32);
        for (size_t j = 0; j < n; j++)
            sheet_put(&logits, 0, j, reason == ENTROL_REASON_EMPTY_SUPPORT ? -INFINITY : test_normal());
        if (reason == ENTROL_REASON_NAN || reason == ENTROL_REASON_INFINITE)
            sheet_put(&logits, 0, column, reason == ENTROL_REASON_NAN ? NAN : INFINITY);
        logits.targets[0] = reason == ENTROL_REASON_TARGET ? (int64_t)n : 0;
        loss_make(&loss, 7);
        const entrol_destination to = destination_of(&logits, 0);
        const entrol_record nothing = ENTROL_RECORD_INIT;
        entrol_diagnosis found;
        entrol_state state;
        measure(contexts[ENTROL_CPU_SCALAR], &state, &logits.matrix, logits.targets, NULL);
        if (is_fused)
            entrol_measure_and_gradient_rows(contexts[ENTROL_CPU_SCALAR], &to, &nothing, &found, &loss.record,
                                             &logits.matrix, logits.targets, NULL, NULL, NULL);
        else
            entrol_gradient_rows(contexts[ENTROL_CPU_SCALAR], &to, &found, &loss.record, &state, &logits.matrix,
                                 logits.targets, NULL);
        CHECK_INT(found.n_bad, 1);
        CHECK_INT(found.reason, reason);
        CHECK_INT(found.first_column, reason == ENTROL_REASON_NAN || reason == ENTROL_REASON_INFINITE ? column : 0);
        for (size_t j = 0; j < n; j++)
            CHECK(isnan(sheet_get(&logits, 0, j)));
        sheet_free(&logits);
    }
}

static void test_trouble_in_place(void) {
    for (entrol_reason reason = ENTROL_REASON_NAN; reason <= ENTROL_REASON_TARGET; reason++) {
        check_trouble_in_place(18, reason);
        check_trouble_in_place(5000, reason);
    }
}

static void test_masks(void) {
    for (size_t k = 0; k < 60; k++) {
        static loss loss;
        const size_t n = k % 2 ? 2 + test_below(62) : 65 + test_below(5000);
        unsigned char *allowed = malloc(n);
        uint8_t *mask = calloc(n / 8 + 1, 1);
        sheet logits = sheet_make(1, n, (entrol_dtype)(k % 4)), result = sheet_make(1, n, ENTROL_F32);
        for (size_t j = 0; j < n; j++) {
            allowed[j] = test_below(3) > 0 || j == n / 2;
            mask[j / 8] |= (uint8_t)(allowed[j] << j % 8);
            sheet_put(&logits, 0, j, allowed[j] ? test_normal() : NAN); /* what is masked is not looked at */
        }
        logits.targets[0] = (int64_t)(n / 2);
        loss_make(&loss, 7);
        entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
        options.mask = mask;
        options.temperature = 2;
        oracle_gradient exact = expect(&logits, 0, allowed, &loss, 2);
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
            entrol_state state;
            const entrol_destination to = destination_of(&result, 0);
            if (!contexts[cpu])
                continue;
            measure(contexts[cpu], &state, &logits.matrix, logits.targets, &options);
            CHECK_INT(entrol_gradient_rows(contexts[cpu], &to, NULL, &loss.record, &state, &logits.matrix,
                                           logits.targets, &options),
                      ENTROL_OK);
            compare((entrol_cpu)cpu, &result, 0, &exact, 0, "masked");
            for (size_t j = 0; j < n; j++)
                CHECK(allowed[j] || sheet_get(&result, 0, j) == 0);
        }
        sheet_free(&logits);
        sheet_free(&result);
        free(allowed);
        free(mask);
        free(exact.d_logits);
    }
}

/* A vocabulary in two shards: states merged, each shard's gradient from the merged state. */
static void test_shards(void) {
    for (size_t k = 0; k < 40; k++) {
        static loss loss;
        const size_t n = 2 + test_below(k % 2 ? 100 : 6000), cut = 1 + test_below(n - 1);
        sheet logits = sheet_make(1, n, ENTROL_F32), result = sheet_make(1, n, ENTROL_F32);
        for (size_t j = 0; j < n; j++)
            sheet_put(&logits, 0, j, test_normal() * 3);
        logits.targets[0] = (int64_t)test_below(n);
        loss_make(&loss, 7);
        oracle_gradient exact = expect(&logits, 0, NULL, &loss, 1);
        entrol_state state, other;
        entrol_matrix shards[2] = {logits.matrix, logits.matrix};
        shards[0].n_columns = cut;
        shards[1].n_columns = n - cut;
        shards[1].data = (const float *)logits.buffer.data + cut;
        const int64_t targets[2] = {logits.targets[0], logits.targets[0] - (int64_t)cut};
        measure(contexts[ENTROL_CPU_SCALAR], &state, &shards[0], &targets[0], NULL);
        measure(contexts[ENTROL_CPU_SCALAR], &other, &shards[1], &targets[1], NULL);
        CHECK_INT(entrol_state_merge(&state, &other, NULL), ENTROL_OK);
        for (int i = 0; i < 2; i++) {
            const entrol_destination to = {(float *)result.buffer.data + (i ? cut : 0), ENTROL_F32, (ptrdiff_t)n, 0};
            entrol_diagnosis diagnosis;
            CHECK_INT(entrol_gradient_rows(contexts[ENTROL_CPU_SCALAR], &to, &diagnosis, &loss.record, &state,
                                           &shards[i], &targets[i], NULL),
                      ENTROL_OK);
            CHECK_INT(diagnosis.n_bad, 0);
        }
        compare(ENTROL_CPU_SCALAR, &result, 0, &exact, 0, "shards");
        sheet_free(&logits);
        sheet_free(&result);
        free(exact.d_logits);
    }
}

/* A shard without fault of a row whose trouble is in another shard; the reason is the row's. */
static void test_trouble_in_another_shard(void) {
    static const struct {
        double here, there;
        int64_t target;
        entrol_reason reason;
    } cases[] = {{1, NAN, 0, ENTROL_REASON_NAN},           {1, INFINITY, 0, ENTROL_REASON_INFINITE},
                 {-INFINITY, NAN, 0, ENTROL_REASON_NAN},   {-INFINITY, -INFINITY, 0, ENTROL_REASON_EMPTY_SUPPORT},
                 {-INFINITY, 1, -1, ENTROL_REASON_TARGET}, {1, 1, -1, ENTROL_REASON_TARGET}};
    float by[1] = {1}, z[2][2], dz[2];
    entrol_gradient gradient = ENTROL_GRADIENT_INIT;
    gradient.logprob = by;
    for (size_t k = 0; k < 12; k++) {
        const size_t i = k / 2;
        const entrol_matrix here = {z[0], ENTROL_F32, 1, 2, 2}, there = {z[1], ENTROL_F32, 1, 2, 2};
        const entrol_destination to = {k % 2 ? z[0] : dz, ENTROL_F32, 2, 0};
        const int64_t none = -1;
        z[0][0] = z[0][1] = (float)cases[i].here;
        z[1][0] = z[1][1] = (float)cases[i].there;
        entrol_state state, other;
        entrol_diagnosis diagnosis;
        measure(contexts[ENTROL_CPU_SCALAR], &state, &here, &cases[i].target, NULL);
        measure(contexts[ENTROL_CPU_SCALAR], &other, &there, &none, NULL);
        CHECK_INT(entrol_state_merge(&state, &other, NULL), ENTROL_OK);
        CHECK_INT(entrol_gradient_rows(contexts[ENTROL_CPU_SCALAR], &to, &diagnosis, &gradient, &state, &here,
                                       &cases[i].target, NULL),
                  ENTROL_OK);
        CHECK_INT(diagnosis.n_bad, 1);
        CHECK_INT(diagnosis.first_column, 0);
        CHECK_INT(diagnosis.reason, cases[i].reason);
        CHECK(isnan(((const float *)to.data)[0]) && isnan(((const float *)to.data)[1]));
    }
}

/* --- Records that give no gradient --- */

enum { ROWS_OF_RECORDS = 20 };

/* Rows 7 and 19 have this value in one array of their record and are in trouble, by either call; row 5 has a great one
 * and is not. The fused call also wants what nothing is wrong with. */
static void check_records(size_t n_columns, unsigned array, double value, int is_fused, int is_in_place) {
    static loss loss;
    float *const arrays[3] = {loss.logprob, loss.entropy, loss.varentropy}, logprob[ROWS_OF_RECORDS];
    sheet logits = sheet_make(ROWS_OF_RECORDS, n_columns, ENTROL_F32);
    sheet result = sheet_make(ROWS_OF_RECORDS, n_columns, ENTROL_F32);
    entrol_state states[ROWS_OF_RECORDS];
    entrol_record record = ENTROL_RECORD_INIT;
    record.logprob = logprob;
    loss_make(&loss, 7);
    arrays[array][5] = 1e34f;
    arrays[array][7] = arrays[array][19] = (float)value;
    for (size_t i = 0; i < ROWS_OF_RECORDS * n_columns; i++) {
        sheet_put(&logits, i / n_columns, i % n_columns, test_normal());
        sheet_put(&result, i / n_columns, i % n_columns, sheet_get(&logits, i / n_columns, i % n_columns));
    }
    const entrol_destination to = destination_of(&result, 0);
    const entrol_matrix *from = is_in_place ? &result.matrix : &logits.matrix;
    entrol_context *context = contexts[ENTROL_CPU_SCALAR];
    entrol_diagnosis found;
    measure(context, states, &logits.matrix, logits.targets, NULL);
    if (is_fused)
        entrol_measure_and_gradient_rows(context, &to, &record, &found, &loss.record, from, logits.targets, NULL, NULL,
                                         NULL);
    else
        entrol_gradient_rows(context, &to, &found, &loss.record, states, from, logits.targets, NULL);
    CHECK_INT(found.n_bad, 2);
    CHECK_INT(found.first_row, 7);
    CHECK_INT(found.first_column, 0);
    CHECK_INT(found.reason, ENTROL_REASON_GRADIENT);
    for (size_t row = 0; row < ROWS_OF_RECORDS; row++) {
        if (row != 7 && row != 19) {
            oracle_gradient exact = expect(&logits, row, NULL, &loss, 1);
            compare(ENTROL_CPU_SCALAR, &result, row, &exact, 0, "records");
            free(exact.d_logits);
        }
        for (size_t j = 0; j < n_columns && (row == 7 || row == 19); j++)
            CHECK(isnan(sheet_get(&result, row, j)));
    }
    sheet_free(&logits);
    sheet_free(&result);
}

static void test_records_that_are_not_finite(void) {
    static const double values[] = {NAN, INFINITY, -INFINITY};
    for (unsigned k = 0; k < 36; k += is_quick() ? 5 : 1)
        check_records(k % 2 ? 18 : 2500, k / 12, values[k % 3], k / 2 % 2, k / 4 % 2);
    check_records(18, 2, (double)FLT_MAX, 0, 0); /* dL/dV y^2 is beyond a float */
}

/* The target's element alone is beyond a float: 1e37 / T. */
static void test_a_target_beyond_a_float(void) {
    static const float by_logprob[1] = {1e37f};
    static const size_t sizes[] = {18, 1000};
    for (size_t k = 0; k < 2; k++) {
        sheet logits = sheet_make(1, sizes[k], ENTROL_F32), result = sheet_make(1, sizes[k], ENTROL_F32);
        entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
        entrol_gradient gradient = ENTROL_GRADIENT_INIT;
        entrol_diagnosis found;
        const entrol_record record = ENTROL_RECORD_INIT;
        const entrol_destination to = destination_of(&result, 0);
        for (size_t j = 0; j < sizes[k]; j++)
            sheet_put(&logits, 0, j, 0);
        logits.targets[0] = 3;
        options.temperature = 0.01;
        gradient.logprob = by_logprob;
        CHECK_INT(entrol_measure_and_gradient_rows(contexts[ENTROL_CPU_SCALAR], &to, &record, &found, &gradient,
                                                   &logits.matrix, logits.targets, NULL, NULL, &options),
                  ENTROL_OK);
        CHECK(found.n_bad == 1 && found.reason == ENTROL_REASON_GRADIENT);
        CHECK(isnan(sheet_get(&result, 0, 0)) && isnan(sheet_get(&result, 0, 3)));
        sheet_free(&logits);
        sheet_free(&result);
    }
}

/* dL/dV of states that were measured for entropy alone; where it is 0, nothing is missing. */
static void test_states_without_varentropy(void) {
    static loss loss;
    float entropy[2];
    entrol_state states[2];
    entrol_record record = ENTROL_RECORD_INIT;
    record.entropy = entropy;
    record.state = states;
    sheet logits = sheet_make(2, 30, ENTROL_F32), result = sheet_make(2, 30, ENTROL_F32);
    for (size_t i = 0; i < 60; i++)
        sheet_put(&logits, i / 30, i % 30, test_normal());
    loss_make(&loss, 7);
    loss.varentropy[0] = 0;
    CHECK_INT(entrol_measure_rows(contexts[ENTROL_CPU_SCALAR], &record, NULL, &logits.matrix, logits.targets, NULL),
              ENTROL_OK);
    const entrol_destination to = destination_of(&result, 0);
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_gradient_rows(contexts[ENTROL_CPU_SCALAR], &to, &diagnosis, &loss.record, states, &logits.matrix,
                                   logits.targets, NULL),
              ENTROL_OK);
    CHECK(diagnosis.n_bad == 1 && diagnosis.first_row == 1 && diagnosis.reason == ENTROL_REASON_GRADIENT);
    oracle_gradient exact = expect(&logits, 0, NULL, &loss, 1);
    compare(ENTROL_CPU_SCALAR, &result, 0, &exact, 0, "without varentropy");
    free(exact.d_logits);
    for (size_t j = 0; j < 30; j++)
        CHECK(isnan(sheet_get(&result, 1, j)));
    sheet_free(&logits);
    sheet_free(&result);
}

/* --- Measuring and gradient in one call --- */

typedef struct listener {
    float *entropy, *by_entropy;
    atomic_int heard[2000];
} listener;

/* A bonus that pulls each row's entropy to 1. */
static void hear(void *user, size_t first_row, size_t n_rows) {
    listener *listener = user;
    for (size_t row = first_row; row < first_row + n_rows; row++) {
        atomic_fetch_add(&listener->heard[row], 1);
        listener->by_entropy[row] = 2 * (listener->entropy[row] - 1);
    }
}

static void check_fused(size_t n_rows, size_t n_columns, size_t n_threads) {
    static listener listener;
    entrol_context *context = context_at(ENTROL_CPU_BEST, n_threads);
    sheet logits = sheet_make(n_rows, n_columns, ENTROL_F32), apart = sheet_make(n_rows, n_columns, ENTROL_F32);
    sheet fused = sheet_make(n_rows, n_columns, ENTROL_F32);
    float *entropy = calloc(n_rows, sizeof *entropy), *by_entropy = calloc(n_rows, sizeof *by_entropy);
    entrol_state *states = calloc(n_rows, sizeof *states);
    for (size_t i = 0; i < n_rows * n_columns; i++)
        ((float *)logits.buffer.data)[i] = (float)test_normal();
    size_t n_bad = 0;
    for (size_t row = 1; row < n_rows; row += 7, n_bad++)
        ((float *)logits.buffer.data)[row * n_columns + 1] = NAN;
    memset(&listener, 0, sizeof listener);
    listener.entropy = entropy;
    listener.by_entropy = by_entropy;
    entrol_record record = ENTROL_RECORD_INIT;
    record.entropy = entropy;
    entrol_gradient gradient = ENTROL_GRADIENT_INIT;
    gradient.entropy = by_entropy;
    entrol_destination to = destination_of(&fused, 0);
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_measure_and_gradient_rows(context, &to, &record, &diagnosis, &gradient, &logits.matrix, NULL, hear,
                                               &listener, NULL),
              ENTROL_OK);
    CHECK(diagnosis.n_bad == n_bad && diagnosis.first_row == 1 && diagnosis.first_column == 1);
    for (size_t row = 0; row < n_rows; row++)
        CHECK_INT(atomic_load(&listener.heard[row]), 1);
    /* the same from two calls on one thread */
    entrol_context *other = context_at(ENTROL_CPU_BEST, 1);
    record.state = states;
    to = destination_of(&apart, 0);
    CHECK_INT(entrol_measure_rows(other, &record, NULL, &logits.matrix, NULL, NULL), ENTROL_OK);
    CHECK_INT(entrol_gradient_rows(other, &to, NULL, &gradient, states, &logits.matrix, NULL, NULL), ENTROL_OK);
    CHECK(memcmp(fused.buffer.data, apart.buffer.data, n_rows * n_columns * sizeof(float)) == 0);
    CHECK(isnan(sheet_get(&fused, 1, 0)) && isfinite(sheet_get(&fused, 0, 0)));
    sheet_free(&logits);
    sheet_free(&apart);
    sheet_free(&fused);
    free(entropy);
    free(by_entropy);
    free(states);
    entrol_context_destroy(context);
    entrol_context_destroy(other);
}

static void test_fused(void) {
    static const size_t threads[] = {1, 2, 7};
    for (size_t i = 0; i < 3; i++) {
        check_fused(2000, 4, threads[i]);
        check_fused(1999, 18, threads[i]);
        check_fused(300, 65, threads[i]);
        check_fused(5, 70000, threads[i]);
    }
    check_fused(3, 2000000, 2); /* 24 MB: past the caches */
}

/* A record that is known before, and a target that only the gradient needs. */
static void test_fused_without_callback(void) {
    static loss loss;
    sheet logits = sheet_make(20, 30, ENTROL_F32), result = sheet_make(20, 30, ENTROL_F32);
    loss_make(&loss, 5);
    for (size_t i = 0; i < 600; i++)
        sheet_put(&logits, i / 30, i % 30, test_normal());
    logits.targets[7] = -1;
    const entrol_record nothing = ENTROL_RECORD_INIT;
    const entrol_destination to = destination_of(&result, 0);
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_measure_and_gradient_rows(contexts[ENTROL_CPU_SCALAR], &to, &nothing, &diagnosis, &loss.record,
                                               &logits.matrix, logits.targets, NULL, NULL, NULL),
              ENTROL_OK);
    CHECK(diagnosis.n_bad == 1 && diagnosis.first_row == 7 && diagnosis.reason == ENTROL_REASON_TARGET);
    for (size_t row = 0; row < 20; row++) {
        if (row == 7)
            continue;
        oracle_gradient exact = expect(&logits, row, NULL, &loss, 1);
        compare(ENTROL_CPU_SCALAR, &result, row, &exact, 0, "without callback");
        free(exact.d_logits);
    }
    sheet_free(&logits);
    sheet_free(&result);
}

/* The states of the fused call are enough for the same gradient again; what only dL/dV needs is there only with it. */
static void test_states_of_the_fused_call(void) {
    static loss loss;
    for (unsigned parts = 1; parts < 8; parts++) {
        sheet logits = sheet_make(20, 100, ENTROL_F32), fused = sheet_make(20, 100, ENTROL_F32);
        sheet apart = sheet_make(20, 100, ENTROL_F32);
        entrol_state states[20];
        entrol_record record = ENTROL_RECORD_INIT;
        record.state = states;
        loss_make(&loss, parts);
        for (size_t i = 0; i < 2000; i++)
            sheet_put(&logits, i / 100, i % 100, test_normal());
        const entrol_destination to = destination_of(&fused, 0), again = destination_of(&apart, 0);
        entrol_context *context = contexts[ENTROL_CPU_SCALAR];
        CHECK_INT(entrol_measure_and_gradient_rows(context, &to, &record, NULL, &loss.record, &logits.matrix,
                                                   logits.targets, NULL, NULL, NULL),
                  ENTROL_OK);
        CHECK_INT(
            entrol_gradient_rows(context, &again, NULL, &loss.record, states, &logits.matrix, logits.targets, NULL),
            ENTROL_OK);
        CHECK(memcmp(fused.buffer.data, apart.buffer.data, 2000 * sizeof(float)) == 0);
        CHECK(isnan(states[3].m2) == !(parts & 4) && states[3].target == sheet_get(&logits, 3, 0));
        sheet_free(&logits);
        sheet_free(&fused);
        sheet_free(&apart);
    }
}

static void check_refused(const entrol_destination *to, const entrol_gradient *gradient, const entrol_state *states,
                          const entrol_matrix *logits, const char *argument) {
    entrol_diagnosis diagnosis = {0};
    CHECK_INT(entrol_gradient_rows(contexts[ENTROL_CPU_SCALAR], to, &diagnosis, gradient, states, logits, NULL, NULL),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "none", argument);
}

static void test_bad_arguments(void) {
    float z[4] = {1, 2, 3, 4}, dz[4], by[2] = {1, 1};
    entrol_state states[2];
    const entrol_matrix logits = {z, ENTROL_F32, 2, 2, 2};
    const entrol_destination to = {dz, ENTROL_F32, 2, 0}, no_data = {NULL, ENTROL_F32, 2, 0},
                             no_dtype = {dz, (entrol_dtype)9, 2, 0}, no_stride = {dz, ENTROL_F32, 0, 0};
    entrol_gradient gradient = ENTROL_GRADIENT_INIT;
    gradient.entropy = by;
    measure(contexts[ENTROL_CPU_SCALAR], states, &logits, NULL, NULL);
    check_refused(NULL, &gradient, states, &logits, "d_logits");
    check_refused(&no_data, &gradient, states, &logits, "d_logits");
    check_refused(&no_dtype, &gradient, states, &logits, "d_logits");
    check_refused(&no_stride, &gradient, states, &logits, "d_logits.row_stride");
    check_refused(&to, NULL, states, &logits, "gradient");
    check_refused(&to, &gradient, NULL, &logits, "states");
    check_refused(&to, &gradient, states, NULL, "logits");
    gradient.logprob = by;
    check_refused(&to, &gradient, states, &logits, "targets");
    gradient.size = 0;
    check_refused(&to, &gradient, states, &logits, "gradient");
    gradient = (entrol_gradient)ENTROL_GRADIENT_INIT; /* nothing: zeros */
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_measure_and_gradient_rows(contexts[ENTROL_CPU_SCALAR], &to, NULL, &diagnosis, &gradient, &logits,
                                               NULL, NULL, NULL, NULL),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "record");
    CHECK_INT(entrol_gradient_rows(contexts[ENTROL_CPU_SCALAR], &to, NULL, &gradient, states, &logits, NULL, NULL),
              ENTROL_OK);
    CHECK(dz[0] == 0 && dz[1] == 0 && dz[2] == 0 && dz[3] == 0);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    contexts_open(NULL);
    TEST(test_oracle);
    TEST(test_short);
    TEST(test_long);
    TEST(test_vocabularies);
    TEST(test_f16_extremes);
    TEST(test_far_targets);
    TEST(test_together);
    TEST(test_trouble_in_place);
    TEST(test_masks);
    TEST(test_shards);
    TEST(test_trouble_in_another_shard);
    TEST(test_records_that_are_not_finite);
    TEST(test_a_target_beyond_a_float);
    TEST(test_states_without_varentropy);
    TEST(test_fused);
    TEST(test_fused_without_callback);
    TEST(test_states_of_the_fused_call);
    TEST(test_bad_arguments);
    contexts_close();
    return test_end();
}
