/* Where texts go: to standard output as they grow or as lines of JSON, to a file, to a trace, and to people. */
#include "generate.h"

#ifdef ENTROL_HAVE_LLAMA

#include "../formats/container.h"
#include "../output.h"
#include "../report/painting.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct generate_writer {
    const generate_settings *settings;
    const generator *generator;
    output *texts, *trace, *people; /* NULL: not wanted */
    container_writer *container;    /* of the trace, where it is one */
    bool is_one_text;               /* there is one, written as it is */
    output *stream;                 /* that text goes there as it grows; NULL: it does not */
    bool escapes;                   /* the stream is a terminal */
    painting painting;
    size_t n_bytes, n_tokens; /* of the stream's text, so far */
    buffer line;
};

static bool goes_to_stdout(const char *path) {
    return path != NULL && strcmp(path, "-") == 0;
}

static void free_writer(generate_writer *writer) {
    container_writer_close(writer->container);
    buffer_free(&writer->line);
    free(writer);
}

static bool open_outputs(generate_writer *writer, trouble *trouble) {
    const generate_settings *settings = writer->settings;
    const bool is_taken = settings->shows || goes_to_stdout(settings->trace_path);
    if (settings->output_path != NULL || !is_taken)
        if ((writer->texts = output_open(settings->output_path, trouble)) == NULL)
            return false;
    if (settings->trace_path != NULL && (writer->trace = output_open(settings->trace_path, trouble)) == NULL)
        return false;
    if (settings->trace_path != NULL && container_is_path(settings->trace_path) &&
        (writer->container = container_writer_open(trouble)) == NULL)
        return false;
    return !settings->shows || (writer->people = output_open("-", trouble)) != NULL;
}

generate_writer *generate_writer_open(const generate_settings *settings, trouble *trouble) {
    generate_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        trouble_set(trouble, "out of memory");
        return NULL;
    }
    writer->settings = settings;
    writer->painting.scale = scale_make("entropy", true, NAN);
    writer->painting.painter = painting_painter("auto", "background", "auto", 0, false);
    if (open_outputs(writer, trouble))
        return writer;
    struct trouble ignored;
    generate_writer_close(writer, false, &ignored);
    return NULL;
}

static bool write_line(generate_writer *writer, output *output, trouble *trouble) {
    bool ok = writer->line.failed
                  ? trouble_set(trouble, "out of memory for a line of output")
                  : output_write(output, writer->line.size > 0 ? writer->line.data : "", writer->line.size, trouble);
    buffer_clear(&writer->line);
    return ok;
}

/* --- One text, as it grows --- */

static bool ends_character(const buffer *bytes, size_t at) {
    return at == bytes->size || ((unsigned char)bytes->data[at] & 0xc0) != 0x80;
}

/* The tokens that have settled, each with the colour of its entropy; those that share a character are one piece. */
static void append_pieces(generate_writer *writer, const made_text *text, size_t n_settled) {
    const scale *scale = &writer->painting.scale;
    const bool is_coloured = writer->people != NULL;
    for (size_t last = writer->n_tokens; last < text->n_tokens; last++) {
        const size_t end = text->tokens[last].byte_end;
        if (end > n_settled)
            return;
        if (!ends_character(&text->bytes, end))
            continue;
        double worst = 0;
        for (size_t i = writer->n_tokens; i <= last; i++)
            worst = fmax(worst, text->tokens[i].drawn.entropy);
        const int level = is_coloured ? scale_level(scale, worst * scale->factor, TERMINAL_LEVELS) : LEVEL_MISSING;
        terminal_stream(&writer->line, &writer->painting.painter,
                        &(painted){text->bytes.data + writer->n_bytes, end - writer->n_bytes, level});
        writer->n_bytes = end;
        writer->n_tokens = last + 1;
    }
}

static bool on_growth(void *user, const made_text *text, trouble *trouble) {
    generate_writer *writer = user;
    const size_t n_settled = made_text_settled(text, &writer->settings->stops);
    if (writer->people != NULL || writer->escapes) {
        append_pieces(writer, text, n_settled);
    } else if (n_settled > writer->n_bytes) {
        generate_append_clean(&writer->line, text->bytes.data + writer->n_bytes, n_settled - writer->n_bytes);
        writer->n_bytes = n_settled;
    }
    return write_line(writer, writer->stream, trouble) && output_flush(writer->stream, trouble);
}

/* --- Texts that are there --- */

static void append_one_text(buffer *out, const document *document) {
    buffer_append(out, document->text, document->text_size);
    if (document->text_size == 0 || document->text[document->text_size - 1] != '\n')
        buffer_append(out, "\n", 1);
}

