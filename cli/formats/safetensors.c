/* safetensors: 8 bytes of header length, a JSON object of tensors, then the data, without holes or overlaps. */
#include "tensor.h"
#include "../json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t MAX_HEADER = 100 * 1000 * 1000; /* as in the reference implementation */

/* The element and size of a dtype; sizes of those not computed with are needed for the checks. */
static bool find_dtype(const char *name, element *element, size_t *size) {
    static const struct {
        const char *name;
        enum element element;
        size_t size;
    } known[] = {{"F64", ELEMENT_F64, 8},    {"F32", ELEMENT_F32, 4},       {"F16", ELEMENT_F16, 2},
                 {"BF16", ELEMENT_BF16, 2},  {"I64", ELEMENT_I64, 8},       {"I32", ELEMENT_I32, 4},
                 {"U32", ELEMENT_U32, 4},    {"U16", ELEMENT_U16, 2},       {"U64", ELEMENT_OTHER, 8},
                 {"I16", ELEMENT_OTHER, 2},  {"I8", ELEMENT_OTHER, 1},      {"U8", ELEMENT_OTHER, 1},
                 {"BOOL", ELEMENT_OTHER, 1}, {"F8_E4M3", ELEMENT_OTHER, 1}, {"F8_E5M2", ELEMENT_OTHER, 1}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0) {
            *element = known[i].element;
            *size = known[i].size;
            return true;
        }
    return false;
}

/* A tensor being read, for messages. */
typedef struct place {
    const tensor_file *file;
    const char *name;
    trouble *trouble;
} place;

static bool report(const place *place, const char *expected, const json_t *found) {
    return trouble_set(place->trouble, "%s: tensor \"%.100s\": expected %s, found %s", place->file->name, place->name,
                       expected, json_kind(found));
}

