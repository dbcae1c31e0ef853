/* Eta sampling (arXiv 2210.15191), as Hugging Face's EtaLogitsWarper computes it. */
#include "rule.h"

#include "base/portable.h"

static const entrol_parameter parameters[] = {
    {.name = "epsilon",
     .initial = 3e-4,
     .low = 0,
     .high = 1,
     .says = "the greatest probability that is cut off; 0: none",
     .source = "arXiv 2210.15191: 3e-4 to 2e-3"},
};

static void apply_eta(ent_candidates *candidates, const double *values) {
    const double entropy = ent_candidates_spread(candidates)->entropy;
    ent_keep_probable(candidates, fmin(values[0], sqrt(values[0]) * ent_portable_exp(-entropy)));
}

const ent_rule ent_rule_eta = {
    {"eta", ENT_TABLE(parameters), "keep p >= min(epsilon, sqrt(epsilon) e^-H), and the most probable",
     "arXiv 2210.15191"},
    apply_eta,
};
