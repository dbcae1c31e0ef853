/* The parameters that rows of the registry are made of, each once; a row gives their published values. */
#ifndef ENT_OBJECTIVE_PARAMETERS_H
#define ENT_OBJECTIVE_PARAMETERS_H

#include <entrol/objective.h>

#include <math.h>

extern const char *const ent_aggregation_names[], *const ent_over_names[], *const ent_top_names[],
                                                                               *const ent_kl_estimator_names[];

/* clang-format off */
#define ENT_REAL(name, initial, low, high, says, source)                                                               \
    {name, ENTROL_PARAMETER_REAL, initial, low, high, NULL, NULL, says, source}
#define ENT_CHOICE(name, initial, choices, says, source)                                                               \
    {name, ENTROL_PARAMETER_CHOICE, initial, 0, 0, NULL, choices, says, source}

#define ENT_P_CLIP(clip_low, clip_high, source)                                                                        \
    ENT_REAL("clip_low", clip_low, 0, INFINITY, "ratios are held above 1 less this", source),                          \
    ENT_REAL("clip_high", clip_high, 0, INFINITY, "ratios are held below 1 and this", source),                         \
    ENT_REAL("dual_clip", INFINITY, 1, INFINITY, "the loss of A < 0 is at most this times -A; 3 where it is used",      \
             "arXiv 1912.09729")

#define ENT_P_AGGREGATION(aggregation, over, source)                                                                   \
    ENT_CHOICE("aggregation", aggregation, ent_aggregation_names, "how tokens' losses become one", source),            \
    ENT_CHOICE("over", over, ent_over_names, "the tokens that its means divide by", source),                           \
    ENT_REAL("length", NAN, 1e-9, 1e300, "what constant divides a sequence's sum by", "arXiv 2503.20783")

#define ENT_P_TERMS(entropy_coefficient, value_coefficient, source)                                                    \
    ENT_REAL("entropy_coefficient", entropy_coefficient, -1e6, 1e6,                                                    \
             "beta, of the mean entropy of the tokens that the bonus covers", source),                                 \
    ENT_REAL("value_coefficient", value_coefficient, 0, 1e6, "of the mean (v - R)^2, which is not halved", source),     \
    ENT_REAL("value_clip", INFINITY, 0, INFINITY,                                                                      \
             "values count as moved by at most this since they were old, where that is the greater loss; 0.2 where it " \
             "is used", "CleanRL"),                                                                                    \
    ENT_REAL("kl_coefficient", 0, 0, 1e6, "of the KL divergence from the reference; 0.04 in GRPO's paper",             \
             "TRL, GRPOTrainer's beta"),                                                                               \
    ENT_CHOICE("kl_estimator", ENTROL_KL_K3, ent_kl_estimator_names, "how it is estimated", "arXiv 2402.03300")

#define ENT_P_WEIGHTS(positive_weight, entropy_alpha, source)                                                          \
    ENT_REAL("positive_weight", positive_weight, 0, 1e6, "of tokens with A > 0", source),                              \
    ENT_REAL("negative_weight", 1, 0, 1e6, "of tokens with A < 0", source),                                            \
    ENT_REAL("entropy_alpha", entropy_alpha, 0, 1e6, "A grows by this times H, which gets no gradient, ", source),      \
    ENT_REAL("entropy_kappa", 2, 1e-6, 1e6, "but by no more than |A| / this", "arXiv 2506.14758")

#define ENT_P_GATES(top_share, entropy_ratio_low, entropy_ratio_high, source)                                          \
    ENT_REAL("top_share", top_share, 0, 1, "share of the tokens, the most uncertain ones, that has a surrogate", source), \
    ENT_CHOICE("top_by", 0, ent_top_names, "by a quantile, with its ties, or exactly so many", source),                \
    ENT_REAL("entropy_ratio_low", entropy_ratio_low, 0, INFINITY,                                                      \
             "no gradient unless (H + 1e-8) / (H_old + 1e-8) is above this", source),                                  \
    ENT_REAL("entropy_ratio_high", entropy_ratio_high, 0, INFINITY, "or not below this", source)

/* What most rows have after what is their own: nothing but the surrogate. */
#define ENT_P_PLAIN                                                                                                    \
    ENT_P_TERMS(0, 0, NULL), ENT_P_WEIGHTS(1, 0, NULL), ENT_P_GATES(1, 0, INFINITY, NULL)
/* clang-format on */

#define ENT_PARAMETERS(array) (array), sizeof(array) / sizeof *(array)
#define ENT_POLICY_NEEDS (ENTROL_NEEDS_LOGPROB | ENTROL_NEEDS_ADVANTAGE)
#define ENT_RATIO_NEEDS (ENT_POLICY_NEEDS | ENTROL_NEEDS_OLD_LOGPROB)

#endif
