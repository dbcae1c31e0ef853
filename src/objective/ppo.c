/* The clipped ratio, and the objectives that differ in its bounds and in how tokens' losses become one. */
#include "objective_parameters.h"
#include "objective_rows.h"

void ent_surrogate_ppo(ent_objective_block *block, const ent_surrogate_call *call) {
    const ent_objective_settings *settings = call->settings;
    const ent_clip clip = {1 - settings->clip_low, 1 + settings->clip_high, settings->dual_clip};
    const ent_clip_counts before = block->clips;
    call->kernels->clipped(block->term, block->slope, &block->clips, block->ratio, block->shaped, &clip);
    block->n_held = block->clips.low - before.low + block->clips.high - before.high + block->clips.dual - before.dual;
}

void ent_surrogate_unclipped(ent_objective_block *block, const ent_surrogate_call *call) {
    (void)call;
    for (size_t i = 0; i < ENT_BLOCK; i++)
        block->term[i] = block->slope[i] = -(block->ratio[i] * block->shaped[i]);
}

static const entrol_parameter ppo_parameters[] = {
    ENT_P_CLIP(0.2, 0.2, "arXiv 1707.06347"),
    ENT_P_AGGREGATION(ENT_TOKEN_MEAN, ENT_OVER_VALID, NULL),
    ENT_P_TERMS(0.01, 0.5, "CleanRL's ent_coef; Stable-Baselines3's vf_coef"),
    ENT_P_WEIGHTS(1, 0, NULL),
    ENT_P_GATES(1, 0, INFINITY, NULL),
};

const ent_objective_row ent_objective_ppo = {
    {"ppo", "the ratio to the policy that acted, clipped, with a critic and an entropy bonus", "arXiv 1707.06347",
     ENT_PARAMETERS(ppo_parameters), ENT_RATIO_NEEDS | ENTROL_NEEDS_ENTROPY | ENTROL_NEEDS_VALUE,
     ENTROL_NEEDS_LOGPROB | ENTROL_NEEDS_ENTROPY | ENTROL_NEEDS_VALUE, ENTROL_SUPPORT_ALL, 0},
    ent_surrogate_ppo,
    ENT_RATIO_TOKEN,
    ENT_COVARIANCE_NONE,
    0};

static const entrol_parameter grpo_parameters[] = {
    ENT_P_CLIP(0.2, 0.2, "arXiv 2402.03300"),
    ENT_P_AGGREGATION(ENT_SEQUENCE_MEAN, ENT_OVER_VALID, "arXiv 2402.03300"),
    ENT_P_PLAIN,
};

const ent_objective_row ent_objective_grpo = {{"grpo", "PPO's ratio without a critic, each response counting the same",
                                               "arXiv 2402.03300", ENT_PARAMETERS(grpo_parameters),
                                               ENT_RATIO_NEEDS | ENTROL_NEEDS_SEQUENCES, ENTROL_NEEDS_LOGPROB,
                                               ENTROL_SUPPORT_ALL, 0},
                                              ent_surrogate_ppo,
                                              ENT_RATIO_TOKEN,
                                              ENT_COVARIANCE_NONE,
                                              0};

static const entrol_parameter dr_grpo_parameters[] = {
    ENT_P_CLIP(0.2, 0.2, "arXiv 2503.20783"),
    ENT_P_AGGREGATION(ENT_CONSTANT, ENT_OVER_VALID, "arXiv 2503.20783"),
    ENT_P_PLAIN,
};

const ent_objective_row ent_objective_dr_grpo = {
    {"dr_grpo", "GRPO with a constant in place of each response's length (and advantages without a deviation)",
     "arXiv 2503.20783", ENT_PARAMETERS(dr_grpo_parameters), ENT_RATIO_NEEDS | ENTROL_NEEDS_SEQUENCES,
     ENTROL_NEEDS_LOGPROB, ENTROL_SUPPORT_ALL, 0},
    ent_surrogate_ppo,
    ENT_RATIO_TOKEN,
    ENT_COVARIANCE_NONE,
    0};

static const entrol_parameter dapo_parameters[] = {
    ENT_P_CLIP(0.2, 0.28, "arXiv 2503.14476"),
    ENT_P_AGGREGATION(ENT_TOKEN_MEAN, ENT_OVER_VALID, "arXiv 2503.14476"),
    ENT_P_PLAIN,
};

const ent_objective_row ent_objective_dapo = {
    {"dapo", "GRPO with more room for ratios above 1, each token counting the same", "arXiv 2503.14476",
     ENT_PARAMETERS(dapo_parameters), ENT_RATIO_NEEDS, ENTROL_NEEDS_LOGPROB, ENTROL_SUPPORT_ALL, 0},
    ent_surrogate_ppo,
    ENT_RATIO_TOKEN,
    ENT_COVARIANCE_NONE,
    0};
