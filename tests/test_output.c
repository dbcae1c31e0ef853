/* Measuring through an output layer against the oracle, whose logits are exact: every dtype, bias, soft cap, mask and
 * temperature; blocks, tiles and depths that are not whole; trouble; the same bits for any number of threads. */
#include "harness.h"

#include "harness_output.h"
#include "oracle.h"

#include <stdatomic.h>
#include <unistd.h>

enum { N_TOP = 5 };

/* Every output of n rows. */
typedef struct results {
    size_t n;
    float *floats[8], *top_logprob;
    int32_t *rank, *top_id;
    entrol_state *state;
    entrol_record record;
    entrol_diagnosis diagnosis;
} results;

static const char *const names[8] = {"entropy",  "logsumexp", "logprob",       "varentropy",
                                     "top_prob", "margin",    "sum_p_squared", "renyi"};

static results results_make(size_t n) {
    results results = {.n = n};
    float **f = results.floats;
    for (size_t i = 0; i < 8; i++)
        f[i] = calloc(n + 1, sizeof(float));
    results.rank = calloc(n + 1, sizeof(int32_t));
    results.top_id = calloc(n * N_TOP + 1, sizeof(int32_t));
    results.top_logprob = calloc(n * N_TOP + 1, sizeof(float));
    results.state = calloc(n + 1, sizeof(entrol_state));
    results.record = (entrol_record){
        sizeof(entrol_record), f[0],  f[1],          f[2], f[3], f[4], f[5], f[6], f[7], results.rank, results.top_id,
        results.top_logprob,   N_TOP, results.state, NULL, NULL};
    return results;
}

static void results_free(results *results) {
    for (size_t i = 0; i < 8; i++)
        free(results->floats[i]);
    free(results->rank);
    free(results->top_id);
    free(results->top_logprob);
    free(results->state);
}

static void measure(entrol_context *context, results *results, problem *problem) {
    problem_take_workspace(problem, context);
    CHECK_INT(entrol_measure_output(context, &results->record, &results->diagnosis, problem->workspace.data,
                                    problem->workspace_size, &problem->hidden.matrix, &problem->layer, problem->targets,
                                    &problem->options),
              ENTROL_OK);
}

/* --- Against the oracle --- */

/* The contract of measure.h, and what a soft cap, rounded to float, moves logits by. */
static double tolerance_of(const problem *problem, int statistic, double value) {
    const double cap = problem->layer.soft_cap, moved = 1.2e-6 * cap / problem->options.temperature;
    double tolerance = 2e-6 * fmax(1, fabs(value));
    if ((statistic == 0 || statistic == 3) && value < 1e-3 && cap == 0)
        tolerance = fmin(tolerance, 1e-3 * value + 1e-25);
    return tolerance + moved * (statistic == 3 ? 20 : 1);
}

static void check_row(const results *results, const problem *problem, size_t row, const char *what) {
    double *logits = problem_logits(problem, row, NULL);
    oracle_row oracle;
    oracle_measure(&oracle, logits, problem->allowed, problem->n_columns, problem->targets[row],
                   problem->options.temperature, problem->options.renyi_order);
    const long double expected[8] = {oracle.entropy,  oracle.logsumexp, oracle.logprob,       oracle.varentropy,
                                     oracle.top_prob, oracle.margin,    oracle.sum_p_squared, oracle.renyi};
    for (int i = 0; i < 8; i++) {
        const double value = (double)expected[i], got = (double)results->floats[i][row];
        CHECK_SAY(test_near(got, value, tolerance_of(problem, i, value)),
                  "%s, %zu x %zu, V = %zu, row %zu: %s is %.9g, exactly %.9g", what, problem->n, problem->depth,
                  problem->n_columns, row, names[i], got, value);
    }
    CHECK_INT(results->rank[row], oracle.rank);
    int64_t columns[N_TOP];
    const size_t n_found = oracle_top(columns, logits, problem->allowed, problem->n_columns, N_TOP);
    for (size_t i = 0; i < N_TOP; i++)
        CHECK_INT(results->top_id[row * N_TOP + i], i < n_found ? columns[i] : -1);
    free(logits);
}

