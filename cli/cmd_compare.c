/* entrol compare: two or more models over the same texts, or files of logits; records of the first with what the others
 * say of the same tokens. */
#include "commands.h"
#include "compare/compare.h"

#include <string.h>

#define N_OPTIONS (SCORE_MODEL_OPTIONS + 7)

static void fill_options(option *rows, comparison *comparison) {
    score_run *run = &comparison->run;
    const option table[N_OPTIONS - SCORE_MODEL_OPTIONS] = {
        {.name = "reference",
         .type = OPTION_STRINGS,
         .value = &comparison->paths,
         .metavar = "FILE",
         .help =
             "What to compare with: a model (GGUF) of the same vocabulary, or logits of the same shape. May be given "
             "again: kl_pq, kl_qp, jsd and agree are then those of the first one, mean_entropy and bald of all."},
        {.letter = 'o',
         .name = "output",
         .type = OPTION_STRING,
         .value = &run->output_path,
         .metavar = "FILE",
         .help = "Write the records here, and FILE.manifest.json beside them: to FILE.safetensors as one file of flat "
                 "columns, else as JSON Lines. Default: standard output."},
        {.name = "columns",
         .type = OPTION_STRING,
         .value = &run->columns,
         .metavar = "LIST|all",
         .help =
             "The columns to write. Default: those of score and reference_logprob, reference_entropy, kl_pq, kl_qp, "
             "jsd, agree; with several references mean_entropy and bald too."},
        {.name = "top",
         .type = OPTION_INTEGER,
         .value = &run->settings.n_top,
         .metavar = "N",
         .help =
             "Add the first model's N most probable tokens at each place: top_id, top_token, top_logprob. From 1 to "
             "256.",
         .minimum = 1,
         .maximum = ENTROL_MAX_TOP},
        {.name = "level",
         .type = OPTION_CHOICE,
         .value = &run->level,
         .choices = "token|sample",
         .help = "sample: statistics of each document instead of columns: n_tokens, entropy_mean, "
                 "reference_entropy_mean, kl_pq_mean, kl_qp_mean, jsd_mean, agree_share, surprisal_mean, "
                 "reference_surprisal_mean; with several references mean_entropy_mean and bald_mean. Default: token."},
        {.name = "targets",
         .type = OPTION_STRING,
         .value = &run->targets,
         .metavar = "FILE[:TENSOR]",
         .help = "Logits: the column that came at each row, an integer array. Adds logprob, rank and "
                 "reference_logprob."},
        {.name = "unit",
         .type = OPTION_CHOICE,
         .value = &run->unit,
         .choices = "bits|nats",
         .help = "For the summary; records are always in nats. Default: bits."},
    };
    score_model_options(rows, &run->settings);
    memcpy(rows + SCORE_MODEL_OPTIONS, table, sizeof(table));
}

/* What is read once is checked as it is read. */
static bool check_records(const score_run *run, trouble *trouble) {
    for (int i = 0; i < run->n_inputs; i++) {
        const score_look *looked = &run->looked[i];
        const bool can_look = looked->is_known && looked->stream == NULL && !looked->is_passed_over;
        if (can_look && !compare_refuse_records(run->inputs[i], trouble))
            return false;
    }
    return true;
}

/* Texts with models, or one file of logits with others. */
static bool check_inputs(void *user, const score_run *run, trouble *trouble) {
    const comparison *comparison = user;
    const char *reference = comparison->references->path;
    if (!check_records(run, trouble))
        return false;
    if (comparison->kind == COMPARE_LOGITS)
        return (run->n_logits == 1 && run->n_inputs == 1 && run->n_kld == 0) ||
               trouble_set(trouble, "--reference %s holds logits: one file of logits goes with it", reference);
    for (int i = 0; i < run->n_inputs; i++)
        if (run->looked[i].is_logits || run->looked[i].is_kld)
            return trouble_set(trouble, "%s holds logits, and %s is a model: a model goes with texts",
                               score_input_name(run->inputs[i]), reference);
    return true;
}

static bool check_text(void *user, const char *where, const text_document *text, trouble *trouble) {
    (void)user;
    return compare_refuse_record(where, text->fields, trouble);
}

static void count(void *user, const document *document) {
    comparison *comparison = user;
    compare_totals_add(&comparison->totals, document);
}

static bool sample_fields(void *user, document *document, trouble *trouble) {
    (void)user;
    return compare_sample_fields(document, trouble);
}

static score_companion companion_of(comparison *comparison) {
    return (score_companion){.user = comparison,
                             .check_inputs = check_inputs,
                             .check_text = check_text,
                             .open_models = compare_open_models,
                             .score_text = compare_score_text,
                             .open_logits = compare_open_logits,
                             .measure_block = compare_measure_block,
                             .count = count,
                             .sample_fields = sample_fields,
                             .print = compare_print,
                             .describe = compare_describe};
}

static int run_compare(const command *command, int argc, char **argv) {
    comparison comparison = {.run = {.settings = SCORE_SETTINGS_INIT, .level = "token", .unit = "bits"}};
    option options[N_OPTIONS];
    operands operands;
    trouble trouble = {""};
    int exit_code = EXIT_DONE;
    fill_options(options, &comparison);
    if (!options_parse(command, options, N_OPTIONS, argc, argv, &operands, &exit_code))
        return exit_code;
    comparison.companion = companion_of(&comparison);
    comparison.run.companion = &comparison.companion;
    if (compare_references_take(&comparison, &trouble))
        exit_code = score_run_command(&comparison.run, &operands, argc, argv);
    else
        exit_code = message_trouble(&trouble);
    compare_free(&comparison);
    return exit_code;
}

const command command_compare = {
    .name = "compare",
    .summary = "two models over the same text, or two files of logits: both entropies, KL both ways, agreement",
    .usage = "[options] --reference FILE FILE...",
    .description =
        "Reads texts as score does, and lets the model (-m) and each reference read them in lockstep, the same tokens "
        "in "
        "the same windows; or takes logits of the same shape, for which no model is needed. Writes the first one's "
        "token "
        "records with what becomes of both: the Kullback-Leibler divergences KL(model||reference) and "
        "KL(reference||model), the Jensen-Shannon divergence, and whether both have the same most probable token. The "
        "logits exist for one batch at a time. Models must have one vocabulary. A summary follows on standard error.",
    .examples = "  entrol compare -m f16.gguf --reference q4.gguf book.txt -o book.jsonl\n"
                "                                               what a quantisation costs, token by token\n"
                "  entrol compare p.npy --reference q.npy --targets ids.npy\n"
                "                                               rows of logits\n"
                "  entrol compare -m a.gguf --reference b.gguf --reference c.gguf pool.jsonl --level sample\n"
                "                                               where three models disagree (bald_mean)\n",
    .run = run_compare,
};
