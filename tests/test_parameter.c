/* Settings against a table of parameters: what holds, and what is refused. */
#include "base/context.h"
#include "base/parameter.h"
#include "harness.h"

static const char *const colours[] = {"red", "green", NULL};

static const entrol_parameter table[] = {
    {.name = "share", .type = ENTROL_PARAMETER_REAL, .initial = 0.25, .low = 0, .high = 1, .says = "a share"},
    {.name = "steps", .type = ENTROL_PARAMETER_WHOLE, .initial = 20, .low = 1, .high = INFINITY, .says = "steps"},
    {.name = "colour", .type = ENTROL_PARAMETER_CHOICE, .initial = 1, .choices = colours, .says = "a colour"},
    {.name = "points", .type = ENTROL_PARAMETER_TEXT, .text = "", .says = "points"},
};
enum { N = sizeof table / sizeof table[0] };

typedef struct taken {
    double values[N];
    const char *texts[N];
    entrol_diagnosis diagnosis;
} taken;

static entrol_status take(taken *out, const entrol_setting *settings, size_t n) {
    *out = (taken){.diagnosis = {.argument = NULL}};
    return ent_take_settings(out->values, out->texts, &out->diagnosis, table, N, settings, n);
}

static void test_defaults(void) {
    taken out;
    CHECK_INT(take(&out, NULL, 0), ENTROL_OK);
    CHECK(out.values[0] == 0.25 && out.values[1] == 20 && out.values[2] == 1);
    CHECK_STRING(out.texts[3], "");
}

static void test_what_is_set_holds(void) {
    const entrol_setting settings[] = {{"steps", 7, NULL},       {"share", 0, "0.75"}, {"colour", 0, "red"},
                                       {"points", 0, "0:1,5:2"}, {"steps", 0, "1e3"},  {"share", 1, NULL}};
    taken out;
    CHECK_INT(take(&out, settings, 5), ENTROL_OK);
    CHECK(out.values[0] == 0.75 && out.values[1] == 1000 && out.values[2] == 0);
    CHECK_STRING(out.texts[3], "0:1,5:2");
    CHECK_INT(take(&out, settings, 6), ENTROL_OK);
    CHECK(out.values[0] == 1);
}

