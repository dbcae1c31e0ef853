/* The most probable token. */
#include "rule.h"

static void apply_greedy(ent_candidates *candidates, const double *values) {
    (void)values;
    ent_keep_first(candidates);
}

const ent_rule ent_rule_greedy = {
    {"greedy", NULL, 0, "keep the most probable token, of a tie the lowest", NULL},
    apply_greedy,
};
