/* Entrol's chains as llama.cpp samplers: how they read and leave candidates, their state, and what goes wrong. */
#include "harness.h"

#include "candidates.h"
#include "tiny_model.h"

static int by_logit(const void *a, const void *b) {
    const float x = ((const llama_token_data *)a)->logit, y = ((const llama_token_data *)b)->logit;
    return (x < y) - (x > y);
}

/* Whatever the order of the candidates, and whichever are there. */
static void check_order(const float *logits, size_t n, size_t n_before) {
    static const char *const rules[] = {"typical=0.9", "temperature=1.3"};
    struct llama_sampler *sampler = make_sampler(rules, 2, 7, NULL);
    candidates sorted = candidates_of(logits, n);
    qsort(sorted.data, n, sizeof *sorted.data, by_logit);
    float *row = malloc(n * sizeof *row);
    for (size_t i = 0; i < n; i++) {
        row[sorted.data[i].id] = i < n_before ? sorted.data[i].logit : -INFINITY;
    }
    sorted.array.size = n_before;
    sorted.array.sorted = true;
    llama_sampler_apply(sampler, &sorted.array);
    candidates left = apply_to(sampler, row, n); /* by id */
    CHECK_INT(sorted.array.size, left.array.size);
    CHECK_INT(taken(&sorted), taken(&left));
    CHECK(!sorted.array.sorted);
    CHECK(memcmp(sorted.data, left.data, left.array.size * sizeof *left.data) == 0);
    free(row);
    free(sorted.data);
    free(left.data);
    llama_sampler_free(sampler);
}

static void test_candidates_in_another_order(void) {
    enum { N = 70000 };
    float *logits = malloc(N * sizeof *logits);
    fill_row(logits, N, 3);
    check_order(logits, 1, 1);
    check_order(logits, 40, 40);
    check_order(logits, 3000, 40);
    check_order(logits, N, N);
    check_order(logits, N, 3);
    free(logits);
}

/* What the statistics say is what was drawn. */
static void test_what_was_drawn(void) {
    const float logits[4] = {0, logf(2), logf(4), logf(8)}; /* p = 1, 2, 4, 8 of 15 */
    static const char *const rules[] = {"min-p=0.3", "temperature=2"};
    struct llama_sampler *sampler = make_sampler(rules, 2, 5, NULL);
    CHECK_INT(entrol_llama_sampler_drawn(sampler)->token, -1);
    CHECK(isnan(entrol_llama_sampler_drawn(sampler)->entropy));
    candidates left = apply_to(sampler, logits, 4);
    const entrol_drawn *drawn = entrol_llama_sampler_drawn(sampler);
    CHECK_INT(left.array.size, 2);
    CHECK_INT(drawn->token, taken(&left));
    CHECK_INT(drawn->n_candidates, 2);
    CHECK_NEAR(drawn->entropy, log(15) - (2 * log(2) + 4 * log(4) + 8 * log(8)) / 15, 1e-6);
    const double q = 1 / (1 + sqrt(2)); /* 4 and 8, at a temperature of 2 */
    CHECK_NEAR(drawn->sampled_entropy, -q * log(q) - (1 - q) * log(1 - q), 1e-6);
    CHECK_NEAR(left.data[0].p, q, 1e-6);
    CHECK_NEAR(left.data[1].p, 1 - q, 1e-6);
    CHECK_NEAR(left.data[0].logit, log(4) / 2, 1e-6);
    CHECK_NEAR(left.data[1].logit, log(8) / 2, 1e-6);
    free(left.data);
    llama_sampler_free(sampler);
    struct llama_sampler *other = llama_sampler_init_greedy();
    CHECK(entrol_llama_sampler_drawn(other) == NULL && entrol_llama_sampler_inside(other) == NULL);
    CHECK_STRING(entrol_llama_sampler_error(other), "");
    llama_sampler_free(other);
}

