/* OpenAI's interfaces, which many servers answer with: chat completions (choices[].logprobs.content[], each token an
 * object), the older completions (choices[].logprobs.{tokens, token_logprobs, top_logprobs}, where the most probable
 * tokens are an object {text: logprob} of k members, or k + 1 with the token that came), and Responses
 * (output[].content[].logprobs[]). vLLM adds prompt_logprobs to the first two. */
#include "logprobs_parts.h"

#include "../json_text.h"

#include <string.h>

static const json_t *first_choice(const json_t *object) {
    const json_t *first = json_array_get(json_object_get(object, "choices"), 0);
    return json_is_object(first) ? first : NULL;
}

static bool has_kind(const json_t *object, const char *start) {
    const char *kind = json_string_value(json_object_get(object, "object"));
    return kind && strncmp(kind, start, strlen(start)) == 0;
}

static bool is_legacy_logprobs(const json_t *logprobs) {
    return json_object_get(logprobs, "tokens") || json_object_get(logprobs, "token_logprobs");
}

bool logprobs_is_openai_chat(const json_t *object) {
    const json_t *first = first_choice(object), *logprobs = json_object_get(first, "logprobs");
    return first && (json_object_get(logprobs, "content") || json_object_get(logprobs, "refusal") ||
                     has_kind(object, "chat.completion"));
}

bool logprobs_is_openai_legacy(const json_t *object) {
    const json_t *first = first_choice(object);
    return first && (is_legacy_logprobs(json_object_get(first, "logprobs")) || has_kind(object, "text_completion"));
}

/* --- Chat completions, and the older completions --- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The older interface writes what is no whole character as "bytes:\xe2\x80". NULL if the text is none of these. */
static json_t *bytes_of_text(const char *text) {
    static const char start[] = "bytes:\\x";
    if (!text || strncmp(text, start, sizeof start - 1) != 0)
        return NULL;
    json_t *bytes = json_array();
    for (const char *at = text + strlen("bytes:"); bytes && *at != '\0'; at += 4) {
        int high = at[0] == '\\' && at[1] == 'x' ? hex_digit(at[2]) : -1, low = high >= 0 ? hex_digit(at[3]) : -1;
        if (low < 0 || json_array_append_new(bytes, json_integer(16 * high + low)) != 0) {
            json_decref(bytes);
            return NULL;
        }
    }
    return bytes;
}

static bool take_legacy_text(const logprobs_reader *reader, logprobs_entry *entry, const json_t *text) {
    json_t *bytes = bytes_of_text(json_string_value(text));
    bool ok = logprobs_take_text(reader, entry, text, bytes);
    json_decref(bytes);
    return ok;
}

/* {text: logprob}. The key is borrowed by a string of its own. */
static bool read_legacy_top(logprobs_reader *reader, const json_t *top) {
    if (top && !json_is_object(top) && !json_is_null(top))
        return logprobs_report(reader, "expected an object of the most probable tokens, found %s", json_kind(top));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)top, key, value) {
        logprobs_entry entry = logprobs_no_entry;
        json_t *text = json_string(key);
        bool ok = json_array_append(reader->response->kept, text) == 0 ||
                  trouble_set(reader->trouble, "%s: out of memory", reader->name);
        json_decref(text); /* kept has it */
        if (!ok || !take_legacy_text(reader, &entry, text) || !logprobs_take_logprob(reader, &entry, value) ||
            !logprobs_add_top(reader, &entry))
            return false;
    }
    return true;
}

static bool read_legacy(logprobs_reader *reader, const json_t *logprobs) {
    const json_t *tokens = json_object_get(logprobs, "tokens"), *values = json_object_get(logprobs, "token_logprobs");
    const json_t *top = json_object_get(logprobs, "top_logprobs");
    size_t n = json_array_size(tokens);
    if (!json_is_array(tokens) || json_array_size(values) != n || (json_is_array(top) && json_array_size(top) != n))
        return logprobs_report_line(reader,
                                    "choice %zu: expected \"tokens\", \"token_logprobs\" and \"top_logprobs\" of the "
                                    "same length, found %zu, %zu and %zu",
                                    reader->response->n_choices - 1, n, json_array_size(values), json_array_size(top));
    reader->list = LOGPROBS_TEXT_AND_CHOSEN;
    for (size_t i = 0; i < n; i++) {
        logprobs_entry chosen = logprobs_no_entry;
        logprobs_begin_token(reader);
        if (!take_legacy_text(reader, &chosen, json_array_get(tokens, i)) ||
            !logprobs_take_logprob(reader, &chosen, json_array_get(values, i)) ||
            !logprobs_add_token(reader, &chosen) || !read_legacy_top(reader, json_array_get(top, i)))
            return false;
    }
    return true;
}

