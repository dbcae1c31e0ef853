/* entrol_mixture_rows: several rows of the same columns are measured, and then gone over together, a block of columns
 * at a time, for the mutual information: the mean of KL(p_m || mean).
 *
 * As in compare.c, errors of the normalisers, some 1e-7, would drown the divergence of rows that are nearly equal. An
 * error eta_m of ln p_m that all columns have alike adds the mean over m of (eta_m - mean eta)^2 / 2 where the rows are
 * close, and next to nothing elsewhere; the sum of p_m - mean, which exactly is 0, gives eta_m - mean eta itself. */
#include "rows.h"

#include "base/context.h"

#include <math.h>

/* States of all matrices' rows in a block; columns in the first-level cache together. */
enum { STATES_A_BLOCK = 256, COLUMNS_A_TIME = 256 };

typedef struct call {
    ent_rows rows[ENT_MIXTURE_ROWS];
    size_t n;    /* matrices */
    int is_wide; /* one of them is f64 */
    float *mean_entropy, *mutual_information;
    entrol_context *context; /* whose threads share each row; NULL: this thread alone */
} call;

/* --- One row of each matrix --- */

typedef struct shared_row {
    const call *call;
    size_t row;
    ent_mixture_task task; /* but for the columns */
    ent_mixture_sums pieces[ENT_MAX_PIECES];
} shared_row;

static void add_sums(ent_mixture_sums *total, const ent_mixture_sums *sums, size_t n) {
    total->information += sums->information;
    for (size_t i = 0; i < n; i++)
        total->gain[i] += sums->gain[i];
}

/* n columns of a row as doubles. */
static void load_wide(double *wide, const ent_rows *rows, size_t row, size_t first_column, size_t n) {
    for (size_t i = 0; i < n; i++)
        wide[i] = ent_rows_logit(rows, row, first_column + i);
}

static void sum_columns(ent_mixture_sums *sums, const shared_row *shared, size_t first_column, size_t n) {
    union {
        float narrow[ENT_MIXTURE_ROWS][COLUMNS_A_TIME];
        double wide[ENT_MIXTURE_ROWS][COLUMNS_A_TIME];
    } memory;
    const call *call = shared->call;
    ent_mixture_task task = shared->task;
    task.n = n;
    for (size_t i = 0; i < call->n; i++) {
        if (call->is_wide) {
            load_wide(memory.wide[i], &call->rows[i], shared->row, first_column, n);
            task.wide[i] = memory.wide[i];
        } else {
            task.z[i] = ent_rows_floats(memory.narrow[i], &call->rows[i], shared->row, first_column, n);
        }
    }
    call->rows[0].kernels->mixture_sums(sums, &task);
}

static void sum_piece(void *argument, size_t index) {
    shared_row *shared = argument;
    const ent_piece columns = ent_piece_at(shared->call->rows[0].logits->n_columns, index);
    ent_mixture_sums total = {.information = 0};
    for (size_t column = columns.first; column < columns.end; column += COLUMNS_A_TIME) {
        const size_t n_left = columns.end - column;
        ent_mixture_sums sums;
        sum_columns(&sums, shared, column, n_left < COLUMNS_A_TIME ? n_left : COLUMNS_A_TIME);
        add_sums(&total, &sums, shared->call->n);
    }
    shared->pieces[index] = total;
}

/* The pieces in their order, whoever works on them: the same bits. */
static ent_mixture_sums sum_row(shared_row *shared) {
    const call *call = shared->call;
    const size_t n_pieces = ent_n_pieces(call->rows[0].logits->n_columns);
    if (call->context)
        ent_parallel_for(call->context, n_pieces, sum_piece, shared);
    ent_mixture_sums total = {.information = 0};
    for (size_t i = 0; i < n_pieces; i++) {
        if (!call->context)
            sum_piece(shared, i);
        add_sums(&total, &shared->pieces[i], call->n);
    }
    return total;
}

/* What the normalisers' errors have added. */
static double error_of(const ent_mixture_sums *sums, size_t n) {
    double error = 0;
    for (size_t i = 0; i < n; i++)
        error += sums->gain[i] * sums->gain[i] / 2 / (double)n;
    return error;
}

static double information_of(const call *call, const ent_mixture_sums *sums) {
    const double value = sums->information - error_of(sums, call->n), most = log((double)call->n);
    return value < 0 ? 0 : value < most ? value : most;
}

