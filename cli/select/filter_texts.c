/* Texts, scored and filtered in one step: the first reading scores every document and remembers one number of it, the
 * second copies the lines that are kept. */
#include "filter.h"

#include "../formats/manifest.h"
#include "../open_context.h"
#include "../progress.h"
#include "../score/score_run.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct filter_run {
    const select_settings *settings;
    score_settings *scoring;
    select_inputs *inputs;
    texts **texts; /* of streams: closed at the end, since it owns the spooled input */
    bool *is_plain;
    entrol_context *context;
    scorer *scorer;
    select_scope scope; /* one value a document that was scored */
    size_t n_scored;
    select_counts counts;
    uint64_t *lines; /* the line that document i stands in; 0: it is a file */
    size_t lines_capacity;
    uint64_t *n_values; /* documents of input i */
    select_tally tally;
    select_told told;
    output *output;
    progress progress;
    uint64_t n_tokens, n_skipped;
    double seconds;
    buffer where;
} filter_run;

static int on_progress(void *user, size_t n_scored) {
    filter_run *run = user;
    progress_update(&run->progress, run->n_tokens + n_scored);
    return score_stop_signal();
}

static bool add_value(filter_run *run, const document *scored, uint64_t line_number, trouble *trouble) {
    double value;
    bool exists;
    float narrow;
    uint8_t valid;
    if (!sample_statistic(&value, &exists, run->context, scored, run->settings->by, NULL, NULL, trouble) ||
        !select_value(&narrow, &valid, &run->counts, run->settings, value, exists, run->where.data, trouble))
        return false;
    if (run->n_scored == run->lines_capacity) {
        size_t capacity = run->lines_capacity + run->lines_capacity / 2 + 1024;
        uint64_t *larger = realloc(run->lines, capacity * sizeof(*larger));
        if (larger == NULL)
            return trouble_set(trouble, "out of memory after %zu documents", run->n_scored);
        run->lines = larger;
        run->lines_capacity = capacity;
    }
    run->lines[run->n_scored++] = line_number;
    const select_taken taken = {.values = &narrow, .valid = &valid, .n = 1};
    return select_scope_add(&run->scope, &taken, trouble);
}

static bool score_text(filter_run *run, const text_document *text, trouble *trouble) {
    document scored = {0};
    entrol_diagnosis diagnosis = {0};
    int done = scorer_document(run->scorer, &scored, &diagnosis, text, run->where.data, trouble);
    bool ok = done == 1 && add_value(run, &scored, text->line_number, trouble);
    run->n_tokens += done == 1 ? scored.n_tokens : 0;
    if (done == 0 && run->scoring->texts.skip_bad) {
        run->n_skipped++;
        ok = true;
    }
    document_free(&scored);
    return ok;
}

static bool name_document(filter_run *run, int index, const text_document *text, trouble *trouble) {
    buffer_clear(&run->where);
    buffer_append_string(&run->where, score_input_name(run->inputs->paths[index]));
    if (text->line_number > 0)
        buffer_append_format(&run->where, ":%" PRIu64, text->line_number);
    return !run->where.failed || trouble_set(trouble, "out of memory");
}

static bool score_documents(filter_run *run, int index, texts *texts, trouble *trouble) {
    text_document text = {0};
    size_t n_before = run->n_scored;
    bool ok = true;
    int more = 0;
    while (ok && (more = texts_next(texts, &text, trouble)) == 1) {
        run->is_plain[index] = text.line_number == 0;
        ok = name_document(run, index, &text, trouble) && score_text(run, &text, trouble);
    }
    text_document_free(&text);
    run->n_values[index] = run->n_scored - n_before;
    run->n_skipped += texts_n_bad(texts);
    return ok && more == 0;
}

/* All documents of one input, which `texts` owns. */
static bool score_input(filter_run *run, int index, trouble *trouble) {
    input *input = select_inputs_read(run->inputs, index, trouble);
    if (input == NULL)
        return false;
    run->inputs->open[index] = NULL;
    texts *texts = texts_open_input(input, &run->scoring->texts, trouble);
    if (texts == NULL)
        return false;
    bool ok = score_documents(run, index, texts, trouble);
    if (run->inputs->is_stream[index]) {
        run->texts[index] = texts;
        run->inputs->open[index] = input;
    } else {
        texts_close(texts);
    }
    return ok;
}

