/* Controllers against a simulated policy: how soon each holds the entropy, how far it overshoots, what error is left.
 *
 *     plant                 the table of docs/control.md
 *     plant --trace NAME    one plant as CSV: plant,controller,step,entropy,target,coefficient
 *
 * The plant, H in nats, t a training step, e and n independent standard normal numbers:
 *     H(t + 1) = max(0, H + s (-k H + g u(t - d)) + 0.002 H e)        the policy, H(0) = 1
 *     y(t)     = H (1 + m n)                                          what is observed
 * k = 0.00653: without control 73 % of the entropy is gone after 200 steps, as arXiv 2505.22617 reports.
 *
 * The push u of an entropy coefficient is 0.5 beta (1 - H / 11.5): 0.005, the greatest of Skywork-OR1's scripts, holds
 * 0.4 nats, and 11.5 is ln of a vocabulary of 10^5. That of sample weights is 2 k H alpha: alpha = 1, which leaves out
 * positive samples, reverses the fall. That of a temperature is 10 k H (T - 1): 1.2 reverses the fall, 0.8 trebles it.
 *
 * A KL to a reference model is K(t + 1) = K + s (0.02 - g 0.01 v K) + 0.002 K e, K(0) = 0.1, which a v of 0.33 holds at
 * 6. d = 2 steps: samples are drawn before a step and measured after it.
 *
 * Every controller has its defaults in every plant; none was tuned to one. The reward, R = 0.9 - 0.3 exp(H) / e, is no
 * part of the loop, and so is left out. The same numbers on every run. */
#include "base/random.h"

#include <entrol/entrol.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_STEPS = 2400, N_LAST = 400, MOST_DELAY = 32, N_SAMPLES = 256 };

typedef struct plant {
    const char *name;
    double speed, gain, noise; /* s, g, m */
    int delay;
} plant;

static const plant plants[] = {
    {"nominal", 1, 1, 0.02, 2}, {"slow", 0.2, 1, 0.02, 2},      {"noisy", 1, 1, 0.2, 2},
    {"late", 1, 1, 0.02, 20},   {"gain / 10", 1, 0.1, 0.02, 2}, {"gain x 10", 1, 10, 0.02, 2},
};
enum { N_PLANTS = sizeof plants / sizeof plants[0] };

typedef struct run {
    double values[N_STEPS]; /* after each step: the entropy, or the KL */
    double coefficients[N_STEPS];
    double first, target;
} run;

static double normal(uint64_t seed, uint64_t counter) {
    const double a = ((double)(ent_random(seed, 2 * counter) >> 11) + 0.5) * 0x1p-53;
    const double b = ((double)(ent_random(seed, 2 * counter + 1) >> 11) + 0.5) * 0x1p-53;
    return sqrt(-2 * log(a)) * cos(6.283185307179586 * b);
}

static double move(entrol_drive drive, const plant *plant, double value, double coefficient) {
    const double k = 0.00653;
    double push = 0;
    switch (drive) {
    case ENTROL_DRIVE_ENTROPY_COEFFICIENT:
    case ENTROL_DRIVE_PROMPT_COEFFICIENT:
        push = 0.5 * coefficient * (1 - value / 11.5);
        break;
    case ENTROL_DRIVE_SAMPLE_WEIGHTS:
        push = 2 * k * value * coefficient;
        break;
    case ENTROL_DRIVE_TEMPERATURE:
        push = 10 * k * value * (coefficient - 1);
        break;
    case ENTROL_DRIVE_KL_COEFFICIENT:
        return plant->speed * (0.02 - plant->gain * 0.01 * coefficient * value);
    }
    return plant->speed * (plant->gain * push - k * value);
}

static void fail(const char *what, entrol_status status) {
    fprintf(stderr, "plant: %s: %s\n", what, entrol_status_string(status));
    exit(1);
}

static void simulate(entrol_context *context, run *run, const entrol_controller_kind *kind, const plant *plant) {
    entrol_controller *controller = NULL;
    entrol_command command = ENTROL_COMMAND_INIT;
    double past[MOST_DELAY], value = run->first = kind->drives == ENTROL_DRIVE_KL_COEFFICIENT ? 0.1 : 1;
    entrol_status status = entrol_controller_create(context, &controller, NULL, kind->name, NULL, 0, NULL);
    if (status != ENTROL_OK)
        fail(kind->name, status);
    entrol_controller_command(&command, controller);
    for (int i = 0; i < MOST_DELAY; i++)
        past[i] = command.coefficient;
    for (int t = 0; t < N_STEPS; t++) {
        const double observed = value * (1 + plant->noise * normal(1, (uint64_t)t));
        status = entrol_controller_observe(context, &command, NULL, controller, N_SAMPLES * fabs(observed), N_SAMPLES);
        if (status != ENTROL_OK)
            fail(kind->name, status);
        past[t % MOST_DELAY] = command.coefficient;
        const double applied = past[(t + MOST_DELAY - plant->delay) % MOST_DELAY];
        value += move(kind->drives, plant, value, applied) + 0.002 * value * normal(2, (uint64_t)t);
        value = fmax(value, 0);
        run->values[t] = value;
        run->coefficients[t] = command.coefficient;
    }
    run->target = command.target;
    entrol_controller_destroy(context, controller);
}

