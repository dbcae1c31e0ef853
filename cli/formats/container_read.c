/* Records from a container, document by document: offsets, flags and strings are checked when theirs is read, so that
 * opening costs nothing. Nothing in the mapping is trusted to be aligned. */
#include "container_parts.h"
#include "json_scan.h"
#include "record_parts.h"
#include "../json_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* An integer of a column: I32 or I64. */
static int64_t read_integer(const tensor *tensor, size_t index) {
    if (tensor->element == ELEMENT_I64)
        return container_i64(tensor, index);
    int32_t value;
    memcpy(&value, tensor->data + index * sizeof value, sizeof value);
    return value;
}

/* Item `index` of an offset tensor, as a range of what it counts. */
static bool read_range(const container *container, const tensor *offset, size_t index, size_t limit, size_t *from,
                       size_t *to, trouble *trouble) {
    int64_t start = container_i64(offset, index), end = container_i64(offset, index + 1);
    *from = (size_t)start;
    *to = (size_t)end;
    return (start >= 0 && start <= end && (uint64_t)end <= limit) ||
           trouble_set(trouble,
                       "%s: tensor \"%s\": item %zu is from %" PRId64 " to %" PRId64 ", expected within 0 to %zu",
                       container->file->name, offset->name, index, start, end, limit);
}

/* A byte that says yes or no. */
static bool read_flag(const container *container, const tensor *tensor, size_t index, bool *flag, trouble *trouble) {
    *flag = tensor->data[index] == 1;
    return tensor->data[index] <= 1 || trouble_set(trouble, "%s: tensor \"%s\": item %zu: expected 0 or 1, found %u",
                                                   container->file->name, tensor->name, index, tensor->data[index]);
}

/* In the mapping; not NUL-terminated. */
static bool read_string(const container *container, int stored, size_t index, const char **string, size_t *n_bytes,
                        trouble *trouble) {
    const tensor *bytes = container->parts[stored][PART_VALUES];
    size_t from, to, broken;
    if (!read_range(container, container->parts[stored][PART_OFFSET], index, bytes->n_elements, &from, &to, trouble))
        return false;
    *string = (const char *)bytes->data + from;
    *n_bytes = to - from;
    if (!utf8_valid(*string, *n_bytes, &broken))
        return trouble_set(trouble, "%s: tensor \"%s\": byte %zu is not UTF-8", container->file->name, bytes->name,
                           from + broken);
    return !memchr(*string, 0, *n_bytes) ||
           trouble_set(trouble, "%s: tensor \"%s\": item %zu holds a NUL", container->file->name, bytes->name, index);
}

/* "id" or "text" of a document, if it has one. */
static bool read_member(const container *container, int stored, size_t index, json_t *fields, trouble *trouble) {
    const tensor *valid = container->parts[stored][PART_VALID];
    const char *string;
    size_t n_bytes;
    bool exists = true;
    if (!container->parts[stored][PART_VALUES])
        return true;
    if (valid && !read_flag(container, valid, index, &exists, trouble))
        return false;
    if (!exists)
        return true;
    if (!read_string(container, stored, index, &string, &n_bytes, trouble))
        return false;
    return json_object_set_new(fields, container_stored_name(stored), json_stringn(string, n_bytes)) == 0 ||
           trouble_set(trouble, "%s: out of memory", container->file->name);
}

static bool read_others(const container *container, size_t index, json_t *fields, trouble *trouble) {
    const char *string, *name = container->file->name;
    size_t n_bytes;
    if (!container->parts[STORED_FIELDS][PART_VALUES])
        return true;
    if (!read_string(container, STORED_FIELDS, index, &string, &n_bytes, trouble))
        return false;
    json_t *others = n_bytes > 0 ? json_read_object(name, index + 1, string, n_bytes, trouble) : NULL;
    bool ok = n_bytes == 0 || others;
    if (others && json_object_update_missing(fields, others) != 0)
        ok = trouble_set(trouble, "%s: out of memory", name);
    json_decref(others);
    return ok;
}

