/* Generalised advantage estimation (Schulman et al., arXiv 1506.02438), environments side by side. */
#include <entrol/objective.h>

#include "base/context.h"
#include "base/trouble.h"

#include <math.h>

/* Environments a task: a line of the arrays, which lie step by step. */
enum { ENVIRONMENTS = 64 };

typedef struct gae {
    entrol_trajectory trajectory;
    float *advantages, *returns;
    double gamma, lambda;
} gae;

static int end_of(const entrol_trajectory *trajectory, size_t i) {
    return trajectory->ends ? trajectory->ends[i] : ENTROL_STEP_GOES_ON;
}

static void work_step(const gae *gae, double *next_advantage, size_t step, size_t environment) {
    const entrol_trajectory *from = &gae->trajectory;
    const size_t i = step * from->n_environments + environment;
    const int end = end_of(from, i), is_last = step + 1 == from->n_steps;
    double next_value = 0;
    if (end == ENTROL_STEP_TRUNCATED)
        next_value = (double)from->final_values[i];
    else if (end == ENTROL_STEP_GOES_ON)
        next_value = (double)(is_last ? from->last_values[environment] : from->values[i + from->n_environments]);
    const double delta = (double)from->rewards[i] + gae->gamma * next_value - (double)from->values[i];
    const double beyond = end == ENTROL_STEP_GOES_ON ? gae->gamma * gae->lambda * *next_advantage : 0;
    *next_advantage = delta + beyond;
    gae->advantages[i] = (float)*next_advantage;
    if (gae->returns)
        gae->returns[i] = (float)(*next_advantage + (double)from->values[i]);
}

static void work_environments(void *argument, size_t index) {
    const gae *gae = argument;
    const size_t begin = index * ENVIRONMENTS, n = gae->trajectory.n_environments;
    const size_t end = n - begin < ENVIRONMENTS ? n : begin + ENVIRONMENTS;
    double next_advantages[ENVIRONMENTS] = {0};
    for (size_t step = gae->trajectory.n_steps; step-- > 0;)
        for (size_t e = begin; e < end; e++)
            work_step(gae, &next_advantages[e - begin], step, e);
}

static const char *find_missing(const gae *gae) {
    const entrol_trajectory *from = &gae->trajectory;
    if (!gae->advantages)
        return "advantages";
    if (!from->rewards || !from->values)
        return from->rewards ? "values" : "rewards";
    return from->last_values ? NULL : "last_values";
}

/* Of less than 2^30 steps of such numbers the advantage is a float. */
static int is_usable(float x) {
    return fabsf(x) < 0x1p96f;
}

static void note_unusable(entrol_diagnosis *found, float x, size_t row) {
    if (!is_usable(x))
        ent_trouble_note(found, row, 0, isnan(x) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE);
}

/* Of a step that truncates, the value of the last step's observation is not looked at. */
static const char *check_steps(const entrol_trajectory *from, entrol_diagnosis *found) {
    const size_t n = from->n_steps * from->n_environments;
    for (size_t i = 0; i < n; i++) {
        const int end = end_of(from, i), is_last = i + from->n_environments >= n;
        if (end > ENTROL_STEP_TRUNCATED)
            return "ends";
        if (end == ENTROL_STEP_TRUNCATED && !from->final_values)
            return "final_values";
        float worst = is_usable(from->rewards[i]) ? from->values[i] : from->rewards[i];
        if (is_usable(worst) && end == ENTROL_STEP_TRUNCATED)
            worst = from->final_values[i];
        else if (is_usable(worst) && end == ENTROL_STEP_GOES_ON && is_last)
            worst = from->last_values[i % from->n_environments];
        note_unusable(found, worst, i);
    }
    return NULL;
}

static entrol_status check(const gae *gae, entrol_diagnosis *diagnosis) {
    const entrol_trajectory *from = &gae->trajectory;
    size_t n;
    entrol_diagnosis found = {0};
    if (!(gae->gamma >= 0 && gae->gamma <= 1) || !(gae->lambda >= 0 && gae->lambda <= 1))
        return ent_bad_argument(diagnosis, gae->gamma >= 0 && gae->gamma <= 1 ? "lambda" : "gamma");
    if (!ent_multiply(&n, from->n_steps, from->n_environments))
        return ENTROL_ERROR_OVERFLOW;
    const char *bad = n ? find_missing(gae) : NULL;
    if (!bad && n)
        bad = check_steps(from, &found);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    if (diagnosis)
        *diagnosis = found;
    return found.n_bad ? ENTROL_ERROR_DATA : ENTROL_OK;
}

entrol_status entrol_advantage_gae(entrol_context *context, float *advantages, float *returns,
                                   entrol_diagnosis *diagnosis, const entrol_trajectory *trajectory, double gamma,
                                   double lambda) {
    gae gae = {ENTROL_TRAJECTORY_INIT, advantages, returns, gamma, lambda};
    if (!context)
        return ent_bad_argument(diagnosis, "context");
    if (!trajectory || !ent_take(&gae.trajectory, trajectory, sizeof gae.trajectory))
        return ent_bad_argument(diagnosis, "trajectory");
    const entrol_status status = check(&gae, diagnosis);
    const size_t n = gae.trajectory.n_environments, n_tasks = n / ENVIRONMENTS + (n % ENVIRONMENTS != 0);
    if (status == ENTROL_OK && n_tasks && gae.trajectory.n_steps)
        ent_parallel_for(context, n_tasks, work_environments, &gae);
    return status;
}
