/* Numbers that follow each other in an array, 64 bytes at a time: where they end is found for all of them at once, in
 * words of one bit a byte (Langdale and Lemire, "Parsing gigabytes of JSON per second", VLDB Journal 28, 2019).
 *
 * Only plain ones: [-]digits[.digits], with a comma behind each and nothing or a space behind the comma, up to 15
 * digits without a point and up to 3 before one. Whatever else comes is left to json_scan.h. */
#ifndef CLI_FORMATS_JSON_BLOCK_H
#define CLI_FORMATS_JSON_BLOCK_H

#include "json_scan.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { JSON_BLOCK = 64, JSON_BLOCK_ROOM = JSON_BLOCK + 16 }; /* bytes looked at; bytes that must be there */

typedef uint8_t json_lanes __attribute__((vector_size(16)));

/* One bit of each lane, all of whose bits are the same. */
static inline uint64_t json_block_pack_plainly(json_lanes lanes) {
    uint64_t words[2];
    memcpy(words, &lanes, sizeof words);
    for (int i = 0; i < 2; i++) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        words[i] = __builtin_bswap64(words[i]);
#endif
        words[i] = (words[i] & UINT64_C(0x8040201008040201)) * UINT64_C(0x0101010101010101) >> 56;
    }
    return words[0] | words[1] << 8;
}

static inline uint64_t json_block_pack(json_lanes lanes) {
#ifdef __SSE2__
    return (uint64_t)(unsigned)_mm_movemask_epi8((__m128i)lanes);
#else
    return json_block_pack_plainly(lanes);
#endif
}

typedef struct json_block {
    uint64_t ends;   /* the commas behind plain numbers */
    uint64_t points; /* theirs, and maybe others behind */
    bool is_plain;   /* nothing else was found in the 64 bytes */
} json_block;

/* The bytes of each kind. */
typedef struct json_block_kinds {
    uint64_t digits, zeros, commas, minuses, points, spaces;
} json_block_kinds;

static inline json_block_kinds json_block_classify(const char *at) {
    json_block_kinds kinds = {0, 0, 0, 0, 0, 0};
    for (unsigned shift = 0; shift < JSON_BLOCK; shift += 16) {
        json_lanes bytes;
        memcpy(&bytes, at + shift, sizeof bytes);
        kinds.digits |= json_block_pack((json_lanes)((json_lanes)(bytes - (uint8_t)'0') < 10)) << shift;
        kinds.zeros |= json_block_pack((json_lanes)(bytes == '0')) << shift;
        kinds.commas |= json_block_pack((json_lanes)(bytes == ',')) << shift;
        kinds.minuses |= json_block_pack((json_lanes)(bytes == '-')) << shift;
        kinds.points |= json_block_pack((json_lanes)(bytes == '.')) << shift;
        kinds.spaces |= json_block_pack((json_lanes)(bytes == ' ')) << shift;
    }
    return kinds;
}

/* `at`: the first byte of a number, with JSON_BLOCK_ROOM bytes from there on. */
static inline json_block json_block_find(const char *at, bool may_have_points) {
    const json_block_kinds kinds = json_block_classify(at);
    const uint64_t digits = kinds.digits, commas = kinds.commas, points = may_have_points ? kinds.points : 0;
    const uint64_t spaces = kinds.spaces & commas << 1;
    const uint64_t befores = ((commas | spaces) << 1) | 1; /* a number may begin here */
    const uint64_t minuses = kinds.minuses & befores;
    const uint64_t first = digits & (befores | minuses << 1);
    const uint64_t second = digits & first << 1, third = digits & second << 1;
    const uint64_t two = digits & digits << 1, four = two & two << 2, eight = four & four << 4;
    const uint64_t sixteen = eight & eight << 8;
    const uint64_t wrong = ~(digits | commas | minuses | points | spaces) | (commas & ~(digits << 1)) |
                           (points & ~((first | second | third) << 1)) | (second & (kinds.zeros & first) << 1) |
                           (sixteen & first << 15);
    const uint64_t before_wrong = wrong ? (wrong & (0 - wrong)) - 1 : ~UINT64_C(0);
    return (json_block){commas & before_wrong, points, wrong == 0};
}

/* The number of n = 1 to 16 digits; 16 bytes must be there. */
static inline uint64_t json_block_digits(const char *at, size_t n) {
    uint64_t words[2];
    memcpy(words, at, sizeof words);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    words[0] = __builtin_bswap64(words[0]);
    words[1] = __builtin_bswap64(words[1]);
#endif
    if (n <= 8)
        return json_scan_digits(words[0], (unsigned)n);
    const unsigned rest = (unsigned)n - 8;
    return json_scan_digits(words[0], 8) * json_scan_scales[rest] + json_scan_digits(words[1], rest);
}

/* The number from `at` to a comma at `end`; point: where it has one, else NULL. False where it has more than 15 digits
 * behind it. */
static inline bool json_block_number(json_number *number, const char *at, const char *point, const char *end) {
    const bool is_negative = *at == '-';
    at += is_negative;
    const size_t n_whole = (size_t)((point ? point : end) - at), n_fraction = point ? (size_t)(end - point) - 1 : 0;
    if (n_fraction > 15)
        return false;
    uint64_t digits = json_block_digits(at, n_whole);
    if (point)
        digits = digits * json_scan_scales[n_fraction] + json_block_digits(point + 1, n_fraction);
    *number = (json_number){.is_negative = is_negative,
                            .is_integer = !point,
                            .is_short = true,
                            .digits = digits,
                            .n_fraction = (unsigned)n_fraction};
    return true;
}

#endif
