/* Samplers of llama.cpp as rules of Entrol's: a table of what can be set, and a wrapper that hands them the candidates.
 *
 * Those that draw (mirostat, xtc) move their state when they are applied. So each draw is made by a clone, which takes
 * the place of the sampler when the token is accepted: the same place drawn twice gives the same token. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct rule_row {
    entrol_sampling_rule rule;
    struct llama_sampler *(*make)(const entrol_llama *llama, const double *values, uint64_t seed);
    enum { STEADY, DRAWS, DRAWS_WITHOUT_CLONE } kind; /* whether applying it moves its state */
} rule_row;

/* llama.cpp takes UINT32_MAX for "a random one". */
#define SEED                                                                                                           \
    {                                                                                                                  \
        .name = "seed", .type = ENTROL_PARAMETER_WHOLE, .initial = -1, .low = -1, .high = UINT32_MAX - 1.0,            \
        .says = "of its random numbers; -1: one that follows from the sampler's seed and stream"                       \
    }
#define LAST_N                                                                                                         \
    {                                                                                                                  \
        .name = "last_n", .type = ENTROL_PARAMETER_WHOLE, .initial = 64, .high = 1 << 20,                              \
        .says = "how many of the last tokens count; 0: none"                                                           \
    }

static const entrol_parameter of_mirostat[] = {
    {.name = "tau", .initial = 5, .high = 100, .says = "the surprise that is aimed at, in bits"},
    {.name = "eta", .initial = 0.1, .high = 1, .says = "how much of the error the threshold is moved by"},
    SEED,
    {.name = "m",
     .type = ENTROL_PARAMETER_WHOLE,
     .initial = 100,
     .low = 2,
     .high = 1 << 20,
     .says = "tokens of the fit"},
};

static const entrol_parameter of_xtc[] = {
    {.name = "probability", .high = 1, .says = "how often it does anything; 0: never"},
    {.name = "threshold",
     .initial = 0.1,
     .high = 1,
     .says = "the least p of a top choice; above 0.5 there is nothing to do"},
    SEED,
    {.name = "min_keep", .type = ENTROL_PARAMETER_WHOLE, .high = 1 << 20, .says = "the least number to keep"},
};

static const entrol_parameter of_adaptive_p[] = {
    {.name = "target", .initial = -1, .low = -1, .high = 1, .says = "the p that is favoured; negative: off"},
    {.name = "decay",
     .initial = 0.9,
     .high = 0.99,
     .says = "of the mean p of tokens, which sees 1 / (1 - decay) of them"},
    SEED,
};

static const entrol_parameter of_penalties[] = {
    {.name = "repeat", .initial = 1, .low = 0.01, .high = 100, .says = "divides a logit above 0, multiplies one below"},
    {.name = "frequency", .low = -100, .high = 100, .says = "taken off for each time that the token came"},
    {.name = "presence", .low = -100, .high = 100, .says = "taken off where it came at all"},
    LAST_N,
};

static const entrol_parameter of_dry[] = {
    {.name = "multiplier", .high = 100, .says = "the penalty of a repetition one longer than allowed_length; 0: off"},
    {.name = "base", .initial = 1.75, .low = 1, .high = 100, .says = "times this for each token more"},
    {.name = "allowed_length",
     .type = ENTROL_PARAMETER_WHOLE,
     .initial = 2,
     .high = 1 << 20,
     .says = "the longest repetition without penalty"},
    LAST_N,
};

static const entrol_parameter of_logit_bias[ENT_LLAMA_BIAS_PARAMETERS] = {
    {.name = "token", .type = ENTROL_PARAMETER_WHOLE, .high = INT32_MAX, .says = "its id, which the model must have"},
    {.name = "bias", .low = -INFINITY, .high = 1e6, .says = "added to its logit; -inf: it never comes"},
};

/* The one that was set, or one of the sampler's. */
static uint32_t seed_of(double set, uint64_t seed) {
    return set >= 0 ? (uint32_t)set : (uint32_t)(seed % UINT32_MAX);
}

static struct llama_sampler *make_mirostat(const entrol_llama *llama, const double *values, uint64_t seed) {
    return llama_sampler_init_mirostat((int32_t)llama->n_vocab, seed_of(values[2], seed), (float)values[0],
                                       (float)values[1], (int32_t)values[3]);
}

static struct llama_sampler *make_mirostat_v2(const entrol_llama *llama, const double *values, uint64_t seed) {
    (void)llama;
    return llama_sampler_init_mirostat_v2(seed_of(values[2], seed), (float)values[0], (float)values[1]);
}

static struct llama_sampler *make_xtc(const entrol_llama *llama, const double *values, uint64_t seed) {
    (void)llama;
    return llama_sampler_init_xtc((float)values[0], (float)values[1], (size_t)values[3], seed_of(values[2], seed));
}

