/* The flags of `entrol control`, made from the registry: one for each name of a parameter, whose help says what holds
 * for which controller. */
#include "control.h"

#include "../message.h"
#include "../parameter_text.h"
#include "../suggest.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const entrol_parameter *find_parameter(const entrol_controller_kind *kind, const char *name) {
    return parameter_find(kind->parameters, kind->n_parameters, name);
}

/* --- Help --- */

/* The default of a controller's parameter; 0 where it has none of the name. */
static bool default_of(char text[64], size_t index, const char *name) {
    const entrol_parameter *parameter = find_parameter(entrol_controller_kind_at(index), name);
    buffer own = {0};
    if (parameter != NULL)
        parameter_append_default(&own, parameter);
    snprintf(text, 64, "%s", own.data != NULL ? own.data : "");
    buffer_free(&own);
    return parameter != NULL;
}

/* "a, b and c": the controllers whose parameter of this name has this default (NULL: any). How many. */
static size_t append_owners(buffer *out, const char *name, const char *initial) {
    const char *owners[32];
    size_t n = 0;
    for (size_t i = 0; i < entrol_controller_kind_count() && n < 32; i++) {
        char own[64];
        if (default_of(own, i, name) && (initial == NULL || strcmp(own, initial) == 0))
            owners[n++] = entrol_controller_kind_at(i)->name;
    }
    for (size_t i = 0; i < n && out != NULL; i++)
        buffer_append_format(out, "%s%s", i == 0 ? "" : i + 1 == n ? " and " : ", ", owners[i]);
    return n;
}

/* The default that most controllers have. */
static void usual_default(char text[64], const char *name) {
    size_t most = 0;
    for (size_t i = 0; i < entrol_controller_kind_count(); i++) {
        char own[64];
        const size_t n = default_of(own, i, name) ? append_owners(NULL, name, own) : 0;
        if (n > most) {
            most = n;
            snprintf(text, 64, "%s", own);
        }
    }
}

/* "Default: 0.4x." or "Default: 0; 1 for sac and aepo.", the usual one first. */
static void append_defaults(buffer *out, const char *name) {
    char usual[64] = "", own[64], before[64];
    usual_default(usual, name);
    buffer_append_format(out, " Default: %s", usual);
    for (size_t i = 0; i < entrol_controller_kind_count(); i++) {
        bool is_new = default_of(own, i, name) && strcmp(own, usual) != 0;
        for (size_t j = 0; j < i && is_new; j++)
            is_new = !default_of(before, j, name) || strcmp(before, own) != 0;
        if (!is_new)
            continue;
        buffer_append_format(out, "; %s for ", own);
        append_owners(out, name, own);
    }
    buffer_append_string(out, ".");
}

/* "The step. Default: 0.005." with its source for one controller, and its owners for all of them. */
static char *describe_flag(const entrol_parameter *parameter, const entrol_controller_kind *only) {
    buffer text = {0};
    const bool is_of_few = only == NULL && append_owners(NULL, parameter->name, NULL) <= 4;
    if (is_of_few) {
        buffer_append_string(&text, "Of ");
        append_owners(&text, parameter->name, NULL);
        buffer_append_string(&text, ": ");
    }
    const size_t start = text.size;
    buffer_append_format(&text, "%s.", parameter->says);
    if (!text.failed && !is_of_few)
        text.data[start] = (char)toupper((unsigned char)text.data[start]);
    if (only != NULL) {
        buffer_append_string(&text, " Default: ");
        parameter_append_default(&text, parameter);
        buffer_append_string(&text, ".");
    } else {
        append_defaults(&text, parameter->name);
    }
    if (only != NULL && parameter->source != NULL)
        buffer_append_format(&text, " Source: %s.", parameter->source);
    if (!text.failed)
        return text.data;
    buffer_free(&text);
    return NULL;
}

static void append_metavar(buffer *out, const entrol_parameter *parameter) {
    static const char *const words[] = {"X", "N", "", "TARGET"};
    if (strcmp(parameter->name, "points") == 0)
        buffer_append_string(out, "STEP:X,...");
    else if (parameter->type != ENTROL_PARAMETER_CHOICE)
        buffer_append_string(out, words[parameter->type]);
    else
        parameter_append_choices(out, parameter);
}

static void append_kind(buffer *out, const entrol_controller_kind *kind) {
    buffer_append_format(out, "\n%s, %s: %s (%s).", kind->name, entrol_drive_name(kind->drives), kind->says,
                         kind->source);
}

const char *control_describe(control_settings *settings, const char *introduction, const entrol_controller_kind *only) {
    buffer text = {0};
    buffer_append_string(&text, introduction);
    if (only != NULL)
        append_kind(&text, only);
    else
        buffer_append_string(&text, " The controllers:");
    for (size_t i = 0; i < entrol_controller_kind_count() && only == NULL; i++)
        append_kind(&text, entrol_controller_kind_at(i));
    settings->description = text.data;
    return text.failed ? introduction : text.data;
}

void control_free(control_settings *settings) {
    for (size_t i = 0; i < settings->n_flags; i++)
        free(settings->flags[i].help);
    free(settings->description);
}

