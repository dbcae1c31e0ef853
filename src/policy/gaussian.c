/* Gaussian policies with independent dimensions. With s = ln sigma and z = (a - mu) / sigma, sums over the dimensions:
 *   H = 0.5 ln(2 pi e) + s,  ln p(a) = -z^2 / 2 - s - 0.5 ln(2 pi),
 *   KL(p||q) = (e^2r - 1 - 2r) / 2 + ((mu_p - mu_q) / sigma_q)^2 / 2, r = s_p - s_q: two terms that are not negative.
 */
#include "gaussian.h"

#include "base/portable.h"

#include <math.h>

/* difference / sigma: 0 for no difference, also where sigma is 0. */
static double standardise(double difference, double log_sigma) {
    return difference == 0 ? 0 : difference * exp(-log_sigma);
}

ent_fault ent_gaussian_check(const ent_shape *shape, const ent_parameters *p, int needs_density) {
    (void)needs_density;
    const ent_fault fault = ent_find_infinite(p->first, shape->n);
    if (fault.reason != ENTROL_REASON_NONE)
        return fault;
    for (size_t i = 0; i < shape->n; i++)
        if (!(p->second[i] < INFINITY))
            return (ent_fault){isnan(p->second[i]) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE, i};
    return (ent_fault){ENTROL_REASON_NONE, 0};
}

static ent_fault gaussian_take_action(const ent_shape *shape, double *action) {
    return ent_find_infinite(action, shape->n);
}

static double gaussian_entropy(const ent_policy_row *row) {
    double sum = 0;
    for (size_t i = 0; i < row->shape->n; i++)
        sum += ENT_NORMAL_ENTROPY + row->p.second[i];
    return sum;
}

static void gaussian_slope_entropy(ent_slopes *slopes, const ent_policy_row *row, double by) {
    for (size_t i = 0; i < row->shape->n; i++)
        slopes->second[i] += by;
}

/* -inf as soon as one dimension's is, though another's be inf. */
double ent_gaussian_logprob(const ent_policy_row *row) {
    double sum = 0;
    for (size_t i = 0; i < row->shape->n; i++) {
        const double s = row->p.second[i], z = standardise(row->action[i] - row->p.first[i], s);
        const double square = z * z / 2;
        if (square == INFINITY)
            return -(double)INFINITY;
        sum -= square + (s + ENT_HALF_LOG_2_PI);
    }
    return sum;
}

/* d/dmu = z / sigma, d/ds = z^2 - 1. */
void ent_gaussian_slope_logprob(ent_slopes *slopes, const ent_policy_row *row, double by) {
    for (size_t i = 0; i < row->shape->n; i++) {
        const double s = row->p.second[i], z = standardise(row->action[i] - row->p.first[i], s);
        slopes->first[i] += by * (z * exp(-s));
        slopes->second[i] += by * (z * z - 1);
    }
}

/* s_p - s_q, 0 where both are -inf. */
static double log_ratio(const ent_policy_row *row, size_t i) {
    return row->p.second[i] == row->q.second[i] ? 0 : row->p.second[i] - row->q.second[i];
}

double ent_gaussian_kl(const ent_policy_row *row) {
    double sum = 0;
    for (size_t i = 0; i < row->shape->n; i++) {
        const double z = standardise(row->p.first[i] - row->q.first[i], row->q.second[i]);
        sum += (ent_exp_rest(2 * log_ratio(row, i)) + z * z) / 2;
    }
    return sum;
}

void ent_gaussian_slope_kl_pq(ent_slopes *slopes, const ent_policy_row *row, double by) {
    for (size_t i = 0; i < row->shape->n; i++) {
        const double s = row->q.second[i], z = standardise(row->p.first[i] - row->q.first[i], s);
        slopes->first[i] += by * (z * exp(-s));
        slopes->second[i] += by * expm1(2 * log_ratio(row, i));
    }
}

void ent_gaussian_slope_kl_qp(ent_slopes *slopes, const ent_policy_row *row, double by) {
    for (size_t i = 0; i < row->shape->n; i++) {
        const double s = row->p.second[i], z = standardise(row->p.first[i] - row->q.first[i], s);
        slopes->first[i] += by * (z * exp(-s));
        slopes->second[i] -= by * (expm1(-2 * log_ratio(row, i)) + z * z);
    }
}

/* a = mu + sigma z: da/dmu = 1, da/ds = sigma z = a - mu. */
static void gaussian_slope_action(ent_slopes *slopes, const ent_policy_row *row, const double *d_action) {
    for (size_t i = 0; i < row->shape->n; i++) {
        slopes->first[i] += d_action[i];
        slopes->second[i] += d_action[i] * (row->action[i] - row->p.first[i]);
    }
}

/* z is fixed: ln p = -s and what is constant. */
static void gaussian_slope_pathwise_logprob(ent_slopes *slopes, const ent_policy_row *row, double by) {
    for (size_t i = 0; i < row->shape->n; i++)
        slopes->second[i] -= by;
}

void ent_gaussian_sample(double *x, const ent_policy_row *row, ent_draws *draws) {
    for (size_t i = 0; i < row->shape->n; i++) {
        x[i] = row->p.first[i];
        if (draws)
            x[i] += ent_portable_exp(row->p.second[i]) * ent_draw_normal(draws);
    }
}

static void gaussian_sample(double *action, double *before, const ent_policy_row *row, ent_draws *draws) {
    (void)before;
    ent_gaussian_sample(action, row, draws);
}

const ent_distribution ent_gaussian = {.name = "gaussian",
                                       .second = ENT_SECOND_ROW,
                                       .has_log_sigma = 1,
                                       .check = ent_gaussian_check,
                                       .take_action = gaussian_take_action,
                                       .entropy = gaussian_entropy,
                                       .logprob = ent_gaussian_logprob,
                                       .kl = ent_gaussian_kl,
                                       .slope_entropy = gaussian_slope_entropy,
                                       .slope_logprob = ent_gaussian_slope_logprob,
                                       .slope_kl_pq = ent_gaussian_slope_kl_pq,
                                       .slope_kl_qp = ent_gaussian_slope_kl_qp,
                                       .slope_action = gaussian_slope_action,
                                       .slope_pathwise_logprob = gaussian_slope_pathwise_logprob,
                                       .sample = gaussian_sample};

entrol_status entrol_gaussian_entropy(double *entropy, const double *sigma, size_t n_dimensions) {
    if (!sigma && n_dimensions)
        return ENTROL_ERROR_ARGUMENT;
    double sum = 0;
    for (size_t i = 0; i < n_dimensions; i++)
        sum += ENT_NORMAL_ENTROPY + log(sigma[i]);
    if (entropy)
        *entropy = sum;
    return ENTROL_OK;
}
