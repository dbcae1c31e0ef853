/* Records of which only some is wanted: lines and containers, whole and damaged, say the same as when all is. */
#include "harness.h"
#include "random_records.h"
#include "../fuzz/wanted_agrees.h"
#include "formats/container.h"

#include <unistd.h>

/* Not by input_open, which remembers the file: no other may be written in its place. */
static char *read_file(const char *path, size_t *n_bytes) {
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    if (CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0)) {
        *n_bytes = (size_t)ftell(file);
        rewind(file);
        bytes = malloc(*n_bytes);
        CHECK(bytes && fread(bytes, 1, *n_bytes, file) == *n_bytes);
        fclose(file);
    }
    return bytes;
}

/* Documents as a container: its bytes, malloc'd. */
static char *make_container(size_t *n_bytes, size_t n_documents) {
    trouble trouble = {""};
    char path[] = "/tmp/entrol-test-XXXXXX";
    const int fd = mkstemp(path);
    container_writer *writer = container_writer_open(&trouble);
    output *output = output_open(path, &trouble);
    for (size_t i = 0; i < n_documents; i++) {
        document document;
        random_document(&document, test_below(30), 60);
        if (test_below(2))
            json_object_del(document.fields, test_below(2) ? "id" : "text");
        if (test_below(4) == 0) /* no string: it is among the other fields */
            json_object_set_new(document.fields, "id", json_integer(12));
        CHECK_SAY(container_writer_add(writer, &document, &trouble), "%s", trouble.text);
        document_free(&document);
    }
    CHECK_SAY(output && container_writer_finish(writer, output, &trouble), "%s", trouble.text);
    CHECK(output_commit(output, false, &trouble));
    container_writer_close(writer);
    char *bytes = read_file(path, n_bytes);
    unlink(path);
    close(fd);
    return bytes;
}

static records *open_container(const char *bytes, size_t n) {
    trouble trouble = {""};
    tensor_file *file = tensors_open_memory("test", bytes, n, &trouble);
    return file ? records_open_tensors(file, &trouble) : NULL;
}

/* Whether it can be opened. */
static bool check_container(const char *bytes, size_t n, const record_wanted *wanted) {
    const char *wrong = NULL;
    records *some = open_container(bytes, n), *whole = open_container(bytes, n);
    const bool is_open = some && whole;
    if (is_open)
        wanted_agrees(&wrong, some, whole, wanted);
    CHECK_SAY(wrong == NULL, "%s", wrong ? wrong : "");
    records_close(some);
    records_close(whole);
    return is_open;
}

static void test_containers(void) {
    for (int i = 0; i < 20; i++) {
        size_t n;
        char *bytes = make_container(&n, 10);
        for (int j = 0; j < 10; j++)
            CHECK(check_container(bytes, n, random_wanted()));
        free(bytes);
    }
}

static void test_damaged_containers(void) {
    size_t n, n_open = 0;
    for (int i = 0; i < 10; i++) {
        char *bytes = make_container(&n, 6);
        for (int j = 0; j < (is_quick() ? 50 : 1000); j++) {
            const size_t at = test_below(n);
            const char kept = bytes[at];
            bytes[at] = (char)(test_below(2) ? test_below(256) : 2);
            n_open += check_container(bytes, n, random_wanted());
            bytes[at] = kept;
        }
        free(bytes);
    }
    CHECK(n_open > 100);
}

/* A container whose columns are not enough is read whole. */
static void test_least(void) {
    const column_set entropy = COLUMN_BIT(COLUMN_ENTROPY), rank = COLUMN_BIT(COLUMN_RANK);
    const record_wanted wanted = {.columns = rank, .least = {rank, rank}};
    trouble trouble = {""};
    document document = {0};
    size_t n;
    char *bytes = make_container(&n, 30);
    records *records = open_container(bytes, n), *whole = open_container(bytes, n);
    for (int i = 0; i < 30; i++) {
        struct document all = {0};
        CHECK_INT(records_next_wanted(records, &document, &wanted, &trouble), 1);
        CHECK_INT(records_next(whole, &all, &trouble), 1);
        if (!all.columns[COLUMN_RANK].is_present)
            CHECK(document.columns[COLUMN_ENTROPY].is_present == all.columns[COLUMN_ENTROPY].is_present &&
                  document.fields != NULL);
        else
            CHECK(document.columns[COLUMN_RANK].is_present);
        document_free(&all);
    }
    CHECK(!(entropy & rank));
    document_free(&document);
    records_close(records);
    records_close(whole);
    free(bytes);
}

/* Files of lines, some of them broken. */
static void test_lines(void) {
    for (int i = 0; i < (is_quick() ? 50 : 1000); i++) {
        buffer text = {0};
        trouble trouble = {""};
        const char *wrong = NULL;
        for (int j = 0; j < 5; j++) {
            buffer line = {0};
            random_line(&line, test_below(12), 40);
            if (test_below(4) == 0)
                mutate_line(&line);
            buffer_append(&text, line.data, line.size);
            buffer_append_string(&text, test_below(4) ? "\n" : "\r\n \n");
            buffer_free(&line);
        }
        input *inputs[2];
        records *both[2];
        for (int j = 0; j < 2; j++) {
            inputs[j] = input_open_memory("test", text.data, text.size, &trouble);
            both[j] = records_open_input(inputs[j], &trouble);
        }
        if (CHECK(both[0] && both[1]))
            wanted_agrees(&wrong, both[0], both[1], random_wanted());
        CHECK_SAY(wrong == NULL, "%s: %s", wrong ? wrong : "", text.data);
        for (int j = 0; j < 2; j++) {
            records_close(both[j]);
            input_close(inputs[j]);
        }
        buffer_free(&text);
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_containers);
    TEST(test_damaged_containers);
    TEST(test_least);
    TEST(test_lines);
    return test_end();
}
