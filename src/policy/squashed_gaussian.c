/* a = low + (high - low) (1 + tanh x) / 2 of independent Gaussian x. With f(x) = ln(1 - tanh(x)^2) and ln da/dx = f(x)
 * + ln((high - low) / 2): H = H of x + E[f(x)] + ln((high - low) / 2),  ln p(a) = ln p(x) - f(x) - ln((high - low) /
 * 2), and the divergences are those of x. The actions that these functions take are x. */
#include "gaussian.h"
#include "squash.h"

#include "base/portable.h"

#include <math.h>

static ent_fault squashed_take_action(const ent_shape *shape, double *action) {
    if (shape->are_before_squash)
        return ent_find_infinite(action, shape->n);
    const ent_fault fault = ent_take_bounded(shape, action);
    for (size_t i = 0; fault.reason == ENTROL_REASON_NONE && i < shape->n; i++)
        action[i] = ent_unsquash(shape, action[i]);
    return fault;
}

static double log_half_width(const ent_shape *shape) {
    return log((shape->high - shape->low) / 2);
}

static double squashed_entropy(const ent_policy_row *row) {
    double sum = 0;
    for (size_t i = 0; i < row->shape->n; i++) {
        const double s = row->p.second[i];
        const ent_squash_loss loss = ent_squash_expect(row->shape->squash, row->p.first[i], s);
        sum += ENT_NORMAL_ENTROPY + s + loss.value + log_half_width(row->shape);
    }
    return sum;
}

static void squashed_slope_entropy(ent_slopes *slopes, const ent_policy_row *row, double by) {
    for (size_t i = 0; i < row->shape->n; i++) {
        const ent_squash_loss loss = ent_squash_expect(row->shape->squash, row->p.first[i], row->p.second[i]);
        slopes->first[i] += by * loss.by_mean;
        slopes->second[i] += by * (1 + loss.by_log_sigma);
    }
}

static double squashed_logprob(const ent_policy_row *row) {
    double sum = ent_gaussian_logprob(row);
    for (size_t i = 0; i < row->shape->n && sum > -INFINITY; i++)
        sum -= ent_log_slope_at(row->action[i]).value + log_half_width(row->shape);
    return sum;
}

/* da/dx = (high - low) / 2 (1 - tanh(x)^2), which is -f'' / 2; dx/dmu = 1, dx/ds = x - mu. */
static void squashed_slope_action(ent_slopes *slopes, const ent_policy_row *row, const double *d_action) {
    const double half_width = (row->shape->high - row->shape->low) / 2;
    for (size_t i = 0; i < row->shape->n; i++) {
        const double x = row->action[i], d_x = d_action[i] * (half_width * (ent_log_slope_at(x).second / -2));
        slopes->first[i] += d_x;
        slopes->second[i] += d_x * (x - row->p.first[i]);
    }
}

/* The noise is fixed: ln p = -s - f(x) and what is constant. */
static void squashed_slope_pathwise_logprob(ent_slopes *slopes, const ent_policy_row *row, double by) {
    for (size_t i = 0; i < row->shape->n; i++) {
        const double x = row->action[i], d_x = -by * ent_log_slope_at(x).first;
        slopes->first[i] += d_x;
        slopes->second[i] += d_x * (x - row->p.first[i]) - by;
    }
}

static void squashed_sample(double *action, double *before, const ent_policy_row *row, ent_draws *draws) {
    ent_gaussian_sample(before, row, draws);
    for (size_t i = 0; i < row->shape->n; i++)
        action[i] = ent_squash_portably(row->shape, before[i]);
}

const ent_distribution ent_squashed_gaussian = {.name = "squashed-gaussian",
                                                .second = ENT_SECOND_ROW,
                                                .has_bounds = 1,
                                                .has_log_sigma = 1,
                                                .check = ent_gaussian_check,
                                                .take_action = squashed_take_action,
                                                .entropy = squashed_entropy,
                                                .logprob = squashed_logprob,
                                                .kl = ent_gaussian_kl,
                                                .slope_entropy = squashed_slope_entropy,
                                                .slope_logprob = ent_gaussian_slope_logprob,
                                                .slope_kl_pq = ent_gaussian_slope_kl_pq,
                                                .slope_kl_qp = ent_gaussian_slope_kl_qp,
                                                .slope_action = squashed_slope_action,
                                                .slope_pathwise_logprob = squashed_slope_pathwise_logprob,
                                                .sample = squashed_sample};
