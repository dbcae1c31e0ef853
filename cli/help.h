/* --help, written from a command's table of options. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "options.h"

/* On standard output. */
void help_print(const command *command, const option *options, size_t n_options);

/* Prints text on standard output, broken between words at 80 columns; continued lines start at column `indent`, and the
 * first one is taken to stand at column `at`. Ends with a newline. */
void help_wrap(const char *text, int at, int indent);

#endif
