/* Token records: what is read, what is refused and in which words, what is written byte for byte. */
#include "harness.h"
#include "formats/record.h"

#include <float.h>

/* Parses a line that ends at an inaccessible page. */
static bool parse(document *document, const char *line, trouble *trouble) {
    size_t n = strlen(line);
    guarded copy = guarded_allocate(n, true);
    memcpy(copy.data, line, n);
    bool ok = record_parse("test.jsonl", 7, copy.data, n, document, trouble);
    document->line = line; /* the copy goes away */
    guarded_free(&copy);
    return ok;
}

static void check_refused(const char *line, const char *message) {
    document document = {0};
    trouble trouble = {""};
    if (CHECK_SAY(!parse(&document, line, &trouble), "accepted: %s", line))
        CHECK_SAY(strstr(trouble.text, message) != NULL, "%s: \"%s\" does not hold \"%s\"", line, trouble.text,
                  message);
    CHECK_SAY(strncmp(trouble.text, "test.jsonl:7: ", 14) == 0, "no place in \"%s\"", trouble.text);
    document_free(&document);
}

static void test_a_document(void) {
    document document = {0};
    trouble trouble = {""};
    bool ok = parse(&document,
                    "{\"id\": \"d\", \"text\": \"h\\u00e9!\", \"byte_start\": [0, 1, 3], \"byte_end\": [1, 3, 4], "
                    "\"entropy\": [1.5, null, \"NaN\"], \"logprob\": [\"-Infinity\", -2, 0], \"rank\": [3.0, 2, null], "
                    "\"keep\": [true, 0, null], \"token\": [\"h\", null, \"!\"], "
                    "\"top_id\": [[1, 2], [3], null], \"note\": {\"a\": 0.1}}",
                    &trouble);
    if (!CHECK_SAY(ok, "%s", trouble.text))
        return;
    const column *columns = document.columns;
    CHECK_INT(document.n_tokens, 3);
    CHECK_STRING(document.id, "d");
    CHECK_INT(document.text_size, 4);
    CHECK_NEAR(columns[COLUMN_ENTROPY].reals[0], 1.5, 0);
    CHECK_INT(columns[COLUMN_ENTROPY].valid[1], 0);
    CHECK_INT(columns[COLUMN_ENTROPY].valid[2], 1);
    CHECK(isnan(columns[COLUMN_ENTROPY].reals[2]));
    CHECK_NEAR(columns[COLUMN_LOGPROB].reals[0], -INFINITY, 0);
    CHECK_INT(columns[COLUMN_RANK].integers[0], 3);
    CHECK_INT(columns[COLUMN_KEEP].integers[0], 1);
    CHECK_INT(columns[COLUMN_KEEP].integers[1], 0);
    CHECK_INT(columns[COLUMN_KEEP].valid[2], 0);
    CHECK_STRING(columns[COLUMN_TOKEN].strings[2], "!");
    CHECK_INT(columns[COLUMN_TOP_ID].width, 2);
    CHECK_INT(columns[COLUMN_TOP_ID].integers[2], 3);
    CHECK_INT(columns[COLUMN_TOP_ID].valid[3], 0);
    CHECK_INT(columns[COLUMN_TOP_ID].valid[4], 0);
    CHECK(!columns[COLUMN_WEIGHT].is_present);
    document_free(&document);
}

/* The greatest float's shortest decimal lies above it. */
static void test_greatest_float(void) {
    document document = {0};
    trouble trouble;
    buffer line = {0};
    CHECK(parse(&document, "{\"entropy\": [3.4028235e38, -3.4028235e38, 3.4028234663852886e38]}", &trouble));
    for (size_t i = 0; i < 3; i++)
        CHECK(fabsf(document.columns[COLUMN_ENTROPY].reals[i]) == FLT_MAX);
    record_write(&line, &document);
    CHECK_STRING(line.data, "{\"entropy\": [3.4028235e38,-3.4028235e38,3.4028235e38]}\n");
    buffer_free(&line);
    document_free(&document);
}

static void test_ids(void) {
    document document = {0};
    trouble trouble;
    CHECK(parse(&document, "{\"id\": 12}", &trouble));
    CHECK_STRING(document.id, "12");
    CHECK(parse(&document, "{}", &trouble));
    CHECK_STRING(document.id, "document 7");
    CHECK(parse(&document, "{\"id\": null, \"entropy\": []}", &trouble));
    CHECK_STRING(document.id, "document 7");
    CHECK_INT(document.n_tokens, 0);
    CHECK(document.columns[COLUMN_ENTROPY].is_present);
    document_free(&document);
}

