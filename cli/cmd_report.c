/* entrol report: records as one HTML file that loads nothing, or the diversity of samples. */
#include "commands.h"
#include "diversity/diversity.h"
#include "formats/manifest.h"
#include "formats/records.h"
#include "message.h"
#include "open_files.h"
#include "options.h"
#include "output.h"
#include "report/html.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct settings {
    const char *title, *output, *unit;
    diversity_settings diversity;
    char **paths;
    size_t n_paths;
} settings;

static bool has_measures(const document *document, trouble *trouble) {
    if (document->columns[COLUMN_ENTROPY].is_present || document->columns[COLUMN_LOGPROB].is_present)
        return true;
    return trouble_set(trouble, "%s:%llu (%s): expected a column \"entropy\" or \"logprob\"%s", document->name,
                       (unsigned long long)document->line_number, document->id, document_lacks_columns(document));
}

static bool add_file(html_report *report, const char *path, trouble *trouble) {
    records *records = records_open(path, trouble);
    if (!records)
        return false;
    document document = {0};
    int more = 0;
    bool ok = true;
    while (ok && (more = records_next(records, &document, trouble)) > 0)
        ok = has_measures(&document, trouble) && html_document(report, &document, trouble);
    document_free(&document);
    records_close(records);
    return ok && more >= 0;
}

/* A manifest that cannot be read is said and left out: the records are what the report is for. */
static json_t *find_manifest(const char *path) {
    trouble trouble = {0};
    json_t *manifest = strcmp(path, "-") ? manifest_read(path, &trouble) : NULL;
    if (!manifest && trouble.text[0])
        message_warning("%s", trouble.text);
    return manifest;
}

static bool end_report(html_report *report, const settings *settings, trouble *trouble) {
    const char **names = calloc(settings->n_paths, sizeof *names);
    json_t **manifests = calloc(settings->n_paths, sizeof *manifests);
    bool ok = (names && manifests) || trouble_set(trouble, "not enough memory");
    for (size_t i = 0; ok && i < settings->n_paths; i++) {
        names[i] = strcmp(settings->paths[i], "-") ? settings->paths[i] : "standard input";
        manifests[i] = find_manifest(settings->paths[i]);
    }
    ok = ok && html_end(report, names, manifests, settings->n_paths, trouble);
    for (size_t i = 0; manifests && i < settings->n_paths; i++)
        json_decref(manifests[i]);
    free(manifests);
    free(names);
    return ok;
}

static bool write_report(output *output, const settings *settings, trouble *trouble) {
    html_report *report = html_begin(output, settings->title, !strcmp(settings->unit, "bits"), trouble);
    bool ok = report != NULL;
    for (size_t i = 0; ok && i < settings->n_paths; i++)
        ok = add_file(report, settings->paths[i], trouble);
    ok = ok && end_report(report, settings, trouble);
    html_free(report);
    return ok;
}

/* Before the output is opened, so that output_open can refuse to write over one of them. */
static bool look_at_inputs(const settings *settings, trouble *trouble) {
    struct stat status;
    for (size_t i = 0; i < settings->n_paths; i++)
        if (!open_files_look(settings->paths[i], &status, trouble))
            return false;
    return true;
}

static int run_report(const settings *settings) {
    trouble trouble = {0};
    if (!look_at_inputs(settings, &trouble))
        return message_trouble(&trouble);
    output *output = output_open(settings->output, &trouble);
    if (!output)
        return message_trouble(&trouble);
    if (!write_report(output, settings, &trouble)) {
        output_abandon(output, false);
        return message_trouble(&trouble);
    }
    return output_commit(output, false, &trouble) ? EXIT_DONE : message_trouble(&trouble);
}

static const char *default_title(const settings *settings) {
    const char *path = settings->paths[0], *slash = strrchr(path, '/');
    return !strcmp(path, "-") ? "Standard input" : slash && slash[1] ? slash + 1 : path;
}

enum { OWN_OPTIONS = 3, N_OPTIONS = OWN_OPTIONS + DIVERSITY_OPTIONS };

static void fill_options(option *rows, settings *settings) {
    const option table[OWN_OPTIONS] = {
        {.letter = 'o',
         .name = "output",
         .type = OPTION_STRING,
         .value = &settings->output,
         .metavar = "FILE",
         .help =
             "Where the report goes; \"-\" is standard output. The page needs one when standard output is a terminal."},
        {.name = "title",
         .type = OPTION_STRING,
         .value = &settings->title,
         .metavar = "TEXT",
         .help = "The report's heading. Default: the name of the first file."},
        {.name = "unit",
         .type = OPTION_CHOICE,
         .value = &settings->unit,
         .choices = "bits|nats",
         .help = "The unit shown. Default: bits."},
    };
    memcpy(rows, table, sizeof table);
    diversity_options(rows + OWN_OPTIONS, &settings->diversity);
}

static int run_diversity(const settings *settings) {
    trouble trouble = {0};
    if (settings->title)
        return message_error("--title is for the page, which --diversity does not write");
    if (!look_at_inputs(settings, &trouble))
        return message_trouble(&trouble);
    return diversity_run(&settings->diversity, settings->paths, settings->n_paths, settings->output, settings->unit);
}

static int run(const command *command, int argc, char **argv) {
    static char *standard_input[] = {"-"};
    settings given = {.unit = "bits"};
    option options[N_OPTIONS];
    operands operands;
    int exit_code;
    fill_options(options, &given);
    if (!options_parse(command, options, N_OPTIONS, argc, argv, &operands, &exit_code))
        return exit_code;
    given.paths = operands.n_items ? operands.items : standard_input;
    given.n_paths = operands.n_items ? (size_t)operands.n_items : 1;
    if (given.diversity.is_wanted)
        return run_diversity(&given);
    if (given.diversity.is_given)
        return message_error("expected --diversity with --json, --of, --group, --label and --reference, which are for "
                             "it alone");
    if (!given.title)
        given.title = default_title(&given);
    if (!given.output && isatty(STDOUT_FILENO))
        return message_error("report would fill the terminal with HTML: name a file with -o report.html");
    return run_report(&given);
}

const command command_report = {
    .name = "report",
    .summary = "records as one HTML file that needs no network, or how diverse samples are",
    .usage = "[options] [FILE...] | --diversity [FILE...]",
    .description =
        "Writes token records (JSON Lines or .safetensors, also .gz and .zst; standard input without a FILE) as one "
        "HTML page: "
        "the text as a heat map, distributions, the worst documents, spans and tokens, and how it was made "
        "(from FILE.manifest.json). The page loads nothing and runs nothing but its own script. With --diversity, "
        "prints how diverse samples of prompts are instead: records, or JSON Lines with a text or an array of texts.",
    .examples = "  entrol report -o report.html records.jsonl            the page\n"
                "  entrol score text.txt | entrol report -o report.html  from a text in one go\n"
                "  entrol report --diversity greedy.jsonl sampled.jsonl  two ways to generate, compared\n",
    .run = run,
};
