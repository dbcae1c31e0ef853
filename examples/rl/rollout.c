/* Acting: fills the rollout, and turns its rewards into advantages. */
#include "learner.h"

#include <stdlib.h>
#include <string.h>

int rollout_create(rollout *self, const learner_options *options, const environment *environment) {
    const size_t n = options->n_rollout * options->n_environments, all = n + options->n_environments;
    float *next = calloc(all * (environment->n_observations + 1) + 4 * n, sizeof *next);
    *self = (rollout){.n_steps = options->n_rollout,
                      .n_environments = options->n_environments,
                      .n_observations = environment->n_observations,
                      .n_dimensions = environment->n_dimensions,
                      .observations = next,
                      .actions = calloc(n * environment->n_dimensions, sizeof(double)),
                      .ends = calloc(n, 1)};
    if (next == NULL || self->actions == NULL || self->ends == NULL)
        return -1;
    self->values = next += all * environment->n_observations;
    self->rewards = next += all;
    self->logprobs = next += n;
    self->advantages = next += n;
    self->returns = next + n;
    return 0;
}

void rollout_destroy(rollout *self) {
    free(self->observations); /* the first of all arrays of f32 */
    free(self->actions);
    free(self->ends);
}

/* One step of every environment. The row of observations after the last step is that of the next rollout's first. */
static entrol_status act_once(learner *self, size_t t) {
    rollout *r = &self->rollout;
    const size_t row = t * r->n_environments;
    float *observations = r->observations + row * r->n_observations;
    double *actions = r->actions + row * r->n_dimensions;
    const entrol_status status = agent_act(&self->agent, actions, r->logprobs + row, r->values + row, observations,
                                           r->n_environments, self->n_draws++);
    if (status == ENTROL_OK)
        worlds_step(&self->worlds, actions, observations + r->n_environments * r->n_observations, r->rewards + row,
                    r->ends + row);
    return status;
}

/* The entropies of the policies of n_rows observations, summed. */
static entrol_status sum_entropy(learner *self, double *sum) {
    const rollout *r = &self->rollout;
    const size_t n_rows = r->n_steps * r->n_environments;
    double *entropy = calloc(n_rows, sizeof *entropy);
    if (entropy == NULL)
        return ENTROL_ERROR_MEMORY;
    const entrol_policy policy =
        agent_policy(&self->agent, network_forward(&self->agent.actor, r->observations, n_rows), n_rows);
    entrol_policy_record record = ENTROL_POLICY_RECORD_INIT;
    record.entropy = entropy;
    const entrol_status status = entrol_policy_measure(self->agent.context, &record, NULL, &policy, NULL, NULL, NULL);
    *sum = 0;
    for (size_t i = 0; i < n_rows; i++)
        *sum += entropy[i];
    free(entropy);
    return status;
}

static entrol_status estimate_advantages(learner *self) {
    rollout *r = &self->rollout;
    entrol_trajectory trajectory = ENTROL_TRAJECTORY_INIT;
    trajectory.n_steps = r->n_steps;
    trajectory.n_environments = r->n_environments;
    trajectory.rewards = r->rewards;
    trajectory.values = r->values;
    trajectory.last_values = r->values + r->n_steps * r->n_environments;
    trajectory.ends = r->ends;
    return entrol_advantage_gae(self->agent.context, r->advantages, r->returns, NULL, &trajectory, self->options.gamma,
                                self->options.lambda);
}

entrol_status learner_act(learner *self, double *entropy) {
    rollout *r = &self->rollout;
    const size_t n = r->n_steps * r->n_environments, row = r->n_environments * r->n_observations;
    if (self->n_draws == 0)
        worlds_reset(&self->worlds, r->observations);
    else
        memcpy(r->observations, r->observations + r->n_steps * row, row * sizeof(float));
    entrol_status status = ENTROL_OK;
    for (size_t t = 0; status == ENTROL_OK && t < r->n_steps; t++)
        status = act_once(self, t);
    agent_value(&self->agent, r->values + n, r->observations + r->n_steps * row, r->n_environments);
    if (status == ENTROL_OK)
        status = estimate_advantages(self);
    return status == ENTROL_OK ? sum_entropy(self, entropy) : status;
}
