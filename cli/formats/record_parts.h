/* Shared by the files that read and write token records. */
#ifndef CLI_FORMATS_RECORD_PARTS_H
#define CLI_FORMATS_RECORD_PARTS_H

#include "record.h"

/* The most values a token has in a list column: ENTROL_MAX_TOP. A line cannot ask for more memory than a multiple of
 * its own length. */
enum { RECORD_MAX_WIDTH = 256 };

void column_free(column *column, size_t n_tokens);

/* A line between documents. */
bool record_is_blank(const char *line, size_t n_bytes);
/* Takes the fields, also on failure, and sets what follows from them: text and id. */
bool record_take_fields(const char *name, document *document, json_t *fields, trouble *trouble);
/* Byte offsets never go back, and stay inside the text if there is one. */
bool record_check_offsets(const char *name, const document *document, trouble *trouble);

#endif
