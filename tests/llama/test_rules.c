/* llama.cpp's samplers as rules in a chain of Entrol's: they take and keep what they do by themselves. */
#include "harness.h"

#include "candidates.h"
#include "internal.h"
#include "tiny_model.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { N_STEPS = 60 };

static entrol_llama *llama;

static void open_model(void) {
    char error[500];
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    options.model_path = tiny_model_write(&(tiny_model){.wants_bos = true});
    options.vocabulary_only = 1;
    if (entrol_llama_open(&llama, error, sizeof error, &options) != ENTROL_OK) {
        puts(error);
        exit(1);
    }
}

static struct llama_sampler *peer_mirostat(void) {
    return llama_sampler_init_mirostat((int32_t)llama->n_vocab, 5, 3, 0.2f, 50);
}
static struct llama_sampler *peer_mirostat_v2(void) {
    return llama_sampler_init_mirostat_v2(0, 4, 0.1f);
}
static struct llama_sampler *peer_xtc(void) {
    return llama_sampler_init_xtc(0.5f, 0.05f, 0, 9);
}
static struct llama_sampler *peer_adaptive_p(void) {
    return llama_sampler_init_adaptive_p(0.3f, 0.8f, 2);
}
static struct llama_sampler *peer_penalties(void) {
    return llama_sampler_init_penalties((int32_t)llama->n_vocab, 8, 1.5f, 0.25f, -0.5f);
}
static struct llama_sampler *peer_dry(void) {
    const char *breakers[] = {"\n", ":", "\"", "*"};
    return llama_sampler_init_dry(llama->vocab, 2, 1.75f, 1, 64, breakers, 4);
}
static struct llama_sampler *peer_logit_bias(void) {
    const llama_logit_bias bias = {7, 2.5f};
    return llama_sampler_init_logit_bias((int32_t)llama->n_vocab, 1, &bias);
}

/* Some settings of each, and llama.cpp's own with the same. */
static const struct {
    const char *rule;
    struct llama_sampler *(*peer)(void);
    bool chooses, draws; /* takes the token itself; has random numbers */
} foreign[] = {
    {"mirostat=3,eta=0.2,m=50,seed=5", peer_mirostat, true, true},
    {"mirostat-v2=4,seed=0", peer_mirostat_v2, true, true},
    {"xtc=0.5,threshold=0.05,seed=9", peer_xtc, false, true},
    {"adaptive-p=0.3,decay=0.8,seed=2", peer_adaptive_p, true, true},
    {"penalties=1.5,last_n=8,frequency=0.25,presence=-0.5", peer_penalties, false, false},
    {"dry=2,allowed_length=1", peer_dry, false, false},
    {"logit-bias=7,bias=2.5", peer_logit_bias, false, false},
};

/* Few likely tokens, so that they come again. */
static void next_row(float *logits) {
    fill_row(logits, llama->n_vocab, 1);
    for (size_t i = 0; i < 12; i++) {
        logits[i] += 5;
    }
}

/* Step by step on the same rows, after a temperature: what is left, and which token it takes; the next one is told
 * which token came. */
static void check_foreign(size_t which) {
    const char *const rules[] = {"temperature=0.8", foreign[which].rule};
    struct llama_sampler *ours = make_sampler(rules, 2, 1, llama);
    struct llama_sampler *chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
    llama_sampler_chain_add(chain, llama_sampler_init_temp(0.8f));
    llama_sampler_chain_add(chain, foreign[which].peer());
    float *logits = malloc(llama->n_vocab * sizeof *logits);
    for (size_t step = 0; step < N_STEPS; step++) {
        next_row(logits);
        candidates left = apply_to(ours, logits, llama->n_vocab), peers = apply_to(chain, logits, llama->n_vocab);
        check_same(&left, &peers, llama->n_vocab, 1e-5, 0, foreign[which].rule);
        CHECK(!foreign[which].chooses || taken(&left) == taken(&peers));
        CHECK_INT(entrol_llama_sampler_drawn(ours)->is_chosen, foreign[which].chooses);
        llama_sampler_accept(ours, taken(&left));
        llama_sampler_accept(chain, taken(&left));
        free(left.data);
        free(peers.data);
    }
    CHECK_STRING(entrol_llama_sampler_error(ours), "");
    free(logits);
    llama_sampler_free(ours);
    llama_sampler_free(chain);
}

