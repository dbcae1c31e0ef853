/* What a run's entropies and rewards say. */
#include "diagnose.h"

#include "../parameter_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- Means --- */

static double mean_of(const double *values, size_t n) {
    double sum = 0;
    size_t n_known = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i])) {
            sum += values[i];
            n_known++;
        }
    return n_known > 0 ? sum / (double)n_known : (double)NAN;
}

/* Twenty, or a fortieth of a run of fewer than 800 rows; but three, as one row is mostly noise, and in a run of fewer
 * than six half of it, so that the start and the end are apart. */
static size_t rows_of_a_mean(size_t n) {
    const size_t fortieth = n / 40, half = n < 2 ? 1 : n / 2, least = half < 3 ? half : 3;
    return fortieth < least ? least : fortieth > 20 ? 20 : fortieth;
}

static double share_gone(const diagnosis_of_run *found, double entropy) {
    return found->first > 0 ? 1 - entropy / found->first : (double)NAN;
}

/* The mean of half as many entropies as `first` is of, which end with row i: while it falls, a longer one is late. */
static double mean_until(const diagnosis_of_run *found, const run_log *log, size_t i) {
    const size_t half = (found->n_first + 1) / 2, n = i + 1 < half ? i + 1 : half;
    return mean_of(log->columns[RUN_ENTROPY] + i + 1 - n, n);
}

static void find_losses(diagnosis_of_run *found, const run_log *log) {
    const double *entropies = log->columns[RUN_ENTROPY];
    const size_t twelfth = log->n / 12 > 0 ? log->n / 12 - 1 : 0;
    found->n_first = rows_of_a_mean(log->n);
    found->first = mean_of(entropies, found->n_first);
    found->last = mean_of(entropies + log->n - found->n_first, found->n_first);
    found->gone = share_gone(found, found->last);
    found->early_step = log->columns[RUN_STEP][twelfth];
    found->early_gone = share_gone(found, mean_until(found, log, twelfth));
    found->half_step = (double)NAN;
    for (size_t i = 0; i < log->n && isnan(found->half_step); i++)
        if (share_gone(found, mean_until(found, log, i)) >= 0.5)
            found->half_step = log->columns[RUN_STEP][i];
    found->last_reward = mean_of(log->columns[RUN_REWARD] + log->n - found->n_first, found->n_first);
}

/* The run's own. */
static void find_coefficients(diagnosis_of_run *found, const run_log *log) {
    const double *values = log->columns[RUN_COEFFICIENT];
    found->least_coefficient = found->greatest_coefficient = found->last_coefficient = (double)NAN;
    for (size_t i = 0; i < log->n; i++) {
        found->least_coefficient = fmin(found->least_coefficient, values[i]); /* of a NaN and a number the number */
        found->greatest_coefficient = fmax(found->greatest_coefficient, values[i]);
        found->last_coefficient = isnan(values[i]) ? found->last_coefficient : values[i];
    }
}

/* --- Controllers --- */

static bool report(trouble *trouble, entrol_status status) {
    return trouble_set(trouble, "%s", entrol_status_string(status));
}

/* The alarm that every controller has, of a tenth of `first`. */
static bool find_collapse(entrol_context *context, diagnosis_of_run *found, const run_log *log, trouble *trouble) {
    entrol_controller *controller = NULL;
    const entrol_setting reference = {"reference_steps", (double)found->n_first, NULL};
    entrol_status status = entrol_controller_create(context, &controller, NULL, "constant", &reference, 1, NULL);
    found->collapse_step = (double)NAN;
    for (size_t i = 0; status == ENTROL_OK && i < log->n; i++) {
        entrol_command command = ENTROL_COMMAND_INIT;
        status = entrol_controller_observe(context, &command, NULL, controller, log->columns[RUN_ENTROPY][i], 1);
        found->is_collapsed = command.alarms & ENTROL_ALARM_COLLAPSE;
        if (found->is_collapsed && isnan(found->collapse_step))
            found->collapse_step = log->columns[RUN_STEP][i];
    }
    entrol_controller_destroy(context, controller);
    return status == ENTROL_OK || report(trouble, status);
}

static void follow(commanded *out, entrol_context *context, entrol_controller *controller, const run_log *log) {
    entrol_command command = ENTROL_COMMAND_INIT;
    entrol_controller_command(&command, controller);
    const double first = command.coefficient;
    out->least = out->greatest = first;
    out->first_moved = (double)NAN;
    for (size_t i = 0; i < log->n && !out->is_refused; i++) {
        out->is_refused = entrol_controller_observe(context, &command, NULL, controller, log->columns[RUN_ENTROPY][i],
                                                    1) != ENTROL_OK;
        out->least = fmin(out->least, command.coefficient);
        out->greatest = fmax(out->greatest, command.coefficient);
        if (isnan(out->first_moved) && (command.coefficient < first || command.coefficient > first))
            out->first_moved = log->columns[RUN_STEP][i];
    }
    out->target = command.target;
    out->last = command.coefficient;
}

static bool has_target(const entrol_controller_kind *kind) {
    return parameter_find(kind->parameters, kind->n_parameters, "target") != NULL &&
           strcmp(kind->observes, "entropy") == 0;
}

