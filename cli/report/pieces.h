/* A document cut into what can be shown: each piece is whole characters of text and the tokens that made them. */
#ifndef CLI_REPORT_PIECES_H
#define CLI_REPORT_PIECES_H

#include "../buffer.h"
#include "../formats/record.h"

typedef struct piece {
    size_t offset, size;          /* of its text in `pieces.text` */
    size_t first_token, n_tokens; /* no tokens: text that was not scored, such as a prompt */
} piece;

typedef struct pieces {
    const char *text; /* the document's text, or `made` */
    piece *items;
    size_t n_items;
    bool has_text; /* false: the record holds neither text nor tokens, and the pieces are row numbers */
    buffer made;
} pieces;

/* Text between the tokens' byte offsets; without them the tokens' own strings; else the row's number. A token that
 * ends inside a character is joined with the next ones until the character is whole. False when memory is out. */
bool pieces_make(pieces *pieces, const document *document);
void pieces_free(pieces *pieces);

#endif
