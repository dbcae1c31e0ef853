#include "harness_sample.h"

static double clip(double value, double low, double high) {
    return fmin(fmax(value, low), high);
}

/* Mostly near what holds where nothing is set; now and then a bound. */
static double value_at_random(const entrol_parameter *parameter) {
    if (parameter->type == ENTROL_PARAMETER_CHOICE) {
        size_t n = 0;
        while (parameter->choices[n])
            n++;
        return (double)test_below(n);
    }
    const size_t way = test_below(16);
    if (way == 0)
        return parameter->low;
    if (way == 1)
        return parameter->high;
    if (way < 4)
        return parameter->initial;
    if (parameter->type == ENTROL_PARAMETER_WHOLE)
        return clip(floor(parameter->initial * exp(1.5 * test_normal())), parameter->low, parameter->high);
    if (parameter->high <= 1 && way < 9)
        return parameter->low + test_uniform() * (parameter->high - parameter->low);
    const double scale = parameter->initial > 0 ? parameter->initial : 1;
    return clip(scale * exp(test_normal()), parameter->low, parameter->high);
}

/* - or _ between words. */
static void add_name(char *text, const char *name) {
    for (text += strlen(text); *name; name++)
        *text++ = *name == '_' && test_below(2) ? '-' : *name;
    *text = 0;
}

static void add_value(char *text, const entrol_parameter *parameter, double value) {
    if (parameter->type == ENTROL_PARAMETER_CHOICE)
        add_name(text, parameter->choices[(size_t)value]);
    else
        snprintf(text + strlen(text), RULE_ROOM - strlen(text), "%.17g", value);
}

/* Bounds of each other are in order. */
static void order_bounds(made_rule *made) {
    size_t low = MOST_VALUES, high = MOST_VALUES;
    for (size_t i = 0; i < made->rule->n_parameters; i++) {
        low = strcmp(made->rule->parameters[i].name, "min") == 0 ? i : low;
        high = strcmp(made->rule->parameters[i].name, "max") == 0 ? i : high;
    }
    if (low == MOST_VALUES || high == MOST_VALUES || made->values[low] <= made->values[high])
        return;
    const double greater = made->values[low];
    made->values[low] = made->values[high];
    made->values[high] = greater;
}

void make_rule_at_random(made_rule *made, const entrol_sampling_rule *rule) {
    *made = (made_rule){.rule = rule};
    for (size_t i = 0; i < rule->n_parameters; i++)
        made->values[i] = value_at_random(&rule->parameters[i]);
    order_bounds(made);
    add_name(made->text, rule->name);
    const size_t first = rule->n_parameters && test_below(2); /* by its place */
    if (first) {
        strcat(made->text, "=");
        add_value(made->text, &rule->parameters[0], made->values[0]);
    }
    const size_t turn = test_below(rule->n_parameters + 1); /* the others, in any order */
    for (size_t k = first; k < rule->n_parameters; k++) {
        const size_t i = first + (k - first + turn) % (rule->n_parameters - first);
        if (made->values[i] == rule->parameters[i].initial && test_below(2))
            continue;
        strcat(made->text, ",");
        add_name(made->text, rule->parameters[i].name);
        strcat(made->text, "=");
        add_value(made->text, &rule->parameters[i], made->values[i]);
    }
}

/* Multiples of a quarter, a few of them often; or two equal tops. */
static double tied_value(size_t kind, size_t i, size_t n) {
    if (kind == 0)
        return floor(test_normal() * 8) / 4;
    return i == n / 3 || i == n - 1 ? 5 : floor(test_normal() * 8) / 8;
}

sheet sheet_to_sample(size_t n_columns, entrol_dtype dtype) {
    sheet sheet = sheet_make(1, n_columns, dtype);
    const size_t kind = test_below(N_KINDS + 6), possible = test_below(n_columns);
    const bool has_holes = test_below(3) == 0;
    for (size_t i = 0; i < n_columns; i++) {
        const double value = kind < N_KINDS ? kind_value((int)kind, i, n_columns) : tied_value(kind % 2, i, n_columns);
        const bool is_hole = has_holes && test_below(3) == 0;
        sheet_put(&sheet, 0, i, is_hole ? -INFINITY : value);
    }
    if (sheet_get(&sheet, 0, possible) == -INFINITY)
        sheet_put(&sheet, 0, possible, 0.5);
    return sheet;
}

double *logits_to_sample(const sheet *sheet) {
    double *logits = sheet_row(sheet, 0);
    for (size_t i = 0; i < sheet->n_columns; i++)
        logits[i] = (double)(float)logits[i];
    return logits;
}

entrol_sampler *sampler_with(entrol_context *context, const char *const *rules, size_t n_rules,
                             const entrol_sampler_options *options) {
    entrol_sampler *sampler = NULL;
    entrol_diagnosis diagnosis = {0};
    const entrol_status status = entrol_sampler_create(context, &sampler, &diagnosis, rules, n_rules, options);
    CHECK_SAY(status == ENTROL_OK, "no sampler of \"%.60s\": %s of rule %zu, offset %zu", n_rules ? rules[0] : "",
              diagnosis.argument ? diagnosis.argument : "", diagnosis.first_row, diagnosis.first_column);
    return sampler;
}

entrol_sampler *sampler_of(entrol_context *context, const char *rule) {
    return sampler_with(context, &rule, 1, NULL);
}

entrol_drawn draw_one(entrol_context *context, entrol_sampler *sampler, double *logprobs, const entrol_matrix *logits) {
    entrol_drawn drawn = ENTROL_DRAWN_INIT;
    entrol_diagnosis diagnosis = {.n_bad = 99};
    const entrol_destination destination = {logprobs, ENTROL_F64, (ptrdiff_t)logits->n_columns, 0};
    CHECK_INT(
        entrol_sampler_draw(context, sampler, &drawn, 1, logprobs ? &destination : NULL, &diagnosis, logits, NULL),
        ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 0);
    return drawn;
}
