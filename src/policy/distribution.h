/* What the kinds of distributions have in common: each is a row of a table of functions, and works on one row of
 * parameters at a time, its numbers doubles. What all rows have alike (reading, clipping, trouble, threads) is
 * batch.h's. */
#ifndef ENT_POLICY_DISTRIBUTION_H
#define ENT_POLICY_DISTRIBUTION_H

#include "draws.h"

#include <entrol/policy.h>

struct ent_squash;

/* What all rows of a call have alike. */
typedef struct ent_shape {
    size_t n;            /* columns of first */
    size_t n_second;     /* and of second; 0 where the kind has none */
    size_t n_actions;    /* numbers that an action has */
    const size_t *sizes; /* of MULTI_DISCRETE */
    size_t n_sizes;
    double low, high;                /* the actions' bounds */
    double lowest, highest;          /* what those are in the actions' dtype, and */
    double least, greatest;          /* the last numbers of that dtype inside */
    int are_before_squash;           /* the actions */
    const struct ent_squash *squash; /* NULL: not needed */
} ent_shape;

/* One distribution. Of second, ln sigma is clipped. */
typedef struct ent_parameters {
    const double *first, *second;
} ent_parameters;

/* One row of a call. */
typedef struct ent_policy_row {
    const ent_shape *shape;
    ent_parameters p, q; /* q where there is a reference */
    const double *action;
    double *scratch; /* as many numbers as the distribution asks for */
} ent_policy_row;

/* What derivatives are added to: n and n_second of them. */
typedef struct ent_slopes {
    double *first, *second;
} ent_slopes;

/* What is wrong with a row, and in which column. */
typedef struct ent_fault {
    entrol_reason reason;
    size_t column;
} ent_fault;

/* How many columns second has. */
typedef enum ent_second { ENT_SECOND_NONE = 0, ENT_SECOND_ROW, ENT_SECOND_SQUARE } ent_second;

typedef struct ent_distribution {
    const char *name;
    ent_second second;
    int takes_mask, has_bounds;
    int has_log_sigma;             /* in second: it is clipped */
    size_t (*n_scratch)(size_t n); /* NULL: none */
    /* Whether the parameters are a distribution; one with a density, where that is needed. */
    ent_fault (*check)(const ent_shape *shape, const ent_parameters *p, int needs_density);
    /* Whether an action can be; changed to what the functions below take. */
    ent_fault (*take_action)(const ent_shape *shape, double *action);
    double (*entropy)(const ent_policy_row *row);
    double (*logprob)(const ent_policy_row *row);
    double (*kl)(const ent_policy_row *row); /* KL(p||q) */
    /* Each adds `by` times its derivative by p's parameters. */
    void (*slope_entropy)(ent_slopes *slopes, const ent_policy_row *row, double by);
    void (*slope_logprob)(ent_slopes *slopes, const ent_policy_row *row, double by);
    void (*slope_kl_pq)(ent_slopes *slopes, const ent_policy_row *row, double by);
    void (*slope_kl_qp)(ent_slopes *slopes, const ent_policy_row *row, double by);
    /* The same of a loss whose derivative by the action is d_action, and of ln p as a function of the action, the noise
     * held fixed. NULL: not differentiable. */
    void (*slope_action)(ent_slopes *slopes, const ent_policy_row *row, const double *d_action);
    void (*slope_pathwise_logprob)(ent_slopes *slopes, const ent_policy_row *row, double by);
    /* Draws an action, and what it was before a squash (where there is none: not written). NULL draws: the action for
     * evaluation. */
    void (*sample)(double *action, double *before, const ent_policy_row *row, ent_draws *draws);
} ent_distribution;

extern const ent_distribution ent_categorical, ent_multi_discrete, ent_bernoulli, ent_gaussian, ent_full_gaussian,
    ent_squashed_gaussian, ent_beta;

/* NULL for a number that is no kind. */
const ent_distribution *ent_distribution_of(entrol_policy_kind kind);

/* The first number that is not finite; `reason` NONE where all are. */
ent_fault ent_find_infinite(const double *values, size_t n);

/* e^x - 1 - x, at least 0, with all its digits near 0, too. */
double ent_exp_rest(double x);

#endif
