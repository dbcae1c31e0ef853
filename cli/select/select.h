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

#include <entrol/entrol.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- Settings: what the flags say --- */

typedef struct select_settings {
    const char *keep, *mask; /* the rule as written; one of them */
    const char *by, *scope, *level, *emit, *unit, *output_path;
    const char *purpose, *recipe; /* --for, --recipe: of a later version */
    bool scope_given;
    /* What select_settings_check makes of them. */
    entrol_rule rule;
    bool is_mask;       /* keep what the rule does not name */
    bool of_samples;    /* --level sample */
    bool each_document; /* --scope document */
} select_settings;

#define SELECT_SETTINGS_INIT                                                                                           \
    { .scope = "corpus", .level = "token", .emit = "records", .unit = "bits" }

/* The flags that say by what rule: --keep, --mask, --for, --recipe, --unit. --by is each command's own. */
#define SELECT_RULE_OPTIONS 5
void select_rule_options(option *rows, select_settings *settings);

/* Parses the rule and checks that the flags go together. On false it has said why, with a caret under the first byte of
 * a rule that does not fit. */
bool select_settings_check(select_settings *settings);

/* --- Inputs --- */

typedef struct select_inputs {
    char **paths;
    int n;
    input **open;      /* NULL: not open now */
    records **records; /* over these; NULL: not begun */
    bool *is_stream;   /* no plain file: kept open, spooled */
} select_inputs;

/* Looks at every path. select_inputs_end follows, also on failure. */
bool select_inputs_begin(select_inputs *inputs, char **paths, int n, trouble *trouble);
/* Input `index` at its start, any number of times; NULL for trouble. */
input *select_inputs_read(select_inputs *inputs, int index, trouble *trouble);
/* Its documents from the first one on, any number of times. */
records *select_inputs_records(select_inputs *inputs, int index, trouble *trouble);
/* It is not needed until it is read again. */
void select_inputs_leave(select_inputs *inputs, int index);
void select_inputs_end(select_inputs *inputs);

/* --- Values: what the rule looks at --- */

/* Values of a block: what is in memory at once, where there are more they are spooled. */
enum { SELECT_BLOCK = 1 << 20, SELECT_BLOCK_BYTES = SELECT_BLOCK * (int)(sizeof(float) + 1) };

/* One value a token or a sample, in order: 5 bytes each. What is missing or NaN is not valid. */
typedef struct select_values {
    float *values; /* of the last block, or (without a spool) of all */
    uint8_t *valid;
    size_t n, capacity;
    bool spools;        /* whole blocks go to an unlinked temporary file */
    int spool;          /* 0: none yet */
    uint64_t n_spooled; /* values there */
    uint64_t n_missing, n_nan;
    char first_nan[256]; /* where */
} select_values;

/* Adds the values of a document's tokens under settings->by. */
bool select_values_add_tokens(select_values *store, const select_settings *settings, const records *records,
                              const document *document, trouble *trouble);
/* Adds the one value of a document. */
bool select_values_add_sample(select_values *store, entrol_context *context, const select_settings *settings,
                              const records *records, const document *document, trouble *trouble);
/* Adds a value that is known; `where` is used if it is NaN. */
bool select_values_add(select_values *store, double value, bool exists, const char *where, trouble *trouble);
uint64_t select_values_count(const select_values *store);
/* Block `index` of all values: *n of them, 0 after the last block. `memory` has room for a block. They stay until
 * something is added. */
bool select_values_block(const select_values *store, uint64_t index, void *memory, const float **values,
                         const uint8_t **valid, size_t *n, trouble *trouble);
void select_values_clear(select_values *store); /* n is 0; the counts and the memory stay */
void select_values_free(select_values *store);

/* --- Sample statistics --- */

/* Whether it is one: entropy_ or surprisal_ and mean, median, p90, min, max, percentile:P, top:P (the mean of the
 * greatest P percent), window_max:N, window_min:N or above:X; or perplexity. */
