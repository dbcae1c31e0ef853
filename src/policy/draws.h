/* Random numbers for one row: a counter and a key, and the same bits on every machine. */
#ifndef ENT_POLICY_DRAWS_H
#define ENT_POLICY_DRAWS_H

#include <stdint.h>

/* A stream of numbers, of (seed, row) alone. */
typedef struct ent_draws {
    uint64_t key, counter;
} ent_draws;

ent_draws ent_draws_begin(uint64_t seed, uint64_t row);

/* Uniform: an odd multiple of 2^-53 in (0, 1). */
double ent_draw_uniform(ent_draws *draws);
/* Normal, of mean 0 and deviation 1. */
double ent_draw_normal(ent_draws *draws);
/* ln of a Gamma number of a finite shape above 0 and scale 1. */
double ent_draw_log_gamma(ent_draws *draws, double shape);

/* The quantile function of the normal distribution at p in (0, 1). */
double ent_normal_quantile(double p);

#endif
