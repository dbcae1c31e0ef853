/* The gradient of the divergences from a reference against the analytic oracle, which is itself checked by finite
 * differences: every row kind, near and far references, dtypes, destinations, masks, levels, trouble and threads. */
#include "harness.h"

#include "harness_rows.h"
#include "oracle.h"

enum { MOST_ROWS = 40 };

static double worst[ENTROL_CPU_NEON + 1]; /* error as a share of what is allowed */

/* What a loss says of each row. */
typedef struct loss {
    float kl_pq[MOST_ROWS], kl_qp[MOST_ROWS], entropy[MOST_ROWS];
    entrol_state states[MOST_ROWS];
    entrol_pair pairs[MOST_ROWS];
    entrol_gradient record;
} loss;

/* Parts: 1 KL(p||q), 2 KL(q||p). The pairs and states come from a comparison. */
static void loss_make(loss *loss, entrol_context *context, unsigned parts, const entrol_matrix *p,
                      const entrol_matrix *q, const entrol_measure_options *options) {
    entrol_comparison comparison = ENTROL_COMPARISON_INIT;
    comparison.p_states = loss->states;
    comparison.pairs = loss->pairs;
    CHECK_INT(entrol_compare_rows(context, &comparison, NULL, p, q, options), ENTROL_OK);
    loss->record = (entrol_gradient)ENTROL_GRADIENT_INIT;
    loss->record.kl_pq = parts & 1 ? loss->kl_pq : NULL;
    loss->record.kl_qp = parts & 2 ? loss->kl_qp : NULL;
    loss->record.reference = q;
    loss->record.pairs = loss->pairs;
}

static void loss_draw(loss *loss) {
    for (size_t row = 0; row < MOST_ROWS; row++) {
        loss->kl_pq[row] = (float)test_normal();
        loss->kl_qp[row] = (float)test_normal();
        loss->entropy[row] = (float)test_normal();
    }
}

static oracle_gradient expect(const sheet *p, const sheet *q, size_t row, const unsigned char *allowed,
                              const loss *loss, unsigned parts, double temperature) {
    const double by[2] = {parts & 1 ? (double)loss->kl_pq[row] : 0, parts & 2 ? (double)loss->kl_qp[row] : 0};
    double *of_p = sheet_row(p, row), *of_q = sheet_row(q, row);
    oracle_gradient exact = {.d_logits = malloc(p->n_columns * sizeof(long double))};
    oracle_differentiate_pair(&exact, of_p, of_q, allowed, p->n_columns, temperature, by);
    free(of_p);
    free(of_q);
    return exact;
}

/* --- The oracle --- */

static void test_oracle(void) {
    for (size_t k = 0; k < 300; k++) {
        const size_t n = 1 + test_below(40);
        double p[40], q[40], up[40], down[40];
        const double by[2] = {test_normal(), test_normal()}, temperature = exp(test_normal() / 2);
        long double dz[40], slope = 0;
        oracle_gradient gradient = {.d_logits = dz};
        oracle_pair above, below;
        for (size_t i = 0; i < n; i++) {
            p[i] = test_normal() * 2;
            q[i] = k % 3 ? p[i] + test_normal() * 0.1 : test_normal() * 2;
        }
        oracle_differentiate_pair(&gradient, p, q, NULL, n, temperature, by);
        for (size_t i = 0; i < n; i++) {
            const double step = 1e-4 * test_normal();
            up[i] = p[i] + step;
            down[i] = p[i] - step;
            slope += dz[i] * ((long double)up[i] - (long double)down[i]);
        }
        oracle_compare(&above, up, q, NULL, n, temperature);
        oracle_compare(&below, down, q, NULL, n, temperature);
        const long double moved =
            (long double)by[0] * (above.kl_pq - below.kl_pq) + (long double)by[1] * (above.kl_qp - below.kl_qp);
        CHECK_NEAR(moved, slope, 3e-9 / (temperature * temperature * temperature)); /* the step cubed, and more */
    }
}

/* --- Every row kind --- */

