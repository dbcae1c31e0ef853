/* entrol_compare_rows against the oracle: every row kind, rows that are nearly and exactly equal, far apart and
 * impossible in parts, dtypes, masks, temperatures, trouble, levels, and the same bits for any number of threads. */
#include "harness.h"

#include "harness_rows.h"
#include "oracle.h"

#include <float.h>

enum { MOST_ROWS = 80 };

static double worst[ENTROL_CPU_NEON + 1][2]; /* absolute, and relative below 1e-3: share of what is allowed */

typedef struct results {
    float kl_pq[MOST_ROWS], kl_qp[MOST_ROWS], jsd[MOST_ROWS], mean_entropy[MOST_ROWS];
    entrol_state p_states[MOST_ROWS], q_states[MOST_ROWS];
    entrol_pair pairs[MOST_ROWS];
    entrol_comparison comparison;
} results;

static void results_reset(results *results) {
    memset(results, 0x55, sizeof *results);
    results->comparison =
        (entrol_comparison){sizeof(entrol_comparison), results->kl_pq,    results->kl_qp,    results->jsd,
                            results->mean_entropy,     results->p_states, results->q_states, results->pairs};
}

/* --- The oracle --- */

static void test_oracle(void) {
    for (size_t k = 0; k < 300; k++) {
        double p[40], q[40];
        const size_t n = 1 + test_below(40);
        oracle_pair pair;
        for (size_t i = 0; i < n; i++) {
            p[i] = test_normal() * 3;
            q[i] = k % 3 ? p[i] + test_normal() * 0.01 : test_normal() * 3;
        }
        oracle_compare(&pair, p, q, NULL, n, 1);
        CHECK_NEAR(pair.textbook_kl, pair.kl_pq, 1e-14 * (1 + (double)pair.kl_pq));
        CHECK_NEAR(pair.textbook_jsd, pair.jsd, 1e-14);
        oracle_compare(&pair, q, p, NULL, n, 1);
        CHECK_NEAR(pair.textbook_kl, pair.kl_pq, 1e-14 * (1 + (double)pair.kl_pq));
    }
}

/* --- Every row kind --- */

/* The contract of measure.h: 2e-6 max(1, value), and 1e-5 of a divergence or 1e-18. */
static void check_value(entrol_cpu cpu, double got, long double exact, bool is_divergence, const char *what) {
    const double value = (double)exact, absolute = 2e-6 * fmax(1, fabs(value));
    const double relative = is_divergence ? 1e-5 * value + 1e-18 : INFINITY;
    if (value > FLT_MAX) {
        CHECK_SAY(isinf(got), "%s: %s is %g, exactly %g", entrol_cpu_name(cpu), what, got, value);
        return;
    }
    worst[cpu][0] = fmax(worst[cpu][0], fabs(got - value) / absolute);
    worst[cpu][1] = fmax(worst[cpu][1], fabs(got - value) / relative);
    CHECK_SAY(fabs(got - value) <= fmin(absolute, relative), "%s: %s is %.9g, exactly %.9g", entrol_cpu_name(cpu), what,
              got, value);
    CHECK(!is_divergence || !(got < 0 || signbit(got)));
}

static void check_row(entrol_cpu cpu, const results *results, size_t row, const oracle_pair *exact, const char *what) {
    char name[160];
    const float got[4] = {results->kl_pq[row], results->kl_qp[row], results->jsd[row], results->mean_entropy[row]};
    const long double values[4] = {exact->kl_pq, exact->kl_qp, exact->jsd, exact->mean_entropy};
    static const char *const names[4] = {"KL(p||q)", "KL(q||p)", "JSD", "H of the mean"};
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s, %s", names[i], what);
        check_value(cpu, (double)got[i], values[i], i < 3, name);
    }
    CHECK(results->jsd[row] <= (float)log(2));
}

