/* How the kernels add to an entrol_sum. */
#ifndef ENT_OBJECTIVE_FIXED_H
#define ENT_OBJECTIVE_FIXED_H

#include <entrol/base.h>

/* Adds x, or (y is not NULL) scale x y, one by one; sum->n stays, sum->n_bad does not. */
void ent_sum_add_each(entrol_sum *sum, const double *x, const double *y, double scale, size_t n);

#endif
