/* Beta policies on [low, high], independent dimensions. With a = low + w u, t = alpha + beta and psi the digamma
 * function:
 *   ln p(a) = (alpha - 1) ln u + (beta - 1) ln(1 - u) - ln B(alpha, beta) - ln w,
 *   H = ln B - (alpha - 1) psi(alpha) - (beta - 1) psi(beta) + (t - 2) psi(t) + ln w,
 *   KL(p||q) = ln B_q - ln B_p + (alpha_p - alpha_q) psi(alpha_p) + (beta_p - beta_q) psi(beta_p) + (t_q - t_p)
 * psi(t_p). Gradients are by ln alpha and ln beta. */
#include "gaussian.h"
#include "squash.h"

#include "base/gamma.h"
#include "base/portable.h"

#include <math.h>

typedef struct shapes {
    double a, b, t;
} shapes;

static shapes shapes_at(const ent_parameters *p, size_t i) {
    const double a = exp(p->first[i]), b = exp(p->second[i]);
    return (shapes){a, b, a + b};
}

/* Between these the sums below stay finite. */
static int is_shape(double shape) {
    return shape >= 1e-300 && shape <= 1e300;
}

static ent_fault beta_check(const ent_shape *shape, const ent_parameters *p, int needs_density) {
    (void)needs_density;
    for (size_t i = 0; i < shape->n; i++) {
        if (isnan(p->first[i]) || isnan(p->second[i]))
            return (ent_fault){ENTROL_REASON_NAN, i};
        if (!is_shape(exp(p->first[i])) || !is_shape(exp(p->second[i])))
            return (ent_fault){ENTROL_REASON_PARAMETER, i};
    }
    return (ent_fault){ENTROL_REASON_NONE, 0};
}

/* --- Entropy --- */

/* ln Gamma(x) - (x - 1) psi(x) + x. What grows faster than ln x cancels, which for a great x is done in the series. */
static double entropy_part(double x) {
    if (x < ENT_LEAST_ASYMPTOTIC)
        return ent_log_gamma(x) - (x - 1) * ent_digamma(x) + x;
    return 0.5 * log(x) + ENT_NORMAL_ENTROPY - 0.5 / x + ent_stirling_rest(x) + (x - 1) * ent_digamma_rest(x);
}

static double entropy_of(const shapes *p) {
    if (p->a == 1 && p->b == 1)
        return 0;
    return entropy_part(p->a) + entropy_part(p->b) - entropy_part(p->t) - ent_digamma(p->t);
}

static double beta_entropy(const ent_policy_row *row) {
    double sum = 0;
    for (size_t i = 0; i < row->shape->n; i++) {
        const shapes p = shapes_at(&row->p, i);
        sum += entropy_of(&p) + log(row->shape->high - row->shape->low);
    }
    return sum;
}

/* dH/dalpha = (t - 2) psi'(t) - (alpha - 1) psi'(alpha). */
static void beta_slope_entropy(ent_slopes *slopes, const ent_policy_row *row, double by) {
    for (size_t i = 0; i < row->shape->n; i++) {
        const shapes p = shapes_at(&row->p, i);
        const double both = (p.t - 2) * ent_trigamma(p.t);
        slopes->first[i] += by * (p.a * (both - (p.a - 1) * ent_trigamma(p.a)));
        slopes->second[i] += by * (p.b * (both - (p.b - 1) * ent_trigamma(p.b)));
    }
}

/* --- Density --- */

static double log_beta(const shapes *p) {
    return ent_log_gamma(p->a) + ent_log_gamma(p->b) - ent_log_gamma(p->t);
}

/* ln u and ln(1 - u). */
typedef struct place {
    double log_u, log_rest;
} place;

static place place_of(const ent_shape *shape, double action) {
    const double below = action - shape->low, above = shape->high - action, width = shape->high - shape->low;
    if (below < above)
        return (place){log(below / width), log1p(-below / width)};
    return (place){log1p(-above / width), log(above / width)};
}

static double beta_logprob(const ent_policy_row *row) {
    double sum = 0;
    for (size_t i = 0; i < row->shape->n; i++) {
        const shapes p = shapes_at(&row->p, i);
        const place at = place_of(row->shape, row->action[i]);
        sum += (p.a - 1) * at.log_u + (p.b - 1) * at.log_rest - log_beta(&p) - log(row->shape->high - row->shape->low);
    }
    return sum;
}

