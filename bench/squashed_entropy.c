/* The entropy of a squashed Gaussian beside the mean of -ln p over draws, and beside what others estimate it by.
 *
 *     squashed_entropy [DRAWS] > RESULTS.jsonl      (10^8 draws at each of 45 points by default: some minutes)
 *
 * One line a point, one dimension on (-1, 1): the entropy by quadrature, the mean of -ln p and its standard error, how
 * many of these they are apart; what the entropy before the squash is off by (taking the base distribution's); the
 * deviation of one draw's -ln p (Stable-Baselines3's -log_prob) and of the base entropy with one draw of ln da/dx
 * (Brax's). -ln p is written down here a second time; the library only draws x. */
#include <entrol/policy.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 100000 };

/* Sums of values around `origin`, whose own digits would be lost. */
typedef struct moments {
    double origin, sum, square, n;
} moments;

static void add(moments *moments, double value) {
    const double off = value - moments->origin;
    moments->sum += off;
    moments->square += off * off;
    moments->n++;
}

static double mean_of(const moments *moments) {
    return moments->origin + moments->sum / moments->n;
}

static double deviation_of(const moments *moments) {
    const double mean = moments->sum / moments->n;
    return sqrt(moments->square / moments->n - mean * mean);
}

typedef struct point {
    double mean, log_sigma, base, entropy;
} point;

static entrol_policy policy_at(const point *point, size_t n_rows) {
    entrol_policy policy = ENTROL_POLICY_INIT;
    policy.kind = ENTROL_POLICY_SQUASHED_GAUSSIAN;
    policy.first = (entrol_matrix){&point->mean, ENTROL_F64, n_rows, 1, 0};
    policy.second = (entrol_matrix){&point->log_sigma, ENTROL_F64, 1, 1, 0};
    return policy;
}

static double log_slope(double x) {
    const double size = fabs(x);
    return 2 * (log(2) - size - log1p(exp(-2 * size)));
}

/* The next batch of draws: -ln p of each, and ln da/dx. */
static entrol_status draw(entrol_context *context, moments *surprisal, moments *slope, const point *point,
                          size_t first_row) {
    static double x[BATCH];
    const entrol_policy policy = policy_at(point, BATCH);
    const entrol_destination before = {x, ENTROL_F64, 1, 0};
    const entrol_policy_sample_options options = {sizeof options, 20261128, first_row, 0};
    const entrol_status status = entrol_policy_sample(context, NULL, &before, NULL, &policy, &options);
    const double sigma = exp(point->log_sigma), half_log_2_pi = log(2 * acos(-1)) / 2;
    for (size_t i = 0; status == ENTROL_OK && i < BATCH; i++) {
        const double z = (x[i] - point->mean) / sigma, f = log_slope(x[i]);
        add(surprisal, z * z / 2 + point->log_sigma + half_log_2_pi + f);
        add(slope, f);
    }
    return status;
}

static entrol_status measure(entrol_context *context, point *point) {
    const entrol_policy policy = policy_at(point, 1);
    const entrol_policy_record record = {sizeof record, &point->entropy, NULL, NULL, NULL};
    point->base = log(2 * acos(-1) * exp(1)) / 2 + point->log_sigma;
    return entrol_policy_measure(context, &record, NULL, &policy, NULL, NULL, NULL);
}

static entrol_status run(entrol_context *context, point *point, size_t n_batches, size_t first_row) {
    entrol_status status = measure(context, point);
    moments surprisal = {.origin = point->entropy}, slope = {.origin = point->entropy - point->base};
    for (size_t i = 0; status == ENTROL_OK && i < n_batches; i++)
        status = draw(context, &surprisal, &slope, point, first_row + i * BATCH);
    const double error = deviation_of(&surprisal) / sqrt(surprisal.n);
    if (status == ENTROL_OK)
        printf("{\"mean\": %g, \"log_sigma\": %g, \"entropy\": %.12f, \"draws\": %.0f, \"mean_surprisal\": %.12f, "
               "\"standard_error\": %.3g, \"errors_apart\": %.3f, \"base_error\": %.6f, \"one_draw_deviation\": %.6f, "
               "\"base_and_one_draw_deviation\": %.6f}\n",
               point->mean, point->log_sigma, point->entropy, surprisal.n, mean_of(&surprisal), error,
               (mean_of(&surprisal) - point->entropy) / error, point->base - point->entropy, deviation_of(&surprisal),
               deviation_of(&slope));
    fflush(stdout);
    return status;
}

int main(int argc, char **argv) {
    const double n_draws = argc > 1 ? strtod(argv[1], NULL) : 1e8;
    const size_t n_batches = n_draws >= BATCH && n_draws <= 1e12 ? (size_t)(n_draws / BATCH) : 0;
    entrol_context *context = NULL;
    entrol_status status = entrol_context_create(&context, NULL);
    if (argc > 2 || !n_batches) {
        fprintf(stderr, "usage: squashed_entropy [DRAWS]   (%d or more)\n", BATCH);
        status = ENTROL_ERROR_ARGUMENT;
    }
    size_t n_points = 0;
    for (int i = 0; i < 9; i++)
        for (int j = 0; status == ENTROL_OK && j < 5; j++) {
            static const double log_sigmas[] = {-5, -2, -0.5, 0.5, 2};
            point point = {.mean = -5 + 1.25 * i, .log_sigma = log_sigmas[j]};
            status = run(context, &point, n_batches, n_points++ * n_batches * BATCH);
        }
    if (status != ENTROL_OK)
        fprintf(stderr, "squashed_entropy: %s\n", entrol_status_string(status));
    entrol_context_destroy(context);
    return status == ENTROL_OK ? 0 : 2;
}
