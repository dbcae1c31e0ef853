/* A training loop whose entropy coefficient is controlled, restarted in the middle, on a policy that is simulated here:
 * cc -Iinclude -o control examples/control.c build/libentrol.a -lm -pthread */
#include <entrol/entrol.h>

#include <math.h>
#include <stdio.h>

/* Stands for a training step: the entropies of its tokens, which fall, and rise with the bonus. */
enum { N_TOKENS = 1000 };

static void train(float entropies[N_TOKENS], double *mean, double beta) {
    *mean += 0.5 * beta - 0.00653 * *mean;
    for (int i = 0; i < N_TOKENS; i++)
        entropies[i] = (float)(*mean * (0.5 + (double)i / (N_TOKENS - 1)));
}

static void check(entrol_status status, const char *what) {
    if (status != ENTROL_OK)
        fprintf(stderr, "control: %s: %s\n", what, entrol_status_string(status));
}

int main(void) {
    const entrol_setting settings[] = {{"target", 0, "0.4x"}, {"max", 0.1, NULL}}; /* as text, or as a number */
    entrol_context *context = NULL;
    entrol_controller *controller = NULL;
    entrol_command command = ENTROL_COMMAND_INIT;
    char state[ENTROL_CONTROLLER_STATE_ROOM];
    float entropies[N_TOKENS];
    double mean = 1;
    size_t n_state = 0;
    check(entrol_context_create(&context, NULL), "context");
    if (!context)
        return 1;
    check(entrol_controller_create(context, &controller, NULL, "pi", settings, 2, NULL), "pi");
    if (!controller)
        return 1;
    check(entrol_controller_command(&command, controller), "command"); /* what holds for the first step */
    for (int step = 1; step <= 600; step++) {
        train(entropies, &mean, command.coefficient);
        check(entrol_controller_observe_tokens(context, &command, NULL, controller, entropies, NULL, N_TOKENS), "step");
        if (command.alarms & ENTROL_ALARM_COLLAPSE)
            fprintf(stderr, "step %d: the entropy has collapsed to %g nats\n", step, command.entropy);
        if (step % 150 == 0)
            printf("step %d: %.3f of %.3f nats, beta %.5f\n", step, command.entropy, command.target,
                   command.coefficient);
        if (step == 300) { /* with every checkpoint of the model */
            check(entrol_controller_save(state, &n_state, sizeof state, controller), "save");
            entrol_controller_destroy(context, controller);
            check(entrol_controller_create(context, &controller, NULL, "pi", settings, 2, NULL), "pi");
            check(entrol_controller_restore(controller, NULL, state, n_state), "restore");
        }
    }
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
    return 0;
}
