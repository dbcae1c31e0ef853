/* AEPO's temperature (arXiv 2510.08141): a REINFORCE term on samples drawn hot while the entropy is not above its
 * target, and cold otherwise. */
#include "controller.h"

#include <math.h>

enum { HOT = ENT_OWN, COLD };

static const entrol_parameter parameters[] = {
    ENT_LIMITED(0.01, 10),
    ENT_WATCHED("0.1x", "2x"),
    ENT_AIMED("0.4x", 1, "neutral, until the target is known"),
    {.name = "hot",
     .initial = 1.2,
     .low = 0.01,
     .high = 10,
     .says = "the temperature while H <= target",
     .source = "AEPO"},
    {.name = "cold", .initial = 0.8, .low = 0.01, .high = 10, .says = "and while H > target", .source = "AEPO"},
};

static double move_aepo(const ent_move *move) {
    return move->settings->values[move->entropy <= move->target ? HOT : COLD];
}

const ent_law ent_law_aepo = {
    .kind = {"aepo", ENTROL_DRIVE_TEMPERATURE, "entropy", parameters, sizeof parameters / sizeof *parameters,
             "T = hot while H <= target, else cold", "AEPO, arXiv 2510.08141"},
    .move = move_aepo,
};
