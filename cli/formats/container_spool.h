/* One tensor on its way into a container: an unlinked temporary file that grows at its end. */
#ifndef CLI_FORMATS_CONTAINER_SPOOL_H
#define CLI_FORMATS_CONTAINER_SPOOL_H

#include "../message.h"
#include "../output.h"

#include <stdint.h>
#include <string.h>

enum { SPOOL_BLOCK = 1 << 15 };

typedef struct spool {
    char *block;    /* the last bytes, to be written; while it is read: the next. NULL: not begun */
    size_t n_block; /* in the block */
    size_t at;      /* while it is read: of them are taken */
    int fd;
    uint64_t n_bytes;
} spool;

bool spool_begin(spool *spool, trouble *trouble);
void spool_close(spool *spool);
/* What the block has no room for. */
bool spool_append_beyond(spool *spool, const void *bytes, size_t n_bytes, trouble *trouble);
static inline bool spool_append(spool *spool, const void *bytes, size_t n_bytes, trouble *trouble) {
    if (n_bytes > SPOOL_BLOCK - spool->n_block)
        return spool_append_beyond(spool, bytes, n_bytes, trouble);
    memcpy(spool->block + spool->n_block, bytes, n_bytes);
    spool->n_block += n_bytes;
    spool->n_bytes += n_bytes;
    return true;
}
/* The same element n times. */
bool spool_fill(spool *spool, const void *element, size_t size, uint64_t n, trouble *trouble);
/* Rows of `from` elements become rows of `to` >= from: `pad` follows each, or where it is NULL, its last element. */
bool spool_widen(spool *spool, size_t size, size_t from, size_t to, const void *pad, trouble *trouble);
/* Copies all of it; `narrow`: I64 as I32. */
bool spool_copy(spool *spool, output *output, bool narrow, trouble *trouble);

#endif
