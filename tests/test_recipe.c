/* Counts by share, drawn ties, weights, FlexMatch's thresholds, and the registry of recipes. */
#include "harness.h"
#include "harness_stream.h"

#include <entrol/entrol.h>

static entrol_context *context;

/* The 80/20 paper's code: k = max(1, int(n * rho + 0.9999)), the k greatest. */
static void test_exact_shares(void) {
    enum { N = 300 };
    static const struct {
        const char *text;
        double share;
    } rules[] = {{"high:=20%", 0.2}, {"high:=0%", 0}, {"high:=100%", 1}, {"high:=33.4%", 0.334}, {"high:=0.01%", 1e-4}};
    float values[N];
    uint8_t keep[N];
    for (int n = 1; n <= N; n++)
        for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
            entrol_rule rule;
            entrol_selection selection;
            int k = (int)(n * rules[r].share + 0.9999), n_kept = 0;
            k = k < 1 ? 1 : k > n ? n : k;
            for (int i = 0; i < n; i++)
                values[i] = (float)test_below(20);
            CHECK_INT(entrol_rule_parse(&rule, NULL, rules[r].text), ENTROL_OK);
            CHECK_INT(entrol_select(context, keep, &selection, NULL, values, NULL, (size_t)n, &rule, NULL), ENTROL_OK);
            for (int i = 0; i < n; i++) {
                int n_before = 0;
                for (int j = 0; j < n; j++)
                    n_before += values[j] > values[i] || (values[j] == values[i] && j < i);
                CHECK(keep[i] == (n_before < k));
                n_kept += keep[i];
            }
            CHECK_INT(n_kept, k);
            CHECK_INT(selection.n_kept, k);
        }
}

