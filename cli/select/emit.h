/* Between the files that write what select chose. */
#ifndef CLI_SELECT_EMIT_H
#define CLI_SELECT_EMIT_H

#include "select.h"

/* "FILE:LINE (ID): ..."; always false. */
bool emit_trouble(const records *records, const document *document, trouble *trouble, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Appends a trainer's line: input_ids with labels, or with TRL's masks, and weights (NULL: none). *trains is false if
 * no token after the first one is kept: the first has nothing before it to be learnt from. */
bool emit_training_line(buffer *line, bool *trains, const records *records, const document *document,
                        const uint8_t *keep, const float *weights, bool for_trl, trouble *trouble);

#endif
