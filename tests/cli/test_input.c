/* Input and output: lines, gzip and zstd in pieces, caps, files that appear whole or not at all. */
#include "harness.h"
#include "buffer.h"
#include "input.h"
#include "output.h"
#include "suggest.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static char folder[] = "/tmp/entrol-test-XXXXXX";

static const char *path_of(const char *name) {
    static char paths[4][256];
    static int next;
    next = (next + 1) % 4;
    snprintf(paths[next], sizeof paths[0], "%s/%s", folder, name);
    return paths[next];
}

static void write_file(const char *path, const void *bytes, size_t n) {
    FILE *file = fopen(path, "wb");
    if (CHECK(file != NULL)) {
        CHECK_INT(fwrite(bytes, 1, n, file), n);
        fclose(file);
    }
}

static bool file_is(const char *path, const char *expected) {
    char text[256] = "";
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    return n == strlen(expected) && memcmp(text, expected, n) == 0;
}

/* One gzip member, by zlib itself. */
static void append_gzip(buffer *out, const void *bytes, size_t n) {
    unsigned char *room = malloc(n + 1024);
    z_stream stream = {0};
    CHECK_INT(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)bytes;
    stream.avail_in = (uInt)n;
    stream.next_out = room;
    stream.avail_out = (uInt)n + 1024;
    CHECK_INT(deflate(&stream, Z_FINISH), Z_STREAM_END);
    buffer_append(out, room, n + 1024 - stream.avail_out);
    deflateEnd(&stream);
    free(room);
}

static void append_zstd(buffer *out, const void *bytes, size_t n) {
    size_t room = ZSTD_compressBound(n);
    void *frame = malloc(room);
    size_t size = ZSTD_compress(frame, room, bytes, n, 3);
    CHECK(!ZSTD_isError(size));
    buffer_append(out, frame, size);
    free(frame);
}

/* Reads everything, from a copy that ends at an inaccessible page. NULL for trouble. */
static char *read_all(const void *bytes, size_t n, size_t max_bytes, size_t *n_read, trouble *trouble) {
    guarded copy = guarded_allocate(n, true);
    memcpy(copy.data, bytes, n);
    char *text = NULL;
    input *input = input_open_memory("test", copy.data, n, trouble);
    if (input && !input_all(input, &text, n_read, max_bytes, trouble))
        text = NULL;
    input_close(input);
    guarded_free(&copy);
    return text;
}

static void check_reads_as(const buffer *bytes, const char *expected, size_t n_expected) {
    trouble trouble = {""};
    size_t n = 0;
    char *text = read_all(bytes->data, bytes->size, 1 << 24, &n, &trouble);
    if (CHECK_SAY(text != NULL, "%s", trouble.text))
        CHECK(n == n_expected && memcmp(text, expected, n) == 0);
    free(text);
}

static void check_fails_with(const void *bytes, size_t n, const char *word) {
    trouble trouble = {""};
    size_t n_read;
    char *text = read_all(bytes, n, (size_t)1 << 40, &n_read, &trouble);
    CHECK_SAY(text == NULL, "expected trouble with \"%s\"", word);
    CHECK_SAY(strstr(trouble.text, word) != NULL, "\"%s\" does not hold \"%s\"", trouble.text, word);
    free(text);
}

static void check_lines(const char *text, size_t n, const char *const *expected, size_t n_expected) {
    trouble trouble;
    const char *line;
    size_t length, i = 0;
    input *input = input_open_memory("test", text, n, &trouble);
    while (input_line(input, &line, &length, &trouble) == 1) {
        if (i < n_expected) {
            CHECK_STRING(line, expected[i]);
            CHECK_INT(length, strlen(expected[i]));
        }
        i++;
        CHECK_INT(input_line_number(input), i);
    }
    CHECK_INT(i, n_expected);
    input_close(input);
}

static void test_lines(void) {
    check_lines("", 0, NULL, 0);
    check_lines("\n", 1, (const char *const[]){""}, 1);
    check_lines("a\nbc\n\nd", 7, (const char *const[]){"a", "bc", "", "d"}, 4);
    check_lines("a\r\n", 3, (const char *const[]){"a\r"}, 1);
}

