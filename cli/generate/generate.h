/* The parts of `entrol generate`: texts that a model goes on with, token by token, by a chain of rules.
 *
 * settings.c: the flags; rules.c: rules in words, and what is wrong with one; prompts.c: what texts begin with;
 * chain.c: what a text is drawn by; text.c: one text that grows; run.c: all texts of a prompt at once; record.c: a text
 * as a token record; write.c: where texts go; manifest.c: what made them. */
#ifndef CLI_GENERATE_GENERATE_H
#define CLI_GENERATE_GENERATE_H

#include "../buffer.h"
#include "../formats/record.h"
#include "../formats/texts.h"
#include "../message.h"
#include "../options.h"
#include "../progress.h"
#include "../score/score.h"

#include <entrol/entrol.h>

#ifdef ENTROL_HAVE_LLAMA
#include <entrol_llama.h>
#endif

/* --- Settings: what the flags say --- */

enum { GENERATE_MOST_AT_ONCE = 255, GENERATE_MOST_RULES = 65 };

typedef struct generate_settings {
    score_settings score; /* the model, how it runs, and how prompts are read */
    string_list prompts, files, rules, stops;
    const char *output_path, *trace_path, *system;
    int64_t n_tokens; /* of a text; -1: until it ends or the context is full */
    int64_t n_samples, n_parallel, seed;
    int64_t n_continuations, max_branches; /* 0: not given, until they are checked */
    int64_t n_top;                         /* alternatives of a token in the trace */
    double branch_above, hold;             /* nats; NaN: not wanted */
    bool is_chat, shows, lists;
    char *description; /* owned */
    /* What follows from these: the chain. */
    const char *chain[GENERATE_MOST_RULES];
    size_t n_chain;
    size_t held_rule; /* the one of target_entropy, whose target --hold moves */
    char hold_text[64];
} generate_settings;

#define GENERATE_SETTINGS_INIT                                                                                         \
    {                                                                                                                  \
        .score = SCORE_SETTINGS_INIT, .n_tokens = 256, .n_samples = 1, .n_parallel = 8, .branch_above = (double)NAN,   \
        .hold = (double)NAN                                                                                            \
    }

enum { GENERATE_OPTIONS = 30 };
void generate_options(option rows[GENERATE_OPTIONS], generate_settings *settings);
/* Refuses flags that another one would make meaningless, and makes the chain. */
bool generate_settings_check(generate_settings *settings, trouble *trouble);

/* The introduction of --help with the names of all rules, which lives as long as the settings. */
const char *generate_describe(generate_settings *settings, const char *introduction);
/* Prints every rule with its parameters, defaults and sources; false for trouble. */
bool generate_list(trouble *trouble);
/* Whether a rule, as it is written, is that of a name of the registry. */
bool generate_is_rule(const char *rule, const char *name);
/* Says what is wrong with a chain, and points at it; EXIT_ERROR. */
int generate_report_rule(const generate_settings *settings, const entrol_diagnosis *diagnosis,
                         const entrol_rule_source *source);

#ifdef ENTROL_HAVE_LLAMA

/* --- Prompts --- */

typedef struct generate_prompt {
    text_document source;
    buffer id;
    uint64_t number; /* from 0 */
    int32_t *tokens; /* what the model reads, its BOS included */
    size_t n_tokens;
} generate_prompt;

typedef struct generate_prompts {
    const generate_settings *settings;
    size_t n_arguments, n_files; /* done so far */
    texts *texts;                /* of the file at hand */
    uint64_t n_prompts;
} generate_prompts;

/* The next prompt, which is freed before: 1, 0 at the end, -1. */
int generate_prompts_next(generate_prompts *prompts, generate_prompt *prompt, trouble *trouble);
void generate_prompts_close(generate_prompts *prompts);
void generate_prompt_free(generate_prompt *prompt);
/* Splits it into tokens. */
bool generate_prompt_tokenize(generate_prompt *prompt, entrol_llama *llama, const generate_settings *settings,
                              trouble *trouble);

/* --- A text that grows --- */

typedef struct made_token {
    int32_t id;
    size_t byte_end; /* in the text's bytes */
    char *piece;     /* its text, for display; owned */
    entrol_drawn drawn;
} made_token;

/* The n most probable tokens of distributions, the best of each first, and the logarithms of their probabilities: -1
 * and -inf beyond the last one. */
typedef struct made_top {
    size_t n;
    int32_t *ids;
    float *logprobs;
} made_top;

