/* Token records from JSON Lines. A member whose name is a column's is that column when it is an array; with any other
 * value it is a field of the input like all others, and kept as such. */
#include "record.h"
#include "record_parts.h"
#include "../json_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where we are, for messages. */
typedef struct place {
    const char *name;
    uint64_t line_number;
    column_id column;
    trouble *trouble;
} place;

static bool report(const place *place, size_t token, const char *expected, const json_t *found) {
    return trouble_set(place->trouble, "%s:%llu: column \"%s\", token %zu: expected %s, found %s", place->name,
                       (unsigned long long)place->line_number, record_columns[place->column].name, token, expected,
                       json_kind(found));
}

bool record_special_real(const char *text, size_t n_bytes, float *value) {
    static const struct {
        const char *text;
        float value;
    } special[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (n_bytes == strlen(special[i].text) && memcmp(text, special[i].text, n_bytes) == 0) {
            *value = special[i].value;
            return true;
        }
    return false;
}

bool record_narrow(double number, float *value) {
    if (fabs(number) >= 0x1.ffffffp127) /* half way from the greatest float to 2^128 */
        return false;
    *value = (float)number;
    return true;
}

static bool read_real(const json_t *item, float *value) {
    if (json_is_string(item))
        return record_special_real(json_string_value(item), json_string_length(item), value);
    return json_is_number(item) && record_narrow(json_number_value(item), value);
}

static bool read_integer(const json_t *item, int64_t *value) {
    if (json_is_integer(item)) {
        *value = json_integer_value(item);
        return true;
    }
    double number = json_is_real(item) ? json_real_value(item) : 0.5;
    if (number != floor(number) || fabs(number) > 0x1p53)
        return false;
    *value = (int64_t)number;
    return true;
}

static bool read_flag(const json_t *item, int64_t *value) {
    if (json_is_integer(item) && (json_integer_value(item) == 0 || json_integer_value(item) == 1))
        *value = json_integer_value(item);
    else if (json_is_boolean(item))
        *value = json_is_true(item);
    else
        return false;
    return true;
}

/* One value into slot `slot` of a column; null is missing. */
static bool read_value(const place *place, column *column, size_t slot, size_t token, const json_t *item) {
    column->valid[slot] = !json_is_null(item);
    if (json_is_null(item))
        return true;
    switch (record_columns[place->column].type) {
    case COLUMN_REAL:
        return read_real(item, &column->reals[slot]) ||
               report(place, token, "a number a float can hold, \"NaN\", \"Infinity\", \"-Infinity\" or null", item);
    case COLUMN_INTEGER:
        return read_integer(item, &column->integers[slot]) || report(place, token, "a whole number or null", item);
    case COLUMN_FLAG:
        return read_flag(item, &column->integers[slot]) || report(place, token, "true, false or null", item);
    case COLUMN_STRING:
        if (!json_is_string(item))
            return report(place, token, "a string or null", item);
        column->strings[slot] = strdup(json_string_value(item));
        return column->strings[slot] || trouble_set(place->trouble, "%s: out of memory", place->name);
    }
    return false;
}

/* The longest list of a list column. */
static bool find_width(const place *place, const json_t *array, size_t *width) {
    *width = 0;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        if (!json_is_array(item) && !json_is_null(item))
            return report(place, i, "an array or null", item);
        if (json_array_size(item) > *width)
            *width = json_array_size(item);
    }
    if (*width > RECORD_MAX_WIDTH)
        return trouble_set(place->trouble, "%s:%llu: column \"%s\" has %zu values a token; at most %d are supported",
                           place->name, (unsigned long long)place->line_number, record_columns[place->column].name,
                           *width, RECORD_MAX_WIDTH);
    return true;
}

static bool read_list(const place *place, column *column, size_t token, const json_t *list) {
    size_t first = token * column->width, n = json_array_size(list);
    memset(column->valid + first, 0, column->width); /* a shorter list ends in missing values */
    for (size_t i = 0; i < n; i++)
        if (!read_value(place, column, first + i, token, json_array_get(list, i)))
            return false;
    return true;
}

static bool read_column(const place *place, document *document, const json_t *array) {
    bool is_list = record_columns[place->column].is_list;
    size_t width = 1;
    if (is_list && !find_width(place, array, &width))
        return false;
    if (!document_add_column(document, place->column, width))
        return trouble_set(place->trouble, "%s: out of memory", place->name);
    column *column = &document->columns[place->column];
    for (size_t i = 0; i < document->n_tokens; i++) {
        const json_t *item = json_array_get(array, i);
        if (!(is_list ? read_list(place, column, i, item) : read_value(place, column, i, i, item)))
            return false;
    }
    return true;
}

