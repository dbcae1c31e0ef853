/* A row of the registry of rules. */
#ifndef ENT_SAMPLE_RULE_H
#define ENT_SAMPLE_RULE_H

#include "candidates.h"

enum { ENT_MOST_PARAMETERS = 8 };

typedef struct ent_rule {
    entrol_sampling_rule kind;
    void (*apply)(ent_candidates *candidates, const double *values); /* one of each parameter */
} ent_rule;

/* The parameters and how many. */
#define ENT_TABLE(parameters) (parameters), sizeof(parameters) / sizeof *(parameters)

extern const ent_rule ent_rule_greedy, ent_rule_temperature, ent_rule_dynamic_temperature, ent_rule_edt,
    ent_rule_target_entropy, ent_rule_typical, ent_rule_eta, ent_rule_epsilon, ent_rule_top_h, ent_rule_p_less,
    ent_rule_entropix, ent_rule_top_k, ent_rule_top_p, ent_rule_min_p, ent_rule_top_n_sigma;

/* NULL for none. */
const ent_rule *ent_rule_find(const char *name);

#endif
