/* Entrol for llama.cpp: token records of text under any GGUF model, and Entrol's samplers, through libllama.
 *
 * A library of its own (libentrol_llama) on top of entrol.h. Nothing here prints or exits. The first model
 * opened takes over llama.cpp's message hook (llama_log_set), which is one for the whole process. Options begin with
 * their size: a shorter struct is an older one, whose missing members have their defaults; size 0 is ARGUMENT. */
#ifndef ENTROL_LLAMA_H
#define ENTROL_LLAMA_H

#include <entrol/entrol.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A loaded model with its context. Used by one thread at a time. */
typedef struct entrol_llama entrol_llama;

typedef struct entrol_llama_options {
    size_t size;             /* sizeof(entrol_llama_options) */
    const char *model_path;  /* a GGUF file */
    uint32_t n_ctx;          /* tokens of a window, its BOS included; 0: 2048, or the model's own if less */
    uint32_t n_batch;        /* tokens of one decode; 0: 128. Logits exist for these only: n_batch *
                                vocabulary floats */
    uint32_t n_ubatch;       /* as llama.cpp's -ub; 0: n_batch. More than n_batch counts as n_batch */
    uint32_t n_seq_max;      /* sequences that one decode may pack (entrol_llama_score_packed; compat, where
                                llama-perplexity packs n_batch / n_ctx); 0: 1. n_batch is at most
                                n_seq_max * n_ctx, and the model's memory holds as many tokens */
    uint32_t n_threads;      /* 0: one per processor this process may use */
    int32_t n_gpu_layers;    /* as llama.cpp's -ngl */
    int32_t flash_attention; /* -1: llama.cpp decides, 0: off, 1: on */
    int vocabulary_only;     /* 1: tokenise only; weights are not loaded */
    void (*log)(void *user, int level, const char *text); /* llama.cpp's own messages; NULL: dropped */
    void *log_user;
    const char
        *chat_template; /* a name that llama.cpp knows ("gemma", "chatml") or a template; NULL: the model's own */
    uint32_t n_own;     /* above 0: sequences share what they have in common (entrol_llama_step), and there is memory
                           for n_ctx tokens and n_own more for each sequence but one, as many in a sliding window too. 0:
                           n_ctx for each sequence, nothing shared */
} entrol_llama_options;

#define ENTROL_LLAMA_OPTIONS_INIT                                                                                      \
    { sizeof(entrol_llama_options), NULL, 0, 0, 0, 0, 0, 0, -1, 0, NULL, NULL, NULL, 0 }

/* Loads a model. On failure `error` holds a sentence that names the file and what was wrong with it
 * (missing, not a GGUF, truncated, not enough memory, no decoder). Errors: ARGUMENT, MEMORY, UNSUPPORTED, SYSTEM. */
entrol_status entrol_llama_open(entrol_llama **llama, char *error, size_t error_size,
                                const entrol_llama_options *options);
void entrol_llama_close(entrol_llama *llama);

size_t entrol_llama_n_vocab(const entrol_llama *llama);
size_t entrol_llama_n_ctx(const entrol_llama *llama);
size_t entrol_llama_n_batch(const entrol_llama *llama);
size_t entrol_llama_n_ubatch(const entrol_llama *llama);
int entrol_llama_wants_bos(const entrol_llama *llama);
/* The token that the model wants before every text; -1 if it wants none. */
int32_t entrol_llama_bos(const entrol_llama *llama);
/* What llama.cpp said of the last call that failed, one line; "" if nothing. */
const char *entrol_llama_error(const entrol_llama *llama);
/* llama.cpp's one-line description, e.g. "gemma3 270M Q4_K - Medium". */
const char *entrol_llama_description(const entrol_llama *llama);
/* The version of the linked llama.cpp / ggml, for the manifest. */
const char *entrol_llama_version(void);

/* Where a token stands in the text it came from. Offsets are bytes; a token may end inside a
 * character. Consecutive tokens touch, the first starts at 0, the last ends at the text's size. */
typedef struct entrol_llama_token {
    int32_t id;
    size_t byte_start, byte_end;
} entrol_llama_token;

/* Splits UTF-8 text into tokens, without a BOS. `special` 1 reads "<start_of_turn>" and its like as
 * control tokens (for conversations: entrol_llama_tokenize_chat), 0 as plain text (documents). On success *tokens is
 * malloc'd, free() it. UNSUPPORTED if this tokenizer's pieces do not give the text back. */
entrol_status entrol_llama_tokenize(entrol_llama *llama, entrol_llama_token **tokens, size_t *n_tokens,
                                    const char *text, size_t text_size, int special);

