/* Schedules: the coefficient is a function of the step t, the number of observations so far, and of nothing that was
 * observed. */
#include "controller.h"

#include <math.h>

enum { START = ENT_SCHEDULE_OWN, END, STEPS, SHAPE, DECAY = END, FLOOR = END, COSINE_STEPS };

#define STARTED                                                                                                        \
    { .name = "initial", .initial = 0.01, .low = -1e6, .high = 1e6, .says = "the coefficient at the start" }
#define ENDED                                                                                                          \
    { .name = "final", .initial = 0, .low = -1e6, .high = 1e6, .says = "the coefficient from `steps` on" }
#define LASTS                                                                                                          \
    {                                                                                                                  \
        .name = "steps", .type = ENTROL_PARAMETER_WHOLE, .initial = 1000, .low = 1, .high = 1e15,                      \
        .says = "training steps that the schedule takes"                                                               \
    }
#define KIND(name_, table_, says_, source_)                                                                            \
    { name_, ENTROL_DRIVE_ENTROPY_COEFFICIENT, "entropy", table_, sizeof(table_) / sizeof *(table_), says_, source_ }

/* The share of the schedule that is over after t steps. */
static double share_over(const ent_controller_settings *settings, uint64_t t, int steps) {
    const double share = (double)t / settings->values[steps];
    return share < 1 ? share : 1;
}

static double ended(const ent_controller_settings *settings, double left) {
    return settings->values[END] + (settings->values[START] - settings->values[END]) * left;
}

static double first_value(double *memory, const ent_controller_settings *settings) {
    (void)memory;
    return settings->values[START];
}

/* --- Piecewise linear --- */

static const entrol_parameter piecewise[] = {
    ENT_LIMITED(-1e6, 1e6),
    ENT_WATCHED("0.1x", "2x"),
    {.name = "points",
     .type = ENTROL_PARAMETER_TEXT,
     .text = "0:0.01,1000:0",
     .says = "step:coefficient, joined by commas, steps ascending, at most 64; straight lines between them"},
};

static double at_points(const ent_controller_settings *settings, double t) {
    size_t i = 0;
    while (i < settings->n_points && settings->steps[i] <= t)
        i++;
    if (i == 0 || i == settings->n_points)
        return settings->points[i ? i - 1 : 0];
    const double share = (t - settings->steps[i - 1]) / (settings->steps[i] - settings->steps[i - 1]);
    return settings->points[i - 1] + share * (settings->points[i] - settings->points[i - 1]);
}

static double begin_piecewise(double *memory, const ent_controller_settings *settings) {
    (void)memory;
    return at_points(settings, 0);
}

static double move_piecewise(const ent_move *move) {
    return at_points(move->settings, (double)move->step);
}

const ent_law ent_law_piecewise = {
    .kind = KIND("piecewise", piecewise, "beta by straight lines between points", "RLlib, entropy_coeff as a schedule"),
    .is_schedule = 1,
    .begin = begin_piecewise,
    .move = move_piecewise,
};

/* --- Linear --- */

static const entrol_parameter linear[] = {ENT_LIMITED(-1e6, 1e6), ENT_WATCHED("0.1x", "2x"), STARTED, ENDED, LASTS};

static double move_linear(const ent_move *move) {
    return ended(move->settings, 1 - share_over(move->settings, move->step, STEPS));
}

const ent_law ent_law_linear = {
    .kind = KIND("linear", linear, "beta = final + (initial - final) (1 - t / steps), then final",
                 "annealed entropy: A3C, arXiv 1602.01783"),
    .is_schedule = 1,
    .begin = first_value,
    .move = move_linear,
};

/* --- Cosine --- */

static const entrol_parameter cosine[] = {
    ENT_LIMITED(-1e6, 1e6),
    ENT_WATCHED("0.1x", "2x"),
    STARTED,
    {.name = "floor",
     .initial = 0.1,
     .low = 0,
     .high = 1,
     .says = "the share of `initial` that is left",
     .source = "PufferLib"},
    LASTS,
};

static double move_cosine(const ent_move *move) {
    const double pi = 3.14159265358979323846, floor = move->settings->values[FLOOR];
    const double wave = 0.5 * (1 + cos(pi * share_over(move->settings, move->step, COSINE_STEPS)));
    return move->settings->values[START] * (floor + (1 - floor) * wave);
}

const ent_law ent_law_cosine = {
    .kind =
        KIND("cosine", cosine, "beta = initial (floor + (1 - floor) (1 + cos(pi t / steps)) / 2), then initial floor",
             "PufferLib; the cosine of SGDR, arXiv 1608.03983"),
    .is_schedule = 1,
    .begin = first_value,
    .move = move_cosine,
};

/* --- Exponential --- */

static const entrol_parameter exponential[] = {
    ENT_LIMITED(-1e6, 1e6),
    ENT_WATCHED("0.1x", "2x"),
    STARTED,
    {.name = "decay", .initial = 0.999, .low = 0, .high = 1, .says = "the factor of each step; min is the floor"},
};

static double move_exponential(const ent_move *move) {
    return move->settings->values[START] * pow(move->settings->values[DECAY], (double)move->step);
}

const ent_law ent_law_exponential = {
    .kind = KIND("exponential", exponential, "beta = initial decay^t", "as learning rates decay"),
    .is_schedule = 1,
    .begin = first_value,
    .move = move_exponential,
};

/* --- Polynomial --- */

static const entrol_parameter polynomial[] = {
    ENT_LIMITED(-1e6, 1e6),
    ENT_WATCHED("0.1x", "2x"),
    STARTED,
    ENDED,
    LASTS,
    {.name = "power",
     .initial = 1,
     .low = 1e-6,
     .high = 100,
     .says = "the exponent",
     .source = "sheeprl, polynomial_decay"},
};

static double move_polynomial(const ent_move *move) {
    const double left = 1 - share_over(move->settings, move->step, STEPS);
    return ended(move->settings, pow(left, move->settings->values[SHAPE]));
}

const ent_law ent_law_polynomial = {
    .kind = KIND("polynomial", polynomial, "beta = final + (initial - final) (1 - t / steps)^power, then final",
                 "sheeprl, polynomial_decay"),
    .is_schedule = 1,
    .begin = first_value,
    .move = move_polynomial,
};
