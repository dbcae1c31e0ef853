/* entrol show: records as a heat map in the terminal, and a table of the worst tokens. */
#include "commands.h"
#include "formats/records.h"
#include "message.h"
#include "options.h"
#include "output.h"
#include "report/painting.h"
#include "report/worst.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct settings {
    const char *by, *unit, *color, *style, *theme;
    double scale;
    int64_t width, limit, n_top;
    string_list documents;
} settings;

typedef struct show {
    const settings *settings;
    painting painting;
    output *output;
    buffer out;
    size_t n_shown;
    worst_tokens worst;
} show;

static bool is_wanted(const show *show, const document *document) {
    const string_list *wanted = &show->settings->documents;
    for (size_t i = 0; i < wanted->n_items; i++)
        if (!strcmp(wanted->items[i], document->id))
            return true;
    return wanted->n_items == 0;
}

static bool is_done(const show *show) {
    return show->settings->limit > 0 && show->n_shown >= (size_t)show->settings->limit;
}

static bool write_out(show *show, trouble *trouble) {
    if (show->out.failed)
        return trouble_set(trouble, "not enough memory");
    bool ok = output_write(show->output, show->out.data ? show->out.data : "", show->out.size, trouble);
    buffer_clear(&show->out);
    return ok;
}

static bool paint_document(show *show, const document *document, const pieces *pieces, const float *values,
                           trouble *trouble) {
    painting *painting = &show->painting;
    if (!painting_document(&show->out, painting, document, pieces, values))
        return trouble_set(trouble, "not enough memory");
    scale scale = scale_fit(&painting->scale, values, document->n_tokens);
    if (show->settings->n_top && !worst_add(&show->worst, document, pieces, values, &scale, &painting->painter))
        return trouble_set(trouble, "not enough memory");
    return write_out(show, trouble);
}

static bool show_document(show *show, const document *document, trouble *trouble) {
    pieces pieces = {0};
    float *values = NULL;
    bool ok = measure_values(&values, document, &show->painting.scale.measure, trouble);
    if (ok) {
        ok = pieces_make(&pieces, document) || trouble_set(trouble, "not enough memory");
        ok = ok && paint_document(show, document, &pieces, values, trouble);
    }
    show->n_shown++;
    free(values);
    pieces_free(&pieces);
    return ok;
}

static bool show_file(show *show, const char *path, trouble *trouble) {
    records *records = records_open(path, trouble);
    if (!records)
        return false;
    document document = {0};
    int more = 0;
    bool ok = true;
    while (ok && !is_done(show) && (more = records_next(records, &document, trouble)) > 0)
        if (is_wanted(show, &document))
            ok = show_document(show, &document, trouble);
    document_free(&document);
    records_close(records);
    return ok && more >= 0;
}

static bool show_files(show *show, const operands *operands, trouble *trouble) {
    static char *standard_input[] = {"-"};
    char **paths = operands->n_items ? operands->items : standard_input;
    int n_paths = operands->n_items ? operands->n_items : 1;
    painting_legend(&show->out, &show->painting);
    for (int i = 0; i < n_paths; i++)
        if (!is_done(show) && !show_file(show, paths[i], trouble))
            return false;
    if (show->settings->n_top && show->n_shown)
        worst_append(&show->out, &show->worst, &show->painting.scale);
    return write_out(show, trouble);
}

static int run_show(show *show, const operands *operands) {
    const settings *settings = show->settings;
    trouble trouble = {0};
    show->painting.scale = scale_make(settings->by, !strcmp(settings->unit, "bits"), settings->scale);
    show->painting.painter = painting_painter(settings->color, settings->style, settings->theme,
                                              (size_t)settings->width, show->painting.scale.measure.is_flag);
    if (settings->n_top && show->painting.scale.measure.is_flag)
        return message_error("--top ranks by a number: --by keep has none");
    if (show->painting.scale.measure.has_range && show->painting.scale.high <= show->painting.scale.low)
        return message_error("--scale %g: the scale of %s starts at %g; expected more", settings->scale,
                             show->painting.scale.measure.name, show->painting.scale.low);
    bool ok = worst_make(&show->worst, (size_t)settings->n_top) || trouble_set(&trouble, "not enough memory");
    ok = ok && (show->output = output_open("-", &trouble)) && show_files(show, operands, &trouble);
    if (ok) {
        ok = output_commit(show->output, false, &trouble);
    } else {
        output_abandon(show->output, false);
    }
    worst_free(&show->worst);
    buffer_free(&show->out);
    if (!ok)
        return message_trouble(&trouble);
    if (!show->n_shown && settings->documents.n_items) {
        message_warning("no document is called \"%s\"", settings->documents.items[0]);
        return EXIT_NOTHING_SELECTED;
    }
    return EXIT_DONE;
}

