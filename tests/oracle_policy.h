/* The oracle of policies: textbook formulas in long double, one row at a time, and their gradients. */
#ifndef ORACLE_POLICY_H
#define ORACLE_POLICY_H

#include <entrol/policy.h>

/* A distribution: n first and as many second parameters as its kind has, ln sigma clipped; -inf where masked. */
typedef struct oracle_distribution {
    entrol_policy_kind kind;
    size_t n;
    const size_t *sizes; /* MULTI_DISCRETE */
    size_t n_sizes;
    long double low, high;
    const long double *first, *second;
} oracle_distribution;

/* How many numbers second and an action have. */
size_t oracle_policy_n_second(entrol_policy_kind kind, size_t n);
size_t oracle_policy_n_actions(const oracle_distribution *p);

long double oracle_policy_entropy(const oracle_distribution *p);
/* Of an action, of SQUASHED_GAUSSIAN x before the squash. */
long double oracle_policy_logprob(const oracle_distribution *p, const long double *action);
long double oracle_policy_kl(const oracle_distribution *p, const oracle_distribution *q);

/* What these are accurate to a share of: the greatest of a dimension's terms, |term|, added up over the dimensions. Of
 * the entropy of BETA, whose terms are of its shapes' size, the value itself, or 1. */
long double oracle_policy_entropy_terms(const oracle_distribution *p);
long double oracle_policy_logprob_terms(const oracle_distribution *p, const long double *action);
long double oracle_policy_kl_terms(const oracle_distribution *p, const oracle_distribution *q);

/* A row's gradient, and of all the terms that were added up the greatest |term|. */
typedef struct oracle_slopes {
    long double *first, *second; /* the caller's, which are added to */
    long double greatest;
} oracle_slopes;

void oracle_policy_slope_entropy(oracle_slopes *slopes, const oracle_distribution *p, long double by);
void oracle_policy_slope_logprob(oracle_slopes *slopes, const oracle_distribution *p, const long double *action,
                                 long double by);
void oracle_policy_slope_kl_pq(oracle_slopes *slopes, const oracle_distribution *p, const oracle_distribution *q,
                               long double by);
void oracle_policy_slope_kl_qp(oracle_slopes *slopes, const oracle_distribution *p, const oracle_distribution *q,
                               long double by);

/* The action as a function of parameters and noise: of the Gaussian kinds. `action` has n numbers; x for a NULL
 * `squashed`, which gets a. */
void oracle_policy_act(long double *action, long double *squashed, const oracle_distribution *p,
                       const long double *noise);
void oracle_policy_slope_action(oracle_slopes *slopes, const oracle_distribution *p, const long double *noise,
                                const long double *d_action);
void oracle_policy_slope_pathwise_logprob(oracle_slopes *slopes, const oracle_distribution *p, const long double *noise,
                                          long double by);

/* E[f(x)] of x normal by adaptive quadrature, f(x) = ln(1 - tanh(x)^2), f' and f'(x) (x - mean). */
typedef struct oracle_squash_loss {
    long double value, by_mean, by_log_sigma;
} oracle_squash_loss;
oracle_squash_loss oracle_squash_expect(long double mean, long double log_sigma);

long double oracle_digamma(long double x);
long double oracle_trigamma(long double x);

#endif
