/* Sampling: from a row of logits to the next token, by a chain of rules that look at the row's entropy.
 *
 * A sampler is made of rules as texts, "target-entropy=2.5" or "min-p=0.05", which are applied one after another. Each
 * either changes the temperature or leaves candidates out; what it sees is the distribution that the rules before it
 * left, p = softmax(z / T) over the candidates. A token is then drawn by a counter: of the same logits, the seed, the
 * stream and the place in the text give the same token on every machine, at every instruction-set level and for any
 * number of threads. */
#ifndef ENTROL_SAMPLE_H
#define ENTROL_SAMPLE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A rule that a chain can be made of: a row of the registry. Strings and tables that live as long as the program. */
typedef struct entrol_sampling_rule {
    const char *name;                   /* lower case, words joined by _ */
    const entrol_parameter *parameters; /* the first is what "name=VALUE" sets; NULL where there is none */
    size_t n_parameters;
    const char *says;   /* one sentence: what it keeps or does, with its formula */
    const char *source; /* where it was published, or whose definition it has; NULL: nowhere */
} entrol_sampling_rule;

ENTROL_API size_t entrol_sampling_rule_count(void);
ENTROL_API const entrol_sampling_rule *entrol_sampling_rule_at(size_t index);       /* NULL beyond the last */
ENTROL_API const entrol_sampling_rule *entrol_sampling_rule_find(const char *name); /* NULL for none */

/* What a rule of somebody else's sees and may change: the candidates that are left, in the order of rising tokens, and
 * their logits, which have been divided by the temperature. */
typedef struct entrol_candidates {
    int32_t *tokens;
    float *logits;
    size_t n;
    int32_t chosen; /* -1; or the token that the rule takes, which must be one of the candidates */
} entrol_candidates;

/* A rule that is not in the registry. All functions but `apply` may be NULL: there is nothing to do. But a rule that
 * has `release` and no `clone` cannot be cloned: entrol_sampler_clone then is UNSUPPORTED. */
typedef struct entrol_external_rule {
    /* Changes logits, and n with what is in front of it (in any order). Anything but OK ends the draw. */
    entrol_status (*apply)(void *user, entrol_candidates *candidates);
    void (*accept)(void *user, int32_t token); /* the token that came, or one of the prompt */
    void (*reset)(void *user);                 /* a new text begins */
    void *(*clone)(const void *user);          /* with the same state; NULL for lack of memory */
    void (*release)(void *user);
    void *user;
} entrol_external_rule;

/* Rules that are not in the registry: a table of what can be set of them, by which their texts are read as the
 * registry's are, and what makes them. Asked while a sampler is made, and not afterwards. */
typedef struct entrol_rule_source {
    size_t size; /* sizeof(entrol_rule_source) */
    /* The rule of a name (lower case, words joined by _), with at most 8 parameters and none of them a TEXT; NULL:
     * there is none. What it gives stays until the sampler is made. */
    const entrol_sampling_rule *(*find)(void *user, const char *name);
    /* Makes one with a value for each parameter of `kind`, within its bounds. The seed of its random numbers, if it has
     * any, follows from the sampler's seed and stream and the rule's place in the chain. ARGUMENT: these values do not
     * go together. */
    entrol_status (*make)(void *user, entrol_external_rule *rule, const entrol_sampling_rule *kind,
                          const double *values, uint64_t seed);
    void *user;
} entrol_rule_source;

#define ENTROL_RULE_SOURCE_INIT                                                                                        \
    { sizeof(entrol_rule_source), NULL, NULL, NULL }

/* The rule that a text begins with the name of ("min-p", "min_p=0.05,..."), of the registry or a source (NULL: of the
 * registry alone); NULL for none. Names have at most 63 bytes. */
ENTROL_API const entrol_sampling_rule *entrol_sampling_rule_of(const char *text, const entrol_rule_source *source);

typedef struct entrol_sampler_options {
    size_t size;                      /* sizeof(entrol_sampler_options) */
    uint64_t seed;                    /* 0 by default */
    uint64_t stream;                  /* which of the texts that are drawn with this seed; 0 by default */
    const entrol_rule_source *source; /* of names that are not in the registry; NULL: there are no others */
} entrol_sampler_options;

#define ENTROL_SAMPLER_OPTIONS_INIT                                                                                    \
    { sizeof(entrol_sampler_options), 0, 0, NULL }

/* A chain of rules and its place in a text. For one thread at a time; its memory is the context's that it was made
 * with, and every other call is given that context or one of the same allocator. */
typedef struct entrol_sampler entrol_sampler;

/* Makes a sampler. A rule is NAME, NAME=VALUE, which sets the first parameter, or either with ,PARAMETER=VALUE behind
 * it, as "dynamic-temperature=1,range=0.5"; - and _ are the same in names. No rules: tokens are drawn from softmax(z).
 *
 * Errors: ARGUMENT, where the diagnosis names the parameter whose value does not fit (entrol_parameter_expected says
 * what would), "rules" (what is written does not fit, no such rule or parameter, or values that do not go together) or
 * "options"; first_row is the index of the rule, and first_column the offset in its text. MEMORY; UNSUPPORTED for a
 * rule of the source with a TEXT or too many parameters; what its `make` returns. */
