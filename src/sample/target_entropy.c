/* The temperature at which the candidates' entropy is a target.
 *
 * With b = 1 / T and p = softmax(b z): H = ln sum e^(b z) - b <z>, so dH/db = -b Var z, and with db/dln T = -b
 *     dH/dln T = b^2 Var z = Var ln p = V,
 * the varentropy of the tempered row: H rises with T. Newton's steps on ln T are kept within what is known to lie on
 * either side. From below they are taken of ln H against b: where one token has nearly all mass, H falls as e^-(b gap),
 * and ln H is nearly straight there, while H itself sends them far beyond.
 *
 * A look at a long row costs. Between two of them the steps are taken of a sketch of it, whose entropy is the row's own
 * where the last look was: so one or two looks are enough for a model's rows. */
#include "sketch.h"

#include "rule.h"

#include "base/portable.h"

#include <math.h>

enum { TARGET_ENTROPY, TARGET_MIN, TARGET_MAX };

static const entrol_parameter parameters[] = {
    {.name = "target", .initial = 2, .low = 0, .high = 100, .says = "the entropy of what is drawn from, in nats"},
    {.name = "min", .initial = 0.1, .low = 1e-3, .high = 1e3, .says = "the least temperature"},
    {.name = "max", .initial = 2, .low = 1e-3, .high = 1e3, .says = "the greatest temperature; one below min is min"},
};

/* Nats by which a solution may miss, that of a sketch, and the farthest step of ln T. */
#define CLOSE 5e-4
#define CLOSER 1e-5
#define FAR 0.7
/* Steps of ln T that lead nowhere. */
#define SAME 1e-6
/* Looks at a long row, and at a short one or a sketch, after which the nearest solution so far is taken. */
enum { MOST_PASSES = 8, MOST_LOOKS = 64 };

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

/* The next ln T to look at: no farther than FAR while only one side is known, as a row may go from a few tokens to
 * thousands within a short way. Where a step leaves the bracket it is an end that has not been looked at, or the
 * middle; and the middle, too, where a step is longer than half a bracket whose ends are known, or steps could go to
 * and fro between them. */
static double next_of(const solution *at, const bracket *bracket, double target) {
    const int is_below = at->spread.entropy < target, is_closed = bracket->has_low && bracket->has_high;
    const double half = (bracket->high - bracket->low) / 2, step = step_to(at, target);
    const double most = is_below ? at->log_t + FAR : at->log_t - FAR;
    const double next = !is_closed && !(fabs(step - at->log_t) <= FAR) ? most : step;
    if (next > bracket->low && next < bracket->high && !(is_closed && fabs(next - at->log_t) > half))
        return next;
    return is_closed ? bracket->low + half : is_below ? bracket->high : bracket->low;
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

/* Takes the spread at ln T, of whatever the user is. */
typedef void (*look)(ent_spread *spread, void *user, double temperature);

static void look_at_row(ent_spread *spread, void *user, double temperature) {
    ent_candidates *candidates = user;
    ent_candidates_spread_at(spread, candidates, temperature);
    candidates->n_passes += candidates->n > ENT_FEW;
}

static void look_at_sketch(ent_spread *spread, void *user, double temperature) {
    ent_sketch_spread_at(spread, user, temperature);
}

/* Looks at ln T, and keeps it if it is at least as good as the best. */
static void try_at(solution *best, solution *at, double log_t, look look, void *user, double target) {
    at->log_t = log_t;
    look(&at->spread, user, ent_portable_exp(log_t));
    if (fabs(at->spread.entropy - target) <= fabs(best->spread.entropy - target))
        *best = *at;
}

/* From what is known at `best`, whose bracket is a copy. */
static void solve(solution *best, look look, void *user, bracket bracket, double target, double close) {
    solution at = *best;
    for (int i = 0; i < MOST_LOOKS; i++) {
        if (fabs(best->spread.entropy - target) <= close || is_out_of_reach(&at, &bracket, target))
            return;
        narrow(&bracket, &at, target);
        try_at(best, &at, next_of(&at, &bracket, target), look, user, target);
    }
}

/* The sketch's solution, or a step where that has been looked at already. */
static double foresee(const solution *at, ent_sketch *sketch, const bracket *bracket, double target) {
    solution foreseen = *at;
    ent_sketch_fit(sketch, &at->spread);
    solve(&foreseen, look_at_sketch, sketch, *bracket, target, CLOSER);
    const int is_new =
        (foreseen.log_t > bracket->low || !bracket->has_low) && (foreseen.log_t < bracket->high || !bracket->has_high);
    return is_new && fabs(foreseen.log_t - at->log_t) > SAME ? foreseen.log_t : next_of(at, bracket, target);
}

/* The sketch is trusted as long as what it foresees is nearer by half, at least. */
static void solve_long(solution *best, ent_candidates *candidates, bracket *bracket, double target) {
    ent_sketch sketch;
    solution at = *best;
    int is_trusted = 1;
    ent_sketch_begin(&sketch, candidates, 1 / best->spread.scale);
    for (int i = 0; i < MOST_PASSES; i++) {
        const double miss = fabs(best->spread.entropy - target);
        if (miss <= CLOSE || is_out_of_reach(&at, bracket, target))
            return;
        narrow(bracket, &at, target);
        const double next = is_trusted ? foresee(best, &sketch, bracket, target) : next_of(best, bracket, target);
        try_at(best, &at, next, look_at_row, candidates, target);
        is_trusted = is_trusted && fabs(at.spread.entropy - target) <= miss / 2;
    }
}

/* Where to begin: within the bounds; at the end where there are too few candidates for the target. */
static double begin_at(const ent_candidates *candidates, const bracket *bracket, double target) {
    if (target >= ent_portable_log((double)candidates->n_possible))
        return bracket->high;
    return fmin(fmax(ent_portable_log(candidates->temperature), bracket->low), bracket->high);
}

static void apply_target_entropy(ent_candidates *candidates, const double *values) {
    const double least = ent_portable_log(values[TARGET_MIN]);
    bracket bracket = {least, ent_portable_log(fmax(values[TARGET_MIN], values[TARGET_MAX])), 0, 0};
    solution best = {ent_portable_log(candidates->temperature), *ent_candidates_spread(candidates)};
    const double begin = begin_at(candidates, &bracket, values[TARGET_ENTROPY]);
    if (best.log_t != begin) {
        best.log_t = begin;
        look_at_row(&best.spread, candidates, ent_portable_exp(best.log_t));
    }
    if (candidates->n > ENT_FEW)
        solve_long(&best, candidates, &bracket, values[TARGET_ENTROPY]);
    else
        solve(&best, look_at_row, candidates, bracket, values[TARGET_ENTROPY], CLOSE);
    ent_candidates_set_spread(candidates, ent_portable_exp(best.log_t), &best.spread);
}

const ent_rule ent_rule_target_entropy = {
    {"target_entropy", ENT_TABLE(parameters), "the temperature at which the entropy is the target, within bounds",
     "Entrol"},
    apply_target_entropy,
};
