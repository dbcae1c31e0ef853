/* Why a chain of rules could not be made, in a sentence. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

static void say_rule(char *error, size_t error_size, const entrol_diagnosis *diagnosis, const char *text,
                     const entrol_rule_source *source) {
    const entrol_sampling_rule *rule = entrol_sampling_rule_of(text, source);
    const char *argument = diagnosis->argument, *bad = text + diagnosis->first_column;
    const size_t number = diagnosis->first_row + 1;
    char expected[160];
    if (rule == NULL) {
        snprintf(error, error_size, "rule %zu, \"%.80s\": there is no such rule%s.", number, text,
                 source == NULL ? " of Entrol's (llama.cpp's are in entrol_llama_rules)" : "");
    } else if (entrol_parameter_expected(expected, sizeof expected, rule->parameters, rule->n_parameters, argument) >
               0) {
        snprintf(error, error_size, "rule %zu, \"%.80s\": %s: expected %s, found \"%.*s\".", number, text, argument,
                 expected, (int)strcspn(bad, ","), bad);
    } else {
        snprintf(error, error_size, "rule %zu, \"%.80s\": \"%.80s\" is not understood.", number, text, bad);
    }
}

void ent_llama_say_refused(char *error, size_t error_size, entrol_status status, const entrol_diagnosis *diagnosis,
                           const char *const *rules, size_t n_rules, const entrol_rule_source *source) {
    const size_t rule = diagnosis->first_row;
    const bool is_rule = diagnosis->argument != NULL && strcmp(diagnosis->argument, "options") != 0 && rules != NULL;
    if (is_rule && rule < n_rules && rules[rule] != NULL) {
        say_rule(error, error_size, diagnosis, rules[rule], source);
    } else if (is_rule && rule < n_rules) {
        snprintf(error, error_size, "rule %zu is NULL.", rule + 1);
    } else {
        snprintf(error, error_size, "the sampler could not be made: %s.", entrol_status_string(status));
    }
}