static bool read_fields(const container *container, size_t index, document *document, trouble *trouble) {
    const char *name = container->file->name;
    json_t *fields = json_object();
    if (!fields)
        return trouble_set(trouble, "%s: out of memory", name);
    if (read_member(container, STORED_ID, index, fields, trouble) &&
        read_member(container, STORED_TEXT, index, fields, trouble) && read_others(container, index, fields, trouble))
        return record_take_fields(name, document, fields, trouble);
    json_decref(fields);
    return false;
}

/* "id" or "text", *string NULL where there is none; false for what is not right. */
static bool find_string(const container *container, int stored, size_t index, const char **string, size_t *n_bytes) {
    const tensor *valid = container->parts[stored][PART_VALID];
    trouble ignored;
    bool exists = container->parts[stored][PART_VALUES] != NULL;
    *string = NULL;
    if (exists && valid && !read_flag(container, valid, index, &exists, &ignored))
        return false;
    return !exists || read_string(container, stored, index, string, n_bytes, &ignored);
}

/* Whether the other fields are plainly right and have neither an id nor a text. */
static bool has_plain_others(container *container, size_t index) {
    const char *string;
    size_t n_bytes;
    trouble ignored;
    buffer *text = &container->scratch;
    if (!container->parts[STORED_FIELDS][PART_VALUES])
        return true;
    if (!read_string(container, STORED_FIELDS, index, &string, &n_bytes, &ignored))
        return false;
    buffer_clear(text);
    buffer_append(text, string, n_bytes); /* with a NUL behind */
    if (text->failed || strstr(text->data, "\"id\"") || strstr(text->data, "\"text\""))
        return false;
    json_scan scan = {.end = text->data + n_bytes};
    return n_bytes == 0 || (*text->data == '{' && json_scan_value(&scan, text->data, 0) == scan.end);
}

/* The id alone, and how long the text is; false where read_fields must look, which says what is wrong. */
static bool read_id(container *container, size_t index, document *document, bool *has_text, size_t *text_size) {
    const char *id, *text;
    size_t n_bytes = 0;
    if (!find_string(container, STORED_ID, index, &id, &n_bytes) ||
        !find_string(container, STORED_TEXT, index, &text, text_size) || !has_plain_others(container, index))
        return false;
    *has_text = text != NULL;
    buffer made = {0};
    if (id)
        buffer_append(&made, id, n_bytes);
    else
        buffer_append_format(&made, "document %zu", index + 1);
    document->name = container->file->name;
    document->id = made.data;
    return !made.failed;
}

/* Value `from` of the tensor into slot `to` of the document's column; NULL: it is only checked. */
static bool read_value(const container *container, int stored, column *column, size_t to, size_t from,
                       trouble *trouble) {
    const tensor *values = container->parts[stored][PART_VALUES], *valid = container->parts[stored][PART_VALID];
    const char *string;
    size_t n_bytes;
    bool flag = true;
    if (valid && !read_flag(container, valid, from, &flag, trouble))
        return false;
    if (column)
        column->valid[to] = flag;
    if (!flag)
        return true;
    switch (container_stored_type(stored)) {
    case COLUMN_REAL:
        if (column)
            memcpy(&column->reals[to], values->data + from * sizeof(float), sizeof(float));
        return true;
    case COLUMN_INTEGER:
        if (column)
            column->integers[to] = read_integer(values, from);
        return true;
    case COLUMN_FLAG:
        if (!read_flag(container, values, from, &flag, trouble))
            return false;
        if (column)
            column->integers[to] = flag;
        return true;
    case COLUMN_STRING:
        if (!read_string(container, stored, from, &string, &n_bytes, trouble))
            return false;
        if (column)
            column->strings[to] = strndup(string, n_bytes);
        return !column || column->strings[to] || trouble_set(trouble, "%s: out of memory", container->file->name);
    }
    return false;
}

static bool are_all_one(const uint8_t *flags, size_t n) {
    uint8_t all = 1;
    for (size_t i = 0; i < n; i++)
        all &= flags[i] == 1;
    return all;
}

/* Numbers none of which is missing, at once. */
static void read_numbers(const tensor *values, column *column, size_t to, size_t from, size_t n) {
    if (column->reals)
        memcpy(&column->reals[to], values->data + from * sizeof(float), n * sizeof(float));
    else if (values->element == ELEMENT_I64)
        memcpy(&column->integers[to], values->data + from * sizeof(int64_t), n * sizeof(int64_t));
    else
        for (size_t i = 0; i < n; i++)
            column->integers[to + i] = read_integer(values, from + i);
}

