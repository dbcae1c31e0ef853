/* Token records to JSON Lines: a whole line, or a line as it stands with one column set. */
#include "record.h"
#include "record_parts.h"
#include "../json_text.h"

#include <string.h>

static void append_value(buffer *buffer, const column *column, column_type type, size_t slot) {
    if (!column->valid[slot])
        buffer_append(buffer, "null", 4);
    else if (type == COLUMN_REAL)
        buffer_append_float(buffer, column->reals[slot]);
    else if (type == COLUMN_INTEGER)
        buffer_append_integer(buffer, column->integers[slot]);
    else
        buffer_append_json_string(buffer, column->strings[slot], strlen(column->strings[slot]));
}

/* All of a column of flags: they are many where select writes them. */
static void append_flags(buffer *buffer, const column *column, size_t n) {
    enum { ROOM = 8 };
    static const struct {
        char text[ROOM];
        size_t n;
    } words[] = {{"false,", 6}, {"true,", 5}, {"null,", 5}};
    char *at = n < SIZE_MAX / ROOM ? buffer_reserve(buffer, n * 6 + ROOM) : NULL;
    if (!at) {
        buffer->failed = true;
        return;
    }
    char *const start = at;
    for (size_t i = 0; i < n; i++) {
        const size_t word = column->valid[i] ? column->integers[i] != 0 : 2;
        memcpy(at, words[word].text, ROOM); /* more than it has: a copy of fixed length */
        at += words[word].n;
    }
    at -= n > 0; /* the last comma */
    *at = 0;
    buffer->size += (size_t)(at - start);
}

/* "[v, v, ...]" of n slots from `first` on. */
static void append_slots(buffer *buffer, const column *column, column_type type, size_t first, size_t n) {
    buffer_append(buffer, "[", 1);
    if (type == COLUMN_FLAG)
        append_flags(buffer, column, n);
    for (size_t i = 0; type != COLUMN_FLAG && i < n; i++) {
        if (i > 0)
            buffer_append(buffer, ",", 1);
        append_value(buffer, column, type, first + i);
    }
    buffer_append(buffer, "]", 1);
}

static void append_array(buffer *buffer, const document *document, column_id id) {
    const column *column = &document->columns[id];
    column_type type = record_columns[id].type;
    if (!record_columns[id].is_list) {
        append_slots(buffer, column, type, 0, document->n_tokens);
        return;
    }
    buffer_append(buffer, "[", 1);
    for (size_t i = 0; i < document->n_tokens; i++) {
        if (i > 0)
            buffer_append(buffer, ",", 1);
        append_slots(buffer, column, type, i * column->width, column->width);
    }
    buffer_append(buffer, "]", 1);
}

static void append_name(buffer *buffer, const char **separator, const char *name) {
    buffer_append_string(buffer, *separator);
    buffer_append_json_string(buffer, name, strlen(name));
    buffer_append(buffer, ": ", 2);
    *separator = ", ";
}

bool record_keeps_field(const document *document, const char *key, const json_t *value) {
    column_id id = record_find_column(key, strlen(key));
    return id == COLUMN_COUNT || (!json_is_array(value) && !document->columns[id].is_present);
}

static json_t *list_of_reals(const double *values, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_of_real(values[i]));
    return list;
}

static json_t *probs_json(const document *document) {
    if (!document->has_models)
        return list_of_reals(document->probs, document->n_classes);
    json_t *list = json_array();
    for (size_t m = 0; m < document->n_models; m++)
        json_array_append_new(list, list_of_reals(document->probs + m * document->n_classes, document->n_classes));
    return list;
}

bool document_fill_fields(document *document) {
    return !document->probs || json_object_set_new(document->fields, "probs", probs_json(document)) == 0;
}

static void append_probs(buffer *buffer, const document *document, const char **separator) {
    json_t *probs = probs_json(document);
    append_name(buffer, separator, "probs");
    if (probs)
        json_append(buffer, probs);
    else
        buffer->failed = true;
    json_decref(probs);
}

void record_write(buffer *buffer, const document *document) {
    const char *separator = "{", *key;
    json_t *value;
    json_object_foreach(document->fields, key, value) {
        if (!record_keeps_field(document, key, value))
            continue;
        append_name(buffer, &separator, key);
        json_append(buffer, value);
    }
    if (document->probs)
        append_probs(buffer, document, &separator);
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (document->columns[id].is_present) {
            append_name(buffer, &separator, record_columns[id].name);
            append_array(buffer, document, (column_id)id);
        }
    buffer_append_string(buffer, *separator == '{' ? "{}\n" : "}\n");
}

