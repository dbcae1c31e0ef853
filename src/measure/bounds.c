/* entrol_entropy_bounds: the least and the greatest entropy that rows can have of which only some columns are known.
 *
 * With p_1 .. p_k known, r = 1 - sum p_i is left to N columns of at most c each. Entropy is concave, so it is greatest
 * where they share r equally, - r ln(r / N), and least where as many as possible have c: floor(r / c) of them, and one
 * what is then left. Each log-probability is known to an error only: every term takes the worse end of its interval by
 * itself, which can only widen what is true of all of them together. */
#include "rows.h"

#include "base/compensated.h"
#include "base/context.h"
#include "base/dtype.h"

#include <math.h>

/* What rounding may make of a sum of k probabilities and one more, beyond 1. */
#define ROUNDING_EACH 1e-5
/* No vocabulary is larger: token ids are 32-bit. What could only be true of one is trouble. */
#define MOST_COLUMNS 0x1p31
/* What rounding in double may make of a sum of entropies, in proportion to it, and of what is left over from 1. */
#define SLACK 1e-13
#define LEFT_SLACK 1e-15
/* Known columns a task. */
enum { COLUMNS_A_TASK = 1 << 16 };

typedef struct call {
    entrol_top_logprobs top;
    entrol_entropy_interval interval;
    size_t rows_per_task;
    ent_trouble trouble;
} call;

/* --- The known columns of a row --- */

typedef struct known {
    ent_compensated mass;            /* sum of p as given */
    ent_compensated least, greatest; /* of what p may be */
    ent_compensated h_least, h_greatest;
    ent_compensated logprobs; /* of the k that are above -inf */
    double cap;               /* ln of the most that another column can have */
    size_t n_given, n_finite;
} known;

/* One log-probability, of at most `error` off: its probability and its term of the entropy, at both ends. */
static void add_known(known *known, double logprob, double error) {
    const double low = fmin(0, logprob - error), high = fmin(0, logprob + error);
    const double p_low = exp(low), p_high = exp(high), h_low = 0 - p_low * low, h_high = 0 - p_high * high;
    const double peak = low < -1 && high > -1 ? exp(-1) : fmax(h_low, h_high); /* - p ln p is greatest at 1 / e */
    ent_compensated_add(&known->mass, exp(logprob));
    ent_compensated_add(&known->least, p_low);
    ent_compensated_add(&known->greatest, p_high);
    ent_compensated_add(&known->h_least, fmin(h_low, h_high));
    ent_compensated_add(&known->h_greatest, peak);
}

static double error_of(const call *call, size_t row, double logprob, double least_error) {
    const double given = call->top.errors ? call->top.errors[row] : (double)NAN;
    const double error = isnan(given) ? call->top.error : given;
    return fmax(fmax(error, call->top.relative_error * fabs(logprob)), least_error);
}

static entrol_reason check_logprob(double logprob, double error, size_t k) {
    if (isnan(logprob))
        return ENTROL_REASON_NAN;
    return logprob > error && logprob > log1p((double)(k + 1) * ROUNDING_EACH) ? ENTROL_REASON_NEGATIVE
                                                                               : ENTROL_REASON_NONE;
}

static size_t count_of(const call *call, size_t row) {
    return call->top.counts ? call->top.counts[row] : call->top.logprobs.n_columns;
}

/* All that is given of a row, with errors of at least `least_error`. */
static entrol_reason gather(known *known, size_t *column, const call *call, size_t row, double least_error) {
    const char *data = ent_matrix_row(&call->top.logprobs, row);
    const double cap = call->top.caps ? call->top.caps[row] : (double)NAN;
    const size_t k = count_of(call, row);
    *known = (struct known){.cap = isnan(cap) ? 0 : cap, .n_given = k};
    for (*column = 0; *column < k; ++*column) {
        const double logprob = ent_element(data, call->top.logprobs.dtype, *column);
        const double error = isinf(logprob) ? 0 : error_of(call, row, logprob, least_error);
        const entrol_reason reason = check_logprob(logprob, error, k);
        if (reason != ENTROL_REASON_NONE)
            return reason;
        if (isnan(cap))
            known->cap = fmin(known->cap, logprob + error);
        if (isinf(logprob))
            continue;
        add_known(known, logprob, error);
        ent_compensated_add(&known->logprobs, logprob);
        known->n_finite++;
    }
    const double chosen = call->top.chosen ? call->top.chosen[row] : (double)NAN;
    if (isnan(chosen) || chosen == -(double)INFINITY)
        return ENTROL_REASON_NONE;
    const double error = error_of(call, row, chosen, least_error);
    if (check_logprob(chosen, error, k) != ENTROL_REASON_NONE)
        return ENTROL_REASON_NEGATIVE;
    add_known(known, chosen, error);
    known->n_given++;
    return ENTROL_REASON_NONE;
}

