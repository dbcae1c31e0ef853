/* The values that a rule looks at, gathered from documents: only the chosen column, never the lines. */
#include "select.h"

#include "../temporary.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writes the whole blocks that there are, and moves the rest to the front. */
static bool spool_blocks(select_values *store, trouble *trouble) {
    size_t done = 0;
    if (store->spool == 0 && (store->spool = temporary_open(trouble)) < 0) {
        store->spool = 0;
        return false;
    }
    for (; store->n - done >= SELECT_BLOCK; done += SELECT_BLOCK)
        if (!temporary_write(store->spool, store->values + done, SELECT_BLOCK * sizeof(float), trouble) ||
            !temporary_write(store->spool, store->valid + done, SELECT_BLOCK, trouble))
            return false;
    store->n -= done;
    store->n_spooled += done;
    memmove(store->values, store->values + done, store->n * sizeof(float));
    memmove(store->valid, store->valid + done, store->n);
    return true;
}

static bool spool_if_full(select_values *store, trouble *trouble) {
    return !store->spools || store->n < SELECT_BLOCK || spool_blocks(store, trouble);
}

uint64_t select_values_count(const select_values *store) {
    return store->n_spooled + store->n;
}

static bool read_block(const select_values *store, uint64_t index, char *memory, trouble *trouble) {
    for (size_t n = 0; n < SELECT_BLOCK_BYTES;) {
        const off_t place = (off_t)(index * SELECT_BLOCK_BYTES + n);
        const ssize_t n_read = pread(store->spool, memory + n, SELECT_BLOCK_BYTES - n, place);
        if (n_read < 0 && errno == EINTR)
            continue;
        if (n_read <= 0)
            return trouble_set(trouble, "a temporary file cannot be read: %s",
                               n_read ? strerror(errno) : "it ends early");
        n += (size_t)n_read;
    }
    return true;
}

bool select_values_block(const select_values *store, uint64_t index, void *memory, const float **values,
                         const uint8_t **valid, size_t *n, trouble *trouble) {
    const uint64_t n_blocks = store->n_spooled / SELECT_BLOCK;
    *n = 0;
    if (index < n_blocks) {
        if (!read_block(store, index, memory, trouble))
            return false;
        *values = memory;
        *valid = (const uint8_t *)memory + SELECT_BLOCK * sizeof(float);
        *n = SELECT_BLOCK;
    } else if (index == n_blocks) {
        *values = store->values;
        *valid = store->valid;
        *n = store->n;
    }
    return true;
}

static bool make_room(select_values *store, size_t n_more) {
    if (store->capacity - store->n >= n_more)
        return true;
    size_t capacity = store->capacity + store->capacity / 2 + n_more + 1024;
    if (capacity < store->capacity || capacity > SIZE_MAX / sizeof(float))
        return false;
    float *values = realloc(store->values, capacity * sizeof(*values));
    if (values != NULL)
        store->values = values;
    uint8_t *valid = realloc(store->valid, capacity);
    if (valid != NULL)
        store->valid = valid;
    if (values == NULL || valid == NULL)
        return false;
    store->capacity = capacity;
    return true;
}

static bool out_of_memory(const select_values *store, trouble *trouble) {
    return trouble_set(trouble, "out of memory after %" PRIu64 " values", select_values_count(store));
}

/* NaN is a value that could not be computed: no rule holds for it. */
static void append(select_values *store, float value, bool exists) {
    store->n_missing += !exists;
    store->n_nan += exists && isnan(value);
    store->values[store->n] = value;
    store->valid[store->n++] = exists && !isnan(value);
}

/* What no float can hold is infinite. */
static float narrow(double value) {
    float narrowed = value > 0 ? INFINITY : -INFINITY;
    if (isnan(value))
        return NAN;
    (void)record_narrow(value, &narrowed);
    return narrowed;
}

bool select_values_add(select_values *store, double value, bool exists, const char *where, trouble *trouble) {
    if (!make_room(store, 1))
        return out_of_memory(store, trouble);
    append(store, narrow(value), exists);
    if (exists && isnan(value) && store->first_nan[0] == '\0')
        snprintf(store->first_nan, sizeof(store->first_nan), "%s", where);
    return spool_if_full(store, trouble);
}

void select_values_clear(select_values *store) {
    store->n = 0;
}

