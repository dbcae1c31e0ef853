/* Estimates of entropy from counts against the formulas of their papers, in long double and another way: Grassberger's
 * by its recurrence, NSB's as a Riemann-Stieltjes sum over the a priori entropy, with the posterior mean of p ln p as a
 * derivative of moments of a beta distribution. */
#include "harness.h"

#include <entrol/entrol.h>

static entrol_context *context;

enum { MOST = 64 };

typedef struct sample {
    uint64_t counts[MOST];
    size_t n_outcomes;
    long double n;
} sample;

static sample make_sample(const uint64_t *counts, size_t n_outcomes) {
    sample sample = {.n_outcomes = n_outcomes};
    for (size_t i = 0; i < n_outcomes; i++)
        sample.n += sample.counts[i] = counts[i];
    return sample;
}

static double estimate(const sample *sample, entrol_estimator estimator) {
    double entropy = -77;
    CHECK_INT(entrol_entropy_of_counts(context, &entropy, sample->counts, sample->n_outcomes, estimator), ENTROL_OK);
    return entropy;
}

static long double plug_in(const sample *sample) {
    long double sum = 0;
    for (size_t i = 0; i < sample->n_outcomes; i++)
        if (sample->counts[i])
            sum -= sample->counts[i] / sample->n * logl(sample->counts[i] / sample->n);
    return sum;
}

static long double miller_madow(const sample *sample) {
    size_t n_seen = 0;
    for (size_t i = 0; i < sample->n_outcomes; i++)
        n_seen += sample->counts[i] > 0;
    return plug_in(sample) + ((long double)n_seen - 1) / (2 * sample->n);
}

static long double chao_shen(const sample *sample) {
    long double n_once = 0, sum = 0;
    for (size_t i = 0; i < sample->n_outcomes; i++)
        n_once += sample->counts[i] == 1;
    n_once -= n_once == sample->n;
    for (size_t i = 0; i < sample->n_outcomes; i++) {
        const long double p = (1 - n_once / sample->n) * sample->counts[i] / sample->n;
        sum -= p > 0 && p < 1 ? p * logl(p) / (1 - powl(1 - p, sample->n)) : 0;
    }
    return sum;
}

/* G(1) = -gamma - ln 2, G(2) = 2 - gamma - ln 2, G(2 n + 1) = G(2 n), G(2 n + 2) = G(2 n) + 2 / (2 n + 1). */
static long double grassberger(const sample *sample) {
    const long double first = -0.577215664901532860606512090082L - logl(2);
    long double sum = 0;
    for (size_t i = 0; i < sample->n_outcomes; i++) {
        long double g = first;
        for (uint64_t k = 2; k <= sample->counts[i]; k += 2)
            g += 2.0L / (k - 1);
        sum += sample->counts[i] * g;
    }
    return logl(sample->n) - sum / sample->n;
}

static long double james_stein(const sample *sample) {
    const long double uniform = 1.0L / sample->n_outcomes;
    long double squares = 0, apart = 0, sum = 0;
    for (size_t i = 0; i < sample->n_outcomes; i++) {
        const long double p = sample->counts[i] / sample->n;
        squares += p * p;
        apart += (uniform - p) * (uniform - p);
    }
    long double lambda = sample->n > 1 && apart > 0 ? (1 - squares) / ((sample->n - 1) * apart) : 1;
    lambda = lambda > 1 ? 1 : lambda;
    for (size_t i = 0; i < sample->n_outcomes; i++) {
        const long double p = lambda * uniform + (1 - lambda) * sample->counts[i] / sample->n;
        sum -= p > 0 ? p * logl(p) : 0;
    }
    return sum;
}

/* ln E[p^(1 + e)] for p of a beta distribution with parameters a and total - a. */
static long double log_moment(long double a, long double total, long double e) {
    return lgammal(a + 1 + e) - lgammal(a) + lgammal(total) - lgammal(total + 1 + e);
}

/* E[-p ln p], the derivative at e = 0 (Richardson's of two differences, which lose digits where parameters are great).
 */
