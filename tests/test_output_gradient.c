/* The gradients of an output layer against the oracle's gradient of exact logits, multiplied out in long double; and
 * that once against differences of the loss. Every dtype, bias, soft cap, mask and temperature; rows without a
 * gradient; trouble; the same bits for any number of threads. */
#include "harness.h"

#include "harness_output.h"
#include "oracle.h"

/* What a loss says of each row, and where the gradients go. */
typedef struct work {
    problem problem;
    float *by[3]; /* logprob, entropy, varentropy */
    entrol_gradient record;
    entrol_state *states;
    sheet d_hidden, d_weight, d_bias;
    entrol_diagnosis diagnosis;
} work;

static work work_make(size_t n, size_t n_columns, size_t depth, entrol_dtype dtype, unsigned parts) {
    work work = {.problem = problem_make(n, n_columns, depth, dtype, parts)};
    for (size_t i = 0; i < 3; i++) {
        work.by[i] = malloc((n + 1) * sizeof(float));
        for (size_t row = 0; row < n; row++)
            work.by[i][row] = (float)test_normal();
    }
    work.record = (entrol_gradient){
        sizeof(entrol_gradient), work.by[0], work.by[1], work.by[2], NULL, NULL, NULL, NULL, NULL, NULL};
    work.states = calloc(n + 1, sizeof *work.states);
    work.d_hidden = sheet_make(n, depth, ENTROL_F32);
    work.d_weight = sheet_make(n_columns, depth, ENTROL_F32);
    work.d_bias = sheet_make(1, n_columns, ENTROL_F32);
    return work;
}

static void work_free(work *work) {
    problem_free(&work->problem);
    for (size_t i = 0; i < 3; i++)
        free(work->by[i]);
    free(work->states);
    sheet_free(&work->d_hidden);
    sheet_free(&work->d_weight);
    sheet_free(&work->d_bias);
}

static void fill(sheet *sheet, double value) {
    for (size_t i = 0; i < sheet->n_rows * sheet->n_columns; i++)
        ((float *)sheet->buffer.data)[i] = (float)value;
}

static void measure(entrol_context *context, work *work) {
    problem *problem = &work->problem;
    float *varentropy = malloc((problem->n + 1) * sizeof *varentropy);
    entrol_record record = ENTROL_RECORD_INIT;
    record.varentropy = varentropy;
    record.state = work->states;
    problem_take_workspace(problem, context);
    CHECK_INT(entrol_measure_output(context, &record, NULL, problem->workspace.data, problem->workspace_size,
                                    &problem->hidden.matrix, &problem->layer, problem->targets, &problem->options),
              ENTROL_OK);
    free(varentropy);
}

enum { HIDDEN = 1, WEIGHT = 2, BIAS = 4 };

static void differentiate(entrol_context *context, work *work, unsigned wanted, int add) {
    problem *problem = &work->problem;
    const entrol_destination hidden = destination_of(&work->d_hidden, add),
                             weight = destination_of(&work->d_weight, add), bias = destination_of(&work->d_bias, add);
    problem_take_workspace(problem, context);
    CHECK_INT(entrol_gradient_output(context, wanted & HIDDEN ? &hidden : NULL, wanted & WEIGHT ? &weight : NULL,
                                     wanted & BIAS ? &bias : NULL, &work->diagnosis, problem->workspace.data,
                                     problem->workspace_size, &work->record, work->states, &problem->hidden.matrix,
                                     &problem->layer, problem->targets, &problem->options),
              ENTROL_OK);
}

/* --- Against the oracle --- */

/* The gradients in long double, and of each the sum of the sizes of what it is made of. */
typedef struct exact {
    long double *hidden, *weight, *bias, *hidden_sizes;
    long double sizes; /* of d_weight and d_bias: the greatest part of each row, summed */
} exact;

