/* `entrol entropy`: the entropy of a distribution, of counts, of a Gaussian, of the symbols of a file, or of several
 * answers to a prompt. */
#include "answers/answers.h"
#include "commands.h"
#include "entropy/entropy.h"
#include "input.h"
#include "message.h"

#include <stdlib.h>
#include <string.h>

/* Lists of numbers on the command line, one row each. */
enum { PROBS, LOG_PROBS, COUNTS, SIGMA, N_LISTS };

typedef struct source {
    const char *name;
    entropy_of_list measure;
    bool has_counts; /* there is something to estimate */
} source;

static const source sources[N_LISTS] = {
    [PROBS] = {"--probs", entropy_of_probabilities, false},
    [LOG_PROBS] = {"--log-probs", entropy_of_log_probabilities, false},
    [COUNTS] = {"--counts", entropy_of_counts, true},
    [SIGMA] = {"--gaussian-sigma", entropy_of_gaussian, false},
};

typedef struct settings {
    const char *lists[N_LISTS]; /* NULL: not given */
    entropy_settings entropy;
    answers_settings answers;
    bool of_answers;
} settings;

static int run_files(const settings *settings, const operands *operands) {
    for (int i = 0; i < operands->n_items; i++) {
        const char *path = operands->items[i];
        entropy_result result = {0};
        trouble trouble;
        if (!entropy_of_file(&settings->entropy, path, &result, &trouble) ||
            !entropy_print(&settings->entropy, &result, operands->n_items > 1 ? path : NULL, &trouble))
            return message_trouble(&trouble);
    }
    return EXIT_DONE;
}

/* A list of "-" is read from standard input. */
static bool read_list(const char **list, char **owned, trouble *trouble) {
    enum { MAX_LIST = 64 << 20 };
    size_t n;
    if (strcmp(*list, "-") != 0)
        return true;
    input *input = input_open("-", trouble);
    bool ok = input && input_all(input, owned, &n, MAX_LIST, trouble);
    if (ok && strlen(*owned) != n)
        ok = trouble_set(trouble, "standard input: expected numbers, found a NUL");
    input_close(input);
    *list = *owned;
    return ok;
}

static int run_list(const settings *settings, int which) {
    entropy_result result = {0};
    trouble trouble;
    char *owned = NULL;
    const char *list = settings->lists[which];
    const source *source = &sources[which];
    bool ok = read_list(&list, &owned, &trouble) &&
              source->measure(&settings->entropy, source->name, list, &result, &trouble) &&
              entropy_print(&settings->entropy, &result, NULL, &trouble);
    free(owned);
    return ok ? EXIT_DONE : message_trouble(&trouble);
}

/* The one list that was given, or N_LISTS for files; -1 where there is neither, or more. */
static int find_source(const settings *settings, const operands *operands) {
    bool has_files = operands->n_items > 0 || settings->of_answers;
    int found = N_LISTS, n = has_files;
    for (int i = 0; i < N_LISTS; i++)
        if (settings->lists[i]) {
            found = i;
            n++;
        }
    if (n == 1)
        return found;
    message_error("expected one of --probs, --log-probs, --counts, --gaussian-sigma, --answers or FILE..., found %s",
                  n == 0 ? "none" : "several");
    return -1;
}

static bool check(const settings *settings, int source) {
    const char *estimator = settings->entropy.estimator;
    if (settings->of_answers)
        return true;
    if (settings->answers.is_given)
        message_error("expected --answers with --match, --label, --logprob, --logprob-as, --group, --field, "
                      "--outcomes and -o, which are for it alone");
    else if (strcmp(estimator, "all") == 0)
        message_error("--estimator all is for --answers");
    else if (source < N_LISTS && !sources[source].has_counts && strcmp(estimator, "plug-in") != 0)
        message_error("--estimator is for counts: --counts, --answers or FILE...");
    else
        return true;
    return false;
}

enum { OWN_OPTIONS = N_LISTS + 6, N_OPTIONS = OWN_OPTIONS + ANSWERS_OPTIONS };

