/* Records in a container: the input is a header without its length, a newline, and the data. */
#include "fuzz.h"

#include "wanted_agrees.h"

/* What is read can be written as a line, and that reads the same again. */
static void check_line(const document *document) {
    trouble trouble = {""};
    struct document again = {0};
    buffer line = {0};
    record_write(&line, document);
    fuzz_require(record_parse("fuzz", 1, line.data, line.size - 1, &again, &trouble));
    for (int id = 0; id < COLUMN_COUNT; id++)
        fuzz_require(again.columns[id].is_present == document->columns[id].is_present);
    document_free(&again);
    buffer_free(&line);
}

static void read_all(const uint8_t *data, size_t size) {
    trouble trouble = {""};
    document document = {0};
    uint8_t *copy = malloc(size ? size : 1); /* exactly as large, so that a byte more is an error */
    fuzz_require(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    tensor_file *file = tensors_open_memory("fuzz", copy, size, &trouble);
    records *records = file ? records_open_tensors(file, &trouble) : NULL;
    fuzz_require(records || trouble.text[0]);
    int more = 0, n_read = 0;
    while (records && n_read < 1000 && (more = records_next(records, &document, &trouble)) == 1) {
        check_line(&document);
        n_read++;
    }
    fuzz_require(more >= 0 || trouble.text[0]);
    document_free(&document);
    records_close(records);
    free(copy);
}

static void read_some(const uint8_t *data, size_t size) {
    const record_wanted wanted[] = {{.columns = COLUMN_BIT(COLUMN_ENTROPY)}, {.columns = 0, .is_written = true}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        trouble trouble = {""};
        const char *wrong = NULL;
        records *both[2] = {NULL, NULL};
        for (int j = 0; j < 2; j++) {
            tensor_file *file = tensors_open_memory("fuzz", data, size, &trouble);
            both[j] = file ? records_open_tensors(file, &trouble) : NULL;
        }
        fuzz_require(!both[0] == !both[1]);
        if (both[0])
            wanted_agrees(&wrong, both[0], both[1], &wanted[i]);
        fuzz_require(!wrong);
        records_close(both[0]);
        records_close(both[1]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    uint64_t header = newline ? (uint64_t)(newline - data) : size;
    uint8_t *file = malloc(size + 8);
    fuzz_require(file != NULL);
    memcpy(file, &header, sizeof header); /* with the right length in front, mutations reach the checks behind it */
    if (size > 0)
        memcpy(file + 8, data, size);
    if (newline) { /* the newline itself is left out */
        memmove(file + 8 + header, file + 8 + header + 1, size - (size_t)header - 1);
        size--;
    }
    read_all(file, size + 8);
    read_some(file, size + 8);
    free(file);
    return 0;
}
