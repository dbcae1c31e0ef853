/* Temporary files that no name leads to: gone when they are closed, however the process ends. */
#ifndef CLI_TEMPORARY_H
#define CLI_TEMPORARY_H

#include "message.h"

#include <stddef.h>

/* In TMPDIR, else /tmp: a descriptor, or -1 with trouble. */
int temporary_open(trouble *trouble);
/* "cannot write a temporary file in FOLDER ...: " and errno's words; always false. */
bool temporary_trouble(trouble *trouble);
bool temporary_write(int fd, const void *bytes, size_t n_bytes, trouble *trouble);

#endif
