/* Which files are being read, so that none of them is overwritten. */
#ifndef CLI_OPEN_FILES_H
#define CLI_OPEN_FILES_H

#include "message.h"

#include <sys/stat.h>

/* Whether a path is that of a regular file, which can be read again; "-" is none. */
bool open_files_is_plain(const char *path);
/* Remembers an input for the rest of the process. */
void open_files_note(const struct stat *status);
bool open_files_is_input(const struct stat *status);

/* Says what is wrong with a path ("-": standard input) before hours are spent on others, without opening it, which
 * would empty a pipe; notes it, and fills *status. */
bool open_files_look(const char *path, struct stat *status, trouble *trouble);
/* Opens a path for reading, refuses a directory, notes it, and fills *status: a descriptor, or -1 with trouble. */
int open_files_read(const char *path, struct stat *status, trouble *trouble);

#endif
