/* Word by word: what is punctuation, what is upper case, what is an article. */
#include "normalise.h"

#include "../utf8.h"

#include <stdint.h>
#include <string.h>

/* Unicode's simple case folding (CaseFolding.txt, C and S): every step-th character from first to last is folded to the
 * one `distance` away. ASCII (in fold), Latin-1, Latin Extended-A, the letters with horn of Vietnamese, Greek and
 * Coptic, Cyrillic with its supplement, Latin Extended Additional, fullwidth letters. */
typedef struct folding {
    uint32_t first, last, step;
    int32_t distance;
} folding;

static const folding foldings[] = {
    {0x00B5, 0x00B5, 1, 775}, {0x00C0, 0x00D6, 1, 32},    {0x00D8, 0x00DE, 1, 32},  {0x0100, 0x012E, 2, 1},
    {0x0132, 0x0136, 2, 1},   {0x0139, 0x0147, 2, 1},     {0x014A, 0x0176, 2, 1},   {0x0178, 0x0178, 1, -121},
    {0x0179, 0x017D, 2, 1},   {0x017F, 0x017F, 1, -268},  {0x01A0, 0x01A0, 1, 1},   {0x01AF, 0x01AF, 1, 1},
    {0x0370, 0x0372, 2, 1},   {0x0376, 0x0376, 1, 1},     {0x037F, 0x037F, 1, 116}, {0x0386, 0x0386, 1, 38},
    {0x0388, 0x038A, 1, 37},  {0x038C, 0x038C, 1, 64},    {0x038E, 0x038F, 1, 63},  {0x0391, 0x03A1, 1, 32},
    {0x03A3, 0x03AB, 1, 32},  {0x03C2, 0x03C2, 1, 1},     {0x03CF, 0x03CF, 1, 8},   {0x03D0, 0x03D0, 1, -30},
    {0x03D1, 0x03D1, 1, -25}, {0x03D5, 0x03D5, 1, -15},   {0x03D6, 0x03D6, 1, -22}, {0x03D8, 0x03EE, 2, 1},
    {0x03F0, 0x03F0, 1, -54}, {0x03F1, 0x03F1, 1, -48},   {0x03F4, 0x03F4, 1, -60}, {0x03F5, 0x03F5, 1, -64},
    {0x03F7, 0x03F7, 1, 1},   {0x03F9, 0x03F9, 1, -7},    {0x03FA, 0x03FA, 1, 1},   {0x03FD, 0x03FF, 1, -130},
    {0x0400, 0x040F, 1, 80},  {0x0410, 0x042F, 1, 32},    {0x0460, 0x0480, 2, 1},   {0x048A, 0x04BE, 2, 1},
    {0x04C0, 0x04C0, 1, 15},  {0x04C1, 0x04CD, 2, 1},     {0x04D0, 0x052E, 2, 1},   {0x1E00, 0x1E94, 2, 1},
    {0x1E9B, 0x1E9B, 1, -58}, {0x1E9E, 0x1E9E, 1, -7615}, {0x1EA0, 0x1EFE, 2, 1},   {0xFF21, 0xFF3A, 1, 32},
};

typedef struct range {
    uint32_t first, last;
} range;

/* ASCII's punctuation (with its symbols: Python's string.punctuation, which SQuAD takes), and of Latin-1, General
 * Punctuation, CJK Symbols and the fullwidth forms what Unicode's general category P has. */
static const range punctuation[] = {
    {0x0021, 0x002F}, {0x003A, 0x0040}, {0x005B, 0x0060}, {0x007B, 0x007E}, {0x00A1, 0x00A1}, {0x00A7, 0x00A7},
    {0x00AB, 0x00AB}, {0x00B6, 0x00B7}, {0x00BB, 0x00BB}, {0x00BF, 0x00BF}, {0x2010, 0x2027}, {0x2030, 0x2043},
    {0x2045, 0x2051}, {0x2053, 0x205E}, {0x3001, 0x3003}, {0x3008, 0x3011}, {0x3014, 0x301F}, {0x3030, 0x3030},
    {0x303D, 0x303D}, {0xFF01, 0xFF03}, {0xFF05, 0xFF0A}, {0xFF0C, 0xFF0F}, {0xFF1A, 0xFF1B}, {0xFF1F, 0xFF20},
    {0xFF3B, 0xFF3D}, {0xFF3F, 0xFF3F}, {0xFF5B, 0xFF5B}, {0xFF5D, 0xFF5D}, {0xFF5F, 0xFF65},
};

/* What goes from the ends of a word with a digit: quotation marks, brackets, and ! ? , : ; * _ $, in ASCII and beyond.
 * Signs, points, slashes, per cent and number signs stay. */
