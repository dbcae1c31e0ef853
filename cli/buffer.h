/* A growing string of bytes. Memory that runs out ends up in `failed`, checked once at the end. */
#ifndef CLI_BUFFER_H
#define CLI_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct buffer {
    char *data; /* NUL-terminated whenever size or capacity is not 0 */
    size_t size, capacity;
    bool failed;
} buffer;

void buffer_append(buffer *buffer, const void *bytes, size_t n_bytes);
void buffer_append_string(buffer *buffer, const char *string);
void buffer_append_format(buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_append_integer(buffer *buffer, int64_t value);
/* The shortest decimal that reads back as the same float. NaN and infinities: "NaN", "Infinity", "-Infinity" in quotes.
 */
void buffer_append_float(buffer *buffer, float value);
/* A string that may hold any bytes, as UTF-8: what is broken becomes U+FFFD. */
void buffer_append_utf8(buffer *buffer, const char *string, size_t n_bytes);
/* A JSON string, quoted and escaped; broken UTF-8 becomes U+FFFD. */
void buffer_append_json_string(buffer *buffer, const char *string, size_t n_bytes);
/* Room behind the last byte, for n_bytes and a NUL that the caller writes there, adding to size; NULL: it failed. */
char *buffer_reserve(buffer *buffer, size_t n_bytes);
void buffer_clear(buffer *buffer); /* size 0, memory kept */
void buffer_free(buffer *buffer);

#endif