static struct llama_sampler *make_adaptive_p(const entrol_llama *llama, const double *values, uint64_t seed) {
    (void)llama;
    return llama_sampler_init_adaptive_p((float)values[0], (float)values[1], seed_of(values[2], seed));
}

static struct llama_sampler *make_penalties(const entrol_llama *llama, const double *values, uint64_t seed) {
    (void)seed;
    return llama_sampler_init_penalties((int32_t)llama->n_vocab, (int32_t)values[3], (float)values[0], (float)values[1],
                                        (float)values[2]);
}

static struct llama_sampler *make_dry(const entrol_llama *llama, const double *values, uint64_t seed) {
    const char *breakers[] = {"\n", ":", "\"", "*"};
    (void)seed;
    return llama_sampler_init_dry(llama->vocab, (float)values[0], (float)values[1], (int32_t)values[2],
                                  (int32_t)values[3], breakers, sizeof breakers / sizeof *breakers);
}

static struct llama_sampler *make_logit_bias(const entrol_llama *llama, const double *values, uint64_t seed) {
    const llama_logit_bias bias = {(llama_token)values[0], (float)values[1]};
    (void)seed;
    return llama_sampler_init_logit_bias((int32_t)llama->n_vocab, 1, &bias);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))
static const rule_row rows[] = {
    {{"mirostat", of_mirostat, COUNT(of_mirostat),
      "keeps the k most probable, k from a fit of Zipf's law to the first m, so that the surprise of tokens is tau "
      "bits; draws",
      "llama.cpp's mirostat; arXiv 2007.14966"},
     make_mirostat,
     DRAWS},
    {{"mirostat_v2", of_mirostat, COUNT(of_mirostat) - 1,
      "keeps -log2 p <= mu, mu moved by eta (tau - surprise) after each token, from 2 tau on; draws",
      "llama.cpp's mirostat-v2; arXiv 2007.14966"},
     make_mirostat_v2,
     DRAWS},
    {{"xtc", of_xtc, COUNT(of_xtc),
      "with a probability, leaves out all top choices (p >= threshold) but the least probable of them",
      "llama.cpp's xtc; text-generation-webui #6335"},
     make_xtc,
     DRAWS},
    {{"adaptive_p", of_adaptive_p, COUNT(of_adaptive_p),
      "logit = 5 - 10 d^2 / (1 + d), d = |p - t| / 0.3, t moved so that the mean p of tokens is the target; draws",
      "llama.cpp's adaptive-p, #17927"},
     make_adaptive_p,
     DRAWS_WITHOUT_CLONE},
    {{"penalties", of_penalties, COUNT(of_penalties), "lowers the logits of the last tokens",
      "llama.cpp's penalties; arXiv 1909.05858"},
     make_penalties,
     STEADY},
    {{"dry", of_dry, COUNT(of_dry),
      "lowers the logit of what would go on with a repetition, by multiplier base^(length - allowed_length); a newline "
      "and : \" * end one",
      "llama.cpp's dry; text-generation-webui #5677"},
     make_dry,
     STEADY},
    {{"logit_bias", of_logit_bias, COUNT(of_logit_bias), "adds to the logit of one token", "llama.cpp's logit-bias"},
     make_logit_bias,
     STEADY},
};

size_t entrol_llama_rule_count(void) {
    return COUNT(rows);
}

const entrol_sampling_rule *entrol_llama_rule_at(size_t index) {
    return index < COUNT(rows) ? &rows[index].rule : NULL;
}

/* One of these samplers in a chain. */
typedef struct foreign {
    const rule_row *row;
    struct llama_sampler *sampler;
    struct llama_sampler *drawn; /* as it is after a draw whose token has not been accepted; NULL: there is none */
    size_t n_random;             /* DRAWS_WITHOUT_CLONE: random numbers taken */
    llama_token_data *data;      /* room for the candidates, and twice as many */
    size_t room;
} foreign;

static void settle(foreign *rule, struct llama_sampler *sampler) {
    if (sampler != rule->sampler) {
        llama_sampler_free(rule->sampler);
    }
    rule->sampler = sampler;
    rule->drawn = NULL;
}

static bool fill(foreign *rule, const entrol_candidates *candidates) {
    if (candidates->n > rule->room) {
        free(rule->data);
        rule->data = malloc(3 * candidates->n * sizeof *rule->data);
        rule->room = rule->data != NULL ? candidates->n : 0;
    }
    for (size_t i = 0; i < candidates->n && rule->data != NULL; i++) {
        rule->data[i] = (llama_token_data){candidates->tokens[i], candidates->logits[i], 0};
    }
    return rule->data != NULL;
}

/* What is left; xtc leaves the end of the array, others its front, and most sort it: in the order of ids Entrol need
 * not sort it again. */
