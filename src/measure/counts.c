/* Entropy from counts c: the plug-in estimate, H = -sum p ln p with p = c / sum c. */
#include <entrol/measure.h>

#include "base/compensated.h"

#include <math.h>

entrol_status entrol_entropy_of_counts(double *entropy, const uint64_t *counts, size_t n_counts) {
    if (!counts && n_counts)
        return ENTROL_ERROR_ARGUMENT;
    uint64_t total = 0;
    for (size_t i = 0; i < n_counts; i++) {
        if (counts[i] > UINT64_MAX - total)
            return ENTROL_ERROR_OVERFLOW;
        total += counts[i];
    }
    ent_compensated sum = {0, 0}; /* of -p ln p */
    for (size_t i = 0; i < n_counts; i++) {
        const double p = (double)counts[i] / (double)total;
        if (counts[i] != 0 && counts[i] != total)
            ent_compensated_add(&sum, -p * log(p));
    }
    if (entropy)
        *entropy = total ? sum.sum : (double)NAN;
    return ENTROL_OK;
}
