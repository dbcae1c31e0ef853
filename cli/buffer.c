/* A growing string of bytes, and how numbers and strings are written in JSON. */
#include "buffer.h"
#include "utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* U+FFFD, which stands for what is not UTF-8. */
#define REPLACEMENT "\xEF\xBF\xBD"

/* Room for n more bytes and a NUL. */
static bool reserve(buffer *buffer, size_t n_bytes) {
    if (buffer->failed || n_bytes > SIZE_MAX / 2 - buffer->size - 1) {
        buffer->failed = true;
        return false;
    }
    size_t need = buffer->size + n_bytes + 1;
    if (need <= buffer->capacity)
        return true;
    size_t capacity = buffer->capacity < 128 ? 256 : buffer->capacity * 2;
    if (capacity < need)
        capacity = need;
    char *data = realloc(buffer->data, capacity);
    if (!data) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void buffer_append(buffer *buffer, const void *bytes, size_t n_bytes) {
    if (!reserve(buffer, n_bytes))
        return;
    if (n_bytes > 0)
        memcpy(buffer->data + buffer->size, bytes, n_bytes);
    buffer->size += n_bytes;
    buffer->data[buffer->size] = 0;
}

void buffer_append_string(buffer *buffer, const char *string) {
    buffer_append(buffer, string, strlen(string));
}

void buffer_append_format(buffer *buffer, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n < 0)
        buffer->failed = true;
    else if (reserve(buffer, (size_t)n)) {
        vsnprintf(buffer->data + buffer->size, (size_t)n + 1, format, again);
        buffer->size += (size_t)n;
    }
    va_end(again);
}

/* The decimal digits of |value| > 0 without trailing zeros, and where the point stands: value = 0.DIGITS * 10^point. */
typedef struct decimal {
    char digits[12];
    int n_digits, point;
} decimal;

static void strip_zeros(decimal *decimal) {
    while (decimal->n_digits > 1 && decimal->digits[decimal->n_digits - 1] == '0')
        decimal->n_digits--;
    decimal->digits[decimal->n_digits] = 0;
}

/* Whether a decimal reads back as the float on both ways that readers take: rounded once to float, and rounded first to
 * double and then to float. The two differ only when the double stands exactly between two floats. */
static bool double_reads_back(double decimal, float value) {
    uint64_t bits;
    memcpy(&bits, &decimal, sizeof bits);
    return (float)decimal == value && (bits & 0x1FFFFFFF) != 0x10000000;
}

static const double powers_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* The usual magnitudes. Integers up to 10^9 and powers up to 10^22 are exact in double, so their quotient is the
 * decimal correctly rounded. 6 digits survive any normal float (FLT_DIG), so fewer need not be tried. */
static bool decimal_quickly(decimal *decimal, float value) {
    if (!(value >= 1e-10f && value < 1e6f))
        return false;
    int point = (int)floor(log10((double)value)) + 1; /* may be one off beside a power of ten: checked below */
    for (int n = 6; n <= 9; n++) {
        int exponent = n - point;
        if (exponent < 0 || exponent > 22)
            return false;
        double scaled = nearbyint((double)value * powers_of_ten[exponent]);
        if (scaled < powers_of_ten[n - 1] || scaled >= powers_of_ten[n])
            return false;
        if (!double_reads_back(scaled / powers_of_ten[exponent], value))
            continue;
        snprintf(decimal->digits, sizeof decimal->digits, "%.0f", scaled);
        decimal->n_digits = n;
        decimal->point = point;
        strip_zeros(decimal);
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

static void append_decimal(buffer *buffer, const decimal *decimal) {
    int n = decimal->n_digits, point = decimal->point;
    if (point > 9 || point < -4) {
        buffer_append(buffer, decimal->digits, 1);
        if (n > 1)
            buffer_append_format(buffer, ".%s", decimal->digits + 1);
        buffer_append_format(buffer, "e%d", point - 1);
    } else if (point <= 0) {
        buffer_append_format(buffer, "0.%.*s%s", -point, "0000", decimal->digits);
    } else if (n <= point) {
        buffer_append_format(buffer, "%s%.*s", decimal->digits, point - n, "00000000");
    } else {
        buffer_append_format(buffer, "%.*s.%s", point, decimal->digits, decimal->digits + point);
    }
}

void buffer_append_float(buffer *buffer, float value) {
    if (isnan(value)) {
        buffer_append_string(buffer, "\"NaN\"");
        return;
    }
    if (isinf(value)) {
        buffer_append_string(buffer, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    if (value == 0) { /* "-0" would be read back as the integer 0 */
        buffer_append_string(buffer, signbit(value) ? "-0.0" : "0");
        return;
    }
    if (value < 0)
        buffer_append(buffer, "-", 1);
    decimal decimal;
    if (!decimal_quickly(&decimal, fabsf(value)))
        decimal_slowly(&decimal, fabsf(value));
    append_decimal(buffer, &decimal);
}

void buffer_append_utf8(buffer *buffer, const char *string, size_t n_bytes) {
    size_t plain = 0, i = 0; /* [plain, i) is copied as it is */
    while (i < n_bytes) {
        uint32_t code;
        size_t length = utf8_next(string + i, n_bytes - i, &code);
        if (code == UTF8_BROKEN) {
            buffer_append(buffer, string + plain, i - plain);
            buffer_append_string(buffer, REPLACEMENT);
            plain = i + length;
        }
        i += length;
    }
    buffer_append(buffer, string + plain, n_bytes - plain);
}

static void append_escape(buffer *buffer, uint32_t code) {
    switch (code) {
    case '"':
        buffer_append(buffer, "\\\"", 2);
        break;
    case '\\':
        buffer_append(buffer, "\\\\", 2);
        break;
    case '\n':
        buffer_append(buffer, "\\n", 2);
        break;
    case '\r':
        buffer_append(buffer, "\\r", 2);
        break;
    case '\t':
        buffer_append(buffer, "\\t", 2);
        break;
    case UTF8_BROKEN:
        buffer_append_string(buffer, REPLACEMENT);
        break;
    default:
        buffer_append_format(buffer, "\\u%04x", (unsigned)code);
    }
}

void buffer_append_json_string(buffer *buffer, const char *string, size_t n_bytes) {
    buffer_append(buffer, "\"", 1);
    size_t plain = 0, i = 0; /* [plain, i) is copied as it is */
    while (i < n_bytes) {
        uint32_t code;
        size_t length = utf8_next(string + i, n_bytes - i, &code);
        if (code < 0x20 || code == '"' || code == '\\' || code == UTF8_BROKEN) {
            buffer_append(buffer, string + plain, i - plain);
            append_escape(buffer, code);
            plain = i + length;
        }
        i += length;
    }
    buffer_append(buffer, string + plain, n_bytes - plain);
    buffer_append(buffer, "\"", 1);
}

void buffer_clear(buffer *buffer) {
    buffer->size = 0;
    buffer->failed = false;
    if (buffer->data)
        buffer->data[0] = 0;
}

void buffer_free(buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){0};
}
