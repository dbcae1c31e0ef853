/* Reading what is plainly right: the members of the line one after the other, columns value by value. */
#include "record_scan.h"
#include "json_block.h"
#include "record_parts.h"
#include "../decimal.h"
#include "../json_text.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

typedef struct reading {
    json_scan scan;
    const record_wanted *wanted;
    document *document;
    buffer *others;  /* members that are no columns, where they are wanted */
    bool has_tokens; /* n_tokens is known */
    const char *id;  /* its value; NULL: none */
    bool has_text;   /* a string */
    size_t text_size;
} reading;

/* --- Values: from where they stand into a slot of a column; NULL: nowhere --- */

static const char *pass_null(const char *at, column *to, size_t slot) {
    if (strncmp(at, "null", 4) != 0)
        return NULL;
    if (to)
        to->valid[slot] = 0;
    return at + 4;
}

/* What strtod makes of it. */
static bool real_of_number(double *value, const json_number *number, const char *at, const char *end) {
    const uint64_t LIMIT = UINT64_C(1) << 53; /* up to here a whole number is a double, and so are the powers of ten */
    if (number->is_integer) {
        *value = (double)(number->is_negative ? -(int64_t)number->digits : (int64_t)number->digits); /* no -0 */
        return true;
    }
    if (FLT_EVAL_METHOD == 0 && number->is_short && number->digits <= LIMIT) {
        *value = (double)number->digits / decimal_powers[number->n_fraction]; /* rounded once (Clinger, PLDI 1990) */
        if (number->is_negative)
            *value = -*value;
        return true;
    }
    char *tail;
    *value = strtod(at, &tail);
    return tail == end; /* or the locale has another point */
}

static inline const char *pass_real(const json_scan *scan, const char *at, column *to, size_t slot) {
    json_number number;
    double value;
    const char *end = json_scan_number(&number, at, scan->end);
    if (end && !number.is_short && !number.is_integer && number.magnitude > FLT_MAX_10_EXP)
        return NULL;
    if (end)
        return !to || (real_of_number(&value, &number, at, end) && record_narrow(value, &to->reals[slot])) ? end : NULL;
    if (*at != '"')
        return pass_null(at, to, slot);
    size_t n_bytes;
    return (end = json_scan_string(scan, at, &n_bytes)) &&
                   record_special_real(at + 1, (size_t)(end - at) - 2, to ? &to->reals[slot] : &(float){0})
               ? end
               : NULL;
}

static inline const char *pass_integer(const json_scan *scan, const char *at, column *to, size_t slot) {
    json_number number;
    const char *end = json_scan_number(&number, at, scan->end);
    if (!end)
        return pass_null(at, to, slot);
    if (to)
        to->integers[slot] = number.is_negative ? -(int64_t)number.digits : (int64_t)number.digits;
    return number.is_integer ? end : NULL;
}

static const char *pass_flag(const char *at, column *to, size_t slot) {
    const bool is_true = *at == 't' || *at == '1';
    if (*at == 'n')
        return pass_null(at, to, slot);
    if (to)
        to->integers[slot] = is_true;
    if (*at == '0' || *at == '1')
        return at + 1;
    const char *literal = is_true ? "true" : "false";
    return strncmp(at, literal, strlen(literal)) == 0 ? at + strlen(literal) : NULL;
}

static const char *pass_string(const json_scan *scan, const char *at, column *to, size_t slot) {
    size_t n_bytes;
    if (*at == 'n')
        return pass_null(at, to, slot);
    const char *end = json_scan_string(scan, at, &n_bytes);
    if (!end || !to)
        return end;
    to->strings[slot] = malloc(n_bytes + 1);
    if (!to->strings[slot])
        return NULL;
    json_scan_decode(to->strings[slot], at);
    return end;
}

static inline const char *pass_value(const json_scan *scan, const char *at, column_type type, column *to, size_t slot) {
    switch (type) {
    case COLUMN_REAL:
        return pass_real(scan, at, to, slot);
    case COLUMN_INTEGER:
        return pass_integer(scan, at, to, slot);
    case COLUMN_FLAG:
        return pass_flag(at, to, slot);
    case COLUMN_STRING:
        return pass_string(scan, at, to, slot);
    }
    return NULL;
}

/* --- Arrays --- */

/* Behind a value: at the next one, or behind the bracket (then *more is false). */
static inline const char *pass_comma(const char *at, bool *more) {
    if (*at != ',')
        at = json_scan_space(at);
    *more = *at == ',';
    return *more ? json_scan_space(at + 1) : *at == ']' ? at + 1 : NULL;
}

