/* The parts of `entrol score`: what is measured, by what, and what becomes of it. filter uses the scorer too. */
#ifndef CLI_SCORE_SCORE_H
#define CLI_SCORE_SCORE_H

#include "../buffer.h"
#include "../formats/logits.h"
#include "../formats/logprobs.h"
#include "../formats/record.h"
#include "../formats/texts.h"
#include "../message.h"
#include "../options.h"
#include "../output.h"

#include <entrol/entrol.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- Settings: what the flags say --- */

typedef struct score_settings {
    /* The model and how it runs; numbers of 0 mean the adapter's defaults. */
    const char *model;
    const char *flash_attention; /* "on", "off", "auto" */
    int64_t n_ctx, n_batch, n_ubatch, n_threads, n_gpu_layers, min_context;
    int64_t n_pack;            /* documents that one decode may hold; 1: each has its own */
    const char *compat;        /* NULL, or "llama-perplexity" */
    const char *chat_template; /* NULL: the model's own */
    const char *score_role;    /* of messages: the role that is scored, or "all" */
    /* What is measured. */
    double temperature, renyi_order;
    int64_t n_top;
    size_t n_references;                /* compare: how many models or files stand beside the one that is scored */
    int64_t n_vocabulary;               /* tokens in the vocabulary of recorded log-probabilities; 0: unknown */
    bool wanted[COLUMN_COUNT];          /* columns to write of texts and logits */
    bool wanted_recorded[COLUMN_COUNT]; /* and of recorded log-probabilities */
    bool named[COLUMN_COUNT];           /* of these, the ones the user named: an error where they cannot be had */
    bool sample_level;                  /* statistics per document instead of columns */
    text_options texts;
    bool verbose;
} score_settings;

#define SCORE_SETTINGS_INIT                                                                                            \
    { .flash_attention = "auto", .score_role = "assistant", .n_pack = 1, .temperature = 1.0, .renyi_order = 2.0 }

#define SCORE_MODEL_OPTIONS 15
/* Fills SCORE_MODEL_OPTIONS rows of an option table: the flags that say which model and how it reads texts (-m, -c,
 * ..., --temperature, --field, --plain, --score-role, --skip-bad, --verbose). */
void score_model_options(option *rows, score_settings *settings);

/* --columns LIST|all (NULL: the defaults), with what --top and --renyi add. */
bool score_settings_columns(score_settings *settings, const char *list, bool renyi_given, trouble *trouble);

/* Refuses flags that another one would make meaningless, and settles what --compat implies. */
bool score_settings_check(score_settings *settings, trouble *trouble);
/* Refuses what cannot be had of the kinds of inputs that there are. */
bool score_settings_check_inputs(const score_settings *settings, bool has_recorded, bool has_kld, bool has_others,
                                 trouble *trouble);

/* The model file: settings->model, or the default model in the cache directory, which must exist. */
bool score_settings_model(score_settings *settings, trouble *trouble);

/* --- Columns: where the library's results go --- */

/* What a source of rows can tell besides the distribution itself. */
typedef struct score_source {
    bool has_targets; /* the token that came: token_id, logprob, rank */
    bool has_text;    /* pieces and offsets */
} score_source;

/* The record that the library fills for one document. Real columns are the document's own arrays; ranks and ids are
 * narrower in the library than in a document and wait here. */
typedef struct score_columns {
    entrol_record record;
    int32_t *rank, *top_id;
} score_columns;

/* Adds the columns to the document (n_tokens is set) that are wanted or that totals need: always entropy, and with
 * targets logprob. `where` names the document in messages. */
bool score_columns_begin(score_columns *columns, document *document, const score_settings *settings,
                         score_source source, const char *where, trouble *trouble);
/* The record from row `first` on. */
entrol_record score_columns_from(const score_columns *columns, size_t first);
/* Moves ranks and ids into the document and derives what follows from the most probable tokens. */
void score_columns_end(score_columns *columns, document *document);
void score_columns_free(score_columns *columns);
/* Row i has no distribution: null in every column that was measured. */
void score_columns_null_row(document *document, size_t row);
/* Keeps the rows named by ascending indices. */
void score_columns_gather(document *document, const size_t *rows, size_t n_rows);
/* Removes the columns that are not wanted. */
void score_columns_drop(document *document, const score_settings *settings, bool all);

/* --- Recorded log-probabilities --- */

/* Whether the document's entropy is known between bounds only. */
bool score_is_bounded(const document *document);
/* The bounds of one place: of k log-probabilities and maybe one more, as in entrol_top_logprobs. */
typedef struct score_bounds {
    float lower, upper, tail_mass, mean_logprob;
} score_bounds;
/* False for trouble, which says what is wrong with the place and not where it is. */
bool score_bounds_of(score_bounds *bounds, entrol_context *context, const entrol_top_logprobs *top, trouble *trouble);
/* One choice of a response as a document (document_free it), with all columns that are known and wanted, the line's
 * other fields, "id" (the response's own or default_id; of later choices with ":" and their number) and "text".
 * `where` ("FILE:LINE") stands in trouble. */
