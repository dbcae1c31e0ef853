/* From a row's state to its outputs, in double: the formulas of the token record. */
#include "rows.h"

#include <math.h>

/* The quantities that several outputs share. */
typedef struct totals {
    double sum;     /* sum of e^d over all columns, the top's included */
    double log_sum; /* its logarithm; exact to the rest's digits where one column is nearly certain */
    double entropy;
    double sum_p_squared;
} totals;

static totals totals_of(const ent_rows *rows, const ent_state *state) {
    totals totals;
    totals.sum = state->n_top + state->s;
    totals.log_sum = log1p(state->n_top - 1 + state->s);
    totals.entropy = totals.log_sum - rows->scale * state->t / totals.sum;
    totals.sum_p_squared = (state->n_top + state->q) / (totals.sum * totals.sum);
    return totals;
}

/* The rest's squares about its own mean, and Chan's term for the top, which stands at 0. */
static double varentropy(const ent_rows *rows, const ent_state *state, const totals *totals) {
    const double mean = state->s > 0 ? state->t / state->s : 0;
    const double m2 = state->m2 + mean * mean * state->n_top * (state->s / totals->sum);
    return rows->scale * rows->scale * m2 / totals->sum;
}

static double renyi(const ent_rows *rows, const ent_row *result, const totals *totals) {
    const double order = rows->options.renyi_order;
    if (order == 0)
        return log((double)result->n_support);
    if (order == 1)
        return totals->entropy;
    if (order == 2)
        return -log(totals->sum_p_squared);
    if (isinf(order))
        return totals->log_sum;
    const double log_power = log1p(result->state.n_top - 1 + result->state.power);
    return (log_power - order * totals->log_sum) / (1 - order);
}

static double logprob_of(const ent_rows *rows, const ent_state *state, const totals *totals, double z) {
    return (z - state->m) * rows->scale - totals->log_sum;
}

/* p1 - p2 = p1 (1 - e^(d2)). */
static double margin(const ent_rows *rows, const ent_row *result, const totals *totals) {
    if (result->best->n < 2)
        return 1 / totals->sum;
    const double gap = (result->best->z[1] - result->best->z[0]) * rows->scale;
    return -expm1(gap) / totals->sum;
}

static void write_best(const ent_rows *rows, size_t row, const ent_row *result, const totals *totals) {
    const entrol_record *record = &rows->record;
    for (size_t i = 0; i < record->n_top; i++) {
        const size_t place = row * record->n_top + i;
        const int found = totals && i < result->best->n;
        if (record->top_id)
            record->top_id[place] = found ? result->best->column[i] : -1;
        if (record->top_logprob && !totals)
            record->top_logprob[place] = NAN;
        else if (record->top_logprob)
            record->top_logprob[place] =
                found ? (float)logprob_of(rows, &result->state, totals, result->best->z[i]) : -INFINITY;
    }
}

static void write_one(float *array, size_t row, double value) {
    if (array)
        array[row] = (float)value + 0.0f; /* no -0 */
}

static void write_trouble(const ent_rows *rows, size_t row, const ent_row *result) {
    const entrol_record *record = &rows->record;
    float *const arrays[] = {record->entropy,  record->logsumexp, record->logprob,       record->varentropy,
                             record->top_prob, record->margin,    record->sum_p_squared, record->renyi};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        write_one(arrays[i], row, NAN);
    if (record->rank)
        record->rank[row] = 0;
    write_best(rows, row, result, NULL);
}

int ent_row_write(const ent_rows *rows, size_t row, const ent_row *result) {
    const entrol_record *record = &rows->record;
    const ent_state *state = &result->state;
    if (!isfinite(state->m) || isnan(state->t)) {
        write_trouble(rows, row, result);
        return 0;
    }
    const totals totals = totals_of(rows, state);
    write_one(record->entropy, row, totals.entropy);
    write_one(record->logsumexp, row, state->m * rows->scale + totals.log_sum);
    write_one(record->logprob, row, logprob_of(rows, state, &totals, result->target));
    write_one(record->top_prob, row, 1 / totals.sum);
    write_one(record->sum_p_squared, row, totals.sum_p_squared);
    if (record->varentropy)
        write_one(record->varentropy, row, varentropy(rows, state, &totals));
    if (record->margin)
        write_one(record->margin, row, margin(rows, result, &totals));
    if (record->renyi)
        write_one(record->renyi, row, renyi(rows, result, &totals));
    if (record->rank)
        record->rank[row] = ent_rows_has_target(rows, row) ? (int32_t)(result->n_greater + 1) : 0;
    if (record->n_top)
        write_best(rows, row, result, &totals);
    return !rows->targets || ent_rows_has_target(rows, row);
}
