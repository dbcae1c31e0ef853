/* Bytes and lines over a source and its decoder, through one growing window. */
#include "input.h"
#include "input_source.h"
#include "open_files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PEEK_SIZE = 1 << 16, READ_SIZE = 1 << 17 };

struct input {
    char *name;
    source source;
    decoder decoder;
    char *window; /* decompressed bytes not yet taken: [start, end), room for a NUL behind */
    size_t start, end, capacity;
    bool at_end;
    bool in_long_line; /* that was refused */
    uint64_t line_number;
};

static input *input_new(const char *name, trouble *trouble) {
    input *made = calloc(1, sizeof *made);
    if (made) {
        made->name = strdup(name);
        made->source.fd = -1;
    }
    if (made && made->name)
        return made;
    input_close(made);
    trouble_set(trouble, "%s: out of memory", name);
    return NULL;
}

void input_close(input *input) {
    if (!input)
        return;
    decoder_close(&input->decoder);
    source_close(&input->source);
    free(input->window);
    free(input->name);
    free(input);
}

const char *input_name(const input *input) {
    return input->name;
}

int input_descriptor(const input *input) {
    const source *source = &input->source;
    struct stat status;
    bool is_plain = source->fd >= 0 && source->first == 0 && input->decoder.compression == COMPRESSION_NONE &&
                    fstat(source->fd, &status) == 0 && S_ISREG(status.st_mode);
    return is_plain ? source->fd : -1;
}

uint64_t input_line_number(const input *input) {
    return input->line_number;
}

static input *open_any(const char *path, bool twice, trouble *trouble) {
    bool is_standard = strcmp(path, "-") == 0;
    input *made = input_new(is_standard ? "standard input" : path, trouble);
    if (!made)
        return NULL;
    struct stat status;
    int fd = is_standard ? STDIN_FILENO : open_files_read(path, &status, trouble);
    if (is_standard && fstat(fd, &status) == 0)
        open_files_note(&status);
    bool ok = fd >= 0 && source_open_fd(&made->source, made->name, fd, trouble);
    if (ok && twice && made->source.first < 0)
        ok = source_spool(&made->source, trouble);
    if (ok && decoder_open(&made->decoder, &made->source, trouble))
        return made;
    input_close(made);
    return NULL;
}

input *input_open(const char *path, trouble *trouble) {
    return open_any(path, false, trouble);
}

input *input_open_twice(const char *path, trouble *trouble) {
    return open_any(path, true, trouble);
}

input *input_open_memory(const char *name, const void *bytes, size_t n_bytes, trouble *trouble) {
    input *made = input_new(name, trouble);
    if (!made)
        return NULL;
    if (source_open_memory(&made->source, made->name, bytes, n_bytes) &&
        decoder_open(&made->decoder, &made->source, trouble))
        return made;
    input_close(made);
    return NULL;
}

bool input_can_rewind(const input *input) {
    return input->source.fd < 0 || input->source.first >= 0;
}

bool input_rewind(input *input, trouble *trouble) {
    decoder_close(&input->decoder);
    input->start = input->end = 0;
    input->at_end = input->in_long_line = false;
    input->line_number = 0;
    return source_rewind(&input->source, trouble) && decoder_open(&input->decoder, &input->source, trouble);
}

/* Room in the window for n more bytes and a NUL. */
static bool make_room(input *input, size_t n_bytes, trouble *trouble) {
    if (input->start == input->end)
        input->start = input->end = 0;
    if (input->capacity - input->end > n_bytes)
        return true;
    if (input->start > 0 && input->start >= input->capacity / 2) {
        memmove(input->window, input->window + input->start, input->end - input->start);
        input->end -= input->start;
        input->start = 0;
        if (input->capacity - input->end > n_bytes)
            return true;
    }
    size_t capacity = 2 * input->capacity + n_bytes + 1;
    char *window = realloc(input->window, capacity);
    if (!window)
        return trouble_set(trouble, "%s: out of memory", input->name);
    input->window = window;
    input->capacity = capacity;
    return true;
}