static void compare(entrol_cpu cpu, const sheet *result, size_t row, const oracle_gradient *exact, double before,
                    const char *what) {
    for (size_t j = 0; j < result->n_columns; j++) {
        const double got = sheet_get(result, row, j), value = (double)exact->d_logits[j] + before;
        const double error = fabs(got - value), mean = 2e-8 * (double)exact->sizes;
        const double allowed = fmax(1e-5 * (double)exact->greatest, mean);
        if (result->dtype == ENTROL_F32 && before == 0 && exact->greatest > 1e-9L)
            worst[cpu] = fmax(worst[cpu], error / allowed);
        CHECK_SAY(error <= allowed + rounding(result->dtype, value) + 1e-13, /* 1e-14 (dL/dKL) / T */
                  "%s, %s, V = %zu: column %zu is %.9g, expected %.9g, the greatest part %.3Lg", entrol_cpu_name(cpu),
                  what, result->n_columns, j, got, value, exact->greatest);
    }
}

enum { AS_F32, AS_LOGITS, ADDED, IN_PLACE, N_WAYS };

static void check_way(entrol_cpu cpu, const sheet *p, const loss *loss, const oracle_gradient *exact,
                      const entrol_measure_options *options, int way, const char *what) {
    sheet result = sheet_make(1, p->n_columns, way == AS_F32 ? ENTROL_F32 : p->dtype);
    const double before = way == ADDED ? 0.25 : 0;
    for (size_t j = 0; j < result.n_columns; j++)
        sheet_put(&result, 0, j, way == IN_PLACE ? sheet_get(p, 0, j) : way == ADDED ? before : NAN);
    const entrol_destination to = destination_of(&result, way == ADDED);
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_gradient_rows(contexts[cpu], &to, &diagnosis, &loss->record, loss->states,
                                   way == IN_PLACE ? &result.matrix : &p->matrix, NULL, options),
              ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 0);
    compare(cpu, &result, 0, exact, before, what);
    sheet_free(&result);
}

static void check_pair(const sheet *p, const sheet *q, unsigned parts, double temperature, const char *what) {
    static loss loss;
    entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
    options.temperature = temperature;
    loss_draw(&loss);
    oracle_gradient exact = expect(p, q, 0, NULL, &loss, parts, temperature);
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
        if (!contexts[cpu])
            continue;
        loss_make(&loss, contexts[cpu], parts, &p->matrix, &q->matrix, &options);
        for (int way = 0; way < (p->n_columns > 20000 ? 1 : N_WAYS); way++)
            check_way((entrol_cpu)cpu, p, &loss, &exact, &options, way, what);
    }
    free(exact.d_logits);
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
        return p + test_normal() * 1e-7;
    case SHIFTED:
        return p + 100 + test_normal() / 10;
    case SHARPER:
        return 1.5 * p;
    default:
        return i == n / 2 ? p + 2 : p;
    }
}

/* The parts that are finite: 1 if KL(p||q) is. 0 if a row is impossible. */
static unsigned finite_parts(const sheet *p, const sheet *q) {
    unsigned parts = 3, possible = 0;
    for (size_t j = 0; j < p->n_columns; j++) {
        possible |= (unsigned)(sheet_get(p, 0, j) > -INFINITY) | (unsigned)(sheet_get(q, 0, j) > -INFINITY) << 1;
        if (sheet_get(p, 0, j) > -INFINITY && !(sheet_get(q, 0, j) > -INFINITY))
            parts = 2;
    }
    return possible == 3 ? parts : 0;
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
        const unsigned parts = finite_parts(&p, &q) & (1 + (unsigned)test_below(3));
        snprintf(what, sizeof what, "%s, relation %d, %s and %s, T = %g, parts %u", kind_name(kind), relation,
                 entrol_dtype_name(p_dtype), entrol_dtype_name(q_dtype), temperature, parts);
        if (parts)
            check_pair(&p, &q, parts, temperature, what);
        sheet_free(&p);
        sheet_free(&q);
    }
}

