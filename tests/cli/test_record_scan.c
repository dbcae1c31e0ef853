/* Reading records in one pass: it must be sure of ordinary lines, and be right wherever it is sure. Right is what
 * record_parse says, which makes a tree by another program (jansson) and reads numbers by strtod. */
#include "harness.h"
#include "random_records.h"
#include "../fuzz/scan_agrees.h"
#include "formats/json_block.h"

static void check_sure(const buffer *line, const record_wanted *wanted) {
    const char *wrong;
    CHECK_SAY(scan_agrees(&wrong, line->data, line->size, wanted), "not sure of %.300s", line->data);
    CHECK_SAY(wrong == NULL, "%s: %.300s", wrong ? wrong : "", line->data);
}

static void test_it_is_sure_of_what_score_writes(void) {
    for (int i = 0; i < 300; i++) {
        buffer line = {0};
        random_line(&line, test_below(i % 10 ? 40 : 1000), i % 2 ? 100 : 50);
        check_sure(&line, random_wanted());
        buffer_free(&line);
    }
}

/* Spaces behind commas and colons, also within arrays: Python's json.dumps. */
static void test_it_is_sure_of_what_python_writes(void) {
    buffer line = {0}, spaced = {0};
    random_line(&line, 300, 100);
    json_t *object = json_loadb(line.data, line.size, 0, NULL);
    char *text = json_dumps(object, JSON_ENSURE_ASCII);
    buffer_append_string(&spaced, text);
    check_sure(&spaced, &record_everything);
    CHECK(strstr(text, "[[") != NULL && strstr(text, ", ") != NULL && strstr(text, "\\u") != NULL);
    free(text);
    json_decref(object);
    buffer_free(&line);
    buffer_free(&spaced);
}

/* Every character of Unicode, as it is and escaped. */
static void test_it_is_sure_of_all_of_unicode(void) {
    for (uint32_t first = 0; first < 0x110000; first += 0x1000) {
        char name[64];
        buffer text = {0}, line = {0};
        if (first >= 0xD000 && first <= 0xDFFF)
            continue;
        for (uint32_t code = first ? first : 1; code < first + 0x1000; code++) {
            snprintf(name, sizeof name, code < 0x10000 ? "\\u%04x" : "\\ud%03x\\ud%03X",
                     code < 0x10000 ? code : 0x800 + ((code - 0x10000) >> 10), 0xC00 + (code & 0x3FF));
            buffer_append_string(&text, name);
        }
        buffer_append_format(&line, "{\"text\": \"%s\", \"token\": [\"%s\"]}", text.data, text.data);
        check_sure(&line, &record_everything);
        json_t *object = json_loadb(line.data, line.size, 0, NULL);
        char *plain = json_dumps(object, 0);
        buffer_clear(&line);
        buffer_append_string(&line, plain);
        check_sure(&line, &record_everything);
        free(plain);
        json_decref(object);
        buffer_free(&text);
        buffer_free(&line);
    }
}

static void append_random_number(buffer *line) {
    if (test_below(3) == 0)
        buffer_append(line, "-", 1);
    const size_t n_whole = test_below(3) ? 1 : 1 + test_below(6);
    for (size_t i = 0; i < n_whole; i++)
        buffer_append_format(line, "%zu", i == 0 && n_whole > 1 ? 1 + test_below(9) : test_below(10));
    const size_t n_fraction = test_below(4) ? test_below(22) : 0;
    for (size_t i = 0; i < n_fraction; i++)
        buffer_append_format(line, i == 0 ? ".%zu" : "%zu", test_below(10));
    if (test_below(4) == 0)
        buffer_append_format(line, "e%d", (int)test_below(60) - 30);
}

