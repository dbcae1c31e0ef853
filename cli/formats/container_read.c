/* Records from a container. Types and shapes are checked when it is opened; offsets, flags and strings when their
 * document is read, so that opening costs nothing. Nothing in the mapping is trusted to be aligned. */
#include "container_parts.h"
#include "record_parts.h"
#include "../json_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct container {
    tensor_file *file;
    const tensor *document_offset;
    const tensor *parts[STORED_COUNT][PART_COUNT]; /* NULL: not there */
    size_t widths[STORED_COUNT];
    size_t n_documents, n_tokens;
    size_t next; /* document */
};

bool container_holds_records(const tensor_file *file) {
    static const char name[] = "entrol-records-";
    return strncmp(file->kind, name, sizeof name - 1) == 0;
}

/* --- What the file has --- */

/* Where a tensor of that name belongs; NULL: nowhere. */
static const tensor **find_place(container *container, const char *name) {
    size_t n = strlen(name);
    if (strcmp(name, "document_offset") == 0)
        return &container->document_offset;
    for (int stored = 0; stored < STORED_COUNT; stored++) {
        size_t n_base = strlen(container_stored_name(stored));
        if (n < n_base || memcmp(name, container_stored_name(stored), n_base) != 0)
            continue;
        for (int part = 0; part < PART_COUNT; part++)
            if (strcmp(name + n_base, container_endings[part]) == 0 && container_has_part(stored, (container_part)part))
                return &container->parts[stored][part];
    }
    return NULL;
}

static bool find_tensors(container *container, trouble *trouble) {
    const tensor_file *file = container->file;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const tensor **place = find_place(container, file->tensors[i].name);
        if (!place)
            return trouble_set(trouble, "%s: tensor \"%.100s\": token records have none of that name", file->name,
                               file->tensors[i].name);
        *place = &file->tensors[i];
    }
    return container->document_offset ||
           trouble_set(trouble, "%s: expected a tensor \"document_offset\", found none", file->name);
}

/* Whether it is of this type ("I32" stands for I64 too where `or_wider`) and shape. */
static bool expect(const container *container, const tensor *found, const char *type, bool or_wider,
                   size_t n_dimensions, size_t first, size_t second, trouble *trouble) {
    char shape[256], wanted_shape[256];
    tensor wanted = {.n_dimensions = n_dimensions, .shape = {first, second}};
    bool same_type = strcmp(found->type_name, type) == 0 || (or_wider && strcmp(found->type_name, "I64") == 0);
    if (same_type && found->n_dimensions == n_dimensions && found->shape[0] == first &&
        (n_dimensions < 2 || found->shape[1] == second))
        return true;
    tensor_format_shape(shape, sizeof shape, found);
    tensor_format_shape(wanted_shape, sizeof wanted_shape, &wanted);
    return trouble_set(trouble, "%s: tensor \"%.100s\": expected %s%s of shape %s, found %s of shape %s",
                       container->file->name, found->name, type, or_wider ? " or I64" : "", wanted_shape,
                       found->type_name, shape);
}

static int64_t read_i64(const tensor *tensor, size_t index) {
    int64_t value;
    memcpy(&value, tensor->data + index * sizeof value, sizeof value);
    return value;
}

/* An integer of a column: I32 or I64. */
static int64_t read_integer(const tensor *tensor, size_t index) {
    if (tensor->element == ELEMENT_I64)
        return read_i64(tensor, index);
    int32_t value;
    memcpy(&value, tensor->data + index * sizeof value, sizeof value);
    return value;
}

/* The documents and tokens. A token has a byte somewhere, so that more tokens than bytes are a lie. */
static bool check_documents(container *container, trouble *trouble) {
    const tensor *offset = container->document_offset;
    size_t n = offset->n_dimensions == 1 ? offset->shape[0] : 0;
    if (!expect(container, offset, "I64", false, 1, n > 0 ? n : 1, 0, trouble))
        return false;
    int64_t first = read_i64(offset, 0), last = read_i64(offset, n - 1);
    if (first != 0 || last < 0 || (uint64_t)last > container->file->n_bytes)
        return trouble_set(trouble, "%s: tensor \"document_offset\" goes from %" PRId64 " to %" PRId64 " tokens",
                           container->file->name, first, last);
    container->n_documents = n - 1;
    container->n_tokens = (size_t)last;
    return true;
}

