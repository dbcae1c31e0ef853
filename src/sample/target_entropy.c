/* The temperature at which the candidates' entropy is a target.
 *
 * With b = 1 / T and p = softmax(b z): H = ln sum e^(b z) - b <z>, so dH/db = -b Var z, and with db/dln T = -b
 *     dH/dln T = b^2 Var z = Var ln p = V,
 * the varentropy of the tempered row: H rises with T. Newton's steps on ln T are kept within what is known to lie on
 * either side. From below they are taken of ln H against b: where one token has nearly all mass, H falls as e^-(b gap),
 * and ln H is nearly straight there, while H itself sends them far beyond.
 *
 * Below a temperature that is too high only candidates near the greatest have a mass: as soon as these are few, further
 * looks cost next to nothing. */
#include "rule.h"

#include "base/portable.h"

#include <math.h>

enum { TARGET_ENTROPY, TARGET_MIN, TARGET_MAX };

static const entrol_parameter parameters[] = {
    {.name = "target", .initial = 2, .low = 0, .high = 100, .says = "the entropy of what is drawn from, in nats"},
    {.name = "min", .initial = 0.1, .low = 1e-3, .high = 1e3, .says = "the least temperature"},
    {.name = "max", .initial = 2, .low = 1e-3, .high = 1e3, .says = "the greatest temperature"},
};

/* Nats by which a solution may miss, and the farthest step of ln T. */
#define CLOSE 1e-4
#define FAR 0.7
/* Looks at many candidates, and at any, after which the nearest solution so far is taken. */
enum { MOST_PASSES = 8, MOST_LOOKS = 64 };
/* What has less than e^-32 of the greatest mass changes H by less than 1e-6 in a row of 10^7. */
#define NEAR 32.0

typedef struct solution {
    double log_t;
    ent_spread spread;
} solution;

typedef struct bracket {
    double low, high;      /* ln T */
    int has_low, has_high; /* 1: H is known there, below and above the target */
} bracket;

/* A step from `at` that leads nowhere else than it should: NaN where there is none. */
static double step_to(const solution *at, double target) {
    const double entropy = at->spread.entropy, slope = at->spread.varentropy;
    if (!(slope > 0))
        return (double)NAN;
    if (entropy < target && entropy > 0) {
        /* b' = b (1 - (ln target - ln H) H / V) */
        const double by = 1 - ent_portable_log(target / entropy) * entropy / slope;
        return by > 0 ? at->log_t - ent_portable_log(by) : (double)NAN;
    }
    return at->log_t + (target - entropy) / slope;
}

/* The next ln T to look at: no farther than FAR, as a row may go from a few tokens to thousands within a short way; and
 * where a step leaves the bracket, at an end that has not been looked at, or in its middle. */
static double next_of(const solution *at, const bracket *bracket, double target) {
    const int is_below = at->spread.entropy < target;
    const double step = step_to(at, target), most = is_below ? at->log_t + FAR : at->log_t - FAR;
    const double next = isnan(step) || fabs(step - at->log_t) > FAR ? most : step;
    if (next > bracket->low && next < bracket->high)
        return next;
    if (is_below && !bracket->has_high)
        return bracket->high;
    if (!is_below && !bracket->has_low)
        return bracket->low;
    return (bracket->low + bracket->high) / 2;
}

/* The candidates that are looked at: all of them, or those near the greatest. */
typedef struct view {
    ent_candidates of;
    size_t n_passes; /* looks at more than a few */
} view;

static void look_at(solution *at, view *view, double log_t) {
    at->log_t = log_t;
    ent_candidates_spread_at(&at->spread, &view->of, ent_portable_exp(log_t));
    view->n_passes += view->of.n > ENT_FEW;
}

/* 1 if what is looked at is an end beyond which the target lies. */
static int is_out_of_reach(const solution *at, const bracket *bracket, double target) {
    return (at->log_t >= bracket->high && at->spread.entropy <= target) ||
           (at->log_t <= bracket->low && at->spread.entropy >= target);
}

static void narrow(bracket *bracket, const solution *at, double target) {
    if (at->spread.entropy < target) {
        bracket->low = at->log_t;
        bracket->has_low = 1;
    } else {
        bracket->high = at->log_t;
        bracket->has_high = 1;
    }
}

/* Goes on with those that have a mass at the temperature or below it. */
static void look_near(view *view, double temperature) {
    if (view->of.n > ENT_FEW)
        ent_candidates_copy_near(&view->of, NEAR * temperature);
}

static void solve(solution *best, view *view, bracket *bracket, double target) {
    solution at = *best;
    for (int i = 0; i < MOST_LOOKS && view->n_passes < MOST_PASSES; i++) {
        if (fabs(best->spread.entropy - target) <= CLOSE || is_out_of_reach(&at, bracket, target))
            return;
        narrow(bracket, &at, target);
        if (at.spread.entropy > target)
            look_near(view, ent_portable_exp(at.log_t));
        look_at(&at, view, next_of(&at, bracket, target));
        if (fabs(at.spread.entropy - target) <= fabs(best->spread.entropy - target))
            *best = at;
    }
}

static void apply_target_entropy(ent_candidates *candidates, const double *values) {
    const double least = ent_portable_log(values[TARGET_MIN]), most = ent_portable_log(fmax(values[TARGET_MIN], values[TARGET_MAX]));
    bracket bracket = {least, most, 0, 0};
    solution best = {ent_portable_log(candidates->temperature), *ent_candidates_spread(candidates)};
    view view = {*candidates, 0};
    if (best.log_t < least || best.log_t > most)
        look_at(&best, &view, fmin(fmax(best.log_t, least), most));
    solve(&best, &view, &bracket, values[TARGET_ENTROPY]);
    ent_candidates_set_spread(candidates, ent_portable_exp(best.log_t), &best.spread);
    candidates->n_passes += view.n_passes;
}

const ent_rule ent_rule_target_entropy = {
    {"target_entropy", ENT_TABLE(parameters), "the temperature at which the entropy is the target, within bounds",
     "Entrol"},
    apply_target_entropy,
};
