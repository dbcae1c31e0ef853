#include "oracle_sample.h"

#include "oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the sampler may be off by, relative to what is compared. */
static const long double BORDER = 1e-5L;

typedef struct ranked {
    size_t column;
    long double z, p;
} ranked;

/* What a rule sees: n candidates in the order of falling logits, ties by lower column. */
typedef struct view {
    const oracle_candidates *before;
    const entrol_sampling_rule *rule;
    const double *values;
    ranked *order;
    size_t n;
    long double temperature, entropy, varentropy;
} view;

static long double value(const view *view, const char *name) {
    for (size_t i = 0; i < view->rule->n_parameters; i++)
        if (strcmp(view->rule->parameters[i].name, name) == 0)
            return view->values[i];
    abort(); /* the registry has another name for it */
}

static int by_falling_logit(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->z != y->z ? (x->z < y->z) - (x->z > y->z) : (x->column > y->column) - (x->column < y->column);
}

static void look(view *view, const oracle_candidates *before) {
    view->before = before;
    view->order = calloc(before->n + 1, sizeof *view->order);
    if (!view->order)
        abort();
    for (size_t i = 0; i < before->n; i++)
        if (before->is_left[i])
            view->order[view->n++] = (ranked){i, before->logits[i], 0};
    qsort(view->order, view->n, sizeof *view->order, by_falling_logit);
    view->temperature = before->temperature > 0 ? before->temperature : 1; /* greedy: one candidate */
    long double sum = 0;
    for (size_t i = view->n; i-- > 0;)
        sum += view->order[i].p = expl((view->order[i].z - view->order[0].z) / view->temperature);
    for (size_t i = 0; i < view->n; i++)
        view->order[i].p /= sum;
    oracle_row row;
    oracle_measure(&row, before->logits, before->is_left, before->n, -1, (double)view->temperature, 1);
    view->entropy = row.entropy;
    view->varentropy = row.varentropy;
}

double oracle_entropy_at(const oracle_candidates *candidates, double temperature) {
    oracle_row row;
    oracle_measure(&row, candidates->logits, candidates->is_left, candidates->n, -1, temperature, 1);
    return (double)row.entropy;
}

/* --- Ways to leave candidates out --- */

/* The first so many are kept, the ones up to `high` perhaps. */
static void keep_first(oracle_step *step, const view *view, size_t low, size_t high) {
    for (size_t i = 0; i < view->n; i++)
        step->verdicts[view->order[i].column] = i < low ? ORACLE_KEPT : i < high ? ORACLE_EITHER : ORACLE_OUT;
}

/* The fewest of the first whose mass reaches p; at least one. */
static size_t reach(const view *view, long double p) {
    long double mass = 0;
    size_t k = 0;
    do
        mass += view->order[k].p;
    while (++k < view->n && mass < p);
    return k;
}

static void keep_mass(oracle_step *step, const view *view, long double p) {
    keep_first(step, view, reach(view, p * (1 - BORDER)), reach(view, p * (1 + BORDER)));
}

/* Those of a margin of at least 0, which is known within an error, and the first and its equals. */
static void keep_above(oracle_step *step, const view *view, size_t i, long double margin, long double error) {
    step->verdicts[view->order[i].column] = view->order[i].z == view->order[0].z || margin > error ? ORACLE_KEPT
                                            : margin < -error                                      ? ORACLE_OUT
                                                                                                   : ORACLE_EITHER;
}

static void keep_likely(oracle_step *step, const view *view, long double least) {
    for (size_t i = 0; i < view->n; i++)
        keep_above(step, view, i, view->order[i].p - least, least * BORDER);
}

/* Within 1e-6 and 1e6, as temperatures are kept. */
static long double clip(long double temperature) {
    return fminl(fmaxl(temperature, 1e-6L), 1e6L);
}

/* Times what lies between these; 0 is greedy, and leaves the temperature, as may what is 0 but for
 * rounding. */
