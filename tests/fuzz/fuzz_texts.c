/* Texts: the first byte chooses the options; what comes out is UTF-8 without NUL, or a conversation. */
#include "fuzz.h"

#include "formats/texts.h"

static void check_document(const text_document *document, const text_options *options) {
    if (document->recorded != NULL || options->of_records) {
        fuzz_require(document->fields ? !document->text && !document->messages : document->text != NULL);
        return;
    }
    fuzz_require((document->text != NULL) != (document->messages != NULL));
    if (!document->text)
        return;
    fuzz_require(document->context_size <= document->text_size);
    fuzz_require(strlen(document->text) == document->text_size);
    fuzz_require(utf8_valid(document->text, document->text_size, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    text_options options = {.field = data[0] & 4 ? "x" : NULL,
                            .plain = data[0] & 2,
                            .skip_bad = data[0] & 1,
                            .recorded = data[0] & 24,
                            .of_records = data[0] & 16};
    trouble trouble = {""};
    text_document document = {0};
    bool is_recorded;
    input *input = input_open_memory("fuzz", data + 1, size - 1, &trouble);
    texts *texts = texts_open_input(input, &options, &trouble);
    int status = texts ? 1 : -1;
    if (texts && data[0] & 32)
        texts_look(texts, &is_recorded);
    while (status == 1) {
        status = texts_next(texts, &document, &trouble);
        if (status == 1)
            check_document(&document, &options);
    }
    fuzz_require(status == 0 || trouble.text[0]);
    text_document_free(&document);
    texts_close(texts);
    if (options.of_records)
        input_close(input);
    return 0;
}
