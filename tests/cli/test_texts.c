/* Texts to score: which field is text and which context, and how bad lines are named or skipped. */
#include "harness.h"
#include "formats/texts.h"

static texts *open_text(const char *text, size_t n, const text_options *options, trouble *trouble) {
    input *input = input_open_memory("test", text, n, trouble);
    return texts_open_input(input, options, trouble);
}

/* The first document must be `context` and then `scored`. */
static void check_first(const char *line, const char *field, const char *context, const char *scored) {
    trouble trouble = {""};
    text_options options = {.field = field};
    text_document document = {0};
    texts *texts = open_text(line, strlen(line), &options, &trouble);
    if (CHECK_SAY(texts && texts_next(texts, &document, &trouble) == 1, "%s", trouble.text)) {
        CHECK_INT(document.context_size, strlen(context));
        CHECK_INT(document.text_size, strlen(context) + strlen(scored));
        CHECK(document.text && strncmp(document.text, context, strlen(context)) == 0);
        CHECK_STRING(document.text + document.context_size, scored);
    }
    text_document_free(&document);
    texts_close(texts);
}

/* Opening or reading must fail with exactly this. */
static void check_refused(const char *text, size_t n, const char *message) {
    trouble trouble = {""};
    text_document document = {0};
    texts *texts = open_text(text, n, NULL, &trouble);
    int status = 1;
    while (texts && (status = texts_next(texts, &document, &trouble)) == 1)
        continue;
    CHECK_SAY(!texts || status == -1, "accepted: %s", text);
    CHECK_SAY(strncmp(trouble.text, message, strlen(message)) == 0, "\"%s\" is not \"%s\"", trouble.text, message);
    text_document_free(&document);
    texts_close(texts);
}

#define CHECK_REFUSED(text, message) check_refused(text, sizeof text - 1, message)

static void test_fields(void) {
    check_first("{\"text\": \"a\", \"prompt\": \"b\", \"completion\": \"c\"}", NULL, "", "a");
    check_first("{\"prompt\": \"b\", \"completion\": \"c\"}", NULL, "b", "c");
    check_first("{\"instruction\": \"do\", \"input\": \"it\", \"output\": \"done\"}", NULL, "do\nit\n", "done");
    check_first("{\"instruction\": \"do\", \"input\": \"\", \"output\": \"done\"}", NULL, "do\n", "done");
    check_first("{\"instruction\": \"do\", \"output\": \"done\"}", NULL, "do\n", "done");
    check_first("{\"body\": \"b\", \"text\": 3}", "body", "", "b");
    check_first("{\"text\": \"\"}", NULL, "", "");
    check_first("\n \t\n { \"text\": \"\\u4e16\\n\"}", NULL, "", "\xE4\xB8\x96\n");
    check_first("\xEF\xBB\xBF{\"text\": \"marked\"}", NULL, "", "marked");
}