bool score_recorded(document *result, entrol_context *context, const score_settings *settings, const logprobs *response,
                    size_t index, const char *where, trouble *trouble);
/* Says once that probabilities after the sampling rules are a different thing. */
void score_note_sampled(bool *has_sampled, const logprobs *response, const char *where);
/* How messages and ids call an input. */
const char *score_input_name(const char *path);

/* --- A companion: what `entrol compare` sets beside the rows that are scored --- */

struct score_run;
struct scored_text;
typedef struct scorer scorer;
typedef struct scorer_job scorer_job;

/* Rows [first, first + logits.n_rows) of a document that a logits file is, and where they stand in the file. */
typedef struct score_block {
    const char *where;
    document *result;
    size_t first;
    size_t array, row; /* which array, and of all its rows the first of these */
    entrol_matrix logits;
    const int64_t *targets; /* NULL: none */
} score_block;

/* Called where a run comes to these things; score has none of it. What fails fills the trouble. */
typedef struct score_companion {
    void *user;
    /* The inputs have been looked at: whether they go with it. And one text, which `where` names. */
    bool (*check_inputs)(void *user, const struct score_run *run, trouble *trouble);
    bool (*check_text)(void *user, const char *where, const text_document *text, trouble *trouble);
    /* The model has been opened; then documents are measured under it and what stands beside it. */
    bool (*open_models)(void *user, scorer *scorer, trouble *trouble);
    bool (*score_text)(void *user, scorer *scorer, scorer_job *job, const struct scored_text *text,
                       const score_columns *columns, trouble *trouble);
    /* The same of a logits file; `record` is that of the block's rows. */
    bool (*open_logits)(void *user, const char *where, const logits_file *file, trouble *trouble);
    bool (*measure_block)(void *user, const entrol_record *record, entrol_diagnosis *diagnosis,
                          const score_block *block, trouble *trouble);
    /* A document has all its columns: counts it; or gives it statistics as fields (--level sample). */
    void (*count)(void *user, const document *document);
    bool (*sample_fields)(void *user, document *document, trouble *trouble);
    /* The end: lines of the summary, and what belongs in the manifest. */
    void (*print)(void *user, const char *unit);
    bool (*describe)(void *user, json_t *manifest, trouble *trouble);
} score_companion;

/* --- The scorer: texts under a model --- */

typedef struct scorer_about {
    const char *description, *llama_version;
    size_t n_vocab, n_ctx, n_batch, n_ubatch, min_context;
    bool wants_bos;
} scorer_about;

/* Called while a document is scored; not 0 stops, and the call fails. */
typedef int (*scorer_progress)(void *user, size_t n_scored);

/* Loads the model. `vocabulary_only` for counting tokens. NULL for trouble, also where this build has no llama.cpp. */
scorer *scorer_open(const score_settings *settings, entrol_context *context, bool vocabulary_only, trouble *trouble);
void scorer_close(scorer *scorer);
/* Documents are measured with it from now on, which must outlive the scorer. */
bool scorer_set_companion(scorer *scorer, const score_companion *companion, trouble *trouble);
void scorer_on_progress(scorer *scorer, scorer_progress progress, void *user);
scorer_about scorer_describe(const scorer *scorer);
size_t scorer_n_tokens(const scorer *scorer);         /* to score in the documents at hand */
double scorer_seconds_in_model(const scorer *scorer); /* so far */

/* A document to score. `result` (document_free it) gets every column that score_columns_begin adds, byte offsets, and
 * the fields: the line's own, "id" (own or default_id), and "text", exactly what was scored. */
struct scorer_job {
    const text_document *text;
    const char *default_id; /* also names it in messages */
    document result;
    entrol_diagnosis diagnosis;
    bool is_scored; /* false: it cannot be, for the reason in `trouble`, but others may (--skip-bad) */
    trouble trouble;
};

/* Scores documents. With n_pack of 2 and more, those that follow each other share decodes as far as they fit. */
bool scorer_documents(scorer *scorer, scorer_job *jobs, size_t n_jobs, trouble *trouble);
/* One of them: 1; 0 if this document cannot be scored but others may; -1 for trouble. */
int scorer_document(scorer *scorer, document *result, entrol_diagnosis *diagnosis, const text_document *text,
                    const char *default_id, trouble *trouble);
/* The tokens that scoring it would write; returns as scorer_document. */
int scorer_count(scorer *scorer, size_t *n_tokens, const text_document *text, const char *where, trouble *trouble);

/* The same as llama-perplexity does it: rows for the second half of each chunk only. */
typedef struct scorer_perplexity {
    double perplexity, error;
    size_t n_chunks;
} scorer_perplexity;
int scorer_compat(scorer *scorer, document *result, scorer_perplexity *perplexity, entrol_diagnosis *diagnosis,
                  const text_document *text, const char *default_id, trouble *trouble);

