/* The gradient of rows of logits, from the derivatives of a loss by what was measured of them: the arguments, each
 * row's terms, and the division among threads.
 *
 * With x = z - m, d = x / T, y = d - mean(d) (which is ln p + H), V the varentropy and p = softmax(z / T):
 *   T dlogp_t/dz_i = [i = t] - p_i,  T dH/dz_i = -p_i y_i,  T dV/dz_i = p_i (y_i^2 - V + 2 y_i).
 * Together e^d (first + slope x + square y^2) and the target's own term. On a support S, where q = p / sum_S p, T
 * dH_S/dz_i = -q_i (d - mean_S(d)): added in a second pass over a chunk in the cache, in which the columns off S are
 * impossible, since y about another mean would not keep the digits. From a reference q, with delta = ln p - ln q, T
 * dKL(p||q)/dz_i = p_i (delta_i - KL) and T dKL(q||p)/dz_i = p_i - q_i, which the kernels take from the difference of
 * the logits: neither delta - KL, a difference from a mean, nor p - q = p (1 - e^-delta) loses digits where the rows
 * are close. Taking y about the mean and not from ln p + H keeps the digits of a flat row, whose gradient is small
 * differences. */
#include "gradient.h"

#include "support.h"

#include "base/context.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Bytes of logits between forward and gradient: what stays in a core's second-level cache. */
#define BLOCK_BYTES ((size_t)128 << 10)
enum { MAX_BLOCK = 256 };

/* Written matrices of this size leave no room in the caches for anything else. */
#define PAST_CACHES_BYTES ((size_t)16 << 20)

typedef struct task {
    ent_gradient_call *call;
    const entrol_state *states; /* NULL: measured here */
    entrol_gradient_callback callback;
    void *user;
    entrol_context *context; /* whose threads share each row; NULL: this thread alone */
    size_t rows_per_task, rows_per_block;
} task;

static double element(const float *array, size_t row) {
    return array ? (double)array[row] : 0;
}

/* 1 - p of a column with e^d = e. Of the top it is what the other columns have; of another one no digits cancel, since
 * the top has 1 of the sum. */
static double rest_of_probability(const entrol_state *state, double d, double e) {
    const double sum = ent_state_sum(state);
    return (d == 0 ? state->n_top - 1 + state->s : sum - e) / sum;
}

/* The target's element: as the others', but that 1 - p stands for -p. `first` is terms->first without the
 * log-probability's share. y^2 of a target far enough below overflows, where e^d is 0. */
static double target_term(const entrol_state *state, double scale, double by_logprob, double first,
                          const ent_gradient_terms *terms) {
    const double x = state->target - state->m, d = scale * x, y = d - terms->mu, e = exp(d);
    const double as_others = e == 0 ? 0 : e * (first + terms->slope * x + terms->square * y * y);
    return as_others + scale * by_logprob * rest_of_probability(state, d, e);
}

/* 1 if a line and a square are floats wherever d and y are within 87 of 0. */
static int is_float(double first, double slope, double square, double scale) {
    return fabs(first) + 87 * (fabs(slope) / scale + 87 * fabs(square)) <= (double)FLT_MAX &&
           fabs(slope) <= (double)FLT_MAX;
}

/* 1 if no float overflows on the way; p |delta - KL| is at most about 2 KL + 1. */
static int are_floats(const ent_gradient_terms *terms, double scale) {
    const ent_pair_row *pair = &terms->pair;
    const double kl = terms->by_pq == 0 ? 0 : scale * (pair->pivot - pair->shift);
    return is_float(terms->first, terms->slope, terms->square, scale) &&
           is_float(terms->support_first, terms->support_slope, 0, scale) &&
           fabs(terms->by_pq) * fmax(1, scale) * (2 * fabs(kl) + 4) + 2 * fabs(terms->by_qp) <= (double)FLT_MAX;
}

static int has_pair(const ent_gradient_terms *terms) {
    return terms->by_pq != 0 || terms->by_qp != 0;
}

static int has_support(const ent_gradient_terms *terms) {
    return terms->support_slope != 0;
}

