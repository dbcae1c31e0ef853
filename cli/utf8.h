/* Reading UTF-8 one character at a time, for everything that must not trust it. */
#ifndef CLI_UTF8_H
#define CLI_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_BROKEN UINT32_MAX

/* The character at the start of n_bytes >= 1 bytes: its length in bytes, and the character itself in *code. Where the
 * bytes are not UTF-8, *code is UTF8_BROKEN and the length that of the maximal broken part (Unicode 15, section 3.9,
 * table 3-8: what one U+FFFD stands for). */
size_t utf8_next(const char *bytes, size_t n_bytes, uint32_t *code);

/* The bytes of a character up to U+10FFFF, and how many they are. */
size_t utf8_encode(char bytes[4], uint32_t code);

/* Unicode's property White_Space. */
bool utf8_is_white_space(uint32_t code);

#endif
