/* A chain of rules and where its text is. */
#ifndef ENT_SAMPLE_SAMPLER_H
#define ENT_SAMPLE_SAMPLER_H

#include "rule.h"

/* One rule of the chain. */
typedef struct ent_step {
    const ent_rule *rule; /* NULL: external */
    double values[ENT_MOST_PARAMETERS];
    entrol_external_rule external;
} ent_step;

struct entrol_sampler {
    ent_step *steps;
    size_t n_steps;
    uint64_t seed, stream, place;
    int32_t last_token; /* -1 at the beginning of a text */
    ent_workspace workspace;
    ent_candidates left; /* of the last draw; none of a row in trouble */
};

#endif