static void test_what_is_refused(void) {
    static const struct {
        entrol_setting setting;
        const char *argument;
    } cases[] = {
        {{"share", 1.5, NULL}, "share"},   {{"share", -0.1, NULL}, "share"},  {{"share", (double)NAN, NULL}, "share"},
        {{"share", 0, "1.5"}, "share"},    {{"share", 0, "half"}, "share"},   {{"share", 0, "0.5 "}, "share"},
        {{"share", 0, ""}, "share"},       {{"share", 0, "1e999"}, "share"},  {{"steps", 2.5, NULL}, "steps"},
        {{"steps", 0, "0"}, "steps"},      {{"colour", 2, NULL}, "colour"},   {{"colour", -1, NULL}, "colour"},
        {{"colour", 0.5, NULL}, "colour"}, {{"colour", 0, "blue"}, "colour"}, {{"points", 1, NULL}, "points"},
        {{"shares", 0, "1"}, "settings"},  {{NULL, 0, "1"}, "settings"},
    };
    taken out;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_INT(take(&out, &cases[i].setting, 1), ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(out.diagnosis.argument, cases[i].argument);
    }
    CHECK_INT(take(&out, NULL, 1), ENTROL_ERROR_ARGUMENT);
    const entrol_setting third[] = {{"share", 0, "1"}, {"steps", 3, NULL}, {"colors", 0, "red"}, {"pts", 0, ""}};
    CHECK_INT(take(&out, third, 4), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(out.diagnosis.argument, "settings");
    CHECK_INT(out.diagnosis.first_row, 2);
    const entrol_setting bad_value[] = {{"share", 0, "1"}, {"steps", 0, "no"}};
    CHECK_INT(take(&out, bad_value, 2), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(out.diagnosis.first_row, 0);
    CHECK_INT(ent_take_settings(out.values, out.texts, NULL, table, N, third, 4), ENTROL_ERROR_ARGUMENT);
}

static void check_words(const char *name, const char *words) {
    char text[80];
    CHECK_INT(entrol_parameter_expected(text, sizeof text, table, N, name), strlen(words));
    CHECK_STRING(text, words);
    for (size_t size = 0; size <= strlen(words); size++) {
        char cut[81] = "";
        memset(cut, '?', 80);
        CHECK_INT(entrol_parameter_expected(size > 0 ? cut : NULL, size, table, N, name), strlen(words));
        CHECK(size == 0 || (cut[size - 1] == '\0' && strncmp(cut, words, size - 1) == 0));
        CHECK_INT(cut[size], '?');
    }
}

static void test_what_is_expected(void) {
    check_words("share", "a number from 0 to 1");
    check_words("steps", "a whole number from 1 to inf");
    check_words("colour", "one of red|green");
    check_words("points", "points");
    check_words("color", "");
}

static void test_reals(void) {
    static const struct {
        const char *text;
        double value;
    } cases[] = {{"1", 1}, {"-2.5e-3", -0.0025}, {"inf", (double)INFINITY}, {"-inf", -(double)INFINITY}};
    double value;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK(ent_parse_real(&value, cases[i].text) && value == cases[i].value);
    static const char *const bad[] = {"", "-", "+1", "1.", ".5", "nan", "infinity", "--inf", "1,5", "0x10", "1e400"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_SAY(!ent_parse_real(&value, bad[i]), "\"%s\" is a number", bad[i]);
}

/* Three ranks' sums, which a context adds up as one of three would see it: two of them are added by the comm. */
static entrol_sum others[2][2];

static int add_others(void *user, uint64_t *counts, size_t n) {
    const uint64_t *packed = user;
    for (size_t i = 0; i + 1 < n; i++)
        counts[i] += packed[i];
    return 0;
}

/* What a rank of these sums sends, as a comm that looks at the counts sees it. */
static int keep_counts(void *user, uint64_t *counts, size_t n) {
    uint64_t *packed = user;
    for (size_t i = 0; i < n; i++)
        packed[i] += counts[i];
    return 0;
}

static entrol_status add_up(entrol_sum *sums, int (*all_reduce)(void *, uint64_t *, size_t), uint64_t *packed) {
    const entrol_comm comm = {0, 3, all_reduce, packed};
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    entrol_context *context = NULL;
    options.comm = &comm;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    const entrol_status status = ent_add_up_sums(context, ENTROL_OK, sums, 2);
    entrol_context_destroy(context);
    return status;
}

static void test_sums_over_ranks(void) {
    for (int round = 0; round < 1000; round++) {
        entrol_sum mine[2] = {{0}, {0}}, all[2] = {{0}, {0}};
        uint64_t packed[16] = {0};
        memset(others, 0, sizeof others);
        for (int i = 0; i < 30; i++) {
            const double term = ldexp(test_normal(), (int)test_below(110) - 60);
            entrol_sum *const rank = i % 3 == 0 ? mine : others[i % 3 - 1];
            entrol_sum_add(&rank[i % 2], term);
            entrol_sum_add(&all[i % 2], term);
        }
        for (int i = 0; i < 2; i++) {
            entrol_sum copy[2] = {others[i][0], others[i][1]};
            add_up(copy, keep_counts, packed);
        }
        CHECK_INT(add_up(mine, add_others, packed), ENTROL_OK);
        CHECK(memcmp(mine, all, sizeof mine) == 0);
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_defaults);
    TEST(test_what_is_set_holds);
    TEST(test_what_is_refused);
    TEST(test_what_is_expected);
    TEST(test_reals);
    TEST(test_sums_over_ranks);
    return test_end();
}
