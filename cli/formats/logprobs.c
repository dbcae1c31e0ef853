/* The table of formats of recorded log-probabilities, and what reading them has in common. */
#include "logprobs.h"
#include "logprobs_parts.h"

#include "../json_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first that recognises an object reads it: those that say more come first. */
static const logprobs_format formats[] = {
    {"vLLM", logprobs_is_vllm, logprobs_read_vllm},
    {"OpenAI chat completions", logprobs_is_openai_chat, logprobs_read_openai},
    {"OpenAI completions", logprobs_is_openai_legacy, logprobs_read_openai},
    {"OpenAI Responses", logprobs_is_openai_responses, logprobs_read_openai_responses},
    {"llama-server", logprobs_is_llama_server, logprobs_read_llama_server},
    {"TGI", logprobs_is_tgi, logprobs_read_tgi},
    {"SGLang", logprobs_is_sglang, logprobs_read_sglang},
    {"Ollama", logprobs_is_ollama, logprobs_read_ollama},
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

/* In a batch's results the response is inside {custom_id, response: {body}}. */
static const json_t *unwrap(const json_t *line) {
    const json_t *body = json_object_get(json_object_get(line, "response"), "body");
    return json_object_get(line, "custom_id") && json_is_object(body) ? body : line;
}

/* A request of a batch that came to nothing. */
static bool read_failed(logprobs_reader *reader, const json_t *object) {
    const json_t *error = json_object_get(object, "error");
    const char *said = json_string_value(json_object_get(error, "message"));
    return logprobs_report_line(reader, "the request failed%s%.300s", said ? ": " : "", said ? said : "");
}

static const logprobs_format failed = {"failed requests", NULL, read_failed};

const logprobs_format *logprobs_recognise(const json_t *line) {
    const json_t *object = unwrap(line);
    for (size_t i = 0; i < N_FORMATS; i++)
        if (formats[i].recognise(object))
            return &formats[i];
    bool is_of_batch =
        json_object_get(line, "custom_id") && (json_object_get(line, "response") || json_object_get(line, "error"));
    return is_of_batch ? &failed : NULL;
}

const char *logprobs_format_name(const logprobs_format *format) {
    return format->name;
}

void logprobs_append_names(buffer *buffer) {
    for (size_t i = 0; i < N_FORMATS; i++)
        buffer_append_format(buffer, "%s%s", i > 0 ? ", " : "", formats[i].name);
}

bool logprobs_read(logprobs *response, const logprobs_format *format, const json_t *line, const char *name,
                   uint64_t line_number, trouble *trouble) {
    const json_t *object = unwrap(line), *id = json_object_get(line, "custom_id");
    logprobs_reader reader = {response, name, line_number, trouble, 0, LOGPROBS_TOP};
    *response = (logprobs){.format = format, .line = line, .kept = json_array(), .consumed = json_array()};
    if (!response->kept || !response->consumed)
        return trouble_set(trouble, "%s: out of memory", name);
    response->id = object != line ? id : json_object_get(line, "id");
    if (json_is_null(response->id))
        response->id = NULL;
    return format->read(&reader, object) && logprobs_settle(&reader);
}

logprobs_entry *logprobs_top_of(const logprobs_choice *choice, const logprobs_token *token) {
    static logprobs_entry none; /* where there is no list at all, there is no array */
    return choice->top ? choice->top + token->first_top : &none;
}

void logprobs_free(logprobs *response) {
    for (size_t i = 0; i < response->n_choices; i++) {
        free(response->choices[i].tokens);
        free(response->choices[i].top);
    }
    free(response->choices);
    json_decref(response->kept);
    json_decref(response->consumed);
    *response = (logprobs){0};
}

bool logprobs_report_line(const logprobs_reader *reader, const char *format, ...) {
    char text[768];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return trouble_set(reader->trouble, "%s:%" PRIu64 ": %s", reader->name, reader->line_number, text);
}

bool logprobs_report(const logprobs_reader *reader, const char *format, ...) {
    char text[768];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return logprobs_report_line(reader, "choice %zu, token %zu: %s", reader->response->n_choices - 1, reader->token,
                                text);
}

/* Room for one more of n things. */
static bool make_room(const logprobs_reader *reader, void **array, size_t *capacity, size_t n, size_t size) {
    if (n < *capacity)
        return true;
    size_t room = *capacity < 16 ? 16 : 2 * *capacity;
    void *grown = room > SIZE_MAX / size ? NULL : realloc(*array, room * size);
    if (!grown)
        return trouble_set(reader->trouble, "%s: out of memory", reader->name);
    *array = grown;
    *capacity = room;
    return true;
}

logprobs_choice *logprobs_last_choice(const logprobs_reader *reader) {
    return &reader->response->choices[reader->response->n_choices - 1];
}

bool logprobs_add_choice(logprobs_reader *reader) {
    logprobs *response = reader->response;
    void *choices = response->choices;
    bool ok = make_room(reader, &choices, &response->choices_capacity, response->n_choices, sizeof *response->choices);
    response->choices = choices;
    if (ok)
        response->choices[response->n_choices++] = (logprobs_choice){0};
    return ok;
}

void logprobs_begin_token(logprobs_reader *reader) {
    reader->token = logprobs_last_choice(reader)->n_tokens;
}

bool logprobs_add_token(logprobs_reader *reader, const logprobs_entry *chosen) {
    logprobs_choice *choice = logprobs_last_choice(reader);
    void *tokens = choice->tokens;
    bool ok = make_room(reader, &tokens, &choice->tokens_capacity, choice->n_tokens, sizeof *choice->tokens);
    choice->tokens = tokens;
    if (!ok)
        return false;
    choice->tokens[choice->n_tokens++] =
        (logprobs_token){.chosen = *chosen, .list = reader->list, .first_top = choice->n_top};
    return true;
}

bool logprobs_add_top(logprobs_reader *reader, const logprobs_entry *entry) {
    logprobs_choice *choice = logprobs_last_choice(reader);
    logprobs_token *token = &choice->tokens[choice->n_tokens - 1];
    void *top = choice->top;
    if (isnan(entry->logprob))
        return true;
    bool ok = make_room(reader, &top, &choice->top_capacity, choice->n_top, sizeof *choice->top);
    choice->top = top;
    if (!ok)
        return false;
    choice->top[choice->n_top] = *entry;
    choice->top[choice->n_top++].place = token->n_top++;
    return true;
}

void logprobs_set_whole(const logprobs_reader *reader, const json_t *text, size_t first) {
    logprobs_choice *choice = logprobs_last_choice(reader);
    choice->whole = json_string_value(text);
    choice->whole_size = json_string_length(text);
    choice->first_of_whole = first;
}

/* null, true and false are one value each, wherever they stand. */
void logprobs_consume(const logprobs_reader *reader, const json_t *value) {
    if (json_is_array(value) || json_is_object(value) || json_is_string(value))
        json_array_append(reader->response->consumed, (json_t *)value);
}

static bool is_consumed(const logprobs *response, const json_t *value) {
    for (size_t i = 0; i < json_array_size(response->consumed); i++)
        if (json_array_get(response->consumed, i) == value)
            return true;
    return false;
}

static json_t *copy_others(const logprobs *response, json_t *value, size_t index);

static json_t *copy_object(const logprobs *response, json_t *object, size_t index) {
    json_t *copy = json_object(), *value;
    const char *key;
    json_object_foreach(object, key, value) {
        if (!is_consumed(response, value) && json_object_set_new(copy, key, copy_others(response, value, index)) != 0) {
            json_decref(copy);
            return NULL;
        }
    }
    return copy;
}

static json_t *copy_array(const logprobs *response, json_t *array, size_t index) {
    json_t *copy = json_array();
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *value = json_array_get(array, i);
        if ((array == response->list_of_choices && i != index) || is_consumed(response, value))
            continue;
        if (json_array_append_new(copy, copy_others(response, value, index)) != 0) {
            json_decref(copy);
            return NULL;
        }
    }
    return copy;
}

/* Recursion is as deep as jansson let the text be. */
static json_t *copy_others(const logprobs *response, json_t *value, size_t index) {
    return json_is_object(value)  ? copy_object(response, value, index)
           : json_is_array(value) ? copy_array(response, value, index)
                                  : json_incref(value);
}

json_t *logprobs_fields(const logprobs *response, size_t index) {
    return copy_object(response, (json_t *)response->line, index);
}
