/* Probabilities, their logarithms, and the standard deviations of Gaussians. */
#include "entropy.h"

#include "../number_list.h"
#include "../open_context.h"

#include <entrol/entrol.h>

#include <math.h>
#include <stdlib.h>

/* The sum that was found, and the first value that is no probability. */
static bool report_distribution(const char *name, const double *values, size_t n_values, bool is_log,
                                const entrol_diagnosis *diagnosis, double tolerance, trouble *trouble) {
    double sum = 0;
    for (size_t i = 0; i < n_values; i++)
        sum += is_log ? exp(values[i]) : values[i];
    if (diagnosis->reason != ENTROL_REASON_SUM)
        return trouble_set(trouble, "%s: expected %s, found %.10g as number %zu", name,
                           is_log ? "natural log-probabilities, which are at most 0" : "probabilities from 0 to 1",
                           values[diagnosis->first_column], diagnosis->first_column + 1);
    return trouble_set(trouble, "%s: expected probabilities that sum to 1 (within %g), found a sum of %.10g%s", name,
                       tolerance, sum, is_log ? "" : "; --counts takes any whole numbers");
}

static bool measure(const entropy_settings *settings, const char *name, const char *list, bool is_log,
                    entropy_result *result, trouble *trouble) {
    double *values;
    size_t n_values;
    if (!number_list_reals(name, list, &values, &n_values, trouble))
        return false;
    entrol_context *context = open_context(0, trouble);
    if (context == NULL) {
        free(values);
        return false;
    }
    entrol_matrix matrix = {values, ENTROL_F64, 1, n_values, (ptrdiff_t)n_values};
    entrol_diagnosis diagnosis;
    entrol_status status =
        entrol_entropy_of_distributions(context, &result->nats, &diagnosis, &matrix,
                                        is_log ? ENTROL_LOG_PROBABILITIES : ENTROL_PROBABILITIES, settings->tolerance);
    entrol_context_destroy(context);
    result->n_outcomes = n_values;
    bool ok = status == ENTROL_OK || trouble_set(trouble, "%s: %s", name, entrol_status_string(status));
    if (ok && diagnosis.n_bad > 0)
        ok = report_distribution(name, values, n_values, is_log, &diagnosis, settings->tolerance, trouble);
    free(values);
    return ok;
}

bool entropy_of_probabilities(const entropy_settings *settings, const char *name, const char *list,
                              entropy_result *result, trouble *trouble) {
    return measure(settings, name, list, false, result, trouble);
}

bool entropy_of_log_probabilities(const entropy_settings *settings, const char *name, const char *list,
                                  entropy_result *result, trouble *trouble) {
    return measure(settings, name, list, true, result, trouble);
}

bool entropy_of_gaussian(const entropy_settings *settings, const char *name, const char *list, entropy_result *result,
                         trouble *trouble) {
    double *sigma;
    size_t n_dimensions;
    (void)settings;
    if (!number_list_reals(name, list, &sigma, &n_dimensions, trouble))
        return false;
    bool ok = true;
    for (size_t i = 0; i < n_dimensions && ok; i++)
        if (!(sigma[i] >= 0) || isinf(sigma[i]))
            ok = trouble_set(trouble, "%s: expected standard deviations from 0, found %.10g as number %zu", name,
                             sigma[i], i + 1);
    entrol_status status = ok ? entrol_gaussian_entropy(&result->nats, sigma, n_dimensions) : ENTROL_OK;
    free(sigma);
    return ok && (status == ENTROL_OK || trouble_set(trouble, "%s", entrol_status_string(status)));
}
