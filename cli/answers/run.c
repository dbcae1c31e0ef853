/* The whole: lines in, a line a prompt out, and what all came to.
 *
 * A line that is a prompt by itself is written at once. Lines that are joined are all read first: their prompts are
 * written in the order in which they began. */
#include "answers.h"

#include "../entropy/entropy.h"
#include "../formats/manifest.h"
#include "../input.h"
#include "../json_text.h"
#include "../open_context.h"
#include "../output.h"
#include "../progress.h"
#include "../select/select.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct answers_run_state {
    const answers_settings *settings;
    select_inputs inputs;
    entrol_context *context;
    output *output;
    progress progress;
    prompts prompts;
    answers_shape shape;
    buffer text;
    uint64_t n_read;
    answers_totals totals;
} run;

static const char NOUN[] = "answers";

/* --- Lines --- */

/* All of them or none: some may hold what cannot be measured. */
static bool write_prompts(run *run, trouble *trouble) {
    buffer_clear(&run->text);
    for (size_t i = 0; i < run->prompts.n; i++)
        if (!answers_write(&run->text, &run->totals, run->context, run->settings, &run->prompts.items[i], trouble))
            return false;
    prompts_clear(&run->prompts);
    return run->text.size == 0 || output_write(run->output, run->text.data, run->text.size, trouble);
}

static bool take_line(run *run, const answers_line *line, trouble *trouble) {
    if (!answers_shape_check(&run->shape, line, trouble))
        return false;
    prompt *prompt = prompts_of_line(&run->prompts, line, run->shape.group, trouble);
    if (!prompt || !prompts_add(&run->prompts, prompt, line, trouble))
        return false;
    run->n_read += line->n_answers;
    progress_update(&run->progress, run->n_read);
    return run->shape.group || write_prompts(run, trouble);
}

static bool read_lines(run *run, input *input, const char *name, trouble *trouble) {
    const char *text;
    size_t n_bytes;
    int more;
    while ((more = input_line(input, &text, &n_bytes, trouble)) == 1) {
        if (strspn(text, " \t\r") == n_bytes)
            continue;
        answers_line line;
        bool ok = answers_line_parse(&line, run->settings, name, input_line_number(input), text, n_bytes, trouble) &&
                  take_line(run, &line, trouble);
        answers_line_free(&line);
        if (!ok)
            return false;
    }
    return more == 0;
}

static bool read_file(run *run, const char *path, trouble *trouble) {
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path; /* outlives the input */
    input *input = input_open(path, trouble);
    const uint64_t n_before = run->n_read;
    bool ok = input && read_lines(run, input, name, trouble);
    input_close(input);
    return ok && (run->n_read > n_before || trouble_set(trouble, "%s: expected answers, found none", name));
}

/* --- What is said --- */

static void print_mean(const answers_settings *settings, const entrol_sum *sum, const char *how) {
    if (sum->n == 0)
        return;
    const double nats = entrol_sum_value(sum) / (double)sum->n;
    fprintf(stderr, "%-12s%.6g %s (%s)\n", "mean", entropy_in_unit(settings->unit, nats), settings->unit, how);
}

static void print_summary(const run *run) {
    const answers_totals *totals = &run->totals;
    fprintf(stderr, "%-12s%" PRIu64 "\n%-12s%" PRIu64, "prompts", totals->n_prompts, NOUN, totals->n_answers);
    if (totals->least == totals->greatest)
        fprintf(stderr, ", %" PRIu64 " to each prompt\n", totals->least);
    else
        fprintf(stderr, ", %" PRIu64 " to %" PRIu64 " to a prompt\n", totals->least, totals->greatest);
    fprintf(stderr, "%-12s%" PRIu64 " with one cluster (%.6g %%)\n", "certain", totals->n_certain,
            100 * (double)totals->n_certain / (double)totals->n_prompts);
    for (int i = 0; i < ANSWERS_ESTIMATORS; i++)
        print_mean(run->settings, &totals->entropy[i], entrol_estimator_name((entrol_estimator)i));
    print_mean(run->settings, &totals->rao, "by log-probability");
    if (totals->n_gave_way > 0)
        message_warning("%" PRIu64 " of %" PRIu64
                        " prompts lost a field that has the name of a result or, as an array, "
                        "of a column",
                        totals->n_gave_way, totals->n_prompts);
}

static json_t *string_or_null(const char *string) {
    return string ? json_string_of(string) : json_null();
}

static void describe(json_t *manifest, const run *run) {
    const answers_settings *settings = run->settings;
    const answers_totals *totals = &run->totals;
    json_object_set_new(manifest, "estimator", json_string(settings->estimator));
    json_object_set_new(manifest, "outcomes", settings->n_outcomes ? json_integer(settings->n_outcomes) : json_null());
    json_object_set_new(manifest, "match", string_or_null(settings->label ? NULL : settings->match));
    json_object_set_new(manifest, "label", string_or_null(settings->label));
    json_object_set_new(manifest, "logprob",
                        string_or_null(totals->rao.n == 0  ? NULL
                                       : settings->logprob ? settings->logprob
                                                           : "logprob"));
    json_object_set_new(manifest, "logprob_as", json_string(settings->logprob_as));
    json_object_set_new(manifest, "group", string_or_null(run->shape.group));
    json_object_set_new(manifest, "counts",
                        json_pack("{sIsIsI}", "prompts", (json_int_t)totals->n_prompts, "answers",
                                  (json_int_t)totals->n_answers, "certain", (json_int_t)totals->n_certain));
}

static bool write_manifest(const run *run, int argc, char **argv, trouble *trouble) {
    json_t *inputs = select_inputs_json(&run->inputs, trouble);
    if (!inputs)
        return false;
    json_t *manifest = manifest_new(argc, argv);
    describe(manifest, run);
    json_object_set_new(manifest, "inputs", inputs);
    bool ok = manifest_write(manifest, run->settings->output_path, trouble);
    json_decref(manifest);
    return ok;
}

/* --- The run --- */

static bool measure(run *run, trouble *trouble) {
    run->context = open_context(1, trouble);
    run->output = run->context ? output_open(run->settings->output_path, trouble) : NULL;
    bool ok = run->output != NULL;
    for (int i = 0; ok && i < run->inputs.n; i++)
        ok = read_file(run, run->inputs.paths[i], trouble);
    return ok && write_prompts(run, trouble);
}

static bool finish(run *run, int argc, char **argv, trouble *trouble) {
    output *output = run->output;
    run->output = NULL;
    return output_commit(output, false, trouble) &&
           (!run->settings->output_path || write_manifest(run, argc, argv, trouble));
}

int answers_run(const answers_settings *settings, const operands *operands, const char *command, int argc,
                char **argv) {
    run run = {.settings = settings};
    trouble trouble = {""};
    if (!select_take_inputs(&run.inputs, operands, command))
        return EXIT_ERROR;
    progress_begin(&run.progress, NOUN, 0);
    bool ok = measure(&run, &trouble) && finish(&run, argc, argv, &trouble);
    progress_end(&run.progress);
    if (ok)
        print_summary(&run);
    else
        message_trouble(&trouble);
    output_abandon(run.output, false);
    prompts_free(&run.prompts);
    buffer_free(&run.text);
    entrol_context_destroy(run.context);
    select_inputs_end(&run.inputs);
    return ok ? EXIT_DONE : EXIT_ERROR;
}
