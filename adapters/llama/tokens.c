/* Text to tokens, and where each token stands in the text.
 *
 * llama.cpp says which tokens a text has but not where they are. The pieces of the tokens give it back, except that:
 *   - a SentencePiece tokenizer may add a space before the text and after every special token;
 *   - it writes a space as U+2581, so that a U+2581 of the text itself comes back as a space, or the reverse;
 *   - whitespace beside some special tokens is dropped (their attributes LSTRIP and RSTRIP).
 * The pieces are matched against the text under these rules; every byte must be accounted for.
 *
 * llama.cpp's time grows with the square of the number of special tokens in one text, and for many models a newline
 * is one: a million bytes of short lines take minutes. Such a text is tokenised in parts, cut where it makes no
 * difference. */
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

/* Token ids, in an array that grows. */
typedef struct id_list {
    int32_t *ids;
    size_t n, capacity;
} id_list;

static entrol_status make_room(id_list *list, size_t n_more) {
    if (list->capacity - list->n >= n_more) {
        return ENTROL_OK;
    }
    const size_t capacity = list->n + n_more + list->capacity / 2;
    int32_t *grown = realloc(list->ids, capacity * sizeof *grown);
    if (grown == NULL) {
        return ENTROL_ERROR_MEMORY;
    }
    list->ids = grown;
    list->capacity = capacity;
    return ENTROL_OK;
}

/* Appends the tokens of one part of a text. */
static entrol_status append_ids(const entrol_llama *llama, id_list *list, const char *text, size_t size, bool special) {
    size_t n_wanted = size / 3 + 16;
    for (int attempt = 0; attempt < 2; attempt++) {
        const entrol_status status = make_room(list, n_wanted);
        if (status != ENTROL_OK) {
            return status;
        }
        const size_t n_room = list->capacity - list->n;
        const int32_t n = llama_tokenize(llama->vocab, text, (int32_t)size, list->ids + list->n,
                                         n_room < INT32_MAX ? (int32_t)n_room : INT32_MAX, false, special);
        if (n >= 0) {
            list->n += (size_t)n;
            return ENTROL_OK;
        }
        if (n == INT32_MIN) {
            return ENTROL_ERROR_OVERFLOW;
        }
        n_wanted = (size_t) - (int64_t)n; /* what it would have taken */
    }
    return ENTROL_ERROR_UNSUPPORTED;
}

/* Bytes of the text's next part: all of it, or past PART_SIZE up to the end of a run of newlines. */
static size_t part_size(const entrol_llama *llama, const char *text, size_t size) {
    enum { PART_SIZE = 2048 };
    if (!llama->cut_at_newline || size <= PART_SIZE) {
        return size;
    }
    const char *newline = memchr(text + PART_SIZE, '\n', size - PART_SIZE);
    if (newline == NULL) {
        return size;
    }
    size_t end = (size_t)(newline - text);
    while (end < size && text[end] == '\n') {
        end++;
    }
    return end;
}

static entrol_status read_ids(const entrol_llama *llama, id_list *list, const char *text, size_t size, bool special) {
    while (size > 0) {
        const size_t part = part_size(llama, text, size);
        const entrol_status status = append_ids(llama, list, text, part, special);
        if (status != ENTROL_OK) {
            return status;
        }
        text += part;
        size -= part;
    }
    return ENTROL_OK;
}

static bool adds_space(const entrol_llama *llama) {
    int32_t token;
    char piece[16];
    if (llama_tokenize(llama->vocab, "a", 1, &token, 1, false, false) != 1) {
        return true; /* a space and an "a", or something stranger: whichever alignment holds decides */
    }
    return llama_token_to_piece(llama->vocab, token, piece, sizeof piece, 0, true) != 1;
}

/* llama.cpp first takes every user-defined token out of a text, wherever it stands, and then treats what is between
 * them each by itself. If "\n" is such a token and no other one that is taken out holds a newline beside something
 * else, nor eats the whitespace around it, then a run of newlines always ends a part. */
static bool cuts_at_newline(const entrol_llama *llama) {
    const int taken_out = LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED | LLAMA_TOKEN_ATTR_UNKNOWN;
    bool newline_is_one = false;
    for (int32_t token = 0; (size_t)token < llama->n_vocab; token++) {
        if (!has_attribute(llama, token, taken_out)) {
            continue;
        }
        const char *text = llama_vocab_get_text(llama->vocab, token);
        const size_t n_newlines = strspn(text, "\n");
        newline_is_one |= strcmp(text, "\n") == 0 && has_attribute(llama, token, LLAMA_TOKEN_ATTR_USER_DEFINED);
        if ((strchr(text, '\n') != NULL && text[n_newlines] != '\0') ||
            has_attribute(llama, token, LLAMA_TOKEN_ATTR_LSTRIP | LLAMA_TOKEN_ATTR_RSTRIP)) {
            return false;
        }
    }
    return newline_is_one;
}

