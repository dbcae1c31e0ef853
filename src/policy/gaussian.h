/* Independent Gaussian dimensions, of which squashed ones are made, too. */
#ifndef ENT_POLICY_GAUSSIAN_H
#define ENT_POLICY_GAUSSIAN_H

#include "distribution.h"

#define ENT_HALF_LOG_2_PI 0.91893853320467274178
/* 0.5 ln(2 pi e), the entropy of the standard normal distribution. */
#define ENT_NORMAL_ENTROPY 1.4189385332046727418

/* Means that are finite; ln sigma that is not NaN or +inf. */
ent_fault ent_gaussian_check(const ent_shape *shape, const ent_parameters *p, int needs_density);
/* Of row->action, a point x. */
double ent_gaussian_logprob(const ent_policy_row *row);
double ent_gaussian_kl(const ent_policy_row *row);
void ent_gaussian_slope_logprob(ent_slopes *slopes, const ent_policy_row *row, double by);
void ent_gaussian_slope_kl_pq(ent_slopes *slopes, const ent_policy_row *row, double by);
void ent_gaussian_slope_kl_qp(ent_slopes *slopes, const ent_policy_row *row, double by);
/* Draws x; NULL: the mean. */
void ent_gaussian_sample(double *x, const ent_policy_row *row, ent_draws *draws);

#endif