static settings given = {
    .by = "entropy", .scale = NAN, .unit = "bits", .color = "auto", .style = "background", .theme = "auto"};

static const option options[] = {
    {.name = "by",
     .type = OPTION_STRING,
     .value = &given.by,
     .metavar = "COLUMN",
     .help = "What the colour says: entropy (default), surprisal, rank, varentropy, keep or any other column of "
             "numbers."},
    {.name = "unit",
     .type = OPTION_CHOICE,
     .value = &given.unit,
     .choices = "bits|nats",
     .help = "The unit shown. Default: bits."},
    {.name = "scale",
     .type = OPTION_REAL,
     .value = &given.scale,
     .metavar = "MAX",
     .minimum = -1e9,
     .maximum = 1e9,
     .help = "The value at the end of the scale, in the unit shown. Default: 10 bits of entropy, 15 of surprisal."},
    {.name = "doc",
     .type = OPTION_STRINGS,
     .value = &given.documents,
     .metavar = "ID",
     .help = "Show this document only; may be given again."},
    {.letter = 'n',
     .name = "limit",
     .type = OPTION_INTEGER,
     .value = &given.limit,
     .metavar = "N",
     .minimum = 1,
     .maximum = 1e15,
     .help = "Show at most so many documents. Default: all."},
    {.name = "top",
     .type = OPTION_INTEGER,
     .value = &given.n_top,
     .metavar = "N",
     .minimum = 1,
     .maximum = 1000,
     .help = "After the text, the N worst tokens (at most 1000) with the text around them and what the model "
             "expected."},
    {.name = "color",
     .type = OPTION_CHOICE,
     .value = &given.color,
     .choices = "auto|always|never|16|256|truecolor",
     .help = "Default: auto, which looks at the terminal, NO_COLOR, COLORTERM and TERM."},
    {.name = "style",
     .type = OPTION_CHOICE,
     .value = &given.style,
     .choices = "background|underline|marks",
     .help = "Default: background. Marks draw the values as a line of blocks below the text, as without colour."},
    {.name = "theme",
     .type = OPTION_CHOICE,
     .value = &given.theme,
     .choices = "auto|dark|light",
     .help = "The terminal's background. Default: by COLORFGBG, else dark."},
    {.name = "width",
     .type = OPTION_INTEGER,
     .value = &given.width,
     .metavar = "COLUMNS",
     .minimum = 10,
     .maximum = 10000,
     .help = "Columns of a line. Default: the terminal's, else 80."},
};

static int run(const command *command, int argc, char **argv) {
    show show = {.settings = &given};
    operands operands;
    int exit_code;
    if (!options_parse(command, options, sizeof options / sizeof *options, argc, argv, &operands, &exit_code))
        return exit_code;
    return run_show(&show, &operands);
}

const command command_show = {
    .name = "show",
    .summary = "records as a heat map in the terminal",
    .usage = "[options] [FILE...]",
    .description =
        "Prints the text of token records (JSON Lines or .safetensors, also .gz and .zst; standard input without a "
        "FILE) with "
        "each token coloured by its entropy or another column. Without colour a line of blocks below the "
        "text says the same. Tokens that end inside a character are joined until it is whole and count as "
        "the worst of them. Characters that would disturb the terminal are written as <U+XXXX>.",
    .examples = "  entrol show records.jsonl                    the entropy of every token\n"
                "  entrol show --by rank --top 10 records.jsonl  ranks, and the ten worst tokens\n"
                "  entrol score text.txt | entrol show -n 1      the first document as it is scored\n",
    .run = run,
};
