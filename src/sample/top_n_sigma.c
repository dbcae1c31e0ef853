/* Top-n-sigma (arXiv 2411.07641): within n standard deviations of the logits of the greatest one, as llama.cpp. A
 * temperature changes both alike, so logits are taken as they came. */
#include "rule.h"

#include <math.h>

static const entrol_parameter parameters[] = {
    {.name = "n",
     .initial = 1,
     .low = 0,
     .high = 1e6,
     .says = "standard deviations of the logits",
     .source = "arXiv 2411.07641"},
};

enum { LANES = 8 };

/* Of the candidates' distances below the greatest, or their squares about a mean. */
static double sum_of(const ent_candidates *candidates, double mean, int is_squared) {
    double lanes[LANES] = {0}, sum = 0;
    for (size_t i = 0; i < candidates->n; i++) {
        const double x = (double)candidates->z[i] - (double)candidates->m - mean;
        if (candidates->z[i] > -INFINITY)
            lanes[i % LANES] += is_squared ? x * x : x;
    }
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

static void apply_top_n_sigma(ent_candidates *candidates, const double *values) {
    const double n = (double)candidates->n_possible, mean = sum_of(candidates, 0, 0) / n;
    const double deviation = sqrt(sum_of(candidates, mean, 1) / n);
    ent_keep_from(candidates, (double)candidates->m - values[0] * deviation);
}

const ent_rule ent_rule_top_n_sigma = {
    {"top_n_sigma", ENT_TABLE(parameters), "keep z >= the greatest - n standard deviations of z", "arXiv 2411.07641"},
    apply_top_n_sigma,
};
