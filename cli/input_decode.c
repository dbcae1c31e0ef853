/* gzip (RFC 1952, any number of members) and zstd (RFC 8878, any number of frames), told by their magic numbers. */
#include "input_source.h"

#include <string.h>

static const uint64_t FREE_EXPANSION = (uint64_t)64 << 20; /* this much before the ratio counts */

/* Each says whether a stream of its kind begins in the n bytes. */
static bool is_gzip(const unsigned char *bytes, size_t n) {
    return n >= 3 && bytes[0] == 0x1F && bytes[1] == 0x8B && bytes[2] == 8;
}

static bool is_zstd(const unsigned char *bytes, size_t n) {
    bool frame = n >= 4 && memcmp(bytes, "\x28\xB5\x2F\xFD", 4) == 0;
    bool skippable = n >= 4 && (bytes[0] & 0xF0) == 0x50 && memcmp(bytes + 1, "\x2A\x4D\x18", 3) == 0;
    return frame || skippable;
}

/* Whether its first byte can begin a magic number. What begins otherwise is not waited for: a pipe may send "2", and no
 * more until that is answered. */
static bool may_be_packed(unsigned char first) {
    return first == 0x1F || first == 0x28 || (first & 0xF0) == 0x50;
}

bool decoder_open(decoder *decoder, source *source, trouble *trouble) {
    *decoder = (struct decoder){0};
    if (!source_fill(source, 1, trouble))
        return false;
    const bool has_first = source->end > source->start;
    if (has_first && may_be_packed(source->bytes[source->start]) && !source_fill(source, 4, trouble))
        return false;
    size_t n = source->end - source->start;
    const unsigned char *bytes = n > 0 ? source->bytes + source->start : NULL;
    if (is_gzip(bytes, n)) {
        decoder->compression = COMPRESSION_GZIP;
        if (inflateInit2(&decoder->gzip, 15 + 16) != Z_OK)
            return trouble_set(trouble, "%s: out of memory", source->name);
        decoder->gzip_begun = decoder->gzip_open = true;
    } else if (is_zstd(bytes, n)) {
        decoder->compression = COMPRESSION_ZSTD;
        decoder->zstd = ZSTD_createDStream();
        if (!decoder->zstd)
            return trouble_set(trouble, "%s: out of memory", source->name);
    }
    return true;
}

void decoder_close(decoder *decoder) {
    if (decoder->gzip_begun)
        inflateEnd(&decoder->gzip);
    ZSTD_freeDStream(decoder->zstd);
    *decoder = (struct decoder){0};
}

static ssize_t report(trouble *trouble, const source *source, const char *kind, const char *what) {
    trouble_set(trouble, "%s: broken %s data: %s", source->name, kind, what);
    return -1;
}

/* Behind a member: another one (1), the end or nothing but zeros, as tar pads (0), or something else (-1). */
static int next_member(decoder *decoder, source *source, trouble *trouble) {
    if (!source_fill(source, 3, trouble))
        return -1;
    if (is_gzip(source->bytes + source->start, source->end - source->start)) {
        inflateReset(&decoder->gzip);
        decoder->gzip_open = true;
        return 1;
    }
    do {
        while (source->start < source->end)
            if (source->bytes[source->start++] != 0)
                return (int)report(trouble, source, "gzip", "other bytes follow its end");
        if (!source_fill(source, 1, trouble))
            return -1;
    } while (source->start < source->end);
    return 0;
}

/* One call of inflate: the bytes it gave, or -1. */
static ssize_t inflate_some(decoder *decoder, source *source, void *bytes, size_t n_bytes, trouble *trouble) {
    z_stream *gzip = &decoder->gzip;
    uInt room = n_bytes < UINT32_MAX / 2 ? (uInt)n_bytes : UINT32_MAX / 2;
    size_t left = source->end - source->start;
    uInt given = left < UINT32_MAX / 2 ? (uInt)left : UINT32_MAX / 2;
    gzip->next_in = (z_const Bytef *)(source->bytes + source->start);
    gzip->avail_in = given;
    gzip->next_out = bytes;
    gzip->avail_out = room;
    int status = inflate(gzip, Z_NO_FLUSH);
    source->start += given - gzip->avail_in;
    decoder->n_in += given - gzip->avail_in;
    if (status == Z_STREAM_END)
        decoder->gzip_open = false;
    else if (status == Z_BUF_ERROR && given == 0)
        return report(trouble, source, "gzip", "it ends too early");
    else if (status != Z_OK && status != Z_BUF_ERROR)
        return report(trouble, source, "gzip", gzip->msg ? gzip->msg : "not readable");
    return (ssize_t)(room - gzip->avail_out);
}

static ssize_t read_gzip(decoder *decoder, source *source, void *bytes, size_t n_bytes, trouble *trouble) {
    for (;;) {
        if (!decoder->gzip_open) {
            int more = next_member(decoder, source, trouble);
            if (more <= 0)
                return more;
        }
        if (!source_fill(source, 1, trouble))
            return -1;
        ssize_t n = inflate_some(decoder, source, bytes, n_bytes, trouble);
        if (n != 0)
            return n;
    }
}

static ssize_t read_zstd(decoder *decoder, source *source, void *bytes, size_t n_bytes, trouble *trouble) {
    ZSTD_outBuffer out = {bytes, n_bytes, 0};
    while (out.pos == 0) {
        if (!source_fill(source, 1, trouble))
            return -1;
        size_t n = source->end - source->start;
        if (n == 0 && !decoder->zstd_open)
            return 0;
        ZSTD_inBuffer in = {n > 0 ? source->bytes + source->start : NULL, n, 0};
        size_t status = ZSTD_decompressStream(decoder->zstd, &out, &in);
        if (ZSTD_isError(status))
            return report(trouble, source, "zstd", ZSTD_getErrorName(status));
        source->start += in.pos;
        decoder->n_in += in.pos;
        decoder->zstd_open = status != 0;
        if (n == 0 && out.pos == 0)
            return report(trouble, source, "zstd", "it ends too early");
    }
    return (ssize_t)out.pos;
}

static ssize_t read_plain(source *source, void *bytes, size_t n_bytes, trouble *trouble) {
    if (source->start == source->end && !source->at_end)
        return source_read(source, bytes, n_bytes, trouble);
    size_t n = source->end - source->start;
    if (n > n_bytes)
        n = n_bytes;
    if (n > 0)
        memcpy(bytes, source->bytes + source->start, n);
    source->start += n;
    return (ssize_t)n;
}

ssize_t decoder_read(decoder *decoder, source *source, void *bytes, size_t n_bytes, trouble *trouble) {
    if (decoder->compression == COMPRESSION_NONE)
        return read_plain(source, bytes, n_bytes, trouble);
    ssize_t n = decoder->compression == COMPRESSION_GZIP ? read_gzip(decoder, source, bytes, n_bytes, trouble)
                                                         : read_zstd(decoder, source, bytes, n_bytes, trouble);
    if (n > 0)
        decoder->n_out += (uint64_t)n;
    if (n > 0 && decoder->n_out > FREE_EXPANSION && decoder->n_out - FREE_EXPANSION > decoder->n_in * INPUT_MAX_RATIO) {
        trouble_set(trouble, "%s: the compressed data grows to more than %d times its size: refused", source->name,
                    INPUT_MAX_RATIO);
        return -1;
    }
    return n;
}
