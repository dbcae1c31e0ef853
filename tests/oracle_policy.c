/* The oracle of policies. Each formula is the textbook's, without a thought of cost or cancellation: long double has
 * digits to spare. */
#include "oracle_policy.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846264338327950288L

enum { MOST_DIMENSIONS = 16 };

size_t oracle_policy_n_second(entrol_policy_kind kind, size_t n) {
    switch (kind) {
    case ENTROL_POLICY_CATEGORICAL:
    case ENTROL_POLICY_MULTI_DISCRETE:
    case ENTROL_POLICY_BERNOULLI:
        return 0;
    case ENTROL_POLICY_FULL_GAUSSIAN:
        return n * n;
    case ENTROL_POLICY_GAUSSIAN:
    case ENTROL_POLICY_SQUASHED_GAUSSIAN:
    case ENTROL_POLICY_BETA:
        return n;
    }
    return 0;
}

size_t oracle_policy_n_actions(const oracle_distribution *p) {
    return p->kind == ENTROL_POLICY_CATEGORICAL ? 1 : p->kind == ENTROL_POLICY_MULTI_DISCRETE ? p->n_sizes : p->n;
}

static void add(oracle_slopes *slopes, long double *to, long double term) {
    *to += term;
    slopes->greatest = fmaxl(slopes->greatest, fabsl(term));
}

/* --- Choices: the i-th of a discrete kind --- */

static size_t n_choices(const oracle_distribution *p) {
    return oracle_policy_n_actions(p);
}

static size_t choice_first(const oracle_distribution *p, size_t i) {
    size_t first = p->kind == ENTROL_POLICY_BERNOULLI ? i : 0;
    for (size_t k = 0; p->kind == ENTROL_POLICY_MULTI_DISCRETE && k < i; k++)
        first += p->sizes[k];
    return first;
}

/* Its size; log-probabilities, -inf for what is impossible. */
static size_t choice_logs(long double *logs, const oracle_distribution *p, size_t i) {
    const long double *z = p->first + choice_first(p, i);
    if (p->kind == ENTROL_POLICY_BERNOULLI) {
        logs[0] = -log1pl(expl(z[0]));
        logs[1] = -log1pl(expl(-z[0]));
        return 2;
    }
    const size_t n = p->kind == ENTROL_POLICY_CATEGORICAL ? p->n : p->sizes[i];
    long double others = 0;
    size_t top = 0;
    for (size_t k = 1; k < n; k++)
        top = z[k] > z[top] ? k : top;
    for (size_t k = 0; k < n; k++)
        others += k == top ? 0 : expl(z[k] - z[top]); /* of a row that is nearly certain its ln p is as small */
    for (size_t k = 0; k < n; k++)
        logs[k] = z[k] - z[top] - log1pl(others);
    return n;
}

static long double choice_entropy(const long double *logs, size_t n) {
    long double sum = 0;
    for (size_t k = 0; k < n; k++)
        sum -= logs[k] > -INFINITY ? expl(logs[k]) * logs[k] : 0;
    return sum;
}

static long double choice_kl(const long double *p, const long double *q, size_t n) {
    long double sum = 0;
    for (size_t k = 0; k < n; k++)
        if (p[k] == -INFINITY)
            sum += expl(q[k]);
        else if (fabsl(p[k] - q[k]) < 1) /* with sum q - sum p = 0, so that no term is negative */
            sum += expl(p[k]) * (expm1l(q[k] - p[k]) - (q[k] - p[k]));
        else
            sum += expl(p[k]) * (p[k] - q[k]) + expl(q[k]) - expl(p[k]);
    return sum;
}

/* Of a Bernoulli's two columns the second has the gradient. */
static void add_choice(oracle_slopes *slopes, const oracle_distribution *p, size_t i, size_t k, long double term) {
    if (p->kind != ENTROL_POLICY_BERNOULLI)
        add(slopes, &slopes->first[choice_first(p, i) + k], term);
    else if (k == 1)
        add(slopes, &slopes->first[i], term);
}

enum { MOST_CHOICES = 128 };

static int is_discrete(const oracle_distribution *p) {
    return oracle_policy_n_second(p->kind, 1) == 0;
}

/* --- Gamma functions --- */

long double oracle_digamma(long double x) {
    long double sum = 0;
    for (; x < 40; x++)
        sum -= 1 / x;
    const long double s = 1 / (x * x);
    return sum + logl(x) - 0.5L / x -
           s * (1 / 12.0L -
                s * (1 / 120.0L - s * (1 / 252.0L - s * (1 / 240.0L - s * (1 / 132.0L - s * 691 / 32760.0L)))));
}