static void find_pair_terms(ent_gradient_terms *terms, const entrol_pair *pair, const entrol_state *state, double scale,
                            double by_pq, double by_qp) {
    terms->pair = (ent_pair_row){state->m, pair->m, ent_state_sum(state), pair->sum, pair->shift, 0};
    terms->pair.pivot = by_pq == 0 ? 0 : pair->mean; /* which may be inf */
    terms->by_pq = scale * by_pq;
    terms->by_qp = scale * by_qp;
    if (!isfinite(pair->shift) || !isfinite(terms->pair.pivot) || !isfinite(pair->m))
        terms->reason = ENTROL_REASON_GRADIENT;
}

/* b d = slope x, with the slope a float, so that what is taken of it at the mean belongs to it. */
static double slope_of(double b, double scale) {
    return (double)(float)(b * scale);
}

static void find_support_terms(ent_gradient_terms *terms, const entrol_support *support, double scale,
                               double by_entropy) {
    const double sum = support->n_top + support->s;
    terms->support = *support;
    const int is_empty = sum == 0; /* of no column, H_S is 0 */
    terms->support_slope = slope_of((is_empty ? 0 : -scale / sum) * by_entropy, scale);
    terms->support_first = -terms->support_slope * (is_empty ? 0 : support->t / sum);
}

void ent_gradient_find_terms(ent_gradient_terms *terms, const ent_rows *rows, const entrol_gradient *gradient,
                             size_t row, const entrol_state *state, const entrol_support *support) {
    const double scale = rows->scale, by_logprob = element(gradient->logprob, row);
    const double by_entropy = element(gradient->entropy, row), by_varentropy = element(gradient->varentropy, row);
    const double by_support = element(gradient->support_entropy, row);
    const double by_pq = element(gradient->kl_pq, row), by_qp = element(gradient->kl_qp, row);
    *terms = (ent_gradient_terms){.column = -1};
    terms->is_plain_zero = by_logprob == 0 && by_entropy == 0 && by_varentropy == 0;
    terms->is_zero = terms->is_plain_zero && by_support == 0 && by_pq == 0 && by_qp == 0;
    if (terms->is_zero)
        return;
    terms->reason = ent_state_trouble(state, by_logprob != 0);
    if (terms->reason != ENTROL_REASON_NONE)
        return;
    const double sum = ent_state_sum(state), each = scale / sum, mean = state->t / sum;
    terms->m = state->m;
    terms->is_near = ent_are_near(state->least, state->m, scale);
    terms->mu = scale * mean;
    terms->slope = slope_of(each * (2 * by_varentropy - by_entropy), scale);
    terms->square = each * by_varentropy;
    const double variance = by_varentropy == 0 ? 0 : ent_state_varentropy(state, scale);
    const double first = -terms->slope * mean - terms->square * variance;
    terms->first = first - each * by_logprob;
    if (by_support != 0)
        find_support_terms(terms, support, scale, by_support);
    if (by_pq != 0 || by_qp != 0)
        find_pair_terms(terms, &gradient->pairs[row], state, scale, by_pq, by_qp);
    if (!are_floats(terms, scale))
        terms->reason = ENTROL_REASON_GRADIENT;
    if (by_logprob != 0 && ent_rows_has_target(rows, row) && state->target > -INFINITY) {
        terms->column = rows->targets[row];
        terms->target = target_term(state, scale, by_logprob, first, terms);
        if (!(fabs(terms->target) <= (double)FLT_MAX))
            terms->reason = ENTROL_REASON_GRADIENT;
    }
}

/* --- Writing --- */

static char *destination_at(const ent_gradient_call *call, size_t row, size_t column) {
    const entrol_destination *to = &call->destination;
    const ptrdiff_t n_elements = (ptrdiff_t)row * to->row_stride + (ptrdiff_t)column;
    return (char *)to->data + n_elements * (ptrdiff_t)entrol_dtype_size(to->dtype);
}

static void write_f64(char *out, const float *values, size_t n, int add) {
    for (size_t i = 0; i < n; i++) {
        double value = 0;
        if (add)
            memcpy(&value, out + i * sizeof value, sizeof value);
        value += (double)values[i];
        memcpy(out + i * sizeof value, &value, sizeof value);
    }
}

