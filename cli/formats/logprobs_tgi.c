/* Hugging Face's text-generation-inference: details.{prefill, tokens} of {id, text, logprob}, where the prompt's first
 * token has no logprob; and details.top_tokens, a list of such tokens for each of `tokens`. With best_of,
 * details.best_of_sequences[] has more of the same. */
#include "logprobs_parts.h"

bool logprobs_is_tgi(const json_t *object) {
    const json_t *details = json_object_get(object, "details");
    return json_is_array(json_object_get(details, "tokens")) || json_is_array(json_object_get(details, "prefill"));
}

static bool read_tokens(logprobs_reader *reader, const json_t *tokens, const json_t *top) {
    size_t n = json_array_size(tokens);
    if (json_array_size(top) > 0 && json_array_size(top) != n)
        return logprobs_report_line(reader, "\"top_tokens\" has %zu lists, and there are %zu tokens",
                                    json_array_size(top), n);
    for (size_t i = 0; i < n; i++) {
        logprobs_entry chosen;
        logprobs_begin_token(reader);
        if (!logprobs_take_object(reader, &chosen, json_array_get(tokens, i)) || !logprobs_add_token(reader, &chosen) ||
            !logprobs_read_top(reader, json_array_get(top, i)))
            return false;
    }
    logprobs_consume(reader, tokens);
    logprobs_consume(reader, top);
    return true;
}

static bool read_sequence(logprobs_reader *reader, const json_t *details, const json_t *text) {
    if (!logprobs_add_choice(reader) || !read_tokens(reader, json_object_get(details, "prefill"), NULL))
        return false;
    logprobs_set_whole(reader, text, logprobs_last_choice(reader)->n_tokens);
    return read_tokens(reader, json_object_get(details, "tokens"), json_object_get(details, "top_tokens"));
}

bool logprobs_read_tgi(logprobs_reader *reader, const json_t *object) {
    const json_t *details = json_object_get(object, "details"), *more = json_object_get(details, "best_of_sequences");
    if (!read_sequence(reader, details, json_object_get(object, "generated_text")))
        return false;
    for (size_t i = 0; i < json_array_size(more); i++) {
        const json_t *sequence = json_array_get(more, i);
        if (!read_sequence(reader, sequence, json_object_get(sequence, "generated_text")))
            return false;
    }
    return true;
}