void control_list(void) {
    for (size_t i = 0; i < entrol_controller_kind_count(); i++) {
        const entrol_controller_kind *kind = entrol_controller_kind_at(i);
        printf("%s%s\n  drives: %s\n  law: %s\n  source: %s\n", i > 0 ? "\n" : "", kind->name,
               entrol_drive_name(kind->drives), kind->says, kind->source);
        for (size_t p = 0; p < kind->n_parameters; p++) {
            const entrol_parameter *parameter = &kind->parameters[p];
            buffer initial = {0};
            parameter_append_default(&initial, parameter);
            printf("  %s = %s: %s%s%s\n", parameter->name, initial.data != NULL ? initial.data : "", parameter->says,
                   parameter->source != NULL ? "; " : "", parameter->source != NULL ? parameter->source : "");
            buffer_free(&initial);
        }
    }
}

/* --- Options --- */

static void add_flag(option *row, control_flag *flag, const entrol_parameter *parameter,
                     const entrol_controller_kind *kind) {
    *flag = (control_flag){.parameter = parameter->name};
    snprintf(flag->name, sizeof flag->name, "%s", parameter->name);
    for (char *at = flag->name; *at != '\0'; at++)
        if (*at == '_')
            *at = '-';
    buffer metavar = {0};
    append_metavar(&metavar, parameter);
    snprintf(flag->metavar, sizeof flag->metavar, "%s", metavar.data != NULL ? metavar.data : "X");
    buffer_free(&metavar);
    flag->help = describe_flag(parameter, kind);
    *row = (option){.name = flag->name,
                    .type = OPTION_STRING,
                    .value = &flag->text,
                    .metavar = flag->metavar,
                    .help = flag->help != NULL ? flag->help : parameter->says};
}

static bool has_flag(const control_settings *settings, const char *parameter) {
    for (size_t i = 0; i < settings->n_flags; i++)
        if (strcmp(settings->flags[i].parameter, parameter) == 0)
            return true;
    return false;
}

size_t control_options(option rows[CONTROL_MOST_OPTIONS], control_settings *settings,
                       const entrol_controller_kind *kind) {
    const option own[CONTROL_OWN_OPTIONS] = {
        {.name = "state",
         .type = OPTION_STRING,
         .value = &settings->state,
         .metavar = "FILE",
         .help = "Go on from the state in FILE, if it is there, and keep it there: it is written before each answer, "
                 "whole or not at all, so that a run that is killed goes on where it was."},
        {.name = "begin",
         .type = OPTION_FLAG,
         .value = &settings->begins,
         .help = "Before anything is read, write the line that holds for the next step: of a new run, the first."},
        {.name = "json",
         .type = OPTION_FLAG,
         .value = &settings->as_json,
         .help =
             "Answer each line with an object: step, coefficient, entropy, target, error, alarms and what else holds."},
        {.name = "list",
         .type = OPTION_FLAG,
         .value = &settings->lists,
         .help = "Print every controller with its law, its parameters, what holds without them, and the sources; and "
                 "end."},
    };
    size_t n = 0;
    for (size_t i = 0; i < entrol_controller_kind_count(); i++) {
        const entrol_controller_kind *each = entrol_controller_kind_at(i);
        for (size_t p = 0; p < each->n_parameters; p++) {
            const bool is_wanted = (kind == NULL || kind == each) && !has_flag(settings, each->parameters[p].name);
            if (is_wanted && settings->n_flags < CONTROL_MOST_NAMES)
                add_flag(&rows[n++], &settings->flags[settings->n_flags++], &each->parameters[p], kind);
        }
    }
    greatest_options(rows + n, &settings->greatest);
    memcpy(rows + n + GREATEST_OPTIONS, own, sizeof own);
    return n + GREATEST_OPTIONS + CONTROL_OWN_OPTIONS;
}

/* --- Making --- */

static const control_flag *flag_of(const control_settings *settings, const char *parameter) {
    for (size_t i = 0; i < settings->n_flags; i++)
        if (strcmp(settings->flags[i].parameter, parameter) == 0)
            return &settings->flags[i];
    return NULL;
}

/* What the parameter wanted. */
static void append_expected(buffer *out, const entrol_parameter *parameter) {
    if (strcmp(parameter->name, "points") == 0)
        buffer_append_string(out, "step:coefficient, joined by commas, at most 64, steps ascending from 0 on, "
                                  "coefficients from -1e6 to 1e6");
    else
        parameter_append_expected(out, parameter, 1, parameter->name);
}

double control_number(const control_settings *settings, const entrol_controller_kind *kind, const char *parameter) {
    const entrol_parameter *row = find_parameter(kind, parameter);
    const control_flag *flag = flag_of(settings, parameter);
    if (row == NULL || flag == NULL || flag->text == NULL)
        return row != NULL ? row->initial : (double)NAN;
    char *end;
    const double value = strtod(flag->text, &end);
    return end != flag->text && *end == '\0' ? value : (double)NAN;
}

