/* How columns are shown. See measure.h. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Ranges are fixed, so that a colour means the same in every document and run. 10 bits is choosing among 1,024
 * equally likely tokens; 15 bits of surprisal is a chance of 1 in 32,768. */
static const measure known[] = {
    {"entropy", 1, 0, 10, 7, true, false, false, false},
    {"entropy_lower", 1, 0, 10, 7, true, false, false, false},
    {"entropy_upper", 1, 0, 10, 7, true, false, false, false},
    {"sampled_entropy", 1, 0, 10, 7, true, false, false, false},
    {"sampled_logprob", 1, -15, 0, 0, true, false, false, true},
    {"renyi", 1, 0, 10, 7, true, false, false, false},
    {"surprisal", 1, 0, 15, 10, true, false, false, false},
    {"logprob", 1, -15, 0, 0, true, false, false, true},
    {"varentropy", 2, 0, 16, 8, true, false, false, false},
    {"mean_topk_logprob", 1, 0, 0, 0, false, false, false, true},
    {"logsumexp", 1, 0, 0, 0, false, false, false, false},
    {"top_prob", 0, 0, 1, 1, true, false, false, true},
    {"margin", 0, 0, 1, 1, true, false, false, true},
    {"sum_p_squared", 0, 0, 1, 1, true, false, false, true},
    {"tail_mass", 0, 0, 1, 1, true, false, false, false},
    {"weight", 0, 0, 1, 1, true, false, false, true},
    {"rank", 0, 1, 10000, 10000, true, true, false, false},
    {"keep", 0, 0, 1, 1, true, false, true, false},
};

measure measure_find(const char *name) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, name))
            return known[i];
    return (measure){.name = name};
}

scale scale_make(const char *column, bool in_bits, double high) {
    static const char *const units[2][3] = {{"", " nats", " nats squared"}, {"", " bits", " bits squared"}};
    scale scale = {.measure = measure_find(column)};
    int power = scale.measure.unit_power;
    scale.factor = in_bits ? pow(1 / log(2), power) : 1;
    scale.unit = units[in_bits][power];
    scale.low = scale.measure.has_range ? scale.measure.low : INFINITY;
    scale.high = !scale.measure.has_range ? -INFINITY : in_bits ? scale.measure.high_bits : scale.measure.high_nats;
    if (!isnan(high))
        scale.high = high;
    return scale;
}

scale scale_fit(const scale *given, const float *values, size_t n_values) {
    scale scale = *given;
    for (size_t i = 0; !scale.measure.has_range && i < n_values; i++) {
        double value = (double)values[i] * scale.factor;
        if (!isfinite(value))
            continue;
        scale.low = value < scale.low ? value : scale.low;
        scale.high = value > scale.high ? value : scale.high;
    }
    return scale;
}

int scale_level(const scale *scale, double value, int n_levels) {
    if (isnan(value))
        return -1;
    if (scale->measure.is_flag)
        return value != 0 ? n_levels - 1 : 0;
    double share = scale->measure.is_logarithmic ? log10(value / scale->low) / log10(scale->high / scale->low)
                                                 : (value - scale->low) / (scale->high - scale->low);
    if (!(share > 0))
        return 0;
    return share >= 1 ? n_levels - 1 : (int)(share * n_levels);
}

double scale_piece(const scale *scale, const float *values, size_t n_values) {
    bool is_least = scale->measure.is_flag || scale->measure.is_worst_low;
    double result = NAN;
    for (size_t i = 0; i < n_values; i++) {
        double value = (double)values[i] * scale->factor;
        if (isnan(result) || (is_least ? value < result : value > result))
            result = value;
    }
    return result;
}

bool measure_values(float **values, const document *document, const measure *measure, trouble *trouble) {
    uint8_t *valid = NULL;
    *values = NULL;
    if (!document_values(document, measure->name, values, &valid, trouble))
        return false;
    for (size_t i = 0; i < document->n_tokens; i++)
        if (!valid[i])
            (*values)[i] = NAN;
    free(valid);
    return true;
}
