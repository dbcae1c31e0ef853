/* Appending, changing and copying temporary files. */
#include "container_spool.h"
#include "../temporary.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK_SIZE = 1 << 16, MAX_ELEMENT = 8 };

bool spool_begin(spool *spool, trouble *trouble) {
    char *block = malloc(SPOOL_BLOCK);
    if (!block)
        return trouble_set(trouble, "out of memory for a temporary file");
    const int fd = temporary_open(trouble);
    if (fd >= 0)
        *spool = (struct spool){.block = block, .fd = fd};
    else
        free(block);
    return fd >= 0;
}

void spool_close(spool *spool) {
    if (spool->block)
        close(spool->fd);
    free(spool->block);
    *spool = (struct spool){0};
}

static bool flush(spool *spool, trouble *trouble) {
    const size_t n = spool->n_block;
    spool->n_block = 0;
    return temporary_write(spool->fd, spool->block, n, trouble);
}

bool spool_append_beyond(spool *spool, const void *bytes, size_t n_bytes, trouble *trouble) {
    if (!flush(spool, trouble))
        return false;
    if (n_bytes <= SPOOL_BLOCK)
        return spool_append(spool, bytes, n_bytes, trouble);
    spool->n_bytes += n_bytes;
    return temporary_write(spool->fd, bytes, n_bytes, trouble);
}

bool spool_fill(spool *spool, const void *element, size_t size, uint64_t n, trouble *trouble) {
    char block[512 * MAX_ELEMENT];
    for (size_t i = 0; i < 512; i++)
        memcpy(block + i * size, element, size);
    for (; n >= 512; n -= 512)
        if (!spool_append(spool, block, 512 * size, trouble))
            return false;
    return spool_append(spool, block, (size_t)n * size, trouble);
}

/* Back to the start, to be read. */
static bool rewind_to_read(spool *spool, trouble *trouble) {
    spool->at = 0;
    return flush(spool, trouble) && (lseek(spool->fd, 0, SEEK_SET) == 0 || temporary_trouble(trouble));
}

/* The next block. */
static bool read_block(spool *spool, trouble *trouble) {
    ssize_t n;
    do
        n = read(spool->fd, spool->block, SPOOL_BLOCK);
    while (n < 0 && errno == EINTR);
    spool->at = 0;
    spool->n_block = n > 0 ? (size_t)n : 0;
    if (n == 0)
        errno = EIO; /* it has become shorter */
    return n > 0 || trouble_set(trouble, "cannot read a temporary file: %s", strerror(errno));
}

static bool read_exactly(spool *spool, char *bytes, size_t n_bytes, trouble *trouble) {
    while (n_bytes > 0) {
        if (spool->at == spool->n_block && !read_block(spool, trouble))
            return false;
        const size_t left = spool->n_block - spool->at, n = left < n_bytes ? left : n_bytes;
        memcpy(bytes, spool->block + spool->at, n);
        spool->at += n;
        bytes += n;
        n_bytes -= n;
    }
    return true;
}

bool spool_widen(spool *spool, size_t size, size_t from, size_t to, const void *pad, trouble *trouble) {
    struct spool wider = {0};
    char element[MAX_ELEMENT] = {0};
    uint64_t n_rows = spool->n_bytes / (size * from);
    bool ok = rewind_to_read(spool, trouble) && spool_begin(&wider, trouble);
    for (uint64_t row = 0; ok && row < n_rows; row++) {
        for (size_t i = 0; ok && i < from; i++)
            ok = read_exactly(spool, element, size, trouble) && spool_append(&wider, element, size, trouble);
        ok = ok && spool_fill(&wider, pad ? pad : element, size, to - from, trouble);
    }
    if (!ok) {
        spool_close(&wider);
        return false;
    }
    spool_close(spool);
    *spool = wider;
    return true;
}

/* In place; n is the number of I64. */
static void narrow_block(char *block, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int64_t wide;
        memcpy(&wide, block + i * sizeof wide, sizeof wide);
        int32_t value = (int32_t)wide;
        memcpy(block + i * sizeof value, &value, sizeof value);
    }
}

bool spool_copy(spool *spool, output *output, bool narrow, trouble *trouble) {
    char block[BLOCK_SIZE];
    if (!rewind_to_read(spool, trouble))
        return false;
    for (uint64_t left = spool->n_bytes; left > 0;) {
        size_t n = left < sizeof block ? (size_t)left : sizeof block;
        left -= n;
        if (!read_exactly(spool, block, n, trouble))
            return false;
        if (narrow) {
            narrow_block(block, n / sizeof(int64_t));
            n /= 2;
        }
        if (!output_write(output, block, n, trouble))
            return false;
    }
    return true;
}
