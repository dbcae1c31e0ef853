/* Rules and forms of weights: what is accepted lies in its domain and can be applied; the parsers say where they
 * stopped. */
#include "fuzz.h"

#include <entrol/select.h>

#include <math.h>

static void check_rule(const entrol_rule *rule) {
    fuzz_require(rule->kind >= ENTROL_RULE_LOW_SHARE && rule->kind <= ENTROL_RULE_HIGH_EXACT);
    fuzz_require(rule->share >= 0 && rule->share <= 1); /* 0 where there is none */
    if (rule->kind == ENTROL_RULE_RANGE || rule->kind == ENTROL_RULE_PERCENTILES)
        fuzz_require(!isnan(rule->low) && !isnan(rule->high));
}

static void apply_rule(const entrol_rule *rule) {
    static const float values[] = {3, 1, 2, 2, 0, -1, 7, INFINITY};
    enum { N = sizeof values / sizeof values[0] };
    static entrol_context *context;
    uint8_t keep[N];
    entrol_selection selection;
    entrol_diagnosis diagnosis;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    if (!context)
        fuzz_require(entrol_context_create(&context, &options) == ENTROL_OK);
    fuzz_require(entrol_select(context, keep, &selection, &diagnosis, values, NULL, N, rule, NULL) == ENTROL_OK);
    size_t n_kept = 0;
    for (size_t i = 0; i < N; i++)
        n_kept += keep[i];
    fuzz_require(n_kept == selection.n_kept && selection.n_valid == N);
}

static void check_weighting(const char *text) {
    static const float values[] = {3, 1, 0, -1, INFINITY, -INFINITY, NAN};
    entrol_weighting weighting;
    size_t n_read = 0;
    if (entrol_weighting_parse(&weighting, &n_read, text) != ENTROL_OK) {
        fuzz_require(n_read <= strlen(text));
        return;
    }
    const entrol_bounds range = {.low = weighting.range.low, .high = weighting.range.high};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const float weight = entrol_weight(&weighting, &range, values[i]);
        fuzz_require(weight >= 0 && weight <= 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    fuzz_require(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = 0;
    entrol_rule rule;
    size_t n_read = 0;
    if (entrol_rule_parse(&rule, &n_read, text) == ENTROL_OK) {
        check_rule(&rule);
        apply_rule(&rule);
    } else {
        fuzz_require(n_read <= strlen(text));
    }
    check_weighting(text);
    free(text);
    return 0;
}