static void test_short(void) {
    for (size_t n = 1; n <= 66; n += is_quick() ? 7 : 1)
        for (size_t dtypes = n % 7; dtypes < 16; dtypes += 7)
            check_kinds(n, (entrol_dtype)(dtypes / 4), (entrol_dtype)(dtypes % 4), is_quick() ? 5 : 1);
}

static void test_long(void) {
    static const size_t sizes[] = {67, 2047, 2048, 2049, 10007};
    for (size_t i = 0; i < (is_quick() ? 2 : 5); i++)
        for (size_t dtypes = i % 3; dtypes < 16; dtypes += 3)
            check_kinds(sizes[i], (entrol_dtype)(dtypes / 4), (entrol_dtype)(dtypes % 4), is_quick() ? 12 : 4);
    check_kinds(151936, ENTROL_F32, ENTROL_F32, is_quick() ? 24 : 8);
}

/* A top that has most of the probability, and a rest that is apart from its reference by rounding alone: the mean of
 * ln(p / q), on which the top's element depends, has terms of both signs and is now and then nearly 0. */
static void test_cancelling_means(void) {
    const size_t n = 10007;
    for (size_t k = 0; k < (is_quick() ? 4 : 100); k++) {
        sheet p = sheet_make(1, n, ENTROL_F32), q = sheet_make(1, n, ENTROL_BF16);
        for (size_t j = 0; j < n; j++) {
            sheet_put(&p, 0, j, j == n / 2 ? 30 : -10 + test_normal());
            sheet_put(&q, 0, j, sheet_get(&p, 0, j));
        }
        check_pair(&p, &q, 1, 4, "cancelling mean");
        sheet_free(&p);
        sheet_free(&q);
    }
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        if (contexts[cpu])
            printf("    %s: largest error as a share of the contract: %.3f\n", entrol_cpu_name((entrol_cpu)cpu),
                   worst[cpu]);
}

/* --- Columns that are impossible, masked, far --- */

static void test_impossible(void) {
    for (size_t k = 0; k < 2; k++) {
        static loss loss;
        const size_t n = k ? 3000 : 10;
        sheet p = sheet_make(1, n, ENTROL_F32), q = sheet_make(1, n, ENTROL_F32), dz = sheet_make(1, n, ENTROL_F32);
        for (size_t j = 0; j < n; j++) {
            sheet_put(&p, 0, j, j == 1 ? -INFINITY : j == 2 ? -300 : 0);
            sheet_put(&q, 0, j, j == 3 ? -INFINITY : 0);
        }
        const entrol_destination to = destination_of(&dz, 0);
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
            entrol_diagnosis diagnosis;
            if (!contexts[cpu])
                continue;
            loss_draw(&loss);
            loss_make(&loss, contexts[cpu], 2, &p.matrix, &q.matrix, NULL);
            oracle_gradient exact = expect(&p, &q, 0, NULL, &loss, 2, 1);
            CHECK_INT(
                entrol_gradient_rows(contexts[cpu], &to, &diagnosis, &loss.record, loss.states, &p.matrix, NULL, NULL),
                ENTROL_OK);
            CHECK_INT(diagnosis.n_bad, 0);
            compare((entrol_cpu)cpu, &dz, 0, &exact, 0, "impossible");
            CHECK(sheet_get(&dz, 0, 1) == 0); /* impossible in p alone */
            CHECK_NEAR(sheet_get(&dz, 0, 2), -(double)loss.kl_qp[0] / (double)(n - 1), 1e-7); /* far below: q's term */
            free(exact.d_logits);
            loss_make(&loss, contexts[cpu], 3, &p.matrix, &q.matrix, NULL); /* KL(p||q) is infinite */
            CHECK_INT(
                entrol_gradient_rows(contexts[cpu], &to, &diagnosis, &loss.record, loss.states, &p.matrix, NULL, NULL),
                ENTROL_OK);
            CHECK(diagnosis.n_bad == 1 && diagnosis.reason == ENTROL_REASON_GRADIENT && isnan(sheet_get(&dz, 0, 0)));
            loss.kl_pq[0] = 0;
            entrol_gradient_rows(contexts[cpu], &to, &diagnosis, &loss.record, loss.states, &p.matrix, NULL, NULL);
            CHECK(diagnosis.n_bad == 0 && sheet_get(&dz, 0, 1) == 0);
        }
        sheet_free(&p);
        sheet_free(&q);
        sheet_free(&dz);
    }
}

