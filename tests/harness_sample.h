/* What tests of samplers share: rules with random parameters and their texts, rows that are hard on rules, and what a
 * sampler makes of a row. */
#ifndef HARNESS_SAMPLE_H
#define HARNESS_SAMPLE_H

#include "harness_rows.h"

enum { MOST_RULES = 4, RULE_ROOM = 256, MOST_VALUES = 8 };

/* A rule of the registry, as its text and as numbers in the registry's order. */
typedef struct made_rule {
    const entrol_sampling_rule *rule;
    double values[MOST_VALUES];
    char text[RULE_ROOM];
} made_rule;

void make_rule_at_random(made_rule *made, const entrol_sampling_rule *rule);

/* A row of a random kind: those of harness_rows.h, and many or two equal logits, each also with columns at -inf. */
sheet sheet_to_sample(size_t n_columns, entrol_dtype dtype);
/* The row as the sampler takes it, which is f32; free() it. */
double *logits_to_sample(const sheet *sheet);

/* A sampler of these rules; NULL options: the default ones. */
entrol_sampler *sampler_with(entrol_context *context, const char *const *rules, size_t n_rules,
                             const entrol_sampler_options *options);
/* The same of one rule. */
entrol_sampler *sampler_of(entrol_context *context, const char *rule);

/* Draws one token, which must go well; logprobs (NULL: not wanted) has room for a row of f64. */
entrol_drawn draw_one(entrol_context *context, entrol_sampler *sampler, double *logprobs, const entrol_matrix *logits);

#endif
