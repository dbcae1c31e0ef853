/* The fit of R = b - a exp(H): Student's distribution against its density, the fit against dense matrices in long
 * double, and the interval's coverage over runs whose residuals are correlated. */
#include "control/student.h"
#include "control.h"

/* --- Student's t --- */

/* The density's integral from 0 to t, by Simpson's rule in sixteen thousand steps. */
static long double integrate_student(long double t, long double freedom) {
    const long double constant = expl(lgammal((freedom + 1) / 2) - lgammal(freedom / 2)) / sqrtl(freedom * acosl(-1));
    const int n = 16000;
    long double sum = 0;
    for (int i = 0; i <= n; i++) {
        const long double at = t * i / n, density = powl(1 + at * at / freedom, -(freedom + 1) / 2);
        sum += density * (i == 0 || i == n ? 1 : i % 2 ? 4 : 2);
    }
    return constant * sum * t / n / 3;
}

static void test_student(void) {
    static const double freedoms[] = {1, 2, 3, 8, 30, 198, 2398};
    static const double ts[] = {0, 0.01, 0.5, 1, 1.96, 3, 8, 40};
    double worst = 0;
    for (size_t f = 0; f < sizeof freedoms / sizeof freedoms[0]; f++)
        for (size_t i = 0; i < sizeof ts / sizeof ts[0]; i++) {
            const ent_student student = ent_student_of(freedoms[f]);
            const double half = (double)integrate_student(ts[i], freedoms[f]);
            worst = fmax(worst, fabs(ent_student_cdf(&student, ts[i]) - (0.5 + half)));
            worst = fmax(worst, fabs(ent_student_cdf(&student, -ts[i]) - (0.5 - half)));
        }
    CHECK_SAY(worst < 1e-9, "Student's t is off by %g", worst); /* Simpson's own error, at 40 */
    const ent_student one = ent_student_of(1), three = ent_student_of(3);
    CHECK_NEAR(ent_student_cdf(&one, 12.706204736174707), 0.975, 1e-14); /* tan(0.475 pi) */
    CHECK(ent_student_cdf(&three, (double)INFINITY) == 1 && ent_student_cdf(&three, -(double)INFINITY) == 0);
    printf("    Student's t within %.1g of its density's integral\n", worst);
}

/* --- The fit --- */

enum { MOST = 400 };

typedef struct sample {
    size_t n;
    double entropies[MOST], rewards[MOST];
} sample;

/* A run: entropy falls from `first` nats with noise of its own, the reward follows the law with residuals
 * e_t = rho e_(t-1) + noise of a deviation of 0.02 when it has settled. */
static void draw(sample *out, size_t n, double a, double b, double rho) {
    double residual = 0.02 * test_normal();
    out->n = n;
    for (size_t i = 0; i < n; i++) {
        const double entropy = 0.05 + 0.6 * exp(-4.0 * (double)i / (double)n);
        out->entropies[i] = entropy * (1 + 0.03 * test_normal());
        out->rewards[i] = b - a * exp(out->entropies[i]) + residual;
        residual = rho * residual + 0.02 * sqrt(1 - rho * rho) * test_normal();
    }
}

static entrol_ceiling fit(entrol_context *context, const sample *in, entrol_forecast *forecasts, size_t n_forecasts) {
    entrol_ceiling ceiling = {0};
    CHECK_INT(
        entrol_fit_ceiling(context, &ceiling, forecasts, n_forecasts, NULL, in->entropies, in->rewards, in->n, NULL),
        ENTROL_OK);
    return ceiling;
}

