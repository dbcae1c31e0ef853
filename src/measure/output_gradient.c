/* entrol_gradient_output: rows that have a gradient are gathered into a group of blocks. For a panel of tiles, the
 * gradients of all the group's logits are computed first, each block and tile by itself, and then multiplied: by the
 * hidden states into d_weight, by the weight into d_hidden, each part of these by itself. Every element is added to in
 * an order that the grid alone decides, however many tiles are in a panel. */
#include "output.h"

#include "base/context.h"
#include "base/pool.h"

#include <math.h>
#include <string.h>

/* Columns of d_weight's and d_hidden's parts; rows of d_weight's. */
enum { PIECE = 512 };

typedef struct call {
    ent_output output;
    entrol_gradient gradient;
    const entrol_state *states;
    entrol_destination d_hidden, d_weight, d_bias; /* data is NULL: not wanted */
    /* the group */
    size_t *index; /* its rows, rising */
    ent_gradient_terms *terms;
    size_t n_active, n_blocks;
    int is_first; /* nothing has been written to d_weight and d_bias */
    int has_finite_hidden;
    /* the panel */
    size_t first_tile, n_tiles;
    unsigned char has_finite_weight[ENT_MAX_THREADS];
    float *units; /* gradients of its logits */
} call;

static float *unit_at(const call *call, size_t tile, size_t block) {
    return call->units + (tile * call->n_blocks + block) * (call->output.plan.tile_bytes / sizeof(float));
}

static ent_rows_list rows_of(const call *call, size_t block) {
    const size_t first = block * ENT_BLOCK_ROWS;
    return (ent_rows_list){call->index + first, 0, ent_least(call->n_active - first, ENT_BLOCK_ROWS)};
}

/* The columns of the panel's tile as rows of the weight. */
static ent_rows_list columns_of(const call *call, size_t tile) {
    const size_t index = call->first_tile + tile;
    return (ent_rows_list){NULL, index * ENT_TILE_COLUMNS, ent_tile_width(&call->output, index)};
}

static float *place_in(const entrol_destination *to, size_t row, size_t column) {
    return (float *)to->data + (ptrdiff_t)row * to->row_stride + (ptrdiff_t)column;
}

/* --- The gradient of the logits --- */

/* dz / d(product) = 1 - (z / cap)^2. Masked columns, at -inf, have no gradient: any number will do for them. */
static void multiply_by_slopes(float *dz, const float *z, size_t n, float cap) {
    const float inverse = 1 / cap;
    for (size_t j = 0; j < n; j++) {
        const float t = z[j] > -cap ? z[j] * inverse : -1;
        dz[j] *= (1 - t) * (1 + t);
    }
}

/* In place of a row's logits in a tile. */
static void differentiate_row(const ent_output *output, float *z, size_t first_column, size_t n,
                              const ent_gradient_terms *terms) {
    float values[ENT_TILE_COLUMNS];
    const int is_capped = output->layer.soft_cap > 0;
    const ent_gradient_task task = {.z = z,
                                    .n = n,
                                    .m = (float)terms->m,
                                    .scale = (float)output->rows.scale,
                                    .first = (float)terms->first,
                                    .slope = (float)terms->slope,
                                    .square = (float)terms->square,
                                    .mu = (float)terms->mu,
                                    .is_near = terms->is_near,
                                    .next = (const char *)(z + n),
                                    .next_step = sizeof *z};
    output->rows.kernels->gradient(is_capped ? values : z, &task);
    if (is_capped) {
        multiply_by_slopes(values, z, n, (float)output->layer.soft_cap);
        memcpy(z, values, n * sizeof *z);
    }
    const size_t target = (size_t)terms->column - first_column;
    if (terms->column >= 0 && target < n)
        z[target] = (float)terms->target;
}

static void differentiate_item(void *argument, const ent_slot *slot, size_t item) {
    call *call = argument;
    const ent_output *output = &call->output;
    const size_t tile = item / call->n_blocks, block = item % call->n_blocks;
    const ent_rows_list rows = rows_of(call, block), columns = columns_of(call, tile);
    float *unit = unit_at(call, tile, block);
    ent_output_logits(output, unit, slot, &rows, call->first_tile + tile);
    for (size_t i = 0; i < rows.n; i++)
        differentiate_row(output, unit + i * output->plan.tile_stride, columns.first, columns.n,
                          &call->terms[block * ENT_BLOCK_ROWS + i]);
    if (block == 0)
        call->has_finite_weight[tile] = (unsigned char)ent_output_is_finite(output, &output->layer.weight, &columns);
}