/* "max, which is 1 by default". */
static void append_what_holds(buffer *out, const control_settings *settings, const entrol_controller_kind *kind,
                              const char *name) {
    const control_flag *flag = flag_of(settings, name);
    buffer_append_format(out, "%s, which is ", name);
    if (flag != NULL && flag->text != NULL) {
        buffer_append_string(out, flag->text);
        return;
    }
    parameter_append_default(out, find_parameter(kind, name));
    buffer_append_string(out, " by default");
}

/* What a flag that fits the table must be beside the others, if it is one of those that can contradict. */
static bool append_beside_others(buffer *out, const control_settings *settings, const entrol_controller_kind *kind,
                                 const char *name) {
    const entrol_parameter *row = find_parameter(kind, name);
    const double value = control_number(settings, kind, name);
    if (strcmp(name, "high") == 0) {
        buffer_append_string(out, "more than ");
        append_what_holds(out, settings, kind, "target");
        return true;
    }
    if (row->type != ENTROL_PARAMETER_REAL || !(value >= row->low && value <= row->high))
        return false;
    if (strcmp(name, "min") == 0) {
        buffer_append_string(out, "at most ");
        append_what_holds(out, settings, kind, "max");
    } else if (strcmp(name, "max") == 0) {
        buffer_append_string(out, "at least ");
        append_what_holds(out, settings, kind, "min");
    } else {
        buffer_append_string(out, "a number from ");
        append_what_holds(out, settings, kind, "min");
        buffer_append_string(out, ", to ");
        append_what_holds(out, settings, kind, "max");
    }
    return true;
}

static void report_flag(const control_settings *settings, const entrol_controller_kind *kind,
                        const entrol_parameter *parameter, const control_flag *flag) {
    buffer expected = {0}, found = {0};
    if (!append_beside_others(&expected, settings, kind, parameter->name))
        append_expected(&expected, parameter);
    if (flag->text != NULL)
        buffer_append_format(&found, "\"%s\"", flag->text);
    else {
        parameter_append_default(&found, parameter);
        buffer_append_string(&found, ", its default");
    }
    message_error("--%s: expected %s, found %s", flag->name, expected.data != NULL ? expected.data : "",
                  found.data != NULL ? found.data : "");
    buffer_free(&expected);
    buffer_free(&found);
}

static void report_setting(const control_settings *settings, const entrol_controller_kind *kind, const char *argument) {
    trouble trouble;
    const control_flag *flag = flag_of(settings, argument);
    /* Of a least coefficient that nobody gave the greatest one is to blame. */
    if (strcmp(argument, "min") == 0 && flag != NULL && flag->text == NULL) {
        argument = "max";
        flag = flag_of(settings, argument);
    }
    const entrol_parameter *parameter = find_parameter(kind, argument);
    if (strcmp(argument, "options") == 0) {
        report_greatest(&settings->greatest, &trouble);
        message_trouble(&trouble);
    } else if (parameter == NULL || flag == NULL) {
        message_error("%s: %s", kind->name, argument);
    } else if (parameter->type == ENTROL_PARAMETER_TEXT && strcmp(argument, "points") != 0 && flag->text != NULL &&
               !(strcmp(argument, "high") == 0 && is_target(&settings->greatest, flag->text))) {
        report_target(&settings->greatest, flag->name, flag->text, &trouble);
        message_trouble(&trouble);
    } else {
        report_flag(settings, kind, parameter, flag);
    }
}

/* A flag of another controller. */
static bool check_flags(const control_settings *settings, const entrol_controller_kind *kind) {
    for (size_t i = 0; i < settings->n_flags; i++) {
        const control_flag *flag = &settings->flags[i];
        if (flag->text == NULL || find_parameter(kind, flag->parameter) != NULL)
            continue;
        buffer owners = {0};
        append_owners(&owners, flag->parameter, NULL);
        message_error("--%s is of %s, not of %s; \"entrol control %s --help\" lists what it has", flag->name,
                      owners.data != NULL ? owners.data : "", kind->name, kind->name);
        buffer_free(&owners);
        return false;
    }
    return true;
}

entrol_controller *control_make(entrol_context *context, const control_settings *settings,
                                const entrol_controller_kind *kind) {
    entrol_setting given[CONTROL_MOST_NAMES];
    const entrol_controller_options options = greatest_for_controller(&settings->greatest);
    entrol_controller *made = NULL;
    entrol_diagnosis diagnosis;
    size_t n = 0;
    if (!check_flags(settings, kind))
        return NULL;
    for (size_t i = 0; i < settings->n_flags; i++)
        if (settings->flags[i].text != NULL)
            given[n++] = (entrol_setting){settings->flags[i].parameter, 0, settings->flags[i].text};
    const entrol_status status = entrol_controller_create(context, &made, &diagnosis, kind->name, given, n, &options);
    if (status == ENTROL_ERROR_ARGUMENT && diagnosis.argument != NULL)
        report_setting(settings, kind, diagnosis.argument);
    else if (status != ENTROL_OK)
        message_error("%s: %s", kind->name, entrol_status_string(status));
    return made;
}