/* The text that a token stands for, malloc'd and NUL-terminated (its bytes need not be valid UTF-8). */
entrol_status entrol_llama_piece(entrol_llama *llama, char **piece, size_t *piece_size, int32_t token);

/* A chat message, and the whole conversation as the model's own template writes it (malloc'd text). If
 * spans is not NULL, spans[i] is where message i's content stands in the text. UNSUPPORTED if there is
 * no template, or none that llama.cpp knows. */
typedef struct entrol_llama_message {
    const char *role, *content;
} entrol_llama_message;
typedef struct entrol_llama_span {
    size_t byte_start, byte_end;
} entrol_llama_span;
entrol_status entrol_llama_apply_template(entrol_llama *llama, char **text, entrol_llama_span *spans,
                                          const entrol_llama_message *messages, size_t n_messages);
/* The same with the assistant's turn opened behind it: what the model goes on from. */
entrol_status entrol_llama_open_turn(entrol_llama *llama, char **text, entrol_llama_span *spans,
                                     const entrol_llama_message *messages, size_t n_messages);

/* Splits a conversation that a template wrote: control tokens are those that the template put there. What reads like
 * one inside the contents (the spans from entrol_llama_apply_template) is plain text there; without such, the tokens
 * are those of entrol_llama_tokenize with `special` 1. Contents must lie in the text, in order. Errors as there. */
entrol_status entrol_llama_tokenize_chat(entrol_llama *llama, entrol_llama_token **tokens, size_t *n_tokens,
                                         const char *text, size_t text_size, const entrol_llama_span *contents,
                                         size_t n_contents);

typedef struct entrol_llama_score_options {
    size_t size;          /* sizeof(entrol_llama_score_options) */
    uint32_t min_context; /* tokens (BOS not counted) before every scored token after the first window;
                             0: half of n_ctx. Windows overlap by this much. At most n_ctx - 2 */
    int (*progress)(void *user, size_t n_scored); /* after each decode; not 0 stops with SYSTEM */
    void *progress_user;
    double seconds_in_model;               /* out: time spent inside libllama */
    const entrol_measure_options *measure; /* temperature and Renyi order; NULL: their defaults */
} entrol_llama_score_options;

#define ENTROL_LLAMA_SCORE_OPTIONS_INIT                                                                                \
    { sizeof(entrol_llama_score_options), 0, NULL, NULL, 0, NULL }

/* Scores one document: record row i describes tokens[first + i], for every token from `first` to the
 * end, each exactly once; tokens before `first` are context only. The
 * first token of a document has a distribution only if the model wants a BOS; else its row is NaN with
 * rank 0. Each window starts with the BOS where the model wants one. A document's record depends on
 * its tokens and these options alone. */
entrol_status entrol_llama_score(entrol_llama *llama, entrol_context *context, const entrol_record *record,
                                 entrol_diagnosis *diagnosis, const int32_t *tokens, size_t n_tokens, size_t first,
                                 entrol_llama_score_options *options);

/* Is given rows [first_row, first_row + logits->n_rows) of a document's record under several models: logits[i] are
 * those of model i, there until it returns; targets are the tokens that came. Where a row of model i is in trouble it
 * sets is_bad[i] (0 before) to 1, so that nothing of it is left for the next window. Anything but OK stops. */
typedef entrol_status (*entrol_llama_rows)(void *user, size_t first_row, const entrol_matrix *logits,
                                           const int64_t *targets, int *is_bad);

#define ENTROL_LLAMA_MAX_TOGETHER 16

/* Reads one document with several models in lockstep: the same tokens in the same windows, those of entrol_llama_score
 * for the least context and the least batch of any. So their logits can be compared row by row, and exist for one batch
 * at a time. The first row of a document is not given where there is no BOS to predict it. The models have as many
 * tokens and the same BOS, else ARGUMENT, as for n_llamas from 1 to ENTROL_LLAMA_MAX_TOGETHER; options->measure is not
 * used. Whether equal ids are equal tokens, entrol_llama_token_text tells. */
entrol_status entrol_llama_score_together(entrol_llama *const *llamas, size_t n_llamas, entrol_diagnosis *diagnosis,
                                          const int32_t *tokens, size_t n_tokens, size_t first, entrol_llama_rows rows,
                                          void *user, entrol_llama_score_options *options);

/* A token as it stands in the model's vocabulary ("\xe2\x96\x81the", "<0x0A>"), which lives as long as the model; NULL
 * for a number that is no token. */
