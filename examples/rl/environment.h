/* Environments: what an agent sees, does and gets. */
#ifndef RL_ENVIRONMENT_H
#define RL_ENVIRONMENT_H

#include "random.h"

#include <stddef.h>

#define MAX_ENVIRONMENTS 16 /* side by side */

typedef struct environment environment;

/* What an action led to. An episode that `terminated` has ended by itself; one that is longer than max_steps is cut off
 * by the one who steps. */
typedef struct outcome {
    double reward;
    int terminated;
} outcome;

struct environment {
    size_t n_observations; /* numbers in an observation */
    size_t n_actions;      /* from which one is chosen; 0: an action is a vector */
    size_t n_dimensions;   /* of that vector; 1 for a choice */
    double low, high;      /* a vector's bounds, by which the caller clips it */
    size_t max_steps;
    /* Begins an episode: the first observation. */
    void (*reset)(environment *self, random_state *random, double *observation);
    /* One step by `action`, n_dimensions numbers; of a choice, its number from 0. */
    outcome (*step)(environment *self, random_state *random, const double *action, double *observation);
    void (*destroy)(environment *self);
};

/* The environment of a name: "deep-sea", "river-swim", and where MuJoCo was built in "hopper", "half-cheetah". `size`
 * is the side of the deep sea; `models` the folder of gymnasium's MJCF files. NULL, and a sentence in `error`. */
environment *environment_create(const char *name, size_t size, const char *models, char *error, size_t error_size);

environment *deep_sea_create(size_t size, uint64_t mapping_seed);
environment *river_swim_create(void);
environment *mujoco_create(const char *name, const char *models, char *error, size_t error_size);

/* Sets the state from which the next step goes on: positions, then velocities. Of the MuJoCo environments alone. */
void mujoco_set_state(environment *self, const double *state, double *observation);
size_t mujoco_state_size(const environment *self);

#endif
