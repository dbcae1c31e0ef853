/* One text that grows: its bytes and tokens, and where it stops. */
#include "generate.h"

#ifdef ENTROL_HAVE_LLAMA

#include "../utf8.h"

#include <stdlib.h>
#include <string.h>

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Memory for so many bytes with what is there; that memory itself, and *ok is false, where there is none. */
static void *grown(void *memory, size_t n_bytes, bool *ok) {
    void *larger = realloc(memory, n_bytes);
    *ok = *ok && larger != NULL;
    return larger != NULL ? larger : memory;
}

static bool make_room(made_text *text, size_t n) {
    made_top *top = &text->top;
    if (n <= text->capacity)
        return true;
    const size_t capacity = n > 2 * text->capacity ? n : 2 * text->capacity;
    bool ok = true;
    text->tokens = grown(text->tokens, capacity * sizeof *text->tokens, &ok);
    if (top->n > 0) {
        top->ids = grown(top->ids, capacity * top->n * sizeof *top->ids, &ok);
        top->logprobs = grown(top->logprobs, capacity * top->n * sizeof *top->logprobs, &ok);
    }
    text->capacity = ok ? capacity : text->capacity;
    return ok;
}

/* The rows of n_rows tokens, from another text's first or a token's own, to those from `row` on. */
static void copy_top(made_text *text, size_t row, const made_top *top, size_t n_rows) {
    const size_t n = text->top.n;
    if (n * n_rows == 0)
        return;
    memcpy(text->top.ids + row * n, top->ids, n_rows * n * sizeof *top->ids);
    memcpy(text->top.logprobs + row * n, top->logprobs, n_rows * n * sizeof *top->logprobs);
}

/* Where the first stop string begins of those that end behind byte `from`; SIZE_MAX: nowhere. */
static size_t find_stop(const buffer *bytes, size_t from, const string_list *stops) {
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < stops->n_items; i++) {
        const size_t n = strlen(stops->items[i]);
        for (size_t at = from >= n ? from - n + 1 : 0; at + n <= bytes->size; at++)
            if (memcmp(bytes->data + at, stops->items[i], n) == 0)
                first = least(first, at);
    }
    return first;
}

/* Cuts the text; tokens that begin at the cut or behind it are no part of it. */
static void cut(made_text *text, size_t size) {
    text->bytes.size = size;
    text->bytes.data[size] = '\0';
    while (text->n_tokens > 0 && (text->n_tokens > 1 ? text->tokens[text->n_tokens - 2].byte_end : 0) >= size)
        free(text->tokens[--text->n_tokens].piece);
    if (text->n_tokens > 0)
        text->tokens[text->n_tokens - 1].byte_end = size;
    text->fork_at = least(text->fork_at, text->n_tokens); /* of a branch that is cut before it has gone off */
}

bool made_text_append(made_text *text, const entrol_drawn *drawn, const made_top *top, const char *piece,
                      const char *bytes, size_t n_bytes, const string_list *stops) {
    const size_t before = text->bytes.size;
    char *copy = strdup(piece);
    buffer_append(&text->bytes, bytes, n_bytes);
    if (copy == NULL || text->bytes.failed || !make_room(text, text->n_tokens + 1)) {
        free(copy);
        return false;
    }
    copy_top(text, text->n_tokens, top, 1);
    text->tokens[text->n_tokens++] = (made_token){drawn->token, text->bytes.size, copy, *drawn};
    const size_t stop = n_bytes > 0 ? find_stop(&text->bytes, before, stops) : SIZE_MAX;
    if (stop != SIZE_MAX) {
        cut(text, stop);
        text->stop = "string";
    }
    return true;
}

/* Bytes at the end of the first n that begin a character and do not end it. */
static size_t cut_character(const char *bytes, size_t n) {
    for (size_t k = 1; k <= least(n, 3); k++) {
        const unsigned char byte = (unsigned char)bytes[n - k];
        if ((byte & 0xc0) != 0x80)
            return k < (size_t)(byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1) ? k : 0;
    }
    return 0;
}

size_t made_text_settled(const made_text *text, const string_list *stops) {
    const buffer *bytes = &text->bytes;
    size_t held = 0;
    if (text->stop != NULL)
        return bytes->size;
    for (size_t i = 0; i < stops->n_items; i++) {
        const size_t n = strlen(stops->items[i]);
        for (size_t k = least(n - 1, bytes->size); k > held; k--)
            if (memcmp(bytes->data + bytes->size - k, stops->items[i], k) == 0)
                held = k;
    }
    return bytes->size - held - cut_character(bytes->data, bytes->size - held);
}

bool made_text_copy(made_text *copy, const made_text *text) {
    copy->top.n = text->top.n;
    if (!make_room(copy, text->n_tokens + 1))
        return false;
    copy_top(copy, 0, &text->top, text->n_tokens);
    buffer_append(&copy->bytes, text->bytes.size > 0 ? text->bytes.data : "", text->bytes.size);
    for (size_t i = 0; i < text->n_tokens; i++) {
        copy->tokens[i] = text->tokens[i];
        copy->tokens[i].piece = strdup(text->tokens[i].piece);
        if (copy->tokens[i].piece == NULL)
            return false;
        copy->n_tokens++;
    }
    return !copy->bytes.failed;
}

void made_text_free(made_text *text, entrol_context *context) {
    entrol_sampler_destroy(context, text->sampler);
    entrol_controller_destroy(context, text->controller);
    for (size_t i = 0; i < text->n_tokens; i++)
        free(text->tokens[i].piece);
    free(text->tokens);
    free(text->top.ids);
    free(text->top.logprobs);
    buffer_free(&text->bytes);
    free(text);
}

void generate_append_clean(buffer *out, const char *bytes, size_t n_bytes) {
    for (size_t at = 0, length; at < n_bytes; at += length) {
        uint32_t code;
        length = utf8_next(bytes + at, n_bytes - at, &code);
        if (code == UTF8_BROKEN || code == 0)
            buffer_append(out, "\xef\xbf\xbd", 3);
        else
            buffer_append(out, bytes + at, length);
    }
}

#endif