static void add_row(exact *exact, const work *work, size_t row) {
    const problem *problem = &work->problem;
    const size_t n_columns = problem->n_columns, depth = problem->depth;
    const double by[3] = {(double)work->by[0][row], (double)work->by[1][row], (double)work->by[2][row]};
    double *slopes, *logits = problem_logits(problem, row, &slopes), *hidden = sheet_row(&problem->hidden, row);
    oracle_gradient gradient = {.d_logits = malloc((n_columns + 1) * sizeof(long double))};
    oracle_differentiate(&gradient, logits, problem->allowed, n_columns, problem->targets[row],
                         problem->options.temperature, by);
    for (size_t j = 0; j < n_columns; j++) {
        const long double dz = gradient.d_logits[j] * (long double)slopes[j];
        if (dz == 0) /* what is not finite there does not matter */
            continue;
        exact->bias[j] += dz;
        for (size_t k = 0; k < depth; k++) {
            exact->hidden[row * depth + k] += dz * (long double)sheet_get(&problem->weight, j, k);
            exact->weight[j * depth + k] += dz * (long double)hidden[k];
        }
    }
    exact->hidden_sizes[row] = gradient.sizes;
    exact->sizes += gradient.greatest;
    free(gradient.d_logits);
    free(slopes);
    free(logits);
    free(hidden);
}

static bool has_gradient(const work *work, size_t row) {
    return work->by[0][row] != 0 || work->by[1][row] != 0 || work->by[2][row] != 0;
}

static exact exact_make(const work *work) {
    const problem *problem = &work->problem;
    exact exact = {.hidden = calloc(problem->n * problem->depth + 1, sizeof(long double)),
                   .weight = calloc(problem->n_columns * problem->depth + 1, sizeof(long double)),
                   .bias = calloc(problem->n_columns + 1, sizeof(long double)),
                   .hidden_sizes = calloc(problem->n + 1, sizeof(long double))};
    for (size_t row = 0; row < problem->n; row++)
        if (has_gradient(work, row))
            add_row(&exact, work, row);
    return exact;
}

static void exact_free(exact *exact) {
    free(exact->hidden);
    free(exact->weight);
    free(exact->bias);
    free(exact->hidden_sizes);
}

static void check_element(const work *work, const char *what, size_t row, size_t column, double got, long double value,
                          double before, long double sizes) {
    /* the gradient's own 1e-5, and the product's sums of f32 */
    const double expected = (double)value + before, allowed = 3e-5 * (double)sizes + 3e-7 * fabs(expected) + 1e-30;
    CHECK_SAY(fabs(got - expected) <= allowed, "n = %zu, V = %zu, d = %zu: %s (%zu, %zu) is %.9g, expected %.9g +- %g",
              work->problem.n, work->problem.n_columns, work->problem.depth, what, row, column, got, expected, allowed);
}

/* `before` is what was added to. Elements of the operands are at most 1 in size. */
static void compare(const work *work, const exact *exact, unsigned wanted, double before) {
    const size_t n = work->problem.n, n_columns = work->problem.n_columns, depth = work->problem.depth;
    for (size_t i = 0; i < n * depth && wanted & HIDDEN; i++)
        check_element(work, "d_hidden", i / depth, i % depth, sheet_get(&work->d_hidden, i / depth, i % depth),
                      exact->hidden[i], before, exact->hidden_sizes[i / depth]);
    for (size_t i = 0; i < n_columns * depth && wanted & WEIGHT; i++)
        check_element(work, "d_weight", i / depth, i % depth, sheet_get(&work->d_weight, i / depth, i % depth),
                      exact->weight[i], before, exact->sizes);
    for (size_t j = 0; j < n_columns && wanted & BIAS; j++)
        check_element(work, "d_bias", 0, j, sheet_get(&work->d_bias, 0, j), exact->bias[j], before, exact->sizes);
}

