/* The rule applied to the values of one scope, and what all scopes came to. */
#include "select.h"

#include <math.h>

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
