/* What documents give for a rule to look at: the values of one column, never the lines. */
#include "select.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Messages --- */

/* ", "-separated names of what a rule could look at: columns with one number a token, and what follows from them. */
static void list_columns(buffer *names, const document *document) {
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (document->columns[id].is_present && document_has_values_of(record_columns[id].name))
            buffer_append_format(names, "%s%s", names->size > 0 ? ", " : "", record_columns[id].name);
    for (size_t i = 0; names->size > 0 && document_derived_name(i) != NULL; i++)
        if (document_has(document, document_derived_name(i)))
            buffer_append_format(names, ", %s", document_derived_name(i));
}

/* The same for samples: statistics and fields of the line that are numbers. */
static void list_fields(buffer *names, const document *document) {
    const char *key;
    json_t *value;
    if (document_has(document, "entropy") || document_has(document, "surprisal"))
        sample_statistic_names(names);
    json_object_foreach(document->fields, key, value) {
        if (json_is_number(value))
            buffer_append_format(names, "%s%s", names->size > 0 ? ", " : "", key);
    }
}

/* How it could be had. */
static void append_hint(buffer *text, const select_settings *settings, const document *document) {
    static const char *const divergences[] = {"kl_pq", "kl_qp", "jsd", "bald", "mean_entropy", "agree"};
    const char *by = settings->by;
    for (size_t i = 0; i < sizeof(divergences) / sizeof(divergences[0]); i++) {
        const size_t n = strlen(divergences[i]);
        if (strncmp(by, divergences[i], n) == 0 && (by[n] == '\0' || by[n] == '_'))
            buffer_append_string(text, "; it needs distributions, which token records do not hold: entrol compare "
                                       "writes it");
    }
    if (strncmp(by, "excess_loss", 11) == 0 || strncmp(by, "reference_", 10) == 0 || strcmp(by, "ifd") == 0)
        buffer_append_string(text, "; --reference FILE gives it");
    column_id id = record_find_column(by, strlen(by));
    if (!settings->of_samples && id < COLUMN_COUNT && record_can_score(id) && *document_lacks_columns(document) == '\0')
        buffer_append_format(text, "; entrol score --columns %s would write it", by);
}

static bool report_missing(const select_settings *settings, const records *records, const document *document,
                           trouble *trouble) {
    buffer names = {0};
    if (settings->of_samples)
        list_fields(&names, document);
    else
        list_columns(&names, document);
    bool has_some = names.size > 0;
    append_hint(&names, settings, document);
    trouble_set(trouble, "%s:%" PRIu64 " (%s): no %s \"%s\"%s%s", records_name(records), document->line_number,
                document->id, settings->of_samples ? "number" : "column", settings->by,
                has_some ? "; there are " : document_lacks_columns(document),
                names.size > 0 && !names.failed ? names.data : "");
    buffer_free(&names);
    return false;
}

static void write_place(char *where, size_t size, const records *records, const document *document) {
    snprintf(where, size, "%s:%" PRIu64 " (%.100s)", records_name(records), document->line_number, document->id);
}

/* --- One value --- */

/* What no float can hold is infinite. */
static float narrow_value(double value) {
    float narrowed = value > 0 ? INFINITY : -INFINITY;
    if (isnan(value))
        return NAN;
    (void)record_narrow(value, &narrowed);
    return narrowed;
}

bool select_value(float *narrow, uint8_t *valid, select_counts *counts, const select_settings *settings, double value,
                  bool exists, const char *where, trouble *trouble) {
    *narrow = narrow_value(value);
    *valid = exists && !isnan(value);
    counts->n_missing += !exists;
    if (!exists || !isnan(value))
        return true;
    if (counts->n_nan++ == 0)
        snprintf(counts->first_nan, sizeof(counts->first_nan), "%s", where);
    return strcmp(settings->nan, "error") != 0 || trouble_set(trouble, "%s: %s is NaN", where, settings->by);
}

static bool make_room(select_taken *taken, size_t n, bool has_upper, trouble *trouble) {
    taken->n = n;
    if (n + 1 > taken->capacity) {
        free(taken->values);
        free(taken->valid);
        free(taken->upper);
        taken->values = malloc((n + 1) * sizeof(*taken->values));
        taken->valid = malloc(n + 1);
        taken->upper = NULL;
        taken->capacity = n + 1;
    }
    if (has_upper && taken->upper == NULL)
        taken->upper = malloc(taken->capacity * sizeof(*taken->upper));
    if (taken->values != NULL && taken->valid != NULL && (!has_upper || taken->upper != NULL))
        return true;
    taken->capacity = 0;
    return trouble_set(trouble, "out of memory");
}

