/* Proportional-integral control, e = target - H: EntroPIC's law (arXiv 2511.15248), on the weights of samples as there,
 * or on the entropy coefficient.
 *
 * The sum stands still while the coefficient is at a limit and the error would drive it further (conditional
 * integration; Astrom and Hagglund, Advanced PID Control, 2006, 3.5). In the published code it goes on, so that it must
 * be worked off again before the coefficient moves. */
#include "controller.h"

#include <math.h>

enum { KP = ENT_OWN, KI };

static const entrol_parameter of_coefficient[] = {
    ENT_LIMITED(0, 1),
    ENT_WATCHED("0.1x", "2x"),
    ENT_AIMED("0.4x", 0, NULL),
    {.name = "kp", .initial = 0.05, .low = 0, .high = 1e6, .says = "the gain of the error, a coefficient by nat"},
    {.name = "ki", .initial = 5e-4, .low = 0, .high = 1e6, .says = "the gain of its sum over the steps"},
};

static const entrol_parameter of_weights[] = {
    ENT_LIMITED(-1, 1),
    ENT_WATCHED("0.1x", "2x"),
    ENT_AIMED("0.4x", 0, NULL),
    {.name = "kp", .initial = 1, .low = 0, .high = 1e6, .says = "the gain of the error", .source = "EntroPIC"},
    {.name = "ki",
     .initial = 0.01,
     .low = 0,
     .high = 1e6,
     .says = "the gain of its sum over the steps",
     .source = "EntroPIC"},
};

static const ent_memory integral[] = {{"integral", -1e300, 1e300}};

static double move_pi(const ent_move *move) {
    const double *values = move->settings->values;
    const double error = move->target - move->entropy;
    const double sum = move->memory[0] + error;
    const double wanted = values[ENT_INITIAL] + values[KP] * error + values[KI] * sum;
    if (!(wanted > move->high && error > 0) && !(wanted < move->low && error < 0))
        move->memory[0] = sum;
    return wanted;
}

const ent_law ent_law_pi = {
    .kind = {"pi", ENTROL_DRIVE_ENTROPY_COEFFICIENT, "entropy", of_coefficient,
             sizeof of_coefficient / sizeof *of_coefficient,
             "beta = initial + kp e + ki sum e, e = target - H; the sum stands still at a limit",
             "EntroPIC's law, arXiv 2511.15248, on the entropy coefficient"},
    .n_memory = 1,
    .memory = integral,
    .move = move_pi,
};

const ent_law ent_law_entropic = {
    .kind = {"entropic", ENTROL_DRIVE_SAMPLE_WEIGHTS, "entropy", of_weights, sizeof of_weights / sizeof *of_weights,
             "alpha = initial + kp e + ki sum e; samples of positive advantage weigh 1 - alpha, others 1 + alpha (the "
             "paper's target is 0.1)",
             "EntroPIC, arXiv 2511.15248"},
    .n_memory = 1,
    .memory = integral,
    .move = move_pi,
};
