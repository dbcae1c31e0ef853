/* Opens bytes as arrays and touches every byte of what is accepted. */
#ifndef FUZZ_TENSORS_H
#define FUZZ_TENSORS_H

#include "fuzz.h"

#include "formats/logits.h"

static inline void fuzz_tensors(const uint8_t *data, size_t size) {
    trouble trouble = {""};
    uint8_t *copy = malloc(size ? size : 1); /* exactly as large, so that a byte more is an error */
    fuzz_require(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    logits_file *file = logits_open_memory("fuzz", copy, size, &trouble);
    fuzz_require(file || trouble.text[0]);
    volatile uint8_t sum = 0;
    for (size_t i = 0; file && i < logits_n_arrays(file); i++) {
        const logits_array *array = logits_array_at(file, i);
        const size_t n = array->n_documents * array->n_rows * array->n_columns * entrol_dtype_size(array->dtype);
        fuzz_require(n > 0 && n <= size);
        for (size_t j = 0; j < n; j++)
            sum = (uint8_t)(sum + ((const uint8_t *)array->data)[j]);
    }
    logits_close(file);
    free(copy);
}

#endif