/* Lines of random lengths, so that they end everywhere in the chunks that are read. */
static void test_random_lines(void) {
    buffer text = {0};
    size_t lengths[500];
    for (size_t i = 0; i < 500; i++) {
        lengths[i] = test_below(i % 10 == 0 ? 200000 : 300);
        for (size_t j = 0; j < lengths[i]; j++)
            buffer_append(&text, &(char){(char)('a' + (i + j) % 26)}, 1);
        buffer_append(&text, "\n", 1);
    }
    trouble trouble;
    const char *line;
    size_t length;
    input *input = input_open_memory("test", text.data, text.size, &trouble);
    for (size_t i = 0; i < 500; i++) {
        CHECK_INT(input_line(input, &line, &length, &trouble), 1);
        CHECK_INT(length, lengths[i]);
        CHECK(length == 0 ||
              (line[0] == (char)('a' + i % 26) && line[length - 1] == (char)('a' + (i + length - 1) % 26)));
    }
    CHECK_INT(input_line(input, &line, &length, &trouble), 0);
    input_close(input);
    buffer_free(&text);
}

static void test_compressed(void) {
    static char text[300000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + test_below(4));
    buffer gzip = {0}, zstd = {0};
    append_gzip(&gzip, text, 100000);
    append_gzip(&gzip, text, 0); /* an empty member */
    append_gzip(&gzip, text + 100000, 200000);
    check_reads_as(&gzip, text, sizeof text);
    buffer_append(&gzip, "\0\0\0\0\0", 5); /* as tar pads */
    check_reads_as(&gzip, text, sizeof text);
    append_zstd(&zstd, text, 100000);
    buffer_append(&zstd, "\x50\x2A\x4D\x18\x03\0\0\0xyz", 11); /* a skippable frame */
    append_zstd(&zstd, text + 100000, 200000);
    check_reads_as(&zstd, text, sizeof text);
    buffer_free(&gzip);
    buffer_free(&zstd);
}

/* Cut anywhere behind the magic number, a compressed file is an error and never just shorter. */
static void test_compressed_and_cut(void) {
    buffer gzip = {0}, zstd = {0};
    append_gzip(&gzip, "hello, hello, hello", 19);
    append_zstd(&zstd, "hello, hello, hello", 19);
    for (size_t n = 3; n < gzip.size; n++)
        check_fails_with(gzip.data, n, "ends too early");
    for (size_t n = 4; n < zstd.size; n++)
        check_fails_with(zstd.data, n, "ends too early");
    buffer_append(&gzip, "x", 1);
    check_fails_with(gzip.data, gzip.size, "other bytes follow its end");
    gzip.data[gzip.size - 8] ^= 1; /* the checksum */
    check_fails_with(gzip.data, gzip.size, "incorrect data check");
    buffer_free(&gzip);
    buffer_free(&zstd);
}

/* 100 MB of zeros in a few kB: allowed up to 64 MiB and 1000 times the size. */
static void test_bomb(void) {
    size_t n = (size_t)100 << 20;
    char *zeros = calloc(n, 1);
    buffer zstd = {0};
    append_zstd(&zstd, zeros, n);
    CHECK(zstd.size < 20000);
    check_fails_with(zstd.data, zstd.size, "more than 1000 times");
    free(zeros);
    buffer_free(&zstd);
}

static void test_long_line(void) {
    size_t n = INPUT_MAX_LINE + 1;
    char *text = malloc(n + 2);
    memset(text, 'a', n);
    text[0] = '\n';
    trouble trouble = {""};
    const char *line;
    size_t length;
    input *input = input_open_memory("test", text, n, &trouble); /* the second line is exactly as long as allowed */
    CHECK_INT(input_line(input, &line, &length, &trouble), 1);
    CHECK_INT(input_line(input, &line, &length, &trouble), 1);
    CHECK_INT(length, INPUT_MAX_LINE);
    input_close(input);
    text[n] = 'a';
    input = input_open_memory("test", text, n + 1, &trouble);
    CHECK_INT(input_line(input, &line, &length, &trouble), 1);
    CHECK_INT(input_line(input, &line, &length, &trouble), INPUT_LONG_LINE);
    CHECK_STRING(trouble.text, "test:2: the line is longer than 64 MiB");
    CHECK_INT(input_line(input, &line, &length, &trouble), 0);
    input_close(input);
    free(text);
}