/* --- The products --- */

/* A part of d_weight: at most PIECE columns of a tile by PIECE of the depth, block after block. */
static void add_to_weight(call *call, const ent_slot *slot, size_t tile, size_t first_column, size_t first) {
    const ent_output *output = &call->output;
    const entrol_destination *to = &call->d_weight;
    const ent_rows_list columns = columns_of(call, tile);
    const size_t n = ent_least(output->hidden.n_columns - first, PIECE);
    if (first_column >= columns.n)
        return;
    for (size_t block = 0; block < call->n_blocks; block++) {
        const ent_rows_list rows = rows_of(call, block);
        const ent_part hidden =
            ent_output_load(output, slot->hidden, &output->hidden, &rows, first, n, !call->has_finite_hidden);
        ent_gemm(output->context, &(entrol_gemm_operands){.c = place_in(to, columns.first + first_column, first),
                                                          .a = unit_at(call, tile, block) + first_column,
                                                          .b = hidden.data,
                                                          .m = ent_least(columns.n - first_column, PIECE),
                                                          .n = n,
                                                          .k = rows.n,
                                                          .c_stride = (size_t)to->row_stride,
                                                          .a_stride = output->plan.tile_stride,
                                                          .b_stride = hidden.stride,
                                                          .a_transposed = 1,
                                                          .add = to->add || !call->is_first || block > 0});
    }
}

/* A block's part of d_hidden, tile after tile; n_columns floats a row from `stride` to `stride`. */
static void multiply_by_weight(const call *call, const ent_slot *slot, size_t block, size_t first, size_t n, float *to,
                               size_t stride) {
    const ent_output *output = &call->output;
    const ent_rows_list rows = rows_of(call, block);
    for (size_t tile = 0; tile < call->n_tiles; tile++) {
        const ent_rows_list columns = columns_of(call, tile);
        const ent_part weight = ent_output_load(output, slot->weight, &output->layer.weight, &columns, first, n,
                                                !call->has_finite_weight[tile]);
        ent_gemm(output->context, &(entrol_gemm_operands){.c = to,
                                                          .a = unit_at(call, tile, block),
                                                          .b = weight.data,
                                                          .m = rows.n,
                                                          .n = n,
                                                          .k = columns.n,
                                                          .c_stride = stride,
                                                          .a_stride = output->plan.tile_stride,
                                                          .b_stride = weight.stride,
                                                          .add = call->d_hidden.add || call->first_tile + tile > 0});
    }
}

/* At most PIECE columns of a block's d_hidden: in place where its rows follow each other, else by way of a copy. */
static void add_to_hidden(call *call, const ent_slot *slot, size_t block, size_t first) {
    const entrol_destination *to = &call->d_hidden;
    const size_t n = ent_least(call->output.hidden.n_columns - first, PIECE);
    const ent_rows_list rows = rows_of(call, block);
    if (ent_list_is_run(&rows)) {
        multiply_by_weight(call, slot, block, first, n, place_in(to, rows.index[0], first), (size_t)to->row_stride);
        return;
    }
    for (size_t i = 0; i < rows.n; i++)
        memcpy(slot->hidden + i * n, place_in(to, rows.index[i], first), n * sizeof(float));
    multiply_by_weight(call, slot, block, first, n, slot->hidden, n);
    for (size_t i = 0; i < rows.n; i++)
        memcpy(place_in(to, rows.index[i], first), slot->hidden + i * n, n * sizeof(float));
}

/* A tile of d_bias: each block's sum in double. */
static void add_to_bias(call *call, size_t tile) {
    const entrol_destination *to = &call->d_bias;
    const ent_rows_list columns = columns_of(call, tile);
    for (size_t block = 0; block < call->n_blocks; block++) {
        const ent_rows_list rows = rows_of(call, block);
        const float *dz = unit_at(call, tile, block);
        double sums[ENT_TILE_COLUMNS] = {0};
        float *out = place_in(to, 0, columns.first);
        for (size_t i = 0; i < rows.n; i++, dz += call->output.plan.tile_stride)
            for (size_t j = 0; j < columns.n; j++)
                sums[j] += (double)dz[j];
        const int adds = to->add || !call->is_first || block > 0;
        for (size_t j = 0; j < columns.n; j++)
            out[j] = (float)(sums[j] + (adds ? (double)out[j] : 0));
    }
}