/* Writes, or adds, n numbers from a column of a row on. */
static void write_numbers(const ent_gradient_call *call, size_t row, size_t first_column, const float *values,
                          size_t n) {
    const entrol_destination *to = &call->destination;
    const ent_kernels *kernels = call->rows.kernels;
    char *out = destination_at(call, row, first_column);
    if (to->dtype == ENTROL_F64) {
        write_f64(out, values, n, to->add);
        return;
    }
    if (!to->add) {
        kernels->narrow[to->dtype](out, values, n);
        return;
    }
    float sums[ENT_CHUNK];
    kernels->widen[to->dtype](sums, out, n, NULL);
    for (size_t i = 0; i < n; i++)
        sums[i] += values[i];
    kernels->narrow[to->dtype](out, sums, n);
}

/* The same number in a whole row. */
static void write_everywhere(const ent_gradient_call *call, size_t row, float value) {
    float values[ENT_CHUNK];
    const size_t n_columns = call->rows.logits->n_columns;
    for (size_t i = 0; i < ENT_CHUNK; i++)
        values[i] = value;
    for (size_t column = 0; column < n_columns; column += ENT_CHUNK)
        write_numbers(call, row, column, values, n_columns - column < ENT_CHUNK ? n_columns - column : ENT_CHUNK);
}

/* --- Long rows --- */

/* A row that has just been measured is gone through backwards, since what was measured last is nearest; but the first
 * of equal columns are a support's. */
static int goes_backwards(const ent_gradient_call *call, const ent_gradient_terms *terms) {
    return call->is_measured && !has_support(terms);
}

/* The part of a row's gradient that all columns have, in `out`. */
static void plain_chunk(float *out, const ent_gradient_call *call, const ent_chunk *chunk,
                        const ent_gradient_terms *terms, int adds, int streams) {
    const size_t step = entrol_dtype_size(call->rows.logits->dtype);
    const uintptr_t here = (uintptr_t)chunk->source;
    const uintptr_t next = goes_backwards(call, terms) ? here - ENT_CHUNK * step : here + chunk->n * step;
    const ent_gradient_task task = {.z = chunk->z,
                                    .n = chunk->n,
                                    .m = (float)(terms->m - chunk->origin),
                                    .scale = (float)call->rows.scale,
                                    .first = (float)terms->first,
                                    .slope = (float)terms->slope,
                                    .square = (float)terms->square,
                                    .mu = (float)terms->mu,
                                    .is_near = terms->is_near,
                                    .add = adds ? out : NULL,
                                    .stream = streams,
                                    .next = (const char *)next,
                                    .next_step = step};
    const size_t target = (size_t)terms->column - chunk->first_column;
    const int has_target = terms->column >= 0 && target < chunk->n;
    const double before = has_target && adds ? (double)out[target] : 0;
    call->rows.kernels->gradient(out, &task);
    if (has_target)
        out[target] = (float)(before + terms->target);
}

/* out = `before` and the part that the support's columns have. */
static void support_chunk(float *out, const float *before, const float *kept, const ent_gradient_call *call,
                          const ent_chunk *chunk, const ent_gradient_terms *terms, int streams) {
    const ent_gradient_task task = {.z = kept,
                                    .n = chunk->n,
                                    .m = (float)(terms->support.m - chunk->origin),
                                    .scale = (float)call->rows.scale,
                                    .first = (float)terms->support_first,
                                    .slope = (float)terms->support_slope,
                                    .add = before,
                                    .stream = streams,
                                    .next = (const char *)kept};
    call->rows.kernels->gradient(out, &task);
}

/* The part that the divergences from a reference have, of the chunk at a column. */
static void pair_chunk(float *out, const ent_gradient_call *call, size_t row, size_t first_column,
                       const ent_gradient_terms *terms) {
    ent_pair_chunk chunk;
    ent_pair_task task;
    ent_pair_load(&task, &chunk, &call->rows, &call->reference, row, first_column, &terms->pair);
    task.by_pq = (float)terms->by_pq;
    task.by_qp = (float)terms->by_qp;
    call->rows.kernels->pair_gradient(out, &task);
}

