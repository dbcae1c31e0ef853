/* A heat map in the terminal: text whose background, underline or a line of marks below says a value a piece. */
#ifndef CLI_REPORT_TERMINAL_H
#define CLI_REPORT_TERMINAL_H

#include "../buffer.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum color_depth { COLOR_NONE, COLOR_16, COLOR_256, COLOR_TRUE } color_depth;
typedef enum paint_style { PAINT_BACKGROUND, PAINT_UNDERLINE, PAINT_MARKS } paint_style;

#define TERMINAL_LEVELS 16

typedef struct painter {
    color_depth depth;
    paint_style style;  /* MARKS where depth is NONE */
    bool on_light;      /* the terminal's own background is light */
    bool is_two_valued; /* keep: the highest level is kept, level 0 dropped */
    size_t columns;
} painter;

/* What a choice of --color ("auto", "always", "never", "16", "256", "truecolor") comes to on a file descriptor, by
 * NO_COLOR, COLORTERM and TERM. */
color_depth terminal_depth(const char *choice, int descriptor);
/* Whether COLORFGBG says that the background is light; many terminals do not set it. */
bool terminal_is_light(void);

/* Text that is painted with one level: 0 to TERMINAL_LEVELS - 1; LEVEL_MISSING: a value that was not measured;
 * LEVEL_NONE: text that is not a token. */
enum { LEVEL_MISSING = -1, LEVEL_NONE = -2 };
typedef struct painted {
    const char *text;
    size_t size;
    int level;
} painted;

/* Appends the lines of a document, wrapped at the terminal's width; characters that must not reach a terminal are
 * escaped as <U+XXXX>, a newline shows as U+21B5 before it takes effect. */
void terminal_paint(buffer *out, const painter *painter, const painted *items, size_t n_items);
/* Appends one piece of a text that is still growing, in its colours (none where it is LEVEL_MISSING), escaped in the
 * same way; the terminal wraps it. */
void terminal_stream(buffer *out, const painter *painter, const painted *item);
/* "entropy 0 [ramp] 8 bits": the ramp of all levels, in the same colours or marks. */
void terminal_ramp(buffer *out, const painter *painter);
/* Text on one line, escaped, cut to so many columns with an ellipsis; returns the columns it took. */
size_t terminal_text(buffer *out, const char *text, size_t size, size_t columns);

#endif