static void set_temperature(oracle_step *step, const view *view, long double low, long double high) {
    const long double t = view->temperature;
    step->low = (double)(clip(t * low) * (1 - 1e-6L));
    step->high = (double)(clip(t * high) * (1 + 1e-6L));
    if (high == 0)
        step->low = step->high = (double)t;
    else if (t * low < 1e-300L)
        step->high = fmax(step->high, (double)t);
    if (t * low < 1e-300L)
        keep_first(step, view, 1, high == 0 ? 1 : view->n);
}

/* --- The rules --- */

static void greedy(oracle_step *step, const view *view) {
    keep_first(step, view, 1, 1);
}

static void temperature(oracle_step *step, const view *view) {
    set_temperature(step, view, value(view, "temperature"), value(view, "temperature"));
}

/* How far off H may be. */
static long double slack(const view *view) {
    return 2e-6L * (1 + view->entropy);
}

static long double dynamic_at(const view *view, long double entropy) {
    const long double middle = value(view, "temperature"), range = value(view, "range");
    const long double low = middle > range ? middle - range : 0, high = middle + range;
    const long double share = fmaxl(entropy, 0) / logl((long double)view->n);
    return low + (high - low) * powl(fminl(share, 1), value(view, "exponent"));
}

static void dynamic_temperature(oracle_step *step, const view *view) {
    if (value(view, "range") == 0)
        temperature(step, view);
    else if (view->n > 1)
        set_temperature(step, view, dynamic_at(view, view->entropy - slack(view)),
                        dynamic_at(view, view->entropy + slack(view)));
}

static long double edt_at(const view *view, long double entropy) {
    if (value(view, "theta") == 0)
        return value(view, "temperature");
    if (entropy <= 0)
        return 0;
    return value(view, "temperature") * powl(value(view, "base"), value(view, "theta") / entropy);
}

static void edt(oracle_step *step, const view *view) {
    set_temperature(step, view, edt_at(view, view->entropy - slack(view)), edt_at(view, view->entropy + slack(view)));
}

/* The least temperature within the bounds (they are low and high) at which H is at least this; else the greatest. H
 * rises with T. */
static double reach_entropy(const oracle_candidates *candidates, double low, double high, double entropy) {
    if (oracle_entropy_at(candidates, low) >= entropy)
        return low;
    for (int i = 0; i < 40 && high / low > 1 + 1e-8; i++) {
        const double middle = sqrt(low) * sqrt(high);
        if (oracle_entropy_at(candidates, middle) >= entropy)
            high = middle;
        else
            low = middle;
    }
    return high;
}

/* Within 1e-3 nats of the target; where that is out of reach, at a bound, or where H is the bound's but for rounding.
 */
static void target_entropy(oracle_step *step, const view *view) {
    const double target = (double)value(view, "target"), error = (double)slack(view), low = (double)value(view, "min"),
                 high = (double)value(view, "max");
    const double most = oracle_entropy_at(view->before, high), least = oracle_entropy_at(view->before, low);
    step->low = reach_entropy(view->before, low, high, fmin(target - 1e-3, most - error)) * (1 - 1e-6);
    step->high = reach_entropy(view->before, low, high, fmax(target + 1e-3, least + error)) * (1 + 1e-6);
}

static void top_k(oracle_step *step, const view *view) {
    const long double k = value(view, "k");
    const size_t kept = k < (long double)view->n ? (size_t)k : view->n;
    keep_first(step, view, kept, kept);
}

static void top_p(oracle_step *step, const view *view) {
    keep_mass(step, view, value(view, "p"));
}

/* ln p >= ln of it + ln p_max, without a rounded p. */
static void min_p(oracle_step *step, const view *view) {
    const long double least = value(view, "p");
    for (size_t i = 0; i < view->n; i++)
        if (least == 0)
            keep_above(step, view, i, 1, 0);
        else
            keep_above(step, view, i, (view->order[i].z - view->order[0].z) / view->temperature - logl(least), BORDER);
}

static void epsilon(oracle_step *step, const view *view) {
    keep_likely(step, view, value(view, "epsilon"));
}

static void eta(oracle_step *step, const view *view) {
    const long double epsilon = value(view, "epsilon");
    keep_likely(step, view, fminl(epsilon, sqrtl(epsilon) * expl(-view->entropy)));
}

