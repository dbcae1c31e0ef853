/* entrol_measure_rows: the arguments, the division of rows among threads, and the diagnosis. */
#include "rows.h"

#include "base/context.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* Logits a task: enough that handing it out costs nothing, little enough that threads end together. */
#define TASK_BYTES ((size_t)512 << 10)

typedef struct call {
    ent_rows rows;
    size_t rows_per_task;
    atomic_size_t n_bad;
    atomic_size_t first_bad;
} call;

static void finish_row(const ent_rows *rows, size_t row, const ent_row *result, void *user) {
    call *call = user;
    if (ent_row_write(rows, row, result))
        return;
    atomic_fetch_add_explicit(&call->n_bad, 1, memory_order_relaxed);
    size_t first = atomic_load_explicit(&call->first_bad, memory_order_relaxed);
    while (row < first && !atomic_compare_exchange_weak(&call->first_bad, &first, row))
        ;
}

static void measure_task(void *argument, size_t index) {
    call *call = argument;
    const ent_rows *rows = &call->rows;
    const size_t begin = index * call->rows_per_task, n_left = rows->logits->n_rows - begin;
    const size_t end = begin + (n_left < call->rows_per_task ? n_left : call->rows_per_task);
    const int is_short = rows->logits->n_columns <= ENT_SHORT;
    for (size_t row = begin; row < end && is_short; row += ENT_LANES)
        ent_rows_measure_short(rows, row, end - row < ENT_LANES ? end - row : ENT_LANES, finish_row, call);
    for (size_t row = begin; row < end && !is_short; row++) {
        ent_row result;
        ent_best best;
        ent_row_begin(&result, rows, row, &best);
        ent_row_measure(&result, rows, row);
        finish_row(rows, row, &result, call);
    }
}

/* Looks for the first value that explains why a row is in trouble. */
static void explain(entrol_diagnosis *diagnosis, const ent_rows *rows, size_t row) {
    int is_empty = 1;
    diagnosis->first_row = row;
    for (size_t column = 0; column < rows->logits->n_columns; column++) {
        const double z = ent_rows_logit(rows, row, column);
        is_empty = is_empty && z == -INFINITY;
        if (z < INFINITY)
            continue;
        diagnosis->first_column = column;
        diagnosis->reason = isnan(z) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE;
        return;
    }
    diagnosis->reason = is_empty ? ENTROL_REASON_EMPTY_SUPPORT : ENTROL_REASON_TARGET;
}

static const char *check_matrix(const entrol_matrix *logits) {
    if (!logits || !entrol_dtype_size(logits->dtype))
        return "logits";
    if (!logits->data && logits->n_rows && logits->n_columns)
        return "logits.data";
    return logits->n_columns > INT32_MAX ? "logits.n_columns" : NULL;
}

/* The bounds keep every scale that the kernels use a normal float. */
static const char *check_options(const entrol_measure_options *options) {
    const double order = options->renyi_order;
    if (!(options->temperature >= 1e-20 && options->temperature <= 1e20))
        return "options.temperature";
    return order == 0 || order == INFINITY || (order >= 1e-6 && order <= 1e6) ? NULL : "options.renyi_order";
}

static const char *check_record(const entrol_record *record, const int64_t *targets) {
    if ((record->logprob || record->rank) && !targets)
        return "targets";
    if (record->n_top > ENTROL_MAX_TOP || (record->n_top == 0 && (record->top_id || record->top_logprob)))
        return "record.n_top";
    return NULL;
}

/* 0 if the address of some row's element does not fit. */
static int fits_in_memory(const entrol_matrix *logits) {
    const size_t stride = logits->row_stride < 0 ? 0 - (size_t)logits->row_stride : (size_t)logits->row_stride;
    size_t n_elements, n_bytes;
    return ent_multiply(&n_elements, logits->n_rows, stride > logits->n_columns ? stride : logits->n_columns) &&
           ent_multiply(&n_bytes, n_elements, entrol_dtype_size(logits->dtype)) && n_bytes <= PTRDIFF_MAX;
}

