/* The entropy of rows that are distributions already: nothing is normalised, everything is checked. */
#include <entrol/measure.h>

#include "base/compensated.h"
#include "base/context.h"
#include "base/dtype.h"

#include <math.h>
#include <stdatomic.h>

typedef struct call {
    double *entropy;
    const entrol_matrix *matrix;
    entrol_scale scale;
    double tolerance;
    atomic_size_t n_bad, first_bad;
} call;

/* What is wrong with a row, and in which column. */
typedef struct fault {
    entrol_reason reason;
    size_t column;
} fault;

/* -p ln p, exactly 0 (and not -0) where p is 0 or 1. */
static double term(double p, double log_p) {
    return p > 0 && log_p != 0 ? -p * log_p : 0;
}

static entrol_reason check_value(double p, double tolerance) {
    if (isnan(p))
        return ENTROL_REASON_NAN;
    return p < 0 || p > 1 + tolerance ? ENTROL_REASON_NEGATIVE : ENTROL_REASON_NONE;
}

static fault measure(double *entropy, const call *call, size_t row) {
    const char *data = ent_matrix_row(call->matrix, row);
    ent_compensated sum = {0, 0}, total = {0, 0};
    for (size_t column = 0; column < call->matrix->n_columns; column++) {
        const double value = ent_element(data, call->matrix->dtype, column);
        const double p = call->scale == ENTROL_LOG_PROBABILITIES ? exp(value) : value;
        const entrol_reason reason = check_value(p, call->tolerance);
        if (reason != ENTROL_REASON_NONE)
            return (fault){reason, column};
        ent_compensated_add(&total, p);
        ent_compensated_add(&sum, term(p, call->scale == ENTROL_LOG_PROBABILITIES ? value : log(p)));
    }
    if (!(fabs(total.sum - 1) <= call->tolerance))
        return (fault){call->matrix->n_columns ? ENTROL_REASON_SUM : ENTROL_REASON_EMPTY_SUPPORT, 0};
    *entropy = sum.sum;
    return (fault){ENTROL_REASON_NONE, 0};
}

static void measure_task(void *argument, size_t row) {
    call *call = argument;
    double entropy = (double)NAN;
    const int is_bad = measure(&entropy, call, row).reason != ENTROL_REASON_NONE;
    if (call->entropy)
        call->entropy[row] = entropy;
    if (!is_bad)
        return;
    atomic_fetch_add_explicit(&call->n_bad, 1, memory_order_relaxed);
    size_t first = atomic_load_explicit(&call->first_bad, memory_order_relaxed);
    while (row < first && !atomic_compare_exchange_weak(&call->first_bad, &first, row))
        ;
}

static const char *bad_argument(entrol_context *context, const entrol_matrix *matrix, entrol_scale scale,
                                double tolerance) {
    if (!context)
        return "context";
    if (!matrix || !entrol_dtype_size(matrix->dtype))
        return "distributions";
    if (!matrix->data && matrix->n_rows && matrix->n_columns)
        return "distributions.data";
    if (scale != ENTROL_PROBABILITIES && scale != ENTROL_LOG_PROBABILITIES)
        return "scale";
    return tolerance >= 0 && tolerance < 1 ? NULL : "tolerance";
}

entrol_status entrol_entropy_of_distributions(entrol_context *context, double *entropy, entrol_diagnosis *diagnosis,
                                              const entrol_matrix *distributions, entrol_scale scale,
                                              double tolerance) {
    const char *bad = bad_argument(context, distributions, scale, tolerance);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    call call = {.entropy = entropy, .matrix = distributions, .scale = scale, .tolerance = tolerance};
    atomic_init(&call.n_bad, 0);
    atomic_init(&call.first_bad, SIZE_MAX);
    ent_parallel_for(context, distributions->n_rows, measure_task, &call);
    if (!diagnosis)
        return ENTROL_OK;
    *diagnosis = (entrol_diagnosis){.n_bad = atomic_load(&call.n_bad)};
    if (diagnosis->n_bad) {
        double unused;
        diagnosis->first_row = atomic_load(&call.first_bad);
        const fault fault = measure(&unused, &call, diagnosis->first_row);
        diagnosis->first_column = fault.column;
        diagnosis->reason = fault.reason;
    }
    return ENTROL_OK;
}
