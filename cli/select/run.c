/* Selecting from files of records. Over a corpus, in groups and among samples, the input is read twice: once for the
 * values, and once to write what they decide; document by document once is enough. */
#include "select.h"

#include "../formats/manifest.h"
#include "../open_context.h"
#include "../progress.h"
#include "../ranks.h"
#include "../score/score.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct select_run {
    const select_settings *settings;
    const string_list *references; /* of all ranks */
    select_inputs *inputs;
    entrol_context *context, *deciding; /* this rank's, and one over those that decide together */
    select_gatherer gatherer;
    select_taken taken;
    select_scopes scopes;
    select_told told;
    select_tally tally;
    select_emitter emitter;
    output *output; /* the emitter's; of several ranks rank 0's, for what all have emitted into temporary files */
    select_recorded *recorded; /* for the inputs and the references */
    int emitted;               /* this rank's */
    select_outcome outcome;
    progress progress;
    bool has_other_inputs;        /* than lines */
    uint64_t n_values, n_decided; /* gathered; whose documents have been written */
    uint64_t n_documents, n_written, n_documents_kept;
} select_run;

/* What to do with each document; false for trouble. */
typedef bool (*visit)(select_run *run, records *records, document *document, trouble *trouble);

static bool each_document(select_run *run, visit visit, const record_wanted *wanted, trouble *trouble) {
    document document = {0};
    bool ok = true;
    for (int i = run->inputs->first; ok && i < run->inputs->end; i++) {
        int more = 0;
        records *records = select_inputs_records(run->inputs, i, trouble);
        ok = records != NULL;
        while (ok && (more = records_next_wanted(records, &document, wanted, trouble)) == 1)
            ok = visit(run, records, &document, trouble);
        ok = ok && more == 0;
        document_free(&document);
        select_inputs_leave(run->inputs, i);
    }
    return ok;
}

static bool changed(const records *records, trouble *trouble) {
    return trouble_set(trouble, "%s has changed while it was being read", records_name(records));
}

/* --- The first reading: values --- */

static bool gather(select_run *run, records *records, document *document, trouble *trouble) {
    select_taken *taken = &run->taken;
    progress_update(&run->progress, run->n_values);
    run->has_other_inputs = run->has_other_inputs || document->line == NULL;
    if (!select_take(taken, &run->gatherer, records, document, trouble) ||
        !select_scopes_take(&run->scopes, run->n_documents, taken, run->settings, trouble))
        return false;
    run->n_documents++;
    run->n_values += taken->n;
    return true;
}

/* --- The decisions --- */

static bool report_undecided(const select_run *run, const records *records, const document *document,
                             trouble *trouble) {
    const select_told *told = &run->told;
    char token[32] = "";
    size_t i = 0;
    while (told->undecided[i] == 0)
        i++;
    if (!run->settings->of_samples)
        snprintf(token, sizeof(token), ", token %zu", i);
    return trouble_set(trouble,
                       "%s:%" PRIu64 " (%s)%s: %s is between %g and %g nats, on both sides of a threshold; --undecided "
                       "keep or drop goes on",
                       records_name(records), document->line_number, document->id, token, run->settings->by,
                       (double)told->values[i], (double)told->upper[i]);
}

/* What was decided about the next document, which has n values; it is NULL where only its line was read, and nothing
 * can be undecided. */
static bool next_decisions(select_run *run, const records *records, const document *document, size_t n,
                           trouble *trouble) {
    select_decision *decision =
        run->n_written < run->n_documents ? select_scopes_decision(&run->scopes, run->n_written) : NULL;
    bool found = true;
    run->told.n = 0;
    if (decision == NULL)
        return changed(records, trouble);
    if (!select_decision_next(decision, n, &run->told, &found, trouble))
        return false;
    run->n_written++;
    run->n_decided += n;
    progress_update(&run->progress, run->n_decided);
    if (!found)
        return changed(records, trouble);
    return strcmp(run->settings->undecided, "error") != 0 || n == 0 || memchr(run->told.undecided, 1, n) == NULL ||
           report_undecided(run, records, document, trouble);
}

/* --- The second reading: what is written --- */

