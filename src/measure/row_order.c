/* What depends on the order of a row's logits: the target's rank, the size of the support, the greatest columns. */
#include "rows.h"

#include "base/dtype.h"

#include <math.h>
#include <string.h>

const char *ent_rows_at(const ent_rows *rows, size_t row) {
    const ptrdiff_t n_elements = (ptrdiff_t)row * rows->logits->row_stride;
    return (const char *)rows->logits->data + n_elements * (ptrdiff_t)entrol_dtype_size(rows->logits->dtype);
}

const uint8_t *ent_rows_mask(const ent_rows *rows, size_t row) {
    const uint8_t *mask = rows->options.mask;
    return mask ? mask + (ptrdiff_t)row * rows->options.mask_row_stride : NULL;
}

double ent_rows_logit(const ent_rows *rows, size_t row, size_t column) {
    const uint8_t *mask = ent_rows_mask(rows, row);
    if (!ent_is_allowed(mask, column))
        return -INFINITY;
    return ent_element(ent_rows_at(rows, row), rows->logits->dtype, column);
}

int ent_rows_has_target(const ent_rows *rows, size_t row) {
    return rows->targets && rows->targets[row] >= 0 && (uint64_t)rows->targets[row] < rows->logits->n_columns;
}

void ent_row_clear(ent_row *result, const ent_rows *rows, ent_best *best) {
    *result =
        (ent_row){.state = ENT_STATE_INIT, .expects_top = 0, .expects_near = 1, .best = rows->n_best ? best : NULL};
    if (result->best)
        result->best->n = 0;
}

void ent_row_begin(ent_row *result, const ent_rows *rows, size_t row, ent_best *best) {
    ent_row_clear(result, rows, best);
    if (ent_rows_has_target(rows, row))
        result->state.target = ent_rows_logit(rows, row, (size_t)rows->targets[row]);
}

/* What a column must exceed to belong to the n_best greatest. */
static double least_best(const ent_best *best, size_t n_best) {
    return best->n < n_best ? -INFINITY : best->z[n_best - 1];
}

/* Puts a column in its place; it must exceed least_best and come after all columns that are there. */
static void insert(ent_best *best, size_t n_best, double z, size_t column) {
    size_t place = best->n < n_best ? best->n++ : n_best - 1;
    for (; place > 0 && best->z[place - 1] < z; place--) {
        best->z[place] = best->z[place - 1];
        best->column[place] = best->column[place - 1];
    }
    best->z[place] = z;
    best->column[place] = (int32_t)column;
}

void ent_best_offer(ent_best *best, size_t n_best, double z, size_t column) {
    if (z > least_best(best, n_best))
        insert(best, n_best, z, column);
}

static void order_f64(ent_row *result, const ent_rows *rows, size_t row, size_t first_column, size_t n) {
    const char *source = ent_rows_at(rows, row) + first_column * sizeof(double);
    const uint8_t *mask = ent_rows_mask(rows, row);
    for (size_t i = 0; i < n; i++) {
        const size_t column = first_column + i;
        double z;
        memcpy(&z, source + i * sizeof z, sizeof z);
        if (!ent_is_allowed(mask, column))
            z = (double)-INFINITY;
        result->n_greater += z > result->state.target;
        result->state.n_support += z > (double)-INFINITY;
        if (result->best)
            ent_best_offer(result->best, rows->n_best, z, column);
    }
}

static void find_best(ent_best *best, const ent_rows *rows, const float *z, size_t first_column, size_t n) {
    uint16_t found[ENT_CHUNK];
    const float limit = (float)least_best(best, rows->n_best);
    const size_t n_found = rows->kernels->find_greater(found, z, n, limit);
    for (size_t i = 0; i < n_found; i++)
        ent_best_offer(best, rows->n_best, (double)z[found[i]], first_column + found[i]);
}

void ent_row_order(ent_row *result, const ent_rows *rows, size_t row, const float *z, size_t first_column, size_t n,
                   double max) {
    if (!z) {
        if (rows->wants_rank || rows->wants_support || rows->n_best)
            order_f64(result, rows, row, first_column, n);
        return;
    }
    if (rows->wants_rank && max > result->state.target)
        result->n_greater += rows->kernels->count_greater(z, n, (float)result->state.target);
    if (rows->wants_support)
        result->state.n_support += (double)rows->kernels->count_greater(z, n, -INFINITY);
    if (result->best && max > least_best(result->best, rows->n_best))
        find_best(result->best, rows, z, first_column, n);
}
