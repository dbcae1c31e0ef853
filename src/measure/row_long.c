/* Rows of more than ENT_SHORT columns: chunk by chunk, each read from memory once. */
#include "rows.h"

#include "base/context.h"

#include <math.h>

void ent_chunk_narrow(ent_chunk *chunk, double origin) {
    for (size_t i = 0; i < chunk->n; i++)
        chunk->memory[i] = (float)(ent_chunk_f64(chunk, i) - origin);
    chunk->z = chunk->memory;
    chunk->origin = origin;
}

static double max_f64(const ent_chunk *chunk) {
    double max = (double)-INFINITY;
    for (size_t i = 0; i < chunk->n; i++)
        max = ent_chunk_f64(chunk, i) > max ? ent_chunk_f64(chunk, i) : max;
    return max;
}

static const char *source_at(const ent_rows *rows, size_t row, size_t column) {
    return ent_rows_at(rows, row) + column * entrol_dtype_size(rows->logits->dtype);
}

static const uint8_t *mask_at(const ent_rows *rows, size_t row, size_t column) {
    const uint8_t *mask = ent_rows_mask(rows, row);
    return mask ? mask + column / 8 : NULL;
}

const float *ent_rows_floats(float *memory, const ent_rows *rows, size_t row, size_t first_column, size_t n) {
    const entrol_dtype dtype = rows->logits->dtype;
    const char *source = source_at(rows, row, first_column);
    const uint8_t *mask = mask_at(rows, row, first_column);
    if (dtype == ENTROL_F64)
        return NULL;
    if (dtype == ENTROL_F32 && !mask && (uintptr_t)source % sizeof(float) == 0)
        return (const float *)(const void *)source;
    rows->kernels->widen[dtype](memory, source, n, mask);
    return memory;
}

void ent_chunk_load(ent_chunk *chunk, const ent_rows *rows, size_t row, size_t first_column) {
    const size_t n_left = rows->logits->n_columns - first_column;
    chunk->first_column = first_column;
    chunk->n = n_left < ENT_CHUNK ? n_left : ENT_CHUNK;
    chunk->source = source_at(rows, row, first_column);
    chunk->mask = mask_at(rows, row, first_column);
    chunk->origin = 0;
    chunk->z = ent_rows_floats(chunk->memory, rows, row, first_column, chunk->n);
}

/* The sum of e^(order d), for Renyi entropy, is the sum s at another scale. */
static void add_power(entrol_state *state, const ent_rows *rows, const ent_sums_task *task) {
    ent_sums sums;
    ent_sums_task power = *task;
    power.scale = (float)(rows->scale * rows->options.renyi_order);
    power.has_top = 1;
    power.squares = power.is_near = 0;
    rows->kernels->sums(&sums, &power);
    state->power += sums.s;
}

/* Makes the chunk's greatest column the row's top, if it is greater. */
static void rise(entrol_state *state, const ent_rows *rows, double max) {
    if (max > state->m)
        ent_state_rise(state, max, rows->scale, rows->options.renyi_order);
}

static void set_m(ent_sums_task *task, const entrol_state *state, const ent_chunk *chunk) {
    const double m = state->m > -INFINITY ? state->m : 0; /* nothing finite yet: only a NaN can show */
    task->m = (float)(m - chunk->origin);
}

/* 0 if squares were taken so far from their mean that they are small differences of large numbers. */
static int are_sharp(const ent_sums *sums, double pivot) {
    return !(sums->u > 2 * ent_sums_m2(sums, pivot));
}

/* Sums at the row's top so far. Squares are taken about the row's mean so far, or again about the chunk's. */
static void sum_at_top(ent_sums *sums, ent_sums_task *task, const entrol_state *state, const ent_rows *rows,
                       const ent_chunk *chunk) {
    set_m(task, state, chunk);
    task->pivot = rows->wants_squares && state->s > 0 ? (float)(state->t / state->s) : 0;
    rows->kernels->sums(sums, task);
    if (rows->wants_squares && sums->s > 0 && !are_sharp(sums, (double)task->pivot)) {
        task->pivot = (float)(sums->t / sums->s);
        rows->kernels->sums(sums, task);
    }
}

/* Sums at m in which the greatest columns are, `x` above m: takes them out, and moves the rest to them. 0 where so much
 * would go that the digits of the rest went with it. */