/* Numbers of any length, in arrays of any length: each is the float that strtod and rounding make of it. */
static void test_numbers_are_those_of_strtod(void) {
    for (int i = 0; i < (is_quick() ? 100 : 2000); i++) {
        buffer line = {0};
        buffer_append_string(&line, "{\"entropy\": [");
        append_random_number(&line);
        for (size_t n = test_below(200); n > 0; n--) {
            buffer_append_string(&line, i % 2 ? "," : ", ");
            append_random_number(&line);
        }
        buffer_append_string(&line, "]}");
        check_sure(&line, &record_everything);
        buffer_free(&line);
    }
}

/* Halfway between two doubles, and between two floats. */
static void test_numbers_at_the_edges(void) {
    static const char *const numbers[] = {
        "9007199254740993",
        "9007199254740992.5",
        "0.9007199254740993",
        "9007199254740993e-15",
        "0.1000000014901161",
        "0.10000000149011612",
        "0.100000001490116125",
        "1.00000005960464477539",
        "1.0000000596046448",
        "16777217",
        "16777217.0",
        "16777219",
        "123456789012345678",
        "-123456789012345678",
        "-0",
        "-0.0",
        "-0e5",
        "0e400",
        "1e-400",
        "1.4e-45",
        "0.7e-45",
        "7.006492321624085e-46",
        "3.4028234e37",
        "99999999999999999999999.5",
        "0.000000000000000001",
        "0.0000000000000000000000000000000001",
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const char *wrong;
        buffer line = {0};
        buffer_append_format(&line, "{\"entropy\": [%s, 1, %s,%s,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}",
                             numbers[i], numbers[i], numbers[i]);
        scan_agrees(&wrong, line.data, line.size, &record_everything);
        CHECK_SAY(wrong == NULL, "%s: %s", numbers[i], wrong ? wrong : "");
        buffer_free(&line);
    }
}

/* Where a float ends and the next begins, and within that, a double: 17 and 18 digits decide. */
static void test_numbers_beside_two_midpoints(void) {
    for (int i = 0; i < 200; i++) {
        buffer line = {0};
        buffer_append_string(&line, "{\"entropy\": [");
        for (int j = 0; j < 50; j++) {
            const float value = (float)(test_uniform() * 10);
            const double middle = ((double)value + (double)nextafterf(value, INFINITY)) / 2;
            const double next = nextafter(middle, test_below(2) ? INFINITY : 0);
            const long double between = ((long double)middle + (long double)next) / 2;
            buffer_append_format(&line, "%s%.*Lf", j > 0 ? "," : "", 15 + (int)test_below(4), between);
        }
        buffer_append_string(&line, "]}");
        check_sure(&line, &record_everything);
        buffer_free(&line);
    }
}

/* Wrong or unusual: the parser's. */
static void test_it_is_not_sure(void) {
    static const char *const lines[] = {
        "",
        "{",
        "[1]",
        "{}}",
        "{} x",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":tru}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":+1}",
        "{\"a\":1e999}",
        "{\"a\":9223372036854775808}",
        "{\"a\":1,\"a\":2}",
        "{\"x\":{\"a\":1,\"a\":2}}",
        "{\"\\u0061\":1}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\ud800\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\xC0\x80\"}",
        "{\"a\":\"\xED\xA0\x80\"}",
        "{\"a\":\"\xF4\x90\x80\x80\"}",
        "{\"a\":\"\xE2\x82\"}",
        "{\"a\":\"x}",
        "{\"a\":\"\\",
        "{\"a\":\"\\u12",
        "{\"entropy\":[1,]}",
        "{\"entropy\":[,1]}",
        "{\"entropy\":[1 2]}",
        "{\"entropy\":[1}",
        "{\"entropy\":[true]}",
        "{\"entropy\":[\"x\"]}",
        "{\"entropy\":[3.5e38]}",
        "{\"entropy\":[1e39]}",
        "{\"entropy\":[[1]]}",
        "{\"rank\":[1.5]}",
        "{\"rank\":[\"NaN\"]}",
        "{\"keep\":[2]}",
        "{\"keep\":[\"true\"]}",
        "{\"token\":[1]}",
        "{\"top_id\":[1]}",
        "{\"top_id\":[[[1]]]}",
        "{\"entropy\":[1],\"rank\":[1,2]}",
        "{\"rank\":[1,2],\"entropy\":[1]}",
        "{\"byte_start\":[0,5],\"byte_end\":[5,4]}",
        "{\"byte_start\":[-1],\"byte_end\":[1]}",
        "{\"text\":\"ab\",\"byte_start\":[0],\"byte_end\":[3]}",
        "{\"byte_end\":[3],\"byte_start\":[0],\"text\":\"\\u00e9\"}",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const char *wrong;
        CHECK_SAY(!scan_agrees(&wrong, lines[i], strlen(lines[i]), &record_everything), "sure of %s", lines[i]);
    }
}

