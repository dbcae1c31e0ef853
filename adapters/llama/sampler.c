/* A chain of Entrol's rules as a llama_sampler: reads llama.cpp's candidates into a row, draws, and writes back what is
 * left. The vocabulary is read once and only what the rules keep is written. */
#include "internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a draw left. */
typedef struct kept {
    int32_t *tokens;
    float *logprobs, *probabilities;
} kept;

typedef struct chain {
    entrol_context *context;
    entrol_sampler *sampler;
    size_t n_threads;
    int selects;
    entrol_drawn drawn;
    char error[160];
    size_t room;      /* candidates that there is memory for */
    bool is_numbered; /* the candidates of this draw are 0, 1, 2 and so on, and tokens is not filled */
    int32_t *tokens;
    float *logits;
    kept kept;
    llama_token_data *spare; /* two times room; NULL until candidates come in another order */
} chain;

static const char *name_of(const struct llama_sampler *sampler);
static void accept_token(struct llama_sampler *sampler, llama_token token);
static void apply(struct llama_sampler *sampler, llama_token_data_array *candidates);
static void reset(struct llama_sampler *sampler);
static struct llama_sampler *clone(const struct llama_sampler *sampler);
static void release(struct llama_sampler *sampler);

static struct llama_sampler_i interface = {
    .name = name_of, .accept = accept_token, .apply = apply, .reset = reset, .clone = clone, .free = release};

static const entrol_drawn nothing_drawn = {
    .size = sizeof nothing_drawn,
    .token = -1,
    .logprob = NAN,
    .entropy = NAN,
    .varentropy = NAN,
    .sampled_logprob = NAN,
    .sampled_entropy = NAN,
    .temperature = NAN,
};

static const char *name_of(const struct llama_sampler *sampler) {
    (void)sampler;
    return "entrol";
}

static void free_candidates(chain *c) {
    free(c->tokens);
    free(c->logits);
    free(c->kept.tokens);
    free(c->kept.logprobs);
    free(c->kept.probabilities);
    free(c->spare);
    c->tokens = NULL;
    c->logits = NULL;
    c->kept = (kept){NULL, NULL, NULL};
    c->spare = NULL;
    c->room = 0;
}

static bool make_room(chain *c, size_t n) {
    if (n <= c->room) {
        return true;
    }
    free_candidates(c);
    c->tokens = malloc(n * sizeof *c->tokens);
    c->logits = malloc(n * sizeof *c->logits);
    c->kept.tokens = malloc(n * sizeof *c->kept.tokens);
    c->kept.logprobs = malloc(n * sizeof *c->kept.logprobs);
    c->kept.probabilities = malloc(n * sizeof *c->kept.probabilities);
    if (c->tokens == NULL || c->logits == NULL || c->kept.tokens == NULL || c->kept.logprobs == NULL ||
        c->kept.probabilities == NULL) {
        free_candidates(c);
        return false;
    }
    c->room = n;
    return true;
}

