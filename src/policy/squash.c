/* E[f(x)] for f(x) = ln(1 - tanh(x)^2) = 2 ln 2 - 2 |x| - 2 ln(1 + e^(-2 |x|)) and a Gaussian x, by the trapezoidal
 * rule, whose error for an analytic function on the real line falls exponentially with the step (Trefethen and
 * Weideman, SIAM Review 56, 2014).
 *
 * f has singularities at +-i pi / 2 and nowhere nearer. A step h in x has an error of about e^(-2 pi y / h + y^2 / (2
 * sigma^2)) for the greatest y up to pi / 2 at which the exponent still falls. Up to sigma = 1/2, steps of h = sigma /
 * 2 from -9 to 9 sigma: 37 nodes, at most e^-34.5 = 1e-15. Above, steps of 1/4, which have the same error, but a wide
 * Gaussian would need many: there f is split by A(x) = E|x + z|, z a standard normal number,
 *     f = 2 ln 2 - 2 A + r,  A(x) = x erf(x / sqrt 2) + sqrt(2 / pi) e^(-x^2 / 2),
 * where r falls as e^(-2 |x|), so that 161 nodes up to |x| = 20 are enough for any sigma, and E A = E|x + z| is the
 * mean of a folded normal of variance sigma^2 + 1.
 *
 * The derivatives are E f' and sigma^2 E f'', since those by the mean of a Gaussian and by its variance are E d/dx and
 * E d^2/dx^2 / 2. */
#include "squash.h"

#include "base/portable.h"

#include <math.h>

#define SQRT_2_OVER_PI 0.79788456080286535588
#define SQRT_HALF 0.70710678118654752440
#define LN_2 0.69314718055994530942

static const double narrow_step = 0.5, wide_step = 0.25, widest_narrow = 0.5, most_deviations = 9;

ent_log_slope ent_log_slope_at(double x) {
    const double size = fabs(x), e = exp(-2 * size), tanh_size = (1 - e) / (1 + e);
    return (ent_log_slope){2 * (LN_2 - size - log1p(e)), x < 0 ? 2 * tanh_size : -2 * tanh_size,
                           -8 * e / ((1 + e) * (1 + e))};
}

/* ln((a - low) / (high - a)) / 2, from the nearer bound. */
double ent_unsquash(const ent_shape *shape, double action) {
    const double below = action - shape->low, above = shape->high - action;
    return below < above ? -log1p((above - below) / below) / 2 : log1p((below - above) / above) / 2;
}

double ent_squash_portably(const ent_shape *shape, double x) {
    const double e = ent_portable_exp(-2 * fabs(x)), part = (shape->high - shape->low) * (e / (1 + e));
    return x < 0 ? shape->low + part : shape->high - part;
}

ent_fault ent_take_bounded(const ent_shape *shape, double *action) {
    const ent_fault fault = ent_find_infinite(action, shape->n);
    if (fault.reason != ENTROL_REASON_NONE)
        return fault;
    for (size_t i = 0; i < shape->n; i++) {
        if (action[i] < shape->lowest || action[i] > shape->highest)
            return (ent_fault){ENTROL_REASON_ACTION, i};
        action[i] = fmin(fmax(action[i], shape->least), shape->greatest);
    }
    return fault;
}

void ent_squash_prepare(ent_squash *squash) {
    for (int i = 0; i < ENT_SQUASH_NARROW; i++) {
        const double z = narrow_step * i;
        squash->weight[i] = narrow_step * exp(-z * z / 2) * SQRT_2_OVER_PI / 2;
    }
    for (int i = 0; i < ENT_SQUASH_WIDE; i++) {
        const double x = wide_step * i, beyond = erfc(x * SQRT_HALF), e = exp(-2 * x);
        squash->rest[i] = 2 * (SQRT_2_OVER_PI * exp(-x * x / 2) - x * beyond) - 2 * log1p(e);
        squash->rest_slope[i] = 4 * e / (1 + e) - 2 * beyond;
        squash->curve[i] = ent_log_slope_at(x).second;
    }
}

static void add(ent_squash_loss *sum, double weight, const ent_log_slope *f) {
    sum->value += weight * f->value;
    sum->by_mean += weight * f->first;
    sum->by_log_sigma += weight * f->second;
}

static ent_squash_loss expect_narrow(const ent_squash *squash, double mean, double sigma) {
    ent_squash_loss sum = {0, 0, 0};
    for (int i = ENT_SQUASH_NARROW - 1; i >= 0; i--) {
        const double x = sigma * (narrow_step * i);
        const ent_log_slope above = ent_log_slope_at(mean + x), below = ent_log_slope_at(mean - x);
        add(&sum, squash->weight[i], &above);
        if (i > 0)
            add(&sum, squash->weight[i], &below);
    }
    sum.by_log_sigma *= sigma * sigma;
    return sum;
}

/* The sums over the nodes that the Gaussian reaches, sigma times the density in each weight. */
static ent_squash_loss sum_wide(const ent_squash *squash, double mean, double sigma) {
    const double edge = wide_step * (ENT_SQUASH_WIDE - 1), reach = most_deviations * sigma;
    const int first = (int)ceil(fmin(fmax(mean - reach, -edge), edge) / wide_step);
    const int last = (int)floor(fmax(fmin(mean + reach, edge), -edge) / wide_step);
    ent_squash_loss sum = {0, 0, 0};
    for (int i = first; i <= last; i++) {
        const int node = i < 0 ? -i : i;
        const double z = (wide_step * i - mean) / sigma, weight = exp(-z * z / 2);
        const ent_log_slope r = {squash->rest[node], i < 0 ? -squash->rest_slope[node] : squash->rest_slope[node],
                                 squash->curve[node]};
        add(&sum, weight, &r);
    }
    return sum;
}

static ent_squash_loss expect_wide(const ent_squash *squash, double mean, double sigma) {
    const ent_squash_loss rest = sum_wide(squash, mean, sigma);
    const double scale = wide_step * SQRT_2_OVER_PI / 2; /* times sigma over sigma */
    const double width = hypot(sigma, 1), z = mean / width, inside = erf(z * SQRT_HALF);
    const double folded = width * SQRT_2_OVER_PI * exp(-z * z / 2) + mean * inside;
    return (ent_squash_loss){2 * LN_2 - 2 * folded + scale / sigma * rest.value,
                             -2 * inside + scale / sigma * rest.by_mean, scale * sigma * rest.by_log_sigma};
}

ent_squash_loss ent_squash_expect(const ent_squash *squash, double mean, double log_sigma) {
    const double sigma = exp(log_sigma);
    return sigma <= widest_narrow ? expect_narrow(squash, mean, sigma) : expect_wide(squash, mean, sigma);
}
