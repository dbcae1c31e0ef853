/* What tests of the output layer share: layers whose products are exact, so that the oracle's logits are the library's.
 */
#ifndef HARNESS_OUTPUT_H
#define HARNESS_OUTPUT_H

#include "harness_rows.h"

/* Hidden states (in multiples of 1/8) and weights (of 1/16) so small that no sum of products in f32 is rounded. */
typedef struct problem {
    size_t n, n_columns, depth;
    sheet hidden, weight;
    float *bias;            /* NULL: none */
    uint8_t *mask;          /* one for all rows; NULL: none */
    unsigned char *allowed; /* the same, a byte a column; NULL: all */
    int64_t *targets;
    entrol_output_layer layer;
    entrol_measure_options options;
    guarded workspace;
    size_t workspace_size;
} problem;

enum { WITH_BIAS = 1, WITH_CAP = 2, WITH_MASK = 4, WITH_TEMPERATURE = 8 };

problem problem_make(size_t n, size_t n_columns, size_t depth, entrol_dtype dtype, unsigned parts);
void problem_free(problem *problem);
/* The workspace that a context needs, and not a byte more. */
void problem_take_workspace(problem *problem, const entrol_context *context);

/* The logits of a row and (NULL: not wanted) the derivative of each by its product; free() them. */
double *problem_logits(const problem *problem, size_t row, double **slopes);

/* A plain product; `user` is not used. */
void plain_gemm(void *user, const entrol_gemm_operands *operands);

#endif