const char *entrol_llama_token_text(const entrol_llama *llama, int32_t token);

/* One of several documents that are scored together: what entrol_llama_score takes of it. */
typedef struct entrol_llama_document {
    const entrol_record *record;
    entrol_diagnosis *diagnosis; /* may be NULL */
    const int32_t *tokens;
    size_t n_tokens, first;
} entrol_llama_document;

/* The positions of a batch that a document of so many tokens takes. */
size_t entrol_llama_n_positions(const entrol_llama *llama, size_t n_tokens);

/* Scores whole documents as the sequences of one decode, which is faster where a decode costs much whatever it holds:
 * on a GPU, or for very short documents. Unlike after entrol_llama_score, a document's numbers then depend on those
 * that it was packed with: llama.cpp sums in another order. At most n_seq_max documents, each of at most n_ctx
 * positions, all together of at most n_batch; else ARGUMENT, and the diagnosis of the first that does not fit names
 * "documents". */
entrol_status entrol_llama_score_packed(entrol_llama *llama, entrol_context *context,
                                        const entrol_llama_document *documents, size_t n_documents,
                                        entrol_llama_score_options *options);

/* --- Texts that go on token by token --- */

/* Sequences 0 to n_seq_max - 1 of a model that was opened with n_own are texts that the model has read, each of at most
 * n_ctx tokens. One that is a copy of another shares the memory of what they have in common. Scoring forgets them all.
 *
 * Logits are a matrix of one f32 row a sequence, there until the next call that reads. Errors: ARGUMENT for a sequence
 * or token that is none; OVERFLOW where n_ctx or the memory has no room; MEMORY, SYSTEM: entrol_llama_error says why;
 * UNSUPPORTED without n_own. After one that is not of its arguments or of n_ctx, what was read is to be forgotten. */

entrol_status entrol_llama_forget_all(entrol_llama *llama);
/* Appends tokens (at least one; the BOS is one like others) to a sequence and gives what comes behind the last. */
entrol_status entrol_llama_read(entrol_llama *llama, entrol_matrix *logits, uint32_t sequence, const int32_t *tokens,
                                size_t n_tokens);
/* Appends tokens[i] to sequences[i], of which none is named twice, in one decode: row i is what comes behind it. At
 * most n_batch sequences. llama.cpp sums in an order that depends on how many there are. */
entrol_status entrol_llama_step(entrol_llama *llama, entrol_matrix *logits, const uint32_t *sequences,
                                const int32_t *tokens, size_t n_sequences);
/* Makes `copy`, of which all is forgotten, the same text as `sequence`; both go on by themselves. */
entrol_status entrol_llama_fork(entrol_llama *llama, uint32_t copy, uint32_t sequence);
entrol_status entrol_llama_forget(entrol_llama *llama, uint32_t sequence);
/* Tokens in a sequence; 0 for one that is none. */
size_t entrol_llama_n_read(const entrol_llama *llama, uint32_t sequence);

/* Whether a text ends with this token (an end of text or of turn), and whether a token is for the model alone and no
 * part of a text: an end, a start, a mark of a template. */
int entrol_llama_is_end(const entrol_llama *llama, int32_t token);
int entrol_llama_is_control(const entrol_llama *llama, int32_t token);

/* What llama.cpp's own llama-perplexity computes for a text: consecutive chunks of n_ctx tokens, each begun
 * with the BOS, of which the second half counts. Records are rows for the counted tokens only. */
typedef struct entrol_llama_perplexity {
    double perplexity, error; /* as "Final estimate: PPL = %.4lf +/- %.5lf" prints them */
    size_t n_chunks, n_scored;
} entrol_llama_perplexity;
/* record arrays have n_chunks * (n_ctx - 1 - n_ctx / 2) rows, n_chunks = n_tokens / n_ctx; positions[i] (may
 * be NULL) is the index in tokens of row i. `tokens` include the document's own BOS, as llama-perplexity
 * tokenises; the text that it reads from a file lacks the file's last newline. To get its very numbers, open
 * the model with its n_ctx, n_batch (2048 by default), n_ubatch (512) and n_seq_max = max(1, n_batch / n_ctx).
 * ARGUMENT if there are fewer than 2 * n_ctx tokens, or at a temperature other than 1; UNSUPPORTED where
 * llama-perplexity stops too (a model that wants an EOS). `error` is NaN where llama-perplexity prints none. */
entrol_status entrol_llama_score_compat(entrol_llama *llama, entrol_context *context, const entrol_record *record,
                                        size_t *positions, entrol_llama_perplexity *result, const int32_t *tokens,
                                        size_t n_tokens, entrol_llama_score_options *options);

