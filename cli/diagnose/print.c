/* A diagnosis as text, and as JSON. */
#include "diagnose.h"

#include "../json_text.h"

#include <math.h>
#include <string.h>

/* --- Lines of bars --- */

enum { N_BARS = 60 };

/* The means of N_BARS parts of a run, from its least to its greatest. */
static void append_bars(buffer *out, const double *values, size_t n) {
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const size_t n_bars = n < N_BARS ? n : N_BARS;
    double means[N_BARS], least = INFINITY, greatest = -INFINITY;
    for (size_t i = 0; i < n_bars; i++) {
        const size_t begin = i * n / n_bars, end = (i + 1) * n / n_bars;
        double sum = 0;
        size_t n_known = 0;
        for (size_t j = begin; j < end; j++)
            if (!isnan(values[j])) {
                sum += values[j];
                n_known++;
            }
        means[i] = n_known > 0 ? sum / (double)n_known : (double)NAN;
        least = fmin(least, means[i]);
        greatest = fmax(greatest, means[i]);
    }
    for (size_t i = 0; i < n_bars; i++) {
        const double share = greatest > least ? (means[i] - least) / (greatest - least) : 0;
        buffer_append_string(out, isnan(means[i]) ? " " : bars[(size_t)(share * 7.999)]);
    }
}

static void append_series(buffer *out, const run_log *log, int column, const char *name) {
    buffer_append_format(out, "%-10s", name);
    append_bars(out, log->columns[column], log->n);
    buffer_append_string(out, "\n");
}

/* --- Text --- */

/* Whole steps as whole numbers. */
static bool is_whole(double step) {
    return fabs(step) < 0x1p53 && step == floor(step);
}

static void append_step(buffer *out, double step, int width) {
    if (is_whole(step))
        buffer_append_format(out, "%*.0f", width, step);
    else
        buffer_append_format(out, "%*.15g", width, step);
}

static void append_source(buffer *out, const run_log *log, const char *name) {
    buffer_append_format(out, "%s: %zu rows, steps ", name, log->n);
    append_step(out, log->columns[RUN_STEP][0], 0);
    buffer_append_string(out, " to ");
    append_step(out, log->columns[RUN_STEP][log->n - 1], 0);
    buffer_append_format(out, "; entropy from %s", log->names[RUN_ENTROPY]);
    if (log->names[RUN_REWARD] != NULL)
        buffer_append_format(out, ", reward from %s", log->names[RUN_REWARD]);
    if (log->n_gathered > 0)
        buffer_append_format(out, "; %zu rows have the mean of the rewards logged since the row before",
                             log->n_gathered);
    else if (log->n_without > 0)
        buffer_append_format(out, "; %zu without an entropy left out", log->n_without);
    if (log->n_nan > 0)
        buffer_append_format(out, "; %zu whose entropy is a NaN or infinite left out", log->n_nan);
    buffer_append_string(out, "\n");
}

/* What is gone, and how soon; of an entropy that did not fall what it rose by, and of a few rows no twelfth. */
static void append_gone(buffer *out, const diagnosis_of_run *found, const run_log *log) {
    if (found->gone < 0.005) {
        if (found->gone > -0.005)
            buffer_append_string(out, "  none of it is gone\n");
        else
            buffer_append_format(out, "  it rose by %.0f %%\n", -100 * found->gone);
        return;
    }
    buffer_append_format(out, "  %.0f %% of it is gone", 100 * found->gone);
    if (log->n >= LEAST_ROWS_OF_A_TWELFTH && found->early_gone >= 0.005) {
        buffer_append_format(out, "; %.0f %% by step ", 100 * found->early_gone);
        append_step(out, found->early_step, 0);
        buffer_append_string(out, ", a twelfth of the run (published: 73 %, arXiv 2505.22617)");
    }
    buffer_append_string(out, "\n");
}

static void append_entropy(buffer *out, const diagnosis_of_run *found, const run_log *log) {
    append_series(out, log, RUN_ENTROPY, "entropy");
    buffer_append_format(out, "  from %.4g to %.4g nats (means of %zu row%s)\n", found->first, found->last,
                         found->n_first, found->n_first == 1 ? "" : "s");
    if (isnan(found->gone)) {
        buffer_append_string(out,
                             "  it does not begin above 0, as of a continuous policy: shares of it mean nothing\n");
        return;
    }
    append_gone(out, found, log);
    if (!isnan(found->half_step)) {
        buffer_append_string(out, "  half of it is gone at step ");
        append_step(out, found->half_step, 0);
        buffer_append_string(out, "\n");
    }
    if (isnan(found->collapse_step)) {
        buffer_append_string(out, "  no collapse: it stays above a tenth of what it was at first\n");
        return;
    }
    buffer_append_string(out, "  collapse at step ");
    append_step(out, found->collapse_step, 0);
    buffer_append_format(out, ", below a tenth of what it was at first%s\n",
                         found->is_collapsed ? "" : "; it recovers");
}

