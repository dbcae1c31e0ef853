/* GGUF, versions 2 and 3 (ggml/docs/gguf.md), little-endian, read as a stream: no length in the file decides how much
 * memory is used. */
#include "gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_KEY = 1 << 16, MAX_DIMENSIONS = 4, MAX_DEPTH = 4, SHOWN = 200 };
static const uint64_t MAX_PAIRS = 1 << 20, MAX_TENSORS = 1 << 24;

typedef enum value_type {
    TYPE_U8,
    TYPE_I8,
    TYPE_U16,
    TYPE_I16,
    TYPE_U32,
    TYPE_I32,
    TYPE_F32,
    TYPE_BOOL,
    TYPE_STRING,
    TYPE_ARRAY,
    TYPE_U64,
    TYPE_I64,
    TYPE_F64,
    TYPE_COUNT
} value_type;

static const struct {
    const char *name;
    size_t size; /* 0: not fixed */
} types[TYPE_COUNT] = {{"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
                       {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8}};

typedef struct reader {
    input *input;
    uint64_t at; /* bytes read so far */
    trouble *trouble;
} reader;

static bool read_bytes(reader *reader, void *bytes, size_t n_bytes) {
    char *next = bytes;
    while (n_bytes > 0) {
        ssize_t n = input_read(reader->input, next, n_bytes, reader->trouble);
        if (n < 0)
            return false;
        if (n == 0)
            return trouble_set(reader->trouble, "%s: the GGUF file ends inside its header, after %" PRIu64 " bytes",
                               input_name(reader->input), reader->at);
        next += n;
        n_bytes -= (size_t)n;
        reader->at += (uint64_t)n;
    }
    return true;
}

static bool skip_bytes(reader *reader, uint64_t n_bytes) {
    char ignored[4096];
    for (; n_bytes > sizeof ignored; n_bytes -= sizeof ignored)
        if (!read_bytes(reader, ignored, sizeof ignored))
            return false;
    return read_bytes(reader, ignored, (size_t)n_bytes);
}

/* The machines that this builds for are little-endian, as the file. */
static bool read_u32(reader *reader, uint32_t *value) {
    return read_bytes(reader, value, sizeof *value);
}

static bool read_u64(reader *reader, uint64_t *value) {
    return read_bytes(reader, value, sizeof *value);
}

/* A string into `text`, cut; *n_bytes is its whole length. */
static bool read_string(reader *reader, char *text, size_t size, uint64_t *n_bytes) {
    if (!read_u64(reader, n_bytes))
        return false;
    size_t kept = *n_bytes < size ? (size_t)*n_bytes : size - 1;
    text[0] = 0;
    if (!read_bytes(reader, text, kept) || !skip_bytes(reader, *n_bytes - kept))
        return false;
    text[kept] = 0;
    return true;
}

static void format_scalar(char *text, size_t size, value_type type, const unsigned char *bytes) {
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
        float f32;
        double f64;
    } value;
    memcpy(&value, bytes, types[type].size);
    switch (type) {
    case TYPE_BOOL:
        snprintf(text, size, "%s", value.u8 ? "true" : "false");
        break;
    case TYPE_F32:
        snprintf(text, size, "%g", (double)value.f32);
        break;
    case TYPE_F64:
        snprintf(text, size, "%g", value.f64);
        break;
    case TYPE_I8:
        snprintf(text, size, "%d", value.i8);
        break;
    case TYPE_I16:
        snprintf(text, size, "%d", value.i16);
        break;
    case TYPE_I32:
        snprintf(text, size, "%" PRId32, value.i32);
        break;
    case TYPE_I64:
        snprintf(text, size, "%" PRId64, value.i64);
        break;
    case TYPE_U8:
        snprintf(text, size, "%u", value.u8);
        break;
    case TYPE_U16:
        snprintf(text, size, "%u", value.u16);
        break;
    case TYPE_U32:
        snprintf(text, size, "%" PRIu32, value.u32);
        break;
    default:
        snprintf(text, size, "%" PRIu64, value.u64);
        break;
    }
}

static bool read_type(reader *reader, value_type *type) {
    *type = (value_type)0; /* gcc cannot see that trouble_set never returns true */
    uint32_t number;
    if (!read_u32(reader, &number))
        return false;
    if (number >= TYPE_COUNT)
        return trouble_set(reader->trouble, "%s: broken GGUF header: unknown type %" PRIu32 " at byte %" PRIu64,
                           input_name(reader->input), number, reader->at - 4);
    *type = (value_type)number;
    return true;
}

static bool skip_array(reader *reader, value_type type, uint64_t n, int depth);

/* The head of an array, described in `text`, then its elements, passed over. */
static bool read_array(reader *reader, char *text, size_t size, int depth) {
    value_type type = TYPE_U8;
    uint64_t n;
    if (!read_type(reader, &type) || !read_u64(reader, &n))
        return false;
    if (text)
        snprintf(text, size, "array of %" PRIu64 " %s", n, types[type].name);
    return skip_array(reader, type, n, depth);
}

