#include "worlds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST 10.0 /* of a normalised observation or reward */

static int moments_create(running_moments *moments, size_t n) {
    moments->n = n;
    moments->count = 1e-4;
    moments->mean = calloc(2 * n, sizeof *moments->mean);
    if (moments->mean == NULL)
        return -1;
    moments->variance = moments->mean + n;
    for (size_t i = 0; i < n; i++)
        moments->variance[i] = 1;
    return 0;
}

static void moments_add(running_moments *moments, const double *row) {
    const double total = moments->count + 1;
    for (size_t i = 0; i < moments->n; i++) {
        const double delta = row[i] - moments->mean[i];
        moments->mean[i] += delta / total;
        moments->variance[i] = (moments->variance[i] + delta * delta / total) * moments->count / total;
    }
    moments->count = total;
}

static double cut(double x, double low, double high) {
    return fmin(fmax(x, low), high);
}

int worlds_create(worlds *self, size_t n, const char *name, size_t size, const char *models, uint64_t seed, char *error,
                  size_t error_size) {
    memset(self, 0, sizeof *self);
    for (self->n = 0; self->n < n; self->n++) {
        world *one = &self->each[self->n];
        one->random.state = seed * MAX_ENVIRONMENTS + self->n;
        one->environment = environment_create(name, size, models, error, error_size);
        if (one->environment == NULL)
            return -1;
        if (moments_create(&one->seen, one->environment->n_observations) != 0 || moments_create(&one->paid, 1) != 0) {
            snprintf(error, error_size, "out of memory");
            return -1;
        }
    }
    return 0;
}

void worlds_destroy(worlds *self) {
    for (size_t i = 0; i < MAX_ENVIRONMENTS; i++) {
        world *one = &self->each[i];
        if (one->environment != NULL)
            one->environment->destroy(one->environment);
        free(one->seen.mean);
        free(one->paid.mean);
    }
}

static void show(const worlds *self, world *one, float *shown, const double *observation) {
    if (self->normalise)
        moments_add(&one->seen, observation);
    for (size_t i = 0; i < one->environment->n_observations; i++) {
        double x = observation[i];
        if (self->normalise)
            x = cut((x - one->seen.mean[i]) / sqrt(one->seen.variance[i] + 1e-8), -LARGEST, LARGEST);
        shown[i] = (float)x;
    }
}

static void begin(worlds *self, world *one, float *shown) {
    double observation[MAX_OBSERVATIONS];
    one->length = 0;
    one->sum = 0;
    one->environment->reset(one->environment, &one->random, observation);
    show(self, one, shown, observation);
}

void worlds_reset(worlds *self, float *observations) {
    for (size_t i = 0; i < self->n; i++)
        begin(self, &self->each[i], observations + i * self->each[i].environment->n_observations);
}

static float pay(const worlds *self, world *one, outcome got) {
    if (!self->normalise)
        return (float)got.reward;
    one->discounted = (got.terminated ? 0 : one->discounted * self->gamma) + got.reward;
    moments_add(&one->paid, &one->discounted);
    return (float)cut(got.reward / sqrt(one->paid.variance[0] + 1e-8), -LARGEST, LARGEST);
}

static void step_one(worlds *self, world *one, const double *action, float *shown, float *reward, uint8_t *ended) {
    environment *environment = one->environment;
    double observation[MAX_OBSERVATIONS], within[MAX_OBSERVATIONS];
    for (size_t i = 0; i < environment->n_dimensions; i++)
        within[i] = environment->n_actions > 0 ? action[i] : cut(action[i], environment->low, environment->high);
    const outcome got = environment->step(environment, &one->random, within, observation);
    one->length++;
    one->sum += got.reward;
    *reward = pay(self, one, got);
    *ended = got.terminated || one->length == environment->max_steps;
    show(self, one, shown, observation);
    if (!*ended)
        return;
    self->ended.n++;
    self->ended.n_steps += one->length;
    self->ended.sum_of_returns += one->sum;
    begin(self, one, shown);
}

void worlds_step(worlds *self, const double *actions, float *observations, float *rewards, uint8_t *ended) {
    for (size_t i = 0; i < self->n; i++) {
        world *one = &self->each[i];
        step_one(self, one, actions + i * one->environment->n_dimensions,
                 observations + i * one->environment->n_observations, rewards + i, ended + i);
    }
}
