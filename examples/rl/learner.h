/* PPO (Schulman et al. 2017) with what is Entrol's of it: the policy, its samples, advantages, the loss, and the
 * gradients that the networks need. */
#ifndef RL_LEARNER_H
#define RL_LEARNER_H

#include "agent.h"
#include "worlds.h"

typedef struct learner_options {
    size_t n_hidden; /* units in each of the two layers of a network */
    size_t n_environments;
    size_t n_rollout; /* steps of each between two updates */
    size_t n_epochs, n_minibatches;
    double learning_rate; /* at the start; it falls to 0 at the end */
    double gamma, lambda;
    double clip; /* of the ratio, and of the change of the value */
    double value_coefficient;
    double max_norm; /* of the gradient */
    int normalise_advantages;
} learner_options;

/* What the agent went through since the last update: steps x environments, and a row more of what comes next. */
typedef struct rollout {
    size_t n_steps, n_environments, n_observations, n_dimensions;
    float *observations, *values; /* one row of environments more */
    float *rewards, *logprobs, *advantages, *returns;
    uint8_t
        *ends; /* 1 where the step ended an episode. Cut off or not, nothing of what follows counts, as in CleanRL */
    double *actions;
} rollout;

int rollout_create(rollout *self, const learner_options *options, const environment *environment);
void rollout_destroy(rollout *self);

/* Means over the minibatches of an update. */
typedef struct update_report {
    double loss, policy_loss, value_loss, kl, clip_fraction;
} update_report;

typedef struct learner {
    learner_options options;
    agent agent;
    worlds worlds;
    rollout rollout;
    size_t *order; /* of the steps, shuffled */
    random_state shuffle;
    struct minibatch *minibatch;
    size_t n_adam_steps;
    uint64_t n_draws;
} learner;

int learner_create(learner *self, entrol_context *context, uint64_t seed);
void learner_destroy(learner *self);

/* Acts for n_rollout steps, and computes the advantages. `entropy` is the sum of the entropies of the policies it acted
 * by. */
entrol_status learner_act(learner *self, double *entropy);

/* Learns from them. `beta` multiplies the mean entropy; learning_rate is this update's. */
entrol_status learner_update(learner *self, update_report *report, double beta, double learning_rate);

#endif