ENTROL_API entrol_status entrol_sampler_create(entrol_context *context, entrol_sampler **sampler,
                                               entrol_diagnosis *diagnosis, const char *const *rules, size_t n_rules,
                                               const entrol_sampler_options *options);
/* NULL is allowed. */
ENTROL_API void entrol_sampler_destroy(entrol_context *context, entrol_sampler *sampler);
/* The same rules and state, to go on with another text. Errors: MEMORY; UNSUPPORTED where an external rule has a
 * `release` and no `clone`. */
ENTROL_API entrol_status entrol_sampler_clone(entrol_context *context, entrol_sampler **clone,
                                              const entrol_sampler *sampler);
/* Begins a new text with the same seed and stream. */
ENTROL_API void entrol_sampler_reset(entrol_sampler *sampler);
/* Draws with another stream from here on. External rules go on with the random numbers that they have. */
ENTROL_API void entrol_sampler_set_stream(entrol_sampler *sampler, uint64_t stream);
/* Tells the token that came, drawn or not: the next draw is that of the next place. */
ENTROL_API void entrol_sampler_accept(entrol_sampler *sampler, int32_t token);
/* Tells a token of what the text goes on from, before it begins: external rules accept it, as those that look at
 * repetitions want to, and the place stays. entrol_sampler_reset forgets it. */
ENTROL_API void entrol_sampler_read(entrol_sampler *sampler, int32_t token);
/* Another value for a parameter of a rule of the registry (the index is that in the chain), as from a controller that
 * moves the target. Error: ARGUMENT, also for a value out of its bounds. */
ENTROL_API entrol_status entrol_sampler_set(entrol_sampler *sampler, size_t rule, const char *parameter, double value);

/* A token and what it was drawn from. NaN, 0 and -1 where the row is in trouble. */
typedef struct entrol_drawn {
    size_t size;            /* sizeof(entrol_drawn), set by the caller: no more of it is written */
    int32_t token;          /* -1 where there is none (left) */
    int is_chosen;          /* 1: an external rule has chosen it */
    double logprob;         /* ln p of it under softmax(z), before any rule */
    double entropy;         /* H of softmax(z), in nats */
    double varentropy;      /* sum p (ln p + H)^2 of softmax(z) */
    double sampled_logprob; /* ln q of it under the q that the rules left; of a chosen token, too */
    double sampled_entropy; /* H of q */
    double temperature;     /* q = softmax(z / T) over the candidates, unless an external rule moved logits */
    uint64_t n_candidates;  /* of q, above -inf */
    uint64_t n_passes; /* by which rules took sums at a temperature, over more than 16,384 candidates; without the first
                          one, of the row as it came, and the last, of what is drawn from */
} entrol_drawn;

#define ENTROL_DRAWN_INIT                                                                                              \
    { sizeof(entrol_drawn), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Draws from the row of `logits` (a matrix of one row, of any dtype; f64 counts as the nearest f32) the token of the
 * place where the text is, and moves nothing: entrol_sampler_accept does. n_drawn tokens are drawn without putting any
 * back, at most 256: the first is the one that is drawn alone, and all have the same statistics but for their logprobs.
 * `tokens` (NULL: the columns' numbers) are what the columns stand for, from 0 on, rising.
 *
 * `logprobs` (NULL: not wanted) is where ln q goes, one row, by column: -inf where the rules left a column out. It does
 * not overlap the logits.
 *
 * A column at -inf is no candidate. A row with a NaN or +inf, or without a candidate, is in trouble: NaN, +inf or
 * EMPTY_SUPPORT in the diagnosis, whose first_row is 0; so is one of which an external rule leaves nothing, or a
 * logit that is none (first_row is then 1 + the rule's index, and first_column the token). Columns more than 87 T below
 * the greatest are never drawn, unless what is above them has been. T stays between 1e-6 and 1e6. Of ties top_k, top_p,
 * typical and top_h keep the lower columns first, greedy the lowest, others all. Entropies and log-probabilities are
 * within 1e-5 (1 + their size) of exact arithmetic, varentropies within 1e-4 of that; target_entropy is met within 1e-3
 * nats where its bounds reach it, or as near as eight passes come: a row must be made to mislead them. Allocates only
 * for a row longer than those before. Errors: ARGUMENT, MEMORY; what an external rule returns. */
ENTROL_API entrol_status entrol_sampler_draw(entrol_context *context, entrol_sampler *sampler, entrol_drawn *drawn,
                                             size_t n_drawn, const entrol_destination *logprobs,
                                             entrol_diagnosis *diagnosis, const entrol_matrix *logits,
                                             const int32_t *tokens);

/* What the last draw drew from: tokens, rising, ln q and q of the candidates whose logits are above -inf (each NULL:
 * not wanted), no more than n of them. Returns how many there are, 0 where there was no draw or its row was in trouble;
 * a call that was refused is none. That draw's logits and tokens must be there still, unchanged. */
ENTROL_API size_t entrol_sampler_candidates(const entrol_sampler *sampler, int32_t *tokens, float *logprobs,
                                            float *probabilities, size_t n);

#ifdef __cplusplus
}
#endif
#endif
