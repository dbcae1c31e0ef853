/* A fixed temperature. */
#include "rule.h"

static const entrol_parameter parameters[] = {
    {.name = "temperature",
     .initial = 1,
     .low = 0,
     .high = ENT_MOST_TEMPERATURE,
     .says = "what logits are divided by; 0: greedy"},
};

static void apply_temperature(ent_candidates *candidates, const double *values) {
    ent_candidates_set_temperature(candidates, values[0] * candidates->temperature);
}

const ent_rule ent_rule_temperature = {
    {"temperature", ENT_TABLE(parameters), "divide the logits by the temperature", NULL},
    apply_temperature,
};
