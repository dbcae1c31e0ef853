/* Tokens from what the rules leave.
 *
 * Masses are whole numbers of a unit, as in measure's supports, and a token is the one in whose share of their sum a
 * whole random number below it falls: no order of adding and no rounding has a part in it. */
#include "drawing.h"

#include "base/context.h"
#include "base/dtype.h"
#include "base/random.h"

#include <math.h>
#include <string.h>

static double magic_of(const ent_drawing *drawing) {
    return ldexp(1, 52 - ent_unit_bits(drawing->candidates.n));
}

static uint64_t units_at(const ent_drawing *drawing, size_t index) {
    const ent_candidates *candidates = &drawing->candidates;
    const float mass = ent_mass(candidates->z[index] - candidates->m, (float)candidates->spread.scale);
    return ent_mass_units(mass, magic_of(drawing));
}

typedef struct massing {
    const ent_drawing *drawing;
    uint64_t *masses;
} massing;

/* Chunks that a thread takes at once. */
enum { CHUNKS_A_TASK = 8 };

static void add_up_masses(void *argument, size_t index) {
    const massing *massing = argument;
    const ent_candidates *candidates = &massing->drawing->candidates;
    float masses[ENT_CHUNK];
    const size_t end = ent_n_chunks(candidates->n);
    for (size_t chunk = index * CHUNKS_A_TASK; chunk < end && chunk < (index + 1) * CHUNKS_A_TASK; chunk++) {
        const size_t first = chunk * ENT_CHUNK, n_left = candidates->n - first;
        const ent_masses_task task = {candidates->z + first, n_left < ENT_CHUNK ? n_left : ENT_CHUNK,
                                      candidates->m,         (float)candidates->spread.scale,
                                      candidates->m,         magic_of(massing->drawing)};
        massing->masses[chunk] = candidates->kernels->masses(masses, &task).all;
    }
}

/* The sum of all, of whose chunks the workspace has the sums. */
static uint64_t take_masses(ent_drawing *drawing) {
    const size_t n = drawing->candidates.n, chunks = ent_n_chunks(n);
    uint64_t *masses = drawing->sampler->workspace.chunk_masses, sum = 0;
    massing massing = {drawing, masses};
    ent_parallel_for(drawing->candidates.context, (chunks + CHUNKS_A_TASK - 1) / CHUNKS_A_TASK, add_up_masses,
                     &massing);
    for (size_t chunk = 0; chunk < chunks; chunk++)
        sum += masses[chunk];
    return sum;
}

static int is_among(const size_t *indices, size_t n, size_t index) {
    for (size_t i = 0; i < n; i++)
        if (indices[i] == index)
            return 1;
    return 0;
}

/* The candidate in whose share `at` falls, of those that are not among n taken. */
static size_t find_share(const ent_drawing *drawing, uint64_t at, const size_t *taken, size_t n_taken) {
    const uint64_t *masses = drawing->sampler->workspace.chunk_masses;
    size_t chunk = 0;
    for (; at >= masses[chunk]; chunk++)
        at -= masses[chunk];
    for (size_t index = chunk * ENT_CHUNK;; index++) {
        const uint64_t units = is_among(taken, n_taken, index) ? 0 : units_at(drawing, index);
        if (at < units)
            return index;
        at -= units;
    }
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
    const uint64_t key = ent_random(ent_random(sampler->seed, sampler->stream), sampler->place);
    uint64_t *masses = sampler->workspace.chunk_masses, sum = take_masses(drawing);
    size_t taken[ENT_MOST_DRAWN], n_taken = 0;
    for (; n_taken < n_drawn && sum; n_taken++) {
        const size_t chosen = n_taken ? drawing->candidates.n : find_chosen(drawing);
        const int is_chosen = chosen < drawing->candidates.n;
        taken[n_taken] = is_chosen ? chosen : find_share(drawing, ent_random_below(key, n_taken, sum), taken, n_taken);
        const uint64_t units = units_at(drawing, taken[n_taken]);
        masses[taken[n_taken] / ENT_CHUNK] -= units;
        sum -= units;
        entrol_drawn token;
        take_token(&token, drawing, taken[n_taken]);
        token.is_chosen = is_chosen;
        ent_give_drawn(drawn, n_taken, &token);
    }
    for (; n_taken < n_drawn; n_taken++)
        ent_give_drawn(drawn, n_taken, &drawing->drawn);
}
