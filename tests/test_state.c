/* Running states: a row in pieces, merged in any order, has the statistics of the whole row, by the oracle. */
#include "harness.h"

#include "harness_rows.h"
#include "oracle.h"

enum { MOST_PIECES = 9 };

static entrol_context *context;
static entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;

/* Every statistic that a state is enough for. */
typedef struct results {
    float values[8];
    entrol_state state;
    entrol_record record;
} results;

static const char *const names[8] = {"entropy",  "logsumexp", "logprob",       "varentropy",
                                     "top_prob", "margin",    "sum_p_squared", "renyi"};

static void results_reset(results *results) {
    float *v = results->values;
    results->record = (entrol_record)ENTROL_RECORD_INIT;
    results->record.entropy = v;
    results->record.logsumexp = v + 1;
    results->record.logprob = v + 2;
    results->record.varentropy = v + 3;
    results->record.top_prob = v + 4;
    results->record.margin = v + 5;
    results->record.sum_p_squared = v + 6;
    results->record.renyi = v + 7;
}

/* Measures columns [begin, end) of a sheet's only row. */
static entrol_state measure_piece(const sheet *sheet, size_t begin, size_t end) {
    entrol_matrix piece = sheet->matrix;
    results results;
    results_reset(&results);
    results.record.state = &results.state;
    piece.data = (const char *)piece.data + begin * entrol_dtype_size(sheet->dtype);
    piece.n_columns = end - begin;
    const int64_t target = sheet->targets[0] - (int64_t)begin;
    CHECK_INT(entrol_measure_rows(context, &results.record, NULL, &piece, &target, &options), ENTROL_OK);
    return results.state;
}

/* Cuts the row at random places, some of them the same, and merges the pieces pair by pair in random order. */
static entrol_state measure_in_pieces(const sheet *sheet) {
    size_t cuts[MOST_PIECES + 1] = {0};
    const size_t n_pieces = 1 + test_below(MOST_PIECES);
    entrol_state states[MOST_PIECES];
    for (size_t i = 1; i < n_pieces; i++) {
        cuts[i] = test_below(sheet->n_columns + 1);
        for (size_t j = i; j > 0 && cuts[j - 1] > cuts[j]; j--) {
            const size_t other = cuts[j];
            cuts[j] = cuts[j - 1];
            cuts[j - 1] = other;
        }
    }
    cuts[n_pieces] = sheet->n_columns;
    for (size_t i = 0; i < n_pieces; i++)
        states[i] = measure_piece(sheet, cuts[i], cuts[i + 1]);
    for (size_t left = n_pieces; left > 1; left--) {
        const size_t i = test_below(left);
        entrol_state last = states[i];
        states[i] = states[left - 1];
        CHECK_INT(entrol_state_merge(&states[test_below(left - 1)], &last, &options), ENTROL_OK);
    }
    return states[0];
}

/* The contract of measure.h. */
static double tolerance_of(int statistic, double value) {
    double tolerance = 2e-6 * fmax(1, fabs(value));
    if ((statistic == 0 || statistic == 3) && value < 1e-3)
        tolerance = fmin(tolerance, 1e-3 * value + 1e-25);
    return options.temperature == 1 ? tolerance : 2 * tolerance;
}

/* The least logit; of f64 as near as a float shows its distance from the greatest. */
static void check_least(const sheet *sheet, const entrol_state *state, const char *what) {
    double least = INFINITY;
    for (size_t j = 0; j < sheet->n_columns; j++)
        least = fmin(least, sheet_get(sheet, 0, j)); /* of a NaN and a number, the number */
    const double allowed = sheet->dtype == ENTROL_F64 ? 1e-7 * (state->m - least) : 0;
    CHECK_SAY(state->least == least || fabs(state->least - least) <= allowed, "%s, V = %zu: least is %.9g, not %.9g",
              what, sheet->n_columns, state->least, least);
}

static void check_state(const sheet *sheet, const entrol_state *state, const char *what) {
    double *logits = sheet_row(sheet, 0);
    oracle_row row;
    results results;
    results_reset(&results);
    CHECK_INT(entrol_measure_states(&results.record, NULL, state, 1, &options), ENTROL_OK);
    oracle_measure(&row, logits, NULL, sheet->n_columns, sheet->targets[0], options.temperature, options.renyi_order);
    const long double expected[8] = {row.entropy,  row.logsumexp, row.logprob,       row.varentropy,
                                     row.top_prob, row.margin,    row.sum_p_squared, row.renyi};
    for (int i = 0; i < 8; i++) {
        const double value = (double)(float)expected[i], got = (double)results.values[i]; /* it may be beyond a float */
        CHECK_SAY(row.is_trouble ? isnan(got) : test_near(got, value, tolerance_of(i, value)),
                  "%s, V = %zu, T = %g, order %g: %s is %.9g, exactly %.9g", what, sheet->n_columns,
                  options.temperature, options.renyi_order, names[i], got, value);
    }
    free(logits);
}

