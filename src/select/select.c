/* Masks from rules: the thresholds that a rule means for these values, then one pass that marks. */
#include <entrol/select.h>

#include "base/context.h"
#include "base/order.h"

#include <math.h>

/* What decides about a value: it is kept within [low, high], except that of those equal to `tie` only the first
 * `n_of_tie` are. */
typedef struct bounds {
    double low, high;
    double tie; /* NaN: no such limit */
    uint64_t n_of_tie;
} bounds;

typedef struct request {
    entrol_context *context;
    ent_values view;
    size_t n_valid;
} request;

/* 1 - share, where the share means the decimal it was written as: 1 - 0.9 is 0.1, not 0.09999999999999998. Both
 * quotients of whole numbers below 2^53 are the nearest doubles to their decimals. */
static double complement(double share) {
    const double places = 1e12, n = nearbyint(share * places);
    return n / places == share ? (places - n) / places : 1 - share;
}

static double quantile_of(const request *in, double q) {
    return ent_quantile(in->context, &in->view, in->n_valid, q);
}

/* An end is read as the values were: rounded to a float, so that ..0.1 holds the value that prints as 0.1. */
static double as_value(double end) {
    return fabs(end) < 0x1.ffffffp127 ? (double)(float)end : end; /* beyond it the nearest float is an infinity */
}

static uint64_t count_beyond(const request *in, double threshold, int is_high) {
    uint64_t n = 0;
    for (size_t i = 0; i < in->view.n; i++) {
        const double value = (double)in->view.values[i];
        n += ent_values_has(&in->view, i) && (is_high ? value > threshold : value < threshold);
    }
    return n;
}

/* Exactly `count` values, or all of them: those beyond the k-th, and as many of its equals as are missing. */
static bounds bounds_of_count(const request *in, uint64_t count, int is_high) {
    const uint64_t n = count < in->n_valid ? count : in->n_valid;
    bounds out = {-INFINITY, INFINITY, (double)NAN, 0};
    double *bound = is_high ? &out.low : &out.high;
    *bound = (double)NAN;
    if (n == 0)
        return out;
    *bound = (double)ent_kth_smallest(in->context, NULL, &in->view, is_high ? in->n_valid - n : n - 1);
    out.tie = *bound;
    out.n_of_tie = n - count_beyond(in, out.tie, is_high);
    return out;
}

static bounds find_bounds(const request *in, const entrol_rule *rule) {
    bounds out = {-INFINITY, INFINITY, (double)NAN, 0};
    switch (rule->kind) {
    case ENTROL_RULE_LOW_SHARE:
        out.high = quantile_of(in, rule->share);
        break;
    case ENTROL_RULE_HIGH_SHARE:
        out.low = quantile_of(in, complement(rule->share));
        break;
    case ENTROL_RULE_LOW_COUNT:
    case ENTROL_RULE_HIGH_COUNT:
        out = bounds_of_count(in, rule->count, rule->kind == ENTROL_RULE_HIGH_COUNT);
        break;
    case ENTROL_RULE_RANGE:
        out.low = as_value(rule->low);
        out.high = as_value(rule->high);
        break;
    case ENTROL_RULE_PERCENTILES: /* an end at 0 or 1 is open: every value is on its inner side */
        if (rule->low > 0)
            out.low = quantile_of(in, rule->low);
        if (rule->high < 1)
            out.high = quantile_of(in, rule->high);
        break;
    }
    return out;
}

static int is_share(double share) {
    return share >= 0 && share <= 1;
}

static int rule_is_sound(const entrol_rule *rule) {
    switch (rule->kind) {
    case ENTROL_RULE_LOW_SHARE:
    case ENTROL_RULE_HIGH_SHARE:
        return is_share(rule->share);
    case ENTROL_RULE_LOW_COUNT:
    case ENTROL_RULE_HIGH_COUNT:
        return 1;
    case ENTROL_RULE_RANGE:
        return rule->low <= rule->high;
    case ENTROL_RULE_PERCENTILES:
        return is_share(rule->low) && is_share(rule->high) && rule->low <= rule->high;
    }
    return 0;
}

/* Marks the values within the bounds, and counts them and those that equal one. A NaN bound keeps nothing. */
static void mark(uint8_t *keep, entrol_selection *selection, const request *in, bounds limits) {
    const int low_is_open = limits.low == -INFINITY, high_is_open = limits.high == INFINITY;
    for (size_t i = 0; i < in->view.n; i++) {
        const double value = ent_values_has(&in->view, i) ? (double)in->view.values[i] : (double)NAN;
        int kept = value >= limits.low && value <= limits.high;
        if (kept && value == limits.tie) {
            kept = limits.n_of_tie > 0;
            limits.n_of_tie -= (uint64_t)kept;
        }
        selection->n_ties += (value == limits.low && !low_is_open) || (value == limits.high && !high_is_open);
        selection->n_kept += (size_t)kept;
        if (keep)
            keep[i] = (uint8_t)kept;
    }
}

static const char *bad_argument(entrol_context *context, const float *values, size_t n_values,
                                const entrol_rule *rule) {
    if (!context)
        return "context";
    if (!values && n_values)
        return "values";
    return rule && rule_is_sound(rule) ? NULL : "rule";
}

entrol_status entrol_select(entrol_context *context, uint8_t *keep, entrol_selection *selection,
                            entrol_diagnosis *diagnosis, const float *values, const uint8_t *valid, size_t n_values,
                            const entrol_rule *rule) {
    const char *bad = bad_argument(context, values, n_values, rule);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    request in = {context, {values, valid, n_values}, 0};
    const ent_census census = ent_take_census(context, &in.view);
    bounds limits = {(double)NAN, (double)NAN, (double)NAN, 0};
    in.n_valid = census.n_valid;
    if (census.n_valid && !census.n_nan)
        limits = find_bounds(&in, rule);
    entrol_selection done = {.n_valid = in.n_valid, .threshold_low = limits.low, .threshold_high = limits.high};
    mark(keep, &done, &in, limits);
    if (selection)
        *selection = done;
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.n_bad = census.n_nan,
                                        .first_row = census.first_nan,
                                        .reason = census.n_nan ? ENTROL_REASON_NAN : ENTROL_REASON_NONE};
    return ENTROL_OK;
}
