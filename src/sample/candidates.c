/* Candidates: the first look at a row, sums over it, and what is left after a threshold. */
#include "candidates.h"

#include "measure/rows.h"

#include "base/context.h"
#include "base/dtype.h"
#include "base/portable.h"

#include <math.h>
#include <string.h>

/* --- Sums of a row, piece by piece --- */

/* What a piece of a row comes to. */
typedef struct piece_sums {
    float m;
    size_t n_possible;
    ent_moments moments; /* about m */
} piece_sums;

typedef struct pass {
    const ent_candidates *candidates;
    float *chunk_greatest;    /* where it goes in a first pass; NULL in another */
    const entrol_matrix *row; /* what is widened to the workspace before; NULL: nothing */
    float scale;
    piece_sums pieces[ENT_MAX_PIECES];
} pass;

static void add_moments(ent_moments *sums, const ent_moments *more) {
    sums->n_top += more->n_top;
    sums->s += more->s;
    sums->t += more->t;
    sums->u += more->u;
}

/* Moves sums to an m that is `rise` greater: no column is at it. */
static void raise_moments(ent_moments *sums, double rise, double scale) {
    const double by = ent_portable_exp(-rise * scale), s = sums->n_top + sums->s, t = sums->t - rise * s;
    sums->u = by * (sums->u - rise * (sums->t + t));
    sums->t = by * t;
    sums->s = by * s;
    sums->n_top = 0;
}

static void add_piece(piece_sums *sums, const piece_sums *more, double scale) {
    ent_moments moved = more->moments;
    if (more->m > sums->m) {
        if (sums->m > -INFINITY)
            raise_moments(&sums->moments, (double)more->m - (double)sums->m, scale);
        sums->m = more->m;
    } else if (more->m < sums->m && more->m > -INFINITY)
        raise_moments(&moved, (double)sums->m - (double)more->m, scale);
    add_moments(&sums->moments, &moved);
    sums->n_possible += more->n_possible;
}

/* n columns from `first` on as floats in the workspace. */
static void widen(const pass *pass, size_t first, size_t n) {
    const entrol_matrix *row = pass->row;
    const char *source = (const char *)row->data + first * entrol_dtype_size(row->dtype);
    float *out = pass->candidates->workspace->z + first;
    if (row->dtype != ENTROL_F64)
        pass->candidates->kernels->widen[row->dtype](out, source, n, NULL);
    for (size_t i = 0; row->dtype == ENTROL_F64 && i < n; i++)
        out[i] = (float)ent_element(source, ENTROL_F64, i);
}

/* A chunk about its own greatest column. */
static void look_at_chunk(piece_sums *sums, pass *pass, size_t first, size_t n) {
    const ent_candidates *candidates = pass->candidates;
    const float *z = candidates->z + first;
    if (pass->row)
        widen(pass, first, n);
    piece_sums chunk = {
        candidates->kernels->max(z, n), n - candidates->kernels->count_equal(z, n, -INFINITY), {0, 0, 0, 0}};
    pass->chunk_greatest[first / ENT_CHUNK] = chunk.m;
    const float m = chunk.m > sums->m ? chunk.m : sums->m;
    const ent_moments_task task = {z, n, m > -INFINITY ? m : 0, pass->scale, chunk.m == m};
    candidates->kernels->moments(&chunk.moments, &task); /* where nothing is possible, a NaN shows */
    chunk.m = m;
    add_piece(sums, &chunk, (double)pass->scale);
}

static void add_chunk(piece_sums *sums, const pass *pass, size_t first, size_t n) {
    const ent_candidates *candidates = pass->candidates;
    const double low = -88 / (double)pass->scale;
    double *chunk_sum = candidates->chunk_sums ? candidates->chunk_sums + first / ENT_CHUNK : NULL;
    if (chunk_sum)
        *chunk_sum = 0;
    if (ent_chunk_is_below(candidates, first / ENT_CHUNK, ent_float_below((double)candidates->m + low)))
        return; /* every mass is 0 */
    const int has_top = !candidates->chunk_greatest || candidates->chunk_greatest[first / ENT_CHUNK] == candidates->m;
    const ent_moments_task task = {candidates->z + first, n, candidates->m, pass->scale, has_top};
    ent_moments moments;
    candidates->kernels->moments(&moments, &task);
    add_moments(&sums->moments, &moments);
    if (chunk_sum)
        *chunk_sum = moments.n_top + moments.s;
}

static void sum_piece(void *argument, size_t index) {
    pass *pass = argument;
    piece_sums sums = {-INFINITY, 0, {0, 0, 0, 0}};
    const ent_piece piece = ent_piece_at(pass->candidates->n, index);
    for (size_t first = piece.first; first < piece.end; first += ENT_CHUNK) {
        const size_t n = piece.end - first < ENT_CHUNK ? piece.end - first : ENT_CHUNK;
        if (pass->chunk_greatest)
            look_at_chunk(&sums, pass, first, n);
        else
            add_chunk(&sums, pass, first, n);
    }
    pass->pieces[index] = sums;
}

