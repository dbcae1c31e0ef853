/* Logits files: .npy and .safetensors, memory-mapped as matrices of rows.
 *
 * Shape (..., V) in f64, f32, f16 or bf16; leading dimensions are flattened into rows, one document a
 * matrix (the last two dimensions). Little-endian, C order. Headers are capped at 100 MB (safetensors) and 64 KiB
 * (.npy), and every size is checked against the file's. */
#ifndef CLI_FORMATS_LOGITS_H
#define CLI_FORMATS_LOGITS_H

#include "../input.h"

#include <entrol/base.h>

typedef struct logits_file logits_file;

/* One array of a file: .npy has one, .safetensors any number. */
typedef struct logits_array {
    const char *name;   /* the tensor's; "" in .npy */
    size_t n_documents; /* product of all dimensions but the last two */
    size_t n_rows;      /* rows of one document */
    size_t n_columns;
    entrol_dtype dtype;
    const void *data; /* mapped */
} logits_array;

/* Takes an input at its start, also on failure; NULL gives NULL. */
logits_file *logits_open_input(input *input, trouble *trouble);
/* From memory (tests, fuzzing); the bytes must outlive it. */
logits_file *logits_open_memory(const char *name, const void *bytes, size_t n_bytes, trouble *trouble);
void logits_close(logits_file *file);

size_t logits_n_arrays(const logits_file *file);
const logits_array *logits_array_at(const logits_file *file,
                                    size_t index); /* floating-point arrays of one dimension or more */

/* Targets: an integer array (i32, i64, u16, u32) of a .npy or a .safetensors file, malloc'd as int64. `name` picks the
 * tensor; NULL: the only integer array. The number must equal n_rows. */
bool logits_read_targets(const char *path, const char *name, int64_t **targets, size_t n_rows, trouble *trouble);

#endif