/* `sparse`: all but every sixth row has no gradient, in runs and alone. */
static void check_work(size_t n, size_t n_columns, size_t depth, entrol_dtype dtype, unsigned parts, bool sparse) {
    work work = work_make(n, n_columns, depth, dtype, parts);
    for (size_t row = 0; row < n && sparse; row++)
        if (test_below(6))
            work.by[0][row] = work.by[1][row] = work.by[2][row] = 0;
    exact exact = exact_make(&work);
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
        if (!contexts[cpu])
            continue;
        const int add = (int)test_below(2);
        const unsigned wanted = test_below(3) ? HIDDEN | WEIGHT | BIAS : (unsigned)test_below(8);
        fill(&work.d_hidden, add ? 0.25 : NAN);
        fill(&work.d_weight, add ? 0.25 : NAN);
        fill(&work.d_bias, add ? 0.25 : NAN);
        measure(contexts[cpu], &work);
        differentiate(contexts[cpu], &work, wanted, add);
        CHECK_INT(work.diagnosis.n_bad, 0);
        compare(&work, &exact, wanted, add ? 0.25 : 0);
    }
    exact_free(&exact);
    work_free(&work);
}

static void test_small(void) {
    static const size_t sizes[] = {1, 2, 3, 7, 8, 17, 65};
    for (size_t k = 0; k < (is_quick() ? 32 : 128); k++) {
        const entrol_dtype dtype = (entrol_dtype)(ENTROL_F32 + k % 3);
        check_work(sizes[test_below(7)], sizes[test_below(7)], sizes[test_below(7)], dtype, (unsigned)k % 16,
                   k % 5 == 0);
    }
    check_work(1, 1, 1, ENTROL_F32, 0, false);
}

/* More than one block, tile or piece of the depth, and none of them whole; groups of rows that lie apart. */
static void test_grid(void) {
    check_work(530, 40, 3, ENTROL_F32, WITH_BIAS, false);
    check_work(530, 40, 3, ENTROL_BF16, WITH_CAP, true);
    check_work(4, 2100, 5, ENTROL_F32, WITH_MASK | WITH_TEMPERATURE, false);
    check_work(3, 1500, 4, ENTROL_BF16, 15, true);
    check_work(3, 20, 1030, ENTROL_F32, 0, false);
    check_work(4, 11, 1600, ENTROL_BF16, WITH_BIAS, true);
    check_work(4200, 5, 2, ENTROL_F32, WITH_BIAS, false);
    check_work(4200, 5, 2, ENTROL_F32, WITH_CAP, true);
}

/* --- Against differences of the loss --- */

static double loss_of(entrol_context *context, work *work) {
    problem *problem = &work->problem;
    float values[3][16];
    entrol_record record = ENTROL_RECORD_INIT;
    record.logprob = values[0];
    record.entropy = values[1];
    record.varentropy = values[2];
    double loss = 0;
    CHECK_INT(entrol_measure_output(context, &record, NULL, problem->workspace.data, problem->workspace_size,
                                    &problem->hidden.matrix, &problem->layer, problem->targets, &problem->options),
              ENTROL_OK);
    for (size_t row = 0; row < problem->n; row++)
        for (size_t i = 0; i < 3; i++)
            loss += (double)work->by[i][row] * (double)values[i][row];
    return loss;
}

/* Moves every element of a matrix by a random step, once forth and once back; the slope along the way. */
static double slope_along(double *expected, entrol_context *context, work *work, sheet *moved, const sheet *gradient) {
    const size_t n = moved->n_rows * moved->n_columns;
    float *x = moved->buffer.data, *kept = malloc(n * sizeof *kept), *step = malloc(n * sizeof *step);
    double loss[2];
    memcpy(kept, x, n * sizeof *x);
    *expected = 0;
    for (size_t i = 0; i < n; i++) {
        step[i] = (float)test_normal();
        *expected += (double)step[i] * sheet_get(gradient, i / moved->n_columns, i % moved->n_columns);
    }
    for (int way = 0; way < 2; way++) {
        for (size_t i = 0; i < n; i++)
            x[i] = kept[i] + (way ? -1 : 1) * 0x1p-8f * step[i];
        loss[way] = loss_of(context, work);
    }
    memcpy(x, kept, n * sizeof *x);
    free(kept);
    free(step);
    return (loss[0] - loss[1]) / 0x1p-7;
}

