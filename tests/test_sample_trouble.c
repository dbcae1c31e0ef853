/* Samplers: what goes wrong. Rows without a distribution, rules that are not written well, arguments, rules of somebody
 * else's that misbehave, and memory that is refused. */
#include "harness_sample.h"

static entrol_context *context;

static entrol_matrix row_of(const float *logits, size_t n) {
    return (entrol_matrix){logits, ENTROL_F32, 1, n, (ptrdiff_t)n};
}

/* --- Rows --- */

static void check_nothing_drawn(const entrol_drawn *drawn) {
    CHECK_INT(drawn->token, -1);
    CHECK_INT(drawn->is_chosen, 0);
    CHECK(isnan(drawn->logprob) && isnan(drawn->entropy) && isnan(drawn->varentropy) && isnan(drawn->sampled_logprob) &&
          isnan(drawn->sampled_entropy) && isnan(drawn->temperature));
    CHECK(drawn->n_candidates == 0 && drawn->n_passes == 0);
}

static void check_trouble(entrol_sampler *sampler, const entrol_matrix *row, entrol_reason reason, size_t place,
                          size_t column) {
    entrol_drawn drawn[2] = {ENTROL_DRAWN_INIT, ENTROL_DRAWN_INIT};
    entrol_diagnosis diagnosis = {.n_bad = 99};
    double logprobs[64] = {0};
    const entrol_destination destination = {logprobs, ENTROL_F64, (ptrdiff_t)row->n_columns, 0};
    CHECK_INT(entrol_sampler_draw(context, sampler, drawn, 2, &destination, &diagnosis, row, NULL), ENTROL_OK);
    check_nothing_drawn(&drawn[0]);
    check_nothing_drawn(&drawn[1]);
    CHECK(diagnosis.argument == NULL && diagnosis.n_bad == 1 && diagnosis.reason == reason);
    CHECK_INT(diagnosis.first_row, place);
    CHECK_INT(diagnosis.first_column, column);
    for (size_t i = 0; i < row->n_columns; i++)
        CHECK(isnan(logprobs[i]));
}

static void test_rows_in_trouble(void) {
    static const char *const rules[] = {"temperature=0.5", "top-p=0.5", "target-entropy=1", "typical"};
    for (size_t n_rules = 0; n_rules <= 4; n_rules++) {
        entrol_sampler *sampler = sampler_with(context, rules, n_rules, NULL);
        float logits[40];
        const entrol_matrix row = row_of(logits, 40);
        for (size_t column = 0; column < 40; column += 13) {
            for (size_t i = 0; i < 40; i++)
                logits[i] = (float)test_normal();
            logits[column] = NAN;
            check_trouble(sampler, &row, ENTROL_REASON_NAN, 0, column);
            logits[column] = INFINITY;
            check_trouble(sampler, &row, ENTROL_REASON_INFINITE, 0, column);
            for (size_t i = 0; i < 40; i++)
                logits[i] = -INFINITY;
            check_trouble(sampler, &row, ENTROL_REASON_EMPTY_SUPPORT, 0, 0);
            logits[column] = -3; /* and the next row is none the worse */
            CHECK_INT(draw_one(context, sampler, NULL, &row).token, column);
        }
        const entrol_matrix none = row_of(logits, 0);
        check_trouble(sampler, &none, ENTROL_REASON_EMPTY_SUPPORT, 0, 0);
        entrol_sampler_destroy(context, sampler);
    }
}

static void test_one_column(void) {
    const float logit = -1e30f;
    const entrol_matrix row = row_of(&logit, 1);
    for (size_t i = 0; i < entrol_sampling_rule_count(); i++) {
        entrol_sampler *sampler = sampler_of(context, entrol_sampling_rule_at(i)->name);
        double logprob = 99;
        const entrol_drawn drawn = draw_one(context, sampler, &logprob, &row);
        CHECK(drawn.token == 0 && drawn.logprob == 0 && drawn.sampled_logprob == 0 && logprob == 0);
        CHECK(drawn.entropy == 0 && drawn.varentropy == 0 && drawn.sampled_entropy == 0 && drawn.n_candidates == 1);
        entrol_sampler_destroy(context, sampler);
    }
}

/* --- Rules as texts --- */