/* Which sums and which columns the wanted outputs need. */
static void plan(ent_rows *rows) {
    const entrol_record *record = &rows->record;
    const double order = rows->options.renyi_order;
    const int renyi = record->renyi != NULL;
    rows->wants_squares = record->varentropy || record->sum_p_squared || (renyi && order == 2);
    rows->wants_power = renyi && order != 0 && order != 1 && order != 2 && order != INFINITY;
    rows->wants_support = renyi && order == 0;
    rows->wants_rank = record->rank != NULL;
    rows->n_best = record->n_top;
    if (record->margin && rows->n_best < 2)
        rows->n_best = 2;
}

/* A struct that may be shorter or longer than this library's: what is there is taken, the rest keeps its default. */
static int take(void *out, const void *in, size_t known_size) {
    size_t size;
    memcpy(&size, in, sizeof size);
    if (size <= sizeof size)
        return 0;
    memcpy(out, in, size < known_size ? size : known_size);
    return 1;
}

static const char *take_arguments(ent_rows *rows, const entrol_record *record, const entrol_matrix *logits,
                                  const int64_t *targets, const entrol_measure_options *options) {
    rows->options = (entrol_measure_options)ENTROL_MEASURE_OPTIONS_INIT;
    rows->record = (entrol_record)ENTROL_RECORD_INIT;
    const char *bad = check_matrix(logits);
    if (!bad && (!record || !take(&rows->record, record, sizeof *record)))
        bad = "record";
    if (!bad && options && !take(&rows->options, options, sizeof *options))
        bad = "options";
    if (!bad)
        bad = check_options(&rows->options);
    return bad ? bad : check_record(&rows->record, targets);
}

static entrol_status prepare(ent_rows *rows, entrol_context *context, entrol_diagnosis *diagnosis,
                             const entrol_record *record, const entrol_matrix *logits, const int64_t *targets,
                             const entrol_measure_options *options) {
    const char *bad = context ? take_arguments(rows, record, logits, targets, options) : "context";
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    if (!fits_in_memory(logits))
        return ENTROL_ERROR_OVERFLOW;
    rows->kernels = ent_kernels_for(entrol_context_cpu(context));
    rows->logits = logits;
    rows->targets = targets;
    rows->scale = (double)(float)(1 / rows->options.temperature);
    plan(rows);
    return ENTROL_OK;
}

/* Rows a task, a multiple of ENT_LANES where rows share lanes. */
static size_t rows_per_task(const entrol_matrix *logits) {
    const size_t row_bytes = (logits->n_columns + 1) * entrol_dtype_size(logits->dtype);
    const size_t n = TASK_BYTES / row_bytes;
    if (logits->n_columns <= ENT_SHORT)
        return n - n % ENT_LANES;
    return n ? n : 1;
}

entrol_status entrol_measure_rows(entrol_context *context, const entrol_record *record, entrol_diagnosis *diagnosis,
                                  const entrol_matrix *logits, const int64_t *targets,
                                  const entrol_measure_options *options) {
    call call;
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){0};
    const entrol_status status = prepare(&call.rows, context, diagnosis, record, logits, targets, options);
    if (status != ENTROL_OK || logits->n_rows == 0)
        return status;
    call.rows_per_task = rows_per_task(logits);
    atomic_init(&call.n_bad, 0);
    atomic_init(&call.first_bad, SIZE_MAX);
    const size_t n_tasks = (logits->n_rows - 1) / call.rows_per_task + 1;
    ent_parallel_for(context, n_tasks, measure_task, &call);
    if (diagnosis && atomic_load(&call.n_bad)) {
        diagnosis->n_bad = atomic_load(&call.n_bad);
        explain(diagnosis, &call.rows, atomic_load(&call.first_bad));
    }
    return ENTROL_OK;
}