static void test_masks(void) {
    for (size_t k = 0; k < (is_quick() ? 6 : 40); k++) {
        static loss loss;
        const size_t n = k % 2 ? 2 + test_below(62) : 65 + test_below(5000);
        unsigned char *allowed = malloc(n);
        uint8_t *mask = calloc(n / 8 + 1, 1);
        sheet p = sheet_make(1, n, (entrol_dtype)(k % 4)), q = sheet_make(1, n, (entrol_dtype)(k / 2 % 4));
        sheet dz = sheet_make(1, n, ENTROL_F32);
        for (size_t j = 0; j < n; j++) {
            allowed[j] = test_below(3) > 0 || j == n / 2;
            mask[j / 8] |= (uint8_t)(allowed[j] << j % 8);
            sheet_put(&p, 0, j, allowed[j] ? test_normal() : NAN); /* what is masked is not looked at */
            sheet_put(&q, 0, j, allowed[j] ? test_normal() : INFINITY);
        }
        entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
        options.mask = mask;
        options.temperature = 2;
        loss_draw(&loss);
        oracle_gradient exact = expect(&p, &q, 0, allowed, &loss, 3, 2);
        const entrol_destination to = destination_of(&dz, 0);
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
            if (!contexts[cpu])
                continue;
            loss_make(&loss, contexts[cpu], 3, &p.matrix, &q.matrix, &options);
            CHECK_INT(
                entrol_gradient_rows(contexts[cpu], &to, NULL, &loss.record, loss.states, &p.matrix, NULL, &options),
                ENTROL_OK);
            compare((entrol_cpu)cpu, &dz, 0, &exact, 0, "masked");
            for (size_t j = 0; j < n; j++)
                CHECK(allowed[j] || sheet_get(&dz, 0, j) == 0);
        }
        free(exact.d_logits);
        sheet_free(&p);
        sheet_free(&q);
        sheet_free(&dz);
        free(allowed);
        free(mask);
    }
}

/* --- Rows together --- */

/* With the entropy's part, trouble in p (row 1), in q (row 2), rows without a part (3, 6, ...), by both calls and any
 * number of threads: the same bits. */
