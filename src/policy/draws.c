/* Numbers drawn by a counter. Normal ones by the inverse of their distribution (Wichura, Algorithm AS 241, Applied
 * Statistics 37, 1988: PPND16, to about 1 part in 10^16), Gamma ones by squeezed normal ones (Marsaglia and Tsang, ACM
 * Transactions on Mathematical Software 26, 2000). */
#include "draws.h"

#include "base/portable.h"
#include "base/random.h"

#include <stddef.h>

ent_draws ent_draws_begin(uint64_t seed, uint64_t row) {
    return (ent_draws){ent_random(seed, row), 0};
}

double ent_draw_uniform(ent_draws *draws) {
    const uint64_t bits = ent_random(draws->key, draws->counter++) >> 12;
    return (double)(2 * bits + 1) * 0x1p-53;
}

/* --- Normal numbers --- */

enum { N_COEFFICIENTS = 8 };

/* Numerator and denominator of a part of the quantile function, rising powers. */
typedef struct ratio {
    double above[N_COEFFICIENTS], below[N_COEFFICIENTS];
} ratio;

/* PPND16's a and b, c and d, e and f. */
static const ratio centre = {
    {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3},
    {1, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
     3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3}};
static const ratio side = {
    {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4},
    {1, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1, 1.48103976427480074590e-1,
     1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9}};
static const ratio tail = {
    {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7},
    {1, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2, 7.86869131145613259100e-4,
     1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15}};

static double polynomial(const double *coefficients, double x) {
    double sum = 0;
    for (int i = N_COEFFICIENTS - 1; i >= 0; i--)
        sum = sum * x + coefficients[i];
    return sum;
}

static double ratio_at(const ratio *ratio, double x) {
    return polynomial(ratio->above, x) / polynomial(ratio->below, x);
}

double ent_normal_quantile(double p) {
    const double q = p - 0.5;
    if (fabs(q) <= 0.425)
        return q * ratio_at(&centre, 0.180625 - q * q);
    const double r = sqrt(-ent_portable_log(q < 0 ? p : 1 - p));
    const double size = r <= 5 ? ratio_at(&side, r - 1.6) : ratio_at(&tail, r - 5);
    return q < 0 ? -size : size;
}

double ent_draw_normal(ent_draws *draws) {
    return ent_normal_quantile(ent_draw_uniform(draws));
}

/* --- Gamma numbers --- */

/* Of a shape from 1 on: d v with d = shape - 1/3 and v = (1 + x / sqrt(9 d))^3, kept by the density's ratio. */
static double draw_log_gamma_from_one(ent_draws *draws, double shape) {
    const double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = ent_draw_normal(draws), root = 1 + c * x, v = root * root * root;
        const double u = ent_draw_uniform(draws);
        if (v <= 0)
            continue;
        const double log_v = ent_portable_log(v);
        if (ent_portable_log(u) < 0.5 * x * x + d * (1 - v + log_v))
            return ent_portable_log(d) + log_v;
    }
}

/* Below 1: that of shape + 1 times u^(1 / shape). */
double ent_draw_log_gamma(ent_draws *draws, double shape) {
    if (shape >= 1)
        return draw_log_gamma_from_one(draws, shape);
    const double log_boosted = draw_log_gamma_from_one(draws, shape + 1);
    return log_boosted + ent_portable_log(ent_draw_uniform(draws)) / shape;
}
