/* Arrays of numbers in files, memory-mapped: what .npy and .safetensors have in common. */
#ifndef CLI_FORMATS_TENSOR_H
#define CLI_FORMATS_TENSOR_H

#include "mapped.h"

#include <stddef.h>
#include <stdint.h>

enum { TENSOR_MAX_DIMENSIONS = 32 };

typedef enum element {
    ELEMENT_F64,
    ELEMENT_F32,
    ELEMENT_F16,
    ELEMENT_BF16,
    ELEMENT_I64,
    ELEMENT_I32,
    ELEMENT_U32,
    ELEMENT_U16,
    ELEMENT_OTHER /* read past, never into */
} element;

/* "f32"; "" for ELEMENT_OTHER. */
const char *element_name(element element);
size_t element_size(element element); /* in bytes; 0 for ELEMENT_OTHER */
bool element_is_real(element element);
bool element_is_integer(element element);

typedef struct tensor {
    char *name;         /* "" in .npy; owned */
    char type_name[24]; /* as the file writes it */
    element element;
    size_t n_dimensions, shape[TENSOR_MAX_DIMENSIONS];
    size_t n_elements;
    const unsigned char *data; /* in the mapping, of any alignment */
    size_t n_bytes;
} tensor;

typedef enum tensor_format { TENSOR_FORMAT_NONE, TENSOR_FORMAT_NPY, TENSOR_FORMAT_SAFETENSORS } tensor_format;

typedef struct tensor_file {
    char *name;
    tensor_format format;
    mapped file;   /* whole */
    char kind[32]; /* safetensors: "format" of its __metadata__, "" where there is none */
    tensor *tensors;
    size_t n_tensors;
} tensor_file;

/* Told by the first bytes: ".npy" by its magic number, ".safetensors" by a header length and a brace. */
tensor_format tensor_detect(const unsigned char *bytes, size_t n_bytes);

/* What is compressed, or no plain file, is unpacked into an unlinked temporary file first. */
tensor_file *tensors_open(const char *path, trouble *trouble);
/* The same of an input at its start, which stays the caller's. */
tensor_file *tensors_open_input(input *input, trouble *trouble);
tensor_file *tensors_open_memory(const char *name, const void *bytes, size_t n_bytes, trouble *trouble);
void tensors_close(tensor_file *file);

/* Gives back the memory of the mapping: what is read again is mapped again. */
void tensors_release(const tensor_file *file);

/* One element of a floating-point array. */
double tensor_real(const tensor *tensor, size_t index);

/* For the readers: room for one more tensor (NULL: out of memory); "(2, 3)" of a shape; and n_elements and n_bytes of a
 * shape, false where they overflow. */
tensor *tensors_add(tensor_file *file, const char *name, trouble *trouble);
void tensor_format_shape(char *text, size_t size, const tensor *tensor);
bool tensor_count(tensor *tensor, size_t bytes_each);

bool npy_read(tensor_file *file, trouble *trouble);
bool safetensors_read(tensor_file *file, trouble *trouble);

#endif
