/* Two rows of logits of the same columns, as the kernels read them: what comparing and its gradient share. */
#ifndef ENT_MEASURE_PAIRS_H
#define ENT_MEASURE_PAIRS_H

#include "rows.h"

/* A chunk of both rows, and of f64 the differences from each other, which floats would not keep. */
typedef struct ent_pair_chunk {
    ent_chunk p, q;
    float high[ENT_CHUNK], low[ENT_CHUNK];
    int only_p, only_q; /* of f64: 1 if a column is above -inf only in that row */
} ent_pair_chunk;

/* What is the same in all chunks of a row. `shift` and `pivot` are taken from (zp - p_m) - (zq - q_m). */
typedef struct ent_pair_row {
    double p_m, q_m, p_sum, q_sum;
    double shift, pivot;
} ent_pair_row;

/* Loads the chunk of row `row` at a column, and makes the task of it but for what is wanted. */
void ent_pair_load(ent_pair_task *task, ent_pair_chunk *chunk, const ent_rows *p, const ent_rows *q, size_t row,
                   size_t first_column, const ent_pair_row *of_row);

#endif
