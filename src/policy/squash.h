/* The squash a = tanh x, its slope, and what it takes from the entropy of a Gaussian x. */
#ifndef ENT_POLICY_SQUASH_H
#define ENT_POLICY_SQUASH_H

#include "distribution.h"

/* f(x) = ln(1 - tanh(x)^2), the logarithm of the slope of tanh, and its derivatives. */
typedef struct ent_log_slope {
    double value, first, second; /* f, -2 tanh x, -2 (1 - tanh(x)^2) */
} ent_log_slope;

ent_log_slope ent_log_slope_at(double x);

/* Actions strictly within the bounds, changed to x of a = low + (high - low) (1 + tanh x) / 2. */
double ent_unsquash(const ent_shape *shape, double action);
/* The action, of portable arithmetic. */
double ent_squash_portably(const ent_shape *shape, double x);

/* An action on a bound counts as the last number inside; one out of the bounds is none. Of SQUASHED_GAUSSIAN and BETA.
 */
ent_fault ent_take_bounded(const ent_shape *shape, double *action);

enum { ENT_SQUASH_NARROW = 19, ENT_SQUASH_WIDE = 81 };

/* What the quadrature of E[f(x)] needs whatever the mean and sigma are: computed once a call. */
typedef struct ent_squash {
    double weight[ENT_SQUASH_NARROW]; /* of z = i / 2 and -i / 2 */
    /* At x = i / 4, of r(x) = f(x) - 2 ln 2 + 2 A(x): r, r', f'' */
    double rest[ENT_SQUASH_WIDE], rest_slope[ENT_SQUASH_WIDE], curve[ENT_SQUASH_WIDE];
} ent_squash;

void ent_squash_prepare(ent_squash *squash);

/* E[f(x)] of a Gaussian x, and its derivatives by its mean and by ln sigma. */
typedef struct ent_squash_loss {
    double value, by_mean, by_log_sigma;
} ent_squash_loss;

ent_squash_loss ent_squash_expect(const ent_squash *squash, double mean, double log_sigma);

#endif