static void take_back(entrol_candidates *candidates, const llama_token_data_array *left, llama_token_data *spare) {
    const llama_token_data *data = ent_llama_sort_by_id(spare, left->data, left->size);
    candidates->chosen = left->selected >= 0 ? left->data[left->selected].id : -1;
    candidates->n = left->size;
    for (size_t i = 0; i < left->size; i++) {
        candidates->tokens[i] = data[i].id;
        candidates->logits[i] = data[i].logit;
    }
}

static entrol_status foreign_apply(void *user, entrol_candidates *candidates) {
    foreign *rule = user;
    if (candidates->n == 0) { /* which llama.cpp asserts */
        return ENTROL_OK;
    }
    if (!fill(rule, candidates)) {
        return ENTROL_ERROR_MEMORY;
    }
    if (rule->row->kind == DRAWS) {
        llama_sampler_free(rule->drawn);
        rule->drawn = llama_sampler_clone(rule->sampler);
    }
    rule->n_random += candidates->n > 1; /* of a single one nothing is drawn */
    const size_t n = candidates->n;
    llama_token_data_array array = {rule->data, n, -1, false};
    llama_sampler_apply(rule->drawn != NULL ? rule->drawn : rule->sampler, &array);
    take_back(candidates, &array, rule->data + n);
    return ENTROL_OK;
}

static void foreign_accept(void *user, int32_t token) {
    foreign *rule = user;
    settle(rule, rule->drawn != NULL ? rule->drawn : rule->sampler);
    llama_sampler_accept(rule->sampler, token);
}

static void foreign_reset(void *user) {
    foreign *rule = user;
    llama_sampler_free(rule->drawn);
    settle(rule, rule->sampler);
    rule->n_random = 0;
    llama_sampler_reset(rule->sampler);
}

static void foreign_release(void *user) {
    foreign *rule = user;
    llama_sampler_free(rule->drawn);
    llama_sampler_free(rule->sampler);
    free(rule->data);
    free(rule);
}

/* adaptive-p's own clone begins its random numbers again, and keeps a pointer to probabilities that it does not have:
 * it is made to draw as often from two equal candidates, and to forget the last one by a token that is none. */
static void catch_up(struct llama_sampler *sampler, size_t n_random) {
    enum { NO_TOKEN = -2 }; /* -1 is its own for none, and asserted not to come */
    for (size_t i = 0; i < n_random; i++) {
        llama_token_data two[2] = {{0, 0, 0}, {1, 0, 0}};
        llama_token_data_array array = {two, 2, -1, false};
        llama_sampler_apply(sampler, &array);
    }
    llama_sampler_accept(sampler, NO_TOKEN);
}

static void *foreign_clone(const void *user) {
    const foreign *rule = user;
    foreign *clone = calloc(1, sizeof *clone);
    if (clone == NULL) {
        return NULL;
    }
    clone->row = rule->row;
    clone->sampler = llama_sampler_clone(rule->sampler);
    clone->drawn = rule->drawn != NULL ? llama_sampler_clone(rule->drawn) : NULL;
    clone->n_random = rule->n_random;
    if (rule->row->kind == DRAWS_WITHOUT_CLONE) {
        catch_up(clone->sampler, rule->n_random);
    }
    return clone;
}

/* --- The source --- */

static const rule_row *find_row(const char *name) {
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (strcmp(rows[i].rule.name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

void ent_llama_begin_rules(entrol_llama *llama) {
    memcpy(llama->of_logit_bias, of_logit_bias, sizeof of_logit_bias);
    llama->of_logit_bias[0].high = (double)llama->n_vocab - 1;
    llama->logit_bias = find_row("logit_bias")->rule;
    llama->logit_bias.parameters = llama->of_logit_bias;
}

static const entrol_sampling_rule *find_rule(void *user, const char *name) {
    const entrol_llama *llama = user;
    const rule_row *row = find_row(name);
    if (row != NULL && row->rule.parameters == of_logit_bias) {
        return &llama->logit_bias;
    }
    return row != NULL ? &row->rule : NULL;
}

static entrol_status make_rule(void *user, entrol_external_rule *rule, const entrol_sampling_rule *kind,
                               const double *values, uint64_t seed) {
    foreign *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return ENTROL_ERROR_MEMORY;
    }
    made->row = find_row(kind->name);
    made->sampler = made->row->make(user, values, seed);
    *rule = (entrol_external_rule){foreign_apply, foreign_accept, foreign_reset, foreign_clone, foreign_release, made};
    return ENTROL_OK;
}

entrol_rule_source entrol_llama_rules(entrol_llama *llama) {
    return (entrol_rule_source){sizeof(entrol_rule_source), find_rule, make_rule, llama};
}
