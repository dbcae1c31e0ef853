/* Texts as inputs of a run: each document is read, scored and written before the next one is read, or with --pack as
 * many as may share a decode. */
#include "score_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A guess at all tokens: as many for each byte of input that is left as there were for each byte so far. */
static void guess_total(score_run *run, uint64_t n_tokens) {
    uint64_t done = run->input_bytes_done - run->input_bytes_had, all = run->input_bytes - run->input_bytes_had;
    if (run->input_bytes > run->input_bytes_had && done > 0)
        run->progress.total = (uint64_t)((double)n_tokens * fmax(1, (double)all / (double)done));
}

static int on_progress(void *user, size_t n_scored) {
    score_run *run = user;
    uint64_t n_before = run->summary.n_tokens_now; /* written, and not of the documents at hand */
    guess_total(run, n_before + scorer_n_tokens(run->scorer));
    progress_update(&run->progress, n_before + n_scored);
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

static bool score_waiting_texts(score_run *run, scorer_job *jobs, trouble *trouble) {
    scorer *scorer = score_run_scorer(run, trouble);
    if (scorer == NULL)
        return false;
    for (size_t i = 0; i < run->n_waiting; i++)
        jobs[i] = (scorer_job){.text = &run->waiting[i].text, .default_id = run->waiting[i].id.data};
    scorer_on_progress(scorer, on_progress, run);
    if (run->settings.compat == NULL)
        return scorer_documents(scorer, jobs, run->n_waiting, trouble);
    int done =
        scorer_compat(scorer, &jobs->result, &run->perplexity, &jobs->diagnosis, jobs->text, jobs->default_id, trouble);
    jobs->is_scored = done == 1;
    jobs->trouble = *trouble;
    return done >= 0;
}

/* Writes a scored document; one that could not be is passed over or ends the run. */
static bool emit(score_run *run, scorer_job *job, uint64_t hash, trouble *trouble) {
    if (job->is_scored) {
        score_summary_bad_row(&run->summary, job->default_id, "token", &job->diagnosis);
        bool ok = score_run_emit(run, &job->result, hash, &job->diagnosis, true, trouble);
        score_note_replaced(&run->summary, job->default_id, job->text->fields, &job->result);
        return ok;
    }
    if (!run->settings.texts.skip_bad) {
        *trouble = job->trouble;
        run->end = SCORE_END_BAD_LINE;
        return false;
    }
    run->summary.n_skipped++;
    return run->journal == NULL || score_journal_skip(run->journal, run->n_bytes, hash, trouble);
}

static void free_waiting(score_waiting *waiting) {
    text_document_free(&waiting->text);
    buffer_free(&waiting->id);
}

bool score_texts_flush(score_run *run, trouble *trouble) {
    if (run->n_waiting == 0)
        return true;
    scorer_job *jobs = calloc(run->n_waiting, sizeof(*jobs));
    if (jobs == NULL)
        return trouble_set(trouble, "out of memory");
    bool ok = score_waiting_texts(run, jobs, trouble);
    for (size_t i = 0; i < run->n_waiting; i++) {
        ok = ok && emit(run, &jobs[i], run->waiting[i].hash, trouble);
        document_free(&jobs[i].result);
        free_waiting(&run->waiting[i]);
    }
    free(jobs);
    run->n_waiting = 0;
    return ok;
}

void score_texts_free(score_run *run) {
    for (size_t i = 0; i < run->n_waiting; i++)
        free_waiting(&run->waiting[i]);
    free(run->waiting);
    run->waiting = NULL;
    run->n_waiting = 0;
}

/* Takes the text. */
static bool wait_or_score(score_run *run, text_document *text, buffer *id, uint64_t hash, trouble *trouble) {
    size_t capacity = (size_t)run->settings.n_pack;
    if (run->waiting == NULL)
        run->waiting = calloc(capacity, sizeof(*run->waiting));
    if (run->waiting == NULL)
        return trouble_set(trouble, "out of memory");
    run->waiting[run->n_waiting++] = (score_waiting){*text, *id, hash};
    *text = (text_document){0};
    *id = (buffer){0};
    return run->n_waiting < capacity || score_texts_flush(run, trouble);
}

/* Takes the text where it is to be scored. */
static bool one_document(score_run *run, int index, text_document *text, trouble *trouble) {
    const char *path = run->inputs[index];
    bool is_recorded = run->looked[index].is_recorded;
    uint64_t hash;
    size_t n_bytes;
    if (!hash_source(&hash, &n_bytes, text, trouble))
        return false;
    run->input_bytes_done += n_bytes;
    if (text->recorded != NULL && run->companion != NULL)
        return trouble_set(trouble,
                           "%s:%" PRIu64
                           ": expected texts or logits, found recorded log-probabilities: a model cannot be "
                           "compared with the most probable tokens of another",
                           score_input_name(path), text->line_number);
    if (text->recorded != NULL)
        return score_texts_flush(run, trouble) && score_recorded_line(run, path, text, hash, trouble);
    if (!score_run_chooses(run))
        return true;
    if (run->settings.model == NULL && is_recorded)
        return trouble_set(trouble,
                           "%s:%" PRIu64 ": expected recorded log-probabilities, as in the lines before, found a text: "
                           "score texts from files of their own",
                           score_input_name(path), text->line_number);
    if (run->settings.model == NULL && !score_settings_model(&run->settings, trouble))
        return false;
    buffer id = {0};
    buffer_append_string(&id, score_input_name(path));
    if (text->line_number > 0)
        buffer_append_format(&id, ":%" PRIu64, text->line_number);
    bool is_fine = !id.failed || trouble_set(trouble, "out of memory");
    if (is_fine && run->companion != NULL)
        is_fine = run->companion->check_text(run->companion->user, id.data, text, trouble);
    int has = is_fine ? score_run_has(run, hash, id.data, trouble) : -1;
    if (has == 1)
        run->input_bytes_had += n_bytes;
    bool ok = has == 0 ? wait_or_score(run, text, &id, hash, trouble) : has == 1;
    buffer_free(&id);
    return ok;
}

bool score_texts_input(score_run *run, int index, trouble *trouble) {
    const char *path = run->inputs[index];
    texts *texts = score_inputs_open_texts(run, index, trouble);
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
        ok = one_document(run, index, &text, trouble);
        text_document_free(&text);
    }
    run->summary.n_skipped += texts_n_bad(texts);
    if (more < 0 && texts_is_at_bad_line(texts))
        run->end = SCORE_END_BAD_LINE;
    if (ok && more == 0 && run->n_seen == n_before && texts_n_bad(texts) == 0) /* blank lines */
        ok = texts_can_start(score_input_name(path), "", 0, trouble) || score_inputs_pass_over(run, trouble);
    texts_close(texts);
    return ok && more >= 0;
}
