/* EDT: a temperature that falls where the model is sure (arXiv 2403.14541). Its share of the greatest temperature goes
 * to 0 with the entropy, where this is greedy. */
#include "rule.h"

#include "base/portable.h"

enum { EDT_TEMPERATURE, EDT_THETA, EDT_BASE };

static const entrol_parameter parameters[] = {
    {.name = "temperature",
     .initial = 1,
     .low = 0,
     .high = ENT_MOST_TEMPERATURE,
     .says = "the greatest temperature, which a high entropy comes near"},
    {.name = "theta", .initial = 1, .low = 0, .high = 1e6, .says = "nats; how soon the temperature falls"},
    {.name = "base", .initial = 0.8, .low = 1e-6, .high = 1, .says = "of the power", .source = "arXiv 2403.14541"},
};

static void apply_edt(ent_candidates *candidates, const double *values) {
    const double entropy = ent_candidates_spread(candidates)->entropy;
    const double exponent = entropy > 0 ? values[EDT_THETA] / entropy * ent_portable_log(values[EDT_BASE]) : -1e6;
    const double by = values[EDT_THETA] > 0 ? ent_portable_exp(fmax(exponent, -1e6)) : 1;
    ent_candidates_set_temperature(candidates, values[EDT_TEMPERATURE] * by * candidates->temperature);
}

const ent_rule ent_rule_edt = {
    {"edt", ENT_TABLE(parameters), "T = temperature * base^(theta / H)", "EDT, arXiv 2403.14541"},
    apply_edt,
};