static void test_tokens_come_as_often_as_their_probability_says(void) {
    enum { N = 60 };
    static const char *const rules[] = {"target-entropy=2", "min-p=0.02"};
    const size_t n_drawn = is_quick() ? 2000 : 40000;
    float logits[N];
    size_t counts[N] = {0};
    fill_row(logits, N, 2);
    struct llama_sampler *sampler = make_sampler(rules, 2, 11, NULL);
    candidates left = apply_to(sampler, logits, N);
    double *p = probabilities(&left, N);
    for (size_t i = 0; i < n_drawn; i++) {
        counts[next_token(sampler, logits, N)]++;
    }
    test_check_chi_square(counts, p, N, "target-entropy=2, min-p=0.02");
    free(p);
    free(left.data);
    llama_sampler_free(sampler);
}

enum { N_TEXT = 40, N_WORDS = 900 };

static void write_text(llama_token *tokens, struct llama_sampler *sampler, const float *logits, size_t n_tokens) {
    for (size_t i = 0; i < n_tokens; i++) {
        tokens[i] = next_token(sampler, logits, N_WORDS);
    }
}

static void test_clone_reset_and_place(void) {
    float logits[N_WORDS];
    llama_token text[2 * N_TEXT], again[2 * N_TEXT];
    fill_row(logits, N_WORDS, 1);
    struct llama_sampler *sampler = make_sampler(&(const char *){"typical"}, 1, 3, NULL);
    write_text(text, sampler, logits, N_TEXT);
    candidates before = apply_to(sampler, logits, N_WORDS), twice = apply_to(sampler, logits, N_WORDS);
    CHECK_INT(taken(&before), taken(&twice)); /* a place is drawn again */
    struct llama_sampler *clone = llama_sampler_clone(sampler);
    CHECK_INT(entrol_llama_sampler_drawn(clone)->token, taken(&before));
    write_text(text + N_TEXT, sampler, logits, N_TEXT);
    write_text(again + N_TEXT, clone, logits, N_TEXT);
    CHECK(memcmp(text + N_TEXT, again + N_TEXT, N_TEXT * sizeof *text) == 0);
    CHECK_INT(text[N_TEXT], taken(&before));
    llama_sampler_reset(sampler);
    write_text(again, sampler, logits, N_TEXT);
    CHECK(memcmp(text, again, N_TEXT * sizeof *text) == 0);
    CHECK(memcmp(text, text + N_TEXT, N_TEXT * sizeof *text) != 0); /* a token moves it on */
    CHECK_STRING(llama_sampler_name(clone), "entrol");
    llama_sampler_free(sampler);
    llama_sampler_free(clone);
    free(before.data);
    free(twice.data);
}

static void test_seed_and_stream(void) {
    float logits[N_WORDS];
    llama_token text[N_TEXT], other[N_TEXT];
    fill_row(logits, N_WORDS, 1);
    struct llama_sampler *sampler = make_sampler(NULL, 0, 1, NULL), *seed = make_sampler(NULL, 0, 2, NULL);
    write_text(text, sampler, logits, N_TEXT);
    write_text(other, seed, logits, N_TEXT);
    CHECK(memcmp(text, other, sizeof text) != 0);
    llama_sampler_reset(sampler);
    entrol_sampler_set_stream(entrol_llama_sampler_inside(sampler), 1);
    write_text(other, sampler, logits, N_TEXT);
    CHECK(memcmp(text, other, sizeof text) != 0);
    llama_sampler_free(sampler);
    llama_sampler_free(seed);
}

