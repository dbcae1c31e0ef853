/* Settings by name: see parameter.h. */
#include "parameter.h"

#include "context.h"
#include "number.h"
#include "writer.h"

#include <math.h>
#include <string.h>

int ent_parse_real(double *value, const char *text) {
    ent_reader in = {text, text};
    ent_number number;
    const int is_negative = *text == '-';
    if (strcmp(text + is_negative, "inf") == 0) {
        *value = is_negative ? -INFINITY : INFINITY;
        return 1;
    }
    if (!ent_read_number(&number, &in) || *in.at)
        return 0;
    *value = ent_number_value(&number, 0);
    return isfinite(*value);
}

static int n_choices(const char *const *choices) {
    int n = 0;
    while (choices[n])
        n++;
    return n;
}

/* 1 if it fits; NaN fits no bounds. */
static int take_value(double *value, const entrol_parameter *parameter, const entrol_setting *setting) {
    double taken = setting->value;
    if (parameter->type == ENTROL_PARAMETER_CHOICE) {
        if (setting->text)
            taken = ent_find_name(parameter->choices, n_choices(parameter->choices), setting->text);
        *value = taken;
        return taken >= 0 && taken < n_choices(parameter->choices) && taken == floor(taken);
    }
    if (setting->text && !ent_parse_real(&taken, setting->text))
        return 0;
    *value = taken;
    return taken >= parameter->low && taken <= parameter->high &&
           (parameter->type != ENTROL_PARAMETER_WHOLE || taken == floor(taken));
}

static size_t find_parameter(const entrol_parameter *parameters, size_t n, const char *name) {
    size_t i = 0;
    while (i < n && strcmp(parameters[i].name, name) != 0)
        i++;
    return i;
}

static entrol_status take_setting(double *values, const char **texts, entrol_diagnosis *diagnosis,
                                  const entrol_parameter *parameters, size_t n_parameters,
                                  const entrol_setting *setting) {
    const size_t i = setting->name ? find_parameter(parameters, n_parameters, setting->name) : n_parameters;
    if (i == n_parameters)
        return ent_bad_argument(diagnosis, "settings");
    if (parameters[i].type != ENTROL_PARAMETER_TEXT)
        return take_value(&values[i], &parameters[i], setting) ? ENTROL_OK
                                                               : ent_bad_argument(diagnosis, parameters[i].name);
    if (!setting->text)
        return ent_bad_argument(diagnosis, parameters[i].name);
    texts[i] = setting->text;
    return ENTROL_OK;
}

entrol_status ent_take_settings(double *values, const char **texts, entrol_diagnosis *diagnosis,
                                const entrol_parameter *parameters, size_t n_parameters, const entrol_setting *settings,
                                size_t n_settings) {
    if (n_settings && !settings)
        return ent_bad_argument(diagnosis, "settings");
    for (size_t i = 0; i < n_parameters; i++) {
        values[i] = parameters[i].initial;
        if (texts)
            texts[i] = parameters[i].text;
    }
    entrol_status status = ENTROL_OK;
    for (size_t i = 0; status == ENTROL_OK && i < n_settings; i++) {
        status = take_setting(values, texts, diagnosis, parameters, n_parameters, &settings[i]);
        if (status != ENTROL_OK && diagnosis && strcmp(diagnosis->argument, "settings") == 0)
            diagnosis->first_row = i;
    }
    return status;
}

/* --- In words --- */

static void put_choices(ent_writer *out, const char *const *choices) {
    ent_put_text(out, "one of ");
    for (size_t i = 0; choices[i]; i++) {
        ent_put_text(out, i ? "|" : "");
        ent_put_text(out, choices[i]);
    }
}

static void put_expected(ent_writer *out, const entrol_parameter *parameter) {
    if (parameter->type == ENTROL_PARAMETER_TEXT) {
        ent_put_text(out, parameter->says);
        return;
    }
    if (parameter->type == ENTROL_PARAMETER_CHOICE) {
        put_choices(out, parameter->choices);
        return;
    }
    ent_put_text(out, parameter->type == ENTROL_PARAMETER_WHOLE ? "a whole number from " : "a number from ");
    ent_put_real(out, parameter->low);
    ent_put_text(out, " to ");
    ent_put_real(out, parameter->high);
}

size_t entrol_parameter_expected(char *text, size_t size, const entrol_parameter *parameters, size_t n_parameters,
                                 const char *name) {
    ent_writer out = {text, 0, size ? size - 1 : 0};
    const size_t i = find_parameter(parameters, n_parameters, name);
    if (i < n_parameters)
        put_expected(&out, &parameters[i]);
    if (size)
        text[out.n < size ? out.n : size - 1] = '\0';
    return out.n;
}