static long double mean_term(long double a, long double total) {
    long double slopes[2];
    for (int i = 0; i < 2; i++) {
        const long double e = i ? 5e-4L : 1e-3L;
        slopes[i] = (expl(log_moment(a, total, e)) - expl(log_moment(a, total, -e))) / (2 * e);
    }
    return -(4 * slopes[1] - slopes[0]) / 3;
}

/* psi by its recurrence up to 60, where five terms of the asymptotic series are exact. */
static long double digamma(long double x) {
    long double sum = 0;
    for (; x < 60; x++)
        sum -= 1 / x;
    const long double s = 1 / (x * x);
    return sum + logl(x) - 0.5L / x - s / 12 + s * s / 120 - s * s * s / 252 + s * s * s * s / 240 -
           s * s * s * s * s / 132;
}

static long double prior_entropy(const sample *sample, long double u) {
    const long double beta = expl(u);
    return digamma(beta * sample->n_outcomes + 1) - digamma(beta + 1);
}

static long double log_evidence(const sample *sample, long double beta) {
    const long double kappa = beta * sample->n_outcomes;
    long double sum = lgammal(kappa) - lgammal(sample->n + kappa);
    for (size_t i = 0; i < sample->n_outcomes; i++)
        sum += sample->counts[i] ? lgammal(sample->counts[i] + beta) - lgammal(beta) : 0;
    return sum;
}

static long double nsb(const sample *sample) {
    enum { STEPS = 5400 };
    const long double low = -24, high = 14, step = (high - low) / STEPS;
    long double greatest = -INFINITY, weights = 0, sum = 0;
    for (int i = 0; i < STEPS; i += 10)
        greatest = fmaxl(greatest, log_evidence(sample, expl(low + (i + 0.5L) * step)));
    for (int i = 0; i < STEPS; i++) {
        const long double u = low + i * step, beta = expl(u + step / 2), total = sample->n + beta * sample->n_outcomes;
        const long double weight =
            expl(log_evidence(sample, beta) - greatest) * (prior_entropy(sample, u + step) - prior_entropy(sample, u));
        long double mean = 0;
        if (weight < 1e-14L * weights)
            continue;
        for (size_t j = 0; j < sample->n_outcomes; j++)
            mean += mean_term(sample->counts[j] + beta, total);
        weights += weight;
        sum += weight * mean;
    }
    return sum / weights;
}

static void check_sample(const sample *sample) {
    CHECK_NEAR(estimate(sample, ENTROL_ESTIMATOR_PLUG_IN), plug_in(sample), 1e-14);
    CHECK_NEAR(estimate(sample, ENTROL_ESTIMATOR_MILLER_MADOW), miller_madow(sample), 1e-14);
    CHECK_NEAR(estimate(sample, ENTROL_ESTIMATOR_CHAO_SHEN), chao_shen(sample), 1e-12);
    CHECK_NEAR(estimate(sample, ENTROL_ESTIMATOR_GRASSBERGER), grassberger(sample), 1e-13);
    CHECK_NEAR(estimate(sample, ENTROL_ESTIMATOR_JAMES_STEIN), james_stein(sample), 1e-13);
}

static void test_random_counts(void) {
    for (size_t k = 0; k < 2000; k++) {
        uint64_t counts[MOST] = {0};
        const size_t n_outcomes = 1 + test_below(MOST), n = 1 + test_below(k % 3 ? 30 : 3000);
        for (size_t i = 0; i < n; i++)
            counts[test_below(1 + test_below(n_outcomes))]++;
        const sample sample = make_sample(counts, n_outcomes);
        check_sample(&sample);
    }
}

static void test_nsb(void) {
    for (size_t k = 0; k < (is_quick() ? 2 : 12); k++) {
        uint64_t counts[MOST] = {0};
        const size_t n_outcomes = 2 + test_below(k % 2 ? 8 : 40), n = 1 + test_below(k % 3 ? 25 : 400);
        for (size_t i = 0; i < n; i++)
            counts[test_below(1 + test_below(n_outcomes))]++;
        const sample sample = make_sample(counts, n_outcomes);
        const long double expected = nsb(&sample);
        CHECK_SAY(test_near(estimate(&sample, ENTROL_ESTIMATOR_NSB), (double)expected, 2e-5),
                  "%zu counts over %zu outcomes: %.9g, expected %.9Lg", n, n_outcomes,
                  estimate(&sample, ENTROL_ESTIMATOR_NSB), expected);
    }
}

