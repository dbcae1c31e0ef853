/* Selecting from files of records. Over a corpus, and among samples, the input is read twice: once for the values, and
 * once to write what they decide; document by document once is enough. */
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
    select_values values;
    uint8_t *keep; /* of a document, where each is decided by itself */
    size_t keep_capacity;
    select_decision decision; /* over all of them */
    select_tally tally;
    select_emitter emitter;
    progress progress;
    uint64_t n_decided; /* values whose documents have been written */
    uint64_t n_documents, n_documents_kept;
} select_run;

/* What to do with each document; false for trouble. */
typedef bool (*visit)(select_run *run, records *records, document *document, trouble *trouble);

static bool each_document(select_run *run, visit visit, trouble *trouble) {
    document document = {0};
    bool ok = true;
    for (int i = 0; ok && i < run->inputs->n; i++) {
        int more = 0;
        records *records = select_inputs_records(run->inputs, i, trouble);
        ok = records != NULL;
        while (ok && (more = records_next(records, &document, trouble)) == 1)
            ok = visit(run, records, &document, trouble);
        ok = ok && more == 0;
        document_free(&document);
        select_inputs_leave(run->inputs, i);
    }
    return ok;
}

static bool decide(select_run *run, trouble *trouble) {
    if (run->keep == NULL || run->keep_capacity < run->values.n) {
        uint8_t *larger = realloc(run->keep, run->values.capacity + 1);
        if (larger == NULL)
            return trouble_set(trouble, "out of memory for the decision on %zu values", run->values.n);
        run->keep = larger;
        run->keep_capacity = run->values.capacity;
    }
    return select_decide(run->keep, &run->tally, run->context, run->settings, &run->values, trouble);
}

static bool changed(const records *records, trouble *trouble) {
    return trouble_set(trouble, "%s has changed while it was being read", records_name(records));
}

static bool write_document(select_run *run, records *records, document *document, const uint8_t *keep,
                           const uint8_t *valid, trouble *trouble) {
    const size_t n = document->n_tokens;
    run->n_documents_kept += n > 0 && memchr(keep, 1, n) != NULL;
    return select_emit(&run->emitter, records, document, keep, valid, trouble);
}

/* The next n decisions; n documents, or one's tokens. */
static bool next_decisions(select_run *run, const records *records, size_t n, const uint8_t **keep,
                           const uint8_t **valid, trouble *trouble) {
    bool found;
    if (!select_decision_next(&run->decision, n, keep, valid, &found, trouble))
        return false;
    run->n_decided += n;
    return found || changed(records, trouble);
}

/* --- Tokens, document by document --- */

static bool select_document(select_run *run, records *records, document *document, trouble *trouble) {
    run->n_documents++;
    select_values_clear(&run->values);
    if (!select_values_add_tokens(&run->values, run->settings, records, document, trouble) || !decide(run, trouble))
        return false;
    run->n_decided += document->n_tokens;
    progress_update(&run->progress, run->n_decided);
    return write_document(run, records, document, run->keep, run->values.valid, trouble);
}

/* --- Tokens, over the corpus --- */

static bool gather_tokens(select_run *run, records *records, document *document, trouble *trouble) {
    run->n_documents++;
    progress_update(&run->progress, select_values_count(&run->values));
    return select_values_add_tokens(&run->values, run->settings, records, document, trouble);
}

static bool write_tokens(select_run *run, records *records, document *document, trouble *trouble) {
    const uint8_t *keep, *valid;
    if (!next_decisions(run, records, document->n_tokens, &keep, &valid, trouble) ||
        !write_document(run, records, document, keep, valid, trouble))
        return false;
    progress_update(&run->progress, run->n_decided);
    return true;
}

/* --- Samples --- */

static bool gather_sample(select_run *run, records *records, document *document, trouble *trouble) {
    run->n_documents++;
    progress_update(&run->progress, select_values_count(&run->values));
    return select_values_add_sample(&run->values, run->context, run->settings, records, document, trouble);
}

