/* The gradient of rows of logits, from the derivatives of a loss by what was measured of them: the arguments, each
 * row's terms, and the division among threads.
 *
 * With d = (z - m) / T, y = d - mean(d) (which is ln p + H), V the varentropy and p = softmax(z / T):
 *   T dlogp_t/dz_i = [i = t] - p_i,  T dH/dz_i = -p_i y_i,  T dV/dz_i = p_i (y_i^2 - V + 2 y_i).
 * Together e^d (a + b y + c y^2) and the target's own term. Taking y about the mean and not from ln p + H keeps the
 * digits of a flat row, whose gradient is small differences. */
#include "gradient.h"

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
    size_t rows_per_task, rows_per_block;
} task;

static double element(const float *array, size_t row) {
    return array ? (double)array[row] : 0;
}

/* The target's element: as the others', but that -expm1(ln p), which is 1 - p without cancelling, stands for -p. `a` is
 * terms->a without the log-probability's share. y^2 of a target far enough below overflows, where e^d is 0. */
static double target_term(const entrol_state *state, double scale, double by_logprob, double a,
                          const ent_gradient_terms *terms) {
    const double d = scale * (state->target - state->m), y = d - terms->mu, e = exp(d);
    const double as_others = e == 0 ? 0 : e * (a + y * (terms->b + y * terms->c));
    return as_others - scale * by_logprob * expm1(d - ent_state_log_sum(state));
}

/* 1 if no float overflows on the way: |y| is at most 87. */
static int are_floats(const ent_gradient_terms *terms) {
    return fabs(terms->a) + 87 * (fabs(terms->b) + 87 * fabs(terms->c)) <= (double)FLT_MAX;
}

