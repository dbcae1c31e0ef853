#include "state.h"

#include <math.h>

/* Joins a group of weight s, sum t and squares m2 about its own mean to the rest. */
static void join(ent_state *state, double s, double t, double m2) {
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

void ent_state_rise(ent_state *state, double m, double scale, double renyi_order) {
    const double step = state->m - m; /* what every x grows by: below 0, -inf at first */
    const double factor = exp(step * scale);
    const double old_top = state->n_top * factor;
    if (state->m > -INFINITY) {
        state->t = factor * (state->t + state->s * step);
        state->s *= factor;
        state->m2 *= factor;
        state->q = (state->q + state->n_top) * factor * factor;
        state->power = (state->power + state->n_top) * exp(step * scale * renyi_order);
        join(state, old_top, old_top * step, 0);
    }
    state->n_top = 0;
    state->m = m;
}

double ent_sums_m2(const ent_sums *sums, double pivot) {
    const double from_pivot = sums->t - pivot * sums->s;
    const double m2 = sums->s > 0 ? sums->u - from_pivot * from_pivot / sums->s : sums->s;
    return m2 < 0 ? 0 : m2;
}

void ent_state_add(ent_state *state, const ent_sums *sums, double pivot) {
    state->n_top += sums->n_top;
    state->q += sums->q;
    join(state, sums->s, sums->t, ent_sums_m2(sums, pivot));
}
