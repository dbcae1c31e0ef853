/* One choice of n by its logits z. With d = z - max z, S = sum e^d and p = e^d / S:
 *   H = ln S - mean d,  ln p_a = d_a - ln S,
 *   dH/dz_i = -p_i (d_i - mean d),  d ln p_a/dz_i = [i = a] - p_i,
 *   KL(p||q) = sum p (e^-delta - 1 + delta), whose terms are not negative, delta = ln p - ln q,
 *   dKL(p||q)/dz_i = p_i (delta_i - KL),  dKL(q||p)/dz_i = p_i - q_i.
 * Keeping the greatest columns out of S, as S = n_top + s, and taking differences about means keeps the digits of rows
 * that are nearly certain, flat, or nearly equal. */
#include "choice.h"

#include "base/portable.h"

#include <math.h>

/* Finite logits are kept within this, so that no difference overflows. */
#define MOST 1e300

static double logit(const double *logits, size_t i) {
    const double z = logits[i];
    return z > MOST ? MOST : z < -MOST && z > -(double)INFINITY ? -MOST : z;
}

ent_fault ent_choice_check(const double *logits, size_t n) {
    int is_possible = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(logits[i] < INFINITY))
            return (ent_fault){isnan(logits[i]) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE, i};
        is_possible |= logits[i] > -INFINITY;
    }
    return (ent_fault){is_possible ? ENTROL_REASON_NONE : ENTROL_REASON_EMPTY_SUPPORT, 0};
}

ent_fault ent_choice_take(double action, size_t n) {
    if (!isfinite(action))
        return (ent_fault){isnan(action) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE, 0};
    const int is_one = action >= 0 && action < (double)n && floor(action) == action;
    return (ent_fault){is_one ? ENTROL_REASON_NONE : ENTROL_REASON_ACTION, 0};
}

/* What is known of a row. */
typedef struct sums {
    double m, n_top;
    double rest; /* of the other columns, sum e^d */
    double sum, log_sum, mean;
} sums;

static sums sum_up(const double *logits, size_t n) {
    sums sums = {.m = -(double)INFINITY};
    double product = 0;
    for (size_t i = 0; i < n; i++)
        sums.m = fmax(sums.m, logit(logits, i));
    for (size_t i = 0; i < n; i++) {
        const double d = logit(logits, i) - sums.m, e = exp(d);
        sums.n_top += d == 0;
        sums.rest += d == 0 ? 0 : e;
        product += e > 0 ? e * d : 0;
    }
    sums.sum = sums.n_top + sums.rest;
    sums.log_sum = sums.n_top == 1 ? log1p(sums.rest) : log(sums.sum);
    sums.mean = product / sums.sum;
    return sums;
}

double ent_choice_entropy(const ent_choice *choice) {
    const sums p = sum_up(choice->p, choice->n);
    return p.log_sum - p.mean;
}

void ent_choice_slope_entropy(double *slopes, const ent_choice *choice, double by) {
    const sums p = sum_up(choice->p, choice->n);
    for (size_t i = 0; i < choice->n; i++) {
        const double d = logit(choice->p, i) - p.m, e = exp(d);
        if (e > 0)
            slopes[i] -= by * (e / p.sum * (d - p.mean));
    }
}

double ent_choice_logprob(const ent_choice *choice, size_t action) {
    const sums p = sum_up(choice->p, choice->n);
    return logit(choice->p, action) - p.m - p.log_sum;
}

/* 1 - p of the action is what the others have. */
void ent_choice_slope_logprob(double *slopes, const ent_choice *choice, size_t action, double by) {
    const sums p = sum_up(choice->p, choice->n);
    for (size_t i = 0; i < choice->n; i++) {
        const double d = logit(choice->p, i) - p.m, e = exp(d);
        if (i == action && d > -INFINITY)
            slopes[i] += by * ((d == 0 ? p.n_top - 1 + p.rest : p.sum - e) / p.sum);
        else
            slopes[i] -= by * (e / p.sum);
    }
}

/* --- Divergences --- */

