/* gzip and zstd: reading by lines and reading by bytes give the same bytes, or both fail. */
#include "fuzz.h"

#include "buffer.h"
#include "input.h"

enum { ENOUGH = 1 << 20 };

/* Each returns 0 at the end, -1 for trouble, 1 if it stopped because it was enough. */
static int read_bytes(buffer *bytes, const uint8_t *data, size_t size) {
    trouble trouble = {""};
    char chunk[4097];
    ssize_t n = -1;
    input *input = input_open_memory("fuzz", data, size, &trouble);
    while (input && bytes->size < ENOUGH && (n = input_read(input, chunk, sizeof chunk, &trouble)) > 0)
        buffer_append(bytes, chunk, (size_t)n);
    fuzz_require(n >= 0 || trouble.text[0]);
    input_close(input);
    return n < 0 ? -1 : n > 0;
}

static int read_lines(buffer *bytes, const uint8_t *data, size_t size) {
    trouble trouble = {""};
    const char *line;
    size_t n;
    int status = -1;
    input *input = input_open_memory("fuzz", data, size, &trouble);
    while (input && bytes->size < ENOUGH && (status = input_line(input, &line, &n, &trouble)) == 1) {
        fuzz_require(line[n] == 0 && memchr(line, '\n', n) == NULL);
        buffer_append(bytes, line, n);
        buffer_append(bytes, "\n", 1);
    }
    fuzz_require(status >= 0 || trouble.text[0]);
    input_close(input);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    buffer bytes = {0}, lines = {0};
    int by_bytes = read_bytes(&bytes, data, size);
    int by_lines = read_lines(&lines, data, size);
    fuzz_require(!bytes.failed && !lines.failed);
    if (by_bytes == 0 && by_lines == 0) {
        fuzz_require(lines.size == bytes.size || lines.size == bytes.size + 1); /* a last line without a newline */
        fuzz_require(bytes.size == 0 || memcmp(bytes.data, lines.data, bytes.size) == 0);
    }
    fuzz_require(by_bytes != 0 || by_lines >= 0);
    buffer_free(&bytes);
    buffer_free(&lines);
    return 0;
}