static void check_pair(const sheet *p, const sheet *q, double temperature, const char *what) {
    static results results;
    entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
    options.temperature = temperature;
    for (size_t row = 0; row < p->n_rows; row++) {
        double *of_p = sheet_row(p, row), *of_q = sheet_row(q, row);
        oracle_pair exact;
        oracle_compare(&exact, of_p, of_q, NULL, p->n_columns, temperature);
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
            if (!contexts[cpu])
                continue;
            results_reset(&results);
            entrol_diagnosis diagnosis;
            CHECK_INT(
                entrol_compare_rows(contexts[cpu], &results.comparison, &diagnosis, &p->matrix, &q->matrix, &options),
                ENTROL_OK);
            CHECK_INT(diagnosis.n_bad, 0);
            check_row((entrol_cpu)cpu, &results, row, &exact, what);
        }
        free(of_p);
        free(of_q);
    }
}

/* How q comes from p. */
enum { OTHER_KIND, NEAR, NEARER, SHIFTED, SHARPER, ONE_COLUMN, N_RELATIONS };

static double related(int relation, int kind, double p, size_t i, size_t n) {
    switch (relation) {
    case OTHER_KIND:
        return kind_value((kind * 7 + 3) % N_KINDS, i, n);
    case NEAR:
        return p + test_normal() * 1e-3;
    case NEARER:
        return p + test_normal() * 1e-11; /* equal, but for f64 and logits near 0 */
    case SHIFTED:
        return p + 100 + test_normal() / 10;
    case SHARPER:
        return 1.5 * p;
    default:
        return i == n / 2 ? p + 2 : p;
    }
}

static bool is_possible(const sheet *sheet) {
    for (size_t j = 0; j < sheet->n_columns; j++)
        if (sheet_get(sheet, 0, j) > -INFINITY)
            return true;
    return false;
}

static void check_kinds(size_t n, entrol_dtype p_dtype, entrol_dtype q_dtype, int step) {
    static const double temperatures[] = {1, 0.5, 4};
    char what[120];
    for (int kind = (int)test_below((size_t)step); kind < N_KINDS; kind += step) {
        const int relation = (int)test_below(N_RELATIONS);
        sheet p = sheet_make(1, n, p_dtype), q = sheet_make(1, n, q_dtype);
        for (size_t j = 0; j < n; j++) {
            sheet_put(&p, 0, j, kind_value(kind, j, n));
            sheet_put(&q, 0, j, related(relation, kind, sheet_get(&p, 0, j), j, n));
        }
        const double temperature = temperatures[test_below(3)];
        snprintf(what, sizeof what, "%s, relation %d, V = %zu, %s and %s, T = %g", kind_name(kind), relation, n,
                 entrol_dtype_name(p_dtype), entrol_dtype_name(q_dtype), temperature);
        if (is_possible(&p) && is_possible(&q))
            check_pair(&p, &q, temperature, what);
        sheet_free(&p);
        sheet_free(&q);
    }
}

static void test_short(void) {
    for (size_t n = 1; n <= 66; n += is_quick() ? 7 : 1)
        for (size_t dtypes = n % 5; dtypes < 16; dtypes += 5)
            check_kinds(n, (entrol_dtype)(dtypes / 4), (entrol_dtype)(dtypes % 4), is_quick() ? 5 : 1);
}

static void test_long(void) {
    static const size_t sizes[] = {67, 2047, 2048, 2049, 10007};
    for (size_t i = 0; i < (is_quick() ? 2 : 5); i++)
        for (size_t dtypes = i % 3; dtypes < 16; dtypes += 3)
            check_kinds(sizes[i], (entrol_dtype)(dtypes / 4), (entrol_dtype)(dtypes % 4), is_quick() ? 12 : 3);
}

