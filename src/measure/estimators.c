/* Estimates of a distribution's entropy from how often each of its outcomes was seen. The plug-in estimate is low where
 * outcomes are many and counts few; each of the others is an answer to that, by its paper:
 *   Miller and Madow (Miller 1955), Chao and Shen (Environmental and Ecological Statistics 10, 2003), Grassberger
 *   (physics/0307138), James and Stein by Hausser and Strimmer (JMLR 10, 2009), Nemenman, Shafee and Bialek (NIPS 14,
 * 2002). */
#include <entrol/measure.h>

#include "base/compensated.h"
#include "base/context.h"
#include "base/gamma.h"

#include <math.h>
#include <stdlib.h>

/* How many outcomes were seen n times. */
typedef struct multiple {
    uint64_t n;
    uint64_t n_outcomes;
} multiple;

/* Counts that are not 0, the same ones together. */
typedef struct census {
    multiple *multiples; /* rising */
    size_t n_multiples;
    double n;          /* of all counts together */
    double n_seen;     /* outcomes that were seen */
    double n_outcomes; /* all of them */
} census;

static int compare_counts(const void *a, const void *b) {
    const uint64_t x = ((const multiple *)a)->n, y = ((const multiple *)b)->n;
    return (x > y) - (x < y);
}

/* Room for a multiple a count is there. */
static void take_census(census *census, const uint64_t *counts, size_t n_counts, uint64_t total) {
    size_t n_seen = 0, n_multiples = 0;
    for (size_t i = 0; i < n_counts; i++)
        if (counts[i])
            census->multiples[n_seen++] = (multiple){counts[i], 1};
    if (n_seen)
        qsort(census->multiples, n_seen, sizeof *census->multiples, compare_counts);
    for (size_t i = 0; i < n_seen; i++)
        if (n_multiples && census->multiples[n_multiples - 1].n == census->multiples[i].n)
            census->multiples[n_multiples - 1].n_outcomes++;
        else
            census->multiples[n_multiples++] = census->multiples[i];
    census->n_multiples = n_multiples;
    census->n = (double)total;
    census->n_seen = (double)n_seen;
    census->n_outcomes = (double)n_counts;
}

/* sum over the outcomes that were seen of term(n). */
static double sum_of(const census *census, double (*term)(const struct census *census, double n, double parameter),
                     double parameter) {
    ent_compensated sum = {0, 0};
    for (size_t i = 0; i < census->n_multiples; i++) {
        const multiple *multiple = &census->multiples[i];
        ent_compensated_add(&sum, (double)multiple->n_outcomes * term(census, (double)multiple->n, parameter));
    }
    return sum.sum;
}

static double plug_in_term(const census *census, double n, double parameter) {
    (void)parameter;
    return n == census->n ? 0 : -n / census->n * log(n / census->n);
}

/* With the coverage C: p = C n / N, divided by the probability that such an outcome is seen at all. */
static double chao_shen_term(const census *census, double n, double coverage) {
    const double p = coverage * n / census->n;
    return p < 1 ? p * log(p) / expm1(census->n * log1p(-p)) : 0; /* expm1 is -(1 - (1 - p)^N) */
}

static double chao_shen(const census *census) {
    const multiple *first = census->multiples;
    double n_once = first->n == 1 ? (double)first->n_outcomes : 0;
    if (n_once == census->n) /* else nothing would be covered */
        n_once--;
    return sum_of(census, chao_shen_term, 1 - n_once / census->n);
}

/* Grassberger's G(n), which is psi(k + 1/2) + ln 2 for n = 2 k and n = 2 k + 1. */
static double grassberger_term(const census *census, double n, double parameter) {
    (void)parameter;
    return n / census->n * (ent_digamma(floor(n / 2) + 0.5) + log(2));
}

static double square_term(const census *census, double n, double parameter) {
    (void)parameter;
    return n / census->n * (n / census->n);
}

/* Shrunk towards the uniform distribution by the share lambda. */
static double shrunk_term(const census *census, double n, double lambda) {
    const double p = lambda / census->n_outcomes + (1 - lambda) * n / census->n;
    return p < 1 ? -p * log(p) : 0;
}

static double james_stein(const census *census) {
    const double squares = sum_of(census, square_term, 0), apart = squares - 1 / census->n_outcomes;
    const double full = (1 - squares) / ((census->n - 1) * apart);
    const double lambda = census->n > 1 && apart > 0 && full < 1 ? full : 1; /* of one observation it knows nothing */
    const double unseen = lambda / census->n_outcomes;
    const double of_unseen = unseen > 0 && unseen < 1 ? -unseen * log(unseen) : 0;
    return sum_of(census, shrunk_term, lambda) + (census->n_outcomes - census->n_seen) * of_unseen;
}

/* --- Nemenman, Shafee and Bialek --- */

/* With K outcomes and the Dirichlet prior of parameter beta, kappa = K beta, the a priori entropy is xi = psi(kappa +
 * 1) - psi(beta + 1); the prior over beta is such that xi is uniform. The estimate is the mean over beta of the
 * posterior mean of the entropy, integrated over u = ln beta. */

static double evidence_term(const census *census, double n, double beta) {
    (void)census;
    return ent_log_rising(beta, n);
}

/* dxi/dbeta = K psi'(kappa + 1) - psi'(beta + 1), of which 1 / beta cancels where beta is large. */
static double slope_of_xi(double beta, double k) {
    if (beta < ENT_LEAST_ASYMPTOTIC)
        return k * ent_trigamma(k * beta + 1) - ent_trigamma(beta + 1);
    return ent_trigamma_rest(beta) - k * ent_trigamma_rest(k * beta);
}