long double oracle_trigamma(long double x) {
    long double sum = 0;
    for (; x < 40; x++)
        sum += 1 / (x * x);
    const long double s = 1 / (x * x);
    return sum + 1 / x + s / 2 +
           s / x * (1 / 6.0L - s * (1 / 30.0L - s * (1 / 42.0L - s * (1 / 30.0L - s * (5 / 66.0L - s * 691 / 2730)))));
}

static long double log_beta(long double a, long double b) {
    return lgammal(a) + lgammal(b) - lgammal(a + b);
}

/* --- Quadrature --- */

enum { N_NODES = 20 };

/* Gauss and Legendre's nodes on [-1, 1], by Newton's method. */
static void find_nodes(long double *nodes, long double *weights) {
    for (int i = 0; i < N_NODES; i++) {
        long double x = cosl(PI * (i + 0.75L) / (N_NODES + 0.5L)), slope = 1;
        for (int step = 0; step < 60; step++) {
            long double before = 1, value = x;
            for (int k = 2; k <= N_NODES; k++) {
                const long double next = ((2 * k - 1) * x * value - (k - 1) * before) / k;
                before = value;
                value = next;
            }
            slope = N_NODES * (x * value - before) / (x * x - 1);
            x -= value / slope;
        }
        nodes[i] = x;
        weights[i] = 2 / ((1 - x * x) * slope * slope);
    }
}

typedef struct integrand {
    long double mean, sigma;
    const long double *nodes, *weights;
} integrand;

/* f, f' and f' (x - mean) at mean + sigma z, times the density of z. */
static oracle_squash_loss integrand_at(const integrand *of, long double z) {
    const long double x = of->mean + of->sigma * z, size = fabsl(x);
    const long double density = expl(-z * z / 2) / sqrtl(2 * PI), slope = -2 * tanhl(x);
    return (oracle_squash_loss){density * 2 * (logl(2) - size - log1pl(expl(-2 * size))), density * slope,
                                density * slope * of->sigma * z};
}

static oracle_squash_loss integrate_once(const integrand *of, long double from, long double to) {
    oracle_squash_loss sum = {0, 0, 0};
    for (int i = 0; i < N_NODES; i++) {
        const long double half = (to - from) / 2, weight = half * of->weights[i];
        const oracle_squash_loss at = integrand_at(of, from + half * (1 + of->nodes[i]));
        sum.value += weight * at.value;
        sum.by_mean += weight * at.by_mean;
        sum.by_log_sigma += weight * at.by_log_sigma;
    }
    return sum;
}

static oracle_squash_loss integrate(const integrand *of, long double from, long double to, int depth) {
    const long double middle = (from + to) / 2;
    const oracle_squash_loss whole = integrate_once(of, from, to), left = integrate_once(of, from, middle),
                             right = integrate_once(of, middle, to);
    const long double off = fabsl(left.value + right.value - whole.value) +
                            fabsl(left.by_mean + right.by_mean - whole.by_mean) +
                            fabsl(left.by_log_sigma + right.by_log_sigma - whole.by_log_sigma);
    if (depth == 0 || off < 1e-18L * (1 + fabsl(of->mean) + of->sigma))
        return (oracle_squash_loss){left.value + right.value, left.by_mean + right.by_mean,
                                    left.by_log_sigma + right.by_log_sigma};
    const oracle_squash_loss a = integrate(of, from, middle, depth - 1), b = integrate(of, middle, to, depth - 1);
    return (oracle_squash_loss){a.value + b.value, a.by_mean + b.by_mean, a.by_log_sigma + b.by_log_sigma};
}

/* Cut at the kink-like places of a wide Gaussian, x = 0 and +-25. */
oracle_squash_loss oracle_squash_expect(long double mean, long double log_sigma) {
    static long double nodes[N_NODES], weights[N_NODES];
    if (nodes[0] == 0)
        find_nodes(nodes, weights);
    const integrand of = {mean, expl(log_sigma), nodes, weights};
    long double cuts[5] = {-12, (-25 - mean) / of.sigma, -mean / of.sigma, (25 - mean) / of.sigma, 12};
    oracle_squash_loss sum = {0, 0, 0};
    for (int i = 1; i < 5; i++) {
        cuts[i] = fminl(12, fmaxl(-12, cuts[i]));
        if (cuts[i] <= cuts[i - 1])
            continue;
        const oracle_squash_loss part = integrate(&of, cuts[i - 1], cuts[i], 24);
        sum.value += part.value;
        sum.by_mean += part.by_mean;
        sum.by_log_sigma += part.by_log_sigma;
    }
    return sum;
}

