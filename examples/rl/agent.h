/* The agent: a network for the policy and one for the value, as CleanRL's. */
#ifndef RL_AGENT_H
#define RL_AGENT_H

#include "environment.h"
#include "network.h"

#include <entrol/entrol.h>

typedef struct agent {
    network actor, critic;
    parameters log_sigma; /* of a Gaussian policy: one for every state. Else of no number */
    size_t n_outputs;     /* of the actor: logits or means */
    size_t n_dimensions;  /* of an action */
    int is_discrete;
    entrol_context *context;
    uint64_t seed; /* of what it draws */
} agent;

/* 0, or -1 where memory ran out. It works on at most `capacity` rows at once. */
int agent_create(agent *self, entrol_context *context, const environment *world, size_t n_hidden, size_t capacity,
                 uint64_t seed);
void agent_destroy(agent *self);

/* The distributions of the actions, for the actor's outputs of n_rows rows. */
entrol_policy agent_policy(const agent *self, const float *outputs, size_t n_rows);

/* Draws an action for each row of observations. `draw` numbers the draws. */
entrol_status agent_act(agent *self, double *actions, float *logprobs, float *values, const float *observations,
                        size_t n_rows, uint64_t draw);

/* The values alone. */
void agent_value(agent *self, float *values, const float *observations, size_t n_rows);

#endif
