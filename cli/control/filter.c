/* A line in, a line out, at once: a training script waits for it. */
#include "control.h"

#include "../json_text.h"
#include "../message.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- A line --- */

/* A number that ends at a blank or the line's end. */
static const char *parse_number(double *value, const char *at) {
    const size_t n = strspn(at, "+-.0123456789eE"); /* neither nan nor inf nor 0x1p3 */
    char *end;
    *value = strtod(at, &end);
    return n > 0 && end == at + n && strchr(" \t\r", *end) != NULL ? end : NULL;
}

/* A NUL in the line is shown, too. */
static bool report_line(const char *expected, const char *name, uint64_t number, const char *line, size_t n_bytes,
                        trouble *trouble) {
    char found[4 * 60 + 1];
    message_escape(found, sizeof found, line, n_bytes < 60 ? n_bytes : 60);
    return trouble_set(trouble, "%s:%llu: expected %s, found \"%s\"", name, (unsigned long long)number, expected,
                       found);
}

bool control_parse_line(double *sum, uint64_t *count, const char *name, uint64_t number, const char *line,
                        size_t n_bytes, trouble *trouble) {
    static const char blanks[] = " \t\r";
    double n = 1;
    const char *at = line + strspn(line, blanks);
    at = strlen(line) == n_bytes ? parse_number(sum, at) : NULL;
    if (at != NULL)
        at += strspn(at, blanks);
    if (at != NULL && *at != '\0') {
        at = parse_number(&n, at);
        if (at != NULL)
            at += strspn(at, blanks);
    }
    if (at == NULL || *at != '\0' || !isfinite(*sum))
        return report_line("an entropy, or a sum and a count", name, number, line, n_bytes, trouble);
    if (!(n >= 1 && n <= 9007199254740992.0 && n == floor(n)))
        return report_line("a count from 1 to 2^53", name, number, line, n_bytes, trouble);
    *count = (uint64_t)n;
    return true;
}

/* --- An answer --- */

static json_t *alarms_of(unsigned alarms) {
    json_t *names = json_array();
    if (alarms & ENTROL_ALARM_COLLAPSE)
        json_array_append_new(names, json_string("collapse"));
    if (alarms & ENTROL_ALARM_EXPLOSION)
        json_array_append_new(names, json_string("explosion"));
    return names;
}

static json_t *object_of(const entrol_command *command, const entrol_controller_kind *kind) {
    json_t *object = json_object();
    json_object_set_new(object, "step", json_integer((json_int_t)command->step));
    json_object_set_new(object, "coefficient", json_of_real(command->coefficient));
    if (kind->drives == ENTROL_DRIVE_SAMPLE_WEIGHTS) {
        json_object_set_new(object, "positive_weight", json_of_real(command->positive_weight));
        json_object_set_new(object, "negative_weight", json_of_real(command->negative_weight));
    }
    if (kind->drives == ENTROL_DRIVE_TEMPERATURE)
        json_object_set_new(object, "temperature", json_of_real(command->temperature));
    json_object_set_new(object, strcmp(kind->observes, "KL") == 0 ? "kl" : "entropy",
                        json_of_real_or_null(command->entropy));
    json_object_set_new(object, "target", json_of_real_or_null(command->target));
    json_object_set_new(object, "error", json_of_real_or_null(command->error));
    json_object_set_new(object, "alarms", alarms_of(command->alarms));
    json_object_set_new(object, "limited", json_boolean(command->is_limited));
    json_object_set_new(object, "held", json_boolean(command->is_held));
    return object;
}

void control_append_answer(buffer *out, const entrol_command *command, const entrol_controller_kind *kind,
                           bool as_json) {
    json_t *answer = as_json ? object_of(command, kind) : json_real(command->coefficient);
    if (answer != NULL)
        json_append(out, answer);
    else
        out->failed = true;
    json_decref(answer);
    buffer_append_string(out, "\n");
}

/* --- The run --- */

typedef struct run {
    entrol_context *context;
    entrol_controller *controller;
    const entrol_controller_kind *kind;
    const control_settings *settings;
    control_file file;
    buffer out;
    unsigned alarms;     /* that were said */
    unsigned n_at_limit; /* observations in a row, up to LONG_AT_A_LIMIT, after which nothing more is said */
} run;

static bool answer(run *run, const entrol_command *command, trouble *trouble) {
    buffer_clear(&run->out);
    control_append_answer(&run->out, command, run->kind, run->settings->as_json);
    if (run->out.failed)
        return trouble_set(trouble, "cannot write standard output: out of memory");
    errno = 0;
    if (fwrite(run->out.data, 1, run->out.size, stdout) == run->out.size && fflush(stdout) == 0)
        return true;
    clearerr(stdout);
    return trouble_set(trouble, "cannot write standard output: %s",
                       errno == EPIPE ? "its reader has closed it" : strerror(errno != 0 ? errno : EIO));
}