void ent_gradient_find_terms(ent_gradient_terms *terms, const ent_rows *rows, const entrol_gradient *gradient,
                             size_t row, const entrol_state *state) {
    const double scale = rows->scale, by_logprob = element(gradient->logprob, row);
    const double by_entropy = element(gradient->entropy, row), by_varentropy = element(gradient->varentropy, row);
    *terms = (ent_gradient_terms){.column = -1};
    terms->is_zero = by_logprob == 0 && by_entropy == 0 && by_varentropy == 0;
    if (terms->is_zero)
        return;
    terms->reason = ent_state_trouble(state, by_logprob != 0);
    if (terms->reason != ENTROL_REASON_NONE)
        return;
    const double sum = ent_state_sum(state), each = scale / sum;
    terms->m = state->m;
    terms->mu = scale * state->t / sum;
    const double a = by_varentropy == 0 ? 0 : -each * by_varentropy * ent_state_varentropy(state, scale);
    terms->a = a - each * by_logprob;
    terms->b = each * (2 * by_varentropy - by_entropy);
    terms->c = each * by_varentropy;
    if (!are_floats(terms))
        terms->reason = ENTROL_REASON_GRADIENT;
    if (by_logprob != 0 && ent_rows_has_target(rows, row) && state->target > -INFINITY) {
        terms->column = rows->targets[row];
        terms->target = target_term(state, scale, by_logprob, a, terms);
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

void ent_destination_write(const ent_gradient_call *call, size_t row, size_t first_column, const float *values,
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
        ent_destination_write(call, row, column, values,
                              n_columns - column < ENT_CHUNK ? n_columns - column : ENT_CHUNK);
}

/* --- Long rows --- */

static void gradient_chunk(const ent_gradient_call *call, size_t row, ent_chunk *chunk,
                           const ent_gradient_terms *terms) {
    const entrol_destination *to = &call->destination;
    float values[ENT_CHUNK];
    char *place = destination_at(call, row, chunk->first_column);
    const int is_direct = to->dtype == ENTROL_F32 && (uintptr_t)place % sizeof(float) == 0;
    float *out = is_direct ? (float *)(void *)place : values;
    if (!chunk->z)
        ent_chunk_narrow(chunk, terms->m);
    const size_t step = entrol_dtype_size(call->rows.logits->dtype);
    const ent_gradient_task task = {.z = chunk->z,
                                    .n = chunk->n,
                                    .m = (float)(terms->m - chunk->origin),
                                    .scale = (float)call->rows.scale,
                                    .mu = (float)terms->mu,
                                    .a = (float)terms->a,
                                    .b = (float)terms->b,
                                    .c = (float)terms->c,
                                    .add = is_direct && to->add ? out : NULL,
                                    .stream = is_direct && call->past_caches,
                                    .next = chunk->source + chunk->n * step,
                                    .next_step = step};
    const size_t target = (size_t)terms->column - chunk->first_column;
    const int has_target = terms->column >= 0 && target < chunk->n;
    const double before = has_target && task.add ? (double)out[target] : 0;
    call->rows.kernels->gradient(out, &task);
    if (has_target)
        out[target] = (float)(before + terms->target);
    if (!is_direct)
        ent_destination_write(call, row, chunk->first_column, values, chunk->n);
}

void ent_row_gradient(const ent_gradient_call *call, size_t row, const ent_gradient_terms *terms) {
    ent_chunk chunk;
    for (size_t column = 0; column < call->rows.logits->n_columns; column += ENT_CHUNK) {
        ent_chunk_load(&chunk, &call->rows, row, column);
        gradient_chunk(call, row, &chunk, terms);
    }
}

/* --- Short rows --- */

static void set_lane(ent_gradient_lanes *lanes, size_t lane, const ent_gradient_terms *terms, double origin) {
    lanes->m[lane] = (float)(terms->m - origin);
    lanes->mu[lane] = (float)terms->mu;
    lanes->a[lane] = (float)terms->a;
    lanes->b[lane] = (float)terms->b;
    lanes->c[lane] = (float)terms->c;
}

void ent_rows_gradient_short(const ent_gradient_call *call, size_t first_row, size_t n_rows,
                             const ent_gradient_terms *terms) {
    const size_t n_columns = call->rows.logits->n_columns;
    const ent_gradient_terms none = {.m = 0};
    ent_tile tile;
    ent_gradient_lanes lanes;
    ent_tile_fill(&tile, &call->rows, first_row, n_rows);
    for (size_t lane = 0; lane < ENT_LANES; lane++)
        set_lane(&lanes, lane, lane < n_rows ? &terms[lane] : &none, tile.origin[lane]);
    call->rows.kernels->gradient_lanes(tile.z, n_columns, (float)call->rows.scale, &lanes);
    for (size_t lane = 0; lane < n_rows; lane++) {
        float values[ENT_SHORT];
        if (ent_gradient_is_plain(&terms[lane]))
            continue;
        for (size_t j = 0; j < n_columns; j++)
            values[j] = tile.z[j * ENT_LANES + lane];
        if (terms[lane].column >= 0)
            values[terms[lane].column] = (float)terms[lane].target;
        ent_destination_write(call, first_row + lane, 0, values, n_columns);
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
static void gradient_rows(const ent_gradient_call *call, size_t begin, size_t end, const ent_gradient_terms *terms) {
    const int is_short = call->rows.logits->n_columns <= ENT_SHORT;
    size_t n_plain = 0;
    for (size_t i = 0; i < end - begin; i++) {
        if (ent_gradient_is_plain(&terms[i])) {
            write_plain_row(call, begin + i, &terms[i]);
            n_plain++;
        } else if (!is_short) {
            ent_row_gradient(call, begin + i, &terms[i]);
        }
    }
    if (is_short && n_plain < end - begin)
        ent_rows_gradient_short(call, begin, end - begin, terms);
}

/* 1 if measuring in the same call has counted the row. */
static int is_known(const task *task, const entrol_state *state) {
    return !task->states && ent_record_trouble(&task->call->rows.record, state) != ENTROL_REASON_NONE;
}

/* states[0] is row `begin`'s. */
static void gradient_block(const task *task, size_t begin, size_t end, const entrol_state *states,
                           entrol_diagnosis *found) {
    ent_gradient_terms terms[ENT_LANES];
    for (size_t first = begin; first < end; first += ENT_LANES) {
        const size_t last = end - first < ENT_LANES ? end : first + ENT_LANES;
        for (size_t row = first; row < last; row++) {
            ent_gradient_terms *of_row = &terms[row - first];
            ent_gradient_find_terms(of_row, &task->call->rows, &task->call->gradient, row, &states[row - begin]);
            if (of_row->reason != ENTROL_REASON_NONE && !is_known(task, &states[row - begin]))
                ent_rows_blame(&task->call->rows, row, of_row->reason, found);
        }
        gradient_rows(task->call, first, last, terms);
    }
}

/* Measures a block of rows, hears what the loss says of them, and takes the gradient while they are in the cache. */
static void measured_block(const task *task, size_t begin, size_t end, entrol_diagnosis *found) {
    entrol_state states[MAX_BLOCK];
    ent_rows_measure(&task->call->rows, begin, end, states, found);
    if (task->callback)
        task->callback(task->user, begin, end - begin);
    gradient_block(task, begin, end, states, found);
}

static void run_task(void *argument, size_t index) {
    const task *task = argument;
    const size_t n_rows = task->call->rows.logits->n_rows, first = index * task->rows_per_task;
    const size_t last = n_rows - first < task->rows_per_task ? n_rows : first + task->rows_per_task;
    entrol_diagnosis found = {0};
    for (size_t begin = first; begin < last; begin += task->rows_per_block) {
        const size_t end = last - begin < task->rows_per_block ? last : begin + task->rows_per_block;
        if (task->states)
            gradient_block(task, begin, end, task->states + begin, &found);
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
    call->gradient = (entrol_gradient)ENTROL_GRADIENT_INIT;
    if (!gradient || !ent_take(&call->gradient, gradient, sizeof *gradient))
        return "gradient";
    call->destination = *d_logits;
    return call->gradient.logprob && !targets ? "targets" : NULL;
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
    entrol_matrix written = *logits;
    written.dtype = d_logits->dtype;
    written.row_stride = d_logits->row_stride;
    if (!ent_fits_in_memory(&written))
        return ENTROL_ERROR_OVERFLOW;
    const size_t n_bytes = logits->n_rows * logits->n_columns * entrol_dtype_size(d_logits->dtype);
    call->past_caches = n_bytes >= PAST_CACHES_BYTES && !d_logits->add && !is_in_place(d_logits, logits);
    call->rows.wants_squares = call->rows.wants_squares || call->gradient.varentropy;
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
    const size_t n = ent_rows_per_task(logits);
    task->rows_per_task = n < task->rows_per_block ? task->rows_per_block : n - n % task->rows_per_block;
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
