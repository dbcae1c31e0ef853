/* Lists of numbers: what is accepted has a number at least, and none that is NaN. */
#include "fuzz.h"

#include "number_list.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    trouble trouble = {""};
    double *reals;
    uint64_t *counts;
    size_t n;
    char *text = malloc(size + 1);
    fuzz_require(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = 0;
    if (number_list_reals("fuzz", text, &reals, &n, &trouble)) {
        fuzz_require(n > 0 && n <= size);
        for (size_t i = 0; i < n; i++)
            fuzz_require(!isnan(reals[i]));
        free(reals);
    } else {
        fuzz_require(trouble.text[0] != 0);
    }
    if (number_list_counts("fuzz", text, &counts, &n, &trouble)) {
        fuzz_require(n > 0 && n <= size);
        free(counts);
    }
    free(text);
    return 0;
}
