/* Token records: how many, which columns, and what range each column has. */
#include "inspect.h"

#include <math.h>

typedef struct column_summary {
    uint64_t n_documents, n_values, n_missing, n_special; /* special: NaN and infinities */
    double lowest, highest, sum;
} column_summary;

typedef struct summary {
    uint64_t n_documents, n_tokens, n_text_bytes;
    bool has_columns;
    column_summary columns[COLUMN_COUNT];
} summary;

static void add_value(column_summary *summary, double value) {
    summary->n_values++;
    if (!isfinite(value)) {
        summary->n_special++;
        return;
    }
    summary->lowest = fmin(summary->lowest, value);
    summary->highest = fmax(summary->highest, value);
    summary->sum += value;
}

static void add_column(column_summary *summary, const column *column, size_t n_tokens) {
    if (summary->n_documents++ == 0) {
        summary->lowest = INFINITY;
        summary->highest = -INFINITY;
    }
    for (size_t i = 0; i < n_tokens * column->width; i++) {
        if (!column->valid[i])
            summary->n_missing++;
        else if (column->strings)
            summary->n_values++;
        else
            add_value(summary, column->reals ? (double)column->reals[i] : (double)column->integers[i]);
    }
}

static void add_document(summary *summary, const document *document) {
    summary->n_documents++;
    json_int_t n_tokens = json_integer_value(json_object_get(document->fields, "n_tokens")); /* --level sample */
    bool has_columns = document_lacks_columns(document)[0] == '\0';
    summary->has_columns |= has_columns;
    summary->n_tokens += has_columns ? document->n_tokens : (uint64_t)(n_tokens > 0 ? n_tokens : 0);
    summary->n_text_bytes += document->text_size;
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (document->columns[id].is_present)
            add_column(&summary->columns[id], &document->columns[id], document->n_tokens);
}

static void describe_column(buffer *text, const summary *all, column_id id) {
    const column_summary *summary = &all->columns[id];
    uint64_t n_finite = summary->n_values - summary->n_special;
    buffer_append_format(text, "    %-18s", record_columns[id].name);
    if (record_columns[id].type == COLUMN_STRING)
        buffer_append_format(text, "%llu strings", (unsigned long long)summary->n_values);
    else if (record_columns[id].type == COLUMN_FLAG)
        buffer_append_format(text, "%.0f of %llu", summary->sum, (unsigned long long)summary->n_values);
    else if (n_finite > 0)
        buffer_append_format(text, "%.7g to %.7g, mean %.6g", summary->lowest, summary->highest,
                             summary->sum / (double)n_finite);
    else
        buffer_append_string(text, "no values");
    if (summary->n_missing > 0)
        buffer_append_format(text, ", %llu missing", (unsigned long long)summary->n_missing);
    if (summary->n_special > 0)
        buffer_append_format(text, ", %llu NaN or infinite", (unsigned long long)summary->n_special);
    if (summary->n_documents < all->n_documents)
        buffer_append_format(text, ", in %llu of the documents", (unsigned long long)summary->n_documents);
    buffer_append_string(text, "\n");
}

bool inspect_records(buffer *text, records *records, trouble *trouble) {
    summary summary = {0};
    document document = {0};
    int status;
    while ((status = records_next(records, &document, trouble)) == 1)
        add_document(&summary, &document);
    document_free(&document);
    if (status < 0)
        return false;
    inspect_line(text, "kind", "%s, %s", summary.has_columns ? "token records" : "statistics of documents",
                 records_are_flat(records) ? "safetensors" : "JSON Lines");
    inspect_line(text, "documents", "%llu", (unsigned long long)summary.n_documents);
    inspect_line(text, "tokens", "%llu", (unsigned long long)summary.n_tokens);
    if (summary.n_text_bytes > 0)
        inspect_line(text, "bytes of text", "%llu", (unsigned long long)summary.n_text_bytes);
    if (summary.has_columns)
        buffer_append_string(text, "  columns (in nats where they are entropies or logarithms):\n");
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (summary.columns[id].n_documents > 0)
            describe_column(text, &summary, (column_id)id);
    return true;
}
