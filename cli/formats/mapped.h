/* A whole file in memory: mapped, or unpacked into an unlinked temporary file first where it is packed or no plain
 * file.
 */
#ifndef CLI_FORMATS_MAPPED_H
#define CLI_FORMATS_MAPPED_H

#include "../input.h"

typedef struct mapped {
    const unsigned char *bytes;
    size_t n_bytes;
    void *mapping; /* NULL: the bytes are the caller's, or there are none */
} mapped;

/* An input at its start, which stays the caller's. */
bool mapped_open(mapped *mapped, input *input, trouble *trouble);
void mapped_close(mapped *mapped);

#endif
