/* What the files that talk to llama.cpp share: the scorer's inside, and a text made ready for it. */
#ifndef CLI_SCORE_SCORE_LLAMA_H
#define CLI_SCORE_SCORE_LLAMA_H

#include "score.h"

#include <entrol_llama.h>

struct scorer {
    const score_settings *settings;
    entrol_context *context;
    entrol_llama *llama;
    const score_companion *companion; /* NULL: none */
    scorer_progress progress;
    void *progress_user;
    size_t n_tokens; /* to score in the documents at hand */
    size_t n_done;   /* of them */
    double seconds_in_model;
};

/* What the flags say of the model and how it runs. */
entrol_llama_options score_llama_options(const score_settings *settings, const entrol_context *context,
                                         bool vocabulary_only);
/* NULL for trouble. */
entrol_llama *score_llama_open(const entrol_llama_options *options, trouble *trouble);

/* A document as the model gets it. */
typedef struct scored_text {
    const char *text; /* the document's own, or templated */
    size_t text_size;
    entrol_llama_token *tokens;
    int32_t *ids;
    size_t n_tokens;
    size_t first; /* tokens before it are context only */
    size_t *rows; /* of the tokens from `first` on, those that are written; NULL: all */
    size_t n_rows;
    char *templated; /* a conversation in the model's own template */
} scored_text;

bool scored_text_prepare(scored_text *scored, scorer *scorer, const text_document *text, const char *where,
                         trouble *trouble);
/* Puts a control token before the text; it stands at the empty span [0, 0). */
bool scored_text_prepend(scored_text *scored, int32_t token);
/* Adds "context_ids" to a record's fields: [[row, [id, ...]], ...], the ids that stand before record `row` and are no
 * records themselves, first of all the start token (negative: none); row = the number of records for those at the end.
 */
bool scored_text_context(json_t *fields, const scored_text *scored, int32_t bos);
void scored_text_free(scored_text *scored);

/* Around the model's work on a document: the columns that it fills, and what is made of them. */
bool scored_text_begin(document *result, score_columns *columns, scorer *scorer, const scored_text *scored,
                       const char *where, trouble *trouble);
bool scored_text_end(document *result, score_columns *columns, scorer *scorer, const scored_text *scored,
                     const text_document *text, const char *where, trouble *trouble);

/* The texts of the most probable tokens, where the record has a column for them. False when memory is out. */
bool score_set_top_tokens(document *result, entrol_llama *llama);

entrol_measure_options scorer_measure_options(const scorer *scorer);
/* `measure` must outlive them. */
entrol_llama_score_options scorer_options(scorer *scorer, const entrol_measure_options *measure);
/* Says why the adapter could not score a document; false. */
bool scorer_failed(scorer *scorer, entrol_status status, const entrol_diagnosis *diagnosis, const char *where,
                   trouble *trouble);

#endif