/* A parameter is moved from outside, as a controller would. */
static void test_inside(void) {
    float logits[N_WORDS];
    fill_row(logits, N_WORDS, 3);
    struct llama_sampler *sampler = make_sampler(&(const char *){"target-entropy=2"}, 1, 1, NULL);
    next_token(sampler, logits, N_WORDS);
    CHECK_NEAR(entrol_llama_sampler_drawn(sampler)->sampled_entropy, 2, 1e-3);
    CHECK_INT(entrol_sampler_set(entrol_llama_sampler_inside(sampler), 0, "target", 3), ENTROL_OK);
    next_token(sampler, logits, N_WORDS);
    CHECK_NEAR(entrol_llama_sampler_drawn(sampler)->sampled_entropy, 3, 1e-3);
    llama_sampler_free(sampler);
}

/* In a chain of llama.cpp's, before its dist, and cloned with it. */
static void test_it_may_leave_the_choice_to_another(void) {
    float logits[N_WORDS];
    fill_row(logits, N_WORDS, 3);
    char error[300] = "";
    entrol_llama_sampler_options options = ENTROL_LLAMA_SAMPLER_OPTIONS_INIT;
    options.selects = 0;
    struct llama_sampler *sampler =
        entrol_llama_sampler(error, sizeof error, &(const char *){"min-p=0.2"}, 1, &options);
    CHECK_STRING(error, "");
    candidates left = apply_to(sampler, logits, N_WORDS);
    CHECK_INT(left.array.selected, -1);
    double *p = probabilities(&left, N_WORDS);
    struct llama_sampler *chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
    llama_sampler_chain_add(chain, sampler);
    llama_sampler_chain_add(chain, llama_sampler_init_dist(5));
    struct llama_sampler *clone = llama_sampler_clone(chain);
    for (size_t i = 0; i < 20; i++) {
        const llama_token token = next_token(chain, logits, N_WORDS);
        CHECK(p[token] > 0);
        CHECK_INT(next_token(clone, logits, N_WORDS), token);
    }
    llama_sampler_free(chain);
    llama_sampler_free(clone);
    free(left.data);
    free(p);
}

static void check_trouble(struct llama_sampler *sampler, const llama_token_data *data, size_t n, llama_token expected,
                          const char *words) {
    llama_token_data copy[8];
    memcpy(copy, data, n * sizeof *data);
    llama_token_data_array array = {copy, n, -1, false};
    llama_sampler_reset(sampler);
    CHECK_STRING(entrol_llama_sampler_error(sampler), "");
    llama_sampler_apply(sampler, &array);
    CHECK_INT(array.size, n == 0 ? 0 : 1);
    CHECK_INT(array.selected, n == 0 ? -1 : 0);
    CHECK(n == 0 || (array.data[0].id == expected && array.data[0].p == 1));
    CHECK_STRING(entrol_llama_sampler_error(sampler), words);
    CHECK_INT(entrol_llama_sampler_drawn(sampler)->token, -1);
    CHECK(isnan(entrol_llama_sampler_drawn(sampler)->entropy));
}

static void test_trouble(void) {
    struct llama_sampler *sampler = make_sampler(&(const char *){"typical"}, 1, 1, NULL);
    const llama_token_data nan[] = {{3, 1, 0}, {4, NAN, 0}, {5, 2, 0}, {7, -INFINITY, 0}};
    check_trouble(sampler, nan, 4, 5, "the logit of token 4 is NaN.");
    const llama_token_data infinite[] = {{3, -1, 0}, {4, 0, 0}, {9, INFINITY, 0}};
    check_trouble(sampler, infinite, 3, 4, "the logit of token 9 is infinite.");
    const llama_token_data none[] = {{3, -INFINITY, 0}, {4, -INFINITY, 0}};
    check_trouble(sampler, none, 2, 3, "no candidate has a logit above -inf.");
    const llama_token_data twice[] = {{3, 1, 0}, {1, 4, 0}, {3, 2, 0}};
    check_trouble(sampler, twice, 3, 1, "token 3 is among the candidates twice, or is none.");
    check_trouble(sampler, none, 0, 0, "there are no candidates.");
    candidates left = apply_to(sampler, (const float[]){1, 1, 1}, 3); /* the first error stays */
    CHECK(taken(&left) >= 0);
    CHECK_STRING(entrol_llama_sampler_error(sampler), "there are no candidates.");
    struct llama_sampler *clone = llama_sampler_clone(sampler);
    CHECK_STRING(entrol_llama_sampler_error(clone), "there are no candidates.");
    free(left.data);
    llama_sampler_free(clone);
    llama_sampler_free(sampler);
}

