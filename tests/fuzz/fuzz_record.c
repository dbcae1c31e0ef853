/* Token records: what is read can be written, and what was written reads and writes the same again. */
#include "fuzz.h"

#include "formats/record.h"

/* Writes a document, reads that, and writes it again. */
static void check_round(const document *first) {
    trouble trouble = {""};
    document second = {0};
    buffer text = {0}, again = {0};
    record_write(&text, first);
    fuzz_require(record_parse("fuzz", 1, text.data, text.size - 1, &second, &trouble));
    fuzz_require(second.n_tokens == first->n_tokens || second.n_tokens == 0);
    record_write(&again, &second);
    fuzz_require(again.size == text.size && memcmp(again.data, text.data, text.size) == 0);
    document_free(&second);
    buffer_free(&text);
    buffer_free(&again);
}

static void check_column(document *first) {
    trouble trouble = {""};
    document second = {0};
    buffer text = {0};
    fuzz_require(document_add_column(first, COLUMN_KEEP, 1));
    record_write_with_column(&text, first, COLUMN_KEEP);
    fuzz_require(record_parse("fuzz", 1, text.data, text.size - 1, &second, &trouble));
    fuzz_require(second.n_tokens == first->n_tokens && second.columns[COLUMN_KEEP].is_present);
    document_free(&second);
    buffer_free(&text);
}

static void check_values(const document *document) {
    static const char *const names[] = {"surprisal", "position", "entropy", "rank", "keep", "token", "top_id", "x"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        trouble trouble = {""};
        float *values;
        uint8_t *valid;
        if (document_values(document, names[i], &values, &valid, &trouble)) {
            free(values);
            free(valid);
        } else {
            fuzz_require(trouble.text[0]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    trouble trouble = {""};
    document document = {0};
    input *input = input_open_memory("fuzz", data, size, &trouble);
    while (input && record_read(input, &document, &trouble) == 1) {
        check_values(&document);
        check_round(&document);
        check_column(&document);
    }
    document_free(&document);
    input_close(input);
    return 0;
}
