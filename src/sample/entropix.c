/* Entropix's quadrants of entropy and varentropy (github.com/xjdr-alt/entropix), in a unit that is named: its
 * thresholds were published in bits (0.1, 3 and 5), and used in nats elsewhere. What it takes from attention is left
 * out.
 *
 *   H < low_entropy  and V < low_varentropy:   sure: greedy
 *   H > high_entropy and V < low_varentropy:   evenly unsure: the token `thinking`; where there is none among the
 *                                              candidates, or it has just come, T = min(1.5, 1.3 T)
 *   H < lost_entropy and V > high_varentropy:  several paths: T = min(1.5, 1.2 T)
 *   H > lost_entropy and V > high_varentropy:  lost: T = max(2, 2 T)
 *   else:                                      as it is
 *
 * The first that holds. 1.3, 1.2 and 2 are its offsets at no attention entropy. */
#include "rule.h"

#include <math.h>
#include <stddef.h>

enum { LOW_ENTROPY, HIGH_ENTROPY, LOST_ENTROPY, LOW_VARENTROPY, HIGH_VARENTROPY, UNIT, THINKING };

static const char *const units[] = {"bits", "nats", NULL};

static const entrol_parameter parameters[] = {
    {.name = "low_entropy", .initial = 0.1, .low = 0, .high = 1e3, .says = "in the unit", .source = "entropix"},
    {.name = "high_entropy", .initial = 3, .low = 0, .high = 1e3, .says = "in the unit", .source = "entropix"},
    {.name = "lost_entropy", .initial = 5, .low = 0, .high = 1e3, .says = "in the unit", .source = "entropix"},
    {.name = "low_varentropy",
     .initial = 0.1,
     .low = 0,
     .high = 1e3,
     .says = "in the unit's square",
     .source = "entropix"},
    {.name = "high_varentropy",
     .initial = 5,
     .low = 0,
     .high = 1e3,
     .says = "in the unit's square",
     .source = "entropix"},
    {.name = "unit", .type = ENTROL_PARAMETER_CHOICE, .choices = units, .says = "of the five"},
    {.name = "thinking",
     .type = ENTROL_PARAMETER_WHOLE,
     .initial = -1,
     .low = -1,
     .high = 0x1p31 - 1,
     .says = "the token that comes where the model is evenly unsure; -1: none"},
};

static void pause_to_think(ent_candidates *candidates, const double *values) {
    const int32_t thinking = (int32_t)values[THINKING];
    if (thinking == candidates->last_token || !ent_keep_token(candidates, thinking))
        ent_candidates_set_temperature(candidates, fmin(1.5, 1.3 * candidates->temperature));
}

static void apply_entropix(ent_candidates *candidates, const double *values) {
    const ent_spread *spread = ent_candidates_spread(candidates);
    const double nats = values[UNIT] > 0 ? 1 : 0.69314718055994530942; /* ln 2 */
    const double entropy = spread->entropy / nats, varentropy = spread->varentropy / (nats * nats);
    if (entropy < values[LOW_ENTROPY] && varentropy < values[LOW_VARENTROPY])
        ent_keep_first(candidates);
    else if (entropy > values[HIGH_ENTROPY] && varentropy < values[LOW_VARENTROPY])
        pause_to_think(candidates, values);
    else if (entropy < values[LOST_ENTROPY] && varentropy > values[HIGH_VARENTROPY])
        ent_candidates_set_temperature(candidates, fmin(1.5, 1.2 * candidates->temperature));
    else if (entropy > values[LOST_ENTROPY] && varentropy > values[HIGH_VARENTROPY])
        ent_candidates_set_temperature(candidates, fmax(2, 2 * candidates->temperature));
}

const ent_rule ent_rule_entropix = {
    {"entropix", ENT_TABLE(parameters), "greedy, a thinking token or a higher temperature by quadrants of H and V",
     "github.com/xjdr-alt/entropix"},
    apply_entropix,
};