static void test_they_do_what_they_do_by_themselves(void) {
    for (size_t i = 0; i < COUNT(foreign); i++) {
        check_foreign(i);
    }
}

/* The tokens of so many steps; rows are the same for the same seed. */
static void write_text(llama_token *tokens, struct llama_sampler *sampler, const float *rows, size_t n_steps) {
    for (size_t i = 0; i < n_steps; i++) {
        tokens[i] = next_token(sampler, rows + i * llama->n_vocab, llama->n_vocab);
    }
}

static void check_state(const char *rule, const float *rows) {
    llama_token text[N_STEPS], again[N_STEPS];
    struct llama_sampler *sampler = make_sampler(&rule, 1, 1, llama);
    write_text(text, sampler, rows, N_STEPS / 2);
    struct llama_sampler *clone = llama_sampler_clone(sampler);
    write_text(text + N_STEPS / 2, sampler, rows, N_STEPS / 2);
    write_text(again + N_STEPS / 2, clone, rows, N_STEPS / 2);
    CHECK_SAY(memcmp(text + N_STEPS / 2, again + N_STEPS / 2, N_STEPS / 2 * sizeof *text) == 0,
              "%s: a clone goes on otherwise", rule);
    llama_sampler_reset(sampler);
    write_text(again, sampler, rows, N_STEPS / 2);
    CHECK_SAY(memcmp(text, again, N_STEPS / 2 * sizeof *text) == 0, "%s: reset does not begin again", rule);
    struct llama_sampler *clone_after = llama_sampler_clone(sampler);
    write_text(again, clone_after, rows, N_STEPS / 2);
    CHECK_SAY(memcmp(text + N_STEPS / 2, again, N_STEPS / 2 * sizeof *text) == 0, "%s: nor does its clone", rule);
    llama_sampler_free(clone_after);
    llama_sampler_free(sampler);
    llama_sampler_free(clone);
}

static void test_clones_go_on_and_reset_begins_again(void) {
    float *rows = malloc(N_STEPS * llama->n_vocab * sizeof *rows);
    for (size_t i = 0; i < N_STEPS; i++) {
        next_row(rows + i * llama->n_vocab);
    }
    for (size_t i = 0; i < COUNT(foreign); i++) {
        check_state(foreign[i].rule, rows);
    }
    free(rows);
}

/* A place drawn twice gives the same token, and moves the state as once; a clone between a draw and its token has the
 * draw. */
static void check_drawn_twice(const char *rule, const float *row) {
    struct llama_sampler *once = make_sampler(&rule, 1, 1, llama), *twice = make_sampler(&rule, 1, 1, llama);
    for (size_t step = 0; step < 20; step++) {
        candidates first = apply_to(twice, row, llama->n_vocab), second = apply_to(twice, row, llama->n_vocab);
        candidates only = apply_to(once, row, llama->n_vocab);
        CHECK_INT(taken(&first), taken(&second));
        CHECK_INT(taken(&first), taken(&only));
        struct llama_sampler *clone = llama_sampler_clone(twice);
        llama_sampler_free(twice);
        twice = clone;
        llama_sampler_accept(once, taken(&only));
        llama_sampler_accept(twice, taken(&only));
        free(first.data);
        free(second.data);
        free(only.data);
    }
    llama_sampler_free(once);
    llama_sampler_free(twice);
}

static void test_a_draw_moves_nothing(void) {
    float *row = malloc(llama->n_vocab * sizeof *row);
    next_row(row);
    for (size_t i = 0; i < COUNT(foreign); i++) {
        if (strncmp(foreign[i].rule, "adaptive-p", 10) != 0) { /* llama.cpp's clone of it has no random numbers */
            check_drawn_twice(foreign[i].rule, row);
        }
    }
    free(row);
}

/* adaptive-p, cloned while a token is drawn but not accepted: llama.cpp's own clone would read what it does not have.
 * Ours has no draw: whichever token comes next is not taken for it. */