/* What stands behind a line that is too long can be read, and has the right number. */
static void test_after_a_long_line(void) {
    size_t n = (size_t)100 << 20;
    char *text = malloc(n);
    memset(text, 'a', n);
    text[n - 5] = text[n - 1] = '\n';
    trouble trouble = {""};
    const char *line;
    size_t length;
    input *input = input_open_memory("test", text, n, &trouble);
    CHECK_INT(input_line(input, &line, &length, &trouble), INPUT_LONG_LINE);
    CHECK_INT(input_line(input, &line, &length, &trouble), 1);
    CHECK_STRING(line, "aaa");
    CHECK_INT(input_line_number(input), 2);
    CHECK_INT(input_line(input, &line, &length, &trouble), 0);
    input_close(input);
    free(text);
}

static void test_peek_and_rewind(void) {
    buffer gzip = {0};
    append_gzip(&gzip, "one\ntwo\n", 8);
    write_file(path_of("lines.gz"), gzip.data, gzip.size);
    trouble trouble = {""};
    const char *bytes;
    size_t n;
    input *input = input_open_twice(path_of("lines.gz"), &trouble);
    CHECK(input_peek(input, &bytes, &n, &trouble));
    CHECK(n == 8 && memcmp(bytes, "one\ntwo\n", 8) == 0);
    for (int round = 0; round < 2; round++) {
        CHECK_INT(input_line(input, &bytes, &n, &trouble), 1);
        CHECK_STRING(bytes, "one");
        CHECK(input_rewind(input, &trouble));
    }
    input_close(input);
    buffer_free(&gzip);
}

/* A pipe that is read twice. */
static void test_spooled_pipe(void) {
    int ends[2], saved = dup(STDIN_FILENO);
    CHECK_INT(pipe(ends), 0);
    CHECK_INT(write(ends[1], "one\ntwo\n", 8), 8);
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    trouble trouble = {""};
    const char *line;
    size_t n;
    input *input = input_open_twice("-", &trouble);
    if (CHECK_SAY(input != NULL, "%s", trouble.text)) {
        CHECK_STRING(input_name(input), "standard input");
        for (int round = 0; round < 2; round++) {
            CHECK_INT(input_line(input, &line, &n, &trouble), 1);
            CHECK_STRING(line, "one");
            CHECK_INT(input_line(input, &line, &n, &trouble), 1);
            CHECK_STRING(line, "two");
            CHECK_INT(input_line(input, &line, &n, &trouble), 0);
            CHECK(input_rewind(input, &trouble));
        }
    }
    input_close(input);
    dup2(saved, STDIN_FILENO);
    close(saved);
}

/* Only a plain file that is not packed can be mapped as it is. */
static void test_descriptor(void) {
    buffer gzip = {0};
    append_gzip(&gzip, "one\n", 4);
    write_file(path_of("lines.gz"), gzip.data, gzip.size);
    write_file(path_of("lines"), "one\n", 4);
    const struct {
        const char *path;
        bool can_map, can_rewind;
    } cases[] = {{path_of("lines"), true, true}, {path_of("lines.gz"), false, true}, {"/dev/null", false, true}};
    trouble trouble = {""};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        input *input = input_open(cases[i].path, &trouble);
        CHECK_SAY((input_descriptor(input) >= 0) == cases[i].can_map, "%s", cases[i].path);
        CHECK_SAY(input_can_rewind(input) == cases[i].can_rewind, "%s", cases[i].path);
        input_close(input);
    }
    buffer_free(&gzip);
}

static void test_output_appears_whole(void) {
    trouble trouble = {""};
    const char *path = path_of("out");
    write_file(path, "before", 6);
    chmod(path, 0640);
    output *output = output_open(path, &trouble);
    CHECK(output_write(output, "after", 5, &trouble));
    CHECK(output_flush(output, &trouble));
    CHECK(file_is(path, "before"));
    CHECK(file_is(path_of("out.part"), "after"));
    CHECK(output_commit(output, false, &trouble));
    CHECK(file_is(path, "after"));
    CHECK(access(path_of("out.part"), F_OK) != 0);
    struct stat status;
    CHECK_INT(stat(path, &status), 0);
    CHECK_INT(status.st_mode & 0777, 0640);
    output = output_open(path, &trouble);
    CHECK(output_write(output, "lost", 4, &trouble));
    output_abandon(output, false);
    CHECK(file_is(path, "after"));
    CHECK(access(path_of("out.part"), F_OK) != 0);
}