/* The ids of the tokens that came, where the server was asked for them. */
static bool take_token_ids(logprobs_reader *reader, const json_t *ids, size_t first) {
    logprobs_choice *choice = logprobs_last_choice(reader);
    if (json_array_size(ids) != choice->n_tokens - first)
        return true;
    for (size_t i = first; i < choice->n_tokens; i++) {
        reader->token = i;
        if (!logprobs_take_id(reader, &choice->tokens[i].chosen, json_array_get(ids, i - first)))
            return false;
    }
    return true;
}

static bool read_choice(logprobs_reader *reader, const json_t *object, const json_t *choice, logprobs_list list) {
    const json_t *logprobs = json_object_get(choice, "logprobs"), *message = json_object_get(choice, "message");
    bool is_legacy = is_legacy_logprobs(logprobs);
    const json_t *content = json_object_get(logprobs, "content"), *refusal = json_object_get(logprobs, "refusal");
    if (!logprobs_add_choice(reader) || !logprobs_read_prompt(reader, object, choice))
        return false;
    reader->list = list;
    size_t first = logprobs_last_choice(reader)->n_tokens;
    if (!(is_legacy
              ? read_legacy(reader, logprobs)
              : logprobs_read_content(reader, content, "content") && logprobs_read_content(reader, refusal, "refusal")))
        return false;
    logprobs_set_whole(reader, message ? json_object_get(message, "content") : json_object_get(choice, "text"), first);
    logprobs_consume(reader, logprobs);
    if (logprobs_last_choice(reader)->n_tokens == 0 && !json_is_array(content))
        return logprobs_report_line(reader,
                                    "choice %zu: there are no log-probabilities: ask the server for them "
                                    "(\"logprobs\": true, \"top_logprobs\": 20)",
                                    reader->response->n_choices - 1);
    return take_token_ids(reader, json_object_get(choice, "token_ids"), first);
}

bool logprobs_read_choices(logprobs_reader *reader, const json_t *object, logprobs_list list) {
    const json_t *choices = json_object_get(object, "choices");
    if (has_kind(object, "chat.completion.chunk"))
        return logprobs_report_line(reader, "a part of a streamed answer: expected whole ones (\"stream\": false)");
    reader->response->list_of_choices = choices;
    for (size_t i = 0; i < json_array_size(choices); i++)
        if (!read_choice(reader, object, json_array_get(choices, i), list))
            return false;
    return true;
}

bool logprobs_read_openai(logprobs_reader *reader, const json_t *object) {
    return logprobs_read_choices(reader, object, LOGPROBS_TOP);
}

/* --- Responses --- */

bool logprobs_is_openai_responses(const json_t *object) {
    const json_t *output = json_object_get(object, "output");
    const json_t *content = NULL;
    for (size_t i = 0; i < json_array_size(output) && !json_is_array(content); i++)
        content = json_object_get(json_array_get(output, i), "content");
    return json_is_array(output) &&
           (has_kind(object, "response") || json_object_get(json_array_get(content, 0), "logprobs"));
}

/* All its parts of text are one sequence. */
bool logprobs_read_openai_responses(logprobs_reader *reader, const json_t *object) {
    const json_t *output = json_object_get(object, "output");
    if (!logprobs_add_choice(reader))
        return false;
    for (size_t i = 0; i < json_array_size(output); i++) {
        const json_t *content = json_object_get(json_array_get(output, i), "content");
        for (size_t j = 0; j < json_array_size(content); j++) {
            const json_t *part = json_array_get(content, j);
            if (!logprobs_read_content(reader, json_object_get(part, "logprobs"), "logprobs"))
                return false;
        }
    }
    if (logprobs_last_choice(reader)->n_tokens == 0)
        return logprobs_report_line(reader, "there are no log-probabilities: ask the server for them (\"include\": "
                                            "[\"message.output_text.logprobs\"], \"top_logprobs\": 20)");
    return true;
}
