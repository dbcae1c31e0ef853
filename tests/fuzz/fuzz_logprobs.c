/* Recorded log-probabilities, by the line or as one document: what is read becomes a document whose record can be read
 * back, with bounds in order and offsets inside of its text. The first byte chooses the vocabulary and --top. */
#include "fuzz.h"

#include "formats/texts.h"
#include "score/score.h"

#include <math.h>

static entrol_context *context;

static void check_bounds(const document *document) {
    const column *lower = &document->columns[COLUMN_ENTROPY_LOWER], *upper = &document->columns[COLUMN_ENTROPY_UPPER];
    for (size_t i = 0; i < document->n_tokens; i++) {
        fuzz_require(lower->valid[i] == upper->valid[i]);
        fuzz_require(!lower->valid[i] || (lower->reals[i] >= 0 && lower->reals[i] <= upper->reals[i]));
    }
}

static void check_document(document *made) {
    trouble trouble = {""};
    buffer line = {0};
    document again = {0};
    check_bounds(made);
    record_write(&line, made);
    fuzz_require(record_parse("fuzz", 1, line.data, line.size - 1, &again, &trouble));
    fuzz_require(again.n_tokens == made->n_tokens || again.n_tokens == 0);
    document_free(&again);
    buffer_free(&line);
}

static void check_line(const text_document *line, const score_settings *settings) {
    trouble trouble = {""};
    logprobs response;
    bool ok = logprobs_read(&response, line->recorded, line->fields, "fuzz", line->line_number, &trouble);
    fuzz_require(ok || trouble.text[0]);
    for (size_t i = 0; ok && i < response.n_choices; i++) {
        document made = {0};
        if (score_recorded(&made, context, settings, &response, i, "fuzz:1", &trouble))
            check_document(&made);
        else
            fuzz_require(trouble.text[0]);
        document_free(&made);
    }
    logprobs_free(&response);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    entrol_context_options one_thread = ENTROL_CONTEXT_OPTIONS_INIT;
    one_thread.n_threads = 1;
    if (context == NULL)
        fuzz_require(entrol_context_create(&context, &one_thread) == ENTROL_OK);
    if (size == 0)
        return 0;
    score_settings settings = SCORE_SETTINGS_INIT;
    settings.n_vocabulary = data[0] & 1 ? 1000 : 0;
    settings.n_top = data[0] & 2 ? 3 : 0;
    trouble trouble = {""};
    fuzz_require(score_settings_columns(&settings, data[0] & 4 ? "all" : NULL, false, &trouble));
    text_options options = {.recorded = true, .skip_bad = data[0] & 8};
    text_document line = {0};
    input *input = input_open_memory("fuzz", data + 1, size - 1, &trouble);
    texts *texts = texts_open_input(input, &options, &trouble);
    while (texts && texts_next(texts, &line, &trouble) == 1)
        if (line.recorded)
            check_line(&line, &settings);
    text_document_free(&line);
    texts_close(texts);
    return 0;
}