/* Rows of three levels, whose equal terms are rounded the same way each time they are added. */
static void test_levels(void) {
    static const size_t sizes[] = {500, 1000, 2048, 5000};
    for (size_t k = 0; k < (is_quick() ? 24 : 400); k++) {
        const size_t n = sizes[k % 4], n_top = 1 + test_below(3), n_middle = test_below(n);
        sheet p = sheet_make(1, n, ENTROL_F32), q = sheet_make(1, n, ENTROL_F32);
        double levels[4];
        for (size_t i = 0; i < 4; i++)
            levels[i] = -12 * test_uniform();
        for (size_t j = 0; j < n; j++) {
            const size_t level = j < n_top + n_middle ? 0 : 1;
            sheet_put(&p, 0, j, j < n_top ? 0 : levels[level]);
            sheet_put(&q, 0, j, j < n_top ? 0 : levels[2 + level]);
        }
        check_pair(&p, &q, 1, "levels");
        sheet_free(&p);
        sheet_free(&q);
    }
}

static void test_vocabularies(void) {
    check_kinds(65537, ENTROL_F32, ENTROL_F32, is_quick() ? 24 : 6);
    if (!is_quick())
        check_kinds(151936, ENTROL_F32, ENTROL_BF16, 12);
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        if (contexts[cpu])
            printf("    %s: largest error as a share of 2e-6 max(1, value): %.3f; of 1e-5 of a divergence: %.3f\n",
                   entrol_cpu_name((entrol_cpu)cpu), worst[cpu][0], worst[cpu][1]);
}

/* Ever smaller differences: the divergence keeps its digits down to what f64 logits can show. */
static void test_nearly_equal(void) {
    for (int power = 1; power <= 12; power++) {
        sheet p = sheet_make(1, 3000, ENTROL_F64), q = sheet_make(1, 3000, ENTROL_F64);
        for (size_t j = 0; j < 3000; j++) {
            sheet_put(&p, 0, j, test_normal() * 2.5);
            sheet_put(&q, 0, j, sheet_get(&p, 0, j) + 50 + pow(10, -power) * test_normal());
        }
        check_pair(&p, &q, 1, "nearly equal");
        sheet_free(&p);
        sheet_free(&q);
    }
}

static void test_equal(void) {
    static results results;
    for (size_t k = 0; k < 200; k++) {
        const size_t n = k % 2 ? 1 + test_below(64) : 65 + test_below(3000);
        const entrol_dtype dtype = (entrol_dtype)(k / 2 % 4);
        sheet p = sheet_make(1, n, dtype), q = sheet_make(1, n, dtype);
        const double shift = k % 5 ? 0 : 256; /* which these logits, multiples of 1/4, can have exactly */
        for (size_t j = 0; j < n; j++) {
            const double z = floor(test_normal() * 6) / (dtype == ENTROL_BF16 ? 1 : 4);
            sheet_put(&p, 0, j, j % 7 == 3 ? -INFINITY : z);
            sheet_put(&q, 0, j, j % 7 == 3 ? -INFINITY : dtype == ENTROL_BF16 ? z : z + shift);
        }
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
            if (!contexts[cpu])
                continue;
            results_reset(&results);
            CHECK_INT(entrol_compare_rows(contexts[cpu], &results.comparison, NULL, &p.matrix, &q.matrix, NULL),
                      ENTROL_OK);
            CHECK(results.kl_pq[0] == 0 && results.kl_qp[0] == 0 && results.jsd[0] == 0);
            CHECK(results.pairs[0].shift == 0 && results.pairs[0].mean == 0);
        }
        sheet_free(&p);
        sheet_free(&q);
    }
}

/* --- Columns that are impossible in one row --- */

