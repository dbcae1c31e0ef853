/* record_scan against record_parse: what the one is sure of, the other reads the same. For the fuzz target and the test
 * with mutations. */
#ifndef SCAN_AGREES_H
#define SCAN_AGREES_H

#include "formats/record_parts.h"
#include "formats/record_scan.h"

#include <stdlib.h>
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

/* `fields` are those of the whole, in their order, without the arrays of columns. */
static bool same_fields(const json_t *fields, const json_t *whole) {
    const char *key, *name;
    json_t *value;
    void *at = json_object_iter((json_t *)fields);
    json_object_foreach((json_t *)whole, key, value) {
        if (record_find_column(key, strlen(key)) < COLUMN_COUNT && json_is_array(value))
            continue;
        name = at ? json_object_iter_key(at) : "";
        if (!at || strcmp(key, name) != 0 || !json_equal(value, json_object_iter_value(at)))
            return false;
        at = json_object_iter_next((json_t *)fields, at);
    }
    return at == NULL;
}

/* The places that one of them knows and the other looks for. */
static bool same_written(document *a, document *b) {
    buffer texts[2] = {{0}, {0}};
    document *const documents[] = {a, b};
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        ok = ok && document_add_column(documents[i], COLUMN_KEEP, 1) &&
             document_add_column(documents[i], COLUMN_WEIGHT, 1);
        record_write_with_column(&texts[i], documents[i], COLUMN_KEEP);
        record_write_with_columns(&texts[i], documents[i], COLUMN_KEEP, COLUMN_WEIGHT);
        record_write_with_columns(&texts[i], documents[i], COLUMN_WEIGHT, COLUMN_ENTROPY);
    }
    ok = ok && !texts[0].failed && texts[0].size == texts[1].size &&
         memcmp(texts[0].data, texts[1].data, texts[0].size) == 0;
    buffer_free(&texts[0]);
    buffer_free(&texts[1]);
    return ok;
}

/* What is wrong; NULL: nothing. */
static const char *compare_documents(document *fast, document *slow, const record_wanted *wanted) {
    if (fast->n_tokens != slow->n_tokens)
        return "another number of tokens";
    if (strcmp(fast->id, slow->id) != 0 || strcmp(fast->name, slow->name) != 0)
        return "another id";
    if (fast->line != slow->line || fast->line_size != slow->line_size || fast->line_number != slow->line_number)
        return "another line";
    for (int id = 0; id < COLUMN_COUNT; id++) {
        const bool is_wanted = (wanted->columns & COLUMN_BIT(id)) != 0 || fast->columns[id].is_present;
        if (is_wanted && !same_column(&fast->columns[id], &slow->columns[id], record_columns[id].type, slow->n_tokens))
            return record_columns[id].name;
    }
    if (wanted->fields ? !same_fields(fast->fields, slow->fields) : fast->fields != NULL)
        return "other fields";
    if (wanted->fields && (!fast->text != !slow->text || fast->text_size != slow->text_size))
        return "another text";
    for (int id = 0; id < COLUMN_COUNT; id++) /* written below from both */
        if (fast->columns[id].is_present != slow->columns[id].is_present)
            column_free(&slow->columns[id], slow->n_tokens);
    if (!fast->columns[COLUMN_ENTROPY].is_present && !document_add_column(fast, COLUMN_ENTROPY, 1))
        return "memory";
    if (!slow->columns[COLUMN_ENTROPY].is_present && !document_add_column(slow, COLUMN_ENTROPY, 1))
        return "memory";
    return same_written(fast, slow) ? NULL : "another line when a column is set";
}

/* Whether record_scan is sure of the line of n bytes; *wrong: what it then makes differently, NULL for nothing. */
static bool scan_agrees(const char **wrong, const char *bytes, size_t n, const record_wanted *wanted) {
    document fast = {0}, slow = {0};
    buffer scratch = {0};
    trouble trouble = {""};
    char *line = malloc(n + 1); /* exactly as large, so that a byte more is an error */
    *wrong = line ? NULL : "memory";
    if (!line)
        return false;
    if (n > 0)
        memcpy(line, bytes, n);
    line[n] = 0;
    const bool is_sure = record_scan("scan", 1, line, n, wanted, &fast, &scratch);
    if (is_sure)
        *wrong = record_parse("scan", 1, line, n, &slow, &trouble) ? compare_documents(&fast, &slow, wanted)
                                                                   : "it should have been refused";
    document_free(&fast);
    document_free(&slow);
    buffer_free(&scratch);
    free(line);
    return is_sure;
}

#endif
