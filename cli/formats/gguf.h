/* The head of a GGUF file: its metadata and how many tensors it holds. */
#ifndef CLI_FORMATS_GGUF_H
#define CLI_FORMATS_GGUF_H

#include "../input.h"

typedef struct gguf_summary {
    uint32_t version;
    uint64_t n_tensors, n_pairs, n_parameters;
} gguf_summary;

/* One pair of the metadata, both as text; a long string or an array is only described. Neither is safe to print. */
typedef void (*gguf_visit)(void *user, const char *key, const char *value);

/* Reads an input that stands at its start, up to the end of the tensors' descriptions. */
bool gguf_read(gguf_summary *summary, input *input, gguf_visit visit, void *user, trouble *trouble);

#endif