/* A wrong byte anywhere among many numbers, where they are looked at 64 at a time. */
static void test_a_wrong_byte_among_numbers(void) {
    static const char *const names[] = {"entropy", "rank"};
    for (int which = 0; which < 2; which++) {
        buffer line = {0};
        buffer_append_format(&line, "{\"%s\": [", names[which]);
        for (int i = 0; i < 40; i++)
            buffer_append_format(&line, which ? "%d," : "%d.25,", i * i);
        buffer_append_string(&line,
                             "7], \"note\": \"0123456789012345678901234567890123456789012345678901234567890123\"}");
        check_sure(&line, &record_everything);
        for (size_t at = 13; at < 200; at++)
            for (const char *c = "0-.,e ]x\"[+"; *c; c++) {
                const char kept = line.data[at], *wrong;
                line.data[at] = *c;
                scan_agrees(&wrong, line.data, line.size, &record_everything);
                CHECK_SAY(wrong == NULL, "%s: %s", wrong ? wrong : "", line.data);
                line.data[at] = kept;
            }
        buffer_free(&line);
    }
}

static void test_mutated_lines(void) {
    size_t n_sure = 0;
    for (int i = 0; i < (is_quick() ? 2000 : 60000); i++) {
        const char *wrong;
        buffer line = {0};
        random_line(&line, test_below(12), 40);
        mutate_line(&line);
        n_sure += scan_agrees(&wrong, line.data, line.size, random_wanted());
        if (!CHECK_SAY(wrong == NULL, "%s: %.*s", wrong ? wrong : "", (int)line.size, line.data))
            i = INT32_MAX - 1;
        buffer_free(&line);
    }
    CHECK_SAY(n_sure > 100, "it was sure of %zu mutated lines only", n_sure);
}

static void test_what_is_least(void) {
    static const char line[] = "{\"logprob\": [1], \"entropy_lower\": [1], \"entropy_upper\": [2]}";
    const column_set entropy = COLUMN_BIT(COLUMN_ENTROPY), logprob = COLUMN_BIT(COLUMN_LOGPROB);
    const column_set bounds = COLUMN_BIT(COLUMN_ENTROPY_LOWER) | COLUMN_BIT(COLUMN_ENTROPY_UPPER);
    const char *wrong;
    CHECK(!scan_agrees(&wrong, line, strlen(line), &(record_wanted){entropy, false, false, {entropy, entropy}}));
    CHECK(scan_agrees(&wrong, line, strlen(line), &(record_wanted){entropy | bounds, false, false, {entropy, bounds}}));
    CHECK(scan_agrees(&wrong, line, strlen(line), &(record_wanted){logprob, false, false, {logprob, entropy}}));
    CHECK(!scan_agrees(&wrong, line, strlen(line), &record_whole_line));
}

