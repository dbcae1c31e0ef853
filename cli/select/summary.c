/* What select and filter say when they are done, on standard error and in the manifest. */
#include "select.h"

#include "../formats/manifest.h"
#include "../json_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double NATS_PER_BIT = 0.69314718055994530942; /* ln 2 */

/* Values that are logarithms, and what is a mean or another statistic of them. A share is not. */
static bool is_in_nats(const char *by) {
    static const char *const names[] = {"entropy",
                                        "entropy_lower",
                                        "entropy_upper",
                                        "surprisal",
                                        "surprisal_excess",
                                        "logprob",
                                        "renyi",
                                        "logsumexp",
                                        "mean_topk_logprob",
                                        "excess_loss",
                                        "reference_surprisal",
                                        "reference_logprob",
                                        "reference_entropy",
                                        "kl_pq",
                                        "kl_qp",
                                        "jsd",
                                        "bald",
                                        "mean_entropy",
                                        "sampled_entropy",
                                        "sampled_logprob",
                                        "semantic_entropy"};
    const char *of = sample_statistic_of(by), *name = of != NULL ? of : by;
    if (of != NULL && (strstr(by, "_above:") != NULL || strcmp(by, "perplexity") == 0))
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strncmp(by, "semantic_entropy_", 17) == 0;
}

static bool is_in_bits(const select_settings *settings) {
    return is_in_nats(settings->by) && strcmp(settings->unit, "bits") == 0;
}

double select_in_unit(const select_settings *settings, double value) {
    return is_in_bits(settings) ? value / NATS_PER_BIT : value;
}

const char *select_unit(const select_settings *settings) {
    return !is_in_nats(settings->by) ? "" : is_in_bits(settings) ? " bits" : " nats";
}

const char *select_rule_text(const select_settings *settings) {
    return settings->is_mask ? settings->mask : settings->keep;
}

/* One threshold, or from the least to the greatest of all documents', in the unit of --unit. */
static void print_bound(const select_settings *settings, const char *words, double least, double greatest) {
    const char *unit = select_unit(settings);
    if (least == greatest)
        fprintf(stderr, "%s %.6g%s", words, select_in_unit(settings, least), unit);
    else
        fprintf(stderr, "%s %.6g to %.6g%s", words, select_in_unit(settings, least), select_in_unit(settings, greatest),
                unit);
    if (is_in_bits(settings) && least == greatest)
        fprintf(stderr, " (%.6g nats)", least);
}

static void print_thresholds(const select_settings *settings, const select_tally *tally) {
    bool has_low = tally->low_greatest > -HUGE_VAL, has_high = tally->high_least < HUGE_VAL;
    if (tally->n_scopes == 0 || (!has_low && !has_high))
        return;
    fprintf(stderr, "%-12s", settings->is_mask ? "masked" : "threshold");
    if (has_low)
        print_bound(settings, "at least", tally->low_least, tally->low_greatest);
    if (has_low && has_high)
        fprintf(stderr, ", ");
    if (has_high)
        print_bound(settings, "at most", tally->high_least, tally->high_greatest);
    fprintf(stderr, "%s\n",
            tally->n_scopes <= 1      ? ""
            : settings->group != NULL ? ", group by group"
            : settings->each_document ? ", document by document"
                                      : "");
}

static bool is_count(const select_settings *settings) {
    const entrol_rule_kind kind = settings->rule.kind;
    return kind == ENTROL_RULE_LOW_COUNT || kind == ENTROL_RULE_HIGH_COUNT || kind == ENTROL_RULE_LOW_EXACT ||
           kind == ENTROL_RULE_HIGH_EXACT;
}

