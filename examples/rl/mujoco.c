/* Hopper and HalfCheetah, as gymnasium's v5 defines them (observation, reward, end and first state), on MuJoCo's C
 * library and with gymnasium's model files. tests/project/test_training.py steps both side by side. */
#include "environment.h"

#include <mujoco/mujoco.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How the tasks differ. */
typedef struct task {
    const char *name, *file;
    int frame_skip;        /* steps of the physics in one of the agent's */
    double control_cost;   /* times the sum of squares of the action */
    double healthy_reward; /* of a step that ends upright */
    double noise;          /* of the first state */
    int normal_velocities; /* the first velocities' noise is normal, else uniform */
    double velocity_limit; /* velocities are clipped to it when observed */
    int (*is_healthy)(const mjModel *, const mjData *);
} task;

typedef struct mujoco {
    environment base;
    const task *task;
    mjModel *model;
    mjData *data;
} mujoco;

static int hopper_is_healthy(const mjModel *model, const mjData *data) {
    int healthy = data->qpos[1] > 0.7 && fabs(data->qpos[2]) < 0.2;
    for (int i = 2; i < model->nq; i++)
        healthy &= fabs(data->qpos[i]) < 100;
    for (int i = 0; i < model->nv; i++)
        healthy &= fabs(data->qvel[i]) < 100;
    return healthy;
}

static int always_healthy(const mjModel *model, const mjData *data) {
    (void)model, (void)data;
    return 1;
}

static const task tasks[] = {
    {"hopper", "hopper.xml", 4, 1e-3, 1, 5e-3, 0, 10, hopper_is_healthy},
    {"half-cheetah", "half_cheetah.xml", 5, 0.1, 0, 0.1, 1, INFINITY, always_healthy},
};

/* Where it is along the way is not seen. */
static void observe(const mujoco *self, double *observation) {
    const double limit = self->task->velocity_limit;
    for (int i = 1; i < self->model->nq; i++)
        *observation++ = self->data->qpos[i];
    for (int i = 0; i < self->model->nv; i++)
        *observation++ = fmax(-limit, fmin(limit, self->data->qvel[i]));
}

static void reset(environment *base, random_state *random, double *observation) {
    mujoco *self = (mujoco *)base;
    const double noise = self->task->noise;
    mj_resetData(self->model, self->data);
    for (int i = 0; i < self->model->nq; i++)
        self->data->qpos[i] += noise * (2 * random_uniform(random) - 1);
    for (int i = 0; i < self->model->nv; i++)
        self->data->qvel[i] +=
            noise * (self->task->normal_velocities ? random_normal(random) : 2 * random_uniform(random) - 1);
    mj_forward(self->model, self->data);
    observe(self, observation);
}

static outcome step(environment *base, random_state *random, const double *action, double *observation) {
    mujoco *self = (mujoco *)base;
    const task *task = self->task;
    const double before = self->data->qpos[0];
    double squares = 0;
    (void)random;
    for (int i = 0; i < self->model->nu; i++) {
        self->data->ctrl[i] = action[i];
        squares += action[i] * action[i];
    }
    for (int i = 0; i < task->frame_skip; i++)
        mj_step(self->model, self->data);
    observe(self, observation);
    const double speed = (self->data->qpos[0] - before) / (self->model->opt.timestep * task->frame_skip);
    const int healthy = task->is_healthy(self->model, self->data);
    return (outcome){speed + healthy * task->healthy_reward - task->control_cost * squares, !healthy};
}

static void destroy(environment *base) {
    mujoco *self = (mujoco *)base;
    mj_deleteData(self->data);
    mj_deleteModel(self->model);
    free(self);
}

size_t mujoco_state_size(const environment *base) {
    const mujoco *self = (const mujoco *)base;
    return (size_t)(self->model->nq + self->model->nv);
}

void mujoco_set_state(environment *base, const double *state, double *observation) {
    mujoco *self = (mujoco *)base;
    mj_resetData(self->model, self->data);
    memcpy(self->data->qpos, state, (size_t)self->model->nq * sizeof *state);
    memcpy(self->data->qvel, state + self->model->nq, (size_t)self->model->nv * sizeof *state);
    mj_forward(self->model, self->data);
    observe(self, observation);
}

static const task *find_task(const char *name) {
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strcmp(tasks[i].name, name) == 0)
            return &tasks[i];
    return NULL;
}

/* gymnasium's models use words that MuJoCo has deprecated, which it would say on the standard error and in a file. */
static void hear_no_warning(const char *text) {
    (void)text;
}

environment *mujoco_create(const char *name, const char *models, char *error, size_t error_size) {
    const task *task = find_task(name);
    if (task == NULL) {
        snprintf(error, error_size, "no environment \"%s\"", name);
        return NULL;
    }
    mju_user_warning = hear_no_warning;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", models, task->file);
    mujoco *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->task = task;
    self->model = mj_loadXML(path, NULL, error, (int)error_size);
    self->data = self->model == NULL ? NULL : mj_makeData(self->model);
    if (self->data == NULL) {
        mj_deleteModel(self->model);
        free(self);
        return NULL;
    }
    self->base = (environment){
        (size_t)(self->model->nq - 1 + self->model->nv), 0, (size_t)self->model->nu, -1, 1, 1000, reset, step, destroy};
    return &self->base;
}
