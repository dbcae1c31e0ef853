/* Floats as decimals: the shortest that reads back as the same float. */
#ifndef CLI_DECIMAL_H
#define CLI_DECIMAL_H

#include <stddef.h>

enum { DECIMAL_ROOM = 24 };

/* Of a finite float; how many bytes they are. Not NUL-terminated. */
size_t decimal_write(char text[DECIMAL_ROOM], float value);

/* 10^0 to 10^22: the powers that a double holds exactly. */
extern const double decimal_powers[23];

#endif
