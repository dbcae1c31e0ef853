/* The arguments of this room's calls, checked: what is wrong is named as the caller wrote it. */
#include "batch.h"

#include "base/context.h"
#include "base/dtype.h"

#include <string.h>

/* A matrix of n_rows x n_columns; NULL, or the argument's name. */
static const char *check_matrix(const entrol_matrix *matrix, size_t n_rows, size_t n_columns, const char *name) {
    const int is_there = matrix->data || n_rows == 0 || n_columns == 0;
    const int is_one =
        entrol_dtype_size(matrix->dtype) && is_there && matrix->n_rows == n_rows && matrix->n_columns == n_columns;
    return is_one ? NULL : name;
}

static const char *check_sizes(const ent_batch *batch) {
    const entrol_policy *policy = &batch->p;
    if (!policy->sizes || !policy->n_sizes)
        return "policy.sizes";
    size_t left = policy->first.n_columns;
    for (size_t i = 0; i < policy->n_sizes; left -= policy->sizes[i++])
        if (policy->sizes[i] < 1 || policy->sizes[i] > left)
            return "policy.sizes";
    return left ? "policy.sizes" : NULL;
}

/* What follows from a kind and from first: n_second, n_actions and sizes. */
static const char *find_shape(ent_batch *batch) {
    ent_shape *shape = &batch->shape;
    const size_t n = batch->p.first.n_columns;
    *shape = (ent_shape){.n = n, .n_actions = n, .low = batch->p.low, .high = batch->p.high};
    if (n > INT32_MAX)
        return "policy.first.n_columns";
    if (batch->distribution->second != ENT_SECOND_NONE)
        shape->n_second = batch->distribution->second == ENT_SECOND_SQUARE ? n * n : n;
    if (batch->p.kind == ENTROL_POLICY_CATEGORICAL) {
        shape->sizes = &shape->n;
        shape->n_sizes = shape->n_actions = 1;
    } else if (batch->p.kind == ENTROL_POLICY_MULTI_DISCRETE) {
        shape->sizes = batch->p.sizes;
        shape->n_sizes = shape->n_actions = batch->p.n_sizes;
        return check_sizes(batch);
    }
    return NULL;
}

static const char *check_policy(ent_batch *batch, const entrol_policy *policy) {
    batch->p = (entrol_policy)ENTROL_POLICY_INIT;
    if (!policy || !ent_take(&batch->p, policy, sizeof *policy))
        return "policy";
    batch->distribution = ent_distribution_of(batch->p.kind);
    if (!batch->distribution)
        return "policy.kind";
    const size_t n_rows = batch->p.first.n_rows;
    const char *bad = check_matrix(&batch->p.first, n_rows, batch->p.first.n_columns, "policy.first");
    if (!bad)
        bad = find_shape(batch);
    if (bad)
        return bad;
    const int is_one_row = batch->p.second.n_rows == 1;
    batch->shares_second = batch->shape.n_second && is_one_row && n_rows != 1;
    if (batch->shape.n_second)
        bad = check_matrix(&batch->p.second, is_one_row ? 1 : n_rows, batch->shape.n_second, "policy.second");
    if (!bad && batch->distribution->has_log_sigma && !(batch->p.log_sigma_low <= batch->p.log_sigma_high))
        bad = "policy.log_sigma_low";
    if (!bad && batch->distribution->has_bounds &&
        !(batch->p.low < batch->p.high && isfinite(batch->p.high - batch->p.low)))
        bad = "policy.low";
    return bad;
}

/* Of the same kind, shape, sizes and bounds. */
static const char *check_reference(ent_batch *batch, const entrol_policy *reference) {
    const entrol_policy *p = &batch->p, *q = &batch->q;
    batch->has_reference = reference != NULL;
    batch->q = (entrol_policy)ENTROL_POLICY_INIT;
    if (!reference)
        return NULL;
    if (!ent_take(&batch->q, reference, sizeof *reference))
        return "reference";
    if (q->kind != p->kind)
        return "reference.kind";
    const char *bad = check_matrix(&q->first, p->first.n_rows, p->first.n_columns, "reference.first");
    if (bad)
        return bad;
    if (batch->shape.n_second)
        bad = check_matrix(&q->second, q->second.n_rows == 1 ? 1 : p->first.n_rows, batch->shape.n_second,
                           "reference.second");
    if (!bad && batch->distribution->has_log_sigma && !(q->log_sigma_low <= q->log_sigma_high))
        bad = "reference.log_sigma_low";
    if (!bad && batch->distribution->has_bounds && (q->low != p->low || q->high != p->high))
        bad = "reference.low";
    if (!bad && p->kind == ENTROL_POLICY_MULTI_DISCRETE &&
        (!q->sizes || q->n_sizes != p->n_sizes || memcmp(q->sizes, p->sizes, p->n_sizes * sizeof *p->sizes) != 0))
        bad = "reference.sizes";
    return bad;
}

