/* Masks from rules: the thresholds that a rule means for these values, then one pass that marks. */
#include <entrol/select.h>

#include "base/context.h"
#include "base/order.h"
#include "base/random.h"
#include "base/ranks.h"

#include <math.h>
#include <string.h>

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

static int is_count(const entrol_rule *rule) {
    return rule->kind == ENTROL_RULE_LOW_COUNT || rule->kind == ENTROL_RULE_HIGH_COUNT ||
           rule->kind == ENTROL_RULE_LOW_EXACT || rule->kind == ENTROL_RULE_HIGH_EXACT;
}

static int is_high_count(const entrol_rule *rule) {
    return rule->kind == ENTROL_RULE_HIGH_COUNT || rule->kind == ENTROL_RULE_HIGH_EXACT;
}

/* How many a count keeps of n values. The 80/20 paper's code: max(1, int(n * share + 0.9999)), in doubles. */
static uint64_t count_of(const entrol_rule *rule, uint64_t n) {
    if (rule->kind == ENTROL_RULE_LOW_COUNT || rule->kind == ENTROL_RULE_HIGH_COUNT)
        return least_of(rule->count, n);
    const double count = (double)n * rule->share + 0.9999;
    return count >= (double)n ? n : least_of(n, count < 1 ? 1 : (uint64_t)count);
}

/* What a call was given. */
typedef struct request {
    const ent_source *source;
    const entrol_rule *rule;
    entrol_quantile_options options;
} request;

