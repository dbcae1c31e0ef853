/* The entropy of a squashed Gaussian against adaptive quadrature in long double, over means from -5 to 5 and ln sigma
 * from -5 to 2, dense and at random, and far beyond; its gradient likewise; and against draws. */
#include "harness_policy.h"

enum { N_MEANS = 41, N_SIGMAS = 57, N_POINTS = N_MEANS * N_SIGMAS };

static entrol_context *context;
static double worst, worst_slope;

typedef struct points {
    double mean[N_POINTS], log_sigma[N_POINTS];
    double entropy[N_POINTS], by_mean[N_POINTS], by_log_sigma[N_POINTS];
    size_t n;
} points;

static void measure(points *points) {
    static float ones[N_POINTS];
    entrol_policy p = ENTROL_POLICY_INIT;
    entrol_diagnosis diagnosis;
    for (size_t i = 0; i < points->n; i++)
        ones[i] = 1;
    p.kind = ENTROL_POLICY_SQUASHED_GAUSSIAN;
    p.first = (entrol_matrix){points->mean, ENTROL_F64, points->n, 1, 1};
    p.second = (entrol_matrix){points->log_sigma, ENTROL_F64, points->n, 1, 1};
    const entrol_policy_record record = {sizeof record, points->entropy, NULL, NULL, NULL};
    CHECK_INT(entrol_policy_measure(context, &record, &diagnosis, &p, NULL, NULL, NULL), ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 0);
    const entrol_policy_gradient_record gradient = {sizeof gradient, ones, NULL, NULL, NULL, NULL, 0};
    const entrol_destination first = {points->by_mean, ENTROL_F64, 1, 0},
                             second = {points->by_log_sigma, ENTROL_F64, 1, 0};
    CHECK_INT(entrol_policy_gradient(context, &first, &second, &diagnosis, &gradient, &p, NULL, NULL, NULL), ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 0);
}

/* Contract: 1e-12 max(1, |H|), of which what is promised is 1e-9; the gradient 1e-12 of its greatest term. */
static void check(points *points) {
    measure(points);
    for (size_t i = 0; i < points->n; i++) {
        const long double mean = points->mean[i], log_sigma = points->log_sigma[i];
        const oracle_squash_loss loss = oracle_squash_expect(mean, log_sigma);
        const long double h = 0.5L * logl(2 * acosl(-1) * expl(1)) + log_sigma + loss.value;
        const double off = (double)(fabsl(points->entropy[i] - h) / fmaxl(1, fabsl(h)));
        const double terms = 2 + fabs((double)loss.by_log_sigma);
        const double slope = (double)fmaxl(fabsl(points->by_mean[i] - loss.by_mean),
                                           fabsl(points->by_log_sigma[i] - 1 - loss.by_log_sigma)) /
                             terms;
        worst = fmax(worst, off);
        worst_slope = fmax(worst_slope, slope);
        CHECK_SAY(off <= 1e-12 && slope <= 1e-12, "mean %g, ln sigma %g: H is %.17g, exactly %.17Lg; slopes %g off",
                  points->mean[i], points->log_sigma[i], points->entropy[i], h, slope);
    }
}

static void test_grid(void) {
    static points points;
    worst = worst_slope = 0;
    points.n = 0;
    for (int i = 0; i < N_MEANS; i += is_quick() ? 8 : 1)
        for (int j = 0; j < N_SIGMAS; j += is_quick() ? 8 : 1) {
            points.mean[points.n] = -5 + 0.25 * i;
            points.log_sigma[points.n++] = -5 + 0.125 * j;
        }
    check(&points);
    printf("  H within %.1e, its gradient within %.1e\n", worst, worst_slope);
}

static void test_at_random(void) {
    static points points;
    points.n = is_quick() ? 50 : N_POINTS;
    for (size_t i = 0; i < points.n; i++) {
        points.mean[i] = 10 * (test_uniform() - 0.5);
        points.log_sigma[i] = -5 + 7 * test_uniform();
    }
    check(&points);
}

/* On both sides of where the method changes, sigma = 1/2, and as far as the oracle goes. */
static void test_beyond(void) {
    static points points;
    points.n = is_quick() ? 50 : 1000;
    for (size_t i = 0; i < points.n; i++) {
        points.mean[i] = i % 2 ? test_normal() : 200 * (test_uniform() - 0.5);
        points.log_sigma[i] = i % 3 == 0   ? log(0.5) + 1e-9 * test_normal()
                              : i % 3 == 1 ? -25 * test_uniform()
                                           : 12 * test_uniform();
    }
    check(&points);
}

