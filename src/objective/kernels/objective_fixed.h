/* How the kernels add to an entrol_sum. */
#ifndef ENT_OBJECTIVE_FIXED_H
#define ENT_OBJECTIVE_FIXED_H

#include <entrol/base.h>

/* Adds n 2^-64, n = coarse 2^44 + fine; sum->n stays. */
static inline void ent_sum_add_fixed(entrol_sum *sum, int64_t coarse, int64_t fine) {
    const uint64_t before = sum->low, low = before + ((uint64_t)coarse << 44), both = low + (uint64_t)fine;
    const int64_t carried = (low < before) + (both < low);
    sum->high += (coarse >> 20) + (fine >> 63) + carried;
    sum->low = both;
}

/* Adds x, or (y is not NULL) scale x y, one by one; sum->n stays, sum->n_bad does not. */
void ent_sum_add_each(entrol_sum *sum, const double *x, const double *y, double scale, size_t n);

#endif
