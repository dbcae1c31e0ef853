/* `entrol select`: token records in; which tokens or documents to keep out. */
#include "commands.h"
#include "message.h"
#include "select/select.h"

#include <string.h>

enum { N_OPTIONS = SELECT_RULE_OPTIONS + 5 };

static void fill_options(option *rows, select_settings *settings) {
    const option table[N_OPTIONS - SELECT_RULE_OPTIONS] = {
        {.name = "by",
         .type = OPTION_STRING,
         .value = &settings->by,
         .metavar = "COLUMN",
         .help = "What the rule looks at: entropy (the default), surprisal, position, or any column with one number a "
                 "token. With --level sample: perplexity, or entropy_ or surprisal_ and mean (entropy_mean is the "
                 "default), "
                 "median, p90, min, max, percentile:P, top:P (the mean of the greatest P percent; 0.5), window_max:N, "
                 "window_min:N (the greatest, the least mean of N tokens that follow each other; 2048) or above:X (the "
                 "share above X nats); or any field of the line that is a number."},
        {.name = "scope",
         .type = OPTION_CHOICE,
         .value = &settings->scope,
         .choices = "corpus|document",
         .was_given = &settings->scope_given,
         .help = "Shares, counts and percentiles are of all tokens together, or of each document by itself. "
                 "Default: corpus."},
        {.name = "level",
         .type = OPTION_CHOICE,
         .value = &settings->level,
         .choices = "token|sample",
         .help = "Choose tokens, or whole documents by one number each. Default: token."},
        {.name = "emit",
         .type = OPTION_CHOICE,
         .value = &settings->emit,
         .choices = "records|labels|trl|spans|samples",
         .help = "records (the default): the lines with a column keep, all else as it was. labels: input_ids, "
                 "attention_mask and labels, -100 where not kept. trl: input_ids, completion_mask and "
                 "assistant_masks. spans: kept ranges of bytes. samples: the lines of documents of which something "
                 "was kept, as they were."},
        {.letter = 'o',
         .name = "output",
         .type = OPTION_STRING,
         .value = &settings->output_path,
         .metavar = "FILE",
         .help = "Write here, and FILE.manifest.json beside it; records and samples to FILE.safetensors as one file of "
                 "flat columns. Default: standard output."},
    };
    select_rule_options(rows, settings);
    memcpy(rows + SELECT_RULE_OPTIONS, table, sizeof(table));
}

static int run(const command *command, int argc, char **argv) {
    select_settings settings = SELECT_SETTINGS_INIT;
    option options[N_OPTIONS];
    operands operands;
    select_inputs inputs;
    int exit_code;
    fill_options(options, &settings);
    if (!options_parse(command, options, N_OPTIONS, argc, argv, &operands, &exit_code))
        return exit_code;
    if (!select_settings_check(&settings) || !select_take_inputs(&inputs, &operands, command->name))
        return EXIT_ERROR;
    exit_code = select_records(&settings, &inputs, argc, argv);
    select_inputs_end(&inputs);
    return exit_code;
}

const command command_select = {
    .name = "select",
    .summary = "which tokens or documents to keep, by a rule",
    .usage = "--keep RULE | --mask RULE [options] FILE...",
    .description =
        "Reads token records, as entrol score writes them (JSON Lines or .safetensors; - is standard input), and keeps "
        "tokens by their entropy or "
        "another column. A token without a value is null in keep and is never kept. Exit 1 if nothing was kept. The "
        "closing summary says how much was kept, the thresholds and the ties.",
    .examples = "  entrol select a.jsonl --keep low:80%                       keep the sure four fifths\n"
                "  entrol select a.jsonl --mask high:20% --emit labels        -100 where the model is unsure\n"
                "  entrol select a.jsonl --by surprisal --keep high:100 --emit spans\n"
                "  entrol select a.jsonl --level sample --keep p5..p95 --emit samples\n",
    .run = run,
};
