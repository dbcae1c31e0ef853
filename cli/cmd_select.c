/* `entrol select`: token records in; which tokens or documents to keep out. */
#include "commands.h"
#include "message.h"
#include "select/select.h"

#include <string.h>

enum { N_OPTIONS = SELECT_RULE_OPTIONS + 12 };

static void fill_options(option *rows, select_settings *settings) {
    const option table[N_OPTIONS - SELECT_RULE_OPTIONS] = {
        {.name = "by",
         .type = OPTION_STRING,
         .value = &settings->by,
         .metavar = "COLUMN",
         .help =
             "What the rule looks at: entropy (the default), surprisal, surprisal_excess (surprisal - entropy), "
             "confidence (-mean_topk_logprob), excess_loss (surprisal - the reference's), position, or any column "
             "with one number a token. With --level sample the mean of one of these, or it and _median, _p90, _min, "
             "_max, _percentile:P, _top:P (the mean of the greatest P percent; 0.5), _top_sum:P (their sum), "
             "_window_max:N, _window_min:N (the greatest, the least mean of N tokens that follow each other; 2048) or "
             "_above:X (the share above X); perplexity; ifd; of class probabilities entropy, top_prob, margin, bald; "
             "or any field of the line that is a number."},
        {.name = "scope",
         .type = OPTION_STRING,
         .value = &settings->scope,
         .metavar = "corpus|document|group:FIELD",
         .help = "Shares, counts and percentiles are of all tokens together, of each document by itself, or of the "
                 "documents that have the same FIELD (a quota for each). Default: corpus."},
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
        {.name = "weight",
         .type = OPTION_STRING,
         .value = &settings->weight,
         .metavar = "FORM",
         .help = "Add a weight from 0 to 1 for each kept token, 0 for the others: sigmoid (of the value), rise:A..B "
                 "(0 up to A, 1 from B) or fall:A..B (1 up to A, 0 from B); A and B as in a rule. Without a rule, of "
                 "every token."},
        {.name = "reference",
         .type = OPTION_STRINGS,
         .value = &settings->references,
         .metavar = "FILE",
         .help = "Records of the same documents under another model, in the same order: gives reference_logprob, "
                 "reference_entropy and excess_loss. For ifd: of the answers without their questions."},
        {.name = "unique",
         .type = OPTION_STRING,
         .value = &settings->unique,
         .metavar = "FIELD",
         .help = "Of documents with the same FIELD (text, say) only the first counts; nothing of the others is kept."},
        {.name = "undecided",
         .type = OPTION_CHOICE,
         .value = &settings->undecided,
         .choices = "drop|keep|error",
         .help = "Where only bounds of the entropy are known and the rule falls between them. Default: drop."},
        {.name = "vocab-size",
         .type = OPTION_INTEGER,
         .value = &settings->n_vocabulary,
         .metavar = "N",
         .help =
             "Recorded log-probabilities: how many tokens the model's vocabulary has. Without it their upper bounds "
             "are infinite.",
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "preview",
         .type = OPTION_FLAG,
         .value = &settings->preview,
         .help = "Write nothing: print what each share of the values would cost, and what the rule comes to."},
        {.name = "explain",
         .type = OPTION_FLAG,
         .value = &settings->explain,
         .help = "Write a line for each token (or document) that says why it is kept or not, in place of --emit."},
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
    .summary = "which tokens or documents to keep, by a rule, a purpose or a published recipe",
    .usage = "--keep RULE | --mask RULE | --for PURPOSE | --recipe NAME [options] FILE...",
    .description =
        "Reads token records, as entrol score writes them (JSON Lines or .safetensors; - is standard input), or "
        "recorded log-probabilities as servers answer with them, "
        "of which it makes the records that score would write, and keeps "
        "tokens by their entropy or another column; with --level sample whole documents, also lines or .npy rows of "
        "class probabilities (the field probs). A token without a value is null in keep and is never kept. Exit 1 if "
        "nothing was kept. The closing summary says how much was kept, the thresholds and the ties. The processes that "
        "mpirun starts share the files between them and write together what one would write.",
    .examples = "  entrol select a.jsonl --keep low:80%                       keep the sure four fifths\n"
                "  entrol select a.jsonl --mask high:20% --emit labels        -100 where the model is unsure\n"
                "  entrol select a.jsonl --by surprisal --keep high:100 --emit spans\n"
                "  entrol select a.jsonl --level sample --keep p5..p95 --emit samples\n"
                "  entrol select a.jsonl --for active-learning --scope group:source --keep high:10\n"
                "  entrol select log.jsonl --vocab-size 151936 --keep high:20%\n"
                "  entrol select probs.npy --recipe fixmatch -o pseudo.jsonl\n"
                "  entrol select a.jsonl --reference b.jsonl --recipe rho1 --emit labels\n"
                "  entrol select a.jsonl --keep high:20% --preview\n"
                "  mpirun -n 4 entrol select *.jsonl --keep low:80% -o kept.jsonl\n",
    .run = run,
    .for_ranks = true,
};