static void append_coefficient(buffer *out, const diagnosis_of_run *found, const run_log *log) {
    if (!isnan(found->last_coefficient))
        buffer_append_format(out, "coefficient of the run itself, from %s: %.4g to %.4g, at the end %.4g\n",
                             log->names[RUN_COEFFICIENT], found->least_coefficient, found->greatest_coefficient,
                             found->last_coefficient);
}

static const char *why_no_fit(entrol_reason reason) {
    if (reason == ENTROL_REASON_GROUP)
        return "fewer than 4 steps have a reward and an entropy";
    if (reason == ENTROL_REASON_DEVIATION)
        return "the entropies do not differ";
    if (reason == ENTROL_REASON_INFINITE)
        return "an entropy of 350 nats or more, as of a whole sequence: exp(H) is beyond reach";
    return entrol_reason_string(reason);
}

static const char *why_no_ceiling(ceiling_standing standing, double r_squared) {
    if (standing == CEILING_BELOW_ZERO)
        return "entropies are below 0, as of a continuous policy: none is spent at H = 0, so there is no ceiling";
    if (standing == CEILING_NOT_RISING)
        return "the reward does not rise as the entropy falls: the law gives no ceiling";
    return r_squared < LEAST_EXPLAINED
               ? "the law does not describe this run: it explains less than a tenth of the rewards' variance"
               : "the law does not describe this run: its ceiling's interval is wider than the rewards' range";
}

static void append_ceiling(buffer *out, const diagnosis_of_run *found, const run_log *log, double confidence) {
    const entrol_ceiling *fit = &found->ceiling;
    if (log->names[RUN_REWARD] == NULL) {
        buffer_append_string(out, "reward     none is known: --reward names its column\n");
        return;
    }
    append_series(out, log, RUN_REWARD, "reward");
    if (found->is_flat) {
        buffer_append_string(out, "  the rewards do not differ: no law to fit\n");
        return;
    }
    if (!found->has_fit) {
        buffer_append_format(out, "  no fit of R = b - a exp(H): %s\n", why_no_fit(found->no_fit));
        return;
    }
    buffer_append_format(out,
                         "  R = %.4g %c %.4g exp(H) explains %.0f %% of its variance; residuals %.3g, correlation "
                         "%.2f\n",
                         fit->b, fit->a < 0 ? '+' : '-', fabs(fit->a), 100 * fmax(fit->r_squared, 0), fit->deviation,
                         fit->autocorrelation);
    if (found->standing == CEILING_STANDS)
        buffer_append_format(out,
                             "  ceiling %.4g when the entropy is spent (%g %%: %.4g to %.4g); the run ends at %.4g\n",
                             fit->ceiling, 100 * confidence, fit->low, fit->high, found->last_reward);
    else
        buffer_append_format(out, "  %s\n", why_no_ceiling(found->standing, fit->r_squared));
}

static void append_number(buffer *out, double value) {
    if (isnan(value))
        buffer_append_format(out, "  %10s", "-");
    else
        buffer_append_format(out, "  %10.4g", value);
}

static void append_moved(buffer *out, double step) {
    if (isnan(step)) {
        append_number(out, step);
        return;
    }
    buffer_append_string(out, "  ");
    append_step(out, step, 10);
}

static void append_commands(buffer *out, const diagnosis_of_run *found) {
    buffer_append_string(
        out,
        "what controllers would have commanded, open loop: as if they had not acted on this run; acting would have "
        "changed its entropies\n");
    buffer_append_format(out, "  %-12s%-30s  %10s  %10s  %10s  %10s  %10s\n", "controller", "drives", "target",
                         "from step", "least", "greatest", "at the end");
    for (size_t i = 0; i < found->n_commanded; i++) {
        const commanded *each = &found->commanded[i];
        buffer_append_format(out, "  %-12s%-30s", each->kind->name, entrol_drive_name(each->kind->drives));
        if (each->is_refused) {
            buffer_append_string(out, "  of an entropy below 0 there is no share: it needs nats\n");
            continue;
        }
        if (each->is_empty) {
            buffer_append_string(out, "  its high end, 0.6x, is not above the target\n");
            continue;
        }
        append_number(out, each->target);
        append_moved(out, each->first_moved);
        append_number(out, each->least);
        append_number(out, each->greatest);
        append_number(out, each->last);
        buffer_append_string(out, "\n");
    }
}

void run_print(buffer *out, const diagnosis_of_run *found, const run_log *log, const char *name, double confidence) {
    append_source(out, log, name);
    append_entropy(out, found, log);
    append_ceiling(out, found, log, confidence);
    append_coefficient(out, found, log);
    append_commands(out, found);
}

