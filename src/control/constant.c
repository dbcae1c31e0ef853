/* A fixed coefficient. */
#include "controller.h"

#include <math.h>

static const entrol_parameter parameters[] = {
    ENT_LIMITED(-1e6, 1e6),
    ENT_WATCHED("0.1x", "2x"),
    {.name = "initial",
     .initial = 0.01,
     .low = -1e6,
     .high = 1e6,
     .says = "the coefficient at the start",
     .source = "CleanRL, ppo.py"},
};

static double begin_constant(double *memory, const ent_controller_settings *settings) {
    (void)memory;
    return settings->values[ENT_SCHEDULE_OWN];
}

static double move_constant(const ent_move *move) {
    return move->settings->values[ENT_SCHEDULE_OWN];
}

const ent_law ent_law_constant = {
    .kind = {"constant", ENTROL_DRIVE_ENTROPY_COEFFICIENT, "entropy", parameters,
             sizeof parameters / sizeof *parameters, "beta = initial", "A3C, arXiv 1602.01783"},
    .is_schedule = 1,
    .begin = begin_constant,
    .move = move_constant,
};
