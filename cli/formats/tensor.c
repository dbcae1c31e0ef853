/* Opening, telling apart and closing files of arrays. */
#include "tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const struct {
    const char *name;
    size_t size;
} elements[] = {
    [ELEMENT_F64] = {"f64", 8},   [ELEMENT_F32] = {"f32", 4}, [ELEMENT_F16] = {"f16", 2},
    [ELEMENT_BF16] = {"bf16", 2}, [ELEMENT_I64] = {"i64", 8}, [ELEMENT_I32] = {"i32", 4},
    [ELEMENT_U32] = {"u32", 4},   [ELEMENT_U16] = {"u16", 2}, [ELEMENT_OTHER] = {"", 0},
};

const char *element_name(element element) {
    return elements[element].name;
}

size_t element_size(element element) {
    return elements[element].size;
}

bool element_is_real(element element) {
    return element <= ELEMENT_BF16;
}

bool element_is_integer(element element) {
    return element >= ELEMENT_I64 && element <= ELEMENT_U16;
}

tensor *tensors_add(tensor_file *file, const char *name, trouble *trouble) {
    /* Doubles at every power of two. */
    if ((file->n_tensors & (file->n_tensors - 1)) == 0) {
        size_t room = file->n_tensors ? 2 * file->n_tensors : 1;
        tensor *grown = realloc(file->tensors, room * sizeof *grown);
        if (grown)
            file->tensors = grown;
        else
            name = NULL;
    }
    char *copy = name ? strdup(name) : NULL;
    if (!copy) {
        trouble_set(trouble, "%s: out of memory", file->name);
        return NULL;
    }
    tensor *added = &file->tensors[file->n_tensors++];
    memset(added, 0, sizeof *added);
    added->name = copy;
    return added;
}

bool tensor_count(tensor *tensor, size_t bytes_each) {
    tensor->n_elements = 1;
    for (size_t i = 0; i < tensor->n_dimensions; i++)
        if (__builtin_mul_overflow(tensor->n_elements, tensor->shape[i], &tensor->n_elements))
            return false;
    return !__builtin_mul_overflow(tensor->n_elements, bytes_each, &tensor->n_bytes);
}

void tensor_format_shape(char *text, size_t size, const tensor *tensor) {
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < tensor->n_dimensions && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%zu", i ? ", " : "(", tensor->shape[i]);
    if (used < size)
        snprintf(text + used, size - used, "%s", tensor->n_dimensions == 0 ? "()" : ")");
}

static uint64_t little_endian_64(const unsigned char *bytes) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

tensor_format tensor_detect(const unsigned char *bytes, size_t n_bytes) {
    if (n_bytes >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0)
        return TENSOR_FORMAT_NPY;
    /* The upper half of a header length that anyone could mean is 0; a text has no such bytes. A header of 2^60 bytes
     * is a safetensors file with something wrong, too. */
    if (n_bytes >= 9 && bytes[8] == '{' && (bytes[4] == 0 || little_endian_64(bytes) % (1 << 20) == 0))
        return TENSOR_FORMAT_SAFETENSORS;
    return TENSOR_FORMAT_NONE;
}

void tensors_close(tensor_file *file) {
    if (!file)
        return;
    for (size_t i = 0; i < file->n_tensors; i++)
        free(file->tensors[i].name);
    free(file->tensors);
    mapped_close(&file->file);
    free(file->name);
    free(file);
}

static tensor_file *file_new(const char *name, trouble *trouble) {
    tensor_file *made = calloc(1, sizeof *made);
    if (made)
        made->name = strdup(name);
    if (made && made->name)
        return made;
    tensors_close(made);
    trouble_set(trouble, "%s: out of memory", name);
    return NULL;
}

static bool read_tensors(tensor_file *file, trouble *trouble) {
    file->format = tensor_detect(file->file.bytes, file->file.n_bytes);
    if (file->format == TENSOR_FORMAT_NPY)
        return npy_read(file, trouble);
    if (file->format == TENSOR_FORMAT_SAFETENSORS)
        return safetensors_read(file, trouble);
    if (file->file.n_bytes == 0)
        return trouble_set(trouble, "%s: expected .npy or .safetensors, found an empty file", file->name);
    bool is_zip = file->file.n_bytes >= 4 && memcmp(file->file.bytes, "PK\x03\x04", 4) == 0;
    return trouble_set(trouble, "%s: expected .npy or .safetensors, found %s", file->name,
                       is_zip ? "a zip archive (.npz and PyTorch files are): save the array with numpy.save"
                              : "something else");
}

tensor_file *tensors_open_memory(const char *name, const void *bytes, size_t n_bytes, trouble *trouble) {
    tensor_file *made = file_new(name, trouble);
    if (!made)
        return NULL;
    made->file = (mapped){bytes, n_bytes, NULL};
    if (read_tensors(made, trouble))
        return made;
    tensors_close(made);
    return NULL;
}

tensor_file *tensors_open_input(input *input, trouble *trouble) {
    tensor_file *made = file_new(input_name(input), trouble);
    if (made && mapped_open(&made->file, input, trouble) && read_tensors(made, trouble))
        return made;
    tensors_close(made);
    return NULL;
}

void tensors_release(const tensor_file *file) {
    if (file->file.mapping)
        (void)madvise(file->file.mapping, file->file.n_bytes, MADV_DONTNEED); /* advice: to fail is no harm */
}

tensor_file *tensors_open(const char *path, trouble *trouble) {
    input *input = input_open(path, trouble);
    tensor_file *made = input ? tensors_open_input(input, trouble) : NULL;
    input_close(input);
    return made;
}

/* IEEE 754's 16 bits: sign, 5 of exponent, 10 of fraction. */
static double real_of_half(uint16_t half) {
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const double size = exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                                       : ldexp(exponent ? 1024 + fraction : fraction, (exponent ? exponent : 1) - 25);
    return half >> 15 ? -size : size;
}

double tensor_real(const tensor *tensor, size_t index) {
    const unsigned char *at = tensor->data + index * element_size(tensor->element);
    double f64;
    float f32;
    uint16_t half;
    uint32_t bits;
    switch (tensor->element) {
    case ELEMENT_F64:
        memcpy(&f64, at, sizeof f64);
        return f64;
    case ELEMENT_F32:
        memcpy(&f32, at, sizeof f32);
        return (double)f32;
    default:
        memcpy(&half, at, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&f32, &bits, sizeof f32);
        return tensor->element == ELEMENT_BF16 ? (double)f32 : real_of_half(half);
    }
}
