#include "agent.h"

#include <string.h>

int agent_create(agent *self, entrol_context *context, const environment *world, size_t n_hidden, size_t capacity,
                 uint64_t seed) {
    random_state random = {seed};
    memset(self, 0, sizeof *self);
    self->context = context;
    self->seed = seed;
    self->is_discrete = world->n_actions > 0;
    self->n_dimensions = world->n_dimensions;
    self->n_outputs = self->is_discrete ? world->n_actions : world->n_dimensions;
    const size_t policy[] = {world->n_observations, n_hidden, n_hidden, self->n_outputs};
    const size_t value[] = {world->n_observations, n_hidden, n_hidden, 1};
    if (network_create(&self->actor, 3, policy, 0.01f, capacity, &random) != 0 ||
        network_create(&self->critic, 3, value, 1, capacity, &random) != 0 ||
        (!self->is_discrete && parameters_create(&self->log_sigma, self->n_outputs) != 0))
        return -1;
    return 0;
}

void agent_destroy(agent *self) {
    network_destroy(&self->actor);
    network_destroy(&self->critic);
    parameters_destroy(&self->log_sigma);
}

entrol_policy agent_policy(const agent *self, const float *outputs, size_t n_rows) {
    const ptrdiff_t stride = (ptrdiff_t)self->n_outputs;
    entrol_policy policy = ENTROL_POLICY_INIT;
    policy.kind = self->is_discrete ? ENTROL_POLICY_CATEGORICAL : ENTROL_POLICY_GAUSSIAN;
    policy.first = (entrol_matrix){outputs, ENTROL_F32, n_rows, self->n_outputs, stride};
    if (!self->is_discrete)
        policy.second = (entrol_matrix){self->log_sigma.values, ENTROL_F32, 1, self->n_outputs, stride};
    return policy;
}

void agent_value(agent *self, float *values, const float *observations, size_t n_rows) {
    memcpy(values, network_forward(&self->critic, observations, n_rows), n_rows * sizeof *values);
}

entrol_status agent_act(agent *self, double *actions, float *logprobs, float *values, const float *observations,
                        size_t n_rows, uint64_t draw) {
    const ptrdiff_t stride = (ptrdiff_t)self->n_dimensions;
    const entrol_policy policy = agent_policy(self, network_forward(&self->actor, observations, n_rows), n_rows);
    const entrol_destination drawn = {actions, ENTROL_F64, stride, 0};
    const entrol_matrix acted = {actions, ENTROL_F64, n_rows, self->n_dimensions, stride};
    double logprob[MAX_ENVIRONMENTS];
    entrol_policy_record record = ENTROL_POLICY_RECORD_INIT;
    record.logprob = logprob;
    entrol_policy_sample_options options = ENTROL_POLICY_SAMPLE_OPTIONS_INIT;
    options.seed = self->seed;
    options.first_row = draw * n_rows;
    entrol_status status = entrol_policy_sample(self->context, &drawn, NULL, NULL, &policy, &options);
    if (status == ENTROL_OK)
        status = entrol_policy_measure(self->context, &record, NULL, &policy, &acted, NULL, NULL);
    for (size_t i = 0; status == ENTROL_OK && i < n_rows; i++)
        logprobs[i] = (float)logprob[i];
    agent_value(self, values, observations, n_rows);
    return status;
}