/* `states` are those of the row in every matrix, `stride` apart. */
static void write_row(const call *call, size_t row, const entrol_state *states, size_t stride) {
    const double scale = call->rows[0].scale;
    shared_row shared = {.call = call, .row = row, .task = {.n_rows = call->n, .scale = scale}};
    double entropy = 0;
    for (size_t i = 0; i < call->n; i++) {
        const entrol_state *state = &states[i * stride];
        shared.task.m[i] = state->m;
        shared.task.log_sum[i] = ent_state_log_sum(state);
        entropy += ent_state_entropy(state, scale) / (double)call->n;
    }
    const ent_mixture_sums sums = sum_row(&shared);
    const double information = information_of(call, &sums);
    if (call->mutual_information)
        call->mutual_information[row] = (float)information;
    if (call->mean_entropy)
        call->mean_entropy[row] = (float)(entropy + information);
}

/* --- Rows --- */

/* The first matrix whose row is in trouble; n if none is. */
static size_t find_trouble(const call *call, const entrol_state *states, size_t stride) {
    size_t i = 0;
    while (i < call->n && ent_state_trouble(&states[i * stride], 0) == ENTROL_REASON_NONE)
        i++;
    return i;
}

static void write_trouble(const call *call, size_t row) {
    if (call->mutual_information)
        call->mutual_information[row] = NAN;
    if (call->mean_entropy)
        call->mean_entropy[row] = NAN;
}

static void work_on_block(const void *argument, size_t begin, size_t end, entrol_diagnosis *found) {
    const call *call = argument;
    entrol_state states[STATES_A_BLOCK];
    const size_t n_rows = end - begin;
    entrol_diagnosis ignored = {0}; /* a row is in trouble once, also where it is so in several matrices */
    for (size_t i = 0; i < call->n; i++)
        ent_rows_measure(&call->rows[i], begin, end, states + i * n_rows, NULL, &ignored, call->context);
    for (size_t row = begin; row < end; row++) {
        const entrol_state *of_row = states + (row - begin);
        const size_t bad = find_trouble(call, of_row, n_rows);
        if (bad == call->n) {
            write_row(call, row, of_row, n_rows);
            continue;
        }
        ent_rows_blame(&call->rows[bad], row, ent_state_trouble(&of_row[bad * n_rows], 0), found);
        write_trouble(call, row);
    }
}

/* --- Arguments --- */

static const char *check_matrices(entrol_context *context, const entrol_matrix *matrices, size_t n_matrices) {
    if (!context)
        return "context";
    if (n_matrices < 1 || n_matrices > ENTROL_MAX_MIXTURE)
        return "n_matrices";
    if (!matrices)
        return "matrices";
    for (size_t i = 0; i < n_matrices; i++)
        if (ent_check_matrix(&matrices[i]) || matrices[i].n_rows != matrices[0].n_rows ||
            matrices[i].n_columns != matrices[0].n_columns)
            return "matrices";
    return NULL;
}

static entrol_status prepare(call *call, entrol_context *context, entrol_diagnosis *diagnosis,
                             const entrol_matrix *matrices, size_t n_matrices, const entrol_measure_options *options) {
    const entrol_record nothing = ENTROL_RECORD_INIT;
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){0};
    const char *bad = check_matrices(context, matrices, n_matrices);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    entrol_status status = ENTROL_OK;
    for (size_t i = 0; i < n_matrices && status == ENTROL_OK; i++) {
        call->is_wide |= matrices[i].dtype == ENTROL_F64;
        status = ent_rows_prepare(&call->rows[i], context, diagnosis, &nothing, &matrices[i], NULL, options);
    }
    return status;
}

static size_t row_bytes(const entrol_matrix *matrices, size_t n_matrices) {
    size_t size = 0;
    for (size_t i = 0; i < n_matrices; i++)
        size += entrol_dtype_size(matrices[i].dtype);
    return size * matrices->n_columns;
}

entrol_status entrol_mixture_rows(entrol_context *context, float *mean_entropy, float *mutual_information,
                                  entrol_diagnosis *diagnosis, const entrol_matrix *matrices, size_t n_matrices,
                                  const entrol_measure_options *options) {
    call call = {.n = n_matrices, .mean_entropy = mean_entropy, .mutual_information = mutual_information};
    const entrol_status status = prepare(&call, context, diagnosis, matrices, n_matrices, options);
    if (status != ENTROL_OK || matrices->n_rows == 0)
        return status;
    call.context = ent_rows_are_shared(matrices, context) ? context : NULL;
    ent_blocks_run(context, matrices, ent_rows_per_block(row_bytes(matrices, n_matrices), STATES_A_BLOCK / n_matrices),
                   work_on_block, &call, diagnosis);
    return ENTROL_OK;
}