static bool write_document(select_run *run, records *records, document *document, trouble *trouble) {
    const size_t n = document->n_tokens;
    run->n_documents_kept += n > 0 && memchr(run->told.keep, 1, n) != NULL;
    return run->settings->explain ? select_explain(&run->emitter, records, document, &run->told, trouble)
                                  : select_emit(&run->emitter, records, document, &run->told, trouble);
}

static bool write_tokens(select_run *run, records *records, document *document, trouble *trouble) {
    return next_decisions(run, records, document, document->n_tokens, trouble) &&
           write_document(run, records, document, trouble);
}

/* Tokens, document by document: each is a scope. */
static bool select_document(select_run *run, records *records, document *document, trouble *trouble) {
    const uint64_t number = records_number(records, document);
    select_scopes_clear(&run->scopes);
    run->scopes.salt =
        score_hash(score_hash(SCORE_HASH_START, document->id, strlen(document->id)), &number, sizeof(number));
    return gather(run, records, document, trouble) &&
           select_scopes_decide(&run->scopes, &run->tally, run->context, run->settings, trouble) &&
           write_tokens(run, records, document, trouble);
}

/* A kept document with every token kept: its columns are written in another form. */
static bool write_sample(select_run *run, records *records, document *document, trouble *trouble) {
    const size_t n = document->n_tokens;
    select_told all = {.n = n};
    if (!next_decisions(run, records, document, 1, trouble))
        return false;
    if (run->settings->explain)
        return select_explain(&run->emitter, records, document, &run->told, trouble);
    if (run->told.keep[0] == 0)
        return true;
    all.keep = all.valid = malloc(n + 1);
    if (all.keep == NULL)
        return trouble_set(trouble, "out of memory");
    memset(all.keep, 1, n + 1);
    bool ok = select_emit(&run->emitter, records, document, &all, trouble);
    free(all.keep);
    return ok;
}

/* A kept document as it was, in a container. */
static bool copy_document(select_run *run, records *records, document *document, trouble *trouble) {
    return next_decisions(run, records, document, 1, trouble) &&
           (run->told.keep[0] == 0 || select_emit_document(&run->emitter, document, trouble));
}

/* The same as a line, which needs no parsing. */
static bool copy_lines(select_run *run, records *records, trouble *trouble) {
    const char *line;
    size_t n_bytes;
    int more;
    while ((more = records_next_line(records, &line, &n_bytes, trouble)) == 1) {
        if (!next_decisions(run, records, NULL, 1, trouble) ||
            (run->told.keep[0] != 0 && !select_emit_line(&run->emitter, line, n_bytes, trouble)))
            return false;
    }
    return more == 0;
}

static bool write_lines(select_run *run, trouble *trouble) {
    bool ok = true;
    for (int i = run->inputs->first; ok && i < run->inputs->end; i++) {
        records *records = select_inputs_records(run->inputs, i, trouble);
        ok = records != NULL && copy_lines(run, records, trouble);
        select_inputs_leave(run->inputs, i);
    }
    return ok;
}

/* Whether all inputs are lines, which can be copied as they are; an undecided document has to be named. */
static bool can_copy_lines(const select_run *run) {
    return run->emitter.container == NULL && !run->has_other_inputs && strcmp(run->settings->undecided, "error") != 0;
}

static bool write_samples(select_run *run, trouble *trouble) {
    const char *emit = run->settings->emit;
    bool as_they_are = strcmp(emit, "records") == 0 || strcmp(emit, "samples") == 0;
    const record_wanted wanted = select_wanted_output(run->settings, run->emitter.container != NULL);
    bool ok = !as_they_are || run->settings->explain ? each_document(run, write_sample, &wanted, trouble)
              : can_copy_lines(run)                  ? write_lines(run, trouble)
                                                     : each_document(run, copy_document, &wanted, trouble);
    run->n_documents_kept = run->tally.n_kept;
    return ok;
}

/* --- The run --- */

static const char *noun_of(const select_settings *settings) {
    return settings->of_samples ? "documents" : "tokens";
}

static bool preview(select_run *run, trouble *trouble) {
    select_scopes *scopes = &run->scopes;
    progress_end(&run->progress);
    bool ok = select_scopes_make_rules(scopes, run->settings, trouble);
    for (size_t i = 0; ok && i < scopes->n; i++) {
        const char *name = run->settings->group != NULL ? select_group_name(&run->gatherer, i) : NULL;
        ok = select_preview(&run->outcome.tally.n_kept, run->deciding, run->settings, &scopes->items[i],
                            &scopes->rules[i], name, noun_of(run->settings), trouble);
    }
    return ok;
}

