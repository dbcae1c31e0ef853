/* Characters: the columns a terminal gives them, and which must never be shown raw. */
#ifndef CLI_REPORT_WIDTH_H
#define CLI_REPORT_WIDTH_H

#include <stdbool.h>
#include <stdint.h>

/* 0 for combining marks and joiners, 2 for East Asian wide and emoji, else 1. For characters that are not hidden. */
int character_width(uint32_t character);

/* Characters that move the cursor, reorder the text around them or are not seen: C0, DEL, C1, the bidirectional
 * controls, line and paragraph separators, and other format characters. Zero-width joiner and non-joiner, which
 * scripts and emoji need, are not among them. Tab and newline are. */
bool character_is_hidden(uint32_t character);

#endif