typedef struct made_text {
    uint64_t sample, branch; /* branch 0: the sample itself */
    uint64_t stream;         /* of random numbers */
    struct made_text *root;  /* the sample that it is a branch of; itself */
    size_t n_branches;       /* of a root: so far, */
    size_t n_live;           /* and how many of them and it go on */
    uint64_t parent;         /* of a branch: which branch it went off from, */
    size_t fork_at;          /* and at which token */
    entrol_sampler *sampler;
    entrol_controller *controller; /* NULL: nothing is held */
    uint32_t sequence;
    const float *row; /* the logits of its next token */
    buffer bytes;     /* as the model gave them: they need not be UTF-8 */
    made_token *tokens;
    size_t n_tokens, capacity;
    made_top top;     /* of each token, before the rules */
    const char *stop; /* why it ended: "end", "length", "string", "interrupted"; NULL: it goes on */
} made_text;

/* Appends a token with its bytes, and the most probable ones in its place, as many as the text keeps; a stop string
 * that they complete is cut off, and stops the text. False when memory is out. */
bool made_text_append(made_text *text, const entrol_drawn *drawn, const made_top *top, const char *piece,
                      const char *bytes, size_t n_bytes, const string_list *stops);
/* How many bytes will not be taken back: none of a stop string that may follow, and whole characters. */
size_t made_text_settled(const made_text *text, const string_list *stops);
/* The bytes and tokens of another text. False when memory is out. */
bool made_text_copy(made_text *copy, const made_text *text);
void made_text_free(made_text *text, entrol_context *context);
/* Bytes as what is written has them: U+FFFD in the place of what is no UTF-8, or NUL. */
void generate_append_clean(buffer *out, const char *bytes, size_t n_bytes);

/* --- All texts of a prompt --- */

typedef struct generator {
    const generate_settings *settings;
    entrol_context *context;
    entrol_llama *llama;
    size_t n_families; /* samples that go on at once */
    size_t n_each;     /* a sample and its branches */
    float *first;      /* the logits behind the prompt */
    made_top top;      /* of the token at hand */
    made_text **texts; /* of the prompt at hand, those that were not given away */
    size_t n_texts, capacity;
    bool is_taken[GENERATE_MOST_AT_ONCE]; /* sequences that a text has */
    size_t n_live_families;
    uint64_t n_done, n_texts_done; /* tokens and texts, of all prompts */
    double sampled_entropy;        /* of all tokens, summed */
    /* Called when a text has grown (NULL: nobody wants to know); and when a sample and its branches are done, in the
     * order of samples. */
    bool (*on_growth)(void *user, const made_text *text, trouble *trouble);
    bool (*on_texts)(void *user, const generate_prompt *prompt, made_text *const *texts, size_t n, trouble *trouble);
    void *user;
    progress progress;
} generator;

/* The streams of a sample, and of the `rank`-th other continuation of a text at a token. */
uint64_t generate_stream_of_sample(const generate_prompt *prompt, uint64_t sample);
uint64_t generate_stream_of_branch(const made_text *parent, size_t fork_at, size_t rank);
/* The chain at the start of a text. NULL for trouble; an empty one: a message was printed. */
entrol_sampler *generate_make_sampler(generator *generator, uint64_t stream, trouble *trouble);
/* What --hold makes of a text, and the same in the same state. NULL for trouble. */
entrol_controller *generate_make_controller(generator *generator, trouble *trouble);
entrol_controller *generate_copy_controller(generator *generator, const entrol_controller *controller,
                                            trouble *trouble);

/* Opens the model and makes the chain. False for trouble; an empty one: a message was printed. */
bool generator_open(generator *generator, const generate_settings *settings, entrol_context *context, trouble *trouble);
void generator_close(generator *generator);
/* Makes all texts of a prompt, or until a signal: those are then "interrupted". */
bool generator_run(generator *generator, const generate_prompt *prompt, trouble *trouble);

/* --- Records --- */

/* The text as a record, with the trace's columns or, without a trace, statistics of them (document_free it). */
bool generate_record(document *document, const generator *generator, const generate_prompt *prompt,
                     const made_text *text, bool is_trace, trouble *trouble);

/* The rules as they were written. NULL: out of memory. */
json_t *generate_chain_json(const generate_settings *settings);
/* PATH.manifest.json beside each file that was written: the model, the rules and what else decides the texts. */
bool generate_write_manifests(const generator *generator, int argc, char **argv, trouble *trouble);

/* --- Where texts go --- */

typedef struct generate_writer generate_writer;

/* Opens the files. */
generate_writer *generate_writer_open(const generate_settings *settings, trouble *trouble);
/* The first prompt is there: whether it is the only one. From now on the generator's texts are written. */
void generate_writer_begin(generate_writer *writer, generator *generator, bool is_only_prompt);
/* Closes the files: whole, or (where not `ok`) not at all. The writer is gone. */
bool generate_writer_close(generate_writer *writer, bool ok, trouble *trouble);

#endif
#endif
