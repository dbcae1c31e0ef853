/* The floating-point arrays of a file as rows of logits, and integer arrays as targets. */
#include "logits.h"
#include "container.h"
#include "tensor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct logits_file {
    tensor_file *tensors;
    logits_array *arrays;
    size_t n_arrays;
};

static entrol_dtype dtype_of(element element) {
    switch (element) {
    case ELEMENT_F64:
        return ENTROL_F64;
    case ELEMENT_F16:
        return ENTROL_F16;
    case ELEMENT_BF16:
        return ENTROL_BF16;
    default:
        return ENTROL_F32;
    }
}

/* The last dimension is the vocabulary, the one before it the rows of a document. */
static logits_array array_of(const tensor *tensor) {
    size_t n = tensor->n_dimensions;
    logits_array array = {.name = tensor->name, .n_documents = 1, .n_rows = 1, .data = tensor->data};
    array.dtype = dtype_of(tensor->element);
    array.n_columns = tensor->shape[n - 1];
    if (n > 1)
        array.n_rows = tensor->shape[n - 2];
    for (size_t i = 0; i + 2 < n; i++)
        array.n_documents *= tensor->shape[i];
    return array;
}

static bool collect(logits_file *file, trouble *trouble) {
    const tensor_file *tensors = file->tensors;
    if (container_holds_records(tensors))
        return trouble_set(trouble, "%s: expected logits, found token records", tensors->name);
    file->arrays = malloc((tensors->n_tensors + 1) * sizeof *file->arrays);
    if (!file->arrays)
        return trouble_set(trouble, "%s: out of memory", tensors->name);
    for (size_t i = 0; i < tensors->n_tensors; i++) {
        const tensor *tensor = &tensors->tensors[i];
        if (!element_is_real(tensor->element) || tensor->n_dimensions == 0)
            continue;
        if (tensor->n_elements == 0) {
            char shape[256];
            tensor_format_shape(shape, sizeof shape, tensor);
            return trouble_set(trouble, "%s: expected rows of logits, found the empty shape %s", tensors->name, shape);
        }
        file->arrays[file->n_arrays++] = array_of(tensor);
    }
    if (file->n_arrays > 0)
        return true;
    const tensor *first = tensors->n_tensors > 0 ? &tensors->tensors[0] : NULL;
    return trouble_set(trouble, "%s: expected a floating-point array of one dimension or more, found %s%s",
                       tensors->name, first ? "only " : "none", first ? first->type_name : "");
}

static logits_file *make(tensor_file *tensors, trouble *trouble) {
    if (!tensors)
        return NULL;
    logits_file *made = calloc(1, sizeof *made);
    if (!made) {
        tensors_close(tensors);
        trouble_set(trouble, "out of memory");
        return NULL;
    }
    made->tensors = tensors;
    if (collect(made, trouble))
        return made;
    logits_close(made);
    return NULL;
}

logits_file *logits_open_input(input *input, trouble *trouble) {
    tensor_file *tensors = input ? tensors_open_input(input, trouble) : NULL;
    input_close(input);
    return make(tensors, trouble);
}

logits_file *logits_open_memory(const char *name, const void *bytes, size_t n_bytes, trouble *trouble) {
    return make(tensors_open_memory(name, bytes, n_bytes, trouble), trouble);
}

void logits_close(logits_file *file) {
    if (!file)
        return;
    tensors_close(file->tensors);
    free(file->arrays);
    free(file);
}

size_t logits_n_arrays(const logits_file *file) {
    return file->n_arrays;
}

const logits_array *logits_array_at(const logits_file *file, size_t index) {
    return &file->arrays[index];
}

/* The integer array of that name, or the only one. */
static const tensor *find_targets(const tensor_file *file, const char *name, trouble *trouble) {
    const tensor *found = NULL;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const tensor *tensor = &file->tensors[i];
        if (!element_is_integer(tensor->element) || (name && strcmp(tensor->name, name) != 0))
            continue;
        if (found) {
            trouble_set(trouble, "%s: expected one integer array, found \"%.100s\" and \"%.100s\"; name one",
                        file->name, found->name, tensor->name);
            return NULL;
        }
        found = tensor;
    }
    if (!found && name)
        trouble_set(trouble, "%s: no integer array (i32, i64, u16, u32) \"%.100s\"", file->name, name);
    else if (!found)
        trouble_set(trouble, "%s: expected an integer array (i32, i64, u16, u32), found %s", file->name,
                    file->n_tensors == 1 ? element_name(file->tensors[0].element) : "none");
    return found;
}

/* One element, of any alignment. The files are little-endian, and so is every machine this builds for. */
static int64_t read_target(const tensor *tensor, size_t index) {
    const unsigned char *at = tensor->data + index * element_size(tensor->element);
    int64_t i64;
    int32_t i32;
    uint32_t u32;
    uint16_t u16;
    switch (tensor->element) {
    case ELEMENT_I64:
        memcpy(&i64, at, sizeof i64);
        return i64;
    case ELEMENT_I32:
        memcpy(&i32, at, sizeof i32);
        return i32;
    case ELEMENT_U32:
        memcpy(&u32, at, sizeof u32);
        return u32;
    default:
        memcpy(&u16, at, sizeof u16);
        return u16;
    }
}

bool logits_read_targets(const char *path, const char *name, int64_t **targets, size_t n_rows, trouble *trouble) {
    tensor_file *file = tensors_open(path, trouble);
    const tensor *tensor = file ? find_targets(file, name, trouble) : NULL;
    bool ok = tensor != NULL;
    if (ok && tensor->n_elements != n_rows)
        ok = trouble_set(trouble, "%s: expected one target for each of %zu rows, found %zu", path, n_rows,
                         tensor->n_elements);
    int64_t *values = ok ? malloc((n_rows + 1) * sizeof *values) : NULL;
    if (ok && !values)
        ok = trouble_set(trouble, "%s: out of memory", path);
    for (size_t i = 0; ok && i < n_rows; i++)
        values[i] = read_target(tensor, i);
    tensors_close(file);
    if (ok)
        *targets = values;
    return ok;
}