static void gradient_chunk(const ent_gradient_call *call, size_t row, ent_chunk *chunk, const ent_gradient_terms *terms,
                           double *n_ties) {
    const entrol_destination *to = &call->destination;
    float values[ENT_CHUNK], kept[ENT_CHUNK], apart[ENT_CHUNK];
    char *place = destination_at(call, row, chunk->first_column);
    const int is_direct = to->dtype == ENTROL_F32 && (uintptr_t)place % sizeof(float) == 0;
    float *out = is_direct ? (float *)(void *)place : values;
    size_t n_kept = 0;
    if (!chunk->z)
        ent_chunk_narrow(chunk, terms->m);
    if (has_pair(terms)) /* before the gradient takes the logits' place */
        pair_chunk(apart, call, row, chunk->first_column, terms);
    if (has_support(terms))
        n_kept = ent_support_keep(kept, n_ties, &terms->support, &call->rows, chunk);
    const int adds = is_direct && to->add, streams = is_direct && call->past_caches && !has_pair(terms);
    float *first = streams && n_kept > 0 ? values : out; /* what is added to stays in the cache */
    if (!terms->is_plain_zero)
        plain_chunk(first, call, chunk, terms, adds, streams && n_kept == 0);
    else if (n_kept == 0 && !adds)
        memset(out, 0, chunk->n * sizeof *out);
    if (n_kept > 0)
        support_chunk(out, terms->is_plain_zero && !adds ? NULL : first, kept, call, chunk, terms, streams);
    for (size_t i = 0; has_pair(terms) && i < chunk->n; i++)
        out[i] += apart[i];
    if (!is_direct)
        write_numbers(call, row, chunk->first_column, values, chunk->n);
}

typedef struct shared_row {
    const ent_gradient_call *call;
    size_t row;
    const ent_gradient_terms *terms;
    double n_ties; /* of the support, that are still to come */
} shared_row;

static void gradient_piece(void *argument, size_t index) {
    shared_row *shared = argument;
    const ent_piece columns = ent_piece_at(shared->call->rows.logits->n_columns, index);
    const size_t n_chunks = (columns.end - columns.first + ENT_CHUNK - 1) / ENT_CHUNK;
    const int backwards = goes_backwards(shared->call, shared->terms);
    ent_chunk chunk;
    double n_ties = shared->n_ties; /* pieces that other threads work on have none */
    for (size_t i = 0; i < n_chunks; i++) {
        const size_t place = backwards ? n_chunks - 1 - i : i;
        ent_chunk_load(&chunk, &shared->call->rows, shared->row, columns.first + place * ENT_CHUNK);
        gradient_chunk(shared->call, shared->row, &chunk, shared->terms, &n_ties);
    }
    if (has_support(shared->terms))
        shared->n_ties = n_ties;
    if (shared->call->past_caches) /* once a piece: it waits for the memory */
        shared->call->rows.kernels->stream_end();
}

static void row_gradient(const ent_gradient_call *call, size_t row, const ent_gradient_terms *terms,
                         entrol_context *context) {
    shared_row shared = {call, row, terms, terms->support.n_ties};
    const size_t n_pieces = ent_n_pieces(call->rows.logits->n_columns);
    const int in_parallel = context && !has_support(terms), backwards = goes_backwards(call, terms);
    if (in_parallel)
        ent_parallel_for(context, n_pieces, gradient_piece, &shared);
    for (size_t i = 0; !in_parallel && i < n_pieces; i++)
        gradient_piece(&shared, backwards ? n_pieces - 1 - i : i);
}

/* --- Short rows --- */

static void set_lane(ent_gradient_lanes *lanes, size_t lane, const ent_gradient_terms *terms, double origin) {
    lanes->m[lane] = (float)(terms->m - origin);
    lanes->first[lane] = (float)terms->first;
    lanes->slope[lane] = (float)terms->slope;
    lanes->square[lane] = (float)terms->square;
    lanes->mu[lane] = (float)terms->mu;
}

