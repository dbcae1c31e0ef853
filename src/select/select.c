/* Masks from rules: the thresholds that a rule means for these values, then one pass that marks. */
#include <entrol/select.h>

#include "base/context.h"
#include "base/order.h"

#include <math.h>
#include <string.h>

/* What decides about a value: it is kept within [low, high], except that of those equal to `tie` only the first
 * `n_of_tie` are. */
typedef struct bounds {
    double low, high;
    double tie; /* NaN: no such limit */
    uint64_t n_of_tie;
} bounds;

/* 1 - share, where the share means the decimal it was written as: 1 - 0.9 is 0.1, not 0.09999999999999998. Both
 * quotients of whole numbers below 2^53 are the nearest doubles to their decimals. */
static double complement(double share) {
    const double places = 1e12, n = nearbyint(share * places);
    return n / places == share ? (places - n) / places : 1 - share;
}

/* An end is read as the values were: rounded to a float, so that ..0.1 holds the value that prints as 0.1. */
static double as_value(double end) {
    return fabs(end) < 0x1.ffffffp127 ? (double)(float)end : end; /* beyond it the nearest float is an infinity */
}

/* The quantiles that a rule's bounds are, NaN for none: the lower, the upper. */
typedef struct shares {
    double q[2];
} shares;

static shares shares_of(const entrol_rule *rule) {
    shares of = {{(double)NAN, (double)NAN}};
    if (rule->kind == ENTROL_RULE_LOW_SHARE)
        of.q[1] = rule->share;
    if (rule->kind == ENTROL_RULE_HIGH_SHARE)
        of.q[0] = complement(rule->share);
    if (rule->kind == ENTROL_RULE_PERCENTILES && rule->low > 0) /* an end at 0 or 1 is open: every value is inside */
        of.q[0] = rule->low;
    if (rule->kind == ENTROL_RULE_PERCENTILES && rule->high < 1)
        of.q[1] = rule->high;
    return of;
}

