/* The product of adapters/blas against a plain one, and the output layer through it. */
#include "harness.h"

#include "harness_output.h"

#include <entrol_blas.h>

#include <cblas.h>

/* --- The product --- */

static float *numbers(size_t n) {
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)test_normal();
    return x;
}

/* Every combination of transposes, with strides of their own; what a product that does not add held is NaN. */
static void check_product(size_t m, size_t n, size_t k, unsigned flags) {
    const int add = flags & 1, a_transposed = flags >> 1 & 1, b_transposed = flags >> 2 & 1;
    const size_t a_stride = (a_transposed ? m : k) + 3, b_stride = (b_transposed ? k : n) + 5, c_stride = n + 2;
    float *a = numbers((a_transposed ? k : m) * a_stride), *b = numbers((b_transposed ? n : k) * b_stride);
    float *plain = numbers(m * c_stride), *c = malloc(m * c_stride * sizeof *c);
    for (size_t i = 0; i < m * c_stride; i++)
        plain[i] = add || i % c_stride >= n ? plain[i] : NAN;
    memcpy(c, plain, m * c_stride * sizeof *c);
    entrol_gemm_operands operands = {plain,        a,  b, m, n, k, c_stride, a_stride, b_stride, a_transposed,
                                     b_transposed, add};
    plain_gemm(NULL, &operands);
    operands.c = c;
    entrol_blas_gemm(NULL, &operands);
    for (size_t i = 0; i < m * c_stride; i++)
        CHECK_NEAR(c[i], plain[i], i % c_stride < n ? 1e-5 * sqrt((double)k) : 0);
    free(a);
    free(b);
    free(c);
    free(plain);
}

static void test_products(void) {
    static const size_t sizes[] = {1, 2, 5, 16, 33, 100};
    for (unsigned i = 0; i < 200; i++)
        check_product(sizes[test_below(6)], sizes[test_below(6)], sizes[test_below(6)], i % 8);
    check_product(1, 1000, 300, 4);
    check_product(512, 300, 200, 4);
}

static void test_one_thread(void) {
    openblas_set_num_threads(2);
    check_product(4, 4, 4, 0);
    CHECK_INT(openblas_get_num_threads(), 1);
    CHECK(strstr(entrol_blas_description(), "OpenBLAS") != NULL);
}

/* --- The output layer --- */

enum { N = 700, V = 3000, D = 200 };

typedef struct results {
    float entropy[N], logprob[N];
    int32_t rank[N];
} results;

static void measure(results *results, entrol_gemm gemm, size_t n_threads, problem *problem) {
    entrol_context *context = context_with(ENTROL_CPU_BEST, n_threads, gemm);
    entrol_record record = ENTROL_RECORD_INIT;
    record.entropy = results->entropy;
    record.logprob = results->logprob;
    record.rank = results->rank;
    problem_take_workspace(problem, context);
    CHECK_INT(entrol_measure_output(context, &record, NULL, problem->workspace.data, problem->workspace_size,
                                    &problem->hidden.matrix, &problem->layer, problem->targets, &problem->options),
              ENTROL_OK);
    entrol_context_destroy(context);
}

/* Products that no sum rounds: the same bits whatever the order; and the same for any number of threads. */
static void test_output_layer(void) {
    static results plain, by_blas;
    for (unsigned k = 0; k < 2; k++) {
        problem problem = problem_make(N, V, D, k ? ENTROL_BF16 : ENTROL_F32, k ? WITH_BIAS | WITH_CAP : 0);
        measure(&plain, plain_gemm, 2, &problem);
        measure(&by_blas, entrol_blas_gemm, 2, &problem);
        CHECK(memcmp(&plain, &by_blas, sizeof plain) == 0);
        problem_free(&problem);
    }
}

static void test_threads(void) {
    static results alone, together;
    static const size_t threads[] = {2, 7};
    problem problem = problem_make(N, V, D, ENTROL_F32, 0);
    for (size_t i = 0; i < N * D; i++)
        ((float *)problem.hidden.buffer.data)[i] = (float)test_normal();
    measure(&alone, entrol_blas_gemm, 1, &problem);
    for (size_t k = 0; k < 2; k++) {
        measure(&together, entrol_blas_gemm, threads[k], &problem);
        CHECK(memcmp(&alone, &together, sizeof alone) == 0);
    }
    problem_free(&problem);
}

/* The gradients, whose sums the BLAS rounds in its own order. */
static void test_gradients(void) {
    enum { ROWS = 600, COLUMNS = 1100, DEPTH = 100 };
    static float d_hidden[2][ROWS * DEPTH], d_weight[2][COLUMNS * DEPTH], d_bias[2][COLUMNS], by[ROWS], entropy[ROWS];
    static entrol_state states[ROWS];
    problem problem = problem_make(ROWS, COLUMNS, DEPTH, ENTROL_F32, WITH_BIAS);
    entrol_record record = ENTROL_RECORD_INIT;
    entrol_gradient gradient = ENTROL_GRADIENT_INIT;
    record.entropy = entropy;
    record.state = states;
    gradient.entropy = gradient.logprob = by;
    for (size_t i = 0; i < ROWS; i++)
        by[i] = (float)test_normal();
    for (int k = 0; k < 2; k++) {
        entrol_context *context = context_with(ENTROL_CPU_BEST, 2, k ? entrol_blas_gemm : plain_gemm);
        const entrol_destination to_hidden = {d_hidden[k], ENTROL_F32, DEPTH, 0};
        const entrol_destination to_weight = {d_weight[k], ENTROL_F32, DEPTH, 0};
        const entrol_destination to_bias = {d_bias[k], ENTROL_F32, COLUMNS, 0};
        problem_take_workspace(&problem, context);
        CHECK_INT(entrol_measure_output(context, &record, NULL, problem.workspace.data, problem.workspace_size,
                                        &problem.hidden.matrix, &problem.layer, problem.targets, NULL),
                  ENTROL_OK);
        CHECK_INT(entrol_gradient_output(context, &to_hidden, &to_weight, &to_bias, NULL, problem.workspace.data,
                                         problem.workspace_size, &gradient, states, &problem.hidden.matrix,
                                         &problem.layer, problem.targets, NULL),
                  ENTROL_OK);
        entrol_context_destroy(context);
    }
    for (size_t i = 0; i < ROWS * DEPTH; i++)
        CHECK_NEAR(d_hidden[1][i], d_hidden[0][i], 2e-5);
    for (size_t i = 0; i < COLUMNS * DEPTH; i++)
        CHECK_NEAR(d_weight[1][i], d_weight[0][i], 2e-5);
    CHECK(memcmp(d_bias[0], d_bias[1], sizeof d_bias[0]) == 0);
    problem_free(&problem);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_products);
    TEST(test_one_thread);
    TEST(test_output_layer);
    TEST(test_gradients);
    TEST(test_threads);
    return test_end();
}