static void test_output_goes_on(void) {
    trouble trouble = {""};
    output *output = output_open(path_of("resumed"), &trouble);
    CHECK(output_write(output, "line one\nline tw", 16, &trouble));
    output_abandon(output, true);
    output = output_resume(path_of("resumed"), 9, &trouble);
    CHECK(output_write(output, "line two\n", 9, &trouble));
    CHECK(output_commit(output, false, &trouble));
    CHECK(file_is(path_of("resumed"), "line one\nline two\n"));
    CHECK(output_resume(path_of("resumed"), 9, &trouble) == NULL); /* its .part is gone: empty now */
    CHECK_SAY(strstr(trouble.text, "expected 9 bytes or more, found 0") != NULL, "%s", trouble.text);
    unlink(path_of("resumed.part"));
}

static void check_no_output(const char *path, const char *word) {
    trouble trouble = {""};
    output *output = output_open(path, &trouble);
    CHECK_SAY(output == NULL, "%s could be opened", path);
    CHECK_SAY(strstr(trouble.text, word) != NULL, "\"%s\" does not hold \"%s\"", trouble.text, word);
    output_abandon(output, false);
}

static void test_output_refuses(void) {
    trouble trouble = {""};
    write_file(path_of("read"), "text", 4);
    CHECK_INT(symlink(path_of("read"), path_of("link")), 0);
    input *input = input_open(path_of("read"), &trouble);
    check_no_output(path_of("read"), "being read");
    check_no_output(path_of("link"), "being read");
    check_no_output(folder, "directory");
    check_no_output("/nonexistent/folder/file", "No such file");
    output *output = output_open(path_of("twice"), &trouble);
    check_no_output(path_of("twice"), "another process");
    output_abandon(output, false);
    input_close(input);
    CHECK(file_is(path_of("read"), "text"));
}

static void test_output_on_a_full_disk(void) {
    trouble trouble = {""};
    output *output = output_open("/dev/full", &trouble);
    if (!CHECK_SAY(output != NULL, "%s", trouble.text))
        return;
    CHECK(!output_write(output, "text", 4, &trouble) || !output_flush(output, &trouble));
    CHECK(strstr(trouble.text, "No space left") != NULL);
    output_abandon(output, false);
}

static void test_open_errors(void) {
    trouble trouble = {""};
    CHECK(input_open(folder, &trouble) == NULL);
    CHECK(strstr(trouble.text, "directory") != NULL);
    CHECK(input_open(path_of("missing\x1b[31m"), &trouble) == NULL);
    CHECK(strstr(trouble.text, "missing\\x1b[31m: No such file") != NULL);
}

static const char *suggest(const char *word) {
    suggestion suggestion = suggestion_for(word);
    const char *const names[] = {"score", "select", "show", "columns", "entropy", "varentropy"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        suggestion_offer(&suggestion, names[i]);
    return suggestion.best ? suggestion.best : "none";
}

static void test_suggestions(void) {
    CHECK_STRING(suggest("scroe"), "score");
    CHECK_STRING(suggest("selec"), "select");
    CHECK_STRING(suggest("colums"), "columns");
    CHECK_STRING(suggest("enropy"), "entropy");
    CHECK_STRING(suggest("xyz"), "none");
    CHECK_STRING(suggest(""), "none");
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    if (!mkdtemp(folder))
        return 1;
    TEST(test_lines);
    TEST(test_random_lines);
    TEST(test_compressed);
    TEST(test_compressed_and_cut);
    TEST(test_bomb);
    TEST(test_long_line);
    TEST(test_after_a_long_line);
    TEST(test_peek_and_rewind);
    TEST(test_spooled_pipe);
    TEST(test_descriptor);
    TEST(test_output_appears_whole);
    TEST(test_output_goes_on);
    TEST(test_output_refuses);
    TEST(test_output_on_a_full_disk);
    TEST(test_open_errors);
    TEST(test_suggestions);
    const char *const left[] = {"lines.gz", "out", "resumed", "read", "link"};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        unlink(path_of(left[i]));
    rmdir(folder);
    return test_end();
}
