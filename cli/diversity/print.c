/* Measures as tables, and as JSON. */
#include "diversity.h"

#include "../json_text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* What a measure is called, and where it is shown. */
static const struct {
    const char *name, *heading;
    bool is_in_nats;
    const char *perplexity; /* exp(-it), as it is called; NULL: it is no log-probability */
} measures[DIVERSITY_MEASURES] = {
    [DIVERSITY_DISTINCT] = {"distinct_1", "distinct-1", false, NULL},
    [DIVERSITY_DISTINCT + 1] = {"distinct_2", "distinct-2", false, NULL},
    [DIVERSITY_DISTINCT + 2] = {"distinct_3", "distinct-3", false, NULL},
    [DIVERSITY_DISTINCT + 3] = {"distinct_4", "distinct-4", false, NULL},
    [DIVERSITY_SELF_BLEU] = {"self_bleu", "self-BLEU", false, NULL},
    [DIVERSITY_COMPRESSION] = {"compression_ratio", "compression", false, NULL},
    [DIVERSITY_REPETITION] = {"seq_rep_4", "seq-rep-4", false, NULL},
    [DIVERSITY_SEMANTIC] = {"semantic_entropy", "semantic", true, NULL},
    [DIVERSITY_OF_TOKENS + TOTAL_LOGPROB] = {"logprob", "logprob", true, "perplexity"},
    [DIVERSITY_OF_TOKENS + TOTAL_ENTROPY] = {"entropy", "entropy", true, NULL},
    [DIVERSITY_OF_TOKENS + TOTAL_SAMPLED_ENTROPY] = {"sampled_entropy", "sampled", true, NULL},
    [DIVERSITY_OF_TOKENS + TOTAL_REFERENCE] = {"reference_logprob", "reference", true, "reference_perplexity"},
};

/* --- Tables --- */

enum { CELL = 15, MOST_NAME = 40 };

static double factor_of(int measure, const char *unit) {
    return measures[measure].is_in_nats && strcmp(unit, "bits") == 0 ? 1 / log(2) : 1;
}

static void append_name(buffer *out, const char *name, size_t width) {
    char shown[1024];
    message_escape(shown, sizeof shown, name, strlen(name));
    buffer_append_format(out, "%-*s", (int)width, shown);
}

static size_t name_width(const diversity_result *results, size_t n) {
    size_t width = strlen("file");
    for (size_t i = 0; i < n; i++) {
        const size_t own = strlen(results[i].name);
        width = own > width && own <= MOST_NAME ? own : width;
    }
    return width;
}

/* `value` and, unless it is NaN, what stands behind "±", which has one column and two bytes. */
static void append_cell(buffer *out, double value, double half) {
    char text[64] = "n/a";
    if (!isnan(value) && isnan(half))
        snprintf(text, sizeof text, "%.3f", value);
    else if (!isnan(value))
        snprintf(text, sizeof text, "%.3f ±%.3f", value, half);
    buffer_append_format(out, " %*s", strchr(text, '\xc2') ? CELL : CELL - 1, text);
}

/* What a row shows: the mean over prompts, or that of all samples together. */
static diversity_mean value_of(const diversity_result *result, int measure, bool together) {
    return together ? diversity_mean_of(&result->together[measure], 1, 1) : result->means[measure];
}

static void append_value(buffer *out, const diversity_result *result, int measure, bool together, const char *unit) {
    const diversity_mean value = value_of(result, measure, together);
    const double factor = factor_of(measure, unit);
    append_cell(out, value.mean * factor, (value.high - value.mean) * factor);
    if (measures[measure].perplexity)
        append_cell(out, exp(-value.mean), NAN);
}

static bool is_shown(const diversity_result *results, size_t n, int measure, bool together) {
    for (size_t i = 0; i < n; i++)
        if (value_of(&results[i], measure, together).n > 0)
            return true;
    return false;
}

/* A row for each file, of what one of them has among the measures from `first` to before `end`. */
static void append_table(buffer *out, const diversity_result *results, size_t n, int first, int end, bool together,
                         const char *unit) {
    const size_t width = name_width(results, n);
    bool shown[DIVERSITY_MEASURES] = {false}, some = false;
    for (int m = first; m < end; m++)
        some |= shown[m] = is_shown(results, n, m, together);
    if (!some)
        return;
    buffer_append_string(out, "\n");
    append_name(out, "file", width);
    for (int m = first; m < end; m++) {
        if (shown[m])
            buffer_append_format(out, "%*s", CELL, measures[m].heading);
        if (shown[m] && measures[m].perplexity)
            buffer_append_format(out, "%*s", CELL, "perplexity");
    }
    for (size_t i = 0; i < n; i++) {
        buffer_append_string(out, "\n");
        append_name(out, results[i].name, width);
        for (int m = first; m < end; m++)
            if (shown[m])
                append_value(out, &results[i], m, together, unit);
    }
    buffer_append_string(out, "\n");
}