static void test_messages(void) {
    static const char line[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"x\": 1}";
    trouble trouble = {""};
    text_document document = {0};
    texts *texts = open_text(line, sizeof line - 1, NULL, &trouble);
    CHECK_INT(texts_next(texts, &document, &trouble), 1);
    CHECK(document.text == NULL);
    CHECK_INT(json_array_size(document.messages), 1);
    CHECK_INT(json_integer_value(json_object_get(document.fields, "x")), 1);
    CHECK_INT(texts_next(texts, &document, &trouble), 0);
    texts_close(texts);
}

static void test_plain(void) {
    check_first("plain\ntext", NULL, "", "plain\ntext");
    check_first("{\\bf \\TeX}\n", NULL, "", "{\\bf \\TeX}\n"); /* no member follows the brace */
    check_first("[1] a footnote", NULL, "", "[1] a footnote");
    check_first("\xEF\xBB\xBFmarked", NULL, "", "marked");
    check_first(" \n", NULL, "", " \n");
    trouble trouble = {""};
    text_document document = {0};
    texts *texts = open_text("{\"text\": 1", 10, &(text_options){.plain = true}, &trouble);
    CHECK_INT(texts_next(texts, &document, &trouble), 1);
    CHECK_STRING(document.text, "{\"text\": 1");
    CHECK(document.fields == NULL);
    CHECK_INT(texts_next(texts, &document, &trouble), 0);
    text_document_free(&document);
    texts_close(texts);
}

static void test_refused(void) {
    CHECK_REFUSED("", "test: expected text, found an empty file");
    CHECK_REFUSED("ab\ncd\xFFz", "test:2: expected UTF-8 text, found an invalid byte (0xff) at byte 3 of the line");
    CHECK_REFUSED("ab\n\0", "test:2: expected UTF-8 text, found a NUL (0x00) at byte 1 of the line");
    CHECK_REFUSED("a\0b\xFF", "test:1: expected UTF-8 text, found a NUL (0x00) at byte 2 of the line");
    CHECK_REFUSED("\xFF\xFE\x61\0", "test: expected UTF-8, found UTF-16");
    CHECK_REFUSED("[\n {\"text\": \"a\"}]", "test: expected one JSON object a line, found an array of them");
    CHECK_REFUSED("{\"text\": \"a\"", "test:1: broken JSON at column 12: ");
    CHECK_REFUSED("{\"text\": \"a\"}\n{\"text\": \"\xC3\x28\"}",
                  "test:2: expected UTF-8 text, found an invalid byte (0xc3) at byte 11 of the line");
    CHECK_REFUSED("{\"text\": \"\\u0000\"}", "test:1: broken JSON at column ");
    CHECK_REFUSED("{\"text\": 1}", "test:1: field \"text\": expected a string, found a number");
    CHECK_REFUSED("{\"prompt\": \"a\", \"completion\": null}",
                  "test:1: field \"completion\": expected a string, found null");
    CHECK_REFUSED("{\"instruction\": \"a\", \"input\": [], \"output\": \"b\"}",
                  "test:1: field \"input\": expected a string, found an empty array");
    CHECK_REFUSED("{\"messages\": []}",
                  "test:1: field \"messages\": expected an array of messages, found an empty array");
    CHECK_REFUSED("{\"messages\": [{\"role\": \"user\", \"content\": null}]}",
                  "test:1: field \"messages\": message 1: expected a string \"content\", found null");
    CHECK_REFUSED("{\"body\": \"a\", \"n\": 1}", "test:1: expected a field \"text\", or");
    CHECK_REFUSED("{\"text\": \"a\"}\n[1]", "test:2: expected a JSON object, found an array");
}

/* Ten lines of which the seventh is broken. */
static void test_bad_line_is_named_or_skipped(void) {
    char text[512] = "";
    for (int i = 1; i <= 10; i++)
        strcat(text, i == 7 ? "{\"text\": \"x\n" : "{\"text\": \"x\"}\n");
    check_refused(text, strlen(text), "test:7: broken JSON at column ");
    trouble trouble = {""};
    text_document document = {0};
    texts *texts = open_text(text, strlen(text), &(text_options){.skip_bad = true}, &trouble);
    int n = 0;
    while (texts_next(texts, &document, &trouble) == 1)
        n++;
    CHECK_INT(n, 9);
    CHECK_INT(texts_n_bad(texts), 1);
    texts_close(texts);
}

static void test_bad_plain_file_is_skipped(void) {
    trouble trouble = {""};
    text_document document = {0};
    texts *texts = open_text("a\xFF", 2, &(text_options){.skip_bad = true}, &trouble);
    CHECK_INT(texts_next(texts, &document, &trouble), 0);
    CHECK_INT(texts_n_bad(texts), 1);
    CHECK(document.text == NULL);
    texts_close(texts);
}

static void test_a_line_of_100_mb(void) {
    size_t n = 100000000;
    char *text = malloc(n);
    memset(text, 'a', n);
    memcpy(text, "first\n", 6);
    check_refused(text, n, "test:2: the line is longer than 64 MiB");
    memcpy(text, "{\"text\": \"", 10);
    check_refused(text, n, "test:1: the line is longer than 64 MiB");
    free(text);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_fields);
    TEST(test_messages);
    TEST(test_plain);
    TEST(test_refused);
    TEST(test_bad_line_is_named_or_skipped);
    TEST(test_bad_plain_file_is_skipped);
    TEST(test_a_line_of_100_mb);
    return test_end();
}