static void test_clone_of_adaptive_p_with_a_draw_open(void) {
    float *row = malloc(llama->n_vocab * sizeof *row);
    next_row(row);
    struct llama_sampler *sampler = make_sampler(&(const char *){"adaptive-p=0.3,decay=0"}, 1, 1, llama), *clones[3];
    candidates left = apply_to(sampler, row, llama->n_vocab);
    const llama_token next[3] = {taken(&left), 0, 1};
    for (size_t i = 0; i < 3; i++) {
        clones[i] = llama_sampler_clone(sampler);
        llama_sampler_accept(clones[i], next[i]);
    }
    for (size_t i = 0; i < 40; i++) {
        llama_token tokens[3];
        for (size_t j = 0; j < 3; j++) {
            candidates of = apply_to(clones[j], row, llama->n_vocab);
            tokens[j] = taken(&of);
            free(of.data);
        }
        CHECK(tokens[0] == tokens[1] && tokens[0] == tokens[2]);
    }
    for (size_t i = 0; i < 3; i++) {
        llama_sampler_free(clones[i]);
    }
    free(left.data);
    free(row);
    llama_sampler_free(sampler);
}

/* Rules before it leave one candidate, or none above -inf. */
static void test_few_candidates(void) {
    for (size_t i = 0; i < COUNT(foreign); i++) {
        const char *const rules[] = {"greedy", foreign[i].rule};
        struct llama_sampler *sampler = make_sampler(rules, 2, 1, llama);
        for (size_t step = 0; step < 3; step++) {
            CHECK_INT(next_token(sampler, (const float[]){1, 5, -INFINITY, 2}, 4), 1);
        }
        CHECK_STRING(entrol_llama_sampler_error(sampler), "");
        llama_sampler_free(sampler);
    }
    struct llama_sampler *sampler = make_sampler(&(const char *){"logit-bias=1,bias=-inf"}, 1, 1, llama);
    CHECK_INT(next_token(sampler, (const float[]){1, 5, 2}, 3) == 1, 0);
    CHECK_STRING(entrol_llama_sampler_error(sampler), "");
    CHECK_INT(next_token(sampler, (const float[]){-INFINITY, 5}, 2), 1);
    CHECK_STRING(entrol_llama_sampler_error(sampler), "rule 1 left logits in trouble: no possible column.");
    llama_sampler_free(sampler);
}

/* What is said of a rule that is refused; "" of one that is made. */
static const char *refusal(const char *rule) {
    static char error[300];
    const entrol_rule_source source = entrol_llama_rules(llama);
    entrol_llama_sampler_options options = ENTROL_LLAMA_SAMPLER_OPTIONS_INIT;
    options.source = &source;
    error[0] = '\0';
    llama_sampler_free(entrol_llama_sampler(error, sizeof error, &rule, 1, &options));
    return error;
}

static void check_value(const entrol_sampling_rule *row, size_t parameter, double value, bool fits) {
    char text[200];
    snprintf(text, sizeof text, "%s,%s=%.17g", row->name, row->parameters[parameter].name, value);
    CHECK_SAY((refusal(text)[0] == '\0') == fits, "%s: %s", text, refusal(text));
}

static void check_row(const entrol_sampling_rule *row) {
    CHECK(row->says[0] != '\0' && row->source[0] != '\0' && row->n_parameters > 0);
    CHECK_SAY(entrol_sampling_rule_find(row->name) == NULL, "%s is Entrol's, too", row->name);
    CHECK_STRING(refusal(row->name), "");
    for (size_t i = 0; i < row->n_parameters; i++) {
        const entrol_parameter *parameter = &row->parameters[i];
        check_value(row, i, parameter->low, true);
        check_value(row, i, parameter->initial, true);
        check_value(row, i, parameter->high + 1e6, false);
        check_value(row, i, isinf(parameter->low) ? (double)NAN : parameter->low - 0.5, false);
    }
}

static void test_the_table(void) {
    for (size_t i = 0; i < entrol_llama_rule_count(); i++) {
        check_row(entrol_llama_rule_at(i));
    }
    CHECK_INT(entrol_llama_rule_count(), COUNT(foreign)); /* all are tested above */
    CHECK(entrol_llama_rule_at(entrol_llama_rule_count()) == NULL);
}

