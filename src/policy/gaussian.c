/* Gaussian policies with independent dimensions: H = sum 0.5 ln(2 pi e) + ln sigma. */
#include <entrol/policy.h>

#include <math.h>

/* 0.5 ln(2 pi e), the entropy of the standard normal distribution. */
static const double standard_entropy = 1.4189385332046727418;

entrol_status entrol_gaussian_entropy(double *entropy, const double *sigma, size_t n_dimensions) {
    if (!sigma && n_dimensions)
        return ENTROL_ERROR_ARGUMENT;
    double sum = 0;
    for (size_t i = 0; i < n_dimensions; i++)
        sum += standard_entropy + log(sigma[i]);
    if (entropy)
        *entropy = sum;
    return ENTROL_OK;
}
