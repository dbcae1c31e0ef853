/* Cutting a document into pieces. See pieces.h. */
#include "pieces.h"

#include <stdlib.h>
#include <string.h>

static void add(pieces *pieces, size_t offset, size_t size, size_t first_token, size_t n_tokens) {
    pieces->items[pieces->n_items++] = (piece){offset, size, first_token, n_tokens};
}

/* A byte offset of token i, never before `least` nor past the text. */
static size_t offset_at(const document *document, column_id id, size_t i, size_t least) {
    const column *column = &document->columns[id];
    if (!column->valid[i] || column->integers[i] < 0 || (uint64_t)column->integers[i] < least)
        return least;
    size_t offset = (size_t)column->integers[i];
    return offset < document->text_size ? offset : document->text_size;
}

static bool is_inside_character(const char *text, size_t size, size_t offset) {
    return offset < size && ((unsigned char)text[offset] & 0xc0) == 0x80;
}

static void cut_text(pieces *pieces, const document *document) {
    size_t end = 0;
    for (size_t i = 0, n_joined; i < document->n_tokens; i += n_joined) {
        size_t start = offset_at(document, COLUMN_BYTE_START, i, end);
        if (start > end)
            add(pieces, end, start - end, i, 0);
        end = offset_at(document, COLUMN_BYTE_END, i, start);
        for (n_joined = 1;
             i + n_joined < document->n_tokens && is_inside_character(document->text, document->text_size, end);
             n_joined++)
            end = offset_at(document, COLUMN_BYTE_END, i + n_joined, end);
        add(pieces, start, end - start, i, n_joined);
    }
    if (end < document->text_size)
        add(pieces, end, document->text_size - end, document->n_tokens, 0);
}

static void cut_tokens(pieces *pieces, const document *document, const column *tokens) {
    for (size_t i = 0; i < document->n_tokens; i++) {
        size_t offset = pieces->made.size;
        if (tokens && tokens->valid[i])
            buffer_append_string(&pieces->made, tokens->strings[i]);
        else if (!tokens)
            buffer_append_format(&pieces->made, "%zu ", i);
        add(pieces, offset, pieces->made.size - offset, i, 1);
    }
}

bool pieces_make(pieces *pieces, const document *document) {
    const column *columns = document->columns;
    memset(pieces, 0, sizeof *pieces);
    /* A gap before every token and one at the end is the most there can be. */
    pieces->items = calloc(2 * document->n_tokens + 1, sizeof *pieces->items);
    if (!pieces->items)
        return false;
    bool has_offsets = columns[COLUMN_BYTE_START].is_present && columns[COLUMN_BYTE_END].is_present;
    pieces->has_text = (document->text && has_offsets) || columns[COLUMN_TOKEN].is_present;
    if (document->text && has_offsets) {
        pieces->text = document->text;
        cut_text(pieces, document);
    } else {
        cut_tokens(pieces, document, columns[COLUMN_TOKEN].is_present ? &columns[COLUMN_TOKEN] : NULL);
        pieces->text = pieces->made.data ? pieces->made.data : "";
    }
    return !pieces->made.failed;
}

void pieces_free(pieces *pieces) {
    free(pieces->items);
    buffer_free(&pieces->made);
    memset(pieces, 0, sizeof *pieces);
}