/* Where nothing can be integrated: sigma near 0 is the slope at the mean, a far mean or a great sigma is 2 ln 2 - 2
 * E|x|. */
static void test_limits(void) {
    static points points;
    static const double normal_entropy = 1.4189385332046727418;
    points = (struct points){.n = 6, .mean = {0.5, 1e5, -1e300, 0, 3, -1e5}, .log_sigma = {-300, 0, 2, 300, 700, -400}};
    measure(&points);
    const double expected[] = {
        log(1 - tanh(0.5) * tanh(0.5)) - 300, 2 * log(2) - 2e5,      -2e300, -2 * sqrt(2 / acos(-1)) * exp(300),
        -2 * sqrt(2 / acos(-1)) * exp(700),   2 * log(2) - 2e5 - 400};
    for (size_t i = 0; i < points.n; i++)
        CHECK_NEAR(points.entropy[i] / (expected[i] + normal_entropy), 1, 1e-13);
    CHECK_NEAR(points.by_mean[0], -2 * tanh(0.5), 1e-14);
    CHECK(points.by_log_sigma[0] == 1);
    CHECK(points.by_mean[1] == -2 && points.by_mean[2] == 2);
    CHECK_NEAR(points.by_log_sigma[3] / expected[3], 1, 1e-13);
}

/* It is even in the mean, and its slope odd. */
static void test_symmetry(void) {
    static points points;
    points.n = 200;
    for (size_t i = 0; i < points.n; i += 2) {
        points.mean[i] = 3 * test_normal();
        points.mean[i + 1] = -points.mean[i];
        points.log_sigma[i] = points.log_sigma[i + 1] = 2 * test_normal() - 1;
    }
    measure(&points);
    for (size_t i = 0; i < points.n; i += 2) {
        CHECK_NEAR(points.entropy[i], points.entropy[i + 1], 1e-14 * (1 + fabs(points.entropy[i])));
        CHECK_NEAR(points.by_mean[i], -points.by_mean[i + 1], 1e-14);
    }
}

/* --- Against draws --- */

enum { N_DRAWS = 100000 };

/* The mean of -ln p of the draws is H, within 4.5 standard errors; -ln p by the textbook here. bench/squashed_entropy
 * does the same with 10^8 of them. */
static void check_draws(double mean, double log_sigma) {
    static double x[N_DRAWS];
    double entropy, sum = 0, square = 0;
    entrol_policy p = ENTROL_POLICY_INIT;
    p.kind = ENTROL_POLICY_SQUASHED_GAUSSIAN;
    p.first = (entrol_matrix){&mean, ENTROL_F64, N_DRAWS, 1, 0};
    p.second = (entrol_matrix){&log_sigma, ENTROL_F64, 1, 1, 0};
    const entrol_policy_sample_options options = {sizeof options, test_random(), 0, 0};
    const entrol_destination before = {x, ENTROL_F64, 1, 0};
    CHECK_INT(entrol_policy_sample(context, NULL, &before, NULL, &p, &options), ENTROL_OK);
    p.first.n_rows = 1;
    const entrol_policy_record record = {sizeof record, &entropy, NULL, NULL, NULL};
    CHECK_INT(entrol_policy_measure(context, &record, NULL, &p, NULL, NULL, NULL), ENTROL_OK);
    for (size_t i = 0; i < N_DRAWS; i++) {
        const double z = (x[i] - mean) / exp(log_sigma), size = fabs(x[i]);
        const double off =
            z * z / 2 + log_sigma + log(2 * acos(-1)) / 2 + 2 * (log(2) - size - log1p(exp(-2 * size))) - entropy;
        sum += off / N_DRAWS;
        square += off * off / N_DRAWS;
    }
    CHECK_SAY(fabs(sum) < 4.5 * sqrt(square / N_DRAWS), "mean %g, ln sigma %g: draws are %g standard errors off", mean,
              log_sigma, sum / sqrt(square / N_DRAWS));
}

static void test_draws(void) {
    for (double mean = -5; mean <= 5; mean += 2.5)
        for (double log_sigma = -5; log_sigma <= 2; log_sigma += 1.75)
            check_draws(mean, log_sigma);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    context = context_at(ENTROL_CPU_BEST, 1);
    TEST(test_grid);
    TEST(test_at_random);
    TEST(test_beyond);
    TEST(test_limits);
    TEST(test_symmetry);
    TEST(test_draws);
    entrol_context_destroy(context);
    return test_end();
}