static bool gather_all(select_run *run, const record_wanted *wanted, trouble *trouble) {
    return select_scopes_add(&run->scopes, run->settings->group == NULL, run->settings, trouble) &&
           each_document(run, gather, wanted, trouble) && select_gatherer_finish(&run->gatherer, trouble);
}

static bool decide_all(select_run *run, trouble *trouble) {
    const uint64_t n_bytes = ranks_n_bytes();
    const bool ok = select_scopes_decide(&run->scopes, &run->tally, run->deciding, run->settings, trouble);
    run->outcome.n_exchanged = ranks_n_bytes() - n_bytes;
    return ok;
}

static bool choose(select_run *run, trouble *trouble) {
    const select_settings *settings = run->settings;
    const bool is_container = run->emitter.container != NULL;
    const record_wanted values = select_wanted_values(settings), output = select_wanted_output(settings, is_container);
    const record_wanted both = select_wanted_both(settings, is_container);
    if (settings->each_document)
        return each_document(run, select_document, &both, trouble) && select_gatherer_finish(&run->gatherer, trouble);
    if (!ranks_agree(gather_all(run, &values, trouble), trouble) ||
        (ranks_size() > 1 && !select_share_scope(&run->scopes.items[0], trouble)))
        return false;
    if (settings->preview)
        return preview(run, trouble);
    if (!decide_all(run, trouble))
        return false;
    if (ranks_rank() == 0)
        progress_begin(&run->progress, run->progress.unit, run->n_values);
    if (!(settings->of_samples ? write_samples(run, trouble) : each_document(run, write_tokens, &output, trouble)))
        return false;
    return run->n_decided == run->n_values || trouble_set(trouble, "an input has changed while it was being read");
}

static bool open_output(select_run *run, trouble *trouble) {
    const char *path = run->settings->output_path;
    if (ranks_rank() == 0 && (run->output = output_open(path, trouble)) == NULL)
        return false;
    run->emitter.output = ranks_size() > 1 ? output_open_temporary(&run->emitted, trouble) : run->output;
    if (run->emitter.output == NULL || !container_is_path(path))
        return run->emitter.output != NULL;
    run->emitter.container = container_writer_open(trouble);
    return run->emitter.container != NULL;
}

/* Together: --vocab-size is for logs, of which there must be one. A reference is looked at in its turn. */
static bool check_vocabulary(select_run *run, trouble *trouble) {
    uint64_t n_logs = 0;
    if (run->settings->n_vocabulary == 0 || run->references->n_items > 0)
        return true;
    const bool ok = select_inputs_count_logs(&n_logs, run->inputs, trouble);
    if (!ranks_agree(ok, trouble) || !ranks_add_up(&n_logs, 1, trouble))
        return false;
    return n_logs > 0 ||
           trouble_set(trouble, "--vocab-size is for recorded log-probabilities, as servers answer with them: token "
                                "records have their bounds already");
}

static bool open_rest(select_run *run, trouble *trouble) {
    const entrol_comm *comm = ranks_comm();
    run->context = run->deciding = open_context(0, trouble);
    if (run->context != NULL && comm != NULL)
        run->deciding = open_context_over(comm, 0, trouble);
    if (run->deciding == NULL)
        return false;
    run->recorded = select_recorded_new(run->context, run->settings->n_vocabulary, trouble);
    run->inputs->recorded = run->recorded;
    if (run->recorded == NULL ||
        !select_gatherer_begin(&run->gatherer, run->context, run->settings, run->recorded, trouble))
        return false;
    return run->settings->preview || open_output(run, trouble);
}

/* --- The end --- */

static bool share_outcome(select_run *run, trouble *trouble) {
    select_outcome *outcome = &run->outcome;
    outcome->noun = noun_of(run->settings);
    outcome->counts = run->gatherer.counts;
    outcome->tally = run->tally;
    outcome->n_documents = run->n_documents;
    outcome->n_documents_kept = run->n_documents_kept;
    outcome->n_untrained = run->emitter.n_untrained;
    outcome->n_infinite = select_recorded_n_infinite(run->recorded);
    outcome->n_ranks = ranks_size();
    return select_share_outcome(outcome, run->settings, trouble);
}