static void expect_values(entrol_dtype dtype, const double *p, const double *q, size_t n, const double expected[3]) {
    static results results;
    sheet of_p = sheet_make(1, n, dtype), of_q = sheet_make(1, n, dtype);
    for (size_t j = 0; j < n; j++) {
        sheet_put(&of_p, 0, j, p[j]);
        sheet_put(&of_q, 0, j, q[j]);
    }
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
        if (!contexts[cpu])
            continue;
        results_reset(&results);
        CHECK_INT(entrol_compare_rows(contexts[cpu], &results.comparison, NULL, &of_p.matrix, &of_q.matrix, NULL),
                  ENTROL_OK);
        CHECK_NEAR(results.kl_pq[0], expected[0], 1e-6 * fabs(expected[0]));
        CHECK_NEAR(results.kl_qp[0], expected[1], 1e-6 * fabs(expected[1]));
        CHECK_NEAR(results.jsd[0], expected[2], 1e-6 * fabs(expected[2]));
        CHECK(isinf(results.pairs[0].mean) == isinf(expected[0]) && isfinite(results.pairs[0].shift));
    }
    sheet_free(&of_p);
    sheet_free(&of_q);
}

static void test_impossible(void) {
    const double inf = (double)INFINITY, two = log(2);
    for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++) {
        const entrol_dtype as = (entrol_dtype)dtype;
        const double far = as == ENTROL_F64 ? -1e300 : as == ENTROL_F16 ? -60000 : -1e30;
        const double far_in_dtype = as == ENTROL_F64 ? -1e300 : as == ENTROL_F16 ? -6e4 : (double)-1e30f;
        /* apart: no column in common */
        expect_values(as, (double[]){0, -inf}, (double[]){-inf, 3}, 2, (double[]){inf, inf, two});
        /* p = (1, 0), q = (1/2, 1/2): KL(p||q) = ln 2, JSD = (ln(4/3) + ln(2/3) / 2 + ln(2) / 2) / 2 */
        expect_values(as, (double[]){5, -inf}, (double[]){1, 1}, 2,
                      (double[]){two, inf, (log(4.0 / 3) + log(2.0 / 3) / 2 + two / 2) / 2});
        /* 200 below: its probability is no float, its logarithm counts */
        expect_values(as, (double[]){0, -200}, (double[]){1, 1}, 2,
                      (double[]){two, 100 - two, (log(4.0 / 3) + log(2.0 / 3) / 2 + two / 2) / 2});
        expect_values(as, (double[]){0, -200}, (double[]){0, -inf}, 2, (double[]){inf, 0, 0});
        expect_values(as, (double[]){0, -200}, (double[]){0, -300}, 2, (double[]){0, 0, 0});
        /* as far as a float goes; beyond it counts as its end */
        if (as != ENTROL_BF16)
            expect_values(as, (double[]){0, 0}, (double[]){0, far}, 2,
                          (double[]){fmin(-far_in_dtype, FLT_MAX) / 2 - two, two,
                                     (log(4.0 / 3) + log(2.0 / 3) / 2 + two / 2) / 2});
    }
}

static void test_masks(void) {
    static results results;
    for (size_t k = 0; k < 60; k++) {
        const size_t n = k % 2 ? 2 + test_below(62) : 65 + test_below(5000);
        unsigned char *allowed = malloc(n);
        uint8_t *mask = calloc(n / 8 + 1, 1);
        sheet p = sheet_make(1, n, (entrol_dtype)(k % 4)), q = sheet_make(1, n, (entrol_dtype)(k / 2 % 4));
        for (size_t j = 0; j < n; j++) {
            allowed[j] = test_below(3) > 0 || j == n / 2;
            mask[j / 8] |= (uint8_t)(allowed[j] << j % 8);
            sheet_put(&p, 0, j, allowed[j] ? test_normal() : NAN); /* what is masked is not looked at */
            sheet_put(&q, 0, j, allowed[j] ? test_normal() : (double[]){INFINITY, -INFINITY, 1}[j % 3]);
        }
        entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
        options.mask = mask;
        options.temperature = 2;
        double *of_p = sheet_row(&p, 0), *of_q = sheet_row(&q, 0);
        oracle_pair exact;
        oracle_compare(&exact, of_p, of_q, allowed, n, 2);
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
            if (!contexts[cpu])
                continue;
            results_reset(&results);
            CHECK_INT(entrol_compare_rows(contexts[cpu], &results.comparison, NULL, &p.matrix, &q.matrix, &options),
                      ENTROL_OK);
            check_row((entrol_cpu)cpu, &results, 0, &exact, "masked");
        }
        free(of_p);
        free(of_q);
        sheet_free(&p);
        sheet_free(&q);
        free(allowed);
        free(mask);
    }
}