/* The pieces in their order. */
static piece_sums sum_up(pass *pass) {
    const size_t n_pieces = ent_n_pieces(pass->candidates->n);
    ent_parallel_for(pass->candidates->context, n_pieces, sum_piece, pass);
    piece_sums sums = pass->pieces[0];
    for (size_t i = 1; i < n_pieces; i++)
        add_piece(&sums, &pass->pieces[i], (double)pass->scale);
    return sums;
}

void ent_spread_of(ent_spread *spread, const ent_moments *sums, double scale) {
    const double sum = sums->n_top + sums->s, mean = sums->t / sum, square = sums->u / sum - mean * mean;
    const double log_sum = sums->n_top == 1 ? ent_portable_log1p(sums->s) : ent_portable_log(sum);
    const double entropy = log_sum - scale * mean;
    *spread = (ent_spread){scale,   sums->n_top, sums->s, sums->t,
                           sums->u, log_sum,     entropy, square > 0 ? scale * scale * square : 0};
}

/* --- The first look --- */

static entrol_reason find_trouble(size_t *column, const ent_candidates *candidates) {
    for (size_t i = 0; i < candidates->n; i++)
        if (!(candidates->z[i] < INFINITY)) {
            *column = i;
            return isnan(candidates->z[i]) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE;
        }
    *column = 0;
    return ENTROL_REASON_EMPTY_SUPPORT;
}

/* Of what candidates->z, tokens and n say; `row` is what is widened to the former. */
static entrol_reason look(ent_candidates *candidates, size_t *column, const entrol_matrix *row) {
    pass pass = {
        .candidates = candidates, .chunk_greatest = candidates->workspace->chunk_greatest, .row = row, .scale = 1};
    *column = 0;
    candidates->temperature = 1;
    candidates->chunk_greatest = NULL;
    if (!candidates->n)
        return ENTROL_REASON_EMPTY_SUPPORT;
    const piece_sums sums = sum_up(&pass);
    if (isnan(sums.moments.t) || !isfinite(sums.m))
        return find_trouble(column, candidates);
    candidates->chunk_greatest = pass.chunk_greatest;
    candidates->m = sums.m;
    candidates->n_possible = sums.n_possible;
    ent_spread_of(&candidates->spread, &sums.moments, 1);
    candidates->has_spread = 1;
    candidates->sums_scale = 0;
    return ENTROL_REASON_NONE;
}

static int is_in_place(const entrol_matrix *row) {
    return row->dtype == ENTROL_F32 && (uintptr_t)row->data % sizeof(float) == 0;
}

entrol_reason ent_candidates_begin(ent_candidates *candidates, size_t *column, entrol_context *context,
                                   const ent_workspace *workspace, const entrol_matrix *row, const int32_t *tokens) {
    const int in_place = is_in_place(row);
    *candidates = (ent_candidates){.context = context,
                                   .kernels = ent_kernels_for(entrol_context_cpu(context)),
                                   .workspace = workspace,
                                   .chunk_sums = workspace->chunk_sums,
                                   .z = in_place ? row->data : workspace->z,
                                   .tokens = tokens,
                                   .n = row->n_columns,
                                   .last_token = -1};
    return look(candidates, column, in_place ? NULL : row);
}

entrol_reason ent_candidates_again(ent_candidates *candidates, size_t *column, size_t n) {
    candidates->z = candidates->workspace->z;
    candidates->tokens = candidates->workspace->tokens;
    candidates->n = n;
    return look(candidates, column, NULL);
}

/* --- At a temperature --- */

void ent_candidates_spread_at(ent_spread *spread, ent_candidates *candidates, double temperature) {
    pass pass = {.candidates = candidates, .scale = (float)(1 / temperature)};
    const piece_sums sums = sum_up(&pass);
    candidates->sums_scale = candidates->chunk_sums ? (double)pass.scale : 0;
    ent_spread_of(spread, &sums.moments, (double)pass.scale);
}

const ent_spread *ent_candidates_spread(ent_candidates *candidates) {
    if (!candidates->has_spread) {
        ent_candidates_spread_at(&candidates->spread, candidates, candidates->temperature);
        candidates->n_passes += candidates->n > ENT_FEW;
    }
    candidates->has_spread = 1;
    return &candidates->spread;
}

void ent_candidates_set_temperature(ent_candidates *candidates, double temperature) {
    if (temperature == 0)
        ent_keep_first(candidates);
    else if (temperature != candidates->temperature) {
        candidates->temperature = fmin(fmax(temperature, ENT_LEAST_TEMPERATURE), ENT_MOST_TEMPERATURE);
        candidates->has_spread = 0;
    }
}

void ent_candidates_set_spread(ent_candidates *candidates, double temperature, const ent_spread *spread) {
    candidates->temperature = temperature;
    candidates->spread = *spread;
    candidates->has_spread = 1;
}

