/* JSON passed over once, without making anything of it: several times faster than building its tree.
 *
 * Strict, and stricter than it would have to be: what is passed over is what json_read_object accepts, but not the
 * reverse. Each function takes the place where something begins and returns the place behind it, or NULL where the text
 * is wrong or merely unusual (an escape in a name, a whole number of 19 digits, 16 levels, 64 names at a time): the
 * caller then reads it by json_read_object, which knows, and says why. A text ends in a NUL at `end`.
 *
 * Eight digits are told and read at a time within one word (Lemire, "Number parsing at a gigabyte per second",
 * Software: Practice and Experience 51, 2021). */
#ifndef CLI_FORMATS_JSON_SCAN_H
#define CLI_FORMATS_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { JSON_SCAN_NAMES = 64, JSON_SCAN_DEPTH = 16, JSON_SCAN_DIGITS = 18 };

typedef struct json_name {
    const char *bytes; /* in the text */
    size_t n;
} json_name;

typedef struct json_scan {
    const char *end;
    size_t n_names; /* of the objects that are open */
    json_name names[JSON_SCAN_NAMES];
} json_scan;

/* A string, from its quote on; *n_bytes: how many it has without its escapes. */
const char *json_scan_string(const json_scan *scan, const char *at, size_t *n_bytes);
/* Decodes a string that json_scan_string has passed over into as many bytes and a NUL. */
void json_scan_decode(char *bytes, const char *at);
/* A member's name and its colon, up to the value. `first`: n_names when its object began; no two may be the same. */
const char *json_scan_name(json_scan *scan, const char *at, size_t first);
/* Any value, `depth` levels deep. */
const char *json_scan_value(json_scan *scan, const char *at, int depth);

static inline const char *json_scan_space(const char *at) {
    while (*at == ' ' || *at == '\t' || *at == '\r')
        at++;
    return at;
}

/* --- Numbers --- */

typedef struct json_number {
    bool is_negative, is_integer;
    bool is_short;   /* digits * 10^-n_fraction is all of it */
    uint64_t digits; /* of a whole number, or one that is short */
    unsigned n_fraction;
    int magnitude; /* it is less than 10^magnitude; not where it is short: less than 10^15 */
} json_number;

/* 10^0 to 10^15. */
extern const uint64_t json_scan_scales[16];

/* One that need not be short. */
const char *json_scan_any_number(json_number *number, const char *at);

/* The next eight bytes, the first the least significant; zeros behind the end. */
static inline uint64_t json_scan_word(const char *at, const char *end) {
    uint64_t word = 0;
    if (end - at >= 8)
        memcpy(&word, at, 8);
    else
        memcpy(&word, at, (size_t)(end - at));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* With how many digits it begins, 0 to 8. A byte that is none may upset those behind it, which do not matter. */
static inline unsigned json_scan_count_digits(uint64_t word) {
    const uint64_t values = word ^ UINT64_C(0x3030303030303030);
    const uint64_t others = ((values + UINT64_C(0x7676767676767676)) | values) & UINT64_C(0x8080808080808080);
    return others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
}

/* The number that its first n > 0 digits are. */
static inline uint64_t json_scan_digits(uint64_t word, unsigned n) {
    word <<= 8 * (8 - n); /* as if there were zeros in front */
    word = (word & UINT64_C(0x0F0F0F0F0F0F0F0F)) * 2561 >> 8;
    word = (word & UINT64_C(0x00FF00FF00FF00FF)) * 6553601 >> 16;
    return (word & UINT64_C(0x0000FFFF0000FFFF)) * 42949672960001 >> 32;
}

/* Behind a point. */
static inline const char *json_scan_fraction(json_number *number, const char *at, const char *end) {
    uint64_t word = json_scan_word(at, end);
    unsigned n = json_scan_count_digits(word);
    if (n == 0)
        return NULL;
    number->digits = number->digits * json_scan_scales[n] + json_scan_digits(word, n);
    number->n_fraction = n;
    if (n < 8)
        return at + n;
    word = json_scan_word(at + 8, end);
    n = json_scan_count_digits(word);
    if (n > 0)
        number->digits = number->digits * json_scan_scales[n] + json_scan_digits(word, n);
    number->n_fraction += n;
    return at + 8 + n;
}

static inline const char *json_scan_number(json_number *number, const char *at, const char *end) {
    json_number made = {.is_negative = *at == '-', .is_short = true};
    const char *behind = at + made.is_negative;
    const uint64_t word = json_scan_word(behind, end);
    const unsigned n = json_scan_count_digits(word);
    if (n == 0 || n == 8 || (n > 1 && *behind == '0'))
        return json_scan_any_number(number, at);
    made.digits = json_scan_digits(word, n);
    behind += n;
    made.is_integer = *behind != '.';
    if (!made.is_integer && !(behind = json_scan_fraction(&made, behind + 1, end)))
        return NULL;
    if (n + made.n_fraction > JSON_SCAN_DIGITS || made.n_fraction == 16 || *behind == 'e' || *behind == 'E')
        return json_scan_any_number(number, at);
    *number = made;
    return behind;
}

#endif
