/* A file that is one JSON document. */
#include "logprobs.h"

#include "../json_text.h"

#include <stdlib.h>
#include <string.h>

bool logprobs_goes_on(const char *line, size_t n_bytes) {
    while (n_bytes > 0 && strchr(" \t\r", line[n_bytes - 1]))
        n_bytes--;
    return n_bytes > 0 && strchr("{[,:", line[n_bytes - 1]) != NULL;
}

/* The line, copied before reading on moves it, and all that follows. */
static bool read_all(buffer *all, input *input, const char *line, size_t n_bytes, trouble *trouble) {
    char *rest = NULL;
    size_t n_rest = 0;
    buffer_append(all, line, n_bytes);
    buffer_append(all, "\n", n_bytes > 0 ? 1 : 0);
    bool ok = input_all(input, &rest, &n_rest, INPUT_MAX_LINE, trouble);
    buffer_append(all, rest, n_rest);
    free(rest);
    return ok && (!all->failed || trouble_set(trouble, "%s: out of memory", input_name(input)));
}

json_t *logprobs_read_document(input *input, const char *line, size_t n_bytes, bool *is_other, trouble *trouble) {
    buffer all = {0};
    json_t *value = NULL;
    *is_other = false;
    if (read_all(&all, input, line, n_bytes, trouble))
        value = json_read_value(input_name(input), 0, all.data, all.size, trouble);
    buffer_free(&all);
    if (!value)
        return NULL;
    json_t *responses = json_is_array(value) ? value : json_pack("[o]", value);
    if (!responses)
        trouble_set(trouble, "%s: out of memory", input_name(input));
    else if (logprobs_recognise(json_array_get(responses, 0)))
        return responses;
    *is_other = responses != NULL;
    json_decref(responses);
    return NULL;
}