/* --- Totals and the summary --- */

/* Sums over tokens: exact, so they do not depend on order. Plain data: the journal stores it. */
typedef struct score_totals {
    uint64_t n_tokens;
    uint64_t n_bad;                     /* rows in trouble */
    uint64_t n_bytes;                   /* of text, under the tokens that have a log-probability */
    entrol_sum entropy;                 /* nats */
    entrol_sum surprisal;               /* nats; a token of probability 0 is counted in n_bad of the sum */
    entrol_sum lower, upper, tail_mass; /* of tokens whose entropy is known between bounds; inf as above */
} score_totals;

typedef struct score_summary {
    score_totals totals;
    uint64_t n_documents;
    uint64_t n_resumed; /* of them, done by an interrupted run */
    uint64_t n_empty;   /* documents in which no token was scored */
    uint64_t n_skipped; /* bad lines, with --skip-bad */
    /* The entropies, for the median and p95: the one thing that grows with the text, by 4 bytes a token. */
    float *entropies;
    size_t n_entropies, capacity;
    char first_bad[512]; /* which row was the first in trouble, and why */
    uint64_t n_replaced; /* documents that lost a field: the records have something of that name */
    char first_replaced[512];
    uint64_t n_tokens_now; /* scored by this run, for the rate */
    double seconds;        /* that it took */
} score_summary;

/* The totals of a document that has all its columns. `bad` may be NULL. */
score_totals score_totals_of(const document *document, const entrol_diagnosis *bad);
void score_totals_merge(score_totals *totals, const score_totals *other);
/* Adds entropies of tokens that have one; false when memory is out. */
bool score_summary_add(score_summary *summary, const score_totals *totals, const float *entropies, size_t n_entropies);
/* The finite entropies of a document, malloc'd. */
bool score_entropies(const document *document, float **entropies, size_t *n_entropies);
/* Adds that of a document's rows from first_row on to that of the document. */
void score_merge_diagnosis(entrol_diagnosis *all, const entrol_diagnosis *block, size_t first_row);
/* "where, row 3, column 7: a NaN" of the first row in trouble. */
void score_describe_bad_row(char *text, size_t size, const char *where, const char *row_word,
                            const entrol_diagnosis *diagnosis);
/* Notes a field of the line that is not in the document as it was. */
void score_note_replaced(score_summary *summary, const char *where, const json_t *line, const document *result);
/* Warns of these, where there are some. */
void score_warn_replaced(const score_summary *summary);
void score_summary_bad_row(score_summary *summary, const char *where, const char *row_word,
                           const entrol_diagnosis *diagnosis);
/* With a companion, its lines stand in the place of entropy and perplexity. */
void score_summary_print(const score_summary *summary, entrol_context *context, const char *unit,
                         const score_companion *companion);
void score_summary_free(score_summary *summary);

/* --level sample: n_tokens, entropy_mean, ... as fields of the document, in place of its columns. */
bool score_sample_fields(entrol_context *context, document *document, const score_totals *totals, trouble *trouble);

/* --- The journal beside PATH.part, for --resume --- */

/* PATH.part.state: a line with the settings, then an entry for each document that is whole in PATH.part. */
typedef struct score_journal score_journal;

score_journal *score_journal_begin(const char *output_path, const json_t *settings, trouble *trouble);
/* Reads what an interrupted run left and adds it to the summary; NULL with no trouble text if there is nothing.
 * *n_bytes: how much of PATH.part is whole. */
score_journal *score_journal_resume(const char *output_path, const json_t *settings, score_summary *summary,
                                    uint64_t *n_bytes, trouble *trouble);
/* Drops what is torn at its end. Only once PATH.part is open, which tells whether another process is writing it. */
bool score_journal_go_on(score_journal *journal, trouble *trouble);
/* How many documents it found, and whether document i (from 0) is the one that was scored. */
size_t score_journal_n_done(const score_journal *journal);
bool score_journal_matches(const score_journal *journal, size_t index, uint64_t hash);
bool score_journal_add(score_journal *journal, uint64_t end_offset, uint64_t hash, const score_totals *totals,
                       const float *entropies, size_t n_entropies, trouble *trouble);
/* A document that --skip-bad passed over after its line was read: nothing of it is in PATH.part. */
bool score_journal_skip(score_journal *journal, uint64_t end_offset, uint64_t hash, trouble *trouble);
bool score_journal_flush(score_journal *journal, trouble *trouble);
/* Closes it; `remove` when the output is whole. NULL is allowed. */
void score_journal_close(score_journal *journal, bool remove);
uint64_t score_hash(uint64_t hash, const void *bytes, size_t n_bytes); /* FNV-1a; begin with SCORE_HASH_START */
#define SCORE_HASH_START UINT64_C(0xcbf29ce484222325)

/* --- Interruption --- */

void score_stop_install(void); /* SIGINT and SIGTERM ask to stop; the second one ends the process */
int score_stop_signal(void);   /* 0: go on */

#endif
