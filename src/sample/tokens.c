/* Tokens from what the rules leave.
 *
 * A token's chunk is drawn first, by the chunks' sums, and then the token, by masses that are whole numbers of a unit,
 * as in measure's supports. Both have the same bits at every level and for any number of threads. */
#include "drawing.h"

#include "base/context.h"
#include "base/dtype.h"
#include "base/portable.h"
#include "base/random.h"

#include <math.h>
#include <string.h>

/* Which candidates have been taken, and what is left of the chunks' sums, as shares of the greatest candidate's mass.
 */
typedef struct left {
    const ent_candidates *candidates;
    double *chunk_sums;
    size_t taken[ENT_MOST_DRAWN], n_taken;
} left;

/* A chunk without what is taken. */
typedef struct chunk_left {
    uint64_t units[ENT_CHUNK], sum; /* masses as shares of the chunk's greatest, in units */
    size_t n;
    double share; /* of the sum, as in chunk_sums */
} chunk_left;

static void look_at_chunk_left(chunk_left *chunk, const left *left, size_t index) {
    const ent_candidates *candidates = left->candidates;
    const size_t first = index * ENT_CHUNK;
    const int bits = ent_unit_bits(ENT_CHUNK);
    const double magic = ldexp(1, 52 - bits);
    float z[ENT_CHUNK], masses[ENT_CHUNK];
    chunk->n = ent_chunk_size(candidates, first);
    memcpy(z, candidates->z + first, chunk->n * sizeof *z);
    for (size_t i = 0; i < left->n_taken; i++)
        if (left->taken[i] / ENT_CHUNK == index)
            z[left->taken[i] - first] = -INFINITY;
    const float greatest = candidates->kernels->max(z, chunk->n), scale = (float)candidates->spread.scale;
    chunk->sum = 0;
    chunk->share = 0;
    if (greatest == -INFINITY)
        return;
    const ent_masses_task task = {z, chunk->n, greatest, scale, greatest, magic};
    chunk->sum = candidates->kernels->masses(masses, &task).all;
    for (size_t i = 0; i < chunk->n; i++)
        chunk->units[i] = ent_mass_units(masses[i], magic);
    chunk->share = ldexp((double)chunk->sum, -bits) *
                   ent_portable_exp(candidates->spread.scale * ((double)greatest - (double)candidates->m));
}

/* The chunk in whose part of the sum a share of it falls; their number if nothing is left. */
static size_t find_chunk(const left *left, double share) {
    const size_t n = ent_n_chunks(left->candidates->n);
    double sum = 0, before = 0;
    size_t last = n;
    for (size_t chunk = 0; chunk < n; chunk++)
        sum += left->chunk_sums[chunk];
    for (size_t chunk = 0; chunk < n; chunk++) {
        if (!(left->chunk_sums[chunk] > 0))
            continue;
        last = chunk;
        before += left->chunk_sums[chunk];
        if (before > share * sum)
            break;
    }
    return last;
}

/* The number of candidates if nothing is left. */
static size_t find_candidate(const left *left, uint64_t key) {
    const size_t index = find_chunk(left, (double)(ent_random(key, 2 * left->n_taken) >> 11) * 0x1p-53);
    chunk_left chunk;
    if (index == ent_n_chunks(left->candidates->n))
        return left->candidates->n;
    look_at_chunk_left(&chunk, left, index);
    uint64_t at = ent_random_below(key, 2 * left->n_taken + 1, chunk.sum);
    size_t i = 0;
    for (; at >= chunk.units[i]; i++)
        at -= chunk.units[i];
    return index * ENT_CHUNK + i;
}

static void take(left *left, size_t index) {
    chunk_left chunk;
    left->taken[left->n_taken++] = index;
    look_at_chunk_left(&chunk, left, index / ENT_CHUNK);
    left->chunk_sums[index / ENT_CHUNK] = chunk.share;
}

static void take_token(entrol_drawn *drawn, const ent_drawing *drawing, size_t index) {
    const ent_candidates *candidates = &drawing->candidates;
    *drawn = drawing->drawn;
    drawn->token = ent_token_at(candidates, index);
    drawn->sampled_logprob = ent_logprob_of(candidates, index);
    const size_t column = ent_column_of(drawing, drawn->token);
    const double z = (double)(float)ent_element(drawing->source.row->data, drawing->source.row->dtype, column);
    drawn->logprob = z - (double)drawing->first_m - drawing->first_log_sum;
}

void ent_give_drawn(entrol_drawn *to, size_t index, const entrol_drawn *drawn) {
    entrol_drawn given = *drawn;
    given.size = to->size;
    memcpy((char *)to + index * to->size, &given, to->size < sizeof given ? to->size : sizeof given);
}

/* Where the token is that an external rule has chosen, if it is a candidate still; else their number. */
static size_t find_chosen(const ent_drawing *drawing) {
    const ent_candidates *candidates = &drawing->candidates;
    if (drawing->chosen < 0)
        return candidates->n;
    const size_t index = ent_index_of(candidates->tokens, candidates->n, drawing->chosen);
    return index < candidates->n && candidates->z[index] > -INFINITY ? index : candidates->n;
}

void ent_draw_tokens(entrol_drawn *drawn, size_t n_drawn, ent_drawing *drawing) {
    const entrol_sampler *sampler = drawing->sampler;
    ent_candidates *candidates = &drawing->candidates;
    const uint64_t key = ent_random(ent_random(sampler->seed, sampler->stream), sampler->place);
    left left = {.candidates = candidates, .chunk_sums = candidates->chunk_sums};
    if (n_drawn && candidates->sums_scale != candidates->spread.scale)
        ent_candidates_spread_at(&candidates->spread, candidates, candidates->temperature);
    size_t index = find_chosen(drawing);
    const int is_chosen = index < candidates->n;
    for (size_t i = 0; i < n_drawn; i++) {
        entrol_drawn token = drawing->drawn;
        index = i == 0 && is_chosen ? index : find_candidate(&left, key);
        if (index < candidates->n) {
            if (i + 1 < n_drawn)
                take(&left, index);
            take_token(&token, drawing, index);
            token.is_chosen = i == 0 && is_chosen;
        }
        ent_give_drawn(drawn, i, &token);
    }
}
