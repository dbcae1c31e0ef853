/* Texts under a model, through adapters/llama: opening it, and what becomes of what it says about a document. */
#include "score.h"

#include <stdlib.h>
#include <string.h>

#ifdef ENTROL_HAVE_LLAMA

#include "../abort_message.h"
#include "../json_text.h"
#include "score_llama.h"

#include <math.h>
#include <stdio.h>

/* llama.cpp's warnings and errors (ggml_log_level 3 and 4). */
static void show_log(void *user, int level, const char *text) {
    (void)user;
    if (level == 3 || level == 4)
        fputs(text, stderr);
}

/* llama-perplexity's own defaults, so that its numbers come out. */
static uint32_t compat_context(const score_settings *settings) {
    return settings->n_ctx != 0 ? (uint32_t)settings->n_ctx : 512;
}

static void compat_options(entrol_llama_options *options, const score_settings *settings) {
    options->n_ctx = compat_context(settings);
    if (options->n_batch == 0)
        options->n_batch = 2048;
    if (options->n_ubatch == 0)
        options->n_ubatch = 512;
    options->n_seq_max = options->n_batch > options->n_ctx ? options->n_batch / options->n_ctx : 1;
}

/* The model gets as many threads as the context: what -t says, else ENTROL_THREADS, else the processors. */
entrol_llama_options score_llama_options(const score_settings *settings, const entrol_context *context,
                                         bool vocabulary_only) {
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    options.model_path = settings->model;
    options.n_ctx = (uint32_t)settings->n_ctx;
    options.n_batch = (uint32_t)settings->n_batch;
    options.n_ubatch = (uint32_t)settings->n_ubatch;
    options.n_threads = (uint32_t)entrol_context_n_threads(context);
    options.n_gpu_layers = (int32_t)settings->n_gpu_layers;
    options.flash_attention = strcmp(settings->flash_attention, "auto") == 0 ? -1
                              : strcmp(settings->flash_attention, "on") == 0 ? 1
                                                                             : 0;
    options.vocabulary_only = vocabulary_only;
    options.chat_template = settings->chat_template;
    options.log = settings->verbose ? show_log : NULL;
    options.n_seq_max = (uint32_t)settings->n_pack;
    if (settings->compat != NULL)
        compat_options(&options, settings);
    return options;
}

entrol_llama *score_llama_open(const entrol_llama_options *options, trouble *trouble) {
    entrol_llama *llama = NULL;
    char error[768] = "";
    abort_message_begin(options->model_path,
                        "llama.cpp gave up while it loaded the model: not enough memory, or the file is damaged");
    entrol_status status = entrol_llama_open(&llama, error, sizeof(error), options);
    abort_message_end();
    if (status == ENTROL_OK)
        return llama;
    trouble_set(trouble, "%s", error[0] != '\0' ? error : entrol_status_string(status));
    return NULL;
}

scorer *scorer_open(const score_settings *settings, entrol_context *context, bool vocabulary_only, trouble *trouble) {
    scorer *scorer = calloc(1, sizeof(*scorer));
    if (scorer == NULL) {
        trouble_set(trouble, "out of memory");
        return NULL;
    }
    scorer->settings = settings;
    scorer->context = context;
    entrol_llama_options options = score_llama_options(settings, context, vocabulary_only);
    scorer->llama = score_llama_open(&options, trouble);
    if (scorer->llama == NULL) {
        free(scorer);
        return NULL;
    }
    size_t n_ctx = entrol_llama_n_ctx(scorer->llama);
    if (!vocabulary_only && settings->min_context > 0 && (uint64_t)settings->min_context + 2 > n_ctx) {
        trouble_set(trouble, "--min-context %lld: at most %zu goes with a context of %zu tokens",
                    (long long)settings->min_context, n_ctx - 2, n_ctx);
        scorer_close(scorer);
        return NULL;
    }
    return scorer;
}

void scorer_close(scorer *scorer) {
    if (scorer == NULL)
        return;
    entrol_llama_close(scorer->llama);
    free(scorer);
}

bool scorer_set_companion(scorer *scorer, const score_companion *companion, trouble *trouble) {
    scorer->companion = companion;
    return companion->open_models(companion->user, scorer, trouble);
}

void scorer_on_progress(scorer *scorer, scorer_progress progress, void *user) {
    scorer->progress = progress;
    scorer->progress_user = user;
}

