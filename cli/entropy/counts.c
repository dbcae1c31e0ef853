/* Counts, as they are given or as the symbols of a file have them. */
#include "entropy.h"

#include "../input.h"
#include "../number_list.h"
#include "../open_context.h"
#include "../symbols.h"

#include <entrol/entrol.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool measure(const entropy_settings *settings, const char *name, const uint64_t *counts, size_t n_counts,
                    entropy_result *result, trouble *trouble) {
    entrol_estimator estimator = ENTROL_ESTIMATOR_PLUG_IN;
    entrol_context *context = open_context(1, trouble);
    if (context == NULL)
        return false;
    entrol_estimator_parse(&estimator, settings->estimator); /* the options know the names, too */
    entrol_status status = entrol_entropy_of_counts(context, &result->nats, counts, n_counts, estimator);
    entrol_context_destroy(context);
    if (status)
        return trouble_set(trouble, "%s: %s", name, entrol_status_string(status));
    result->n_outcomes = n_counts;
    return !isnan(result->nats) || trouble_set(trouble, "%s: expected a count above 0, found none", name);
}

bool entropy_of_counts(const entropy_settings *settings, const char *name, const char *list, entropy_result *result,
                       trouble *trouble) {
    uint64_t *counts;
    size_t n_counts;
    if (!number_list_counts(name, list, &counts, &n_counts, trouble))
        return false;
    bool ok = measure(settings, name, counts, n_counts, result, trouble);
    free(counts);
    return ok;
}

enum { ALL_BYTES = 256 };

/* Counts of 0 for the bytes that did not occur. */
static bool give_every_byte(symbol_counts *counts) {
    uint64_t *all = calloc(ALL_BYTES, sizeof *all);
    if (!all)
        return false;
    memcpy(all, counts->counts, counts->n_symbols * sizeof *all);
    free(counts->counts);
    counts->counts = all;
    return true;
}

bool entropy_of_file(const entropy_settings *settings, const char *path, entropy_result *result, trouble *trouble) {
    symbol_kind kind = strcmp(settings->of, "bytes") == 0        ? SYMBOL_BYTES
                       : strcmp(settings->of, "characters") == 0 ? SYMBOL_CHARACTERS
                                                                 : SYMBOL_WORDS;
    input *input = input_open(path, trouble);
    symbol_counts counts = {0};
    bool ok = input && symbols_count(&counts, input, kind, trouble);
    if (ok && counts.n_total == 0)
        ok = trouble_set(trouble, "%s: expected %s, found none", input_name(input), settings->of);
    ok = ok && (kind != SYMBOL_BYTES || give_every_byte(&counts) || trouble_set(trouble, "out of memory"));
    ok = ok && measure(settings, input_name(input), counts.counts, kind == SYMBOL_BYTES ? ALL_BYTES : counts.n_symbols,
                       result, trouble);
    result->n_symbols = counts.n_total;
    result->n_distinct = counts.n_symbols;
    if (kind == SYMBOL_BYTES) /* bytes have a known alphabet; of others only what occurred is known */
        result->n_outcomes = ALL_BYTES;
    free(counts.counts);
    input_close(input);
    return ok;
}
