/* Class probabilities, as an .npy array or a line: what is taken for them is a distribution. */
#include "fuzz.h"

#include "formats/class_rows.h"
#include "select/select.h"

#include <math.h>

static entrol_context *context;

static void check_document(const records *records, const document *document) {
    class_statistics statistics;
    trouble trouble = {""};
    bool has = false;
    if (!class_statistics_read(&statistics, &has, context, records, document, &trouble)) {
        fuzz_require(trouble.text[0] != 0);
        return;
    }
    if (!has)
        return;
    fuzz_require(statistics.entropy >= 0 && statistics.top_prob > 0 && statistics.top_prob <= 1.002);
    fuzz_require(statistics.margin >= 0 && !(statistics.bald < 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    if (!context)
        fuzz_require(entrol_context_create(&context, &options) == ENTROL_OK);
    trouble trouble = {""};
    uint8_t *copy = malloc(size ? size : 1); /* exactly as large, so that a byte more is an error */
    fuzz_require(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    input *input = input_open_memory("fuzz", copy, size, &trouble);
    records *records = input ? records_open_input(input, &trouble) : NULL;
    document document = {0};
    int more = 0;
    for (int i = 0; records && i < 50 && (more = records_next(records, &document, &trouble)) == 1; i++)
        check_document(records, &document);
    fuzz_require(more >= 0 || trouble.text[0] != 0);
    document_free(&document);
    records_close(records);
    input_close(input);
    free(copy);
    return 0;
}
