/* Text to tokens, and where each token stands in the text.
 *
 * llama.cpp says which tokens a text has but not where they are. The pieces of the tokens give it back, except that:
 *   - a SentencePiece tokenizer may add a space before the text and after every special token;
 *   - it writes a space as U+2581, so that a U+2581 of the text itself comes back as a space, or the reverse;
 *   - whitespace beside some special tokens is dropped (their attributes LSTRIP and RSTRIP).
 * The pieces are matched against the text under these rules; every byte must be accounted for. */
#include "internal.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Where the tokenizer added spaces that the text lacks. */
typedef enum added_space { SPACE_AFTER_SPECIAL, SPACE_AT_START, SPACE_NOWHERE } added_space;

/* A token's text, in a buffer that grows. */
typedef struct piece_buffer {
    char *bytes;
    size_t capacity;
} piece_buffer;

/* The size of the piece, or -1 for lack of memory. */
static ptrdiff_t read_piece(const entrol_llama *llama, piece_buffer *piece, int32_t token) {
    for (;;) {
        const int32_t size = llama_token_to_piece(llama->vocab, token, piece->bytes, (int32_t)piece->capacity, 0, true);
        if (size >= 0) {
            return size;
        }
        char *grown = realloc(piece->bytes, (size_t)-size);
        if (grown == NULL) {
            return -1;
        }
        piece->bytes = grown;
        piece->capacity = (size_t)-size;
    }
}

static bool has_attribute(const entrol_llama *llama, int32_t token, int attributes) {
    return ((int)llama_vocab_get_attr(llama->vocab, token) & attributes) != 0;
}

/* Bytes of the space, or of the U+2581 that stands for one, at the start of the text; 0 if there is none. */
static size_t space_size(const char *text, size_t size) {
    if (size >= 1 && text[0] == ' ') {
        return 1;
    }
    return size >= 3 && memcmp(text, "\xe2\x96\x81", 3) == 0 ? 3 : 0;
}

/* Matches the whole piece at the start of the text. *n_matched is then the text's bytes that it covers. */
static bool match(size_t *n_matched, const char *text, size_t text_size, const char *piece, size_t piece_size) {
    size_t t = 0, p = 0;
    while (p < piece_size) {
        const size_t text_space = space_size(text + t, text_size - t);
        const size_t piece_space = space_size(piece + p, piece_size - p);
        if (text_space > 0 && piece_space > 0) {
            t += text_space;
            p += piece_space;
        } else if (t < text_size && text[t] == piece[p]) {
            t++;
            p++;
        } else {
            return false;
        }
    }
    *n_matched = t;
    return true;
}

static size_t skip_whitespace(const char *text, size_t at, size_t size) {
    while (at < size && isspace((unsigned char)text[at])) {
        at++;
    }
    return at;
}

/* The text being matched, and how far. */
typedef struct alignment {
    const entrol_llama *llama;
    const char *text;
    size_t text_size;
    size_t at;
    added_space added;
    bool space_is_due; /* the tokenizer put a space here that the text lacks */
    piece_buffer piece;
} alignment;

/* Moves past one token. UNSUPPORTED if its piece is not what the text has there. */
static entrol_status pass_token(alignment *a, entrol_llama_token *token) {
    const ptrdiff_t size = read_piece(a->llama, &a->piece, token->id);
    if (size < 0) {
        return ENTROL_ERROR_MEMORY;
    }
    const bool special = has_attribute(
        a->llama, token->id, LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED | LLAMA_TOKEN_ATTR_UNKNOWN);
    const size_t due = a->space_is_due && !special ? space_size(a->piece.bytes, (size_t)size) : 0;
    size_t start = a->at, n_matched;
    if (has_attribute(a->llama, token->id, LLAMA_TOKEN_ATTR_LSTRIP)) {
        start = skip_whitespace(a->text, start, a->text_size);
    }
    if (!match(&n_matched, a->text + start, a->text_size - start, a->piece.bytes + due, (size_t)size - due)) {
        return ENTROL_ERROR_UNSUPPORTED;
    }
    token->byte_start = a->at;
    a->at = start + n_matched;
    if (has_attribute(a->llama, token->id, LLAMA_TOKEN_ATTR_RSTRIP)) {
        a->at = skip_whitespace(a->text, a->at, a->text_size);
    }
    token->byte_end = a->at;
    a->space_is_due = special && a->added == SPACE_AFTER_SPECIAL;
    return ENTROL_OK;
}

