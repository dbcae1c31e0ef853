/* The running state of one row: what is known of softmax(z / T) after some of its columns.
 *
 * With x = z - m, m the greatest logit so far and e = exp(scale x): the columns at m are counted in n_top, and over the
 * others ("the rest") s = sum e, t = sum e x, q = sum e^2, m2 = sum e (x - t / s)^2. Leaving the top out of s keeps
 * what is left of a nearly certain row: H = log1p(s) - scale t / (1 + s). Squares are merged by Chan, Golub and
 * LeVeque's formula (1979), so that varentropy is never a difference of large numbers. */
#ifndef ENT_MEASURE_STATE_H
#define ENT_MEASURE_STATE_H

#include "kernels/kernels.h"

typedef struct ent_state {
    double m; /* -inf before the first finite column */
    double n_top;
    double s, t, q, m2;
    double power; /* sum of e^renyi_order over the rest, where wanted */
} ent_state;

#define ENT_STATE_INIT                                                                                                 \
    { -INFINITY, 0, 0, 0, 0, 0, 0 }

/* Makes `m`, greater than state->m, the new top: what was the top joins the rest. */
void ent_state_rise(ent_state *state, double m, double scale, double renyi_order);

/* Adds a chunk's sums, taken at the state's m; `u` was taken about `pivot`. */
void ent_state_add(ent_state *state, const ent_sums *sums, double pivot);

/* sum (e - mean)^2 of a chunk about its own mean, from sums about a pivot; never negative. */
double ent_sums_m2(const ent_sums *sums, double pivot);

#endif