/* --- What is left --- */

float ent_float_below(double number) {
    const float nearest = (float)number;
    return (double)nearest >= number ? nextafterf(nearest, -INFINITY) : nearest;
}

size_t ent_find_above(uint16_t found[ENT_CHUNK], const ent_candidates *candidates, size_t first, float bound) {
    if (ent_chunk_is_below(candidates, first / ENT_CHUNK, bound))
        return 0;
    return candidates->kernels->find_greater(found, candidates->z + first, ent_chunk_size(candidates, first), bound);
}

/* The places of a chunk are found before any is copied, and none moves back. */
void ent_candidates_compact(ent_candidates *candidates, float bound, ent_keeps keeps, const void *user) {
    uint16_t found[ENT_CHUNK];
    float *z = candidates->workspace->z;
    int32_t *tokens = candidates->workspace->tokens;
    size_t n_kept = 0;
    for (size_t first = 0; first < candidates->n; first += ENT_CHUNK) {
        const size_t n_found = ent_find_above(found, candidates, first, bound);
        for (size_t i = 0; i < n_found; i++) {
            const size_t index = first + found[i];
            if (keeps && !keeps(candidates, index, user))
                continue;
            tokens[n_kept] = ent_token_at(candidates, index);
            z[n_kept++] = candidates->z[index];
        }
    }
    candidates->z = z;
    candidates->tokens = tokens;
    candidates->has_spread = candidates->has_spread && n_kept == candidates->n_possible;
    candidates->n = candidates->n_possible = n_kept;
    candidates->chunk_greatest = NULL;
    candidates->sums_scale = 0;
}

typedef struct copying {
    const ent_candidates *candidates;
    float *copy, bound;
    size_t n_copied[ENT_MAX_PIECES];
} copying;

/* To where the piece begins. */
static void copy_piece(void *argument, size_t index) {
    copying *copying = argument;
    const ent_candidates *candidates = copying->candidates;
    const ent_piece piece = ent_piece_at(candidates->n, index);
    float *end = copying->copy + piece.first;
    for (size_t first = piece.first; first < piece.end; first += ENT_CHUNK)
        if (!ent_chunk_is_below(candidates, first / ENT_CHUNK, copying->bound))
            end += candidates->kernels->copy_greater(end, candidates->z + first, ent_chunk_size(candidates, first),
                                                     copying->bound);
    copying->n_copied[index] = (size_t)(end - copying->copy) - piece.first;
}

size_t ent_copy_above(float *copy, const ent_candidates *candidates, float bound) {
    copying copying = {candidates, copy, bound, {0}};
    const size_t n_pieces = ent_n_pieces(candidates->n);
    ent_parallel_for(candidates->context, n_pieces, copy_piece, &copying);
    size_t n_copied = copying.n_copied[0];
    for (size_t i = 1; i < n_pieces; n_copied += copying.n_copied[i++])
        memmove(copy + n_copied, copy + ent_piece_at(candidates->n, i).first, copying.n_copied[i] * sizeof *copy);
    return n_copied;
}

void ent_candidates_find_greatest(ent_candidates *candidates) {
    candidates->m = -INFINITY;
    for (size_t first = 0; first < candidates->n; first += ENT_CHUNK)
        candidates->m =
            fmaxf(candidates->m, candidates->kernels->max(candidates->z + first, ent_chunk_size(candidates, first)));
}

void ent_keep_from(ent_candidates *candidates, double threshold) {
    const double most = (double)candidates->m;
    ent_candidates_compact(candidates, ent_float_below(threshold < most ? threshold : most), NULL, NULL);
}

void ent_keep_probable(ent_candidates *candidates, double probability) {
    const ent_spread *spread = ent_candidates_spread(candidates);
    if (probability > 0)
        ent_keep_from(candidates,
                      (double)candidates->m + (ent_portable_log(probability) + spread->log_sum) / spread->scale);
}

static int is_first(const ent_candidates *candidates, size_t index, const void *user) {
    (void)candidates;
    return index == *(const size_t *)user;
}

static void keep_index(ent_candidates *candidates, size_t index) {
    candidates->m = candidates->z[index];
    ent_candidates_compact(candidates, nextafterf(candidates->m, -INFINITY), is_first, &index);
}

void ent_keep_first(ent_candidates *candidates) {
    size_t index = 0;
    while (candidates->z[index] != candidates->m)
        index += ent_chunk_is_below(candidates, index / ENT_CHUNK, nextafterf(candidates->m, -INFINITY))
                     ? ENT_CHUNK - index % ENT_CHUNK
                     : 1;
    keep_index(candidates, index);
}

int ent_keep_token(ent_candidates *candidates, int32_t token) {
    size_t i = 0;
    while (i < candidates->n && ent_token_at(candidates, i) != token)
        i++;
    if (i == candidates->n || candidates->z[i] == -INFINITY)
        return 0;
    keep_index(candidates, i);
    return 1;
}