static bool read_values(const container *container, int stored, column *column, size_t to, size_t from, size_t n,
                        trouble *trouble) {
    const tensor *values = container->parts[stored][PART_VALUES], *valid = container->parts[stored][PART_VALID];
    const column_type type = container_stored_type(stored);
    if ((type == COLUMN_REAL || type == COLUMN_INTEGER) && (!valid || are_all_one(valid->data + from, n))) {
        if (column && n > 0)
            read_numbers(values, column, to, from, n);
        return true;
    }
    for (size_t i = 0; i < n; i++)
        if (!read_value(container, stored, column, to + i, from + i, trouble))
            return false;
    return true;
}

/* How many of a list's values count in this document; *is_present is false where it does not have the column. */
static bool read_layout(const container *container, int stored, size_t index, bool *is_present, size_t *width,
                        trouble *trouble) {
    const tensor *present = container->parts[stored][PART_PRESENT], *widths = container->parts[stored][PART_WIDTH];
    *is_present = true;
    *width = container->widths[stored];
    if (present && !read_flag(container, present, index, is_present, trouble))
        return false;
    int64_t own = widths ? container_i64(widths, index) : (int64_t)*width;
    if (own < 0 || (uint64_t)own > *width)
        return trouble_set(trouble, "%s: tensor \"%s\": item %zu is %" PRId64 ", expected from 0 to %zu",
                           container->file->name, widths->name, index, own, *width);
    *width = (size_t)own;
    return true;
}

static bool read_column(const container *container, int id, size_t index, size_t first, bool is_wanted,
                        document *document, trouble *trouble) {
    bool is_present;
    size_t width, stride = container->widths[id], n = document->n_tokens;
    column *column = is_wanted ? &document->columns[id] : NULL;
    if (!container->parts[id][PART_VALUES])
        return true;
    if (!read_layout(container, id, index, &is_present, &width, trouble))
        return false;
    if (!is_present)
        return true;
    if (is_wanted && !document_add_column(document, (column_id)id, width))
        return trouble_set(trouble, "%s: out of memory", container->file->name);
    if (width == stride)
        return read_values(container, id, column, 0, first * stride, n * width, trouble);
    for (size_t i = 0; i < n; i++)
        if (!read_values(container, id, column, i * width, (first + i) * stride, width, trouble))
            return false;
    return true;
}

static bool read_document(container *container, size_t index, document *document, const record_wanted *wanted,
                          trouble *trouble) {
    size_t from, to, text_size = 0;
    bool has_text = false;
    document_clear(document);
    document->line_number = index + 1;
    if (!read_range(container, container->document_offset, index, container->n_tokens, &from, &to, trouble))
        return false;
    if (wanted->fields || !read_id(container, index, document, &has_text, &text_size)) {
        if (!read_fields(container, index, document, trouble))
            return false;
        has_text = document->text != NULL;
        text_size = document->text_size;
    }
    document->n_tokens = to - from;
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (!read_column(container, id, index, from, record_wants(wanted, (column_id)id), document, trouble))
            return false;
    return record_check_offsets(container->file->name, document, has_text, text_size, trouble);
}

/* The document is a copy of what the mapping holds, whose memory is that of a few documents, not of the file. */
static void release_some(container *container, size_t n_tokens) {
    enum { RELEASE_BYTES = 1 << 25 };
    const size_t n_bytes_each = container->n_tokens > 0 ? container->file->file.n_bytes / container->n_tokens : 0;
    container->n_since += n_tokens;
    if (container->n_since <= RELEASE_BYTES / (n_bytes_each + 1))
        return;
    tensors_release(container->file);
    container->n_since = 0;
}

int container_next(container *container, document *document, const record_wanted *wanted, trouble *trouble) {
    const size_t index = container->next;
    if (index == container->n_documents) {
        document_free(document);
        return 0;
    }
    container->next++;
    bool ok = read_document(container, index, document, wanted->is_written ? &record_everything : wanted, trouble);
    if (ok && !record_has_enough(document, wanted))
        ok = read_document(container, index, document, &record_everything, trouble);
    release_some(container, document->n_tokens);
    return ok ? 1 : -1;
}