static entrol_status align(const entrol_llama *llama, entrol_llama_token *tokens, size_t n_tokens, const char *text,
                           size_t text_size, added_space added) {
    alignment a = {llama, text, text_size, 0, added, added != SPACE_NOWHERE, {NULL, 0}};
    entrol_status status = ENTROL_OK;
    for (size_t i = 0; i < n_tokens && status == ENTROL_OK; i++) {
        status = pass_token(&a, &tokens[i]);
    }
    free(a.piece.bytes);
    return status == ENTROL_OK && a.at != text_size ? ENTROL_ERROR_UNSUPPORTED : status;
}

/* Only one way of adding spaces accounts for every byte, so they can be tried. */
static entrol_status align_somehow(const entrol_llama *llama, entrol_llama_token *tokens, size_t n_tokens,
                                   const char *text, size_t text_size) {
    if (llama->space_prefix) {
        for (added_space added = SPACE_AFTER_SPECIAL; added < SPACE_NOWHERE; added++) {
            const entrol_status status = align(llama, tokens, n_tokens, text, text_size, added);
            if (status != ENTROL_ERROR_UNSUPPORTED) {
                return status;
            }
        }
    }
    return align(llama, tokens, n_tokens, text, text_size, SPACE_NOWHERE);
}

/* *ids is malloc'd. */
static entrol_status read_ids(const entrol_llama *llama, int32_t **ids, size_t *n_ids, const char *text,
                              size_t text_size, bool special) {
    size_t capacity = text_size / 3 + 16;
    for (int attempt = 0; attempt < 2; attempt++) {
        int32_t *room = malloc(capacity * sizeof *room);
        if (room == NULL) {
            return ENTROL_ERROR_MEMORY;
        }
        const int32_t n =
            llama_tokenize(llama->vocab, text, (int32_t)text_size, room, (int32_t)capacity, false, special);
        if (n >= 0) {
            *ids = room;
            *n_ids = (size_t)n;
            return ENTROL_OK;
        }
        free(room);
        if (n == INT32_MIN) {
            return ENTROL_ERROR_OVERFLOW;
        }
        capacity = (size_t) - (int64_t)n;
    }
    return ENTROL_ERROR_UNSUPPORTED;
}

bool ent_llama_adds_space(const entrol_llama *llama) {
    int32_t token;
    char piece[16];
    if (llama_tokenize(llama->vocab, "a", 1, &token, 1, false, false) != 1) {
        return true; /* a space and an "a", or something stranger: whichever alignment holds decides */
    }
    return llama_token_to_piece(llama->vocab, token, piece, sizeof piece, 0, true) != 1;
}

entrol_status entrol_llama_tokenize(entrol_llama *llama, entrol_llama_token **tokens, size_t *n_tokens,
                                    const char *text, size_t text_size, int special) {
    if (llama == NULL || tokens == NULL || n_tokens == NULL || (text == NULL && text_size > 0)) {
        return ENTROL_ERROR_ARGUMENT;
    }
    if (text_size > INT32_MAX) {
        return ENTROL_ERROR_OVERFLOW;
    }
    ent_log *before = ent_log_use(&llama->log);
    int32_t *ids = NULL;
    size_t n_ids = 0;
    entrol_llama_token *aligned = NULL;
    entrol_status status = read_ids(llama, &ids, &n_ids, text_size > 0 ? text : "", text_size, special != 0);
    if (status == ENTROL_OK) {
        aligned = calloc(n_ids + 1, sizeof *aligned); /* never empty: NULL would be lack of memory */
        status = aligned == NULL ? ENTROL_ERROR_MEMORY : ENTROL_OK;
    }
    if (status == ENTROL_OK) {
        for (size_t i = 0; i < n_ids; i++) {
            aligned[i].id = ids[i];
        }
        status = align_somehow(llama, aligned, n_ids, text, text_size);
    }
    free(ids);
    ent_log_use(before);
    if (status != ENTROL_OK) {
        free(aligned);
        return status;
    }
    *tokens = aligned;
    *n_tokens = n_ids;
    return ENTROL_OK;
}

entrol_status entrol_llama_piece(entrol_llama *llama, char **piece, size_t *piece_size, int32_t token) {
    if (llama == NULL || piece == NULL || token < 0 || (size_t)token >= llama->n_vocab) {
        return ENTROL_ERROR_ARGUMENT;
    }
    piece_buffer buffer = {NULL, 0};
    const ptrdiff_t size = read_piece(llama, &buffer, token);
    char *text = size < 0 ? NULL : realloc(buffer.bytes, (size_t)size + 1);
    if (text == NULL) {
        free(buffer.bytes);
        return ENTROL_ERROR_MEMORY;
    }
    text[size] = '\0';
    *piece = text;
    if (piece_size != NULL) {
        *piece_size = (size_t)size;
    }
    return ENTROL_OK;
}
