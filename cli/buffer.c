/* A growing string of bytes, and how numbers and strings are written in JSON. */
#include "buffer.h"
#include "decimal.h"
#include "utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* U+FFFD, which stands for what is not UTF-8. */
#define REPLACEMENT "\xEF\xBF\xBD"

/* Room for n more bytes and a NUL. */
static bool grow(buffer *buffer, size_t n_bytes) {
    if (buffer->failed || n_bytes > SIZE_MAX / 2 - buffer->size - 1) {
        buffer->failed = true;
        return false;
    }
    size_t need = buffer->size + n_bytes + 1;
    if (need <= buffer->capacity)
        return true;
    size_t capacity = buffer->capacity < 128 ? 256 : buffer->capacity * 2;
    if (capacity < need)
        capacity = need;
    char *data = realloc(buffer->data, capacity);
    if (!data) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

char *buffer_reserve(buffer *buffer, size_t n_bytes) {
    return grow(buffer, n_bytes) ? buffer->data + buffer->size : NULL;
}

void buffer_append(buffer *buffer, const void *bytes, size_t n_bytes) {
    if (!grow(buffer, n_bytes))
        return;
    if (n_bytes > 0)
        memcpy(buffer->data + buffer->size, bytes, n_bytes);
    buffer->size += n_bytes;
    buffer->data[buffer->size] = 0;
}

void buffer_append_string(buffer *buffer, const char *string) {
    buffer_append(buffer, string, strlen(string));
}

void buffer_append_format(buffer *buffer, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n < 0)
        buffer->failed = true;
    else if (grow(buffer, (size_t)n)) {
        vsnprintf(buffer->data + buffer->size, (size_t)n + 1, format, again);
        buffer->size += (size_t)n;
    }
    va_end(again);
}

void buffer_append_integer(buffer *buffer, int64_t value) {
    char digits[20]; /* as many as 2^63 has, and a sign */
    size_t n = sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        digits[--n] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        digits[--n] = '-';
    buffer_append(buffer, digits + n, sizeof digits - n);
}

void buffer_append_float(buffer *buffer, float value) {
    if (isnan(value)) {
        buffer_append_string(buffer, "\"NaN\"");
        return;
    }
    if (isinf(value)) {
        buffer_append_string(buffer, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    if (grow(buffer, DECIMAL_ROOM)) {
        buffer->size += decimal_write(buffer->data + buffer->size, value);
        buffer->data[buffer->size] = 0;
    }
}

void buffer_append_utf8(buffer *buffer, const char *string, size_t n_bytes) {
    size_t plain = 0, i = 0; /* [plain, i) is copied as it is */
    while (i < n_bytes) {
        uint32_t code;
        size_t length = utf8_next(string + i, n_bytes - i, &code);
        if (code == UTF8_BROKEN) {
            buffer_append(buffer, string + plain, i - plain);
            buffer_append_string(buffer, REPLACEMENT);
            plain = i + length;
        }
        i += length;
    }
    buffer_append(buffer, string + plain, n_bytes - plain);
}

static void append_escape(buffer *buffer, uint32_t code) {
    switch (code) {
    case '"':
        buffer_append(buffer, "\\\"", 2);
        break;
    case '\\':
        buffer_append(buffer, "\\\\", 2);
        break;
    case '\n':
        buffer_append(buffer, "\\n", 2);
        break;
    case '\r':
        buffer_append(buffer, "\\r", 2);
        break;
    case '\t':
        buffer_append(buffer, "\\t", 2);
        break;
    case UTF8_BROKEN:
        buffer_append_string(buffer, REPLACEMENT);
        break;
    default:
        buffer_append_format(buffer, "\\u%04x", (unsigned)code);
    }
}

void buffer_append_json_string(buffer *buffer, const char *string, size_t n_bytes) {
    buffer_append(buffer, "\"", 1);
    size_t plain = 0, i = 0; /* [plain, i) is copied as it is */
    while (i < n_bytes) {
        uint32_t code;
        size_t length = utf8_next(string + i, n_bytes - i, &code);
        if (code < 0x20 || code == '"' || code == '\\' || code == UTF8_BROKEN) {
            buffer_append(buffer, string + plain, i - plain);
            append_escape(buffer, code);
            plain = i + length;
        }
        i += length;
    }
    buffer_append(buffer, string + plain, n_bytes - plain);
    buffer_append(buffer, "\"", 1);
}

void buffer_clear(buffer *buffer) {
    buffer->size = 0;
    buffer->failed = false;
    if (buffer->data)
        buffer->data[0] = 0;
}

void buffer_free(buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){0};
}
