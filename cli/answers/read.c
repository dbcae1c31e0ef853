/* Answers from JSON Lines: an array of them a line, or one a line.
 *
 * Detected line by line by a field with an array: "answers", "completions", "responses", "samples", or "choices" as
 * OpenAI's servers write it, also inside the "response" of a batch file. */
#include "answers.h"

#include "../json_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const array_names[] = {"answers", "completions", "responses", "samples", "choices"};
/* Of one answer; "message" may hold its "content". */
static const char *const text_names[] = {"answer", "completion", "response", "text", "content"};
static const char *const group_names[] = {"prompt_id", "prompt", "id"};

static const size_t WHOLE_LINE = SIZE_MAX;

/* "expected ..., found ..." behind the place; what was found may be NULL. */
static bool report(const answers_line *line, size_t index, const char *field, const char *expected, const json_t *found,
                   trouble *trouble) {
    char where[40] = "", number[40];
    if (line->array && index != WHOLE_LINE)
        snprintf(where, sizeof where, "answer %zu: ", index + 1);
    snprintf(number, sizeof number, "%.10g", json_number_value(found));
    return trouble_set(trouble, "%s:%llu: %s%s%s%sexpected %s, found %s", line->name, (unsigned long long)line->number,
                       where, field ? "field \"" : "", field ? field : "", field ? "\": " : "", expected,
                       json_is_number(found) ? number : json_kind(found));
}

static bool report_fields(const answers_line *line, const char *expected, trouble *trouble) {
    buffer found = {0};
    const char *key;
    json_t *value;
    size_t n = 0;
    json_object_foreach(line->fields, key, value) {
        if (n++ < 8)
            buffer_append_format(&found, "%s\"%.40s\"", found.size ? ", " : "", key);
    }
    trouble_set(trouble, "%s:%llu: expected %s, found %s%s", line->name, (unsigned long long)line->number, expected,
                found.data ? found.data : "none", n > 8 ? ", ..." : "");
    buffer_free(&found);
    return false;
}

/* The field's array, if it has one. */
static bool take_array(answers_line *line, const json_t *object, const char *field, const char *name) {
    const json_t *value = json_object_get(object, field);
    if (!json_is_array(value))
        return false;
    line->array = value;
    line->array_name = name;
    line->n_answers = json_array_size(value);
    return true;
}

static bool find_array(answers_line *line, trouble *trouble) {
    const char *field = line->settings->field;
    line->n_answers = 1;
    if (field && !json_object_get(line->fields, field))
        return report(line, WHOLE_LINE, field, "answers", NULL, trouble);
    bool found = field && take_array(line, line->fields, field, field);
    for (size_t i = 0; i < sizeof array_names / sizeof array_names[0] && !field && !found; i++)
        found = take_array(line, line->fields, array_names[i], array_names[i]);
    if (!found && !field)
        take_array(line, json_object_get(json_object_get(line->fields, "response"), "body"), "choices", "response");
    return line->n_answers > 0 || report(line, WHOLE_LINE, line->array_name, "answers", line->array, trouble);
}

bool answers_line_take(answers_line *line, const answers_settings *settings, const char *name, uint64_t number,
                       json_t *fields, trouble *trouble) {
    *line = (answers_line){.settings = settings, .name = name, .number = number, .fields = fields};
    return fields && find_array(line, trouble);
}

bool answers_line_parse(answers_line *line, const answers_settings *settings, const char *name, uint64_t number,
                        const char *text, size_t n_bytes, trouble *trouble) {
    *line = (answers_line){0};
    if (number == 1 && (text[strspn(text, " \t\r")] != '{' || strspn(text, "{ \t\r") == n_bytes))
        return trouble_set(trouble, "%s:1: expected answers, one JSON object a line, found \"%.*s\"", name,
                           (int)(n_bytes < 20 ? n_bytes : 20), text);
    return answers_line_take(line, settings, name, number, json_read_object(name, number, text, n_bytes, trouble),
                             trouble);
}

void answers_line_free(answers_line *line) {
    json_decref(line->fields);
    *line = (answers_line){0};
}

/* --- One answer --- */

/* What an answer is in: an element of the array, or the line. */
static const json_t *element_of(const answers_line *line, size_t index) {
    return line->array ? json_array_get(line->array, index) : line->fields;
}

/* A member of an answer: its own, else that of its place in an array of the line, which has one for each answer. NULL
 * in *value: there is none. */
static bool find_member(const answers_line *line, size_t index, const char *field, const json_t **value,
                        trouble *trouble) {
    *value = json_object_get(element_of(line, index), field);
    if (*value || !line->array)
        return true;
    const json_t *all = json_object_get(line->fields, field);
    if (!json_is_array(all)) /* it is about something else */
        return true;
    if (json_array_size(all) != line->n_answers)
        return trouble_set(trouble, "%s:%llu: field \"%s\": expected %zu values, one for each answer, found %zu",
                           line->name, (unsigned long long)line->number, field, line->n_answers, json_array_size(all));
    *value = json_array_get(all, index);
    return true;
}

