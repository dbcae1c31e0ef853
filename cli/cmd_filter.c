/* `entrol filter`: score and select on samples in one step. */
#include "commands.h"
#include "message.h"
#include "ranks.h"
#include "score/score_run.h"
#include "select/filter.h"

#include <string.h>

enum { N_OPTIONS = SELECT_RULE_OPTIONS + SCORE_MODEL_OPTIONS + 2 };

static void fill_options(option *rows, select_settings *settings, score_settings *scoring) {
    const option table[2] = {
        {.name = "by",
         .type = OPTION_STRING,
         .value = &settings->by,
         .metavar = "STATISTIC",
         .help = "What the rule looks at, of each document: entropy_mean (the default), surprisal_mean, perplexity, or "
                 "another statistic that entrol select --help names; of records also any field that is a number."},
        {.letter = 'o',
         .name = "output",
         .type = OPTION_STRING,
         .value = &settings->output_path,
         .metavar = "FILE",
         .help = "Write here, and FILE.manifest.json beside it. Default: standard output."},
    };
    select_rule_options(rows, settings);
    memcpy(rows + SELECT_RULE_OPTIONS, table, sizeof(table));
    score_model_options(rows + SELECT_RULE_OPTIONS + 2, scoring);
}

/* Whether the first line has what score writes: columns, or statistics. */
static bool starts_with_record(records *records) {
    document document = {0};
    trouble unreadable; /* no JSON: a text */
    bool is_record = false;
    if (records_next(records, &document, &unreadable) == 1)
        is_record = document.columns[COLUMN_ENTROPY].is_present || document.columns[COLUMN_LOGPROB].is_present ||
                    (json_is_integer(json_object_get(document.fields, "n_tokens")) &&
                     json_object_get(document.fields, "entropy_mean") != NULL);
    document_free(&document);
    return is_record;
}

static bool is_npy(bool *is, input *input, trouble *trouble) {
    const char *bytes;
    size_t n;
    if (!input_peek_least(input, 6, &bytes, &n, trouble))
        return false;
    *is = tensor_detect((const unsigned char *)bytes, n) == TENSOR_FORMAT_NPY;
    return true;
}

static bool look_at_input(bool *is_record, select_inputs *inputs, int index, trouble *trouble) {
    bool is_logits = false;
    const char *path = inputs->paths[index];
    input *input = select_inputs_read(inputs, index, trouble);
    if (input == NULL || !is_npy(&is_logits, input, trouble))
        return false;
    records *records = is_logits ? NULL : select_inputs_records(inputs, index, trouble);
    if (records == NULL && !is_logits)
        return false;
    *is_record = records != NULL && records_are_flat(records);
    if (!*is_record && !is_logits && !score_is_logits(&is_logits, path, input, trouble))
        return false;
    if (is_logits)
        return trouble_set(trouble, "%s: filter keeps lines or files of text; score logits, and select from that",
                           path);
    *is_record = *is_record || starts_with_record(records);
    select_inputs_leave(inputs, index);
    return true;
}

static bool look_at_inputs(bool *are_records, select_inputs *inputs, trouble *trouble) {
    for (int i = 0; i < inputs->n; i++) {
        bool is_record = false;
        if (!look_at_input(&is_record, inputs, i, trouble))
            return false;
        if (i > 0 && is_record != *are_records)
            return trouble_set(trouble, "%s holds %s, and the file before it %s: filter them separately",
                               inputs->paths[i], is_record ? "records" : "text", is_record ? "text" : "records");
        *are_records = is_record;
    }
    return true;
}

/* Whether scoring gives what a statistic is of; the scorer is told to. */
static bool can_measure(score_settings *scoring, const char *by) {
    const char *of = sample_statistic_of(by);
    if (of == NULL)
        return false;
    const column_id id = record_find_column(of, strlen(of));
    if (id < COLUMN_COUNT && record_can_score(id))
        scoring->wanted[id] = true;
    return (id < COLUMN_COUNT && record_can_score(id)) || strncmp(of, "surprisal", 9) == 0;
}

static int filter(const select_settings *settings, score_settings *scoring, select_inputs *inputs, int argc,
                  char **argv) {
    trouble trouble = {""};
    bool are_records = false;
    if (!ranks_agree(look_at_inputs(&are_records, inputs, &trouble), &trouble))
        return ranks_report(&trouble);
    if (are_records)
        return select_records(settings, inputs, argc, argv);
    if (ranks_size() > 1)
        return message_error("filter scores texts in one process, and %zu were started together; of records it can "
                             "select with all of them",
                             ranks_size());
    if (container_is_path(settings->output_path))
        return message_error("-o %s: the kept lines of text are no token records; give the file another name",
                             settings->output_path);
    if (settings->group != NULL)
        return message_error("--scope %s: texts are scored one by one; score them, and select from the records",
                             settings->scope);
    if (can_measure(scoring, settings->by))
        return filter_texts(settings, scoring, inputs, argc, argv);
    buffer names = {0};
    sample_statistic_names(&names);
    message_error("--by %s: of texts, filter knows %s", settings->by, names.failed ? "its statistics" : names.data);
    buffer_free(&names);
    return EXIT_ERROR;
}

static int run(const command *command, int argc, char **argv) {
    select_settings settings = SELECT_SETTINGS_INIT;
    score_settings scoring = SCORE_SETTINGS_INIT;
    option options[N_OPTIONS];
    operands operands;
    select_inputs inputs;
    int exit_code;
    settings.level = "sample";
    settings.emit = "samples";
    fill_options(options, &settings, &scoring);
    if (!options_parse(command, options, N_OPTIONS, argc, argv, &operands, &exit_code))
        return exit_code;
    trouble trouble;
    if (!score_settings_check(&scoring, &trouble))
        return message_trouble(&trouble);
    if (!select_settings_check(&settings) || !select_take_inputs(&inputs, &operands, command->name))
        return EXIT_ERROR;
    exit_code = filter(&settings, &scoring, &inputs, argc, argv);
    select_inputs_end(&inputs);
    return exit_code;
}

const command command_filter = {
    .name = "filter",
    .summary = "the lines or files of text that a rule keeps, scored on the way",
    .usage = "--keep RULE | --mask RULE [options] FILE...",
    .description =
        "Scores every document as entrol score does, and writes those that the rule keeps: of JSON Lines the lines, "
        "byte "
        "for byte and in order; of plain text, where a file is one document, the paths. Files of records, as entrol "
        "score writes them, are not scored again. Exit 1 if nothing was kept. Nothing is kept of an interrupted run: "
        "for hours of scoring, use entrol score -o with --resume, and then entrol select --level sample.",
    .examples =
        "  entrol filter data.jsonl --keep p5..p95 -o kept.jsonl      neither the flattest nor the wildest lines\n"
        "  entrol filter data.jsonl --by perplexity --mask high:1%\n"
        "  entrol filter *.txt --keep low:10                          the ten texts the model is surest of\n",
    .run = run,
    .for_ranks = true,
};
