/* Raw bytes: from a descriptor through a chunk of 64 KiB, or from memory without a copy. */
#include "input_source.h"
#include "temporary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_SIZE = 1 << 16 };

bool source_open_memory(source *source, const char *name, const void *bytes, size_t n_bytes) {
    *source = (struct source){.name = name, .fd = -1, .end = n_bytes, .bytes = bytes, .at_end = true};
    return true;
}

bool source_open_fd(source *source, const char *name, int fd, trouble *trouble) {
    *source = (struct source){.name = name, .fd = fd, .first = lseek(fd, 0, SEEK_CUR)};
    source->chunk = malloc(CHUNK_SIZE);
    source->bytes = source->chunk;
    if (source->chunk)
        return true;
    source_close(source);
    return trouble_set(trouble, "%s: out of memory", name);
}

void source_close(source *source) {
    if (source->fd > STDIN_FILENO) /* standard input stays open: what is opened next must not become it */
        close(source->fd);
    free(source->chunk);
    source->fd = -1;
    source->chunk = NULL;
}

ssize_t source_read(source *source, void *bytes, size_t n_bytes, trouble *trouble) {
    ssize_t n;
    do
        n = read(source->fd, bytes, n_bytes);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        trouble_set(trouble, "cannot read %s: %s", source->name, strerror(errno));
    source->at_end = n == 0;
    return n;
}

bool source_fill(source *source, size_t least, trouble *trouble) {
    while (!source->at_end && source->end - source->start < least) {
        if (source->start > 0) {
            memmove(source->chunk, source->chunk + source->start, source->end - source->start);
            source->end -= source->start;
            source->start = 0;
        }
        const ssize_t n = source_read(source, source->chunk + source->end, CHUNK_SIZE - source->end, trouble);
        if (n < 0)
            return false;
        source->end += (size_t)n;
    }
    return true;
}

bool source_rewind(source *source, trouble *trouble) {
    source->start = 0;
    if (source->fd < 0)
        return true;
    if (source->first < 0 || lseek(source->fd, source->first, SEEK_SET) < 0)
        return trouble_set(trouble, "cannot read %s a second time: %s", source->name,
                           source->first < 0 ? "it is a pipe" : strerror(errno));
    source->end = 0;
    source->at_end = false;
    return true;
}

static bool copy_to(source *source, int fd, trouble *trouble) {
    for (;;) {
        if (!source_fill(source, 1, trouble))
            return false;
        if (source->start == source->end)
            return true;
        if (!temporary_write(fd, source->chunk + source->start, source->end - source->start, trouble))
            return false;
        source->start = source->end;
    }
}

bool source_spool(source *source, trouble *trouble) {
    int fd = temporary_open(trouble);
    if (fd < 0)
        return false;
    if (!copy_to(source, fd, trouble)) {
        close(fd);
        return false;
    }
    if (source->fd > STDIN_FILENO)
        close(source->fd);
    source->fd = fd;
    source->first = 0;
    return source_rewind(source, trouble);
}