static void test_exact_forms(void) {
    entrol_rule rule;
    size_t n_read;
    CHECK_INT(entrol_rule_parse(&rule, NULL, "low:=12.5%"), ENTROL_OK);
    CHECK(rule.kind == ENTROL_RULE_LOW_EXACT && rule.share == 0.125 && rule.tie_seed == 0);
    CHECK_INT(entrol_rule_parse(&rule, &n_read, "low:=12"), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(n_read, 7);
    CHECK_INT(entrol_rule_parse(&rule, &n_read, "low:=120%"), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(n_read, 5);
    CHECK_INT(entrol_rule_parse(&rule, &n_read, "high:=="), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(n_read, 6);
}

/* Five of twelve values are the same, and three of them are kept: each of the ten choices should be as likely. */
static void test_drawn_ties(void) {
    static const float values[12] = {1, 2, 9, 2, 0, 2, 2, 8, 1, 2, 0, 7};
    static const int places[5] = {1, 3, 5, 6, 9};
    enum { N_SEEDS = 20000 };
    size_t n_of[32] = {0};
    entrol_rule rule = {.kind = ENTROL_RULE_HIGH_COUNT, .count = 6};
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        uint8_t keep[12], again[12];
        unsigned subset = 0;
        entrol_selection selection;
        rule.tie_seed = seed;
        CHECK_INT(entrol_select(context, keep, &selection, NULL, values, NULL, 12, &rule, NULL), ENTROL_OK);
        CHECK_INT(entrol_select(context, again, NULL, NULL, values, NULL, 12, &rule, NULL), ENTROL_OK);
        CHECK(memcmp(keep, again, 12) == 0);
        CHECK(keep[2] == 1 && keep[7] == 1 && keep[11] == 1 && keep[0] + keep[4] + keep[8] + keep[10] == 0);
        CHECK_INT(selection.n_kept, 6);
        for (int i = 0; i < 5; i++)
            subset |= (unsigned)keep[places[i]] << i;
        n_of[subset]++;
    }
    double chi_squared = 0;
    int n_subsets = 0;
    for (int i = 0; i < 32; i++)
        if (n_of[i] > 0) {
            const double away = (double)n_of[i] - N_SEEDS / 10.0;
            chi_squared += away * away / (N_SEEDS / 10.0);
            n_subsets++;
        }
    CHECK_INT(n_subsets, 10);
    CHECK_SAY(chi_squared < 27.9, "chi squared %.1f of 9 degrees of freedom", chi_squared); /* 1 in 1,000 */
}

/* Bounds of a stream, applied piece by piece, are the same selection. */
static void test_drawn_ties_of_a_stream(void) {
    enum { N = 3000 };
    static float values[N];
    static uint8_t keep[N], piece[N];
    for (int i = 0; i < N; i++)
        values[i] = (float)test_below(7);
    for (int round = 0; round < 20; round++) {
        const entrol_rule rule = {
            .kind = ENTROL_RULE_LOW_COUNT, .count = test_below(N + 1), .tie_seed = 1 + test_below(9)};
        pieces pieces = {.values = values, .n = N, .fails_at = SIZE_MAX};
        const entrol_stream stream = {read_piece, &pieces};
        entrol_bounds bounds;
        size_t n;
        CHECK_INT(entrol_select(context, keep, NULL, NULL, values, NULL, N, &rule, NULL), ENTROL_OK);
        CHECK_INT(entrol_bounds_of_stream(context, &bounds, NULL, &stream, &rule, NULL), ENTROL_OK);
        for (size_t i = 0; i < N; i += n) {
            n = 1 + test_below(N - i);
            entrol_apply_bounds(&bounds, piece + i, NULL, values + i, NULL, n);
        }
        CHECK(memcmp(keep, piece, N) == 0);
    }
}

static entrol_weighting weighting_of(const char *text) {
    entrol_weighting weighting = {.kind = ENTROL_WEIGHTING_SIGMOID};
    CHECK_SAY(entrol_weighting_parse(&weighting, NULL, text) == ENTROL_OK, "\"%s\" is refused", text);
    return weighting;
}

static void test_weights(void) {
    const entrol_weighting sigmoid = weighting_of("sigmoid"), rise = weighting_of("rise:1..3"),
                           fall = weighting_of("fall:p10..p90");
    CHECK(rise.kind == ENTROL_WEIGHTING_RISE && rise.range.kind == ENTROL_RULE_RANGE && rise.range.high == 3);
    CHECK(fall.kind == ENTROL_WEIGHTING_FALL && fall.range.kind == ENTROL_RULE_PERCENTILES && fall.range.low == 0.1);
    for (float x = -120; x <= 120; x += 0.37f)
        CHECK_NEAR(entrol_weight(&sigmoid, NULL, x), (double)(1 / (1 + expl(-(long double)x))), 1e-7);
    CHECK(entrol_weight(&sigmoid, NULL, INFINITY) == 1 && entrol_weight(&sigmoid, NULL, -INFINITY) == 0);
    CHECK(entrol_weight(&sigmoid, NULL, (float)NAN) == 0);
    const entrol_bounds range = {.low = 1, .high = 3};
    static const float x[6] = {-INFINITY, 1, 1.5f, 2, 3, INFINITY};
    static const float risen[6] = {0, 0, 0.25f, 0.5f, 1, 1};
    for (int i = 0; i < 6; i++) {
        CHECK(entrol_weight(&rise, &range, x[i]) == risen[i]);
        CHECK(entrol_weight(&fall, &range, x[i]) == 1 - risen[i]);
    }
}

static void test_bad_weights(void) {
    static const struct {
        const char *text;
        size_t offset;
    } cases[] = {{"", 0},          {"ramp:1..2", 0},      {"sigmoid:", 7},       {"sigmoids", 0},  {"rise", 4},
                 {"rise:", 5},     {"rise:1", 6},         {"rise:..2", 8},       {"rise:1..", 8},  {"rise:2..1", 8},
                 {"rise:1..1", 9}, {"fall:high:20%", 13}, {"fall:p5..p101", 10}, {"fall:1..2x", 9}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n_read = 99;
        CHECK_SAY(entrol_weighting_parse(NULL, &n_read, cases[i].text) == ENTROL_ERROR_ARGUMENT, "%s", cases[i].text);
        CHECK_SAY(n_read == cases[i].offset, "\"%s\": at %zu", cases[i].text, n_read);
    }
    CHECK_INT(entrol_weighting_parse(NULL, NULL, NULL), ENTROL_ERROR_ARGUMENT);
}

/* By hand from the paper's equations 5 to 7 and its warm-up: sigma = 30, 10, 0 of 100 samples, 60 of them unsure. */
static void test_flexmatch(void) {
    static const uint64_t n_sure[3] = {30, 10, 0}, most[2] = {80, 20};
    double thresholds[3];
    CHECK_INT(entrol_flexmatch_thresholds(thresholds, n_sure, 3, 100, 0.95), ENTROL_OK);
    CHECK_NEAR(thresholds[0], 0.95 * 0.5 / 1.5, 1e-15);
    CHECK_NEAR(thresholds[1], 0.95 * (1 / 6.0) / (2 - 1 / 6.0), 1e-15);
    CHECK(thresholds[2] == 0);
    CHECK_INT(entrol_flexmatch_thresholds(thresholds, most, 2, 100, 0.95), ENTROL_OK);
    CHECK_NEAR(thresholds[0], 0.95, 1e-15);
    CHECK_NEAR(thresholds[1], 0.95 * 0.25 / 1.75, 1e-15);
    CHECK_INT(entrol_flexmatch_thresholds(thresholds, NULL, 0, 0, 0.95), ENTROL_OK);
    CHECK_INT(entrol_flexmatch_thresholds(thresholds, n_sure, 3, 39, 0.95), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_flexmatch_thresholds(thresholds, n_sure, 3, 100, 0), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_flexmatch_thresholds(thresholds, n_sure, 3, 100, (double)NAN), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_flexmatch_thresholds(NULL, n_sure, 3, 100, 0.5), ENTROL_ERROR_ARGUMENT);
}

static bool is_among(const char *word, const char *const *words) {
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static void check_recipe(const entrol_recipe *recipe, const char *const *purposes) {
    static const char *const levels[] = {"token", "sample", NULL}, *const emits[] = {"records", "samples", "spans",
                                                                                     NULL};
    entrol_quantile_method method;
    CHECK_SAY(is_among(recipe->purpose, purposes), "%s: purpose %s", recipe->name, recipe->purpose);
    CHECK_SAY(is_among(recipe->level, levels) && is_among(recipe->emit, emits), "%s", recipe->name);
    CHECK_SAY(entrol_rule_parse(NULL, NULL, recipe->rule) == ENTROL_OK || strncmp(recipe->rule, "flexmatch:", 10) == 0,
              "%s: rule %s", recipe->name, recipe->rule);
    CHECK_SAY(entrol_quantile_method_parse(&method, recipe->method) == ENTROL_OK, "%s", recipe->name);
    CHECK_SAY(!recipe->weight || entrol_weighting_parse(NULL, NULL, recipe->weight) == ENTROL_OK, "%s", recipe->name);
    CHECK_SAY(*recipe->says && *recipe->source, "%s", recipe->name);
    CHECK(entrol_recipe_find(recipe->name) == recipe);
}

static void test_recipes(void) {
    static const char *const purposes[] = {
        "self-training", "active-learning", "distillation", "noise", "defects", "reinforcement", NULL};
    static const char *const asked[] = {"fixmatch", "flexmatch", "deepconf", "robustft", "rho1",
                                        "ifd",      "se-kd",     "hes",      "8020",     NULL};
    CHECK(entrol_recipe_count() > 0 && entrol_recipe_at(entrol_recipe_count()) == NULL);
    for (size_t i = 0; i < entrol_recipe_count(); i++)
        check_recipe(entrol_recipe_at(i), purposes);
    for (size_t i = 0; purposes[i]; i++)
        CHECK(entrol_recipe_find(purposes[i]) && strcmp(entrol_recipe_find(purposes[i])->purpose, purposes[i]) == 0);
    for (size_t i = 0; asked[i]; i++)
        CHECK(entrol_recipe_find(asked[i]) != NULL);
    CHECK(entrol_recipe_find("fixmatc") == NULL && entrol_recipe_find(NULL) == NULL);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    if (entrol_context_create(&context, NULL) != ENTROL_OK)
        return 1;
    TEST(test_exact_forms);
    TEST(test_exact_shares);
    TEST(test_drawn_ties);
    TEST(test_drawn_ties_of_a_stream);
    TEST(test_weights);
    TEST(test_bad_weights);
    TEST(test_flexmatch);
    TEST(test_recipes);
    entrol_context_destroy(context);
    return test_end();
}