static void check_problem(size_t n, size_t n_columns, size_t depth, entrol_dtype dtype, unsigned parts,
                          const char *what) {
    static const double orders[] = {2, 0.5, INFINITY, 0, 1, 3};
    problem problem = problem_make(n, n_columns, depth, dtype, parts);
    problem.options.renyi_order = orders[(n + parts) % 6];
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
        if (!contexts[cpu])
            continue;
        results results = results_make(n);
        measure(contexts[cpu], &results, &problem);
        CHECK_INT(results.diagnosis.n_bad, 0);
        for (size_t row = 0; row<n; row += n> 100 ? 41 : 1)
            check_row(&results, &problem, row, what);
        if (n > 0)
            check_row(&results, &problem, n - 1, what);
        results_free(&results);
    }
    problem_free(&problem);
}

static void test_small(void) {
    static const size_t sizes[] = {1, 2, 3, 7, 8, 17, 65};
    for (size_t k = 0; k < 128; k++) {
        const entrol_dtype dtype = (entrol_dtype)(ENTROL_F32 + k % 3);
        check_problem(sizes[test_below(7)], sizes[test_below(7)], sizes[test_below(7)], dtype, (unsigned)k % 16,
                      "small");
    }
    check_problem(1, 1, 1, ENTROL_F32, 0, "least");
}

/* More than one block, tile or piece of the depth, and none of them whole. */
static void test_grid(void) {
    check_problem(515, 1100, 9, ENTROL_F32, 0, "blocks");
    check_problem(515, 1100, 9, ENTROL_BF16, 15, "blocks");
    check_problem(3, 2500, 33, ENTROL_BF16, WITH_CAP, "tiles");
    check_problem(3, 2049, 5, ENTROL_F32, WITH_MASK, "tiles");
    check_problem(5, 40, 1025, ENTROL_F32, WITH_BIAS, "depth");
    check_problem(5, 40, 2100, ENTROL_BF16, 15, "depth");
    check_problem(4100, 30, 3, ENTROL_F32, WITH_BIAS, "groups");
}

/* Operands that a product cannot take where they are: rows that are far apart, backwards, or at odd addresses. */
static void test_layouts(void) {
    for (int layout = 0; layout < 4; layout++) {
        problem problem = problem_make(9, 70, 12, ENTROL_F32, 0);
        results plain = results_make(9), other = results_make(9);
        measure(contexts[ENTROL_CPU_SCALAR], &plain, &problem);
        char *memory = malloc(70 * 20 * sizeof(float) + 1);
        for (size_t j = 0; j < 70; j++)
            for (size_t k = 0; k < 12; k++) {
                const size_t row = layout == 1 ? 69 - j : j, stride = layout == 2 ? 12 : 20;
                const float value = (float)sheet_get(&problem.weight, j, k);
                memcpy(memory + (layout == 2) + (row * stride + k) * sizeof value, &value, sizeof value);
            }
        entrol_matrix *weight = &problem.layer.weight;
        weight->data = memory + (layout == 1 ? 69 * 20 * sizeof(float) : layout == 2);
        weight->row_stride = layout == 1 ? -20 : layout == 2 ? 12 : 20;
        measure(contexts[ENTROL_CPU_SCALAR], &other, &problem);
        for (size_t i = 0; i < 8; i++)
            CHECK(memcmp(plain.floats[i], other.floats[i], 9 * sizeof(float)) == 0);
        free(memory);
        results_free(&plain);
        results_free(&other);
        problem_free(&problem);
    }
}

