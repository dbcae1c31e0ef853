/* Shared by the files that read and write token records. */
#ifndef CLI_FORMATS_RECORD_PARTS_H
#define CLI_FORMATS_RECORD_PARTS_H

#include "record.h"

/* The most values a token has in a list column: ENTROL_MAX_TOP. A line cannot ask for more memory than a multiple of
 * its own length. */
enum { RECORD_MAX_WIDTH = 256 };

void column_free(column *column, size_t n_tokens);

#endif
