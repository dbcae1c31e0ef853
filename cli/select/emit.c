/* What --emit writes: the records with their keep, masks for trainers, byte spans, or lines as they were.
 *
 * labels: Hugging Face's trainers and Axolotl, whose loader takes a data set as tokenized only if it has all three of
 * input_ids, attention_mask and labels. A label stands at its own token; the trainer shifts.
 * trl: SFTTrainer's collator obeys assistant_masks wherever they are present, and completion_mask only with
 * completion_only_loss=True; so both are written, the same. */
#include "emit.h"

#include "../json_text.h"

#include <inttypes.h>
#include <string.h>

bool select_emit_line(select_emitter *emitter, const char *line, size_t n_bytes, trouble *trouble) {
    return output_write(emitter->output, line, n_bytes, trouble) && output_write(emitter->output, "\n", 1, trouble);
}

bool emit_trouble(const records *records, const document *document, trouble *trouble, const char *format, ...) {
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    return trouble_set(trouble, "%s:%" PRIu64 " (%s): %s", records_name(records), document->line_number, document->id,
                       what);
}

static bool write_line(select_emitter *emitter, trouble *trouble) {
    if (emitter->line.failed)
        return trouble_set(trouble, "out of memory for a line of output");
    return output_write(emitter->output, emitter->line.data, emitter->line.size, trouble);
}

bool select_emit_document(select_emitter *emitter, document *document, trouble *trouble) {
    if (emitter->container != NULL)
        return (document_fill_fields(document) || trouble_set(trouble, "out of memory")) &&
               container_writer_add(emitter->container, document, trouble);
    if (document->line != NULL)
        return select_emit_line(emitter, document->line, document->line_size, trouble);
    buffer_clear(&emitter->line);
    record_write(&emitter->line, document);
    return write_line(emitter, trouble);
}

/* The column weight: 0 where a token is not kept. */
static bool add_weights(document *document, const select_settings *settings, const select_told *told,
                        trouble *trouble) {
    if (!document_add_column(document, COLUMN_WEIGHT, 1))
        return trouble_set(trouble, "out of memory for the column weight");
    column *column = &document->columns[COLUMN_WEIGHT];
    for (size_t i = 0; i < document->n_tokens; i++)
        column->reals[i] = told->keep[i] != 0
                               ? entrol_weight(&settings->weighting, told->range[0], told->range[1], told->values[i])
                               : 0;
    return true;
}

/* The line with a keep of its own, null where there was no value, and its weights. */
static bool emit_record(select_emitter *emitter, document *document, const select_told *told, trouble *trouble) {
    const bool is_weighted = emitter->settings->weight != NULL;
    if (!document_add_column(document, COLUMN_KEEP, 1))
        return trouble_set(trouble, "out of memory for the column keep");
    column *column = &document->columns[COLUMN_KEEP];
    for (size_t i = 0; i < document->n_tokens; i++) {
        column->integers[i] = told->keep[i];
        column->valid[i] = told->valid[i];
    }
    if (is_weighted && !add_weights(document, emitter->settings, told, trouble))
        return false;
    if (emitter->container != NULL)
        return container_writer_add(emitter->container, document, trouble);
    if (is_weighted)
        record_write_with_columns(&emitter->line, document, COLUMN_KEEP, COLUMN_WEIGHT);
    else
        record_write_with_column(&emitter->line, document, COLUMN_KEEP);
    return write_line(emitter, trouble);
}

/* Kept tokens as ranges of bytes; neighbours become one. */
static void append_spans(buffer *line, const document *document, const uint8_t *keep) {
    const column *start = &document->columns[COLUMN_BYTE_START], *end = &document->columns[COLUMN_BYTE_END];
    int64_t from = 0, to = 0; /* the span being gathered; empty: none */
    const char *separator = "";
    for (size_t i = 0; i <= document->n_tokens; i++) {
        bool last = i == document->n_tokens;
        if (!last && (keep[i] == 0 || start->valid[i] == 0 || end->valid[i] == 0))
            continue;
        if (!last && to > from && start->integers[i] <= to) {
            to = end->integers[i] > to ? end->integers[i] : to;
            continue;
        }
        if (to > from) {
            buffer_append_format(line, "%s{\"start\": %" PRId64 ", \"end\": %" PRId64 "}", separator, from, to);
            separator = ", ";
        }
        from = last ? 0 : start->integers[i];
        to = last ? 0 : end->integers[i];
    }
}

static bool emit_spans(select_emitter *emitter, const records *records, const document *document, const uint8_t *keep,
                       trouble *trouble) {
    if (!document->columns[COLUMN_BYTE_START].is_present || !document->columns[COLUMN_BYTE_END].is_present)
        return emit_trouble(records, document, trouble, "--emit spans needs the columns byte_start and byte_end");
    buffer *line = &emitter->line;
    buffer_append_string(line, "{\"id\": ");
    const json_t *id = json_object_get(document->fields, "id");
    if (id != NULL && !json_is_null(id))
        json_append(line, id); /* a number stays one */
    else
        buffer_append_json_string(line, document->id, strlen(document->id));
    buffer_append_string(line, ", \"spans\": [");
    append_spans(line, document, keep);
    buffer_append_string(line, "]}\n");
    return write_line(emitter, trouble);
}

static bool emit_for_trainer(select_emitter *emitter, const records *records, document *document,
                             const select_told *told, trouble *trouble) {
    bool trains = false, for_trl = strcmp(emitter->settings->emit, "trl") == 0;
    const bool is_weighted = emitter->settings->weight != NULL;
    if (is_weighted && !add_weights(document, emitter->settings, told, trouble))
        return false;
    const float *weights = is_weighted ? document->columns[COLUMN_WEIGHT].reals : NULL;
    if (!emit_training_line(&emitter->line, &trains, records, document, told->keep, weights, for_trl, trouble))
        return false;
    if (trains)
        return write_line(emitter, trouble);
    emitter->n_untrained++;
    return true;
}

bool select_emit(select_emitter *emitter, const records *records, document *document, const select_told *told,
                 trouble *trouble) {
    const char *emit = emitter->settings->emit;
    buffer_clear(&emitter->line);
    if (strcmp(emit, "spans") == 0)
        return emit_spans(emitter, records, document, told->keep, trouble);
    if (strcmp(emit, "labels") == 0 || strcmp(emit, "trl") == 0)
        return emit_for_trainer(emitter, records, document, told, trouble);
    if (strcmp(emit, "records") == 0)
        return emit_record(emitter, document, told, trouble);
    bool any = document->n_tokens > 0 && memchr(told->keep, 1, document->n_tokens) != NULL;
    return !any || select_emit_document(emitter, document, trouble);
}
