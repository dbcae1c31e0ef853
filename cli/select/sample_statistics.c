/* One number for a document: the statistics that samples are selected by, under the names of score --level sample. */
#include "select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct statistic {
    const char *name, *column;
    enum { MEAN, EXP_MEAN, QUANTILE } kind;
    double q;
} statistic;

static const statistic statistics[] = {
    {"entropy_mean", "entropy", MEAN, 0},      {"entropy_median", "entropy", QUANTILE, 0.5},
    {"entropy_p90", "entropy", QUANTILE, 0.9}, {"entropy_max", "entropy", QUANTILE, 1},
    {"surprisal_mean", "surprisal", MEAN, 0},  {"perplexity", "surprisal", EXP_MEAN, 0},
};
enum { N_STATISTICS = sizeof(statistics) / sizeof(statistics[0]) };

static const statistic *find(const char *name) {
    for (size_t i = 0; i < N_STATISTICS; i++)
        if (strcmp(statistics[i].name, name) == 0)
            return &statistics[i];
    return NULL;
}

bool sample_statistic_exists(const char *name) {
    return find(name) != NULL;
}

void sample_statistic_names(buffer *names) {
    for (size_t i = 0; i < N_STATISTICS; i++)
        buffer_append_format(names, "%s%s", i > 0 ? ", " : "", statistics[i].name);
}

/* Exact, so that it does not depend on order. A surprisal may be infinite: a token that had probability 0. */
static double mean(const float *values, const uint8_t *valid, size_t n) {
    entrol_sum sum = {0};
    bool infinite = false;
    for (size_t i = 0; i < n; i++) {
        if (valid[i] == 0)
            continue;
        if (isinf(values[i]))
            infinite = true;
        else
            entrol_sum_add(&sum, (double)values[i]);
    }
    return infinite ? (double)INFINITY : entrol_sum_value(&sum) / (double)sum.n;
}

static bool compute(double *value, entrol_context *context, const statistic *statistic, const float *values,
                    const uint8_t *valid, size_t n, trouble *trouble) {
    if (statistic->kind != QUANTILE) {
        *value = mean(values, valid, n);
        if (statistic->kind == EXP_MEAN)
            *value = exp(*value);
        return true;
    }
    entrol_status status = entrol_quantile(context, value, NULL, values, valid, n, &statistic->q, 1, NULL);
    return status == ENTROL_OK || trouble_set(trouble, "%s", entrol_status_string(status));
}

bool sample_statistic(double *value, bool *exists, entrol_context *context, const document *document, const char *name,
                      trouble *trouble) {
    const statistic *statistic = find(name);
    float *values = NULL;
    uint8_t *valid = NULL;
    if (!document_values(document, statistic->column, &values, &valid, trouble))
        return false;
    bool has_nan = false, ok = true;
    *exists = false;
    for (size_t i = 0; i < document->n_tokens; i++) {
        *exists = *exists || valid[i] != 0;
        has_nan = has_nan || (valid[i] != 0 && isnan(values[i]));
    }
    *value = (double)NAN;
    if (*exists && !has_nan)
        ok = compute(value, context, statistic, values, valid, document->n_tokens, trouble);
    free(values);
    free(valid);
    return ok;
}
