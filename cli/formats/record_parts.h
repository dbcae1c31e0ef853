/* Shared by the files that read and write token records. */
#ifndef CLI_FORMATS_RECORD_PARTS_H
#define CLI_FORMATS_RECORD_PARTS_H

#include "record.h"

/* The most values a token has in a list column: ENTROL_MAX_TOP. A line cannot ask for more memory than a multiple of
 * its own length. */
enum { RECORD_MAX_WIDTH = 256 };

void column_free(column *column, size_t n_tokens);

/* Byte offsets are always wanted, since they are compared. */
bool record_wants(const record_wanted *wanted, column_id id);
/* Whether the document has what is least. */
bool record_has_enough(const document *document, const record_wanted *wanted);

/* "NaN", "Infinity" or "-Infinity": a number that is written as a string because JSON has no such number. */
bool record_special_real(const char *text, size_t n_bytes, float *value);

/* The next line that is not blank: 1, 0 at the end, -1 for trouble. */
int record_next_line(input *input, const char **line, size_t *n_bytes, trouble *trouble);
/* Takes the fields, also on failure, and sets what follows from them: text and id. */
bool record_take_fields(const char *name, document *document, json_t *fields, trouble *trouble);
/* Byte offsets never go back, and stay inside the text, if there is one, of text_size bytes. */
bool record_check_offsets(const char *name, const document *document, bool has_text, size_t text_size,
                          trouble *trouble);

#endif
