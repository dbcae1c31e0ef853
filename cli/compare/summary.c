/* How a comparison went: on standard error, and in the manifest. */
#include "compare.h"

#include "../formats/manifest.h"
#include "../json_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The standard error of a mean; NaN of fewer than two values. */
static double error_of(const compare_mean *mean) {
    return mean->n > 1 ? sqrt(mean->m2 / (double)mean->n / (double)(mean->n - 1)) : (double)NAN;
}

static double value_of(const compare_mean *mean) {
    return mean->n_infinite > 0 ? (double)INFINITY : compare_mean_value(mean);
}

/* --- On standard error --- */

static void print_path(const char *path) {
    char name[1024];
    message_escape(name, sizeof(name), path, strlen(path));
    fputs(name, stderr);
}

/* A model's own line: its mean entropy, and its perplexity where the tokens that came are known. */
static void print_own(const char *label, const char *path, const compare_mean *entropy, const compare_mean *surprisal,
                      double scale, const char *unit) {
    fprintf(stderr, "%-12s", label);
    print_path(path);
    fprintf(stderr, ": entropy %.4f %s", value_of(entropy) * scale, unit);
    if (surprisal->n_infinite > 0)
        fprintf(stderr, ", perplexity infinite (%" PRIu64 " tokens have probability 0)", surprisal->n_infinite);
    else if (surprisal->n > 0)
        fprintf(stderr, ", perplexity %.4f", exp(value_of(surprisal)));
    fputc('\n', stderr);
}

static void print_divergence(const char *label, const compare_mean *mean, double scale, const char *unit) {
    if (mean->n_infinite > 0)
        fprintf(stderr, "%-12sinfinite at %" PRIu64 " of %" PRIu64 " tokens; the mean of the others %.6f %s\n", label,
                mean->n_infinite, mean->n_infinite + mean->n, compare_mean_value(mean) * scale, unit);
    else if (mean->n > 0)
        fprintf(stderr, "%-12s%.6f +/- %.6f %s\n", label, compare_mean_value(mean) * scale, error_of(mean) * scale,
                unit);
}

static void print_share(const char *label, const compare_mean *mean, const char *what) {
    if (mean->n > 0)
        fprintf(stderr, "%-12s%.2f %% of tokens: %s\n", label, 100 * compare_mean_value(mean), what);
}

static void print_bad(const compare_reference *reference) {
    char first[4 * sizeof(reference->first_bad)];
    if (reference->n_bad == 0)
        return;
    message_escape(first, sizeof(first), reference->first_bad, strlen(reference->first_bad));
    fprintf(stderr, "%-12s%" PRIu64 " of ", "bad rows", reference->n_bad);
    print_path(reference->path);
    fprintf(stderr, "; the first: %s\n", first);
}

/* The operand that is compared: the model, or the first file of logits. */
static const char *path_of_first(const comparison *comparison) {
    return comparison->kind == COMPARE_MODELS ? comparison->run.settings.model
                                              : score_input_name(comparison->run.inputs[0]);
}

void compare_print(void *user, const char *unit) {
    const comparison *comparison = user;
    const compare_mean *values = comparison->totals.values;
    const double scale = strcmp(unit, "bits") == 0 ? 1 / log(2) : 1;
    if (values[COMPARE_ENTROPY].n > 0)
        print_own("model", path_of_first(comparison), &values[COMPARE_ENTROPY], &values[COMPARE_SURPRISAL], scale,
                  unit);
    if (values[COMPARE_REFERENCE_ENTROPY].n > 0)
        print_own("reference", comparison->references->path, &values[COMPARE_REFERENCE_ENTROPY],
                  &values[COMPARE_REFERENCE_SURPRISAL], scale, unit);
    print_divergence("KL(m||r)", &values[COMPARE_KL_PQ], scale, unit);
    print_divergence("KL(r||m)", &values[COMPARE_KL_QP], scale, unit);
    print_divergence("JSD", &values[COMPARE_JSD], scale, unit);
    print_share("agreement", &values[COMPARE_AGREE], "both have the same most probable one");
    print_share("better", &values[COMPARE_BETTER], "more probable under the model than under its reference");
    if (comparison->n_references > 1) {
        print_divergence("mean of all", &values[COMPARE_MEAN_ENTROPY], scale, unit);
        print_divergence("BALD", &values[COMPARE_BALD], scale, unit);
    }
    for (size_t i = 0; i < comparison->n_references; i++)
        print_bad(&comparison->references[i]);
}

/* --- In the manifest --- */

static json_t *json_of_mean(const compare_mean *mean) {
    return mean->n + mean->n_infinite > 0 ? json_of_real(value_of(mean)) : json_null();
}

static json_t *totals_json(const compare_totals *totals) {
    static const struct {
        const char *name;
        compare_value value;
        bool has_error;
    } members[] = {
        {"entropy_mean", COMPARE_ENTROPY, false},
        {"reference_entropy_mean", COMPARE_REFERENCE_ENTROPY, false},
        {"surprisal_mean", COMPARE_SURPRISAL, false},
        {"reference_surprisal_mean", COMPARE_REFERENCE_SURPRISAL, false},
        {"kl_pq_mean", COMPARE_KL_PQ, true},
        {"kl_qp_mean", COMPARE_KL_QP, true},
        {"jsd_mean", COMPARE_JSD, true},
        {"agree_share", COMPARE_AGREE, false},
        {"better_share", COMPARE_BETTER, false},
        {"mean_entropy_mean", COMPARE_MEAN_ENTROPY, false},
        {"bald_mean", COMPARE_BALD, false},
    };
    json_t *json = json_object();
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const compare_mean *mean = &totals->values[members[i].value];
        char error[32];
        json_object_set_new(json, members[i].name, json_of_mean(mean));
        snprintf(error, sizeof(error), "%s_error", members[i].name);
        if (members[i].has_error)
            json_object_set_new(json, error, mean->n > 1 ? json_of_real(error_of(mean)) : json_null());
    }
    return json;
}

static json_t *reference_json(const compare_reference *reference, trouble *trouble) {
    json_t *json = json_object();
    json_object_set_new(json, "path", json_string_of(reference->path));
    json_object_set_new(json, "bad_rows", json_integer((json_int_t)reference->n_bad));
    if (reference->scorer == NULL)
        return json;
    char hex[65];
    if (!manifest_hash_file(hex, reference->path, trouble)) {
        json_decref(json);
        return NULL;
    }
    json_object_set_new(json, "sha256", json_string(hex));
    json_object_set_new(json, "description", json_string(scorer_describe(reference->scorer).description));
    return json;
}

bool compare_describe(void *user, json_t *manifest, trouble *trouble) {
    const comparison *comparison = user;
    json_t *references = json_array();
    for (size_t i = 0; i < comparison->n_references; i++) {
        json_t *reference = reference_json(&comparison->references[i], trouble);
        if (reference == NULL) {
            json_decref(references);
            return false;
        }
        json_array_append_new(references, reference);
    }
    json_object_set_new(manifest, "references", references);
    json_object_set_new(manifest, "comparison", totals_json(&comparison->totals));
    if (comparison->run.scorer != NULL)
        compare_describe_models(comparison, manifest);
    return true;
}
