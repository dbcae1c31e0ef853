/* A line of token records read in one pass, without a tree of it: only for what is plainly right. */
#ifndef CLI_FORMATS_RECORD_SCAN_H
#define CLI_FORMATS_RECORD_SCAN_H

#include "record.h"

/* Reads what is wanted of the line, which ends in a NUL; all of it is checked as record_parse checks it. False: not
 * sure that the line is right, or not all of what is wanted can be had in this way; record_parse then reads it, and
 * what the document holds is of no use. True: record_parse would have accepted it, and made the same of it, but that
 * fields hold no columns, or are NULL, and that other columns may be missing. `scratch` is used for the fields. */
bool record_scan(const char *name, uint64_t line_number, const char *line, size_t n_bytes, const record_wanted *wanted,
                 document *document, buffer *scratch);

#endif