static void print_rest(const select_settings *settings, const select_outcome *outcome) {
    const select_tally *tally = &outcome->tally;
    if (tally->n_ties > tally->n_scopes) /* one is the threshold itself */
        fprintf(stderr, "%-12s%" PRIu64 " equal to a threshold%s\n", "ties", tally->n_ties,
                !is_count(settings)       ? ""
                : settings->tie_seed != 0 ? ", drawn by --tie-seed"
                                          : ", the earlier ones first");
    if (tally->n_undecided > 0)
        fprintf(stderr, "%-12s%" PRIu64 " (%.6g %%) have bounds on both sides of a threshold, %s\n", "undecided",
                tally->n_undecided, 100 * (double)tally->n_undecided / (double)tally->n_valid,
                strcmp(settings->undecided, "keep") == 0 ? "kept" : "not kept");
    if (outcome->n_infinite > 0)
        fprintf(stderr,
                "%-12s%" PRIu64 " of the upper bounds: --vocab-size N (tokens in the model's vocabulary) makes them "
                "finite\n",
                "infinite", outcome->n_infinite);
    if (outcome->counts.n_missing > 0)
        fprintf(stderr, "%-12s%" PRIu64 " without a value, not kept\n", "missing", outcome->counts.n_missing);
    if (outcome->counts.n_duplicates > 0)
        fprintf(stderr, "%-12s%" PRIu64 " documents have the %s of an earlier one, not kept\n", "duplicates",
                outcome->counts.n_duplicates, settings->unique);
    if (outcome->n_untrained > 0)
        fprintf(stderr, "%-12s%" PRIu64 " of the documents: no token to learn\n", "left out", outcome->n_untrained);
    if (outcome->n_ranks > 1)
        fprintf(stderr, "%-12s%" PRIu64 " bytes of counts by each of %zu processes, and no values\n", "exchanged",
                outcome->n_exchanged, outcome->n_ranks);
    if (outcome->counts.n_nan > 0)
        message_warning("%s is NaN at %" PRIu64 " of the %s, which were not kept; the first: %s", settings->by,
                        outcome->counts.n_nan, outcome->noun, outcome->counts.first_nan);
}

/* All that the recipe has come to, as it would be typed. */
static void print_recipe(const select_settings *settings) {
    const entrol_recipe *recipe = settings->from;
    if (recipe == NULL)
        return;
    fprintf(stderr, "%-12s%s: --%s %s --by %s", settings->purpose != NULL ? "purpose" : "recipe", recipe->name,
            settings->is_mask ? "mask" : "keep", select_rule_text(settings), settings->by);
    if (settings->of_samples)
        fprintf(stderr, " --level sample");
    if (strcmp(settings->scope, "corpus") != 0)
        fprintf(stderr, " --scope %s", settings->scope);
    if (settings->weight != NULL)
        fprintf(stderr, " --weight %s", settings->weight);
    if (settings->quantiles.method != ENTROL_QUANTILE_LINEAR)
        fprintf(stderr, " --quantile %s", settings->method);
    fprintf(stderr, " (%s)\n", recipe->source);
}

void select_summary_print(const select_settings *settings, const select_outcome *outcome) {
    const select_tally *tally = &outcome->tally;
    print_recipe(settings);
    double share = tally->n_valid > 0 ? 100 * (double)tally->n_kept / (double)tally->n_valid : 0;
    fprintf(stderr, "%-12s%" PRIu64 " with a value, %" PRIu64 " kept (%.6g %%)\n", outcome->noun, tally->n_valid,
            tally->n_kept, share);
    if (!settings->of_samples)
        fprintf(stderr, "%-12s%" PRIu64 ", %" PRIu64 " with something kept\n", "documents", outcome->n_documents,
                outcome->n_documents_kept);
    print_thresholds(settings, tally);
    print_rest(settings, outcome);
}

/* JSON has no infinity: an open end is null. */
static json_t *end_json(double end) {
    return isfinite(end) ? json_real(end) : json_null();
}

static json_t *bound_json(double least, double greatest) {
    if (least == greatest || (isinf(least) && isinf(greatest)))
        return end_json(least);
    json_t *pair = json_array();
    json_array_append_new(pair, end_json(least));
    json_array_append_new(pair, end_json(greatest));
    return pair;
}

static const char *threshold_origin(const select_settings *settings) {
    static char text[64];
    const entrol_quantile_method method = settings->quantiles.method;
    if (settings->flexmatch > 0)
        return "how often the model is sure of each class";
    switch (settings->rule.kind) {
    case ENTROL_RULE_LOW_SHARE:
    case ENTROL_RULE_HIGH_SHARE:
    case ENTROL_RULE_PERCENTILES:
        snprintf(text, sizeof(text), "quantiles of the values (%s%s)", entrol_quantile_method_name(method),
                 method == ENTROL_QUANTILE_LINEAR ? " interpolation" : "");
        return text;
    case ENTROL_RULE_LOW_COUNT:
    case ENTROL_RULE_HIGH_COUNT:
    case ENTROL_RULE_LOW_EXACT:
    case ENTROL_RULE_HIGH_EXACT:
        return "the last value within the count";
    case ENTROL_RULE_RANGE:
        return "the rule";
    }
    return "";
}

