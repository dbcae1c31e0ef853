/* Totals over tokens, and the closing summary on standard error.
 *
 * Sums are exact (entrol_sum), so an interrupted and resumed run has the same totals as an undisturbed one. */
#include "score.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_value(const column *column, size_t row) {
    return column->is_present && column->valid[row] != 0;
}

static void add_value(entrol_sum *sum, const column *column, size_t row) {
    if (has_value(column, row))
        entrol_sum_add(sum, (double)column->reals[row]);
}

score_totals score_totals_of(const document *document, const entrol_diagnosis *bad) {
    const column *entropy = &document->columns[COLUMN_ENTROPY], *logprob = &document->columns[COLUMN_LOGPROB];
    const column *start = &document->columns[COLUMN_BYTE_START], *end = &document->columns[COLUMN_BYTE_END];
    score_totals totals = {.n_tokens = document->n_tokens, .n_bad = bad != NULL ? bad->n_bad : 0};
    for (size_t row = 0; row < document->n_tokens; row++) {
        if (has_value(entropy, row) && isfinite(entropy->reals[row]))
            entrol_sum_add(&totals.entropy, (double)entropy->reals[row]);
        add_value(&totals.lower, &document->columns[COLUMN_ENTROPY_LOWER], row);
        add_value(&totals.upper, &document->columns[COLUMN_ENTROPY_UPPER], row);
        if (document->columns[COLUMN_ENTROPY_LOWER].is_present)
            add_value(&totals.tail_mass, &document->columns[COLUMN_TAIL_MASS], row);
        if (!has_value(logprob, row) || isnan(logprob->reals[row]))
            continue;
        entrol_sum_add(&totals.surprisal, -(double)logprob->reals[row]);
        if (start->is_present && end->is_present)
            totals.n_bytes += (uint64_t)(end->integers[row] - start->integers[row]);
    }
    return totals;
}

void score_totals_merge(score_totals *totals, const score_totals *other) {
    totals->n_tokens += other->n_tokens;
    totals->n_bad += other->n_bad;
    totals->n_bytes += other->n_bytes;
    entrol_sum_merge(&totals->entropy, &other->entropy);
    entrol_sum_merge(&totals->surprisal, &other->surprisal);
    entrol_sum_merge(&totals->lower, &other->lower);
    entrol_sum_merge(&totals->upper, &other->upper);
    entrol_sum_merge(&totals->tail_mass, &other->tail_mass);
}

bool score_entropies(const document *document, float **entropies, size_t *n_entropies) {
    const column *entropy = &document->columns[COLUMN_ENTROPY];
    *n_entropies = 0;
    *entropies = malloc((document->n_tokens + 1) * sizeof(**entropies));
    if (*entropies == NULL)
        return false;
    for (size_t row = 0; row < document->n_tokens; row++)
        if (has_value(entropy, row) && isfinite(entropy->reals[row]))
            (*entropies)[(*n_entropies)++] = entropy->reals[row];
    return true;
}

bool score_summary_add(score_summary *summary, const score_totals *totals, const float *entropies, size_t n_entropies) {
    score_totals_merge(&summary->totals, totals);
    summary->n_documents++;
    summary->n_empty += totals->n_tokens == 0;
    if (summary->n_entropies + n_entropies > summary->capacity) {
        size_t capacity = 2 * summary->capacity + n_entropies + 1024;
        float *larger = realloc(summary->entropies, capacity * sizeof(*larger));
        if (larger == NULL)
            return false;
        summary->entropies = larger;
        summary->capacity = capacity;
    }
    if (n_entropies > 0)
        memcpy(summary->entropies + summary->n_entropies, entropies, n_entropies * sizeof(*entropies));
    summary->n_entropies += n_entropies;
    return true;
}

void score_note_replaced(score_summary *summary, const char *where, const json_t *line, const document *result) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)line, key, value) {
        json_t *written = json_object_get(result->fields, key);
        if (json_is_null(value) || (json_equal(written, value) && record_keeps_field(result, key, value)))
            continue;
        if (summary->n_replaced++ == 0)
            snprintf(summary->first_replaced, sizeof(summary->first_replaced), "%s, \"%s\"", where, key);
        return;
    }
}

void score_warn_replaced(const score_summary *summary) {
    if (summary->n_replaced > 0)
        message_warning("%" PRIu64 " of %" PRIu64
                        " documents lost a field whose name is a column's or that of another part of the records; the "
                        "first: %s",
                        summary->n_replaced, summary->n_documents, summary->first_replaced);
}

void score_merge_diagnosis(entrol_diagnosis *all, const entrol_diagnosis *block, size_t first_row) {
    size_t n_bad = all->n_bad + block->n_bad;
    if (all->n_bad == 0 && block->n_bad > 0) {
        *all = *block;
        all->first_row += first_row;
    }
    all->n_bad = n_bad;
}