scorer_about scorer_describe(const scorer *scorer) {
    size_t n_ctx = entrol_llama_n_ctx(scorer->llama), min_context = (size_t)scorer->settings->min_context;
    return (scorer_about){
        .description = entrol_llama_description(scorer->llama),
        .llama_version = entrol_llama_version(),
        .n_vocab = entrol_llama_n_vocab(scorer->llama),
        .n_ctx = n_ctx,
        .n_batch = entrol_llama_n_batch(scorer->llama),
        .n_ubatch = entrol_llama_n_ubatch(scorer->llama),
        .min_context = min_context != 0 ? min_context : n_ctx / 2,
        .wants_bos = entrol_llama_wants_bos(scorer->llama) != 0,
    };
}

size_t scorer_n_tokens(const scorer *scorer) {
    return scorer->n_tokens;
}

double scorer_seconds_in_model(const scorer *scorer) {
    return scorer->seconds_in_model;
}

/* The line's own fields, with "id" first where it has none and "text" as it was scored. */
static bool set_fields(document *result, const text_document *text, const scored_text *scored, const char *default_id,
                       trouble *trouble) {
    json_t *fields = json_object(), *id = json_object_get(text->fields, "id");
    bool ok = fields != NULL;
    if (id == NULL || json_is_null(id))
        ok = ok && json_object_set_new(fields, "id", json_string_of(default_id)) == 0;
    const char *key;
    json_t *value;
    json_object_foreach(text->fields, key, value) if (!json_is_null(value) || strcmp(key, "id") != 0) ok =
        ok && json_object_set(fields, key, value) == 0;
    ok = ok && json_object_set_new(fields, "text", json_stringn(scored->text, scored->text_size)) == 0;
    result->fields = fields;
    return ok || trouble_set(trouble, "%s: out of memory", default_id);
}

/* With the ids of the scored tokens go those of the others. */
static bool set_context(const scorer *scorer, document *result, const scored_text *scored, const char *where,
                        trouble *trouble) {
    const score_settings *settings = scorer->settings;
    if (!settings->wanted[COLUMN_TOKEN_ID] || settings->sample_level)
        return true;
    int32_t bos = entrol_llama_wants_bos(scorer->llama) ? entrol_llama_bos(scorer->llama) : -1;
    return scored_text_context(result->fields, scored, bos) || trouble_set(trouble, "%s: out of memory", where);
}

/* A token's own columns: what it is and where it stands. */
static bool set_token(document *result, size_t row, const scored_text *scored, const entrol_llama_token *token) {
    column *columns = result->columns;
    if (columns[COLUMN_TOKEN_ID].is_present)
        columns[COLUMN_TOKEN_ID].integers[row] = token->id;
    columns[COLUMN_BYTE_START].integers[row] = (int64_t)token->byte_start;
    columns[COLUMN_BYTE_END].integers[row] = (int64_t)token->byte_end;
    if (!columns[COLUMN_TOKEN].is_present)
        return true;
    char *piece = strndup(scored->text + token->byte_start, token->byte_end - token->byte_start);
    columns[COLUMN_TOKEN].strings[row] = piece;
    return piece != NULL;
}

bool score_set_top_tokens(document *result, entrol_llama *llama) {
    column *ids = &result->columns[COLUMN_TOP_ID], *tokens = &result->columns[COLUMN_TOP_TOKEN];
    for (size_t i = 0; tokens->is_present && i < result->n_tokens * tokens->width; i++) {
        size_t n_bytes = 0;
        tokens->valid[i] = ids->valid[i];
        if (ids->valid[i] != 0 &&
            entrol_llama_piece(llama, &tokens->strings[i], &n_bytes, (int32_t)ids->integers[i]) != ENTROL_OK)
            return false;
    }
    return true;
}

bool scorer_failed(scorer *scorer, entrol_status status, const entrol_diagnosis *diagnosis, const char *where,
                   trouble *trouble) {
    const char *said = entrol_llama_error(scorer->llama);
    return trouble_set(trouble, "%s: could not be scored: %s%s%s%s%s", where, entrol_status_string(status),
                       diagnosis->argument != NULL ? ": " : "", diagnosis->argument != NULL ? diagnosis->argument : "",
                       said[0] != '\0' ? ": " : "", said);
}

static int on_progress(void *user, size_t n_scored) {
    const scorer *scorer = user;
    return scorer->progress(scorer->progress_user, scorer->n_done + n_scored);
}

entrol_llama_score_options scorer_options(scorer *scorer, const entrol_measure_options *measure) {
    entrol_llama_score_options options = ENTROL_LLAMA_SCORE_OPTIONS_INIT;
    options.min_context = (uint32_t)scorer->settings->min_context;
    options.progress = scorer->progress != NULL ? on_progress : NULL;
    options.progress_user = scorer;
    options.measure = measure;
    return options;
}

