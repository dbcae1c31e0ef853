/* RiverSwim (Strehl and Littman 2008, "An analysis of model-based interval estimation for Markov decision processes"),
 * in episodes of 20 steps from the left bank and with the probabilities of Osband, Russo and Van Roy 2013 ("(More)
 * efficient reinforcement learning via posterior sampling"): six states in a row. To swim left, with the current,
 * always works, and at the left bank pays 0.005; to swim right mostly fails, but at the right bank pays 1. */
#include "environment.h"

#include <stdlib.h>
#include <string.h>

#define N_STATES 6
#define N_STEPS 20

typedef struct river_swim {
    environment base;
    size_t state;
} river_swim;

/* Of a swim to the right: the chances to be carried back, to stay, and to move on. */
static const double left_bank[3] = {0, 0.4, 0.6}, between[3] = {0.05, 0.6, 0.35}, right_bank[3] = {0.4, 0.6, 0};

static void observe(const river_swim *river, double *observation) {
    memset(observation, 0, N_STATES * sizeof *observation);
    observation[river->state] = 1;
}

static void reset(environment *self, random_state *random, double *observation) {
    (void)random;
    ((river_swim *)self)->state = 0;
    observe((river_swim *)self, observation);
}

static outcome step(environment *self, random_state *random, const double *action, double *observation) {
    river_swim *river = (river_swim *)self;
    outcome result = {0, 0};
    if (action[0] == 0) {
        result.reward = river->state == 0 ? 0.005 : 0;
        river->state -= river->state > 0;
    } else {
        const double *chances = river->state == 0 ? left_bank : river->state == N_STATES - 1 ? right_bank : between;
        result.reward = river->state == N_STATES - 1 ? 1 : 0;
        const double u = random_uniform(random);
        if (u < chances[0])
            river->state--;
        else if (u >= chances[0] + chances[1])
            river->state++;
    }
    observe(river, observation);
    return result;
}

static void destroy(environment *self) {
    free(self);
}

environment *river_swim_create(void) {
    river_swim *river = calloc(1, sizeof *river);
    if (river != NULL)
        river->base = (environment){N_STATES, 2, 1, 0, 0, N_STEPS, reset, step, destroy};
    return river == NULL ? NULL : &river->base;
}