/* --- Triangular matrices --- */

static void invert(long double *inverse, const long double *l, size_t n) {
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < n; i++) {
            long double sum = i == j;
            for (size_t k = j; k < i; k++)
                sum -= l[i * n + k] * inverse[k * n + j];
            inverse[i * n + j] = i < j ? 0 : sum / l[i * n + i];
        }
}

/* out = a b or (transposed) a b^T, or a^T b */
static void multiply(long double *out, const long double *a, int a_transposed, const long double *b, int b_transposed,
                     size_t n) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            long double sum = 0;
            for (size_t k = 0; k < n; k++)
                sum += (a_transposed ? a[k * n + i] : a[i * n + k]) * (b_transposed ? b[j * n + k] : b[k * n + j]);
            out[i * n + j] = sum;
        }
}

static void lower_of(long double *out, const long double *l, size_t n) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            out[i * n + j] = j <= i ? l[i * n + j] : 0;
}

typedef long double square_matrix[MOST_DIMENSIONS * MOST_DIMENSIONS];

/* The precision matrix (L L^T)^-1. */
static void precision_of(long double *out, const oracle_distribution *p) {
    square_matrix inverse;
    invert(inverse, p->second, p->n);
    multiply(out, inverse, 1, inverse, 0, p->n);
}

static void covariance_of(long double *out, const oracle_distribution *p) {
    square_matrix l;
    lower_of(l, p->second, p->n);
    multiply(out, l, 0, l, 1, p->n);
}

static long double quadratic(const long double *matrix, const long double *x, const long double *y, size_t n) {
    long double sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            sum += matrix[i * n + j] * (x[i] - y[i]) * (x[j] - y[j]);
    return sum;
}

static long double log_determinant(const oracle_distribution *p) {
    long double sum = 0;
    for (size_t i = 0; i < p->n; i++)
        sum += 2 * logl(p->second[i * p->n + i]);
    return sum;
}

/* --- Entropy --- */

static long double continuous_entropy(const oracle_distribution *p, size_t i) {
    const long double width = p->high - p->low, gaussian = 0.5L * logl(2 * PI * expl(1)), s = p->second[i];
    const long double a = expl(p->first[i]), b = expl(s);
    switch (p->kind) {
    case ENTROL_POLICY_GAUSSIAN:
        return gaussian + s;
    case ENTROL_POLICY_SQUASHED_GAUSSIAN:
        return gaussian + s + oracle_squash_expect(p->first[i], s).value + logl(width / 2);
    case ENTROL_POLICY_FULL_GAUSSIAN:
        return gaussian + logl(p->second[i * p->n + i]);
    default:
        return log_beta(a, b) - (a - 1) * oracle_digamma(a) - (b - 1) * oracle_digamma(b) +
               (a + b - 2) * oracle_digamma(a + b) + logl(width);
    }
}

long double oracle_policy_entropy(const oracle_distribution *p) {
    long double sum = 0, logs[MOST_CHOICES];
    for (size_t i = 0; is_discrete(p) && i < n_choices(p); i++)
        sum += choice_entropy(logs, choice_logs(logs, p, i));
    for (size_t i = 0; !is_discrete(p) && i < p->n; i++)
        sum += continuous_entropy(p, i);
    return sum;
}

static void slope_continuous_entropy(oracle_slopes *slopes, const oracle_distribution *p, size_t i, long double by) {
    const long double a = expl(p->first[i]), b = expl(p->second[i]);
    oracle_squash_loss loss;
    switch (p->kind) {
    case ENTROL_POLICY_GAUSSIAN:
        add(slopes, &slopes->second[i], by);
        return;
    case ENTROL_POLICY_SQUASHED_GAUSSIAN:
        loss = oracle_squash_expect(p->first[i], p->second[i]);
        add(slopes, &slopes->first[i], by * loss.by_mean);
        add(slopes, &slopes->second[i], by);
        add(slopes, &slopes->second[i], by * loss.by_log_sigma);
        return;
    case ENTROL_POLICY_FULL_GAUSSIAN:
        add(slopes, &slopes->second[i * p->n + i], by / p->second[i * p->n + i]);
        return;
    default:
        add(slopes, &slopes->first[i], by * -a * (a - 1) * oracle_trigamma(a));
        add(slopes, &slopes->first[i], by * a * (a + b - 2) * oracle_trigamma(a + b));
        add(slopes, &slopes->second[i], by * -b * (b - 1) * oracle_trigamma(b));
        add(slopes, &slopes->second[i], by * b * (a + b - 2) * oracle_trigamma(a + b));
    }
}