/* Of JSON Lines lines are kept, of plain text whole files: not in one output. An input without documents is neither. */
static bool check_kind(const filter_run *run, int index, trouble *trouble) {
    int other = index - 1;
    while (other >= 0 && run->n_values[other] == 0)
        other--;
    if (other < 0 || run->n_values[index] == 0 || run->is_plain[other] == run->is_plain[index])
        return true;
    return trouble_set(trouble, "%s is %s and %s is %s: filter them separately", run->inputs->paths[other],
                       run->is_plain[other] ? "plain text" : "JSON Lines", run->inputs->paths[index],
                       run->is_plain[index] ? "plain text" : "JSON Lines");
}

static bool score_all(filter_run *run, trouble *trouble) {
    double start = monotonic_seconds();
    for (int i = 0; i < run->inputs->n; i++)
        if (!score_input(run, i, trouble) || !check_kind(run, i, trouble))
            return false;
    run->seconds = monotonic_seconds() - start;
    return true;
}

static bool write_line(filter_run *run, const char *line, size_t n_bytes, trouble *trouble) {
    return output_write(run->output, line, n_bytes, trouble) && output_write(run->output, "\n", 1, trouble);
}

/* Copies the kept lines of one input, whose documents are those from number `next` to before `end`. */
static bool copy_lines(filter_run *run, input *input, size_t next, size_t end, trouble *trouble) {
    const char *line;
    size_t n_bytes;
    int more = 1;
    while (next < end && (more = input_line(input, &line, &n_bytes, trouble)) != 0 && more != -1) {
        if (more == INPUT_LONG_LINE || input_line_number(input) != run->lines[next])
            continue; /* it had no document */
        if (run->told.keep[next++] != 0 && !write_line(run, line, n_bytes, trouble))
            return false;
    }
    return more == 1 ||
           (more == 0 && trouble_set(trouble, "%s has changed while it was being read", input_name(input)));
}

static bool write_input(filter_run *run, int index, size_t first, trouble *trouble) {
    const char *path = run->inputs->paths[index];
    size_t n = run->n_values[index];
    if (n == 0)
        return true;
    if (run->is_plain[index])
        return run->told.keep[first] == 0 || write_line(run, path, strlen(path), trouble);
    input *input = select_inputs_read(run->inputs, index, trouble);
    bool ok = input != NULL && copy_lines(run, input, first, first + n, trouble);
    select_inputs_leave(run->inputs, index);
    return ok;
}

static bool write_kept(filter_run *run, trouble *trouble) {
    size_t first = 0;
    for (int i = 0; i < run->inputs->n; i++) {
        if (!write_input(run, i, first, trouble))
            return false;
        first += run->n_values[i];
    }
    return true;
}

static select_outcome outcome_of(const filter_run *run) {
    return (select_outcome){
        .noun = run->is_plain[0] ? "files" : "lines",
        .counts = run->counts,
        .tally = run->tally,
        .n_documents = run->n_scored,
        .n_documents_kept = run->tally.n_kept,
    };
}

/* The settings of the scoring stand in it as in score's own manifest. */
static bool write_manifest(const filter_run *run, int argc, char **argv, trouble *trouble) {
    score_run scoring = {.settings = *run->scoring,
                         .level = "sample",
                         .share = 1,
                         .inputs = run->inputs->paths,
                         .n_inputs = run->inputs->n,
                         .context = run->context,
                         .journal_path = (char *)run->settings->output_path};
    json_t *settings = score_run_settings(&scoring, trouble);
    json_t *inputs =
        settings != NULL && select_inputs_hash(run->inputs, trouble) ? select_inputs_json(run->inputs, trouble) : NULL;
    if (inputs == NULL) {
        json_decref(settings);
        return false;
    }
    score_run_set_scorer(settings, run->scorer);
    json_t *manifest = manifest_new(argc, argv);
    select_outcome outcome = outcome_of(run);
    json_object_set_new(manifest, "score", settings);
    select_summary_json(manifest, run->settings, &outcome);
    json_object_set_new(manifest, "inputs", inputs);
    bool ok = manifest_write(manifest, run->settings->output_path, trouble);
    json_decref(manifest);
    return ok;
}