static void test_differences(void) {
    for (unsigned parts = 0; parts < 16; parts++) {
        work work = work_make(12, 90, 6, ENTROL_F32, parts);
        entrol_context *context = contexts[ENTROL_CPU_SCALAR];
        double expected, slope;
        for (size_t row = 0; row < 12; row++)
            work.problem.targets[row] = 45; /* which no mask rules out */
        measure(context, &work);
        differentiate(context, &work, HIDDEN | WEIGHT, 0);
        slope = slope_along(&expected, context, &work, &work.problem.hidden, &work.d_hidden);
        CHECK_NEAR(slope, expected, 4e-3 * (1 + fabs(expected)));
        slope = slope_along(&expected, context, &work, &work.problem.weight, &work.d_weight);
        CHECK_NEAR(slope, expected, 4e-3 * (1 + fabs(expected)));
        work_free(&work);
    }
}

/* --- Threads --- */

static void check_same(const sheet *a, const sheet *b) {
    CHECK(memcmp(a->buffer.data, b->buffer.data, a->n_rows * a->n_columns * sizeof(float)) == 0);
}

static void check_threads(size_t n, size_t n_columns, size_t depth, bool sparse) {
    static const size_t threads[] = {2, 7, 19};
    work work = work_make(n, n_columns, depth, ENTROL_F32, WITH_BIAS);
    for (size_t i = 0; i < n * depth; i++)
        ((float *)work.problem.hidden.buffer.data)[i] = (float)test_normal();
    for (size_t row = 0; row < n && sparse; row += 2)
        work.by[0][row] = work.by[1][row] = work.by[2][row] = 0;
    entrol_context *one = context_with(ENTROL_CPU_BEST, 1, plain_gemm);
    measure(one, &work);
    differentiate(one, &work, HIDDEN | WEIGHT | BIAS, 0);
    entrol_context_destroy(one);
    for (size_t k = 0; k < 3; k++) {
        entrol_context *many = context_with(ENTROL_CPU_BEST, threads[k], plain_gemm);
        sheet alone[3] = {work.d_hidden, work.d_weight, work.d_bias};
        work.d_hidden = sheet_make(n, depth, ENTROL_F32);
        work.d_weight = sheet_make(n_columns, depth, ENTROL_F32);
        work.d_bias = sheet_make(1, n_columns, ENTROL_F32);
        differentiate(many, &work, HIDDEN | WEIGHT | BIAS, 0);
        check_same(&alone[0], &work.d_hidden);
        check_same(&alone[1], &work.d_weight);
        check_same(&alone[2], &work.d_bias);
        for (size_t i = 0; i < 3; i++)
            sheet_free(&alone[i]);
        entrol_context_destroy(many);
    }
    work_free(&work);
}

static void test_threads(void) {
    check_threads(1200, 1500, 6, false);
    check_threads(1300, 1500, 6, true);
    check_threads(3, 9000, 20, false);
    check_threads(5000, 70, 3, true);
}

/* --- Rows and columns that have no part --- */

/* Rows without a gradient, and columns that are impossible, whose operands hold anything. */
static void test_what_has_no_part(void) {
    for (unsigned k = 0; k < 2; k++) {
        work work = work_make(9, 40, 5, k ? ENTROL_BF16 : ENTROL_F32, WITH_MASK | WITH_BIAS);
        for (size_t row = 0; row < 9; row += 4) {
            work.by[0][row] = work.by[1][row] = work.by[2][row] = 0;
            sheet_put(&work.problem.hidden, row, 2, row ? NAN : (double)INFINITY);
        }
        for (size_t row = 0; row < 9; row++)
            work.problem.targets[row] = 20; /* which may happen */
        work.problem.allowed[7] = 0;
        work.problem.mask[0] &= 0x7f;
        sheet_put(&work.problem.weight, 7, 3, NAN);
        work.problem.bias[9] = -INFINITY;
        exact exact = exact_make(&work);
        measure(contexts[ENTROL_CPU_SCALAR], &work);
        differentiate(contexts[ENTROL_CPU_SCALAR], &work, HIDDEN | WEIGHT | BIAS, 0);
        CHECK_INT(work.diagnosis.n_bad, 0);
        compare(&work, &exact, HIDDEN | WEIGHT | BIAS, 0);
        for (size_t i = 0; i < 5; i++)
            CHECK(sheet_get(&work.d_weight, 7, i) == 0 && sheet_get(&work.d_hidden, 4, i) == 0);
        exact_free(&exact);
        work_free(&work);
    }
}