static void check_together(size_t n_rows, size_t n_columns, entrol_dtype q_dtype) {
    static loss loss;
    entrol_diagnosis diagnosis;
    const entrol_record nothing = ENTROL_RECORD_INIT;
    sheet p = sheet_make(n_rows, n_columns, ENTROL_F32), q = sheet_make(n_rows, n_columns, q_dtype);
    sheet first = sheet_make(n_rows, n_columns, ENTROL_F32), dz = sheet_make(n_rows, n_columns, ENTROL_F32);
    loss_draw(&loss);
    for (size_t i = 0; i < n_rows * n_columns; i++) {
        sheet_put(&p, i / n_columns, i % n_columns, i == n_columns + 1 ? NAN : test_normal());
        sheet_put(&q, i / n_columns, i % n_columns, i == 2 * n_columns + 1 ? NAN : test_normal());
    }
    for (size_t row = 3; row < n_rows; row += 3)
        loss.kl_pq[row] = loss.kl_qp[row] = loss.entropy[row] = 0;
    for (size_t k = 0; k < 6; k++) {
        entrol_context *context = context_at(ENTROL_CPU_BEST, (size_t[]){1, 2, 7}[k / 2]);
        const entrol_destination to = destination_of(k ? &dz : &first, 0);
        loss_make(&loss, context, 3, &p.matrix, &q.matrix, NULL);
        loss.record.entropy = loss.entropy;
        CHECK_INT(
            k % 2 ? entrol_measure_and_gradient_rows(context, &to, &nothing, &diagnosis, &loss.record, &p.matrix, NULL,
                                                     NULL, NULL, NULL)
                  : entrol_gradient_rows(context, &to, &diagnosis, &loss.record, loss.states, &p.matrix, NULL, NULL),
            ENTROL_OK);
        CHECK(diagnosis.n_bad == 2 && diagnosis.first_row == 1 && diagnosis.first_column == 1);
        CHECK(k == 0 || memcmp(dz.buffer.data, first.buffer.data, n_rows * n_columns * sizeof(float)) == 0);
        entrol_context_destroy(context);
    }
    for (size_t row = 0; row < n_rows; row++) {
        double *of_p = sheet_row(&p, row);
        const double by[3] = {0, (double)loss.entropy[row], 0};
        const bool is_bad = row == 1 || row == 2;
        oracle_gradient exact = expect(&p, &q, row, NULL, &loss, is_bad ? 0 : 3, 1);
        oracle_gradient of_entropy = {.d_logits = malloc(n_columns * sizeof(long double))};
        if (!is_bad)
            oracle_differentiate(&of_entropy, of_p, NULL, n_columns, 0, 1, by);
        for (size_t j = 0; j < n_columns && !is_bad; j++)
            exact.d_logits[j] += of_entropy.d_logits[j];
        exact.greatest = is_bad ? 0 : fmaxl(exact.greatest, of_entropy.greatest);
        for (size_t j = 0; j < n_columns && is_bad; j++)
            CHECK(isnan(sheet_get(&first, row, j)));
        if (!is_bad)
            compare(ENTROL_CPU_SCALAR, &first, row, &exact, 0, "together");
        free(of_p);
        free(exact.d_logits);
        free(of_entropy.d_logits);
    }
    sheet_free(&p);
    sheet_free(&q);
    sheet_free(&first);
    sheet_free(&dz);
}

static void test_together(void) {
    for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype += is_quick() ? 2 : 1) {
        check_together(MOST_ROWS, 4, (entrol_dtype)dtype);
        check_together(MOST_ROWS - 3, 18, (entrol_dtype)dtype);
        check_together(is_quick() ? 4 : 20, 2500, (entrol_dtype)dtype);
        if (!is_quick())
            check_together(4, 70000, (entrol_dtype)dtype);
    }
}

static void check_refused(const entrol_gradient *gradient, const entrol_matrix *p, const char *argument) {
    float dz[4];
    entrol_state states[2];
    entrol_diagnosis diagnosis = {0};
    const entrol_destination to = {dz, ENTROL_F32, 2, 0};
    memset(states, 0, sizeof states);
    CHECK_INT(entrol_gradient_rows(contexts[ENTROL_CPU_SCALAR], &to, &diagnosis, gradient, states, p, NULL, NULL),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "none", argument);
}

static void test_bad_arguments(void) {
    float z[6] = {1, 2, 3, 4, 5, 6}, by[2] = {1, 1};
    entrol_pair pairs[2] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    const entrol_matrix p = {z, ENTROL_F32, 2, 2, 2}, q = {z, ENTROL_F32, 2, 3, 3}, rows = {z, ENTROL_F32, 1, 2, 2};
    entrol_gradient gradient = ENTROL_GRADIENT_INIT;
    gradient.kl_qp = by;
    gradient.pairs = pairs;
    check_refused(&gradient, &p, "gradient.reference");
    gradient.reference = &q;
    check_refused(&gradient, &p, "gradient.reference");
    gradient.reference = &rows;
    check_refused(&gradient, &p, "gradient.reference");
    gradient.reference = &p;
    gradient.pairs = NULL;
    check_refused(&gradient, &p, "gradient.pairs");
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    contexts_open(NULL);
    TEST(test_oracle);
    TEST(test_short);
    TEST(test_long);
    TEST(test_cancelling_means);
    TEST(test_impossible);
    TEST(test_masks);
    TEST(test_together);
    TEST(test_bad_arguments);
    contexts_close();
    return test_end();
}
