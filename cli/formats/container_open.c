/* Opening a container: its tensors, their types and shapes, which are all checked here. */
#include "container_parts.h"
#include "record_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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

/* The documents and tokens. A token has a byte somewhere, so that more tokens than bytes are a lie. */
static bool check_documents(container *container, trouble *trouble) {
    const tensor *offset = container->document_offset;
    size_t n = offset->n_dimensions == 1 ? offset->shape[0] : 0;
    if (!expect(container, offset, "I64", false, 1, n > 0 ? n : 1, 0, trouble))
        return false;
    int64_t first = container_i64(offset, 0), last = container_i64(offset, n - 1);
    if (first != 0 || last < 0 || (uint64_t)last > container->file->file.n_bytes)
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
    int64_t first = container_i64(offset, 0), last = container_i64(offset, offset->n_elements - 1);
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
    buffer_free(&container->scratch);
    free(container);
}

void container_rewind(container *container) {
    container->next = 0;
}
