/* AEnt's coefficient (arXiv 2509.03493): it moves only while the entropy is outside a box. */
#include "controller.h"

#include <math.h>

enum { HIGH = ENT_OWN, BOX_GAIN };

static const entrol_parameter parameters[] = {
    ENT_LIMITED(4e-5, 0.1),
    ENT_WATCHED("0.1x", "2x"),
    ENT_AIMED("0.4x", 2e-4, "AEnt"),
    {.name = "high",
     .type = ENTROL_PARAMETER_TEXT,
     .text = "0.6x",
     .says = "the upper end of the box, as a target; `target` is the lower"},
    {.name = "gain",
     .initial = 2e-3,
     .low = 0,
     .high = 1e6,
     .says = "the coefficient by nat and step",
     .source = "AEnt's recipe in AReaL"},
};

static double move_box(const ent_move *move) {
    const double below = move->entropy - move->target, above = move->entropy - move->far_target;
    return move->value - move->settings->values[BOX_GAIN] * ((below < 0 ? below : 0) + (above > 0 ? above : 0));
}

/* NaN where it is not known before the first observations; of two shares of those the shares decide. */
static double width_of(const ent_controller_settings *settings) {
    const entrol_target *low = &settings->targets[ENT_TARGET], *high = &settings->targets[HIGH];
    if (low->kind == high->kind)
        return high->value - low->value;
    return ent_target_nats(high, (double)NAN, settings->max_entropy) -
           ent_target_nats(low, (double)NAN, settings->max_entropy);
}

static const char *check_box(const ent_controller_settings *settings) {
    return width_of(settings) <= 0 ? "high" : NULL;
}

const ent_law ent_law_box = {
    .kind = {"box", ENTROL_DRIVE_ENTROPY_COEFFICIENT, "entropy", parameters, sizeof parameters / sizeof *parameters,
             "beta - gain (min(0, H - target) + max(0, H - high))", "AEnt, arXiv 2509.03493"},
    .far_target = HIGH,
    .move = move_box,
    .check = check_box,
};
