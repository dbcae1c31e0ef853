/* Whether two documents are the same, as far as both were wanted. */
#ifndef DOCUMENTS_AGREE_H
#define DOCUMENTS_AGREE_H

#include "formats/record_parts.h"

#include <string.h>

static bool same_bytes(const void *a, const void *b, size_t n) {
    return n == 0 || memcmp(a, b, n) == 0;
}

static bool same_strings(const column *a, const column *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (a->valid[i] && strcmp(a->strings[i], b->strings[i]) != 0)
            return false;
    return true;
}

/* To the bit. */
static bool same_column(const column *a, const column *b, column_type type, size_t n_tokens) {
    const size_t n = n_tokens * a->width;
    if (!a->is_present || !b->is_present)
        return a->is_present == b->is_present;
    return a->width == b->width && same_bytes(a->valid, b->valid, n) &&
           (type == COLUMN_STRING ? same_strings(a, b, n)
            : type == COLUMN_REAL ? same_bytes(a->reals, b->reals, n * sizeof *a->reals)
                                  : same_bytes(a->integers, b->integers, n * sizeof *a->integers));
}

/* The next member that is no array of a column. */
static void *skip_columns(json_t *object, void *at) {
    while (at && record_find_column(json_object_iter_key(at), strlen(json_object_iter_key(at))) < COLUMN_COUNT &&
           json_is_array(json_object_iter_value(at)))
        at = json_object_iter_next(object, at);
    return at;
}

/* In their order; columns do not count. */
static bool same_fields(json_t *a, json_t *b) {
    void *x = skip_columns(a, json_object_iter(a)), *y = skip_columns(b, json_object_iter(b));
    while (x && y) {
        if (strcmp(json_object_iter_key(x), json_object_iter_key(y)) != 0 ||
            !json_equal(json_object_iter_value(x), json_object_iter_value(y)))
            return false;
        x = skip_columns(a, json_object_iter_next(a, x));
        y = skip_columns(b, json_object_iter_next(b, y));
    }
    return x == y;
}

/* What is wrong with a document of which only this was wanted; NULL: nothing. */
static const char *compare_documents(const document *some, const document *whole, const record_wanted *wanted) {
    if (some->n_tokens != whole->n_tokens)
        return "another number of tokens";
    if (strcmp(some->id, whole->id) != 0 || strcmp(some->name, whole->name) != 0)
        return "another id";
    if (some->line_size != whole->line_size || some->line_number != whole->line_number)
        return "another line";
    for (int id = 0; id < COLUMN_COUNT; id++) {
        const bool is_read = record_wants(wanted, (column_id)id) || some->columns[id].is_present;
        if (is_read && !same_column(&some->columns[id], &whole->columns[id], record_columns[id].type, whole->n_tokens))
            return record_columns[id].name;
    }
    if (some->fields ? !same_fields(some->fields, whole->fields) : wanted->fields)
        return "other fields";
    if (some->fields && (!some->text != !whole->text || some->text_size != whole->text_size))
        return "another text";
    return NULL;
}

#endif