/* First the parts of d_weight, then those of d_hidden and d_bias: the greatest first. */
static size_t count_weight_items(const call *call, size_t n_pieces) {
    return call->d_weight.data ? call->n_tiles * n_pieces * (ENT_TILE_COLUMNS / PIECE) : 0;
}

static size_t count_hidden_items(const call *call, size_t n_pieces) {
    return call->d_hidden.data ? call->n_blocks * n_pieces : 0;
}

static size_t count_pieces(const call *call) {
    return (call->output.hidden.n_columns + PIECE - 1) / PIECE;
}

static void multiply_item(void *argument, const ent_slot *slot, size_t item) {
    call *call = argument;
    const size_t n_pieces = count_pieces(call), n_weight = count_weight_items(call, n_pieces);
    const size_t n_hidden = count_hidden_items(call, n_pieces);
    if (item < n_weight) {
        const size_t part = item / n_pieces, parts = ENT_TILE_COLUMNS / PIECE;
        add_to_weight(call, slot, part / parts, part % parts * PIECE, item % n_pieces * PIECE);
    } else if (item < n_weight + n_hidden) {
        item -= n_weight;
        add_to_hidden(call, slot, item / n_pieces, item % n_pieces * PIECE);
    } else {
        add_to_bias(call, item - n_weight - n_hidden);
    }
}

/* --- Groups --- */

static void run_panel(call *call, size_t first_tile) {
    const size_t n_pieces = count_pieces(call), most = call->output.plan.n_units / call->n_blocks;
    call->first_tile = first_tile;
    call->n_tiles = ent_least(call->output.n_tiles - first_tile, most);
    ent_output_run_items(&call->output, differentiate_item, call, call->n_tiles * call->n_blocks);
    ent_output_run_items(&call->output, multiply_item, call,
                         count_weight_items(call, n_pieces) + count_hidden_items(call, n_pieces) +
                             (call->d_bias.data ? call->n_tiles : 0));
}

static void run_group(call *call) {
    const ent_output *output = &call->output;
    const ent_rows_list rows = {call->index, 0, call->n_active};
    call->n_blocks = (call->n_active - 1) / ENT_BLOCK_ROWS + 1;
    /* a logit of an infinite product is finite only under a cap */
    call->has_finite_hidden = output->layer.soft_cap == 0 || ent_output_is_finite(output, &output->hidden, &rows);
    for (size_t tile = 0; tile < output->n_tiles; tile += call->n_tiles)
        run_panel(call, tile);
    call->is_first = 0;
    call->n_active = 0;
}

static void fill(const entrol_destination *to, size_t first_row, size_t n_rows, size_t n_columns, float value) {
    for (size_t row = first_row; row < first_row + n_rows; row++)
        for (size_t column = 0; column < n_columns; column++)
            *place_in(to, row, column) = value;
}

/* The d_hidden of a row that has no gradient, or none that is known. */
static void write_plain_row(call *call, size_t row, const ent_gradient_terms *terms) {
    if (terms->reason != ENTROL_REASON_NONE) {
        const entrol_diagnosis found = {.n_bad = 1, .first_row = row, .reason = terms->reason};
        ent_trouble_join(&call->output.trouble, &found);
    }
    if (!call->d_hidden.data)
        return;
    if (terms->reason != ENTROL_REASON_NONE)
        fill(&call->d_hidden, row, 1, call->output.hidden.n_columns, NAN);
    else if (!call->d_hidden.add)
        fill(&call->d_hidden, row, 1, call->output.hidden.n_columns, 0);
}

static void take_row(call *call, size_t row) {
    const double cap = call->output.layer.soft_cap;
    const entrol_state *state = &call->states[row];
    ent_gradient_terms *terms = &call->terms[call->n_active];
    ent_gradient_find_terms(terms, &call->output.rows, &call->gradient, row, state, NULL);
    if (ent_gradient_is_plain(terms)) {
        write_plain_row(call, row, terms);
        return;
    }
    if (cap > 0 && terms->column >= 0)
        terms->target *= (1 - state->target / cap) * (1 + state->target / cap);
    if (call->d_hidden.data || call->d_weight.data || call->d_bias.data)
        call->index[call->n_active++] = row;
}

