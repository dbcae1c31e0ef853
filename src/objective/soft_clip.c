/* Clips that let every token's gradient through: CISPO bounds the ratio as a weight, SAPO by a sigmoid. */
#include "objective_parameters.h"
#include "objective_rows.h"

#include <math.h>

/* -clip(r) A ln p, clip(r) a constant. */
void ent_surrogate_cispo(ent_objective_block *block, const ent_surrogate_call *call) {
    const double low = call->settings->ratio_low, high = call->settings->ratio_high;
    for (size_t i = 0; i < ENT_BLOCK; i++) {
        const double r = block->ratio[i], a = block->shaped[i], bounded = r > high ? high : r < low ? low : r;
        block->slope[i] = -(bounded * a);
        block->term[i] = block->slope[i] * block->logprob[i];
        block->clips.high += r > high && a > 0;
        block->clips.low += r < low && a < 0;
    }
}

/* -4 sigmoid(tau (r - 1)) / tau A, whose derivative by ln r is -4 sigmoid (1 - sigmoid) r A. */
void ent_surrogate_sapo(ent_objective_block *block, const ent_surrogate_call *call) {
    double exponent[ENT_BLOCK], fall[ENT_BLOCK], unused[ENT_BLOCK];
    for (size_t i = 0; i < ENT_BLOCK; i++) {
        const double tau = block->shaped[i] > 0 ? call->settings->tau_positive : call->settings->tau_negative;
        const double x = tau * (1 - block->ratio[i]);
        exponent[i] = x;
    }
    call->kernels->exponential(fall, unused, exponent);
    for (size_t i = 0; i < ENT_BLOCK; i++) {
        const double a = block->shaped[i];
        const double tau = a > 0 ? call->settings->tau_positive : call->settings->tau_negative;
        const double sigmoid = 1 / (1 + fall[i]), rest = fall[i] / (1 + fall[i]);
        block->term[i] = -(4 / tau * sigmoid * a);
        block->slope[i] = -(4 * sigmoid * rest * block->ratio[i] * a);
    }
}

static const entrol_parameter cispo_parameters[] = {
    ENT_REAL("ratio_low", 0, 0, INFINITY, "the least weight of a token", "arXiv 2506.13585: no bound"),
    ENT_REAL("ratio_high", 5, 0, INFINITY, "the greatest weight of a token, 1 + eps_high of the paper",
             "arXiv 2510.13786, and TRL's advice"),
    ENT_P_AGGREGATION(ENT_TOKEN_MEAN, ENT_OVER_VALID, "arXiv 2506.13585"),
    ENT_P_PLAIN,
};

const ent_objective_row ent_objective_cispo = {
    {"cispo", "the policy gradient weighted by a bounded ratio, so that no token loses its gradient",
     "arXiv 2506.13585", ENT_PARAMETERS(cispo_parameters), ENT_RATIO_NEEDS, ENTROL_NEEDS_LOGPROB, ENTROL_SUPPORT_ALL,
     0},
    ent_surrogate_cispo,
    ENT_RATIO_TOKEN,
    ENT_COVARIANCE_NONE,
    0};

static const entrol_parameter sapo_parameters[] = {
    ENT_REAL("tau_positive", 1, 1e-6, 700, "how steep the sigmoid is for A > 0", "arXiv 2511.20347"),
    ENT_REAL("tau_negative", 1.05, 1e-6, 700, "and for A <= 0", "arXiv 2511.20347"),
    ENT_P_AGGREGATION(ENT_SEQUENCE_MEAN, ENT_OVER_VALID, "arXiv 2511.20347"),
    ENT_P_PLAIN,
};

const ent_objective_row ent_objective_sapo = {{"sapo", "a sigmoid of the ratio in place of a clip, steeper for A < 0",
                                               "arXiv 2511.20347", ENT_PARAMETERS(sapo_parameters),
                                               ENT_RATIO_NEEDS | ENTROL_NEEDS_SEQUENCES, ENTROL_NEEDS_LOGPROB,
                                               ENTROL_SUPPORT_ALL, 0},
                                              ent_surrogate_sapo,
                                              ENT_RATIO_TOKEN,
                                              ENT_COVARIANCE_NONE,
                                              0};
