/* Top-H (arXiv 2509.02510): as many of the most probable tokens as keep a share of the entropy, in the two readings
 * there are. The paper bounds the entropy of what is kept, renormalised, which rises with every token. Hugging Face's
 * TopHLogitsWarper bounds the part of the entropy's sum that is kept, of the 100 most probable tokens. */
#include "rule.h"

#include "base/portable.h"

#include <stddef.h>

enum { ALPHA, READING };

static const char *const readings[] = {"paper", "transformers", NULL};
static const double n_read = 100;

static const entrol_parameter parameters[] = {
    {.name = "alpha",
     .initial = 0.4,
     .low = 0,
     .high = 1,
     .says = "the share of the entropy",
     .source = "arXiv 2509.02510"},
    {.name = "reading",
     .type = ENTROL_PARAMETER_CHOICE,
     .choices = readings,
     .says = "paper: of H(q) of what is kept; transformers: of its part of H of the 100 most probable"},
};

typedef struct limit {
    double most; /* nats */
    double scale, log_sum, sum;
} limit;

/* H of what is kept, renormalised: ln s - scale t / s. */
static int has_more(const ent_share *share, const void *user) {
    const limit *limit = user;
    return ent_portable_log(share->s) - limit->scale * share->t / share->s > limit->most;
}

/* sum of -p ln p. */
static int has_larger_part(const ent_share *share, const void *user) {
    const limit *limit = user;
    return (share->s * limit->log_sum - limit->scale * share->t) / limit->sum > limit->most;
}

static int are_read(const ent_share *share, const void *user) {
    (void)user;
    return share->n >= n_read;
}

static void apply_top_h(ent_candidates *candidates, const double *values) {
    const int as_transformers = values[READING] > 0;
    if (as_transformers && (double)candidates->n_possible > n_read)
        ent_keep_nearest(candidates, (double)candidates->m, 0, are_read, NULL);
    const ent_spread *spread = ent_candidates_spread(candidates);
    const limit limit = {values[ALPHA] * spread->entropy, spread->scale, spread->log_sum, spread->n_top + spread->s};
    if (values[ALPHA] < 1)
        ent_keep_nearest(candidates, (double)candidates->m, 1, as_transformers ? has_larger_part : has_more, &limit);
}

const ent_rule ent_rule_top_h = {
    {"top_h", ENT_TABLE(parameters), "keep the most probable tokens, as many as have at most this share of the entropy",
     "arXiv 2509.02510"},
    apply_top_h,
};
