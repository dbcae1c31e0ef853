/* Nucleus sampling (arXiv 1904.09751). */
#include "rule.h"

static const entrol_parameter parameters[] = {
    {.name = "p",
     .initial = 0.95,
     .low = 0,
     .high = 1,
     .says = "the mass that is kept at least; 1: all",
     .source = "llama.cpp --top-p"},
};

static void apply_top_p(ent_candidates *candidates, const double *values) {
    ent_keep_nearest_mass(candidates, (double)candidates->m, values[0]);
}

const ent_rule ent_rule_top_p = {
    {"top_p", ENT_TABLE(parameters), "keep the fewest of the most probable tokens whose mass is at least p",
     "arXiv 1904.09751"},
    apply_top_p,
};