/* What the stream does not have yet: where the text was interrupted, or held back what was no stop string. */
static bool end_stream(generate_writer *writer, const made_text *text, trouble *trouble) {
    if (!on_growth(writer, text, trouble))
        return false;
    const bool ends_line = text->bytes.size > 0 && text->bytes.data[text->bytes.size - 1] == '\n';
    buffer_append(&writer->line, "\n", ends_line && writer->people == NULL ? 0 : 1);
    return write_line(writer, writer->stream, trouble);
}

static bool add_people(generate_writer *writer, const document *record, trouble *trouble) {
    float *values = NULL;
    pieces pieces = {0};
    bool ok = measure_values(&values, record, &writer->painting.scale.measure, trouble);
    if (ok &&
        !(pieces_make(&pieces, record) && painting_document(&writer->line, &writer->painting, record, &pieces, values)))
        ok = trouble_set(trouble, "not enough memory");
    free(values);
    pieces_free(&pieces);
    return ok && write_line(writer, writer->people, trouble);
}

static bool add_trace(generate_writer *writer, const document *record, trouble *trouble) {
    if (writer->container != NULL)
        return container_writer_add(writer->container, record, trouble);
    record_write(&writer->line, record);
    return write_line(writer, writer->trace, trouble);
}

static bool add_record(generate_writer *writer, const generate_prompt *prompt, const made_text *text,
                       trouble *trouble) {
    const generator *generator = writer->generator;
    document record = {0};
    const bool for_people = writer->people != NULL && writer->stream == NULL;
    bool ok = true;
    if (writer->trace != NULL || for_people) {
        ok = generate_record(&record, generator, prompt, text, true, trouble) &&
             (!for_people || add_people(writer, &record, trouble)) &&
             (writer->trace == NULL || add_trace(writer, &record, trouble));
        document_free(&record);
    }
    if (!ok || writer->texts == NULL || writer->texts == writer->stream)
        return ok;
    ok = generate_record(&record, generator, prompt, text, false, trouble);
    if (ok && writer->is_one_text)
        append_one_text(&writer->line, &record);
    else if (ok)
        record_write(&writer->line, &record);
    document_free(&record);
    return ok && write_line(writer, writer->texts, trouble);
}

/* What comes out of a pipe comes with the text. */
static bool flush(output *output, trouble *trouble) {
    return output == NULL || output_flush(output, trouble);
}

static bool on_texts(void *user, const generate_prompt *prompt, made_text *const *texts, size_t n, trouble *trouble) {
    generate_writer *writer = user;
    for (size_t i = 0; i < n; i++) {
        if (writer->stream != NULL && !end_stream(writer, texts[i], trouble))
            return false;
        if (!add_record(writer, prompt, texts[i], trouble))
            return false;
    }
    return flush(writer->texts, trouble) && flush(writer->people, trouble) && flush(writer->trace, trouble);
}

/* Of all prompts, where they are known; 0: they are not, or have no limit. */
static uint64_t most_tokens(const generate_settings *settings) {
    const bool is_known = settings->files.n_items == 0 && settings->n_tokens > 0 && isnan(settings->branch_above);
    return is_known ? settings->prompts.n_items * (uint64_t)settings->n_samples * (uint64_t)settings->n_tokens : 0;
}

void generate_writer_begin(generate_writer *writer, generator *generator, bool is_only_prompt) {
    const generate_settings *settings = writer->settings;
    const bool in_color = writer->painting.painter.depth != COLOR_NONE;
    writer->is_one_text = is_only_prompt && settings->n_samples == 1 && isnan(settings->branch_above);
    if (writer->people != NULL)
        painting_legend(&writer->line, &writer->painting);
    if (writer->is_one_text && writer->people != NULL && in_color)
        writer->stream = writer->people;
    if (writer->is_one_text && writer->people == NULL && writer->texts != NULL && settings->output_path == NULL)
        writer->stream = writer->texts;
    writer->escapes = isatty(STDOUT_FILENO) != 0;
    writer->generator = generator;
    generator->user = writer;
    generator->on_texts = on_texts;
    if (writer->stream != NULL)
        generator->on_growth = on_growth;
    else
        progress_begin(&generator->progress, "tokens", most_tokens(settings));
}

/* --- The end --- */

bool generate_writer_close(generate_writer *writer, bool ok, trouble *trouble) {
    output *outputs[] = {writer->people, writer->texts, writer->trace};
    ok = ok && (writer->container == NULL || container_writer_finish(writer->container, writer->trace, trouble));
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        if (outputs[i] != NULL && ok)
            ok = output_commit(outputs[i], false, trouble);
        else
            output_abandon(outputs[i], false);
    }
    free_writer(writer);
    return ok;
}

#endif
