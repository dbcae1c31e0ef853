/* One choice of n by its logits, of which several kinds are made. */
#ifndef ENT_POLICY_CHOICE_H
#define ENT_POLICY_CHOICE_H

#include "distribution.h"

/* Logits and, where there is a reference, its. */
typedef struct ent_choice {
    const double *p, *q;
    size_t n;
} ent_choice;

/* Trouble in logits of which some column is possible. */
ent_fault ent_choice_check(const double *logits, size_t n);
/* Whether an action is one of n. */
ent_fault ent_choice_take(double action, size_t n);
double ent_choice_entropy(const ent_choice *choice);
double ent_choice_logprob(const ent_choice *choice, size_t action);
double ent_choice_kl(const ent_choice *choice);
/* Each of these adds `by` times its gradient to n slopes. */
typedef void (*ent_choice_slope)(double *slopes, const ent_choice *choice, double by);
void ent_choice_slope_entropy(double *slopes, const ent_choice *choice, double by);
void ent_choice_slope_logprob(double *slopes, const ent_choice *choice, size_t action, double by);
void ent_choice_slope_kl_pq(double *slopes, const ent_choice *choice, double by);
void ent_choice_slope_kl_qp(double *slopes, const ent_choice *choice, double by);
/* NULL draws: the most probable one. */
size_t ent_choice_sample(const ent_choice *choice, ent_draws *draws);

#endif
