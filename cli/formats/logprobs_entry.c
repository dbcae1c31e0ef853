/* One token with its log-probability, in the forms in which servers write the parts of it. */
#include "logprobs_parts.h"

#include "../json_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What servers write for a log-probability of -inf, which JSON has not: vLLM (and OpenAI where it is not worth telling)
 * -9999, llama-server the least float, -3.4028e38. No logits are so far apart. */
static const double LEAST_LOGPROB = -9999;

const logprobs_entry logprobs_no_entry = {.logprob = NAN, .id = -1};

bool logprobs_take_logprob(const logprobs_reader *reader, logprobs_entry *entry, const json_t *value) {
    const char *string = json_string_value(value);
    if (!value || json_is_null(value))
        return true;
    if (json_is_number(value))
        entry->logprob = json_number_value(value);
    else if (string && strcmp(string, "-Infinity") == 0)
        entry->logprob = -INFINITY;
    else
        return logprobs_report(reader, "expected a log-probability, found %s", json_kind(value));
    if (entry->logprob <= LEAST_LOGPROB)
        entry->logprob = -INFINITY;
    return true;
}

static bool take_probability(const logprobs_reader *reader, logprobs_entry *entry, const json_t *value) {
    double p = json_number_value(value);
    if (!json_is_number(value) || !(p >= 0))
        return logprobs_report(reader, "expected a probability, found %s", json_kind(value));
    entry->logprob = log(p);
    reader->response->is_post_sampling = true;
    return true;
}

bool logprobs_take_id(const logprobs_reader *reader, logprobs_entry *entry, const json_t *value) {
    if (!value || json_is_null(value))
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > INT32_MAX)
        return logprobs_report(reader, "expected a token's number, found %s", json_kind(value));
    entry->id = json_integer_value(value);
    return true;
}

/* A text that the response does not have as such. */
static bool keep_text(const logprobs_reader *reader, logprobs_entry *entry, const char *bytes, size_t n_bytes) {
    json_t *string = json_stringn_nocheck(bytes, n_bytes);
    if (json_array_append(reader->response->kept, string) != 0) { /* its reference stays ours */
        json_decref(string);
        return trouble_set(reader->trouble, "%s: out of memory", reader->name);
    }
    json_decref(string);
    entry->text = json_string_value(string);
    entry->n_bytes = n_bytes;
    return true;
}

static bool take_bytes(const logprobs_reader *reader, logprobs_entry *entry, const json_t *bytes) {
    size_t n = json_array_size(bytes);
    char *text = malloc(n + 1);
    bool ok = text || trouble_set(reader->trouble, "%s: out of memory", reader->name);
    for (size_t i = 0; ok && i < n; i++) {
        const json_t *byte = json_array_get(bytes, i);
        json_int_t value = json_is_integer(byte) ? json_integer_value(byte) : -1;
        ok = (value >= 0 && value <= 255) ||
             logprobs_report(reader, "expected bytes from 0 to 255, found %s", json_kind(byte));
        if (ok)
            text[i] = (char)value;
    }
    ok = ok && keep_text(reader, entry, text, n);
    free(text);
    return ok;
}

/* vLLM's --return-tokens-as-token-ids: "token_id:123". What it gives as bytes are those of this. */
static bool is_token_id(const char *text, int64_t *id) {
    static const char start[] = "token_id:";
    if (strncmp(text, start, sizeof start - 1) != 0)
        return false;
    const char *digits = text + sizeof start - 1;
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 10 || digits[n] != '\0')
        return false;
    *id = strtoll(digits, NULL, 10);
    return *id <= INT32_MAX;
}

static bool holds_replacement(const char *text, size_t n_bytes) {
    return memmem(text, n_bytes, "\xEF\xBF\xBD", 3) != NULL;
}

bool logprobs_take_text(const logprobs_reader *reader, logprobs_entry *entry, const json_t *text, const json_t *bytes) {
    const char *string = json_string_value(text);
    if (text && !string && !json_is_null(text))
        return logprobs_report(reader, "expected a token's text, found %s", json_kind(text));
    if (bytes && !json_is_array(bytes) && !json_is_null(bytes))
        return logprobs_report(reader, "expected a token's bytes, found %s", json_kind(bytes));
    if (string && is_token_id(string, &entry->id))
        return true;
    if (json_array_size(bytes) > 0 && !take_bytes(reader, entry, bytes))
        return false;
    if (!entry->text && string) {
        entry->text = string;
        entry->n_bytes = json_string_length(text);
    }
    entry->is_damaged = entry->text && holds_replacement(entry->text, entry->n_bytes);
    return true;
}

bool logprobs_take_object(const logprobs_reader *reader, logprobs_entry *entry, const json_t *object) {
    *entry = logprobs_no_entry;
    if (!json_is_object(object))
        return logprobs_report(reader, "expected an object with \"logprob\", found %s", json_kind(object));
    const json_t *token = json_object_get(object, "token"), *text = json_object_get(object, "text");
    const json_t *rank = json_object_get(object, "rank"), *prob = json_object_get(object, "prob");
    if (json_is_integer(rank) && json_integer_value(rank) > 0)
        entry->rank = json_integer_value(rank);
    return logprobs_take_id(reader, entry, json_object_get(object, "id")) &&
           logprobs_take_text(reader, entry,
                              token  ? token
                              : text ? text
                                     : json_object_get(object, "decoded_token"),
                              json_object_get(object, "bytes")) &&
           (prob ? take_probability(reader, entry, prob)
                 : logprobs_take_logprob(reader, entry, json_object_get(object, "logprob")));
}

bool logprobs_read_top(logprobs_reader *reader, const json_t *array) {
    if (array && !json_is_array(array) && !json_is_null(array))
        return logprobs_report(reader, "expected an array of the most probable tokens, found %s", json_kind(array));
    for (size_t i = 0; i < json_array_size(array); i++) {
        logprobs_entry entry;
        if (!logprobs_take_object(reader, &entry, json_array_get(array, i)) || !logprobs_add_top(reader, &entry))
            return false;
    }
    return true;
}

bool logprobs_read_content(logprobs_reader *reader, const json_t *array, const char *name) {
    if (array && !json_is_array(array) && !json_is_null(array))
        return logprobs_report_line(reader, "\"%s\": expected an array of tokens, found %s", name, json_kind(array));
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *object = json_array_get(array, i), *top = json_object_get(object, "top_logprobs");
        logprobs_entry chosen;
        logprobs_begin_token(reader);
        if (!logprobs_take_object(reader, &chosen, object) || !logprobs_add_token(reader, &chosen) ||
            !logprobs_read_top(reader, top ? top : json_object_get(object, "top_probs")))
            return false;
    }
    logprobs_consume(reader, array);
    return true;
}