entrol_measure_options scorer_measure_options(const scorer *scorer) {
    entrol_measure_options measure = ENTROL_MEASURE_OPTIONS_INIT;
    measure.temperature = scorer->settings->temperature;
    measure.renyi_order = scorer->settings->renyi_order;
    return measure;
}

bool scored_text_begin(document *result, score_columns *columns, scorer *scorer, const scored_text *scored,
                       const char *where, trouble *trouble) {
    result->n_tokens = scored->n_tokens - scored->first;
    return score_columns_begin(columns, result, scorer->settings, (score_source){true, true}, where, trouble);
}

static bool set_tokens(scorer *scorer, document *result, const scored_text *scored, const char *where,
                       trouble *trouble) {
    for (size_t row = 0; row < result->n_tokens; row++)
        if (!set_token(result, row, scored, &scored->tokens[scored->first + row]))
            return trouble_set(trouble, "%s: out of memory", where);
    /* Without a BOS nothing predicts a document's first token. */
    if (scored->first == 0 && result->n_tokens > 0 && !entrol_llama_wants_bos(scorer->llama))
        score_columns_null_row(result, 0);
    if (scored->rows != NULL)
        score_columns_gather(result, scored->rows, scored->n_rows);
    if (!score_set_top_tokens(result, scorer->llama))
        return trouble_set(trouble, "%s: out of memory", where);
    return true;
}

bool scored_text_end(document *result, score_columns *columns, scorer *scorer, const scored_text *scored,
                     const text_document *text, const char *where, trouble *trouble) {
    score_columns_end(columns, result);
    return set_tokens(scorer, result, scored, where, trouble) && set_fields(result, text, scored, where, trouble) &&
           set_context(scorer, result, scored, where, trouble);
}

/* llama-perplexity reads a file without its last newline, and puts the BOS before the text. */
static bool prepare_compat(scored_text *scored, scorer *scorer, const text_document *text, const char *where,
                           trouble *trouble) {
    text_document without_newline = *text;
    if (text->text_size > 0 && text->text[text->text_size - 1] == '\n')
        without_newline.text_size--;
    if (!scored_text_prepare(scored, scorer, &without_newline, where, trouble))
        return false;
    size_t n_bos = entrol_llama_bos(scorer->llama) >= 0 ? 1 : 0, n_ctx = compat_context(scorer->settings);
    if (scored->n_tokens + n_bos < 2 * n_ctx)
        return trouble_set(trouble,
                           "%s: %zu tokens; --compat llama-perplexity needs twice the context of %zu (a smaller -c "
                           "would do)",
                           where, scored->n_tokens + n_bos, n_ctx);
    return n_bos == 0 || scored_text_prepend(scored, entrol_llama_bos(scorer->llama)) ||
           trouble_set(trouble, "%s: out of memory", where);
}

/* Of each whole chunk the second half but for its last token, which predicts another chunk's. */
static size_t compat_rows(const scorer *scorer, size_t n_tokens) {
    size_t n_ctx = compat_context(scorer->settings);
    return n_tokens / n_ctx * (n_ctx - 1 - n_ctx / 2);
}

int scorer_count(scorer *scorer, size_t *n_tokens, const text_document *text, const char *where, trouble *trouble) {
    scored_text scored = {0};
    bool is_compat = scorer->settings->compat != NULL;
    bool ok = is_compat ? prepare_compat(&scored, scorer, text, where, trouble)
                        : scored_text_prepare(&scored, scorer, text, where, trouble);
    *n_tokens = is_compat             ? compat_rows(scorer, scored.n_tokens)
                : scored.rows != NULL ? scored.n_rows
                                      : scored.n_tokens - scored.first;
    scored_text_free(&scored);
    return ok ? 1 : is_compat ? -1 : 0;
}

static bool score_compat(scorer *scorer, document *result, scorer_perplexity *perplexity, scored_text *scored,
                         const char *where, trouble *trouble) {
    score_columns columns;
    entrol_llama_perplexity estimate = {0};
    entrol_measure_options measure = scorer_measure_options(scorer);
    entrol_llama_score_options options = scorer_options(scorer, &measure);
    result->n_tokens = scorer->n_tokens = compat_rows(scorer, scored->n_tokens);
    scorer->n_done = 0;
    scored->n_rows = result->n_tokens;
    scored->rows = calloc(scored->n_rows + 1, sizeof(*scored->rows));
    bool ok = score_columns_begin(&columns, result, scorer->settings, (score_source){true, true}, where, trouble) &&
              (scored->rows != NULL || trouble_set(trouble, "%s: out of memory", where));
    if (ok) {
        entrol_status status = entrol_llama_score_compat(scorer->llama, scorer->context, &columns.record, scored->rows,
                                                         &estimate, scored->ids, scored->n_tokens, &options);
        scorer->seconds_in_model += options.seconds_in_model;
        ok = status == ENTROL_OK || scorer_failed(scorer, status, &(entrol_diagnosis){0}, where, trouble);
    }
    if (ok)
        score_columns_end(&columns, result);
    score_columns_free(&columns);
    *perplexity = (scorer_perplexity){estimate.perplexity, estimate.error, estimate.n_chunks};
    return ok;
}

