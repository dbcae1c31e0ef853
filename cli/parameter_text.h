/* What a parameter of a registry is, in words: for --help, --list and messages. */
#ifndef CLI_PARAMETER_TEXT_H
#define CLI_PARAMETER_TEXT_H

#include "buffer.h"

#include <entrol/base.h>

/* NULL if there is none of the name. */
const entrol_parameter *parameter_find(const entrol_parameter *parameters, size_t n, const char *name);
/* What holds where nothing is set: "0.05", "none", the name of a choice. */
void parameter_append_default(buffer *out, const entrol_parameter *parameter);
/* "a|b|c" */
void parameter_append_choices(buffer *out, const entrol_parameter *parameter);
/* What the parameter of a name may be (entrol_parameter_expected). */
void parameter_append_expected(buffer *out, const entrol_parameter *parameters, size_t n, const char *name);

#endif
