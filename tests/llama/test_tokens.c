/* Tokens and the bytes they stand for: every byte of every text in exactly one token. */
#include "harness.h"

#include "entrol_llama.h"
#include "internal.h"
#include "tiny_model.h"

#include <time.h>

static entrol_llama *open_vocabulary(const char *path) {
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    char error[400];
    entrol_llama *llama = NULL;
    options.model_path = path;
    options.vocabulary_only = 1;
    const entrol_status status = entrol_llama_open(&llama, error, sizeof error, &options);
    CHECK_SAY(status == ENTROL_OK, "%s", error);
    return llama;
}

static entrol_llama *open_tiny(bool space_prefix) {
    return open_vocabulary(tiny_model_write(&(tiny_model){.wants_bos = true, .space_prefix = space_prefix}));
}

/* The piece as the text would write it; a space and a U+2581 count as the same. */
static bool same_text(const char *a, size_t a_size, const char *b, size_t b_size) {
    char plain[2][512];
    size_t n[2] = {0, 0};
    const char *texts[2] = {a, b};
    const size_t sizes[2] = {a_size, b_size};
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizes[k] && n[k] < sizeof plain[k]; i++) {
            const bool mark = sizes[k] - i >= 3 && memcmp(texts[k] + i, "\xe2\x96\x81", 3) == 0;
            plain[k][n[k]++] = mark ? ' ' : texts[k][i];
            i += mark ? 2 : 0;
        }
    }
    return n[0] == n[1] && memcmp(plain[0], plain[1], n[0]) == 0;
}

/* Tokens touch, cover the text, and their pieces say what the text says there. Returns their number. */
static size_t check_text(entrol_llama *llama, const char *text, size_t size, int special) {
    entrol_llama_token *tokens = NULL;
    size_t n = 0, at = 0;
    const entrol_status status = entrol_llama_tokenize(llama, &tokens, &n, text, size, special);
    if (!CHECK_SAY(status == ENTROL_OK, "%.40s: %s", text, entrol_status_string(status))) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        char *piece = NULL;
        size_t piece_size = 0;
        CHECK(entrol_llama_piece(llama, &piece, &piece_size, tokens[i].id) == ENTROL_OK);
        CHECK_INT(piece[piece_size], 0);
        CHECK_SAY(tokens[i].byte_start == at && tokens[i].byte_end >= at, "%.40s: token %zu", text, i);
        const char *there = text + tokens[i].byte_start;
        const size_t there_size = tokens[i].byte_end - tokens[i].byte_start;
        const bool added = llama->space_prefix && piece_size > 0 && piece[0] == ' ' &&
                           same_text(piece + 1, piece_size - 1, there, there_size);
        CHECK_SAY(added || same_text(piece, piece_size, there, there_size), "%.40s: token %zu is \"%s\"", text, i,
                  piece);
        at = tokens[i].byte_end;
        free(piece);
    }
    CHECK_INT(at, size);
    free(tokens);
    return n;
}

static const char *const nasty_texts[] = {
    "",
    "a",
    " ",
    " a",
    "  the  ",
    "\n",
    "\r\n\r\n",
    "the cat and the hat.\r\nthe end\r\n",
    "\t\ttabs\t",
    "                                                                       many spaces                    .",
    "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    "\xe2\x96\x81",
    "\xe2\x96\x81the \xe2\x96\x81 the\xe2\x96\x81\xe2\x96\x81 \xe2\x96\x81",
    " \xe2\x96\x81 \xe2\x96\x81",
    "\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97\xe7\xac\xa6\xef\xbc\x8c\xe6\xb5\x8b\xe8\xaf\x95\xe3\x80\x82",
    "\xf0\x9f\x98\x80\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7 family",
    "e\xcc\x81\xcc\xa3 Z\xcc\x95 \xcc\x82l\xcc\xb5go \xc3\xa9",
    "\xd8\xa7\xd9\x84\xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a\xd8\xa9 \xe2\x80\xae rtl \xe2\x80\xac",
    "\x01\x02\x03\x1b[31m\x7f control",
    "\xef\xbb\xbf byte order mark",
    "\xe2\x80\xa8\xe2\x80\xa9 separators \xc2\xa0nbsp\xe3\x80\x80",
    "<start_of_turn>user\n<s></s><unk><0x0A><|end|> <tool> plain text",
    "x<tool>y <tool> <tool><tool>\xe2\x96\x81<tool>",
    "\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80",
};

