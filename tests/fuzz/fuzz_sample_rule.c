/* Rules of samplers: one a line. What is accepted draws a candidate of a row, and the same one again; what is refused
 * is placed within its text. */
#include "fuzz.h"

#include <entrol/sample.h>

#include <math.h>

enum { MOST_RULES = 8 };

static void draw(entrol_context *context, entrol_sampler *sampler) {
    static const float logits[] = {3, 1, -INFINITY, 2, 2, 0, -1, 7, -40};
    const entrol_matrix row = {logits, ENTROL_F32, 1, sizeof logits / sizeof *logits, 0};
    entrol_drawn drawn = ENTROL_DRAWN_INIT, again = ENTROL_DRAWN_INIT;
    entrol_diagnosis diagnosis;
    fuzz_require(entrol_sampler_draw(context, sampler, &drawn, 1, NULL, &diagnosis, &row, NULL) == ENTROL_OK);
    fuzz_require(diagnosis.n_bad == 0 && drawn.token >= 0 && drawn.token < 9 && drawn.token != 2);
    fuzz_require(drawn.sampled_logprob <= 0 && isfinite(drawn.sampled_logprob) && drawn.sampled_entropy >= 0);
    fuzz_require(isfinite(drawn.temperature) && drawn.n_candidates >= 1 && drawn.n_candidates <= 8);
    fuzz_require(entrol_sampler_draw(context, sampler, &again, 1, NULL, NULL, &row, NULL) == ENTROL_OK);
    fuzz_require(again.token == drawn.token);
}

static void check_rules(const char *const *rules, size_t n_rules) {
    static entrol_context *context;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    if (!context)
        fuzz_require(entrol_context_create(&context, &options) == ENTROL_OK);
    entrol_sampler *sampler = NULL;
    entrol_diagnosis diagnosis;
    if (entrol_sampler_create(context, &sampler, &diagnosis, rules, n_rules, NULL) == ENTROL_OK)
        draw(context, sampler);
    else
        fuzz_require(!sampler && diagnosis.first_row < n_rules &&
                     diagnosis.first_column <= strlen(rules[diagnosis.first_row]));
    entrol_sampler_destroy(context, sampler);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    const char *rules[MOST_RULES];
    size_t n_rules = 0;
    fuzz_require(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = 0;
    for (char *rule = text; rule && n_rules < MOST_RULES;) {
        rules[n_rules++] = rule;
        rule = strchr(rule, '\n');
        if (rule)
            *rule++ = 0;
    }
    check_rules(rules, n_rules);
    free(text);
    return 0;
}
