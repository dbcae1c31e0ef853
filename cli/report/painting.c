#include "painting.h"
#include "../progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

painter painting_painter(const char *color, const char *style, const char *theme, size_t columns, bool is_two_valued) {
    painter painter = {.depth = terminal_depth(color, STDOUT_FILENO), .style = PAINT_BACKGROUND};
    if (painter.depth == COLOR_NONE || !strcmp(style, "marks"))
        painter.style = PAINT_MARKS;
    else if (!strcmp(style, "underline"))
        painter.style = PAINT_UNDERLINE;
    painter.on_light = !strcmp(theme, "light") || (!strcmp(theme, "auto") && terminal_is_light());
    painter.is_two_valued = is_two_valued;
    painter.columns = columns ? columns : (size_t)terminal_columns(STDOUT_FILENO);
    return painter;
}

static double mean_of(const float *values, size_t n_values, double factor) {
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < n_values; i++)
        if (isfinite(values[i])) {
            sum += (double)values[i] * factor;
            n++;
        }
    return sum / (double)n;
}

static void append_heading(buffer *out, const painter *painter, const document *document, const float *values,
                           const scale *scale) {
    bool in_color = painter->depth != COLOR_NONE;
    double mean = mean_of(values, document->n_tokens, scale->factor);
    buffer_append_string(out, in_color ? "\033[1m" : "");
    terminal_text(out, document->id, strlen(document->id), painter->columns);
    buffer_append_format(out, "%s  %zu token%s", in_color ? "\033[0m" : "", document->n_tokens,
                         document->n_tokens == 1 ? "" : "s");
    if (scale->measure.is_flag && !isnan(mean))
        buffer_append_format(out, ", %.1f %% kept", 100 * mean);
    else if (!isnan(mean))
        buffer_append_format(out, ", mean %s %.4g%s", scale->measure.name, mean, scale->unit);
    if (!scale->measure.has_range && scale->low <= scale->high)
        buffer_append_format(out, ", from %.4g to %.4g", scale->low, scale->high);
    buffer_append_string(out, "\n");
}

void painting_legend(buffer *out, const painting *painting) {
    const scale *scale = &painting->scale;
    if (scale->measure.is_flag && painting->painter.style == PAINT_MARKS) {
        buffer_append_string(out, "█ kept  · dropped\n");
    } else if (scale->measure.is_flag) {
        const painted sample[] = {{" kept ", 6, TERMINAL_LEVELS - 1}, {"  ", 2, LEVEL_MISSING}, {" dropped ", 9, 0}};
        terminal_paint(out, &painting->painter, sample, 3);
    } else if (scale->measure.has_range) {
        buffer_append_format(out, "%s  %g ", scale->measure.name, scale->low);
        terminal_ramp(out, &painting->painter);
        buffer_append_format(out, " %g%s%s%s\n", scale->high, scale->unit,
                             scale->high == 0 || scale->high == 1 ? "" : " and more",
                             scale->measure.is_logarithmic ? ", on a log scale" : "");
    } else {
        buffer_append_format(out, "%s  least ", scale->measure.name);
        terminal_ramp(out, &painting->painter);
        buffer_append_string(out, " greatest of its document\n");
    }
    buffer_append_string(out, "\n");
}

bool painting_document(buffer *out, const painting *painting, const document *document, const pieces *pieces,
                       const float *values) {
    scale scale = scale_fit(&painting->scale, values, document->n_tokens);
    painted *items = calloc(pieces->n_items + 1, sizeof *items);
    if (!items)
        return false;
    for (size_t i = 0; i < pieces->n_items; i++) {
        const piece *piece = &pieces->items[i];
        double value = scale_piece(&scale, values + piece->first_token, piece->n_tokens);
        int level = piece->n_tokens ? scale_level(&scale, value, TERMINAL_LEVELS) : LEVEL_NONE;
        items[i] = (painted){pieces->text + piece->offset, piece->size, level};
    }
    append_heading(out, &painting->painter, document, values, &scale);
    terminal_paint(out, &painting->painter, items, pieces->n_items);
    buffer_append_string(out, "\n");
    free(items);
    return true;
}