/* Any products, not exact ones: an error of a logit is at most that of summing d products in f32. */
static void test_rounded_products(void) {
    problem problem = problem_make(20, 300, 64, ENTROL_F32, 0);
    for (size_t i = 0; i < 20 * 64; i++)
        ((float *)problem.hidden.buffer.data)[i] = (float)test_normal();
    for (size_t i = 0; i < 300 * 64; i++)
        ((float *)problem.weight.buffer.data)[i] = (float)(test_normal() / 4);
    results results = results_make(20);
    measure(contexts[ENTROL_CPU_SCALAR], &results, &problem);
    for (size_t row = 0; row < 20; row++) {
        double *logits = problem_logits(&problem, row, NULL);
        oracle_row oracle;
        oracle_measure(&oracle, logits, NULL, 300, problem.targets[row], 1, 2);
        CHECK_NEAR(results.floats[0][row], oracle.entropy, 3e-5);
        CHECK_NEAR(results.floats[2][row], oracle.logprob, 3e-5);
        problem.targets[row] = results.top_id[row * N_TOP];
        free(logits);
    }
    /* the greatest columns: that a target's logit is rounded in another way is seen by no comparison */
    measure(contexts[ENTROL_CPU_SCALAR], &results, &problem);
    for (size_t row = 0; row < 20; row++) {
        CHECK_INT(results.rank[row], 1);
        CHECK(results.top_logprob[row * N_TOP] == results.floats[2][row]);
    }
    results_free(&results);
    problem_free(&problem);
}

/* --- Threads --- */

/* A pool whose tasks run one after another, the last one first: the first to run does all the work. */
static void run_backwards(void *user, size_t n_tasks, entrol_task task, void *argument) {
    (void)user;
    while (n_tasks-- > 0)
        task(argument, n_tasks);
}

/* A product whose tiles take unequal times: the first of a row's are the last to be ready. */
static void uneven_gemm(void *user, const entrol_gemm_operands *operands) {
    atomic_int *n_calls = user;
    if (atomic_fetch_add(n_calls, 1) % 2 == 0)
        usleep(2000);
    plain_gemm(NULL, operands);
}

static void check_same(const results *a, const results *b) {
    for (size_t i = 0; i < 8; i++)
        CHECK(memcmp(a->floats[i], b->floats[i], a->n * sizeof(float)) == 0);
    CHECK(memcmp(a->rank, b->rank, a->n * sizeof *a->rank) == 0);
    CHECK(memcmp(a->top_id, b->top_id, a->n * N_TOP * sizeof *a->top_id) == 0);
    CHECK(memcmp(a->top_logprob, b->top_logprob, a->n * N_TOP * sizeof(float)) == 0);
    CHECK(memcmp(a->state, b->state, a->n * sizeof *a->state) == 0);
}

static void check_threads(size_t n, size_t n_columns, size_t depth) {
    static const size_t threads[] = {2, 7, 3};
    atomic_int n_calls = 0;
    problem problem = problem_make(n, n_columns, depth, ENTROL_F32, 0);
    for (size_t i = 0; i < n * depth; i++)
        ((float *)problem.hidden.buffer.data)[i] = (float)test_normal();
    results alone = results_make(n), together = results_make(n);
    entrol_context *one = context_with(ENTROL_CPU_BEST, 1, plain_gemm);
    measure(one, &alone, &problem);
    entrol_context_destroy(one);
    for (size_t k = 0; k < 3; k++) {
        entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
        options.gemm = uneven_gemm;
        options.gemm_user = &n_calls;
        options.n_threads = threads[k];
        options.parallel_for = k == 2 ? run_backwards : NULL;
        entrol_context *many = NULL;
        CHECK_INT(entrol_context_create(&many, &options), ENTROL_OK);
        measure(many, &together, &problem);
        check_same(&alone, &together);
        entrol_context_destroy(many);
    }
    results_free(&alone);
    results_free(&together);
    problem_free(&problem);
}

static void test_threads(void) {
    check_threads(1100, 1500, 6); /* blocks for each thread */
    check_threads(1, 5000, 40);   /* one row, whose vocabulary they share */
    check_threads(30, 9000, 3);
}

/* --- Trouble --- */

