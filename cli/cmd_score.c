/* entrol score: texts or logits in, token records out. */
#include "commands.h"
#include "open_context.h"
#include "score/score_run.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_OPTIONS (SCORE_MODEL_OPTIONS + 14)

static void fill_options(option *rows, score_run *run) {
    const option table[N_OPTIONS - SCORE_MODEL_OPTIONS] = {
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
             "The columns to write. Default: token_id,byte_start,byte_end,logprob,entropy,rank, where they exist; of "
             "recorded log-probabilities all that they tell, but token."},
        {.name = "top",
         .type = OPTION_INTEGER,
         .value = &run->settings.n_top,
         .metavar = "N",
         .help = "Add the N most probable tokens at each place: top_id, top_token, top_logprob. From 1 to 256.",
         .minimum = 1,
         .maximum = ENTROL_MAX_TOP},
        {.name = "renyi",
         .type = OPTION_REAL,
         .value = &run->settings.renyi_order,
         .metavar = "ORDER",
         .help =
             "Add the Renyi entropy of this order: 0, 1e-6 to 1e6, or inf. The column renyi has order 2 without it.",
         .minimum = 0,
         .maximum = INFINITY,
         .was_given = &run->renyi_given},
        {.name = "level",
         .type = OPTION_CHOICE,
         .value = &run->level,
         .choices = "token|sample",
         .help = "sample: statistics of each document instead of columns: n_tokens, entropy_mean, entropy_median, "
                 "entropy_p90, entropy_max, surprisal_mean, perplexity. Default: token."},
        {.name = "targets",
         .type = OPTION_STRING,
         .value = &run->targets,
         .metavar = "FILE[:TENSOR]",
         .help = "Logits: the column that came at each row, an integer array. Adds logprob and rank."},
        {.name = "vocab-size",
         .type = OPTION_INTEGER,
         .value = &run->settings.n_vocabulary,
         .metavar = "N",
         .help = "Recorded log-probabilities: how many tokens the model's vocabulary has. Without it entropy_upper is "
                 "infinite.",
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "sample",
         .type = OPTION_STRING,
         .value = &run->sample,
         .metavar = "SHARE",
         .help = "Score a share of the documents, as 1% or 0.01. --seed and a document's number decide, nothing else."},
        {.name = "seed",
         .type = OPTION_INTEGER,
         .value = &run->seed,
         .metavar = "N",
         .help = "For --sample. Default: 0."},
        {.name = "compat",
         .type = OPTION_CHOICE,
         .value = &run->settings.compat,
         .choices = "llama-perplexity",
         .help = "Score plain text as that program does, the second half of each chunk, and print what it prints."},
        {.name = "pack",
         .type = OPTION_INTEGER,
         .value = &run->settings.n_pack,
         .metavar = "N",
         .help =
             "Let up to N short documents share a decode, as far as the batch holds them: faster on a GPU. A "
             "document's numbers then depend on its neighbours, so that --resume cannot go with it. Takes the memory "
             "of N contexts. Default: 1, each document by itself; at most 256.",
         .minimum = 1,
         .maximum = 256},
        {.name = "resume",
         .type = OPTION_FLAG,
         .value = &run->resume,
         .help = "Go on where an interrupted run with the same settings stopped; where the output is whole and newer "
                 "than its inputs, do nothing. Needs -o FILE of JSON Lines; not with --pack."},
        {.name = "dry-run",
         .type = OPTION_FLAG,
         .value = &run->dry_run,
         .help = "Count documents and tokens, time a few seconds of scoring, and say what the whole would take."},
        {.name = "unit",
         .type = OPTION_CHOICE,
         .value = &run->unit,
         .choices = "bits|nats",
         .help = "For the summary; records are always in nats. Default: bits."},
    };
    score_model_options(rows, &run->settings);
    memcpy(rows + SCORE_MODEL_OPTIONS, table, sizeof(table));
}

/* "1%" or "0.01". */
static bool read_share(score_run *run, trouble *trouble) {
    run->share = 1;
    if (run->sample == NULL)
        return true;
    char *end;
    double share = strtod(run->sample, &end);
    if (end != run->sample && *end == '%') {
        share /= 100;
        end++;
    }
    if (end == run->sample || *end != '\0' || !(share > 0) || share > 1)
        return trouble_set(trouble, "--sample %s: expected a share such as 1%% or 0.01", run->sample);
    run->share = share;
    return true;
}

