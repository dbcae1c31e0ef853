/* Numbers as people write them, read strictly and written briefly, the same in every locale. */
#ifndef ENT_BASE_NUMBER_H
#define ENT_BASE_NUMBER_H

#include <stddef.h>

/* Longer numbers are refused: nothing needs them, and a buffer on the stack is enough. */
enum { ENT_MAX_DIGITS = 400 };

/* A text and how far it was read: where it does not fit, `at` is the first byte that does not. */
typedef struct ent_reader {
    const char *start, *at;
} ent_reader;

/* A number as it was written: digits without their point, and the power of ten that belongs to them. */
typedef struct ent_number {
    const char *start;
    char digits[ENT_MAX_DIGITS + 1];
    int n_digits, exponent;
    int is_negative, is_whole; /* whole: digits alone, no sign, point or exponent */
} ent_number;

/* Puts the reader at `at`, which is to blame; gives 0. A number that does not fit is pointed at as a whole. */
int ent_refuse(ent_reader *in, const char *at);

/* 1 if the word comes next, and passes it. */
int ent_skip(ent_reader *in, const char *word);

/* [-] digits [. digits] [e [sign] digits]; 1 if there is one. A point that no digit follows is left: "1..2" is a range.
 */
int ent_read_number(ent_number *out, ent_reader *in);

/* The nearest double to number * 10^scale. */
double ent_number_value(const ent_number *in, int scale);

/* The shortest decimal of up to 17 digits that reads back as the same double, or "inf", "-inf", "nan"; how many bytes,
 * with no NUL behind them. */
enum { ENT_REAL_ROOM = 32 };
size_t ent_write_real(char text[ENT_REAL_ROOM], double value);

#endif
