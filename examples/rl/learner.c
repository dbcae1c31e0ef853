/* Learning: the minibatches of an update. */
#include "learner.h"

#include <stdlib.h>
#include <string.h>

/* What an update works on at once: n steps. */
typedef struct minibatch {
    size_t n;
    float *observations, *old_logprobs, *advantages, *returns, *old_values; /* gathered from the rollout */
    double *actions;
    double *logprobs, *entropies;               /* of the policy as it is now */
    float *logprobs32, *entropies32;            /* the same, as the objective reads them */
    float *d_logprobs, *d_entropies, *d_values; /* the gradient record */
    float *d_outputs, *d_log_sigma;
} minibatch;

static void minibatch_destroy(minibatch *m) {
    if (m == NULL)
        return;
    free(m->observations); /* the first of all arrays of f32 */
    free(m->actions);      /* of f64 */
    free(m);
}

static minibatch *minibatch_create(size_t n, const rollout *r, size_t n_outputs) {
    minibatch *m = calloc(1, sizeof *m);
    float *next = calloc(n * (r->n_observations + n_outputs + 9) + n_outputs, sizeof *next);
    double *doubles = calloc(n * (r->n_dimensions + 2), sizeof *doubles);
    if (m == NULL || next == NULL || doubles == NULL) {
        free(m);
        free(next);
        free(doubles);
        return NULL;
    }
    m->n = n;
    m->observations = next;
    next += n * r->n_observations;
    float **const columns[] = {&m->old_logprobs, &m->advantages, &m->returns,     &m->old_values, &m->logprobs32,
                               &m->entropies32,  &m->d_logprobs, &m->d_entropies, &m->d_values};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++, next += n)
        *columns[i] = next;
    m->d_outputs = next;
    m->d_log_sigma = next + n * n_outputs;
    m->actions = doubles;
    m->logprobs = doubles + n * r->n_dimensions;
    m->entropies = m->logprobs + n;
    return m;
}

void learner_destroy(learner *self) {
    agent_destroy(&self->agent);
    worlds_destroy(&self->worlds);
    rollout_destroy(&self->rollout);
    minibatch_destroy(self->minibatch);
    free(self->order);
}

int learner_create(learner *self, entrol_context *context, uint64_t seed) {
    const learner_options *options = &self->options;
    const environment *environment = self->worlds.each[0].environment;
    const size_t n = options->n_rollout * options->n_environments;
    self->worlds.gamma = options->gamma;
    self->shuffle.state = seed;
    if (rollout_create(&self->rollout, options, environment) != 0 ||
        agent_create(&self->agent, context, environment, options->n_hidden, n, seed) != 0)
        return -1;
    self->minibatch = minibatch_create(n / options->n_minibatches, &self->rollout, self->agent.n_outputs);
    self->order = calloc(n, sizeof *self->order);
    if (self->minibatch == NULL || self->order == NULL)
        return -1;
    for (size_t i = 0; i < n; i++)
        self->order[i] = i;
    return 0;
}