/* A NUL wherever it can stand; behind a literal or a number jansson itself overlooks it. */
static void test_nuls(void) {
    static const char line[] = "{\"entropy\": [1], \"n\": 12, \"keep\": true , \"id\": \"x\"}";
    char torn[sizeof line + 1];
    for (size_t at = 0; at < sizeof line; at++) {
        trouble trouble = {""};
        document document = {0};
        memcpy(torn, line, at);
        torn[at] = 0;
        memcpy(torn + at + 1, line + at, sizeof line - at);
        CHECK(!record_parse("a.jsonl", 7, torn, sizeof line, &document, &trouble));
        CHECK_SAY(strstr(trouble.text, "a.jsonl:7: broken JSON at column ") && strstr(trouble.text, "a NUL"), "%s",
                  trouble.text);
        document_free(&document);
    }
}

static void test_refused(void) {
    check_refused("", "broken JSON");
    check_refused("[1]", "expected a JSON object, found an array");
    check_refused("{\"entropy\": [1, 2}", "broken JSON at column 18");
    check_refused("{\"entropy\": [1], \"entropy\": [1]}", "duplicate");
    check_refused("{\"id\": \"\\u0000\"}", "\\u0000 is not allowed");
    check_refused("{\"id\": \"\\ud800\"}", "broken JSON");
    check_refused("{\"id\": \"\xff\"}", "broken JSON");
    check_refused("{\"entropy\": [1, \"x\"]}", "column \"entropy\", token 1: expected a number");
    check_refused("{\"entropy\": [1e300]}", "a float can hold");
    check_refused("{\"entropy\": [3.4028236e38]}", "a float can hold");
    check_refused("{\"entropy\": [true]}", "found true or false");
    check_refused("{\"rank\": [1.5]}", "expected a whole number or null, found a number");
    check_refused("{\"rank\": [1e300]}", "expected a whole number or null");
    check_refused("{\"rank\": [99999999999999999999]}", "the number that ends at column 30 does not fit");
    check_refused("{\"keep\": [2]}", "expected true, false or null");
    check_refused("{\"token\": [1]}", "expected a string or null, found a number");
    check_refused("{\"top_id\": [1]}", "expected an array or null");
    check_refused("{\"entropy\": [1, 2], \"rank\": [1]}", "column \"rank\" has 1 values, but \"entropy\" has 2");
    check_refused("{\"byte_start\": [0, 5], \"byte_end\": [5, 4]}", "token 1: bytes 5 to 4 are not in order");
    check_refused("{\"byte_start\": [-1], \"byte_end\": [1]}", "not in order");
    check_refused("{\"byte_start\": [2, 1], \"byte_end\": [3, 4]}", "not in order");
    check_refused("{\"text\": \"ab\", \"byte_start\": [0], \"byte_end\": [3]}", "ends at byte 3, but the text has 2");
}

/* A line asks for no more memory than a multiple of its length: one long list among many tokens is refused. */
static void test_width_is_capped(void) {
    buffer line = {0};
    buffer_append_string(&line, "{\"top_id\": [[0");
    for (int i = 1; i < 257; i++)
        buffer_append_string(&line, ",0");
    buffer_append_string(&line, "]]}");
    check_refused(line.data, "257 values a token; at most 256");
    buffer_free(&line);
}

static void test_deep_nesting(void) {
    buffer line = {0};
    buffer_append_string(&line, "{\"a\": ");
    for (int i = 0; i < 100000; i++)
        buffer_append_string(&line, "[");
    check_refused(line.data, "maximum parsing depth");
    buffer_free(&line);
}

static void check_written(const char *line, const char *expected) {
    document document = {0};
    trouble trouble = {""};
    buffer text = {0};
    if (CHECK_SAY(parse(&document, line, &trouble), "%s", trouble.text)) {
        record_write(&text, &document);
        CHECK_STRING(text.data, expected);
    }
    buffer_free(&text);
    document_free(&document);
}

static void test_written(void) {
    check_written("{}", "{}\n");
    check_written("{\"entropy\":[0.25,\"NaN\",null,\"-Infinity\"],\"z\":0.1,\"rank\":[1,2,3,4],\"weight\":0.5,\"id\":"
                  "\"\\u00e9\"}",
                  "{\"z\": 0.1, \"weight\": 0.5, \"id\": \"\xC3\xA9\", \"entropy\": [0.25,\"NaN\",null,\"-Infinity\"], "
                  "\"rank\": [1,2,3,4]}\n");
    check_written("{\"top_id\":[[1,2],[3],[]],\"keep\":[true,null,false],\"a\":[1e22,1.5,12345678901234,{}],\"token\":["
                  "\"\\\"\",\"\",null]}",
                  "{\"a\": [1e+22, 1.5, 12345678901234, {}], \"token\": [\"\\\"\",\"\",null], "
                  "\"top_id\": [[1,2],[3,null],[null,null]], \"keep\": [true,null,false]}\n");
}