/* All arrays of a line, whose common length is the number of tokens. */
static bool read_columns(place *place, document *document) {
    const char *key, *first = NULL;
    json_t *value;
    json_object_foreach(document->fields, key, value) {
        place->column = record_find_column(key, strlen(key));
        if (place->column == COLUMN_COUNT || !json_is_array(value))
            continue;
        if (!first)
            document->n_tokens = json_array_size(value);
        else if (json_array_size(value) != document->n_tokens)
            return trouble_set(place->trouble, "%s:%llu: column \"%s\" has %zu values, but \"%s\" has %zu", place->name,
                               (unsigned long long)place->line_number, key, json_array_size(value), first,
                               document->n_tokens);
        if (!first)
            first = record_columns[place->column].name;
        if (!read_column(place, document, value))
            return false;
    }
    return true;
}

bool record_check_offsets(const char *name, const document *document, bool has_text, size_t text_size,
                          trouble *trouble) {
    const column *start = &document->columns[COLUMN_BYTE_START], *end = &document->columns[COLUMN_BYTE_END];
    if (!start->is_present || !end->is_present)
        return true;
    int64_t last_start = 0, last_end = 0;
    const int64_t limit = has_text ? (int64_t)text_size : INT64_MAX;
    for (size_t i = 0; i < document->n_tokens; i++) {
        if (!start->valid[i] || !end->valid[i])
            continue;
        int64_t from = start->integers[i], to = end->integers[i];
        if (from < last_start || to < last_end || from > to)
            return trouble_set(trouble, "%s:%llu: token %zu: bytes %lld to %lld are not in order", name,
                               (unsigned long long)document->line_number, i, (long long)from, (long long)to);
        if (to > limit)
            return trouble_set(trouble, "%s:%llu: token %zu ends at byte %lld, but the text has %lld", name,
                               (unsigned long long)document->line_number, i, (long long)to, (long long)limit);
        last_start = from;
        last_end = to;
    }
    return true;
}

static bool read_id(const char *name, document *document, trouble *trouble) {
    const json_t *id = json_object_get(document->fields, "id");
    buffer text = {0};
    if (json_is_string(id))
        buffer_append(&text, json_string_value(id), json_string_length(id));
    else if (id && !json_is_null(id))
        json_append(&text, id);
    else
        buffer_append_format(&text, "document %llu", (unsigned long long)document->line_number);
    document->id = text.data;
    return !text.failed || trouble_set(trouble, "%s: out of memory", name);
}

bool record_take_fields(const char *name, document *document, json_t *fields, trouble *trouble) {
    const json_t *text = json_object_get(fields, "text");
    document->name = name;
    document->fields = fields;
    document->text = json_string_value(text);
    document->text_size = json_string_length(text);
    return read_id(name, document, trouble);
}

bool record_parse(const char *name, uint64_t line_number, const char *line, size_t n_bytes, document *document,
                  trouble *trouble) {
    place place = {name, line_number, COLUMN_COUNT, trouble};
    document_clear(document);
    document->line = line;
    document->line_size = n_bytes;
    document->line_number = line_number;
    if (line_number == 1 && line[strspn(line, " \t\r")] != '{')
        return trouble_set(trouble,
                           "%s:1: expected token records, each a JSON object, found \"%.*s\"; entrol score "
                           "makes them of texts and logits",
                           name, (int)(n_bytes < 20 ? n_bytes : 20), line);
    if (line_number == 1 && strspn(line, "{ \t\r") == n_bytes)
        return trouble_set(trouble,
                           "%s:1: expected token records, one JSON object a line, found one over several lines", name);
    json_t *fields = json_read_object(name, line_number, line, n_bytes, trouble);
    return fields && record_take_fields(name, document, fields, trouble) && read_columns(&place, document) &&
           record_check_offsets(name, document, document->text != NULL, document->text_size, trouble);
}

int record_next_line(input *input, const char **line, size_t *n_bytes, trouble *trouble) {
    int more;
    do
        more = input_line(input, line, n_bytes, trouble);
    while (more == 1 && strspn(*line, " \t\r") == *n_bytes); /* a blank line between documents */
    return more < 0 ? -1 : more;
}

int record_read(input *input, document *document, trouble *trouble) {
    const char *line;
    size_t n_bytes;
    const int more = record_next_line(input, &line, &n_bytes, trouble);
    if (more != 1) {
        document_free(document);
        return more;
    }
    bool ok = record_parse(input_name(input), input_line_number(input), line, n_bytes, document, trouble);
    return ok ? 1 : -1;
}
