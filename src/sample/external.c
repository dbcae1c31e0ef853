/* Rules of somebody else's: candidates laid out for them, and looked at again. */
#include "drawing.h"

#include <math.h>
#include <stdlib.h>

typedef struct pair {
    int32_t token;
    float z;
} pair;

static int compare_pairs(const void *a, const void *b) {
    const int32_t first = ((const pair *)a)->token, second = ((const pair *)b)->token;
    return (first > second) - (first < second);
}

/* What a rule left in another order; pairs are as large as items at most. */
static void sort_tokens(const ent_workspace *workspace, size_t n) {
    pair *pairs = (pair *)(void *)workspace->items;
    for (size_t i = 0; i < n; i++)
        pairs[i] = (pair){workspace->tokens[i], workspace->z[i]};
    qsort(pairs, n, sizeof *pairs, compare_pairs);
    for (size_t i = 0; i < n; i++) {
        workspace->tokens[i] = pairs[i].token;
        workspace->z[i] = pairs[i].z;
    }
}

/* Candidates as an external rule sees them: in the workspace, divided by the temperature. */
static void lay_out(ent_candidates *candidates) {
    const ent_workspace *workspace = candidates->workspace;
    const int is_tempered = candidates->temperature != 1;
    ent_candidates_compact(candidates, -INFINITY, NULL, NULL);
    for (size_t i = 0; is_tempered && i < candidates->n; i++)
        workspace->z[i] = (float)((double)workspace->z[i] / candidates->temperature);
}

/* 1 if a rule left each of n tokens once, and none that the row has not. */
static int are_of_row(const int32_t *tokens, size_t n, const ent_drawing *drawing) {
    for (size_t i = 0; i < n; i++)
        if (ent_column_of(drawing, tokens[i]) == drawing->source.row->n_columns)
            return 0;
    return ent_are_rising(tokens, n);
}

entrol_status ent_apply_external(ent_drawing *drawing, const entrol_external_rule *rule, size_t index) {
    ent_candidates *candidates = &drawing->candidates;
    const ent_workspace *workspace = candidates->workspace;
    lay_out(candidates);
    const size_t n_given = candidates->n;
    drawing->temperature *= candidates->temperature;
    entrol_candidates seen = {workspace->tokens, workspace->z, n_given, -1};
    const entrol_status status = rule->apply(rule->user, &seen);
    if (status != ENTROL_OK)
        return status;
    if (seen.n > n_given)
        return ENTROL_ERROR_ARGUMENT;
    if (!ent_are_rising(workspace->tokens, seen.n))
        sort_tokens(workspace, seen.n);
    if (!are_of_row(workspace->tokens, seen.n, drawing) ||
        (seen.chosen != -1 && ent_index_of(workspace->tokens, seen.n, seen.chosen) == seen.n))
        return ENTROL_ERROR_ARGUMENT;
    size_t column;
    const entrol_reason reason = ent_candidates_again(candidates, &column, seen.n);
    if (reason != ENTROL_REASON_NONE)
        ent_note_trouble(drawing, reason, index + 1, column < seen.n ? (size_t)workspace->tokens[column] : 0);
    drawing->chosen = seen.chosen >= 0 ? seen.chosen : drawing->chosen;
    return ENTROL_OK;
}