/* One number of a block. */
static inline bool take_number(const json_scan *scan, column_type type, column *to, size_t slot, const char *at,
                               const char *point, const char *end) {
    json_number number;
    double value;
    if (!json_block_number(&number, at, point, end))
        return pass_real(scan, at, to, slot) == end;
    if (type == COLUMN_REAL)
        return real_of_number(&value, &number, at, end) && record_narrow(value, &to->reals[slot]);
    to->integers[slot] = number.is_negative ? -(int64_t)number.digits : (int64_t)number.digits;
    return true;
}

static inline bool take_block(const json_scan *scan, const char *at, const json_block *block, column_type type,
                              column *to, size_t slot) {
    unsigned start = 0;
    for (uint64_t ends = block->ends; ends; ends &= ends - 1) {
        const unsigned end = (unsigned)__builtin_ctzll(ends);
        const uint64_t points = block->points & ((UINT64_C(1) << end) - 1) & ~UINT64_C(0) << start;
        start += at[start] == ' ';
        if (!take_number(scan, type, to, slot++, at + start, points ? at + __builtin_ctzll(points) : NULL, at + end))
            return false;
        start = end + 1;
    }
    return true;
}

/* Passes over the plain numbers that come next and their commas, up to one that is not plain, or is the last. */
static inline const char *pass_plain(const json_scan *scan, const char *at, column_type type, column *to, size_t first,
                                     size_t room, size_t *n) {
    bool is_plain = true;
    while (is_plain && scan->end - at >= JSON_BLOCK_ROOM) {
        const json_block block = json_block_find(at, type == COLUMN_REAL);
        const size_t n_here = (size_t)__builtin_popcountll(block.ends);
        if (n_here == 0 || n_here > room - *n || (to && !take_block(scan, at, &block, type, to, first + *n)))
            return at;
        *n += n_here;
        at = json_scan_space(at + JSON_BLOCK - __builtin_clzll(block.ends));
        is_plain = block.is_plain;
    }
    return at;
}

/* An array of at most `room` values into the slots from `first` on; *n: how many they are. */
static inline const char *pass_values(const json_scan *scan, const char *at, column_type type, column *to, size_t first,
                                      size_t room, size_t *n) {
    bool more;
    *n = 0;
    at = json_scan_space(at + 1);
    if (*at == ']')
        return at + 1;
    do {
        if (type == COLUMN_REAL || type == COLUMN_INTEGER)
            at = pass_plain(scan, at, type, to, first, room, n);
        if (*n == room || !(at = pass_value(scan, at, type, to, first + *n)))
            return NULL;
        ++*n;
    } while ((at = pass_comma(at, &more)) && more);
    return at;
}

/* A list, or null, which is an empty one; *width becomes its length where that is greater. */
static const char *pass_list(const json_scan *scan, const char *at, column_type type, column *to, size_t token,
                             size_t *width) {
    const size_t room = to ? to->width : RECORD_MAX_WIDTH, first = token * room;
    size_t n = 0;
    at = *at == '[' ? pass_values(scan, at, type, to, first, room, &n) : pass_null(at, NULL, 0);
    if (at && to)
        memset(to->valid + first + n, 0, room - n); /* a shorter list ends in missing values */
    *width = n > *width ? n : *width;
    return at;
}

static const char *pass_lists(const json_scan *scan, const char *at, column_type type, column *to, size_t room,
                              size_t *n, size_t *width) {
    bool more;
    *n = *width = 0;
    at = json_scan_space(at + 1);
    if (*at == ']')
        return at + 1;
    do {
        if (*n == room || !(at = pass_list(scan, at, type, to, *n, width)))
            return NULL;
        ++*n;
    } while ((at = pass_comma(at, &more)) && more);
    return at;
}

/* The array of a column of at most `room` tokens. */
static const char *pass_array(const json_scan *scan, const char *at, column_id id, column *to, size_t room, size_t *n,
                              size_t *width) {
    const column_type type = record_columns[id].type;
    *width = 1;
    if (record_columns[id].is_list)
        return pass_lists(scan, at, type, to, room, n, width);
    if (type == COLUMN_REAL) /* these are many: each has a loop of its own */
        return to ? pass_values(scan, at, COLUMN_REAL, to, 0, room, n)
                  : pass_values(scan, at, COLUMN_REAL, NULL, 0, room, n);
    if (type == COLUMN_INTEGER)
        return to ? pass_values(scan, at, COLUMN_INTEGER, to, 0, room, n)
                  : pass_values(scan, at, COLUMN_INTEGER, NULL, 0, room, n);
    return pass_values(scan, at, type, to, 0, room, n);
}

/* --- Members --- */