/* By Fisher and Yates. */
static void shuffle(size_t *order, size_t n, random_state *random) {
    for (size_t i = n; i > 1; i--) {
        const size_t j = (size_t)(random_bits(random) % i), kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
}

static void gather(minibatch *m, const rollout *r, const size_t *rows) {
    for (size_t i = 0; i < m->n; i++) {
        const size_t row = rows[i];
        memcpy(m->observations + i * r->n_observations, r->observations + row * r->n_observations,
               r->n_observations * sizeof(float));
        memcpy(m->actions + i * r->n_dimensions, r->actions + row * r->n_dimensions, r->n_dimensions * sizeof(double));
        m->old_logprobs[i] = r->logprobs[row];
        m->old_values[i] = r->values[row];
        m->returns[i] = r->returns[row];
        m->advantages[i] = r->advantages[row];
    }
}

/* The minibatch's log-probabilities and entropies under the policy as it is now. */
static entrol_status evaluate(minibatch *m, const agent *agent, const entrol_policy *policy,
                              const entrol_matrix *actions) {
    entrol_policy_record record = ENTROL_POLICY_RECORD_INIT;
    record.logprob = m->logprobs;
    record.entropy = m->entropies;
    const entrol_status status = entrol_policy_measure(agent->context, &record, NULL, policy, actions, NULL, NULL);
    for (size_t i = 0; i < m->n; i++) {
        m->logprobs32[i] = (float)m->logprobs[i];
        m->entropies32[i] = (float)m->entropies[i];
    }
    return status;
}

/* The loss, and its derivatives by each step's log-probability, entropy and value. */
static entrol_status judge(minibatch *m, entrol_objective_result *result, const learner *self, const float *values,
                           double beta) {
    const learner_options *o = &self->options;
    const entrol_setting settings[] = {{"clip_low", o->clip, NULL},
                                       {"clip_high", o->clip, NULL},
                                       {"value_clip", o->clip, NULL},
                                       {"value_coefficient", o->value_coefficient / 2, NULL}, /* CleanRL halves */
                                       {"entropy_coefficient", beta, NULL}};
    entrol_tokens tokens = ENTROL_TOKENS_INIT;
    tokens.n_tokens = m->n;
    tokens.logprob = m->logprobs32;
    tokens.old_logprob = m->old_logprobs;
    tokens.advantage = m->advantages;
    tokens.entropy = m->entropies32;
    tokens.value = values;
    tokens.old_value = m->old_values;
    tokens.target_return = m->returns;
    entrol_objective_record record = ENTROL_OBJECTIVE_RECORD_INIT;
    record.logprob = m->d_logprobs;
    record.entropy = m->d_entropies;
    record.value = m->d_values;
    entrol_objective_options options = ENTROL_OBJECTIVE_OPTIONS_INIT;
    options.settings = settings;
    options.n_settings = sizeof settings / sizeof *settings;
    return entrol_objective_compute(self->agent.context, &record, result, NULL, entrol_objective_find("ppo"), &tokens,
                                    &options);
}

/* From the gradient record to the networks' gradients, and one step of Adam. */
static entrol_status descend(learner *self, const entrol_policy *policy, const entrol_matrix *actions,
                             double learning_rate) {
    minibatch *m = self->minibatch;
    agent *a = &self->agent;
    const ptrdiff_t stride = (ptrdiff_t)a->n_outputs;
    const entrol_destination d_outputs = {m->d_outputs, ENTROL_F32, stride, 0};
    const entrol_destination d_log_sigma = {a->log_sigma.gradient, ENTROL_F32, stride, 1};
    entrol_policy_gradient_record record = ENTROL_POLICY_GRADIENT_RECORD_INIT;
    record.logprob = m->d_logprobs;
    record.entropy = m->d_entropies;
    const entrol_status status = entrol_policy_gradient(a->context, &d_outputs, a->is_discrete ? NULL : &d_log_sigma,
                                                        NULL, &record, policy, actions, NULL, NULL);
    if (status != ENTROL_OK)
        return status;
    network_backward(&a->actor, m->d_outputs, m->n);
    network_backward(&a->critic, m->d_values, m->n);
    parameters *const groups[] = {&a->actor.learnt, &a->critic.learnt, &a->log_sigma};
    adam_step(groups, 3, learning_rate, 1e-5, self->options.max_norm, ++self->n_adam_steps);
    return ENTROL_OK;
}

static void add_report(update_report *report, const entrol_objective_result *result, double share) {
    report->loss += share * result->loss;
    report->policy_loss += share * result->policy_loss;
    report->value_loss += share * result->value_loss;
    report->kl += share * result->kl_k3;
    report->clip_fraction += share * (result->clip_low + result->clip_high);
}

static entrol_status learn(learner *self, update_report *report, const size_t *rows, double beta,
                           double learning_rate) {
    minibatch *m = self->minibatch;
    agent *a = &self->agent;
    gather(m, &self->rollout, rows);
    entrol_status status = ENTROL_OK;
    if (self->options.normalise_advantages)
        status = entrol_advantage_whiten(a->context, m->advantages, NULL, m->advantages, NULL, m->n, 1e-8);
    const entrol_policy policy = agent_policy(a, network_forward(&a->actor, m->observations, m->n), m->n);
    const entrol_matrix actions = {m->actions, ENTROL_F64, m->n, a->n_dimensions, (ptrdiff_t)a->n_dimensions};
    const float *values = network_forward(&a->critic, m->observations, m->n);
    entrol_objective_result result = {.size = sizeof result};
    if (status == ENTROL_OK)
        status = evaluate(m, a, &policy, &actions);
    if (status == ENTROL_OK)
        status = judge(m, &result, self, values, beta);
    if (status == ENTROL_OK)
        status = descend(self, &policy, &actions, learning_rate);
    add_report(report, &result, 1 / (double)(self->options.n_epochs * self->options.n_minibatches));
    return status;
}

entrol_status learner_update(learner *self, update_report *report, double beta, double learning_rate) {
    const size_t n = self->rollout.n_steps * self->rollout.n_environments;
    entrol_status status = ENTROL_OK;
    *report = (update_report){0};
    for (size_t epoch = 0; epoch < self->options.n_epochs; epoch++) {
        shuffle(self->order, n, &self->shuffle);
        for (size_t i = 0; status == ENTROL_OK && i < self->options.n_minibatches; i++)
            status = learn(self, report, self->order + i * self->minibatch->n, beta, learning_rate);
    }
    return status;
}
