/* SGLang: meta_info.{input, output}_token_logprobs[] of [logprob, id, text], where the first of an input has no logprob
 * and texts are null unless asked for; and meta_info.{input, output}_top_logprobs[], lists of the same. */
#include "logprobs_parts.h"

#include "../json_text.h"

bool logprobs_is_sglang(const json_t *object) {
    const json_t *meta = json_object_get(object, "meta_info");
    return json_is_array(json_object_get(meta, "input_token_logprobs")) ||
           json_is_array(json_object_get(meta, "output_token_logprobs"));
}

static bool take_triple(logprobs_reader *reader, logprobs_entry *entry, const json_t *triple) {
    *entry = logprobs_no_entry;
    if (json_array_size(triple) < 2 || json_array_size(triple) > 3)
        return logprobs_report(reader, "expected [logprob, id, text], found %s", json_kind(triple));
    return logprobs_take_logprob(reader, entry, json_array_get(triple, 0)) &&
           logprobs_take_id(reader, entry, json_array_get(triple, 1)) &&
           logprobs_take_text(reader, entry, json_array_get(triple, 2), NULL);
}

static bool read_top(logprobs_reader *reader, const json_t *top) {
    for (size_t i = 0; i < json_array_size(top); i++) {
        logprobs_entry entry;
        if (!take_triple(reader, &entry, json_array_get(top, i)) || !logprobs_add_top(reader, &entry))
            return false;
    }
    return true;
}

static bool read_part(logprobs_reader *reader, const json_t *tokens, const json_t *top) {
    size_t n = json_array_size(tokens);
    if (json_array_size(top) > 0 && json_array_size(top) != n)
        return logprobs_report_line(reader, "there are %zu lists of the most probable tokens for %zu tokens",
                                    json_array_size(top), n);
    for (size_t i = 0; i < n; i++) {
        logprobs_entry chosen;
        logprobs_begin_token(reader);
        if (!take_triple(reader, &chosen, json_array_get(tokens, i)) || !logprobs_add_token(reader, &chosen) ||
            !read_top(reader, json_array_get(top, i)))
            return false;
    }
    logprobs_consume(reader, tokens);
    logprobs_consume(reader, top);
    return true;
}

bool logprobs_read_sglang(logprobs_reader *reader, const json_t *object) {
    const json_t *meta = json_object_get(object, "meta_info"), *text = json_object_get(object, "text");
    if (!reader->response->id)
        reader->response->id = json_object_get(meta, "id");
    if (!logprobs_add_choice(reader) ||
        !read_part(reader, json_object_get(meta, "input_token_logprobs"), json_object_get(meta, "input_top_logprobs")))
        return false;
    logprobs_set_whole(reader, text, logprobs_last_choice(reader)->n_tokens);
    return read_part(reader, json_object_get(meta, "output_token_logprobs"),
                     json_object_get(meta, "output_top_logprobs"));
}
