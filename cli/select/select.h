/* The parts of `entrol select`: what the flags say, the values that a rule looks at, the decision, and what is written.
 * filter uses them too. */
#ifndef CLI_SELECT_SELECT_H
#define CLI_SELECT_SELECT_H

#include "../buffer.h"
#include "../formats/container.h"
#include "../formats/records.h"
#include "../message.h"
#include "../options.h"
#include "../output.h"
#include "recorded.h"

#include <entrol/entrol.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- Settings: what the flags say --- */

typedef struct select_settings {
    /* As given; NULL: the recipe's, else a default. */
    const char *keep, *mask; /* the rule as written; one of them at most */
    const char *by, *scope, *level, *emit, *method, *weight;
    const char *purpose, *recipe; /* --for, --recipe */
    const char *unit, *output_path, *unique, *undecided, *nan;
    string_list references;
    int64_t n_vocabulary; /* --vocab-size; 0: unknown */
    int64_t tie_seed;     /* 0: of equal values the earlier */
    bool preview, explain;
    /* What select_settings_check makes of them. */
    const entrol_recipe *from; /* NULL: no recipe */
    entrol_rule rule;
    double flexmatch; /* the cutoff of --keep flexmatch:CUTOFF; 0: another rule */
    entrol_weighting weighting;
    entrol_quantile_options quantiles;
    bool is_mask;       /* keep what the rule does not name */
    bool of_samples;    /* --level sample */
    bool each_document; /* --scope document */
    const char *group;  /* --scope group:FIELD; NULL: another scope */
    char by_mean[64];   /* where `by` is the mean of a column */
} select_settings;

#define SELECT_SETTINGS_INIT                                                                                           \
    { .unit = "bits", .undecided = "drop", .nan = "ignore" }

/* The flags that say by what rule: --keep, --mask, --for, --recipe, --quantile, --nan, --tie-seed, --unit. --by is each
 * command's own. */
#define SELECT_RULE_OPTIONS 8
void select_rule_options(option *rows, select_settings *settings);

/* Looks up the recipe, parses the rule and checks that the flags go together. On false it has said why, with a caret
 * under the first byte of a rule that does not fit. */
bool select_settings_check(select_settings *settings);

/* --- Inputs --- */

typedef struct select_inputs {
    char **paths;
    int n;
    int first, end;            /* those that this rank reads: all, but where select_share gave it a part */
    input **open;              /* NULL: not open now */
    records **records;         /* over these; NULL: not begun */
    select_recorded *recorded; /* what makes records of recorded log-probabilities; NULL: they are not taken */
    select_log *logs;          /* of each path */
    bool *is_stream;           /* no plain file: kept open, spooled */
    uint64_t *n_bytes;         /* of plain files */
    uint64_t (*hashes)[8];     /* the 64 hex digits of a plain file's SHA-256; NULL: not asked for yet */
} select_inputs;

/* Looks at every path. select_inputs_end follows, also on failure. */
bool select_inputs_begin(select_inputs *inputs, char **paths, int n, trouble *trouble);
/* The operands of a command, or standard input where there are none; all ranks together. On false it has said what is
 * wrong. */
bool select_take_inputs(select_inputs *inputs, const operands *operands, const char *command);
/* Input `index` at its start, any number of times; NULL for trouble. */
input *select_inputs_read(select_inputs *inputs, int index, trouble *trouble);
/* Its documents from the first one on, any number of times; of recorded log-probabilities, what becomes of them. */
records *select_inputs_records(select_inputs *inputs, int index, trouble *trouble);
/* How many of this rank's inputs are recorded log-probabilities. */
bool select_inputs_count_logs(uint64_t *n_logs, select_inputs *inputs, trouble *trouble);
/* Fills `hashes`; all ranks together. */
bool select_inputs_hash(select_inputs *inputs, trouble *trouble);
/* It is not needed until it is read again. */
void select_inputs_leave(select_inputs *inputs, int index);
void select_inputs_end(select_inputs *inputs);

/* What is wanted of each document: for the values, for the output, and for both where it is read once. */
record_wanted select_wanted_values(const select_settings *settings);
record_wanted select_wanted_output(const select_settings *settings, bool is_container);
record_wanted select_wanted_both(const select_settings *settings, bool is_container);

/* --- Values: what the rule looks at --- */

/* Values of a block: what is in memory at once, where there are more they are spooled. */
enum { SELECT_BLOCK = 1 << 20, SELECT_BLOCK_BYTES = SELECT_BLOCK * (int)(sizeof(float) + 1) };

/* One value a token or a sample, in order: 5 bytes each. */
typedef struct select_values {
    float *values; /* of the last block, or (without a spool) of all */
    uint8_t *valid;
    size_t n, capacity;
    bool spools;        /* whole blocks go to an unlinked temporary file */
    int spool;          /* 0: none yet */
    uint64_t n_spooled; /* values there */
} select_values;

