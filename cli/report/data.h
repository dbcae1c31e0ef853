/* What the report embeds: a document's columns as compact JSON. */
#ifndef CLI_REPORT_DATA_H
#define CLI_REPORT_DATA_H

#include "../buffer.h"
#include "vocabulary.h"

/* {"id", "n", "text", "length", "gap", and the recorded columns}: nats as integers of a thousandth, null for missing;
 * `length` is the UTF-16 length of each token's piece, -1 for a token joined with the one before; `gap` lists
 * [token, length] of text before that token which no token covers. Lists of top tokens are flat. */
bool data_append_document(buffer *json, vocabulary *vocabulary, const document *document);

#endif