static void p_less(oracle_step *step, const view *view) {
    long double sum = 0;
    for (size_t i = view->n; i-- > 0;)
        sum += view->order[i].p * view->order[i].p;
    keep_likely(step, view, sum);
}

static void top_n_sigma(oracle_step *step, const view *view) {
    long double mean = 0, square = 0;
    for (size_t i = 0; i < view->n; i++)
        mean += view->order[i].z / (long double)view->n;
    for (size_t i = 0; i < view->n; i++)
        square += (view->order[i].z - mean) * (view->order[i].z - mean) / (long double)view->n;
    const long double room = value(view, "n") * sqrtl(square);
    for (size_t i = 0; i < view->n; i++)
        keep_above(step, view, i, view->order[i].z - view->order[0].z + room, room * BORDER);
}

/* --- Typical: in another order --- */

typedef struct shifted {
    ranked of;
    long double shift; /* |-ln p - H| */
} shifted;

static int by_shift(const void *a, const void *b) {
    const shifted *x = a, *y = b;
    return x->shift != y->shift ? (x->shift > y->shift) - (x->shift < y->shift)
                                : (x->of.column > y->of.column) - (x->of.column < y->of.column);
}

/* A candidate whose shift is that of the border's but for rounding, and whose logit is another one, may stand on either
 * side of it; then so may all that are as near. */
static void doubt_the_border(oracle_step *step, const shifted *order, size_t n, size_t border) {
    const long double error = BORDER * (1 + order[border].shift);
    int is_doubtful = 0;
    for (size_t i = 0; i < n; i++)
        is_doubtful |= order[i].of.z != order[border].of.z && fabsl(order[i].shift - order[border].shift) < error;
    for (size_t i = 0; is_doubtful && i < n; i++)
        if (fabsl(order[i].shift - order[border].shift) < error)
            step->verdicts[order[i].of.column] = ORACLE_EITHER;
}

static void typical(oracle_step *step, const view *view) {
    shifted *order = calloc(view->n, sizeof *order);
    if (!order)
        abort();
    for (size_t i = 0; i < view->n; i++) {
        const long double log_p = (view->order[i].z - view->order[0].z) / view->temperature + logl(view->order[0].p);
        order[i] = (shifted){view->order[i], fabsl(-log_p - view->entropy)};
    }
    qsort(order, view->n, sizeof *order, by_shift);
    struct view turned = *view;
    turned.order = calloc(view->n, sizeof *turned.order);
    if (!turned.order)
        abort();
    for (size_t i = 0; i < view->n; i++)
        turned.order[i] = order[i].of;
    const long double p = value(view, "p");
    keep_mass(step, &turned, p);
    doubt_the_border(step, order, view->n, reach(&turned, p) - 1);
    free(turned.order);
    free(order);
}

/* --- Top-H --- */

/* -p ln p */
static long double part(long double p) {
    return p > 0 ? -p * logl(p) : 0;
}

/* The longest run of the first whose entropy, renormalised, is at most this: it rises with the length. With S the sum
 * of p and L that of -p ln p it is ln S + L / S. */
static size_t run_below(const view *view, long double most) {
    long double sum = 0, parts = 0;
    size_t k = 0;
    for (; k < view->n; k++) {
        sum += view->order[k].p;
        parts += part(view->order[k].p);
        if (k > 0 && logl(sum) + parts / sum > most)
            break;
    }
    return k;
}

/* Of the first 100, renormalised, the first and those up to which the sum of -p ln p is at most alpha H of them, but
 * for an error. */
static size_t run_of_transformers(const view *view, long double error) {
    const size_t n = view->n < 100 ? view->n : 100;
    long double sum = 0, entropy = 0, so_far = 0;
    for (size_t i = 0; i < n; i++)
        sum += view->order[i].p;
    for (size_t i = 0; i < n; i++)
        entropy += part(view->order[i].p / sum);
    size_t k = 0;
    for (; k < n; k++) {
        so_far += part(view->order[k].p / sum);
        if (k > 0 && so_far > value(view, "alpha") * entropy + error)
            break;
    }
    return k;
}