static bool check_flags(score_run *run, trouble *trouble) {
    if (run->output_path != NULL && strcmp(run->output_path, "-") == 0)
        run->output_path = NULL;
    run->settings.sample_level = strcmp(run->level, "sample") == 0;
    run->settings.texts.recorded = true;
    double order = run->settings.renyi_order;
    if (order != 0 && !isinf(order) && (order < 1e-6 || order > 1e6))
        return trouble_set(trouble, "--renyi %g: expected 0, a number from 1e-06 to 1e+06, or inf", order);
    if (run->resume && run->output_path == NULL)
        return trouble_set(trouble, "--resume needs -o FILE: standard output cannot be gone on with");
    if (run->resume && container_is_path(run->output_path))
        return trouble_set(trouble,
                           "--resume: a .safetensors file is made when all is scored; use JSON Lines (any other "
                           "name), and make one of them with entrol select");
    if (run->resume && run->settings.n_pack > 1)
        return trouble_set(trouble,
                           "--resume does not go with --pack: where a run stopped would decide which documents are "
                           "packed together, and so their numbers");
    return score_settings_check(&run->settings, trouble) && read_share(run, trouble) &&
           score_settings_columns(&run->settings, run->columns, run->renyi_given, trouble);
}

/* Where the bytes will really be: links are followed, as output.h does. A terminal, a pipe, /dev/null: a stream. */
static bool find_journal_path(score_run *run, trouble *trouble) {
    struct stat status;
    if (run->output_path == NULL)
        return true;
    if (stat(run->output_path, &status) == 0 && !S_ISREG(status.st_mode))
        return !run->resume || trouble_set(trouble, "--resume: %s is no plain file", run->output_path);
    run->journal_path = output_real_path(run->output_path);
    return run->journal_path != NULL || trouble_set(trouble, "%s: %s", run->output_path, strerror(errno));
}

static bool resume_output(score_run *run, trouble *trouble) {
    run->output = output_resume(run->journal_path, run->n_bytes, trouble);
    run->summary.n_resumed = run->summary.n_documents;
    if (run->output != NULL)
        return score_journal_go_on(run->journal, trouble);
    score_journal_close(run->journal, false); /* it may be another process's, which is writing it */
    run->journal = NULL;
    return false;
}

static bool begin_output(score_run *run, trouble *trouble) {
    run->output = output_open(run->output_path, trouble);
    if (run->output != NULL && container_is_path(run->output_path))
        return (run->container = container_writer_open(trouble)) != NULL;
    if (run->output == NULL || run->journal_path == NULL)
        return run->output != NULL;
    run->journal = score_journal_begin(run->journal_path, run->settings_json, trouble);
    bool can_resume = run->settings.n_pack == 1 && run->companion == NULL;
    if (run->journal == NULL || can_resume)
        return run->journal != NULL;
    score_journal_close(run->journal, true); /* nothing is resumed: no journal, nor an earlier run's */
    run->journal = NULL;
    return true;
}

static bool open_output(score_run *run, trouble *trouble) {
    if (!find_journal_path(run, trouble))
        return false;
    run->settings_json = score_run_settings(run, trouble);
    if (run->settings_json == NULL)
        return false;
    if (run->resume)
        run->journal =
            score_journal_resume(run->journal_path, run->settings_json, &run->summary, &run->n_bytes, trouble);
    if (run->journal != NULL)
        return resume_output(run, trouble);
    if (run->resume && trouble->text[0] == '\0') {
        run->is_done = score_run_is_done(run);
        if (run->is_done)
            return true;
        if (access(run->output_path, F_OK) == 0)
            message_warning("%s is there, and no interrupted run to go on with: it is made anew", run->output_path);
    }
    return trouble->text[0] == '\0' && begin_output(run, trouble);
}

static bool score_inputs(score_run *run, trouble *trouble) {
    for (int i = 0; i < run->n_inputs; i++) {
        if (score_stop_signal() != 0 || !score_inputs_look_at(run, i, trouble))
            return false;
        if (run->looked[i].is_passed_over)
            continue;
        const score_look *looked = &run->looked[i];
        if (looked->is_logits && !score_texts_flush(run, trouble))
            return false;
        if (!(looked->is_kld      ? score_kld_input(run, i, trouble)
              : looked->is_logits ? score_logits_input(run, i, trouble)
                                  : score_texts_input(run, i, trouble)))
            return false;
    }
    return score_stop_signal() == 0 && score_texts_flush(run, trouble) && score_stop_signal() == 0 &&
           score_run_has_all(run, trouble);
}

