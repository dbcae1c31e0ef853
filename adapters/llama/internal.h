/* What the files of this adapter share: the opened model, its message capture, one decode and its reduction. */
#ifndef ENT_LLAMA_INTERNAL_H
#define ENT_LLAMA_INTERNAL_H

#include "entrol_llama.h"

#include <llama.h>
#include <stdbool.h>

/* llama.cpp's messages while one call of ours runs: the first error is kept, all are passed on if asked for. */
typedef struct ent_log {
    char error[400];
    void (*forward)(void *user, int level, const char *text);
    void *user;
    int level; /* of the last message, which a continuation belongs to */
} ent_log;

/* Directs this thread's messages to `log`, whose error it empties, or (NULL) to nowhere. Returns the one before. */
ent_log *ent_log_use(ent_log *log);

enum { ENT_LLAMA_BIAS_PARAMETERS = 2 };

struct entrol_llama {
    struct llama_model *model;
    const struct llama_vocab *vocab;
    struct llama_context *context; /* NULL when only the vocabulary was loaded */
    struct llama_batch batch;      /* room for n_batch tokens */
    int64_t *targets;              /* n_batch of them */
    float *logprob;                /* n_batch, where the caller wants none but we do */
    size_t n_vocab, n_ctx, n_batch, n_ubatch, n_seq_max;
    int32_t bos;                           /* -1: the model wants none */
    bool space_prefix;                     /* the tokenizer puts a space before a text */
    bool cut_at_newline;                   /* it splits every text at its newlines: see ent_llama_study_tokenizer */
    bool memory_tainted;                   /* a row in trouble: the cache may hold what the next window must not see */
    double seconds;                        /* inside libllama, in this call */
    const entrol_measure_options *measure; /* of this call; NULL: the defaults */
    char *chat_template;                   /* NULL: the model's own */
    size_t *n_read;                        /* of each sequence its tokens; NULL: opened without n_own */
    ent_log log;
    char description[128];
    entrol_sampling_rule logit_bias; /* as this vocabulary bounds it */
    entrol_parameter of_logit_bias[ENT_LLAMA_BIAS_PARAMETERS];
};

/* A struct that may be shorter or longer than this library's: what is there is taken, the rest keeps its default. False
 * if it has no size. The library's own ent_take (src/measure/rows.h) does the same, and is hidden from adapters. */
bool ent_llama_take(void *out, const void *in, size_t known_size);

/* The caller's options, which may be NULL, over the defaults; false as above. */
bool ent_llama_take_options(entrol_llama_score_options *taken, const entrol_llama_score_options *given);

/* Writes this call's seconds into the caller's options, where they have that member. */
void ent_llama_give_seconds(entrol_llama_score_options *given, double seconds);

/* Empties the model's memory between windows. */
void ent_llama_clear(entrol_llama *llama);

/* Appends a token to the batch. */
void ent_llama_push(entrol_llama *llama, int32_t token, size_t position, size_t sequence, bool wants_logits);

/* Decodes the batch and empties it; *logits are then its outputs, row after row. Adds to llama->seconds. */
entrol_status ent_llama_decode(entrol_llama *llama, const float **logits);

/* A record whose row 0 is row `row` of the given one. */
entrol_record ent_record_at(const entrol_record *record, size_t row);

/* Measures n_rows of logits against llama->targets into the record from `row` on, and merges the diagnosis. */
entrol_status ent_llama_reduce(entrol_llama *llama, entrol_context *context, const entrol_record *record, size_t row,
                               entrol_diagnosis *diagnosis, const float *logits, size_t n_rows);

/* ARGUMENT, which the diagnosis names, unless every token is one of the vocabulary. */
entrol_status ent_llama_check_tokens(const entrol_llama *llama, entrol_diagnosis *diagnosis, const int32_t *tokens,
                                     size_t n_tokens);

/* Finds out how this tokenizer treats a text's start and its newlines. */
void ent_llama_study_tokenizer(entrol_llama *llama);

/* Fills a diagnosis, which may be NULL, and returns ENTROL_ERROR_ARGUMENT. */
entrol_status ent_llama_bad(entrol_diagnosis *diagnosis, const char *argument);

/* The candidates in the order of their ids, equal ones in theirs: `data` where they are, else somewhere in `spare`,
 * which has room for 2 n. */
const llama_token_data *ent_llama_sort_by_id(llama_token_data *spare, const llama_token_data *data, size_t n);

/* Bounds rules that take a token by the vocabulary. */
void ent_llama_begin_rules(entrol_llama *llama);

/* A sentence about the rules that entrol_sampler_create refused, or what else became of it. */
void ent_llama_say_refused(char *error, size_t error_size, entrol_status status, const entrol_diagnosis *diagnosis,
                           const char *const *rules, size_t n_rules, const entrol_rule_source *source);

/* Whether llama.cpp has a template of that name, or knows the one that the text is. */
bool ent_template_is_known(const char *template_text);

#endif
