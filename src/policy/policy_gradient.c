/* entrol_policy_gradient: from the gradient record of each row to the gradients of its parameters. */
#include "batch.h"

#include "base/context.h"
#include "base/dtype.h"

typedef struct call {
    ent_batch batch;
    entrol_policy_gradient_record gradient;
    const entrol_destination *d_first, *d_second; /* NULL: not wanted */
} call;

/* One row's gradient record. */
typedef struct derivatives {
    double entropy, logprob, kl_pq, kl_qp;
    int has_action; /* some dL/da is not 0 */
    int is_finite;
} derivatives;

static double derivative(const float *array, size_t row, derivatives *derivatives) {
    const double value = array ? (double)array[row] : 0;
    derivatives->is_finite &= isfinite(value) != 0;
    return value;
}

static derivatives read_derivatives(const call *call, const ent_row_memory *memory, size_t index) {
    const entrol_policy_gradient_record *gradient = &call->gradient;
    derivatives by = {.is_finite = 1};
    by.entropy = derivative(gradient->entropy, index, &by);
    by.logprob = derivative(gradient->logprob, index, &by);
    by.kl_pq = derivative(gradient->kl_pq, index, &by);
    by.kl_qp = derivative(gradient->kl_qp, index, &by);
    if (!gradient->d_action)
        return by;
    ent_read_row(memory->d_action, gradient->d_action, index, call->batch.shape.n);
    for (size_t i = 0; i < call->batch.shape.n; i++) {
        by.has_action |= memory->d_action[i] != 0;
        by.is_finite &= isfinite(memory->d_action[i]) != 0;
    }
    return by;
}

static int is_zero(const derivatives *by) {
    return by->entropy == 0 && by->logprob == 0 && by->kl_pq == 0 && by->kl_qp == 0 && !by->has_action;
}

/* Adds every part of the record that is not 0. */
static void add_parts(const call *call, const ent_loaded *loaded, const ent_row_memory *memory, const derivatives *by) {
    const ent_distribution *distribution = call->batch.distribution;
    const ent_policy_row *row = &loaded->row;
    ent_slopes slopes = {memory->slopes_first, memory->slopes_second};
    if (by->entropy != 0)
        distribution->slope_entropy(&slopes, row, by->entropy);
    if (by->logprob != 0 && call->gradient.is_pathwise)
        distribution->slope_pathwise_logprob(&slopes, row, by->logprob);
    else if (by->logprob != 0)
        distribution->slope_logprob(&slopes, row, by->logprob);
    if (by->kl_pq != 0)
        distribution->slope_kl_pq(&slopes, row, by->kl_pq);
    if (by->kl_qp != 0)
        distribution->slope_kl_qp(&slopes, row, by->kl_qp);
    if (by->has_action)
        distribution->slope_action(&slopes, row, memory->d_action);
}

/* 0 for a ln sigma beyond its clip. */
static void clip_slopes(const call *call, const ent_row_memory *memory, size_t index) {
    const entrol_policy *p = &call->batch.p;
    if (!call->batch.distribution->has_log_sigma)
        return;
    const char *row = ent_matrix_row(&p->second, p->second.n_rows == 1 ? 0 : index);
    for (size_t i = 0; i < call->batch.shape.n_second; i++) {
        const double given = ent_element(row, p->second.dtype, i);
        if (given < p->log_sigma_low || given > p->log_sigma_high)
            memory->slopes_second[i] = 0;
    }
}

/* Where the gradient that a call wants is not finite. */
static ent_fault check_slopes(const call *call, const ent_row_memory *memory) {
    ent_fault fault = {ENTROL_REASON_NONE, 0};
    if (call->d_first)
        fault = ent_find_infinite(memory->slopes_first, call->batch.shape.n);
    if (call->d_second && fault.reason == ENTROL_REASON_NONE)
        fault = ent_find_infinite(memory->slopes_second, call->batch.shape.n_second);
    if (fault.reason != ENTROL_REASON_NONE)
        fault.reason = ENTROL_REASON_GRADIENT;
    return fault;
}

/* What is wrong with the row; the gradient is in memory. */
static ent_fault differentiate(const call *call, const ent_row_memory *memory, size_t index, const derivatives *by) {
    ent_loaded loaded;
    ent_needs needs = {.action = by->logprob != 0 || by->has_action, .reference = by->kl_pq != 0 || by->kl_qp != 0};
    needs.density = needs.action || needs.reference;
    if (!by->is_finite)
        return (ent_fault){ENTROL_REASON_GRADIENT, 0};
    ent_batch_load(&loaded, &call->batch, memory, index, needs);
    const ent_fault faults[] = {loaded.of_policy, loaded.of_action, loaded.of_reference};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (faults[i].reason != ENTROL_REASON_NONE)
            return faults[i];
    add_parts(call, &loaded, memory, by);
    clip_slopes(call, memory, index);
    return check_slopes(call, memory);
}

static void fill(double *values, size_t n, double value) {
    for (size_t i = 0; i < n; i++)
        values[i] = value;
}