static void top_h(oracle_step *step, const view *view) {
    const long double most = value(view, "alpha") * view->entropy, error = slack(view);
    if (value(view, "reading") == 0)
        keep_first(step, view, run_below(view, most - error), run_below(view, most + error));
    else
        keep_first(step, view, run_of_transformers(view, -error), run_of_transformers(view, error));
}

/* --- Entropix --- */

/* 1 if the thinking token is a candidate. */
static int can_think(const view *view) {
    const long double thinking = value(view, "thinking");
    return thinking >= 0 && thinking < (long double)view->before->n && view->before->is_left[(size_t)thinking];
}

/* What it does at an H and a V: the temperature (0: greedy; -1: the thinking token comes). */
static long double quadrant(const view *view, long double entropy, long double varentropy) {
    const long double unit = value(view, "unit") == 0 ? logl(2) : 1;
    const long double h = entropy / unit, v = varentropy / (unit * unit);
    const long double low_v = value(view, "low_varentropy"), lost_h = value(view, "lost_entropy"),
                      t = view->temperature;
    const int is_varied = v > value(view, "high_varentropy");
    if (h < value(view, "low_entropy") && v < low_v)
        return 0;
    if (h > value(view, "high_entropy") && v < low_v)
        return can_think(view) ? -1 : fminl(1.5L, 1.3L * t);
    if (h < lost_h && is_varied)
        return fminl(1.5L, 1.2L * t);
    return h > lost_h && is_varied ? fmaxl(2, 2 * t) : t;
}

/* The thinking token alone. */
static void think(oracle_step *step, const view *view) {
    const long double thinking = value(view, "thinking");
    for (size_t i = 0; i < view->n; i++)
        step->verdicts[view->order[i].column] = view->order[i].column == (size_t)thinking ? ORACLE_KEPT : ORACLE_OUT;
}

/* At what H and V are and may be. */
static void entropix(oracle_step *step, const view *view) {
    const long double error = slack(view);
    long double low = INFINITY, high = -1;
    for (int i = 0; i < 9; i++) {
        const long double at =
            quadrant(view, view->entropy + (i % 3 - 1) * error, fmaxl(view->varentropy + (i / 3 - 1) * error, 0));
        low = fminl(low, at);
        high = fmaxl(high, at);
    }
    if (high == 0)
        keep_first(step, view, 1, 1);
    else if (high == -1)
        think(step, view);
    else if (low <= 0) /* a border of theirs */
        keep_first(step, view, 0, view->n);
    if (high > 0) {
        step->low = (double)clip(low > 0 ? low : view->temperature) * (1 - 1e-6);
        step->high = (double)clip(high) * (1 + 1e-6);
    }
}

static const struct {
    const char *name;
    void (*apply)(oracle_step *step, const view *view);
} rules[] = {{"greedy", greedy},
             {"temperature", temperature},
             {"dynamic_temperature", dynamic_temperature},
             {"edt", edt},
             {"target_entropy", target_entropy},
             {"typical", typical},
             {"eta", eta},
             {"epsilon", epsilon},
             {"top_h", top_h},
             {"p_less", p_less},
             {"entropix", entropix},
             {"top_k", top_k},
             {"top_p", top_p},
             {"min_p", min_p},
             {"top_n_sigma", top_n_sigma}};

int oracle_sample_step(oracle_step *step, const oracle_candidates *before, const entrol_sampling_rule *rule,
                       const double *values) {
    size_t i = 0;
    while (i < sizeof rules / sizeof *rules && strcmp(rules[i].name, rule->name) != 0)
        i++;
    if (i == sizeof rules / sizeof *rules)
        return 0;
    view view = {.rule = rule, .values = values};
    look(&view, before);
    step->low = before->temperature * (1 - 1e-6);
    step->high = before->temperature * (1 + 1e-6);
    memcpy(step->verdicts, before->is_left, before->n); /* ORACLE_OUT and ORACLE_KEPT are 0 and 1 */
    rules[i].apply(step, &view);
    free(view.order);
    return 1;
}
