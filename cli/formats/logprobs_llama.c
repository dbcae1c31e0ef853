/* llama-server's own /completion: completion_probabilities[] of {id, token, bytes, logprob, top_logprobs[]}, or after
 * sampling (post_sampling_probs) prob and top_probs. Its chat completions are OpenAI's. */
#include "logprobs_parts.h"

bool logprobs_is_llama_server(const json_t *object) {
    return json_is_array(json_object_get(object, "completion_probabilities"));
}

bool logprobs_read_llama_server(logprobs_reader *reader, const json_t *object) {
    const json_t *array = json_object_get(object, "completion_probabilities");
    if (!logprobs_add_choice(reader))
        return false;
    logprobs_set_whole(reader, json_object_get(object, "content"), 0);
    return logprobs_read_content(reader, array, "completion_probabilities");
}
