/* Distributions that a policy acts by: their entropy. Discrete policies are rows of logits (measure.h). */
#ifndef ENTROL_POLICY_H
#define ENTROL_POLICY_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The differential entropy of a Gaussian with independent dimensions: the sum over them of
 * 0.5 ln(2 pi e) + ln sigma, in nats. It can be negative; a sigma of 0 gives -inf, a negative or NaN
 * sigma NaN. The mean does not enter. */
ENTROL_API entrol_status entrol_gaussian_entropy(double *entropy, const double *sigma, size_t n_dimensions);

#ifdef __cplusplus
}
#endif
#endif