/* --- Rows together --- */

enum { FINE, NAN_IN_P, NAN_IN_Q, EMPTY_P, BOTH, INFINITE_Q, N_SORTS };

static int sort_of(size_t row) {
    return row % 3 ? FINE : (int)(row / 3 % N_SORTS);
}

static void fill_sorts(sheet *p, sheet *q) {
    for (size_t row = 0; row < p->n_rows; row++) {
        const int sort = sort_of(row);
        for (size_t j = 0; j < p->n_columns; j++) {
            sheet_put(p, row, j, sort == EMPTY_P ? -INFINITY : test_normal());
            sheet_put(q, row, j, test_normal());
        }
        if (sort == NAN_IN_P || sort == BOTH)
            sheet_put(p, row, 1, NAN);
        if (sort == NAN_IN_Q || sort == BOTH)
            sheet_put(q, row, 2, NAN);
        if (sort == INFINITE_Q)
            sheet_put(q, row, 3, INFINITY);
    }
}

static void check_together(entrol_cpu cpu, size_t n_rows, size_t n_columns, size_t n_threads, bool is_wide) {
    static results results, alone;
    entrol_context *context = context_at(cpu, n_threads);
    sheet p = sheet_make(n_rows, n_columns, ENTROL_F32), q = sheet_make(n_rows, n_columns, ENTROL_F32);
    fill_sorts(&p, &q);
    entrol_matrix backward = q.matrix; /* the same rows of q, from the last to the first, in p's order */
    sheet turned = sheet_make(n_rows, n_columns, is_wide ? ENTROL_F64 : ENTROL_F32);
    for (size_t i = 0; i < n_rows * n_columns; i++)
        sheet_put(&turned, n_rows - 1 - i / n_columns, i % n_columns, sheet_get(&q, i / n_columns, i % n_columns));
    backward = turned.matrix;
    backward.row_stride = -backward.row_stride;
    backward.data = (const char *)turned.buffer.data + (n_rows - 1) * n_columns * entrol_dtype_size(turned.dtype);
    results_reset(&results);
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_compare_rows(context, &results.comparison, &diagnosis, &p.matrix, &backward, NULL), ENTROL_OK);
    size_t n_bad = 0;
    for (size_t row = 0; row < n_rows; row++) {
        const int sort = sort_of(row);
        entrol_matrix one = p.matrix, other = backward;
        one.n_rows = other.n_rows = 1;
        one.data = (const float *)one.data + row * n_columns;
        other.data =
            (const char *)turned.buffer.data + (n_rows - 1 - row) * n_columns * entrol_dtype_size(turned.dtype);
        results_reset(&alone);
        CHECK_INT(entrol_compare_rows(contexts[cpu], &alone.comparison, NULL, &one, &other, NULL), ENTROL_OK);
        CHECK(memcmp(&alone.kl_pq[0], &results.kl_pq[row], sizeof(float)) == 0);
        CHECK(memcmp(&alone.kl_qp[0], &results.kl_qp[row], sizeof(float)) == 0);
        CHECK(memcmp(&alone.jsd[0], &results.jsd[row], sizeof(float)) == 0);
        CHECK(memcmp(&alone.mean_entropy[0], &results.mean_entropy[row], sizeof(float)) == 0);
        CHECK(memcmp(&alone.pairs[0], &results.pairs[row], sizeof(entrol_pair)) == 0);
        CHECK(isnan(results.kl_pq[row]) == (sort != FINE) && isnan(results.pairs[row].shift) == (sort != FINE));
        CHECK(isnan(results.kl_qp[row]) == (sort != FINE) && isnan(results.jsd[row]) == (sort != FINE));
        CHECK(sort != FINE || (results.kl_pq[row] > 0 && isfinite(results.mean_entropy[row])));
        n_bad += sort != FINE;
    }
    CHECK_INT(diagnosis.n_bad, n_bad);
    if (n_bad > 0) {
        CHECK_INT(diagnosis.first_row, 3);
        CHECK_INT(diagnosis.first_column, 1);
        CHECK_INT(diagnosis.reason, ENTROL_REASON_NAN);
    }
    sheet_free(&p);
    sheet_free(&q);
    sheet_free(&turned);
    entrol_context_destroy(context);
}

