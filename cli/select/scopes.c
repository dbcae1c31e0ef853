/* The scopes of a run, of which each is decided by itself: one for the corpus, one a group, or one that is each
 * document's in turn. */
#include "select.h"

#include "../json_text.h"
#include "../score/score.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- Values --- */

bool select_scopes_add(select_scopes *scopes, size_t n, const select_settings *settings, trouble *trouble) {
    if (n <= scopes->n)
        return true;
    select_scope *items = realloc(scopes->items, n * sizeof(*items));
    if (items != NULL)
        scopes->items = items;
    select_decision *decisions = realloc(scopes->decisions, n * sizeof(*decisions));
    if (decisions != NULL)
        scopes->decisions = decisions;
    if (items == NULL || decisions == NULL)
        return trouble_set(trouble, "out of memory for %zu groups", n);
    for (; scopes->n < n; scopes->n++)
        items[scopes->n] = select_scope_new(!settings->each_document);
    return true;
}

/* Which group the document is of, for the second reading. */
static bool note_scope(select_scopes *scopes, uint64_t document, size_t scope, trouble *trouble) {
    if (document == scopes->of_capacity) {
        const size_t capacity = scopes->of_capacity * 2 + 1024;
        uint32_t *larger = realloc(scopes->of, capacity * sizeof(*larger));
        if (larger == NULL)
            return trouble_set(trouble, "out of memory after %" PRIu64 " documents", document);
        scopes->of = larger;
        scopes->of_capacity = capacity;
    }
    scopes->of[document] = (uint32_t)scope;
    return true;
}

bool select_scopes_take(select_scopes *scopes, uint64_t document, const select_taken *taken,
                        const select_settings *settings, trouble *trouble) {
    return (settings->group == NULL || note_scope(scopes, document, taken->scope, trouble)) &&
           select_scopes_add(scopes, taken->scope + 1, settings, trouble) &&
           select_scope_add(&scopes->items[taken->scope], taken, trouble);
}

/* --- Decisions --- */

/* FlexMatch's rule for each class, from how often the model is sure of it. */
static bool find_thresholds(select_scopes *scopes, const select_settings *settings, trouble *trouble) {
    double *thresholds = calloc(scopes->n + 1, sizeof(*thresholds));
    uint64_t *n_sure = calloc(scopes->n + 1, sizeof(*n_sure)), n_all = 0;
    bool ok = (n_sure != NULL && thresholds != NULL) || trouble_set(trouble, "out of memory");
    for (size_t i = 0; ok && i < scopes->n; i++) {
        uint64_t n_valid = 0;
        ok = select_count_from(&n_sure[i], &n_valid, &scopes->items[i], settings->flexmatch, trouble);
        n_all += n_valid;
    }
    ok = ok && (entrol_flexmatch_thresholds(thresholds, n_sure, scopes->n, n_all, settings->flexmatch) == ENTROL_OK ||
                trouble_set(trouble, "flexmatch: its thresholds could not be found"));
    for (size_t i = 0; ok && i < scopes->n; i++)
        scopes->rules[i].low = thresholds[i];
    free(n_sure);
    free(thresholds);
    return ok;
}

/* Each scope draws for itself. */
static uint64_t seed_of(const select_scopes *scopes, size_t scope, uint64_t seed) {
    const uint64_t which[2] = {scopes->salt, scope};
    if (seed == 0 || (scope == 0 && scopes->salt == 0))
        return seed;
    return score_hash(score_hash(SCORE_HASH_START, &seed, sizeof(seed)), which, sizeof(which)) | 1;
}

bool select_scopes_make_rules(select_scopes *scopes, const select_settings *settings, trouble *trouble) {
    entrol_rule *rules = realloc(scopes->rules, (scopes->n + 1) * sizeof(*rules));
    if (rules == NULL)
        return trouble_set(trouble, "out of memory for %zu groups", scopes->n);
    scopes->rules = rules;
    for (size_t i = 0; i < scopes->n; i++) {
        rules[i] = settings->rule;
        rules[i].tie_seed = seed_of(scopes, i, settings->rule.tie_seed);
    }
    return settings->flexmatch == 0 || find_thresholds(scopes, settings, trouble);
}

