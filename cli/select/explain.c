/* --explain: why each token, or each document, is kept or not. */
#include "select.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void append_value(buffer *line, const select_settings *settings, double value) {
    buffer_append_format(line, "%.6g%s", select_in_unit(settings, value), select_unit(settings));
}

/* "at least A and at most B" */
static void append_bounds(buffer *line, const select_settings *settings, const entrol_bounds *bounds) {
    const bool has_low = bounds->low > -HUGE_VAL, has_high = bounds->high < HUGE_VAL;
    if (!has_low && !has_high)
        buffer_append_string(line, "anything");
    if (has_low) {
        buffer_append_string(line, "at least ");
        append_value(line, settings, bounds->low);
    }
    if (has_low && has_high)
        buffer_append_string(line, " and ");
    if (has_high) {
        buffer_append_string(line, "at most ");
        append_value(line, settings, bounds->high);
    }
}

/* What the value has to do with the rule. */
static void append_reason(buffer *line, const select_settings *settings, const select_told *told, size_t i) {
    const double value = (double)told->values[i], upper = (double)told->upper[i];
    const entrol_bounds *bounds = told->bounds;
    buffer_append_format(line, "%s ", settings->by);
    append_value(line, settings, value);
    if (upper > value) {
        buffer_append_string(line, " to ");
        append_value(line, settings, upper);
    }
    if (told->undecided[i] != 0)
        buffer_append_string(line, " may be below or above the threshold");
    else if (value == bounds->tie)
        buffer_append_string(line, " is the value at which the count ends");
    else if (upper < bounds->low)
        buffer_append_string(line, " is below the threshold");
    else if (value > bounds->high)
        buffer_append_string(line, " is above the threshold");
    else
        buffer_append_string(line, " is within");
    buffer_append_format(line, ": %s %s is ", settings->is_mask ? "--mask" : "--keep", select_rule_text(settings));
    append_bounds(line, settings, bounds);
}

static void append_token(buffer *line, const document *document, size_t token) {
    const column *start = &document->columns[COLUMN_BYTE_START], *end = &document->columns[COLUMN_BYTE_END];
    buffer_append_format(line, "\t%zu\t", token);
    if (document->text != NULL && start->is_present && end->is_present && start->valid[token] && end->valid[token])
        buffer_append_json_string(line, document->text + start->integers[token],
                                  (size_t)(end->integers[token] - start->integers[token]));
    else
        buffer_append_string(line, "-");
}

bool select_explain(select_emitter *emitter, const records *records, const document *document, const select_told *told,
                    trouble *trouble) {
    const select_settings *settings = emitter->settings;
    buffer *line = &emitter->line;
    buffer_clear(line);
    for (size_t i = 0; i < told->n; i++) {
        buffer_append_utf8(line, document->id, strlen(document->id));
        if (!settings->of_samples)
            append_token(line, document, i);
        buffer_append_string(line, told->keep[i] != 0 ? "\tkept\t" : "\tdropped\t");
        if (told->valid[i] != 0)
            append_reason(line, settings, told, i);
        else
            buffer_append_string(line, "it has no value, or is a duplicate");
        buffer_append_string(line, "\n");
    }
    if (line->failed)
        return trouble_set(trouble, "%s:%" PRIu64 ": out of memory", records_name(records), document->line_number);
    return output_write(emitter->output, line->data != NULL ? line->data : "", line->size, trouble);
}
