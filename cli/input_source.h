/* Under input.h: where bytes come from (a descriptor or memory) and how they are decompressed. */
#ifndef CLI_INPUT_SOURCE_H
#define CLI_INPUT_SOURCE_H

#include "input.h"

#include <zlib.h>
#include <zstd.h>

/* Compressed or plain bytes, as they stand in the file. */
typedef struct source {
    const char *name;
    int fd;               /* -1: memory */
    off_t first;          /* where reading began, for going back */
    unsigned char *chunk; /* bytes read ahead: [start, end) */
    size_t start, end;    /* of a descriptor's chunk, or of memory itself */
    const unsigned char *bytes;
    bool at_end; /* nothing left behind the chunk */
} source;

bool source_open_memory(source *source, const char *name, const void *bytes, size_t n_bytes);
/* `fd` belongs to the source from here on, also on failure. */
bool source_open_fd(source *source, const char *name, int fd, trouble *trouble);
void source_close(source *source);
/* Makes the chunk hold at least `least` bytes, or all that is left. */
bool source_fill(source *source, size_t least, trouble *trouble);
/* Reads past an empty chunk: up to n_bytes, 0 at the end, -1 for trouble. */
ssize_t source_read(source *source, void *bytes, size_t n_bytes, trouble *trouble);
bool source_rewind(source *source, trouble *trouble);
/* Copies what is left of a pipe to an unlinked temporary file, and reads that one from now on. */
bool source_spool(source *source, trouble *trouble);

typedef enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD } compression;

typedef struct decoder {
    compression compression;
    z_stream gzip;
    bool gzip_begun, gzip_open; /* initialised; inside a member */
    ZSTD_DStream *zstd;
    bool zstd_open; /* inside a frame */
    uint64_t n_in, n_out;
} decoder;

/* Told by the first bytes of the source. */
bool decoder_open(decoder *decoder, source *source, trouble *trouble);
void decoder_close(decoder *decoder);
/* Up to n_bytes > 0 decompressed bytes; 0 at the end, -1 for trouble. */
ssize_t decoder_read(decoder *decoder, source *source, void *bytes, size_t n_bytes, trouble *trouble);

#endif
