/* Strings, the numbers that are rare, and whatever is not a column. */
#include "json_scan.h"
#include "../utf8.h"

/* --- Strings --- */

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Marks the first byte that is not plain: a quote, a backslash, a control character, not ASCII. A byte that is marked
 * may upset those behind it, which do not matter. */
static uint64_t mark_special(uint64_t word) {
    const uint64_t quotes = word ^ EACH_BYTE('"'), backslashes = word ^ EACH_BYTE('\\');
    return (((quotes - EACH_BYTE(1)) & ~quotes) | ((backslashes - EACH_BYTE(1)) & ~backslashes) |
            ((word - EACH_BYTE(0x20)) & ~word) | word) &
           EACH_BYTE(0x80);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Four of them; -1 where they are others. */
static int32_t hex_number(const char *at) {
    int32_t number = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = hex_digit(at[i]); /* a NUL is none: nothing is read beyond it */
        if (digit < 0)
            return -1;
        number = number * 16 + digit;
    }
    return number;
}

/* What an escape stands for, 0 where it is none (NUL is not allowed); *length: of its text. */
static uint32_t escaped(const char *at, size_t *length) {
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *letter = at[1] ? strchr(letters, at[1]) : NULL;
    *length = 2;
    if (letter)
        return (uint32_t)meant[letter - letters];
    const int32_t high = at[1] == 'u' ? hex_number(at + 2) : 0;
    *length = 6;
    if (high < 0xD800 || high > 0xDFFF)
        return high > 0 ? (uint32_t)high : 0;
    const int32_t low = high < 0xDC00 && at[6] == '\\' && at[7] == 'u' ? hex_number(at + 8) : 0;
    *length = 12;
    return low >= 0xDC00 && low <= 0xDFFF ? 0x10000 + ((uint32_t)high - 0xD800) * 0x400 + (uint32_t)low - 0xDC00 : 0;
}

static size_t utf8_size(uint32_t code) {
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

/* Plain bytes up to the first special one. */
static const char *pass_plain(const json_scan *scan, const char *at) {
    for (;; at += 8) {
        const uint64_t marks = mark_special(json_scan_word(at, scan->end)); /* a NUL is marked */
        if (marks)
            return at + __builtin_ctzll(marks) / 8;
    }
}

const char *json_scan_string(const json_scan *scan, const char *at, size_t *n_bytes) {
    if (*at != '"')
        return NULL;
    size_t n_saved = 0, length;
    const char *const start = ++at;
    while (*(at = pass_plain(scan, at)) != '"') {
        uint32_t code;
        if (*at == '\\') {
            if (!(code = escaped(at, &length)))
                return NULL;
            n_saved += length - utf8_size(code);
        } else {
            length = utf8_next(at, (size_t)(scan->end - at), &code);
            if (code == UTF8_BROKEN || code < 0x20)
                return NULL;
        }
        at += length;
    }
    *n_bytes = (size_t)(at - start) - n_saved;
    return at + 1;
}

static char *put_utf8(char *bytes, uint32_t code) {
    const size_t n = utf8_size(code);
    static const unsigned leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3F));
    bytes[0] = (char)(leads[n] | code);
    return bytes + n;
}

void json_scan_decode(char *bytes, const char *at) {
    for (at++; *at != '"';) {
        if (*at != '\\') {
            *bytes++ = *at++;
            continue;
        }
        size_t length;
        bytes = put_utf8(bytes, escaped(at, &length));
        at += length;
    }
    *bytes = 0;
}

/* --- Numbers --- */

const uint64_t json_scan_scales[16] = {
    1,         10,         100,         1000,         10000,         100000,         1000000,         10000000,
    100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000, 100000000000000, 1000000000000000};

static const char *pass_digits(const char *at) {
    while (*at >= '0' && *at <= '9')
        at++;
    return at;
}

