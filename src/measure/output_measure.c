/* entrol_measure_output: a block's tiles are computed by any thread and measured in rising order, so that a row's bits
 * are those of one pass over its logits. Threads that work on the same block wait for their turn to measure, which is
 * short beside the product. */
#include "output.h"

#include "base/context.h"

#include <math.h>

typedef struct call {
    ent_output output;
    size_t first_row, n_rows, n_blocks; /* of the group that is being measured */
    ent_output_row *rows;
    ent_best *bests;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    size_t n_measured[ENT_GROUP_BLOCKS]; /* tiles of each block */
} call;

/* --- A row --- */

static void begin_row(call *call, size_t i) {
    const ent_rows *rows = &call->output.rows;
    ent_output_row *row = &call->rows[i];
    *row = (ent_output_row){.reason = ENTROL_REASON_NONE};
    ent_row_clear(&row->measured, rows, &call->bests[i]);
    if (ent_rows_has_target(rows, call->first_row + i))
        row->measured.state.target = (double)ent_output_target(&call->output, call->first_row + i);
}

/* Where a row's trouble begins: the first NaN or +inf. */
static void find_trouble(ent_output_row *row, const float *z, size_t first_column, size_t n) {
    for (size_t j = 0; j < n; j++)
        if (!(z[j] < INFINITY)) {
            row->column = first_column + j;
            row->reason = isnan(z[j]) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE;
            return;
        }
}

/* A tile's part of a row. The target's logit is the same in the sums as in its log-probability and rank. */
static void measure_row(call *call, size_t i, float *z, size_t first_column, size_t n) {
    const ent_rows *rows = &call->output.rows;
    ent_output_row *row = &call->rows[i];
    entrol_state *state = &row->measured.state;
    if (ent_rows_has_target(rows, call->first_row + i)) {
        const size_t target = (size_t)rows->targets[call->first_row + i] - first_column;
        if (target < n)
            z[target] = (float)state->target;
    }
    ent_chunk chunk;
    chunk.first_column = first_column;
    chunk.n = n;
    chunk.source = (const char *)z;
    chunk.mask = NULL;
    chunk.z = z;
    chunk.origin = 0;
    ent_row_measure_chunk(&row->measured, rows, call->first_row + i, &chunk);
    if (row->reason == ENTROL_REASON_NONE && (isnan(state->t) || state->m == INFINITY))
        find_trouble(row, z, first_column, n);
}

static void finish_row(call *call, size_t i) {
    const ent_output_row *row = &call->rows[i];
    entrol_state state;
    entrol_diagnosis found = {.n_bad = 1, .first_row = call->first_row + i};
    found.reason = ent_row_write(&state, &call->output.rows, found.first_row, &row->measured);
    if (found.reason == ENTROL_REASON_NONE)
        return;
    if (row->reason != ENTROL_REASON_NONE) {
        found.reason = row->reason;
        found.first_column = row->column;
    }
    ent_trouble_join(&call->output.trouble, &found);
}

/* --- A tile --- */

/* Waits until a block's tiles before this one have been measured. They were begun before it. */
static void wait_for_turn(call *call, size_t block, size_t tile) {
    pthread_mutex_lock(&call->lock);
    while (call->n_measured[block] != tile)
        pthread_cond_wait(&call->moved, &call->lock);
    pthread_mutex_unlock(&call->lock);
}

static void end_turn(call *call, size_t block) {
    pthread_mutex_lock(&call->lock);
    call->n_measured[block]++;
    pthread_cond_broadcast(&call->moved);
    pthread_mutex_unlock(&call->lock);
}

static void measure_item(void *argument, const ent_slot *slot, size_t item) {
    call *call = argument;
    const ent_output *output = &call->output;
    const size_t tile = item / call->n_blocks, block = item % call->n_blocks, first = block * ENT_BLOCK_ROWS;
    const ent_rows_list list = {NULL, call->first_row + first, ent_least(call->n_rows - first, ENT_BLOCK_ROWS)};
    const size_t first_column = tile * ENT_TILE_COLUMNS, n_columns = ent_tile_width(output, tile);
    ent_output_logits(output, slot->tile, slot, &list, tile);
    wait_for_turn(call, block, tile);
    for (size_t i = 0; i < list.n; i++) {
        if (tile == 0)
            begin_row(call, first + i);
        measure_row(call, first + i, slot->tile + i * output->plan.tile_stride, first_column, n_columns);
        if (tile + 1 == output->n_tiles)
            finish_row(call, first + i);
    }
    end_turn(call, block);
}

static void measure_group(call *call, size_t first_row) {
    call->first_row = first_row;
    call->n_rows = ent_least(call->output.hidden.n_rows - first_row, ENT_GROUP_ROWS);
    call->n_blocks = (call->n_rows - 1) / ENT_BLOCK_ROWS + 1;
    for (size_t block = 0; block < ENT_GROUP_BLOCKS; block++)
        call->n_measured[block] = 0;
    ent_output_run_items(&call->output, measure_item, call, call->n_blocks * call->output.n_tiles);
}

entrol_status entrol_measure_output(entrol_context *context, const entrol_record *record, entrol_diagnosis *diagnosis,
                                    void *workspace, size_t workspace_size, const entrol_matrix *hidden,
                                    const entrol_output_layer *layer, const int64_t *targets,
                                    const entrol_measure_options *options) {
    const ent_output_arguments arguments = {context, diagnosis, record,  workspace, workspace_size,
                                            hidden,  layer,     targets, options};
    call call = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    const entrol_status status = ent_output_prepare(&call.output, &arguments);
    if (status != ENTROL_OK)
        return status;
    call.rows = (ent_output_row *)(void *)(call.output.memory + call.output.plan.rows);
    call.bests = (ent_best *)(void *)(call.output.memory + call.output.plan.bests);
    ent_trouble_begin(&call.output.trouble);
    for (size_t row = 0; row < hidden->n_rows; row += ENT_GROUP_ROWS)
        measure_group(&call, row);
    ent_trouble_end(&call.output.trouble, diagnosis);
    pthread_mutex_destroy(&call.lock);
    pthread_cond_destroy(&call.moved);
    return ENTROL_OK;
}
