/* Recorded log-probabilities: by which server, and how much of them. */
#include "inspect.h"
#include "formats/kld.h"
#include "formats/texts.h"

#include <stdio.h>
#include <string.h>

typedef struct summary {
    uint64_t n_documents, n_tokens;
    buffer names; /* of the formats, in the order in which they came */
} summary;

static void add_name(buffer *names, const char *name) {
    if (!names->data || !strstr(names->data, name))
        buffer_append_format(names, "%s%s", names->size > 0 ? ", " : "", name);
}

static bool add_line(summary *summary, const text_document *line, const char *name, trouble *trouble) {
    logprobs response;
    if (!line->recorded)
        return trouble_set(trouble,
                           "%s:%llu: expected recorded log-probabilities, as in the lines before, found a text", name,
                           (unsigned long long)line->line_number);
    bool ok = logprobs_read(&response, line->recorded, line->fields, name, line->line_number, trouble);
    for (size_t i = 0; ok && i < response.n_choices; i++) {
        summary->n_documents++;
        summary->n_tokens += response.choices[i].n_tokens;
    }
    add_name(&summary->names, logprobs_format_name(line->recorded));
    logprobs_free(&response);
    return ok;
}

bool inspect_recorded(buffer *text, input *input, trouble *trouble) {
    text_options options = {.recorded = true};
    text_document line = {0};
    summary summary = {0};
    char name[4096];
    snprintf(name, sizeof name, "%s", input_name(input));
    texts *texts = texts_open_input(input, &options, trouble);
    int status = texts ? 1 : -1;
    while (status == 1 && (status = texts_next(texts, &line, trouble)) == 1)
        if (!add_line(&summary, &line, name, trouble))
            status = -1;
    text_document_free(&line);
    texts_close(texts);
    if (status == 0) {
        inspect_line(text, "kind", "recorded log-probabilities, %s", summary.names.failed ? "" : summary.names.data);
        inspect_line(text, "documents", "%llu", (unsigned long long)summary.n_documents);
        inspect_line(text, "tokens", "%llu", (unsigned long long)summary.n_tokens);
    }
    buffer_free(&summary.names);
    return status == 0;
}

static bool check_rows(const kld_file *file, trouble *trouble) {
    kld_row row;
    int64_t token;
    for (size_t chunk = 0; chunk < file->n_chunks; chunk++)
        for (size_t index = 0; index < file->n_rows; index++)
            if (!kld_row_at(&row, file, chunk, index, trouble) || !kld_token_at(&token, file, chunk, index, trouble))
                return false;
    return true;
}

bool inspect_kld(buffer *text, input *input, trouble *trouble) {
    kld_file *file = kld_open_input(input, trouble);
    bool ok = file && check_rows(file, trouble);
    if (ok) {
        inspect_line(text, "kind", "llama-perplexity's log-probabilities (--kl-divergence-base)");
        inspect_line(text, "chunks", "%zu of %zu tokens", file->n_chunks, file->n_context);
        inspect_line(text, "vocabulary", "%zu", file->n_vocabulary);
        inspect_line(text, "rows", "%zu", file->n_chunks * file->n_rows);
    }
    kld_close(file);
    return ok;
}