static void append_tables(buffer *out, const diversity_result *results, size_t n, bool together, const char *unit) {
    static const int ends[] = {DIVERSITY_SELF_BLEU, DIVERSITY_SEMANTIC, DIVERSITY_MEASURES};
    for (int i = 0, first = 0; i < 3; first = ends[i++])
        append_table(out, results, n, first, ends[i], together, unit);
}

static void append_counts(buffer *out, const diversity_result *results, size_t n) {
    const size_t width = name_width(results, n);
    append_name(out, "file", width);
    buffer_append_format(out, "%*s%*s%*s\n", CELL, "prompts", CELL, "samples", CELL,
                         results[0].are_words ? "words" : "tokens");
    for (size_t i = 0; i < n; i++) {
        append_name(out, results[i].name, width);
        buffer_append_format(out, "%*zu%*" PRIu64 "%*" PRIu64 "\n", CELL, results[i].n_prompts, CELL,
                             results[i].n_samples, CELL, results[i].n_units);
    }
    buffer_append_string(out, "\n");
}

void diversity_print(buffer *out, const diversity_result *results, size_t n, const char *unit) {
    const char *units = results[0].are_words ? "words" : "tokens";
    append_counts(out, results, n);
    buffer_append_format(
        out,
        "means over prompts, ± half the 95 %% interval; n-grams of %s; entropies and logprobs in %s\n"
        "more diverse: distinct-n, semantic and entropies higher; self-BLEU, compression, seq-rep-4 and "
        "logprobs lower\n",
        units, unit);
    append_tables(out, results, n, false, unit);
    buffer_append_string(out, "\nall samples of a file together\n");
    append_tables(out, results, n, true, unit);
}

/* --- JSON --- */

static bool set_count(json_t *object, const char *name, uint64_t count) {
    return json_set(object, name, json_integer((json_int_t)count));
}

static bool set_values(json_t *object, const double *values) {
    bool ok = true;
    for (int m = 0; m < DIVERSITY_MEASURES; m++) {
        ok &= json_set(object, measures[m].name, json_of_real_or_null(values[m]));
        if (measures[m].perplexity)
            ok &= json_set(object, measures[m].perplexity, json_of_real_or_null(exp(-values[m])));
    }
    return ok;
}

static bool set_mean(json_t *object, const char *name, const diversity_mean *mean) {
    json_t *one = json_object();
    return json_set(object, name, one) && json_set(one, "mean", json_of_real_or_null(mean->mean)) &&
           json_set(one, "low", json_of_real_or_null(mean->low)) &&
           json_set(one, "high", json_of_real_or_null(mean->high)) && set_count(one, "n", mean->n);
}

static bool set_means(json_t *object, const diversity_result *result) {
    json_t *means = json_object();
    bool ok = json_set(object, "mean_over_prompts", means);
    for (int m = 0; m < DIVERSITY_MEASURES; m++)
        ok = ok && set_mean(means, measures[m].name, &result->means[m]);
    return ok;
}

/* What tells the prompt apart: the value of the field that groups, else of the line's own names. */
static json_t *name_of(const prompt *prompt, const char *group) {
    const char *const names[] = {group, "prompt_id", "prompt", "id"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *value = names[i] ? json_object_get(prompt->fields, names[i]) : NULL;
        if (value)
            return json_incref(value);
    }
    return json_null();
}

static bool set_prompts(json_t *object, const diversity_result *result, const diversity_samples *samples) {
    json_t *all = json_array();
    bool ok = json_set(object, "of_prompts", all);
    for (size_t p = 0; ok && p < result->n_prompts; p++) {
        json_t *one = json_object();
        ok = json_array_append_new(all, one) == 0 &&
             json_set(one, "prompt", name_of(&samples->prompts.items[p], samples->shape.group)) &&
             set_count(one, "samples", result->sizes[p]) && set_values(one, result->prompts[p]);
    }
    return ok;
}

static bool set_together(json_t *object, const diversity_result *result) {
    json_t *together = json_object();
    return json_set(object, "together", together) && set_values(together, result->together);
}

void diversity_print_json(buffer *out, const diversity_result *result, const diversity_samples *samples) {
    const char *group = samples->shape.group;
    json_t *object = json_object();
    const bool ok = json_set(object, "file", json_string_of(result->name)) &&
                    json_set(object, "of", json_string(result->are_words ? "words" : "tokens")) &&
                    json_set(object, "group", group ? json_string_of(group) : json_null()) &&
                    set_count(object, "prompts", result->n_prompts) &&
                    set_count(object, "samples", result->n_samples) && set_count(object, "units", result->n_units) &&
                    set_means(object, result) && set_together(object, result) && set_prompts(object, result, samples);
    if (ok)
        json_append(out, object);
    buffer_append_string(out, "\n");
    out->failed |= !ok;
    json_decref(object);
}
