/* `entrol entropy`: the entropy of a distribution, of counts, of a Gaussian, or of the symbols of a file. */
#include "buffer.h"
#include "commands.h"
#include "input.h"
#include "message.h"
#include "number_list.h"
#include "open_context.h"
#include "output.h"
#include "symbols.h"

#include <entrol/entrol.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *probs, *log_probs, *counts, *sigma;
    const char *of, *unit, *estimator;
    double tolerance;
    bool verbose;
} settings;

/* What is printed about one source. */
typedef struct result {
    double nats;
    size_t n_outcomes;  /* 0: the entropy has no maximum */
    uint64_t n_symbols; /* of a file; 0: not a file */
    size_t n_distinct;
} result;

static double nats_per_unit(const char *unit) {
    if (strcmp(unit, "bits") == 0)
        return log(2);
    return strcmp(unit, "bans") == 0 ? log(10) : 1;
}

static double in_unit(const settings *settings, double nats) {
    double value = nats / nats_per_unit(settings->unit);
    return value == 0 ? 0 : value; /* no "-0" */
}

/* The sum that was found, and the first value that is no probability. */
static bool report_distribution(const char *name, const double *values, size_t n_values, bool is_log,
                                const entrol_diagnosis *diagnosis, double tolerance, trouble *trouble) {
    double sum = 0;
    for (size_t i = 0; i < n_values; i++)
        sum += is_log ? exp(values[i]) : values[i];
    if (diagnosis->reason != ENTROL_REASON_SUM)
        return trouble_set(trouble, "%s: expected %s, found %.10g as number %zu", name,
                           is_log ? "natural log-probabilities, which are at most 0" : "probabilities from 0 to 1",
                           values[diagnosis->first_column], diagnosis->first_column + 1);
    return trouble_set(trouble, "%s: expected probabilities that sum to 1 (within %g), found a sum of %.10g%s", name,
                       tolerance, sum, is_log ? "" : "; --counts takes any whole numbers");
}

static bool measure_distribution(const settings *settings, const char *name, const char *list, bool is_log,
                                 result *result, trouble *trouble) {
    double *values;
    size_t n_values;
    if (!number_list_reals(name, list, &values, &n_values, trouble))
        return false;
    entrol_context *context = open_context(0, trouble);
    if (context == NULL) {
        free(values);
        return false;
    }
    entrol_matrix matrix = {values, ENTROL_F64, 1, n_values, (ptrdiff_t)n_values};
    entrol_diagnosis diagnosis;
    entrol_status status =
        entrol_entropy_of_distributions(context, &result->nats, &diagnosis, &matrix,
                                        is_log ? ENTROL_LOG_PROBABILITIES : ENTROL_PROBABILITIES, settings->tolerance);
    entrol_context_destroy(context);
    result->n_outcomes = n_values;
    bool ok = status == ENTROL_OK || trouble_set(trouble, "%s: %s", name, entrol_status_string(status));
    if (ok && diagnosis.n_bad > 0)
        ok = report_distribution(name, values, n_values, is_log, &diagnosis, settings->tolerance, trouble);
    free(values);
    return ok;
}

static bool measure_counts(const settings *settings, const char *name, const uint64_t *counts, size_t n_counts,
                           result *result, trouble *trouble) {
    entrol_estimator estimator = ENTROL_ESTIMATOR_PLUG_IN;
    entrol_context *context = open_context(1, trouble);
    if (context == NULL)
        return false;
    entrol_estimator_parse(&estimator, settings->estimator); /* the options know the names, too */
    entrol_status status = entrol_entropy_of_counts(context, &result->nats, counts, n_counts, estimator);
    entrol_context_destroy(context);
    if (status)
        return trouble_set(trouble, "%s: %s", name, entrol_status_string(status));
    result->n_outcomes = n_counts;
    return !isnan(result->nats) || trouble_set(trouble, "%s: expected a count above 0, found none", name);
}

static bool measure_count_list(const settings *settings, const char *list, result *result, trouble *trouble) {
    uint64_t *counts;
    size_t n_counts;
    if (!number_list_counts("--counts", list, &counts, &n_counts, trouble))
        return false;
    bool ok = measure_counts(settings, "--counts", counts, n_counts, result, trouble);
    free(counts);
    return ok;
}