/* Whether an end before the end leaves something that --resume can go on from. */
static bool can_go_on(const score_run *run) {
    return run->journal != NULL && run->summary.n_documents > 0;
}

/* The manifest describes the model, also where nothing was left to score. */
static bool finish(score_run *run, int argc, char **argv, trouble *trouble) {
    if (run->journal_path != NULL && run->settings.model != NULL && score_run_scorer(run, trouble) == NULL)
        return false;
    output *output = run->output;
    if (run->container != NULL && !container_writer_finish(run->container, output, trouble))
        return false;
    run->output = NULL;
    if (!output_commit(output, can_go_on(run), trouble))
        return false;
    score_journal_close(run->journal, true);
    run->journal = NULL;
    if (run->journal_path == NULL || score_run_write_manifest(run, argc, argv, trouble))
        return true;
    message_warning("%s itself is whole", run->output_path);
    return false;
}

static void print_times(const score_run *run) {
    if (run->scorer == NULL)
        return;
    double in_model = scorer_seconds_in_model(run->scorer), total = run->summary.seconds;
    fprintf(stderr, "time        loading %.2f s, in the model %.2f s, outside it %.2f s (%.1f %%)\n",
            run->seconds_loading, in_model, total - in_model, total > 0 ? 100 * (total - in_model) / total : 0);
}

static void print_warnings(const score_run *run) {
    if (run->summary.n_empty > 0 && strcmp(run->settings.score_role, "all") == 0)
        message_warning("nothing was scored in %" PRIu64 " of %" PRIu64 " documents: no text", run->summary.n_empty,
                        run->summary.n_documents);
    else if (run->summary.n_empty > 0)
        message_warning("nothing was scored in %" PRIu64 " of %" PRIu64
                        " documents: no text, or no message of the role \"%s\" (--score-role)",
                        run->summary.n_empty, run->summary.n_documents, run->settings.score_role);
    if (run->n_seen > 0 && run->n_chosen == 0)
        message_warning("--sample took none of %" PRIu64 " documents", run->n_seen);
    score_warn_replaced(&run->summary);
}

static void print_summary(const score_run *run) {
    score_summary_print(&run->summary, run->context, run->unit, run->companion);
    bool is_compat = run->settings.compat != NULL && run->perplexity.n_chunks > 0; /* else --sample chose nothing */
    if (is_compat && isnan(run->perplexity.error))
        fprintf(stderr, "Unexpected negative standard deviation of log(prob)\n");
    else if (is_compat)
        fprintf(stderr, "Final estimate: PPL = %.4f +/- %.5f\n", run->perplexity.perplexity, run->perplexity.error);
    print_warnings(run);
    if (run->settings.verbose)
        print_times(run);
}

static void say_how_to_go_on(const score_run *run, bool is_stopped) {
    const char *when = is_stopped                       ? ""
                       : run->end == SCORE_END_BAD_LINE ? "when that is mended, or with --skip-bad added, "
                                                        : "when that is mended, ";
    uint64_t n = run->summary.n_documents;
    message_warning("what is done (%" PRIu64
                    " document%s) is in %s.part: %sthe same command with --resume goes on from "
                    "there",
                    n, n == 1 ? "" : "s", run->journal_path, when);
}

/* What is left after a stop or an error, and how to go on from it. */
static int end_early(score_run *run, const trouble *trouble) {
    int number = score_stop_signal();
    bool keep = can_go_on(run);
    output_abandon(run->output, keep);
    run->output = NULL;
    score_journal_close(run->journal, !keep);
    run->journal = NULL;
    progress_end(&run->progress);
    if (number != 0)
        message_warning("stopped after %" PRIu64 " document%s", run->summary.n_documents,
                        run->summary.n_documents == 1 ? "" : "s");
    else
        message_trouble(trouble);
    if (keep && run->end != SCORE_END_OTHER_INPUT)
        say_how_to_go_on(run, number != 0);
    return number != 0 ? 128 + number : EXIT_ERROR;
}