/* A sampler for programs that use llama.cpp themselves: see entrol_llama_sampler. */
struct llama_sampler;
struct llama_context;

typedef struct entrol_llama_sampler_options {
    size_t size;           /* sizeof(entrol_llama_sampler_options) */
    uint64_t seed, stream; /* as in entrol_sampler_options; 0 by default */
    size_t n_threads;      /* 0: 1 */
    int selects;           /* 1, the default: takes a token; 0: a sampler after it does, as llama.cpp's dist */
    const entrol_rule_source *source; /* of rules that are not Entrol's, as entrol_llama_rules; NULL: there are no
                                         others. Not needed once the sampler is made */
} entrol_llama_sampler_options;

#define ENTROL_LLAMA_SAMPLER_OPTIONS_INIT                                                                              \
    { sizeof(entrol_llama_sampler_options), 0, 0, 0, 1, NULL }

/* A chain of Entrol's rules (as texts: see entrol_sampler_create) as a llama.cpp sampler: for llama_sampler_sample, or
 * in a llama_sampler_chain, which then owns it; else llama_sampler_free() it. It sees the candidates that the samplers
 * before it left, in any order, and leaves those that its rules keep, by rising id: `logit` is then z / T, `p` the
 * probability that the rules gave them, and `selected` the token that was drawn. Its draws are those of
 * entrol_sampler_draw: a place drawn again gives the same token, until llama_sampler_accept moves it on. So do the
 * prompt's tokens, where a program accepts them: to begin at the first place, hand them to entrol_sampler_read of the
 * sampler inside.
 *
 * A sampler cannot return an error. Where the candidates are in trouble (a NaN or +inf among the logits, a token twice)
 * or the rules leave none, the most probable of the finite ones is taken and is the only one left, and
 * entrol_llama_sampler_error says what was wrong.
 *
 * NULL on failure; then `error` holds a sentence that names the rule and what was expected in it. For one thread at a
 * time, as all of llama.cpp's; a clone (llama_sampler_clone; NULL for lack of memory, or where a rule of the source can
 * be released and not cloned) goes on as the original does, on a thread of its own. */
struct llama_sampler *entrol_llama_sampler(char *error, size_t error_size, const char *const *rules, size_t n_rules,
                                           const entrol_llama_sampler_options *options);

/* llama_sampler_sample, from the logits as they are: llama.cpp's copies them to an array of candidates first, which
 * costs more than most chains do. The same token, which is accepted; -1, and none is, where the context has no logits
 * at the index or none is finite (entrol_llama_sampler_error). Of a sampler of another kind, a chain or one that leaves
 * the choice to another, and where the context has a sampler of its own (llama_set_sampler), it is llama_sampler_sample
 * itself, which ends the program where there are no logits. */
int32_t entrol_llama_sample(struct llama_sampler *sampler, struct llama_context *context, int32_t index);

/* What the last draw was: of softmax(z) over the candidates that came; `token` is what it would have taken where it
 * leaves the choice to another. NULL for a sampler of another kind. */
const entrol_drawn *entrol_llama_sampler_drawn(const struct llama_sampler *sampler);
/* The first trouble since it was made or reset, in a sentence; "" if there was none, or it is of another kind. */
const char *entrol_llama_sampler_error(const struct llama_sampler *sampler);
/* The sampler inside, for entrol_sampler_read, entrol_sampler_set, entrol_sampler_set_stream and, as long as the logits
 * that it drew from are there, entrol_sampler_candidates; NULL for a sampler of another kind. */
entrol_sampler *entrol_llama_sampler_inside(struct llama_sampler *sampler);

/* Samplers of llama.cpp as rules in a chain of Entrol's: mirostat, xtc, dry and others, with llama.cpp's defaults. */
size_t entrol_llama_rule_count(void);
const entrol_sampling_rule *entrol_llama_rule_at(size_t index); /* NULL beyond the last */
/* The source of these, for entrol_sampler_options and entrol_llama_sampler_options, over the vocabulary of `llama`,
 * which they do not need once they are made. Those that draw get a seed of the sampler's, where none is set. Logits
 * come to them divided by the temperature so far. A draw leaves their state alone until its token is accepted; but for
 * adaptive_p, whose random numbers go on with every draw, and whose clone between a draw and its token forgets the
 * draw. */
entrol_rule_source entrol_llama_rules(entrol_llama *llama);

#ifdef __cplusplus
}
#endif
#endif