static void check_nasty_texts(entrol_llama *llama) {
    for (size_t i = 0; i < sizeof nasty_texts / sizeof *nasty_texts; i++) {
        check_text(llama, nasty_texts[i], strlen(nasty_texts[i]), 0);
        check_text(llama, nasty_texts[i], strlen(nasty_texts[i]), 1);
    }
    check_text(llama, "a\0b", 3, 0);
}

/* Random texts of characters that tokenizers treat in their own ways. */
static void check_random_texts(entrol_llama *llama, size_t n_texts) {
    static const char *const parts[] = {" ",
                                        "  ",
                                        "\xe2\x96\x81",
                                        "the",
                                        "and",
                                        "a",
                                        "\n",
                                        "\n\n",
                                        "\r\n",
                                        "\t",
                                        "\xe4\xb8\xad",
                                        "\xc3\xa9",
                                        "\xcc\x81",
                                        "\xf0\x9f\x98\x80",
                                        "<s>",
                                        "<tool>",
                                        "<|end|>",
                                        ".",
                                        "Q",
                                        "\x01"};
    for (size_t i = 0; i < n_texts; i++) {
        char text[512] = "";
        for (size_t n = test_below(30); n > 0; n--) {
            strcat(text, parts[test_below(sizeof parts / sizeof *parts)]);
        }
        check_text(llama, text, strlen(text), (int)test_below(2));
    }
}

static void test_tiny_without_prefix(void) {
    entrol_llama *llama = open_tiny(false);
    CHECK(!llama->space_prefix);
    check_nasty_texts(llama);
    check_random_texts(llama, 2000);
    entrol_llama_close(llama);
}

static void test_tiny_with_prefix(void) {
    entrol_llama *llama = open_tiny(true);
    CHECK(llama->space_prefix);
    check_nasty_texts(llama);
    check_random_texts(llama, 2000);
    entrol_llama_close(llama);
}

/* Known by hand: U+2581 th U+2581 e has a prefix that the text lacks; the bytes of the emoji are four tokens. */
static void test_known_ranges(void) {
    entrol_llama *llama = open_tiny(true);
    entrol_llama_token *tokens = NULL;
    size_t n = 0;
    CHECK(entrol_llama_tokenize(llama, &tokens, &n, "the \xf0\x9f\x98\x80", 8, 0) == ENTROL_OK);
    if (CHECK_INT(n, 6)) {
        CHECK_INT(tokens[0].byte_start, 0);
        CHECK_INT(tokens[0].byte_end, 3); /* " the" is "the" here */
        CHECK_INT(tokens[1].byte_end, 4); /* the space */
        CHECK_INT(tokens[2].id, TINY_FIRST_BYTE + 0xf0);
        CHECK_INT(tokens[2].byte_start, 4);
        CHECK_INT(tokens[5].id, TINY_FIRST_BYTE + 0x80);
        CHECK_INT(tokens[5].byte_end, 8);
    }
    free(tokens);
    entrol_llama_close(llama);
}

/* Phi-3's tokenizer drops whitespace after special tokens; it then belongs to the special token. */
static void test_stripped_whitespace(void) {
    entrol_llama *llama = open_vocabulary(tiny_model_write(&(tiny_model){.name = "phi-3 tiny", .wants_bos = true}));
    entrol_llama_token *tokens = NULL;
    size_t n = 0;
    CHECK(entrol_llama_tokenize(llama, &tokens, &n, "a<|end|> \n\n b", 13, 1) == ENTROL_OK);
    if (CHECK_INT(n, 3)) {
        CHECK_INT(tokens[1].byte_start, 1);
        CHECK_INT(tokens[1].byte_end, 12);
        CHECK_INT(tokens[2].byte_end, 13);
    }
    free(tokens);
    entrol_llama_close(llama);
}