static bool measure_gaussian(const char *list, result *result, trouble *trouble) {
    double *sigma;
    size_t n_dimensions;
    if (!number_list_reals("--gaussian-sigma", list, &sigma, &n_dimensions, trouble))
        return false;
    bool ok = true;
    for (size_t i = 0; i < n_dimensions && ok; i++)
        if (!(sigma[i] >= 0) || isinf(sigma[i]))
            ok =
                trouble_set(trouble, "--gaussian-sigma: expected standard deviations from 0, found %.10g as number %zu",
                            sigma[i], i + 1);
    entrol_status status = ok ? entrol_gaussian_entropy(&result->nats, sigma, n_dimensions) : ENTROL_OK;
    free(sigma);
    return ok && (status == ENTROL_OK || trouble_set(trouble, "%s", entrol_status_string(status)));
}

enum { ALL_BYTES = 256 };

/* Counts of 0 for the bytes that did not occur. */
static bool give_every_byte(symbol_counts *counts) {
    uint64_t *all = calloc(ALL_BYTES, sizeof *all);
    if (!all)
        return false;
    memcpy(all, counts->counts, counts->n_symbols * sizeof *all);
    free(counts->counts);
    counts->counts = all;
    return true;
}

static bool measure_file(const settings *settings, const char *path, result *result, trouble *trouble) {
    symbol_kind kind = strcmp(settings->of, "bytes") == 0        ? SYMBOL_BYTES
                       : strcmp(settings->of, "characters") == 0 ? SYMBOL_CHARACTERS
                                                                 : SYMBOL_WORDS;
    input *input = input_open(path, trouble);
    symbol_counts counts = {0};
    bool ok = input && symbols_count(&counts, input, kind, trouble);
    if (ok && counts.n_total == 0)
        ok = trouble_set(trouble, "%s: expected %s, found none", input_name(input), settings->of);
    ok = ok && (kind != SYMBOL_BYTES || give_every_byte(&counts) || trouble_set(trouble, "out of memory"));
    ok = ok && measure_counts(settings, input_name(input), counts.counts,
                              kind == SYMBOL_BYTES ? ALL_BYTES : counts.n_symbols, result, trouble);
    result->n_symbols = counts.n_total;
    result->n_distinct = counts.n_symbols;
    if (kind == SYMBOL_BYTES) /* bytes have a known alphabet; of others only what occurred is known */
        result->n_outcomes = ALL_BYTES;
    free(counts.counts);
    input_close(input);
    return ok;
}

static void describe(buffer *text, const settings *settings, const result *result) {
    double value = in_unit(settings, result->nats);
    if (result->n_symbols > 0)
        buffer_append_format(text, "%s: %llu, %zu distinct\n", settings->of, (unsigned long long)result->n_symbols,
                             result->n_distinct);
    buffer_append_format(text, "entropy: %.10g %s\n", value, settings->unit);
    if (result->n_outcomes == 0) {
        buffer_append_string(text, "maximum: none (a differential entropy has no bound, and can be negative)\n");
        return;
    }
    double maximum = in_unit(settings, log((double)result->n_outcomes));
    buffer_append_format(text, "maximum: %.10g %s (%zu outcome%s)\n", maximum, settings->unit, result->n_outcomes,
                         result->n_outcomes == 1 ? "" : "s");
    if (maximum > 0)
        buffer_append_format(text, "ratio: %.10g\n", value / maximum);
}

/* `path` is NULL where there is only one source. */
static int print_result(const settings *settings, const result *result, const char *path) {
    buffer text = {0};
    trouble trouble;
    char name[4096] = "";
    if (path)
        message_escape(name, sizeof name, path, strlen(path));
    if (path && settings->verbose)
        buffer_append_format(&text, "%s\n", name);
    if (settings->verbose)
        describe(&text, settings, result);
    else
        buffer_append_format(&text, "%.10g %s%s%s\n", in_unit(settings, result->nats), settings->unit, path ? "  " : "",
                             name);
    output *output = output_open("-", &trouble);
    bool ok = output && (!text.failed || trouble_set(&trouble, "out of memory")) &&
              output_write(output, text.data, text.size, &trouble);
    ok = output && output_commit(output, false, &trouble) && ok;
    buffer_free(&text);
    return ok ? EXIT_DONE : message_trouble(&trouble);
}

static int run_files(const settings *settings, const operands *operands) {
    for (int i = 0; i < operands->n_items; i++) {
        result result = {0};
        trouble trouble;
        if (!measure_file(settings, operands->items[i], &result, &trouble))
            return message_trouble(&trouble);
        int exit_code = print_result(settings, &result, operands->n_items > 1 ? operands->items[i] : NULL);
        if (exit_code)
            return exit_code;
    }
    return EXIT_DONE;
}

