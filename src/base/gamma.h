/* The gamma function's logarithm and its derivatives, for arguments above 0: reentrant, unlike lgamma, and libm has no
 * others. Each is moved up to 16 and more by its recurrence and taken from its asymptotic series there (Abramowitz and
 * Stegun 6.1.40, 6.3.18, 6.4.12), to about 1e-15 of the greatest term. */
#ifndef ENT_BASE_GAMMA_H
#define ENT_BASE_GAMMA_H

#include <math.h>

#define ENT_LEAST_ASYMPTOTIC 16.0

/* ln Gamma(x) less the two terms of Stirling's formula that grow, for x from 16 on. */
static inline double ent_stirling_rest(double x) {
    const double r = 1 / x, square = r * r;
    return r *
           (1.0 / 12 - square * (1.0 / 360 - square * (1.0 / 1260 - square * (1.0 / 1680 - square * (1.0 / 1188)))));
}

static inline double ent_log_gamma(double x) {
    double product = 1;
    for (; x < ENT_LEAST_ASYMPTOTIC; x++)
        product *= x;
    return (x - 0.5) * log(x) - x + 0.91893853320467274178 + ent_stirling_rest(x) - log(product); /* ln(2 pi) / 2 */
}

/* ln Gamma(x + n) - ln Gamma(x) - n ln x, which is small for an x far above n, and exact there, too. */
static inline double ent_log_rising(double x, double n) {
    if (x < ENT_LEAST_ASYMPTOTIC)
        return ent_log_gamma(x + n) - ent_log_gamma(x) - n * log(x);
    return (x + n - 0.5) * log1p(n / x) - n + ent_stirling_rest(x + n) - ent_stirling_rest(x);
}

/* ln x - 1 / 2 x - psi(x), for x from 16 on: about 1 / 12 x^2. */
static inline double ent_digamma_rest(double x) {
    const double square = 1 / (x * x);
    return square *
           (1.0 / 12 - square * (1.0 / 120 - square * (1.0 / 252 - square * (1.0 / 240 - square * (1.0 / 132)))));
}

/* psi(x), the first derivative. */
static inline double ent_digamma(double x) {
    double sum = 0;
    for (; x < ENT_LEAST_ASYMPTOTIC; x++)
        sum += 1 / x;
    return log(x) - 0.5 / x - ent_digamma_rest(x) - sum;
}

/* psi(y) - psi(x), which keeps its digits for a small h = y - x that does. */
static inline double ent_digamma_step(double x, double y, double h) {
    double sum = 0;
    for (; x < ENT_LEAST_ASYMPTOTIC || y < ENT_LEAST_ASYMPTOTIC; x++, y++)
        sum += h / (x * y);
    const double logs = fabs(h) < 0.5 * x ? log1p(h / x) : log(y / x);
    return sum + logs + 0.5 * h / (x * y) - (ent_digamma_rest(y) - ent_digamma_rest(x));
}

/* psi'(x). */
static inline double ent_trigamma(double x) {
    double sum = 0;
    for (; x < ENT_LEAST_ASYMPTOTIC; x++)
        sum += 1 / (x * x);
    const double r = 1 / x, square = r * r;
    const double series = r * square * (1.0 / 6 - square * (1.0 / 30 - square * (1.0 / 42 - square * (1.0 / 30))));
    return r + 0.5 * square + series + sum;
}

/* 1 / x - psi'(x + 1), for x from 16 on: about 1 / 2 x^2. */
static inline double ent_trigamma_rest(double x) {
    const double r = 1 / x, square = r * r;
    return square * (0.5 - r * (1.0 / 6 - square * (1.0 / 30 - square * (1.0 / 42 - square * (1.0 / 30)))));
}

#endif