/* How many values a token has in a list column. */
static bool find_width(container *container, int stored, trouble *trouble) {
    const tensor *values = container->parts[stored][PART_VALUES], *offset = container->parts[stored][PART_OFFSET];
    size_t width = 1;
    if (container_stored_is_list(stored) && !offset)
        width = values->n_dimensions == 2 ? values->shape[1] : 1;
    else if (container_stored_is_list(stored) && container->n_tokens > 0)
        width = (offset->n_elements > 0 ? offset->n_elements - 1 : 0) / container->n_tokens;
    container->widths[stored] = width;
    if (width >= 1 && width <= RECORD_MAX_WIDTH)
        return true;
    return trouble_set(trouble, "%s: tensor \"%s\" has %zu values a token; expected from 1 to %d",
                       container->file->name, values->name, width, RECORD_MAX_WIDTH);
}

static bool check_strings(const container *container, int stored, size_t n, trouble *trouble) {
    const tensor *bytes = container->parts[stored][PART_VALUES], *offset = container->parts[stored][PART_OFFSET];
    if (!expect(container, bytes, "U8", false, 1, bytes->n_elements, 0, trouble) ||
        !expect(container, offset, "I64", false, 1, n * container->widths[stored] + 1, 0, trouble))
        return false;
    int64_t first = read_i64(offset, 0), last = read_i64(offset, offset->n_elements - 1);
    return (first == 0 && last >= 0 && (uint64_t)last == bytes->n_elements) ||
           trouble_set(trouble, "%s: tensor \"%s\" goes from %" PRId64 " to %" PRId64 ", expected from 0 to %zu",
                       container->file->name, offset->name, first, last, bytes->n_elements);
}

static bool check_values(const container *container, int stored, size_t n, trouble *trouble) {
    static const char *const types[] = {
        [COLUMN_REAL] = "F32", [COLUMN_INTEGER] = "I32", [COLUMN_STRING] = "U8", [COLUMN_FLAG] = "U8"};
    column_type type = container_stored_type(stored);
    size_t n_dimensions = container_stored_is_list(stored) ? 2 : 1;
    if (type == COLUMN_STRING)
        return check_strings(container, stored, n, trouble);
    return expect(container, container->parts[stored][PART_VALUES], types[type], type == COLUMN_INTEGER, n_dimensions,
                  n, container->widths[stored], trouble);
}

static bool check_stored(container *container, int stored, trouble *trouble) {
    const tensor **parts = container->parts[stored];
    const char *name = container_stored_name(stored);
    size_t n = stored < COLUMN_COUNT ? container->n_tokens : container->n_documents;
    for (int part = 0; part < PART_COUNT; part++)
        if (parts[part] && !parts[PART_VALUES])
            return trouble_set(trouble, "%s: there is a tensor \"%s\", but no \"%s\"", container->file->name,
                               parts[part]->name, name);
    if (!parts[PART_VALUES])
        return true;
    if (container_has_part(stored, PART_OFFSET) && !parts[PART_OFFSET])
        return trouble_set(trouble, "%s: there is a tensor \"%s\", but no \"%s_offset\"", container->file->name, name,
                           name);
    if (!find_width(container, stored, trouble) || !check_values(container, stored, n, trouble))
        return false;
    size_t n_dimensions = container_stored_is_list(stored) ? 2 : 1;
    if (parts[PART_VALID] &&
        !expect(container, parts[PART_VALID], "U8", false, n_dimensions, n, container->widths[stored], trouble))
        return false;
    if (parts[PART_PRESENT] &&
        !expect(container, parts[PART_PRESENT], "U8", false, 1, container->n_documents, 0, trouble))
        return false;
    return !parts[PART_WIDTH] ||
           expect(container, parts[PART_WIDTH], "I64", false, 1, container->n_documents, 0, trouble);
}

static bool check(container *container, trouble *trouble) {
    const char *name = container->file->name;
    bool has_column = false;
    if (!container_holds_records(container->file))
        return trouble_set(trouble, "%s: expected token records, found arrays (entrol score reads logits)", name);
    if (strcmp(container->file->kind, CONTAINER_FORMAT) != 0)
        return trouble_set(trouble, "%s: expected the format %s, found %s: a later version of entrol wrote it", name,
                           CONTAINER_FORMAT, container->file->kind);
    if (!find_tensors(container, trouble) || !check_documents(container, trouble))
        return false;
    for (int stored = 0; stored < STORED_COUNT; stored++) {
        if (!check_stored(container, stored, trouble))
            return false;
        has_column |= stored < COLUMN_COUNT && container->parts[stored][PART_VALUES];
    }
    return has_column || container->n_tokens == 0 ||
           trouble_set(trouble, "%s: \"document_offset\" ends at %zu tokens, but there are no columns", name,
                       container->n_tokens);
}

