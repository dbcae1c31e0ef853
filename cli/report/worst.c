/* The table of worst tokens. See worst.h. */
#include "worst.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool worst_make(worst_tokens *worst, size_t n_most) {
    memset(worst, 0, sizeof *worst);
    worst->n_most = n_most;
    worst->items = calloc(n_most + 1, sizeof *worst->items);
    return worst->items != NULL;
}

void worst_free(worst_tokens *worst) {
    for (size_t i = 0; i < worst->n_items; i++)
        free(worst->items[i].text);
    free(worst->items);
    vocabulary_free(&worst->vocabulary);
    memset(worst, 0, sizeof *worst);
}

/* The text around a piece: roughly a third of the columns before it, from a character's start. */
static void append_context(buffer *line, const pieces *pieces, size_t index, const painter *painter, size_t columns) {
    const piece *piece = &pieces->items[index], *last = &pieces->items[pieces->n_items - 1];
    bool in_color = painter->depth != COLOR_NONE;
    size_t start = piece->offset > columns / 3 ? piece->offset - columns / 3 : 0, end = piece->offset + piece->size;
    while (start < piece->offset && ((unsigned char)pieces->text[start] & 0xc0) == 0x80)
        start++;
    size_t used = terminal_text(line, pieces->text + start, piece->offset - start, columns / 3);
    buffer_append_string(line, in_color ? "\033[1;7m" : "[");
    used += piece->size ? terminal_text(line, pieces->text + piece->offset, piece->size, columns / 3) : 0;
    buffer_append_string(line, in_color ? "\033[0m" : "]");
    used += 2;
    if (columns > used)
        terminal_text(line, pieces->text + end, last->offset + last->size - end, columns - used);
}

static void append_alternatives(worst_tokens *worst, buffer *line, const document *document, size_t i, size_t columns) {
    const column *ids = &document->columns[COLUMN_TOP_ID], *logprobs = &document->columns[COLUMN_TOP_LOGPROB];
    if (!ids->is_present || !logprobs->is_present || ids->width != logprobs->width)
        return;
    buffer text = {0};
    for (size_t at = i * ids->width; at < (i + 1) * ids->width; at++) {
        if (!ids->valid[at] || !logprobs->valid[at] || ids->integers[at] < 0)
            continue;
        const char *name = vocabulary_find(&worst->vocabulary, ids->integers[at]);
        buffer_append_string(&text, text.size ? ", " : "expected ");
        if (name)
            buffer_append_format(&text, "“%s”", name);
        else
            buffer_append_format(&text, "#%lld", (long long)ids->integers[at]);
        buffer_append_format(&text, " %.1f %%", 100 * exp((double)logprobs->reals[at]));
    }
    if (text.size) {
        worst->has_alternatives = true;
        buffer_append_string(line, "            ");
        terminal_text(line, text.data, text.size, columns);
        buffer_append_string(line, "\n");
    }
    line->failed = line->failed || text.failed;
    buffer_free(&text);
}

/* The token of a piece that gave it its value. */
static size_t token_of(const piece *piece, const float *values, const scale *scale, double value) {
    for (size_t i = 0; i < piece->n_tokens; i++)
        if ((double)values[piece->first_token + i] * scale->factor == value)
            return piece->first_token + i;
    return piece->first_token;
}

static bool describe(worst_tokens *worst, char **text, const document *document, const pieces *pieces, size_t index,
                     const float *values, const scale *scale, const painter *painter, double value) {
    size_t columns = painter->columns > 40 ? painter->columns - 12 : 28;
    size_t token = token_of(&pieces->items[index], values, scale, value);
    buffer line = {0};
    buffer_append_format(&line, "%10.3f  ", value);
    append_context(&line, pieces, index, painter, columns);
    buffer_append_string(&line, "\n            ");
    terminal_text(&line, document->id, strlen(document->id), columns > 20 ? columns - 18 : columns);
    buffer_append_format(&line, ", %s %zu\n", pieces->has_text ? "token" : "row", token);
    append_alternatives(worst, &line, document, token, columns);
    *text = line.data;
    return !line.failed;
}

/* Whether a value belongs among the worst; then *place is where. Of equal ones the earlier stays first. */
static bool find_place(size_t *place, const worst_tokens *worst, double value) {
    size_t i = worst->n_items;
    while (i && worst->items[i - 1].value < value)
        i--;
    *place = i;
    return i < worst->n_most;
}

static void insert(worst_tokens *worst, size_t place, worst_token token) {
    memmove(worst->items + place + 1, worst->items + place, (worst->n_items - place) * sizeof *worst->items);
    worst->items[place] = token;
    if (++worst->n_items > worst->n_most)
        free(worst->items[--worst->n_items].text);
}

bool worst_add(worst_tokens *worst, const document *document, const pieces *pieces, const float *values,
               const scale *scale, const painter *painter) {
    if (!vocabulary_add_tokens(&worst->vocabulary, document, pieces))
        return false;
    for (size_t i = 0; i < pieces->n_items; i++) {
        const piece *piece = &pieces->items[i];
        double value = scale_piece(scale, values + piece->first_token, piece->n_tokens);
        worst_token token = {scale->measure.is_worst_low ? -value : value, NULL};
        size_t place;
        if (isnan(value) || !find_place(&place, worst, token.value))
            continue;
        if (!describe(worst, &token.text, document, pieces, i, values, scale, painter, value)) {
            free(token.text);
            return false;
        }
        insert(worst, place, token);
    }
    return true;
}

void worst_append(buffer *out, const worst_tokens *worst, const scale *scale) {
    buffer_append_format(out, "%s %s%s%s\n\n", scale->measure.is_worst_low ? "Lowest" : "Highest", scale->measure.name,
                         *scale->unit ? "," : "", scale->unit);
    for (size_t i = 0; i < worst->n_items; i++)
        buffer_append_string(out, worst->items[i].text);
    if (!worst->has_alternatives)
        buffer_append_string(out, "\nThe records hold no alternatives: entrol score --top 5 records them, and so does "
                                  "--top of entrol generate.\n");
}