bool sample_statistic_exists(const char *name);
/* The column that a statistic is of: entropy, or logprob. */
column_id sample_statistic_column(const char *name);
/* ", "-separated, for messages. */
void sample_statistic_names(buffer *names);
/* A statistic of a document's tokens, as score --level sample writes it: over the tokens that have a value, NaN if one
 * of these is NaN. *exists is false where no token has one. */
bool sample_statistic(double *value, bool *exists, entrol_context *context, const document *document, const char *name,
                      trouble *trouble);

/* --- The decision --- */

/* What a rule came to, over all of its scopes. */
typedef struct select_tally {
    uint64_t n_scopes; /* 1, or the documents with a value */
    uint64_t n_valid, n_kept, n_ties;
    /* The least and the greatest of the thresholds of all scopes: value >= low and value <= high is what the rule
     * names. Infinite where open. */
    double low_least, low_greatest, high_least, high_greatest;
} select_tally;

#define SELECT_TALLY_INIT                                                                                              \
    { 0, 0, 0, 0, HUGE_VAL, -HUGE_VAL, HUGE_VAL, -HUGE_VAL }

/* keep[i] = 1 for what is kept: what the rule names, or with --mask every other valid value. Not of spooled values. */
bool select_decide(uint8_t *keep, select_tally *tally, entrol_context *context, const select_settings *settings,
                   const select_values *values, trouble *trouble);

/* The same of values that may be spooled, told in their order. */
typedef struct select_decision {
    const select_settings *settings;
    const select_values *store;
    select_tally *tally; /* n_kept and n_ties grow as decisions are told */
    entrol_bounds bounds;
    uint64_t next_block;
    void *memory;  /* a block as it was spooled */
    uint8_t *keep; /* its decisions */
    const uint8_t *valid;
    size_t n, at;               /* in the block, and told */
    uint8_t *told, *told_valid; /* what is told across blocks */
    size_t told_capacity;
} select_decision;

bool select_decision_begin(select_decision *decision, select_tally *tally, entrol_context *context,
                           const select_settings *settings, const select_values *store, trouble *trouble);
/* The next n decisions, until the next call; *found is false where there are fewer. */
bool select_decision_next(select_decision *decision, size_t n, const uint8_t **keep, const uint8_t **valid, bool *found,
                          trouble *trouble);
void select_decision_end(select_decision *decision);

/* --- What is written --- */

typedef struct select_emitter {
    const select_settings *settings;
    output *output;
    container_writer *container; /* NULL: lines, written as they come */
    buffer line;
    uint64_t n_untrained; /* left out: labels and trl, with no token to train on */
} select_emitter;

/* Writes what --emit asks for. keep and valid are as long as the document's tokens. */
bool select_emit(select_emitter *emitter, const records *records, document *document, const uint8_t *keep,
                 const uint8_t *valid, trouble *trouble);
/* Writes the document as it is. */
bool select_emit_document(select_emitter *emitter, const document *document, trouble *trouble);
/* Writes a line as it stands; not into a container. */
bool select_emit_line(select_emitter *emitter, const char *line, size_t n_bytes, trouble *trouble);

/* --- What is said --- */

typedef struct select_outcome {
    const char *noun; /* "tokens", "documents", "lines", "files": what was chosen from */
    const select_values *values;
    const select_tally *tally;
    uint64_t n_documents, n_documents_kept, n_untrained;
} select_outcome;

void select_summary_print(const select_settings *settings, const select_outcome *outcome);
/* Members of a manifest: the rule, the thresholds and where they came from, the counts. */
void select_summary_json(json_t *manifest, const select_settings *settings, const select_outcome *outcome);
/* [{"path", "sha256", "manifest"}]: the files, and the manifest beside each if there is one. NULL for trouble. */
json_t *select_inputs_json(const select_inputs *inputs, trouble *trouble);

/* --- The whole --- */

/* Selects from files of records: exit code of the command. argv goes into the manifest. */
int select_records(const select_settings *settings, select_inputs *inputs, int argc, char **argv);

/* The operands, or standard input where there are none. On false it has said what is wrong. */
bool select_take_inputs(select_inputs *inputs, const operands *operands, const char *command);

#endif