void oracle_policy_slope_entropy(oracle_slopes *slopes, const oracle_distribution *p, long double by) {
    long double logs[MOST_CHOICES];
    for (size_t i = 0; is_discrete(p) && i < n_choices(p); i++) {
        const size_t n = choice_logs(logs, p, i);
        const long double h = choice_entropy(logs, n);
        for (size_t k = 0; k < n; k++)
            if (logs[k] > -INFINITY)
                add_choice(slopes, p, i, k, -by * expl(logs[k]) * (logs[k] + h));
    }
    for (size_t i = 0; !is_discrete(p) && i < p->n; i++)
        slope_continuous_entropy(slopes, p, i, by);
}

/* --- Density --- */

static long double continuous_logprob(const oracle_distribution *p, size_t i, long double action) {
    const long double width = p->high - p->low, s = p->second[i], z = (action - p->first[i]) / expl(s);
    const long double gaussian = -z * z / 2 - s - 0.5L * logl(2 * PI);
    const long double a = expl(p->first[i]), b = expl(s), u = (action - p->low) / width;
    if (p->kind == ENTROL_POLICY_GAUSSIAN)
        return gaussian;
    if (p->kind == ENTROL_POLICY_SQUASHED_GAUSSIAN)
        return gaussian - 2 * (logl(2) - fabsl(action) - log1pl(expl(-2 * fabsl(action)))) - logl(width / 2);
    return (a - 1) * logl(u) + (b - 1) * logl((p->high - action) / width) - log_beta(a, b) - logl(width);
}

long double oracle_policy_logprob(const oracle_distribution *p, const long double *action) {
    long double sum = 0, logs[MOST_CHOICES];
    if (p->kind == ENTROL_POLICY_FULL_GAUSSIAN) {
        square_matrix precision;
        precision_of(precision, p);
        return -0.5L * (quadratic(precision, action, p->first, p->n) + log_determinant(p) + p->n * logl(2 * PI));
    }
    for (size_t i = 0; is_discrete(p) && i < n_choices(p); i++) {
        choice_logs(logs, p, i);
        sum += logs[(size_t)action[i]];
    }
    for (size_t i = 0; !is_discrete(p) && i < p->n; i++)
        sum += continuous_logprob(p, i, action[i]);
    return sum;
}