/* A soft cap makes finite logits of infinite products, and their gradient 0. */
static void test_infinite_under_a_cap(void) {
    work work = work_make(5, 30, 1, ENTROL_F32, WITH_CAP);
    for (size_t j = 0; j < 30; j++)
        sheet_put(&work.problem.weight, j, 0, j % 2 ? 0.5 : -0.25);
    sheet_put(&work.problem.hidden, 3, 0, -(double)INFINITY);
    exact exact = exact_make(&work);
    measure(contexts[ENTROL_CPU_SCALAR], &work);
    differentiate(contexts[ENTROL_CPU_SCALAR], &work, HIDDEN | WEIGHT | BIAS, 0);
    CHECK_INT(work.diagnosis.n_bad, 0);
    compare(&work, &exact, HIDDEN | WEIGHT | BIAS, 0);
    CHECK(sheet_get(&work.d_hidden, 3, 0) == 0);
    exact_free(&exact);
    work_free(&work);
}

/* Rows in trouble: their own d_hidden is NaN, and the rest is that of the other rows. */
static void test_trouble(void) {
    for (int add = 0; add < 2; add++) {
        work work = work_make(11, 40, 5, ENTROL_F32, 0);
        sheet_put(&work.problem.hidden, 3, 1, NAN);
        sheet_put(&work.problem.hidden, 6, 1, (double)INFINITY);
        work.problem.targets[8] = -1;
        measure(contexts[ENTROL_CPU_SCALAR], &work);
        work.by[1][5] = NAN;
        float kept[4][3];
        const size_t bad[4] = {3, 5, 6, 8};
        for (size_t i = 0; i < 12; i++) {
            kept[i / 3][i % 3] = work.by[i % 3][bad[i / 3]];
            work.by[i % 3][bad[i / 3]] = 0;
        }
        exact exact = exact_make(&work); /* without them */
        for (size_t i = 0; i < 12; i++)
            work.by[i % 3][bad[i / 3]] = kept[i / 3][i % 3];
        fill(&work.d_hidden, 0.5);
        fill(&work.d_weight, 0.5);
        fill(&work.d_bias, 0.5);
        differentiate(contexts[ENTROL_CPU_SCALAR], &work, HIDDEN | WEIGHT | BIAS, add);
        CHECK_INT(work.diagnosis.n_bad, 4);
        CHECK_INT(work.diagnosis.first_row, 3);
        CHECK_INT(work.diagnosis.reason, ENTROL_REASON_NAN);
        compare(&work, &exact, WEIGHT | BIAS, add ? 0.5 : 0);
        for (size_t i = 0; i < 11 * 5; i++) {
            const size_t row = i / 5;
            CHECK(isnan(sheet_get(&work.d_hidden, row, i % 5)) == (row == 3 || row == 5 || row == 6 || row == 8));
        }
        exact_free(&exact);
        work_free(&work);
    }
}

