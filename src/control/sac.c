/* The dual step of Soft Actor-Critic (arXiv 1812.05905): a gradient step of Adam (arXiv 1412.6980) on ln alpha that
 * raises alpha while the entropy is below its target. Published code lets alpha run away where a target cannot be
 * reached; here ln alpha is kept between ln min and ln max. */
#include "controller.h"

#include <math.h>

static const char *const losses[] = {"log_alpha", "alpha", NULL};

enum { LOSS = ENT_OWN, SAC_RATE, BETA1, BETA2, EPSILON };

static const entrol_parameter parameters[] = {
    {.name = "min", .initial = 1e-6, .low = 1e-30, .high = 1e6, .says = "the least coefficient"},
    {.name = "max", .initial = 100, .low = 1e-30, .high = 1e6, .says = "the greatest coefficient"},
    {.name = "slew",
     .initial = INFINITY,
     .low = 0,
     .high = INFINITY,
     .says = "the most that the coefficient changes in a step"},
    ENT_WATCHED("0.1x", "2x"),
    ENT_AIMED("0.4x", 1, "Stable-Baselines3 and CleanRL, sac.py"),
    {.name = "loss",
     .type = ENTROL_PARAMETER_CHOICE,
     .initial = 0,
     .choices = losses,
     .says = "what is minimised: ln alpha (H - target), or alpha (H - target)",
     .source = "Stable-Baselines3 has log_alpha, CleanRL alpha"},
    {.name = "rate",
     .initial = 3e-4,
     .low = 0,
     .high = 1e3,
     .says = "Adam's learning rate",
     .source = "arXiv 1812.05905"},
    {.name = "beta1",
     .initial = 0.9,
     .low = 0,
     .high = 0.999999,
     .says = "Adam's decay of the mean",
     .source = "arXiv 1412.6980"},
    {.name = "beta2",
     .initial = 0.999,
     .low = 0,
     .high = 0.99999999,
     .says = "Adam's decay of the square",
     .source = "arXiv 1412.6980"},
    {.name = "epsilon",
     .initial = 1e-8,
     .low = 1e-30,
     .high = 1,
     .says = "Adam's epsilon",
     .source = "arXiv 1412.6980"},
};

enum { LOG_ALPHA, MEAN, SQUARE, N_STEPS, N_MEMORY };

static const ent_memory memory_of[N_MEMORY] = {
    {"log_alpha", -70, 14}, {"mean", -1e300, 1e300}, {"square", 0, 1e300}, {"adam_steps", 0, 9007199254740992.0}};

static double begin_sac(double *memory, const ent_controller_settings *settings) {
    memory[LOG_ALPHA] = log(settings->values[ENT_INITIAL]);
    return settings->values[ENT_INITIAL];
}

static double move_sac(const ent_move *move) {
    const double *values = move->settings->values;
    double *memory = move->memory;
    double gradient = move->entropy - move->target;
    if (values[LOSS] == 1)
        gradient *= exp(memory[LOG_ALPHA]);
    memory[N_STEPS]++;
    memory[MEAN] = values[BETA1] * memory[MEAN] + (1 - values[BETA1]) * gradient;
    memory[SQUARE] = values[BETA2] * memory[SQUARE] + (1 - values[BETA2]) * gradient * gradient;
    const double mean = memory[MEAN] / (1 - pow(values[BETA1], memory[N_STEPS]));
    const double square = memory[SQUARE] / (1 - pow(values[BETA2], memory[N_STEPS]));
    const double wanted = memory[LOG_ALPHA] - values[SAC_RATE] * mean / (sqrt(square) + values[EPSILON]);
    memory[LOG_ALPHA] = ent_clamp(wanted, log(move->low), log(move->high));
    return exp(wanted);
}

static const char *check_sac(const ent_controller_settings *settings) {
    return settings->values[ENT_INITIAL] > 0 ? NULL : "initial";
}

const ent_law ent_law_sac = {
    .kind =
        {"sac", ENTROL_DRIVE_ENTROPY_COEFFICIENT, "entropy", parameters, sizeof parameters / sizeof *parameters,
         "ln alpha by Adam on ln alpha (H - target), or on alpha (H - target); the target of d continuous actions is "
         "mostly -d, of n discrete ones 0.98max or 0.89max",
         "Soft Actor-Critic, arXiv 1812.05905"},
    .n_memory = N_MEMORY,
    .memory = memory_of,
    .begin = begin_sac,
    .move = move_sac,
    .check = check_sac,
};
