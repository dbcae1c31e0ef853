/* The answers to each prompt in clusters: those of one key. Keys are those of a jansson object, a hash table with a
 * random seed, so that no answers make it slow. */
#include "answers.h"
#include "normalise.h"

#include "../json_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- Keys --- */

/* What is equal has the same key: a string is no number, 1 and 1.0 are one. */
static void append_key(buffer *key, const json_t *value) {
    const double real = json_real_value(value);
    if (json_is_string(value)) {
        buffer_append(key, "s", 1);
        buffer_append(key, json_string_value(value), json_string_length(value));
    } else if (json_is_real(value) && real == floor(real) && fabs(real) < 0x1p63) {
        buffer_append_format(key, "%lld", (long long)real);
    } else {
        json_append(key, value);
    }
}

static void append_meaning_key(prompts *prompts, const answers_settings *settings, const json_t *meaning) {
    if (settings->label || strcmp(settings->match, "exact") == 0)
        append_key(&prompts->key, meaning);
    else
        answers_normalise(&prompts->key, &prompts->word, json_string_value(meaning), json_string_length(meaning));
}

/* The number of a key in a table, which is the next one where it is new; SIZE_MAX: out of memory. */
static size_t number_of_key(json_t *table, const buffer *key) {
    const char *text = key->data ? key->data : "";
    const json_t *number = json_object_getn(table, text, key->size);
    if (number)
        return (size_t)json_integer_value(number);
    const size_t next = json_object_size(table);
    bool ok = !key->failed && json_object_setn_new_nocheck(table, text, key->size, json_integer((json_int_t)next)) == 0;
    return ok ? next : SIZE_MAX;
}

static bool out_of_memory(const answers_line *line, trouble *trouble) {
    return trouble_set(trouble, "%s:%llu: out of memory", line->name, (unsigned long long)line->number);
}

/* --- Prompts --- */

static void prompt_free(prompt *prompt) {
    json_decref(prompt->fields);
    json_decref(prompt->table);
    json_decref(prompt->meaning);
    free(prompt->cluster);
    free(prompt->logprobs);
}

/* Of lines that are joined, only what they have in common by their group is the prompt's. */
static bool take_fields(prompt *prompt, const answers_line *line, const char *group) {
    const char *const kept[] = {group, "prompt_id", "prompt"};
    if (!group) {
        prompt->fields = json_incref(line->fields);
        prompt->array_name = line->array_name;
        return true;
    }
    prompt->fields = json_object();
    for (size_t i = 0; i < sizeof kept / sizeof kept[0] && prompt->fields; i++) {
        json_t *value = json_object_get(line->fields, kept[i]);
        if (value && json_object_set(prompt->fields, kept[i], value) != 0)
            return false;
    }
    return prompt->fields != NULL;
}

/* A new prompt at the end. */
static prompt *append_prompt(prompts *prompts, const answers_line *line, const char *group) {
    if (prompts->n == prompts->capacity) {
        size_t capacity = prompts->capacity ? 2 * prompts->capacity : 16;
        prompt *items = capacity > SIZE_MAX / sizeof *items ? NULL : realloc(prompts->items, capacity * sizeof *items);
        if (!items)
            return NULL;
        prompts->items = items;
        prompts->capacity = capacity;
    }
    prompt *made = &prompts->items[prompts->n++];
    *made = (prompt){.name = line->name, .line_number = line->number};
    made->table = json_object();
    made->meaning = json_array();
    return made->table && made->meaning && take_fields(made, line, group) ? made : NULL;
}

prompt *prompts_of_line(prompts *prompts, const answers_line *line, const char *group, trouble *trouble) {
    size_t number = prompts->n;
    if (group) {
        const json_t *value;
        if (!answers_line_group(line, group, &value, trouble))
            return NULL;
        if (!prompts->table)
            prompts->table = json_object();
        buffer_clear(&prompts->key);
        append_key(&prompts->key, value);
        number = prompts->table ? number_of_key(prompts->table, &prompts->key) : SIZE_MAX;
    }
    prompt *found = number < prompts->n    ? &prompts->items[number]
                    : number == prompts->n ? append_prompt(prompts, line, group)
                                           : NULL;
    if (!found)
        out_of_memory(line, trouble);
    return found;
}

void prompts_clear(prompts *prompts) {
    for (size_t i = 0; i < prompts->n; i++)
        prompt_free(&prompts->items[i]);
    prompts->n = 0;
    json_decref(prompts->table);
    prompts->table = NULL;
}

void prompts_free(prompts *prompts) {
    prompts_clear(prompts);
    free(prompts->items);
    buffer_free(&prompts->key);
    buffer_free(&prompts->word);
    *prompts = (struct prompts){0};
}

/* --- Answers --- */

static bool make_room(prompt *prompt, size_t n_more) {
    if (prompt->capacity - prompt->n_answers >= n_more)
        return true;
    size_t capacity =
        prompt->n_answers + n_more > 2 * prompt->capacity ? prompt->n_answers + n_more : 2 * prompt->capacity;
    if (capacity > SIZE_MAX / 16)
        return false;
    size_t *cluster = realloc(prompt->cluster, capacity * sizeof *cluster);
    if (cluster)
        prompt->cluster = cluster;
    double *logprobs = realloc(prompt->logprobs, capacity * sizeof *logprobs);
    if (logprobs)
        prompt->logprobs = logprobs;
    if (!cluster || !logprobs)
        return false;
    prompt->capacity = capacity;
    return true;
}

/* The cluster of an answer, a new one where there is none; SIZE_MAX: out of memory. */
static size_t find_cluster(prompts *prompts, prompt *prompt, const answers_settings *settings, const json_t *meaning) {
    buffer_clear(&prompts->key);
    append_meaning_key(prompts, settings, meaning);
    const size_t number = number_of_key(prompt->table, &prompts->key);
    if (number != prompt->n_clusters)
        return number;
    prompt->n_clusters++;
    return json_array_append(prompt->meaning, (json_t *)meaning) == 0 ? number : SIZE_MAX;
}

static bool add_answer(prompts *prompts, prompt *prompt, const answers_line *line, size_t index, trouble *trouble) {
    answer answer;
    if (!answers_line_answer(line, index, &answer, trouble))
        return false;
    if (prompt->n_answers == 0)
        prompt->has_logprobs = answer.has_logprob;
    if (answer.has_logprob != prompt->has_logprobs)
        return trouble_set(trouble,
                           "%s:%llu: expected a log-probability for every answer to a prompt or for none, found "
                           "some without",
                           line->name, (unsigned long long)line->number);
    const size_t cluster = find_cluster(prompts, prompt, line->settings, answer.meaning);
    if (cluster == SIZE_MAX)
        return out_of_memory(line, trouble);
    prompt->cluster[prompt->n_answers] = cluster;
    prompt->logprobs[prompt->n_answers++] = answer.logprob;
    return true;
}

bool prompts_add(prompts *prompts, prompt *prompt, const answers_line *line, trouble *trouble) {
    if (!make_room(prompt, line->n_answers))
        return out_of_memory(line, trouble);
    for (size_t i = 0; i < line->n_answers; i++)
        if (!add_answer(prompts, prompt, line, i, trouble))
            return false;
    return true;
}
