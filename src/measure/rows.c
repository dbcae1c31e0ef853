/* entrol_measure_rows: the arguments, the division of rows among threads, and the diagnosis. */
#include "support.h"

#include "base/context.h"

#include <math.h>
#include <string.h>

/* Logits a task: enough that handing it out costs nothing, little enough that threads end together. */
#define TASK_BYTES ((size_t)512 << 10)
/* Logits between measuring and going over them again: what stays in a core's second-level cache. */
#define BLOCK_BYTES ((size_t)256 << 10)

typedef struct call {
    ent_rows rows;
    entrol_context *context; /* whose threads share each row; NULL: this thread alone */
    size_t rows_per_task;
    ent_trouble trouble;
} call;

/* Names the first NaN or +inf of a row; leaves the reason as it is where there is none, as in one piece of a row. */
static void find_column(entrol_diagnosis *found, const ent_rows *rows, size_t row) {
    for (size_t column = 0; column < rows->logits->n_columns; column++) {
        const double z = ent_rows_logit(rows, row, column);
        if (z < INFINITY)
            continue;
        found->first_column = column;
        found->reason = isnan(z) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE;
        return;
    }
}

void ent_rows_blame(const ent_rows *rows, size_t row, entrol_reason reason, entrol_diagnosis *found) {
    if (found->n_bad++ && found->first_row < row)
        return;
    found->first_row = row;
    found->first_column = 0;
    found->reason = reason;
    if (reason == ENTROL_REASON_NAN || reason == ENTROL_REASON_INFINITE)
        find_column(found, rows, row);
}

/* Where finished rows of a block go. */
typedef struct block {
    size_t begin;
    entrol_state *states;
    entrol_support *supports;
    entrol_diagnosis *found;
} block;

static void finish_row(const ent_rows *rows, size_t row, const ent_row *result, void *user) {
    const block *block = user;
    entrol_state state;
    const entrol_reason reason = ent_row_write(&state, rows, row, result);
    if (reason != ENTROL_REASON_NONE)
        ent_rows_blame(rows, row, reason, block->found);
    if (block->states)
        block->states[row - block->begin] = state;
    if (rows->wants_support_entropy)
        ent_row_write_support(block->supports ? &block->supports[row - block->begin] : NULL, rows, row, &state);
}

int ent_rows_are_shared(const entrol_matrix *logits, const entrol_context *context) {
    const size_t n_threads = entrol_context_n_threads(context);
    return n_threads > 1 && logits->n_rows < 4 * n_threads && ent_n_pieces(logits->n_columns) > 1;
}

void ent_rows_measure(const ent_rows *rows, size_t begin, size_t end, entrol_state *states, entrol_support *supports,
                      entrol_diagnosis *found, entrol_context *context) {
    block block = {begin, states, supports, found};
    const int is_short = rows->logits->n_columns <= ENT_SHORT;
    for (size_t row = begin; row < end && is_short; row += ENT_LANES)
        ent_rows_measure_short(rows, row, end - row < ENT_LANES ? end - row : ENT_LANES, states != NULL, finish_row,
                               &block);
    for (size_t row = begin; row < end && !is_short; row++) {
        ent_row result;
        ent_best best;
        ent_row_measure(&result, &best, rows, row, context);
        finish_row(rows, row, &result, &block);
    }
}

static void measure_task(void *argument, size_t index) {
    call *call = argument;
    const size_t begin = index * call->rows_per_task, n_left = call->rows.logits->n_rows - begin;
    entrol_diagnosis found = {0};
    ent_rows_measure(&call->rows, begin, begin + (n_left < call->rows_per_task ? n_left : call->rows_per_task), NULL,
                     NULL, &found, call->context);
    ent_trouble_join(&call->trouble, &found);
}

const char *ent_check_matrix(const entrol_matrix *logits) {
    if (!logits || !entrol_dtype_size(logits->dtype))
        return "logits";
    if (!logits->data && logits->n_rows && logits->n_columns)
        return "logits.data";
    return logits->n_columns > INT32_MAX ? "logits.n_columns" : NULL;
}

static const char *check_support(const entrol_measure_options *options) {
    const double parameter = options->support_parameter;
    switch (options->support_kind) {
    case ENTROL_SUPPORT_ALL:
        return NULL;
    case ENTROL_SUPPORT_TOP_P:
    case ENTROL_SUPPORT_BEFORE_P:
    case ENTROL_SUPPORT_DROP:
        return parameter >= 0 && parameter <= 1 ? NULL : "options.support_parameter";
    case ENTROL_SUPPORT_TOP_K:
        return parameter >= 1 && parameter <= 0x1p53 && floor(parameter) == parameter ? NULL
                                                                                      : "options.support_parameter";
    }
    return "options.support_kind";
}

/* The bounds keep squares of differences of logits, and every scale that the kernels use, normal floats. */
const char *ent_check_options(const entrol_measure_options *options) {
    const double order = options->renyi_order;
    if (!(options->temperature >= 1e-6 && options->temperature <= 1e6))
        return "options.temperature";
    if (!(order == 0 || order == INFINITY || (order >= 1e-6 && order <= 1e6)))
        return "options.renyi_order";
    return check_support(options);
}

