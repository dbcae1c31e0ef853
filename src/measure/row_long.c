/* Rows of more than ENT_SHORT columns: chunk by chunk, each read from memory once. */
#include "rows.h"

#include <math.h>
#include <string.h>

/* A double of the chunk, -inf where masked. */
static inline double chunk_f64(const ent_chunk *chunk, size_t i) {
    double z;
    memcpy(&z, chunk->source + i * sizeof z, sizeof z);
    return !chunk->mask || ((chunk->mask[i / 8] >> (i % 8)) & 1) ? z : (double)-INFINITY;
}

void ent_chunk_narrow(ent_chunk *chunk, double origin) {
    for (size_t i = 0; i < chunk->n; i++)
        chunk->memory[i] = (float)(chunk_f64(chunk, i) - origin);
    chunk->z = chunk->memory;
    chunk->origin = origin;
}

static double max_f64(const ent_chunk *chunk) {
    double max = (double)-INFINITY;
    for (size_t i = 0; i < chunk->n; i++)
        max = chunk_f64(chunk, i) > max ? chunk_f64(chunk, i) : max;
    return max;
}

void ent_chunk_load(ent_chunk *chunk, const ent_rows *rows, size_t row, size_t first_column) {
    const entrol_dtype dtype = rows->logits->dtype;
    const size_t n_left = rows->logits->n_columns - first_column;
    const uint8_t *mask = ent_rows_mask(rows, row);
    chunk->first_column = first_column;
    chunk->n = n_left < ENT_CHUNK ? n_left : ENT_CHUNK;
    chunk->source = ent_rows_at(rows, row) + first_column * entrol_dtype_size(dtype);
    chunk->mask = mask ? mask + first_column / 8 : NULL;
    chunk->origin = 0;
    chunk->z = NULL;
    if (dtype == ENTROL_F64)
        return;
    if (dtype == ENTROL_F32 && !mask && (uintptr_t)chunk->source % sizeof(float) == 0) {
        chunk->z = (const float *)(const void *)chunk->source;
        return;
    }
    rows->kernels->widen[dtype](chunk->memory, chunk->source, chunk->n, chunk->mask);
    chunk->z = chunk->memory;
}

/* Sums whose squares are taken near the chunk's own mean: about the row's mean so far, or again about the chunk's where
 * that was too far off for float (u would be a difference of large numbers). */
static void add_chunk(entrol_state *state, const ent_rows *rows, ent_sums_task *task) {
    ent_sums sums;
    task->pivot = rows->wants_squares && state->s > 0 ? (float)(state->t / state->s) : 0;
    rows->kernels->sums(&sums, task);
    if (rows->wants_squares && sums.s > 0) {
        const double mean = sums.t / sums.s;
        if (fabs(mean - (double)task->pivot) * rows->scale > 1 &&
            sums.u > 8 * ent_sums_m2(&sums, (double)task->pivot)) {
            task->pivot = (float)mean;
            rows->kernels->sums(&sums, task);
        }
    }
    ent_state_add(state, &sums, (double)task->pivot);
}

/* The sum of e^(order d), for Renyi entropy, is the sum s at another scale. */
static void add_power(entrol_state *state, const ent_rows *rows, const ent_sums_task *task) {
    ent_sums sums;
    ent_sums_task power = *task;
    power.scale = (float)(rows->scale * rows->options.renyi_order);
    power.squares = 0;
    rows->kernels->sums(&sums, &power);
    state->power += sums.s;
}

void ent_row_measure_chunk(ent_row *result, const ent_rows *rows, size_t row, ent_chunk *chunk) {
    entrol_state *state = &result->state;
    const double max = chunk->z ? (double)rows->kernels->max(chunk->z, chunk->n) : max_f64(chunk);
    ent_row_order(result, rows, row, chunk->z, chunk->first_column, chunk->n, max);
    if (max > state->m)
        ent_state_rise(state, max, rows->scale, rows->options.renyi_order);
    const double m = state->m > -INFINITY ? state->m : 0; /* nothing finite yet: only a NaN can show */
    if (!chunk->z)
        ent_chunk_narrow(chunk, m);
    const size_t step = entrol_dtype_size(rows->logits->dtype);
    ent_sums_task task = {.z = chunk->z,
                          .n = chunk->n,
                          .m = (float)(m - chunk->origin),
                          .scale = (float)rows->scale,
                          .has_top = max == state->m,
                          .squares = rows->wants_squares,
                          .next = chunk->source + chunk->n * step,
                          .next_step = step};
    add_chunk(state, rows, &task);
    if (rows->wants_power)
        add_power(state, rows, &task);
}

void ent_row_measure(ent_row *result, const ent_rows *rows, size_t row) {
    ent_chunk chunk;
    for (size_t column = 0; column < rows->logits->n_columns; column += ENT_CHUNK) {
        ent_chunk_load(&chunk, rows, row, column);
        ent_row_measure_chunk(result, rows, row, &chunk);
    }
}