bool select_values_add(select_values *store, const float *values, const uint8_t *valid, size_t n, trouble *trouble);
/* Adds all of another store. */
bool select_values_append(select_values *store, const select_values *other, trouble *trouble);
uint64_t select_values_count(const select_values *store);
/* Block `index` of all values: *n of them, 0 after the last block. `memory` has room for a block, and may be NULL where
 * nothing is spooled. They stay until something is added. */
bool select_values_block(const select_values *store, uint64_t index, void *memory, const float **values,
                         const uint8_t **valid, size_t *n, trouble *trouble);
void select_values_clear(select_values *store); /* n is 0; the memory stays */
void select_values_free(select_values *store);

/* --- Sample statistics --- */

/* Whether it is one: a column or derived value of tokens (entropy, surprisal, ...) and _mean, _median, _p90, _min,
 * _max, _percentile:P, _top:P (the mean of the greatest P percent), _top_sum:P (their sum), _window_max:N,
 * _window_min:N or _above:X; or perplexity. */
bool sample_statistic_exists(const char *name);
/* What it is of, for document_values: "entropy". NULL: it is none. */
const char *sample_statistic_of(const char *name);
/* ", "-separated, for messages. */
void sample_statistic_names(buffer *names);
/* A statistic of a document's tokens, as score --level sample writes it: over the tokens that have a value, NaN if one
 * of these is NaN. *exists is false where no token has one. `of`: other values than its own; NULL: its own. `with`:
 * only of tokens that have this value, too; NULL: of all. */
bool sample_statistic(double *value, bool *exists, entrol_context *context, const document *document, const char *name,
                      const char *of, const char *with, trouble *trouble);

/* --- What documents give --- */

/* What stands in the place of a value that does not count. */
enum { SELECT_IS_MISSING, SELECT_IS_NAN, SELECT_IS_DUPLICATE };

/* What was passed over, of all documents. */
typedef struct select_counts {
    uint64_t n_missing, n_nan, n_duplicates; /* values, values, documents */
    char first_nan[256];                     /* where */
} select_counts;

/* The values of one document under settings->by: of its tokens, or one. */
typedef struct select_taken {
    float *values, *upper; /* upper NULL: they are known; else they lie between */
    uint8_t *valid;        /* 0: missing, NaN, or of a duplicate */
    size_t n, capacity;
    size_t scope; /* of settings->group: a number from 0 in the order in which they come; else 0 */
} select_taken;

typedef struct select_reference select_reference;

typedef struct select_gatherer {
    const select_settings *settings;
    entrol_context *context;
    select_counts counts;
    select_reference *reference; /* NULL: none */
    json_t *seen;                /* --unique: hashes */
    json_t *groups, *names;      /* the number of each name, the name of each number */
} select_gatherer;

/* `recorded` is for the references. */
bool select_gatherer_begin(select_gatherer *gatherer, entrol_context *context, const select_settings *settings,
                           select_recorded *recorded, trouble *trouble);
/* Of the next document. With --reference it gets the columns reference_logprob and reference_entropy on the way. */
bool select_take(select_taken *taken, select_gatherer *gatherer, const records *records, document *document,
                 trouble *trouble);
/* After the last document: whether the reference ends, too. */
bool select_gatherer_finish(select_gatherer *gatherer, trouble *trouble);
void select_gatherer_end(select_gatherer *gatherer);
void select_taken_free(select_taken *taken);
/* --unique: whether an earlier document has the same field. */
bool select_look_for_duplicate(bool *is_duplicate, select_gatherer *gatherer, const records *records,
                               const document *document, trouble *trouble);
/* --scope group:FIELD: the number of the document's group, in the order in which they come. */
bool select_find_group(size_t *group, select_gatherer *gatherer, const records *records, const document *document,
                       trouble *trouble);
/* The name of a group; NULL for none. */
const char *select_group_name(const select_gatherer *gatherer, size_t scope);
/* One value as a store holds it: valid unless it is missing or NaN, which is counted (and an error with --nan error).
 * `where` is used for that. */
bool select_value(float *narrow, uint8_t *valid, select_counts *counts, const select_settings *settings, double value,
                  bool exists, const char *where, trouble *trouble);

/* The documents of --reference, one after the other. */
select_reference *select_reference_open(const string_list *paths, select_recorded *recorded, trouble *trouble);
/* The next one belongs to `document`: their ids must be the same and, where `aligned`, their tokens. */
const document *select_reference_next(select_reference *reference, const records *records, const document *other,
                                      bool aligned, trouble *trouble);
bool select_reference_finish(select_reference *reference, trouble *trouble);
/* [{"path", "sha256", "manifest"}], as of the inputs; NULL where there is none. */
json_t *select_references_json(const string_list *paths, trouble *trouble);
/* Gives `document` the reference's reference_logprob and reference_entropy in place of its own, until they are
 * returned.
 */
