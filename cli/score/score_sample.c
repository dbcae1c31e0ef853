/* --level sample: one number a document instead of one a token, under the names that select --level sample knows. */
#include "score.h"

#include "../json_text.h"

#include <math.h>

static bool set_real(json_t *fields, const char *name, double value, bool exists) {
    return json_object_set_new(fields, name, exists ? json_of_real(value) : json_null()) == 0;
}

/* Over the tokens that have a distribution. A row in trouble makes them all NaN: a document is not better for that. */
static bool set_entropy(entrol_context *context, document *document, const score_totals *totals) {
    const column *entropy = &document->columns[COLUMN_ENTROPY];
    if (!entropy->is_present)
        return true;
    const double shares[3] = {0.5, 0.9, 1};
    double quantiles[3] = {NAN, NAN, NAN};
    bool exists = false, is_nan = false;
    for (size_t row = 0; row < document->n_tokens; row++) {
        exists = exists || entropy->valid[row] != 0;
        is_nan = is_nan || (entropy->valid[row] != 0 && isnan(entropy->reals[row]));
    }
    if (exists && !is_nan)
        entrol_quantile(context, quantiles, NULL, entropy->reals, entropy->valid, document->n_tokens, shares, 3, NULL);
    double mean = is_nan ? NAN : entrol_sum_value(&totals->entropy) / (double)totals->entropy.n;
    json_t *fields = document->fields;
    return set_real(fields, "entropy_mean", mean, exists) && set_real(fields, "entropy_median", quantiles[0], exists) &&
           set_real(fields, "entropy_p90", quantiles[1], exists) &&
           set_real(fields, "entropy_max", quantiles[2], exists);
}

static double mean_of(const entrol_sum *sum) {
    return sum->n_bad > 0 ? (double)INFINITY : entrol_sum_value(sum) / (double)sum->n;
}

/* The mean entropy lies between the means of its bounds. */
static bool set_bounds(document *document, const score_totals *totals) {
    json_t *fields = document->fields;
    bool exists = totals->lower.n > 0;
    return !score_is_bounded(document) || (set_real(fields, "entropy_lower_mean", mean_of(&totals->lower), exists) &&
                                           set_real(fields, "entropy_upper_mean", mean_of(&totals->upper), exists) &&
                                           set_real(fields, "tail_mass_mean", mean_of(&totals->tail_mass), exists));
}

static bool set_surprisal(document *document, const score_totals *totals) {
    const column *logprob = &document->columns[COLUMN_LOGPROB];
    if (!logprob->is_present)
        return true;
    bool exists = false, is_nan = false;
    for (size_t row = 0; row < document->n_tokens; row++) {
        exists = exists || logprob->valid[row] != 0;
        is_nan = is_nan || (logprob->valid[row] != 0 && isnan(logprob->reals[row]));
    }
    double mean = entrol_sum_value(&totals->surprisal) / (double)totals->surprisal.n;
    if (totals->surprisal.n_bad > 0)
        mean = INFINITY;
    if (is_nan)
        mean = NAN;
    return set_real(document->fields, "surprisal_mean", mean, exists) &&
           set_real(document->fields, "perplexity", exp(mean), exists);
}

bool score_sample_fields(entrol_context *context, document *document, const score_totals *totals, trouble *trouble) {
    if (json_object_set_new(document->fields, "n_tokens", json_integer((json_int_t)document->n_tokens)) != 0 ||
        !set_entropy(context, document, totals) || !set_bounds(document, totals) || !set_surprisal(document, totals))
        return trouble_set(trouble, "out of memory");
    return true;
}
