/* Manifests: what is accepted can be shown, in lines of UTF-8 that do nothing to a terminal. */
#include "fuzz.h"

#include "formats/manifest.h"
#include "inspect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    trouble trouble = {""};
    buffer text = {0};
    input *input = input_open_memory("fuzz", data, size, &trouble);
    bool ok = input && inspect_manifest(&text, input, &trouble);
    fuzz_require(ok ? !text.failed : trouble.text[0] != 0);
    fuzz_require(text.size == 0 || utf8_valid(text.data, text.size, NULL));
    for (size_t i = 0; i < text.size; i++)
        fuzz_require((unsigned char)text.data[i] >= ' ' || text.data[i] == '\n');
    buffer_free(&text);
    input_close(input);
    return 0;
}