/* --- What is left over --- */

/* r between two ends, for n columns (inf: unknown) of at most e^log_cap each. */
typedef struct rest {
    double least, greatest, n, log_cap;
} rest;

static double packed_entropy(double r, double cap, double log_cap) {
    const double n_full = floor(r / cap), left = fmin(fmax(r - n_full * cap, 0), cap);
    return 0 - n_full * cap * log_cap - (left > 0 ? left * log(left) : 0);
}

/* Between multiples of the cap it is concave in r, and rises from one to the next: the least is at an end, or at the
 * first multiple between them. */
static double rest_least(const rest *rest) {
    if (rest->least <= 0)
        return 0;
    const double log_cap = fmin(0, rest->log_cap), cap = exp(log_cap), first = ceil(rest->least / cap) * cap;
    const double at_ends =
        fmin(packed_entropy(rest->least, cap, log_cap), packed_entropy(rest->greatest, cap, log_cap));
    return first <= rest->greatest ? fmin(at_ends, 0 - first * log_cap) : at_ends;
}

/* r ln(n / r) is greatest at n / e. */
static double rest_greatest(const rest *rest) {
    if (rest->greatest <= 0)
        return 0;
    const double r = fmin(rest->greatest, fmax(rest->least, rest->n * exp(-1)));
    return isinf(rest->n) ? (double)INFINITY : r * log(rest->n / r);
}

/* Nothing can be left where no other column is possible: then rounding made the difference, and is at least as great.
 */
static entrol_reason close_row(known *known, const call *call, size_t row) {
    const double off = known->mass.sum - 1, allowed = (double)(count_of(call, row) + 1) * ROUNDING_EACH;
    const int has_columns = known->cap > -(double)INFINITY;
    size_t column;
    if (-off > allowed && known->greatest.sum < 1)
        return has_columns ? ENTROL_REASON_COLUMNS : ENTROL_REASON_SUM;
    return gather(known, &column, call, row, 2 * fabs(log(known->mass.sum)));
}

/* Sums within rounding: what is left, and beyond 1 errors that explain it. */
static entrol_reason find_rest(rest *rest, known *known, const call *call, size_t row) {
    const double n_all = call->top.n_columns ? (double)call->top.n_columns : (double)INFINITY;
    const double n = n_all - (double)known->n_given, allowed = (double)(count_of(call, row) + 1) * ROUNDING_EACH;
    *rest = (struct rest){.n = n, .log_cap = known->cap};
    if (n < 0)
        return ENTROL_REASON_COLUMNS;
    if (known->mass.sum > 1 + allowed && known->least.sum > 1)
        return ENTROL_REASON_SUM;
    if (n < 1 || isinf(known->cap))
        return close_row(known, call, row);
    size_t column;
    if (known->mass.sum > 1)
        gather(known, &column, call, row, 2 * log(known->mass.sum));
    const double most = fmin(n, MOST_COLUMNS) * exp(fmin(0, known->cap));
    rest->least = fmax(0, 1 - known->greatest.sum - LEFT_SLACK);
    rest->greatest = fmax(0, 1 - known->least.sum) + LEFT_SLACK;
    if (rest->least > most + SLACK)
        return ENTROL_REASON_COLUMNS;
    rest->greatest = isinf(n) ? rest->greatest : fmax(rest->least, fmin(rest->greatest, most));
    return ENTROL_REASON_NONE;
}

/* --- Rows --- */

/* The nearest float that is not above, or not below. */
static float float_below(double value) {
    const float near = (float)value;
    return (double)near > value ? nextafterf(near, -INFINITY) : near;
}

