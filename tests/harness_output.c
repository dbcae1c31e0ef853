#include "harness_output.h"

#include "oracle.h"

static double multiple(double unit, size_t most) {
    return unit * ((double)test_below(2 * most + 1) - (double)most);
}

static void add_parts(problem *problem, unsigned parts) {
    const size_t n_columns = problem->n_columns;
    if (parts & WITH_BIAS) {
        problem->bias = malloc((n_columns + 1) * sizeof *problem->bias);
        for (size_t j = 0; j < n_columns; j++)
            problem->bias[j] = (float)multiple(0x1p-6, 64);
    }
    if (parts & WITH_MASK) {
        problem->mask = calloc(n_columns / 8 + 1, 1);
        problem->allowed = malloc(n_columns + 1);
        for (size_t j = 0; j < n_columns; j++) {
            problem->allowed[j] = test_below(4) > 0 || j == n_columns / 2;
            problem->mask[j / 8] |= (uint8_t)(problem->allowed[j] << j % 8);
        }
    }
    problem->layer = (entrol_output_layer)ENTROL_OUTPUT_LAYER_INIT;
    problem->layer.weight = problem->weight.matrix;
    problem->layer.bias = problem->bias;
    problem->layer.soft_cap = parts & WITH_CAP ? 5 : 0;
    problem->options = (entrol_measure_options)ENTROL_MEASURE_OPTIONS_INIT;
    problem->options.mask = problem->mask;
    problem->options.temperature = parts & WITH_TEMPERATURE ? 2 : 1;
}

problem problem_make(size_t n, size_t n_columns, size_t depth, entrol_dtype dtype, unsigned parts) {
    problem problem = {.n = n, .n_columns = n_columns, .depth = depth};
    problem.hidden = sheet_make(n, depth, dtype);
    problem.weight = sheet_make(n_columns, depth, dtype);
    problem.targets = calloc(n + 1, sizeof *problem.targets);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < depth; k++)
            sheet_put(&problem.hidden, i, k, multiple(0x1p-3, 8));
        problem.targets[i] = n_columns ? (int64_t)test_below(n_columns) : 0;
    }
    for (size_t i = 0; i < n_columns; i++)
        for (size_t k = 0; k < depth; k++)
            sheet_put(&problem.weight, i, k, multiple(0x1p-4, depth > 200 ? 2 : 8));
    add_parts(&problem, parts);
    return problem;
}

void problem_free(problem *problem) {
    sheet_free(&problem->hidden);
    sheet_free(&problem->weight);
    free(problem->bias);
    free(problem->mask);
    free(problem->allowed);
    free(problem->targets);
    if (problem->workspace.mapping)
        guarded_free(&problem->workspace);
}

void problem_take_workspace(problem *problem, const entrol_context *context) {
    if (problem->workspace.mapping)
        guarded_free(&problem->workspace);
    CHECK_INT(entrol_output_workspace_size(context, &problem->workspace_size, &problem->hidden.matrix, &problem->layer),
              ENTROL_OK);
    problem->workspace = guarded_allocate(problem->workspace_size, true);
    memset(problem->workspace.data, 0xff, problem->workspace_size); /* NaN: nothing may be read that was not written */
}

double *problem_logits(const problem *problem, size_t row, double **slopes) {
    double *logits = malloc((problem->n_columns + 1) * sizeof *logits);
    double *hidden = sheet_row(&problem->hidden, row);
    if (slopes)
        *slopes = malloc((problem->n_columns + 1) * sizeof **slopes);
    for (size_t j = 0; j < problem->n_columns; j++) {
        double *weight = sheet_row(&problem->weight, j);
        long double z = problem->bias ? (long double)problem->bias[j] : 0, slope = 1;
        for (size_t k = 0; k < problem->depth; k++)
            z += (long double)hidden[k] * (long double)weight[k];
        if (problem->layer.soft_cap > 0) {
            const long double cap = (long double)problem->layer.soft_cap, t = tanhl(z / cap);
            z = cap * t;
            slope = 1 - t * t;
        }
        logits[j] = (double)z;
        if (slopes)
            (*slopes)[j] = (double)slope;
        free(weight);
    }
    free(hidden);
    return logits;
}

static float operand(const float *data, size_t stride, int transposed, size_t row, size_t column) {
    return transposed ? data[column * stride + row] : data[row * stride + column];
}

void plain_gemm(void *user, const entrol_gemm_operands *o) {
    (void)user;
    for (size_t i = 0; i < o->m; i++)
        for (size_t j = 0; j < o->n; j++) {
            float sum = o->add ? o->c[i * o->c_stride + j] : 0;
            for (size_t k = 0; k < o->k; k++)
                sum += operand(o->a, o->a_stride, o->a_transposed, i, k) *
                       operand(o->b, o->b_stride, o->b_transposed, k, j);
            o->c[i * o->c_stride + j] = sum;
        }
}