void score_describe_bad_row(char *text, size_t size, const char *where, const char *row_word,
                            const entrol_diagnosis *diagnosis) {
    const char *reason = entrol_reason_string(diagnosis->reason);
    if (diagnosis->reason == ENTROL_REASON_EMPTY_SUPPORT || diagnosis->reason == ENTROL_REASON_TARGET)
        snprintf(text, size, "%s, %s %zu: %s", where, row_word, diagnosis->first_row, reason);
    else
        snprintf(text, size, "%s, %s %zu, column %zu: %s", where, row_word, diagnosis->first_row,
                 diagnosis->first_column, reason);
}

void score_summary_bad_row(score_summary *summary, const char *where, const char *row_word,
                           const entrol_diagnosis *diagnosis) {
    if (diagnosis->n_bad > 0 && summary->first_bad[0] == '\0')
        score_describe_bad_row(summary->first_bad, sizeof(summary->first_bad), where, row_word, diagnosis);
}

static void print_entropy(const score_summary *summary, entrol_context *context, const char *unit) {
    if (summary->totals.entropy.n == 0)
        return;
    double scale = strcmp(unit, "bits") == 0 ? 1 / log(2) : 1;
    const double shares[2] = {0.5, 0.95};
    double quantiles[2] = {NAN, NAN};
    entrol_quantile(context, quantiles, NULL, summary->entropies, NULL, summary->n_entropies, shares, 2, NULL);
    double mean = entrol_sum_value(&summary->totals.entropy) / (double)summary->totals.entropy.n;
    fprintf(stderr, "entropy     mean %.4f  median %.4f  p95 %.4f  %s\n", mean * scale, quantiles[0] * scale,
            quantiles[1] * scale, unit);
}

/* Of recorded log-probabilities: the mean bounds, and how many of the tokens have any. */
static void print_bounds(const score_summary *summary, const char *unit) {
    const score_totals *totals = &summary->totals;
    uint64_t n = totals->lower.n, n_open = totals->upper.n_bad;
    if (n == 0)
        return;
    double scale = strcmp(unit, "bits") == 0 ? 1 / log(2) : 1, share = (double)n / (double)totals->n_tokens;
    fprintf(stderr, "entropy     mean from %.4f to ", entrol_sum_value(&totals->lower) / (double)n * scale);
    if (n_open == 0)
        fprintf(stderr, "%.4f", entrol_sum_value(&totals->upper) / (double)n * scale);
    else
        fputs("infinity", stderr);
    fprintf(stderr, "  %s, by the bounds of %" PRIu64 " tokens (%.1f %%)\n", unit, n, 100 * share);
    fprintf(stderr, "tail mass   mean %.4f, of tokens that were not recorded\n",
            entrol_sum_value(&totals->tail_mass) / (double)n);
    if (n_open > 0)
        fprintf(stderr,
                "            %" PRIu64 " of the upper bounds are infinite: --vocab-size N (tokens in the model's "
                "vocabulary) makes them finite\n",
                n_open);
}

static void print_surprisal(const score_summary *summary) {
    const entrol_sum *surprisal = &summary->totals.surprisal;
    if (surprisal->n_bad > 0) {
        fprintf(stderr, "perplexity  infinite: %" PRIu64 " tokens have probability 0\n", surprisal->n_bad);
        return;
    }
    if (surprisal->n == 0)
        return;
    double total = entrol_sum_value(surprisal);
    fprintf(stderr, "perplexity  %.4f", exp(total / (double)surprisal->n));
    if (summary->totals.n_bytes > 0)
        fprintf(stderr, "  bits per byte %.4f", total / log(2) / (double)summary->totals.n_bytes);
    fputc('\n', stderr);
}

static void print_bad(const score_summary *summary) {
    char first[4 * sizeof(summary->first_bad)]; /* a byte becomes \xNN */
    message_escape(first, sizeof(first), summary->first_bad, strlen(summary->first_bad));
    fprintf(stderr, "bad rows    %" PRIu64 "; the first: %s\n", summary->totals.n_bad,
            first[0] != '\0' ? first : "in a document scored before the interruption");
}

void score_summary_print(const score_summary *summary, entrol_context *context, const char *unit,
                         const score_companion *companion) {
    fprintf(stderr, "documents   %" PRIu64, summary->n_documents);
    if (summary->n_resumed > 0)
        fprintf(stderr, "  (%" PRIu64 " of them were done before)", summary->n_resumed);
    fprintf(stderr, "\ntokens      %" PRIu64, summary->totals.n_tokens);
    if (summary->seconds > 0 && summary->n_tokens_now > 0)
        fprintf(stderr, "  (%.1f tokens/s)", (double)summary->n_tokens_now / summary->seconds);
    fputc('\n', stderr);
    if (companion != NULL) {
        companion->print(companion->user, unit);
    } else {
        print_entropy(summary, context, unit);
        print_bounds(summary, unit);
        print_surprisal(summary);
    }
    if (summary->totals.n_bad > 0)
        print_bad(summary);
    if (summary->n_skipped > 0)
        fprintf(stderr, "skipped     %" PRIu64 " bad line%s\n", summary->n_skipped, summary->n_skipped == 1 ? "" : "s");
}

void score_summary_free(score_summary *summary) {
    free(summary->entropies);
    *summary = (score_summary){0};
}
