/* The rule applied to the values of one scope, and what all scopes came to. Where of each value only bounds are known,
 * so are the thresholds: those of the lower ends and those of the upper ends, since every one of them grows with every
 * value. What lies between is undecided. */
#include "select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- Scopes --- */

select_scope select_scope_new(bool spools) {
    return (select_scope){.values.spools = spools, .upper.spools = spools};
}

bool select_scope_add_upper(select_scope *scope, trouble *trouble) {
    if (scope->has_upper)
        return true;
    scope->has_upper = true;
    return select_values_append(&scope->upper, &scope->values, trouble);
}

bool select_scope_add(select_scope *scope, const select_taken *taken, trouble *trouble) {
    if (taken->upper != NULL && !select_scope_add_upper(scope, trouble)) /* what came before was known */
        return false;
    const float *upper = taken->upper != NULL ? taken->upper : taken->values;
    return select_values_add(&scope->values, taken->values, taken->valid, taken->n, trouble) &&
           (!scope->has_upper || select_values_add(&scope->upper, upper, taken->valid, taken->n, trouble));
}

void select_scope_clear(select_scope *scope) {
    select_values_clear(&scope->values);
    select_values_clear(&scope->upper);
    scope->has_upper = false;
}

void select_scope_free(select_scope *scope) {
    select_values_free(&scope->values);
    select_values_free(&scope->upper);
}

/* --- Streams of blocks --- */

static void *block_memory(const select_values *store, bool *ok) {
    void *memory = store->n_spooled > 0 ? malloc(SELECT_BLOCK_BYTES) : NULL;
    *ok = *ok && (memory != NULL || store->n_spooled == 0);
    return memory;
}

void select_stream_begin(select_stream *stream, const select_values *store, trouble *trouble) {
    bool ok = true;
    *stream = (select_stream){store, block_memory(store, &ok), 0, trouble};
}

/* The reader has said why it could not read, another rank says why it failed. */
bool select_stream_end(select_stream *stream, entrol_status status) {
    free(stream->memory);
    stream->memory = NULL;
    if (status == ENTROL_ERROR_COMMUNICATION)
        stream->trouble->text[0] = '\0';
    else if (status != ENTROL_OK && status != ENTROL_ERROR_READ)
        trouble_set(stream->trouble, "the rule could not be applied: %s", entrol_status_string(status));
    return status == ENTROL_OK;
}

static int read_block(void *user, const float **values, const uint8_t **valid, size_t *n) {
    select_stream *stream = user;
    if (stream->memory == NULL && stream->store->n_spooled > 0) {
        trouble_set(stream->trouble, "out of memory for a block of values");
        return 1;
    }
    if (!select_values_block(stream->store, stream->next++, stream->memory, values, valid, n, stream->trouble))
        return 1;
    if (*n == 0)
        stream->next = 0;
    return 0;
}

entrol_stream select_stream_of(select_stream *stream) {
    return (entrol_stream){read_block, stream};
}

/* --- Bounds --- */

static void add_scope(select_tally *tally, const entrol_bounds *least, const entrol_bounds *greatest) {
    if (least->n_valid == 0)
        return;
    tally->n_scopes++;
    tally->n_valid += least->n_valid;
    tally->low_least = fmin(tally->low_least, least->low);
    tally->low_greatest = fmax(tally->low_greatest, greatest->low);
    tally->high_least = fmin(tally->high_least, least->high);
    tally->high_greatest = fmax(tally->high_greatest, greatest->high);
}

static bool find_bounds(entrol_bounds *bounds, entrol_context *context, const select_settings *settings,
                        const select_values *store, const entrol_rule *rule, trouble *trouble) {
    select_stream blocks;
    select_stream_begin(&blocks, store, trouble);
    const entrol_stream stream = select_stream_of(&blocks);
    return select_stream_end(&blocks,
                             entrol_bounds_of_stream(context, bounds, NULL, &stream, rule, &settings->quantiles));
}

/* The ends of a weighting: numbers, or the quantiles that they stand for. */
static bool find_range(double ends[2], entrol_context *context, const select_settings *settings,
                       const select_values *store, trouble *trouble) {
    const entrol_rule *range = &settings->weighting.range;
    const double given[2] = {range->low, range->high};
    select_stream blocks;
    memcpy(ends, given, sizeof(given));
    if (settings->weight == NULL || settings->weighting.kind == ENTROL_WEIGHTING_SIGMOID ||
        range->kind != ENTROL_RULE_PERCENTILES)
        return true;
    select_stream_begin(&blocks, store, trouble);
    const entrol_stream stream = select_stream_of(&blocks);
    return select_stream_end(&blocks,
                             entrol_quantile_of_stream(context, ends, NULL, &stream, given, 2, &settings->quantiles));
}

/* How many of n values a one-sided rule keeps at least, whatever the values are: with a share those of the ranks beyond
 * the quantile's, of which rounding may take one. */