static int score(score_run *run, int argc, char **argv) {
    trouble trouble = {""};
    double start = monotonic_seconds();
    progress_begin(&run->progress, "tokens", 0);
    bool ok = run->dry_run ? score_estimate(run, &trouble)
                           : open_output(run, &trouble) && (run->is_done || score_inputs(run, &trouble));
    run->summary.seconds = monotonic_seconds() - start - run->seconds_loading;
    ok = ok && (run->dry_run || run->is_done || finish(run, argc, argv, &trouble));
    if (!ok)
        return end_early(run, &trouble);
    progress_end(&run->progress);
    if (run->is_done)
        message_note("%s is whole, and newer than what it was made from: nothing is left to do", run->output_path);
    else if (!run->dry_run)
        print_summary(run);
    return run->dry_run || run->summary.n_documents > 0 ? EXIT_DONE : EXIT_NOTHING_SELECTED;
}

static void close_run(score_run *run) {
    score_texts_free(run);
    score_inputs_free(run);
    scorer_close(run->scorer);
    container_writer_close(run->container);
    json_decref(run->settings_json);
    free(run->journal_path);
    buffer_free(&run->line);
    score_summary_free(&run->summary);
    entrol_context_destroy(run->context);
}

/* Standard input where no file is named, as filters do. */
static bool take_inputs(score_run *run, const operands *operands, const char *command, trouble *trouble) {
    static char dash[] = "-";
    static char *standard_input[] = {dash};
    run->inputs = operands->items;
    run->n_inputs = operands->n_items;
    if (run->n_inputs > 0)
        return true;
    if (isatty(STDIN_FILENO))
        return trouble_set(trouble, "%s: nothing to %s: name a file, or - for standard input", command, command);
    run->inputs = standard_input;
    run->n_inputs = 1;
    return true;
}

int score_run_command(score_run *run, const operands *operands, int argc, char **argv) {
    trouble trouble = {""};
    int exit_code = EXIT_ERROR;
    if (!take_inputs(run, operands, argv[0], &trouble) || !check_flags(run, &trouble) ||
        !score_inputs_check(run, &trouble) ||
        (run->context = open_context((size_t)run->settings.n_threads, &trouble)) == NULL) {
        message_trouble(&trouble);
    } else {
        score_stop_install();
        exit_code = score(run, argc, argv);
    }
    close_run(run);
    return exit_code;
}

static int run_score(const command *command, int argc, char **argv) {
    score_run run = {.settings = SCORE_SETTINGS_INIT, .level = "token", .unit = "bits"};
    option options[N_OPTIONS];
    operands operands;
    int exit_code = EXIT_DONE;
    fill_options(options, &run);
    if (!options_parse(command, options, N_OPTIONS, argc, argv, &operands, &exit_code))
        return exit_code;
    return score_run_command(&run, &operands, argc, argv);
}

const command command_score = {
    .name = "score",
    .summary = "how uncertain a model is at every token: of texts, logits or recorded log-probabilities",
    .usage = "[options] FILE...",
    .description =
        "Reads plain text (a file is one document), JSON Lines (text; prompt and completion; instruction, input and "
        "output; messages), logits (.npy, .safetensors, llama-perplexity's .kld) and recorded log-probabilities as "
        "servers answer with them (OpenAI, vLLM, llama-server, TGI, SGLang, Ollama; lines, or one JSON document), "
        "packed with gzip or zstd or not, and writes one line of JSON for each document, with one array for each "
        "column, in nats. \"-\" is standard input. Texts need a model, the others do not. Recorded log-probabilities "
        "leave the entropy between entropy_lower and entropy_upper. Logits that are packed or come from a pipe are "
        "first unpacked to a temporary file (in TMPDIR). A summary follows on standard error.",
    .examples = "  entrol score book.txt -o book.jsonl          a text, with the default model\n"
                "  entrol score -m model.gguf data.jsonl.gz     the lines of a corpus\n"
                "  entrol score logits.npy --targets ids.npy    rows of logits, and what came\n"
                "  entrol score answers.jsonl --vocab-size 151936   what a server recorded\n"
                "  entrol score corpus.jsonl --dry-run          how long would it take?\n"
                "  entrol score corpus.jsonl -o out --resume    go on after an interruption\n",
    .run = run_score,
};
