/* `entrol entropy`: the entropy of a distribution, of counts, of a Gaussian, or of the symbols of a file. */
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

/* The one source that was given: a row of the table, or N_LISTS for files; -1 where there is none, or more. */
static int find_source(const settings *settings, const operands *operands) {
    int found = operands->n_items > 0 ? N_LISTS : -1, n = operands->n_items > 0;
    for (int i = 0; i < N_LISTS; i++)
        if (settings->lists[i]) {
            found = i;
            n++;
        }
    if (n == 1)
        return found;
    message_error("expected one of --probs, --log-probs, --counts, --gaussian-sigma or FILE..., found %s",
                  n == 0 ? "none" : "several");
    return -1;
}

enum { N_OPTIONS = N_LISTS + 5 };

static void fill_options(option *rows, settings *settings) {
    entropy_settings *entropy = &settings->entropy;
    const option table[N_OPTIONS] = {
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
        {.name = "of",
         .type = OPTION_CHOICE,
         .value = &entropy->of,
         .choices = "bytes|words|characters",
         .help = "What is counted in a FILE (default bytes). Words are runs of what is not white space."},
        {.name = "estimator",
         .type = OPTION_CHOICE,
         .value = &entropy->estimator,
         .choices = "plug-in|miller-madow|chao-shen|grassberger|james-stein|nsb",
         .help = "How an entropy is estimated from counts (default plug-in, which is low where counts are few). "
                 "james-stein and nsb need the number of outcomes: give --counts zeros for those not seen; bytes have "
                 "256, and of words and characters those in the file count."},
        {.name = "unit",
         .type = OPTION_CHOICE,
         .value = &entropy->unit,
         .choices = "bits|nats|bans",
         .help = "The unit of the result (default bits)."},
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
}

static int run(const command *command, int argc, char **argv) {
    settings settings = {.entropy = {.of = "bytes", .unit = "bits", .estimator = "plug-in", .tolerance = 1e-6}};
    option options[N_OPTIONS];
    operands operands;
    int exit_code;
    fill_options(options, &settings);
    if (!options_parse(command, options, N_OPTIONS, argc, argv, &operands, &exit_code))
        return exit_code;
    int source = find_source(&settings, &operands);
    if (source < 0)
        return EXIT_ERROR;
    if (source < N_LISTS && !sources[source].has_counts && strcmp(settings.entropy.estimator, "plug-in") != 0)
        return message_error("--estimator is for counts: --counts or FILE...");
    return source < N_LISTS ? run_list(&settings, source) : run_files(&settings, &operands);
}

const command command_entropy = {
    .name = "entropy",
    .summary = "the entropy of probabilities, counts, a Gaussian, or a file's symbols",
    .usage = "[options] FILE... | --probs LIST | --counts LIST | --gaussian-sigma LIST",
    .description =
        "Prints the Shannon entropy of a distribution given as numbers, or of the bytes, words or characters "
        "of files (- is standard input; .gz and .zst are read directly), in bits unless --unit says "
        "otherwise.",
    .examples = "  entrol entropy --probs 0.2,0.3,0.5        a distribution\n"
                "  entrol entropy --counts 12,7,1 -v         what was counted, with the maximum\n"
                "  entrol entropy --counts 3,1,1,1,0,0 --estimator chao-shen   few answers to one prompt\n"
                "  entrol entropy --gaussian-sigma 0.5,2     a robot's policy with two dimensions\n"
                "  entrol entropy --of words book.txt.gz     a text's words\n",
    .run = run,
};
