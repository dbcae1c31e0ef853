#include "parameter_text.h"

#include <math.h>
#include <string.h>

const entrol_parameter *parameter_find(const entrol_parameter *parameters, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(parameters[i].name, name) == 0)
            return &parameters[i];
    return NULL;
}

void parameter_append_default(buffer *out, const entrol_parameter *parameter) {
    if (parameter->type == ENTROL_PARAMETER_TEXT)
        buffer_append_string(out, parameter->text);
    else if (parameter->type == ENTROL_PARAMETER_CHOICE)
        buffer_append_string(out, parameter->choices[(size_t)parameter->initial]);
    else if (!isfinite(parameter->initial))
        buffer_append_string(out, "none");
    else
        buffer_append_format(out, "%g", parameter->initial);
}

void parameter_append_choices(buffer *out, const entrol_parameter *parameter) {
    for (size_t i = 0; parameter->choices[i] != NULL; i++)
        buffer_append_format(out, "%s%s", i > 0 ? "|" : "", parameter->choices[i]);
}

void parameter_append_expected(buffer *out, const entrol_parameter *parameters, size_t n, const char *name) {
    const size_t n_bytes = entrol_parameter_expected(NULL, 0, parameters, n, name);
    char *text = n_bytes > 0 ? buffer_reserve(out, n_bytes) : NULL;
    if (text != NULL)
        out->size += entrol_parameter_expected(text, n_bytes + 1, parameters, n, name);
}
