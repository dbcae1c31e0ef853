/* Entropy from counts: the plug-in estimate, H = ln n - sum c ln c / n. */
#include <entrol/measure.h>

#include <math.h>

entrol_status entrol_entropy_of_counts(double *entropy, const uint64_t *counts, size_t n_counts) {
    if (!entropy || (!counts && n_counts))
        return ENTROL_ERROR_ARGUMENT;
    uint64_t total = 0;
    for (size_t i = 0; i < n_counts; i++) {
        if (counts[i] > UINT64_MAX - total)
            return ENTROL_ERROR_OVERFLOW;
        total += counts[i];
    }
    double sum = 0, lost = 0; /* of -p ln p, with the rounding of each addition kept (Kahan) */
    for (size_t i = 0; i < n_counts; i++) {
        const double p = (double)counts[i] / (double)total;
        const double term = counts[i] == 0 || counts[i] == total ? 0 : -p * log(p);
        const double corrected = term - lost, next = sum + corrected;
        lost = (next - sum) - corrected;
        sum = next;
    }
    *entropy = total ? sum : (double)NAN;
    return ENTROL_OK;
}
