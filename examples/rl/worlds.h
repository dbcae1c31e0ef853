/* Several copies of an environment that are stepped together, begin again by themselves, and show observations and
 * rewards as the agent learns from them. */
#ifndef RL_WORLDS_H
#define RL_WORLDS_H

#include "environment.h"

#define MAX_OBSERVATIONS 4096

/* Mean and variance of what was seen so far, of n numbers (Chan, Golub and LeVeque 1979, one row at a time). */
typedef struct running_moments {
    size_t n;
    double count;
    double *mean, *variance;
} running_moments;

typedef struct world {
    environment *environment;
    random_state random;
    size_t length;        /* of the episode so far */
    double sum;           /* of its rewards */
    double discounted;    /* of all rewards, by which rewards are scaled */
    running_moments seen; /* observations */
    running_moments paid; /* `discounted` */
} world;

/* Episodes that ended. */
typedef struct episodes {
    size_t n, n_steps;
    double sum_of_returns;
} episodes;

typedef struct worlds {
    size_t n;
    world each[MAX_ENVIRONMENTS];
    /* As gymnasium's NormalizeObservation and NormalizeReward, and cut to [-10, 10]; else as they are. */
    int normalise;
    double gamma;
    episodes ended; /* the caller sets it back */
} worlds;

/* 0, or -1 and a sentence in `error`. */
int worlds_create(worlds *self, size_t n, const char *name, size_t size, const char *models, uint64_t seed, char *error,
                  size_t error_size);
void worlds_destroy(worlds *self);

/* The first observations, n rows. */
void worlds_reset(worlds *self, float *observations);

/* One step of each: the next observations, the rewards, and 1 where an episode ended and the observation is of the next
 * one. */
void worlds_step(worlds *self, const double *actions, float *observations, float *rewards, uint8_t *ended);

#endif