static bool read_shape(const place *place, tensor *tensor, const json_t *shape) {
    if (!json_is_array(shape) || json_array_size(shape) > TENSOR_MAX_DIMENSIONS)
        return report(place, "\"shape\", an array of at most 32 dimensions", shape);
    for (size_t i = 0; i < json_array_size(shape); i++) {
        const json_t *item = json_array_get(shape, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return report(place, "\"shape\" of whole numbers from 0", item);
        tensor->shape[tensor->n_dimensions++] = (size_t)json_integer_value(item);
    }
    return true;
}

static bool read_type(const place *place, tensor *tensor, const json_t *dtype, size_t *size) {
    if (!json_is_string(dtype))
        return report(place, "\"dtype\", a string", dtype);
    snprintf(tensor->type_name, sizeof tensor->type_name, "%s", json_string_value(dtype));
    return find_dtype(json_string_value(dtype), &tensor->element, size) ||
           trouble_set(place->trouble, "%s: tensor \"%.100s\": unknown dtype \"%.40s\"", place->file->name, place->name,
                       json_string_value(dtype));
}

/* Offsets count from the end of the header. */
static bool read_offsets(const place *place, tensor *tensor, const json_t *offsets, const unsigned char *data,
                         size_t n_data) {
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return report(place, "\"data_offsets\", two whole numbers", offsets);
    json_int_t from = json_integer_value(begin), to = json_integer_value(end);
    if (from < 0 || from > to || (uint64_t)to > n_data)
        return trouble_set(place->trouble,
                           "%s: tensor \"%.100s\": data_offsets %lld to %lld lie outside of the %zu bytes of data",
                           place->file->name, place->name, (long long)from, (long long)to, n_data);
    if ((uint64_t)(to - from) != tensor->n_bytes)
        return trouble_set(place->trouble,
                           "%s: tensor \"%.100s\": data_offsets hold %lld bytes, its shape and dtype need %zu",
                           place->file->name, place->name, (long long)(to - from), tensor->n_bytes);
    tensor->data = data + from;
    return true;
}

static bool read_tensor(tensor_file *file, const char *name, const json_t *entry, const unsigned char *data,
                        size_t n_data, trouble *trouble) {
    place place = {file, name, trouble};
    size_t size = 0;
    if (!json_is_object(entry))
        return report(&place, "an object", entry);
    tensor *tensor = tensors_add(file, name, trouble);
    if (!tensor || !read_type(&place, tensor, json_object_get(entry, "dtype"), &size) ||
        !read_shape(&place, tensor, json_object_get(entry, "shape")))
        return false;
    if (!tensor_count(tensor, size))
        return trouble_set(trouble, "%s: tensor \"%.100s\": its shape does not fit in memory", file->name, name);
    return read_offsets(&place, tensor, json_object_get(entry, "data_offsets"), data, n_data);
}

static int by_data(const void *a, const void *b) {
    const tensor *first = *(tensor *const *)a, *second = *(tensor *const *)b;
    if (first->data != second->data)
        return first->data < second->data ? -1 : 1;
    return first->n_bytes < second->n_bytes ? -1 : first->n_bytes > second->n_bytes; /* the empty one first */
}

/* Each tensor must start where the one before it ends, and the last end at the end of the file. */
static bool check_layout(const tensor_file *file, const unsigned char *data, size_t n_data, trouble *trouble) {
    const tensor **sorted = malloc((file->n_tensors + 1) * sizeof *sorted);
    if (!sorted)
        return trouble_set(trouble, "%s: out of memory", file->name);
    for (size_t i = 0; i < file->n_tensors; i++)
        sorted[i] = &file->tensors[i];
    qsort(sorted, file->n_tensors, sizeof *sorted, by_data);
    const unsigned char *expected = data;
    bool ok = true;
    for (size_t i = 0; i < file->n_tensors && ok; i++) {
        if (sorted[i]->data != expected)
            ok = trouble_set(trouble, "%s: tensor \"%.100s\" starts at byte %zu of the data, expected %zu: %s",
                             file->name, sorted[i]->name, (size_t)(sorted[i]->data - data), (size_t)(expected - data),
                             sorted[i]->data > expected ? "a hole" : "an overlap");
        expected = sorted[i]->data + sorted[i]->n_bytes;
    }
    free(sorted);
    if (ok && expected != data + n_data)
        return trouble_set(trouble, "%s: the tensors end at byte %zu of the data, but there are %zu", file->name,
                           (size_t)(expected - data), n_data);
    return ok;
}

bool safetensors_read(tensor_file *file, trouble *trouble) {
    uint64_t header = 0;
    for (int i = 7; i >= 0; i--)
        header = header << 8 | file->file.bytes[i];
    if (header > MAX_HEADER)
        return trouble_set(trouble, "%s: a safetensors header of %llu bytes; at most %llu are allowed", file->name,
                           (unsigned long long)header, (unsigned long long)MAX_HEADER);
    if (header > file->file.n_bytes - 8)
        return trouble_set(trouble, "%s: expected a safetensors header of %llu bytes, found the end after %zu",
                           file->name, (unsigned long long)header, file->file.n_bytes - 8);
    const unsigned char *data = file->file.bytes + 8 + header;
    size_t n_data = file->file.n_bytes - 8 - (size_t)header;
    json_t *root = json_read_object(file->name, 0, (const char *)file->file.bytes + 8, (size_t)header, trouble);
    if (!root)
        return false;
    const char *name, *kind = json_string_value(json_object_get(json_object_get(root, "__metadata__"), "format"));
    json_t *entry;
    bool ok = true;
    snprintf(file->kind, sizeof file->kind, "%s", kind ? kind : "");
    json_object_foreach(root, name, entry) {
        if (ok && strcmp(name, "__metadata__") != 0)
            ok = read_tensor(file, name, entry, data, n_data, trouble);
    }
    json_decref(root);
    return ok && check_layout(file, data, n_data, trouble);
}
