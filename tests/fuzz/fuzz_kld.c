/* llama-perplexity's log-probabilities: every row and token of a file that was accepted lies inside of it. */
#include "fuzz.h"

#include "formats/kld.h"

static void read_row(const kld_file *file, size_t chunk, size_t index) {
    trouble trouble = {""};
    kld_row row;
    int64_t token;
    if (kld_row_at(&row, file, chunk, index, &trouble)) {
        for (size_t i = 0; i < file->n_vocabulary; i++)
            fuzz_require(kld_level(&row, i) <= 65535);
        fuzz_require(row.scale >= 0 && row.error > 0 && row.least <= 1);
    } else {
        fuzz_require(trouble.text[0]);
    }
    if (kld_token_at(&token, file, chunk, index, &trouble))
        fuzz_require(token >= 0 && (size_t)token < file->n_vocabulary);
    else
        fuzz_require(trouble.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    trouble trouble = {""};
    uint8_t *copy = malloc(size + 1); /* of its own size, so that AddressSanitizer guards its end */
    memcpy(copy, data, size);
    uint8_t *exact = realloc(copy, size > 0 ? size : 1);
    kld_file *file = kld_open_memory("fuzz", exact, size, &trouble);
    fuzz_require(file != NULL || trouble.text[0]);
    for (size_t chunk = 0; file != NULL && chunk < file->n_chunks; chunk++)
        for (size_t index = 0; index < file->n_rows; index++)
            read_row(file, chunk, index);
    kld_close(file);
    free(exact);
    return 0;
}
