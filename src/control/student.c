/* Student's t distribution by the incomplete beta function: P(|T| > t) = I_x(f / 2, 1 / 2), x = f / (f + t^2)
 * (Abramowitz and Stegun 26.7.1), whose continued fraction (26.5.8) is worked off from its head (Lentz's method, as
 * Thompson and Barnett have it, J. Comp. Phys. 64, 1986). */
#include "student.h"

#include "base/gamma.h"

#include <float.h>
#include <math.h>

static double keep_from_zero(double value) {
    return fabs(value) < DBL_MIN ? DBL_MIN : value;
}

/* The fraction of I_x(a, b), for x below (a + 1) / (a + b + 2), where it converges fast. */
static double fraction(double x, double a, double b) {
    double c = 1, d = 1 / keep_from_zero(1 - (a + b) * x / (a + 1)), product = d;
    for (int m = 1; m < 10000; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 / keep_from_zero(1 + even * d);
        c = keep_from_zero(1 + even / c);
        product *= d * c;
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / keep_from_zero(1 + odd * d);
        c = keep_from_zero(1 + odd / c);
        product *= d * c;
        if (fabs(d * c - 1) < DBL_EPSILON)
            break;
    }
    return product;
}

/* I_x(a, b), where y = 1 - x. */
static double incomplete_beta(double x, double y, double a, double b) {
    if (x <= 0 || y <= 0)
        return x <= 0 ? 0 : 1;
    const double front = exp(ent_log_gamma(a + b) - ent_log_gamma(a) - ent_log_gamma(b) + a * log(x) + b * log(y));
    if (x < (a + 1) / (a + b + 2))
        return front * fraction(x, a, b) / a;
    return 1 - front * fraction(y, b, a) / b;
}

double ent_student_cdf(double t, double freedom) {
    const double square = t * t, whole = freedom + square;
    const double tails = isinf(square) ? 0 : incomplete_beta(freedom / whole, square / whole, freedom / 2, 0.5);
    return t > 0 ? 1 - tails / 2 : tails / 2;
}