/* A kept document with every token kept: its columns are written in another form. */
static bool write_sample_document(select_run *run, records *records, document *document, trouble *trouble) {
    const uint8_t *keep, *valid;
    if (!next_decisions(run, records, 1, &keep, &valid, trouble))
        return false;
    if (*keep == 0)
        return true;
    uint8_t *all = malloc(document->n_tokens + 1);
    if (all == NULL)
        return trouble_set(trouble, "out of memory");
    memset(all, 1, document->n_tokens + 1);
    bool ok = select_emit(&run->emitter, records, document, all, all, trouble);
    free(all);
    return ok;
}

/* A kept document as it was, in a container. */
static bool copy_document(select_run *run, records *records, document *document, trouble *trouble) {
    const uint8_t *keep, *valid;
    if (!next_decisions(run, records, 1, &keep, &valid, trouble))
        return false;
    return *keep == 0 || select_emit_document(&run->emitter, document, trouble);
}

/* The same as a line, which needs no parsing. */
static bool copy_lines(select_run *run, records *records, trouble *trouble) {
    const char *line;
    const uint8_t *keep, *valid;
    size_t n_bytes;
    int more;
    while ((more = records_next_line(records, &line, &n_bytes, trouble)) == 1) {
        if (!next_decisions(run, records, 1, &keep, &valid, trouble) ||
            (*keep != 0 && !select_emit_line(&run->emitter, line, n_bytes, trouble)))
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
    bool ok = !as_they_are                     ? each_document(run, write_sample_document, trouble)
              : run->emitter.container != NULL ? each_document(run, copy_document, trouble)
                                               : write_lines(run, trouble);
    run->n_documents_kept = run->tally.n_kept;
    return ok;
}

/* --- The run --- */

static bool choose(select_run *run, trouble *trouble) {
    bool of_samples = run->settings->of_samples;
    if (run->settings->each_document && !of_samples)
        return each_document(run, select_document, trouble);
    run->values.spools = true;
    if (!each_document(run, of_samples ? gather_sample : gather_tokens, trouble) ||
        !select_decision_begin(&run->decision, &run->tally, run->context, run->settings, &run->values, trouble))
        return false;
    progress_begin(&run->progress, run->progress.unit, select_values_count(&run->values));
    if (!(of_samples ? write_samples(run, trouble) : each_document(run, write_tokens, trouble)))
        return false;
    return run->n_decided == select_values_count(&run->values) ||
           trouble_set(trouble, "an input has changed while it was being read");
}

static bool open_rest(select_run *run, trouble *trouble) {
    run->context = open_context(0, trouble);
    if (run->context == NULL)
        return false;
    run->emitter.output = output_open(run->settings->output_path, trouble);
    if (run->emitter.output == NULL || !container_is_path(run->settings->output_path))
        return run->emitter.output != NULL;
    run->emitter.container = container_writer_open(trouble);
    return run->emitter.container != NULL;
}

static select_outcome outcome_of(const select_run *run) {
    return (select_outcome){
        .noun = run->settings->of_samples ? "documents" : "tokens",
        .values = &run->values,
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
    if (run->emitter.container != NULL && !container_writer_finish(run->emitter.container, output, trouble))
        return false;
    run->emitter.output = NULL;
    if (!output_commit(output, false, trouble))
        return false;
    return run->settings->output_path == NULL || write_manifest(run, argc, argv, trouble);
}

static void close_all(select_run *run) {
    free(run->keep);
    select_decision_end(&run->decision);
    select_values_free(&run->values);
    buffer_free(&run->emitter.line);
    container_writer_close(run->emitter.container);
    output_abandon(run->emitter.output, false);
    entrol_context_destroy(run->context);
}

int select_records(const select_settings *settings, select_inputs *inputs, int argc, char **argv) {
    select_run run = {
        .settings = settings, .inputs = inputs, .tally = SELECT_TALLY_INIT, .emitter = {.settings = settings}};
    trouble trouble = {""};
    progress_begin(&run.progress, settings->of_samples ? "documents" : "tokens", 0);
    bool ok = open_rest(&run, &trouble) && choose(&run, &trouble) && finish(&run, argc, argv, &trouble);
    progress_end(&run.progress);
    int exit_code = EXIT_ERROR;
    if (ok) {
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