static const char *pass_column(reading *reading, column_id id, const char *at) {
    document *document = reading->document;
    const bool is_wanted = record_wants(reading->wanted, id);
    size_t n, width = 1;
    const char *end;
    if (!is_wanted || !reading->has_tokens || record_columns[id].is_list) { /* how many, and how wide? */
        const size_t room = reading->has_tokens ? document->n_tokens : SIZE_MAX;
        end = pass_array(&reading->scan, at, id, NULL, room, &n, &width);
        if (!end || (reading->has_tokens && n != document->n_tokens))
            return NULL;
        document->n_tokens = n;
        reading->has_tokens = true;
        if (!is_wanted)
            return end;
    }
    if (!document_add_column(document, id, width))
        return NULL;
    end = pass_array(&reading->scan, at, id, &document->columns[id], document->n_tokens, &n, &width);
    return n == document->n_tokens ? end : NULL;
}

static bool is_called(const json_name *name, const char *text) {
    return name->n == strlen(text) && memcmp(name->bytes, text, name->n) == 0;
}

static const char *pass_field(reading *reading, const json_name *name, const char *at) {
    if (is_called(name, "id"))
        reading->id = at;
    if (*at != '"' || !is_called(name, "text"))
        return json_scan_value(&reading->scan, at, 0);
    reading->has_text = true;
    return json_scan_string(&reading->scan, at, &reading->text_size);
}

static const char *pass_member(reading *reading, const char *at) {
    const char *const line = reading->document->line, *const start = at;
    const char *const value = at = json_scan_name(&reading->scan, at, 0);
    if (!at)
        return NULL;
    const json_name name = reading->scan.names[reading->scan.n_names - 1];
    const column_id id = record_find_column(name.bytes, name.n);
    const bool is_column = id < COLUMN_COUNT && *value == '[';
    at = is_column ? pass_column(reading, id, value) : pass_field(reading, &name, value);
    if (!at)
        return NULL;
    if (id < COLUMN_COUNT) {
        reading->document->places.values[id].start = (size_t)(value - line);
        reading->document->places.values[id].end = (size_t)(at - line);
    }
    if (reading->wanted->fields && !is_column) {
        buffer_append_string(reading->others, reading->others->size > 0 ? ", " : "{");
        buffer_append(reading->others, start, (size_t)(at - start));
    }
    return at;
}

static bool pass_line(reading *reading, const char *at) {
    record_places *places = &reading->document->places;
    bool more = true;
    at = json_scan_space(at);
    if (*at != '{')
        return false;
    at = json_scan_space(at + 1);
    places->is_empty = *at == '}';
    while (more && !places->is_empty) {
        at = pass_member(reading, at);
        if (!at)
            return false;
        at = json_scan_space(at);
        more = *at == ',';
        at = more ? json_scan_space(at + 1) : at;
    }
    if (*at != '}')
        return false;
    places->close = (size_t)(at - reading->document->line);
    places->are_known = true;
    return json_scan_space(at + 1) == reading->scan.end;
}

/* --- The document --- */

/* As record_take_fields makes it. */
static bool take_id(reading *reading) {
    buffer text = {0};
    json_number number;
    size_t n_bytes;
    const char *const id = reading->id, *end;
    if (!id || *id == 'n') {
        buffer_append_format(&text, "document %llu", (unsigned long long)reading->document->line_number);
    } else if (*id == '"') {
        end = json_scan_string(&reading->scan, id, &n_bytes);
        if (n_bytes != (size_t)(end - id) - 2) /* an escape */
            return false;
        buffer_append(&text, id + 1, n_bytes);
    } else {
        end = json_scan_number(&number, id, reading->scan.end);
        if (!end || !number.is_integer || (number.is_negative && number.digits == 0)) /* it would be written as 0 */
            return false;
        buffer_append(&text, id, (size_t)(end - id));
    }
    reading->document->id = text.data;
    return !text.failed;
}

static bool take_fields(reading *reading) {
    trouble ignored;
    buffer *text = reading->others;
    const document *document = reading->document;
    buffer_append_string(text, text->size > 0 ? "}" : "{}");
    json_t *fields =
        text->failed ? NULL : json_read_object(document->name, document->line_number, text->data, text->size, &ignored);
    return fields && record_take_fields(document->name, reading->document, fields, &ignored);
}

bool record_scan(const char *name, uint64_t line_number, const char *line, size_t n_bytes, const record_wanted *wanted,
                 document *document, buffer *scratch) {
    reading reading = {.wanted = wanted, .document = document, .others = scratch};
    trouble ignored;
    reading.scan.end = line + n_bytes;
    buffer_clear(scratch);
    document_clear(document);
    document->name = name;
    document->line = line;
    document->line_size = n_bytes;
    document->line_number = line_number;
    return pass_line(&reading, line) && record_has_enough(document, wanted) &&
           record_check_offsets(name, document, reading.has_text, reading.text_size, &ignored) &&
           (wanted->fields ? take_fields(&reading) : take_id(&reading));
}
