/* Painting in the terminal. See terminal.h. */
#include "terminal.h"
#include "width.h"
#include "../progress.h"
#include "../utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The ramps of report.css: even steps in OKLab from the background, lightness alone carries the order. */
static const uint32_t dark_ramp[TERMINAL_LEVELS] = {0x1a1c21, 0x1b2639, 0x1c3052, 0x1d3d67, 0x204d77, 0x245d85,
                                                    0x2b6e8b, 0x347f92, 0x3e8f97, 0x5a9d92, 0x73aa8c, 0x8cb784,
                                                    0xa4c47c, 0xbfd07a, 0xdbdc77, 0xf6e972};
static const uint32_t light_ramp[TERMINAL_LEVELS] = {0xfbfaf7, 0xf8f7d9, 0xe0f4d3, 0xc4efd3, 0xade6d6, 0x96dcd8,
                                                     0x86d0d6, 0x77c4d3, 0x68b8d0, 0x59abcd, 0x509ec7, 0x4891c0,
                                                     0x4184b8, 0x3977b1, 0x3269aa, 0x2c5ca3};
/* Of the 16: blue, cyan, white, yellow, four levels each but for the lowest, which stays plain. */
static const int plain_ramp[] = {0, 4, 6, 7, 3};
static const uint32_t kept_color = 0x2b76a6, dropped_color = 0xc2660f;

