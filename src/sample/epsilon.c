/* Epsilon sampling (arXiv 2210.15191). */
#include "rule.h"

static const entrol_parameter parameters[] = {
    {.name = "epsilon",
     .initial = 3e-4,
     .low = 0,
     .high = 1,
     .says = "the least probability that is kept; 0: all",
     .source = "arXiv 2210.15191: 3e-4 to 9e-4"},
};

static void apply_epsilon(ent_candidates *candidates, const double *values) {
    ent_keep_probable(candidates, values[0]);
}

const ent_rule ent_rule_epsilon = {
    {"epsilon", ENT_TABLE(parameters), "keep p >= epsilon, and the most probable", "arXiv 2210.15191"},
    apply_epsilon,
};