static void slope_full_logprob(oracle_slopes *slopes, const oracle_distribution *p, const long double *action,
                               long double by) {
    const size_t n = p->n;
    square_matrix inverse;
    long double y[MOST_DIMENSIONS] = {0}, u[MOST_DIMENSIONS] = {0};
    invert(inverse, p->second, n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            y[i] += inverse[i * n + j] * (action[j] - p->first[j]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            u[i] += inverse[j * n + i] * y[j];
    for (size_t i = 0; i < n; i++) {
        add(slopes, &slopes->first[i], by * u[i]);
        add(slopes, &slopes->second[i * n + i], -by / p->second[i * n + i]);
        for (size_t j = 0; j <= i; j++)
            add(slopes, &slopes->second[i * n + j], by * u[i] * y[j]);
    }
}

static void slope_continuous_logprob(oracle_slopes *slopes, const oracle_distribution *p, size_t i, long double action,
                                     long double by) {
    const long double width = p->high - p->low, sigma = expl(p->second[i]), z = (action - p->first[i]) / sigma;
    const long double a = expl(p->first[i]), b = sigma;
    if (p->kind != ENTROL_POLICY_BETA) {
        add(slopes, &slopes->first[i], by * z / sigma);
        add(slopes, &slopes->second[i], by * z * z);
        add(slopes, &slopes->second[i], -by);
        return;
    }
    add(slopes, &slopes->first[i], by * a * logl((action - p->low) / width));
    add(slopes, &slopes->first[i], -by * a * oracle_digamma(a));
    add(slopes, &slopes->first[i], by * a * oracle_digamma(a + b));
    add(slopes, &slopes->second[i], by * b * logl((p->high - action) / width));
    add(slopes, &slopes->second[i], -by * b * oracle_digamma(b));
    add(slopes, &slopes->second[i], by * b * oracle_digamma(a + b));
}

void oracle_policy_slope_logprob(oracle_slopes *slopes, const oracle_distribution *p, const long double *action,
                                 long double by) {
    long double logs[MOST_CHOICES];
    if (p->kind == ENTROL_POLICY_FULL_GAUSSIAN) {
        slope_full_logprob(slopes, p, action, by);
        return;
    }
    for (size_t i = 0; is_discrete(p) && i < n_choices(p); i++) {
        const size_t n = choice_logs(logs, p, i);
        for (size_t k = 0; k < n; k++)
            if (logs[k] > -INFINITY)
                add_choice(slopes, p, i, k, by * ((k == (size_t)action[i]) - expl(logs[k])));
    }
    for (size_t i = 0; !is_discrete(p) && i < p->n; i++)
        slope_continuous_logprob(slopes, p, i, action[i], by);
}

/* --- Divergences --- */

static long double continuous_kl(const oracle_distribution *p, const oracle_distribution *q, size_t i) {
    const long double s = p->second[i], t = q->second[i], d = p->first[i] - q->first[i];
    const long double a = expl(p->first[i]), b = expl(s), c = expl(q->first[i]), e = expl(t);
    if (p->kind != ENTROL_POLICY_BETA)
        return (expm1l(2 * (s - t)) - 2 * (s - t)) / 2 + d * d / (2 * expl(2 * t));
    return log_beta(c, e) - log_beta(a, b) + (a - c) * oracle_digamma(a) + (b - e) * oracle_digamma(b) +
           (c - a + e - b) * oracle_digamma(a + b);
}

static long double full_kl(const oracle_distribution *p, const oracle_distribution *q) {
    const size_t n = p->n;
    square_matrix precision, covariance, both;
    precision_of(precision, q);
    covariance_of(covariance, p);
    multiply(both, precision, 0, covariance, 0, n);
    long double trace = 0;
    for (size_t i = 0; i < n; i++)
        trace += both[i * n + i];
    return 0.5L * (trace - n + quadratic(precision, p->first, q->first, n) + log_determinant(q) - log_determinant(p));
}

long double oracle_policy_kl(const oracle_distribution *p, const oracle_distribution *q) {
    long double sum = 0, of_p[MOST_CHOICES], of_q[MOST_CHOICES];
    if (p->kind == ENTROL_POLICY_FULL_GAUSSIAN)
        return full_kl(p, q);
    for (size_t i = 0; is_discrete(p) && i < n_choices(p); i++) {
        choice_logs(of_q, q, i);
        sum += choice_kl(of_p, of_q, choice_logs(of_p, p, i));
    }
    for (size_t i = 0; !is_discrete(p) && i < p->n; i++)
        sum += continuous_kl(p, q, i);
    return sum;
}

/* By mu: Q d, Q the precision of q; by L: Q L - diag(1 / L_ii). */
static void slope_full_kl_pq(oracle_slopes *slopes, const oracle_distribution *p, const oracle_distribution *q,
                             long double by) {
    const size_t n = p->n;
    square_matrix precision, l, product;
    precision_of(precision, q);
    lower_of(l, p->second, n);
    multiply(product, precision, 0, l, 0, n);
    for (size_t i = 0; i < n; i++) {
        add(slopes, &slopes->second[i * n + i], -by / p->second[i * n + i]);
        for (size_t j = 0; j < n; j++) {
            add(slopes, &slopes->first[i], by * precision[i * n + j] * (p->first[j] - q->first[j]));
            if (j <= i)
                add(slopes, &slopes->second[i * n + j], by * product[i * n + j]);
        }
    }
}

/* By mu: P d; by L: diag(1 / L_ii) - P S P L, S the covariance of q and d d^T. */
static void slope_full_kl_qp(oracle_slopes *slopes, const oracle_distribution *p, const oracle_distribution *q,
                             long double by) {
    const size_t n = p->n;
    square_matrix precision, s, l, first, second, product;
    precision_of(precision, p);
    covariance_of(s, q);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            s[i * n + j] += (p->first[i] - q->first[i]) * (p->first[j] - q->first[j]);
    lower_of(l, p->second, n);
    multiply(first, precision, 0, s, 0, n);
    multiply(second, first, 0, precision, 0, n);
    multiply(product, second, 0, l, 0, n);
    for (size_t i = 0; i < n; i++) {
        add(slopes, &slopes->second[i * n + i], by / p->second[i * n + i]);
        for (size_t j = 0; j < n; j++) {
            add(slopes, &slopes->first[i], by * precision[i * n + j] * (p->first[j] - q->first[j]));
            if (j <= i)
                add(slopes, &slopes->second[i * n + j], -by * product[i * n + j]);
        }
    }
}

static void slope_continuous_kl(oracle_slopes *slopes, const oracle_distribution *p, const oracle_distribution *q,
                                size_t i, long double by_pq, long double by_qp) {
    const long double s = p->second[i], t = q->second[i], d = p->first[i] - q->first[i];
    const long double a = expl(p->first[i]), b = expl(s), c = expl(q->first[i]), e = expl(t);
    if (p->kind != ENTROL_POLICY_BETA) {
        add(slopes, &slopes->first[i], by_pq * d * expl(-2 * t));
        add(slopes, &slopes->second[i], by_pq * expm1l(2 * (s - t)));
        add(slopes, &slopes->first[i], by_qp * d * expl(-2 * s));
        add(slopes, &slopes->second[i], -by_qp * expm1l(2 * (t - s)));
        add(slopes, &slopes->second[i], -by_qp * d * d * expl(-2 * s));
        return;
    }
    const long double shared = (c - a + e - b) * oracle_trigamma(a + b);
    add(slopes, &slopes->first[i], by_pq * a * (a - c) * oracle_trigamma(a));
    add(slopes, &slopes->first[i], by_pq * a * shared);
    add(slopes, &slopes->second[i], by_pq * b * (b - e) * oracle_trigamma(b));
    add(slopes, &slopes->second[i], by_pq * b * shared);
    const long double both = oracle_digamma(a + b) - oracle_digamma(c + e);
    add(slopes, &slopes->first[i], by_qp * a * (oracle_digamma(a) - oracle_digamma(c)));
    add(slopes, &slopes->first[i], -by_qp * a * both);
    add(slopes, &slopes->second[i], by_qp * b * (oracle_digamma(b) - oracle_digamma(e)));
    add(slopes, &slopes->second[i], -by_qp * b * both);
}

void oracle_policy_slope_kl_pq(oracle_slopes *slopes, const oracle_distribution *p, const oracle_distribution *q,
                               long double by) {
    long double of_p[MOST_CHOICES], of_q[MOST_CHOICES];
    if (p->kind == ENTROL_POLICY_FULL_GAUSSIAN) {
        slope_full_kl_pq(slopes, p, q, by);
        return;
    }
    for (size_t i = 0; is_discrete(p) && i < n_choices(p); i++) {
        const size_t n = choice_logs(of_p, p, i);
        choice_logs(of_q, q, i);
        const long double kl = choice_kl(of_p, of_q, n);
        for (size_t k = 0; k < n; k++)
            if (of_p[k] > -INFINITY)
                add_choice(slopes, p, i, k, by * expl(of_p[k]) * (of_p[k] - of_q[k] - kl));
    }
    for (size_t i = 0; !is_discrete(p) && i < p->n; i++)
        slope_continuous_kl(slopes, p, q, i, by, 0);
}

void oracle_policy_slope_kl_qp(oracle_slopes *slopes, const oracle_distribution *p, const oracle_distribution *q,
                               long double by) {
    long double of_p[MOST_CHOICES], of_q[MOST_CHOICES];
    if (p->kind == ENTROL_POLICY_FULL_GAUSSIAN) {
        slope_full_kl_qp(slopes, p, q, by);
        return;
    }
    for (size_t i = 0; is_discrete(p) && i < n_choices(p); i++) {
        const size_t n = choice_logs(of_p, p, i);
        choice_logs(of_q, q, i);
        for (size_t k = 0; k < n; k++)
            if (of_p[k] > -INFINITY)
                add_choice(slopes, p, i, k, by * (expl(of_p[k]) - expl(of_q[k])));
    }
    for (size_t i = 0; !is_discrete(p) && i < p->n; i++)
        slope_continuous_kl(slopes, p, q, i, 0, by);
}

/* --- Terms --- */

static void keep_greatest(long double *greatest, long double term) {
    *greatest = fmaxl(*greatest, fabsl(term));
}

/* Of ln p of one column, d - ln S with d = z - max z and S = sum e^d; `weight` is what it counts in a mean. */
static void keep_log(long double *greatest, const long double *logs, size_t n, size_t k, long double weight) {
    long double top = -INFINITY;
    for (size_t i = 0; i < n; i++)
        top = fmaxl(top, logs[i]);
    keep_greatest(greatest, top);
    if (weight > 0 && logs[k] > -INFINITY)
        keep_greatest(greatest, weight * (logs[k] - top));
}

/* Of ln p_i(a) and H of a dimension, but for the square. */
static long double normaliser_terms(const oracle_distribution *p, size_t i) {
    if (p->kind == ENTROL_POLICY_BETA) {
        long double greatest = fabsl(log_beta(expl(p->first[i]), expl(p->second[i])));
        keep_greatest(&greatest, logl(p->high - p->low));
        return greatest;
    }
    long double greatest = 0.5L * logl(2 * PI * expl(1));
    keep_greatest(&greatest, p->kind == ENTROL_POLICY_FULL_GAUSSIAN ? logl(p->second[i * p->n + i]) : p->second[i]);
    if (p->kind == ENTROL_POLICY_SQUASHED_GAUSSIAN)
        keep_greatest(&greatest, logl((p->high - p->low) / 2));
    return greatest;
}

long double oracle_policy_entropy_terms(const oracle_distribution *p) {
    long double sum = 0, logs[MOST_CHOICES];
    for (size_t i = 0; is_discrete(p) && i < n_choices(p); i++) {
        const size_t n = choice_logs(logs, p, i);
        long double greatest = 0;
        for (size_t k = 0; k < n; k++)
            keep_log(&greatest, logs, n, k, expl(logs[k]));
        sum += greatest;
    }
    for (size_t i = 0; !is_discrete(p) && i < p->n; i++)
        sum += p->kind == ENTROL_POLICY_BETA ? fmaxl(1, fabsl(continuous_entropy(p, i))) : normaliser_terms(p, i);
    return sum;
}

/* Of x^T P x / 2 those of row i of P. */
static void keep_quadratic(long double *greatest, const long double *matrix, const long double *x, const long double *y,
                           size_t n, size_t i) {
    for (size_t j = 0; j < n; j++)
        keep_greatest(greatest, matrix[i * n + j] * (x[i] - y[i]) * (x[j] - y[j]) / 2);
}

/* Of ln p_i(a) those with the action. */
static void keep_action(long double *greatest, const oracle_distribution *p, size_t i, long double action) {
    const long double s = p->second[i], z = (action - p->first[i]) / expl(s), width = p->high - p->low;
    if (p->kind == ENTROL_POLICY_BETA) {
        keep_greatest(greatest, (expl(p->first[i]) - 1) * logl((action - p->low) / width));
        keep_greatest(greatest, (expl(s) - 1) * logl((p->high - action) / width));
        return;
    }
    keep_greatest(greatest, z * z / 2);
    if (p->kind != ENTROL_POLICY_SQUASHED_GAUSSIAN)
        return;
    keep_greatest(greatest, 2 * action);
    keep_greatest(greatest, action * action / expl(2 * s) / 2); /* x is rounded before the mean is taken off */
}

long double oracle_policy_logprob_terms(const oracle_distribution *p, const long double *action) {
    long double sum = 0, logs[MOST_CHOICES];
    square_matrix precision;
    for (size_t i = 0; is_discrete(p) && i < n_choices(p); i++) {
        long double greatest = 0;
        keep_log(&greatest, logs, choice_logs(logs, p, i), (size_t)action[i], 1);
        sum += greatest;
    }
    if (p->kind == ENTROL_POLICY_FULL_GAUSSIAN)
        precision_of(precision, p);
    for (size_t i = 0; !is_discrete(p) && i < p->n; i++) {
        long double greatest = normaliser_terms(p, i);
        if (p->kind == ENTROL_POLICY_FULL_GAUSSIAN)
            keep_quadratic(&greatest, precision, action, p->first, p->n, i);
        else
            keep_action(&greatest, p, i, action[i]);
        sum += greatest;
    }
    return sum;
}

/* Of (tr(Q C) - n + d^T Q d) / 2 + ln det, Q the precision of q and C the covariance of p. */
static long double full_kl_terms(const oracle_distribution *p, const oracle_distribution *q) {
    const size_t n = p->n;
    square_matrix precision, covariance;
    long double sum = 0;
    precision_of(precision, q);
    covariance_of(covariance, p);
    for (size_t i = 0; i < n; i++) {
        long double greatest = 0.5L;
        keep_greatest(&greatest, logl(p->second[i * n + i]));
        keep_greatest(&greatest, logl(q->second[i * n + i]));
        keep_quadratic(&greatest, precision, p->first, q->first, n, i);
        for (size_t j = 0; j < n; j++)
            keep_greatest(&greatest, precision[i * n + j] * covariance[j * n + i] / 2);
        sum += greatest;
    }
    return sum;
}

static long double continuous_kl_terms(const oracle_distribution *p, const oracle_distribution *q, size_t i) {
    const long double s = p->second[i], t = q->second[i], z = (p->first[i] - q->first[i]) / expl(t);
    const long double a = expl(p->first[i]), b = expl(s), c = expl(q->first[i]), e = expl(t);
    long double greatest = 0.5L;
    if (p->kind == ENTROL_POLICY_BETA) {
        keep_greatest(&greatest, log_beta(a, b));
        keep_greatest(&greatest, log_beta(c, e));
        keep_greatest(&greatest, (a - c) * oracle_digamma(a));
        keep_greatest(&greatest, (b - e) * oracle_digamma(b));
        keep_greatest(&greatest, (c - a + e - b) * oracle_digamma(a + b));
        return greatest;
    }
    keep_greatest(&greatest, s);
    keep_greatest(&greatest, t);
    keep_greatest(&greatest, expl(2 * (s - t)) / 2);
    keep_greatest(&greatest, z * z / 2);
    return greatest;
}

long double oracle_policy_kl_terms(const oracle_distribution *p, const oracle_distribution *q) {
    long double sum = 0, of_p[MOST_CHOICES], of_q[MOST_CHOICES];
    if (p->kind == ENTROL_POLICY_FULL_GAUSSIAN)
        return full_kl_terms(p, q);
    for (size_t i = 0; is_discrete(p) && i < n_choices(p); i++) {
        const size_t n = choice_logs(of_p, p, i);
        long double greatest = 0;
        choice_logs(of_q, q, i);
        for (size_t k = 0; k < n; k++) {
            keep_log(&greatest, of_p, n, k, expl(of_p[k]));
            keep_log(&greatest, of_q, n, k, expl(of_p[k]));
        }
        sum += greatest;
    }
    for (size_t i = 0; !is_discrete(p) && i < p->n; i++)
        sum += continuous_kl_terms(p, q, i);
    return sum;
}

/* --- The action as a function --- */

void oracle_policy_act(long double *action, long double *squashed, const oracle_distribution *p,
                       const long double *noise) {
    const size_t n = p->n;
    for (size_t i = 0; i < n; i++) {
        action[i] = p->first[i];
        if (p->kind != ENTROL_POLICY_FULL_GAUSSIAN)
            action[i] += expl(p->second[i]) * noise[i];
        for (size_t j = 0; p->kind == ENTROL_POLICY_FULL_GAUSSIAN && j <= i; j++)
            action[i] += p->second[i * n + j] * noise[j];
        if (squashed)
            squashed[i] = p->kind == ENTROL_POLICY_SQUASHED_GAUSSIAN
                              ? p->low + (p->high - p->low) * (1 + tanhl(action[i])) / 2
                              : action[i];
    }
}

/* Adds d_x of x = mu + ... */
static void slope_x(oracle_slopes *slopes, const oracle_distribution *p, const long double *noise, size_t i,
                    long double d_x) {
    const size_t n = p->n;
    add(slopes, &slopes->first[i], d_x);
    if (p->kind != ENTROL_POLICY_FULL_GAUSSIAN)
        add(slopes, &slopes->second[i], d_x * expl(p->second[i]) * noise[i]);
    for (size_t j = 0; p->kind == ENTROL_POLICY_FULL_GAUSSIAN && j <= i; j++)
        add(slopes, &slopes->second[i * n + j], d_x * noise[j]);
}

void oracle_policy_slope_action(oracle_slopes *slopes, const oracle_distribution *p, const long double *noise,
                                const long double *d_action) {
    long double x[MOST_DIMENSIONS];
    oracle_policy_act(x, NULL, p, noise);
    for (size_t i = 0; i < p->n; i++) {
        const long double c = coshl(x[i]), slope = (p->high - p->low) / 2 / (c * c);
        slope_x(slopes, p, noise, i, d_action[i] * (p->kind == ENTROL_POLICY_SQUASHED_GAUSSIAN ? slope : 1));
    }
}

/* The chain rule: by the parameters, and by the action. */
void oracle_policy_slope_pathwise_logprob(oracle_slopes *slopes, const oracle_distribution *p, const long double *noise,
                                          long double by) {
    long double x[MOST_DIMENSIONS], d_x[MOST_DIMENSIONS];
    square_matrix precision;
    oracle_policy_act(x, NULL, p, noise);
    if (p->kind == ENTROL_POLICY_FULL_GAUSSIAN)
        precision_of(precision, p);
    for (size_t i = 0; i < p->n; i++) {
        d_x[i] = p->kind == ENTROL_POLICY_FULL_GAUSSIAN ? 0 : -noise[i] / expl(p->second[i]);
        for (size_t j = 0; p->kind == ENTROL_POLICY_FULL_GAUSSIAN && j < p->n; j++)
            d_x[i] -= precision[i * p->n + j] * (x[j] - p->first[j]);
        if (p->kind == ENTROL_POLICY_SQUASHED_GAUSSIAN)
            d_x[i] += 2 * tanhl(x[i]);
        slope_x(slopes, p, noise, i, by * d_x[i]);
    }
    oracle_policy_slope_logprob(slopes, p, x, by);
}