static const char *check_options(ent_batch *batch, const entrol_policy_options *options) {
    entrol_policy_options taken = ENTROL_POLICY_OPTIONS_INIT;
    if (options && !ent_take(&taken, options, sizeof taken))
        return "options";
    batch->shape.are_before_squash = taken.actions_are_before_squash;
    const int is_squashed = batch->p.kind == ENTROL_POLICY_SQUASHED_GAUSSIAN;
    return taken.actions_are_before_squash && !is_squashed ? "options.actions_are_before_squash" : NULL;
}

/* --- Bounds in a dtype --- */

static double rounded(entrol_dtype dtype, double value) {
    double memory;
    ent_put_element(&memory, dtype, 0, value);
    return ent_element(&memory, dtype, 0);
}

/* The next number of a dtype above (up) or below one of it. Halves are numbered by their bits, from 0 outward. */
static double next_to(entrol_dtype dtype, double value, int up) {
    const double end = up ? (double)INFINITY : -(double)INFINITY;
    if (dtype == ENTROL_F64)
        return nextafter(value, end);
    if (dtype == ENTROL_F32)
        return (double)nextafterf((float)value, (float)end);
    uint16_t bits;
    ent_put_element(&bits, dtype, 0, value);
    if (value == 0)
        bits = up ? 1 : 0x8001;
    else
        bits = (uint16_t)((value > 0) == up ? bits + 1 : bits - 1);
    return ent_element(&bits, dtype, 0);
}

static void find_bounds(ent_shape *shape, entrol_dtype dtype) {
    const double low = rounded(dtype, shape->low), high = rounded(dtype, shape->high);
    shape->lowest = fmin(low, shape->low);
    shape->highest = fmax(high, shape->high);
    shape->least = low > shape->low ? low : next_to(dtype, low, 1);
    shape->greatest = high < shape->high ? high : next_to(dtype, high, 0);
}

/* --- All of them --- */

static int fits(const entrol_policy *policy, const ent_batch *batch) {
    return ent_fits_in_memory(&policy->first) && (!batch->shape.n_second || ent_fits_in_memory(&policy->second));
}

entrol_status ent_batch_prepare(ent_batch *batch, entrol_context *context, entrol_diagnosis *diagnosis,
                                const entrol_policy *policy, const entrol_matrix *actions,
                                const entrol_policy *reference, const entrol_policy_options *options) {
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){0};
    const char *bad = context ? check_policy(batch, policy) : "context";
    if (!bad)
        bad = check_reference(batch, reference);
    if (!bad)
        bad = check_options(batch, options);
    if (!bad && actions)
        bad = check_matrix(actions, batch->p.first.n_rows, batch->shape.n_actions, "actions");
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    if (!fits(&batch->p, batch) || (reference && !fits(&batch->q, batch)) || (actions && !ent_fits_in_memory(actions)))
        return ENTROL_ERROR_OVERFLOW;
    batch->actions = actions;
    if (batch->distribution->has_bounds)
        find_bounds(&batch->shape, actions ? actions->dtype : ENTROL_F64);
    /* Between close bounds the actions' dtype may have no number. */
    if (actions && batch->distribution->has_bounds && !(batch->shape.least <= batch->shape.greatest))
        return ent_bad_argument(diagnosis, "policy.low");
    return ENTROL_OK;
}

const char *ent_check_destination(const entrol_destination *destination, size_t n_rows, size_t n_columns,
                                  const char *name) {
    if (!destination)
        return NULL;
    const ptrdiff_t stride = destination->row_stride, n = (ptrdiff_t)n_columns;
    const int is_there = destination->data || n_rows == 0 || n_columns == 0;
    const int is_apart = n_rows <= 1 || stride >= n || stride <= -n;
    return entrol_dtype_size(destination->dtype) && is_there && is_apart ? NULL : name;
}