static void check_with_keep(const char *line, const char *expected) {
    document document = {0};
    trouble trouble = {""};
    buffer text = {0};
    if (CHECK_SAY(parse(&document, line, &trouble), "%s", trouble.text)) {
        document.line_size = strlen(line);
        document_add_column(&document, COLUMN_KEEP, 1);
        for (size_t i = 0; i < document.n_tokens; i++)
            document.columns[COLUMN_KEEP].integers[i] = i % 2 == 0;
        record_write_with_column(&text, &document, COLUMN_KEEP);
        CHECK_STRING(text.data, expected);
    }
    buffer_free(&text);
    document_free(&document);
}

/* Every byte outside of the column stays as it is. */
static void test_one_column_set(void) {
    check_with_keep("{}", "{\"keep\": []}\n");
    check_with_keep(" { } \r", " { \"keep\": []} \r\n");
    check_with_keep("{\"entropy\":[1.50,2e0] }", "{\"entropy\":[1.50,2e0] , \"keep\": [true,false]}\n");
    check_with_keep("{\"keep\" : [ null ] , \"x\":\"}\\\"\"}", "{\"keep\" : [true] , \"x\":\"}\\\"\"}\n");
    check_with_keep("{\"x\":\"}\\\"\", \"keep\":[null]}", "{\"x\":\"}\\\"\", \"keep\":[true]}\n");
    check_with_keep("{\"a\":{\"keep\":[1]},\"entropy\":[1],\"k\\u0065ep\":[false]}",
                    "{\"a\":{\"keep\":[1]},\"entropy\":[1],\"k\\u0065ep\":[true]}\n");
    check_with_keep("{\"keep\": true, \"rank\": [1]}", "{\"keep\": [true], \"rank\": [1]}\n");
    check_with_keep("{\"a\\\\\":\"\\\\\",\"rank\":[1]}", "{\"a\\\\\":\"\\\\\",\"rank\":[1], \"keep\": [true]}\n");
}

static void test_values(void) {
    document document = {0};
    trouble trouble = {""};
    float *values;
    uint8_t *valid;
    CHECK(parse(&document, "{\"logprob\": [-1, null], \"rank\": [4, 5], \"token\": [\"a\", \"b\"]}", &trouble));
    CHECK(document_values(&document, "surprisal", &values, &valid, &trouble));
    CHECK_NEAR(values[0], 1, 0);
    CHECK(isnan(values[1]));
    CHECK(valid[0] == 1 && valid[1] == 0);
    free(values);
    free(valid);
    CHECK(document_values(&document, "rank", &values, &valid, &trouble));
    CHECK_NEAR(values[1], 5, 0);
    free(values);
    free(valid);
    CHECK(document_values(&document, "position", &values, &valid, &trouble));
    CHECK_NEAR(values[1], 1, 0);
    free(values);
    free(valid);
    CHECK(!document_values(&document, "entropy", &values, &valid, &trouble));
    CHECK(strstr(trouble.text, "no column \"entropy\"") != NULL);
    CHECK(!document_values(&document, "entrpy", &values, &valid, &trouble));
    CHECK(strstr(trouble.text, "did you mean \"entropy\"?") != NULL);
    CHECK(!document_values(&document, "token", &values, &valid, &trouble));
    CHECK(strstr(trouble.text, "does not hold one number") != NULL);
    document_free(&document);
}

static void test_a_file(void) {
    static const char text[] = "{\"id\": \"a\"}\n\n  \n{\"id\": \"b\"}\r\n{\"id\": ";
    trouble trouble = {""};
    document document = {0};
    input *input = input_open_memory("test.jsonl", text, sizeof text - 1, &trouble);
    CHECK_INT(record_read(input, &document, &trouble), 1);
    CHECK_STRING(document.id, "a");
    CHECK_INT(record_read(input, &document, &trouble), 1);
    CHECK_STRING(document.id, "b");
    CHECK_INT(document.line_number, 4);
    CHECK_INT(record_read(input, &document, &trouble), -1);
    CHECK_SAY(strncmp(trouble.text, "test.jsonl:5: broken JSON", 25) == 0, "%s", trouble.text);
    document_free(&document);
    input_close(input);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_a_document);
    TEST(test_greatest_float);
    TEST(test_ids);
    TEST(test_nuls);
    TEST(test_refused);
    TEST(test_width_is_capped);
    TEST(test_deep_nesting);
    TEST(test_written);
    TEST(test_one_column_set);
    TEST(test_values);
    TEST(test_a_file);
    return test_end();
}
