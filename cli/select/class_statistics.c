/* Documents that hold class probabilities: the field "probs" of a line. */
#include "select.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* As printed, or as a float of a softmax sums up. */
static const double TOLERANCE = 1e-3;

enum { MOST_MODELS = 1024 };

static bool report(const records *records, const document *document, trouble *trouble, const char *found) {
    return trouble_set(trouble,
                       "%s:%" PRIu64 " (%s): probs: expected probabilities of at least two classes that sum to 1 "
                       "(within %g), or an array of them for each of several models, at most %d; found %s",
                       records_name(records), document->line_number, document->id, TOLERANCE, MOST_MODELS, found);
}

/* One distribution into a row of the matrix. */
static bool read_row(double *row, size_t n, const json_t *list) {
    if (json_array_size(list) != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_number(item))
            return false;
        row[i] = json_number_value(item);
    }
    return true;
}

/* Rows for the models, and the last for their mean. */
static bool fill(double *values, size_t n_models, size_t n_classes, const json_t *probs, bool is_nested) {
    double *mean = values + n_models * n_classes;
    memset(mean, 0, n_classes * sizeof(*mean));
    for (size_t m = 0; m < n_models; m++) {
        double *row = values + m * n_classes;
        if (!read_row(row, n_classes, is_nested ? json_array_get(probs, m) : probs))
            return false;
        for (size_t i = 0; i < n_classes; i++)
            mean[i] += row[i] / (double)n_models;
    }
    return true;
}

static void find_top(class_statistics *statistics, const double *mean, size_t n_classes) {
    double second = -HUGE_VAL;
    statistics->class = 0;
    for (size_t i = 1; i < n_classes; i++) {
        const double top = mean[statistics->class];
        second = fmax(second, mean[i] > top ? top : mean[i]);
        if (mean[i] > top)
            statistics->class = i;
    }
    statistics->top_prob = mean[statistics->class];
    statistics->margin = statistics->top_prob - second;
}

static bool measure(class_statistics *statistics, entrol_context *context, const double *values, size_t n_models,
                    size_t n_classes) {
    double entropy[MOST_MODELS + 1], sum = 0;
    const entrol_matrix matrix = {values, ENTROL_F64, n_models + 1, n_classes, (ptrdiff_t)n_classes};
    entrol_diagnosis diagnosis;
    if (entrol_entropy_of_distributions(context, entropy, &diagnosis, &matrix, ENTROL_PROBABILITIES, TOLERANCE) !=
            ENTROL_OK ||
        diagnosis.n_bad > 0)
        return false;
    for (size_t m = 0; m < n_models; m++)
        sum += entropy[m];
    statistics->entropy = entropy[n_models];
    statistics->bald = n_models > 1 ? fmax(0, entropy[n_models] - sum / (double)n_models) : (double)NAN;
    find_top(statistics, values + n_models * n_classes, n_classes);
    return true;
}

/* Of an .npy file: the numbers are there. */
static bool read_rows(double *values, const document *document) {
    const size_t n = document->n_models * document->n_classes;
    double *mean = values + n;
    memcpy(values, document->probs, n * sizeof(*values));
    memset(mean, 0, document->n_classes * sizeof(*mean));
    for (size_t i = 0; i < n; i++)
        mean[i % document->n_classes] += values[i] / (double)document->n_models;
    return true;
}

bool class_statistics_read(class_statistics *statistics, bool *has, entrol_context *context, const records *records,
                           const document *document, trouble *trouble) {
    const json_t *probs = json_object_get(document->fields, "probs"), *first = json_array_get(probs, 0);
    const bool is_nested = json_is_array(first), has_rows = document->probs != NULL;
    const size_t n_models = has_rows ? document->n_models : is_nested ? json_array_size(probs) : 1;
    const size_t n_classes = has_rows ? document->n_classes : json_array_size(is_nested ? first : probs);
    *has = has_rows || probs != NULL;
    if (!*has)
        return true;
    if (n_classes < 2 || n_models > MOST_MODELS)
        return report(records, document, trouble, n_classes < 2 ? "something else" : "more models");
    double *values = malloc((n_models + 1) * n_classes * sizeof(*values));
    if (values == NULL)
        return trouble_set(trouble, "out of memory");
    const char *what = !(has_rows ? read_rows(values, document) : fill(values, n_models, n_classes, probs, is_nested))
                           ? "something else among them"
                       : !measure(statistics, context, values, n_models, n_classes) ? "other numbers"
                                                                                    : NULL;
    free(values);
    return what == NULL || report(records, document, trouble, what);
}

bool class_statistic(double *value, const class_statistics *statistics, const char *name) {
    const struct {
        const char *name;
        double value;
    } all[] = {{"entropy", statistics->entropy},
               {"top_prob", statistics->top_prob},
               {"margin", statistics->margin},
               {"bald", statistics->bald},
               {"class", (double)statistics->class}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(all[i].name, name) == 0 && !isnan(all[i].value)) {
            *value = all[i].value;
            return true;
        }
    return false;
}