static bool finish(filter_run *run, int argc, char **argv, trouble *trouble) {
    output *output = run->output;
    run->output = NULL;
    if (!output_commit(output, false, trouble))
        return false;
    return run->settings->output_path == NULL || write_manifest(run, argc, argv, trouble);
}

static bool prepare(filter_run *run, trouble *trouble) {
    size_t n = (size_t)run->inputs->n;
    run->texts = calloc(n, sizeof(*run->texts));
    run->is_plain = calloc(n, sizeof(*run->is_plain));
    run->n_values = calloc(n, sizeof(*run->n_values));
    if (run->texts == NULL || run->is_plain == NULL || run->n_values == NULL)
        return trouble_set(trouble, "out of memory");
    run->context = open_context((size_t)run->scoring->n_threads, trouble);
    if (run->context == NULL || !score_settings_model(run->scoring, trouble))
        return false;
    run->output = output_open(run->settings->output_path, trouble);
    if (run->output == NULL)
        return false;
    run->scorer = scorer_open(run->scoring, run->context, false, trouble);
    if (run->scorer != NULL)
        scorer_on_progress(run->scorer, on_progress, run);
    return run->scorer != NULL;
}

static bool decide(filter_run *run, trouble *trouble) {
    select_decision decision;
    bool found = true, ok = select_decision_begin(&decision, &run->tally, run->context, run->settings, &run->scope,
                                                  &run->settings->rule, trouble);
    ok = ok && select_decision_next(&decision, run->n_scored, &run->told, &found, trouble);
    select_decision_end(&decision);
    return ok;
}

static void print_summary(const filter_run *run) {
    select_outcome outcome = outcome_of(run);
    fprintf(stderr, "%-12s%" PRIu64, "tokens", run->n_tokens);
    if (run->seconds > 0)
        fprintf(stderr, "  (%.1f tokens/s)", (double)run->n_tokens / run->seconds);
    fputc('\n', stderr);
    select_summary_print(run->settings, &outcome);
    if (run->n_skipped > 0)
        fprintf(stderr, "%-12s%" PRIu64 " bad line%s\n", "skipped", run->n_skipped, run->n_skipped == 1 ? "" : "s");
}

static void close_all(filter_run *run) {
    for (int i = 0; run->texts != NULL && i < run->inputs->n; i++)
        if (run->texts[i] != NULL) {
            texts_close(run->texts[i]);
            run->inputs->open[i] = NULL;
        }
    output_abandon(run->output, false);
    scorer_close(run->scorer);
    select_scope_free(&run->scope);
    buffer_free(&run->where);
    free(run->texts);
    free(run->is_plain);
    free(run->n_values);
    free(run->lines);
    select_told_free(&run->told);
    entrol_context_destroy(run->context);
}

static int end_early(const trouble *trouble) {
    int number = score_stop_signal();
    if (number == 0)
        return message_trouble(trouble);
    message_warning("stopped; nothing was written. For a long corpus, score -o with --resume and then select");
    return 128 + number;
}

int filter_texts(const select_settings *settings, score_settings *scoring, select_inputs *inputs, int argc,
                 char **argv) {
    filter_run run = {.settings = settings, .scoring = scoring, .inputs = inputs, .tally = SELECT_TALLY_INIT};
    trouble trouble = {""};
    int exit_code;
    score_stop_install();
    progress_begin(&run.progress, "tokens", 0);
    bool ok = prepare(&run, &trouble) && score_all(&run, &trouble) && decide(&run, &trouble) &&
              write_kept(&run, &trouble) && finish(&run, argc, argv, &trouble);
    progress_end(&run.progress);
    if (ok) {
        print_summary(&run);
        exit_code = run.tally.n_kept > 0 ? EXIT_DONE : EXIT_NOTHING_SELECTED;
    } else {
        exit_code = end_early(&trouble);
    }
    close_all(&run);
    return exit_code;
}