static void test_exact_law(void) {
    entrol_context *context = open_alone();
    entrol_forecast forecast = {.entropy = 0.3};
    sample sample = {.n = 50};
    for (size_t i = 0; i < sample.n; i++) {
        sample.entropies[i] = 2.5 * exp(-(double)i / 10);
        sample.rewards[i] = 0.9 - 0.03 * exp(sample.entropies[i]);
    }
    const entrol_ceiling ceiling = fit(context, &sample, &forecast, 1);
    CHECK_NEAR(ceiling.a, 0.03, 1e-12);
    CHECK_NEAR(ceiling.b, 0.9, 1e-12);
    CHECK_NEAR(ceiling.ceiling, 0.87, 1e-12);
    CHECK_NEAR(ceiling.low, 0.87, 1e-9);
    CHECK_NEAR(ceiling.high, 0.87, 1e-9);
    CHECK_NEAR(ceiling.r_squared, 1, 1e-12);
    CHECK_NEAR(forecast.reward, 0.9 - 0.03 * exp(0.3), 1e-12);
    CHECK(ceiling.n == 50);
    for (size_t i = 0; i < sample.n; i++)
        sample.rewards[i] = 0.5;
    const entrol_ceiling flat = fit(context, &sample, NULL, 0);
    CHECK_NEAR(flat.a, 0, 1e-12);
    CHECK_NEAR(flat.ceiling, 0.5, 1e-12);
    CHECK_NEAR(flat.low, 0.5, 1e-9);
    CHECK_NEAR(flat.high, 0.5, 1e-9);
    CHECK(flat.r_squared == 0);
    entrol_context_destroy(context);
}

/* Far from all entropies the reward and its interval grow as exp(H) alone. */
static void test_far_forecasts(void) {
    entrol_context *context = open_alone();
    entrol_forecast far[] = {{.entropy = 300}, {.entropy = 349}}; /* exp(358)^2 is beyond a double */
    sample sample = {.n = 50};
    for (size_t i = 0; i < sample.n; i++) {
        sample.entropies[i] = -9 - (double)i / 50;
        sample.rewards[i] = 1 - exp(sample.entropies[i]) + 1e-5 * test_normal();
    }
    fit(context, &sample, far, 2);
    CHECK(far[1].low < far[1].reward && far[1].reward < far[1].high && isfinite(far[1].high - far[1].low));
    CHECK_NEAR(far[1].low / exp(49), far[0].low, 1e-9 * fabs(far[0].low));
    CHECK_NEAR(far[1].high / exp(49), far[0].high, 1e-9 * fabs(far[0].high));
    entrol_context_destroy(context);
}

/* --- Against dense matrices --- */

enum { DENSE = 14 };

/* At one rho, with the correlation matrix rho^|i - j|: its inverse and determinant by elimination, in long double. */
typedef struct dense {
    long double log_weight, estimate, error;
} dense;

static long double invert(long double inverse[DENSE][DENSE], long double rho) {
    long double matrix[DENSE][DENSE], log_determinant = 0;
    for (int i = 0; i < DENSE; i++)
        for (int j = 0; j < DENSE; j++) {
            matrix[i][j] = powl(rho, abs(i - j));
            inverse[i][j] = i == j;
        }
    for (int k = 0; k < DENSE; k++) {
        const long double pivot = matrix[k][k];
        log_determinant += logl(pivot);
        for (int j = 0; j < DENSE; j++) {
            matrix[k][j] /= pivot;
            inverse[k][j] /= pivot;
        }
        for (int i = 0; i < DENSE; i++) {
            const long double factor = matrix[i][k];
            for (int j = 0; i != k && j < DENSE; j++) {
                matrix[i][j] -= factor * matrix[k][j];
                inverse[i][j] -= factor * inverse[k][j];
            }
        }
    }
    return log_determinant;
}

/* The reward at an entropy: generalised least squares on the columns 1 and -exp(H). */
static dense solve_dense(const sample *in, long double rho, long double entropy) {
    long double inverse[DENSE][DENSE], m[2][2] = {{0, 0}, {0, 0}}, v[2] = {0, 0}, squares = 0;
    const long double log_determinant = invert(inverse, rho);
    for (int i = 0; i < DENSE; i++)
        for (int j = 0; j < DENSE; j++) {
            const long double w = inverse[i][j], x = -expl(in->entropies[i]), z = -expl(in->entropies[j]);
            m[0][0] += w;
            m[0][1] += w * z;
            m[1][0] += w * x;
            m[1][1] += w * x * z;
            v[0] += w * in->rewards[j];
            v[1] += w * x * in->rewards[j];
        }
    const long double determinant = m[0][0] * m[1][1] - m[0][1] * m[1][0], at = -expl(entropy);
    const long double b = (m[1][1] * v[0] - m[0][1] * v[1]) / determinant,
                      a = (m[0][0] * v[1] - m[1][0] * v[0]) / determinant;
    for (int i = 0; i < DENSE; i++)
        for (int j = 0; j < DENSE; j++)
            squares += (in->rewards[i] - b + a * expl(in->entropies[i])) * inverse[i][j] *
                       (in->rewards[j] - b + a * expl(in->entropies[j]));
    const long double spread = (m[1][1] - 2 * at * m[0][1] + at * at * m[0][0]) / determinant;
    return (dense){-(log_determinant + logl(determinant) + (DENSE - 2) * logl(squares)) / 2, b + a * at,
                   sqrtl(squares / (DENSE - 2) * spread)};
}