static const range marks[] = {
    {0x0021, 0x0022}, {0x0024, 0x0024}, {0x0027, 0x002A}, {0x002C, 0x002C}, {0x003A, 0x003B}, {0x003F, 0x003F},
    {0x005B, 0x005B}, {0x005D, 0x005D}, {0x005F, 0x0060}, {0x007B, 0x007B}, {0x007D, 0x007D}, {0x00A1, 0x00A1},
    {0x00AB, 0x00AB}, {0x00BB, 0x00BB}, {0x00BF, 0x00BF}, {0x2018, 0x201F}, {0x2026, 0x2026}, {0x2039, 0x203A},
    {0x2045, 0x2046}, {0x3001, 0x3002}, {0x3008, 0x3011}, {0x3014, 0x301B}, {0x301D, 0x301F}, {0xFF01, 0xFF01},
    {0xFF08, 0xFF09}, {0xFF0C, 0xFF0C}, {0xFF1A, 0xFF1B}, {0xFF1F, 0xFF1F}, {0xFF3B, 0xFF3B}, {0xFF3D, 0xFF3D},
    {0xFF5B, 0xFF5B}, {0xFF5D, 0xFF5D}, {0xFF5F, 0xFF64},
};

static bool is_among(const range *ranges, size_t n, uint32_t code) {
    for (size_t i = 0; i < n && ranges[i].first <= code; i++)
        if (code <= ranges[i].last)
            return true;
    return false;
}

static bool is_punctuation(uint32_t code) {
    return is_among(punctuation, sizeof punctuation / sizeof punctuation[0], code);
}

static bool is_mark(uint32_t code) {
    return is_among(marks, sizeof marks / sizeof marks[0], code);
}

static uint32_t fold(uint32_t code) {
    if (code < 0x80)
        return code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
    for (size_t i = 0; i < sizeof foldings / sizeof foldings[0] && foldings[i].first <= code; i++)
        if (code <= foldings[i].last && (code - foldings[i].first) % foldings[i].step == 0)
            return (uint32_t)((int32_t)code + foldings[i].distance);
    return code;
}

static void append_folded(buffer *to, const char *word, size_t n_bytes, bool with_punctuation) {
    for (size_t at = 0; at < n_bytes;) {
        uint32_t code;
        char bytes[4];
        size_t length = utf8_next(word + at, n_bytes - at, &code);
        if (code == UTF8_BROKEN)
            buffer_append(to, word + at, length);
        else if (with_punctuation || !is_punctuation(code))
            buffer_append(to, bytes, utf8_encode(bytes, fold(code)));
        at += length;
    }
}

/* Drops marks at both ends, and full stops at the end; a word with a digit is never all marks. */
static void trim(const char **word, size_t *n_bytes) {
    size_t first = *n_bytes, last = 0;
    for (size_t at = 0; at < *n_bytes;) {
        uint32_t code;
        size_t length = utf8_next(*word + at, *n_bytes - at, &code);
        if (!is_mark(code) && first == *n_bytes)
            first = at;
        if (!is_mark(code) && code != '.')
            last = at + length;
        at += length;
    }
    *word += first;
    *n_bytes = last - first;
}

static bool has_digit(const char *word, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++)
        if (word[i] >= '0' && word[i] <= '9')
            return true;
    return false;
}

/* One word into `word`, or all of it but its case; what fails there has failed `to`. */
static void spell_word(buffer *to, buffer *word, const char *text, size_t n_bytes, bool plainly) {
    bool with_digit = has_digit(text, n_bytes);
    if (with_digit && !plainly)
        trim(&text, &n_bytes);
    buffer_clear(word);
    append_folded(word, text, n_bytes, with_digit || plainly);
    to->failed |= word->failed;
}

static bool is_article(const buffer *word) {
    const char *text = word->data;
    return text && (strcmp(text, "a") == 0 || strcmp(text, "an") == 0 || strcmp(text, "the") == 0);
}

/* The next word from *at on: false at the end. */
static bool next_word(const char *text, size_t n_bytes, size_t *at, const char **word, size_t *length) {
    size_t start = *at, end;
    uint32_t code;
    for (size_t n; start < n_bytes; start += n) {
        n = utf8_next(text + start, n_bytes - start, &code);
        if (!utf8_is_white_space(code))
            break;
    }
    end = start;
    for (size_t n; end < n_bytes; end += n) {
        n = utf8_next(text + end, n_bytes - end, &code);
        if (utf8_is_white_space(code))
            break;
    }
    *word = text + start;
    *length = end - start;
    *at = end;
    return end > start;
}

static void append_spaced(buffer *to, size_t start, const buffer *word) {
    if (to->size > start)
        buffer_append(to, " ", 1);
    buffer_append(to, word->data, word->size);
}

/* Articles are held back until a word follows, which drops them. */
static void spell_words(buffer *to, buffer *word, const char *text, size_t n_bytes) {
    const size_t start = to->size;
    const char *found, *article = NULL;
    size_t length, article_length = 0;
    for (size_t at = 0; next_word(text, n_bytes, &at, &found, &length);) {
        spell_word(to, word, found, length, false);
        if (is_article(word)) {
            article = found;
            article_length = length;
        } else if (word->size > 0) {
            article = NULL;
            append_spaced(to, start, word);
        }
    }
    if (article) {
        spell_word(to, word, article, article_length, false);
        append_spaced(to, start, word);
    }
}

void answers_normalise(buffer *to, buffer *word, const char *text, size_t n_bytes) {
    const size_t start = to->size;
    const char *found;
    size_t length;
    spell_words(to, word, text, n_bytes);
    if (to->size > start)
        return;
    for (size_t at = 0; next_word(text, n_bytes, &at, &found, &length);) {
        spell_word(to, word, found, length, true);
        append_spaced(to, start, word);
    }
}