void select_lend_reference(document *document, const struct document *other, column own[2]);
void select_return_reference(document *document, const column own[2]);
void select_reference_close(select_reference *reference);

/* What a document with class probabilities tells: the field "probs", an array of numbers that sum to 1, or one such
 * array for each of several models. */
typedef struct class_statistics {
    double entropy, top_prob, margin; /* of the mean of the models' distributions */
    double bald;                      /* its entropy less the mean of theirs; NaN for one model */
    size_t class;                     /* its most probable, the first of equals */
} class_statistics;

/* *has is false where there is no such field. */
bool class_statistics_read(class_statistics *statistics, bool *has, entrol_context *context, const records *records,
                           const document *document, trouble *trouble);
/* One of them by its name, "class" too; false for another name, and for what there is not. */
bool class_statistic(double *value, const class_statistics *statistics, const char *name);

/* --- Several ranks: ranks.h --- */

/* Together: what this rank does of the work: inputs that follow each other, of about as many bytes as the others', and
 * in `own` their references. False where the flags ask for what ranks cannot do together. */
bool select_share(select_settings *own, select_inputs *inputs, trouble *trouble);
/* --- The decision --- */

/* What a rule came to, over all of its scopes. */
typedef struct select_tally {
    uint64_t n_scopes; /* 1, or the documents or groups with a value */
    uint64_t n_valid, n_kept, n_ties, n_undecided;
    /* The least and the greatest of the thresholds of all scopes: value >= low and value <= high is what the rule
     * names. Infinite where open. */
    double low_least, low_greatest, high_least, high_greatest;
} select_tally;

#define SELECT_TALLY_INIT                                                                                              \
    { 0, 0, 0, 0, 0, HUGE_VAL, -HUGE_VAL, HUGE_VAL, -HUGE_VAL }

/* Values that are compared with each other. */
typedef struct select_scope {
    select_values values;
    select_values upper; /* as many, where has_upper: each value lies between */
    bool has_upper;
} select_scope;

select_scope select_scope_new(bool spools);
bool select_scope_add(select_scope *scope, const select_taken *taken, trouble *trouble);
/* Gives all of its values upper ends: themselves, where nothing else is known. */
bool select_scope_add_upper(select_scope *scope, trouble *trouble);
/* Together: upper ends for the values of all ranks, or of none. */
bool select_share_scope(select_scope *scope, trouble *trouble);
void select_scope_clear(select_scope *scope);
void select_scope_free(select_scope *scope);
/* The values, or the upper ends, for entrol_bounds_of_stream and entrol_quantile_of_stream. Where there is no memory
 * for it, it cannot be read, so that the call fails on all ranks. */
typedef struct select_stream {
    const select_values *store;
    void *memory;
    uint64_t next;
    trouble *trouble;
} select_stream;
void select_stream_begin(select_stream *stream, const select_values *store, trouble *trouble);
entrol_stream select_stream_of(select_stream *stream);
/* Whether the call over it went well; where not, the trouble says why, or is empty where only another rank knows. */
bool select_stream_end(select_stream *stream, entrol_status status);

/* What was decided about values that follow each other. */
typedef struct select_told {
    uint8_t *keep, *valid, *undecided;
    float *values, *upper; /* upper: as values where they are known */
    size_t n, capacity;
    const entrol_bounds *bounds; /* that decided */
    const double *range;         /* of the weighting: its ends */
} select_told;

typedef struct select_decision {
    const select_settings *settings;
    const select_scope *scope;
    select_tally *tally;     /* n_kept and n_ties grow as decisions are told */
    uint64_t n_kept;         /* of this scope, likewise */
    entrol_bounds bounds[2]; /* of the values, of their upper ends */
    double range[2];         /* of the weighting: its ends */
    /* Where values have bounds: whether all are kept, and what a value is kept above, or below, whatever the others
     * are. */
    bool keeps_all;
    double sure_above, sure_below;
    uint64_t next_block;
    void *memory[2]; /* blocks as they were spooled */
    uint8_t *keep, *undecided;
    const float *values, *upper;
    const uint8_t *valid;
    size_t n, at; /* in the block, and told */
} select_decision;

/* `rule`: settings->rule, but with --keep flexmatch. With a context over several ranks they make the call together,
 * each with a scope of its own values; either all of these have upper ends or none. */
bool select_decision_begin(select_decision *decision, select_tally *tally, entrol_context *context,
                           const select_settings *settings, const select_scope *scope, const entrol_rule *rule,
                           trouble *trouble);
