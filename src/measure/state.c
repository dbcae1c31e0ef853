#include "state.h"

#include "rows.h"

#include "base/context.h"

#include <math.h>

/* Joins a group of weight s, sum t and squares m2 about its own mean to the rest. */
static void join(entrol_state *state, double s, double t, double m2) {
    if (s == 0 && !isnan(t))
        return;
    if (state->s > 0) {
        const double apart = t / s - state->t / state->s;
        m2 += apart * apart * s * (state->s / (state->s + s));
    }
    state->s += s;
    state->t += t;
    state->m2 += m2;
}

void ent_state_rise(entrol_state *state, double m, double scale, double renyi_order) {
    const double step = state->m - m; /* what every x grows by: below 0, -inf at first or beyond a double */
    const double factor = exp(step * scale), moved = factor == 0 ? 0 : step; /* no 0 * inf */
    const double old_top = state->n_top * factor;
    if (state->m > -INFINITY) {
        state->t = factor * (state->t + state->s * moved);
        state->s *= factor;
        state->m2 *= factor;
        state->q = (state->q + state->n_top) * factor * factor;
        state->power = (state->power + state->n_top) * exp(step * scale * renyi_order);
        join(state, old_top, old_top * moved, 0);
    }
    state->n_top = 0;
    state->m = m;
}

double ent_sums_m2(const ent_sums *sums, double pivot) {
    const double from_pivot = sums->t - pivot * sums->s;
    const double m2 = sums->s > 0 ? sums->u - from_pivot * from_pivot / sums->s : sums->s;
    return m2 < 0 ? 0 : m2;
}

void ent_state_add(entrol_state *state, const ent_sums *sums, double m2) {
    state->n_top += sums->n_top;
    state->q += sums->q;
    join(state, sums->s, sums->t, m2);
}

entrol_reason ent_state_trouble(const entrol_state *state, int wants_target) {
    if (state->m == INFINITY)
        return ENTROL_REASON_INFINITE;
    if (isnan(state->m) || isnan(state->t))
        return ENTROL_REASON_NAN;
    if (state->m == -INFINITY)
        return ENTROL_REASON_EMPTY_SUPPORT;
    return wants_target && isnan(state->target) ? ENTROL_REASON_TARGET : ENTROL_REASON_NONE;
}

double ent_state_sum(const entrol_state *state) {
    return state->n_top + state->s;
}

double ent_state_log_sum(const entrol_state *state) {
    return log1p(state->n_top - 1 + state->s);
}

double ent_state_entropy(const entrol_state *state, double scale) {
    return ent_state_log_sum(state) - scale * state->t / ent_state_sum(state);
}

double ent_state_varentropy(const entrol_state *state, double scale) {
    const double sum = ent_state_sum(state), mean = state->s > 0 ? state->t / state->s : 0;
    const double m2 = state->m2 + mean * mean * state->n_top * (state->s / sum);
    return scale * scale * m2 / sum;
}

/* The second greatest of two sets of columns together. */
static double second_of(const entrol_state *a, const entrol_state *b) {
    if (a->m == b->m)
        return isnan(a->second) || isnan(b->second) ? NAN : a->m;
    const entrol_state *high = a->m > b->m ? a : b, *low = a->m > b->m ? b : a;
    return low->m > high->second ? low->m : high->second;
}

void ent_state_merge(entrol_state *state, const entrol_state *other, double scale, double renyi_order) {
    const double second = second_of(state, other);
    entrol_state added = *other;
    if (added.m > state->m)
        ent_state_rise(state, added.m, scale, renyi_order);
    else if (state->m > added.m)
        ent_state_rise(&added, state->m, scale, renyi_order);
    state->n_top += added.n_top;
    state->q += added.q;
    state->power += added.power;
    state->n_support += added.n_support;
    state->least = added.least < state->least ? added.least : state->least;
    state->second = second;
    state->target = isnan(state->target) ? added.target : state->target;
    join(state, added.s, added.t, added.m2);
}

entrol_status entrol_state_merge(entrol_state *state, const entrol_state *other,
                                 const entrol_measure_options *options) {
    entrol_measure_options taken = ENTROL_MEASURE_OPTIONS_INIT;
    if (!state || !other || (options && !ent_take(&taken, options, sizeof taken)) || ent_check_options(&taken))
        return ENTROL_ERROR_ARGUMENT;
    ent_state_merge(state, other, ent_scale(&taken), taken.renyi_order);
    return ENTROL_OK;
}
