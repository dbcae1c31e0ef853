/* Tokens from what the rules leave.
 *
 * A token's chunk is drawn first, by the chunks' sums, and then the token, by masses that are whole numbers of a unit,
 * as in measure's supports. Both have the same bits at every level and for any number of threads. */
#include "drawing.h"

#include "base/context.h"
#include "base/dtype.h"
#include "base/random.h"

#include <math.h>
#include <string.h>

/* Which candidates have been taken, and what is left of the chunks' sums. */
typedef struct left {
    const ent_candidates *candidates;
    double *chunk_sums;
    size_t taken[ENT_MOST_DRAWN], n_taken;
} left;

/* The masses of a chunk in units, 0 for those that are taken, and their sum. */
static uint64_t take_masses(uint64_t units[ENT_CHUNK], const left *left, size_t chunk) {
    const ent_candidates *candidates = left->candidates;
    const size_t first = chunk * ENT_CHUNK, n_left = candidates->n - first, n = n_left < ENT_CHUNK ? n_left : ENT_CHUNK;
    const double magic = ldexp(1, 52 - ent_unit_bits(ENT_CHUNK));
    float masses[ENT_CHUNK];
    const ent_masses_task task = {candidates->z + first, n,    candidates->m, (float)candidates->spread.scale,
                                  candidates->m,         magic};
    uint64_t sum = candidates->kernels->masses(masses, &task).all;
    for (size_t i = 0; i < n; i++)
        units[i] = ent_mass_units(masses[i], magic);
    for (size_t i = 0; i < left->n_taken; i++)
        if (left->taken[i] / ENT_CHUNK == chunk) {
            sum -= units[left->taken[i] - first];
            units[left->taken[i] - first] = 0;
        }
    return sum;
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

/* The number of candidates if nothing is left. What rounding leaves of a chunk all of whose masses are taken is
 * nothing.
 */
static size_t find_candidate(const left *left, uint64_t key) {
    const double share = (double)(ent_random(key, 2 * left->n_taken) >> 11) * 0x1p-53;
    uint64_t units[ENT_CHUNK], sum = 0;
    size_t chunk = find_chunk(left, share);
    while (chunk < ent_n_chunks(left->candidates->n) && !(sum = take_masses(units, left, chunk))) {
        left->chunk_sums[chunk] = 0;
        chunk = find_chunk(left, share);
    }
    if (!sum)
        return left->candidates->n;
    uint64_t at = ent_random_below(key, 2 * left->n_taken + 1, sum);
    size_t i = 0;
    for (; at >= units[i]; i++)
        at -= units[i];
    return chunk * ENT_CHUNK + i;
}

static void take(left *left, size_t index) {
    const ent_candidates *candidates = left->candidates;
    left->chunk_sums[index / ENT_CHUNK] -=
        (double)ent_mass(candidates->z[index] - candidates->m, (float)candidates->spread.scale);
    left->taken[left->n_taken++] = index;
}

static void take_token(entrol_drawn *drawn, const ent_drawing *drawing, size_t index) {
    const ent_candidates *candidates = &drawing->candidates;
    const ent_spread *spread = &candidates->spread;
    *drawn = drawing->drawn;
    drawn->token = ent_token_at(candidates, index);
    drawn->sampled_logprob = spread->scale * ((double)candidates->z[index] - (double)candidates->m) - spread->log_sum;
    const size_t column = ent_column_of(drawing, drawn->token);
    const double z = (double)(float)ent_element(drawing->source.row->data, drawing->source.row->dtype, column);
    drawn->logprob = z - (double)drawing->first_m - drawing->first_log_sum;
}

void ent_give_drawn(entrol_drawn *to, size_t index, const entrol_drawn *drawn) {
    entrol_drawn given = *drawn;
    given.size = to->size;
    memcpy((char *)to + index * to->size, &given, to->size < sizeof given ? to->size : sizeof given);
}

/* Where the token is that an external rule has chosen, if it is still there; else their number. */
static size_t find_chosen(const ent_drawing *drawing) {
    const ent_candidates *candidates = &drawing->candidates;
    return drawing->chosen < 0 ? candidates->n : ent_index_of(candidates->tokens, candidates->n, drawing->chosen);
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
            take(&left, index);
            take_token(&token, drawing, index);
            token.is_chosen = i == 0 && is_chosen;
        }
        ent_give_drawn(drawn, i, &token);
    }
}
