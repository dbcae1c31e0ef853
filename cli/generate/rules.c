/* The rules of a chain in words: in --help, in --list, and where one is wrong. */
#include "generate.h"

#include "../output.h"
#include "../parameter_text.h"
#include "../suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Entrol's rules, and behind them llama.cpp's; NULL beyond the last. */
static const entrol_sampling_rule *rule_at(size_t index) {
    const size_t n = entrol_sampling_rule_count();
#ifdef ENTROL_HAVE_LLAMA
    if (index >= n)
        return entrol_llama_rule_at(index - n);
#endif
    return index < n ? entrol_sampling_rule_at(index) : NULL;
}

/* Names as they are written on a command line: top-p. */
static void append_name(buffer *out, const char *name, size_t n) {
    for (size_t i = 0; i < n; i++)
        buffer_append(out, name[i] == '_' ? "-" : &name[i], 1);
}

bool generate_is_rule(const char *rule, const char *name) {
    return entrol_sampling_rule_of(rule, NULL) == entrol_sampling_rule_find(name);
}

const char *generate_describe(generate_settings *settings, const char *introduction) {
    buffer text = {0};
    buffer_append_format(&text, "%s Rules:", introduction);
    for (size_t i = 0; rule_at(i) != NULL; i++) {
        const char *name = rule_at(i)->name;
        const bool is_foreign = i == entrol_sampling_rule_count();
        buffer_append_string(&text, is_foreign ? "; llama.cpp's " : i > 0 ? ", " : " ");
        append_name(&text, name, strlen(name));
    }
    buffer_append_string(&text, "; --list says what each does.");
    settings->description = text.data;
    return text.failed ? introduction : text.data;
}

static void list_parameter(buffer *out, const entrol_parameter *parameter, bool is_first) {
    buffer_append_string(out, "  ");
    append_name(out, parameter->name, strlen(parameter->name));
    buffer_append_string(out, " = ");
    parameter_append_default(out, parameter);
    buffer_append_format(out, ": %s; ", parameter->says);
    parameter_append_expected(out, parameter, 1, parameter->name);
    if (parameter->source != NULL)
        buffer_append_format(out, "; %s", parameter->source);
    buffer_append_string(out, is_first ? " (what NAME=VALUE sets)\n" : "\n");
}

bool generate_list(trouble *trouble) {
    buffer text = {0};
    const entrol_sampling_rule *rule;
    for (size_t i = 0; (rule = rule_at(i)) != NULL; i++) {
        buffer_append_string(&text, i > 0 ? "\n" : "");
        append_name(&text, rule->name, strlen(rule->name));
        buffer_append_format(&text, "\n  rule: %s\n", rule->says);
        if (rule->source != NULL)
            buffer_append_format(&text, "  source: %s\n", rule->source);
        for (size_t p = 0; p < rule->n_parameters; p++)
            list_parameter(&text, &rule->parameters[p], p == 0);
    }
    const bool ok =
        (!text.failed || trouble_set(trouble, "out of memory")) && output_whole(NULL, text.data, text.size, trouble);
    buffer_free(&text);
    return ok;
}

/* --- What is wrong with a rule --- */

static void suggest(buffer *out, const suggestion *suggestion) {
    if (suggestion->best == NULL)
        return;
    buffer_append_string(out, "; did you mean \"");
    append_name(out, suggestion->best, strlen(suggestion->best));
    buffer_append_string(out, "\"?");
}

/* A word as names of the registry are written, malloc'd. */
static char *as_name(const char *written, size_t n) {
    char *name = strndup(written, n);
    for (char *at = name; at != NULL && *at != '\0'; at++)
        *at = *at == '-' ? '_' : *at;
    return name;
}

static void report_name(buffer *out, const char *rule, size_t n) {
    char *name = as_name(rule, n);
    suggestion close = suggestion_for(name != NULL ? name : "");
    for (size_t i = 0; rule_at(i) != NULL; i++)
        suggestion_offer(&close, rule_at(i)->name);
    if (n == 0)
        buffer_append_string(out, "expected the name of a rule");
    else
        buffer_append_format(out, "unknown rule \"%.*s\"", (int)n, rule);
    suggest(out, &close);
    if (close.best == NULL)
        buffer_append_string(out, "; \"entrol generate --list\" lists them");
    free(name);
}

/* Whether only the 0 before a fraction's point is missing. */
static bool lacks_zero(const entrol_sampling_rule *rule, const char *parameter, const char *value, size_t n) {
    const entrol_parameter *known = parameter_find(rule->parameters, rule->n_parameters, parameter);
    return known != NULL && known->type == ENTROL_PARAMETER_REAL && n > 1 && value[0] == '.' &&
           strspn(value + 1, "0123456789") == n - 1;
}

/* A value that a parameter cannot have. */
static void report_value(buffer *out, const entrol_sampling_rule *rule, const char *parameter, const char *value) {
    const size_t n = strcspn(value, ",");
    append_name(out, parameter, strlen(parameter));
    buffer_append_string(out, " of ");
    append_name(out, rule->name, strlen(rule->name));
    buffer_append_string(out, ": expected ");
    parameter_append_expected(out, rule->parameters, rule->n_parameters, parameter);
    if (lacks_zero(rule, parameter, value, n))
        buffer_append_format(out, "; a number begins with a digit, as 0%.*s", (int)n, value);
}

/* A parameter that the rule does not have. */
static void report_parameter(buffer *out, const entrol_sampling_rule *rule, const char *written, size_t n) {
    char *name = as_name(written, n);
    suggestion close = suggestion_for(name != NULL ? name : "");
    append_name(out, rule->name, strlen(rule->name));
    if (rule->n_parameters == 0)
        buffer_append_string(out, " has no parameters");
    else if (n == 0)
        buffer_append_string(out, ": expected PARAMETER=VALUE");
    else
        buffer_append_format(out, " has no parameter \"%.*s\"", (int)n, written);
    for (size_t i = 0; i < rule->n_parameters; i++)
        suggestion_offer(&close, rule->parameters[i].name);
    suggest(out, &close);
    for (size_t i = 0; i < rule->n_parameters && close.best == NULL; i++) {
        buffer_append_string(out, i > 0 ? ", " : "; it has ");
        append_name(out, rule->parameters[i].name, strlen(rule->parameters[i].name));
    }
    free(name);
}

int generate_report_rule(const generate_settings *settings, const entrol_diagnosis *diagnosis,
                         const entrol_rule_source *source) {
    const char *rule = diagnosis->first_row < settings->n_chain ? settings->chain[diagnosis->first_row] : "";
    const size_t at = diagnosis->first_column <= strlen(rule) ? diagnosis->first_column : 0;
    const entrol_sampling_rule *known = entrol_sampling_rule_of(rule, source);
    buffer text = {0};
    if (known == NULL)
        report_name(&text, rule, strcspn(rule, "=,"));
    else if (strcmp(diagnosis->argument, "rules") == 0)
        report_parameter(&text, known, rule + at, strcspn(rule + at, "=,"));
    else
        report_value(&text, known, diagnosis->argument, rule + at);
    message_error("--rule: %s", text.failed ? "out of memory" : text.data);
    message_point(rule, diagnosis->first_column);
    buffer_free(&text);
    return EXIT_ERROR;
}
