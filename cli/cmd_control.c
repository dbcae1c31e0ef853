/* `entrol control`: a controller as a filter: entropies in, coefficients out. */
#include "commands.h"
#include "control/control.h"
#include "message.h"
#include "open_context.h"
#include "suggest.h"

#include <string.h>

/* Of "NAME --help" the controller, whose own flags alone are shown then. */
static const entrol_controller_kind *asked_for_help(int argc, char **argv) {
    const entrol_controller_kind *kind = argc > 2 ? entrol_controller_kind_find(argv[1]) : NULL;
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return kind;
    return NULL;
}

static int report_unknown(const char *name) {
    suggestion suggestion = suggestion_for(name);
    for (size_t i = 0; i < entrol_controller_kind_count(); i++)
        suggestion_offer(&suggestion, entrol_controller_kind_at(i)->name);
    if (suggestion.best != NULL)
        return message_error("unknown controller \"%s\"; did you mean \"%s\"?", name, suggestion.best);
    return message_error("unknown controller \"%s\"; \"entrol control --list\" lists them", name);
}

static int run_filter(const control_settings *settings, const operands *operands) {
    if (operands->n_items == 0)
        return message_error("expected the name of a controller; \"entrol control --list\" lists them");
    if (operands->n_items > 2)
        return message_error("expected NAME and at most one FILE, found \"%s\" too", operands->items[2]);
    const entrol_controller_kind *kind = entrol_controller_kind_find(operands->items[0]);
    if (kind == NULL)
        return report_unknown(operands->items[0]);
    trouble trouble;
    entrol_context *context = open_context(1, &trouble);
    if (context == NULL)
        return message_trouble(&trouble);
    entrol_controller *controller = control_make(context, settings, kind);
    const int exit_code = controller != NULL ? control_run(context, controller, settings,
                                                           operands->n_items > 1 ? operands->items[1] : "-")
                                             : EXIT_ERROR;
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
    return exit_code;
}

static int run(const command *command, int argc, char **argv) {
    control_settings settings = {.n_flags = 0};
    const entrol_controller_kind *kind = asked_for_help(argc, argv);
    option options[CONTROL_MOST_OPTIONS];
    const size_t n_options = control_options(options, &settings, kind);
    struct command described = *command;
    operands operands;
    int exit_code = EXIT_DONE;
    described.description = control_describe(&settings, command->description, kind);
    const bool goes_on = options_parse(&described, options, n_options, argc, argv, &operands, &exit_code);
    if (goes_on && settings.lists)
        control_list();
    else if (goes_on)
        exit_code = run_filter(&settings, &operands);
    control_free(&settings);
    return exit_code;
}

const command command_control = {
    .name = "control",
    .summary = "a controller of exploration as a filter: entropies in, coefficients out",
    .usage = "NAME [options] [FILE]",
    .description =
        "Reads one line for each training step, from standard input or FILE: the mean entropy of its tokens in nats, "
        "or "
        "the sum of their entropies and their count. Answers each at once with the coefficient that holds for the next "
        "step. A target is nats, as 0.3; a share of the greatest entropy, as 0.7max; or of the mean of the first 20 "
        "observations, as 0.4x, until which the controller holds still. A line that is no number ends it, and the "
        "state "
        "is as before that line. \"entrol control NAME --help\" lists what one controller has.",
    .examples = "  entrol control --list                                     every parameter, default and source\n"
                "  echo 0.31 | entrol control skywork --target 0.4\n"
                "  entrol control pi --target 0.4x --state pi.state < entropies.txt\n"
                "  entrol control sac --target 0.98max --actions 18 --json < entropies.txt\n",
    .run = run,
};