/* Adds the part that the supports' columns have. A second tile has the logits, -inf for other columns. */
static void add_support_lanes(ent_tile *tile, const ent_gradient_call *call, size_t first_row, size_t n_rows,
                              const ent_gradient_terms *terms, ent_tile *kept) {
    const size_t n_columns = call->rows.logits->n_columns;
    ent_gradient_lanes lanes;
    memset(&lanes, 0, sizeof lanes);
    for (size_t lane = 0; lane < n_rows; lane++) {
        const entrol_support *support = &terms[lane].support;
        double n_ties = support->n_ties;
        for (size_t j = 0; j < n_columns && has_support(&terms[lane]); j++) {
            const double z = ent_rows_logit(&call->rows, first_row + lane, j);
            const int is_tie = z == support->threshold && n_ties > 0;
            n_ties -= is_tie;
            if (!(z > support->threshold) && !is_tie)
                kept->z[j * ENT_LANES + lane] = -INFINITY;
        }
        lanes.m[lane] = (float)(support->m - kept->origin[lane]);
        lanes.first[lane] = (float)terms[lane].support_first;
        lanes.slope[lane] = (float)terms[lane].support_slope;
    }
    call->rows.kernels->gradient_lanes(kept->z, n_columns, (float)call->rows.scale, &lanes);
    for (size_t i = 0; i < n_columns * ENT_LANES; i++)
        if (i % ENT_LANES < n_rows && has_support(&terms[i % ENT_LANES]))
            tile->z[i] += kept->z[i];
}

static int any_support(const ent_gradient_terms *terms, size_t n_rows) {
    int any = 0;
    for (size_t i = 0; i < n_rows; i++)
        any |= has_support(&terms[i]);
    return any;
}

static void gradient_short(const ent_gradient_call *call, size_t first_row, size_t n_rows,
                           const ent_gradient_terms *terms) {
    const size_t n_columns = call->rows.logits->n_columns;
    const ent_gradient_terms none = {.m = 0};
    ent_tile tile, kept;
    ent_gradient_lanes lanes;
    const int has_support = any_support(terms, n_rows);
    ent_tile_fill(&tile, &call->rows, first_row, n_rows);
    if (has_support)
        kept = tile;
    for (size_t lane = 0; lane < ENT_LANES; lane++)
        set_lane(&lanes, lane, lane < n_rows ? &terms[lane] : &none, tile.origin[lane]);
    call->rows.kernels->gradient_lanes(tile.z, n_columns, (float)call->rows.scale, &lanes);
    for (size_t lane = 0; lane < n_rows; lane++) /* before what is added to it */
        if (terms[lane].column >= 0)
            tile.z[(size_t)terms[lane].column * ENT_LANES + lane] = (float)terms[lane].target;
    if (has_support)
        add_support_lanes(&tile, call, first_row, n_rows, terms, &kept);
    for (size_t lane = 0; lane < n_rows; lane++) {
        float values[ENT_SHORT], apart[ENT_SHORT] = {0};
        if (ent_gradient_is_plain(&terms[lane]))
            continue;
        if (has_pair(&terms[lane]))
            pair_chunk(apart, call, first_row + lane, 0, &terms[lane]);
        for (size_t j = 0; j < n_columns; j++)
            values[j] = tile.z[j * ENT_LANES + lane] + apart[j];
        write_numbers(call, first_row + lane, 0, values, n_columns);
    }
}

/* --- Rows --- */

static void write_plain_row(const ent_gradient_call *call, size_t row, const ent_gradient_terms *terms) {
    if (terms->reason != ENTROL_REASON_NONE)
        write_everywhere(call, row, NAN);
    else if (!call->destination.add)
        write_everywhere(call, row, 0);
}

/* At most ENT_LANES rows. */
static void gradient_rows(const ent_gradient_call *call, size_t begin, size_t end, const ent_gradient_terms *terms,
                          entrol_context *context) {
    const int is_short = call->rows.logits->n_columns <= ENT_SHORT;
    size_t n_plain = 0;
    for (size_t i = 0; i < end - begin; i++) {
        if (ent_gradient_is_plain(&terms[i])) {
            write_plain_row(call, begin + i, &terms[i]);
            n_plain++;
        } else if (!is_short) {
            row_gradient(call, begin + i, &terms[i], context);
        }
    }
    if (is_short && n_plain < end - begin)
        gradient_short(call, begin, end - begin, terms);
}

/* 1 if measuring in the same call has counted the row. */
static int is_known(const task *task, const entrol_state *state) {
    return !task->states && ent_record_trouble(&task->call->rows.record, state) != ENTROL_REASON_NONE;
}

