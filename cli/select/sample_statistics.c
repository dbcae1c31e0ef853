/* One number for a document: the statistics that samples are selected by. The first of them have the names under which
 * score --level sample writes them. */
#include "select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A document's tokens that have a value, in their order. */
typedef struct tokens {
    entrol_context *context;
    float *values;
    size_t n;
} tokens;

/* Tokens of a window where its length is not given: as in DeepConf (arXiv 2508.15260). */
enum { WINDOW = 2048 };

/* Exact, so that it does not depend on order. A surprisal may be infinite: a token that had probability 0. */
static double mean_of(const float *values, size_t n) {
    entrol_sum sum = {0};
    for (size_t i = 0; i < n; i++) {
        if (isinf(values[i]))
            return (double)values[i];
        entrol_sum_add(&sum, (double)values[i]);
    }
    return entrol_sum_value(&sum) / (double)sum.n;
}

static double mean(const tokens *tokens, double unused) {
    (void)unused;
    return mean_of(tokens->values, tokens->n);
}

static double percentile(const tokens *tokens, double percent) {
    double value = (double)NAN;
    const double q = percent / 100;
    entrol_quantile(tokens->context, &value, NULL, tokens->values, NULL, tokens->n, &q, 1, NULL);
    return value;
}

static int compare_falling(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Orders the values, the greatest first; how many so many percent of them are, rounded up. */
static size_t order_top(const tokens *tokens, double percent) {
    const size_t n = (size_t)ceil(percent / 100 * (double)tokens->n);
    qsort(tokens->values, tokens->n, sizeof(*tokens->values), compare_falling);
    return n < 1 ? 1 : n > tokens->n ? tokens->n : n;
}

static double mean_of_top(const tokens *tokens, double percent) {
    return mean_of(tokens->values, order_top(tokens, percent));
}

static double sum_of_top(const tokens *tokens, double percent) {
    const size_t n = order_top(tokens, percent);
    return mean_of(tokens->values, n) * (double)n;
}

/* The means of all windows of so many tokens that follow each other; of a shorter document its own. Only the sums of
 * whole windows are looked at, each from exact sums: what went into one has left no rounding in the next. */
static double mean_of_window(const tokens *tokens, double length, bool greatest) {
    const size_t n = length < (double)tokens->n ? (size_t)length : tokens->n;
    entrol_sum before = {0}, within = {0};
    double best = (double)NAN;
    for (size_t i = 0; i < tokens->n; i++) {
        if (isinf(tokens->values[i])) /* no difference of sums is left of it */
            return greatest == (tokens->values[i] > 0) ? (double)tokens->values[i] : (double)NAN;
        entrol_sum_add(&within, (double)tokens->values[i]);
        if (i >= n)
            entrol_sum_add(&before, (double)tokens->values[i - n]);
        if (i + 1 < n)
            continue;
        const double value = (entrol_sum_value(&within) - entrol_sum_value(&before)) / (double)n;
        best = isnan(best) ? value : greatest ? fmax(best, value) : fmin(best, value);
    }
    return best;
}

static double greatest_window(const tokens *tokens, double length) {
    return mean_of_window(tokens, length, true);
}

static double least_window(const tokens *tokens, double length) {
    return mean_of_window(tokens, length, false);
}

static double share_above(const tokens *tokens, double value) {
    size_t n = 0;
    for (size_t i = 0; i < tokens->n; i++)
        n += (double)tokens->values[i] > value;
    return (double)n / (double)tokens->n;
}

static double exp_of_mean(const tokens *tokens, double unused) {
    return exp(mean(tokens, unused));
}

/* NAME or NAME:PARAMETER, after the name of a value and "_". */
typedef struct statistic_kind {
    const char *name;
    double (*compute)(const tokens *tokens, double parameter);
    double parameter; /* where none is given; NaN: it must be */
    double least;     /* that it may be; NaN: it takes none */
    double most;
} statistic_kind;

static const statistic_kind kinds[] = {
    {"mean", mean, 0, NAN, NAN},
    {"median", percentile, 50, NAN, NAN},
    {"p90", percentile, 90, NAN, NAN},
    {"min", percentile, 0, NAN, NAN},
    {"max", percentile, 100, NAN, NAN},
    {"percentile", percentile, NAN, 0, 100},
    {"top", mean_of_top, 0.5, 0, 100},
    {"top_sum", sum_of_top, 0.5, 0, 100},
    {"window_max", greatest_window, WINDOW, 1, 9e15},
    {"window_min", least_window, WINDOW, 1, 9e15},
    {"above", share_above, NAN, -HUGE_VAL, HUGE_VAL},
};
enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

typedef struct statistic {
    const char *of; /* for document_values */
    double (*compute)(const tokens *tokens, double parameter);
    double parameter;
} statistic;

static bool parse_parameter(statistic *found, const statistic_kind *kind, const char *text) {
    char *end;
    if (*text == '\0' && !isnan(kind->parameter)) {
        found->parameter = kind->parameter;
        return true;
    }
    if (*text != ':' || isnan(kind->least) || strchr("0123456789.-", text[1]) == NULL || text[1] == '\0')
        return false;
    found->parameter = strtod(text + 1, &end);
    return *end == '\0' && found->parameter >= kind->least && found->parameter <= kind->most;
}

/* A statistic of the values called `of`, if that is what the name begins with. */
static bool find_of(statistic *found, const char *name, const char *of) {
    const size_t length = strlen(of);
    if (strncmp(name, of, length) != 0 || name[length] != '_')
        return false;
    for (size_t k = 0; k < N_KINDS; k++) {
        const size_t n = strlen(kinds[k].name);
        *found = (statistic){of, kinds[k].compute, 0};
        if (strncmp(name + length + 1, kinds[k].name, n) == 0 &&
            parse_parameter(found, &kinds[k], name + length + 1 + n))
            return document_has_values_of(of);
    }
    return false;
}

static bool find(statistic *found, const char *name) {
    if (strcmp(name, "perplexity") == 0) {
        *found = (statistic){"surprisal", exp_of_mean, 0};
        return true;
    }
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (find_of(found, name, record_columns[id].name))
            return true;
    for (size_t i = 0; document_derived_name(i) != NULL; i++)
        if (find_of(found, name, document_derived_name(i)))
            return true;
    return false;
}

bool sample_statistic_exists(const char *name) {
    statistic found;
    return find(&found, name);
}

const char *sample_statistic_of(const char *name) {
    statistic found;
    return find(&found, name) ? found.of : NULL;
}

void sample_statistic_names(buffer *names) {
    buffer_append_string(names, "entropy_mean, entropy_median, entropy_p90, entropy_min, entropy_max");
    for (size_t k = 0; k < N_KINDS; k++)
        if (!isnan(kinds[k].least))
            buffer_append_format(names, ", entropy_%s:%s", kinds[k].name,
                                 strncmp(kinds[k].name, "window", 6) == 0 ? "N"
                                 : strcmp(kinds[k].name, "above") == 0    ? "X"
                                                                          : "P");
    buffer_append_string(names, ", the same of surprisal and the other columns, perplexity");
}

/* Leaves only the tokens that have a value; false where one of these is NaN. */
static bool gather(tokens *tokens, const uint8_t *valid, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (valid[i] == 0)
            continue;
        if (isnan(tokens->values[i]))
            return false;
        tokens->values[tokens->n++] = tokens->values[i];
    }
    return true;
}

bool sample_statistic(double *value, bool *exists, entrol_context *context, const document *document, const char *name,
                      const char *of, trouble *trouble) {
    statistic statistic;
    tokens tokens = {.context = context};
    uint8_t *valid = NULL;
    if (!find(&statistic, name))
        return trouble_set(trouble, "there is no statistic \"%s\"", name);
    if (!document_values(document, of != NULL ? of : statistic.of, &tokens.values, &valid, trouble))
        return false;
    const bool has_numbers = gather(&tokens, valid, document->n_tokens);
    *exists = tokens.n > 0 || !has_numbers;
    *value = has_numbers && tokens.n > 0 ? statistic.compute(&tokens, statistic.parameter) : (double)NAN;
    free(tokens.values);
    free(valid);
    return true;
}