/* What estimators are for: the mean estimate of ten draws from a fair die of 16 faces is nearer to ln 16 than the
 * plug-in one, and with many draws all of them agree. */
static void test_bias(void) {
    double means[ENTROL_ESTIMATOR_NSB + 1] = {0};
    enum { ROUNDS = 200 };
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t counts[16] = {0};
        for (int i = 0; i < 10; i++)
            counts[test_below(16)]++;
        const sample sample = make_sample(counts, 16);
        for (int k = 0; k <= ENTROL_ESTIMATOR_NSB; k++)
            means[k] += estimate(&sample, (entrol_estimator)k) / ROUNDS;
    }
    printf("    ten draws of 16, ln 16 = %.3f:", log(16));
    for (int k = 0; k <= ENTROL_ESTIMATOR_NSB; k++) {
        printf(" %s %.3f", entrol_estimator_name((entrol_estimator)k), means[k]);
        CHECK(k == 0 || fabs(means[k] - log(16)) < fabs(means[0] - log(16)));
    }
    printf("\n");
    uint64_t counts[8];
    for (size_t i = 0; i < 8; i++)
        counts[i] = 1000000 + test_below(1000);
    const sample many = make_sample(counts, 8);
    for (int k = 0; k <= ENTROL_ESTIMATOR_NSB; k++)
        CHECK_NEAR(estimate(&many, (entrol_estimator)k), log(8), 2e-6);
}

static void test_few(void) {
    const uint64_t one[1] = {5}, once[3] = {0, 1, 0}, nothing[2] = {0, 0},
                   large[2] = {UINT64_C(1) << 62, UINT64_C(1) << 62};
    for (int k = 0; k <= ENTROL_ESTIMATOR_NSB; k++) {
        const entrol_estimator estimator = (entrol_estimator)k;
        const sample certain = make_sample(one, 1), single = make_sample(once, 3), none = make_sample(nothing, 2);
        const sample huge = make_sample(large, 2);
        CHECK_NEAR(estimate(&certain, estimator), k == ENTROL_ESTIMATOR_GRASSBERGER ? grassberger(&certain) : 0, 1e-12);
        CHECK(isfinite(estimate(&single, estimator)));
        CHECK(isnan(estimate(&none, estimator)));
        CHECK_NEAR(estimate(&huge, estimator), log(2), 1e-9);
        double entropy = 77;
        CHECK_INT(entrol_entropy_of_counts(context, &entropy, NULL, 0, estimator), ENTROL_OK);
        CHECK(isnan(entropy));
    }
    double entropy = 77;
    CHECK_INT(entrol_entropy_of_counts(context, &entropy, one, 1, (entrol_estimator)6), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_entropy_of_counts(NULL, &entropy, one, 1, ENTROL_ESTIMATOR_NSB), ENTROL_ERROR_ARGUMENT);
    CHECK(entropy == 77);
}

static void test_names(void) {
    entrol_estimator estimator = ENTROL_ESTIMATOR_PLUG_IN;
    CHECK_INT(entrol_estimator_parse(&estimator, "nsb"), ENTROL_OK);
    CHECK_INT(estimator, ENTROL_ESTIMATOR_NSB);
    CHECK_INT(entrol_estimator_parse(&estimator, "NSB"), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_estimator_parse(NULL, "nsb"), ENTROL_OK);
    CHECK_STRING(entrol_estimator_name(ENTROL_ESTIMATOR_CHAO_SHEN), "chao-shen");
    CHECK(entrol_estimator_name((entrol_estimator)6) == NULL);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    if (entrol_context_create(&context, NULL) != ENTROL_OK)
        return 1;
    TEST(test_random_counts);
    TEST(test_nsb);
    TEST(test_bias);
    TEST(test_few);
    TEST(test_names);
    entrol_context_destroy(context);
    return test_end();
}