static void test_together(void) {
    static const size_t threads[] = {1, 2, 7};
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        for (size_t k = 0; k < 6 && contexts[cpu]; k += is_quick() ? 3 : 1) {
            check_together((entrol_cpu)cpu, 71, 4, threads[k / 2], k % 2);
            check_together((entrol_cpu)cpu, 80, 64, threads[k / 2], k % 2);
            check_together((entrol_cpu)cpu, 50, 65, threads[k / 2], k % 2);
            check_together((entrol_cpu)cpu, 30, 2500, threads[k / 2], k % 2);
            check_together((entrol_cpu)cpu, 4, 70000, threads[k / 2], k % 2); /* shared by the threads */
        }
}

/* Rows enough for many tasks. */
static void test_many_rows(void) {
    const size_t n_rows = 20000, n_columns = 18;
    sheet p = sheet_make(n_rows, n_columns, ENTROL_F32), q = sheet_make(n_rows, n_columns, ENTROL_F32);
    float *kl = calloc(n_rows, sizeof *kl), *expected = calloc(n_rows, sizeof *expected);
    entrol_comparison comparison = ENTROL_COMPARISON_INIT;
    for (size_t i = 0; i < n_rows * n_columns; i++) {
        ((float *)p.buffer.data)[i] = (float)test_normal();
        ((float *)q.buffer.data)[i] = (float)test_normal();
    }
    for (size_t n_threads = 1; n_threads <= 7; n_threads += n_threads < 2 ? 1 : 5) {
        entrol_context *context = context_at(ENTROL_CPU_BEST, n_threads);
        comparison.kl_pq = n_threads == 1 ? expected : kl;
        CHECK_INT(entrol_compare_rows(context, &comparison, NULL, &p.matrix, &q.matrix, NULL), ENTROL_OK);
        CHECK(n_threads == 1 || memcmp(kl, expected, n_rows * sizeof *kl) == 0);
        entrol_context_destroy(context);
    }
    free(kl);
    free(expected);
    sheet_free(&p);
    sheet_free(&q);
}

