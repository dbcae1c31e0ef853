/* A text that is written into a caller's room, which it may be longer than. */
#ifndef ENT_BASE_WRITER_H
#define ENT_BASE_WRITER_H

#include "number.h"

#include <string.h>

/* n counts all of it, also what has no room; no NUL is written. */
typedef struct ent_writer {
    char *text;
    size_t n, capacity;
} ent_writer;

static inline void ent_put(ent_writer *out, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++, out->n++)
        if (out->n < out->capacity)
            out->text[out->n] = text[i];
}

static inline void ent_put_text(ent_writer *out, const char *text) {
    ent_put(out, text, strlen(text));
}

static inline void ent_put_real(ent_writer *out, double value) {
    char text[ENT_REAL_ROOM];
    ent_put(out, text, ent_write_real(text, value));
}

#endif
