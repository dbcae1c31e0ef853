/* Parsing of options from a table. Options and operands may be mixed; the last of two wins. */
#include "options.h"
#include "help.h"
#include "message.h"
#include "suggest.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is being parsed: the arguments and where we are. */
typedef struct parser {
    const command *command;
    const option *options;
    size_t n_options;
    int argc, at;
    char **argv;
} parser;

static bool has_bounds(const option *option) {
    return option->minimum < option->maximum;
}

static bool report_bounds(const option *option, const char *kind, const char *value) {
    if (has_bounds(option) && isinf(option->maximum))
        message_error("--%s: expected %s of at least %g, found \"%s\"", option->name, kind, option->minimum, value);
    else if (has_bounds(option))
        message_error("--%s: expected %s from %.10g to %.16g, found \"%s\"", option->name, kind, option->minimum,
                      option->maximum, value);
    else
        message_error("--%s: expected %s, found \"%s\"", option->name, kind, value);
    return false;
}

static bool set_integer(const option *option, const char *value) {
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    bool is_number = *value && !isspace((unsigned char)*value) && *end == 0 && errno == 0;
    if (!is_number || (has_bounds(option) && ((double)number < option->minimum || (double)number > option->maximum)))
        return report_bounds(option, "a whole number", value);
    *(int64_t *)option->value = number;
    return true;
}

static bool set_real(const option *option, const char *value) {
    char *end;
    double number = strtod(value, &end);
    bool is_number = *value && !isspace((unsigned char)*value) && *end == 0 && !isnan(number);
    if (!is_number || (has_bounds(option) && (number < option->minimum || number > option->maximum)))
        return report_bounds(option, "a number", value);
    *(double *)option->value = number;
    return true;
}

static const char *plural_unit(const char *value) {
    static const char *const units[] = {"bits", "nats", "bans"};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strlen(value) == 3 && strncmp(value, units[i], 3) == 0)
            return units[i];
    return value;
}

/* The value must be one of "a|b|c". */
static bool set_choice(const option *option, const char *given) {
    const char *value = plural_unit(given);
    size_t n = strlen(value);
    for (const char *choice = option->choices; *choice;) {
        size_t length = strcspn(choice, "|");
        if (length == n && n > 0 && memcmp(choice, value, n) == 0) {
            *(const char **)option->value = value;
            return true;
        }
        choice += length + (choice[length] == '|');
    }
    message_error("--%s: expected one of %s, found \"%s\"", option->name, option->choices, given);
    return false;
}

static bool append_string(const option *option, const char *value) {
    string_list *list = option->value;
    if (list->n_items == sizeof list->items / sizeof list->items[0]) {
        message_error("--%s: given more than %zu times", option->name, list->n_items);
        return false;
    }
    list->items[list->n_items++] = value;
    return true;
}

static bool set_value(const option *option, const char *value) {
    if (option->was_given)
        *option->was_given = true;
    switch (option->type) {
    case OPTION_FLAG:
        *(bool *)option->value = true;
        return true;
    case OPTION_STRING:
        *(const char **)option->value = value;
        return true;
    case OPTION_STRINGS:
        return append_string(option, value);
    case OPTION_INTEGER:
        return set_integer(option, value);
    case OPTION_REAL:
        return set_real(option, value);
    case OPTION_CHOICE:
        return set_choice(option, value);
    }
    return false;
}

/* Applies an option whose value, if it takes one, is `attached` or the next argument. */
static bool apply(parser *parser, const option *option, const char *attached) {
    if (option->type == OPTION_FLAG && attached) {
        message_error("--%s takes no value, found \"%s\"", option->name, attached);
        return false;
    }
    if (option->type != OPTION_FLAG && !attached) {
        if (parser->at + 1 >= parser->argc) {
            message_error("--%s: expected %s after it, found the end", option->name,
                          option->metavar ? option->metavar : option->choices);
            return false;
        }
        attached = parser->argv[++parser->at];
    }
    return set_value(option, attached);
}

static bool report_unknown(const parser *parser, const char *argument, const char *name) {
    suggestion suggestion = suggestion_for(name);
    for (size_t i = 0; i < parser->n_options; i++)
        suggestion_offer(&suggestion, parser->options[i].name);
    suggestion_offer(&suggestion, "help");
    if (suggestion.best)
        message_error("unknown option %s; did you mean --%s?", argument, suggestion.best);
    else
        message_error("unknown option %s; \"entrol %s --help\" lists them", argument, parser->command->name);
    return false;
}

static bool parse_long(parser *parser, char *argument) {
    const char *name = argument + 2;
    char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    for (size_t i = 0; i < parser->n_options; i++) {
        const option *option = &parser->options[i];
        if (strlen(option->name) == length && memcmp(option->name, name, length) == 0)
            return apply(parser, option, equals ? equals + 1 : NULL);
    }
    if (equals)
        *equals = 0;
    return report_unknown(parser, argument, name);
}

static bool parse_short(parser *parser, char *argument) {
    for (size_t i = 0; i < parser->n_options; i++) {
        const option *option = &parser->options[i];
        if (option->short_name && strcmp(option->short_name, argument + 1) == 0)
            return apply(parser, option, NULL);
        if (option->letter && option->letter == argument[1] && argument[2] == 0)
            return apply(parser, option, NULL);
    }
    return report_unknown(parser, argument, argument + 1);
}

static bool is_help(const char *argument) {
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

/* Puts the option in argv[start .. at] before the operands in argv[first ..], as getopt does: argv stays a whole
 * command line, which the manifest shows. Returns where the operands then start. */
static int move_before_operands(parser *parser, int first, int start) {
    char *taken[2], **argv = parser->argv;
    size_t n = (size_t)(parser->at + 1 - start); /* an option, or an option and its value */
    memcpy(taken, argv + start, n * sizeof *taken);
    memmove(argv + first + n, argv + first, (size_t)(start - first) * sizeof *argv);
    memcpy(argv + first, taken, n * sizeof *taken);
    return first + (int)n;
}

bool options_parse(const command *command, const option *options, size_t n_options, int argc, char **argv,
                   operands *operands, int *exit_code) {
    parser parser = {command, options, n_options, argc, 1, argv};
    bool only_operands = false;
    int first = 1; /* operand */
    for (; parser.at < argc; parser.at++) {
        int start = parser.at;
        char *argument = argv[start];
        if (only_operands || argument[0] != '-' || argument[1] == 0)
            continue;
        if (strcmp(argument, "--") == 0) {
            only_operands = true;
        } else if (is_help(argument)) {
            help_print(command, options, n_options);
            *exit_code = EXIT_DONE;
            return false;
        } else if (!(argument[1] == '-' ? parse_long(&parser, argument) : parse_short(&parser, argument))) {
            *exit_code = EXIT_ERROR;
            return false;
        }
        first = move_before_operands(&parser, first, start);
    }
    *operands = (struct operands){argv + first, argc - first};
    return true;
}