static int take_out_top(ent_sums *sums, double n_top, double x, double scale) {
    const double e = exp(x * scale), s = n_top * e, t = s * x;
    if (!(x * scale < 32 && s <= sums->s / 3 && t <= (t - sums->t) / 2))
        return 0;
    const double rest = sums->s - s;
    sums->n_top = n_top;
    sums->s = rest / e;
    sums->t = (sums->t - t - rest * x) / e;
    return 1;
}

/* The same for the squares of the sums before, which were taken about `pivot`. */
static int take_out_squares(ent_sums *sums, const ent_sums *before, double x, double pivot, double scale) {
    const double e = exp(x * scale), u = sums->n_top * e * (x - pivot) * (x - pivot);
    const double q = before->q - sums->n_top * e * e;
    if (!(u <= before->u / 3))
        return 0;
    sums->u = (before->u - u) / e;
    sums->q = q > 0 ? q / e / e : 0;
    return are_sharp(sums, pivot - x);
}

/* Goes on from sums of a chunk whose greatest columns are `x` above the row's top: they become it. The sums s and t do
 * not depend on whether squares are wanted. Returns the squares of the rest about its own mean. */
static double sum_below_top(ent_sums *sums, ent_sums_task *task, ent_row *result, const ent_rows *rows,
                            const ent_chunk *chunk, double x) {
    ent_sums below = *sums;
    const double pivot = (double)task->pivot, scale = rows->scale;
    const int is_apart =
        !task->has_top &&
        take_out_top(&below, (double)rows->kernels->count_equal(chunk->z, chunk->n, sums->greatest), x, scale);
    const int has_squares = is_apart && (!rows->wants_squares || take_out_squares(&below, sums, x, pivot, scale));
    rise(&result->state, rows, (double)sums->greatest + chunk->origin);
    result->expects_top = !is_apart;
    result->expects_near = ent_are_near((double)sums->least + chunk->origin, result->state.m, scale);
    if (has_squares) {
        *sums = below;
        return ent_sums_m2(sums, pivot - x);
    }
    task->has_top = 1;
    task->is_near = 0;
    sum_at_top(sums, task, &result->state, rows, chunk);
    const double m2 = ent_sums_m2(sums, (double)task->pivot);
    below.q = sums->q;
    if (is_apart)
        *sums = below;
    return m2;
}

/* Sums of a chunk, which is taken to be like the one before; if it is not, again, as it is. The greatest columns are
 * left out of the sums (has_top) or, where that loses nothing, taken out of them afterwards, which is faster. Returns
 * the squares of the rest about its own mean. */
static double sum_chunk(ent_sums *sums, ent_sums_task *task, ent_row *result, const ent_rows *rows,
                        const ent_chunk *chunk) {
    entrol_state *state = &result->state;
    task->has_top = result->expects_top;
    task->is_near = result->expects_near;
    sum_at_top(sums, task, state, rows, chunk);
    if (task->is_near && !ent_are_near((double)sums->least, (double)task->m, rows->scale)) {
        task->is_near = 0;
        sum_at_top(sums, task, state, rows, chunk);
    }
    const double x = (double)sums->greatest - (double)task->m, pivot = (double)task->pivot;
    if (x > 0 || (x == 0 && !task->has_top))
        return sum_below_top(sums, task, result, rows, chunk, x);
    result->expects_top = x == 0;
    result->expects_near = ent_are_near((double)sums->least, (double)task->m, rows->scale);
    return ent_sums_m2(sums, pivot);
}

void ent_row_measure_chunk(ent_row *result, const ent_rows *rows, size_t row, ent_chunk *chunk) {
    entrol_state *state = &result->state;
    ent_sums sums;
    const float *exact = chunk->z; /* NULL: f64 */
    if (!exact)
        rise(state, rows, max_f64(chunk));
    else if (state->m == -INFINITY)
        rise(state, rows, (double)rows->kernels->max(chunk->z, chunk->n));
    if (!exact)
        ent_chunk_narrow(chunk, state->m > -INFINITY ? state->m : 0);
    const size_t step = entrol_dtype_size(rows->logits->dtype);
    ent_sums_task task = {.z = chunk->z,
                          .n = chunk->n,
                          .scale = (float)rows->scale,
                          .squares = rows->wants_squares,
                          .next = chunk->source + chunk->n * step,
                          .next_step = step};
    const double m2 = sum_chunk(&sums, &task, result, rows, chunk);
    ent_state_add(state, &sums, m2);
    const double least = (double)sums.least + chunk->origin;
    state->least = least < state->least ? least : state->least;
    if (rows->wants_power) {
        set_m(&task, state, chunk);
        add_power(state, rows, &task);
    }
    ent_row_order(result, rows, row, exact, chunk->first_column, chunk->n, (double)sums.greatest);
}

