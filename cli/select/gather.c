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
    if (document->probs != NULL || json_object_get(document->fields, "probs") != NULL)
        buffer_append_string(names, "entropy, top_prob, margin, bald (of several models)");
    json_object_foreach(document->fields, key, value) {
        if (json_is_number(value))
            buffer_append_format(names, "%s%s", names->size > 0 ? ", " : "", key);
    }
}

/* How it could be had. */
static void append_hint(buffer *text, const select_settings *settings, const document *document) {
    static const char *const divergences[] = {"kl_pq", "kl_qp", "jsd", "bald", "mean_entropy", "agree"};
    const char *by = settings->by;
    if ((document->probs != NULL || json_object_get(document->fields, "probs") != NULL) &&
        strncmp(by, "bald", 4) == 0) {
        buffer_append_string(text, "; it needs the probs of several models, an array of arrays");
        return;
    }
    for (size_t i = 0; i < sizeof(divergences) / sizeof(divergences[0]); i++) {
        const size_t n = strlen(divergences[i]);
        if (strncmp(by, divergences[i], n) == 0 && (by[n] == '\0' || by[n] == '_'))
            buffer_append_string(text, "; it needs distributions, which token records do not hold: entrol compare "
                                       "writes it");
    }
    if (strncmp(by, "excess_loss", 11) == 0 || strncmp(by, "reference_", 10) == 0 || strcmp(by, "ifd") == 0)
        buffer_append_string(text, settings->references.n_items > 0 ? "; the reference has no column for it"
                                                                    : "; --reference FILE gives it");
    const char *of = settings->of_samples ? sample_statistic_of(by) : by;
    if (settings->of_samples && of != NULL && (strcmp(of, "top_prob") == 0 || strcmp(of, "margin") == 0) &&
        *document_lacks_columns(document) != '\0' && document->probs == NULL)
        buffer_append_string(text, "; of class probabilities it needs the field probs");
    column_id id = of != NULL ? record_find_column(of, strlen(of)) : COLUMN_COUNT;
    if (id < COLUMN_COUNT && record_can_score(id) && *document_lacks_columns(document) == '\0')
        buffer_append_format(text, "; entrol score --columns %s would write it", of);
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
    (void)record_narrow(value, &narrowed);
    return narrowed;
}

bool select_value(float *narrow, uint8_t *valid, select_counts *counts, const select_settings *settings, double value,
                  bool exists, const char *where, trouble *trouble) {
    *valid = exists && !isnan(value);
    *narrow = *valid ? narrow_value(value) : (float)(exists ? SELECT_IS_NAN : SELECT_IS_MISSING);
    counts->n_missing += !exists;
    if (!exists || !isnan(value))
        return true;
    if (counts->n_nan++ == 0)
        snprintf(counts->first_nan, sizeof(counts->first_nan), "%s", where);
    return strcmp(settings->nan, "error") != 0 || trouble_set(trouble, "%s: %s is NaN", where, settings->by);
}

