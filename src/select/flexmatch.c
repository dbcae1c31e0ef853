/* FlexMatch's thresholds (Zhang and others, arXiv 2110.08263): a class of which the model is rarely sure has a lower
 * one. As in the paper's code with its warm-up: what no class has been sure of counts as a class of its own when the
 * greatest number is looked for. */
#include <entrol/select.h>

#include <stddef.h>

static uint64_t greatest_of(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

entrol_status entrol_flexmatch_thresholds(double *thresholds, const uint64_t *n_sure, size_t n_classes,
                                          uint64_t n_samples, double cutoff) {
    uint64_t n_all = 0, greatest = 0;
    if (!thresholds || (!n_sure && n_classes) || !(cutoff > 0 && cutoff <= 1))
        return ENTROL_ERROR_ARGUMENT;
    for (size_t i = 0; i < n_classes; i++) {
        if (n_sure[i] > n_samples - n_all)
            return ENTROL_ERROR_ARGUMENT;
        n_all += n_sure[i];
        greatest = greatest_of(greatest, n_sure[i]);
    }
    greatest = greatest_of(greatest, n_samples - n_all);
    for (size_t i = 0; i < n_classes; i++) {
        const double learnt = greatest ? (double)n_sure[i] / (double)greatest : 0;
        thresholds[i] = cutoff * (learnt / (2 - learnt));
    }
    return ENTROL_OK;
}
