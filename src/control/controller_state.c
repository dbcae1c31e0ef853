/* A controller's state as text: what makes it this controller, which must be the same where it is restored, and then
 * what changes from step to step. */
#include "controller.h"

#include "base/context.h"
#include "base/writer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char heading[] = "entrol-controller 1\n";

enum { MOST_ALARMS = ENTROL_ALARM_COLLAPSE | ENTROL_ALARM_EXPLOSION };

/* --- Writing --- */

static void put_line(ent_writer *out, const char *name, double value) {
    ent_put_text(out, name);
    ent_put_text(out, " ");
    ent_put_real(out, value);
    ent_put_text(out, "\n");
}

static void put_target(ent_writer *out, const entrol_target *target) {
    static const char *const endings[] = {"", "max", "x"};
    if (isnan(target->value)) {
        ent_put_text(out, "none");
        return;
    }
    ent_put_real(out, target->value);
    ent_put_text(out, endings[target->kind]);
}

static void put_points(ent_writer *out, const ent_controller_settings *settings) {
    for (size_t i = 0; i < settings->n_points; i++) {
        ent_put_text(out, i ? "," : "");
        ent_put_real(out, settings->steps[i]);
        ent_put_text(out, ":");
        ent_put_real(out, settings->points[i]);
    }
}

static void put_setting(ent_writer *out, const entrol_controller *controller, size_t i) {
    const entrol_parameter *parameter = &controller->law->kind.parameters[i];
    const ent_controller_settings *settings = &controller->settings;
    ent_put_text(out, "set ");
    ent_put_text(out, parameter->name);
    ent_put_text(out, " ");
    if (parameter->type == ENTROL_PARAMETER_CHOICE)
        ent_put_text(out, parameter->choices[(size_t)settings->values[i]]);
    else if (parameter->type != ENTROL_PARAMETER_TEXT)
        ent_put_real(out, settings->values[i]);
    else if (settings->n_points && i == ENT_SCHEDULE_OWN)
        put_points(out, settings);
    else
        put_target(out, &settings->targets[i]);
    ent_put_text(out, "\n");
}

/* All that must be the same where it is restored. */
static void put_identity(ent_writer *out, const entrol_controller *controller) {
    ent_put_text(out, heading);
    ent_put_text(out, "name ");
    ent_put_text(out, controller->law->kind.name);
    ent_put_text(out, "\n");
    for (size_t i = 0; i < controller->law->kind.n_parameters; i++)
        put_setting(out, controller, i);
    const double max_entropy = controller->settings.max_entropy;
    put_line(out, "set max_entropy", isnan(max_entropy) ? 0 : max_entropy);
}

static void put_state(ent_writer *out, const entrol_controller *controller) {
    const ent_controller_state *state = &controller->state;
    put_line(out, "step", (double)state->step);
    put_line(out, "reference_sum", state->reference_sum);
    if (state->step)
        put_line(out, "entropy", state->entropy);
    put_line(out, "value", state->value);
    put_line(out, "alarms", state->alarms);
    put_line(out, "limited", state->is_limited);
    put_line(out, "held", state->is_held);
    for (size_t i = 0; i < controller->law->n_memory; i++)
        put_line(out, controller->law->memory[i].name, state->memory[i]);
    ent_put_text(out, "end\n");
}

entrol_status entrol_controller_save(char *text, size_t *n_bytes, size_t capacity,
                                     const entrol_controller *controller) {
    if (!controller || (capacity && !text))
        return ENTROL_ERROR_ARGUMENT;
    char own[ENTROL_CONTROLLER_STATE_ROOM];
    ent_writer out = {own, 0, sizeof own};
    put_identity(&out, controller);
    put_state(&out, controller);
    if (n_bytes)
        *n_bytes = out.n;
    if (!text)
        return ENTROL_OK;
    if (out.n >= capacity || out.n > sizeof own)
        return ENTROL_ERROR_ARGUMENT;
    memcpy(text, own, out.n);
    text[out.n] = 0;
    return ENTROL_OK;
}

