/* From a row's state to its outputs, in double: the formulas of the token record. */
#include "rows.h"

#include "base/context.h"

#include <math.h>

/* The quantities that several outputs share. */
typedef struct totals {
    double sum;     /* sum of e^d over all columns, the top's included */
    double log_sum; /* its logarithm; exact to the rest's digits where one column is nearly certain */
    double entropy;
    double sum_p_squared;
} totals;

static totals totals_of(const ent_rows *rows, const entrol_state *state) {
    totals totals;
    totals.sum = ent_state_sum(state);
    totals.log_sum = ent_state_log_sum(state);
    totals.entropy = ent_state_entropy(state, rows->scale);
    totals.sum_p_squared = (state->n_top + state->q) / (totals.sum * totals.sum);
    return totals;
}

static double renyi(const ent_rows *rows, const entrol_state *state, const totals *totals) {
    const double order = rows->options.renyi_order;
    if (order == 0)
        return log(state->n_support);
    if (order == 1)
        return totals->entropy;
    if (order == 2)
        return -log(totals->sum_p_squared);
    if (isinf(order))
        return totals->log_sum;
    const double log_power = log1p(state->n_top - 1 + state->power);
    return (log_power - order * totals->log_sum) / (1 - order);
}

static double logprob_of(const ent_rows *rows, const entrol_state *state, const totals *totals, double z) {
    return (z - state->m) * rows->scale - totals->log_sum;
}

/* p1 - p2 = p1 (1 - e^(d2)). */
static double margin(const ent_rows *rows, const entrol_state *state, const totals *totals) {
    return -expm1((state->second - state->m) * rows->scale) / totals->sum;
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

/* What was found, with NaN for what was not looked for. */
static entrol_state state_of(const ent_rows *rows, const ent_row *result) {
    entrol_state state = result->state;
    if (rows->n_best >= 2)
        state.second = result->best->n >= 2 ? result->best->z[1] : -INFINITY;
    else
        state.second = NAN;
    if (!rows->wants_squares)
        state.q = state.m2 = NAN;
    if (!rows->wants_power)
        state.power = NAN;
    if (!rows->wants_support)
        state.n_support = NAN;
    return state;
}

/* The record's outputs that a state is enough for. */
static void write_statistics(const ent_rows *rows, const entrol_record *record, size_t row, const entrol_state *state,
                             const totals *totals) {
    write_one(record->entropy, row, totals->entropy);
    write_one(record->logsumexp, row, state->m * rows->scale + totals->log_sum);
    write_one(record->logprob, row, logprob_of(rows, state, totals, state->target));
    write_one(record->top_prob, row, 1 / totals->sum);
    write_one(record->sum_p_squared, row, totals->sum_p_squared);
    if (record->varentropy)
        write_one(record->varentropy, row, ent_state_varentropy(state, rows->scale));
    if (record->margin)
        write_one(record->margin, row, margin(rows, state, totals));
    if (record->renyi)
        write_one(record->renyi, row, renyi(rows, state, totals));
}

entrol_reason ent_record_trouble(const entrol_record *record, const entrol_state *state) {
    return ent_state_trouble(state, record->logprob || record->rank);
}

/* Trouble with the target alone leaves the rest. */
static int is_lost(entrol_reason reason) {
    return reason != ENTROL_REASON_NONE && reason != ENTROL_REASON_TARGET;
}

entrol_reason ent_row_write(entrol_state *state, const ent_rows *rows, size_t row, const ent_row *result) {
    const entrol_record *record = &rows->record;
    *state = state_of(rows, result);
    if (record->state)
        record->state[row] = *state;
    const entrol_reason reason = ent_record_trouble(record, state);
    if (is_lost(reason)) {
        write_trouble(rows, row, result);
        return reason;
    }
    if (record->rank)
        record->rank[row] = isnan(state->target) ? 0 : (int32_t)(result->n_greater + 1);
    const entrol_record *left = result->has_values ? &rows->rest : record;
    if (result->has_values && !left->margin && !left->renyi && !record->n_top)
        return reason; /* no logarithm for nothing */
    const totals totals = totals_of(rows, state);
    write_statistics(rows, left, row, state, &totals);
    if (record->n_top)
        write_best(rows, row, result, &totals);
    return reason;
}

static const char *take_state_arguments(ent_rows *rows, const entrol_record *record, const entrol_state *states,
                                        size_t n_states, const entrol_measure_options *options) {
    rows->options = (entrol_measure_options)ENTROL_MEASURE_OPTIONS_INIT;
    rows->record = (entrol_record)ENTROL_RECORD_INIT;
    if (!record || !ent_take(&rows->record, record, sizeof *record))
        return "record";
    if (rows->record.rank || rows->record.top_id || rows->record.top_logprob || rows->record.state ||
        rows->record.support_entropy || rows->record.support)
        return "record";
    if (rows->record.n_top)
        return "record.n_top";
    if (options && !ent_take(&rows->options, options, sizeof *options))
        return "options";
    return !states && n_states ? "states" : ent_check_options(&rows->options);
}

entrol_status entrol_measure_states(const entrol_record *record, entrol_diagnosis *diagnosis,
                                    const entrol_state *states, size_t n_states,
                                    const entrol_measure_options *options) {
    ent_rows rows = {0};
    const char *bad = take_state_arguments(&rows, record, states, n_states, options);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    entrol_diagnosis found = {0};
    rows.scale = ent_scale(&rows.options);
    for (size_t row = n_states; row-- > 0;) {
        const entrol_reason reason = ent_record_trouble(&rows.record, &states[row]);
        if (reason != ENTROL_REASON_NONE)
            found = (entrol_diagnosis){.n_bad = found.n_bad + 1, .first_row = row, .reason = reason};
        if (is_lost(reason)) {
            write_trouble(&rows, row, &(ent_row){.best = NULL});
        } else {
            const totals totals = totals_of(&rows, &states[row]);
            write_statistics(&rows, &rows.record, row, &states[row], &totals);
        }
    }
    if (diagnosis)
        *diagnosis = found;
    return ENTROL_OK;
}