/* Keeps a sentence, if it is the first; gives false. */
__attribute__((format(printf, 2, 3))) static bool fail(chain *c, const char *format, ...) {
    if (c->error[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(c->error, sizeof c->error, format, arguments);
        va_end(arguments);
    }
    return false;
}

/* How the ids of candidates follow each other: 0, 1, 2 and so on, as in a whole vocabulary; rising; or neither. */
typedef enum order { NUMBERED, RISING, UNSORTED } order;

/* A loop that goes on to the end whatever the ids are is vectorised by gcc 12, to a fifth of this one's speed. */
static bool is_numbered(float *logits, const llama_token_data *data, size_t n) {
    size_t i = 0;
    for (; i < n && data[i].id == (llama_token)i; i++) {
        logits[i] = data[i].logit;
    }
    return i == n;
}

static order split(chain *c, const llama_token_data *data, size_t n) {
    int is_rising = 1;
    c->is_numbered = is_numbered(c->logits, data, n);
    if (c->is_numbered) {
        return NUMBERED;
    }
    for (size_t i = 0; i < n; i++) {
        c->tokens[i] = data[i].id;
        c->logits[i] = data[i].logit;
        is_rising &= i == 0 || data[i - 1].id < data[i].id;
    }
    return is_rising ? RISING : UNSORTED;
}

static int32_t token_at(const chain *c, size_t i) {
    return c->is_numbered ? (int32_t)i : c->tokens[i];
}

/* Splits candidates into tokens, rising, and logits. */
static bool read_candidates(chain *c, const llama_token_data_array *candidates) {
    const llama_token_data *data = candidates->data;
    const size_t n = candidates->size;
    if (!make_room(c, n)) {
        return fail(c, "there is not enough memory for %zu candidates.", n);
    }
    if (split(c, data, n) != UNSORTED) {
        return true;
    }
    if (c->spare == NULL && (c->spare = malloc(2 * c->room * sizeof *c->spare)) == NULL) {
        return fail(c, "there is not enough memory to sort %zu candidates.", n);
    }
    const order found = split(c, ent_llama_sort_by_id(c->spare, data, n), n);
    for (size_t i = 1; i < n && found == UNSORTED; i++) {
        if (c->tokens[i - 1] >= c->tokens[i]) {
            return fail(c, "token %d is among the candidates twice, or is none.", (int)c->tokens[i]);
        }
    }
    return true;
}

static bool refuse(chain *c, entrol_status status, const entrol_diagnosis *diagnosis) {
    const char *reason = entrol_reason_string(diagnosis->reason);
    if (status != ENTROL_OK) {
        return fail(c, "no token could be drawn: %s.", entrol_status_string(status));
    }
    if (diagnosis->first_row > 0) {
        return fail(c, "rule %zu left logits in trouble: %s.", diagnosis->first_row, reason);
    }
    if (diagnosis->reason == ENTROL_REASON_EMPTY_SUPPORT) {
        return fail(c, "no candidate has a logit above -inf.");
    }
    return fail(c, "the logit of token %d is %s.", (int)token_at(c, diagnosis->first_column), reason);
}

static bool draw(chain *c, const float *logits, size_t n) {
    entrol_diagnosis diagnosis = {0};
    const entrol_matrix row = {logits, ENTROL_F32, 1, n, (ptrdiff_t)n};
    const entrol_status status = entrol_sampler_draw(c->context, c->sampler, &c->drawn, 1, NULL, &diagnosis, &row,
                                                     c->is_numbered ? NULL : c->tokens);
    return (status == ENTROL_OK && c->drawn.token >= 0) || refuse(c, status, &diagnosis);
}

static bool draw_from(chain *c, const llama_token_data_array *candidates) {
    c->drawn = nothing_drawn;
    if (candidates->size == 0) {
        return fail(c, "there are no candidates.");
    }
    return read_candidates(c, candidates) && draw(c, c->logits, candidates->size);
}

/* ln q plus what makes it z / T of the drawn token: so it is z / T of all, unless a rule has moved logits. */
static double offset_of(const chain *c, size_t n) {
    const double temperature = c->drawn.temperature > 0 ? c->drawn.temperature : 1;
    size_t at = c->is_numbered ? (size_t)c->drawn.token : 0;
    while (at + 1 < n && token_at(c, at) != c->drawn.token) {
        at++;
    }
    return (double)c->logits[at] / temperature - c->drawn.sampled_logprob;
}

static void write_back(chain *c, llama_token_data_array *candidates) {
    const double offset = offset_of(c, candidates->size);
    candidates->size =
        entrol_sampler_candidates(c->sampler, c->kept.tokens, c->kept.logprobs, c->kept.probabilities, c->room);
    for (size_t i = 0; i < candidates->size; i++) {
        const float logprob = c->kept.logprobs[i];
        candidates->data[i] =
            (llama_token_data){c->kept.tokens[i], (float)((double)logprob + offset), c->kept.probabilities[i]};
    }
    while (c->kept.tokens[++candidates->selected] != c->drawn.token) {
    }
}

/* Of finite ones; than one that is not, each is. */
static bool is_more_probable(float logit, float than) {
    return isfinite(logit) && (!isfinite(than) || logit > than);
}

/* The most probable of the finite ones; the first where there are none. */
static void keep_most_probable(llama_token_data_array *candidates) {
    size_t best = 0;
    for (size_t i = 1; i < candidates->size; i++) {
        best = is_more_probable(candidates->data[i].logit, candidates->data[best].logit) ? i : best;
    }
    if (candidates->size > 0) {
        candidates->data[0] = candidates->data[best];
        candidates->data[0].p = 1;
        candidates->size = 1;
        candidates->selected = 0;
    }
}

static void apply(struct llama_sampler *sampler, llama_token_data_array *candidates) {
    chain *c = sampler->ctx;
    candidates->selected = -1;
    if (draw_from(c, candidates)) {
        write_back(c, candidates);
    } else {
        keep_most_probable(candidates);
    }
    candidates->selected = c->selects ? candidates->selected : -1;
    candidates->sorted = false;
}

static void accept_token(struct llama_sampler *sampler, llama_token token) {
    chain *c = sampler->ctx;
    entrol_sampler_accept(c->sampler, token);
}

static void reset(struct llama_sampler *sampler) {
    chain *c = sampler->ctx;
    entrol_sampler_reset(c->sampler);
    c->error[0] = '\0';
}

static void free_chain(chain *c) {
    if (c != NULL) {
        entrol_sampler_destroy(c->context, c->sampler);
        entrol_context_destroy(c->context);
        free_candidates(c);
        free(c);
    }
}

static void release(struct llama_sampler *sampler) {
    free_chain(sampler->ctx);
}

/* With a context of its own; NULL: no memory. */
static chain *new_chain(entrol_status *status, size_t n_threads, int selects) {
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = n_threads;
    chain *c = calloc(1, sizeof *c);
    *status = c != NULL ? entrol_context_create(&c->context, &options) : ENTROL_ERROR_MEMORY;
    if (*status != ENTROL_OK) {
        free(c);
        return NULL;
    }
    c->n_threads = n_threads;
    c->selects = selects;
    c->drawn = nothing_drawn;
    return c;
}

static struct llama_sampler *clone(const struct llama_sampler *sampler) {
    const chain *c = sampler->ctx;
    entrol_status status;
    chain *copy = new_chain(&status, c->n_threads, c->selects);
    if (copy == NULL || entrol_sampler_clone(copy->context, &copy->sampler, c->sampler) != ENTROL_OK) {
        free_chain(copy);
        return NULL;
    }
    copy->drawn = c->drawn;
    memcpy(copy->error, c->error, sizeof copy->error);
    return llama_sampler_init(&interface, copy);
}

struct llama_sampler *entrol_llama_sampler(char *error, size_t error_size, const char *const *rules, size_t n_rules,
                                           const entrol_llama_sampler_options *options) {
    entrol_llama_sampler_options taken = ENTROL_LLAMA_SAMPLER_OPTIONS_INIT;
    if (options != NULL && !ent_llama_take(&taken, options, sizeof taken)) {
        snprintf(error, error_size, "the options have no size.");
        return NULL;
    }
    entrol_status status;
    entrol_diagnosis diagnosis = {0};
    entrol_sampler_options own = ENTROL_SAMPLER_OPTIONS_INIT;
    own.seed = taken.seed;
    own.stream = taken.stream;
    own.source = taken.source;
    chain *c = new_chain(&status, taken.n_threads == 0 ? 1 : taken.n_threads, taken.selects);
    if (c != NULL) {
        status = entrol_sampler_create(c->context, &c->sampler, &diagnosis, rules, n_rules, &own);
    }
    if (status == ENTROL_OK) {
        return llama_sampler_init(&interface, c);
    }
    free_chain(c);
    ent_llama_say_refused(error, error_size, status, &diagnosis, rules, n_rules, taken.source);
    return NULL;
}

static chain *chain_of(const struct llama_sampler *sampler) {
    return sampler != NULL && sampler->iface == &interface ? sampler->ctx : NULL;
}

/* -1 where none is finite. */
static llama_token most_probable(const float *logits, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        best = is_more_probable(logits[i], logits[best]) ? i : best;
    }
    return isfinite(logits[best]) ? (llama_token)best : -1;
}