/* llama-perplexity has no diagnosis to compare with; a row in trouble is one without an entropy. */
static void diagnose_nans(entrol_diagnosis *diagnosis, const column *entropy, size_t n_rows) {
    for (size_t row = n_rows; row-- > 0;)
        if (isnan(entropy->reals[row]))
            *diagnosis = (entrol_diagnosis){
                .n_bad = diagnosis->n_bad + 1, .first_row = row, .reason = ENTROL_REASON_EMPTY_SUPPORT};
}

int scorer_compat(scorer *scorer, document *result, scorer_perplexity *perplexity, entrol_diagnosis *diagnosis,
                  const text_document *text, const char *default_id, trouble *trouble) {
    scored_text scored = {0};
    *diagnosis = (entrol_diagnosis){0};
    bool ok = prepare_compat(&scored, scorer, text, default_id, trouble) &&
              score_compat(scorer, result, perplexity, &scored, default_id, trouble);
    for (size_t row = 0; ok && row < result->n_tokens; row++)
        ok = set_token(result, row, &scored, &scored.tokens[scored.rows[row]]) ||
             trouble_set(trouble, "%s: out of memory", default_id);
    ok = ok && (score_set_top_tokens(result, scorer->llama) || trouble_set(trouble, "%s: out of memory", default_id)) &&
         set_fields(result, text, &scored, default_id, trouble);
    if (ok)
        diagnose_nans(diagnosis, &result->columns[COLUMN_ENTROPY], result->n_tokens);
    scored_text_free(&scored);
    return ok ? 1 : -1;
}

#else /* without llama.cpp: texts cannot be scored, logits can */

static int no_llama(trouble *trouble) {
    trouble_set(trouble, "this entrol was built without llama.cpp");
    return -1;
}

scorer *scorer_open(const score_settings *settings, entrol_context *context, bool vocabulary_only, trouble *trouble) {
    (void)settings, (void)context, (void)vocabulary_only;
    trouble_set(trouble, "this entrol was built without llama.cpp (ENTROL_LLAMA=OFF): it scores logits and recorded "
                         "log-probabilities, not texts");
    return NULL;
}

void scorer_close(scorer *scorer) {
    (void)scorer;
}

bool scorer_set_companion(scorer *scorer, const score_companion *companion, trouble *trouble) {
    (void)scorer, (void)companion;
    return no_llama(trouble) == 1;
}

void scorer_on_progress(scorer *scorer, scorer_progress progress, void *user) {
    (void)scorer, (void)progress, (void)user;
}

scorer_about scorer_describe(const scorer *scorer) {
    (void)scorer;
    return (scorer_about){0};
}

size_t scorer_n_tokens(const scorer *scorer) {
    (void)scorer;
    return 0;
}

double scorer_seconds_in_model(const scorer *scorer) {
    (void)scorer;
    return 0;
}

bool scorer_documents(scorer *scorer, scorer_job *jobs, size_t n_jobs, trouble *trouble) {
    (void)scorer, (void)jobs, (void)n_jobs;
    return no_llama(trouble) == 1;
}

int scorer_document(scorer *scorer, document *result, entrol_diagnosis *diagnosis, const text_document *text,
                    const char *default_id, trouble *trouble) {
    (void)scorer, (void)result, (void)diagnosis, (void)text, (void)default_id;
    return no_llama(trouble);
}

int scorer_count(scorer *scorer, size_t *n_tokens, const text_document *text, const char *where, trouble *trouble) {
    (void)scorer, (void)n_tokens, (void)text, (void)where;
    return no_llama(trouble);
}

int scorer_compat(scorer *scorer, document *result, scorer_perplexity *perplexity, entrol_diagnosis *diagnosis,
                  const text_document *text, const char *default_id, trouble *trouble) {
    (void)scorer, (void)result, (void)perplexity, (void)diagnosis, (void)text, (void)default_id;
    return no_llama(trouble);
}

#endif
