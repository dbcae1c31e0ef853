/* A document of records as it is shown in the terminal: a heading, and its text with each piece coloured by a value. */
#ifndef CLI_REPORT_PAINTING_H
#define CLI_REPORT_PAINTING_H

#include "measure.h"
#include "pieces.h"
#include "terminal.h"

/* What the colours say, and how they are put on. */
typedef struct painting {
    scale scale;
    painter painter;
} painting;

/* What the choices of --color, --style and --theme come to on standard output; columns 0: the terminal's. */
painter painting_painter(const char *color, const char *style, const char *theme, size_t columns, bool is_two_valued);
/* What the colours say, and an empty line. */
void painting_legend(buffer *out, const painting *painting);
/* The heading and the text of a document with the values of its tokens, and an empty line. False when memory is out. */
bool painting_document(buffer *out, const painting *painting, const document *document, const pieces *pieces,
                       const float *values);

#endif
