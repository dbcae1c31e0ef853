/* What every fuzz target needs: libFuzzer's entry, a check that ends the run, a copy that AddressSanitizer guards. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts when something that must hold for every input does not. */
static inline void fuzz_require(int holds) {
    if (!holds)
        abort();
}

#endif
