/* Min-p sampling (arXiv 2407.01082). */
#include "rule.h"

#include "base/portable.h"

static const entrol_parameter parameters[] = {
    {.name = "p",
     .initial = 0.05,
     .low = 0,
     .high = 1,
     .says = "the least share of the greatest probability that is kept; 0: all",
     .source = "llama.cpp --min-p"},
};

static void apply_min_p(ent_candidates *candidates, const double *values) {
    if (values[0] > 0)
        ent_keep_from(candidates, (double)candidates->m + candidates->temperature * ent_portable_log(values[0]));
}

const ent_rule ent_rule_min_p = {
    {"min_p", ENT_TABLE(parameters), "keep what has at least this share of the greatest probability",
     "arXiv 2407.01082"},
    apply_min_p,
};
