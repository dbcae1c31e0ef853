/* Means over the tokens of a document, and of all. */
#include "compare.h"

#include "../json_text.h"

#include <math.h>

/* Which column a value is, and with which sign; and the field that a document has of its mean. */
static const struct {
    column_id column;
    int sign;
    const char *field;
} values[COMPARE_VALUES] = {
    [COMPARE_ENTROPY] = {COLUMN_ENTROPY, 1, "entropy_mean"},
    [COMPARE_REFERENCE_ENTROPY] = {COLUMN_REFERENCE_ENTROPY, 1, "reference_entropy_mean"},
    [COMPARE_KL_PQ] = {COLUMN_KL_PQ, 1, "kl_pq_mean"},
    [COMPARE_KL_QP] = {COLUMN_KL_QP, 1, "kl_qp_mean"},
    [COMPARE_JSD] = {COLUMN_JSD, 1, "jsd_mean"},
    [COMPARE_AGREE] = {COLUMN_AGREE, 1, "agree_share"},
    [COMPARE_SURPRISAL] = {COLUMN_LOGPROB, -1, "surprisal_mean"},
    [COMPARE_REFERENCE_SURPRISAL] = {COLUMN_REFERENCE_LOGPROB, -1, "reference_surprisal_mean"},
    [COMPARE_MEAN_ENTROPY] = {COLUMN_MEAN_ENTROPY, 1, "mean_entropy_mean"},
    [COMPARE_BALD] = {COLUMN_BALD, 1, "bald_mean"},
    [COMPARE_BETTER] = {COLUMN_COUNT, 1, NULL},
};

static void add(compare_mean *mean, double value) {
    mean->n_nan += isnan(value) != 0;
    mean->n_infinite += isinf(value) != 0;
    if (!isfinite(value))
        return;
    const double apart = value - mean->so_far;
    mean->n++;
    mean->sum += value;
    mean->so_far += apart / (double)mean->n;
    mean->m2 += apart * (value - mean->so_far);
}

double compare_mean_value(const compare_mean *mean) {
    return mean->n > 0 ? mean->sum / (double)mean->n : (double)NAN;
}

static void add_column(compare_mean *mean, const column *column, int sign, size_t n_tokens) {
    for (size_t i = 0; column->is_present && i < n_tokens; i++)
        if (column->valid[i] != 0)
            add(mean, sign * (column->reals != NULL ? (double)column->reals[i] : (double)column->integers[i]));
}

static void add_better(compare_mean *mean, const document *document) {
    const column *ours = &document->columns[COLUMN_LOGPROB], *theirs = &document->columns[COLUMN_REFERENCE_LOGPROB];
    for (size_t i = 0; ours->is_present && theirs->is_present && i < document->n_tokens; i++)
        if (ours->valid[i] != 0 && theirs->valid[i] != 0 && !isnan(ours->reals[i]) && !isnan(theirs->reals[i]))
            add(mean, ours->reals[i] > theirs->reals[i]);
}

void compare_totals_add(compare_totals *totals, const document *document) {
    for (int i = 0; i < COMPARE_VALUES; i++)
        if (values[i].column < COLUMN_COUNT)
            add_column(&totals->values[i], &document->columns[values[i].column], values[i].sign, document->n_tokens);
    add_better(&totals->values[COMPARE_BETTER], document);
}

/* A row in trouble makes the document's mean NaN, as score does: a document is not better for that. */
static json_t *mean_of(const compare_mean *mean) {
    if (mean->n_nan > 0)
        return json_of_real(NAN);
    if (mean->n_infinite > 0)
        return json_of_real(INFINITY);
    return mean->n > 0 ? json_of_real(compare_mean_value(mean)) : json_null();
}

bool compare_sample_fields(document *document, trouble *trouble) {
    compare_totals totals = {0};
    compare_totals_add(&totals, document);
    bool ok = json_object_set_new(document->fields, "n_tokens", json_integer((json_int_t)document->n_tokens)) == 0;
    for (int i = 0; ok && i < COMPARE_VALUES; i++)
        if (values[i].field != NULL && document->columns[values[i].column].is_present)
            ok = json_object_set_new(document->fields, values[i].field, mean_of(&totals.values[i])) == 0;
    return ok || trouble_set(trouble, "out of memory");
}
