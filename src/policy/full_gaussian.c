/* Gaussian policies of a full covariance L L^T, L lower triangular. With y = L^-1 (a - mu) and n dimensions:
 *   H = 0.5 n ln(2 pi e) + sum ln L_ii,  ln p(a) = -|y|^2 / 2 - sum ln L_ii - 0.5 n ln(2 pi),
 *   d ln p/dmu = u, d ln p/dL = u y^T - diag(1 / L_ii) below the diagonal and on it, u = L^-T y.
 * The divergences are taken from D = Lq^-1 (Lp - Lq), which is small where p and q are close: with Lq^-1 Lp = I + D and
 * w = Lq^-1 (mu_p - mu_q), KL(p||q) = sum_i [D_ii - ln(1 + D_ii)] + (|D|^2 + |w|^2) / 2. */
#include "gaussian.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A vector of n and two matrices. */
static size_t full_n_scratch(size_t n) {
    return n + 2 * n * n;
}

static ent_fault full_check(const ent_shape *shape, const ent_parameters *p, int needs_density) {
    const ent_fault fault = ent_find_infinite(p->first, shape->n);
    if (fault.reason != ENTROL_REASON_NONE)
        return fault;
    for (size_t i = 0; i < shape->n; i++) {
        const double *l = p->second + i * shape->n;
        const ent_fault of_row = ent_find_infinite(l, i + 1);
        if (of_row.reason != ENTROL_REASON_NONE)
            return (ent_fault){of_row.reason, i * shape->n + of_row.column};
        if (l[i] < 0 || (l[i] == 0 && needs_density))
            return (ent_fault){ENTROL_REASON_PARAMETER, i * shape->n + i};
    }
    return (ent_fault){ENTROL_REASON_NONE, 0};
}

static ent_fault full_take_action(const ent_shape *shape, double *action) {
    return ent_find_infinite(action, shape->n);
}

/* --- Triangular systems --- */

/* x := L^-1 x of n numbers that are `step` apart. */
static void solve(double *x, size_t step, const double *l, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double sum = x[i * step];
        for (size_t k = 0; k < i; k++)
            sum -= l[i * n + k] * x[k * step];
        x[i * step] = sum / l[i * n + i];
    }
}

/* x := L^-T x. */
static void solve_transposed(double *x, size_t step, const double *l, size_t n) {
    for (size_t i = n; i-- > 0;) {
        double sum = x[i * step];
        for (size_t k = i + 1; k < n; k++)
            sum -= l[k * n + i] * x[k * step];
        x[i * step] = sum / l[i * n + i];
    }
}

static double sum_of_logs(const double *l, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += log(l[i * n + i]);
    return sum;
}

static double sum_of_squares(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

/* --- Entropy and density --- */

static double full_entropy(const ent_policy_row *row) {
    return (double)row->shape->n * ENT_NORMAL_ENTROPY + sum_of_logs(row->p.second, row->shape->n);
}

static void full_slope_entropy(ent_slopes *slopes, const ent_policy_row *row, double by) {
    const size_t n = row->shape->n;
    for (size_t i = 0; i < n; i++)
        slopes->second[i * n + i] += by / row->p.second[i * n + i];
}

/* y = L^-1 (a - mu), the noise that the action was made of. */
static double *noise(const ent_policy_row *row) {
    const size_t n = row->shape->n;
    for (size_t i = 0; i < n; i++)
        row->scratch[i] = row->action[i] - row->p.first[i];
    solve(row->scratch, 1, row->p.second, n);
    return row->scratch;
}

static double full_logprob(const ent_policy_row *row) {
    const size_t n = row->shape->n;
    const double square = sum_of_squares(noise(row), n) / 2;
    return -square - sum_of_logs(row->p.second, n) - (double)n * ENT_HALF_LOG_2_PI;
}

/* Adds by u v^T below the diagonal and on it. */
static void add_product(double *slopes, const double *u, const double *v, size_t n, double by) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            slopes[i * n + j] += by * (u[i] * v[j]);
}

static void full_slope_logprob(ent_slopes *slopes, const ent_policy_row *row, double by) {
    const size_t n = row->shape->n;
    const double *y = noise(row);
    double *u = row->scratch + n;
    memcpy(u, y, n * sizeof *u);
    solve_transposed(u, 1, row->p.second, n);
    for (size_t i = 0; i < n; i++)
        slopes->first[i] += by * u[i];
    add_product(slopes->second, u, y, n, by);
    full_slope_entropy(slopes, row, -by);
}

/* --- Divergences --- */

/* In scratch: w = Lq^-1 (mu_p - mu_q), and after it D = Lq^-1 (Lp - Lq), lower triangular. */
static double *relative_to(const ent_policy_row *row, const ent_parameters *p, const ent_parameters *q) {
    const size_t n = row->shape->n;
    double *w = row->scratch, *d = w + n;
    for (size_t i = 0; i < n; i++) {
        w[i] = p->first[i] - q->first[i];
        for (size_t j = 0; j < n; j++)
            d[i * n + j] = j <= i ? p->second[i * n + j] - q->second[i * n + j] : 0;
    }
    solve(w, 1, q->second, n);
    for (size_t j = 0; j < n; j++)
        solve(d + j, n, q->second, n);
    return d;
}