static void test_trouble(void) {
    problem problem = problem_make(12, 1500, 6, ENTROL_F32, WITH_BIAS);
    results results = results_make(12);
    problem.bias[1400] = -INFINITY; /* impossible: no trouble */
    sheet_put(&problem.hidden, 4, 2, NAN);
    sheet_put(&problem.hidden, 9, 2, (double)INFINITY);
    problem.targets[2] = 1500;
    problem.targets[3] = 1400;
    measure(contexts[ENTROL_CPU_SCALAR], &results, &problem);
    CHECK_INT(results.diagnosis.n_bad, 3);
    CHECK_INT(results.diagnosis.first_row, 2);
    CHECK_INT(results.diagnosis.reason, ENTROL_REASON_TARGET);
    for (size_t row = 0; row < 12; row++) {
        const bool is_bad = row == 4 || row == 9;
        for (size_t i = 0; i < 8; i++)
            CHECK(isnan(results.floats[i][row]) == (is_bad || (i == 2 && row == 2)));
        CHECK(results.rank[row] == 0 ? is_bad || row == 2 : !is_bad);
        CHECK((results.top_id[row * N_TOP] == -1) == is_bad);
        if (!is_bad && row != 2)
            check_row(&results, &problem, row, "beside trouble");
    }
    CHECK(results.floats[2][3] == -INFINITY);
    /* one weight that overflows: every row, at its column */
    sheet_put(&problem.hidden, 4, 2, 1);
    sheet_put(&problem.hidden, 9, 2, 1);
    problem.targets[2] = 0;
    problem.bias[1300] = INFINITY;
    measure(contexts[ENTROL_CPU_SCALAR], &results, &problem);
    CHECK_INT(results.diagnosis.n_bad, 12);
    CHECK_INT(results.diagnosis.first_row, 0);
    CHECK_INT(results.diagnosis.first_column, 1300);
    CHECK_INT(results.diagnosis.reason, ENTROL_REASON_INFINITE);
    results_free(&results);
    problem_free(&problem);
}

/* Every column masked; no column at all; no depth; no row. */
static void test_empty(void) {
    problem problem = problem_make(3, 20, 4, ENTROL_F32, WITH_MASK);
    results results = results_make(3);
    memset(problem.mask, 0, 3);
    measure(contexts[ENTROL_CPU_SCALAR], &results, &problem);
    CHECK(results.diagnosis.n_bad == 3 && results.diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT);
    problem_free(&problem);
    problem = problem_make(3, 0, 4, ENTROL_F32, 0);
    measure(contexts[ENTROL_CPU_SCALAR], &results, &problem);
    CHECK(results.diagnosis.n_bad == 3 && results.diagnosis.reason == ENTROL_REASON_EMPTY_SUPPORT);
    problem_free(&problem);
    problem = problem_make(3, 8, 0, ENTROL_F32, 0);
    measure(contexts[ENTROL_CPU_SCALAR], &results, &problem);
    CHECK_INT(results.diagnosis.n_bad, 0);
    CHECK_NEAR(results.floats[0][2], log(8), 1e-6);
    problem_free(&problem);
    problem = problem_make(0, 8, 4, ENTROL_F32, 0);
    measure(contexts[ENTROL_CPU_SCALAR], &results, &problem);
    CHECK_INT(results.diagnosis.n_bad, 0);
    problem_free(&problem);
    results_free(&results);
}

/* --- Arguments --- */

static void check_refused(entrol_context *context, const problem *problem, const entrol_record *record,
                          const entrol_matrix *hidden, const entrol_output_layer *layer, size_t workspace_size,
                          const char *argument) {
    entrol_diagnosis diagnosis = {0};
    CHECK_INT(entrol_measure_output(context, record, &diagnosis, problem->workspace.data, workspace_size, hidden, layer,
                                    problem->targets, NULL),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "none", argument);
}

