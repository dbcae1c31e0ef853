/* The k most probable: exactly so many, of equal ones the lower tokens. */
#include "rule.h"

static const entrol_parameter parameters[] = {
    {.name = "k",
     .type = ENTROL_PARAMETER_WHOLE,
     .initial = 40,
     .low = 1,
     .high = 0x1p31,
     .says = "how many tokens are kept",
     .source = "llama.cpp --top-k"},
};

static int are_k(const ent_share *share, const void *user) {
    return share->n >= *(const double *)user;
}

static void apply_top_k(ent_candidates *candidates, const double *values) {
    if (values[0] < (double)candidates->n_possible)
        ent_keep_nearest(candidates, (double)candidates->m, 0, are_k, values);
}

const ent_rule ent_rule_top_k = {
    {"top_k", ENT_TABLE(parameters), "keep the k most probable tokens", NULL},
    apply_top_k,
};
