/* Numbers and strings as JSON: decimals against the C library's own reading of every shorter one. */
#include "harness.h"
#include "buffer.h"
#include "utf8.h"
#include "input.h"

#include <float.h>
#include <locale.h>

static const char *written(buffer *buffer, float value) {
    buffer_clear(buffer);
    buffer_append_float(buffer, value);
    return buffer->data;
}

/* Significant digits of a decimal: leading and trailing zeros do not count. */
static int count_digits(const char *text) {
    int n = 0, last = 0;
    for (; *text && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9' && (n > 0 || *text != '0')) {
            n++;
            if (*text != '0')
                last = n;
        }
    return last;
}

/* The fewest digits with which printf's correctly rounded decimal reads back as the value. */
static int fewest_digits(float value) {
    char text[40];
    for (int n = 1; n < 9; n++) {
        snprintf(text, sizeof text, "%.*e", n - 1, (double)value);
        if (strtof(text, NULL) == value)
            return n;
    }
    return 9;
}

static void check_decimal(buffer *buffer, float value) {
    const char *text = written(buffer, value);
    CHECK_SAY(strtof(text, NULL) == value, "%a is written as %s", (double)value, text);
    CHECK_SAY((float)strtod(text, NULL) == value, "%a is written as %s: not through double", (double)value, text);
    CHECK_SAY(count_digits(text) <= fewest_digits(value), "%a is written as %s: too long", (double)value, text);
}

static void test_floats_read_back_and_are_short(void) {
    buffer buffer = {0};
    for (int i = 0; i < 300000; i++) {
        uint32_t bits = (uint32_t)test_random();
        float value;
        if (i % 2) /* what records hold: 2^-20 to 2^10 */
            bits = (bits & 0x807FFFFF) | (uint32_t)(107 + test_below(30)) << 23;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value) && value != 0)
            check_decimal(&buffer, value);
    }
    buffer_free(&buffer);
}

static void test_floats_at_the_edges(void) {
    buffer buffer = {0};
    const float edges[] = {FLT_MAX, FLT_MIN, FLT_TRUE_MIN, 1 - FLT_EPSILON / 2, 1 + FLT_EPSILON, 16777216.0f, 1e-10f};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        check_decimal(&buffer, edges[i]);
    for (int exponent = -45; exponent <= 38; exponent++) { /* powers of ten and their neighbours */
        char text[16];
        snprintf(text, sizeof text, "1e%d", exponent);
        float value = strtof(text, NULL);
        check_decimal(&buffer, value);
        check_decimal(&buffer, nextafterf(value, INFINITY));
        if (nextafterf(value, 0) > 0)
            check_decimal(&buffer, nextafterf(value, 0));
    }
    buffer_free(&buffer);
}

static void test_floats_as_people_write_them(void) {
    buffer buffer = {0};
    CHECK_STRING(written(&buffer, 0.1f), "0.1");
    CHECK_STRING(written(&buffer, -2.5f), "-2.5");
    CHECK_STRING(written(&buffer, 3), "3");
    CHECK_STRING(written(&buffer, 100), "100");
    CHECK_STRING(written(&buffer, 0.00025f), "0.00025");
    CHECK_STRING(written(&buffer, 1e-11f), "1e-11");
    CHECK_STRING(written(&buffer, 1.5e20f), "1.5e20");
    CHECK_STRING(written(&buffer, 0), "0");
    CHECK_STRING(written(&buffer, -0.0f), "-0.0");
    CHECK_STRING(written(&buffer, NAN), "\"NaN\"");
    CHECK_STRING(written(&buffer, INFINITY), "\"Infinity\"");
    CHECK_STRING(written(&buffer, -INFINITY), "\"-Infinity\"");
    buffer_free(&buffer);
}

static void test_strings_of_any_bytes(void) {
    buffer buffer = {0};
    buffer_append_utf8(&buffer, "caf\xE9.txt \xC3\xA9\xF0\x9F\x98", 14);
    CHECK_STRING(buffer.data, "caf\xEF\xBF\xBD.txt \xC3\xA9\xEF\xBF\xBD"); /* as Python's decode with "replace" */
    buffer_clear(&buffer);
    buffer_append_utf8(&buffer, "", 0);
    CHECK_STRING(buffer.data, "");
    buffer_free(&buffer);
}

static void test_json_strings(void) {
    buffer buffer = {0};
    static const char text[] = "a\"b\\c\n\t\x01\0\xC3\xA9\xF0\x9F\x98\x80\xFF\xE2\x82z\xED\xA0\x80";
    buffer_append_json_string(&buffer, text, sizeof text - 1);
    /* What Python's bytes.decode("utf-8", "replace") makes of the broken bytes: FF, E2 82, and a surrogate's three. */
    CHECK_STRING(buffer.data, "\"a\\\"b\\\\c\\n\\t\\u0001\\u0000\xC3\xA9\xF0\x9F\x98\x80"
                              "\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    buffer_clear(&buffer);
    buffer_append_json_string(&buffer, "", 0);
    CHECK_STRING(buffer.data, "\"\"");
    buffer_free(&buffer);
}

/* RFC 3629: a character is valid exactly when it is the encoding of a code point that is no surrogate. */
static void test_utf8_of_every_code_point(void) {
    for (uint32_t code = 0; code < 0x110000; code++) {
        char bytes[4];
        size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
        for (size_t i = n; i-- > 0;)
            bytes[i] = (char)(0x80 | (code >> 6 * (n - 1 - i) & 0x3F));
        bytes[0] = (char)(n == 1 ? code : leads[n] | code >> 6 * (n - 1));
        uint32_t read;
        size_t length = utf8_next(bytes, n, &read);
        bool is_surrogate = code >= 0xD800 && code < 0xE000;
        if (!CHECK_SAY(is_surrogate ? read == UTF8_BROKEN : read == code && length == n, "U+%04X", code))
            return;
        if (!CHECK_SAY(n == 1 || utf8_next(bytes, n - 1, &read) > 0, "U+%04X", code))
            return;
        if (!CHECK_SAY(n == 1 || read == UTF8_BROKEN, "U+%04X cut short", code))
            return;
    }
}

static void test_utf8_where_it_breaks(void) {
    static const struct {
        const char *bytes;
        size_t offset;
    } broken[] = {{"abc\x80", 3},      {"12345678\xFF", 8},     {"\xC0\x80", 0},         {"\xC1\xBF", 0},
                  {"\xE0\x9F\xBF", 0}, {"\xF0\x8F\xBF\xBF", 0}, {"\xF4\x90\x80\x80", 0}, {"12345\xED\xA0\x80", 5},
                  {"\xC3\xA9\xC3", 2}, {"\xF5\x80\x80\x80", 0}};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        size_t n = strlen(broken[i].bytes), offset = 99;
        guarded copy = guarded_allocate(n, true); /* reading past the end is a crash */
        memcpy(copy.data, broken[i].bytes, n);
        CHECK(!utf8_valid(copy.data, n, &offset));
        CHECK_INT(offset, broken[i].offset);
        guarded_free(&copy);
    }
    CHECK(utf8_valid("", 0, NULL));
    CHECK(utf8_valid("\xE4\xB8\x96\xE7\x95\x8C and \xF0\x9F\x98\x80", 15, NULL));
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_floats_read_back_and_are_short);
    TEST(test_floats_at_the_edges);
    TEST(test_floats_as_people_write_them);
    TEST(test_strings_of_any_bytes);
    TEST(test_json_strings);
    TEST(test_utf8_of_every_code_point);
    TEST(test_utf8_where_it_breaks);
    return test_end();
}
