/* Answers: the first byte chooses the settings; every answer ends up in one cluster, and the line is JSON with finite
 * entropies. */
#include "fuzz.h"

#include "answers/answers.h"
#include "input.h"

#include <math.h>

static void check_line(const buffer *text, const prompt *prompt) {
    json_t *line = json_loadb(text->data, text->size, 0, NULL);
    size_t n_members = 0;
    const json_t *clusters = json_object_get(line, "clusters");
    fuzz_require(json_array_size(clusters) == prompt->n_clusters);
    for (size_t i = 0; i < prompt->n_clusters; i++)
        n_members += json_array_size(json_object_get(json_array_get(clusters, i), "members"));
    fuzz_require(n_members == prompt->n_answers);
    fuzz_require(isfinite(json_number_value(json_object_get(line, "semantic_entropy"))));
    fuzz_require(!prompt->has_logprobs ||
                 json_number_value(json_object_get(line, "semantic_entropy_rao")) <= log((double)n_members) + 1e-6);
    json_decref(line);
}

static void measure(prompts *prompts, entrol_context *context, const answers_settings *settings) {
    buffer text = {0};
    answers_totals totals = {0};
    trouble trouble = {""};
    for (size_t i = 0; i < prompts->n; i++) {
        buffer_clear(&text);
        if (answers_write(&text, &totals, context, settings, &prompts->items[i], &trouble))
            check_line(&text, &prompts->items[i]);
        else
            fuzz_require(trouble.text[0] != 0);
    }
    buffer_free(&text);
}

static bool add_line(prompts *prompts, answers_line *line, answers_shape *shape, trouble *trouble) {
    if (!answers_shape_check(shape, line, trouble))
        return false;
    prompt *prompt = prompts_of_line(prompts, line, shape->group, trouble);
    return prompt && prompts_add(prompts, prompt, line, trouble);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    const answers_settings settings = {.label = data[0] & 1 ? "c" : NULL,
                                       .group = data[0] & 2 ? "g" : NULL,
                                       .field = data[0] & 4 ? "x" : NULL,
                                       .match = data[0] & 8 ? "exact" : "normalised",
                                       .logprob_as = data[0] & 16 ? "mean" : "sum",
                                       .estimator = "chao-shen"};
    trouble trouble = {""};
    prompts prompts = {0};
    entrol_context *context = NULL;
    answers_shape shape = {0};
    const char *text;
    size_t n_bytes;
    input *input = input_open_memory("fuzz", data + 1, size - 1, &trouble);
    bool ok = input && entrol_context_create(&context, NULL) == ENTROL_OK;
    while (ok && input_line(input, &text, &n_bytes, &trouble) == 1) {
        answers_line line;
        ok = answers_line_parse(&line, &settings, "fuzz", input_line_number(input), text, n_bytes, &trouble) &&
             add_line(&prompts, &line, &shape, &trouble);
        fuzz_require(ok || trouble.text[0] != 0);
        answers_line_free(&line);
    }
    measure(&prompts, context, &settings);
    prompts_free(&prompts);
    entrol_context_destroy(context);
    input_close(input);
    return 0;
}