static const char *check_record(const entrol_record *record, const int64_t *targets) {
    if ((record->logprob || record->rank) && !targets)
        return "targets";
    if (record->n_top > ENTROL_MAX_TOP || (record->n_top == 0 && (record->top_id || record->top_logprob)))
        return "record.n_top";
    return NULL;
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
    rows->wants_support_entropy = record->support_entropy || record->support;
    rows->n_best = record->n_top;
    if (record->margin && rows->n_best < 2)
        rows->n_best = 2;
    rows->rest = *record;
    rows->rest.entropy = rows->rest.logsumexp = rows->rest.logprob = NULL;
    rows->rest.varentropy = rows->rest.top_prob = rows->rest.sum_p_squared = NULL;
}

double ent_scale(const entrol_measure_options *options) {
    return (double)(float)(1 / options->temperature);
}

static const char *take_arguments(ent_rows *rows, const entrol_record *record, const entrol_matrix *logits,
                                  const int64_t *targets, const entrol_measure_options *options) {
    rows->options = (entrol_measure_options)ENTROL_MEASURE_OPTIONS_INIT;
    rows->record = (entrol_record)ENTROL_RECORD_INIT;
    const char *bad = ent_check_matrix(logits);
    if (!bad && (!record || !ent_take(&rows->record, record, sizeof *record)))
        bad = "record";
    if (!bad && options && !ent_take(&rows->options, options, sizeof *options))
        bad = "options";
    if (!bad)
        bad = ent_check_options(&rows->options);
    return bad ? bad : check_record(&rows->record, targets);
}

entrol_status ent_rows_prepare(ent_rows *rows, entrol_context *context, entrol_diagnosis *diagnosis,
                               const entrol_record *record, const entrol_matrix *logits, const int64_t *targets,
                               const entrol_measure_options *options) {
    const char *bad = context ? take_arguments(rows, record, logits, targets, options) : "context";
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    if (!ent_fits_in_memory(logits))
        return ENTROL_ERROR_OVERFLOW;
    rows->kernels = ent_kernels_for(entrol_context_cpu(context));
    rows->logits = logits;
    rows->targets = targets;
    rows->scale = ent_scale(&rows->options);
    plan(rows);
    return ENTROL_OK;
}

size_t ent_rows_per_task(const entrol_matrix *logits) {
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
    const entrol_status status = ent_rows_prepare(&call.rows, context, diagnosis, record, logits, targets, options);
    if (status != ENTROL_OK || logits->n_rows == 0)
        return status;
    call.context = ent_rows_are_shared(logits, context) ? context : NULL;
    call.rows_per_task = call.context ? logits->n_rows : ent_rows_per_task(logits); /* one task, in this thread */
    ent_trouble_begin(&call.trouble);
    ent_parallel_for(context, (logits->n_rows - 1) / call.rows_per_task + 1, measure_task, &call);
    ent_trouble_end(&call.trouble, diagnosis);
    return ENTROL_OK;
}

/* --- Blocks --- */

size_t ent_rows_per_block(size_t row_bytes, size_t n_most) {
    const size_t n = BLOCK_BYTES / (row_bytes + 1), most = n < n_most ? n : n_most;
    return most ? most : 1;
}

typedef struct blocks_call {
    size_t n_rows, rows_per_task, rows_per_block;
    ent_block_work work;
    const void *call;
    ent_trouble trouble;
} blocks_call;

static void work_on_blocks(void *argument, size_t index) {
    blocks_call *blocks = argument;
    const size_t first = index * blocks->rows_per_task, n_left = blocks->n_rows - first;
    const size_t end = n_left < blocks->rows_per_task ? blocks->n_rows : first + blocks->rows_per_task;
    entrol_diagnosis found = {0};
    for (size_t begin = first; begin < end; begin += blocks->rows_per_block)
        blocks->work(blocks->call, begin, end - begin < blocks->rows_per_block ? end : begin + blocks->rows_per_block,
                     &found);
    ent_trouble_join(&blocks->trouble, &found);
}

void ent_blocks_run(entrol_context *context, const entrol_matrix *logits, size_t rows_per_block, ent_block_work work,
                    const void *call, entrol_diagnosis *diagnosis) {
    blocks_call blocks = {.n_rows = logits->n_rows, .rows_per_block = rows_per_block, .work = work, .call = call};
    const int is_shared = ent_rows_are_shared(logits, context); /* one task, in this thread */
    blocks.rows_per_task = is_shared ? logits->n_rows : ent_rows_per_task(logits);
    ent_trouble_begin(&blocks.trouble);
    ent_parallel_for(context, (logits->n_rows - 1) / blocks.rows_per_task + 1, work_on_blocks, &blocks);
    ent_trouble_end(&blocks.trouble, diagnosis);
}