/* --- Reading --- */

typedef struct reader {
    const char *text, *end, *at;
} reader;

/* A number that fills the rest of the line "NAME NUMBER" and is between the bounds. Where not, `at` is where it is or
 * should be. */
static int take_line(reader *in, const char *name, double low, double high, double *value) {
    const size_t n_name = strlen(name), n_left = (size_t)(in->end - in->at);
    if (n_left <= n_name || memcmp(in->at, name, n_name) != 0 || in->at[n_name] != ' ')
        return 0;
    in->at += n_name + 1;
    const char *line_end = memchr(in->at, '\n', (size_t)(in->end - in->at));
    char number[ENT_REAL_ROOM + 1];
    const size_t n = line_end ? (size_t)(line_end - in->at) : sizeof number;
    if (n >= sizeof number)
        return 0;
    memcpy(number, in->at, n);
    number[n] = 0;
    ent_reader digits = {number, number};
    ent_number parsed;
    if (!ent_read_number(&parsed, &digits) || digits.at != number + n)
        return 0;
    *value = ent_number_value(&parsed, 0);
    if (!(*value >= low && *value <= high))
        return 0;
    in->at = line_end + 1;
    return 1;
}

static int take_whole(reader *in, const char *name, double high, double *value) {
    const char *start = in->at;
    if (!take_line(in, name, 0, high, value))
        return 0;
    if (*value == floor(*value))
        return 1;
    in->at = start;
    return 0;
}

/* What is there must be this controller's own; else the line that is not. */
static int take_identity(reader *in, const entrol_controller *controller) {
    char own[ENTROL_CONTROLLER_STATE_ROOM];
    ent_writer out = {own, 0, sizeof own};
    put_identity(&out, controller);
    size_t same = 0, line = 0;
    const size_t n = (size_t)(in->end - in->text);
    if (out.n > sizeof own)
        return 0;
    while (same < out.n && same < n && own[same] == in->text[same])
        if (own[same++] == '\n')
            line = same;
    in->at = in->text + line;
    return same == out.n;
}

static int take_state(reader *in, ent_controller_state *state, const entrol_controller *controller) {
    const double most = 9007199254740992.0, *values = controller->settings.values; /* 2^53 */
    double step, alarms, limited, held;
    if (!take_whole(in, "step", most, &step) ||
        !take_line(in, "reference_sum", -0x1p90, 0x1p90, &state->reference_sum) ||
        (step > 0 && !take_line(in, "entropy", -0x1p62, 0x1p62, &state->entropy)) ||
        !take_line(in, "value", values[ENT_MIN], values[ENT_MAX], &state->value) ||
        !take_whole(in, "alarms", MOST_ALARMS, &alarms) || !take_whole(in, "limited", 1, &limited) ||
        !take_whole(in, "held", 1, &held))
        return 0;
    for (size_t i = 0; i < controller->law->n_memory; i++) {
        const ent_memory *memory = &controller->law->memory[i];
        if (!take_line(in, memory->name, memory->low, memory->high, &state->memory[i]))
            return 0;
    }
    state->step = (uint64_t)step;
    state->alarms = (unsigned)alarms;
    state->is_limited = (int)limited;
    state->is_held = (int)held;
    return in->end - in->at == 4 && memcmp(in->at, "end\n", 4) == 0;
}

entrol_status entrol_controller_restore(entrol_controller *controller, size_t *n_read, const char *text,
                                        size_t n_bytes) {
    if (!controller || !text)
        return ENTROL_ERROR_ARGUMENT;
    reader in = {text, text + n_bytes, text};
    ent_controller_state state = {.entropy = (double)NAN};
    const int is_state = take_identity(&in, controller) && take_state(&in, &state, controller);
    if (n_read)
        *n_read = is_state ? n_bytes : (size_t)(in.at - text);
    if (!is_state)
        return ENTROL_ERROR_ARGUMENT;
    controller->state = state;
    return ENTROL_OK;
}