static bool make_room(select_taken *taken, size_t n, bool has_upper, trouble *trouble) {
    taken->n = n;
    if (!has_upper) {
        free(taken->upper);
        taken->upper = NULL;
    }
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

/* A value of a token. */
static bool take_token(select_taken *taken, size_t i, select_gatherer *gatherer, double value, bool exists,
                       const records *records, const document *document, trouble *trouble) {
    char where[300] = "";
    if (exists && isnan(value)) {
        write_place(where, sizeof(where) - 30, records, document);
        snprintf(where + strlen(where), 30, ", token %zu", i);
    }
    return select_value(&taken->values[i], &taken->valid[i], &gatherer->counts, gatherer->settings, value, exists,
                        where, trouble);
}

static bool take_column(select_taken *taken, select_gatherer *gatherer, const records *records,
                        const document *document, trouble *trouble) {
    float *values = NULL;
    uint8_t *valid = NULL;
    if (!document_values(document, gatherer->settings->by, &values, &valid, trouble))
        return false;
    bool ok = make_room(taken, document->n_tokens, false, trouble);
    for (size_t i = 0; ok && i < document->n_tokens; i++)
        ok = take_token(taken, i, gatherer, (double)values[i], valid[i] != 0, records, document, trouble);
    free(values);
    free(valid);
    return ok;
}

static bool report_bounds(const records *records, const document *document, size_t token, double lower, double upper,
                          trouble *trouble) {
    return trouble_set(trouble, "%s:%" PRIu64 " (%s), token %zu: entropy_lower is %g, and entropy_upper %g",
                       records_name(records), document->line_number, document->id, token, lower, upper);
}

/* Both ends, each of which must be there. */
static bool take_both(select_taken *taken, select_gatherer *gatherer, const records *records, const document *document,
                      const column *lower, const column *upper, trouble *trouble) {
    for (size_t i = 0; i < document->n_tokens; i++) {
        const bool exists = lower->valid[i] && upper->valid[i];
        const double low = (double)lower->reals[i], high = (double)upper->reals[i];
        if (exists && low > high)
            return report_bounds(records, document, i, low, high, trouble);
        if (!take_token(taken, i, gatherer, isnan(high) ? high : low, exists, records, document, trouble))
            return false;
        taken->upper[i] = taken->valid[i] ? upper->reals[i] : taken->values[i];
    }
    return true;
}

static bool take_bounds(select_taken *taken, select_gatherer *gatherer, const records *records,
                        const document *document, trouble *trouble) {
    if (gatherer->settings->weight != NULL)
        return trouble_set(trouble, "%s:%" PRIu64 " (%s): of its entropies only bounds are known: they have no weight",
                           records_name(records), document->line_number, document->id);
    return make_room(taken, document->n_tokens, true, trouble) &&
           take_both(taken, gatherer, records, document, &document->columns[COLUMN_ENTROPY_LOWER],
                     &document->columns[COLUMN_ENTROPY_UPPER], trouble);
}

static bool take_tokens(select_taken *taken, select_gatherer *gatherer, const records *records,
                        const document *document, trouble *trouble) {
    const char *by = gatherer->settings->by;
    if (has_bounds_only(document, by))
        return take_bounds(taken, gatherer, records, document, trouble);
    return document_has(document, by) ? take_column(taken, gatherer, records, document, trouble)
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
    if (!sample_statistic(&with, &has[0], gatherer->context, document, "surprisal_mean", NULL, NULL, trouble) ||
        !sample_statistic(&without, &has[1], gatherer->context, alone, "surprisal_mean", NULL, NULL, trouble))
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
        return sample_statistic(value, exists, gatherer->context, document, by, NULL, NULL, trouble);
    return sample_statistic(value, exists, gatherer->context, document, by, "entropy_lower", "entropy_upper",
                            trouble) &&
           sample_statistic(value + 1, exists, gatherer->context, document, by, "entropy_upper", "entropy_lower",
                            trouble);
}

/* A field of the line; n_tokens is also how many tokens there are. */
static bool read_own(const document *document, const char *name, double *value, bool *exists) {
    if (read_field(document, name, value, exists))
        return true;
    *exists = true;
    *value = (double)document->n_tokens;
    return strcmp(name, "n_tokens") == 0 && *document_lacks_columns(document) == '\0';
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
    return read_own(document, by, value, exists) || read_field(document, name, value, exists) ||
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
    if (!make_room(taken, 1, has_upper, trouble))
        return false;
    if (has_upper && !isnan(value[1]) && value[0] > value[1])
        return report_bounds(records, document, 0, value[0], value[1], trouble);
    if (!select_value(taken->values, taken->valid, &gatherer->counts, gatherer->settings,
                      has_upper && isnan(value[1]) ? value[1] : value[0], exists, where, trouble))
        return false;
    if (has_upper)
        taken->upper[0] = *taken->valid ? narrow_value(value[1]) : *taken->values;
    return true;
}

/* --- The whole --- */

bool select_gatherer_begin(select_gatherer *gatherer, entrol_context *context, const select_settings *settings,
                           select_recorded *recorded, trouble *trouble) {
    *gatherer = (select_gatherer){.settings = settings, .context = context};
    gatherer->seen = json_object();
    gatherer->groups = json_object();
    gatherer->names = json_array();
    if (gatherer->seen == NULL || gatherer->groups == NULL || gatherer->names == NULL)
        return trouble_set(trouble, "out of memory");
    if (settings->references.n_items > 0)
        gatherer->reference = select_reference_open(&settings->references, recorded, trouble);
    return settings->references.n_items == 0 || gatherer->reference != NULL;
}

static bool take(select_taken *taken, select_gatherer *gatherer, const records *records, document *document,
                 const struct document *other, trouble *trouble) {
    column own[2];
    const bool lends = other != NULL && strcmp(gatherer->settings->by, "ifd") != 0;
    if (lends)
        select_lend_reference(document, other, own);
    const bool ok = gatherer->settings->of_samples ? take_sample(taken, gatherer, records, document, other, trouble)
                                                   : take_tokens(taken, gatherer, records, document, trouble);
    if (lends)
        select_return_reference(document, own);
    return ok;
}

bool select_take(select_taken *taken, select_gatherer *gatherer, const records *records, document *document,
                 trouble *trouble) {
    const select_settings *settings = gatherer->settings;
    const struct document *other = NULL;
    bool is_duplicate = false;
    taken->scope = 0;
    if (gatherer->reference != NULL) {
        other =
            select_reference_next(gatherer->reference, records, document, strcmp(settings->by, "ifd") != 0, trouble);
        if (other == NULL)
            return false;
    }
    if (settings->unique != NULL && !select_look_for_duplicate(&is_duplicate, gatherer, records, document, trouble))
        return false;
    if (settings->group != NULL && !select_find_group(&taken->scope, gatherer, records, document, trouble))
        return false;
    if (!take(taken, gatherer, records, document, other, trouble))
        return false;
    for (size_t i = 0; is_duplicate && i < taken->n; i++) {
        taken->valid[i] = 0;
        taken->values[i] = (float)SELECT_IS_DUPLICATE;
    }
    return true;
}

bool select_gatherer_finish(select_gatherer *gatherer, trouble *trouble) {
    return gatherer->reference == NULL || select_reference_finish(gatherer->reference, trouble);
}

void select_gatherer_end(select_gatherer *gatherer) {
    select_reference_close(gatherer->reference);
    json_decref(gatherer->seen);
    json_decref(gatherer->groups);
    json_decref(gatherer->names);
    *gatherer = (select_gatherer){0};
}