/* states[0] and supports[0] (NULL: not wanted) are row `begin`'s. */
static void gradient_block(const task *task, size_t begin, size_t end, const entrol_state *states,
                           const entrol_support *supports, entrol_diagnosis *found) {
    ent_gradient_terms terms[ENT_LANES];
    for (size_t first = begin; first < end; first += ENT_LANES) {
        const size_t last = end - first < ENT_LANES ? end : first + ENT_LANES;
        for (size_t row = first; row < last; row++) {
            ent_gradient_terms *of_row = &terms[row - first];
            ent_gradient_find_terms(of_row, &task->call->rows, &task->call->gradient, row, &states[row - begin],
                                    supports ? &supports[row - begin] : NULL);
            if (of_row->reason != ENTROL_REASON_NONE && !is_known(task, &states[row - begin]))
                ent_rows_blame(&task->call->rows, row, of_row->reason, found);
        }
        gradient_rows(task->call, first, last, terms, task->context);
    }
}

/* Measures a block of rows, hears what the loss says of them, and takes the gradient while they are in the cache. */
static void measured_block(const task *task, size_t begin, size_t end, entrol_diagnosis *found) {
    entrol_state states[MAX_BLOCK];
    entrol_support supports[MAX_BLOCK];
    const int has_supports = task->call->gradient.support_entropy != NULL;
    ent_rows_measure(&task->call->rows, begin, end, states, has_supports ? supports : NULL, found, task->context);
    if (task->callback)
        task->callback(task->user, begin, end - begin);
    gradient_block(task, begin, end, states, has_supports ? supports : NULL, found);
}

static void run_task(void *argument, size_t index) {
    const task *task = argument;
    const size_t n_rows = task->call->rows.logits->n_rows, first = index * task->rows_per_task;
    const size_t last = n_rows - first < task->rows_per_task ? n_rows : first + task->rows_per_task;
    entrol_diagnosis found = {0};
    for (size_t begin = first; begin < last; begin += task->rows_per_block) {
        const size_t end = last - begin < task->rows_per_block ? last : begin + task->rows_per_block;
        if (task->states)
            gradient_block(task, begin, end, task->states + begin,
                           task->call->gradient.support_entropy ? task->call->gradient.supports + begin : NULL, &found);
        else
            measured_block(task, begin, end, &found);
    }
    ent_trouble_join(&task->call->trouble, &found);
}

/* --- Arguments --- */

static int is_in_place(const entrol_destination *to, const entrol_matrix *logits) {
    return to->data == logits->data && to->dtype == logits->dtype && to->row_stride == logits->row_stride;
}

static const char *take_gradient(ent_gradient_call *call, const entrol_destination *d_logits,
                                 const entrol_gradient *gradient, const int64_t *targets) {
    const entrol_matrix *logits = call->rows.logits;
    if (!d_logits || !entrol_dtype_size(d_logits->dtype) || (!d_logits->data && logits->n_rows && logits->n_columns))
        return "d_logits";
    if (logits->n_rows > 1 && d_logits->row_stride < (ptrdiff_t)logits->n_columns &&
        d_logits->row_stride > -(ptrdiff_t)logits->n_columns) /* rows would lie on each other */
        return "d_logits.row_stride";
    call->gradient = (entrol_gradient)ENTROL_GRADIENT_INIT;
    if (!gradient || !ent_take(&call->gradient, gradient, sizeof *gradient))
        return "gradient";
    call->destination = *d_logits;
    return call->gradient.logprob && !targets ? "targets" : NULL;
}

/* The reference that the record's divergences are from. */
static entrol_status take_reference(ent_gradient_call *call, entrol_context *context, entrol_diagnosis *diagnosis) {
    const entrol_record nothing = ENTROL_RECORD_INIT;
    const entrol_matrix *logits = call->rows.logits, *reference = call->gradient.reference;
    if (!call->gradient.kl_pq && !call->gradient.kl_qp)
        return ENTROL_OK;
    if (ent_check_matrix(reference) || reference->n_rows != logits->n_rows || reference->n_columns != logits->n_columns)
        return ent_bad_argument(diagnosis, "gradient.reference");
    if (!call->gradient.pairs && logits->n_rows)
        return ent_bad_argument(diagnosis, "gradient.pairs");
    return ent_rows_prepare(&call->reference, context, diagnosis, &nothing, reference, NULL, &call->rows.options);
}