static uint64_t least_kept(const entrol_rule *rule, uint64_t n) {
    const double last = (double)(n - 1), count = (double)n * rule->share + 0.9999;
    const double margin = 1e-9 * (1 + last);
    switch (rule->kind) {
    case ENTROL_RULE_LOW_COUNT:
    case ENTROL_RULE_HIGH_COUNT:
        return rule->count < n ? rule->count : n;
    case ENTROL_RULE_LOW_EXACT:
    case ENTROL_RULE_HIGH_EXACT:
        return count < 2 ? 1 : count < (double)n ? (uint64_t)count : n;
    case ENTROL_RULE_LOW_SHARE:
        return rule->share == 1 ? n : (uint64_t)fmax(0, floor(rule->share * last - margin)) + 1;
    case ENTROL_RULE_HIGH_SHARE:
        return rule->share == 1 ? n : n - (uint64_t)fmin(last, ceil((1 - rule->share) * last + margin));
    default:
        return 0;
    }
}

static bool is_high(const entrol_rule *rule) {
    return rule->kind == ENTROL_RULE_HIGH_COUNT || rule->kind == ENTROL_RULE_HIGH_EXACT ||
           rule->kind == ENTROL_RULE_HIGH_SHARE;
}

/* Beyond what end a value is kept whatever the others are: the best that the first does that may be too many. */
static bool find_sure(select_decision *decision, entrol_context *context, const entrol_rule *rule, trouble *trouble) {
    const bool high = is_high(rule);
    const uint64_t n = decision->bounds[0].n_valid, least = n > 0 ? least_kept(rule, n) : 0;
    const entrol_rule next = {.kind = high ? ENTROL_RULE_HIGH_COUNT : ENTROL_RULE_LOW_COUNT, .count = least + 1};
    entrol_bounds bounds;
    decision->keeps_all = least > 0 && least >= n;
    decision->sure_above = HUGE_VAL;
    decision->sure_below = -HUGE_VAL;
    if (least == 0 || least >= n)
        return true;
    if (!find_bounds(&bounds, context, decision->settings, high ? &decision->scope->upper : &decision->scope->values,
                     &next, trouble))
        return false;
    if (high)
        decision->sure_above = bounds.low;
    else
        decision->sure_below = bounds.high;
    return true;
}

static bool allocate(select_decision *decision, trouble *trouble) {
    const select_scope *scope = decision->scope;
    const uint64_t n = select_values_count(&scope->values);
    const size_t n_block = scope->values.n_spooled > 0 ? SELECT_BLOCK : (size_t)n + 1; /* all in one, where none is */
    bool ok = true;
    decision->memory[0] = block_memory(&scope->values, &ok);
    decision->memory[1] = block_memory(&scope->upper, &ok);
    decision->keep = malloc(n_block);
    decision->undecided = calloc(n_block, 1);
    ok = ok && decision->keep != NULL && decision->undecided != NULL;
    return ok || trouble_set(trouble, "out of memory for the decision");
}

/* First what ranks do together, in which the calls agree on their success; then what may fail on one of them. */
bool select_decision_begin(select_decision *decision, select_tally *tally, entrol_context *context,
                           const select_settings *settings, const select_scope *scope, const entrol_rule *rule,
                           trouble *trouble) {
    *decision = (select_decision){.settings = settings, .scope = scope, .tally = tally};
    entrol_bounds *bounds = decision->bounds;
    if (!find_bounds(&bounds[0], context, settings, &scope->values, rule, trouble))
        return false;
    bounds[1] = bounds[0];
    if (scope->has_upper && (!find_bounds(&bounds[1], context, settings, &scope->upper, rule, trouble) ||
                             !find_sure(decision, context, rule, trouble)))
        return false;
    if (!find_range(decision->range, context, settings, &scope->values, trouble))
        return false;
    add_scope(tally, &bounds[0], &bounds[1]);
    return allocate(decision, trouble);
}

/* --- Decisions --- */

/* With --mask, what the rule names is turned round among what is valid. */
static void take_decisions(select_decision *decision, const entrol_selection *selection) {
    const bool is_mask = decision->settings->is_mask;
    uint64_t n_kept = is_mask ? 0 : selection->n_kept;
    for (size_t i = 0; is_mask && i < decision->n; i++) {
        decision->keep[i] = decision->valid[i] != 0 && decision->keep[i] == 0;
        n_kept += decision->keep[i];
    }
    decision->n_kept += n_kept;
    decision->tally->n_kept += n_kept;
    decision->tally->n_ties += selection->n_ties;
}

/* Kept wherever the values are between their bounds: 1; nowhere: 0; else 2. A count that ends at a value cannot say
 * which of several stand there. */
static int judge(const select_decision *decision, double lower, double upper) {
    const entrol_bounds *bounds = decision->bounds;
    const bool keeps_nothing = isnan(bounds[0].low) || isnan(bounds[0].high), is_count = !isnan(bounds[0].tie);
    if (keeps_nothing)
        return 0;
    if (decision->keeps_all || lower > decision->sure_above || upper < decision->sure_below)
        return 1;
    if (upper < bounds[0].low || lower > bounds[1].high)
        return 0;
    return !is_count && lower >= bounds[1].low && upper <= bounds[0].high ? 1 : 2;
}

