/* Texts as inputs of a run: each document is read, scored and written before the next one is read. */
#include "score_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct text_job {
    score_run *run;
    const char *path;
    uint64_t done_before; /* tokens scored before this document */
    buffer id;
} text_job;

/* A guess at all tokens: as many for each byte of input that is left as there were for each byte so far. */
static void guess_total(score_run *run, uint64_t n_tokens) {
    uint64_t done = run->input_bytes_done - run->input_bytes_had, all = run->input_bytes - run->input_bytes_had;
    if (run->input_bytes > run->input_bytes_had && done > 0)
        run->progress.total = (uint64_t)((double)n_tokens * fmax(1, (double)all / (double)done));
}

static int on_progress(void *user, size_t n_scored) {
    text_job *job = user;
    guess_total(job->run, job->done_before + scorer_n_tokens(job->run->scorer));
    progress_update(&job->run->progress, job->done_before + n_scored);
    return score_stop_signal();
}

/* What the document came from: all of the line, since all of it goes into the output. Adds its size to what is done. */
static bool hash_source(uint64_t *hash, size_t *n_bytes, const text_document *text, trouble *trouble) {
    *hash = score_hash(SCORE_HASH_START, text->text, text->text != NULL ? text->text_size : 0);
    *n_bytes = text->text_size;
    if (text->fields == NULL)
        return true;
    char *line = json_dumps(text->fields, JSON_COMPACT | JSON_ENCODE_ANY);
    if (line == NULL)
        return trouble_set(trouble, "out of memory");
    *n_bytes = strlen(line) + 1;
    *hash = score_hash(*hash, line, *n_bytes);
    free(line);
    return true;
}

static int score_one(text_job *job, document *result, entrol_diagnosis *diagnosis, const text_document *text,
                     trouble *trouble) {
    score_run *run = job->run;
    scorer *scorer = score_run_scorer(run, trouble);
    if (scorer == NULL)
        return -1;
    job->done_before = run->summary.n_tokens_now;
    scorer_on_progress(scorer, on_progress, job);
    if (run->settings.compat != NULL)
        return scorer_compat(scorer, result, &run->perplexity, diagnosis, text, job->id.data, trouble);
    return scorer_document(scorer, result, diagnosis, text, job->id.data, trouble);
}

static bool score_and_emit(text_job *job, const text_document *text, uint64_t hash, trouble *trouble) {
    score_run *run = job->run;
    document result = {0};
    entrol_diagnosis diagnosis = {0};
    int scored = score_one(job, &result, &diagnosis, text, trouble);
    bool ok = scored == 1;
    if (scored == 0 && run->settings.texts.skip_bad) {
        run->summary.n_skipped++;
        ok = run->journal == NULL || score_journal_skip(run->journal, run->n_bytes, hash, trouble);
    } else if (ok) {
        score_summary_bad_row(&run->summary, job->id.data, "token", &diagnosis);
        ok = score_run_emit(run, &result, hash, &diagnosis, true, trouble);
    }
    document_free(&result);
    return ok;
}

static bool one_document(text_job *job, const text_document *text, trouble *trouble) {
    score_run *run = job->run;
    buffer_clear(&job->id);
    buffer_append_string(&job->id, score_input_name(job->path));
    if (text->line_number > 0)
        buffer_append_format(&job->id, ":%" PRIu64, text->line_number);
    if (job->id.failed)
        return trouble_set(trouble, "out of memory");
    uint64_t hash;
    size_t n_bytes;
    if (!hash_source(&hash, &n_bytes, text, trouble))
        return false;
    run->input_bytes_done += n_bytes;
    if (!score_run_chooses(run))
        return true;
    int has = score_run_has(run, hash, job->id.data, trouble);
    if (has != 0) {
        run->input_bytes_had += n_bytes;
        return has == 1;
    }
    return score_and_emit(job, text, hash, trouble);
}

bool score_texts_input(score_run *run, const char *path, trouble *trouble) {
    text_job job = {run, path, 0, {0}};
    texts *texts = texts_open(path, &run->settings.texts, trouble);
    if (texts == NULL)
        return false;
    uint64_t n_before = run->n_seen;
    bool ok = true;
    int more = 1;
    while (ok && score_stop_signal() == 0) {
        text_document text = {0};
        more = texts_next(texts, &text, trouble);
        if (more != 1)
            break;
        ok = one_document(&job, &text, trouble);
        text_document_free(&text);
    }
    run->summary.n_skipped += texts_n_bad(texts);
    if (ok && more == 0 && run->n_seen == n_before && texts_n_bad(texts) == 0)
        ok = trouble_set(trouble, "%s: empty: there is no text to score", score_input_name(path));
    texts_close(texts);
    buffer_free(&job.id);
    return ok && more >= 0;
}