/* Puts together what the ranks have emitted. */
static bool collect(select_run *run, trouble *trouble) {
    return ranks_size() == 1 || (ranks_agree(output_flush(run->emitter.output, trouble), trouble) &&
                                 ranks_agree(ranks_collect(run->output, run->emitted, trouble), trouble));
}

static bool commit(select_run *run, trouble *trouble) {
    output *output = run->output;
    if (output == NULL) /* rank 0 has it */
        return true;
    if (run->emitter.container != NULL && !container_writer_finish(run->emitter.container, output, trouble))
        return false;
    if (run->emitter.output == output)
        run->emitter.output = NULL;
    run->output = NULL;
    return output_commit(output, false, trouble);
}

static bool write_manifest(const select_run *run, int argc, char **argv, trouble *trouble) {
    json_t *inputs = select_inputs_json(run->inputs, trouble);
    if (inputs == NULL)
        return false;
    json_t *manifest = manifest_new(argc, argv);
    select_summary_json(manifest, run->settings, &run->outcome);
    json_object_set_new(manifest, "inputs", inputs);
    if (run->settings->group != NULL)
        json_object_set_new(manifest, "groups", select_scopes_json(&run->scopes, &run->gatherer));
    json_t *references = select_references_json(run->references, trouble);
    if (references != NULL)
        json_object_set_new(manifest, "references", references);
    bool ok = trouble->text[0] == '\0' && manifest_write(manifest, run->settings->output_path, trouble);
    json_decref(manifest);
    return ok;
}

static bool finish(select_run *run, int argc, char **argv, trouble *trouble) {
    if (run->settings->preview)
        return true;
    if (!share_outcome(run, trouble) || !collect(run, trouble) || !ranks_agree(commit(run, trouble), trouble))
        return false;
    if (run->settings->output_path == NULL)
        return true;
    return select_inputs_hash(run->inputs, trouble) &&
           ranks_agree(ranks_rank() > 0 || write_manifest(run, argc, argv, trouble), trouble);
}

static void close_all(select_run *run) {
    select_scopes_free(&run->scopes);
    select_told_free(&run->told);
    select_taken_free(&run->taken);
    select_gatherer_end(&run->gatherer);
    select_recorded_free(run->recorded);
    run->inputs->recorded = NULL;
    buffer_free(&run->emitter.line);
    container_writer_close(run->emitter.container);
    if (run->emitter.output != run->output)
        output_abandon(run->emitter.output, false);
    output_abandon(run->output, false);
    if (run->deciding != run->context)
        entrol_context_destroy(run->deciding);
    entrol_context_destroy(run->context);
}

static int exit_code_of(const select_run *run) {
    if (ranks_rank() == 0 && !run->settings->preview)
        select_summary_print(run->settings, &run->outcome);
    if (run->settings->group != NULL && !run->settings->preview)
        select_scopes_print(&run->scopes, &run->gatherer);
    if (ranks_rank() == 0)
        select_recorded_warn(run->recorded);
    return run->outcome.tally.n_kept > 0 ? EXIT_DONE : EXIT_NOTHING_SELECTED;
}

int select_records(const select_settings *settings, select_inputs *inputs, int argc, char **argv) {
    select_settings own = *settings; /* the references are this rank's */
    select_run run = {.references = &settings->references,
                      .settings = &own,
                      .inputs = inputs,
                      .tally = SELECT_TALLY_INIT,
                      .emitter = {.settings = &own}};
    trouble trouble = {""};
    run.progress.unit = noun_of(settings);
    if (ranks_rank() == 0)
        progress_begin(&run.progress, run.progress.unit, 0);
    bool ok = select_share(&own, inputs, &trouble) && ranks_agree(open_rest(&run, &trouble), &trouble) &&
              check_vocabulary(&run, &trouble) && ranks_agree(choose(&run, &trouble), &trouble) &&
              finish(&run, argc, argv, &trouble);
    progress_end(&run.progress);
    const int exit_code = ok ? exit_code_of(&run) : ranks_report(&trouble);
    close_all(&run);
    return exit_code;
}
