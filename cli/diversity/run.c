/* The options, and the whole: files one after the other, and a row for each. */
#include "diversity.h"

#include "../open_context.h"
#include "../output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void diversity_options(option rows[DIVERSITY_OPTIONS], diversity_settings *settings) {
    const option table[DIVERSITY_OPTIONS] = {
        {.name = "diversity",
         .type = OPTION_FLAG,
         .value = &settings->is_wanted,
         .help = "Not a page, but how diverse the samples of each FILE are, a row for each: distinct-n, self-BLEU, "
                 "compression, repetition, semantic entropy, log-probability and entropies. Lines with the same "
                 "prompt_id, prompt or id are samples of one prompt."},
        {.name = "json",
         .type = OPTION_FLAG,
         .value = &settings->as_json,
         .was_given = &settings->is_given,
         .help = "Of --diversity: print one object a file, in nats, with the measures of every prompt."},
        {.name = "of",
         .type = OPTION_CHOICE,
         .value = &settings->of,
         .choices = "tokens|words",
         .was_given = &settings->is_given,
         .help = "Of --diversity: what n-grams are made of: token_id, or words, which are runs of what is not white "
                 "space. Default: tokens where the first line has them."},
        {.name = "group",
         .type = OPTION_STRING,
         .value = &settings->group,
         .metavar = "FIELD",
         .was_given = &settings->is_given,
         .help =
             "Of --diversity: lines with the same value in this field are samples of one prompt. Default: the first "
             "of prompt_id, prompt and id that the first line has."},
        {.name = "label",
         .type = OPTION_STRING,
         .value = &settings->label,
         .metavar = "FIELD",
         .was_given = &settings->is_given,
         .help = "Of --diversity: samples with the same value in this field mean the same. Default: those whose texts "
                 "do not differ but in case, punctuation, articles and white space."},
        {.name = "reference",
         .type = OPTION_STRINGS,
         .value = &settings->references,
         .metavar = "FILE",
         .was_given = &settings->is_given,
         .help = "Of --diversity: records of the same samples under another model, from entrol score, in the same "
                 "order, one file for each FILE: the log-probability that it gives them."},
    };
    memcpy(rows, table, sizeof table);
}

typedef struct run {
    const diversity_settings *settings;
    entrol_context *context;
    select_recorded *recorded;
    select_reference *reference; /* NULL: none */
    diversity_units units;
    diversity_result *results;
    size_t n;
    buffer text;
} run;

static bool begin(run *run, size_t n_paths, trouble *trouble) {
    const string_list *references = &run->settings->references;
    run->results = calloc(n_paths, sizeof *run->results);
    if (!run->results)
        return trouble_set(trouble, "out of memory");
    run->context = open_context(1, trouble);
    run->recorded = run->context ? select_recorded_new(run->context, 0, trouble) : NULL;
    if (!run->recorded || references->n_items == 0)
        return run->recorded != NULL;
    run->reference = select_reference_open(references, run->recorded, trouble);
    return run->reference != NULL;
}

static bool measure_file(run *run, const char *path, trouble *trouble) {
    diversity_samples samples = {0};
    diversity_result *result = &run->results[run->n++];
    result->name = strcmp(path, "-") == 0 ? "standard input" : path;
    bool ok = diversity_samples_read(&samples, &run->units, run->reference, run->settings, path, trouble) &&
              diversity_measure_samples(result, &samples, run->context, trouble);
    result->are_words = run->units.are_words;
    if (ok && run->settings->as_json)
        diversity_print_json(&run->text, result, &samples);
    diversity_samples_free(&samples);
    return ok;
}

static bool measure_files(run *run, char **paths, size_t n_paths, const char *unit, trouble *trouble) {
    for (size_t i = 0; i < n_paths; i++)
        if (!measure_file(run, paths[i], trouble))
            return false;
    if (run->reference && !select_reference_finish(run->reference, trouble))
        return false;
    if (!run->settings->as_json)
        diversity_print(&run->text, run->results, run->n, unit);
    return !run->text.failed || trouble_set(trouble, "out of memory");
}

static void say_notes(const diversity_result *result) {
    if (result->n_several == 0)
        message_note("%s: no prompt has two samples, which self-BLEU and semantic entropy need; --group FIELD joins "
                     "lines",
                     result->name);
    else if (result->n_several < result->n_prompts)
        message_note("%s: self-BLEU and semantic entropy are of the %zu of %zu prompts that have two samples or more",
                     result->name, result->n_several, result->n_prompts);
    if (result->n_nan > 0)
        message_warning("%s: %" PRIu64 " values that are NaN have been left out of the means over tokens", result->name,
                        result->n_nan);
}

int diversity_run(const diversity_settings *settings, char **paths, size_t n_paths, const char *output,
                  const char *unit) {
    run run = {.settings = settings};
    trouble trouble = {""};
    bool ok = begin(&run, n_paths, &trouble) && measure_files(&run, paths, n_paths, unit, &trouble) &&
              output_whole(output, run.text.data, run.text.size, &trouble);
    for (size_t i = 0; i < run.n; i++) {
        if (ok)
            say_notes(&run.results[i]);
        diversity_result_free(&run.results[i]);
    }
    free(run.results);
    buffer_free(&run.text);
    select_reference_close(run.reference);
    select_recorded_free(run.recorded);
    entrol_context_destroy(run.context);
    return ok ? EXIT_DONE : message_trouble(&trouble);
}