/* "e-12", with three digits at most. */
static const char *pass_exponent(int *exponent, const char *at) {
    const bool is_negative = *++at == '-';
    at += *at == '-' || *at == '+';
    const char *const end = pass_digits(at);
    if (end == at || end - at > 3)
        return NULL;
    int number = 0;
    for (; at < end; at++)
        number = number * 10 + (*at - '0');
    *exponent = is_negative ? -number : number;
    return end;
}

const char *json_scan_any_number(json_number *number, const char *at) {
    int exponent = 0;
    *number = (json_number){.is_negative = *at == '-'};
    at += number->is_negative;
    const char *const start = at, *const point = pass_digits(at);
    if (point == start || point - start > JSON_SCAN_DIGITS || (*start == '0' && point - start > 1))
        return NULL;
    number->is_integer = *point != '.' && *point != 'e' && *point != 'E';
    for (; number->is_integer && at < point; at++)
        number->digits = number->digits * 10 + (uint64_t)(*at - '0');
    at = point;
    if (*at == '.' && (at = pass_digits(point + 1)) == point + 1)
        return NULL;
    if ((*at == 'e' || *at == 'E') && !(at = pass_exponent(&exponent, at)))
        return NULL;
    number->magnitude = (int)(point - start) + exponent;
    return at;
}

/* --- Values --- */

static bool is_same(const json_name *a, const json_name *b) {
    return a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0;
}

const char *json_scan_name(json_scan *scan, const char *at, size_t first) {
    size_t n_bytes;
    const json_name name = {at + 1, 0};
    if (!(at = json_scan_string(scan, at, &n_bytes)) || scan->n_names == JSON_SCAN_NAMES ||
        n_bytes != (size_t)(at - 1 - name.bytes)) /* an escape */
        return NULL;
    json_name *const added = &scan->names[scan->n_names++];
    *added = (json_name){name.bytes, n_bytes};
    for (const json_name *other = scan->names + first; other < added; other++)
        if (is_same(other, added))
            return NULL;
    at = json_scan_space(at);
    return *at == ':' ? json_scan_space(at + 1) : NULL;
}

static const char *pass_literal(const char *at, const char *literal) {
    const size_t n = strlen(literal);
    return strncmp(at, literal, n) == 0 ? at + n : NULL;
}

/* Behind an item or a member: a comma (then *more, and space), or the bracket that closes. */
static const char *pass_separator(const char *at, char closing, bool *more) {
    at = json_scan_space(at);
    *more = *at == ',';
    return *more ? json_scan_space(at + 1) : *at == closing ? at + 1 : NULL;
}

static const char *pass_array(json_scan *scan, const char *at, int depth) {
    bool more = true;
    at = json_scan_space(at + 1);
    if (*at == ']')
        return at + 1;
    while (at && more)
        if ((at = json_scan_value(scan, at, depth)))
            at = pass_separator(at, ']', &more);
    return at;
}

static const char *pass_object(json_scan *scan, const char *at, int depth) {
    const size_t first = scan->n_names;
    bool more = true;
    at = json_scan_space(at + 1);
    if (*at == '}')
        return at + 1;
    while (at && more)
        if ((at = json_scan_name(scan, at, first)) && (at = json_scan_value(scan, at, depth)))
            at = pass_separator(at, '}', &more);
    scan->n_names = first;
    return at;
}

const char *json_scan_value(json_scan *scan, const char *at, int depth) {
    enum { LEAST_OVERFLOW = 308 }; /* less than 10^308 fits a double */
    json_number number;
    size_t n_bytes;
    switch (*at) {
    case '"':
        return json_scan_string(scan, at, &n_bytes);
    case '[':
        return depth < JSON_SCAN_DEPTH ? pass_array(scan, at, depth + 1) : NULL;
    case '{':
        return depth < JSON_SCAN_DEPTH ? pass_object(scan, at, depth + 1) : NULL;
    case 't':
        return pass_literal(at, "true");
    case 'f':
        return pass_literal(at, "false");
    case 'n':
        return pass_literal(at, "null");
    default:
        at = json_scan_number(&number, at, scan->end);
        return at && (number.is_short || number.is_integer || number.magnitude <= LEAST_OVERFLOW) ? at : NULL;
    }
}