void select_taken_free(select_taken *taken) {
    free(taken->values);
    free(taken->valid);
    free(taken->upper);
    *taken = (select_taken){0};
}

/* --- Tokens --- */

/* Whether of an entropy only bounds are known. */
static bool has_bounds_only(const document *document, const char *by) {
    return strcmp(by, "entropy") == 0 && !document_has(document, by) && document_has(document, "entropy_lower") &&
           document_has(document, "entropy_upper");
}

static bool take_column(select_taken *taken, select_gatherer *gatherer, const char *by, const records *records,
                        const document *document, trouble *trouble) {
    float *values = NULL;
    uint8_t *valid = NULL;
    char where[300];
    if (!document_values(document, by, &values, &valid, trouble))
        return false;
    bool ok = make_room(taken, document->n_tokens, taken->upper != NULL, trouble);
    for (size_t i = 0; ok && i < document->n_tokens; i++) {
        if (valid[i] != 0 && isnan(values[i]) && gatherer->counts.n_nan == 0) {
            write_place(where, sizeof(where) - 30, records, document);
            snprintf(where + strlen(where), 30, ", token %zu", i);
        }
        ok = select_value(&taken->values[i], &taken->valid[i], &gatherer->counts, gatherer->settings, (double)values[i],
                          valid[i] != 0, where, trouble);
    }
    free(values);
    free(valid);
    return ok;
}

/* Both ends, each of which must be there. */
static bool take_bounds(select_taken *taken, select_gatherer *gatherer, const records *records,
                        const document *document, trouble *trouble) {
    if (!make_room(taken, document->n_tokens, true, trouble) ||
        !take_column(taken, gatherer, "entropy_upper", records, document, trouble))
        return false;
    memcpy(taken->upper, taken->values, taken->n * sizeof(*taken->values));
    uint8_t *valid = malloc(taken->n + 1);
    if (valid == NULL)
        return trouble_set(trouble, "out of memory");
    memcpy(valid, taken->valid, taken->n);
    const select_counts counted = gatherer->counts; /* once is enough */
    bool ok = take_column(taken, gatherer, "entropy_lower", records, document, trouble);
    gatherer->counts = counted;
    for (size_t i = 0; ok && i < taken->n; i++)
        taken->valid[i] = taken->valid[i] && valid[i];
    free(valid);
    return ok;
}

static bool take_tokens(select_taken *taken, select_gatherer *gatherer, const records *records,
                        const document *document, trouble *trouble) {
    const char *by = gatherer->settings->by;
    if (has_bounds_only(document, by))
        return take_bounds(taken, gatherer, records, document, trouble);
    free(taken->upper);
    taken->upper = NULL;
    return document_has(document, by) ? take_column(taken, gatherer, by, records, document, trouble)
                                      : report_missing(gatherer->settings, records, document, trouble);
}

/* --- Samples --- */

/* A field of the line as a number; false if it is none. null: it does not exist. */
static bool read_field(const document *document, const char *name, double *value, bool *exists) {
    const json_t *field = json_object_get(document->fields, name);
    *exists = !json_is_null(field);
    *value = json_number_value(field);
    if (json_is_number(field) || json_is_null(field))
        return true;
    const char *text = json_string_value(field);
    if (text == NULL)
        return false;
    *value = strcmp(text, "Infinity") == 0    ? (double)INFINITY
             : strcmp(text, "-Infinity") == 0 ? -(double)INFINITY
                                              : (double)NAN;
    return !isnan(*value) || strcmp(text, "NaN") == 0;
}

/* "margin_mean" is also the field margin, and the margin of class probabilities. */
static void without_mean(char *name, size_t size, const char *by) {
    const size_t n = strlen(by);
    const bool ends = n > 5 && strcmp(by + n - 5, "_mean") == 0;
    snprintf(name, size, "%.*s", (int)(ends ? n - 5 : n), by);
}

/* IFD (arXiv 2308.12032): perplexity of the answer after its question over that of the answer alone. */
static bool take_ifd(double *value, bool *exists, select_gatherer *gatherer, const document *document,
                     const struct document *alone, trouble *trouble) {
    double with = NAN, without = NAN;
    bool has[2] = {false, false};
    if (!sample_statistic(&with, &has[0], gatherer->context, document, "surprisal_mean", NULL, trouble) ||
        !sample_statistic(&without, &has[1], gatherer->context, alone, "surprisal_mean", NULL, trouble))
        return false;
    *exists = has[0] && has[1];
    *value = exp(with - without);
    return true;
}

/* A statistic of tokens: its value, and where only bounds are known the upper one. False with no trouble text: the
 * document has no such tokens. */