void ent_llama_study_tokenizer(entrol_llama *llama) {
    llama->space_prefix = adds_space(llama);
    llama->cut_at_newline = cuts_at_newline(llama);
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
    id_list list = {NULL, 0, 0};
    entrol_llama_token *aligned = NULL;
    entrol_status status = read_ids(llama, &list, text, text_size, special != 0);
    if (status == ENTROL_OK) {
        aligned = calloc(list.n + 1, sizeof *aligned); /* never empty: NULL would be lack of memory */
        status = aligned == NULL ? ENTROL_ERROR_MEMORY : ENTROL_OK;
    }
    if (status == ENTROL_OK) {
        for (size_t i = 0; i < list.n; i++) {
            aligned[i].id = list.ids[i];
        }
        status = align_somehow(llama, aligned, list.n, text, text_size);
    }
    free(list.ids);
    ent_log_use(before);
    if (status != ENTROL_OK) {
        free(aligned);
        return status;
    }
    *tokens = aligned;
    *n_tokens = list.n;
    return ENTROL_OK;
}

/* Whether a control token stands in one of the contents, of which those before *next end before it. What counts is
 * where its own text starts, behind the whitespace that it swallowed. */
static bool is_in_content(const entrol_llama_token *token, const char *text, const entrol_llama_span *contents,
                          size_t n_contents, size_t *next) {
    const size_t at = skip_whitespace(text, token->byte_start, token->byte_end);
    while (*next < n_contents && contents[*next].byte_end <= at) {
        ++*next;
    }
    return *next < n_contents && contents[*next].byte_start <= at;
}

/* Tokens in an array of their own. */
typedef struct token_list {
    entrol_llama_token *tokens;
    size_t n;
} token_list;

/* Reads the text under the tokens [from, *to) again, as plain text. */
static entrol_status read_as_plain(entrol_llama *llama, token_list *list, size_t from, size_t *to, const char *text) {
    const size_t start = list->tokens[from].byte_start, end = list->tokens[*to - 1].byte_end;
    entrol_llama_token *plain;
    size_t n_plain;
    const entrol_status status = entrol_llama_tokenize(llama, &plain, &n_plain, text + start, end - start, 0);
    if (status != ENTROL_OK) {
        return status;
    }
    entrol_llama_token *grown = realloc(list->tokens, (list->n + n_plain) * sizeof *grown);
    if (grown == NULL) {
        free(plain);
        return ENTROL_ERROR_MEMORY;
    }
    memmove(grown + from + n_plain, grown + *to, (list->n - *to) * sizeof *grown);
    for (size_t i = 0; i < n_plain; i++) {
        grown[from + i] = (entrol_llama_token){plain[i].id, start + plain[i].byte_start, start + plain[i].byte_end};
    }
    free(plain);
    list->tokens = grown;
    list->n += from + n_plain - *to;
    *to = from + n_plain;
    return ENTROL_OK;
}

/* llama.cpp takes control tokens out of a text and splits what is between them each by itself. So a stretch between the
 * template's own ones can be read apart, and is where a content holds what reads like one. */
static entrol_status unforge(entrol_llama *llama, token_list *list, const char *text, const entrol_llama_span *contents,
                             size_t n_contents) {
    entrol_status status = ENTROL_OK;
    size_t from = 0, next = 0; /* the stretch's first token; the content to look at */
    bool is_forged = false;
    for (size_t i = 0; i <= list->n && status == ENTROL_OK; i++) {
        const bool is_control = i < list->n && has_attribute(llama, list->tokens[i].id,
                                                             LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN);
        const bool in_content = is_control && is_in_content(&list->tokens[i], text, contents, n_contents, &next);
        is_forged |= in_content;
        if (i < list->n && (!is_control || in_content)) {
            continue;
        }
        if (is_forged) {
            status = read_as_plain(llama, list, from, &i, text);
        }
        from = i + 1;
        is_forged = false;
    }
    return status;
}

entrol_status entrol_llama_tokenize_chat(entrol_llama *llama, entrol_llama_token **tokens, size_t *n_tokens,
                                         const char *text, size_t text_size, const entrol_llama_span *contents,
                                         size_t n_contents) {
    if (tokens == NULL || n_tokens == NULL || (contents == NULL && n_contents > 0)) {
        return ENTROL_ERROR_ARGUMENT;
    }
    token_list list = {NULL, 0};
    entrol_status status = entrol_llama_tokenize(llama, &list.tokens, &list.n, text, text_size, 1);
    if (status == ENTROL_OK) {
        status = unforge(llama, &list, text, contents, n_contents);
    }
    if (status != ENTROL_OK) {
        free(list.tokens);
        return status;
    }
    *tokens = list.tokens;
    *n_tokens = list.n;
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
