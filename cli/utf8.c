/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#include "utf8.h"
#include "input.h"

#include <string.h>

/* How many bytes follow a lead byte, and the range of the first of them (Unicode, table 3-7); -1: no lead byte. */
static int followers(unsigned char lead, unsigned char *lowest, unsigned char *highest) {
    *lowest = 0x80;
    *highest = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF)
        return 1;
    if (lead >= 0xE0 && lead <= 0xEF) {
        if (lead == 0xE0)
            *lowest = 0xA0;
        if (lead == 0xED)
            *highest = 0x9F;
        return 2;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        if (lead == 0xF0)
            *lowest = 0x90;
        if (lead == 0xF4)
            *highest = 0x8F;
        return 3;
    }
    return -1;
}

size_t utf8_next(const char *bytes, size_t n_bytes, uint32_t *code) {
    unsigned char lead = (unsigned char)bytes[0], lowest, highest;
    if (lead < 0x80) {
        *code = lead;
        return 1;
    }
    int n = followers(lead, &lowest, &highest);
    *code = UTF8_BROKEN;
    if (n < 0)
        return 1;
    uint32_t value = lead & (0x3Fu >> n);
    for (int i = 1; i <= n; i++) {
        if ((size_t)i >= n_bytes)
            return (size_t)i;
        unsigned char byte = (unsigned char)bytes[i];
        if (byte < lowest || byte > highest)
            return (size_t)i;
        lowest = 0x80;
        highest = 0xBF;
        value = value << 6 | (byte & 0x3Fu);
    }
    *code = value;
    return (size_t)n + 1;
}

size_t utf8_encode(char bytes[4], uint32_t code) {
    if (code < 0x80) {
        bytes[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3F));
    bytes[0] = (char)((0xF00u >> n | code) & 0xFF);
    return n;
}

bool utf8_is_white_space(uint32_t code) {
    return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
           code == 0x3000;
}

/* Whether the next eight bytes are all ASCII: most text is, and this is what makes checking it cheap. */
static bool eight_ascii(const char *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return (word & UINT64_C(0x8080808080808080)) == 0;
}

bool utf8_valid(const char *bytes, size_t n_bytes, size_t *offset) {
    for (size_t i = 0; i < n_bytes;) {
        if (n_bytes - i >= 8 && eight_ascii(bytes + i)) {
            i += 8;
            continue;
        }
        uint32_t code;
        size_t length = utf8_next(bytes + i, n_bytes - i, &code);
        if (code == UTF8_BROKEN) {
            if (offset)
                *offset = i;
            return false;
        }
        i += length;
    }
    return true;
}