static void check_refused(const char *const *rules, size_t n_rules, const char *argument, size_t index, size_t offset) {
    const char *text = rules && rules[index] ? rules[index] : "(null)";
    entrol_sampler *sampler = NULL;
    entrol_diagnosis diagnosis = {.n_bad = 99};
    CHECK_INT(entrol_sampler_create(context, &sampler, &diagnosis, rules, n_rules, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK(!sampler && diagnosis.n_bad == 0 && diagnosis.argument);
    CHECK_SAY(diagnosis.argument && strcmp(diagnosis.argument, argument) == 0 && diagnosis.first_row == index &&
                  diagnosis.first_column == offset,
              "\"%.60s\": %s of rule %zu, offset %zu and not %s, %zu, %zu", text,
              diagnosis.argument ? diagnosis.argument : "(null)", diagnosis.first_row, diagnosis.first_column, argument,
              index, offset);
}

/* Each behind two good ones; the offset is where the text stops to make sense: after a name that nothing may follow, at
 * a name or a value that is missing or does not fit. */
static void test_bad_rules(void) {
    static const struct {
        const char *text, *argument;
        size_t offset;
    } bad[] = {
        {"", "rules", 0},
        {",", "rules", 0},
        {"=", "rules", 0},
        {"=0.5", "rules", 0},
        {" min-p=0.5", "rules", 0},
        {"min-p ", "rules", 5},
        {"min-p\xc3\xa9", "rules", 5},
        {"Min-p", "rules", 0},
        {"minp=0.5", "rules", 0},
        {"min-", "rules", 0},
        {"min-p=", "p", 6},
        {"min-p=,p=0.5", "p", 6},
        {"min-p=x", "p", 6},
        {"min-p=nan", "p", 6},
        {"min-p=inf", "p", 6},
        {"min-p= 0.5", "p", 6},
        {"min-p=0.5 ", "p", 6},
        {"min-p=0.5x", "p", 6},
        {"min-p=0.5=1", "p", 6},
        {"min-p=2", "p", 6},
        {"min-p=-0.1", "p", 6},
        {"min-p=0.5,", "rules", 10},
        {"min-p=0.5,,", "rules", 10},
        {"min-p,", "rules", 6},
        {"min-p,q=0.5", "rules", 6},
        {"min-p,p", "rules", 7},
        {"min-p,=0.5", "rules", 6},
        {"min-p,p=", "p", 8},
        {"min-p,p=2", "p", 8},
        {"min-p=0.5,p=7", "p", 12},
        {"min-p=7,p=0.5", "p", 6},
        {"min-p,p=7,p=0.5", "p", 8},
        {"greedy=1", "rules", 7},
        {"p-less=", "rules", 7},
        {"greedy,temperature=1", "rules", 7},
        {"top-k=1.5", "k", 6},
        {"top-k=0", "k", 6},
        {"top-k=1e300", "k", 6},
        {"top-h=0.4,reading=other", "reading", 18},
        {"top-h=0.4,reading=", "reading", 18},
        {"dynamic-temperature=1,range=-1", "range", 28},
        {"dynamic-temperature=1,range=0.5,exponent=101", "exponent", 41},
        {"target-entropy=2,min=0", "min", 21},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const rules[] = {"top-k=5", "temperature,temperature=2", bad[i].text, "nothing"};
        check_refused(rules, 4, bad[i].argument, 2, bad[i].offset);
        check_refused(rules + 2, 1, bad[i].argument, 0, bad[i].offset);
    }
    check_refused((const char *const[]){"top-k=5", NULL}, 2, "rules", 1, 0);
    check_refused(NULL, 1, "rules", 0, 0);
}

/* A megabyte of name, of number and of settings. */
static void test_long_rules(void) {
    enum { LENGTH = 1 << 20 };
    static const struct {
        const char *begin, *filler, *argument;
        size_t offset;
    } texts[] = {{"m", "in-p", "rules", 0},
                 {"min-p=0.", "5", "p", 6},
                 {"min-p=0", "x", "p", 6},
                 {"min-p", ",p=1", "rules", 72}}; /* the 17th value */
    char *text = malloc(LENGTH + 16);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(strcpy(text, texts[i].begin));
        const size_t step = strlen(texts[i].filler);
        for (; n < LENGTH; n += step)
            memcpy(text + n, texts[i].filler, step + 1);
        const char *rule = text;
        check_refused(&rule, 1, texts[i].argument, 0, texts[i].offset);
    }
    free(text);
}

/* The last value counts; - and _ are the same; the first parameter by its place is the one by its name. */
static void test_ways_to_write_a_rule(void) {
    static const float logits[] = {3, 2, 1, 0};
    static const char *const ways[] = {"dynamic-temperature=1,range=0.5,exponent=2",
                                       "dynamic_temperature,exponent=2,range=0.5,temperature=1",
                                       "dynamic-temperature=7,range=3,exponent=2,range=5e-1,temperature=1.0"};
    const entrol_matrix row = row_of(logits, 4);
    for (size_t i = 0; i < 3; i++) {
        entrol_sampler *samplers[] = {sampler_of(context, ways[0]), sampler_of(context, ways[i])};
        const double wanted = draw_one(context, samplers[0], NULL, &row).temperature;
        CHECK(wanted != 1 && draw_one(context, samplers[1], NULL, &row).temperature == wanted);
        entrol_sampler_destroy(context, samplers[0]);
        entrol_sampler_destroy(context, samplers[1]);
    }
}

/* --- The registry --- */

static void test_registry(void) {
    CHECK(entrol_sampling_rule_at(entrol_sampling_rule_count()) == NULL);
    CHECK(entrol_sampling_rule_at(SIZE_MAX) == NULL);
    CHECK(entrol_sampling_rule_find("nothing") == NULL && entrol_sampling_rule_find("") == NULL);
    for (size_t i = 0; i < entrol_sampling_rule_count(); i++) {
        const entrol_sampling_rule *rule = entrol_sampling_rule_at(i);
        CHECK(entrol_sampling_rule_find(rule->name) == rule);
        CHECK(strspn(rule->name, "abcdefghijklmnopqrstuvwxyz_") == strlen(rule->name));
        CHECK(rule->says && strlen(rule->says) > 10 && !rule->parameters == !rule->n_parameters);
        for (size_t k = 0; k < rule->n_parameters; k++) {
            const entrol_parameter *parameter = &rule->parameters[k];
            CHECK_SAY(parameter->says && strlen(parameter->says) > 2, "%s of %s says nothing", parameter->name,
                      rule->name);
            CHECK(parameter->type == ENTROL_PARAMETER_CHOICE ||
                  (parameter->low <= parameter->initial && parameter->initial <= parameter->high));
        }
    }
}

/* --- Arguments --- */

static void check_bad_draw(entrol_sampler *sampler, const entrol_drawn *drawn, const entrol_destination *logprobs,
                           const entrol_matrix *row, const int32_t *tokens, const char *argument) {
    entrol_drawn given[2];
    memcpy(given, drawn, sizeof given);
    entrol_diagnosis diagnosis = {.n_bad = 99};
    CHECK_INT(entrol_sampler_draw(context, sampler, given, 2, logprobs, &diagnosis, row, tokens),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, argument);
    CHECK(memcmp(given, drawn, sizeof given) == 0);
}

static void test_bad_draws(void) {
    static const float logits[] = {3, 2, 1, 0, 3, 2, 1, 0};
    static const int32_t equal[] = {0, 1, 1, 2}, falling[] = {3, 2, 1, 0}, negative[] = {-1, 0, 1, 2};
    entrol_drawn good[2] = {ENTROL_DRAWN_INIT, ENTROL_DRAWN_INIT}, bad[2];
    memcpy(bad, good, sizeof bad);
    bad[0].size = 0;
    double logprobs[4];
    const entrol_destination no_dtype = {logprobs, (entrol_dtype)77, 4, 0}, adds = {logprobs, ENTROL_F64, 4, 1},
                             nowhere = {NULL, ENTROL_F64, 4, 0};
    const entrol_matrix row = row_of(logits, 4), two = {logits, ENTROL_F32, 2, 4, 4},
                        none = {logits, ENTROL_F32, 0, 4, 4}, odd = {logits, (entrol_dtype)77, 1, 4, 4},
                        null = {NULL, ENTROL_F32, 1, 4, 4};
    entrol_sampler *sampler = sampler_of(context, "top-k=3");
    check_bad_draw(sampler, good, NULL, &two, NULL, "logits");
    check_bad_draw(sampler, good, NULL, &none, NULL, "logits");
    check_bad_draw(sampler, good, NULL, &odd, NULL, "logits");
    check_bad_draw(sampler, good, NULL, &null, NULL, "logits");
    check_bad_draw(sampler, good, NULL, NULL, NULL, "logits");
    check_bad_draw(sampler, good, NULL, &row, equal, "tokens");
    check_bad_draw(sampler, good, NULL, &row, falling, "tokens");
    check_bad_draw(sampler, good, NULL, &row, negative, "tokens");
    check_bad_draw(sampler, good, &no_dtype, &row, NULL, "logprobs");
    check_bad_draw(sampler, good, &adds, &row, NULL, "logprobs");
    check_bad_draw(sampler, good, &nowhere, &row, NULL, "logprobs");
    check_bad_draw(sampler, bad, NULL, &row, NULL, "drawn");
    check_bad_draw(NULL, good, NULL, &row, NULL, "sampler");
    entrol_sampler_destroy(context, sampler);
}

static void test_bad_options(void) {
    entrol_sampler *sampler = NULL;
    entrol_sampler_options options = ENTROL_SAMPLER_OPTIONS_INIT;
    entrol_diagnosis diagnosis = {0};
    options.size = 0;
    CHECK_INT(entrol_sampler_create(context, &sampler, &diagnosis, NULL, 0, &options), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "options");
    CHECK(!sampler);
    options.size = sizeof options;
    options.seed = 7;
    options.stream = 9;
    options.size = offsetof(entrol_sampler_options, stream); /* an older caller's: stream 0 */
    const float logits[100] = {0};
    const entrol_matrix row = row_of(logits, 100);
    const entrol_sampler_options whole = {sizeof whole, 7, 0, NULL};
    entrol_sampler *samplers[] = {sampler_with(context, NULL, 0, &options), sampler_with(context, NULL, 0, &whole)};
    CHECK_INT(draw_one(context, samplers[0], NULL, &row).token, draw_one(context, samplers[1], NULL, &row).token);
    entrol_sampler_destroy(context, samplers[0]);
    entrol_sampler_destroy(context, samplers[1]);
    entrol_sampler_destroy(context, NULL);
}

static void test_set(void) {
    static const float logits[] = {3, 2, 1, 0};
    const entrol_matrix row = row_of(logits, 4);
    const char *const rules[] = {"top-k=3", "temperature=2"};
    entrol_sampler *sampler = sampler_with(context, rules, 2, NULL);
    CHECK_INT(entrol_sampler_set(sampler, 2, "k", 1), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_sampler_set(sampler, 0, "temperature", 1), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_sampler_set(sampler, 0, NULL, 1), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_sampler_set(sampler, 0, "k", 0), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_sampler_set(sampler, 0, "k", 1.5), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_sampler_set(sampler, 1, "temperature", NAN), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_sampler_set(sampler, 1, "temperature", INFINITY), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_sampler_set(sampler, 1, "temperature", -1), ENTROL_ERROR_ARGUMENT);
    entrol_drawn drawn = draw_one(context, sampler, NULL, &row);
    CHECK(drawn.n_candidates == 3 && fabs(drawn.temperature - 2) < 1e-6);
    CHECK_INT(entrol_sampler_set(sampler, 0, "k", 2), ENTROL_OK);
    CHECK_INT(entrol_sampler_set(sampler, 1, "temperature", 0.5), ENTROL_OK);
    drawn = draw_one(context, sampler, NULL, &row);
    CHECK(drawn.n_candidates == 2 && fabs(drawn.temperature - 0.5) < 1e-6);
    entrol_sampler_destroy(context, sampler);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    context = context_at(ENTROL_CPU_BEST, 1);
    TEST(test_rows_in_trouble);
    TEST(test_one_column);
    TEST(test_bad_rules);
    TEST(test_long_rules);
    TEST(test_ways_to_write_a_rule);
    TEST(test_registry);
    TEST(test_bad_draws);
    TEST(test_bad_options);
    TEST(test_set);
    entrol_context_destroy(context);
    return test_end();
}
