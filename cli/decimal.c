/* The shortest decimal of a float, found by trying: from 6 digits on in exact double arithmetic for the usual
 * magnitudes, by the C library for the others. */
#include "decimal.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const double decimal_powers[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* The decimal digits of |value| > 0 without trailing zeros, and where the point stands: value = 0.DIGITS * 10^point. */
typedef struct decimal {
    char digits[12];
    int n_digits, point;
} decimal;

static void strip_zeros(decimal *decimal) {
    while (decimal->n_digits > 1 && decimal->digits[decimal->n_digits - 1] == '0')
        decimal->n_digits--;
}

/* Whether a decimal reads back as the float on both ways that readers take: rounded once to float, and rounded first to
 * double and then to float. The two differ only when the double stands exactly between two floats. */
static bool double_reads_back(double decimal, float value) {
    uint64_t bits;
    memcpy(&bits, &decimal, sizeof bits);
    return (float)decimal == value && (bits & 0x1FFFFFFF) != 0x10000000;
}

/* Where the point of a value from 1e-10 to below 1e6 stands. */
static int find_point(double value) {
    static const double below_one[] = {1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10};
    int point = 0;
    if (value >= 1)
        while (value >= decimal_powers[point])
            point++;
    else
        while (value < below_one[-point])
            point--;
    return point;
}

/* To even where two are as near, as nearbyint, for values below 2^51. */
static double round_to_whole(double value) {
    const double SHIFT = 0x1.8p52;
    return (value + SHIFT) - SHIFT;
}

static void take_digits(decimal *decimal, uint64_t number, int n) {
    decimal->n_digits = n;
    for (int i = n - 1; i >= 0; i--, number /= 10)
        decimal->digits[i] = (char)('0' + number % 10);
    strip_zeros(decimal);
}

/* The usual magnitudes. Integers up to 10^9 and powers up to 10^22 are exact in double, so their quotient is the
 * decimal correctly rounded. 6 digits survive any normal float (FLT_DIG), so fewer need not be tried. */
static bool decimal_quickly(decimal *decimal, float value) {
    if (!(value >= 1e-10f && value < 1e6f))
        return false;
    const int point = find_point((double)value);
    for (int n = 6; n <= 9; n++) {
        const int exponent = n - point;
        if (exponent < 0 || exponent > 22)
            return false;
        const double scaled = round_to_whole((double)value * decimal_powers[exponent]);
        if (scaled < decimal_powers[n - 1] || scaled >= decimal_powers[n])
            return false;
        if (!double_reads_back(scaled / decimal_powers[exponent], value))
            continue;
        decimal->point = point;
        take_digits(decimal, (uint64_t)scaled, n);
        return true;
    }
    return false;
}

/* All others, by the C library. Its decimal point may be a comma; the digits are taken around it. */
static void decimal_slowly(decimal *decimal, float value) {
    char text[32];
    for (int n = 1; n <= 9; n++) {
        snprintf(text, sizeof text, "%.*e", n - 1, (double)value);
        if (n == 9 || (strtof(text, NULL) == value && (float)strtod(text, NULL) == value))
            break;
    }
    decimal->n_digits = 0;
    char *at = text;
    for (; *at != 'e'; at++)
        if (*at >= '0' && *at <= '9')
            decimal->digits[decimal->n_digits++] = *at;
    decimal->point = atoi(at + 1) + 1;
    strip_zeros(decimal);
}

static char *put(char *at, const char *bytes, int n) {
    memcpy(at, bytes, (size_t)n);
    return at + n;
}

/* Digits, a point, and an exponent where there would be many zeros. */
static char *put_decimal(char *at, const decimal *decimal) {
    const int n = decimal->n_digits, point = decimal->point;
    const char *digits = decimal->digits;
    if (point > 9 || point < -4) {
        at = put(at, digits, 1);
        if (n > 1)
            at = put(put(at, ".", 1), digits + 1, n - 1);
        return at + snprintf(at, 6, "e%d", point - 1);
    }
    if (point <= 0)
        return put(put(put(at, "0.", 2), "0000", -point), digits, n);
    if (n <= point)
        return put(put(at, digits, n), "00000000", point - n);
    return put(put(put(at, digits, point), ".", 1), digits + point, n - point);
}

size_t decimal_write(char text[DECIMAL_ROOM], float value) {
    decimal decimal;
    char *at = text;
    if (value == 0) { /* "-0" would be read back as the integer 0 */
        at = signbit(value) ? put(at, "-0.0", 4) : put(at, "0", 1);
        return (size_t)(at - text);
    }
    if (value < 0)
        *at++ = '-';
    if (!decimal_quickly(&decimal, fabsf(value)))
        decimal_slowly(&decimal, fabsf(value));
    return (size_t)(put_decimal(at, &decimal) - text);
}
