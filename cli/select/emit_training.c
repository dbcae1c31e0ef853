/* Lines for trainers: every token that the model read, and which of them to learn.
 *
 * Records hold the tokens that were scored. What the model read besides (its start token, a prompt, the turns of
 * others) is in the line's field "context_ids": [[row, [id, ...]], ...], the ids that stood before record `row`, with
 * row = n_tokens for those after the last. A line without that field is taken as it is, unless its text shows that
 * something stood before or between its tokens. */
#include "emit.h"

#include <inttypes.h>
#include <string.h>

#define IGNORED (-100) /* the label that PyTorch's cross_entropy and so every trainer leaves out */

/* One token of the sequence after the other: first what stands before record `row`, then the record itself. */
typedef struct sequence {
    const document *document;
    const json_t *context; /* NULL: none */
    const uint8_t *keep;
} sequence;

typedef int64_t (*shape)(int64_t id, bool is_kept); /* what a token is in one array of the line */

static int64_t as_id(int64_t id, bool is_kept) {
    (void)is_kept;
    return id;
}

static int64_t as_one(int64_t id, bool is_kept) {
    (void)id, (void)is_kept;
    return 1;
}

static int64_t as_label(int64_t id, bool is_kept) {
    return is_kept ? id : IGNORED;
}

static int64_t as_mask(int64_t id, bool is_kept) {
    (void)id;
    return is_kept;
}

static void append_number(buffer *line, bool *first, int64_t number) {
    buffer_append_format(line, *first ? "%" PRId64 : ", %" PRId64, number);
    *first = false;
}

static void append_array(buffer *line, const char *name, const sequence *sequence, shape shape) {
    const column *ids = &sequence->document->columns[COLUMN_TOKEN_ID];
    size_t n = sequence->document->n_tokens, n_runs = json_array_size(sequence->context), run = 0;
    bool first = true;
    buffer_append_format(line, "%s\"%s\": [", line->size > 0 ? ", " : "{", name);
    for (size_t row = 0; row <= n; row++) {
        for (; run < n_runs; run++) {
            const json_t *item = json_array_get(sequence->context, run), *before = json_array_get(item, 1);
            if (json_integer_value(json_array_get(item, 0)) != (json_int_t)row)
                break;
            for (size_t i = 0; i < json_array_size(before); i++)
                append_number(line, &first, shape(json_integer_value(json_array_get(before, i)), false));
        }
        if (row < n)
            append_number(line, &first, shape(ids->integers[row], sequence->keep[row] != 0));
    }
    buffer_append_string(line, "]");
}

static bool is_run(const json_t *item, json_int_t least, json_int_t n_tokens) {
    const json_t *row = json_array_get(item, 0), *ids = json_array_get(item, 1);
    if (json_array_size(item) != 2 || !json_is_integer(row) || !json_is_array(ids))
        return false;
    for (size_t i = 0; i < json_array_size(ids); i++)
        if (!json_is_integer(json_array_get(ids, i)))
            return false;
    return json_integer_value(row) >= least && json_integer_value(row) <= n_tokens;
}

/* The context, checked; its rows are in order. */
static bool check_context(const records *records, const document *document, const json_t *context, trouble *trouble) {
    json_int_t least = 0;
    bool ok = json_is_array(context);
    for (size_t i = 0; ok && i < json_array_size(context); i++) {
        const json_t *item = json_array_get(context, i);
        ok = is_run(item, least, (json_int_t)document->n_tokens);
        least = json_integer_value(json_array_get(item, 0));
    }
    return ok || emit_trouble(records, document, trouble,
                              "context_ids: expected [[row, [id, ...]], ...] with rows in order, from 0 to %zu",
                              document->n_tokens);
}

/* Without its prompt a completion would be learnt out of the blue, and nobody would notice. */
static bool check_whole(const records *records, const document *document, trouble *trouble) {
    const column *start = &document->columns[COLUMN_BYTE_START], *end = &document->columns[COLUMN_BYTE_END];
    if (document->text == NULL || !start->is_present || !end->is_present)
        return true;
    int64_t reached = 0;
    for (size_t i = 0; i < document->n_tokens; i++) {
        if (start->valid[i] == 0 || end->valid[i] == 0)
            continue;
        if (start->integers[i] > reached)
            return emit_trouble(records, document, trouble,
                                "bytes %" PRId64 " to %" PRId64
                                " of the text have no tokens here, so input_ids would lack them: they were context "
                                "only. Use --emit spans",
                                reached, start->integers[i]);
        reached = end->integers[i] > reached ? end->integers[i] : reached;
    }
    return true;
}

static bool check_ids(const records *records, const document *document, trouble *trouble) {
    const column *ids = &document->columns[COLUMN_TOKEN_ID];
    if (!ids->is_present)
        return emit_trouble(records, document, trouble, "--emit labels and --emit trl need the column token_id");
    for (size_t i = 0; i < document->n_tokens; i++)
        if (ids->valid[i] == 0)
            return emit_trouble(records, document, trouble, "token %zu has no token_id", i);
    return true;
}

static bool any_trained(const sequence *sequence) {
    const json_t *first = json_array_get(sequence->context, 0);
    bool has_context =
        json_array_size(json_array_get(first, 1)) > 0 && json_integer_value(json_array_get(first, 0)) == 0;
    for (size_t i = has_context ? 0 : 1; i < sequence->document->n_tokens; i++)
        if (sequence->keep[i] != 0)
            return true;
    return false;
}

/* The same of weights: what stands before the records has none. */
static void append_weights(buffer *line, const sequence *sequence, const float *weights) {
    const size_t n = sequence->document->n_tokens, n_runs = json_array_size(sequence->context);
    const char *separator = "";
    buffer_append_string(line, ", \"weights\": [");
    for (size_t row = 0, run = 0; row <= n; row++) {
        for (; run < n_runs; run++) {
            const json_t *item = json_array_get(sequence->context, run);
            if (json_integer_value(json_array_get(item, 0)) != (json_int_t)row)
                break;
            for (size_t i = 0; i < json_array_size(json_array_get(item, 1)); i++, separator = ", ")
                buffer_append_format(line, "%s0", separator);
        }
        if (row == n)
            break;
        buffer_append_string(line, separator);
        buffer_append_float(line, weights[row]);
        separator = ", ";
    }
    buffer_append_string(line, "]");
}

bool emit_training_line(buffer *line, bool *trains, const records *records, const document *document,
                        const uint8_t *keep, const float *weights, bool for_trl, trouble *trouble) {
    sequence sequence = {document, json_object_get(document->fields, "context_ids"), keep};
    if (!check_ids(records, document, trouble))
        return false;
    if (sequence.context != NULL ? !check_context(records, document, sequence.context, trouble)
                                 : !check_whole(records, document, trouble))
        return false;
    *trains = any_trained(&sequence);
    append_array(line, "input_ids", &sequence, as_id);
    if (for_trl) {
        append_array(line, "completion_mask", &sequence, as_mask);
        append_array(line, "assistant_masks", &sequence, as_mask);
    } else {
        append_array(line, "attention_mask", &sequence, as_one);
        append_array(line, "labels", &sequence, as_label);
    }
    if (weights != NULL)
        append_weights(line, &sequence, weights);
    buffer_append_string(line, "}\n");
    return true;
}