static entrol_status prepare(ent_gradient_call *call, entrol_context *context, const entrol_destination *d_logits,
                             const entrol_record *record, entrol_diagnosis *diagnosis, const entrol_gradient *gradient,
                             const entrol_matrix *logits, const int64_t *targets,
                             const entrol_measure_options *options) {
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){0};
    const entrol_status status = ent_rows_prepare(&call->rows, context, diagnosis, record, logits, targets, options);
    if (status != ENTROL_OK)
        return status;
    const char *bad = take_gradient(call, d_logits, gradient, targets);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    const entrol_status of_reference = take_reference(call, context, diagnosis);
    if (of_reference != ENTROL_OK)
        return of_reference;
    entrol_matrix written = *logits;
    written.dtype = d_logits->dtype;
    written.row_stride = d_logits->row_stride;
    if (!ent_fits_in_memory(&written))
        return ENTROL_ERROR_OVERFLOW;
    const size_t n_bytes = logits->n_rows * logits->n_columns * entrol_dtype_size(d_logits->dtype);
    call->past_caches = n_bytes >= PAST_CACHES_BYTES && !d_logits->add && !is_in_place(d_logits, logits);
    call->rows.wants_squares = call->rows.wants_squares || call->gradient.varentropy;
    call->rows.wants_support_entropy = call->rows.wants_support_entropy || call->gradient.support_entropy;
    return ENTROL_OK;
}

/* Rows whose logits stay in the cache between measuring and gradient. */
static size_t rows_per_block(const entrol_matrix *logits) {
    const size_t n = BLOCK_BYTES / ((logits->n_columns + 1) * entrol_dtype_size(logits->dtype));
    const size_t most = n < MAX_BLOCK ? n : MAX_BLOCK;
    if (logits->n_columns <= ENT_SHORT)
        return most - most % ENT_LANES;
    return most ? most : 1;
}

static void run(entrol_context *context, task *task, entrol_diagnosis *diagnosis) {
    const entrol_matrix *logits = task->call->rows.logits;
    if (logits->n_rows == 0)
        return;
    task->rows_per_block = rows_per_block(logits);
    task->call->is_measured = !task->states;
    task->context = ent_rows_are_shared(logits, context) ? context : NULL;
    const size_t n = ent_rows_per_task(logits);
    task->rows_per_task = task->context              ? logits->n_rows /* one task, in this thread */
                          : n < task->rows_per_block ? task->rows_per_block
                                                     : n - n % task->rows_per_block;
    ent_trouble_begin(&task->call->trouble);
    ent_parallel_for(context, (logits->n_rows - 1) / task->rows_per_task + 1, run_task, task);
    ent_trouble_end(&task->call->trouble, diagnosis);
}

entrol_status entrol_gradient_rows(entrol_context *context, const entrol_destination *d_logits,
                                   entrol_diagnosis *diagnosis, const entrol_gradient *gradient,
                                   const entrol_state *states, const entrol_matrix *logits, const int64_t *targets,
                                   const entrol_measure_options *options) {
    ent_gradient_call call;
    const entrol_record nothing = ENTROL_RECORD_INIT;
    const entrol_status status =
        prepare(&call, context, d_logits, &nothing, diagnosis, gradient, logits, targets, options);
    if (status != ENTROL_OK)
        return status;
    if (!states && logits->n_rows)
        return ent_bad_argument(diagnosis, "states");
    if (call.gradient.support_entropy && !call.gradient.supports && logits->n_rows)
        return ent_bad_argument(diagnosis, "gradient.supports");
    task task = {.call = &call, .states = states};
    run(context, &task, diagnosis);
    return ENTROL_OK;
}

entrol_status entrol_measure_and_gradient_rows(entrol_context *context, const entrol_destination *d_logits,
                                               const entrol_record *record, entrol_diagnosis *diagnosis,
                                               const entrol_gradient *gradient, const entrol_matrix *logits,
                                               const int64_t *targets, entrol_gradient_callback callback, void *user,
                                               const entrol_measure_options *options) {
    ent_gradient_call call;
    const entrol_status status =
        prepare(&call, context, d_logits, record, diagnosis, gradient, logits, targets, options);
    if (status != ENTROL_OK)
        return status;
    task task = {.call = &call, .callback = callback, .user = user};
    run(context, &task, diagnosis);
    return ENTROL_OK;
}