/* The states are those that entrol_measure_rows gives; wanting less changes nothing of the rest. */
static void test_outputs(void) {
    static results results;
    float kl[20];
    entrol_state states[20];
    sheet p = sheet_make(20, 300, ENTROL_F32), q = sheet_make(20, 300, ENTROL_BF16);
    for (size_t i = 0; i < 6000; i++) {
        sheet_put(&p, i / 300, i % 300, test_normal());
        sheet_put(&q, i / 300, i % 300, test_normal());
    }
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
        if (!contexts[cpu])
            continue;
        results_reset(&results);
        CHECK_INT(entrol_compare_rows(contexts[cpu], &results.comparison, NULL, &p.matrix, &q.matrix, NULL), ENTROL_OK);
        entrol_record record = ENTROL_RECORD_INIT;
        record.state = states;
        for (int i = 0; i < 2; i++) {
            entrol_measure_rows(contexts[cpu], &record, NULL, i ? &q.matrix : &p.matrix, NULL, NULL);
            const entrol_state *got = i ? results.q_states : results.p_states;
            for (size_t row = 0; row < 20; row++)
                CHECK(got[row].m == states[row].m && got[row].s == states[row].s && got[row].t == states[row].t);
        }
        entrol_comparison one = ENTROL_COMPARISON_INIT;
        one.kl_pq = kl;
        CHECK_INT(entrol_compare_rows(contexts[cpu], &one, NULL, &p.matrix, &q.matrix, NULL), ENTROL_OK);
        CHECK(memcmp(kl, results.kl_pq, sizeof kl) == 0);
        one = (entrol_comparison)ENTROL_COMPARISON_INIT;
        one.p_states = states;
        CHECK_INT(entrol_compare_rows(contexts[cpu], &one, NULL, &p.matrix, &q.matrix, NULL), ENTROL_OK);
        CHECK(states[7].s == results.p_states[7].s);
    }
    sheet_free(&p);
    sheet_free(&q);
}

static void check_refused(const entrol_comparison *comparison, const entrol_matrix *p, const entrol_matrix *q,
                          const entrol_measure_options *options, const char *argument) {
    entrol_diagnosis diagnosis = {0};
    CHECK_INT(entrol_compare_rows(contexts[ENTROL_CPU_SCALAR], comparison, &diagnosis, p, q, options),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "none", argument);
}

static void test_bad_arguments(void) {
    float z[6] = {1, 2, 3, 4, 5, 6}, kl[2];
    const entrol_matrix p = {z, ENTROL_F32, 2, 2, 2}, rows = {z, ENTROL_F32, 1, 2, 2},
                        columns = {z, ENTROL_F32, 2, 3, 3};
    const entrol_matrix no_dtype = {z, (entrol_dtype)9, 2, 2, 2}, no_data = {NULL, ENTROL_F32, 2, 2, 2};
    const entrol_matrix none = {NULL, ENTROL_F32, 0, 2, 2}, narrow = {NULL, ENTROL_F32, 2, 0, 0};
    entrol_comparison comparison = ENTROL_COMPARISON_INIT;
    entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
    comparison.kl_pq = kl;
    check_refused(NULL, &p, &p, NULL, "comparison");
    check_refused(&comparison, NULL, &p, NULL, "p");
    check_refused(&comparison, &no_dtype, &p, NULL, "p");
    check_refused(&comparison, &no_data, &p, NULL, "p");
    check_refused(&comparison, &p, NULL, NULL, "q");
    check_refused(&comparison, &p, &rows, NULL, "q");
    check_refused(&comparison, &p, &columns, NULL, "q");
    options.temperature = 0;
    check_refused(&comparison, &p, &p, &options, "options.temperature");
    comparison.size = 0;
    check_refused(&comparison, &p, &p, NULL, "comparison");
    comparison.size = sizeof comparison;
    CHECK_INT(entrol_compare_rows(NULL, &comparison, NULL, &p, &p, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_compare_rows(contexts[ENTROL_CPU_SCALAR], &comparison, NULL, &none, &none, NULL), ENTROL_OK);
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_compare_rows(contexts[ENTROL_CPU_SCALAR], &comparison, &diagnosis, &narrow, &narrow, NULL),
              ENTROL_OK);
    CHECK(diagnosis.n_bad == 2 && diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT && isnan(kl[0]) && isnan(kl[1]));
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    contexts_open(NULL);
    TEST(test_oracle);
    TEST(test_short);
    TEST(test_long);
    TEST(test_levels);
    TEST(test_vocabularies);
    TEST(test_nearly_equal);
    TEST(test_equal);
    TEST(test_impossible);
    TEST(test_masks);
    TEST(test_together);
    TEST(test_many_rows);
    TEST(test_outputs);
    TEST(test_bad_arguments);
    contexts_close();
    return test_end();
}
