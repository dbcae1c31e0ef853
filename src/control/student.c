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
static double incomplete_beta(double x, double y, double a, double b, double log_beta) {
    if (x <= 0 || y <= 0)
        return x <= 0 ? 0 : 1;
    const double front = exp(a * log(x) + b * log(y) - log_beta);
    if (x < (a + 1) / (a + b + 2))
        return front * fraction(x, a, b) / a;
    return 1 - front * fraction(y, b, a) / b;
}

ent_student ent_student_of(double freedom) {
    const double a = freedom / 2;
    return (ent_student){freedom, ent_log_gamma(a) + ent_log_gamma(0.5) - ent_log_gamma(a + 0.5)};
}

double ent_student_cdf(const ent_student *student, double t) {
    const double f = student->freedom, square = t * t, whole = f + square;
    const double tails = isinf(square) ? 0 : incomplete_beta(f / whole, square / whole, f / 2, 0.5, student->log_beta);
    return t > 0 ? 1 - tails / 2 : tails / 2;
}