static const json_t *find_text(const json_t *object) {
    for (size_t i = 0; i < sizeof text_names / sizeof text_names[0]; i++) {
        const json_t *value = json_object_get(object, text_names[i]);
        if (value && !json_is_null(value))
            return value;
    }
    return json_object_get(json_object_get(object, "message"), "content");
}

static bool take_text(const answers_line *line, size_t index, answer *answer, trouble *trouble) {
    const json_t *element = element_of(line, index);
    const char *field = line->array ? NULL : line->settings->field;
    const json_t *text = field                     ? json_object_get(element, field)
                         : json_is_object(element) ? find_text(element)
                                                   : element;
    answer->meaning = text;
    if (json_is_string(text))
        return true;
    if (!text && !line->array)
        return report_fields(line,
                             "an array \"answers\", or one answer's \"answer\", \"completion\", \"response\" or "
                             "\"text\" (--field names another)",
                             trouble);
    return report(line, index, field,
                  text && text != element ? "a string as its text" : "a string, or an object with a \"text\"",
                  text ? text : element, trouble);
}

static bool take_label(const answers_line *line, size_t index, answer *answer, trouble *trouble) {
    const char *field = line->settings->label;
    if (!find_member(line, index, field, &answer->meaning, trouble))
        return false;
    return json_is_string(answer->meaning) || json_is_number(answer->meaning) ||
           report(line, index, field, "a string or a number", answer->meaning, trouble);
}

/* One log-probability: at most 0. */
static bool read_logprob(const json_t *value, double *logprob) {
    const char *special = json_string_value(value);
    *logprob = special && strcmp(special, "-Infinity") == 0 ? -(double)INFINITY : json_number_value(value);
    return (json_is_number(value) && *logprob <= 0) || *logprob < 0;
}

/* The log-probability of an answer, or of each of its tokens. */
static bool take_logprobs(const answers_line *line, size_t index, const char *field, const json_t *value,
                          answer *answer, trouble *trouble) {
    static const char expected[] = "a log-probability, at most 0";
    bool as_mean = strcmp(line->settings->logprob_as, "mean") == 0;
    size_t n = json_array_size(value);
    if ((as_mean && !json_is_array(value)) || (json_is_array(value) && n == 0))
        return report(line, index, field, "an array with the log-probability of each token", value, trouble);
    if (!json_is_array(value))
        return read_logprob(value, &answer->logprob) || report(line, index, field, expected, value, trouble);
    answer->logprob = 0;
    for (size_t i = 0; i < n; i++) {
        double logprob;
        if (!read_logprob(json_array_get(value, i), &logprob))
            return report(line, index, field, expected, json_array_get(value, i), trouble);
        answer->logprob += logprob;
    }
    if (as_mean)
        answer->logprob /= (double)n;
    return true;
}

static bool take_logprob(const answers_line *line, size_t index, answer *answer, trouble *trouble) {
    const char *given = line->settings->logprob, *field = given ? given : "logprob";
    const json_t *value;
    if (!find_member(line, index, field, &value, trouble))
        return false;
    answer->has_logprob = given || (value && !json_is_null(value));
    return !answer->has_logprob || take_logprobs(line, index, field, value, answer, trouble);
}

bool answers_line_answer(const answers_line *line, size_t index, answer *answer, trouble *trouble) {
    *answer = (struct answer){0};
    bool ok =
        line->settings->label ? take_label(line, index, answer, trouble) : take_text(line, index, answer, trouble);
    return ok && take_logprob(line, index, answer, trouble);
}

/* --- Whose answers they are --- */

bool answers_line_group(const answers_line *line, const char *field, const json_t **value, trouble *trouble) {
    *value = json_object_get(line->fields, field);
    return (*value && !json_is_null(*value)) ||
           trouble_set(trouble, "%s:%llu: field \"%s\": expected what tells prompts apart, found %s", line->name,
                       (unsigned long long)line->number, field, json_kind(*value));
}

/* The field that groups lines of one answer, where no option names it. */
static bool find_group(const answers_line *line, const char **field, trouble *trouble) {
    *field = NULL;
    for (size_t i = 0; i < sizeof group_names / sizeof group_names[0] && !*field; i++)
        if (json_object_get(line->fields, group_names[i]))
            *field = group_names[i];
    return *field || report_fields(line,
                                   "a field \"prompt_id\", \"prompt\" or \"id\" that says whose answer it is "
                                   "(--group names another)",
                                   trouble);
}

bool answers_shape_check(answers_shape *shape, const answers_line *line, trouble *trouble) {
    static const char *const shapes[] = {"one answer", "an array of answers"};
    bool has_array = line->array != NULL;
    if (shape->first[0] && has_array != shape->has_arrays)
        return trouble_set(trouble, "%s:%llu: expected %s, as in line %s, found %s", line->name,
                           (unsigned long long)line->number, shapes[shape->has_arrays], shape->first,
                           shapes[has_array]);
    if (shape->first[0])
        return true;
    shape->has_arrays = has_array;
    snprintf(shape->first, sizeof shape->first, "%llu of %.100s", (unsigned long long)line->number, line->name);
    shape->group = line->settings->group;
    return has_array || shape->group || find_group(line, &shape->group, trouble);
}
