/* The head of a GGUF file. */
#include "fuzz.h"

#include "formats/gguf.h"

static void visit(void *user, const char *key, const char *value) {
    *(size_t *)user += strlen(key) + strlen(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    trouble trouble = {""};
    gguf_summary summary;
    size_t n = 0;
    input *input = input_open_memory("fuzz", data, size, &trouble);
    if (input)
        fuzz_require(gguf_read(&summary, input, visit, &n, &trouble) || trouble.text[0]);
    input_close(input);
    return 0;
}
