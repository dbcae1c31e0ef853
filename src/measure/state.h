/* How a row's running state grows. Squares are merged by Chan, Golub and LeVeque's formula (1979), so that varentropy
 * is never a difference of large numbers. */
#ifndef ENT_MEASURE_STATE_H
#define ENT_MEASURE_STATE_H

#include "kernels/kernels.h"

#include <entrol/measure.h>

#define ENT_STATE_INIT                                                                                                 \
    { -INFINITY, 0, 0, 0, 0, 0, 0, -INFINITY, NAN, 0, INFINITY }

/* Makes `m`, greater than state->m, the new top: what was the top joins the rest. */
void ent_state_rise(entrol_state *state, double m, double scale, double renyi_order);

/* Adds other columns of the same row. */
void ent_state_merge(entrol_state *state, const entrol_state *other, double scale, double renyi_order);

/* Adds a chunk's sums, taken at the state's m; m2 is ent_sums_m2. */
void ent_state_add(entrol_state *state, const ent_sums *sums, double m2);

/* Why nothing is known of a row, or not of its target although that is wanted; NONE: no trouble. */
entrol_reason ent_state_trouble(const entrol_state *state, int wants_target);

/* sum of e over all columns, the top's included. */
double ent_state_sum(const entrol_state *state);
/* Its logarithm; exact to the rest's digits where one column is nearly certain. */
double ent_state_log_sum(const entrol_state *state);
double ent_state_entropy(const entrol_state *state, double scale);
/* Varentropy: the rest's squares about its own mean, and Chan's term for the top, which stands at 0. */
double ent_state_varentropy(const entrol_state *state, double scale);

/* sum (e - mean)^2 of a chunk about its own mean, from sums about a pivot; never negative. */
double ent_sums_m2(const ent_sums *sums, double pivot);

#endif
