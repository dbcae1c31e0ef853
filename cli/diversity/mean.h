/* A mean over prompts and its 95 % interval. */
#ifndef CLI_DIVERSITY_MEAN_H
#define CLI_DIVERSITY_MEAN_H

#include <stddef.h>

typedef struct diversity_mean {
    double mean;      /* NaN of no values */
    double low, high; /* mean -/+ t s / sqrt(n), with Student's t of n - 1 degrees of freedom; NaN of fewer than two */
    size_t n;         /* values that are there */
} diversity_mean;

/* Of n values that stand `stride` apart; a NaN is none. */
diversity_mean diversity_mean_of(const double *values, size_t n, size_t stride);

#endif
