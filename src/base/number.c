/* Numbers as people write them, in rules and settings (see number.h), the same in every locale. */
#include "number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_EXPONENT = 9999 };

int ent_refuse(ent_reader *in, const char *at) {
    in->at = at;
    return 0;
}

static int is_digit(char c) {
    return c >= '0' && c <= '9';
}

int ent_skip(ent_reader *in, const char *word) {
    const size_t length = strlen(word);
    if (strncmp(in->at, word, length) != 0)
        return 0;
    in->at += length;
    return 1;
}

/* At least one digit. */
static int read_digits(ent_number *out, ent_reader *in) {
    const char *start = in->at;
    for (; is_digit(*in->at) && out->n_digits < ENT_MAX_DIGITS; in->at++)
        out->digits[out->n_digits++] = *in->at;
    return in->at > start && (!is_digit(*in->at) || ent_refuse(in, out->start));
}

/* "e-3", where the e is there. */
static int read_exponent(ent_number *out, ent_reader *in) {
    const int is_negative = ent_skip(in, "-");
    int exponent = 0;
    if (!is_negative)
        ent_skip(in, "+");
    if (!is_digit(*in->at))
        return 0;
    for (; is_digit(*in->at) && exponent <= MAX_EXPONENT; in->at++)
        exponent = exponent * 10 + (*in->at - '0');
    out->exponent += is_negative ? -exponent : exponent;
    return exponent <= MAX_EXPONENT || ent_refuse(in, out->start);
}

int ent_read_number(ent_number *out, ent_reader *in) {
    out->start = in->at;
    out->n_digits = out->exponent = 0;
    out->is_negative = ent_skip(in, "-");
    out->is_whole = !out->is_negative;
    if (!read_digits(out, in))
        return 0;
    if (in->at[0] == '.' && is_digit(in->at[1])) {
        const int n_whole = out->n_digits;
        in->at++;
        if (!read_digits(out, in))
            return 0;
        out->exponent = n_whole - out->n_digits;
        out->is_whole = 0;
    }
    if (!ent_skip(in, "e") && !ent_skip(in, "E"))
        return 1;
    out->is_whole = 0;
    return read_exponent(out, in);
}

static char *write_whole(char *out, int value) {
    char digits[12];
    int n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        *out++ = digits[--n];
    return out;
}

/* The nearest double to number * 10^scale. Without its point a number means the same to strtod in every locale. */
double ent_number_value(const ent_number *in, int scale) {
    char text[ENT_MAX_DIGITS + 16], *end = text;
    const int exponent = in->exponent + scale;
    memcpy(end, in->digits, (size_t)in->n_digits);
    end += in->n_digits;
    *end++ = 'e';
    if (exponent < 0)
        *end++ = '-';
    end = write_whole(end, abs(exponent));
    *end = 0;
    const double value = strtod(text, NULL);
    return in->is_negative ? -value : value;
}

/* --- Writing --- */

/* The fewest digits, of 15 to 17, that are this number, without their point and the zeros behind them; and the power of
 * ten of the first. */
static int shortest_digits(char digits[17], double size, int *exponent) {
    char text[ENT_REAL_ROOM];
    for (int n = 14; n <= 16; n++) {
        snprintf(text, sizeof text, "%.*e", n, size);
        if (strtod(text, NULL) == size)
            break;
    }
    int n = 0;
    const char *at = text;
    for (; *at != 'e'; at++)
        if (is_digit(*at)) /* the point is the locale's, and may be several bytes */
            digits[n++] = *at;
    *exponent = (int)strtol(at + 1, NULL, 10);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    return n;
}

static char *put_digits(char *out, const char *digits, int n) {
    memcpy(out, digits, (size_t)n);
    return out + n;
}

static char *put_zeros(char *out, int n) {
    while (n-- > 0)
        *out++ = '0';
    return out;
}

size_t ent_write_real(char text[ENT_REAL_ROOM], double value) {
    if (!isfinite(value)) {
        const char *word = isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
        return (size_t)(put_digits(text, word, (int)strlen(word)) - text);
    }
    char digits[17], *out = text;
    int exponent = 0;
    const int n = shortest_digits(digits, fabs(value), &exponent);
    if (signbit(value))
        *out++ = '-';
    if (exponent >= 0 && exponent < 17) {
        const int n_whole = exponent + 1 < n ? exponent + 1 : n;
        out = put_zeros(put_digits(out, digits, n_whole), exponent + 1 - n);
        if (n > n_whole)
            *out++ = '.';
        return (size_t)(put_digits(out, digits + n_whole, n - n_whole) - text);
    }
    if (exponent < 0 && exponent >= -5) {
        out = put_zeros(put_digits(out, "0.", 2), -exponent - 1);
        return (size_t)(put_digits(out, digits, n) - text);
    }
    *out++ = digits[0];
    if (n > 1)
        *out++ = '.';
    out = put_digits(put_digits(out, digits + 1, n - 1), exponent < 0 ? "e-" : "e", exponent < 0 ? 2 : 1);
    return (size_t)(write_whole(out, abs(exponent)) - text);
}
