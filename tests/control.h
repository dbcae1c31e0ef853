/* What the tests of controllers share: making one, and telling it a run. */
#ifndef CONTROL_H
#define CONTROL_H

#include "harness.h"

#include <entrol/entrol.h>

/* For one thread, with a context of its own. */
static inline entrol_context *open_alone(void) {
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    entrol_context *context = NULL;
    options.n_threads = 1;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    return context;
}

enum { N_ACTIONS = 9 };

/* Of N_ACTIONS actions; settings end with a name of NULL. */
static inline entrol_controller *make_controller(entrol_context *context, const char *name,
                                                 const entrol_setting *settings) {
    entrol_controller_options options = ENTROL_CONTROLLER_OPTIONS_INIT;
    entrol_controller *made = NULL;
    entrol_diagnosis diagnosis;
    size_t n = 0;
    options.n_actions = N_ACTIONS;
    while (settings && settings[n].name)
        n++;
    const entrol_status status = entrol_controller_create(context, &made, &diagnosis, name, settings, n, &options);
    CHECK_SAY(status == ENTROL_OK, "%s: %s %s", name, entrol_status_string(status),
              diagnosis.argument ? diagnosis.argument : "");
    return made;
}

static inline entrol_command command_of(const entrol_controller *controller) {
    entrol_command command = ENTROL_COMMAND_INIT;
    CHECK_INT(entrol_controller_command(&command, controller), ENTROL_OK);
    return command;
}

static inline entrol_command tell(entrol_context *context, entrol_controller *controller, double sum, uint64_t count) {
    entrol_command command = ENTROL_COMMAND_INIT;
    CHECK_INT(entrol_controller_observe(context, &command, NULL, controller, sum, count), ENTROL_OK);
    return command;
}

/* To the bit, without the bytes that no member has. */
static inline bool is_same_command(const entrol_command *a, const entrol_command *b) {
    return memcmp(a, b, offsetof(entrol_command, is_held) + sizeof a->is_held) == 0;
}

/* An entropy that falls and wanders: of a run's step, from 2 nats down, sometimes nearly 0. */
static inline double entropy_of_step(size_t step) {
    const double fallen = 2 * exp(-(double)step / 60), wandering = 0.3 * sin((double)step / 7) + 0.05 * test_normal();
    return fabs(fallen + wandering);
}

#endif