/* WordPiece lowers the case: its pieces are not the text. */
static void test_tokenizer_that_changes_the_text(void) {
    entrol_llama *llama = open_vocabulary(tiny_model_write(&(tiny_model){.is_embedding = true, .wants_bos = true}));
    entrol_llama_token *tokens = NULL;
    size_t n = 0;
    CHECK(entrol_llama_tokenize(llama, &tokens, &n, "THE", 3, 0) == ENTROL_ERROR_UNSUPPORTED);
    CHECK(tokens == NULL);
    entrol_llama_close(llama);
}

static void test_bad_arguments(void) {
    entrol_llama *llama = open_tiny(false);
    entrol_llama_token *tokens;
    char *piece;
    size_t n;
    CHECK(entrol_llama_tokenize(llama, &tokens, &n, NULL, 1, 0) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_tokenize(NULL, &tokens, &n, "a", 1, 0) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_tokenize(llama, &tokens, &n, "a", (size_t)1 << 40, 0) == ENTROL_ERROR_OVERFLOW);
    CHECK(entrol_llama_piece(llama, &piece, &n, -1) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_piece(llama, &piece, &n, 100000) == ENTROL_ERROR_ARGUMENT);
    entrol_llama_close(llama);
}

static entrol_llama *open_real(void) {
    if (getenv("ENTROL_MODEL") == NULL) {
        test_skip("ENTROL_MODEL is not set");
        return NULL;
    }
    return open_vocabulary(getenv("ENTROL_MODEL"));
}

static void test_real_model(void) {
    entrol_llama *llama = open_real();
    if (llama != NULL) {
        check_nasty_texts(llama);
        check_random_texts(llama, 1000);
        entrol_llama_close(llama);
    }
}

/* A long text is tokenised in parts: the tokens must be those that llama.cpp finds in the whole. */
static void test_parts_make_no_difference(void) {
    entrol_llama *llama = open_real();
    if (llama == NULL) {
        return;
    }
    static const char *const lines[] = {"the cat\n", "\n",  " indented  text\n", "word ", "\xe4\xb8\xad\n\n\n",
                                        "x\n",       "\r\n"};
    static char text[40000];
    size_t size = 0;
    while (size < sizeof text - 32) {
        const char *line = lines[test_below(sizeof lines / sizeof *lines)];
        memcpy(text + size, line, strlen(line));
        size += strlen(line);
    }
    static int32_t whole[sizeof text];
    const int32_t n_whole = llama_tokenize(llama->vocab, text, (int32_t)size, whole, sizeof text, false, false);
    entrol_llama_token *tokens = NULL;
    size_t n = 0;
    CHECK(entrol_llama_tokenize(llama, &tokens, &n, text, size, 0) == ENTROL_OK);
    CHECK_INT(n, n_whole);
    for (size_t i = 0; i < n && (int32_t)n == n_whole; i++) {
        if (!CHECK_SAY(tokens[i].id == whole[i], "token %zu is %d, in the whole %d", i, (int)tokens[i].id,
                       (int)whole[i])) {
            break;
        }
    }
    free(tokens);
    entrol_llama_close(llama);
}

/* A megabyte of two-byte lines took minutes in one piece. */
static void test_many_short_lines(void) {
    entrol_llama *llama = open_real();
    if (llama == NULL) {
        return;
    }
    const size_t size = 200000;
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++) {
        text[i] = i % 2 == 0 ? 'x' : '\n';
    }
    entrol_llama_token *tokens = NULL;
    size_t n = 0;
    const clock_t start = clock();
    CHECK(entrol_llama_tokenize(llama, &tokens, &n, text, size, 0) == ENTROL_OK);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    CHECK_SAY(seconds < 5, "%g s", seconds);
    CHECK_INT(n, size);
    free(tokens);
    free(text);
    entrol_llama_close(llama);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_tiny_without_prefix);
    TEST(test_tiny_with_prefix);
    TEST(test_known_ranges);
    TEST(test_stripped_whitespace);
    TEST(test_tokenizer_that_changes_the_text);
    TEST(test_bad_arguments);
    TEST(test_real_model);
    TEST(test_parts_make_no_difference);
    TEST(test_many_short_lines);
    return test_end();
}
