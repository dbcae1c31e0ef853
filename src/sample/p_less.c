/* p-less sampling (arXiv 2509.23234): the probability of drawing the same token twice is the least that is kept. */
#include "rule.h"

#include "base/portable.h"

static void apply_p_less(ent_candidates *candidates, const double *values) {
    ent_spread squares; /* masses at half the temperature are the squares of what they are */
    (void)values;
    ent_candidates_spread_at(&squares, candidates, candidates->temperature / 2);
    candidates->n_passes += candidates->n > ENT_FEW;
    ent_keep_probable(candidates, ent_portable_exp(squares.log_sum - 2 * ent_candidates_spread(candidates)->log_sum));
}

const ent_rule ent_rule_p_less = {
    {"p_less", NULL, 0, "keep p >= sum p^2", "arXiv 2509.23234"},
    apply_p_less,
};
