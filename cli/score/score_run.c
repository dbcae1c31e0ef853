/* What happens to every document: chosen or not, had already or not, counted, written. */
#include "score_run.h"

#include "../mix.h"

#include <stdlib.h>

/* Output of cheap documents is flushed once this much has gathered. */
#define FLUSH_BYTES ((uint64_t)1 << 20)

bool score_run_chooses(score_run *run) {
    uint64_t number = run->n_seen++;
    double uniform = (double)(mix((uint64_t)run->seed ^ mix(number)) >> 11) * 0x1p-53;
    bool chosen = uniform < run->share;
    run->n_chosen += chosen;
    return chosen;
}

int score_run_has(score_run *run, uint64_t hash, const char *where, trouble *trouble) {
    size_t index = run->n_chosen - 1;
    if (index >= score_journal_n_done(run->journal))
        return 0;
    if (score_journal_matches(run->journal, index, hash))
        return 1;
    trouble_set(trouble,
                "--resume: %s is document %zu, and another one stood there when %s.part was written: the input has "
                "changed. Give the same, or remove %s.part to begin anew",
                where, index + 1, run->journal_path, run->journal_path);
    run->end = SCORE_END_OTHER_INPUT;
    return -1;
}

bool score_run_has_all(score_run *run, trouble *trouble) {
    size_t n_done = score_journal_n_done(run->journal);
    if (run->n_chosen >= n_done)
        return true;
    run->end = SCORE_END_OTHER_INPUT;
    return trouble_set(
        trouble,
        "--resume: the input ends after document %zu, and %zu were there when %s.part was written: it has "
        "changed. Give the same, or remove %s.part to begin anew",
        run->n_chosen, n_done, run->journal_path, run->journal_path);
}

scorer *score_run_scorer(score_run *run, trouble *trouble) {
    if (run->scorer != NULL)
        return run->scorer;
    double start = monotonic_seconds();
    run->scorer = scorer_open(&run->settings, run->context, false, trouble);
    if (run->scorer != NULL && run->companion != NULL && !scorer_set_companion(run->scorer, run->companion, trouble)) {
        scorer_close(run->scorer);
        run->scorer = NULL;
    }
    run->seconds_loading += monotonic_seconds() - start;
    return run->scorer;
}

static bool flush(score_run *run, trouble *trouble) {
    run->n_flushed = run->n_bytes;
    return output_flush(run->output, trouble) && (run->journal == NULL || score_journal_flush(run->journal, trouble));
}

bool score_run_shape(const score_run *run, document *document, const score_totals *totals, trouble *trouble) {
    bool sample = run->settings.sample_level;
    const score_companion *companion = run->companion;
    if (sample && !(companion != NULL ? companion->sample_fields(companion->user, document, trouble)
                                      : score_sample_fields(run->context, document, totals, trouble)))
        return false;
    score_columns_drop(document, &run->settings, sample);
    return true;
}

static bool write_document(score_run *run, document *document, const score_totals *totals, trouble *trouble) {
    if (!score_run_shape(run, document, totals, trouble))
        return false;
    if (run->container != NULL)
        return container_writer_add(run->container, document, trouble);
    buffer_clear(&run->line);
    record_write(&run->line, document);
    if (run->line.failed)
        return trouble_set(trouble, "out of memory for a line of output");
    run->n_bytes += run->line.size;
    return output_write(run->output, run->line.data, run->line.size, trouble);
}

bool score_run_emit(score_run *run, document *document, uint64_t hash, const entrol_diagnosis *bad, bool durable,
                    trouble *trouble) {
    float *entropies = NULL; /* taken before the columns go */
    size_t n_entropies = 0;
    score_totals totals = score_totals_of(document, bad);
    if (run->companion != NULL)
        run->companion->count(run->companion->user, document);
    bool ok = score_entropies(document, &entropies, &n_entropies) || trouble_set(trouble, "out of memory");
    ok = ok && write_document(run, document, &totals, trouble);
    ok = ok &&
         (score_summary_add(&run->summary, &totals, entropies, n_entropies) || trouble_set(trouble, "out of memory"));
    if (ok && run->journal != NULL)
        ok = score_journal_add(run->journal, run->n_bytes, hash, &totals, entropies, n_entropies, trouble);
    free(entropies);
    run->summary.n_tokens_now += totals.n_tokens;
    return ok && ((!durable && run->n_bytes - run->n_flushed < FLUSH_BYTES) || flush(run, trouble));
}
