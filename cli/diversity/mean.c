#include "mean.h"

#include <math.h>

/* The probability that Student's t lies between -x and x, x = sqrt(freedom) tan(angle), as a finite sum (Abramowitz and
 * Stegun, 26.7.3 and 26.7.4). */
static double central_probability(size_t freedom, double angle) {
    const double cosine = cos(angle), square = cosine * cosine;
    const size_t first = freedom % 2 == 1 ? 1 : 0;
    double term = first == 1 ? cosine : 1, sum = freedom > 1 ? term : 0;
    for (size_t k = first + 2; k + 1 < freedom; k += 2) {
        term *= square * (double)(k - 1) / (double)k;
        sum += term;
    }
    return first == 1 ? (angle + sin(angle) * sum) * M_2_PI : sin(angle) * sum;
}

/* Half a 95 % interval, in standard errors. */
static double student_t(size_t freedom) {
    double low = 0, high = M_PI_2;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        if (central_probability(freedom, middle) < 0.95)
            low = middle;
        else
            high = middle;
    }
    return sqrt((double)freedom) * tan(low);
}

diversity_mean diversity_mean_of(const double *values, size_t n, size_t stride) {
    diversity_mean mean = {NAN, NAN, NAN, 0};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i * stride])) {
            sum += values[i * stride];
            mean.n++;
        }
    if (mean.n > 0)
        mean.mean = sum / (double)mean.n;
    if (mean.n < 2)
        return mean;
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i * stride]))
            squares += (values[i * stride] - mean.mean) * (values[i * stride] - mean.mean);
    const double half = student_t(mean.n - 1) * sqrt(squares / (double)(mean.n - 1) / (double)mean.n);
    mean.low = mean.mean - half;
    mean.high = mean.mean + half;
    return mean;
}
