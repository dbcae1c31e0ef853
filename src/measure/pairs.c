/* Chunks of two rows. Logits of f32 and less are exact floats, whose difference the kernels take in two parts; f64 are
 * subtracted here, in double. */
#include "pairs.h"

#include <math.h>

static double logit_of(const ent_chunk *chunk, size_t i) {
    return chunk->z ? (double)chunk->z[i] : ent_chunk_f64(chunk, i);
}

static void take_differences(ent_pair_chunk *chunk, const ent_pair_row *row) {
    for (size_t i = 0; i < chunk->p.n; i++) {
        const double p = logit_of(&chunk->p, i), q = logit_of(&chunk->q, i);
        const double apart = (p - row->p_m) - (q - row->q_m);
        const float high = (float)apart;
        chunk->high[i] = high;
        chunk->low[i] = isfinite(high) ? (float)(apart - (double)high) : 0;
        chunk->only_p |= p > -INFINITY && !(q > -INFINITY);
        chunk->only_q |= q > -INFINITY && !(p > -INFINITY);
    }
}

/* A double in two floats. */
static void split(float parts[2], double x) {
    parts[0] = (float)x;
    parts[1] = (float)(x - (double)parts[0]);
}

void ent_pair_load(ent_pair_task *task, ent_pair_chunk *chunk, const ent_rows *p, const ent_rows *q, size_t row,
                   size_t first_column, const ent_pair_row *of_row) {
    ent_chunk_load(&chunk->p, p, row, first_column);
    ent_chunk_load(&chunk->q, q, row, first_column);
    chunk->only_p = chunk->only_q = 0;
    const int is_f64 = !chunk->p.z || !chunk->q.z;
    const double tops = is_f64 ? 0 : of_row->p_m - of_row->q_m;
    if (is_f64)
        take_differences(chunk, of_row);
    if (!chunk->p.z)
        ent_chunk_narrow(&chunk->p, of_row->p_m);
    if (!chunk->q.z)
        ent_chunk_narrow(&chunk->q, of_row->q_m);
    *task = (ent_pair_task){.p = chunk->p.z,
                            .q = chunk->q.z,
                            .high = is_f64 ? chunk->high : NULL,
                            .low = is_f64 ? chunk->low : NULL,
                            .n = chunk->p.n,
                            .p_m = (float)(of_row->p_m - chunk->p.origin),
                            .q_m = (float)(of_row->q_m - chunk->q.origin),
                            .scale = (float)p->scale,
                            .p_each = (float)(1 / of_row->p_sum),
                            .q_each = (float)(1 / of_row->q_sum)};
    split(task->tops, tops);
    split(task->shift, of_row->shift);
    split(task->pivot, of_row->pivot);
}