/* The row as a whole and in pieces. */
static void check_row(const sheet *sheet, const char *what) {
    const entrol_state whole = measure_piece(sheet, 0, sheet->n_columns), merged = measure_in_pieces(sheet);
    check_state(sheet, &whole, what);
    check_state(sheet, &merged, what);
    check_least(sheet, &whole, what);
    check_least(sheet, &merged, what);
}

static void check_kinds(size_t n, entrol_dtype dtype) {
    static const double temperatures[] = {1, 0.7, 3}, orders[] = {2, 0.5, INFINITY, 0, 1, 3};
    for (int kind = 0; kind < N_KINDS; kind++) {
        sheet sheet = sheet_make(1, n, dtype);
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j, kind_value(kind, j, n));
        sheet.targets[0] = (int64_t)test_below(n);
        options.temperature = temperatures[kind % 3];
        options.renyi_order = orders[kind % 6];
        check_row(&sheet, kind_name(kind));
        sheet_free(&sheet);
    }
}

static void test_pieces(void) {
    for (size_t n = 1; n <= 200; n += n < 70 ? 1 : 13)
        check_kinds(n, (entrol_dtype)(n % 4));
    check_kinds(2049, ENTROL_F32);
    check_kinds(10007, ENTROL_BF16);
    if (!is_quick())
        check_kinds(128257, ENTROL_F32);
}

/* Pieces whose logits are further apart than the greatest double, in either order, at every level. */
static void test_far_apart(void) {
    static const double orders[] = {2, 0.5, INFINITY, 0, 1, 3};
    entrol_context *const best = context;
    entrol_context_options level = ENTROL_CONTEXT_OPTIONS_INIT;
    options.temperature = 1;
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
        if (!entrol_cpu_available((entrol_cpu)cpu))
            continue;
        level.cpu = (entrol_cpu)cpu;
        CHECK_INT(entrol_context_create(&context, &level), ENTROL_OK);
        for (size_t k = 0; k < 48; k++) {
            const size_t n = k % 4 ? 2 + test_below(100) : 2049 + test_below(5000), cut = 1 + test_below(n - 1);
            sheet sheet = sheet_make(1, n, ENTROL_F64);
            for (size_t j = 0; j < n; j++)
                sheet_put(&sheet, 0, j, (j < cut) == (k % 2) ? 1e308 : -1.7e308 + (double)test_below(3) * 1e300);
            sheet.targets[0] = (int64_t)test_below(n);
            options.renyi_order = orders[k % 6];
            check_row(&sheet, entrol_cpu_name((entrol_cpu)cpu));
            sheet_free(&sheet);
        }
        entrol_context_destroy(context);
    }
    context = best;
}

static void test_trouble_in_a_piece(void) {
    static const struct {
        double value;
        entrol_reason reason;
    } cases[] = {{NAN, ENTROL_REASON_NAN}, {INFINITY, ENTROL_REASON_INFINITE}};
    for (size_t k = 0; k < 200; k++) {
        const size_t n = 1 + test_below(300);
        sheet sheet = sheet_make(1, n, (entrol_dtype)(k / 2 % 4));
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j, k % 3 ? test_normal() : -INFINITY);
        sheet_put(&sheet, 0, test_below(n), cases[k % 2].value);
        const entrol_state state = measure_in_pieces(&sheet);
        results results;
        entrol_diagnosis diagnosis;
        results_reset(&results);
        CHECK_INT(entrol_measure_states(&results.record, &diagnosis, &state, 1, &options), ENTROL_OK);
        for (int i = 0; i < 8; i++)
            CHECK(isnan(results.values[i]));
        CHECK(diagnosis.n_bad == 1 && diagnosis.reason == cases[k % 2].reason);
        sheet_free(&sheet);
    }
}

/* Rows that were measured for nothing but entropy have nothing else; a row without a target has no log-probability. */
static void test_what_was_not_asked_for(void) {
    sheet sheet = sheet_make(3, 100, ENTROL_F32);
    float entropy[3];
    entrol_state states[3];
    for (size_t i = 0; i < 300; i++)
        sheet_put(&sheet, i / 100, i % 100, i / 100 == 1 ? -INFINITY : test_normal());
    sheet.targets[2] = 100;
    entrol_record record = ENTROL_RECORD_INIT;
    record.entropy = entropy;
    record.state = states;
    entrol_diagnosis diagnosis;
    options = (entrol_measure_options)ENTROL_MEASURE_OPTIONS_INIT;
    CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &sheet.matrix, sheet.targets, NULL), ENTROL_OK);
    CHECK(diagnosis.n_bad == 1 && diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT); /* nobody asked for logprob */
    float values[8][3];
    entrol_record all = {sizeof all, values[0], values[1], values[2], values[3], values[4], values[5], values[6],
                         values[7],  NULL,      NULL,      NULL,      0,         NULL,      NULL,      NULL};
    CHECK_INT(entrol_measure_states(&all, &diagnosis, states, 3, NULL), ENTROL_OK);
    CHECK(values[0][0] == entropy[0] && values[0][2] == entropy[2] && isnan(values[0][1]));
    CHECK(isfinite(values[1][0]) && isfinite(values[2][0]) && isfinite(values[4][0]));
    CHECK(isnan(values[3][0]) && isnan(values[5][0]) && isnan(values[6][0]) && isnan(values[7][0]));
    CHECK(isnan(values[2][2]) && isfinite(values[1][2]));
    CHECK(diagnosis.n_bad == 2 && diagnosis.first_row == 1 && diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT);
    sheet_free(&sheet);
}

