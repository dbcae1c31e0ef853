/* Models beside each other: of one vocabulary, reading a document in lockstep. */
#include "compare.h"

#ifdef ENTROL_HAVE_LLAMA

#include "../score/score_llama.h"

#include <string.h>

/* --- One vocabulary --- */

static bool check_tokens(const entrol_llama *first, const entrol_llama *other, const char *path, const char *other_path,
                         trouble *trouble) {
    const size_t n = entrol_llama_n_vocab(first), n_other = entrol_llama_n_vocab(other);
    if (n != n_other)
        return trouble_set(trouble, "%s has %zu tokens, and %s has %zu: models that are compared have one vocabulary",
                           path, n, other_path, n_other);
    for (size_t i = 0; i < n; i++) {
        const char *a = entrol_llama_token_text(first, (int32_t)i), *b = entrol_llama_token_text(other, (int32_t)i);
        if (strcmp(a, b) != 0)
            return trouble_set(trouble,
                               "token %zu is \"%.60s\" in %s and \"%.60s\" in %s: models that are compared have one "
                               "vocabulary",
                               i, a, path, b, other_path);
    }
    return true;
}

/* Whether both read a text after the same start token, or without one. */
static bool check_start(const entrol_llama *first, const entrol_llama *other, const char *path, const char *other_path,
                        trouble *trouble) {
    const int32_t a = entrol_llama_bos(first), b = entrol_llama_bos(other);
    if (a == b)
        return true;
    if (a >= 0 && b >= 0)
        return trouble_set(trouble, "%s starts a text with token %d, and %s with token %d", path, (int)a, other_path,
                           (int)b);
    return trouble_set(trouble, "%s starts a text with token %d, and %s with none", a >= 0 ? path : other_path,
                       (int)(a >= 0 ? a : b), a >= 0 ? other_path : path);
}

bool compare_open_models(void *user, scorer *scorer, trouble *trouble) {
    comparison *comparison = user;
    const char *path = scorer->settings->model;
    if (comparison->kind != COMPARE_MODELS)
        return trouble_set(trouble, "%s holds logits: a text is compared under models (--reference MODEL.gguf)",
                           comparison->references->path);
    for (size_t i = 0; i < comparison->n_references; i++) {
        compare_reference *reference = &comparison->references[i];
        reference->settings = *scorer->settings;
        reference->settings.model = reference->path;
        reference->scorer = scorer_open(&reference->settings, scorer->context, false, trouble);
        if (reference->scorer == NULL)
            return false;
        const entrol_llama *other = reference->scorer->llama;
        if (!check_tokens(scorer->llama, other, path, reference->path, trouble) ||
            !check_start(scorer->llama, other, path, reference->path, trouble))
            return false;
    }
    return true;
}

/* --- One document --- */

typedef struct reading {
    comparison *comparison;
    scorer_job *job;
    const score_columns *columns;
    trouble *trouble; /* has a text where comparing the rows failed */
} reading;

static entrol_status on_rows(void *user, size_t first_row, const entrol_matrix *logits, const int64_t *targets,
                             int *is_bad) {
    const reading *reading = user;
    entrol_diagnosis diagnosis = {0};
    compare_rows rows = {.where = reading->job->default_id,
                         .row_word = "token",
                         .result = &reading->job->result,
                         .first = first_row,
                         .record = score_columns_from(reading->columns, first_row),
                         .logits = logits,
                         .targets = targets};
    if (!compare_measure(reading->comparison, &rows, &diagnosis, reading->trouble))
        return ENTROL_ERROR_SYSTEM;
    memcpy(is_bad, rows.is_bad, (reading->comparison->n_references + 1) * sizeof(*is_bad));
    score_merge_diagnosis(&reading->job->diagnosis, &diagnosis, first_row);
    return ENTROL_OK;
}

/* The model whose llama.cpp said something; the first where none did. */
static scorer *find_blamed(const comparison *comparison, scorer *first) {
    for (size_t i = 0; i < comparison->n_references; i++)
        if (entrol_llama_error(comparison->references[i].scorer->llama)[0] != '\0')
            return comparison->references[i].scorer;
    return first;
}

bool compare_score_text(void *user, scorer *scorer, scorer_job *job, const struct scored_text *text,
                        const score_columns *columns, trouble *trouble) {
    comparison *comparison = user;
    entrol_llama *llamas[COMPARE_MOST] = {scorer->llama};
    for (size_t i = 0; i < comparison->n_references; i++)
        llamas[i + 1] = comparison->references[i].scorer->llama;
    struct trouble of_rows = {""};
    reading reading = {comparison, job, columns, &of_rows};
    entrol_llama_score_options options = scorer_options(scorer, NULL);
    entrol_diagnosis diagnosis = {0};
    entrol_status status = entrol_llama_score_together(llamas, comparison->n_references + 1, &diagnosis, text->ids,
                                                       text->n_tokens, text->first, on_rows, &reading, &options);
    scorer->seconds_in_model += options.seconds_in_model;
    if (of_rows.text[0] != '\0') {
        *trouble = of_rows;
        return false;
    }
    return status == ENTROL_OK ||
           scorer_failed(find_blamed(comparison, scorer), status, &diagnosis, job->default_id, trouble);
}

/* --- The manifest --- */

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

void compare_describe_models(const comparison *comparison, json_t *manifest) {
    scorer_about about = scorer_describe(comparison->run.scorer);
    for (size_t i = 0; i < comparison->n_references; i++) {
        const scorer_about other = scorer_describe(comparison->references[i].scorer);
        about.n_ctx = least(about.n_ctx, other.n_ctx);
        about.n_batch = least(about.n_batch, other.n_batch);
        about.n_ubatch = least(about.n_ubatch, other.n_ubatch);
        about.min_context = least(about.min_context, other.min_context);
    }
    json_object_set_new(manifest, "context", json_integer((json_int_t)about.n_ctx));
    json_object_set_new(manifest, "batch", json_integer((json_int_t)about.n_batch));
    json_object_set_new(manifest, "micro_batch", json_integer((json_int_t)about.n_ubatch));
    json_object_set_new(manifest, "min_context", json_integer((json_int_t)about.min_context));
}

#else /* without llama.cpp no model is opened, so nothing of this is called */

bool compare_open_models(void *user, scorer *scorer, trouble *trouble) {
    (void)user, (void)scorer;
    return trouble_set(trouble, "this entrol was built without llama.cpp");
}

bool compare_score_text(void *user, scorer *scorer, scorer_job *job, const struct scored_text *text,
                        const score_columns *columns, trouble *trouble) {
    (void)user, (void)scorer, (void)job, (void)text, (void)columns;
    return trouble_set(trouble, "this entrol was built without llama.cpp");
}

void compare_describe_models(const comparison *comparison, json_t *manifest) {
    (void)comparison, (void)manifest;
}

#endif
