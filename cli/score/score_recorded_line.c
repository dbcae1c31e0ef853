/* Lines of recorded log-probabilities as inputs of a run: each choice of a response is one document. */
#include "score_run.h"

#include <inttypes.h>

void score_note_sampled(bool *has_sampled, const logprobs *response, const char *where) {
    if (!response->is_post_sampling || *has_sampled)
        return;
    *has_sampled = true;
    message_warning(
        "%s: probabilities after the sampling rules (\"prob\"): the entropy is that of what was drawn from, "
        "not the model's",
        where);
}

static bool pass_over(score_run *run, uint64_t hash, trouble *trouble) {
    if (!run->settings.texts.skip_bad) {
        run->end = SCORE_END_BAD_LINE;
        return false;
    }
    run->summary.n_skipped++;
    return run->journal == NULL || score_journal_skip(run->journal, run->n_bytes, hash, trouble);
}

/* One document, or (response NULL) a line that cannot be read, for the reason in `trouble`. */
static bool one_choice(score_run *run, const logprobs *response, size_t index, uint64_t hash, const char *where,
                       trouble *trouble) {
    struct trouble unreadable = *trouble;
    if (!score_run_chooses(run))
        return true;
    hash = score_hash(hash, &index, sizeof(index));
    int has = score_run_has(run, hash, where, trouble);
    if (has != 0)
        return has == 1;
    *trouble = unreadable;
    document result = {0};
    if (response == NULL || !score_recorded(&result, run->context, &run->settings, response, index, where, trouble)) {
        document_free(&result);
        return pass_over(run, hash, trouble);
    }
    score_note_replaced(&run->summary, where, result.fields, &result);
    bool ok = score_run_emit(run, &result, hash, NULL, false, trouble);
    document_free(&result);
    progress_update(&run->progress, run->summary.n_tokens_now);
    return ok;
}

bool score_recorded_line(score_run *run, const char *path, const text_document *line, uint64_t hash, trouble *trouble) {
    buffer where = {0};
    logprobs response;
    buffer_append_format(&where, "%s:%" PRIu64, score_input_name(path), line->line_number);
    if (where.failed)
        return trouble_set(trouble, "out of memory");
    bool is_read =
        logprobs_read(&response, line->recorded, line->fields, score_input_name(path), line->line_number, trouble);
    bool ok = is_read || one_choice(run, NULL, 0, hash, where.data, trouble);
    if (is_read)
        score_note_sampled(&run->has_sampled, &response, where.data);
    for (size_t i = 0; is_read && ok && i < response.n_choices; i++)
        ok = score_stop_signal() == 0 && one_choice(run, &response, i, hash, where.data, trouble);
    logprobs_free(&response);
    buffer_free(&where);
    return ok;
}