static void write_slopes(const call *call, const ent_row_memory *memory, size_t index) {
    const ent_shape *shape = &call->batch.shape;
    if (call->d_first)
        ent_write_row(call->d_first, index, memory->slopes_first, shape->n);
    if (!call->d_second)
        return;
    if (!call->batch.shares_second)
        ent_write_row(call->d_second, index, memory->slopes_second, shape->n_second);
    for (size_t i = 0; call->batch.shares_second && i < shape->n_second; i++)
        if (!isnan(memory->slopes_second[i]))
            entrol_sum_add(&memory->sums[i], memory->slopes_second[i]);
}

static void differentiate_rows(void *argument, const ent_row_memory *memory, size_t begin, size_t end,
                               entrol_diagnosis *found) {
    const call *call = argument;
    const ent_shape *shape = &call->batch.shape;
    for (size_t row = begin; row < end; row++) {
        const derivatives by = read_derivatives(call, memory, row);
        fill(memory->slopes_first, shape->n, 0);
        fill(memory->slopes_second, shape->n_second, 0);
        ent_fault fault = {ENTROL_REASON_NONE, 0};
        if (!is_zero(&by))
            fault = differentiate(call, memory, row, &by);
        if (fault.reason != ENTROL_REASON_NONE) {
            fill(memory->slopes_first, shape->n, (double)NAN);
            fill(memory->slopes_second, shape->n_second, (double)NAN);
            ent_blame(found, row, fault);
        }
        write_slopes(call, memory, row);
    }
}

/* The one row of d_second. A term that is too great for a sum makes it NaN. */
static void write_totals(void *argument, const entrol_sum *sums) {
    const call *call = argument;
    if (!call->d_second || !call->batch.shares_second)
        return;
    const entrol_destination *to = call->d_second;
    for (size_t i = 0; i < call->batch.shape.n_second; i++) {
        const double value = sums[i].n_bad ? (double)NAN : entrol_sum_value(&sums[i]);
        ent_put_element(to->data, to->dtype, i, to->add ? ent_element(to->data, to->dtype, i) + value : value);
    }
}

/* --- Arguments --- */

static const char *check_gradient(call *call, const entrol_policy_gradient_record *gradient,
                                  const entrol_matrix *actions) {
    const ent_batch *batch = &call->batch;
    call->gradient = (entrol_policy_gradient_record)ENTROL_POLICY_GRADIENT_RECORD_INIT;
    if (!gradient || !ent_take(&call->gradient, gradient, sizeof *gradient))
        return "gradient";
    const entrol_matrix *d_action = call->gradient.d_action;
    if (d_action &&
        (!entrol_dtype_size(d_action->dtype) || d_action->n_rows != batch->p.first.n_rows ||
         d_action->n_columns != batch->shape.n_actions || (!d_action->data && d_action->n_rows && d_action->n_columns)))
        return "gradient.d_action";
    if ((call->gradient.logprob || d_action) && !actions)
        return "actions";
    return (call->gradient.kl_pq || call->gradient.kl_qp) && !batch->has_reference ? "reference" : NULL;
}

static entrol_status prepare(call *call, entrol_diagnosis *diagnosis, const entrol_policy_gradient_record *gradient,
                             const entrol_matrix *actions) {
    ent_batch *batch = &call->batch;
    const char *bad = ent_check_destination(call->d_first, batch->p.first.n_rows, batch->shape.n, "d_first");
    if (!bad)
        bad = ent_check_destination(call->d_second, batch->p.second.n_rows, batch->shape.n_second, "d_second");
    if (!bad && call->d_second && !batch->shape.n_second)
        bad = "d_second";
    if (!bad)
        bad = check_gradient(call, gradient, actions);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    if ((call->gradient.d_action || call->gradient.is_pathwise) && !batch->distribution->slope_action)
        return ENTROL_ERROR_UNSUPPORTED;
    if (call->gradient.d_action && !ent_fits_in_memory(call->gradient.d_action))
        return ENTROL_ERROR_OVERFLOW;
    if (call->gradient.entropy && batch->p.kind == ENTROL_POLICY_SQUASHED_GAUSSIAN) {
        ent_squash_prepare(&batch->squash);
        batch->shape.squash = &batch->squash;
    }
    return ENTROL_OK;
}

entrol_status entrol_policy_gradient(entrol_context *context, const entrol_destination *d_first,
                                     const entrol_destination *d_second, entrol_diagnosis *diagnosis,
                                     const entrol_policy_gradient_record *gradient, const entrol_policy *policy,
                                     const entrol_matrix *actions, const entrol_policy *reference,
                                     const entrol_policy_options *options) {
    call call = {.d_first = d_first, .d_second = d_second};
    entrol_status status = ent_batch_prepare(&call.batch, context, diagnosis, policy, actions, reference, options);
    if (status == ENTROL_OK)
        status = prepare(&call, diagnosis, gradient, actions);
    if (status != ENTROL_OK)
        return status;
    return ent_batch_run(&call.batch, context, diagnosis, differentiate_rows, write_totals, &call);
}
