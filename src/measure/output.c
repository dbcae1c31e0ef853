/* The output layer's tiles: the arguments, the workspace, operands as f32, logits, and the division among threads. */
#include "output.h"

#include "base/context.h"
#include "base/dtype.h"

#include <math.h>
#include <string.h>

/* --- The workspace --- */

enum { ALIGNMENT = 64 };

static size_t aligned(size_t n_bytes) {
    return (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Gradients of a group's blocks by at least one tile, or of fewer blocks by more tiles: what keeps every thread busy.
 */
static size_t count_units(const ent_output_plan *plan) {
    return plan->n_slots > ENT_GROUP_BLOCKS ? plan->n_slots : ENT_GROUP_BLOCKS;
}

/* The grid bounds every size but the number of slots. */
int ent_output_plan_make(ent_output_plan *plan, const entrol_context *context, size_t n_rows, size_t n_columns,
                         size_t depth) {
    const size_t group_rows = ent_least(n_rows, ENT_GROUP_ROWS);
    *plan = (ent_output_plan){.n_slots = entrol_context_n_threads(context)};
    plan->block_rows = ent_least(n_rows, ENT_BLOCK_ROWS);
    plan->tile_columns = ent_least(n_columns, ENT_TILE_COLUMNS);
    plan->depth = ent_least(depth, ENT_DEPTH);
    plan->tile_stride = plan->tile_columns + ENT_TILE_PADDING;
    plan->tile_bytes = aligned(plan->block_rows * plan->tile_stride * sizeof(float));
    plan->weight_bytes = aligned(plan->tile_columns * plan->depth * sizeof(float));
    plan->hidden_bytes = aligned(plan->block_rows * plan->depth * sizeof(float));
    plan->n_units = count_units(plan);
    size_t slots, units;
    if (!ent_multiply(&slots, plan->n_slots, plan->tile_bytes + plan->weight_bytes + plan->hidden_bytes) ||
        !ent_multiply(&units, plan->n_units, plan->tile_bytes) || slots > PTRDIFF_MAX / 4 || units > PTRDIFF_MAX / 4)
        return 0;
    plan->rows = plan->terms = slots;
    plan->bests = plan->rows + aligned(group_rows * sizeof(ent_output_row));
    plan->index = plan->terms + aligned(group_rows * sizeof(ent_gradient_terms));
    plan->units = plan->index + aligned(group_rows * sizeof(size_t));
    const size_t measuring = plan->bests + group_rows * sizeof(ent_best), gradients = plan->units + units;
    plan->n_bytes = (measuring > gradients ? measuring : gradients) + ALIGNMENT;
    return 1;
}

static ent_slot slot_at(const ent_output *output, size_t i) {
    const ent_output_plan *plan = &output->plan;
    char *memory = output->memory + i * (plan->tile_bytes + plan->weight_bytes + plan->hidden_bytes);
    return (ent_slot){(float *)(void *)memory, (float *)(void *)(memory + plan->tile_bytes),
                      (float *)(void *)(memory + plan->tile_bytes + plan->weight_bytes)};
}

/* --- Arguments --- */

static int is_operand(const entrol_matrix *matrix) {
    return matrix->dtype == ENTROL_F32 || matrix->dtype == ENTROL_F16 || matrix->dtype == ENTROL_BF16;
}

static int has_data(const entrol_matrix *matrix) {
    return matrix->data || !matrix->n_rows || !matrix->n_columns;
}

static const char *take_layer(ent_output *output, const entrol_matrix *hidden, const entrol_output_layer *layer) {
    const entrol_matrix *weight = &output->layer.weight;
    output->layer = (entrol_output_layer)ENTROL_OUTPUT_LAYER_INIT;
    if (!hidden || !is_operand(hidden))
        return "hidden";
    if (!layer || !ent_take(&output->layer, layer, sizeof *layer))
        return "layer";
    if (!is_operand(weight) || weight->n_columns != hidden->n_columns || weight->n_rows > INT32_MAX)
        return "layer.weight";
    const double cap = output->layer.soft_cap;
    return cap == 0 || (cap >= 1e-6 && cap <= 1e6) ? NULL : "layer.soft_cap";
}

static entrol_status prepare_layer(ent_output *output, entrol_context *context, entrol_diagnosis *diagnosis,
                                   const entrol_matrix *hidden, const entrol_output_layer *layer) {
    const char *bad = context ? take_layer(output, hidden, layer) : "context";
    if (!bad && !has_data(hidden))
        bad = "hidden.data";
    if (!bad && !has_data(&output->layer.weight))
        bad = "layer.weight.data";
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    output->context = context;
    output->hidden = *hidden;
    const entrol_matrix *weight = &output->layer.weight;
    output->n_tiles = weight->n_rows ? (weight->n_rows - 1) / ENT_TILE_COLUMNS + 1 : 1;
    if (!ent_fits_in_memory(hidden) || !ent_fits_in_memory(weight) ||
        !ent_output_plan_make(&output->plan, context, hidden->n_rows, weight->n_rows, hidden->n_columns))
        return ENTROL_ERROR_OVERFLOW;
    return ENTROL_OK;
}

/* The rows are those of a matrix whose elements nobody reads: its stride is 0 and its address any. */
entrol_status ent_output_prepare(ent_output *output, const ent_output_arguments *arguments) {
    if (arguments->diagnosis)
        *arguments->diagnosis = (entrol_diagnosis){0};
    entrol_status status =
        prepare_layer(output, arguments->context, arguments->diagnosis, arguments->hidden, arguments->layer);
    if (status != ENTROL_OK)
        return status;
    output->logits = (entrol_matrix){output, ENTROL_F32, output->hidden.n_rows, output->layer.weight.n_rows, 0};
    status = ent_rows_prepare(&output->rows, arguments->context, arguments->diagnosis, arguments->record,
                              &output->logits, arguments->targets, arguments->options);
    if (status != ENTROL_OK)
        return status;
    if (output->rows.wants_support_entropy)
        return ent_bad_argument(arguments->diagnosis, "record.support_entropy");
    if (!arguments->workspace || arguments->workspace_size < output->plan.n_bytes)
        return ent_bad_argument(arguments->diagnosis, "workspace");
    if (!ent_has_gemm(arguments->context))
        return ENTROL_ERROR_UNSUPPORTED;
    output->memory = (char *)arguments->workspace + (ALIGNMENT - (uintptr_t)arguments->workspace % ALIGNMENT);
    return ENTROL_OK;
}

entrol_status entrol_output_workspace_size(const entrol_context *context, size_t *n_bytes, const entrol_matrix *hidden,
                                           const entrol_output_layer *layer) {
    ent_output output;
    const char *bad = context ? take_layer(&output, hidden, layer) : "context";
    if (bad)
        return ENTROL_ERROR_ARGUMENT;
    if (!ent_output_plan_make(&output.plan, context, hidden->n_rows, output.layer.weight.n_rows, hidden->n_columns))
        return ENTROL_ERROR_OVERFLOW;
    if (n_bytes)
        *n_bytes = output.plan.n_bytes;
    return ENTROL_OK;
}

/* --- Operands --- */

int ent_list_is_run(const ent_rows_list *list) {
    return !list->index || !list->n || list->index[list->n - 1] - list->index[0] == list->n - 1;
}

static const char *element_at(const entrol_matrix *matrix, size_t row, size_t column) {
    const ptrdiff_t n_elements = (ptrdiff_t)row * matrix->row_stride + (ptrdiff_t)column;
    return (const char *)matrix->data + n_elements * (ptrdiff_t)entrol_dtype_size(matrix->dtype);
}

/* 1 if no element is infinite or NaN: their exponents are all ones. */
static int is_finite(const float *x, size_t n) {
    uint32_t found = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        found |= (bits & 0x7f800000) == 0x7f800000;
    }
    return !found;
}

int ent_output_is_finite(const ent_output *output, const entrol_matrix *matrix, const ent_rows_list *list) {
    float x[ENT_DEPTH];
    for (size_t i = 0; i < list->n; i++)
        for (size_t column = 0; column < matrix->n_columns; column += ENT_DEPTH) {
            const size_t n = ent_least(matrix->n_columns - column, ENT_DEPTH);
            output->rows.kernels->widen[matrix->dtype](x, element_at(matrix, ent_list_row(list, i), column), n, NULL);
            if (!is_finite(x, n))
                return 0;
        }
    return 1;
}

/* 1 if a product can take these rows where they are. */
static int is_direct(const entrol_matrix *matrix, const ent_rows_list *list) {
    const ptrdiff_t stride = matrix->row_stride;
    return matrix->dtype == ENTROL_F32 && (uintptr_t)matrix->data % sizeof(float) == 0 && ent_list_is_run(list) &&
           stride <= INT32_MAX && stride >= (ptrdiff_t)matrix->n_columns;
}

ent_part ent_output_load(const ent_output *output, float *memory, const entrol_matrix *matrix,
                         const ent_rows_list *list, size_t column, size_t n_columns, int clean) {
    if (!clean && is_direct(matrix, list))
        return (ent_part){(const float *)(const void *)element_at(matrix, ent_list_row(list, 0), column),
                          (size_t)matrix->row_stride};
    for (size_t i = 0; i < list->n; i++) {
        float *row = memory + i * n_columns;
        output->rows.kernels->widen[matrix->dtype](row, element_at(matrix, ent_list_row(list, i), column), n_columns,
                                                   NULL);
        for (size_t j = 0; clean && j < n_columns; j++)
            row[j] = isfinite(row[j]) ? row[j] : 0;
    }
    return (ent_part){memory, n_columns};
}

/* --- Logits --- */

size_t ent_tile_width(const ent_output *output, size_t tile) {
    return ent_least(output->logits.n_columns - tile * ENT_TILE_COLUMNS, ENT_TILE_COLUMNS);
}

/* From products to logits: bias, soft cap, mask. */
static void finish_logits(const ent_output *output, float *z, size_t row, size_t first_column, size_t n) {
    const ent_kernels *kernels = output->rows.kernels;
    const uint8_t *mask = ent_rows_mask(&output->rows, row);
    const float *bias = output->layer.bias;
    for (size_t j = 0; bias && j < n; j++)
        z[j] += bias[first_column + j];
    if (output->layer.soft_cap > 0)
        kernels->soft_cap(z, n, (float)output->layer.soft_cap);
    if (mask)
        kernels->widen[ENTROL_F32](z, z, n, mask + first_column / 8);
}

/* tile = hidden weight^T, over the depth in pieces. */
static void multiply(const ent_output *output, float *tile, const ent_slot *slot, const ent_rows_list *list,
                     const ent_rows_list *columns) {
    const size_t depth = output->hidden.n_columns, stride = output->plan.tile_stride;
    for (size_t i = 0; depth == 0 && i < list->n; i++)
        memset(tile + i * stride, 0, columns->n * sizeof *tile);
    for (size_t first = 0; first < depth && list->n && columns->n; first += ENT_DEPTH) {
        const size_t n = ent_least(depth - first, ENT_DEPTH);
        const ent_part a = ent_output_load(output, slot->hidden, &output->hidden, list, first, n, 0);
        const ent_part b = ent_output_load(output, slot->weight, &output->layer.weight, columns, first, n, 0);
        ent_gemm(output->context, &(entrol_gemm_operands){.c = tile,
                                                          .a = a.data,
                                                          .b = b.data,
                                                          .m = list->n,
                                                          .n = columns->n,
                                                          .k = n,
                                                          .c_stride = stride,
                                                          .a_stride = a.stride,
                                                          .b_stride = b.stride,
                                                          .b_transposed = 1,
                                                          .add = first > 0});
    }
}

void ent_output_logits(const ent_output *output, float *tile, const ent_slot *slot, const ent_rows_list *list,
                       size_t index) {
    const ent_rows_list columns = {NULL, index * ENT_TILE_COLUMNS, ent_tile_width(output, index)};
    multiply(output, tile, slot, list, &columns);
    for (size_t i = 0; i < list->n; i++)
        finish_logits(output, tile + i * output->plan.tile_stride, ent_list_row(list, i), columns.first, columns.n);
}

/* sum a b in double, in eight sums. */
static void add_products(double sums[8], const float *a, const float *b, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            sums[j] += (double)a[i + j] * (double)b[i + j];
    for (; i < n; i++)
        sums[i % 8] += (double)a[i] * (double)b[i];
}

float ent_output_target(const ent_output *output, size_t row) {
    const entrol_matrix *hidden = &output->hidden, *weight = &output->layer.weight;
    const size_t column = (size_t)output->rows.targets[row];
    double sums[8] = {0};
    float a[ENT_DEPTH], b[ENT_DEPTH];
    for (size_t first = 0; first < hidden->n_columns; first += ENT_DEPTH) {
        const size_t n = ent_least(hidden->n_columns - first, ENT_DEPTH);
        output->rows.kernels->widen[hidden->dtype](a, element_at(hidden, row, first), n, NULL);
        output->rows.kernels->widen[weight->dtype](b, element_at(weight, column, first), n, NULL);
        add_products(sums, a, b, n);
    }
    if (!ent_is_allowed(ent_rows_mask(&output->rows, row), column))
        return -INFINITY;
    float z = (float)(((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7])));
    if (output->layer.bias)
        z += output->layer.bias[column];
    if (output->layer.soft_cap > 0)
        output->rows.kernels->soft_cap(&z, 1, (float)output->layer.soft_cap);
    return z;
}

/* --- Threads --- */

typedef struct items {
    const ent_output *output;
    ent_output_run run;
    void *call;
    size_t n;
    atomic_size_t next;
} items;

static void work_in_slot(void *argument, size_t index) {
    items *items = argument;
    const ent_slot slot = slot_at(items->output, index);
    for (;;) {
        const size_t item = atomic_fetch_add_explicit(&items->next, 1, memory_order_relaxed);
        if (item >= items->n)
            return;
        items->run(items->call, &slot, item);
    }
}

void ent_output_run_items(const ent_output *output, ent_output_run run, void *call, size_t n_items) {
    items items = {.output = output, .run = run, .call = call, .n = n_items};
    atomic_init(&items.next, 0);
    ent_parallel_for(output->context, ent_least(n_items, output->plan.n_slots), work_in_slot, &items);
}
