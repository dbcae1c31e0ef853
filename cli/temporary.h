/* Temporary files that no name leads to: gone when they are closed, however the process ends. */
#ifndef CLI_TEMPORARY_H
#define CLI_TEMPORARY_H

#include "message.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* In TMPDIR, else /tmp: a descriptor, or -1 with trouble. */
int temporary_open(trouble *trouble);
/* "cannot write a temporary file in FOLDER ...: " and errno's words; always false. */
bool temporary_trouble(trouble *trouble);
bool temporary_write(int fd, const void *bytes, size_t n_bytes, trouble *trouble);
/* Reads from byte `place` on: how many, fewer than n_bytes only at the end; -1 for trouble. */
ssize_t temporary_read(int fd, void *bytes, size_t n_bytes, uint64_t place, trouble *trouble);

#endif