/* The probability below a reward, rho spread evenly over [0, 1). */
static double dense_probability(const sample *in, double entropy, double reward) {
    enum { N = 2000 };
    static dense at[N];
    const int n = is_quick() ? N / 4 : N;
    const ent_student student = ent_student_of(DENSE - 2);
    long double greatest = -INFINITY, total = 0, below = 0;
    for (int i = 0; i < n; i++) {
        at[i] = solve_dense(in, (i + 0.5L) / n, (long double)entropy);
        greatest = fmaxl(greatest, at[i].log_weight);
    }
    for (int i = 0; i < n; i++) {
        const long double weight = expl(at[i].log_weight - greatest);
        total += weight;
        below += weight * (long double)ent_student_cdf(&student, (double)((reward - at[i].estimate) / at[i].error));
    }
    return (double)(below / total);
}

static void test_against_dense_matrices(void) {
    entrol_context *context = open_alone();
    double worst = 0;
    for (int i = 0; i < 6; i += is_quick() ? 5 : 1) {
        sample sample;
        entrol_forecast forecast = {.entropy = 0.4};
        draw(&sample, DENSE, 0.3, 1, 0.15 * i);
        const entrol_ceiling ceiling = fit(context, &sample, &forecast, 1);
        worst = fmax(worst, fabs(dense_probability(&sample, 0, ceiling.low) - 0.025));
        worst = fmax(worst, fabs(dense_probability(&sample, 0, ceiling.high) - 0.975));
        worst = fmax(worst, fabs(dense_probability(&sample, 0.4, forecast.low) - 0.025));
        worst = fmax(worst, fabs(dense_probability(&sample, 0.4, forecast.high) - 0.975));
        CHECK_NEAR(ceiling.b - ceiling.a, ceiling.ceiling, 1e-12);
    }
    CHECK_SAY(worst < 5e-4, "the interval's ends are off by a probability of %g", worst);
    printf("    ends of intervals within a probability of %.1g of dense matrices over another grid\n", worst);
    entrol_context_destroy(context);
}

/* --- Coverage --- */

/* The share of runs whose 95 % interval holds the true ceiling, and the true reward at 0.3 nats. */
static void cover(entrol_context *context, size_t n, double rho) {
    const int n_runs = is_quick() ? 60 : 500;
    const double a = 0.3, b = 1;
    int n_ceilings = 0, n_forecasts = 0;
    double width = 0;
    for (int i = 0; i < n_runs; i++) {
        sample sample;
        entrol_forecast at = {.entropy = 0.3};
        draw(&sample, n, a, b, rho);
        const entrol_ceiling ceiling = fit(context, &sample, &at, 1);
        n_ceilings += ceiling.low <= b - a && b - a <= ceiling.high;
        n_forecasts += at.low <= b - a * exp(0.3) && b - a * exp(0.3) <= at.high;
        width += (ceiling.high - ceiling.low) / n_runs;
    }
    const double ceilings = (double)n_ceilings / n_runs, forecasts = (double)n_forecasts / n_runs;
    /* Four deviations of a share of so many runs below 0.95; and 0.04 more where 60 steps are worth less than two
     * independent ones. */
    const double least = 0.95 - 4 * sqrt(0.95 * 0.05 / n_runs) - ((double)n * (1 - rho) < 10 ? 0.04 : 0);
    printf("    n = %3zu, rho = %.2f: ceiling %.3f, forecast %.3f of %d runs; mean width %.4f\n", n, rho, ceilings,
           forecasts, n_runs, width);
    CHECK_SAY(ceilings >= least && forecasts >= least, "n = %zu, rho = %g: %.3f, %.3f", n, rho, ceilings, forecasts);
    CHECK_SAY(n < 300 || rho > 0.5 || is_quick() || ceilings < 0.995, "n = %zu, rho = %g: %.3f is too careful", n, rho,
              ceilings);
}