static json_t *count(uint64_t n) {
    return json_integer((json_int_t)n);
}

static void set_if(json_t *manifest, const char *name, const char *value) {
    if (value != NULL)
        json_object_set_new(manifest, name, json_string(value));
}

void select_summary_json(json_t *manifest, const select_settings *settings, const select_outcome *outcome) {
    const select_tally *tally = &outcome->tally;
    json_t *threshold = json_object(), *counts = json_object();
    json_object_set_new(manifest, settings->is_mask ? "mask" : "keep", json_string(select_rule_text(settings)));
    if (settings->from != NULL)
        json_object_set_new(manifest, settings->purpose != NULL ? "for" : "recipe", json_string(settings->from->name));
    json_object_set_new(manifest, "by", json_string(settings->by));
    json_object_set_new(manifest, "level", json_string(settings->level));
    json_object_set_new(manifest, "scope", json_string(settings->scope));
    json_object_set_new(manifest, "emit", json_string(settings->emit));
    set_if(manifest, "weight", settings->weight);
    set_if(manifest, "unique", settings->unique);
    if (settings->n_vocabulary > 0)
        json_object_set_new(manifest, "vocab_size", json_integer(settings->n_vocabulary));
    if (settings->explain)
        json_object_set_new(manifest, "explain", json_true());
    json_object_set_new(manifest, "quantile", json_string(entrol_quantile_method_name(settings->quantiles.method)));
    json_object_set_new(manifest, "nan", json_string(settings->nan));
    json_object_set_new(manifest, "undecided", json_string(settings->undecided));
    json_object_set_new(manifest, "tie_seed", json_integer(settings->tie_seed));
    json_object_set_new(threshold, "low", bound_json(tally->low_least, tally->low_greatest));
    json_object_set_new(threshold, "high", bound_json(tally->high_least, tally->high_greatest));
    json_object_set_new(threshold, "from", json_string(threshold_origin(settings)));
    json_object_set_new(manifest, "threshold", threshold);
    json_object_set_new(counts, "documents", count(outcome->n_documents));
    json_object_set_new(counts, "documents_kept", count(outcome->n_documents_kept));
    json_object_set_new(counts, "valid", count(tally->n_valid));
    json_object_set_new(counts, "kept", count(tally->n_kept));
    json_object_set_new(counts, "ties", count(tally->n_ties));
    json_object_set_new(counts, "missing", count(outcome->counts.n_missing));
    json_object_set_new(counts, "nan", count(outcome->counts.n_nan));
    json_object_set_new(counts, "duplicates", count(outcome->counts.n_duplicates));
    json_object_set_new(counts, "undecided", count(tally->n_undecided));
    json_object_set_new(counts, "untrained", count(outcome->n_untrained));
    json_object_set_new(manifest, "counts", counts);
    if (outcome->n_ranks > 1) {
        json_object_set_new(manifest, "ranks", count(outcome->n_ranks));
        json_object_set_new(manifest, "bytes_exchanged", count(outcome->n_exchanged));
    }
}

static bool add_input(json_t *list, const select_inputs *inputs, int index, trouble *trouble) {
    const char *path = inputs->paths[index];
    bool is_stream = inputs->is_stream[index]; /* is gone */
    trouble->text[0] = '\0';
    json_t *item = json_object(), *beside = is_stream ? NULL : manifest_read(path, trouble);
    json_object_set_new(item, "path", json_string_of(path));
    json_object_set_new(item, "sha256",
                        is_stream ? json_null() : json_stringn((const char *)inputs->hashes[index], 64));
    json_object_set_new(item, "manifest", beside != NULL ? beside : json_null());
    json_array_append_new(list, item);
    return trouble->text[0] == '\0';
}

json_t *select_inputs_json(const select_inputs *inputs, trouble *trouble) {
    json_t *list = json_array();
    for (int i = 0; i < inputs->n; i++)
        if (!add_input(list, inputs, i, trouble)) {
            json_decref(list);
            return NULL;
        }
    return list;
}