/* Once when it is raised, and once when it is over. */
static void say_alarms(run *run, const entrol_command *command, const char *name, uint64_t number) {
    static const char *const names[] = {"collapse", "explosion"};
    for (unsigned i = 0; i < 2; i++) {
        const unsigned bit = 1u << i;
        if (((command->alarms ^ run->alarms) & bit) == 0)
            continue;
        if (command->alarms & bit)
            message_warning("%s:%llu: %s: the mean entropy is %.4g nats", name, (unsigned long long)number, names[i],
                            command->entropy);
        else
            message_note("%s:%llu: the %s is over: the mean entropy is %.4g nats", name, (unsigned long long)number,
                         names[i], command->entropy);
    }
    run->alarms = command->alarms;
}

enum { LONG_AT_A_LIMIT = 100 };

/* The limit of the coefficient beyond which the law wants to go; NULL: none. A least one of 0 pushes nothing: there the
 * controller rests. A schedule aims at nothing. */
static const char *limit_reached(const run *run, const entrol_command *command) {
    const double least = control_number(run->settings, run->kind, "min");
    const double greatest = control_number(run->settings, run->kind, "max");
    if (!command->is_limited || isnan(control_number(run->settings, run->kind, "dead_band")))
        return NULL;
    if (command->coefficient >= greatest)
        return "max";
    return command->coefficient <= least && (least < 0 || least > 0) ? "min" : NULL;
}

/* Once in a run: a target that cannot be reached looks like nothing else. */
static void say_limit(run *run, const entrol_command *command, const char *name, uint64_t number) {
    const char *limit = limit_reached(run, command);
    if (run->n_at_limit == LONG_AT_A_LIMIT)
        return;
    run->n_at_limit = limit != NULL ? run->n_at_limit + 1 : 0;
    if (run->n_at_limit == LONG_AT_A_LIMIT)
        message_warning("%s:%llu: the coefficient has been at --%s %g for %d steps: the target may be out of reach",
                        name, (unsigned long long)number, limit, command->coefficient, LONG_AT_A_LIMIT);
}

static bool report_observation(const entrol_diagnosis *diagnosis, entrol_status status, const char *name,
                               uint64_t number, trouble *trouble) {
    const char *what = entrol_status_string(status);
    if (status == ENTROL_ERROR_DATA && diagnosis->reason == ENTROL_REASON_NEGATIVE)
        what = "the entropy is below 0, and a share of the first observations is no target then: give one in nats";
    else if (status == ENTROL_ERROR_DATA)
        what = "expected a number of nats that is less than 2^62 in size";
    return trouble_set(trouble, "%s:%llu: %s", name, (unsigned long long)number, what);
}

static bool take_line(run *run, const char *name, uint64_t number, const char *line, size_t n_bytes, trouble *trouble) {
    entrol_command command = ENTROL_COMMAND_INIT;
    entrol_diagnosis diagnosis;
    double sum = 0;
    uint64_t count = 1;
    if (!control_parse_line(&sum, &count, name, number, line, n_bytes, trouble))
        return false;
    const entrol_status status =
        entrol_controller_observe(run->context, &command, &diagnosis, run->controller, sum, count);
    if (status != ENTROL_OK)
        return report_observation(&diagnosis, status, name, number, trouble);
    say_alarms(run, &command, name, number);
    say_limit(run, &command, name, number);
    return control_store(&run->file, run->controller, trouble) && answer(run, &command, trouble);
}

static bool take_lines(run *run, const char *path, trouble *trouble) {
    const char *line;
    size_t n_bytes;
    int more;
    input *input = input_open(path, trouble);
    if (input == NULL)
        return false;
    bool ok = true;
    while (ok && (more = input_line(input, &line, &n_bytes, trouble)) != 0)
        ok = more > 0 && take_line(run, input_name(input), input_line_number(input), line, n_bytes, trouble);
    input_close(input);
    return ok;
}

static bool begin_run(run *run, trouble *trouble) {
    entrol_command command = ENTROL_COMMAND_INIT;
    const char *state = run->settings->state;
    if (state != NULL && !control_open(&run->file, run->controller, state, trouble))
        return false;
    if (entrol_controller_command(&command, run->controller) != ENTROL_OK)
        return trouble_set(trouble, "%s: no command", run->kind->name);
    run->alarms = command.alarms;
    return !run->settings->begins || answer(run, &command, trouble);
}

int control_run(entrol_context *context, entrol_controller *controller, const control_settings *settings,
                const char *path) {
    trouble trouble;
    run run = {.context = context,
               .controller = controller,
               .kind = entrol_controller_kind_of(controller),
               .settings = settings,
               .file = {.fd = -1}};
    bool ok = begin_run(&run, &trouble) && take_lines(&run, path, &trouble);
    ok = control_close(&run.file, ok, &trouble);
    buffer_free(&run.out);
    return ok ? EXIT_DONE : message_trouble(&trouble);
}
