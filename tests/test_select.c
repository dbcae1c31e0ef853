/* Rules and masks: the grammar, TRL's high-entropy vectors, and NumPy's quantiles on random values. */
#include "harness.h"
#include "harness_stream.h"

#include <entrol/entrol.h>

#include <locale.h>

static entrol_context *context;

static entrol_rule rule_of(const char *text) {
    entrol_rule rule = {.kind = ENTROL_RULE_RANGE};
    CHECK_SAY(entrol_rule_parse(&rule, NULL, text) == ENTROL_OK, "\"%s\" is refused", text);
    return rule;
}

/* Keeps by a rule and returns what it kept as text of 0 and 1. */
static const char *kept(const char *rule_text, const float *values, const uint8_t *valid, size_t n,
                        entrol_selection *selection) {
    static char text[64];
    uint8_t keep[64];
    const entrol_rule rule = rule_of(rule_text);
    entrol_selection unused;
    CHECK_INT(entrol_select(context, keep, selection ? selection : &unused, NULL, values, valid, n, &rule, NULL),
              ENTROL_OK);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('0' + keep[i]);
    text[n] = 0;
    return text;
}

static void test_rule_forms(void) {
    entrol_rule rule = rule_of("low:80%");
    CHECK(rule.kind == ENTROL_RULE_LOW_SHARE && rule.share == 0.8);
    rule = rule_of("high:12.5%");
    CHECK(rule.kind == ENTROL_RULE_HIGH_SHARE && rule.share == 0.125);
    rule = rule_of("low:0%");
    CHECK(rule.kind == ENTROL_RULE_LOW_SHARE && rule.share == 0);
    rule = rule_of("high:100%");
    CHECK(rule.kind == ENTROL_RULE_HIGH_SHARE && rule.share == 1);
    rule = rule_of("high:1000");
    CHECK(rule.kind == ENTROL_RULE_HIGH_COUNT && rule.count == 1000);
    rule = rule_of("low:18446744073709551615");
    CHECK(rule.kind == ENTROL_RULE_LOW_COUNT && rule.count == UINT64_MAX);
    rule = rule_of("..2.5");
    CHECK(rule.kind == ENTROL_RULE_RANGE && rule.low == -INFINITY && rule.high == 2.5);
    rule = rule_of("2.5..");
    CHECK(rule.kind == ENTROL_RULE_RANGE && rule.low == 2.5 && rule.high == INFINITY);
    rule = rule_of("1..2");
    CHECK(rule.kind == ENTROL_RULE_RANGE && rule.low == 1 && rule.high == 2);
    rule = rule_of("-1..2");
    CHECK(rule.low == -1 && rule.high == 2);
    rule = rule_of("-2.5e-3..-1E-4");
    CHECK(rule.low == -0.0025 && rule.high == -0.0001);
    rule = rule_of("0.1..0.30000000000000004");
    CHECK(rule.low == 0.1 && rule.high == 0.30000000000000004);
    rule = rule_of("p5..p95");
    CHECK(rule.kind == ENTROL_RULE_PERCENTILES && rule.low == 0.05 && rule.high == 0.95);
    rule = rule_of("..p95");
    CHECK(rule.kind == ENTROL_RULE_PERCENTILES && rule.low == 0 && rule.high == 0.95);
    rule = rule_of("p99.9..");
    CHECK(rule.kind == ENTROL_RULE_PERCENTILES && rule.low == 0.999 && rule.high == 1);
}

/* Every percentage is the double that a C literal of the share would be. */
static void test_percent_is_nearest(void) {
    for (int tenths = 0; tenths <= 1000; tenths++) {
        char text[32];
        snprintf(text, sizeof text, "low:%d.%d%%", tenths / 10, tenths % 10);
        const entrol_rule rule = rule_of(text);
        CHECK_SAY(rule.share == tenths / 1000.0, "%s is %.17g", text, rule.share);
    }
}