/* ent_set_ranks for the bounds of a rule. */
static void set_ranks(ent_ranked *ranked, size_t n_ranked, uint64_t n, const void *user) {
    const request *request = user;
    const entrol_rule *rule = request->rule;
    const shares of = shares_of(rule);
    const uint64_t count = count_of(rule, n);
    for (size_t j = 0; j < n_ranked; j++) {
        const double q = of.q[ranked[j].index];
        if (!isnan(q))
            ranked[j].k = ent_quantile_rank(n, q, request->options.method);
        else
            ranked[j].k = is_high_count(rule) ? n - count : count ? count - 1 : 0;
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
    if (is_count(rule))
        ranked[n++] = (ent_ranked){.index = !is_high_count(rule)};
    return n;
}

/* Values beyond a threshold, and at it. */
typedef struct beyond {
    double threshold;
    int is_high;
    uint64_t n, n_at;
} beyond;

static void count_beyond(entrol_context *context, const ent_values *part, void *argument) {
    beyond *beyond = argument;
    (void)context;
    for (size_t i = 0; i < part->n; i++) {
        const double value = (double)part->values[i];
        const int counts = ent_values_has(part, i);
        beyond->n += counts && (beyond->is_high ? value > beyond->threshold : value < beyond->threshold);
        beyond->n_at += counts && value == beyond->threshold;
    }
}

/* The next of the tied values, kept or not: with a seed each subset of them is as likely as any other (Knuth, The Art
 * of Computer Programming 2, 3.4.2, algorithm S). It depends on the seed and on how many ties came before. */
static int take_tie(entrol_bounds *bounds) {
    const uint64_t draw = bounds->tie_seed ? ent_random_below(bounds->tie_seed, bounds->n_drawn, bounds->n_ties) : 0;
    const int kept = draw < bounds->n_of_tie;
    bounds->n_drawn++;
    bounds->n_ties -= bounds->n_ties > 0;
    bounds->n_of_tie -= (uint64_t)kept;
    return kept;
}

/* Takes n of them that are another rank's. */
static void skip_ties(entrol_bounds *bounds, uint64_t n) {
    if (bounds->tie_seed == 0) {
        bounds->n_of_tie -= least_of(n, bounds->n_of_tie);
        bounds->n_ties -= n;
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        take_tie(bounds);
}

/* Takes the ties of lower ranks, which come first. */
static entrol_status share_ties(entrol_context *context, entrol_bounds *bounds, uint64_t n_own) {
    uint64_t n_before, n_all;
    const entrol_status status = ent_count_before(context, &n_before, &n_all, n_own);
    bounds->n_ties += n_all;
    skip_ties(bounds, n_before);
    return status;
}

/* Exactly `count` values, or all of them: those beyond the k-th, and as many of its equals as are missing. */
static entrol_status limit_count(entrol_context *context, entrol_bounds *out, const request *request) {
    const int is_high = is_high_count(request->rule);
    double *bound = is_high ? &out->low : &out->high;
    const uint64_t n = count_of(request->rule, out->n_valid);
    if (n == 0) {
        *bound = (double)NAN;
        return ENTROL_OK;
    }
    beyond own = {.threshold = *bound, .is_high = is_high};
    entrol_status status = ent_visit(context, request->source, count_beyond, &own);
    uint64_t n_beyond[2] = {own.n, 0};
    status = ent_add_up(context, status, n_beyond, 1);
    out->tie = *bound;
    out->n_of_tie = n - n_beyond[0];
    out->tie_seed = request->rule->tie_seed;
    return status == ENTROL_OK ? share_ties(context, out, own.n_at) : status;
}

/* The bounds, from what was found of the ranks that they need. */
static entrol_status make_bounds(entrol_context *context, entrol_bounds *out, const request *request,
                                 const ent_ranked *ranked, size_t n_ranked) {
    const entrol_rule *rule = request->rule;
    const shares of = shares_of(rule);
    out->low = rule->kind == ENTROL_RULE_RANGE ? as_value(rule->low) : -INFINITY;
    out->high = rule->kind == ENTROL_RULE_RANGE ? as_value(rule->high) : INFINITY;
    for (size_t j = 0; j < n_ranked; j++) {
        double *bound = ranked[j].index == 0 ? &out->low : &out->high;
        const double q = of.q[ranked[j].index];
        *bound = isnan(q) ? (double)ranked[j].value
                          : ent_quantile_value(&ranked[j], out->n_valid, q, request->options.method);
    }
    return is_count(rule) ? limit_count(context, out, request) : ENTROL_OK;
}

static entrol_status find_bounds(entrol_context *context, entrol_bounds *bounds, entrol_diagnosis *diagnosis,
                                 const request *request) {
    const entrol_nan_policy policy = request->options.nan;
    ent_ranked ranked[2];
    ent_census census;
    const size_t n_ranked = list_ranks(ranked, request->rule);
    const entrol_status status =
        ent_find_ranks(context, &census, ranked, n_ranked, request->source, set_ranks, request);
    const uint64_t n = census.n_valid - census.n_nan;
    if (status != ENTROL_OK)
        return status;
    *bounds = (entrol_bounds){.low = (double)NAN, .high = (double)NAN, .tie = (double)NAN};
    bounds->n_valid = policy == ENTROL_NAN_IGNORE ? n : census.n_valid;
    if (diagnosis && census.n_nan && policy == ENTROL_NAN_ERROR)
        ent_diagnose_values(diagnosis, &census, policy);
    return n && (!census.n_nan || policy == ENTROL_NAN_IGNORE) ? make_bounds(context, bounds, request, ranked, n_ranked)
                                                               : ENTROL_OK;
}

static int is_share(double share) {
    return share >= 0 && share <= 1;
}

static int rule_is_sound(const entrol_rule *rule) {
    switch (rule->kind) {
    case ENTROL_RULE_LOW_SHARE:
    case ENTROL_RULE_HIGH_SHARE:
    case ENTROL_RULE_LOW_EXACT:
    case ENTROL_RULE_HIGH_EXACT:
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

void entrol_apply_bounds(entrol_bounds *bounds, uint8_t *keep, entrol_selection *selection, const float *values,
                         const uint8_t *valid, size_t n_values) {
    const ent_values view = {values, valid, n_values};
    const int low_is_open = bounds->low == -INFINITY, high_is_open = bounds->high == INFINITY;
    entrol_selection done = {.n_kept = 0};
    for (size_t i = 0; i < n_values; i++) {
        const double value = ent_values_has(&view, i) ? (double)values[i] : (double)NAN;
        int kept = value >= bounds->low && value <= bounds->high;
        if (kept && value == bounds->tie)
            kept = take_tie(bounds);
        done.n_ties += (value == bounds->low && !low_is_open) || (value == bounds->high && !high_is_open);
        done.n_kept += (size_t)kept;
        if (keep)
            keep[i] = (uint8_t)kept;
    }
    if (!selection)
        return;
    selection->n_valid = (size_t)bounds->n_valid;
    selection->n_kept += done.n_kept;
    selection->n_ties += done.n_ties;
    selection->threshold_low = bounds->low;
    selection->threshold_high = bounds->high;
}

static const char *bad_argument(const entrol_context *context, const ent_source *source, const entrol_rule *rule) {
    const char *bad = context ? ent_check_source(source) : "context";
    if (bad)
        return bad;
    return rule && rule_is_sound(rule) ? NULL : "rule";
}

/* Of what all ranks must have been given. */
static uint64_t digest_of(const request *request) {
    const entrol_rule *rule = request->rule;
    const double numbers[3] = {rule->share, rule->low, rule->high};
    const uint64_t others[5] = {(uint64_t)rule->kind, rule->count, rule->tie_seed, (uint64_t)request->options.method,
                                (uint64_t)request->options.nan};
    return ent_digest(ent_digest(0, numbers, sizeof numbers), others, sizeof others);
}

/* The same counts on all ranks. */
static entrol_status add_up(entrol_context *context, entrol_selection *selection) {
    uint64_t counts[3] = {selection->n_kept, selection->n_ties, 0};
    const entrol_status status = ent_add_up(context, ENTROL_OK, counts, 2);
    selection->n_kept = (size_t)counts[0];
    selection->n_ties = (size_t)counts[1];
    return status;
}

static entrol_status bounds_of(entrol_context *context, entrol_bounds *bounds, entrol_diagnosis *diagnosis,
                               const ent_source *source, const entrol_rule *rule,
                               const entrol_quantile_options *options) {
    request request = {.source = source, .rule = rule};
    const char *bad = bad_argument(context, source, rule);
    if (!bad && !ent_take_quantile_options(&request.options, options))
        bad = "options";
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.argument = bad};
    if (!context)
        return ENTROL_ERROR_ARGUMENT;
    const entrol_status status =
        ent_agree_on(context, bad ? ENTROL_ERROR_ARGUMENT : ENTROL_OK, bad ? 0 : digest_of(&request));
    return status == ENTROL_OK ? find_bounds(context, bounds, diagnosis, &request) : status;
}

entrol_status entrol_select(entrol_context *context, uint8_t *keep, entrol_selection *selection,
                            entrol_diagnosis *diagnosis, const float *values, const uint8_t *valid, size_t n_values,
                            const entrol_rule *rule, const entrol_quantile_options *options) {
    const ent_source source = {.memory = {values, valid, n_values}};
    entrol_bounds bounds;
    entrol_selection done = {.n_kept = 0};
    entrol_status status = bounds_of(context, &bounds, diagnosis, &source, rule, options);
    if (status != ENTROL_OK)
        return status;
    entrol_apply_bounds(&bounds, keep, &done, values, valid, n_values);
    status = add_up(context, &done);
    if (selection && status == ENTROL_OK)
        *selection = done;
    return status;
}

entrol_status entrol_bounds_of_stream(entrol_context *context, entrol_bounds *bounds, entrol_diagnosis *diagnosis,
                                      const entrol_stream *stream, const entrol_rule *rule,
                                      const entrol_quantile_options *options) {
    uint64_t n_streamed;
    const ent_source source = ent_source_of(stream, &n_streamed);
    entrol_bounds found;
    const entrol_status status = bounds_of(context, &found, diagnosis, &source, rule, options);
    if (bounds && status == ENTROL_OK)
        *bounds = found;
    return status;
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
