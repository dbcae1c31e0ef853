/* .safetensors: the input is a header without its length, a newline, and the data. */
#include "fuzz.h"
#include "fuzz_tensors.h"

/* With the right length in front, mutations reach the checks behind it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_tensors(data, size);
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    uint64_t header = newline ? (uint64_t)(newline - data) : size;
    uint8_t *file = malloc(size + 8);
    fuzz_require(file != NULL);
    memcpy(file, &header, sizeof header);
    if (size > 0)
        memcpy(file + 8, data, size);
    if (newline) { /* the newline itself is left out */
        memmove(file + 8 + header, file + 8 + header + 1, size - (size_t)header - 1);
        size--;
    }
    fuzz_tensors(file, size + 8);
    free(file);
    return 0;
}