static void decide_between(select_decision *decision) {
    const bool keeps_undecided = strcmp(decision->settings->undecided, "keep") == 0;
    select_tally *tally = decision->tally;
    for (size_t i = 0; i < decision->n; i++) {
        const bool is_valid = decision->valid[i] != 0;
        int verdict = is_valid ? judge(decision, (double)decision->values[i], (double)decision->upper[i]) : 0;
        if (is_valid && verdict != 2 && decision->settings->is_mask)
            verdict = !verdict;
        decision->undecided[i] = verdict == 2;
        decision->keep[i] = verdict == 1 || (verdict == 2 && keeps_undecided);
        tally->n_undecided += verdict == 2;
        tally->n_kept += decision->keep[i];
        decision->n_kept += decision->keep[i];
    }
}

/* Decides on the next block; n is 0 after the last. */
static bool load_block(select_decision *decision, trouble *trouble) {
    const select_scope *scope = decision->scope;
    entrol_selection selection = {0};
    size_t n_upper;
    if (!select_values_block(&scope->values, decision->next_block, decision->memory[0], &decision->values,
                             &decision->valid, &decision->n, trouble))
        return false;
    decision->upper = decision->values;
    if (scope->has_upper && !select_values_block(&scope->upper, decision->next_block, decision->memory[1],
                                                 &decision->upper, &decision->valid, &n_upper, trouble))
        return false;
    decision->next_block++;
    decision->at = 0;
    if (decision->n == 0)
        return true;
    if (scope->has_upper) {
        decide_between(decision);
        return true;
    }
    entrol_apply_bounds(&decision->bounds[0], decision->keep, &selection, decision->values, decision->valid,
                        decision->n);
    take_decisions(decision, &selection);
    return true;
}

static bool make_room(select_told *told, size_t n, trouble *trouble) {
    if (told->n + n <= told->capacity)
        return true;
    const size_t capacity = told->n + n + told->capacity / 2 + 64;
    uint8_t **bytes[] = {&told->keep, &told->valid, &told->undecided};
    float **reals[] = {&told->values, &told->upper};
    for (size_t i = 0; i < 3; i++) {
        uint8_t *larger = realloc(*bytes[i], capacity);
        if (larger == NULL)
            return trouble_set(trouble, "out of memory for the decision on %zu values", n);
        *bytes[i] = larger;
    }
    for (size_t i = 0; i < 2; i++) {
        float *larger = realloc(*reals[i], capacity * sizeof(*larger));
        if (larger == NULL)
            return trouble_set(trouble, "out of memory for the decision on %zu values", n);
        *reals[i] = larger;
    }
    told->capacity = capacity;
    return true;
}

static void tell(select_told *told, const select_decision *decision, size_t n) {
    const size_t at = decision->at;
    memcpy(told->keep + told->n, decision->keep + at, n);
    memcpy(told->valid + told->n, decision->valid + at, n);
    memcpy(told->undecided + told->n, decision->undecided + at, n);
    memcpy(told->values + told->n, decision->values + at, n * sizeof(*told->values));
    memcpy(told->upper + told->n, decision->upper + at, n * sizeof(*told->upper));
    told->n += n;
}

bool select_decision_next(select_decision *decision, size_t n, select_told *told, bool *found, trouble *trouble) {
    size_t done = 0;
    if (!make_room(told, n + 1, trouble))
        return false;
    told->bounds = decision->bounds;
    told->range = decision->range;
    while (done < n) {
        if (decision->at == decision->n && !load_block(decision, trouble))
            return false;
        const size_t left = decision->n - decision->at, part = left < n - done ? left : n - done;
        if (part == 0)
            break;
        tell(told, decision, part);
        decision->at += part;
        done += part;
    }
    *found = done == n;
    return true;
}

void select_decision_end(select_decision *decision) {
    free(decision->memory[0]);
    free(decision->memory[1]);
    free(decision->keep);
    free(decision->undecided);
    *decision = (select_decision){0};
}

void select_told_free(select_told *told) {
    free(told->keep);
    free(told->valid);
    free(told->undecided);
    free(told->values);
    free(told->upper);
    *told = (select_told){0};
}

bool select_count_from(uint64_t *n_from, uint64_t *n_valid, const select_scope *scope, double least, trouble *trouble) {
    select_stream blocks;
    entrol_bounds bounds = {.low = (double)(float)least, .high = HUGE_VAL, .tie = (double)NAN};
    entrol_selection selection = {0};
    const float *values;
    const uint8_t *valid;
    size_t n = 1;
    bool ok = true;
    *n_valid = 0;
    select_stream_begin(&blocks, &scope->values, trouble);
    const entrol_stream stream = select_stream_of(&blocks);
    while (ok && n > 0) {
        ok = stream.read(stream.user, &values, &valid, &n) == 0;
        for (size_t i = 0; ok && i < n; i++)
            *n_valid += valid[i] != 0;
        if (ok)
            entrol_apply_bounds(&bounds, NULL, &selection, values, valid, n);
    }
    *n_from = selection.n_kept;
    return select_stream_end(&blocks, ok ? ENTROL_OK : ENTROL_ERROR_READ);
}
