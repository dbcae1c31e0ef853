/* States of controllers: any bytes are restored or refused; what is restored is written again, byte for byte, is within
 * its bounds, and goes on; what is refused leaves the controller as it was, and the place is in the text. Also what is
 * a target. */
#include "fuzz.h"

#include <entrol/control.h>

#include <math.h>

static entrol_context *context;

/* The first byte chooses the controller. */
static entrol_controller *make(uint8_t choice) {
    const entrol_controller_kind *kind = entrol_controller_kind_at(choice % entrol_controller_kind_count());
    entrol_controller *made = NULL;
    fuzz_require(entrol_controller_create(context, &made, NULL, kind->name, NULL, 0, NULL) == ENTROL_OK);
    return made;
}

static void check_command(const entrol_controller *controller) {
    entrol_command command = ENTROL_COMMAND_INIT;
    fuzz_require(entrol_controller_command(&command, controller) == ENTROL_OK);
    fuzz_require(isfinite(command.coefficient) && command.alarms <= 3);
    fuzz_require((command.step == 0) == (isnan(command.entropy) != 0));
}

static void check_state(entrol_controller *controller, const char *text, size_t n_bytes) {
    char before[ENTROL_CONTROLLER_STATE_ROOM], after[ENTROL_CONTROLLER_STATE_ROOM];
    size_t n = 0, n_read = 0;
    fuzz_require(entrol_controller_save(before, NULL, sizeof before, controller) == ENTROL_OK);
    const entrol_status status = entrol_controller_restore(controller, &n_read, text, n_bytes);
    fuzz_require(entrol_controller_save(after, &n, sizeof after, controller) == ENTROL_OK && n_read <= n_bytes);
    if (status != ENTROL_OK) {
        fuzz_require(status == ENTROL_ERROR_ARGUMENT && strcmp(before, after) == 0);
        return;
    }
    check_command(controller);
    entrol_controller *second = NULL;
    const char *name = entrol_controller_kind_of(controller)->name;
    fuzz_require(entrol_controller_create(context, &second, NULL, name, NULL, 0, NULL) == ENTROL_OK);
    fuzz_require(entrol_controller_restore(second, NULL, after, n) == ENTROL_OK);
    fuzz_require(entrol_controller_save(before, NULL, sizeof before, second) == ENTROL_OK &&
                 strcmp(before, after) == 0);
    entrol_controller_destroy(context, second);
    entrol_controller_observe(context, NULL, NULL, controller, 0.25,
                              1); /* may be refused: a step of 2^53 has no next */
    check_command(controller);
}

static void check_target(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    entrol_target target;
    size_t n_read = 0;
    fuzz_require(text != NULL);
    memcpy(text, data, size);
    text[size] = 0;
    if (entrol_target_parse(&target, &n_read, text) == ENTROL_OK)
        fuzz_require(isfinite(target.value) && (target.kind == ENTROL_TARGET_NATS || target.value >= 0));
    fuzz_require(n_read <= strlen(text));
    free(text);
}

/* A state begins in the middle of a run; the rest of the data is put behind the part of it that the second byte leaves,
 * so that the fuzzer need not find the first lines. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    if (!context)
        fuzz_require(entrol_context_create(&context, &options) == ENTROL_OK);
    if (size < 2)
        return 0;
    check_target(data, size);
    entrol_controller *controller = make(data[0]);
    for (int i = 0; i < 25; i++)
        entrol_controller_observe(context, NULL, NULL, controller, 2 - 0.07 * i, 1);
    char state[ENTROL_CONTROLLER_STATE_ROOM];
    size_t n = 0;
    fuzz_require(entrol_controller_save(state, &n, sizeof state, controller) == ENTROL_OK);
    const size_t kept = n * data[1] / 255;
    char *text = malloc(kept + size - 2 + 1);
    fuzz_require(text != NULL);
    memcpy(text, state, kept);
    if (size > 2)
        memcpy(text + kept, data + 2, size - 2);
    check_state(controller, text, kept + size - 2);
    free(text);
    entrol_controller_destroy(context, controller);
    return 0;
}