/* --- What a run was like --- */

/* The step from which on the value is within a tenth of the target; N_STEPS: never. */
static int settles(const run *run) {
    int step = N_STEPS;
    while (step > 0 && fabs(run->values[step - 1] - run->target) <= 0.1 * run->target)
        step--;
    return step;
}

/* How far it goes beyond the target, on the other side of where it began, as a share of the target. */
static double overshoot(const run *run) {
    const double sign = run->first > run->target ? 1 : -1;
    double most = 0;
    for (int t = 0; t < N_STEPS; t++)
        most = fmax(most, sign * (run->target - run->values[t]) / run->target);
    return most;
}

/* Of the last steps the mean error, and how far the value strays from its own mean (root mean square), as shares of the
 * target. */
static double error_left(const run *run, double *wander) {
    double sum = 0, squares = 0;
    for (int t = N_STEPS - N_LAST; t < N_STEPS; t++) {
        const double error = (run->values[t] - run->target) / run->target;
        sum += error / N_LAST;
        squares += error * error / N_LAST;
    }
    *wander = sqrt(fmax(squares - sum * sum, 0));
    return sum;
}

static void print_cell(const run *run) {
    const int step = settles(run);
    double wander;
    const double error = error_left(run, &wander);
    if (step < N_STEPS - N_LAST)
        printf(" %d, ", step);
    else
        printf(" never, ");
    printf("%.0f %%, %+.0f ± %.0f %% |", 100 * overshoot(run), 100 * error, 100 * wander);
}

/* --- The table, and a trace --- */

static int has_target(const entrol_controller_kind *kind) {
    for (size_t i = 0; i < kind->n_parameters; i++)
        if (strcmp(kind->parameters[i].name, "target") == 0)
            return 1;
    return 0;
}

static void print_table(entrol_context *context, run *run) {
    printf("| controller: settled at step, beyond the target, error at the end |");
    for (int i = 0; i < N_PLANTS; i++)
        printf(" %s |", plants[i].name);
    printf("\n|---|");
    for (int i = 0; i < N_PLANTS; i++)
        printf("---|");
    for (size_t k = 0; k < entrol_controller_kind_count(); k++) {
        const entrol_controller_kind *kind = entrol_controller_kind_at(k);
        if (!has_target(kind))
            continue;
        printf("\n| `%s` |", kind->name);
        for (int i = 0; i < N_PLANTS; i++) {
            simulate(context, run, kind, &plants[i]);
            print_cell(run);
        }
    }
    printf("\n");
}

static int print_trace(entrol_context *context, run *run, const char *name) {
    const plant *plant = NULL;
    for (int i = 0; i < N_PLANTS; i++)
        if (strcmp(plants[i].name, name) == 0)
            plant = &plants[i];
    if (!plant) {
        fprintf(stderr, "plant: no plant \"%s\"\n", name);
        return 2;
    }
    printf("plant,controller,step,entropy,target,coefficient\n");
    for (size_t k = 0; k < entrol_controller_kind_count(); k++) {
        const entrol_controller_kind *kind = entrol_controller_kind_at(k);
        simulate(context, run, kind, plant);
        for (int t = 0; t < N_STEPS; t++)
            printf("%s,%s,%d,%.9g,%.9g,%.9g\n", name, kind->name, t + 1, run->values[t], run->target,
                   run->coefficients[t]);
    }
    return 0;
}

int main(int argc, char **argv) {
    static run run;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    entrol_context *context = NULL;
    options.n_threads = 1;
    const entrol_status status = entrol_context_create(&context, &options);
    if (status != ENTROL_OK)
        fail("context", status);
    int exit_code = 0;
    if (argc == 1)
        print_table(context, &run);
    else if (argc == 3 && strcmp(argv[1], "--trace") == 0)
        exit_code = print_trace(context, &run, argv[2]);
    else
        exit_code = fprintf(stderr, "usage: plant [--trace NAME]\n") > 0 ? 2 : 1;
    entrol_context_destroy(context);
    return exit_code;
}