static uint64_t least_of(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* What a call was given. */
typedef struct request {
    const ent_values *view;
    const entrol_rule *rule;
    entrol_quantile_options options;
} request;

/* ent_set_ranks for the bounds of a rule. */
static void set_ranks(ent_ranked *ranked, size_t n_ranked, uint64_t n, const void *user) {
    const request *request = user;
    const entrol_rule *rule = request->rule;
    const shares of = shares_of(rule);
    const uint64_t count = least_of(rule->count, n);
    for (size_t j = 0; j < n_ranked; j++) {
        const double q = of.q[ranked[j].index];
        if (!isnan(q))
            ranked[j].k = ent_quantile_rank(n, q, request->options.method);
        else
            ranked[j].k = rule->kind == ENTROL_RULE_HIGH_COUNT ? n - least_of(count, n) : count ? count - 1 : 0;
        if (ranked[j].k >= n) /* a count of 0 */
            ranked[j].k = n - 1;
    }
}

static size_t list_ranks(ent_ranked ranked[2], const entrol_rule *rule) {
    const shares of = shares_of(rule);
    size_t n = 0;
    for (size_t i = 0; i < 2; i++)
        if (!isnan(of.q[i]))
            ranked[n++] = (ent_ranked){.index = i};
    if (rule->kind == ENTROL_RULE_LOW_COUNT || rule->kind == ENTROL_RULE_HIGH_COUNT)
        ranked[n++] = (ent_ranked){.index = rule->kind == ENTROL_RULE_LOW_COUNT};
    return n;
}

/* Values beyond a threshold, and at it. */
typedef struct beyond {
    uint64_t n, n_at;
} beyond;

static beyond count_beyond(const ent_values *view, double threshold, int is_high) {
    beyond counts = {0, 0};
    for (size_t i = 0; i < view->n; i++) {
        const double value = (double)view->values[i];
        const int counts_here = ent_values_has(view, i);
        counts.n += counts_here && (is_high ? value > threshold : value < threshold);
        counts.n_at += counts_here && value == threshold;
    }
    return counts;
}

/* How many of this rank's ties are kept of `n`: those of lower ranks come first. */
static entrol_status share_ties(entrol_context *context, uint64_t *n_of_tie, uint64_t n, uint64_t n_own) {
    const entrol_comm comm = ent_comm(context);
    uint64_t alone = n_own, *of_ranks = comm.size > 1 ? ent_allocate(context, comm.size * sizeof *of_ranks) : &alone;
    entrol_status status = ent_agree(context, of_ranks ? ENTROL_OK : ENTROL_ERROR_MEMORY);
    if (status == ENTROL_OK) {
        for (size_t i = 0; i < comm.size; i++)
            of_ranks[i] = i == comm.rank ? n_own : 0;
        status = ent_all_reduce(context, of_ranks, comm.size);
    }
    for (size_t i = 0; status == ENTROL_OK && i < comm.rank; i++)
        n -= least_of(n, of_ranks[i]);
    *n_of_tie = least_of(n, n_own);
    if (of_ranks != &alone)
        ent_release(context, of_ranks);
    return status;
}

/* Exactly `count` values, or all of them: those beyond the k-th, and as many of its equals as are missing. */
static entrol_status limit_count(entrol_context *context, bounds *out, const request *request, uint64_t n_valid) {
    const int is_high = request->rule->kind == ENTROL_RULE_HIGH_COUNT;
    double *bound = is_high ? &out->low : &out->high;
    const uint64_t n = least_of(request->rule->count, n_valid);
    if (n == 0) {
        *bound = (double)NAN;
        return ENTROL_OK;
    }
    const beyond own = count_beyond(request->view, *bound, is_high);
    uint64_t n_beyond = own.n;
    const entrol_status status = ent_all_reduce(context, &n_beyond, 1);
    out->tie = *bound;
    return status == ENTROL_OK ? share_ties(context, &out->n_of_tie, n - n_beyond, own.n_at) : status;
}

/* The bounds, from what was found of the ranks that they need. */
static entrol_status find_bounds(entrol_context *context, bounds *out, const request *request, uint64_t n_valid,
                                 const ent_ranked *ranked, size_t n_ranked) {
    const entrol_rule *rule = request->rule;
    const shares of = shares_of(rule);
    *out = (bounds){-INFINITY, INFINITY, (double)NAN, 0};
    if (rule->kind == ENTROL_RULE_RANGE) {
        out->low = as_value(rule->low);
        out->high = as_value(rule->high);
    }
    for (size_t j = 0; j < n_ranked; j++) {
        double *bound = ranked[j].index == 0 ? &out->low : &out->high;
        const double q = of.q[ranked[j].index];
        *bound =
            isnan(q) ? (double)ranked[j].value : ent_quantile_value(&ranked[j], n_valid, q, request->options.method);
    }
    if (rule->kind == ENTROL_RULE_LOW_COUNT || rule->kind == ENTROL_RULE_HIGH_COUNT)
        return limit_count(context, out, request, n_valid);
    return ENTROL_OK;
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
static void mark(uint8_t *keep, entrol_selection *selection, const ent_values *view, bounds limits) {
    const int low_is_open = limits.low == -INFINITY, high_is_open = limits.high == INFINITY;
    for (size_t i = 0; i < view->n; i++) {
        const double value = ent_values_has(view, i) ? (double)view->values[i] : (double)NAN;
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

/* The same counts on all ranks. */
static entrol_status add_up(entrol_context *context, entrol_selection *selection) {
    uint64_t counts[2] = {selection->n_kept, selection->n_ties};
    const entrol_status status = ent_all_reduce(context, counts, 2);
    selection->n_kept = (size_t)counts[0];
    selection->n_ties = (size_t)counts[1];
    return status;
}

static entrol_status select_values(entrol_context *context, uint8_t *keep, entrol_selection *selection,
                                   entrol_diagnosis *diagnosis, const request *request) {
    const ent_source source = {.memory = *request->view};
    ent_ranked ranked[2];
    ent_census census;
    bounds limits = {(double)NAN, (double)NAN, (double)NAN, 0};
    const size_t n_ranked = list_ranks(ranked, request->rule);
    entrol_status status = ent_find_ranks(context, &census, ranked, n_ranked, &source, set_ranks, request);
    const uint64_t n = census.n_valid - census.n_nan;
    if (status == ENTROL_OK && n && (!census.n_nan || request->options.nan == ENTROL_NAN_IGNORE))
        status = find_bounds(context, &limits, request, n, ranked, n_ranked);
    if (status != ENTROL_OK)
        return status;
    entrol_selection done = {.n_valid = (size_t)(request->options.nan == ENTROL_NAN_IGNORE ? n : census.n_valid),
                             .threshold_low = limits.low,
                             .threshold_high = limits.high};
    mark(keep, &done, request->view, limits);
    status = add_up(context, &done);
    if (selection && status == ENTROL_OK)
        *selection = done;
    if (diagnosis && census.n_nan && request->options.nan == ENTROL_NAN_ERROR)
        ent_diagnose_values(diagnosis, &census, ENTROL_NAN_ERROR);
    return status;
}

entrol_status entrol_select(entrol_context *context, uint8_t *keep, entrol_selection *selection,
                            entrol_diagnosis *diagnosis, const float *values, const uint8_t *valid, size_t n_values,
                            const entrol_rule *rule, const entrol_quantile_options *options) {
    const ent_values view = {values, valid, n_values};
    request request = {.view = &view, .rule = rule};
    const char *bad = bad_argument(context, values, n_values, rule);
    if (!bad && !ent_take_quantile_options(&request.options, options))
        bad = "options";
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.argument = bad};
    const entrol_status status =
        context ? ent_agree(context, bad ? ENTROL_ERROR_ARGUMENT : ENTROL_OK) : ENTROL_ERROR_ARGUMENT;
    return status == ENTROL_OK ? select_values(context, keep, selection, diagnosis, &request) : status;
}

entrol_status entrol_high_entropy_mask(entrol_context *context, uint8_t *keep, entrol_selection *selection,
                                       entrol_diagnosis *diagnosis, const float *entropies, const uint8_t *valid,
                                       size_t n_entropies, double threshold, const entrol_quantile_options *options) {
    const entrol_quantile_options as_torch = {sizeof as_torch, ENTROL_QUANTILE_TORCH, ENTROL_NAN_ERROR};
    const entrol_rule rule = {.kind = ENTROL_RULE_PERCENTILES, .low = threshold, .high = 1};
    const entrol_status status = entrol_select(context, keep, selection, diagnosis, entropies, valid, n_entropies,
                                               &rule, options ? options : &as_torch);
    if (diagnosis && diagnosis->argument && strcmp(diagnosis->argument, "rule") == 0)
        diagnosis->argument = "threshold";
    if (diagnosis && diagnosis->argument && strcmp(diagnosis->argument, "values") == 0)
        diagnosis->argument = "entropies";
    return status;
}