/* ln(p / q) of two diagonal elements, where d = p / q - 1 has forgotten p / q when that is small. */
static double log_of_ratio(double p, double q, double d) {
    if (d > -0.5)
        return log1p(d);
    return p / q >= DBL_MIN ? log(p / q) : log(p) - log(q);
}

static double full_kl(const ent_policy_row *row) {
    const size_t n = row->shape->n;
    const double *d = relative_to(row, &row->p, &row->q);
    double sum = (sum_of_squares(row->scratch, n) + sum_of_squares(d, n * n)) / 2;
    for (size_t i = 0, at = 0; i < n; i++, at += n + 1)
        sum += ent_exp_rest(log_of_ratio(row->p.second[at], row->q.second[at], d[at])); /* D - ln(1 + D) */
    return sum;
}

/* By mu: Lq^-T w. By L: the lower triangle of Lq^-T (I + D) - diag(1 / Lp_ii), in which 1 / Lq_ii - 1 / Lp_ii = D_ii /
 * Lp_ii. */
static void full_slope_kl_pq(ent_slopes *slopes, const ent_policy_row *row, double by) {
    const size_t n = row->shape->n;
    double *w = row->scratch, *d = relative_to(row, &row->p, &row->q);
    for (size_t i = 0; i < n; i++)
        slopes->second[i * n + i] += by * (d[i * n + i] / row->p.second[i * n + i]);
    solve_transposed(w, 1, row->q.second, n);
    for (size_t j = 0; j < n; j++)
        solve_transposed(d + j, n, row->q.second, n);
    for (size_t i = 0; i < n; i++) {
        slopes->first[i] += by * w[i];
        for (size_t j = 0; j <= i; j++)
            slopes->second[i * n + j] += by * d[i * n + j];
    }
}

/* With E = Lp^-1 (Lq - Lp) and w = Lp^-1 (mu_q - mu_p): by mu, -Lp^-T w; by L, the lower triangle of diag(1 / Lp_ii) -
 * Lp^-T [(I + E)(I + E)^T + w w^T], in which what I gives is the diagonal. */
static void full_slope_kl_qp(ent_slopes *slopes, const ent_policy_row *row, double by) {
    const size_t n = row->shape->n;
    const double *e = relative_to(row, &row->q, &row->p);
    double *w = row->scratch, *a = w + n + n * n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = e[i * n + j] + e[j * n + i] + w[i] * w[j];
            for (size_t k = 0; k < n; k++)
                sum += e[i * n + k] * e[j * n + k];
            a[i * n + j] = sum;
        }
    for (size_t j = 0; j < n; j++)
        solve_transposed(a + j, n, row->p.second, n);
    solve_transposed(w, 1, row->p.second, n);
    for (size_t i = 0; i < n; i++) {
        slopes->first[i] -= by * w[i];
        for (size_t j = 0; j <= i; j++)
            slopes->second[i * n + j] -= by * a[i * n + j];
    }
}

/* --- Draws --- */

/* a = mu + L y. */
static void full_slope_action(ent_slopes *slopes, const ent_policy_row *row, const double *d_action) {
    const size_t n = row->shape->n;
    for (size_t i = 0; i < n; i++)
        slopes->first[i] += d_action[i];
    add_product(slopes->second, d_action, noise(row), n, 1);
}

/* y is fixed: ln p = -sum ln L_ii and what is constant. */
static void full_slope_pathwise_logprob(ent_slopes *slopes, const ent_policy_row *row, double by) {
    full_slope_entropy(slopes, row, -by);
}

static void full_sample(double *action, double *before, const ent_policy_row *row, ent_draws *draws) {
    (void)before;
    const size_t n = row->shape->n;
    for (size_t i = 0; i < n; i++) {
        action[i] = row->p.first[i];
        row->scratch[i] = draws ? ent_draw_normal(draws) : 0;
        for (size_t j = 0; j <= i; j++)
            action[i] += row->p.second[i * n + j] * row->scratch[j];
    }
}

const ent_distribution ent_full_gaussian = {.name = "full-gaussian",
                                            .second = ENT_SECOND_SQUARE,
                                            .n_scratch = full_n_scratch,
                                            .check = full_check,
                                            .take_action = full_take_action,
                                            .entropy = full_entropy,
                                            .logprob = full_logprob,
                                            .kl = full_kl,
                                            .slope_entropy = full_slope_entropy,
                                            .slope_logprob = full_slope_logprob,
                                            .slope_kl_pq = full_slope_kl_pq,
                                            .slope_kl_qp = full_slope_kl_qp,
                                            .slope_action = full_slope_action,
                                            .slope_pathwise_logprob = full_slope_pathwise_logprob,
                                            .sample = full_sample};