/* Whether the context's own sampler has left something of a row to be sampled from instead. */
static bool is_sampled(struct llama_context *context, int32_t index) {
    return llama_get_sampled_token_ith(context, index) != LLAMA_TOKEN_NULL ||
           llama_get_sampled_probs_ith(context, index) != NULL || llama_get_sampled_logits_ith(context, index) != NULL;
}

int32_t entrol_llama_sample(struct llama_sampler *sampler, struct llama_context *context, int32_t index) {
    chain *c = chain_of(sampler);
    if (c == NULL || !c->selects || is_sampled(context, index)) {
        return llama_sampler_sample(sampler, context, index);
    }
    const float *logits = llama_get_logits_ith(context, index);
    const size_t n = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context)));
    c->drawn = nothing_drawn;
    c->is_numbered = true;
    if (logits == NULL) {
        fail(c, "the context has no logits at %d.", (int)index);
        return -1;
    }
    const llama_token token = draw(c, logits, n) ? c->drawn.token : most_probable(logits, n);
    if (token >= 0) {
        llama_sampler_accept(sampler, token);
    }
    return token;
}

const entrol_drawn *entrol_llama_sampler_drawn(const struct llama_sampler *sampler) {
    const chain *c = chain_of(sampler);
    return c != NULL ? &c->drawn : NULL;
}

const char *entrol_llama_sampler_error(const struct llama_sampler *sampler) {
    const chain *c = chain_of(sampler);
    return c != NULL ? c->error : "";
}

entrol_sampler *entrol_llama_sampler_inside(struct llama_sampler *sampler) {
    const chain *c = chain_of(sampler);
    return c != NULL ? c->sampler : NULL;
}
