/* `entrol control`: its flags, which are the registry's parameters, and the filter. */
#ifndef CLI_CONTROL_CONTROL_H
#define CLI_CONTROL_CONTROL_H

#include "../buffer.h"
#include "../input.h"
#include "../options.h"
#include "targets.h"

#include <entrol/control.h>

/* Distinct names of parameters over all controllers, and rows of the table of options. */
enum {
    CONTROL_MOST_NAMES = 48,
    CONTROL_OWN_OPTIONS = 4,
    CONTROL_MOST_OPTIONS = CONTROL_MOST_NAMES + GREATEST_OPTIONS + CONTROL_OWN_OPTIONS
};

/* A parameter's flag: its name with - for _. */
typedef struct control_flag {
    char name[32], metavar[64];
    char *help;
    const char *parameter;
    const char *text; /* given; NULL: not */
} control_flag;

typedef struct control_settings {
    control_flag flags[CONTROL_MOST_NAMES];
    size_t n_flags;
    char *description;
    greatest_entropy greatest;
    const char *state; /* NULL: none is kept */
    bool as_json, begins, lists;
} control_settings;

/* The options of one controller, or of all where `kind` is NULL; how many rows. They point into the settings. */
size_t control_options(option rows[CONTROL_MOST_OPTIONS], control_settings *settings,
                       const entrol_controller_kind *kind);
/* The introduction, and a line for each controller (or this one alone) with its name, law and source. In the settings.
 */
const char *control_describe(control_settings *settings, const char *introduction, const entrol_controller_kind *only);
void control_free(control_settings *settings);
/* --list, on standard output. */
void control_list(void);

/* The number that holds for a parameter that is one: what its flag says, else its default. NaN where it is none. */
double control_number(const control_settings *settings, const entrol_controller_kind *kind, const char *parameter);
/* Makes the controller that the flags say; NULL: what is wrong with them was said. */
entrol_controller *control_make(entrol_context *context, const control_settings *settings,
                                const entrol_controller_kind *kind);

/* --- The filter --- */

/* An entropy, or a sum and a count, from a line without its newline; `name` and `number` are for the message. */
bool control_parse_line(double *sum, uint64_t *count, const char *name, uint64_t number, const char *line,
                        size_t n_bytes, trouble *trouble);
/* The line that answers, with its newline: the coefficient, or the whole command as JSON. */
void control_append_answer(buffer *out, const entrol_command *command, const entrol_controller_kind *kind,
                           bool as_json);

/* The file that --state names. */
typedef struct control_file {
    const char *path;
    int fd; /* -1: none */
    size_t n_bytes;
} control_file;

/* Restores what the file holds, or makes one that holds the controller's state; no other process may have it open so.
 */
bool control_open(control_file *file, entrol_controller *controller, const char *path, trouble *trouble);
/* Writes the state in the place of the one before; nothing where there is no file. */
bool control_store(control_file *file, const entrol_controller *controller, trouble *trouble);
/* Closes the file, if there is one; where all went well so far (`ok`), when it is on the disk. Whether all is well. */
bool control_close(control_file *file, bool ok, trouble *trouble);

/* Answers each line of an input until its end. */
int control_run(entrol_context *context, entrol_controller *controller, const control_settings *settings,
                const char *path);

#endif