static void test_rule_errors(void) {
    static const struct {
        const char *text;
        size_t offset;
    } cases[] = {
        {"", 0},
        {".", 0},
        {"..", 2},
        {"...", 2},
        {"foo", 0},
        {"low", 0},
        {"low:", 4},
        {"low:x", 4},
        {"low:-1", 6},
        {"low:80%%", 7},
        {"low:80 %", 6},
        {"low:100.1%", 4},
        {"low:-1%", 4},
        {"low:101%", 4},
        {"low:5.5", 7},
        {"low:1e3", 7},
        {" low:5", 0},
        {"low:5 ", 5},
        {"Low:5", 0},
        {"2.5", 3},
        {"2.", 2},
        {"1..2..3", 4},
        {"1..2x", 4},
        {"2..1", 3},
        {"-1..-2", 4},
        {"1...5", 3},
        {"+1..2", 0},
        {"inf..2", 0},
        {"nan..", 0},
        {"0x1..2", 1},
        {"1e..2", 2},
        {"1e999..", 0},
        {"1..1e999", 3},
        {"p5..2.5", 4},
        {"1..p5", 3},
        {"p5", 2},
        {"p..p5", 1},
        {"p101..", 1},
        {"p-1..p5", 1},
        {"p95..p5", 5},
        {"1,5..2", 1},
        {"..2,5", 3},
        {"p5%..p95", 2},
        {"1e99999..", 0},
        {"--1..", 1},
        {"1..2\n", 4},
        {"high:1000000%", 5},
        {"low:18446744073709551616", 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        entrol_rule rule = {.kind = ENTROL_RULE_LOW_COUNT, .count = 77};
        size_t n_read = 999;
        CHECK_SAY(entrol_rule_parse(&rule, &n_read, cases[i].text) == ENTROL_ERROR_ARGUMENT, "\"%s\" is taken",
                  cases[i].text);
        CHECK_SAY(n_read == cases[i].offset, "\"%s\" stops at %zu, expected %zu", cases[i].text, n_read,
                  cases[i].offset);
        CHECK(rule.kind == ENTROL_RULE_LOW_COUNT && rule.count == 77);
    }
    CHECK_INT(entrol_rule_parse(NULL, NULL, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_rule_parse(NULL, NULL, "low:5"), ENTROL_OK);
}

/* A number longer than any rule needs is refused, not cut. */
static void test_rule_long_number(void) {
    char text[1200];
    memset(text, '1', sizeof text);
    memcpy(text + sizeof text - 3, "..", 3);
    size_t n_read;
    CHECK_INT(entrol_rule_parse(NULL, &n_read, text), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(n_read, 0);
    memcpy(text, "low:", 4);
    CHECK_INT(entrol_rule_parse(NULL, &n_read, text), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(n_read, 4);
}

/* Random text of the grammar's own bytes: nothing beyond its end is read, and only whole texts are taken. */
static void test_rule_random_text(void) {
    static const char *const words[] = {"low:", "high:", "..", "p", "-", ".", "e", "%", "0", "7", "99", "E+", " "};
    int n_taken = 0;
    for (int round = 0; round < 20000; round++) {
        char text[64] = "";
        for (size_t n = test_below(7); n > 0; n--)
            strcat(text, words[test_below(sizeof words / sizeof *words)]);
        const size_t length = strlen(text);
        guarded memory = guarded_allocate(length + 1, true);
        memcpy(memory.data, text, length + 1);
        entrol_rule rule;
        size_t n_read = SIZE_MAX;
        const entrol_status status = entrol_rule_parse(&rule, &n_read, memory.data);
        CHECK_SAY(status == ENTROL_OK ? n_read == length : n_read <= length, "\"%s\" stops at %zu", text, n_read);
        n_taken += status == ENTROL_OK;
        guarded_free(&memory);
    }
    CHECK(n_taken > 100);
}

static void test_rule_ignores_locale(void) {
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "ru_RU.UTF-8"};
    size_t i = 0;
    while (i < 4 && !setlocale(LC_NUMERIC, names[i]))
        i++;
    if (i == 4) {
        test_skip("no locale with a decimal comma is installed");
        return;
    }
    const entrol_rule rule = rule_of("2.5..3.5");
    CHECK(rule.low == 2.5 && rule.high == 3.5);
    CHECK_INT(entrol_rule_parse(NULL, NULL, "2,5..3"), ENTROL_ERROR_ARGUMENT);
    setlocale(LC_NUMERIC, "C");
}

/* The vectors of TRL's tests of get_high_entropy_mask(entropies, mask, threshold): threshold t is high:(1 - t). */
static void test_trl_vectors(void) {
    static const float e[12] = {.1f, .2f, .3f, .4f, .5f, .6f, .7f, .8f, .9f, 1.f, 1.1f, 1.2f};
    static const uint8_t mask[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0};
    CHECK_STRING(kept("high:20%", e, mask, 12, NULL), "000000001100");
    CHECK_STRING(kept("high:50%", e, mask, 12, NULL), "000001111100");
    CHECK_STRING(kept("high:100%", e, mask, 12, NULL), "111111111100");
    CHECK_STRING(kept("high:0%", e, mask, 12, NULL), "000000000100");
    static const uint8_t nothing[12];
    CHECK_STRING(kept("high:50%", e, nothing, 12, NULL), "000000000000");
    static const float e2[12] = {.1f, .2f, .3f, 1.4f, .5f, .14f, .5f, .6f, .7f, .8f, .9f, 1.f};
    static const uint8_t mask2[12] = {1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0};
    CHECK_STRING(kept("high:20%", e2, mask2, 12, NULL), "000100000100");
}

/* TRL: `>=` keeps all ties; with most entropies 0 the threshold is 0 and everything is kept. */
static const char *mask_of(const float *entropies, const uint8_t *valid, size_t n, double threshold,
                           const entrol_quantile_options *options) {
    static char text[64];
    uint8_t keep[64];
    CHECK_INT(entrol_high_entropy_mask(context, keep, NULL, NULL, entropies, valid, n, threshold, options), ENTROL_OK);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('0' + keep[i]);
    text[n] = 0;
    return text;
}

/* TRL's get_high_entropy_mask: its tests, and what its source says of the ends, ties and padding. */
static void test_high_entropy_mask(void) {
    static const float e[12] = {.1f, .2f, .3f, .4f, .5f, .6f, .7f, .8f, .9f, 1.f, 1.1f, 1.2f};
    static const uint8_t mask[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, nothing[12];
    CHECK_STRING(mask_of(e, mask, 12, 0.8, NULL), "000000001100");
    CHECK_STRING(mask_of(e, mask, 12, 0.5, NULL), "000001111100");
    CHECK_STRING(mask_of(e, mask, 12, 0, NULL), "111111111100");
    CHECK_STRING(mask_of(e, mask, 12, 1, NULL), "000000000100");
    CHECK_STRING(mask_of(e, nothing, 12, 0.5, NULL), "000000000000");
    static const float e2[12] = {.1f, .2f, .3f, 1.4f, .5f, .14f, .5f, .6f, .7f, .8f, .9f, 1.f};
    static const uint8_t mask2[12] = {1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0};
    CHECK_STRING(mask_of(e2, mask2, 12, 0.8, NULL), "000100000100");
    static const float certain[6] = {0, 0, 0, 0, 0, 2}, equal[4] = {1, 1, 1, 1};
    CHECK_STRING(mask_of(certain, NULL, 6, 0.7, NULL), "111111"); /* the quantile is 0 */
    CHECK_STRING(mask_of(equal, NULL, 4, 1, NULL), "1111");
    const float padded[5] = {-3, (float)NAN, -1e9f, -1, INFINITY}; /* TRL's sentinel is a value like others */
    static const uint8_t three[5] = {1, 0, 1, 1, 0};
    CHECK_STRING(mask_of(padded, three, 5, 0.5, NULL), "10010");
    CHECK_STRING(mask_of(padded, three, 5, 0, NULL), "10110");
}

static void test_high_entropy_mask_of_nans(void) {
    const float e[5] = {1, (float)NAN, 3, 2, 4};
    uint8_t keep[5];
    entrol_diagnosis diagnosis;
    entrol_selection selection;
    entrol_quantile_options options = {sizeof options, ENTROL_QUANTILE_TORCH, ENTROL_NAN_IGNORE};
    CHECK_INT(entrol_high_entropy_mask(context, keep, NULL, &diagnosis, e, NULL, 5, 0.5, NULL), ENTROL_OK);
    CHECK(diagnosis.n_bad == 1 && diagnosis.first_row == 1 && diagnosis.reason == ENTROL_REASON_NAN);
    CHECK(memcmp(keep, (uint8_t[5]){0}, 5) == 0);
    CHECK_INT(entrol_high_entropy_mask(context, keep, &selection, &diagnosis, e, NULL, 5, 0.5, &options), ENTROL_OK);
    CHECK(diagnosis.n_bad == 0 && selection.n_valid == 4 && selection.n_kept == 2 && selection.threshold_low == 2.5);
    CHECK(memcmp(keep, (uint8_t[5]){0, 0, 1, 0, 1}, 5) == 0);
    options.nan = ENTROL_NAN_PROPAGATE;
    CHECK_INT(entrol_high_entropy_mask(context, keep, &selection, &diagnosis, e, NULL, 5, 0.5, &options), ENTROL_OK);
    CHECK(diagnosis.n_bad == 0 && selection.n_kept == 0 && isnan(selection.threshold_low));
    CHECK_INT(entrol_high_entropy_mask(context, keep, NULL, &diagnosis, e, NULL, 5, 1.5, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "threshold");
    CHECK_INT(entrol_high_entropy_mask(context, keep, NULL, &diagnosis, NULL, NULL, 5, 1, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "entropies");
}

/* What is selected piece by piece is what is selected at once. */
static void test_streams(void) {
    static const char *const rules[] = {"low:30%", "high:20%", "high:7", "low:0", "low:999", "1..3", "p10..p90", "2.."};
    enum { N = 200 };
    float values[N];
    uint8_t valid[N], keep[N], expected[N];
    for (size_t k = 0; k < 8 * 20; k++) {
        const size_t n = test_below(N + 1);
        entrol_rule rule;
        entrol_bounds bounds;
        entrol_selection at_once, in_pieces = {0};
        for (size_t i = 0; i < n; i++) {
            values[i] = (float)test_below(6);
            valid[i] = test_below(5) > 0;
        }
        pieces pieces = {.values = values, .valid = valid, .n = n};
        const entrol_stream stream = {read_piece, &pieces};
        CHECK_INT(entrol_rule_parse(&rule, NULL, rules[k % 8]), ENTROL_OK);
        CHECK_INT(entrol_select(context, expected, &at_once, NULL, values, valid, n, &rule, NULL), ENTROL_OK);
        CHECK_INT(entrol_bounds_of_stream(context, &bounds, NULL, &stream, &rule, NULL), ENTROL_OK);
        for (size_t i = 0; i < n; i += 7)
            entrol_apply_bounds(&bounds, keep + i, &in_pieces, values + i, valid + i, n - i < 7 ? n - i : 7);
        CHECK_SAY(memcmp(keep, expected, n) == 0, "%s of %zu values", rules[k % 8], n);
        CHECK(n == 0 || (in_pieces.n_kept == at_once.n_kept && in_pieces.n_ties == at_once.n_ties &&
                         in_pieces.n_valid == at_once.n_valid));
        pieces.fails_at = pieces.n_reads + 1;
        CHECK_INT(entrol_bounds_of_stream(context, &bounds, NULL, &stream, &rule, NULL), ENTROL_ERROR_READ);
    }
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_bounds_of_stream(context, NULL, &diagnosis, NULL, NULL, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "stream");
}

static void test_share_keeps_ties(void) {
    static const float values[10] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 5};
    entrol_selection selection;
    CHECK_STRING(kept("high:20%", values, NULL, 10, &selection), "1111111111");
    CHECK_INT(selection.n_ties, 9);
    CHECK_INT(selection.n_kept, 10);
    CHECK(selection.threshold_low == 0 && selection.threshold_high == INFINITY);
    CHECK_STRING(kept("low:50%", values, NULL, 10, &selection), "1111111110");
    CHECK(selection.threshold_low == -INFINITY && selection.threshold_high == 0);
}

static void test_counts(void) {
    static const float values[8] = {3, 1, 2, 2, -0.0f, 0.0f, 2, 9};
    entrol_selection selection;
    CHECK_STRING(kept("low:4", values, NULL, 8, &selection), "01101100");
    CHECK_INT(selection.n_ties, 3);
    CHECK_INT(selection.n_kept, 4);
    CHECK(selection.threshold_high == 2 && selection.threshold_low == -INFINITY);
    CHECK_STRING(kept("high:3", values, NULL, 8, NULL), "10100001");
    CHECK_STRING(kept("low:1", values, NULL, 8, NULL), "00001000"); /* -0 equals 0: the earlier one */
    CHECK_STRING(kept("low:100", values, NULL, 8, NULL), "11111111");
    CHECK_STRING(kept("high:18446744073709551615", values, NULL, 8, NULL), "11111111");
    CHECK_STRING(kept("low:0", values, NULL, 8, &selection), "00000000");
    CHECK(isnan(selection.threshold_high));
    static const uint8_t valid[8] = {0, 0, 1, 1, 0, 0, 1, 0};
    CHECK_STRING(kept("low:2", values, valid, 8, NULL), "00110000");
}

static void test_ranges(void) {
    static const float values[7] = {-INFINITY, -1, 0.1f, 1, 2, 3, INFINITY};
    CHECK_STRING(kept("1..2", values, NULL, 7, NULL), "0001100");
    CHECK_STRING(kept("..1", values, NULL, 7, NULL), "1111000");
    CHECK_STRING(kept("2..", values, NULL, 7, NULL), "0000111");
    /* 0.1 as a float is above 0.1, yet the end means the value that prints so. */
    CHECK_STRING(kept("..0.1", values, NULL, 7, NULL), "1110000");
    CHECK_STRING(kept("0.1..", values, NULL, 7, NULL), "0011111");
    /* An end beyond all floats is not infinity. */
    CHECK_STRING(kept("..1e300", values, NULL, 7, NULL), "1111110");
    CHECK_STRING(kept("-1e300..", values, NULL, 7, NULL), "0111111");
    entrol_selection selection;
    kept("-1..2", values, NULL, 7, &selection);
    CHECK_INT(selection.n_ties, 2);
    CHECK_INT(selection.n_kept, 4);
    kept("2..", values, NULL, 7, &selection); /* an open end is no threshold to tie with */
    CHECK_INT(selection.n_ties, 1);
    kept("..2", values, NULL, 7, &selection);
    CHECK_INT(selection.n_ties, 1);
}

static void test_percentiles(void) {
    float values[41]; /* 0 to 40: the percentile 5 is the value 2, 95 is 38 (NumPy's linear method) */
    for (int i = 0; i < 41; i++)
        values[i] = (float)((i * 17) % 41);
    entrol_selection selection;
    kept("p5..p95", values, NULL, 41, &selection);
    CHECK_INT(selection.n_kept, 37);
    CHECK_NEAR(selection.threshold_low, 2, 1e-12);
    CHECK_NEAR(selection.threshold_high, 38, 1e-12);
    kept("..p95", values, NULL, 41, &selection);
    CHECK_INT(selection.n_kept, 39);
    CHECK(selection.threshold_low == -INFINITY);
    kept("p5..", values, NULL, 41, &selection);
    CHECK_INT(selection.n_kept, 39);
    CHECK(selection.threshold_high == INFINITY);
}

static void test_nothing_valid_and_nan(void) {
    const float nan_value = NAN;
    const float values[4] = {1, nan_value, 3, nan_value};
    static const uint8_t first[4] = {1, 0, 1, 0};
    const entrol_rule rule = rule_of("..5");
    uint8_t keep[4] = {9, 9, 9, 9};
    entrol_selection selection;
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_select(context, keep, &selection, &diagnosis, values, NULL, 4, &rule, NULL), ENTROL_OK);
    CHECK(!keep[0] && !keep[1] && !keep[2] && !keep[3]);
    CHECK_INT(diagnosis.first_row, 1);
    CHECK_INT(diagnosis.n_bad, 2);
    CHECK_INT(diagnosis.reason, ENTROL_REASON_NAN);
    CHECK_INT(selection.n_valid, 4);
    CHECK(isnan(selection.threshold_low) && isnan(selection.threshold_high));
    /* What an invalid place holds does not matter. */
    CHECK_INT(entrol_select(context, keep, &selection, &diagnosis, values, first, 4, &rule, NULL), ENTROL_OK);
    CHECK(keep[0] == 1 && keep[1] == 0 && keep[2] == 1 && keep[3] == 0);
    CHECK_INT(diagnosis.n_bad, 0);
    CHECK_INT(entrol_select(context, NULL, &selection, NULL, NULL, NULL, 0, &rule, NULL), ENTROL_OK);
    CHECK(selection.n_valid == 0 && selection.n_kept == 0 && isnan(selection.threshold_low));
}

static void test_bad_arguments(void) {
    const float values[1] = {1};
    const entrol_rule good = rule_of("..5");
    const entrol_rule bad[] = {
        {.kind = (entrol_rule_kind)77},
        {.kind = ENTROL_RULE_LOW_SHARE, .share = 1.5},
        {.kind = ENTROL_RULE_HIGH_SHARE, .share = (double)NAN},
        {.kind = ENTROL_RULE_RANGE, .low = 2, .high = 1},
        {.kind = ENTROL_RULE_RANGE, .low = (double)NAN, .high = 1},
        {.kind = ENTROL_RULE_PERCENTILES, .low = 0.5, .high = 0.2},
        {.kind = ENTROL_RULE_PERCENTILES, .low = -0.5, .high = 0.2},
    };
    uint8_t keep = 7;
    entrol_diagnosis diagnosis;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(entrol_select(context, &keep, NULL, &diagnosis, values, NULL, 1, &bad[i], NULL),
                  ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(diagnosis.argument, "rule");
    }
    CHECK_INT(entrol_select(context, &keep, NULL, &diagnosis, NULL, NULL, 1, &good, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "values");
    CHECK_INT(entrol_select(NULL, &keep, NULL, &diagnosis, values, NULL, 1, &good, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "context");
    CHECK_INT(keep, 7);
}

static int compare_floats(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* high:p% keeps values at or above NumPy's quantile at (100 - p) / 100, for every whole p: 1 - 0.9 must be 0.1. */
static void test_complement_of_percent(void) {
    enum { N = 101 };
    float values[N], sorted[N];
    for (int i = 0; i < N; i++)
        sorted[i] = values[i] = (float)test_normal();
    qsort(sorted, N, sizeof *sorted, compare_floats);
    for (int percent = 0; percent <= 100; percent++) {
        char text[32];
        snprintf(text, sizeof text, "high:%d%%", percent);
        const double rank = (100 - percent) / 100.0 * (N - 1), below = floor(rank), w = rank - below;
        const double a = (double)sorted[(int)below], b = (double)sorted[(int)below + (w > 0)];
        const double threshold = w < 0.5 ? a + w * (b - a) : b - (b - a) * (1 - w);
        const entrol_rule rule = rule_of(text);
        entrol_selection selection;
        uint8_t keep[N];
        CHECK_INT(entrol_select(context, keep, &selection, NULL, values, NULL, N, &rule, NULL), ENTROL_OK);
        CHECK_SAY(selection.threshold_low == threshold, "%s: threshold %.17g, expected %.17g", text,
                  selection.threshold_low, threshold);
        for (int i = 0; i < N; i++)
            CHECK(keep[i] == ((double)values[i] >= threshold));
    }
}

/* A sort decides which values a count keeps; few distinct values make many ties. */
static void test_random_counts(void) {
    enum { N = 500 };
    float *values;
    guarded memory = guarded_allocate(N * sizeof(float), true), keep = guarded_allocate(N, true);
    values = memory.data;
    for (int round = 0; round < 50; round++) {
        const size_t n_distinct = 1 + test_below(40), k = test_below(N + 10);
        for (int i = 0; i < N; i++)
            values[i] = (float)test_below(n_distinct) - 7;
        const entrol_rule rule = {.kind = ENTROL_RULE_HIGH_COUNT, .count = k};
        CHECK_INT(entrol_select(context, keep.data, NULL, NULL, values, NULL, N, &rule, NULL), ENTROL_OK);
        for (size_t i = 0; i < N; i++) {
            size_t n_before = 0; /* values that come before this one: greater, or equal and earlier */
            for (size_t j = 0; j < N; j++)
                n_before += values[j] > values[i] || (values[j] == values[i] && j < i);
            CHECK(((uint8_t *)keep.data)[i] == (n_before < k));
        }
    }
    guarded_free(&memory);
    guarded_free(&keep);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    if (entrol_context_create(&context, NULL) != ENTROL_OK)
        return 1;
    TEST(test_rule_forms);
    TEST(test_percent_is_nearest);
    TEST(test_rule_errors);
    TEST(test_rule_long_number);
    TEST(test_rule_random_text);
    TEST(test_rule_ignores_locale);
    TEST(test_trl_vectors);
    TEST(test_high_entropy_mask);
    TEST(test_high_entropy_mask_of_nans);
    TEST(test_streams);
    TEST(test_share_keeps_ties);
    TEST(test_counts);
    TEST(test_ranges);
    TEST(test_percentiles);
    TEST(test_nothing_valid_and_nan);
    TEST(test_bad_arguments);
    TEST(test_complement_of_percent);
    TEST(test_random_counts);
    entrol_context_destroy(context);
    return test_end();
}