static void check_refused(const char *const *rules, size_t n_rules, const char *words) {
    char error[300] = "";
    CHECK(entrol_llama_sampler(error, sizeof error, rules, n_rules, NULL) == NULL);
    CHECK_STRING(error, words);
    CHECK(entrol_llama_sampler(NULL, 0, rules, n_rules, NULL) == NULL);
}

static void test_rules_that_are_none(void) {
    check_refused((const char *[]){"min-p=0.1", "min-q=0.1"}, 2,
                  "rule 2, \"min-q=0.1\": there is no such rule of Entrol's (llama.cpp's are in entrol_llama_rules).");
    check_refused((const char *[]){"mirostat"}, 1,
                  "rule 1, \"mirostat\": there is no such rule of Entrol's (llama.cpp's are in entrol_llama_rules).");
    check_refused((const char *[]){"min-p=7"}, 1,
                  "rule 1, \"min-p=7\": p: expected a number from 0 to 1, found \"7\".");
    check_refused((const char *[]){"top-k=1.5"}, 1,
                  "rule 1, \"top-k=1.5\": k: expected a whole number from 1 to 2147483648, found \"1.5\".");
    check_refused((const char *[]){"top-h=0.4,reading=book"}, 1,
                  "rule 1, \"top-h=0.4,reading=book\": reading: expected one of paper|transformers, found \"book\".");
    check_refused((const char *[]){"min-p=0.1,q=2"}, 1, "rule 1, \"min-p=0.1,q=2\": \"q=2\" is not understood.");
    check_refused((const char *[]){"greedy", NULL}, 2, "rule 2 is NULL.");
    check_refused(NULL, 1, "the sampler could not be made: an argument is out of its domain.");
    char error[300] = "";
    entrol_llama_sampler_options options = ENTROL_LLAMA_SAMPLER_OPTIONS_INIT;
    options.size = 0;
    CHECK(entrol_llama_sampler(error, sizeof error, NULL, 0, &options) == NULL);
    CHECK_STRING(error, "the options have no size.");
    options.size = offsetof(entrol_llama_sampler_options, source);
    options.source = (const entrol_rule_source *)1; /* behind the end of an older struct */
    struct llama_sampler *sampler = entrol_llama_sampler(error, sizeof error, &(const char *){"greedy"}, 1, &options);
    CHECK(sampler != NULL);
    llama_sampler_free(sampler);
}

typedef llama_token (*sample)(struct llama_sampler *sampler, struct llama_context *context, int32_t index);

/* Tokens of a model from the first one on; how many there are before -1. */
static size_t generate(llama_token *text, size_t n, llama_token first, struct llama_model *model,
                       struct llama_sampler *sampler, sample sample) {
    struct llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = 64;
    struct llama_context *tokens = llama_init_from_model(model, parameters);
    size_t i = 0;
    for (llama_token token = first; i < n; i++) {
        CHECK_INT(llama_decode(tokens, llama_batch_get_one(&token, 1)), 0);
        token = text[i] = sample(sampler, tokens, -1);
        if (token < 0) {
            break;
        }
    }
    llama_free(tokens);
    return i;
}

static void say_nothing(enum ggml_log_level level, const char *text, void *user) {
    (void)level;
    (void)text;
    (void)user;
}

