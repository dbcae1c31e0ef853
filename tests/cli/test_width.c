/* Columns of characters: against the C library's wcwidth() in a UTF-8 locale, and the characters that must be hidden.
 */
#include "harness.h"
#include "report/width.h"

#include <locale.h>
#include <wchar.h>

/* Where glibc and the Unicode database differ: some circled numbers and the hexagrams, which glibc widens. */
static bool is_disputed(uint32_t character) {
    return (character >= 0x3248 && character <= 0x324f) || (character >= 0x4dc0 && character <= 0x4dff);
}

static void test_width_is_that_of_the_c_library(void) {
    if (!setlocale(LC_CTYPE, "C.UTF-8")) {
        test_skip("no locale C.UTF-8");
        return;
    }
    size_t n_compared = 0;
    for (uint32_t character = 1; character < 0x110000; character++) {
        if ((character >= 0xd800 && character < 0xe000) || character_is_hidden(character) || is_disputed(character))
            continue;
        int expected = wcwidth((wchar_t)character);
        if (expected < 0)
            continue; /* unassigned in the library's Unicode */
        n_compared++;
        if (!CHECK_SAY(character_width(character) == expected, "U+%04X has %d columns, wcwidth says %d",
                       (unsigned)character, character_width(character), expected))
            return;
    }
    CHECK(n_compared > 100000);
}

static void test_width_of_examples(void) {
    CHECK_INT(character_width('a'), 1);
    CHECK_INT(character_width(0xe9), 1);    /* e with acute */
    CHECK_INT(character_width(0x301), 0);   /* combining acute */
    CHECK_INT(character_width(0x200d), 0);  /* zero-width joiner */
    CHECK_INT(character_width(0x4e16), 2);  /* CJK */
    CHECK_INT(character_width(0xff01), 2);  /* full-width exclamation mark */
    CHECK_INT(character_width(0xac00), 2);  /* Hangul */
    CHECK_INT(character_width(0x1f600), 2); /* emoji */
    CHECK_INT(character_width(0x20000), 2); /* CJK extension B */
}

static void test_hidden_characters(void) {
    static const uint32_t hidden[] = {0,      7,      0x1b,   0x1f,   0x7f,   0x80,   0x9b,    0x9f,
                                      0xad,   0x61c,  0x200b, 0x200e, 0x200f, 0x2028, 0x2029,  0x202a,
                                      0x202e, 0x2060, 0x2066, 0x2069, 0xfeff, 0xfff9, 0xe0001, 0xe007f};
    static const uint32_t shown[] = {' ', '~', 0xa0, 0x200c, 0x200d, 0x2027, 0x202f, 0x301, 0x4e16, 0xfffd, 0x10ffff};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        CHECK_SAY(character_is_hidden(hidden[i]), "U+%04X would reach the terminal", (unsigned)hidden[i]);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        CHECK_SAY(!character_is_hidden(shown[i]), "U+%04X is escaped", (unsigned)shown[i]);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_width_is_that_of_the_c_library);
    TEST(test_width_of_examples);
    TEST(test_hidden_characters);
    return test_end();
}
