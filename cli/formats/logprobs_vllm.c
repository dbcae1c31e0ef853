/* vLLM: OpenAI's interfaces, with prompt_logprobs: an array of null and objects {"<id>": {logprob, rank,
 * decoded_token}} of k or k + 1 members, in which prompt_token_ids says what came; and what its RequestOutput is as
 * JSON, where outputs[].logprobs has the same form and token_ids say what came. Its chat completions begin each list
 * with the token that came, and cut it to k. */
#include "logprobs_parts.h"

#include "../json_text.h"

#include <stdlib.h>

static bool has_value(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return value && !json_is_null(value);
}

static bool is_request_output(const json_t *object) {
    const json_t *output = json_array_get(json_object_get(object, "outputs"), 0);
    return json_is_array(json_object_get(output, "token_ids")) && json_is_array(json_object_get(output, "logprobs"));
}

/* choices[].stop_reason is vLLM's own. */
bool logprobs_is_vllm(const json_t *object) {
    const json_t *first = json_array_get(json_object_get(object, "choices"), 0);
    return json_is_array(json_object_get(object, "prompt_logprobs")) || has_value(first, "prompt_logprobs") ||
           (json_object_get(first, "stop_reason") && json_object_get(first, "logprobs")) || is_request_output(object);
}

/* Reads {"<id>": {logprob, rank, decoded_token}} into the last token's list. The chosen one's place in `chosen`, by its
 * id. */
static bool read_places(logprobs_reader *reader, const json_t *places, logprobs_entry *chosen) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)places, key, value) {
        logprobs_entry entry;
        char *end;
        long long id = strtoll(key, &end, 10);
        if (end == key || *end != '\0' || id < 0 || id > INT32_MAX)
            return logprobs_report(reader, "expected a token's number as a name, found \"%.40s\"", key);
        if (!logprobs_take_object(reader, &entry, value))
            return false;
        entry.id = id;
        if (chosen->id == id)
            *chosen = entry;
        if (!logprobs_add_top(reader, &entry))
            return false;
    }
    return true;
}

/* Where nothing is said of a place, as of a prompt's first, the token has no text that is known. */
static bool read_place(logprobs_reader *reader, const json_t *places, const json_t *id) {
    logprobs_entry chosen = logprobs_no_entry;
    logprobs_begin_token(reader);
    if (!json_is_object(places) && !json_is_null(places))
        return logprobs_report(reader, "expected an object of tokens or null, found %s", json_kind(places));
    if (json_is_null(places))
        chosen.text = "";
    if (!logprobs_take_id(reader, &chosen, id) || !logprobs_add_token(reader, &chosen) ||
        !read_places(reader, places, &chosen))
        return false;
    logprobs_choice *choice = logprobs_last_choice(reader);
    choice->tokens[choice->n_tokens - 1].chosen = chosen;
    return true;
}

/* One array of such objects, and the ids of what came, if `ids` is an array. */
static bool read_array(logprobs_reader *reader, const json_t *array, const json_t *ids, const char *name) {
    size_t n = json_array_size(array);
    if (json_is_array(ids) && json_array_size(ids) != n)
        return logprobs_report_line(reader, "\"%s\" has %zu places, and there are %zu tokens", name, n,
                                    json_array_size(ids));
    reader->list = LOGPROBS_TOP_AND_CHOSEN;
    for (size_t i = 0; i < n; i++)
        if (!read_place(reader, json_array_get(array, i), json_array_get(ids, i)))
            return false;
    logprobs_consume(reader, array);
    return true;
}

bool logprobs_read_prompt(logprobs_reader *reader, const json_t *object, const json_t *choice) {
    const json_t *own = json_object_get(choice, "prompt_logprobs"), *ids = json_object_get(choice, "prompt_token_ids");
    const json_t *array = json_is_array(own) ? own : json_object_get(object, "prompt_logprobs");
    if (!json_is_array(ids))
        ids = json_object_get(object, "prompt_token_ids");
    return !json_is_array(array) || read_array(reader, array, ids, "prompt_logprobs");
}

static bool read_output(logprobs_reader *reader, const json_t *object, const json_t *output) {
    const json_t *array = json_object_get(output, "logprobs"), *ids = json_object_get(output, "token_ids");
    if (!logprobs_add_choice(reader) || !logprobs_read_prompt(reader, object, output))
        return false;
    size_t first = logprobs_last_choice(reader)->n_tokens;
    if (json_is_array(array) && !read_array(reader, array, ids, "logprobs"))
        return false;
    logprobs_set_whole(reader, json_object_get(output, "text"), first);
    return true;
}

bool logprobs_read_vllm(logprobs_reader *reader, const json_t *object) {
    const json_t *outputs = json_object_get(object, "outputs");
    if (json_is_array(json_object_get(object, "choices")))
        return logprobs_read_choices(reader, object, LOGPROBS_CHOSEN_FIRST);
    if (!reader->response->id)
        reader->response->id = json_object_get(object, "request_id");
    if (!json_is_array(outputs))
        return logprobs_add_choice(reader) && logprobs_read_prompt(reader, object, NULL);
    reader->response->list_of_choices = outputs;
    for (size_t i = 0; i < json_array_size(outputs); i++)
        if (!read_output(reader, object, json_array_get(outputs, i)))
            return false;
    return true;
}
