/* A selection by several ranks: each reads a run of the files, in the order of the command line, so that the ranks'
 * values one after the other are those of one process. They add up counts, of values as of what was done. */
#include "select.h"

#include "../ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- The inputs --- */

static bool refuse(const char *flag, const char *value, trouble *trouble) {
    return trouble_set(trouble, "%s%s: one process alone can do that, and %zu were started together", flag, value,
                       ranks_size());
}

static bool check_flags(const select_settings *settings, const select_inputs *inputs, trouble *trouble) {
    const size_t n_references = settings->references.n_items;
    if (settings->group != NULL)
        return refuse("--scope ", settings->scope, trouble);
    if (settings->unique != NULL)
        return refuse("--unique ", settings->unique, trouble);
    if (container_is_path(settings->output_path))
        return refuse("-o ", settings->output_path, trouble);
    if (n_references == 0 || n_references == (size_t)inputs->n)
        return true;
    return trouble_set(trouble,
                       "--reference: %zu processes share the files, so that each needs its own reference: expected %d, "
                       "found %zu",
                       ranks_size(), inputs->n, n_references);
}

/* The rank of a file is that of its middle, of all bytes. One more byte each: there may be files without any. */
static void split_files(uint64_t *n_files, const select_inputs *inputs) {
    double all = 0, before = 0;
    for (int i = 0; i < inputs->n; i++)
        all += (double)inputs->n_bytes[i] + 1;
    for (int i = 0; i < inputs->n; i++) {
        const double own = (double)inputs->n_bytes[i] + 1;
        const size_t rank = (size_t)((before + own / 2) / all * (double)ranks_size());
        n_files[rank < ranks_size() ? rank : ranks_size() - 1]++;
        before += own;
    }
}

static void take_part(select_settings *own, select_inputs *inputs, const uint64_t *n_files) {
    string_list *references = &own->references;
    inputs->first = 0;
    for (size_t i = 0; i < ranks_rank(); i++)
        inputs->first += (int)n_files[i];
    inputs->end = inputs->first + (int)n_files[ranks_rank()];
    if (references->n_items == 0)
        return;
    references->n_items = (size_t)(inputs->end - inputs->first);
    memmove(references->items, references->items + inputs->first, references->n_items * sizeof(*references->items));
}

/* As rank 0 sees the files: they may be growing. */
bool select_share(select_settings *own, select_inputs *inputs, trouble *trouble) {
    if (ranks_size() == 1)
        return true;
    uint64_t *n_files = calloc(ranks_size(), sizeof(*n_files));
    bool ok = (n_files != NULL || trouble_set(trouble, "out of memory")) && check_flags(own, inputs, trouble);
    ok = ranks_agree(ok, trouble);
    if (ok && ranks_rank() == 0)
        split_files(n_files, inputs);
    ok = ok && ranks_add_up(n_files, ranks_size(), trouble);
    if (ok)
        take_part(own, inputs, n_files);
    free(n_files);
    return ok;
}

/* --- The values --- */

bool select_share_scope(select_scope *scope, trouble *trouble) {
    uint64_t n_upper = scope->has_upper;
    return ranks_add_up(&n_upper, 1, trouble) &&
           ranks_agree(n_upper == 0 || select_scope_add_upper(scope, trouble), trouble);
}

/* --- The outcome --- */

enum { N_SUMS = 12, N_ENDS = 4, N_NUMBERS = N_SUMS + N_ENDS };

static void write_numbers(uint64_t numbers[N_NUMBERS], const select_outcome *outcome) {
    const select_tally *tally = &outcome->tally;
    const select_counts *counts = &outcome->counts;
    const uint64_t sums[N_SUMS] = {
        tally->n_scopes,      tally->n_valid,     tally->n_kept,        tally->n_ties,        tally->n_undecided,
        counts->n_missing,    counts->n_nan,      counts->n_duplicates, outcome->n_documents, outcome->n_documents_kept,
        outcome->n_untrained, outcome->n_infinite};
    const double ends[N_ENDS] = {tally->low_least, tally->low_greatest, tally->high_least, tally->high_greatest};
    memcpy(numbers, sums, sizeof(sums));
    memcpy(numbers + N_SUMS, ends, sizeof(ends));
}

static void add_numbers(select_outcome *outcome, const uint64_t numbers[N_NUMBERS]) {
    select_tally *tally = &outcome->tally;
    select_counts *counts = &outcome->counts;
    uint64_t *const sums[N_SUMS] = {&tally->n_scopes,      &tally->n_valid,
                                    &tally->n_kept,        &tally->n_ties,
                                    &tally->n_undecided,   &counts->n_missing,
                                    &counts->n_nan,        &counts->n_duplicates,
                                    &outcome->n_documents, &outcome->n_documents_kept,
                                    &outcome->n_untrained, &outcome->n_infinite};
    double ends[N_ENDS];
    for (size_t i = 0; i < N_SUMS; i++)
        *sums[i] += numbers[i];
    memcpy(ends, numbers + N_SUMS, sizeof(ends));
    tally->low_least = fmin(tally->low_least, ends[0]);
    tally->low_greatest = fmax(tally->low_greatest, ends[1]);
    tally->high_least = fmin(tally->high_least, ends[2]);
    tally->high_greatest = fmax(tally->high_greatest, ends[3]);
}

/* The place of the first NaN is that of the first rank that has one. */
static bool share_first_nan(select_counts *counts, const uint64_t *of, trouble *trouble) {
    enum { N_WORDS = sizeof(counts->first_nan) / sizeof(uint64_t), N_NAN = 6 };
    uint64_t text[N_WORDS] = {0};
    size_t rank = 0;
    while (rank < ranks_size() && of[rank * N_NUMBERS + N_NAN] == 0)
        rank++;
    if (rank == ranks_size())
        return true;
    if (rank == ranks_rank())
        memcpy(text, counts->first_nan, sizeof(text));
    const bool ok = ranks_add_up(text, N_WORDS, trouble);
    memcpy(counts->first_nan, text, sizeof(text));
    return ok;
}

/* A scope that ranks share is one, and its values have been counted together. */
bool select_share_outcome(select_outcome *outcome, const select_settings *settings, trouble *trouble) {
    if (ranks_size() == 1)
        return true;
    const select_tally shared = outcome->tally;
    uint64_t own[N_NUMBERS], *of = malloc(ranks_size() * sizeof(own));
    bool ok = ranks_agree(of != NULL || trouble_set(trouble, "out of memory"), trouble);
    write_numbers(own, outcome);
    ok = ok && ranks_tell(of, own, N_NUMBERS, trouble) && share_first_nan(&outcome->counts, of, trouble);
    for (size_t rank = 0; ok && rank < ranks_size(); rank++)
        if (rank != ranks_rank())
            add_numbers(outcome, of + rank * N_NUMBERS);
    if (!settings->each_document) {
        outcome->tally.n_scopes = shared.n_scopes;
        outcome->tally.n_valid = shared.n_valid;
    }
    free(of);
    return ok;
}
