/* Skywork-OR1's adaptive coefficient (arXiv 2505.22312), which is TRL's use_adaptive_entropy: a fixed step up or down,
 * and the bonus applies only while the entropy is not above the target. */
#include "controller.h"

#include <math.h>

static const char *const gates[] = {"off", "on", NULL};

enum { DELTA = ENT_OWN, GATE };

static const entrol_parameter parameters[] = {
    ENT_LIMITED(0, 1),
    ENT_WATCHED("0.1x", "2x"),
    ENT_AIMED("0.4x", 0, "TRL, entropy_coef"),
    {.name = "delta",
     .initial = 5e-3,
     .low = 0,
     .high = 1e6,
     .says = "the step",
     .source = "TRL; Skywork-OR1 has 1e-4 with a max of 5e-3"},
    {.name = "gate",
     .type = ENTROL_PARAMETER_CHOICE,
     .initial = 1,
     .choices = gates,
     .says = "on: the coefficient is 0 while the entropy is above the target, and before the first observation"},
};

static double move_skywork(const ent_move *move) {
    const double delta = move->settings->values[DELTA];
    return move->value + (move->entropy <= move->target ? delta : -delta);
}

static double apply_skywork(double value, const ent_controller_settings *settings, double entropy, double target) {
    return settings->values[GATE] == 0 || entropy <= target ? value : 0;
}

const ent_law ent_law_skywork = {
    .kind = {"skywork", ENTROL_DRIVE_ENTROPY_COEFFICIENT, "entropy", parameters, sizeof parameters / sizeof *parameters,
             "c + delta while H <= target, else c - delta; beta = c while H <= target, else 0",
             "Skywork-OR1, arXiv 2505.22312; TRL, use_adaptive_entropy"},
    .move = move_skywork,
    .apply = apply_skywork,
};