/* Appends the next n decisions to `told`; *found is false where there are fewer. */
bool select_decision_next(select_decision *decision, size_t n, select_told *told, bool *found, trouble *trouble);
void select_decision_end(select_decision *decision);
/* How many values of a scope are at least so much, and how many count. */
bool select_count_from(uint64_t *n_from, uint64_t *n_valid, const select_scope *scope, double least, trouble *trouble);
void select_told_free(select_told *told);

/* All scopes of a run, and what is decided about each. */
typedef struct select_scopes {
    select_scope *items;
    select_decision *decisions;
    size_t n, n_begun; /* scopes, decisions */
    uint32_t *of;      /* the scope of a document, where there are groups */
    size_t of_capacity;
    entrol_rule *rules; /* of each scope */
    uint64_t salt;      /* mixed into the seed of ties: 0, or the document's */
} select_scopes;

/* Scopes up to number n - 1, with no values yet. */
bool select_scopes_add(select_scopes *scopes, size_t n, const select_settings *settings, trouble *trouble);
/* The values of document number `document`, into the scope that they are of. */
bool select_scopes_take(select_scopes *scopes, uint64_t document, const select_taken *taken,
                        const select_settings *settings, trouble *trouble);
/* The rule of each scope: the settings', with a seed of its own, and FlexMatch's threshold. */
bool select_scopes_make_rules(select_scopes *scopes, const select_settings *settings, trouble *trouble);
/* Begins a decision for each scope, FlexMatch's with the threshold of its class. */
bool select_scopes_decide(select_scopes *scopes, select_tally *tally, entrol_context *context,
                          const select_settings *settings, trouble *trouble);
/* The decision on a document of the second reading; NULL if there was none of that number. */
select_decision *select_scopes_decision(select_scopes *scopes, uint64_t document);
/* Ends the decisions; the scopes are empty, for the next document. */
/* What came of each group: lines of the summary where they are few, and a list for the manifest. */
void select_scopes_print(const select_scopes *scopes, const select_gatherer *gatherer);
json_t *select_scopes_json(const select_scopes *scopes, const select_gatherer *gatherer);
void select_scopes_clear(select_scopes *scopes);
void select_scopes_free(select_scopes *scopes);

/* --- What is written --- */

typedef struct select_emitter {
    const select_settings *settings;
    output *output;
    container_writer *container; /* NULL: lines, written as they come */
    buffer line;
    uint64_t n_untrained; /* left out: labels and trl, with no token to train on */
} select_emitter;

/* Writes what --emit asks for. told is as long as the document's tokens. */
bool select_emit(select_emitter *emitter, const records *records, document *document, const select_told *told,
                 trouble *trouble);
/* Writes the document as it is. */
bool select_emit_document(select_emitter *emitter, document *document, trouble *trouble);
/* Writes a line as it stands; not into a container. */
bool select_emit_line(select_emitter *emitter, const char *line, size_t n_bytes, trouble *trouble);
/* --explain: a sentence for each token, or one for the document. */
bool select_explain(select_emitter *emitter, const records *records, const document *document, const select_told *told,
                    trouble *trouble);
/* --preview: what shares of the values cost, for one scope and its rule; on standard output. `name` of a group, else
 * NULL. Adds to n_kept. */
bool select_preview(uint64_t *n_kept, entrol_context *context, const select_settings *settings,
                    const select_scope *scope, const entrol_rule *rule, const char *name, const char *noun,
                    trouble *trouble);

/* --- What is said --- */

typedef struct select_outcome {
    const char *noun; /* "tokens", "documents", "lines", "files": what was chosen from */
    select_counts counts;
    select_tally tally;
    uint64_t n_documents, n_documents_kept, n_untrained;
    uint64_t n_infinite;  /* upper bounds of recorded log-probabilities */
    size_t n_ranks;       /* more than 1: those of several processes */
    uint64_t n_exchanged; /* bytes of counts that each of them gave for the decision */
} select_outcome;

/* Together: makes the outcome of this rank that of all. */
bool select_share_outcome(select_outcome *outcome, const select_settings *settings, trouble *trouble);

/* A value of settings->by in the unit of --unit, and that unit with a space before it ("" for what has none). */
double select_in_unit(const select_settings *settings, double value);
const char *select_unit(const select_settings *settings);
/* The rule as it was written. */
const char *select_rule_text(const select_settings *settings);

void select_summary_print(const select_settings *settings, const select_outcome *outcome);
/* Members of a manifest: the rule, the thresholds and where they came from, the counts. */
void select_summary_json(json_t *manifest, const select_settings *settings, const select_outcome *outcome);
/* [{"path", "sha256", "manifest"}]: the files, hashed, and the manifest beside each if there is one. NULL for trouble.
 */
json_t *select_inputs_json(const select_inputs *inputs, trouble *trouble);

/* --- The whole --- */

/* Selects from files of records: exit code of the command. argv goes into the manifest. */
int select_records(const select_settings *settings, select_inputs *inputs, int argc, char **argv);

#endif