/* Adds some bytes to the window, or finds the end. */
static bool read_more(input *input, trouble *trouble) {
    if (!make_room(input, READ_SIZE, trouble))
        return false;
    ssize_t n = decoder_read(&input->decoder, &input->source, input->window + input->end, READ_SIZE, trouble);
    if (n < 0)
        return false;
    input->end += (size_t)n;
    input->at_end = n == 0;
    return true;
}

ssize_t input_read(input *input, void *bytes, size_t n_bytes, trouble *trouble) {
    while (n_bytes > 0 && input->start == input->end && !input->at_end)
        if (!read_more(input, trouble))
            return -1;
    size_t n = input->end - input->start;
    if (n > n_bytes)
        n = n_bytes;
    if (n > 0)
        memcpy(bytes, input->window + input->start, n);
    input->start += n;
    return (ssize_t)n;
}

bool input_peek(input *input, const char **bytes, size_t *n_bytes, trouble *trouble) {
    return input_peek_least(input, PEEK_SIZE, bytes, n_bytes, trouble);
}

bool input_peek_least(input *input, size_t least, const char **bytes, size_t *n_bytes, trouble *trouble) {
    while (input->end - input->start < least && !input->at_end)
        if (!read_more(input, trouble))
            return false;
    size_t n = input->end - input->start;
    *n_bytes = n < PEEK_SIZE ? n : PEEK_SIZE;
    *bytes = n > 0 ? input->window + input->start : "";
    return true;
}

static int refuse_long_line(input *input, trouble *trouble) {
    input->in_long_line = true;
    input->line_number++;
    trouble_set(trouble, "%s:%llu: the line is longer than %zu MiB", input->name,
                (unsigned long long)input->line_number, INPUT_MAX_LINE >> 20);
    return INPUT_LONG_LINE;
}

/* Goes past what is left of a line that was refused, holding none of it. */
static bool pass_long_line(input *input, trouble *trouble) {
    while (input->in_long_line) {
        size_t n = input->end - input->start;
        const char *newline = n > 0 ? memchr(input->window + input->start, '\n', n) : NULL;
        input->start = newline ? (size_t)(newline - input->window) + 1 : input->end;
        input->in_long_line = !newline && !input->at_end;
        if (input->in_long_line && !read_more(input, trouble))
            return false;
    }
    return true;
}

int input_line(input *input, const char **line, size_t *n_bytes, trouble *trouble) {
    size_t searched = 0;
    if (!pass_long_line(input, trouble))
        return -1;
    for (;;) {
        size_t n = input->end - input->start;
        const char *newline = n > searched ? memchr(input->window + input->start + searched, '\n', n - searched) : NULL;
        size_t length = newline ? (size_t)(newline - (input->window + input->start)) : n;
        if (length > INPUT_MAX_LINE)
            return refuse_long_line(input, trouble);
        if (newline || (input->at_end && n > 0)) {
            *line = input->window + input->start;
            *n_bytes = length;
            input->window[input->start + length] = 0;
            input->start += length + (newline != NULL);
            input->line_number++;
            return 1;
        }
        if (input->at_end)
            return 0;
        searched = n;
        if (!read_more(input, trouble))
            return -1;
    }
}

bool input_all(input *input, char **bytes, size_t *n_bytes, size_t max_bytes, trouble *trouble) {
    while (!input->at_end && input->end - input->start <= max_bytes)
        if (!read_more(input, trouble))
            return false;
    size_t n = input->end - input->start;
    if (n > max_bytes)
        return trouble_set(trouble, "%s: longer than %zu bytes", input->name, max_bytes);
    char *copy = malloc(n + 1);
    if (!copy)
        return trouble_set(trouble, "%s: out of memory", input->name);
    if (n > 0)
        memcpy(copy, input->window + input->start, n);
    copy[n] = 0;
    input->start = input->end;
    *bytes = copy;
    *n_bytes = n;
    return true;
}
