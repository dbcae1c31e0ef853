/* The parts of `entrol compare`: what stands beside the rows that score measures, and what becomes of both. */
#ifndef CLI_COMPARE_COMPARE_H
#define CLI_COMPARE_COMPARE_H

#include "../formats/logits.h"
#include "../score/score_run.h"

/* The first and all references together. */
enum { COMPARE_MOST = ENTROL_MAX_MIXTURE };

/* --- Totals over tokens, of all documents or of one --- */

typedef enum compare_value {
    COMPARE_ENTROPY,
    COMPARE_REFERENCE_ENTROPY,
    COMPARE_KL_PQ,
    COMPARE_KL_QP,
    COMPARE_JSD,
    COMPARE_AGREE, /* 0 or 1 */
    COMPARE_SURPRISAL,
    COMPARE_REFERENCE_SURPRISAL,
    COMPARE_MEAN_ENTROPY,
    COMPARE_BALD,
    COMPARE_BETTER, /* 1 where the token is more probable than under the reference, else 0 */
    COMPARE_VALUES
} compare_value;

/* Of the values that exist: how many are finite, their sum, and their squares about the mean so far (Welford 1962); and
 * the others. */
typedef struct compare_mean {
    uint64_t n, n_infinite, n_nan;
    double sum, so_far, m2;
} compare_mean;

/* Of the finite values; NaN of none. */
double compare_mean_value(const compare_mean *mean);

typedef struct compare_totals {
    compare_mean values[COMPARE_VALUES];
} compare_totals;

void compare_totals_add(compare_totals *totals, const document *document);
/* The statistics of a document as fields: n_tokens, entropy_mean, ... */
bool compare_sample_fields(document *document, trouble *trouble);

/* --- The comparison --- */

typedef enum compare_kind { COMPARE_MODELS, COMPARE_LOGITS } compare_kind;

/* A model or a logits file that stands beside the first. */
typedef struct compare_reference {
    const char *path;
    score_settings settings; /* the first model's, but for the model */
    scorer *scorer;
    logits_file *file;
    uint64_t n_bad; /* rows in trouble */
    char first_bad[512];
} compare_reference;

typedef struct comparison {
    score_run run;
    score_companion companion;
    string_list paths;
    compare_kind kind;
    compare_reference *references;
    size_t n_references;
    const logits_file *first_file; /* while it is read */
    compare_totals totals;
    /* Room for what is needed of a block's rows beside their columns. */
    int32_t *top_ids, *reference_top_ids;
    float *scratch;
    size_t n_room;
} comparison;

/* What --reference names: all models or all logits. False for anything else. */
bool compare_references_take(comparison *comparison, trouble *trouble);
void compare_free(comparison *comparison);
/* False, and says so, if a file holds token records: they are no distributions. */
bool compare_refuse_records(const char *path, trouble *trouble);
bool compare_refuse_record(const char *where, const json_t *fields, trouble *trouble);

/* Rows of the first and of each reference, all of the same shape, and where what they give goes. */
typedef struct compare_rows {
    const char *where, *row_word; /* the document in messages; "token" or "row" */
    document *result;
    size_t first;                /* of the document's rows */
    entrol_record record;        /* of the first's rows, from there on */
    const entrol_matrix *logits; /* 1 + n_references */
    const int64_t *targets;
    int is_bad[COMPARE_MOST]; /* out: 1 if rows of these logits are in trouble */
} compare_rows;

/* Measures the rows and compares them: fills the record, the columns of compare, and the diagnosis of the first. */
bool compare_measure(comparison *comparison, compare_rows *rows, entrol_diagnosis *diagnosis, trouble *trouble);

/* Models: opened beside the first; a document under all of them. */
bool compare_open_models(void *user, scorer *scorer, trouble *trouble);
bool compare_score_text(void *user, scorer *scorer, scorer_job *job, const struct scored_text *text,
                        const score_columns *columns, trouble *trouble);
/* The least of any, which decides the windows. */
void compare_describe_models(const comparison *comparison, json_t *manifest);

/* Logits: opened beside the first, and as they are; a block of them all. */
bool compare_open_logits(void *user, const char *where, const logits_file *file, trouble *trouble);
bool compare_measure_block(void *user, const entrol_record *record, entrol_diagnosis *diagnosis,
                           const score_block *block, trouble *trouble);

/* The summary, and the same in the manifest. */
void compare_print(void *user, const char *unit);
bool compare_describe(void *user, json_t *manifest, trouble *trouble);

#endif