/* Numbers are written as in Entrol's own rules, and so is what was expected. */
static void test_settings(void) {
    static const char *const fit[] = {"xtc=0.5", "xtc,threshold=5e-1", "logit-bias=5,bias=-inf", "xtc,seed=-1"};
    for (size_t i = 0; i < COUNT(fit); i++) {
        CHECK_STRING(refusal(fit[i]), "");
    }
    static const char *const none[] = {"x", ".5", "0.5x", " 0.5", "nan", "inf", "0x1", "-0.1", "1e999"};
    for (size_t i = 0; i < COUNT(none); i++) {
        char rule[40], words[120];
        snprintf(rule, sizeof rule, "xtc=%s", none[i]);
        snprintf(words, sizeof words, "rule 1, \"%s\": probability: expected a number from 0 to 1, found \"%s\".", rule,
                 none[i]);
        CHECK_STRING(refusal(rule), words);
    }
    CHECK_STRING(refusal("xtc=0.5,seed=1.5,min_keep=1"),
                 "rule 1, \"xtc=0.5,seed=1.5,min_keep=1\": seed: expected a whole number from -1 to 4294967294, found "
                 "\"1.5\".");
    CHECK_STRING(refusal("xtc,tau=1"), "rule 1, \"xtc,tau=1\": \"tau=1\" is not understood.");
    CHECK_STRING(refusal("min-q"), "rule 1, \"min-q\": there is no such rule.");
}

/* A token that the model has not. */
static void test_a_token_beyond_the_vocabulary(void) {
    char rule[40], words[160];
    snprintf(rule, sizeof rule, "logit-bias=%zu", llama->n_vocab - 1);
    CHECK_STRING(refusal(rule), "");
    snprintf(rule, sizeof rule, "logit-bias=%zu", llama->n_vocab);
    snprintf(words, sizeof words, "rule 1, \"%s\": token: expected a whole number from 0 to %zu, found \"%zu\".", rule,
             llama->n_vocab - 1, llama->n_vocab);
    CHECK_STRING(refusal(rule), words);
}

/* Rules that draw have numbers of their sampler's seed and stream; of a seed of their own, where they are given one. */
static llama_token nth_token(const char *rule, uint64_t seed, uint64_t stream, const float *row) {
    const entrol_rule_source source = entrol_llama_rules(llama);
    entrol_llama_sampler_options options = ENTROL_LLAMA_SAMPLER_OPTIONS_INIT;
    options.source = &source;
    options.seed = seed;
    options.stream = stream;
    struct llama_sampler *sampler = entrol_llama_sampler(NULL, 0, &rule, 1, &options);
    const llama_token token = next_token(sampler, row, llama->n_vocab);
    llama_sampler_free(sampler);
    return token;
}

static void test_seeds(void) {
    float *row = malloc(llama->n_vocab * sizeof *row);
    next_row(row);
    size_t n_apart[2] = {0}, n_same = 0;
    for (uint64_t i = 1; i <= 20; i++) {
        n_apart[0] += nth_token("mirostat-v2=9", i, 0, row) != nth_token("mirostat-v2=9", 0, 0, row);
        n_apart[1] += nth_token("mirostat-v2=9", 0, i, row) != nth_token("mirostat-v2=9", 0, 0, row);
        n_same += nth_token("mirostat-v2=9,seed=3", i, i, row) == nth_token("mirostat-v2=9,seed=3", 0, 0, row);
    }
    CHECK_SAY(n_apart[0] > 5 && n_apart[1] > 5 && n_same == 20, "%zu, %zu, %zu", n_apart[0], n_apart[1], n_same);
    free(row);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    open_model();
    TEST(test_they_do_what_they_do_by_themselves);
    TEST(test_clones_go_on_and_reset_begins_again);
    TEST(test_a_draw_moves_nothing);
    TEST(test_clone_of_adaptive_p_with_a_draw_open);
    TEST(test_few_candidates);
    TEST(test_the_table);
    TEST(test_settings);
    TEST(test_a_token_beyond_the_vocabulary);
    TEST(test_seeds);
    entrol_llama_close(llama);
    return test_end();
}
