/* What the files of this room share: the table of laws, a controller's settings and its state. */
#ifndef ENT_CONTROL_CONTROLLER_H
#define ENT_CONTROL_CONTROLLER_H

#include "base/number.h"

#include <entrol/control.h>

/* The parameters that every table begins with, those of a law that looks at what it observes, and the first of its own
 * behind them. */
enum {
    ENT_MIN,
    ENT_MAX,
    ENT_SLEW,
    ENT_REFERENCE_STEPS,
    ENT_COLLAPSE,
    ENT_EXPLOSION,
    ENT_SCHEDULE_OWN,
    ENT_TARGET = ENT_SCHEDULE_OWN,
    ENT_DEAD_BAND,
    ENT_INITIAL,
    ENT_OWN,
    ENT_MAX_PARAMETERS = 20,
    ENT_MAX_MEMORY = 4,
    ENT_MAX_POINTS = 64
};

/* Rows of a table of parameters; so many as there are words in their names above. */
#define ENT_LIMITED(min_, max_)                                                                                        \
    {.name = "min", .initial = (min_), .low = -1e6, .high = 1e6, .says = "the least coefficient"},                     \
        {.name = "max", .initial = (max_), .low = -1e6, .high = 1e6, .says = "the greatest coefficient"}, {            \
        .name = "slew", .initial = INFINITY, .low = 0, .high = INFINITY,                                               \
        .says = "the most that the coefficient changes in a step"                                                      \
    }
#define ENT_WATCHED(collapse_, explosion_)                                                                             \
    {.name = "reference_steps",                                                                                        \
     .type = ENTROL_PARAMETER_WHOLE,                                                                                   \
     .initial = 20,                                                                                                    \
     .low = 1,                                                                                                         \
     .high = 1e6,                                                                                                      \
     .says = "how many first observations are the reference, of which x is a share"},                                  \
        {.name = "collapse",                                                                                           \
         .type = ENTROL_PARAMETER_TEXT,                                                                                \
         .text = (collapse_),                                                                                          \
         .says = "the alarm of collapse is raised below this; a target, or none"},                                     \
    {                                                                                                                  \
        .name = "explosion", .type = ENTROL_PARAMETER_TEXT, .text = (explosion_),                                      \
        .says = "the alarm of explosion is raised above this; a target, or none"                                       \
    }
#define ENT_STARTED(initial_, source_)                                                                                 \
    {                                                                                                                  \
        .name = "initial", .initial = (initial_), .low = -1e6, .high = 1e6, .says = "the coefficient at the start",    \
        .source = (source_)                                                                                            \
    }
#define ENT_AIMED(target_, initial_, source_)                                                                          \
    {.name = "target",                                                                                                 \
     .type = ENTROL_PARAMETER_TEXT,                                                                                    \
     .text = (target_),                                                                                                \
     .says = "nats, as 0.3; a share of the greatest entropy, 0.7max; or of the first observations' mean, 0.4x"},       \
        {.name = "dead_band",                                                                                          \
         .initial = 0,                                                                                                 \
         .low = 0,                                                                                                     \
         .high = 1e6,                                                                                                  \
         .says = "nats: nearer to the target than this the controller holds still"},                                   \
        ENT_STARTED(initial_, source_)

typedef struct ent_controller_settings {
    double values[ENT_MAX_PARAMETERS];
    entrol_target targets[ENT_MAX_PARAMETERS]; /* of TEXT; NaN nats where there is none */
    double max_entropy;                        /* NaN: not known */
    size_t n_points;                           /* of a piecewise schedule */
    double steps[ENT_MAX_POINTS], points[ENT_MAX_POINTS];
} ent_controller_settings;

/* What changes from step to step. */
typedef struct ent_controller_state {
    uint64_t step;
    double reference_sum; /* of the first min(step, reference_steps) observations */
    double entropy;       /* observed last; NaN before the first */
    double value;         /* of the law, between min and max */
    unsigned alarms;
    int is_limited, is_held;
    double memory[ENT_MAX_MEMORY]; /* of the law alone */
} ent_controller_state;

/* What a law moves on. */
typedef struct ent_move {
    const ent_controller_settings *settings;
    double *memory;
    double value;           /* before */
    double low, high;       /* the limits of the value after it: min, max and slew */
    double entropy, target; /* nats */
    double far_target;      /* box: the other end */
    uint64_t step;          /* observations, this one counted */
} ent_move;

/* A number of a law's memory: between these when it is restored. */
typedef struct ent_memory {
    const char *name;
    double low, high;
} ent_memory;

typedef struct ent_law {
    entrol_controller_kind kind;
    int is_schedule;
    size_t far_target; /* the parameter that is a second target; 0: none */
    size_t n_memory;
    const ent_memory *memory;
    /* The first value, and the memory (zeros before); NULL: "initial". */
    double (*begin)(double *memory, const ent_controller_settings *settings);
    /* The value after an observation. It may be beyond the limits: the caller keeps it within. */
    double (*move)(const ent_move *move);
    /* What is applied of the value; NULL: all of it. The entropy and target are NaN where not known. */
    double (*apply)(double value, const ent_controller_settings *settings, double entropy, double target);
    /* Own settings that make no sense together; the name of one, or NULL. */
    const char *(*check)(const ent_controller_settings *settings);
} ent_law;

/* One row a law, in the order of the registry (controllers.c). */
extern const ent_law ent_law_constant, ent_law_piecewise, ent_law_linear, ent_law_cosine, ent_law_exponential,
    ent_law_polynomial, ent_law_sac, ent_law_skywork, ent_law_pi, ent_law_entropic, ent_law_box, ent_law_aer,
    ent_law_aepo, ent_law_adaptive_kl;

/* NULL for none. */
const ent_law *ent_find_law(const char *name);

struct entrol_controller {
    const ent_law *law;
    ent_controller_settings settings;
    ent_controller_state state;
};

/* target.c: in nats; NaN while it is not known, as a share of `reference` is where that is NaN. */
double ent_target_nats(const entrol_target *target, double reference, double max_entropy);
/* "0:0.01,1000:0" into the settings; 0 where it is none. */
int ent_parse_points(ent_controller_settings *settings, const char *text);

/* watch.c: the mean of the first observations; NaN before one was made. */
double ent_reference(const ent_controller_settings *settings, const ent_controller_state *state);
/* A target of the law, once it is known. */
double ent_aim(const ent_controller_settings *settings, const ent_controller_state *state, size_t parameter);
unsigned ent_watch(const ent_law *law, const ent_controller_settings *settings, const ent_controller_state *state);

static inline double ent_clamp(double value, double low, double high) {
    return value < low ? low : value > high ? high : value;
}

#endif
