/* A library that calls abort() on a damaged file (llama.cpp does, on some) ends the command as any bad input does: with
 * a sentence that names the file, and exit status 2. */
#ifndef CLI_ABORT_MESSAGE_H
#define CLI_ABORT_MESSAGE_H

/* From now on abort() says "entrol: PATH: WHAT" and exits with 2. Both strings must live until abort_message_end. */
void abort_message_begin(const char *path, const char *what);
void abort_message_end(void);

#endif
