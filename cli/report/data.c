/* The report's data. See data.h. */
#include "data.h"
#include "../utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void append_value(buffer *json, const column *column, size_t i, double scale) {
    double value = column->reals ? (double)column->reals[i] * scale * 1000 : NAN;
    if (!column->valid[i] || (column->reals && isnan(value)))
        buffer_append_string(json, "null");
    else if (!column->reals)
        buffer_append_format(json, "%lld", (long long)column->integers[i]);
    else if (isinf(value))
        buffer_append_string(json, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else
        buffer_append_format(json, "%.0f", value + 0.0);
}

static void append_column(buffer *json, const char *name, const document *document, column_id id, double scale) {
    const column *column = &document->columns[id];
    if (!column->is_present)
        return;
    buffer_append_format(json, ",\"%s\":[", name);
    for (size_t i = 0; i < document->n_tokens * column->width; i++) {
        if (i)
            buffer_append_string(json, ",");
        append_value(json, column, i, scale);
    }
    buffer_append_string(json, "]");
}

/* Appends whole characters only, U+FFFD for broken bytes; returns how long JavaScript will find it. */
static size_t append_clean(buffer *text, const char *bytes, size_t size) {
    size_t length = 0, n_read;
    for (size_t i = 0; i < size; i += n_read) {
        uint32_t character;
        n_read = utf8_next(bytes + i, size - i, &character);
        if (character == UTF8_BROKEN)
            buffer_append_string(text, "\xef\xbf\xbd");
        else
            buffer_append(text, bytes + i, n_read);
        length += character > 0xffff && character != UTF8_BROKEN ? 2 : 1;
    }
    return length;
}

static void append_text(buffer *json, const pieces *pieces, buffer *text) {
    buffer gaps = {0};
    const char *separator = "";
    buffer_append_string(json, ",\"length\":[");
    for (size_t i = 0; i < pieces->n_items; i++) {
        const piece *piece = &pieces->items[i];
        size_t length = append_clean(text, pieces->text + piece->offset, piece->size);
        if (!piece->n_tokens) {
            buffer_append_format(&gaps, "%s[%zu,%zu]", gaps.size ? "," : "", piece->first_token, length);
            continue;
        }
        buffer_append_format(json, "%s%zu", separator, length);
        for (size_t k = 1; k < piece->n_tokens; k++)
            buffer_append_string(json, ",-1");
        separator = ",";
    }
    buffer_append_string(json, "],\"text\":");
    buffer_append_json_string(json, text->data ? text->data : "", text->size);
    if (gaps.size)
        buffer_append_format(json, ",\"gap\":[%s]", gaps.data);
    json->failed = json->failed || gaps.failed || text->failed;
    buffer_free(&gaps);
}

static void append_top(buffer *json, const document *document) {
    const column *ids = &document->columns[COLUMN_TOP_ID], *logprobs = &document->columns[COLUMN_TOP_LOGPROB];
    if (!ids->is_present || !logprobs->is_present || ids->width != logprobs->width)
        return;
    buffer_append_format(json, ",\"n_top\":%zu", ids->width);
    append_column(json, "top_id", document, COLUMN_TOP_ID, 1);
    append_column(json, "top_surprisal", document, COLUMN_TOP_LOGPROB, -1);
}

bool data_append_document(buffer *json, vocabulary *vocabulary, const document *document) {
    pieces pieces;
    buffer text = {0};
    if (!pieces_make(&pieces, document)) {
        pieces_free(&pieces);
        return false;
    }
    buffer_append_string(json, "{\"id\":");
    buffer_append_json_string(json, document->id, strlen(document->id));
    buffer_append_format(json, ",\"n\":%zu,\"is_rows\":%s", document->n_tokens, pieces.has_text ? "false" : "true");
    append_text(json, &pieces, &text);
    append_column(json, "entropy", document, COLUMN_ENTROPY, 1);
    append_column(json, "surprisal", document, COLUMN_LOGPROB, -1);
    append_column(json, "rank", document, COLUMN_RANK, 1);
    append_column(json, "keep", document, COLUMN_KEEP, 1);
    append_column(json, "token_id", document, COLUMN_TOKEN_ID, 1);
    append_top(json, document);
    buffer_append_string(json, "}");
    bool ok = vocabulary_add_tokens(vocabulary, document, &pieces) && !json->failed;
    buffer_free(&text);
    pieces_free(&pieces);
    return ok;
}