/* A target in one of two pieces, or in none. The pieces are not asked for logprob and so have no trouble. */
static void test_targets_of_pieces(void) {
    sheet sheet = sheet_make(1, 200, ENTROL_F32);
    options = (entrol_measure_options)ENTROL_MEASURE_OPTIONS_INIT;
    for (size_t j = 0; j < 200; j++)
        sheet_put(&sheet, 0, j, test_normal());
    double *logits = sheet_row(&sheet, 0);
    static const int64_t targets[] = {7, 150, 200};
    for (size_t k = 0; k < 3; k++) {
        entrol_state states[2];
        entrol_diagnosis diagnosis;
        float entropy[1], logprob[1];
        entrol_record record = ENTROL_RECORD_INIT;
        record.entropy = entropy;
        for (int i = 0; i < 2; i++) {
            entrol_matrix piece = sheet.matrix;
            piece.n_columns = 100;
            piece.data = (const float *)sheet.buffer.data + 100 * i;
            const int64_t target = targets[k] - 100 * i;
            const int is_here = target >= 0 && target < 100;
            record.state = &states[i];
            record.logprob = logprob;
            CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &piece, &target, NULL), ENTROL_OK);
            CHECK_INT(diagnosis.n_bad, !is_here);
            CHECK_INT(diagnosis.reason, is_here ? ENTROL_REASON_NONE : ENTROL_REASON_TARGET);
            record.logprob = NULL;
            CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &piece, &target, NULL), ENTROL_OK);
            CHECK_INT(diagnosis.n_bad, 0);
        }
        CHECK_INT(entrol_state_merge(&states[0], &states[1], NULL), ENTROL_OK);
        record.state = NULL;
        record.logprob = logprob;
        CHECK_INT(entrol_measure_states(&record, &diagnosis, states, 1, NULL), ENTROL_OK);
        oracle_row row;
        oracle_measure(&row, logits, NULL, 200, k < 2 ? targets[k] : -1, 1, 2);
        CHECK_NEAR(entropy[0], row.entropy, 1e-5);
        CHECK_NEAR(logprob[0], k < 2 ? (double)row.logprob : (double)NAN, 1e-5);
        CHECK_INT(diagnosis.n_bad, k == 2);
        CHECK_INT(diagnosis.reason, k == 2 ? ENTROL_REASON_TARGET : ENTROL_REASON_NONE);
    }
    free(logits);
    sheet_free(&sheet);
}

static void check_refused(const entrol_record *record, const char *argument) {
    entrol_state state = {.m = 0, .n_top = 1};
    entrol_diagnosis diagnosis = {0};
    CHECK_INT(entrol_measure_states(record, &diagnosis, &state, 1, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, argument);
}

static void test_bad_arguments(void) {
    int32_t ids[1];
    float values[1];
    entrol_state state = {.m = 0, .n_top = 1}, other = state;
    entrol_record record = ENTROL_RECORD_INIT;
    record.rank = ids;
    check_refused(&record, "record");
    record.rank = NULL;
    record.state = &other;
    check_refused(&record, "record");
    record.state = NULL;
    record.top_logprob = values;
    check_refused(&record, "record");
    record.top_logprob = NULL;
    record.n_top = 5;
    check_refused(&record, "record.n_top");
    check_refused(NULL, "record");
    entrol_measure_options bad = ENTROL_MEASURE_OPTIONS_INIT;
    bad.temperature = 0;
    CHECK_INT(entrol_state_merge(&state, &other, &bad), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_state_merge(NULL, &other, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_state_merge(&state, NULL, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK(state.m == 0 && state.n_top == 1);
    CHECK_INT(entrol_state_merge(&state, &other, NULL), ENTROL_OK);
    CHECK(state.n_top == 2 && state.s == 0);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    CHECK_INT(entrol_context_create(&context, NULL), ENTROL_OK);
    TEST(test_pieces);
    TEST(test_far_apart);
    TEST(test_trouble_in_a_piece);
    TEST(test_what_was_not_asked_for);
    TEST(test_targets_of_pieces);
    TEST(test_bad_arguments);
    entrol_context_destroy(context);
    return test_end();
}
