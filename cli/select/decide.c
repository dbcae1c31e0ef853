/* The rule applied to the values of one scope, and what all scopes came to. */
#include "select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_scope(select_tally *tally, double low, double high, uint64_t n_valid) {
    if (n_valid == 0)
        return;
    tally->n_scopes++;
    tally->n_valid += n_valid;
    tally->low_least = fmin(tally->low_least, low);
    tally->low_greatest = fmax(tally->low_greatest, low);
    tally->high_least = fmin(tally->high_least, high);
    tally->high_greatest = fmax(tally->high_greatest, high);
}

/* With --mask, what the rule names is turned round among what is valid. */
static void take_decisions(select_tally *tally, uint8_t *keep, const select_settings *settings, const uint8_t *valid,
                           size_t n, const entrol_selection *selection) {
    uint64_t n_kept = settings->is_mask ? 0 : selection->n_kept;
    for (size_t i = 0; settings->is_mask && i < n; i++) {
        keep[i] = valid[i] != 0 && keep[i] == 0;
        n_kept += keep[i];
    }
    tally->n_kept += n_kept;
    tally->n_ties += selection->n_ties;
}

static bool report(entrol_status status, trouble *trouble) {
    return trouble_set(trouble, "the rule could not be applied: %s", entrol_status_string(status));
}

bool select_decide(uint8_t *keep, select_tally *tally, entrol_context *context, const select_settings *settings,
                   const select_values *values, trouble *trouble) {
    entrol_selection selection = {0};
    entrol_status status =
        entrol_select(context, keep, &selection, NULL, values->values, values->valid, values->n, &settings->rule, NULL);
    if (status != ENTROL_OK)
        return report(status, trouble);
    add_scope(tally, selection.threshold_low, selection.threshold_high, selection.n_valid);
    take_decisions(tally, keep, settings, values->valid, values->n, &selection);
    return true;
}

/* --- Of values that may be spooled --- */

/* What entrol_bounds_of_stream reads. */
typedef struct block_stream {
    const select_values *store;
    void *memory;
    uint64_t next;
    trouble *trouble;
} block_stream;

static int read_block(void *user, const float **values, const uint8_t **valid, size_t *n) {
    block_stream *stream = user;
    if (!select_values_block(stream->store, stream->next++, stream->memory, values, valid, n, stream->trouble))
        return 1;
    if (*n == 0)
        stream->next = 0;
    return 0;
}

bool select_decision_begin(select_decision *decision, select_tally *tally, entrol_context *context,
                           const select_settings *settings, const select_values *store, trouble *trouble) {
    *decision = (select_decision){.settings = settings, .store = store, .tally = tally};
    decision->memory = malloc(SELECT_BLOCK_BYTES);
    decision->keep = malloc(SELECT_BLOCK);
    if (decision->memory == NULL || decision->keep == NULL)
        return trouble_set(trouble, "out of memory for the decision");
    block_stream blocks = {store, decision->memory, 0, trouble};
    const entrol_stream stream = {read_block, &blocks};
    entrol_bounds *bounds = &decision->bounds;
    entrol_status status = entrol_bounds_of_stream(context, bounds, NULL, &stream, &settings->rule, NULL);
    if (status != ENTROL_OK) /* of ERROR_READ the reader has said why */
        return status != ENTROL_ERROR_READ && report(status, trouble);
    add_scope(tally, bounds->low, bounds->high, bounds->n_valid);
    return true;
}

/* Decides on the next block; n is 0 after the last. */
static bool load_block(select_decision *decision, trouble *trouble) {
    const float *values;
    entrol_selection selection = {0};
    if (!select_values_block(decision->store, decision->next_block++, decision->memory, &values, &decision->valid,
                             &decision->n, trouble))
        return false;
    decision->at = 0;
    if (decision->n == 0)
        return true;
    entrol_apply_bounds(&decision->bounds, decision->keep, &selection, values, decision->valid, decision->n);
    take_decisions(decision->tally, decision->keep, decision->settings, decision->valid, decision->n, &selection);
    return true;
}

static bool make_room(select_decision *decision, size_t n, trouble *trouble) {
    if (n <= decision->told_capacity)
        return true;
    uint8_t *told = realloc(decision->told, n);
    if (told != NULL)
        decision->told = told;
    uint8_t *valid = realloc(decision->told_valid, n);
    if (valid != NULL)
        decision->told_valid = valid;
    if (told == NULL || valid == NULL)
        return trouble_set(trouble, "out of memory for the decision on %zu values", n);
    decision->told_capacity = n;
    return true;
}

bool select_decision_next(select_decision *decision, size_t n, const uint8_t **keep, const uint8_t **valid, bool *found,
                          trouble *trouble) {
    size_t done = 0;
    if (!make_room(decision, n + 1, trouble))
        return false;
    while (done < n) {
        if (decision->at == decision->n && !load_block(decision, trouble))
            return false;
        const size_t left = decision->n - decision->at, part = left < n - done ? left : n - done;
        if (part == 0)
            break;
        memcpy(decision->told + done, decision->keep + decision->at, part);
        memcpy(decision->told_valid + done, decision->valid + decision->at, part);
        decision->at += part;
        done += part;
    }
    *keep = decision->told;
    *valid = decision->told_valid;
    *found = done == n;
    return true;
}

void select_decision_end(select_decision *decision) {
    free(decision->memory);
    free(decision->keep);
    free(decision->told);
    free(decision->told_valid);
    *decision = (select_decision){0};
}
