/* p-less sampling (arXiv 2509.23234): the probability of drawing the same token twice is the least that is kept. */
#include "rule.h"

static void apply_p_less(ent_candidates *candidates, const double *values) {
    const ent_spread *spread = ent_candidates_spread(candidates);
    const double sum = spread->n_top + spread->s;
    (void)values;
    ent_keep_probable(candidates, (spread->n_top + spread->q) / sum / sum);
}

const ent_rule ent_rule_p_less = {
    {"p_less", NULL, 0, "keep p >= sum p^2", "arXiv 2509.23234"},
    apply_p_less,
};
