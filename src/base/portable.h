/* exp and log of additions, products and quotients of doubles alone, which IEEE 754 defines to the bit: the C
 * library's differ from one machine to the next, and what is drawn must not. Both are within 1e-15 of the exact value,
 * relative to it. */
#ifndef ENT_BASE_PORTABLE_H
#define ENT_BASE_PORTABLE_H

#include <math.h>

/* ln 2 in two parts, whose first has 32 bits, so that its product with a whole number of 20 bits is exact. */
#define ENT_LN2_HIGH 0x1.62e42fee00000p-1
#define ENT_LN2_LOW 0x1.a39ef35793c76p-33

/* ln((1 + r) / (1 - r)) = 2 r (1 + r^2 / 3 + r^4 / 5 + ...), for |r| < 0.172. */
static inline double ent_portable_log_ratio(double r) {
    const double square = r * r;
    double sum = 0;
    for (int i = 23; i >= 3; i -= 2)
        sum = square * (1.0 / i + sum);
    return 2 * r + 2 * r * sum;
}

/* ln x of a finite x above 0: x = 2^k f, f from sqrt(1/2) to sqrt(2), r = (f - 1) / (f + 1). */
static inline double ent_portable_log(double x) {
    int k;
    double f = frexp(x, &k);
    if (f < 0.70710678118654752440) {
        f *= 2;
        k--;
    }
    return k * ENT_LN2_HIGH + (k * ENT_LN2_LOW + ent_portable_log_ratio((f - 1) / (f + 1)));
}

/* ln(1 + x) of a finite x from 0 on, which keeps the digits of a small one. */
static inline double ent_portable_log1p(double x) {
    return x < 0.4 ? ent_portable_log_ratio(x / (2 + x)) : ent_portable_log(1 + x);
}

/* e^x, infinite above 709.78 and 0 below -745.13; of no NaN. With x = k ln 2 + r, |r| < 0.35: 2^k times the Taylor
 * series to its 15th power. */
static inline double ent_portable_exp(double x) {
    if (x > 710)
        return (double)INFINITY;
    if (x < -746)
        return 0;
    const double k = floor(x * 1.44269504088896340736 + 0.5), r = (x - k * ENT_LN2_HIGH) - k * ENT_LN2_LOW;
    double sum = 1;
    for (int i = 15; i > 0; i--)
        sum = 1 + r / i * sum;
    return ldexp(sum, (int)k);
}

#endif
