/* Adaptive Entropy Regularization (AER, arXiv 2510.10959): one coefficient moves towards a target that is a share of
 * the first entropy, and only hard prompts are given it (entrol_controller_coefficient_of). The step's size and where a
 * prompt is hard are choices of this library. */
#include "controller.h"

#include <math.h>

enum { AER_GAIN = ENT_OWN, HARD };

static const entrol_parameter parameters[] = {
    ENT_LIMITED(0, 1),
    ENT_WATCHED("0.1x", "2x"),
    ENT_AIMED("0.4x", 0, NULL),
    {.name = "gain", .initial = 1e-4, .low = 0, .high = 1e6, .says = "the coefficient by nat and step"},
    {.name = "hard",
     .initial = 0.5,
     .low = 0,
     .high = 1,
     .says = "a prompt is hard while less than this share of its samples is right"},
};

static double move_aer(const ent_move *move) {
    return move->value + move->settings->values[AER_GAIN] * (move->target - move->entropy);
}

const ent_law ent_law_aer = {
    .kind = {"aer", ENTROL_DRIVE_PROMPT_COEFFICIENT, "entropy", parameters, sizeof parameters / sizeof *parameters,
             "beta + gain (target - H), for hard prompts alone", "AER, arXiv 2510.10959"},
    .move = move_aer,
};

entrol_status entrol_controller_coefficient_of(double *coefficient, const entrol_controller *controller,
                                               double accuracy) {
    if (!coefficient || !controller || !(accuracy >= 0 && accuracy <= 1))
        return ENTROL_ERROR_ARGUMENT;
    entrol_command command = ENTROL_COMMAND_INIT;
    const entrol_status status = entrol_controller_command(&command, controller);
    const int is_easy = controller->law == &ent_law_aer && accuracy >= controller->settings.values[HARD];
    if (status == ENTROL_OK)
        *coefficient = is_easy ? 0 : command.coefficient;
    return status;
}