static void test_ids(void) {
    static const char *const sure[] = {"{}",
                                       "{\"id\": null}",
                                       "{\"id\": \"a b\"}",
                                       "{\"id\": \"\"}",
                                       "{\"id\": 12}",
                                       "{\"id\": -3, \"rank\": []}",
                                       " \t{ \"id\" : \"\xC3\xA9\" } \r"};
    static const char *const unsure[] = {"{\"id\": 1.5}", "{\"id\": -0}", "{\"id\": \"\\n\"}", "{\"id\": {}}",
                                         "{\"id\": true}"};
    const record_wanted nothing = {.columns = 0};
    const char *wrong;
    for (size_t i = 0; i < sizeof sure / sizeof sure[0]; i++) {
        CHECK_SAY(scan_agrees(&wrong, sure[i], strlen(sure[i]), &nothing), "not sure of %s", sure[i]);
        CHECK_SAY(wrong == NULL, "%s: %s", wrong ? wrong : "", sure[i]);
    }
    for (size_t i = 0; i < sizeof unsure / sizeof unsure[0]; i++)
        CHECK_SAY(!scan_agrees(&wrong, unsure[i], strlen(unsure[i]), &nothing), "sure of %s", unsure[i]);
}

/* Members of nested objects are compared with each other only; more of them than can be compared are the parser's. */
static void test_names(void) {
    buffer line = {0};
    const char *wrong;
    buffer_append_string(&line, "{\"a\": [{\"a\": 1, \"b\": {\"a\": 2}}, {\"a\": 3}], \"b\": 4}");
    check_sure(&line, &record_everything);
    for (int n = JSON_SCAN_NAMES; n <= JSON_SCAN_NAMES + 1; n++) {
        buffer_clear(&line);
        for (int i = 0; i < n; i++)
            buffer_append_format(&line, "%s\"n%d\": 0", i > 0 ? ", " : "{", i);
        buffer_append_string(&line, "}");
        CHECK(scan_agrees(&wrong, line.data, line.size, &record_everything) == (n == JSON_SCAN_NAMES));
    }
    buffer_free(&line);
}

/* The memory of one document serves the next, whatever that holds. */
static void test_documents_follow_each_other(void) {
    document document = {0}, fresh;
    buffer scratch = {0};
    for (int i = 0; i < 200; i++) {
        buffer line = {0};
        random_line(&line, test_below(60), 50);
        fresh = (struct document){0};
        CHECK(record_scan("scan", 1, line.data, line.size, &record_everything, &document, &scratch));
        CHECK(record_scan("scan", 1, line.data, line.size, &record_everything, &fresh, &scratch));
        const char *wrong = compare_documents(&document, &fresh, &record_everything);
        CHECK_SAY(wrong == NULL, "%s: %.300s", wrong ? wrong : "", line.data);
        document_free(&fresh);
        buffer_free(&line);
    }
    document_free(&document);
    buffer_free(&scratch);
}

/* Both ways to make bits of lanes, of which a processor takes one. */
static void test_lanes(void) {
    for (int i = 0; i < 1000; i++) {
        json_lanes lanes;
        uint64_t expected = 0;
        for (unsigned lane = 0; lane < 16; lane++) {
            const bool bit = test_below(2) == 1;
            lanes[lane] = bit ? 0xFF : 0;
            expected |= (uint64_t)bit << lane;
        }
        CHECK(json_block_pack(lanes) == expected);
        CHECK(json_block_pack_plainly(lanes) == expected);
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_it_is_sure_of_what_score_writes);
    TEST(test_it_is_sure_of_what_python_writes);
    TEST(test_it_is_sure_of_all_of_unicode);
    TEST(test_numbers_are_those_of_strtod);
    TEST(test_numbers_at_the_edges);
    TEST(test_numbers_beside_two_midpoints);
    TEST(test_it_is_not_sure);
    TEST(test_a_wrong_byte_among_numbers);
    TEST(test_mutated_lines);
    TEST(test_what_is_least);
    TEST(test_ids);
    TEST(test_names);
    TEST(test_documents_follow_each_other);
    TEST(test_lanes);
    return test_end();
}