/* ln of the evidence, of dxi/dbeta and of dbeta/du, but for a constant: the powers of beta in the evidence cancel. */
static double log_weight(const census *census, double u) {
    const double beta = exp(u), k = census->n_outcomes;
    const double evidence = sum_of(census, evidence_term, beta) - ent_log_rising(k * beta, census->n);
    return evidence + log(slope_of_xi(beta, k)) + u;
}

static double mean_term(const census *census, double n, double beta) {
    return (n + beta) / (census->n + census->n_outcomes * beta) * ent_digamma(n + beta + 1);
}

/* The posterior mean of the entropy at one beta. */
static double mean_entropy(const census *census, double u) {
    const double beta = exp(u), kappa = census->n_outcomes * beta, n_unseen = census->n_outcomes - census->n_seen;
    const double unseen = n_unseen * (beta / (census->n + kappa)) * ent_digamma(beta + 1);
    return ent_digamma(census->n + kappa + 1) - sum_of(census, mean_term, beta) - unseen;
}

/* The trapezoid rule, which is exact to every digit for a smooth function that vanishes at both ends. */
static double integrate(const census *census, double low, double high, size_t n_steps, double greatest) {
    double weights = 0, sum = 0;
    for (size_t i = 0; i <= n_steps; i++) {
        const double u = low + (high - low) * (double)i / (double)n_steps;
        const double weight = exp(log_weight(census, u) - greatest);
        weights += weight;
        if (weight > 0)
            sum += weight * mean_entropy(census, u);
    }
    return sum / weights;
}

/* Where the weight is greatest, near the greatest of a coarse grid. */
static double find_mode(const census *census, double low, double high) {
    const size_t n_steps = 320;
    const double step = (high - low) / (double)n_steps;
    double mode = low, greatest = -INFINITY;
    for (size_t i = 0; i <= n_steps; i++) {
        const double weight = log_weight(census, low + step * (double)i);
        if (weight > greatest) {
            greatest = weight;
            mode = low + step * (double)i;
        }
    }
    double left = mode - step, right = mode + step;
    for (int i = 0; i < 60; i++) {
        const double a = left + (right - left) / 3, b = right - (right - left) / 3;
        if (log_weight(census, a) < log_weight(census, b))
            left = a;
        else
            right = b;
    }
    return (left + right) / 2;
}

static double nsb(const census *census) {
    const double low = -40, high = 40;
    if (census->n_outcomes == 1)
        return 0;
    const double mode = find_mode(census, low, high), greatest = log_weight(census, mode), step = 1e-3;
    const double bend = log_weight(census, mode + step) + log_weight(census, mode - step) - 2 * greatest;
    const double width = bend < 0 ? step / sqrt(-bend) : INFINITY;
    if (width > 0.3) /* two steps a width, in each tail, too */
        return integrate(census, low, high, 1600, greatest);
    return integrate(census, mode - 20 * width, mode + 20 * width, 400, greatest);
}

/* --- The call --- */

/* In the order of entrol_estimator. */
static const char *const names[] = {"plug-in", "miller-madow", "chao-shen", "grassberger", "james-stein", "nsb"};
enum { N_ESTIMATORS = sizeof names / sizeof *names };

const char *entrol_estimator_name(entrol_estimator estimator) {
    return (unsigned)estimator < N_ESTIMATORS ? names[estimator] : NULL;
}

entrol_status entrol_estimator_parse(entrol_estimator *estimator, const char *name) {
    const int found = ent_find_name(names, N_ESTIMATORS, name);
    if (estimator && found >= 0)
        *estimator = (entrol_estimator)found;
    return found >= 0 ? ENTROL_OK : ENTROL_ERROR_ARGUMENT;
}

static double estimate(const census *census, entrol_estimator estimator) {
    switch (estimator) {
    case ENTROL_ESTIMATOR_PLUG_IN:
        break;
    case ENTROL_ESTIMATOR_MILLER_MADOW:
        return sum_of(census, plug_in_term, 0) + (census->n_seen - 1) / (2 * census->n);
    case ENTROL_ESTIMATOR_CHAO_SHEN:
        return chao_shen(census);
    case ENTROL_ESTIMATOR_GRASSBERGER:
        return log(census->n) - sum_of(census, grassberger_term, 0);
    case ENTROL_ESTIMATOR_JAMES_STEIN:
        return james_stein(census);
    case ENTROL_ESTIMATOR_NSB:
        return nsb(census);
    }
    return sum_of(census, plug_in_term, 0);
}

entrol_status entrol_entropy_of_counts(entrol_context *context, double *entropy, const uint64_t *counts,
                                       size_t n_counts, entrol_estimator estimator) {
    if (!context || (!counts && n_counts) || !entrol_estimator_name(estimator))
        return ENTROL_ERROR_ARGUMENT;
    uint64_t total = 0;
    size_t n_bytes;
    for (size_t i = 0; i < n_counts; i++) {
        if (counts[i] > UINT64_MAX - total)
            return ENTROL_ERROR_OVERFLOW;
        total += counts[i];
    }
    if (!ent_multiply(&n_bytes, n_counts, sizeof(multiple)))
        return ENTROL_ERROR_OVERFLOW;
    census census = {.multiples = ent_allocate(context, n_bytes)};
    if (!census.multiples)
        return ENTROL_ERROR_MEMORY;
    take_census(&census, counts, n_counts, total);
    if (entropy)
        *entropy = total ? estimate(&census, estimator) + 0.0 : (double)NAN; /* no -0 */
    ent_release(context, census.multiples);
    return ENTROL_OK;
}
