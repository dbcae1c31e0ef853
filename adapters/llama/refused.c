/* Why a chain of rules could not be made, in a sentence. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

/* The parameter of Entrol's that a rule's text sets; NULL: none. */
static const entrol_parameter *parameter_of(const char *text, const char *name) {
    char rule_name[64];
    const size_t n = strcspn(text, "=,");
    if (n >= sizeof rule_name) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        rule_name[i] = text[i] == '-' ? '_' : text[i];
    }
    rule_name[n] = '\0';
    const entrol_sampling_rule *rule = entrol_sampling_rule_find(rule_name);
    for (size_t i = 0; rule != NULL && i < rule->n_parameters; i++) {
        if (strcmp(rule->parameters[i].name, name) == 0) {
            return &rule->parameters[i];
        }
    }
    return NULL;
}

/* What a parameter may be. */
static void say_expected(char *text, size_t size, const entrol_parameter *parameter) {
    if (parameter->type != ENTROL_PARAMETER_CHOICE) {
        snprintf(text, size, "%sfrom %.10g to %.10g",
                 parameter->type == ENTROL_PARAMETER_WHOLE ? "a whole number " : "", parameter->low, parameter->high);
        return;
    }
    size_t used = 0;
    for (size_t i = 0; parameter->choices[i] != NULL && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s", i == 0 ? "" : " or ", parameter->choices[i]);
    }
}

static void say_rule(char *error, size_t error_size, const char *argument, size_t rule, const char *text,
                     const char *bad) {
    const entrol_parameter *parameter = parameter_of(text, argument);
    char expected[160] = "";
    if (parameter != NULL) {
        say_expected(expected, sizeof expected, parameter);
        snprintf(error, error_size, "rule %zu, \"%.80s\": %s is %s, not \"%.80s\".", rule + 1, text, argument, expected,
                 bad);
    } else if (bad == text) {
        snprintf(error, error_size, "rule %zu, \"%.80s\": there is no such rule.", rule + 1, text);
    } else {
        snprintf(error, error_size, "rule %zu, \"%.80s\": \"%.80s\" is not understood.", rule + 1, text, bad);
    }
}

void ent_llama_say_refused(char *error, size_t error_size, entrol_status status, const entrol_diagnosis *diagnosis,
                           const char *const *rules, size_t n_rules) {
    const size_t rule = diagnosis->first_row;
    const bool is_rule = diagnosis->argument != NULL && strcmp(diagnosis->argument, "options") != 0 && rules != NULL;
    if (is_rule && rule < n_rules && rules[rule] != NULL) {
        say_rule(error, error_size, diagnosis->argument, rule, rules[rule], rules[rule] + diagnosis->first_column);
    } else if (is_rule && rule < n_rules) {
        snprintf(error, error_size, "rule %zu is NULL.", rule + 1);
    } else {
        snprintf(error, error_size, "the sampler could not be made: %s.", entrol_status_string(status));
    }
}