bool select_scopes_decide(select_scopes *scopes, select_tally *tally, entrol_context *context,
                          const select_settings *settings, trouble *trouble) {
    bool ok = select_scopes_make_rules(scopes, settings, trouble);
    while (ok && scopes->n_begun < scopes->n) {
        const size_t i = scopes->n_begun++; /* to be ended also where it fails */
        ok = select_decision_begin(&scopes->decisions[i], tally, context, settings, &scopes->items[i],
                                   &scopes->rules[i], trouble);
    }
    return ok;
}

select_decision *select_scopes_decision(select_scopes *scopes, uint64_t document) {
    const size_t scope = scopes->of != NULL ? scopes->of[document] : 0;
    return scope < scopes->n_begun ? &scopes->decisions[scope] : NULL;
}

/* --- What came of each group --- */

/* More are in the manifest alone. */
enum { MOST_PRINTED = 20 };

static void print_end(const select_settings *settings, const char *words, double end) {
    if (isfinite(end))
        fprintf(stderr, ", %s %.6g%s", words, select_in_unit(settings, end), select_unit(settings));
}

void select_scopes_print(const select_scopes *scopes, const select_gatherer *gatherer) {
    if (scopes->n_begun > MOST_PRINTED)
        return;
    for (size_t i = 0; i < scopes->n_begun; i++) {
        const select_decision *decision = &scopes->decisions[i];
        fprintf(stderr, "%-12s", "group");
        for (const char *name = select_group_name(gatherer, i); *name != '\0'; name++) /* does not move the cursor */
            fputc((unsigned char)*name < ' ' || *name == 127 ? '?' : *name, stderr);
        fprintf(stderr, ": %" PRIu64 " with a value, %" PRIu64 " kept", decision->bounds[0].n_valid, decision->n_kept);
        print_end(gatherer->settings, "at least", decision->bounds[0].low);
        print_end(gatherer->settings, "at most", decision->bounds[1].high);
        fputc('\n', stderr);
    }
}

static json_t *end_json(double end) {
    return isfinite(end) ? json_real(end) : json_null();
}

json_t *select_scopes_json(const select_scopes *scopes, const select_gatherer *gatherer) {
    json_t *list = json_array();
    for (size_t i = 0; i < scopes->n_begun; i++) {
        const select_decision *decision = &scopes->decisions[i];
        json_t *group = json_object();
        json_object_set_new(group, "name", json_string_of(select_group_name(gatherer, i)));
        json_object_set_new(group, "valid", json_integer((json_int_t)decision->bounds[0].n_valid));
        json_object_set_new(group, "kept", json_integer((json_int_t)decision->n_kept));
        json_object_set_new(group, "low", end_json(decision->bounds[0].low));
        json_object_set_new(group, "high", end_json(decision->bounds[1].high));
        json_array_append_new(list, group);
    }
    return list;
}

/* --- The end --- */

static void end_decisions(select_scopes *scopes) {
    for (size_t i = 0; i < scopes->n_begun; i++)
        select_decision_end(&scopes->decisions[i]);
    scopes->n_begun = 0;
}

void select_scopes_clear(select_scopes *scopes) {
    end_decisions(scopes);
    for (size_t i = 0; i < scopes->n; i++)
        select_scope_clear(&scopes->items[i]);
}

void select_scopes_free(select_scopes *scopes) {
    end_decisions(scopes);
    for (size_t i = 0; i < scopes->n; i++)
        select_scope_free(&scopes->items[i]);
    free(scopes->items);
    free(scopes->decisions);
    free(scopes->of);
    free(scopes->rules);
    *scopes = (select_scopes){0};
}
