/* Supports of rows, and what is renormalised on them. */
#ifndef ENT_MEASURE_SUPPORT_H
#define ENT_MEASURE_SUPPORT_H

#include "rows.h"

/* Finds the support of a row and its sums; NaN for a row in trouble. */
void ent_row_support(entrol_support *support, const ent_rows *rows, size_t row, const entrol_state *state);

/* The logit at which the columns' running weight reaches a target, and how many of those equal to it are needed. The
 * target is a number of columns, below the number of possible ones, or (by mass) a share of all mass. The row is not in
 * trouble. `n_possible` is used by number only. */
double ent_support_reach(double *n_ties, const ent_rows *rows, size_t row, const entrol_state *state, int by_mass,
                         double target, double n_possible);

/* H of p renormalised on it, in nats. */
double ent_support_entropy(const entrol_support *support, double scale);

/* A narrowed chunk with -inf in place of the columns that are not in the support; returns how many are (or more, if it
 * is all possible ones). Chunks must come in their order: *n_ties counts down from the support's. */
size_t ent_support_keep(float *kept, double *n_ties, const entrol_support *support, const ent_rows *rows,
                        const ent_chunk *chunk);

/* Writes what the record wants of a row's support; `to` (may be NULL) gets the support too. */
void ent_row_write_support(entrol_support *to, const ent_rows *rows, size_t row, const entrol_state *state);

#endif