/* A list of "-" is read from standard input. */
static bool read_list(const char **list, char **owned, trouble *trouble) {
    enum { MAX_LIST = 64 << 20 };
    size_t n;
    if (!*list || strcmp(*list, "-") != 0)
        return true;
    input *input = input_open("-", trouble);
    bool ok = input && input_all(input, owned, &n, MAX_LIST, trouble);
    if (ok && strlen(*owned) != n)
        ok = trouble_set(trouble, "standard input: expected numbers, found a NUL");
    input_close(input);
    *list = *owned;
    return ok;
}

static int run_list(settings *settings) {
    result result = {0};
    trouble trouble;
    char *owned = NULL;
    const char **list = settings->probs       ? &settings->probs
                        : settings->log_probs ? &settings->log_probs
                        : settings->counts    ? &settings->counts
                                              : &settings->sigma;
    bool ok = read_list(list, &owned, &trouble);
    if (ok && settings->probs)
        ok = measure_distribution(settings, "--probs", *list, false, &result, &trouble);
    else if (ok && settings->log_probs)
        ok = measure_distribution(settings, "--log-probs", *list, true, &result, &trouble);
    else if (ok && settings->counts)
        ok = measure_count_list(settings, *list, &result, &trouble);
    else if (ok)
        ok = measure_gaussian(*list, &result, &trouble);
    free(owned);
    return ok ? print_result(settings, &result, NULL) : message_trouble(&trouble);
}

static int run(const command *command, int argc, char **argv) {
    settings settings = {.of = "bytes", .unit = "bits", .estimator = "plug-in", .tolerance = 1e-6};
    const option options[] = {
        {.name = "probs",
         .type = OPTION_STRING,
         .value = &settings.probs,
         .metavar = "LIST",
         .help = "Probabilities that sum to 1: 0.2,0.3,0.5 or 1/3,2/3. - reads them from standard input."},
        {.name = "log-probs",
         .type = OPTION_STRING,
         .value = &settings.log_probs,
         .metavar = "LIST",
         .help = "The same as natural logarithms; -inf is impossible."},
        {.name = "counts",
         .type = OPTION_STRING,
         .value = &settings.counts,
         .metavar = "LIST",
         .help = "How often each outcome was seen: whole numbers."},
        {.name = "gaussian-sigma",
         .type = OPTION_STRING,
         .value = &settings.sigma,
         .metavar = "LIST",
         .help = "The standard deviations of a Gaussian with independent dimensions: its differential entropy."},
        {.name = "of",
         .type = OPTION_CHOICE,
         .value = &settings.of,
         .choices = "bytes|words|characters",
         .help = "What is counted in a FILE (default bytes). Words are runs of what is not white space."},
        {.name = "estimator",
         .type = OPTION_CHOICE,
         .value = &settings.estimator,
         .choices = "plug-in|miller-madow|chao-shen|grassberger|james-stein|nsb",
         .help = "How an entropy is estimated from counts (default plug-in, which is low where counts are few). "
                 "james-stein and "
                 "nsb need the number of outcomes: give --counts zeros for those not seen; bytes have 256, and of "
                 "words and "
                 "characters those in the file count."},
        {.name = "unit",
         .type = OPTION_CHOICE,
         .value = &settings.unit,
         .choices = "bits|nats|bans",
         .help = "The unit of the result (default bits)."},
        {.name = "tolerance",
         .type = OPTION_REAL,
         .value = &settings.tolerance,
         .metavar = "X",
         .minimum = 0,
         .maximum = 0.5,
         .help = "How far from 1 the sum of probabilities may be (default 1e-6)."},
        {.letter = 'v',
         .name = "verbose",
         .type = OPTION_FLAG,
         .value = &settings.verbose,
         .help = "Print the maximum and the ratio to it as well."},
    };
    operands operands;
    int exit_code;
    if (!options_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands, &exit_code))
        return exit_code;
    int n_lists =
        (settings.probs != NULL) + (settings.log_probs != NULL) + (settings.counts != NULL) + (settings.sigma != NULL);
    if (n_lists + (operands.n_items > 0) != 1)
        return message_error("expected one of --probs, --log-probs, --counts, --gaussian-sigma or FILE..., found %s",
                             n_lists + operands.n_items == 0 ? "none" : "several");
    if (strcmp(settings.estimator, "plug-in") != 0 && (settings.probs || settings.log_probs || settings.sigma))
        return message_error("--estimator is for counts: --counts or FILE...");
    return n_lists > 0 ? run_list(&settings) : run_files(&settings, &operands);
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
