/* The policy gradient without a ratio: -ln p A, whose derivative is -A. */
#include "objective_parameters.h"
#include "objective_rows.h"

void ent_surrogate_reinforce(ent_objective_block *block, const ent_surrogate_call *call) {
    (void)call;
    for (size_t i = 0; i < ENT_BLOCK; i++) {
        block->term[i] = -(block->logprob[i] * block->shaped[i]);
        block->slope[i] = -block->shaped[i];
    }
}

static const entrol_parameter reinforce_parameters[] = {
    ENT_P_AGGREGATION(ENT_TOKEN_MEAN, ENT_OVER_VALID, NULL),
    ENT_P_PLAIN,
};

const ent_objective_row ent_objective_reinforce = {
    {"reinforce", "the policy gradient: -ln p A", "Williams, Machine Learning 8, 1992",
     ENT_PARAMETERS(reinforce_parameters), ENT_POLICY_NEEDS, ENTROL_NEEDS_LOGPROB, ENTROL_SUPPORT_ALL, 0},
    ent_surrogate_reinforce,
    ENT_RATIO_NONE,
    ENT_COVARIANCE_NONE,
    0};

static const entrol_parameter a2c_parameters[] = {
    ENT_P_AGGREGATION(ENT_TOKEN_MEAN, ENT_OVER_VALID, NULL),
    ENT_P_TERMS(0.01, 0.5, "arXiv 1602.01783"),
    ENT_P_WEIGHTS(1, 0, NULL),
    ENT_P_GATES(1, 0, INFINITY, NULL),
};

const ent_objective_row ent_objective_a2c = {
    {"a2c", "the policy gradient with a critic and an entropy bonus", "arXiv 1602.01783",
     ENT_PARAMETERS(a2c_parameters), ENT_POLICY_NEEDS | ENTROL_NEEDS_ENTROPY | ENTROL_NEEDS_VALUE,
     ENTROL_NEEDS_LOGPROB | ENTROL_NEEDS_ENTROPY | ENTROL_NEEDS_VALUE, ENTROL_SUPPORT_ALL, 0},
    ent_surrogate_reinforce,
    ENT_RATIO_NONE,
    ENT_COVARIANCE_NONE,
    0};

static const entrol_parameter w_reinforce_parameters[] = {
    ENT_P_AGGREGATION(ENT_TOKEN_MEAN, ENT_OVER_VALID, NULL),
    ENT_P_TERMS(0, 0, NULL),
    ENT_P_WEIGHTS(0.1, 0, "arXiv 2506.01347"),
    ENT_P_GATES(1, 0, INFINITY, NULL),
};

const ent_objective_row ent_objective_w_reinforce = {
    {"w_reinforce", "the policy gradient that learns mostly from what went wrong: A > 0 counts a tenth",
     "arXiv 2506.01347", ENT_PARAMETERS(w_reinforce_parameters), ENT_POLICY_NEEDS, ENTROL_NEEDS_LOGPROB,
     ENTROL_SUPPORT_ALL, 0},
    ent_surrogate_reinforce,
    ENT_RATIO_NONE,
    ENT_COVARIANCE_NONE,
    0};
