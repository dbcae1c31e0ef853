/* Entropy in the advantage, and bonuses on the entropy of a part of the vocabulary. */
#include "objective_parameters.h"
#include "objective_rows.h"

static const entrol_parameter entropy_advantage_parameters[] = {
    ENT_P_CLIP(0.2, 0.2, "arXiv 2506.14758"),
    ENT_P_AGGREGATION(ENT_TOKEN_MEAN, ENT_OVER_VALID, NULL),
    ENT_P_TERMS(0, 0, NULL),
    ENT_P_WEIGHTS(1, 0.4, "arXiv 2506.14758, for GRPO; 0.1 for PPO"),
    ENT_P_GATES(1, 0, INFINITY, NULL),
};

const ent_objective_row ent_objective_entropy_advantage = {
    {"entropy_advantage", "advantages that grow with the token's entropy, by at most half of themselves",
     "arXiv 2506.14758", ENT_PARAMETERS(entropy_advantage_parameters), ENT_RATIO_NEEDS | ENTROL_NEEDS_ENTROPY,
     ENTROL_NEEDS_LOGPROB, ENTROL_SUPPORT_ALL, 0},
    ent_surrogate_ppo,
    ENT_RATIO_TOKEN,
    ENT_COVARIANCE_NONE,
    0};

static const entrol_parameter siren_parameters[] = {
    ENT_REAL("entropy_target", NAN, -INFINITY, INFINITY,
             "H_0, which the covered tokens' entropy is held to, in nats: "
             "mostly what it was at the beginning",
             "arXiv 2509.25133"),
    ENT_REAL("entropy_share", 0.2, 0, 1,
             "share of each sequence's tokens that the bonus covers, the most uncertain ones", "arXiv 2509.25133"),
    ENT_P_CLIP(0.2, 0.2, NULL),
    ENT_P_AGGREGATION(ENT_SEQUENCE_MEAN, ENT_OVER_VALID, NULL),
    ENT_P_TERMS(5e-3, 0, "arXiv 2509.25133: c of c (mean H_S - H_0)^2"),
    ENT_P_WEIGHTS(1, 0, NULL),
    ENT_P_GATES(1, 0, INFINITY, NULL),
};

const ent_objective_row ent_objective_siren = {
    {"siren", "holds the entropy within the nucleus of each response's uncertain tokens to a target",
     "arXiv 2509.25133", ENT_PARAMETERS(siren_parameters),
     ENT_RATIO_NEEDS | ENTROL_NEEDS_SUPPORT_ENTROPY | ENTROL_NEEDS_SEQUENCES,
     ENTROL_NEEDS_LOGPROB | ENTROL_NEEDS_SUPPORT_ENTROPY, ENTROL_SUPPORT_BEFORE_P, 0.8},
    ent_surrogate_ppo,
    ENT_RATIO_TOKEN,
    ENT_COVARIANCE_NONE,
    1};

static const entrol_parameter aent_parameters[] = {
    ENT_P_CLIP(0.2, 0.2, NULL),
    ENT_P_AGGREGATION(ENT_SEQUENCE_MEAN, ENT_OVER_VALID, NULL),
    ENT_P_TERMS(2e-4, 0, "arXiv 2509.03493"),
    ENT_P_WEIGHTS(1, 0, NULL),
    ENT_P_GATES(1, 0, INFINITY, NULL),
};

const ent_objective_row ent_objective_aent = {
    {"aent", "an entropy bonus without the least probable part of the vocabulary", "arXiv 2509.03493",
     ENT_PARAMETERS(aent_parameters), ENT_RATIO_NEEDS | ENTROL_NEEDS_SUPPORT_ENTROPY | ENTROL_NEEDS_SEQUENCES,
     ENTROL_NEEDS_LOGPROB | ENTROL_NEEDS_SUPPORT_ENTROPY, ENTROL_SUPPORT_DROP, 0.3},
    ent_surrogate_ppo,
    ENT_RATIO_TOKEN,
    ENT_COVARIANCE_NONE,
    1};