static float float_above(double value) {
    const float near = (float)value;
    return (double)near < value ? nextafterf(near, INFINITY) : near;
}

static void write_row(const call *call, size_t row, const known *known, const rest *rest) {
    const entrol_entropy_interval *out = &call->interval;
    const double most = call->top.n_columns ? log((double)call->top.n_columns) : (double)INFINITY;
    const double lower = known->h_least.sum + rest_least(rest), upper = known->h_greatest.sum + rest_greatest(rest);
    if (out->lower)
        out->lower[row] = float_below(fmin(lower * (1 - SLACK), most));
    if (out->upper)
        out->upper[row] = float_above(fmin(upper * (1 + SLACK), most));
    if (out->tail_mass)
        out->tail_mass[row] = (float)fmax(0, 1 - known->mass.sum);
    if (out->mean_logprob)
        out->mean_logprob[row] = known->n_finite ? (float)(known->logprobs.sum / (double)known->n_finite) : NAN;
}

static void write_nan(const entrol_entropy_interval *out, size_t row) {
    float *const arrays[] = {out->lower, out->upper, out->tail_mass, out->mean_logprob};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i])
            arrays[i][row] = NAN;
}

static void bound_row(entrol_diagnosis *found, const call *call, size_t row) {
    known known;
    rest rest;
    size_t column;
    entrol_reason reason = gather(&known, &column, call, row, 0);
    if (reason == ENTROL_REASON_NONE) {
        column = 0;
        reason = known.n_given ? find_rest(&rest, &known, call, row) : ENTROL_REASON_EMPTY_SUPPORT;
    }
    if (reason == ENTROL_REASON_NONE) {
        write_row(call, row, &known, &rest);
        return;
    }
    write_nan(&call->interval, row);
    ent_trouble_note(found, row, column, reason);
}

static void bound_task(void *argument, size_t index) {
    call *call = argument;
    const size_t begin = index * call->rows_per_task, n_left = call->top.logprobs.n_rows - begin;
    const size_t end = begin + (n_left < call->rows_per_task ? n_left : call->rows_per_task);
    entrol_diagnosis found = {0};
    for (size_t row = begin; row < end; row++)
        bound_row(&found, call, row);
    ent_trouble_join(&call->trouble, &found);
}

/* --- The call --- */

static const char *bad_counts(const entrol_top_logprobs *top) {
    for (size_t row = 0; top->counts && row < top->logprobs.n_rows; row++)
        if (top->counts[row] > top->logprobs.n_columns)
            return "top.counts";
    return NULL;
}

static const char *bad_argument(entrol_context *context, call *call, const entrol_entropy_interval *interval,
                                const entrol_top_logprobs *given) {
    entrol_top_logprobs *top = &call->top;
    if (!context)
        return "context";
    if (!interval || !ent_take(&call->interval, interval, sizeof *interval))
        return "interval";
    if (!given || !ent_take(top, given, sizeof *given))
        return "top";
    if (!entrol_dtype_size(top->logprobs.dtype))
        return "top.logprobs";
    if (!top->logprobs.data && top->logprobs.n_rows && top->logprobs.n_columns)
        return "top.logprobs.data";
    if (!(top->error >= 0 && top->error <= 1))
        return "top.error";
    return top->relative_error >= 0 && top->relative_error <= 1 ? bad_counts(top) : "top.relative_error";
}

entrol_status entrol_entropy_bounds(entrol_context *context, const entrol_entropy_interval *interval,
                                    entrol_diagnosis *diagnosis, const entrol_top_logprobs *top) {
    call call = {.top = ENTROL_TOP_LOGPROBS_INIT, .interval = ENTROL_ENTROPY_INTERVAL_INIT};
    const char *bad = bad_argument(context, &call, interval, top);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    call.rows_per_task = COLUMNS_A_TASK / (call.top.logprobs.n_columns + 1) + 1;
    ent_trouble_begin(&call.trouble);
    const size_t n_rows = call.top.logprobs.n_rows;
    ent_parallel_for(context, n_rows / call.rows_per_task + (n_rows % call.rows_per_task != 0), bound_task, &call);
    ent_trouble_end(&call.trouble, diagnosis);
    return ENTROL_OK;
}