void select_values_free(select_values *store) {
    free(store->values);
    free(store->valid);
    if (store->spool > 0)
        close(store->spool);
    *store = (select_values){0};
}

/* ", "-separated names of what a rule could look at: columns with one number a token, and what follows from them. */
static void list_columns(buffer *names, const document *document) {
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (document->columns[id].is_present && record_columns[id].type != COLUMN_STRING && !record_columns[id].is_list)
            buffer_append_format(names, "%s%s", names->size > 0 ? ", " : "", record_columns[id].name);
    if (document->columns[COLUMN_LOGPROB].is_present)
        buffer_append_string(names, ", surprisal");
    if (names->size > 0)
        buffer_append_string(names, ", position");
}

/* The same for samples: statistics and fields of the line that are numbers. */
static void list_fields(buffer *names, const document *document) {
    const char *key;
    json_t *value;
    if (document->columns[COLUMN_ENTROPY].is_present || document->columns[COLUMN_LOGPROB].is_present)
        sample_statistic_names(names);
    json_object_foreach(document->fields, key, value) {
        if (json_is_number(value))
            buffer_append_format(names, "%s%s", names->size > 0 ? ", " : "", key);
    }
}

static bool report_missing(const select_settings *settings, const records *records, const document *document,
                           trouble *trouble) {
    buffer names = {0};
    if (settings->of_samples)
        list_fields(&names, document);
    else
        list_columns(&names, document);
    column_id id = record_find_column(settings->by, strlen(settings->by));
    bool can_score = !settings->of_samples && id < COLUMN_COUNT && record_can_score(id);
    bool has_some = names.size > 0 && !names.failed;
    can_score = can_score && has_some;
    trouble_set(trouble, "%s:%" PRIu64 " (%s): no %s \"%s\"%s%s%s%s%s", records_name(records), document->line_number,
                document->id, settings->of_samples ? "number" : "column", settings->by,
                has_some ? "; there are " : document_lacks_columns(document), has_some ? names.data : "",
                can_score ? "; entrol score --columns " : "", can_score ? record_columns[id].name : "",
                can_score ? " would write it" : "");
    buffer_free(&names);
    return false;
}

static bool has_column(const document *document, const char *by) {
    const char *name = strcmp(by, "surprisal") == 0 ? "logprob" : by;
    column_id id = record_find_column(name, strlen(name));
    if (strcmp(by, "position") == 0)
        return true;
    return id < COLUMN_COUNT && document->columns[id].is_present;
}

static void note_nan(select_values *store, const records *records, const document *document, size_t token) {
    snprintf(store->first_nan, sizeof(store->first_nan), "%s:%" PRIu64 " (%.100s), token %zu", records_name(records),
             document->line_number, document->id, token);
}

bool select_values_add_tokens(select_values *store, const select_settings *settings, const records *records,
                              const document *document, trouble *trouble) {
    float *values = NULL;
    uint8_t *valid = NULL;
    if (!has_column(document, settings->by))
        return report_missing(settings, records, document, trouble);
    if (!document_values(document, settings->by, &values, &valid, trouble))
        return false;
    bool ok = make_room(store, document->n_tokens) || out_of_memory(store, trouble);
    for (size_t i = 0; ok && i < document->n_tokens; i++) {
        if (valid[i] != 0 && isnan(values[i]) && store->first_nan[0] == '\0')
            note_nan(store, records, document, i);
        append(store, values[i], valid[i] != 0);
    }
    free(values);
    free(valid);
    return ok && spool_if_full(store, trouble);
}

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

bool select_values_add_sample(select_values *store, entrol_context *context, const select_settings *settings,
                              const records *records, const document *document, trouble *trouble) {
    double value;
    bool exists;
    const char *by = settings->by;
    bool has_tokens = document->columns[sample_statistic_column(by)].is_present;
    if (sample_statistic_exists(by) && has_tokens) {
        if (!sample_statistic(&value, &exists, context, document, by, trouble))
            return false;
    } else if (!read_field(document, by, &value, &exists)) {
        return report_missing(settings, records, document, trouble);
    }
    char where[256];
    snprintf(where, sizeof(where), "%s:%" PRIu64 " (%.100s)", records_name(records), document->line_number,
             document->id);
    return select_values_add(store, value, exists, where, trouble);
}