static void fill_options(option *rows, settings *settings) {
    entropy_settings *entropy = &settings->entropy;
    const option table[OWN_OPTIONS] = {
        {.name = "probs",
         .type = OPTION_STRING,
         .value = &settings->lists[PROBS],
         .metavar = "LIST",
         .help = "Probabilities that sum to 1: 0.2,0.3,0.5 or 1/3,2/3. - reads them from standard input."},
        {.name = "log-probs",
         .type = OPTION_STRING,
         .value = &settings->lists[LOG_PROBS],
         .metavar = "LIST",
         .help = "The same as natural logarithms; -inf is impossible."},
        {.name = "counts",
         .type = OPTION_STRING,
         .value = &settings->lists[COUNTS],
         .metavar = "LIST",
         .help = "How often each outcome was seen: whole numbers."},
        {.name = "gaussian-sigma",
         .type = OPTION_STRING,
         .value = &settings->lists[SIGMA],
         .metavar = "LIST",
         .help = "The standard deviations of a Gaussian with independent dimensions: its differential entropy."},
        {.name = "answers",
         .type = OPTION_FLAG,
         .value = &settings->of_answers,
         .help = "Each FILE holds several answers to each prompt, as JSON Lines: the semantic entropy of each prompt "
                 "goes out as a line, in nats."},
        {.name = "of",
         .type = OPTION_CHOICE,
         .value = &entropy->of,
         .choices = "bytes|words|characters",
         .help = "What is counted in a FILE (default bytes). Words are runs of what is not white space."},
        {.name = "estimator",
         .type = OPTION_CHOICE,
         .value = &entropy->estimator,
         .choices = "plug-in|miller-madow|chao-shen|grassberger|james-stein|nsb|all",
         .help = "How an entropy is estimated from counts (default plug-in, which is low where counts are few). "
                 "james-stein and nsb need the number of outcomes: give --counts zeros for those not seen, --answers "
                 "--outcomes; bytes have 256, and of words and characters those in the file count. all, with "
                 "--answers: each of them."},
        {.name = "unit",
         .type = OPTION_CHOICE,
         .value = &entropy->unit,
         .choices = "bits|nats|bans",
         .help = "The unit of the result, or with --answers of the summary (default bits)."},
        {.name = "tolerance",
         .type = OPTION_REAL,
         .value = &entropy->tolerance,
         .metavar = "X",
         .minimum = 0,
         .maximum = 0.5,
         .help = "How far from 1 the sum of probabilities may be (default 1e-6)."},
        {.letter = 'v',
         .name = "verbose",
         .type = OPTION_FLAG,
         .value = &entropy->verbose,
         .help = "Print the maximum and the ratio to it as well."},
    };
    memcpy(rows, table, sizeof table);
    answers_options(rows + OWN_OPTIONS, &settings->answers);
}

static int run(const command *command, int argc, char **argv) {
    settings settings = {.entropy = {.of = "bytes", .unit = "bits", .estimator = "plug-in", .tolerance = 1e-6},
                         .answers = ANSWERS_SETTINGS_INIT};
    option options[N_OPTIONS];
    operands operands;
    int exit_code;
    fill_options(options, &settings);
    if (!options_parse(command, options, N_OPTIONS, argc, argv, &operands, &exit_code))
        return exit_code;
    int source = find_source(&settings, &operands);
    if (source < 0 || !check(&settings, source))
        return EXIT_ERROR;
    if (source < N_LISTS)
        return run_list(&settings, source);
    if (!settings.of_answers)
        return run_files(&settings, &operands);
    settings.answers.estimator = settings.entropy.estimator;
    settings.answers.unit = settings.entropy.unit;
    if (!answers_settings_check(&settings.answers))
        return EXIT_ERROR;
    return answers_run(&settings.answers, &operands, command->name, argc, argv);
}

const command command_entropy = {
    .name = "entropy",
    .summary = "the entropy of probabilities, counts, a Gaussian, a file's symbols, or answers",
    .usage = "[options] FILE... | --answers FILE... | --probs LIST | --counts LIST | --gaussian-sigma LIST",
    .description =
        "Prints the Shannon entropy of a distribution given as numbers, or of the bytes, words or characters of files "
        "(- is standard input; .gz and .zst are read directly), in bits unless --unit says otherwise. With --answers, "
        "writes the semantic entropy of several answers to each prompt: JSON Lines with an array of answers "
        "(\"answers\", \"completions\", \"responses\", \"samples\", or OpenAI's \"choices\"; strings or objects), or "
        "with one answer each (\"answer\", \"completion\", \"response\" or \"text\").",
    .examples = "  entrol entropy --probs 0.2,0.3,0.5        a distribution\n"
                "  entrol entropy --counts 12,7,1 -v         what was counted, with the maximum\n"
                "  entrol entropy --counts 3,1,1,1,0,0 --estimator chao-shen   few answers to one prompt\n"
                "  entrol entropy --gaussian-sigma 0.5,2     a robot's policy with two dimensions\n"
                "  entrol entropy --of words book.txt.gz     a text's words\n"
                "  entrol entropy --answers sampled.jsonl --estimator chao-shen -o entropies.jsonl\n"
                "  entrol entropy --answers sampled.jsonl --label final_answer --estimator all\n",
    .run = run,
};