static bool skip_array(reader *reader, value_type type, uint64_t n, int depth) {
    char ignored[8];
    uint64_t n_bytes;
    if (types[type].size > 0) {
        if (__builtin_mul_overflow(n, (uint64_t)types[type].size, &n_bytes))
            n_bytes = UINT64_MAX; /* ends at the end of the file */
        return skip_bytes(reader, n_bytes);
    }
    if (depth == MAX_DEPTH)
        return trouble_set(reader->trouble, "%s: broken GGUF header: arrays in arrays in arrays at byte %" PRIu64,
                           input_name(reader->input), reader->at);
    for (uint64_t i = 0; i < n; i++) {
        bool ok = type == TYPE_STRING ? read_string(reader, ignored, sizeof ignored, &n_bytes)
                                      : read_array(reader, NULL, 0, depth + 1);
        if (!ok)
            return false;
    }
    return true;
}

static bool read_value(reader *reader, char *text, size_t size) {
    value_type type = TYPE_U8;
    unsigned char bytes[8];
    uint64_t n_bytes;
    if (!read_type(reader, &type))
        return false;
    if (type == TYPE_ARRAY)
        return read_array(reader, text, size, 0);
    if (type == TYPE_STRING) {
        if (!read_string(reader, text, size, &n_bytes))
            return false;
        if (n_bytes >= size)
            snprintf(text, size, "a string of %" PRIu64 " bytes", n_bytes);
        return true;
    }
    if (!read_bytes(reader, bytes, types[type].size))
        return false;
    format_scalar(text, size, type, bytes);
    return true;
}

static bool read_pairs(reader *reader, uint64_t n_pairs, gguf_visit visit, void *user) {
    for (uint64_t i = 0; i < n_pairs; i++) {
        char key[SHOWN], value[SHOWN];
        uint64_t n_key;
        if (!read_string(reader, key, sizeof key, &n_key) || !read_value(reader, value, sizeof value))
            return false;
        if (n_key > MAX_KEY)
            return trouble_set(reader->trouble, "%s: broken GGUF header: a key of %" PRIu64 " bytes",
                               input_name(reader->input), n_key);
        if (visit)
            visit(user, key, value);
    }
    return true;
}

/* Name, dimensions, type and offset of each. */
static bool read_tensors(reader *reader, gguf_summary *summary) {
    for (uint64_t i = 0; i < summary->n_tensors; i++) {
        char name[SHOWN];
        uint64_t n_name, n_elements = 1, dimension;
        uint32_t n_dimensions;
        if (!read_string(reader, name, sizeof name, &n_name) || !read_u32(reader, &n_dimensions))
            return false;
        if (n_dimensions > MAX_DIMENSIONS)
            return trouble_set(reader->trouble,
                               "%s: tensor \"%.100s\" has %" PRIu32 " dimensions, at most %d are known",
                               input_name(reader->input), name, n_dimensions, MAX_DIMENSIONS);
        for (uint32_t j = 0; j < n_dimensions; j++) {
            if (!read_u64(reader, &dimension))
                return false;
            if (__builtin_mul_overflow(n_elements, dimension, &n_elements))
                return trouble_set(reader->trouble, "%s: tensor \"%.100s\" is too large", input_name(reader->input),
                                   name);
        }
        if (!skip_bytes(reader, 4 + 8))
            return false;
        if (__builtin_add_overflow(summary->n_parameters, n_elements, &summary->n_parameters))
            return trouble_set(reader->trouble, "%s: tensor \"%.100s\" is too large", input_name(reader->input), name);
    }
    return true;
}

bool gguf_read(gguf_summary *summary, input *input, gguf_visit visit, void *user, trouble *trouble) {
    reader reader = {input, 0, trouble};
    char magic[4];
    *summary = (gguf_summary){0};
    if (!read_bytes(&reader, magic, sizeof magic))
        return false;
    if (memcmp(magic, "GGUF", 4) != 0)
        return trouble_set(trouble, "%s: expected a GGUF file, found something else", input_name(input));
    if (!read_u32(&reader, &summary->version))
        return false;
    if (summary->version < 2 || summary->version > 3)
        return trouble_set(trouble, "%s: expected GGUF version 2 or 3, found %" PRIu32 "%s", input_name(input),
                           summary->version, (summary->version & 0xFFFF) == 0 ? " (a big-endian file?)" : "");
    if (!read_u64(&reader, &summary->n_tensors) || !read_u64(&reader, &summary->n_pairs))
        return false;
    if (summary->n_tensors > MAX_TENSORS || summary->n_pairs > MAX_PAIRS)
        return trouble_set(trouble, "%s: broken GGUF header: %" PRIu64 " tensors and %" PRIu64 " pairs",
                           input_name(input), summary->n_tensors, summary->n_pairs);
    return read_pairs(&reader, summary->n_pairs, visit, user) && read_tensors(&reader, summary);
}