/* Scanning a line that jansson has accepted: each returns where the thing that starts at `at` ends. */
static size_t skip_space(const char *line, size_t n, size_t at) {
    while (at < n && (line[at] == ' ' || line[at] == '\t' || line[at] == '\r' || line[at] == '\n'))
        at++;
    return at;
}

static size_t skip_string(const char *line, size_t n, size_t at) {
    for (at++; at < n && line[at] != '"'; at++)
        if (line[at] == '\\')
            at++;
    return at < n ? at + 1 : n;
}

static size_t skip_value(const char *line, size_t n, size_t at) {
    size_t depth = 0;
    while (at < n) {
        char c = line[at];
        if (c == '"') {
            at = skip_string(line, n, at);
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return at;
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        at++;
    }
    return n;
}

/* Whether the JSON string at [start, end) spells `name`; escapes are decoded. */
static bool spells(const char *line, size_t start, size_t end, const char *name) {
    size_t n = strlen(name);
    if (!memchr(line + start, '\\', end - start))
        return end - start == n + 2 && memcmp(line + start + 1, name, n) == 0;
    json_t *string = json_loadb(line + start, end - start, JSON_DECODE_ANY, NULL);
    bool same = json_is_string(string) && strcmp(json_string_value(string), name) == 0;
    json_decref(string);
    return same;
}

/* Where the value of member `name` stands in the line's object, or, without that member, where the object's brace
 * closes (then *end == *start, and *is_empty says whether the object has no member). */
static bool find_member(const char *line, size_t n, const char *name, size_t *start, size_t *end, bool *is_empty) {
    size_t at = skip_space(line, n, 0) + 1;
    *is_empty = true;
    for (;;) {
        at = skip_space(line, n, at);
        if (at >= n || line[at] == '}') {
            *start = *end = at < n ? at : n;
            return false;
        }
        *is_empty = false;
        size_t key = at, key_end = skip_string(line, n, at);
        size_t value = skip_space(line, n, skip_space(line, n, key_end) + 1); /* behind the colon */
        size_t after = skip_value(line, n, value);
        if (spells(line, key, key_end, name)) {
            *start = value;
            *end = after;
            while (*end > value && strchr(" \t\r\n", line[*end - 1]))
                --*end;
            return true;
        }
        at = after + (after < n && line[after] == ',');
    }
}

/* Where a column belongs in the line. */
typedef struct edit {
    column_id id;
    size_t start, end; /* in place of these bytes; none of them: it is added */
    bool is_first;     /* member of the object */
} edit;

static edit find_edit(const document *document, column_id id) {
    const record_places *places = &document->places;
    edit edit = {.id = id};
    if (!places->are_known)
        find_member(document->line, document->line_size, record_columns[id].name, &edit.start, &edit.end,
                    &edit.is_first);
    else if (places->values[id].start > 0)
        edit = (struct edit){id, places->values[id].start, places->values[id].end, false};
    else
        edit = (struct edit){id, places->close, places->close, places->is_empty};
    return edit;
}

/* Edits that begin where no earlier one ends, into the line. */
static void write_edited(buffer *buffer, const document *document, const edit *edits, size_t n) {
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const edit *edit = &edits[i];
        const char *separator = i == 0 && edit->is_first ? "" : ", ";
        buffer_append(buffer, document->line + at, edit->start - at);
        if (edit->start == edit->end)
            append_name(buffer, &separator, record_columns[edit->id].name);
        append_array(buffer, document, edit->id);
        at = edit->end;
    }
    buffer_append(buffer, document->line + at, document->line_size - at);
    buffer_append(buffer, "\n", 1);
}

void record_write_with_column(buffer *buffer, const document *document, column_id id) {
    if (!document->line) {
        record_write(buffer, document);
        return;
    }
    const edit edit = find_edit(document, id);
    write_edited(buffer, document, &edit, 1);
}

void record_write_with_columns(buffer *buffer, const document *document, column_id first, column_id second) {
    if (!document->line) {
        record_write(buffer, document);
        return;
    }
    const edit a = find_edit(document, first), b = find_edit(document, second);
    const bool in_order = a.start <= b.start;
    write_edited(buffer, document, (const edit[]){in_order ? a : b, in_order ? b : a}, 2);
}
