/* What the files of this room share: a registry's row with its surrogate, settings, and a block of tokens on its way
 * through a loss. */
#ifndef ENT_OBJECTIVE_INTERNAL_H
#define ENT_OBJECTIVE_INTERNAL_H

#include <entrol/objective.h>

#include "kernels/objective_kernels.h"

/* The parameters of entrol_objective_compute that an objective has, by their names; what it does not have is off. */
typedef struct ent_objective_settings {
    double clip_low, clip_high, dual_clip;
    double ratio_low, ratio_high;
    double tau_positive, tau_negative;
    double positive_weight, negative_weight;
    double entropy_alpha, entropy_kappa;
    double top_share, top_by;
    double entropy_ratio_low, entropy_ratio_high;
    double covariance_low, covariance_high, covariance_share, covariance_penalty;
    double entropy_coefficient, entropy_target, entropy_share;
    double kl_coefficient, kl_estimator;
    double value_coefficient, value_clip;
    double aggregation, over, length;
} ent_objective_settings;

/* e^88.72 is the greatest float, or nearly so. */
#define ENT_GREATEST_LOG_RATIO 88.72f

enum { ENT_TOKEN_MEAN, ENT_SEQUENCE_MEAN, ENT_SEQUENCE_SUM, ENT_CONSTANT };
enum { ENT_OVER_VALID, ENT_OVER_SELECTED };
enum { ENT_TOP_LINEAR, ENT_TOP_TORCH, ENT_TOP_TORCH_F32_RANK, ENT_TOP_EXACT };

/* The arrays of entrol_tokens; objective_check.c has their names. */
enum {
    ENT_IN_LOGPROB,
    ENT_IN_OLD_LOGPROB,
    ENT_IN_REFERENCE_LOGPROB,
    ENT_IN_ADVANTAGE,
    ENT_IN_ENTROPY,
    ENT_IN_OLD_ENTROPY,
    ENT_IN_SUPPORT_ENTROPY,
    ENT_IN_VALUE,
    ENT_IN_TARGET_RETURN,
    ENT_IN_OLD_VALUE,
    ENT_IN_WEIGHT,
    ENT_INPUTS
};

/* Up to ENT_BLOCK tokens on their way. Those that do not count, or that it lacks, are 0 everywhere. */
typedef struct ent_objective_block {
    size_t begin, n;
    const float *in[ENT_INPUTS]; /* NULL: not given */
    float room[ENT_INPUTS][ENT_BLOCK];
    double logprob[ENT_BLOCK];
    double log_ratio[ENT_BLOCK]; /* ln p - ln p_old, or that of the sequence */
    double ratio[ENT_BLOCK];     /* its exponential */
    double excess[ENT_BLOCK];    /* ratio - 1 - log_ratio */
    double advantage[ENT_BLOCK];
    double raised[ENT_BLOCK];
    const double *shaped;    /* the advantages that the surrogate sees: these, or those raised by entropy */
    double term[ENT_BLOCK];  /* the surrogate's */
    double slope[ENT_BLOCK]; /* its derivative by ln p */
    ent_clip_counts clips;
    uint64_t n_held; /* tokens whose derivative a clip makes 0 */
} ent_objective_block;

typedef struct ent_surrogate_call {
    const ent_objective_kernels *kernels;
    const ent_objective_settings *settings;
} ent_surrogate_call;

/* Fills term and slope, of which a clip makes some 0, and counts these in clips. */
typedef void (*ent_surrogate)(ent_objective_block *block, const ent_surrogate_call *call);

/* How ratios are made for a surrogate. */
typedef enum ent_ratio_kind {
    ENT_RATIO_NONE = 0, /* it does not look at them */
    ENT_RATIO_TOKEN,
    ENT_RATIO_SEQUENCE, /* the geometric mean of the sequence's */
    ENT_RATIO_CLIPPED   /* that of ratios clipped on the side where A would push them further */
} ent_ratio_kind;

typedef enum ent_covariance_kind {
    ENT_COVARIANCE_NONE = 0,
    ENT_COVARIANCE_CLIP,
    ENT_COVARIANCE_KL
} ent_covariance_kind;

/* A row of the registry. */
typedef struct ent_objective_row {
    entrol_objective objective;
    ent_surrogate surrogate;
    ent_ratio_kind ratio;
    ent_covariance_kind covariance;
    int bonus_on_support; /* 1: the entropy of the bonus is H_S */
} ent_objective_row;

/* The row of a registry's objective; NULL if it is none. */
const ent_objective_row *ent_objective_row_of(const entrol_objective *objective);

/* What was set. Errors: as ent_take_settings. */
entrol_status ent_take_objective_settings(ent_objective_settings *settings, entrol_diagnosis *diagnosis,
                                          const entrol_objective *objective, const entrol_setting *given, size_t n);
unsigned ent_objective_needs(const ent_objective_row *row, const ent_objective_settings *settings);
/* 1 if some gate may shut: then tokens have flags (gates.c). */
int ent_has_gates(const ent_objective_row *row, const ent_objective_settings *settings);

/* kl.c: ratio = q / p and excess = q / p - 1 - d with d = ln q - ln p become the estimate of KL(p || q) and its
 * derivative by ln p. */
void ent_estimate_kl(double *ratio, double *excess, const double *d, entrol_kl_estimator estimator);

/* The surrogates, one family a file. */
void ent_surrogate_reinforce(ent_objective_block *block, const ent_surrogate_call *call); /* reinforce.c */
void ent_surrogate_ppo(ent_objective_block *block, const ent_surrogate_call *call);       /* ppo.c */
void ent_surrogate_unclipped(ent_objective_block *block, const ent_surrogate_call *call); /* ppo.c: r A */
void ent_surrogate_cispo(ent_objective_block *block, const ent_surrogate_call *call);     /* soft_clip.c */
void ent_surrogate_sapo(ent_objective_block *block, const ent_surrogate_call *call);      /* soft_clip.c */

#endif
