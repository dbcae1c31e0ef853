/* Documents through the model: each by itself, or with --pack as many in one decode as fit. */
#include "score.h"

#ifdef ENTROL_HAVE_LLAMA

#include "score_llama.h"

#include <stdlib.h>

/* One document's way; zeroed while it is not on it. */
typedef struct passage {
    scored_text text;
    score_columns columns;
} passage;

/* Scores one document, in as many windows as it needs. */
static bool score_alone(scorer *scorer, scorer_job *job, const passage *passage, trouble *trouble) {
    const scored_text *text = &passage->text;
    if (scorer->companion != NULL)
        return scorer->companion->score_text(scorer->companion->user, scorer, job, text, &passage->columns, trouble);
    entrol_measure_options measure = scorer_measure_options(scorer);
    entrol_llama_score_options options = scorer_options(scorer, &measure);
    entrol_status status = entrol_llama_score(scorer->llama, scorer->context, &passage->columns.record, &job->diagnosis,
                                              text->ids, text->n_tokens, text->first, &options);
    scorer->seconds_in_model += options.seconds_in_model;
    return status == ENTROL_OK || scorer_failed(scorer, status, &job->diagnosis, job->default_id, trouble);
}

/* The document that a failed decode of n is laid to: the one whose argument was wrong, else the first in it. */
static const scorer_job *find_blamed(const scorer_job *jobs, size_t n) {
    const scorer_job *first = NULL;
    for (size_t i = 0; i < n; i++) {
        if (jobs[i].diagnosis.argument != NULL)
            return &jobs[i];
        if (first == NULL && jobs[i].is_scored)
            first = &jobs[i];
    }
    return first != NULL ? first : jobs;
}

/* Scores those that can be of n documents in one decode. */
static bool score_together(scorer *scorer, scorer_job *jobs, const passage *passages, size_t n, trouble *trouble) {
    entrol_llama_document *documents = calloc(n, sizeof(*documents));
    if (documents == NULL)
        return trouble_set(trouble, "%s: out of memory", jobs[0].default_id);
    size_t n_documents = 0;
    for (size_t i = 0; i < n; i++)
        if (jobs[i].is_scored)
            documents[n_documents++] =
                (entrol_llama_document){&passages[i].columns.record, &jobs[i].diagnosis, passages[i].text.ids,
                                        passages[i].text.n_tokens, passages[i].text.first};
    entrol_measure_options measure = scorer_measure_options(scorer);
    entrol_llama_score_options options = scorer_options(scorer, &measure);
    entrol_status status = entrol_llama_score_packed(scorer->llama, scorer->context, documents, n_documents, &options);
    scorer->seconds_in_model += options.seconds_in_model;
    free(documents);
    if (status == ENTROL_OK)
        return true;
    const scorer_job *blamed = find_blamed(jobs, n);
    return scorer_failed(scorer, status, &blamed->diagnosis, blamed->default_id, trouble);
}

/* How many of n documents the next decode takes: 0 if the first is too long for one. */
static size_t count_that_fit(const scorer *scorer, const scorer_job *jobs, const passage *passages, size_t n) {
    size_t n_context = entrol_llama_n_ctx(scorer->llama), left = entrol_llama_n_batch(scorer->llama);
    for (size_t i = 0; i < n; i++) {
        size_t n_positions = jobs[i].is_scored ? entrol_llama_n_positions(scorer->llama, passages[i].text.n_tokens) : 0;
        if (n_positions > left || n_positions > n_context)
            return i;
        left -= n_positions;
    }
    return n;
}

static bool score_all(scorer *scorer, scorer_job *jobs, const passage *passages, size_t n, trouble *trouble) {
    bool packs = scorer->settings->n_pack > 1;
    for (size_t i = 0; i < n;) {
        size_t n_together = packs ? count_that_fit(scorer, jobs + i, passages + i, n - i) : 0;
        bool ok = n_together > 0      ? score_together(scorer, jobs + i, passages + i, n_together, trouble)
                  : jobs[i].is_scored ? score_alone(scorer, &jobs[i], &passages[i], trouble)
                                      : true;
        if (!ok)
            return false;
        for (size_t end = i + (n_together > 0 ? n_together : 1); i < end; i++)
            scorer->n_done += jobs[i].result.n_tokens;
    }
    return true;
}

/* Tokens and columns, as far as the documents can be scored. */
static bool begin_all(scorer *scorer, scorer_job *jobs, passage *passages, size_t n, trouble *trouble) {
    scorer->n_tokens = scorer->n_done = 0;
    for (size_t i = 0; i < n; i++) {
        scorer_job *job = &jobs[i];
        job->diagnosis = (entrol_diagnosis){0};
        job->is_scored = scored_text_prepare(&passages[i].text, scorer, job->text, job->default_id, &job->trouble);
        if (job->is_scored &&
            !scored_text_begin(&job->result, &passages[i].columns, scorer, &passages[i].text, job->default_id, trouble))
            return false;
        scorer->n_tokens += job->result.n_tokens;
    }
    return true;
}

static bool end_all(scorer *scorer, scorer_job *jobs, passage *passages, size_t n, trouble *trouble) {
    for (size_t i = 0; i < n; i++)
        if (jobs[i].is_scored && !scored_text_end(&jobs[i].result, &passages[i].columns, scorer, &passages[i].text,
                                                  jobs[i].text, jobs[i].default_id, trouble))
            return false;
    return true;
}

bool scorer_documents(scorer *scorer, scorer_job *jobs, size_t n_jobs, trouble *trouble) {
    passage *passages = calloc(n_jobs + 1, sizeof(*passages));
    if (passages == NULL)
        return trouble_set(trouble, "out of memory");
    bool ok = begin_all(scorer, jobs, passages, n_jobs, trouble) &&
              score_all(scorer, jobs, passages, n_jobs, trouble) && end_all(scorer, jobs, passages, n_jobs, trouble);
    for (size_t i = 0; i < n_jobs; i++) {
        score_columns_free(&passages[i].columns);
        scored_text_free(&passages[i].text);
    }
    free(passages);
    return ok;
}

int scorer_document(scorer *scorer, document *result, entrol_diagnosis *diagnosis, const text_document *text,
                    const char *default_id, trouble *trouble) {
    scorer_job job = {.text = text, .default_id = default_id};
    bool ok = scorer_documents(scorer, &job, 1, trouble);
    *result = job.result;
    *diagnosis = job.diagnosis;
    if (ok && !job.is_scored)
        *trouble = job.trouble;
    return !ok ? -1 : job.is_scored ? 1 : 0;
}

#endif
