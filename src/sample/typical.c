/* Locally typical sampling (arXiv 2202.00666): the tokens whose surprise is nearest to the entropy. A surprise falls
 * evenly with the logit, so those are the ones nearest to the logit whose surprise is the entropy. */
#include "rule.h"

static const entrol_parameter parameters[] = {
    {.name = "p",
     .initial = 0.95,
     .low = 0,
     .high = 1,
     .says = "the mass that is kept at least; 1: all",
     .source = "arXiv 2202.00666"},
};

static void apply_typical(ent_candidates *candidates, const double *values) {
    const ent_spread *spread = ent_candidates_spread(candidates);
    const double logit = (double)candidates->m + (spread->log_sum - spread->entropy) / spread->scale;
    ent_keep_nearest_mass(candidates, logit, values[0]);
}

const ent_rule ent_rule_typical = {
    {"typical", ENT_TABLE(parameters), "keep the fewest tokens of the least |-ln p - H| whose mass is at least p",
     "arXiv 2202.00666"},
    apply_typical,
};