/* What a context's own sampler leaves of a row is what there is to sample from. */
static void test_behind_the_contexts_own_sampler(void) {
    struct llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = 64;
    struct llama_model *model =
        llama_model_load_from_file(tiny_model_write(&(tiny_model){.wants_bos = true}), llama_model_default_params());
    struct llama_context *context = llama_init_from_model(model, parameters);
    struct llama_sampler *sampler = make_sampler(NULL, 0, 3, NULL);
    struct llama_sampler *own = llama_sampler_chain_init(llama_sampler_chain_default_params());
    llama_sampler_chain_add(own, llama_sampler_init_top_k(4));
    if (llama_set_sampler(context, 0, own)) {
        llama_token token = TINY_BOS;
        CHECK_INT(llama_decode(context, llama_batch_get_one(&token, 1)), 0);
        CHECK(entrol_llama_sample(sampler, context, -1) >= 0);
        CHECK_INT(entrol_llama_sampler_drawn(sampler)->n_candidates, 4);
    } else {
        test_skip("llama.cpp does not take samplers into its graph here");
    }
    llama_free(context);
    llama_sampler_free(own);
    llama_sampler_free(sampler);
    llama_model_free(model);
}

/* Straight from the logits it is the same, which llama.cpp's own samplers are left to. */
static void test_without_candidates(void) {
    static const char *const rules[] = {"min-p=0.02", "target-entropy=2"};
    llama_token text[N_TEXT], again[N_TEXT];
    llama_log_set(say_nothing, NULL);
    struct llama_model *model = llama_model_load_from_file(
        tiny_model_write(&(tiny_model){.wants_bos = true, .has_nan_token = true}), llama_model_default_params());
    struct llama_sampler *sampler = make_sampler(rules, 2, 3, NULL), *same = make_sampler(rules, 2, 3, NULL);
    CHECK_INT(generate(text, N_TEXT, TINY_BOS, model, sampler, llama_sampler_sample), N_TEXT);
    CHECK_INT(generate(again, N_TEXT, TINY_BOS, model, same, entrol_llama_sample), N_TEXT);
    CHECK(memcmp(text, again, sizeof text) == 0);
    const entrol_drawn *drawn = entrol_llama_sampler_drawn(sampler), *other = entrol_llama_sampler_drawn(same);
    CHECK(memcmp(drawn, other, sizeof *drawn) == 0);
    CHECK_INT(generate(again, N_TEXT, TINY_NAN_TOKEN, model, same, entrol_llama_sample), 0);
    CHECK_STRING(entrol_llama_sampler_error(same), "the logit of token 0 is NaN.");
    struct llama_sampler *greedy = llama_sampler_init_greedy();
    entrol_llama_sampler_options leaves = ENTROL_LLAMA_SAMPLER_OPTIONS_INIT;
    leaves.selects = 0;
    struct llama_sampler *chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
    char error[300];
    llama_sampler_chain_add(chain, entrol_llama_sampler(error, sizeof error, rules, 2, &leaves));
    llama_sampler_chain_add(chain, llama_sampler_init_dist(1));
    CHECK_INT(generate(again, N_TEXT, TINY_BOS, model, chain, entrol_llama_sample), N_TEXT);
    llama_sampler_free(chain);
    generate(text, N_TEXT, TINY_BOS, model, greedy, llama_sampler_sample);
    CHECK_INT(generate(again, N_TEXT, TINY_BOS, model, greedy, entrol_llama_sample), N_TEXT);
    CHECK(memcmp(text, again, sizeof text) == 0);
    llama_sampler_free(sampler);
    llama_sampler_free(same);
    llama_sampler_free(greedy);
    llama_model_free(model);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_candidates_in_another_order);
    TEST(test_what_was_drawn);
    TEST(test_tokens_come_as_often_as_their_probability_says);
    TEST(test_clone_reset_and_place);
    TEST(test_seed_and_stream);
    TEST(test_inside);
    TEST(test_it_may_leave_the_choice_to_another);
    TEST(test_without_candidates);
    TEST(test_behind_the_contexts_own_sampler);
    TEST(test_trouble);
    TEST(test_rules_that_are_none);
    return test_end();
}
