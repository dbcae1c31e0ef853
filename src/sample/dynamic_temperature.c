/* A temperature that rises with the entropy, as llama.cpp's temp_ext. Where that divides by ln of all candidates, those
 * at -inf included, it is of those above -inf here: a candidate that another rule left out is none. */
#include "rule.h"

#include "base/portable.h"

enum { DYNAMIC_TEMPERATURE, DYNAMIC_RANGE, DYNAMIC_EXPONENT };

static const entrol_parameter parameters[] = {
    {.name = "temperature",
     .initial = 1,
     .low = 0,
     .high = ENT_MOST_TEMPERATURE,
     .says = "the middle of the temperatures; 0: greedy"},
    {.name = "range",
     .initial = 0,
     .low = 0,
     .high = ENT_MOST_TEMPERATURE,
     .says = "how far they go to each side of it, but not below 0",
     .source = "llama.cpp --dynatemp-range"},
    {.name = "exponent",
     .initial = 1,
     .low = 0,
     .high = 100,
     .says = "of the share of the greatest entropy",
     .source = "llama.cpp --dynatemp-exp"},
};

/* x^y for x from 0 to 1. */
static double power(double x, double y) {
    return y == 0 ? 1 : x > 0 ? ent_portable_exp(y * ent_portable_log(x)) : 0;
}

static void apply_dynamic_temperature(ent_candidates *candidates, const double *values) {
    double by = values[DYNAMIC_TEMPERATURE];
    if (values[DYNAMIC_RANGE] > 0) {
        if (candidates->n_possible < 2)
            return;
        const double least = fmax(0, by - values[DYNAMIC_RANGE]), most = by + values[DYNAMIC_RANGE];
        const double share =
            ent_candidates_spread(candidates)->entropy / ent_portable_log((double)candidates->n_possible);
        by = least + (most - least) * power(fmin(fmax(share, 0), 1), values[DYNAMIC_EXPONENT]);
    }
    ent_candidates_set_temperature(candidates, by * candidates->temperature);
}

const ent_rule ent_rule_dynamic_temperature = {
    {"dynamic_temperature", ENT_TABLE(parameters),
     "T = low + (high - low) (H / ln n)^exponent, n candidates, low and high the temperature -+ range",
     "llama.cpp temp_ext"},
    apply_dynamic_temperature,
};