/* --- JSON --- */

static void set_real(json_t *object, const char *name, double value) {
    json_object_set_new(object, name, json_of_real_or_null(value));
}

static void set_step(json_t *object, const char *name, double step) {
    if (is_whole(step))
        json_object_set_new(object, name, json_integer((json_int_t)step));
    else
        set_real(object, name, step);
}

static json_t *name_or_null(const char *name) {
    return name != NULL ? json_string_of(name) : json_null();
}

static const char *const standings[] = {[CEILING_STANDS] = "stands",
                                        [CEILING_BELOW_ZERO] = "entropies below 0",
                                        [CEILING_NOT_RISING] = "not rising",
                                        [CEILING_NOT_DESCRIBED] = "not described"};

static json_t *ceiling_of(const diagnosis_of_run *found, double confidence) {
    const entrol_ceiling *fit = &found->ceiling;
    if (!found->has_fit)
        return json_null();
    json_t *object = json_object();
    set_real(object, "a", fit->a);
    set_real(object, "b", fit->b);
    const bool is_there = found->standing == CEILING_STANDS || found->standing == CEILING_NOT_DESCRIBED;
    set_real(object, "ceiling", is_there ? fit->ceiling : (double)NAN);
    set_real(object, "low", is_there ? fit->low : (double)NAN);
    set_real(object, "high", is_there ? fit->high : (double)NAN);
    json_object_set_new(object, "standing", json_string(standings[found->standing]));
    set_real(object, "confidence", confidence);
    set_real(object, "r_squared", fit->r_squared);
    set_real(object, "deviation", fit->deviation);
    set_real(object, "autocorrelation", fit->autocorrelation);
    json_object_set_new(object, "n", json_integer((json_int_t)fit->n));
    return object;
}

static json_t *commands_of(const diagnosis_of_run *found) {
    json_t *all = json_array();
    for (size_t i = 0; i < found->n_commanded; i++) {
        const commanded *each = &found->commanded[i];
        const bool ok = !each->is_refused && !each->is_empty;
        json_t *object = json_object();
        json_object_set_new(object, "controller", json_string(each->kind->name));
        json_object_set_new(object, "drives", json_string(entrol_drive_name(each->kind->drives)));
        set_real(object, "target", ok ? each->target : (double)NAN);
        set_step(object, "from_step", ok ? each->first_moved : (double)NAN);
        set_real(object, "least", ok ? each->least : (double)NAN);
        set_real(object, "greatest", ok ? each->greatest : (double)NAN);
        set_real(object, "last", ok ? each->last : (double)NAN);
        json_array_append_new(all, object);
    }
    return all;
}

void run_print_json(buffer *out, const diagnosis_of_run *found, const run_log *log, const char *name,
                    double confidence) {
    json_t *object = json_object();
    json_object_set_new(object, "file", json_string_of(name));
    json_object_set_new(object, "steps", json_integer((json_int_t)log->n));
    json_object_set_new(object, "entropy_from", name_or_null(log->names[RUN_ENTROPY]));
    json_object_set_new(object, "reward_from", name_or_null(log->names[RUN_REWARD]));
    json_object_set_new(object, "rows_without_entropy", json_integer((json_int_t)log->n_without));
    json_object_set_new(object, "rows_with_nan_entropy", json_integer((json_int_t)log->n_nan));
    json_object_set_new(object, "rows_with_gathered_rewards", json_integer((json_int_t)log->n_gathered));
    json_object_set_new(object, "rows_not_ascending", json_integer((json_int_t)log->n_back));
    set_real(object, "entropy_first", found->first);
    set_real(object, "entropy_last", found->last);
    json_object_set_new(object, "mean_of_steps", json_integer((json_int_t)found->n_first));
    set_real(object, "gone", found->gone);
    set_step(object, "early_step", found->early_step);
    set_real(object, "early_gone", found->early_gone);
    set_step(object, "half_step", found->half_step);
    set_step(object, "collapse_step", found->collapse_step);
    json_object_set_new(object, "collapsed_at_the_end", json_boolean(found->is_collapsed));
    set_real(object, "reward_last", found->last_reward);
    json_object_set_new(object, "fit", ceiling_of(found, confidence));
    json_object_set_new(object, "coefficient_from", name_or_null(log->names[RUN_COEFFICIENT]));
    set_real(object, "coefficient_least", found->least_coefficient);
    set_real(object, "coefficient_greatest", found->greatest_coefficient);
    set_real(object, "coefficient_last", found->last_coefficient);
    json_object_set_new(object, "open_loop", commands_of(found));
    json_append(out, object);
    buffer_append_string(out, "\n");
    json_decref(object);
}