/* --- Pieces of a row, which threads share --- */

typedef struct shared_row {
    const ent_rows *rows;
    size_t row;
    ent_row pieces[ENT_MAX_PIECES];
    ent_best best[ENT_MAX_PIECES];
} shared_row;

/* Of all pieces but the last. An even number of them where there are several, for pairs of threads. */
static size_t piece_columns(size_t n_columns) {
    const size_t n_pairs = (n_columns + 2 * ENT_PIECE - 1) / (2 * ENT_PIECE), most = ENT_MAX_PIECES / 2;
    const size_t n_pieces = n_columns <= ENT_PIECE ? 1 : 2 * (n_pairs < most ? n_pairs : most);
    const size_t n_chunks = (n_columns + ENT_CHUNK - 1) / ENT_CHUNK;
    return (n_chunks + n_pieces - 1) / n_pieces * ENT_CHUNK;
}

size_t ent_n_pieces(size_t n_columns) {
    return n_columns <= ENT_PIECE ? 1 : (n_columns - 1) / piece_columns(n_columns) + 1;
}

ent_piece ent_piece_at(size_t n_columns, size_t index) {
    const size_t each = piece_columns(n_columns), first = index * each;
    return (ent_piece){first, n_columns - first < each ? n_columns : first + each};
}

static void measure_piece(ent_row *piece, ent_best *best, const ent_rows *rows, size_t row, size_t index) {
    ent_chunk chunk;
    const ent_piece columns = ent_piece_at(rows->logits->n_columns, index);
    ent_row_begin(piece, rows, row, best);
    for (size_t column = columns.first; column < columns.end; column += ENT_CHUNK) {
        ent_chunk_load(&chunk, rows, row, column);
        ent_row_measure_chunk(piece, rows, row, &chunk);
    }
}

static void measure_shared(void *argument, size_t index) {
    shared_row *shared = argument;
    measure_piece(&shared->pieces[index], &shared->best[index], shared->rows, shared->row, index);
}

/* The columns of `piece` come after those of `result`. */
static void join_piece(ent_row *result, const ent_row *piece, const ent_rows *rows) {
    ent_state_merge(&result->state, &piece->state, rows->scale, rows->options.renyi_order);
    result->n_greater += piece->n_greater;
    for (size_t i = 0; result->best && i < piece->best->n; i++)
        ent_best_offer(result->best, rows->n_best, piece->best->z[i], (size_t)piece->best->column[i]);
}

static void measure_in_parallel(ent_row *result, ent_best *best, const ent_rows *rows, size_t row,
                                entrol_context *context) {
    shared_row shared;
    shared.rows = rows;
    shared.row = row;
    const size_t n_pieces = ent_n_pieces(rows->logits->n_columns);
    ent_parallel_for(context, n_pieces, measure_shared, &shared);
    *result = shared.pieces[0];
    if (result->best) {
        *best = shared.best[0];
        result->best = best;
    }
    for (size_t i = 1; i < n_pieces; i++)
        join_piece(result, &shared.pieces[i], rows);
}

/* The same pieces and the same order of joining them, whoever measures them: the same bits. */
void ent_row_measure(ent_row *result, ent_best *best, const ent_rows *rows, size_t row, entrol_context *context) {
    const size_t n_pieces = ent_n_pieces(rows->logits->n_columns);
    if (context && n_pieces > 1) {
        measure_in_parallel(result, best, rows, row, context);
        return;
    }
    measure_piece(result, best, rows, row, 0);
    for (size_t i = 1; i < n_pieces; i++) {
        ent_row piece;
        ent_best best_of_piece;
        measure_piece(&piece, &best_of_piece, rows, row, i);
        join_piece(result, &piece, rows);
    }
}
