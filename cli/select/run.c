/* Selecting from files of records. Over a corpus, in groups and among samples, the input is read twice: once for the
 * values, and once to write what they decide; document by document once is enough. */
#include "select.h"

#include "../formats/manifest.h"
#include "../open_context.h"
#include "../progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct select_run {
    const select_settings *settings;
    select_inputs *inputs;
    entrol_context *context;
    select_gatherer gatherer;
    select_taken taken;
    select_scope *scopes; /* 1, or one a group */
    select_decision *decisions;
    size_t n_scopes, n_begun;
    uint32_t *scope_of; /* a document's, where there are groups */
    size_t scope_of_capacity;
    select_told told;
    select_tally tally;
    select_emitter emitter;
    progress progress;
    uint64_t n_values, n_decided; /* gathered; whose documents have been written */
    uint64_t n_documents, n_written, n_documents_kept;
} select_run;

/* What to do with each document; false for trouble. */
typedef bool (*visit)(select_run *run, records *records, document *document, trouble *trouble);

static bool each_document(select_run *run, visit visit, const record_wanted *wanted, trouble *trouble) {
    document document = {0};
    bool ok = true;
    for (int i = 0; ok && i < run->inputs->n; i++) {
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

static bool add_scopes(select_run *run, size_t n, trouble *trouble) {
    if (n <= run->n_scopes)
        return true;
    select_scope *larger = realloc(run->scopes, n * sizeof(*larger));
    if (larger == NULL)
        return trouble_set(trouble, "out of memory for %zu groups", n);
    run->scopes = larger;
    for (; run->n_scopes < n; run->n_scopes++)
        larger[run->n_scopes] = select_scope_new(!run->settings->each_document);
    return true;
}

/* Which group the document is of, for the second reading. */
static bool note_scope(select_run *run, trouble *trouble) {
    if (run->settings->group == NULL)
        return true;
    if (run->n_documents == run->scope_of_capacity) {
        const size_t capacity = run->scope_of_capacity * 2 + 1024;
        uint32_t *larger = realloc(run->scope_of, capacity * sizeof(*larger));
        if (larger == NULL)
            return trouble_set(trouble, "out of memory after %" PRIu64 " documents", run->n_documents);
        run->scope_of = larger;
        run->scope_of_capacity = capacity;
    }
    run->scope_of[run->n_documents] = (uint32_t)run->taken.scope;
    return true;
}

static bool gather(select_run *run, records *records, document *document, trouble *trouble) {
    select_taken *taken = &run->taken;
    progress_update(&run->progress, run->n_values);
    if (!select_take(taken, &run->gatherer, records, document, trouble) || !note_scope(run, trouble) ||
        !add_scopes(run, taken->scope + 1, trouble) || !select_scope_add(&run->scopes[taken->scope], taken, trouble))
        return false;
    run->n_documents++;
    run->n_values += taken->n;
    return true;
}

/* --- The decisions --- */

/* How many values of a scope are at least the cutoff, and how many count. */
static bool count_sure(uint64_t *n_sure, uint64_t *n_valid, select_run *run, const select_scope *scope,
                       trouble *trouble) {
    select_tally tally = SELECT_TALLY_INIT;
    select_decision decision;
    select_told told = {0};
    bool found = true, ok = select_decision_begin(&decision, &tally, run->context, run->settings, scope,
                                                  &run->settings->rule, trouble);
    for (uint64_t i = 0; ok && i < select_values_count(&scope->values); i++) {
        told.n = 0;
        ok = select_decision_next(&decision, 1, &told, &found, trouble);
    }
    *n_sure = tally.n_kept;
    *n_valid = tally.n_valid;
    select_told_free(&told);
    select_decision_end(&decision);
    return ok;
}

/* FlexMatch's rule for each class. */
static bool find_thresholds(double *thresholds, select_run *run, trouble *trouble) {
    uint64_t *n_sure = calloc(run->n_scopes + 1, sizeof(*n_sure)), n_all = 0;
    bool ok = n_sure != NULL || trouble_set(trouble, "out of memory");
    for (size_t i = 0; ok && i < run->n_scopes; i++) {
        uint64_t n_valid = 0;
        ok = count_sure(&n_sure[i], &n_valid, run, &run->scopes[i], trouble);
        n_all += n_valid;
    }
    ok = ok && (entrol_flexmatch_thresholds(thresholds, n_sure, run->n_scopes, n_all, run->settings->flexmatch) ==
                    ENTROL_OK ||
                trouble_set(trouble, "flexmatch: its thresholds could not be found"));
    free(n_sure);
    return ok;
}

static bool begin_decisions(select_run *run, trouble *trouble) {
    double *thresholds = calloc(run->n_scopes + 1, sizeof(*thresholds));
    run->decisions = calloc(run->n_scopes + 1, sizeof(*run->decisions));
    bool ok = (thresholds != NULL && run->decisions != NULL) || trouble_set(trouble, "out of memory");
    ok = ok && (run->settings->flexmatch == 0 || find_thresholds(thresholds, run, trouble));
    for (; ok && run->n_begun < run->n_scopes; run->n_begun++) {
        entrol_rule rule = run->settings->rule;
        if (run->settings->flexmatch > 0)
            rule.low = thresholds[run->n_begun];
        ok = select_decision_begin(&run->decisions[run->n_begun], &run->tally, run->context, run->settings,
                                   &run->scopes[run->n_begun], &rule, trouble);
    }
    run->n_begun += !ok && run->n_begun < run->n_scopes && run->decisions != NULL; /* to be ended, too */
    free(thresholds);
    return ok;
}

static bool report_undecided(const select_run *run, const records *records, const document *document,
                             trouble *trouble) {
    const select_told *told = &run->told;
    size_t i = 0;
    while (told->undecided[i] == 0)
        i++;
    return trouble_set(trouble,
                       "%s:%" PRIu64 " (%s), %s %zu: %s is between %g and %g nats, on both sides of a threshold; "
                       "--undecided keep or drop goes on",
                       records_name(records), document != NULL ? document->line_number : run->n_written,
                       document != NULL ? document->id : "document", run->settings->of_samples ? "document" : "token",
                       run->settings->of_samples ? (size_t)run->n_written : i, run->settings->by,
                       (double)told->values[i], (double)told->upper[i]);
}

/* What was decided about the next document, which has n values; it is NULL where only its line was read. */
static bool next_decisions(select_run *run, const records *records, const document *document, size_t n,
                           trouble *trouble) {
    const size_t scope =
        run->settings->group != NULL && run->n_written < run->n_documents ? run->scope_of[run->n_written] : 0;
    bool found = true;
    run->told.n = 0;
    if (scope >= run->n_begun || run->n_written == run->n_documents)
        return changed(records, trouble);
    if (!select_decision_next(&run->decisions[scope], n, &run->told, &found, trouble))
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
    if (run->n_scopes > 0)
        select_scope_clear(&run->scopes[0]);
    if (!gather(run, records, document, trouble))
        return false;
    bool ok = begin_decisions(run, trouble) && next_decisions(run, records, document, document->n_tokens, trouble) &&
              write_document(run, records, document, trouble);
    select_decision_end(&run->decisions[0]);
    free(run->decisions);
    run->decisions = NULL;
    run->n_begun = 0;
    return ok;
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
    for (int i = 0; ok && i < run->inputs->n; i++) {
        records *records = select_inputs_records(run->inputs, i, trouble);
        ok = records != NULL && copy_lines(run, records, trouble);
        select_inputs_leave(run->inputs, i);
    }
    return ok;
}

static bool write_samples(select_run *run, trouble *trouble) {
    const char *emit = run->settings->emit;
    bool as_they_are = strcmp(emit, "records") == 0 || strcmp(emit, "samples") == 0;
    const record_wanted wanted = select_wanted_output(run->settings, run->emitter.container != NULL);
    bool ok = !as_they_are || run->settings->explain ? each_document(run, write_sample, &wanted, trouble)
              : run->emitter.container != NULL       ? each_document(run, copy_document, &wanted, trouble)
                                                     : write_lines(run, trouble);
    run->n_documents_kept = run->tally.n_kept;
    return ok;
}

/* --- The run --- */

static const char *noun_of(const select_settings *settings) {
    return settings->of_samples ? "documents" : "tokens";
}

static bool preview(select_run *run, trouble *trouble) {
    progress_end(&run->progress);
    for (size_t i = 0; i < run->n_scopes; i++) {
        const char *name = run->settings->group != NULL ? select_group_name(&run->gatherer, i) : NULL;
        if (!select_preview(run->context, run->settings, &run->scopes[i], name, noun_of(run->settings), trouble))
            return false;
    }
    return true;
}

static bool choose(select_run *run, trouble *trouble) {
    const select_settings *settings = run->settings;
    const bool is_container = run->emitter.container != NULL;
    const record_wanted values = select_wanted_values(settings), output = select_wanted_output(settings, is_container);
    const record_wanted both = select_wanted_both(settings, is_container);
    if (settings->each_document)
        return each_document(run, select_document, &both, trouble) && select_gatherer_finish(&run->gatherer, trouble);
    if (!add_scopes(run, settings->group == NULL, trouble) || !each_document(run, gather, &values, trouble) ||
        !select_gatherer_finish(&run->gatherer, trouble))
        return false;
    if (settings->preview)
        return preview(run, trouble);
    if (!begin_decisions(run, trouble))
        return false;
    progress_begin(&run->progress, run->progress.unit, run->n_values);
    if (!(settings->of_samples ? write_samples(run, trouble) : each_document(run, write_tokens, &output, trouble)))
        return false;
    return run->n_decided == run->n_values || trouble_set(trouble, "an input has changed while it was being read");
}

static bool open_rest(select_run *run, trouble *trouble) {
    run->context = open_context(0, trouble);
    if (run->context == NULL || !select_gatherer_begin(&run->gatherer, run->context, run->settings, trouble))
        return false;
    if (run->settings->preview)
        return true;
    run->emitter.output = output_open(run->settings->output_path, trouble);
    if (run->emitter.output == NULL || !container_is_path(run->settings->output_path))
        return run->emitter.output != NULL;
    run->emitter.container = container_writer_open(trouble);
    return run->emitter.container != NULL;
}

static select_outcome outcome_of(const select_run *run) {
    return (select_outcome){
        .noun = noun_of(run->settings),
        .counts = &run->gatherer.counts,
        .tally = &run->tally,
        .n_documents = run->n_documents,
        .n_documents_kept = run->n_documents_kept,
        .n_untrained = run->emitter.n_untrained,
    };
}

static bool write_manifest(const select_run *run, int argc, char **argv, trouble *trouble) {
    json_t *inputs = select_inputs_json(run->inputs, trouble);
    if (inputs == NULL)
        return false;
    json_t *manifest = manifest_new(argc, argv);
    select_outcome outcome = outcome_of(run);
    select_summary_json(manifest, run->settings, &outcome);
    json_object_set_new(manifest, "inputs", inputs);
    bool ok = manifest_write(manifest, run->settings->output_path, trouble);
    json_decref(manifest);
    return ok;
}

static bool finish(select_run *run, int argc, char **argv, trouble *trouble) {
    output *output = run->emitter.output;
    if (run->settings->preview)
        return true;
    if (run->emitter.container != NULL && !container_writer_finish(run->emitter.container, output, trouble))
        return false;
    run->emitter.output = NULL;
    if (!output_commit(output, false, trouble))
        return false;
    return run->settings->output_path == NULL || write_manifest(run, argc, argv, trouble);
}

static void close_all(select_run *run) {
    for (size_t i = 0; i < run->n_begun; i++)
        select_decision_end(&run->decisions[i]);
    for (size_t i = 0; i < run->n_scopes; i++)
        select_scope_free(&run->scopes[i]);
    free(run->decisions);
    free(run->scopes);
    free(run->scope_of);
    select_told_free(&run->told);
    select_taken_free(&run->taken);
    select_gatherer_end(&run->gatherer);
    buffer_free(&run->emitter.line);
    container_writer_close(run->emitter.container);
    output_abandon(run->emitter.output, false);
    entrol_context_destroy(run->context);
}

int select_records(const select_settings *settings, select_inputs *inputs, int argc, char **argv) {
    select_run run = {
        .settings = settings, .inputs = inputs, .tally = SELECT_TALLY_INIT, .emitter = {.settings = settings}};
    trouble trouble = {""};
    progress_begin(&run.progress, noun_of(settings), 0);
    bool ok = open_rest(&run, &trouble) && choose(&run, &trouble) && finish(&run, argc, argv, &trouble);
    progress_end(&run.progress);
    int exit_code = EXIT_ERROR;
    if (ok && settings->preview) {
        exit_code = EXIT_DONE;
    } else if (ok) {
        select_outcome outcome = outcome_of(&run);
        select_summary_print(settings, &outcome);
        exit_code = run.tally.n_kept > 0 ? EXIT_DONE : EXIT_NOTHING_SELECTED;
    } else {
        message_trouble(&trouble);
    }
    close_all(&run);
    return exit_code;
}

bool select_take_inputs(select_inputs *inputs, const operands *operands, const char *command) {
    static char dash[] = "-";
    static char *standard_input[] = {dash};
    trouble trouble;
    bool none = operands->n_items == 0;
    *inputs = (select_inputs){0};
    if (none && isatty(STDIN_FILENO)) {
        message_error("%s: name a file, or - for standard input", command);
        return false;
    }
    if (select_inputs_begin(inputs, none ? standard_input : operands->items, none ? 1 : operands->n_items, &trouble))
        return true;
    message_trouble(&trouble);
    select_inputs_end(inputs);
    return false;
}
