/* Output that appears whole or not at all: written to PATH.part, renamed when all of it is there.
 *
 * Standard output ("-" or NULL) is written as it comes. A full disk or a closed pipe is trouble, said once. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "message.h"

#include <stddef.h>
#include <stdint.h>

/* Beside PATH.part, what a run needs to go on with it. */
#define OUTPUT_STATE ".state"

typedef struct output output;

/* The file that PATH leads to through links, whether it is there or not, malloc'd; NULL with errno. */
char *output_real_path(const char *path);

/* Refuses a PATH that is one of the inputs (the same file), a directory, or in no writable directory, and one whose
 * PATH.part has a state beside it: what an interrupted run has done. */
output *output_open(const char *path, trouble *trouble);
/* Writes an unlinked temporary file, whose descriptor is *fd until the output is gone. */
output *output_open_temporary(int *fd, trouble *trouble);
/* Opens PATH.part to go on after its first n_bytes. The rest is dropped when the first byte is written, or at the
 * commit: a run that ends before leaves the file as it was. */
output *output_resume(const char *path, uint64_t n_bytes, trouble *trouble);

bool output_write(output *output, const void *bytes, size_t n_bytes, trouble *trouble);
/* Makes what was written survive the end of the process (flush). */
bool output_flush(output *output, trouble *trouble);
/* Flushes, syncs, renames into place and closes. The output is gone afterwards, whatever is returned; where it fails,
 * keep_part leaves PATH.part for --resume. */
bool output_commit(output *output, bool keep_part, trouble *trouble);
/* Closes and removes the .part file; keep_part leaves it for --resume. NULL is allowed. */
void output_abandon(output *output, bool keep_part);

/* The whole of a file, or of standard output, at once: opened, written and committed. */
bool output_whole(const char *path, const void *bytes, size_t n_bytes, trouble *trouble);

#endif