static void run(call *call) {
    const ent_output *output = &call->output;
    for (size_t row = 0; row < output->hidden.n_rows; row++) {
        take_row(call, row);
        if (call->n_active == ENT_GROUP_ROWS)
            run_group(call);
    }
    if (call->n_active)
        run_group(call);
    if (!call->is_first)
        return;
    if (call->d_weight.data && !call->d_weight.add)
        fill(&call->d_weight, 0, output->logits.n_columns, output->hidden.n_columns, 0);
    if (call->d_bias.data && !call->d_bias.add)
        fill(&call->d_bias, 0, 1, output->logits.n_columns, 0);
}

/* --- Arguments --- */

/* 0 if products cannot write there. */
static int take_destination(entrol_destination *taken, const entrol_destination *given, size_t n_rows,
                            size_t n_columns) {
    *taken = (entrol_destination){.data = NULL};
    if (!given)
        return 1;
    if (given->dtype != ENTROL_F32 || (uintptr_t)given->data % sizeof(float) != 0 ||
        (!given->data && n_rows && n_columns))
        return 0;
    const entrol_matrix written = {given->data, ENTROL_F32, n_rows, n_columns, given->row_stride};
    if (n_rows > 1 &&
        (given->row_stride > INT32_MAX || given->row_stride < (ptrdiff_t)n_columns || !ent_fits_in_memory(&written)))
        return 0;
    *taken = *given;
    if (n_rows <= 1) /* whatever was given is not looked at */
        taken->row_stride = (ptrdiff_t)ent_least(n_columns, INT32_MAX);
    return 1;
}

static const char *take_arguments(call *call, const entrol_destination *d_hidden, const entrol_destination *d_weight,
                                  const entrol_destination *d_bias, const entrol_gradient *gradient,
                                  const int64_t *targets) {
    const ent_output *output = &call->output;
    const size_t n = output->hidden.n_rows, depth = output->hidden.n_columns, n_columns = output->logits.n_columns;
    call->gradient = (entrol_gradient)ENTROL_GRADIENT_INIT;
    if (!take_destination(&call->d_hidden, d_hidden, n, depth))
        return "d_hidden";
    if (!take_destination(&call->d_weight, d_weight, n_columns, depth))
        return "d_weight";
    if (!take_destination(&call->d_bias, d_bias, 1, n_columns))
        return "d_bias";
    if (!gradient || !ent_take(&call->gradient, gradient, sizeof *gradient))
        return "gradient";
    if (call->gradient.support_entropy) /* no tile knows which of its columns are in a row's support */
        return "gradient.support_entropy";
    if (call->gradient.kl_pq || call->gradient.kl_qp) /* the reference is a matrix of logits, too */
        return call->gradient.kl_pq ? "gradient.kl_pq" : "gradient.kl_qp";
    if (!call->states && n)
        return "states";
    return call->gradient.logprob && !targets ? "targets" : NULL;
}

entrol_status entrol_gradient_output(entrol_context *context, const entrol_destination *d_hidden,
                                     const entrol_destination *d_weight, const entrol_destination *d_bias,
                                     entrol_diagnosis *diagnosis, void *workspace, size_t workspace_size,
                                     const entrol_gradient *gradient, const entrol_state *states,
                                     const entrol_matrix *hidden, const entrol_output_layer *layer,
                                     const int64_t *targets, const entrol_measure_options *options) {
    const entrol_record nothing = ENTROL_RECORD_INIT;
    const ent_output_arguments arguments = {context, diagnosis, &nothing, workspace, workspace_size,
                                            hidden,  layer,     targets,  options};
    call call = {.states = states, .is_first = 1};
    const entrol_status status = ent_output_prepare(&call.output, &arguments);
    if (status != ENTROL_OK)
        return status;
    const char *bad = take_arguments(&call, d_hidden, d_weight, d_bias, gradient, targets);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    const ent_output_plan *plan = &call.output.plan;
    call.terms = (ent_gradient_terms *)(void *)(call.output.memory + plan->terms);
    call.index = (size_t *)(void *)(call.output.memory + plan->index);
    call.units = (float *)(void *)(call.output.memory + plan->units);
    ent_trouble_begin(&call.output.trouble);
    run(&call);
    ent_trouble_end(&call.output.trouble, diagnosis);
    return ENTROL_OK;
}