static void test_coverage(void) {
    static const double rhos[] = {0, 0.5, 0.8, 0.95};
    entrol_context *context = open_alone();
    for (size_t i = 0; i < sizeof rhos / sizeof rhos[0]; i += is_quick() ? 3 : 1) {
        cover(context, 60, rhos[i]);
        if (!is_quick())
            cover(context, 300, rhos[i]);
    }
    entrol_context_destroy(context);
}

/* --- Bad input --- */

static void test_bad_pairs(void) {
    entrol_context *context = open_alone();
    sample sample;
    entrol_diagnosis diagnosis;
    entrol_ceiling ceiling = {.a = 77};
    draw(&sample, 20, 0.3, 1, 0);
    static const struct {
        double entropy, reward;
        entrol_reason reason;
    } cases[] = {{(double)NAN, 0, ENTROL_REASON_NAN},
                 {0, (double)NAN, ENTROL_REASON_NAN},
                 {(double)INFINITY, 0, ENTROL_REASON_INFINITE},
                 {0, -(double)INFINITY, ENTROL_REASON_INFINITE},
                 {800, 0, ENTROL_REASON_INFINITE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sample bad = sample;
        bad.entropies[7] = cases[i].entropy;
        bad.rewards[7] = cases[i].reward;
        CHECK_INT(entrol_fit_ceiling(context, &ceiling, NULL, 0, &diagnosis, bad.entropies, bad.rewards, 20, NULL),
                  ENTROL_ERROR_DATA);
        CHECK(diagnosis.first_row == 7 && diagnosis.reason == cases[i].reason && ceiling.a == 77);
    }
    CHECK_INT(entrol_fit_ceiling(context, &ceiling, NULL, 0, &diagnosis, sample.entropies, sample.rewards, 3, NULL),
              ENTROL_ERROR_DATA);
    CHECK_INT(diagnosis.reason, ENTROL_REASON_GROUP);
    for (size_t i = 0; i < 20; i++)
        sample.entropies[i] = 0.5;
    CHECK_INT(entrol_fit_ceiling(context, &ceiling, NULL, 0, &diagnosis, sample.entropies, sample.rewards, 20, NULL),
              ENTROL_ERROR_DATA);
    CHECK_INT(diagnosis.reason, ENTROL_REASON_DEVIATION);
    static const double confidences[] = {-0.5, 0, 0.99995, 1, (double)NAN};
    for (size_t i = 0; i < sizeof confidences / sizeof confidences[0]; i++) {
        const entrol_ceiling_options bad = {sizeof bad, confidences[i]};
        CHECK_INT(
            entrol_fit_ceiling(context, &ceiling, NULL, 0, &diagnosis, sample.entropies, sample.rewards, 20, &bad),
            ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(diagnosis.argument, "options");
    }
    const entrol_ceiling_options greatest = {sizeof greatest, 0.9999};
    draw(&sample, 20, 0.3, 1, 0);
    CHECK_INT(
        entrol_fit_ceiling(context, &ceiling, NULL, 0, &diagnosis, sample.entropies, sample.rewards, 20, &greatest),
        ENTROL_OK);
    entrol_forecast nowhere = {.entropy = (double)NAN};
    CHECK_INT(
        entrol_fit_ceiling(context, &ceiling, &nowhere, 1, &diagnosis, sample.entropies, sample.rewards, 20, NULL),
        ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_fit_ceiling(context, &ceiling, NULL, 0, &diagnosis, NULL, sample.rewards, 20, NULL),
              ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_fit_ceiling(NULL, &ceiling, NULL, 0, &diagnosis, sample.entropies, sample.rewards, 20, NULL),
              ENTROL_ERROR_ARGUMENT);
    entrol_context_destroy(context);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_student);
    TEST(test_exact_law);
    TEST(test_far_forecasts);
    TEST(test_against_dense_matrices);
    TEST(test_coverage);
    TEST(test_bad_pairs);
    return test_end();
}
