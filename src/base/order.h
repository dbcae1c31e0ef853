/* Order statistics of floats by counting: exact, without a copy, the same whatever the order of the values. */
#ifndef ENT_BASE_ORDER_H
#define ENT_BASE_ORDER_H

#include <entrol/base.h>

/* A view of values of which only some count. */
typedef struct ent_values {
    const float *values;
    const uint8_t *valid; /* NULL: all */
    size_t n;
} ent_values;

static inline int ent_values_has(const ent_values *view, size_t i) {
    return !view->valid || view->valid[i];
}

/* How many values count, and what would spoil their order. */
typedef struct ent_census {
    size_t n_valid;
    size_t n_nan;     /* of those that count */
    size_t first_nan; /* its index; 0 when there is none */
} ent_census;

ent_census ent_take_census(entrol_context *context, const ent_values *view);

/* The value of rank k (from 0) among those that count, -0 taken as 0; *next (may be NULL) gets the value of rank k + 1,
 * or the same where there is none. k must be below the number of values, and none may be NaN. Three passes. */
float ent_kth_smallest(entrol_context *context, float *next, const ent_values *view, uint64_t k);

/* How the quantile q lies between two neighbours in the order: see entrol_quantile. n_valid is at least 1. */
double ent_quantile(entrol_context *context, const ent_values *view, size_t n_valid, double q);

#endif
