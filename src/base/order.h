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

/* How many count. If one of them is NaN, *first_nan is its index, else view->n. */
size_t ent_count_valid(const ent_values *view, size_t *first_nan);

/* The value of rank k (from 0) among those that count; k must be below their number, and none may be NaN. */
float ent_kth_smallest(const ent_values *view, uint64_t k);

#endif
