/* Bytes and lines from a file, standard input ("-"), gzip or zstd (told by their magic numbers).
 *
 * Caps: a line is at most INPUT_MAX_LINE bytes; a compressed file may expand to at most INPUT_MAX_RATIO
 * times its size beyond the first 64 MiB. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "message.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define INPUT_MAX_LINE ((size_t)64 << 20)
#define INPUT_MAX_RATIO 1000

typedef struct input input;

/* NULL with trouble filled if the path cannot be opened, is a directory, or the compressed stream starts wrong. */
input *input_open(const char *path, trouble *trouble);
/* From memory (tests, fuzzing); the bytes must outlive it. */
input *input_open_memory(const char *name, const void *bytes, size_t n_bytes, trouble *trouble);
void input_close(input *input);

/* The path as messages should show it: "standard input" for "-". */
const char *input_name(const input *input);

/* The descriptor of a plain file that is not packed and is read from its first byte, so that it can be mapped; else -1.
 */
int input_descriptor(const input *input);

/* Up to n_bytes; 0 at the end, -1 for trouble. */
ssize_t input_read(input *input, void *bytes, size_t n_bytes, trouble *trouble);

/* Looks at the next bytes without taking them (at most 64 KiB); *n_bytes says how many there are. */
bool input_peek(input *input, const char **bytes, size_t *n_bytes, trouble *trouble);
/* The same without waiting for more than `least` of them, which a slow pipe may take long to send. */
bool input_peek_least(input *input, size_t least, const char **bytes, size_t *n_bytes, trouble *trouble);

/* The next line without its newline: 1, 0 at the end, -1 for trouble, INPUT_LONG_LINE for trouble with this line alone:
 * the next call goes on behind it. *line is NUL-terminated and lives until the next call. A last line without a newline
 * is a line too. */
enum { INPUT_LONG_LINE = -2 };
int input_line(input *input, const char **line, size_t *n_bytes, trouble *trouble);
uint64_t input_line_number(const input *input); /* of the line last returned, from 1 */

/* Everything that is left, malloc'd and NUL-terminated; trouble if it is more than max_bytes. */
bool input_all(input *input, char **bytes, size_t *n_bytes, size_t max_bytes, trouble *trouble);

/* Back to the start. Only for an input that can_rewind: no pipe, or one that input_open_twice spooled to an unlinked
 * temporary file. */
input *input_open_twice(const char *path, trouble *trouble);
bool input_can_rewind(const input *input);
bool input_rewind(input *input, trouble *trouble);

/* The same as input_read's bytes for validity: true when the bytes are UTF-8, else *offset is where they stop being so.
 */
bool utf8_valid(const char *bytes, size_t n_bytes, size_t *offset);

#endif