static void test_bad_arguments(void) {
    entrol_context *context = contexts[ENTROL_CPU_SCALAR];
    problem problem = problem_make(2, 5, 3, ENTROL_F32, 0);
    const entrol_record record = ENTROL_RECORD_INIT;
    problem_take_workspace(&problem, context);
    const size_t size = problem.workspace_size;
    const entrol_matrix *hidden = &problem.hidden.matrix;
    entrol_matrix other = *hidden;
    entrol_output_layer layer = problem.layer;
    check_refused(NULL, &problem, &record, hidden, &layer, size, "context");
    check_refused(context, &problem, NULL, hidden, &layer, size, "record");
    check_refused(context, &problem, &record, NULL, &layer, size, "hidden");
    check_refused(context, &problem, &record, hidden, NULL, size, "layer");
    check_refused(context, &problem, &record, hidden, &layer, size - 1, "workspace");
    float support_entropy[2];
    entrol_record of_support = record;
    of_support.support_entropy = support_entropy;
    check_refused(context, &problem, &of_support, hidden, &layer, size, "record.support_entropy");
    other.dtype = ENTROL_F64;
    check_refused(context, &problem, &record, &other, &layer, size, "hidden");
    other = *hidden;
    other.data = NULL;
    check_refused(context, &problem, &record, &other, &layer, size, "hidden.data");
    layer.weight.n_columns = 4;
    check_refused(context, &problem, &record, hidden, &layer, size, "layer.weight");
    layer = problem.layer;
    layer.weight.data = NULL;
    check_refused(context, &problem, &record, hidden, &layer, size, "layer.weight.data");
    static const double caps[] = {-1, NAN, INFINITY, 1e-7};
    for (size_t i = 0; i < 4; i++) {
        layer = problem.layer;
        layer.soft_cap = caps[i];
        check_refused(context, &problem, &record, hidden, &layer, size, "layer.soft_cap");
    }
    layer = problem.layer;
    layer.size = 0;
    check_refused(context, &problem, &record, hidden, &layer, size, "layer");
    size_t n_bytes;
    CHECK_INT(entrol_output_workspace_size(context, &n_bytes, hidden, &layer), ENTROL_ERROR_ARGUMENT);
    problem_free(&problem);
}

static void test_without_gemm(void) {
    entrol_context *context = context_with(ENTROL_CPU_BEST, 1, NULL);
    problem problem = problem_make(2, 5, 3, ENTROL_F32, 0);
    problem_take_workspace(&problem, context);
    const entrol_record record = ENTROL_RECORD_INIT;
    CHECK_INT(entrol_measure_output(context, &record, NULL, problem.workspace.data, problem.workspace_size,
                                    &problem.hidden.matrix, &problem.layer, problem.targets, NULL),
              ENTROL_ERROR_UNSUPPORTED);
    problem_free(&problem);
    entrol_context_destroy(context);
}

/* The promise of the header, for sizes that nobody has memory for. */
static void test_workspace_is_bounded(void) {
    const entrol_matrix hidden = {NULL, ENTROL_BF16, (size_t)1 << 24, 8192, 8192};
    entrol_output_layer layer = ENTROL_OUTPUT_LAYER_INIT;
    layer.weight = (entrol_matrix){NULL, ENTROL_BF16, (size_t)1 << 20, 8192, 8192};
    for (size_t n_threads = 1; n_threads < 65; n_threads *= 2) {
        entrol_context *context = context_with(ENTROL_CPU_BEST, n_threads, plain_gemm);
        size_t n_bytes;
        CHECK_INT(entrol_output_workspace_size(context, &n_bytes, &hidden, &layer), ENTROL_OK);
        CHECK_SAY(n_bytes <= (n_threads * 11 + 18) << 20, "%zu threads need %zu bytes", n_threads, n_bytes);
        entrol_context_destroy(context);
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    contexts_open(plain_gemm);
    TEST(test_small);
    TEST(test_grid);
    TEST(test_layouts);
    TEST(test_rounded_products);
    TEST(test_threads);
    TEST(test_trouble);
    TEST(test_empty);
    TEST(test_bad_arguments);
    TEST(test_without_gemm);
    TEST(test_workspace_is_bounded);
    contexts_close();
    return test_end();
}
