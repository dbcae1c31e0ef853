/* One call that takes gradients, as its parts see it. */
#ifndef ENT_MEASURE_GRADIENT_H
#define ENT_MEASURE_GRADIENT_H

#include "pairs.h"

typedef struct ent_gradient_call {
    ent_rows rows;
    ent_rows reference; /* where the record has a divergence's part */
    entrol_gradient gradient;
    entrol_destination destination;
    int past_caches; /* what is written is more than the caches hold */
    int is_measured; /* in the same call, just before */
    ent_trouble trouble;
} ent_gradient_call;

/* What a row's gradient is made of: dz_i = e^d (first + slope x + square y^2), x = z_i - m, d = scale x, y = d - mu,
 * and of the target exactly `target`. */
typedef struct ent_gradient_terms {
    double m, mu, first, slope, square;
    double target;          /* the target's element */
    int64_t column;         /* the target's; -1: none here */
    int is_plain_zero;      /* all of the above is */
    int is_near;            /* no column counts as impossible */
    entrol_support support; /* whose columns get e^d (support_first + support_slope x) more, x from its own m */
    double support_first, support_slope; /* 0: none */
    ent_pair_row pair; /* p and its reference q, and what pair_gradient multiplies their parts by; 0: none */
    double by_pq, by_qp;
    int is_zero;          /* all of it: the logits need not be looked at */
    entrol_reason reason; /* why all of it is NaN; NONE: it is not */
} ent_gradient_terms;

/* Finds what a row's gradient is made of, from its state, its part of the gradient record, and its support where the
 * record has its entropy's. */
void ent_gradient_find_terms(ent_gradient_terms *terms, const ent_rows *rows, const entrol_gradient *gradient,
                             size_t row, const entrol_state *state, const entrol_support *support);

/* 1 if the gradient needs no logits: it is 0, or NaN. */
static inline int ent_gradient_is_plain(const ent_gradient_terms *terms) {
    return terms->is_zero || terms->reason != ENTROL_REASON_NONE;
}

#endif
