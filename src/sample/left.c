/* What a draw leaves, as its probabilities: a row of them, and the candidates alone. */
#include "drawing.h"

#include "base/dtype.h"

#include <math.h>
#include <string.h>

static void take_logprobs(float *logprobs, const ent_candidates *candidates, size_t first, size_t n) {
    for (size_t i = 0; i < n; i++)
        logprobs[i] = (float)ent_logprob_of(candidates, first + i);
}

/* --- A row --- */

/* Of the same number. */
static void fill_row(const entrol_destination *to, size_t n_columns, double value) {
    const size_t n_bytes = n_columns * entrol_dtype_size(to->dtype);
    char *data = to->data;
    size_t n_filled = entrol_dtype_size(to->dtype);
    if (!n_columns)
        return;
    ent_put_element(data, to->dtype, 0, value);
    for (; n_filled < n_bytes; n_filled *= 2)
        memcpy(data + n_filled, data, n_filled < n_bytes - n_filled ? n_filled : n_bytes - n_filled);
}

/* Where every column is a candidate. */
static void write_whole_f32(char *data, const ent_candidates *candidates) {
    float logprobs[ENT_CHUNK];
    for (size_t first = 0; first < candidates->n; first += ENT_CHUNK) {
        const size_t n = ent_chunk_size(candidates, first);
        take_logprobs(logprobs, candidates, first, n);
        memcpy(data + first * sizeof *logprobs, logprobs, n * sizeof *logprobs);
    }
}

void ent_write_logprobs(const entrol_destination *to, const ent_drawing *drawing) {
    const ent_candidates *candidates = &drawing->candidates;
    const int is_bad = drawing->reason != ENTROL_REASON_NONE;
    const size_t n_columns = drawing->source.row->n_columns;
    if (!is_bad && candidates->n == n_columns && to->dtype == ENTROL_F32) {
        write_whole_f32(to->data, candidates);
        return;
    }
    fill_row(to, n_columns, is_bad ? (double)NAN : (double)-INFINITY);
    for (size_t i = 0; !is_bad && i < candidates->n; i++)
        ent_put_element(to->data, to->dtype, ent_column_of(drawing, ent_token_at(candidates, i)),
                        ent_logprob_of(candidates, i));
}

/* --- The candidates --- */

/* A chunk of them, those at -inf included. */
typedef struct chunk_of_left {
    int32_t tokens[ENT_CHUNK];
    float logprobs[ENT_CHUNK], probabilities[ENT_CHUNK];
} chunk_of_left;

static void take_chunk(chunk_of_left *chunk, const ent_candidates *candidates, size_t first, size_t n) {
    const ent_spread *spread = &candidates->spread;
    const float *z = candidates->z + first, each = (float)(1 / (spread->n_top + spread->s));
    const ent_masses_task task = {z, n, candidates->m, (float)spread->scale, candidates->m, 0x1p52};
    candidates->kernels->masses(chunk->probabilities, &task);
    for (size_t i = 0; i < n; i++)
        chunk->probabilities[i] *= each;
    take_logprobs(chunk->logprobs, candidates, first, n);
    for (size_t i = 0; i < n; i++)
        chunk->tokens[i] = ent_token_at(candidates, first + i);
}

/* Leaves out those at -inf; returns how many are left. */
static size_t drop_impossible(chunk_of_left *chunk, const ent_candidates *candidates, size_t first, size_t n) {
    const float *z = candidates->z + first;
    size_t n_left = 0;
    if (!candidates->kernels->count_equal(z, n, -INFINITY))
        return n;
    for (size_t i = 0; i < n; i++) {
        chunk->tokens[n_left] = chunk->tokens[i];
        chunk->probabilities[n_left] = chunk->probabilities[i];
        chunk->logprobs[n_left] = chunk->logprobs[i];
        n_left += z[i] > -INFINITY;
    }
    return n_left;
}

static void give_floats(float *to, size_t at, const float *from, size_t n) {
    if (to)
        memcpy(to + at, from, n * sizeof *to);
}

size_t entrol_sampler_candidates(const entrol_sampler *sampler, int32_t *tokens, float *logprobs, float *probabilities,
                                 size_t n) {
    chunk_of_left chunk;
    if (!sampler)
        return 0;
    const ent_candidates *candidates = &sampler->left;
    size_t n_given = 0;
    for (size_t first = 0; first < candidates->n && n_given < n; first += ENT_CHUNK) {
        const size_t n_chunk = ent_chunk_size(candidates, first);
        take_chunk(&chunk, candidates, first, n_chunk);
        const size_t n_left = drop_impossible(&chunk, candidates, first, n_chunk);
        const size_t n_more = n_left < n - n_given ? n_left : n - n_given;
        if (tokens)
            memcpy(tokens + n_given, chunk.tokens, n_more * sizeof *tokens);
        give_floats(logprobs, n_given, chunk.logprobs, n_more);
        give_floats(probabilities, n_given, chunk.probabilities, n_more);
        n_given += n_more;
    }
    return candidates->n_possible;
}
