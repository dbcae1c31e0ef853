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

static int is_mass(const ent_share *share, const void *user) {
    return share->s >= *(const double *)user;
}

static void apply_top_p(ent_candidates *candidates, const double *values) {
    const ent_spread *spread = ent_candidates_spread(candidates);
    const double wanted = values[0] * (spread->n_top + spread->s);
    if (values[0] < 1)
        ent_keep_nearest(candidates, (double)candidates->m, 0, is_mass, &wanted);
}

const ent_rule ent_rule_top_p = {
    {"top_p", ENT_TABLE(parameters), "keep the fewest of the most probable tokens whose mass is at least p",
     "arXiv 1904.09751"},
    apply_top_p,
};
