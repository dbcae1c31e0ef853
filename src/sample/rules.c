/* The rules by name: one row each, one file each beside this one. */
#include "rule.h"

#include <string.h>

static const ent_rule *const rules[] = {
    &ent_rule_greedy,
    &ent_rule_temperature,
    &ent_rule_top_k,
    &ent_rule_top_p,
    &ent_rule_min_p,
    &ent_rule_top_n_sigma,
    &ent_rule_target_entropy,
    &ent_rule_dynamic_temperature,
    &ent_rule_edt,
    &ent_rule_typical,
    &ent_rule_eta,
    &ent_rule_epsilon,
    &ent_rule_top_h,
    &ent_rule_p_less,
    &ent_rule_entropix,
};

size_t entrol_sampling_rule_count(void) {
    return sizeof rules / sizeof rules[0];
}

const entrol_sampling_rule *entrol_sampling_rule_at(size_t index) {
    return index < entrol_sampling_rule_count() ? &rules[index]->kind : NULL;
}

const ent_rule *ent_rule_find(const char *name) {
    for (size_t i = 0; name && i < entrol_sampling_rule_count(); i++)
        if (strcmp(rules[i]->kind.name, name) == 0)
            return rules[i];
    return NULL;
}

const entrol_sampling_rule *entrol_sampling_rule_find(const char *name) {
    const ent_rule *rule = ent_rule_find(name);
    return rule ? &rule->kind : NULL;
}

const entrol_sampling_rule *entrol_sampling_rule_of(const char *text, const entrol_rule_source *source) {
    char name[64];
    const size_t n = strcspn(text, "=,");
    if (n >= sizeof name)
        return NULL;
    for (size_t i = 0; i < n; i++)
        name[i] = text[i] == '-' ? '_' : text[i];
    name[n] = '\0';
    const entrol_sampling_rule *rule = entrol_sampling_rule_find(name);
    return rule || !source ? rule : source->find(source->user, name);
}