static void beta_slope_logprob(ent_slopes *slopes, const ent_policy_row *row, double by) {
    for (size_t i = 0; i < row->shape->n; i++) {
        const shapes p = shapes_at(&row->p, i);
        const place at = place_of(row->shape, row->action[i]);
        const double both = ent_digamma(p.t);
        slopes->first[i] += by * (p.a * (at.log_u - ent_digamma(p.a) + both));
        slopes->second[i] += by * (p.b * (at.log_rest - ent_digamma(p.b) + both));
    }
}

/* --- Divergences --- */

/* The shapes of p less those of q, whose digits are kept where they are close. */
static shapes differences_at(const ent_policy_row *row, size_t i) {
    const double a = exp(row->q.first[i]) * expm1(row->p.first[i] - row->q.first[i]);
    const double b = exp(row->q.second[i]) * expm1(row->p.second[i] - row->q.second[i]);
    return (shapes){a, b, a + b};
}

static double beta_kl(const ent_policy_row *row) {
    double sum = 0;
    for (size_t i = 0; i < row->shape->n; i++) {
        const shapes p = shapes_at(&row->p, i), q = shapes_at(&row->q, i), off = differences_at(row, i);
        const double means = off.a * ent_digamma(p.a) + off.b * ent_digamma(p.b) - off.t * ent_digamma(p.t);
        sum += fmax(0, log_beta(&q) - log_beta(&p) + means);
    }
    return sum;
}

/* By alpha: (alpha_p - alpha_q) psi'(alpha_p) - (t_p - t_q) psi'(t_p). */
static void beta_slope_kl_pq(ent_slopes *slopes, const ent_policy_row *row, double by) {
    for (size_t i = 0; i < row->shape->n; i++) {
        const shapes p = shapes_at(&row->p, i), off = differences_at(row, i);
        const double both = off.t * ent_trigamma(p.t);
        slopes->first[i] += by * (p.a * (off.a * ent_trigamma(p.a) - both));
        slopes->second[i] += by * (p.b * (off.b * ent_trigamma(p.b) - both));
    }
}

/* By alpha: psi(alpha_p) - psi(alpha_q) - (psi(t_p) - psi(t_q)). */
static void beta_slope_kl_qp(ent_slopes *slopes, const ent_policy_row *row, double by) {
    for (size_t i = 0; i < row->shape->n; i++) {
        const shapes p = shapes_at(&row->p, i), q = shapes_at(&row->q, i), off = differences_at(row, i);
        const double both = ent_digamma_step(q.t, p.t, off.t);
        slopes->first[i] += by * (p.a * (ent_digamma_step(q.a, p.a, off.a) - both));
        slopes->second[i] += by * (p.b * (ent_digamma_step(q.b, p.b, off.b) - both));
    }
}

/* --- Draws --- */

/* u = X / (X + Y) of two Gamma numbers, whose logarithms alone do not underflow for small shapes; as (1 + tanh x) / 2
 * with 2 x = ln X - ln Y. */
static void beta_sample(double *action, double *before, const ent_policy_row *row, ent_draws *draws) {
    (void)before;
    for (size_t i = 0; i < row->shape->n; i++) {
        double log_x = row->p.first[i], log_y = row->p.second[i]; /* of the mean */
        if (draws) {
            log_x = ent_draw_log_gamma(draws, ent_portable_exp(log_x));
            log_y = ent_draw_log_gamma(draws, ent_portable_exp(log_y));
        }
        action[i] = ent_squash_portably(row->shape, (log_x - log_y) / 2);
    }
}

const ent_distribution ent_beta = {.name = "beta",
                                   .second = ENT_SECOND_ROW,
                                   .has_bounds = 1,
                                   .check = beta_check,
                                   .take_action = ent_take_bounded,
                                   .entropy = beta_entropy,
                                   .logprob = beta_logprob,
                                   .kl = beta_kl,
                                   .slope_entropy = beta_slope_entropy,
                                   .slope_logprob = beta_slope_logprob,
                                   .slope_kl_pq = beta_slope_kl_pq,
                                   .slope_kl_qp = beta_slope_kl_qp,
                                   .sample = beta_sample};