color_depth terminal_depth(const char *choice, int descriptor) {
    static const struct {
        const char *choice;
        color_depth depth;
    } fixed[] = {{"never", COLOR_NONE}, {"16", COLOR_16}, {"256", COLOR_256}, {"truecolor", COLOR_TRUE}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (!strcmp(choice, fixed[i].choice))
            return fixed[i].depth;
    if (!strcmp(choice, "auto") && !terminal_has_color(descriptor))
        return COLOR_NONE;
    const char *color = getenv("COLORTERM"), *term = getenv("TERM");
    if ((color && (!strcmp(color, "truecolor") || !strcmp(color, "24bit"))) || (term && strstr(term, "direct")))
        return COLOR_TRUE;
    return term && strstr(term, "256color") ? COLOR_256 : COLOR_16;
}

bool terminal_is_light(void) {
    const char *colors = getenv("COLORFGBG"), *back = colors ? strrchr(colors, ';') : NULL;
    return back && (!strcmp(back, ";15") || !strcmp(back, ";7"));
}

/* The nearest colour of the 6 x 6 x 6 cube. */
static unsigned cube_index(uint32_t rgb) {
    unsigned index = 16, weight = 36;
    for (int shift = 16; shift >= 0; shift -= 8, weight /= 6) {
        unsigned value = rgb >> shift & 255;
        index += weight * (value < 48 ? 0 : value < 115 ? 1 : (value - 35) / 40);
    }
    return index;
}

/* Dark letters where the background is light. Rec. 709 weights on the encoded values are close enough for a choice. */
static bool needs_dark_letters(uint32_t rgb) {
    return 54 * (rgb >> 16 & 255) + 183 * (rgb >> 8 & 255) + 19 * (rgb & 255) > 128 * 256;
}

static uint32_t level_color(const painter *painter, int level) {
    if (painter->is_two_valued)
        return level ? kept_color : dropped_color;
    return (painter->on_light ? light_ramp : dark_ramp)[level];
}

static void append_plain_color(buffer *out, const painter *painter, int level) {
    int color = painter->is_two_valued ? (level ? 4 : 3) : plain_ramp[(level + 3) / 4];
    if (painter->style == PAINT_UNDERLINE)
        buffer_append_format(out, "\033[4;3%dm", color);
    else
        buffer_append_format(out, "\033[4%d;%sm", color, color == 4 ? "97" : "30");
}

/* Switches to a level's colours. */
static void append_level(buffer *out, const painter *painter, int level) {
    if (level == LEVEL_NONE)
        buffer_append_string(out, "\033[2m");
    if (level < 0 || (level == 0 && !painter->is_two_valued))
        return;
    uint32_t rgb = level_color(painter, level);
    bool underline = painter->style == PAINT_UNDERLINE;
    const char *letters = needs_dark_letters(rgb) ? "16" : "231";
    if (painter->depth == COLOR_16)
        append_plain_color(out, painter, level);
    else if (painter->depth == COLOR_256 && underline)
        buffer_append_format(out, "\033[4;58;5;%um", cube_index(rgb));
    else if (painter->depth == COLOR_256)
        buffer_append_format(out, "\033[48;5;%u;38;5;%sm", cube_index(rgb), letters);
    else if (underline)
        buffer_append_format(out, "\033[4;58;2;%u;%u;%um", rgb >> 16, rgb >> 8 & 255, rgb & 255);
    else
        buffer_append_format(out, "\033[48;2;%u;%u;%u;38;5;%sm", rgb >> 16, rgb >> 8 & 255, rgb & 255, letters);
}

/* One character in its place: what is printed, its columns, and whether a line may end after it. */
typedef struct cell {
    char text[16];
    size_t columns;
    int level;
    bool can_end;
} cell;

/* The cells of the line that is being filled. */
typedef struct line {
    const painter *painter;
    buffer *out;
    cell *cells;
    size_t n_cells, capacity, columns;
} line;

static const char *mark_of(const painter *painter, int level) {
    static const char *const marks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    if (level < 0)
        return level == LEVEL_MISSING ? "?" : " ";
    if (painter->is_two_valued)
        return level ? "█" : "·";
    return marks[level / 2];
}

static void append_marks(line *line, size_t n_cells) {
    size_t end = n_cells;
    while (end && line->cells[end - 1].level == LEVEL_NONE)
        end--;
    for (size_t i = 0; i < end; i++)
        for (size_t k = 0; k < line->cells[i].columns; k++)
            buffer_append_string(line->out, mark_of(line->painter, line->cells[i].level));
    if (end)
        buffer_append_string(line->out, "\n");
}

/* Prints the first n cells as a line and keeps the others. */
static void end_line(line *line, size_t n_cells) {
    bool in_color = line->painter->style != PAINT_MARKS;
    int level = LEVEL_MISSING;
    for (size_t i = 0; i < n_cells; i++) {
        if (in_color && line->cells[i].level != level) {
            if (level != LEVEL_MISSING)
                buffer_append_string(line->out, "\033[0m");
            level = line->cells[i].level;
            append_level(line->out, line->painter, level);
        }
        buffer_append_string(line->out, line->cells[i].text);
    }
    if (level != LEVEL_MISSING)
        buffer_append_string(line->out, "\033[0m");
    buffer_append_string(line->out, "\n");
    if (!in_color)
        append_marks(line, n_cells);
    line->n_cells -= n_cells;
    memmove(line->cells, line->cells + n_cells, line->n_cells * sizeof *line->cells);
    line->columns = 0;
    for (size_t i = 0; i < line->n_cells; i++)
        line->columns += line->cells[i].columns;
}

/* Makes room for more columns by ending the line where it may end, else where it is full. */
static void wrap(line *line, size_t columns) {
    while (line->n_cells && line->columns + columns > line->painter->columns) {
        size_t end = line->n_cells;
        while (end && !line->cells[end - 1].can_end)
            end--;
        end_line(line, end ? end : line->n_cells);
    }
}

static void add_cell(line *line, const char *text, size_t size, size_t columns, int level, bool can_end) {
    wrap(line, columns);
    if (line->n_cells == line->capacity) {
        size_t capacity = line->capacity ? 2 * line->capacity : 256;
        cell *cells = realloc(line->cells, capacity * sizeof *cells);
        if (!cells) {
            line->out->failed = true;
            return;
        }
        line->cells = cells;
        line->capacity = capacity;
    }
    cell *cell = &line->cells[line->n_cells++];
    memcpy(cell->text, text, size);
    cell->text[size] = 0;
    cell->columns = columns;
    cell->level = level;
    cell->can_end = can_end;
    line->columns += columns;
}

/* A combining mark joins the character before it, or at the start of a line a dotted circle; more of them than fit in a
 * cell are dropped, as a pile of marks reaches into other lines. */
static void add_mark(line *line, const char *text, size_t size, int level) {
    if (!line->n_cells)
        add_cell(line, "\u25cc", strlen("\u25cc"), 1, level, false);
    cell *cell = line->n_cells ? &line->cells[line->n_cells - 1] : NULL;
    size_t length = cell ? strlen(cell->text) : 0;
    if (!cell || length + size >= sizeof cell->text)
        return;
    memcpy(cell->text + length, text, size);
    cell->text[length + size] = 0;
}

static size_t escape(char out[16], uint32_t character) {
    return (size_t)snprintf(out, 16, "<U+%04X>", (unsigned)character);
}

/* Punctuation that does not start a line of Chinese or Japanese. */
static bool stays_with_the_last(uint32_t character) {
    static const uint32_t closing[] = {0x2019, 0x201d, 0x3001, 0x3002, 0x3009, 0x300b, 0x300d, 0x300f,
                                       0x3011, 0xff01, 0xff09, 0xff0c, 0xff1a, 0xff1b, 0xff1f};
    for (size_t i = 0; i < sizeof closing / sizeof *closing; i++)
        if (character == closing[i])
            return true;
    return false;
}

static void add_character(line *line, const char *text, size_t size, uint32_t character, int level) {
    char copy[16];
    if (line->n_cells && stays_with_the_last(character))
        line->cells[line->n_cells - 1].can_end = false;
    if (character == '\n') {
        add_cell(line, "↵", strlen("↵"), 1, level, true);
        end_line(line, line->n_cells);
    } else if (character == '\t') {
        add_cell(line, "→ ", strlen("→ "), 2, level, true);
    } else if (character == UTF8_BROKEN) {
        add_cell(line, "\xef\xbf\xbd", 3, 1, level, false);
    } else if (character_is_hidden(character)) {
        size_t length = escape(copy, character);
        add_cell(line, copy, length, length, level, false);
    } else if (character_width(character) == 0) {
        add_mark(line, text, size, level);
    } else {
        int columns = character_width(character);
        add_cell(line, text, size, (size_t)columns, level, character == ' ' || columns == 2);
    }
}

void terminal_paint(buffer *out, const painter *painter, const painted *items, size_t n_items) {
    line line = {.painter = painter, .out = out};
    for (size_t i = 0; i < n_items; i++) {
        if (!items[i].size)
            add_cell(&line, "∅", strlen("∅"), 1, items[i].level, false);
        for (size_t at = 0, size; at < items[i].size; at += size) {
            uint32_t character;
            size = utf8_next(items[i].text + at, items[i].size - at, &character);
            add_character(&line, items[i].text + at, size, character, items[i].level);
        }
    }
    if (line.n_cells)
        end_line(&line, line.n_cells);
    free(line.cells);
}

void terminal_stream(buffer *out, const painter *painter, const painted *item) {
    const bool is_coloured = painter->style != PAINT_MARKS && item->level != LEVEL_MISSING;
    if (is_coloured)
        append_level(out, painter, item->level);
    for (size_t at = 0, size; at < item->size; at += size) {
        uint32_t character;
        char escaped[16];
        size = utf8_next(item->text + at, item->size - at, &character);
        if (character == '\n' && is_coloured) /* a colour would fill the rest of the line */
            buffer_append_string(out, "\033[0m");
        if (character == UTF8_BROKEN)
            buffer_append_string(out, "\xef\xbf\xbd");
        else if (character_is_hidden(character) && character != '\n' && character != '\t')
            buffer_append(out, escaped, escape(escaped, character));
        else
            buffer_append(out, item->text + at, size);
        if (character == '\n' && is_coloured)
            append_level(out, painter, item->level);
    }
    buffer_append_string(out, is_coloured ? "\033[0m" : "");
}

void terminal_ramp(buffer *out, const painter *painter) {
    for (int level = 0; level < TERMINAL_LEVELS; level += painter->style == PAINT_MARKS ? 2 : 1) {
        if (painter->style == PAINT_MARKS) {
            buffer_append_string(out, mark_of(painter, level));
            continue;
        }
        append_level(out, painter, level);
        buffer_append_string(out, painter->style == PAINT_UNDERLINE ? "a\033[0m" : " \033[0m");
    }
}

size_t terminal_text(buffer *out, const char *text, size_t size, size_t columns) {
    size_t used = 0;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t character;
        char escaped[16];
        length = utf8_next(text + at, size - at, &character);
        const char *shown = text + at;
        size_t n_shown = length, width;
        if (character == '\n' || character == '\t' || character == UTF8_BROKEN) {
            shown = character == '\n' ? "↵" : character == '\t' ? "→" : "\xef\xbf\xbd";
            n_shown = 3;
            width = 1;
        } else if (character_is_hidden(character)) {
            width = n_shown = escape(escaped, character);
            shown = escaped;
        } else {
            width = (size_t)character_width(character);
        }
        bool is_last = at + length == size;
        if (used + width > columns || (!is_last && used + width == columns)) {
            buffer_append_string(out, columns > used ? "…" : "");
            return used + (columns > used);
        }
        buffer_append(out, shown, n_shown);
        used += width;
    }
    return used;
}
