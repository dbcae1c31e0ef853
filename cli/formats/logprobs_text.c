/* The text of a choice: the pieces of its tokens, and what of the whole text stands where pieces are damaged. */
#include "logprobs.h"

#include "../utf8.h"

#include <string.h>

static bool is_piece_at(const logprobs_choice *choice, size_t token, size_t at) {
    const logprobs_entry *piece = &choice->tokens[token].chosen;
    return piece->n_bytes <= choice->whole_size - at && memcmp(choice->whole + at, piece->text, piece->n_bytes) == 0;
}

/* Where a run of damaged pieces ends that begins at byte `at` of the whole text: where the next piece that is not empty
 * stands, or at its end. SIZE_MAX if it stands nowhere. */
static size_t end_of_damage(const logprobs_choice *choice, size_t next, size_t at) {
    while (next < choice->n_tokens && choice->tokens[next].chosen.n_bytes == 0)
        next++;
    if (next == choice->n_tokens)
        return choice->whole_size;
    const logprobs_entry *piece = &choice->tokens[next].chosen;
    if (at == choice->whole_size)
        return SIZE_MAX;
    const char *found = memmem(choice->whole + at + 1, choice->whole_size - at - 1, piece->text, piece->n_bytes);
    return found ? (size_t)(found - choice->whole) : SIZE_MAX;
}

/* Lays the pieces from first_of_whole on over the whole text, and writes where each ends in it. Of a run of damaged
 * pieces the first has all that stands there. False where that does not come out even. */
static bool lay_over_whole(size_t *ends, const logprobs_choice *choice) {
    size_t at = 0, n = choice->n_tokens;
    for (size_t i = choice->first_of_whole; i < n;) {
        const logprobs_entry *piece = &choice->tokens[i].chosen;
        size_t next = i + 1;
        if (!piece->is_damaged) {
            if (!is_piece_at(choice, i, at))
                return false;
            at += piece->n_bytes;
        } else {
            while (next < n && choice->tokens[next].chosen.is_damaged)
                next++;
            at = end_of_damage(choice, next, at);
        }
        if (at == SIZE_MAX)
            return false;
        while (i < next)
            ends[i++] = at;
    }
    return at == choice->whole_size;
}

static bool is_damaged(const logprobs_choice *choice) {
    for (size_t i = choice->first_of_whole; i < choice->n_tokens; i++)
        if (choice->tokens[i].chosen.is_damaged)
            return true;
    return false;
}

static void join_pieces(buffer *text, size_t *ends, const logprobs_choice *choice) {
    bool is_laid = choice->whole && is_damaged(choice) && lay_over_whole(ends, choice);
    size_t n = is_laid ? choice->first_of_whole : choice->n_tokens;
    buffer_append(text, "", 0);
    for (size_t i = 0; i < n; i++) {
        buffer_append(text, choice->tokens[i].chosen.text, choice->tokens[i].chosen.n_bytes);
        ends[i] = text->size;
    }
    size_t before = text->size;
    if (is_laid)
        buffer_append(text, choice->whole, choice->whole_size);
    for (size_t i = n; i < choice->n_tokens; i++)
        ends[i] += before;
}

/* What is no UTF-8, and NUL, which JSON's readers refuse, become U+FFFD; the ends move with them. */
static void clean(buffer *text, const buffer *raw, size_t *ends, size_t n_ends) {
    size_t next = 0, at = 0;
    while (at < raw->size) {
        uint32_t code;
        size_t length = utf8_next(raw->data + at, raw->size - at, &code);
        size_t before = text->size;
        if (code == UTF8_BROKEN || code == 0)
            buffer_append(text, "\xEF\xBF\xBD", 3);
        else
            buffer_append(text, raw->data + at, length);
        for (; next < n_ends && ends[next] < at + length; next++) /* inside a character: as far as its bytes go */
            ends[next] =
                code == UTF8_BROKEN || code == 0 ? (ends[next] > at ? text->size : before) : before + (ends[next] - at);
        at += length;
    }
    for (; next < n_ends; next++)
        ends[next] = text->size;
}

bool logprobs_join(buffer *text, size_t *ends, const logprobs_choice *choice) {
    buffer raw = {0};
    join_pieces(&raw, ends, choice);
    buffer_append(text, "", 0);
    if (!raw.failed)
        clean(text, &raw, ends, choice->n_tokens);
    bool ok = !raw.failed && !text->failed;
    buffer_free(&raw);
    return ok;
}