container *container_open(tensor_file *file, trouble *trouble) {
    container *made = calloc(1, sizeof *made);
    if (!made) {
        trouble_set(trouble, "%s: out of memory", file->name);
        tensors_close(file);
        return NULL;
    }
    made->file = file;
    if (check(made, trouble))
        return made;
    container_close(made);
    return NULL;
}

void container_close(container *container) {
    if (!container)
        return;
    tensors_close(container->file);
    free(container);
}

void container_rewind(container *container) {
    container->next = 0;
}

/* --- One document --- */

/* Item `index` of an offset tensor, as a range of what it counts. */
static bool read_range(const container *container, const tensor *offset, size_t index, size_t limit, size_t *from,
                       size_t *to, trouble *trouble) {
    int64_t start = read_i64(offset, index), end = read_i64(offset, index + 1);
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

/* Value `from` of the tensor into slot `to` of the document's column. */
static bool read_value(const container *container, int stored, column *column, size_t to, size_t from,
                       trouble *trouble) {
    const tensor *values = container->parts[stored][PART_VALUES], *valid = container->parts[stored][PART_VALID];
    const char *string;
    size_t n_bytes;
    bool flag = true;
    if (valid && !read_flag(container, valid, from, &flag, trouble))
        return false;
    column->valid[to] = flag;
    if (!flag)
        return true;
    switch (container_stored_type(stored)) {
    case COLUMN_REAL:
        memcpy(&column->reals[to], values->data + from * sizeof(float), sizeof(float));
        return true;
    case COLUMN_INTEGER:
        column->integers[to] = read_integer(values, from);
        return true;
    case COLUMN_FLAG:
        if (!read_flag(container, values, from, &flag, trouble))
            return false;
        column->integers[to] = flag;
        return true;
    case COLUMN_STRING:
        if (!read_string(container, stored, from, &string, &n_bytes, trouble))
            return false;
        column->strings[to] = strndup(string, n_bytes);
        return column->strings[to] || trouble_set(trouble, "%s: out of memory", container->file->name);
    }
    return false;
}

/* How many of a list's values count in this document; *is_present is false where it does not have the column. */
static bool read_layout(const container *container, int stored, size_t index, bool *is_present, size_t *width,
                        trouble *trouble) {
    const tensor *present = container->parts[stored][PART_PRESENT], *widths = container->parts[stored][PART_WIDTH];
    *is_present = true;
    *width = container->widths[stored];
    if (present && !read_flag(container, present, index, is_present, trouble))
        return false;
    int64_t own = widths ? read_i64(widths, index) : (int64_t)*width;
    if (own < 0 || (uint64_t)own > *width)
        return trouble_set(trouble, "%s: tensor \"%s\": item %zu is %" PRId64 ", expected from 0 to %zu",
                           container->file->name, widths->name, index, own, *width);
    *width = (size_t)own;
    return true;
}

static bool read_column(const container *container, int id, size_t index, size_t first, document *document,
                        trouble *trouble) {
    bool is_present;
    size_t width, stride = container->widths[id];
    if (!container->parts[id][PART_VALUES])
        return true;
    if (!read_layout(container, id, index, &is_present, &width, trouble))
        return false;
    if (!is_present)
        return true;
    if (!document_add_column(document, (column_id)id, width))
        return trouble_set(trouble, "%s: out of memory", container->file->name);
    for (size_t i = 0; i < document->n_tokens; i++)
        for (size_t j = 0; j < width; j++)
            if (!read_value(container, id, &document->columns[id], i * width + j, (first + i) * stride + j, trouble))
                return false;
    return true;
}

int container_next(container *container, document *document, trouble *trouble) {
    size_t index = container->next, from, to;
    document_clear(document);
    if (index == container->n_documents)
        return 0;
    container->next++;
    document->line_number = index + 1;
    if (!read_range(container, container->document_offset, index, container->n_tokens, &from, &to, trouble) ||
        !read_fields(container, index, document, trouble))
        return -1;
    document->n_tokens = to - from;
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (!read_column(container, id, index, from, document, trouble))
            return -1;
    return record_check_offsets(container->file->name, document, document->text != NULL, document->text_size, trouble)
               ? 1
               : -1;
}