static bool take_statistic(double value[2], bool *exists, bool *has_upper, select_gatherer *gatherer,
                           const document *document, trouble *trouble) {
    const char *by = gatherer->settings->by, *of = sample_statistic_of(by);
    *has_upper = of != NULL && has_bounds_only(document, of);
    if (of == NULL || (!*has_upper && !document_has(document, of)))
        return false;
    if (!*has_upper)
        return sample_statistic(value, exists, gatherer->context, document, by, NULL, trouble);
    return sample_statistic(value, exists, gatherer->context, document, by, "entropy_lower", trouble) &&
           sample_statistic(value + 1, exists, gatherer->context, document, by, "entropy_upper", trouble);
}

/* The first of these that there is: a statistic of tokens, one of class probabilities, a field. */
static bool find_number(double value[2], bool *exists, bool *has_upper, select_gatherer *gatherer,
                        const records *records, const document *document, trouble *trouble) {
    const char *by = gatherer->settings->by;
    char name[64];
    class_statistics classes;
    bool has_classes = false;
    trouble->text[0] = '\0';
    if (take_statistic(value, exists, has_upper, gatherer, document, trouble))
        return true;
    *has_upper = false;
    without_mean(name, sizeof(name), by);
    if (trouble->text[0] != '\0' ||
        !class_statistics_read(&classes, &has_classes, gatherer->context, records, document, trouble))
        return false;
    *exists = true;
    if (has_classes && class_statistic(value, &classes, name))
        return true;
    return read_field(document, by, value, exists) || read_field(document, name, value, exists) ||
           report_missing(gatherer->settings, records, document, trouble);
}

static bool take_sample(select_taken *taken, select_gatherer *gatherer, const records *records,
                        const document *document, const struct document *other, trouble *trouble) {
    double value[2] = {NAN, NAN};
    bool exists = false, has_upper = false;
    char where[300];
    write_place(where, sizeof(where), records, document);
    if (strcmp(gatherer->settings->by, "ifd") != 0 || other == NULL) {
        if (!find_number(value, &exists, &has_upper, gatherer, records, document, trouble))
            return false;
    } else if (!take_ifd(value, &exists, gatherer, document, other, trouble)) {
        return false;
    }
    if (!has_upper) {
        free(taken->upper);
        taken->upper = NULL;
    }
    if (!make_room(taken, 1, has_upper, trouble))
        return false;
    if (has_upper)
        taken->upper[0] = narrow_value(value[1]);
    return select_value(taken->values, taken->valid, &gatherer->counts, gatherer->settings, value[0], exists, where,
                        trouble);
}

/* --- The whole --- */

bool select_gatherer_begin(select_gatherer *gatherer, entrol_context *context, const select_settings *settings,
                           trouble *trouble) {
    *gatherer = (select_gatherer){.settings = settings, .context = context};
    gatherer->seen = json_object();
    gatherer->groups = json_object();
    if (gatherer->seen == NULL || gatherer->groups == NULL)
        return trouble_set(trouble, "out of memory");
    if (settings->references.n_items > 0)
        gatherer->reference = select_reference_open(&settings->references, trouble);
    return settings->references.n_items == 0 || gatherer->reference != NULL;
}

bool select_take(select_taken *taken, select_gatherer *gatherer, const records *records, document *document,
                 trouble *trouble) {
    const select_settings *settings = gatherer->settings;
    const struct document *other = NULL;
    bool is_duplicate = false;
    taken->scope = 0;
    if (gatherer->reference != NULL) {
        const bool aligned = strcmp(settings->by, "ifd") != 0;
        other = select_reference_next(gatherer->reference, records, document, aligned, trouble);
        if (other == NULL || (aligned && !select_add_reference(document, other, trouble)))
            return false;
    }
    if (settings->unique != NULL && !select_look_for_duplicate(&is_duplicate, gatherer, records, document, trouble))
        return false;
    if (settings->group != NULL && !select_find_group(&taken->scope, gatherer, records, document, trouble))
        return false;
    if (!(settings->of_samples ? take_sample(taken, gatherer, records, document, other, trouble)
                               : take_tokens(taken, gatherer, records, document, trouble)))
        return false;
    if (is_duplicate)
        memset(taken->valid, 0, taken->n);
    return true;
}

bool select_gatherer_finish(select_gatherer *gatherer, trouble *trouble) {
    return gatherer->reference == NULL || select_reference_finish(gatherer->reference, trouble);
}

void select_gatherer_end(select_gatherer *gatherer) {
    select_reference_close(gatherer->reference);
    json_decref(gatherer->seen);
    json_decref(gatherer->groups);
    *gatherer = (select_gatherer){0};
}