/* No row has a gradient; no columns; no depth; no rows. */
static void test_empty(void) {
    for (size_t k = 0; k < 8; k++) {
        work work = work_make(k == 3 ? 0 : 3, k == 1 ? 0 : 6, k == 2 ? 0 : 4, ENTROL_F32, WITH_BIAS);
        for (size_t row = 0; row < 3 && k != 3; row++)
            work.by[0][row] = work.by[1][row] = work.by[2][row] = 0;
        fill(&work.d_hidden, 2);
        fill(&work.d_weight, 2);
        fill(&work.d_bias, 2);
        measure(contexts[ENTROL_CPU_SCALAR], &work);
        differentiate(contexts[ENTROL_CPU_SCALAR], &work, HIDDEN | WEIGHT | BIAS, k > 3);
        CHECK_INT(work.diagnosis.n_bad, 0);
        const sheet *sheets[3] = {&work.d_hidden, &work.d_weight, &work.d_bias};
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < sheets[i]->n_rows * sheets[i]->n_columns; j++)
                CHECK(((const float *)sheets[i]->buffer.data)[j] == (k > 3 ? 2 : 0));
        work_free(&work);
    }
    check_work(3, 6, 0, ENTROL_F32, WITH_BIAS, false);
}

/* --- Arguments --- */

static void check_refused(work *work, const entrol_destination *d_hidden, const entrol_destination *d_weight,
                          const entrol_destination *d_bias, const entrol_gradient *gradient, const entrol_state *states,
                          const int64_t *targets, const char *argument) {
    const problem *problem = &work->problem;
    entrol_diagnosis diagnosis = {0};
    CHECK_INT(entrol_gradient_output(contexts[ENTROL_CPU_SCALAR], d_hidden, d_weight, d_bias, &diagnosis,
                                     problem->workspace.data, problem->workspace_size, gradient, states,
                                     &problem->hidden.matrix, &problem->layer, targets, NULL),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "none", argument);
}

static void test_bad_arguments(void) {
    work work = work_make(3, 6, 4, ENTROL_F32, 0);
    measure(contexts[ENTROL_CPU_SCALAR], &work);
    const int64_t *targets = work.problem.targets;
    const entrol_gradient *record = &work.record;
    const entrol_destination good = destination_of(&work.d_hidden, 0);
    entrol_destination bad[5] = {good, good, good, good, good};
    bad[0].dtype = ENTROL_BF16;
    bad[1].row_stride = 3;
    bad[2].row_stride = -4;
    bad[3].data = NULL;
    bad[4].data = (char *)good.data + 1;
    for (size_t i = 0; i < 5; i++) {
        check_refused(&work, &bad[i], NULL, NULL, record, work.states, targets, "d_hidden");
        check_refused(&work, NULL, &bad[i], NULL, record, work.states, targets, "d_weight");
        if (i != 1 && i != 2) /* it is one row */
            check_refused(&work, NULL, NULL, &bad[i], record, work.states, targets, "d_bias");
    }
    check_refused(&work, &good, NULL, NULL, NULL, work.states, targets, "gradient");
    entrol_gradient of_support = *record;
    of_support.support_entropy = record->entropy;
    check_refused(&work, &good, NULL, NULL, &of_support, work.states, targets, "gradient.support_entropy");
    entrol_gradient of_pairs = ENTROL_GRADIENT_INIT;
    of_pairs.kl_qp = record->entropy;
    check_refused(&work, &good, NULL, NULL, &of_pairs, work.states, targets, "gradient.kl_qp");
    of_pairs.kl_pq = record->entropy;
    check_refused(&work, &good, NULL, NULL, &of_pairs, work.states, targets, "gradient.kl_pq");
    check_refused(&work, &good, NULL, NULL, record, NULL, targets, "states");
    check_refused(&work, &good, NULL, NULL, record, work.states, NULL, "targets");
    work.problem.workspace_size--;
    check_refused(&work, &good, NULL, NULL, record, work.states, targets, "workspace");
    work_free(&work);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    contexts_open(plain_gemm);
    TEST(test_small);
    TEST(test_grid);
    TEST(test_differences);
    TEST(test_threads);
    TEST(test_what_has_no_part);
    TEST(test_infinite_under_a_cap);
    TEST(test_trouble);
    TEST(test_empty);
    TEST(test_bad_arguments);
    contexts_close();
    return test_end();
}