/* Makes a controller, follows it and forgets it. `diagnosis` says what a refused setting is. */
static entrol_status command_with(commanded *out, entrol_context *context, entrol_diagnosis *diagnosis,
                                  const run_log *log, const entrol_setting *settings, size_t n_settings,
                                  const entrol_controller_options *options) {
    entrol_controller *controller = NULL;
    const entrol_status status =
        entrol_controller_create(context, &controller, diagnosis, out->kind->name, settings, n_settings, options);
    if (status == ENTROL_OK)
        follow(out, context, controller, log);
    entrol_controller_destroy(context, controller);
    return status;
}

static bool report_refused(const diagnose_settings *settings, const char *argument, trouble *trouble) {
    if (argument != NULL && strcmp(argument, "options") == 0)
        return report_greatest(&settings->greatest, trouble);
    return report_target(&settings->greatest, "target", settings->target != NULL ? settings->target : "", trouble);
}

static bool find_commands(entrol_context *context, diagnosis_of_run *found, const run_log *log,
                          const diagnose_settings *settings, trouble *trouble) {
    const entrol_setting given[] = {{"reference_steps", (double)found->n_first, NULL}, {"target", 0, settings->target}};
    const entrol_controller_options options = greatest_for_controller(&settings->greatest);
    for (size_t i = 0; i < entrol_controller_kind_count() && found->n_commanded < MOST_COMMANDED; i++) {
        const entrol_controller_kind *kind = entrol_controller_kind_at(i);
        entrol_diagnosis diagnosis = {.argument = NULL};
        if (!has_target(kind))
            continue;
        commanded *out = &found->commanded[found->n_commanded++];
        *out = (commanded){.kind = kind};
        const entrol_status status =
            command_with(out, context, &diagnosis, log, given, settings->target != NULL ? 2 : 1, &options);
        out->is_empty =
            status == ENTROL_ERROR_ARGUMENT && diagnosis.argument != NULL && strcmp(diagnosis.argument, "high") == 0;
        if (status == ENTROL_ERROR_ARGUMENT && !out->is_empty)
            return report_refused(settings, diagnosis.argument, trouble);
        if (status != ENTROL_OK && !out->is_empty)
            return report(trouble, status);
    }
    return true;
}

/* --- The fit --- */

static double range_of(const double *values, size_t n, double *size) {
    double least = INFINITY, greatest = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        least = fmin(least, values[i]);
        greatest = fmax(greatest, values[i]);
    }
    *size = fmax(fabs(least), fabs(greatest));
    return greatest - least;
}

/* By more than rounding. */
static bool do_differ(const double *values, size_t n) {
    double size;
    return range_of(values, n, &size) > 1e-12 * size;
}

static ceiling_standing standing_of(const entrol_ceiling *fit, const run_log *log, const double *rewards, size_t n) {
    double unused;
    for (size_t i = 0; i < log->n; i++)
        if (log->columns[RUN_ENTROPY][i] < 0)
            return CEILING_BELOW_ZERO;
    if (!(fit->a > 0))
        return CEILING_NOT_RISING;
    const bool is_described =
        fit->r_squared >= LEAST_EXPLAINED && fit->high - fit->low <= range_of(rewards, n, &unused);
    return is_described ? CEILING_STANDS : CEILING_NOT_DESCRIBED;
}

/* Of the rows that have both. */
static bool find_ceiling(entrol_context *context, diagnosis_of_run *found, const run_log *log, double confidence,
                         trouble *trouble) {
    entrol_ceiling_options options = ENTROL_CEILING_OPTIONS_INIT;
    entrol_diagnosis diagnosis = {.reason = ENTROL_REASON_GROUP};
    double *entropies = malloc((log->n + 1) * sizeof *entropies), *rewards = malloc((log->n + 1) * sizeof *rewards);
    entrol_status status = entropies != NULL && rewards != NULL ? ENTROL_OK : ENTROL_ERROR_MEMORY;
    size_t n = 0;
    options.confidence = confidence;
    for (size_t i = 0; status == ENTROL_OK && i < log->n; i++)
        if (!isnan(log->columns[RUN_REWARD][i])) {
            entropies[n] = log->columns[RUN_ENTROPY][i];
            rewards[n++] = log->columns[RUN_REWARD][i];
        }
    if (status == ENTROL_OK)
        status = entrol_fit_ceiling(context, &found->ceiling, NULL, 0, &diagnosis, entropies, rewards, n, &options);
    found->is_flat = status == ENTROL_OK && !do_differ(rewards, n);
    found->has_fit = status == ENTROL_OK && !found->is_flat;
    if (found->has_fit)
        found->standing = standing_of(&found->ceiling, log, rewards, n);
    free(entropies);
    free(rewards);
    found->no_fit = diagnosis.reason;
    return status == ENTROL_OK || status == ENTROL_ERROR_DATA || report(trouble, status);
}

bool run_diagnose(entrol_context *context, diagnosis_of_run *found, const run_log *log,
                  const diagnose_settings *settings, trouble *trouble) {
    *found = (diagnosis_of_run){.n_commanded = 0};
    find_losses(found, log);
    find_coefficients(found, log);
    return find_collapse(context, found, log, trouble) &&
           find_ceiling(context, found, log, settings->confidence, trouble) &&
           find_commands(context, found, log, settings, trouble);
}