typedef struct pair {
    sums p, q;
    double shift; /* delta = (d of p - d of q) - shift */
} pair;

/* One column of both; delta is infinite, or NaN, where one is impossible. */
typedef struct column {
    double d, p, q, delta;
    int is_possible; /* in p */
} column;

static column column_at(const pair *pair, const ent_choice *choice, size_t i) {
    const double d = logit(choice->p, i) - pair->p.m, d_q = logit(choice->q, i) - pair->q.m;
    return (column){d, exp(d) / pair->p.sum, exp(d_q) / pair->q.sum, d - d_q - pair->shift, d > -INFINITY};
}

/* q - p = p (e^-delta - 1). */
static double difference(const column *column) {
    return fabs(column->delta) < 1 ? column->p * expm1(-column->delta) : column->q - column->p;
}

/* The normalisers' errors are one error of all delta, which sum (q - p), exactly 0, shows: it is e^-error - 1. */
static pair pair_up(const ent_choice *choice) {
    pair pair = {sum_up(choice->p, choice->n), sum_up(choice->q, choice->n), 0};
    pair.shift = pair.p.log_sum - pair.q.log_sum;
    double gain = 0;
    for (size_t i = 0; i < choice->n; i++) {
        const column column = column_at(&pair, choice, i);
        gain += difference(&column);
    }
    if (fabs(gain) < 0.5)
        pair.shift -= log1p(gain);
    return pair;
}

double ent_choice_kl(const ent_choice *choice) {
    const pair pair = pair_up(choice);
    double sum = 0;
    for (size_t i = 0; i < choice->n; i++) {
        const column column = column_at(&pair, choice, i);
        if (!column.is_possible)
            sum += column.q;
        else if (column.delta == INFINITY)
            return (double)INFINITY;
        else if (fabs(column.delta) < 1)
            sum += column.p * ent_exp_rest(-column.delta);
        else
            sum += column.p * column.delta + (column.q - column.p);
    }
    return fmax(sum, 0);
}

/* Where the column is possible in p alone, 0 times infinity or infinity itself: no derivative. */
void ent_choice_slope_kl_pq(double *slopes, const ent_choice *choice, double by) {
    const pair pair = pair_up(choice);
    double mean = 0;
    for (size_t i = 0; i < choice->n; i++) {
        const column column = column_at(&pair, choice, i);
        mean += column.is_possible ? column.p * column.delta : 0;
    }
    for (size_t i = 0; i < choice->n; i++) {
        const column column = column_at(&pair, choice, i);
        if (column.is_possible)
            slopes[i] += by * (column.p * (column.delta - mean));
    }
}

void ent_choice_slope_kl_qp(double *slopes, const ent_choice *choice, double by) {
    const pair pair = pair_up(choice);
    for (size_t i = 0; i < choice->n; i++) {
        const column column = column_at(&pair, choice, i);
        if (column.is_possible)
            slopes[i] -= by * difference(&column);
    }
}

/* --- Draws --- */

static size_t most_probable(const ent_choice *choice) {
    size_t best = 0;
    for (size_t i = 1; i < choice->n; i++)
        if (logit(choice->p, i) > logit(choice->p, best))
            best = i;
    return best;
}

/* The first column at which the mass of it and those before passes a share of the whole; the last one with a mass where
 * rounding leaves none. */
size_t ent_choice_sample(const ent_choice *choice, ent_draws *draws) {
    const size_t top = most_probable(choice);
    if (!draws)
        return top;
    const double m = logit(choice->p, top);
    double whole = 0, mass = 0;
    for (size_t i = 0; i < choice->n; i++)
        whole += ent_portable_exp(logit(choice->p, i) - m);
    const double share = ent_draw_uniform(draws) * whole;
    size_t last = top;
    for (size_t i = 0; i < choice->n; i++) {
        const double e = ent_portable_exp(logit(choice->p, i) - m);
        if (e == 0)
            continue;
        last = i;
        mass += e;
        if (mass > share)
            break;
    }
    return last;
}
