/* Ollama: logprobs[] of {token, logprob, bytes, top_logprobs[]} beside the answer, in both of its interfaces. */
#include "logprobs_parts.h"

bool logprobs_is_ollama(const json_t *object) {
    const json_t *array = json_object_get(object, "logprobs");
    return json_is_array(array) && json_object_get(object, "model") &&
           (json_object_get(json_array_get(array, 0), "logprob") || json_object_get(object, "done"));
}

bool logprobs_read_ollama(logprobs_reader *reader, const json_t *object) {
    const json_t *message = json_object_get(object, "message");
    if (!logprobs_add_choice(reader))
        return false;
    logprobs_set_whole(reader, message ? json_object_get(message, "content") : json_object_get(object, "response"), 0);
    return logprobs_read_content(reader, json_object_get(object, "logprobs"), "logprobs");
}
