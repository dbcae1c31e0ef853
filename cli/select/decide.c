/* The rule applied to the values of one scope, and what all scopes came to. */
#include "select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_thresholds(select_tally *tally, const entrol_selection *selection) {
    tally->low_least = fmin(tally->low_least, selection->threshold_low);
    tally->low_greatest = fmax(tally->low_greatest, selection->threshold_low);
    tally->high_least = fmin(tally->high_least, selection->threshold_high);
    tally->high_greatest = fmax(tally->high_greatest, selection->threshold_high);
}

bool select_decide(uint8_t *keep, select_tally *tally, entrol_context *context, const select_settings *settings,
                   const select_values *values, trouble *trouble) {
    entrol_selection selection = {0};
    entrol_status status =
        entrol_select(context, keep, &selection, NULL, values->values, values->valid, values->n, &settings->rule, NULL);
    if (status != ENTROL_OK)
        return trouble_set(trouble, "the rule could not be applied: %s", entrol_status_string(status));
    for (size_t i = 0; settings->is_mask && i < values->n; i++)
        keep[i] = values->valid[i] != 0 && keep[i] == 0;
    tally->n_valid += selection.n_valid;
    tally->n_kept += settings->is_mask ? selection.n_valid - selection.n_kept : selection.n_kept;
    tally->n_ties += selection.n_ties;
    if (selection.n_valid > 0) {
        tally->n_scopes++;
        add_thresholds(tally, &selection);
    }
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
    entrol_selection thresholds = {0};
    *decision = (select_decision){.settings = settings, .store = store, .tally = tally};
    decision->memory = malloc(SELECT_BLOCK * (sizeof(float) + 1));
    decision->keep = malloc(SELECT_BLOCK);
    if (decision->memory == NULL || decision->keep == NULL)
        return trouble_set(trouble, "out of memory for the decision");
    block_stream blocks = {store, decision->memory, 0, trouble};
    const entrol_stream stream = {read_block, &blocks};
    entrol_status status = entrol_bounds_of_stream(context, &decision->bounds, NULL, &stream, &settings->rule, NULL);
    if (status != ENTROL_OK) /* of ERROR_READ the reader has said why */
        return status == ENTROL_ERROR_READ
                   ? false
                   : trouble_set(trouble, "the rule could not be applied: %s", entrol_status_string(status));
    thresholds.threshold_low = decision->bounds.low;
    thresholds.threshold_high = decision->bounds.high;
    tally->n_valid += decision->bounds.n_valid;
    if (decision->bounds.n_valid > 0) {
        tally->n_scopes++;
        add_thresholds(tally, &thresholds);
    }
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
    uint64_t n_valid = 0;
    for (size_t i = 0; i < decision->n; i++) {
        n_valid += decision->valid[i] != 0;
        if (decision->settings->is_mask)
            decision->keep[i] = decision->valid[i] != 0 && decision->keep[i] == 0;
    }
    decision->tally->n_kept += decision->settings->is_mask ? n_valid - selection.n_kept : selection.n_kept;
    decision->tally->n_ties += selection.n_ties;
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
