/* The adaptive coefficient of the KL to a reference model (arXiv 1909.08593). What is observed is the KL. */
#include "controller.h"

#include <math.h>

enum { HORIZON = ENT_OWN, BATCH };

static const entrol_parameter parameters[] = {
    ENT_LIMITED(1e-6, 1e3),
    ENT_WATCHED("none", "none"),
    ENT_AIMED("6", 0.2, "arXiv 1909.08593; TRL's PPO"),
    {.name = "horizon",
     .type = ENTROL_PARAMETER_WHOLE,
     .initial = 10000,
     .low = 1,
     .high = 1e15,
     .says = "samples",
     .source = "TRL's PPO"},
    {.name = "batch",
     .type = ENTROL_PARAMETER_WHOLE,
     .initial = 256,
     .low = 1,
     .high = 1e15,
     .says = "samples a step; the count that is observed, which may be of tokens, says nothing of it",
     .source = "TRL's PPO, batch_size"},
};

/* A batch of more samples than the horizon has would be a factor below 0. A target of 0 is no aim. */
static double move_kl(const ent_move *move) {
    const double *values = move->settings->values;
    if (!(move->target > 0))
        return move->value;
    const double error = ent_clamp(move->entropy / move->target - 1, -0.2, 0.2);
    const double share = values[BATCH] / values[HORIZON];
    return move->value * (1 + error * (share < 1 ? share : 1));
}

const ent_law ent_law_adaptive_kl = {
    .kind = {"adaptive_kl", ENTROL_DRIVE_KL_COEFFICIENT, "KL", parameters, sizeof parameters / sizeof *parameters,
             "v (1 + clip(KL / target - 1, -0.2, 0.2) batch / horizon)", "Ziegler and others, arXiv 1909.08593"},
    .move = move_kl,
};
