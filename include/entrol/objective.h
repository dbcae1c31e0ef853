/* Losses of policies: from what is known of each token to the loss, its derivatives by every token, and what people log
 * of it; and the advantages that go in.
 *
 * A token is also a step of an environment. Every objective is one composition,
 *
 *     loss = aggregate of  gate_t weight_t surrogate(ln p_t, ln p_old,t, shaped A_t)  + k KL_t
 *            - beta mean H  +  c mean (v - R)^2,
 *
 * and a published objective is a row of the registry: a surrogate, and the published values of the parameters. All
 * parameters of the parts that it has can be set, so that parts can be combined as no paper did.
 * docs/objectives.md has each formula, its source, and where this differs from it. All logarithms are natural. */
#ifndef ENTROL_OBJECTIVE_H
#define ENTROL_OBJECTIVE_H

#include "base.h"
#include "measure.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of the tokens: arrays of n_tokens, NULL where the objective does not need them. At tokens that do not
 * count they may hold anything. */
typedef struct entrol_tokens {
    size_t size; /* sizeof(entrol_tokens) */
    size_t n_tokens;
    const float *logprob;           /* ln p of the action under the policy that learns */
    const float *old_logprob;       /* under the one that acted; NULL: the same policy, so that every ratio is 1 */
    const float *reference_logprob; /* under the reference model */
    const float *advantage;         /* of each token; that of a sequence is repeated (entrol_advantage_repeat) */
    const float *entropy;           /* H under the policy that learns */
    const float *old_entropy;       /* under the one that acted */
    const float *support_entropy;   /* H_S on the objective's support, as measure.h gives it */
    const float *value;             /* the critic's estimate */
    const float *old_value;         /* the one when the action was taken */
    const float *target_return;     /* what the value should be */
    const float *weight;            /* of the token's surrogate, as a sampler's importance correction; NULL: 1 */
    const uint8_t *mask;            /* bytes; 0: the token does not count. NULL: all count */
    const size_t *sequence_starts;  /* n_sequences + 1 of them, ascending from 0 to n_tokens: where each begins. NULL
                                       where nothing is asked of sequences */
    size_t n_sequences;
    uint64_t seed; /* of what is drawn */
} entrol_tokens;

#define ENTROL_TOKENS_INIT                                                                                             \
    { sizeof(entrol_tokens), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0 }

/* The arrays of entrol_tokens, as bits: what an objective needs. */
enum {
    ENTROL_NEEDS_LOGPROB = 1,
    ENTROL_NEEDS_OLD_LOGPROB = 2, /* without it every ratio is 1 */
    ENTROL_NEEDS_REFERENCE_LOGPROB = 4,
    ENTROL_NEEDS_ADVANTAGE = 8,
    ENTROL_NEEDS_ENTROPY = 16,
    ENTROL_NEEDS_OLD_ENTROPY = 32,
    ENTROL_NEEDS_SUPPORT_ENTROPY = 64,
    ENTROL_NEEDS_VALUE = 128, /* and target_return: a critic, where value_coefficient is not 0 */
    ENTROL_NEEDS_OLD_VALUE = 256,
    ENTROL_NEEDS_SEQUENCES = 512
};

/* What comes out for each token: the gradient record, whose arrays go as they are into entrol_gradient
 * (entrol_gradient_rows) or entrol_policy_gradient_record (entrol_policy_gradient), and more. Arrays of
 * n_tokens, NULL: not wanted. At tokens that do not count: 0. They overlap no input. */
typedef struct entrol_objective_record {
    size_t size;            /* sizeof(entrol_objective_record) */
    float *logprob;         /* dL/d ln p */
    float *entropy;         /* dL/dH */
    float *support_entropy; /* dL/dH_S */
    float *value;           /* dL/dv */
    float *loss;            /* the token's surrogate and KL penalty, before they are aggregated */
    uint8_t *kept;          /* 1 where a gate and a clip let the surrogate's gradient through */
} entrol_objective_record;

#define ENTROL_OBJECTIVE_RECORD_INIT                                                                                   \
    { sizeof(entrol_objective_record), NULL, NULL, NULL, NULL, NULL, NULL }

/* Exact sums over the tokens that count, for whoever gathers them by other means than a context's comm; the mean of
 * one is entrol_sum_value / n. */
typedef enum entrol_objective_sum {
    ENTROL_SUM_POLICY = 0,      /* the surrogate, each term times its share where sequences are averaged */
    ENTROL_SUM_KL,              /* the KL penalty before its coefficient, likewise */
    ENTROL_SUM_VALUE,           /* (v - R)^2, clipped */
    ENTROL_SUM_ENTROPY,         /* H */
    ENTROL_SUM_COVERED_ENTROPY, /* H or H_S of the tokens that the bonus covers, likewise where sequences are averaged
                                 */
    ENTROL_SUM_K1,              /* -ln(p / p_old) */
    ENTROL_SUM_K2,              /* ln(p / p_old)^2 / 2 */
    ENTROL_SUM_K3,              /* p / p_old - 1 - ln(p / p_old) */
    ENTROL_SUM_LOGPROB,         /* ln p */
    ENTROL_SUM_ADVANTAGE,       /* A as it was given */
    ENTROL_SUM_PRODUCT,         /* A ln p */
    ENTROL_SUM_ERROR,           /* R - v */
    ENTROL_SUM_ERROR_SQUARED,
    ENTROL_SUM_RETURN, /* R */
    ENTROL_SUM_RETURN_SQUARED,
    ENTROL_OBJECTIVE_SUMS
} entrol_objective_sum;

/* The loss, its parts, and what people log of it: over the tokens of all ranks of the context's comm that count. NaN
 * where what it is made of is not given. Sums are exact, so that no split over ranks or threads changes a bit. */
typedef struct entrol_objective_result {
    size_t size; /* sizeof(entrol_objective_result), set before the call; no more is written */
    double loss; /* the sum of the next four */
    double policy_loss;
    double kl_loss;      /* coefficient and all */
    double entropy_loss; /* -beta mean H, or what takes its place */
    double value_loss;
    double entropy;             /* mean H of all tokens */
    double covered_entropy;     /* mean H (or H_S) of those that the bonus covers */
    double kl_k1, kl_k2, kl_k3; /* estimates of KL(old || policy) */
    double reference_kl;        /* mean of the penalty, before its coefficient */
    double ratio_mean;
    double ratio_greatest;     /* or 1; of ln p - ln p_old rounded to float */
    double clip_low;           /* share of tokens with A < 0 and a ratio below its bound */
    double clip_high;          /* with A > 0 and one above it */
    double clip_dual;          /* with A < 0 that the dual clip holds */
    double covariance;         /* of ln p and A; its product with the step size is the fall of entropy to expect */
    double explained_variance; /* 1 - Var(R - v) / Var(R); NaN where R does not vary */
    uint64_t n_tokens;         /* that count */
    uint64_t n_sequences;
    uint64_t n_covered; /* tokens that the entropy bonus covers */
    uint64_t n_kept;    /* as the record has it */
    entrol_sum sums[ENTROL_OBJECTIVE_SUMS];
} entrol_objective_result;

/* A published objective by its name. Strings that live as long as the program. */
typedef struct entrol_objective {
    const char *name;
    const char *says;   /* one sentence */
    const char *source; /* where it was published */
    const entrol_parameter *parameters;
    size_t n_parameters;
    unsigned needs; /* ENTROL_NEEDS_ bits, as the parameters begin */
    /* The derivatives that are not always 0, as the parameters begin: ENTROL_NEEDS_LOGPROB, _ENTROPY, _SUPPORT_ENTROPY,
     * _VALUE. */
    unsigned gives;
    entrol_support_kind support_kind; /* of support_entropy: what to measure it on */
    double support_parameter;
} entrol_objective;

ENTROL_API size_t entrol_objective_count(void);
ENTROL_API const entrol_objective *entrol_objective_at(size_t index);       /* NULL beyond the last */
ENTROL_API const entrol_objective *entrol_objective_find(const char *name); /* NULL for none */

/* The needs of an objective under settings, which may turn parts of it on and off. Errors as of
 * entrol_objective_compute's settings. */
ENTROL_API entrol_status entrol_objective_needs(unsigned *needs, entrol_diagnosis *diagnosis,
                                                const entrol_objective *objective, const entrol_setting *settings,
                                                size_t n_settings);

typedef struct entrol_objective_options {
    size_t size; /* sizeof(entrol_objective_options) */
    const entrol_setting *settings;
    size_t n_settings;
    int loss_alone; /* 1: of the result only the loss, its parts, the means of entropy, the counts, the shares of clips
                       and the greatest ratio; others are NaN, and cost nothing */
} entrol_objective_options;

#define ENTROL_OBJECTIVE_OPTIONS_INIT                                                                                  \
    { sizeof(entrol_objective_options), NULL, 0, 0 }

/* The loss of the tokens under an objective of the registry, and its derivatives. `record` and `result` may be NULL.
 *
 * Every objective has these parameters besides its own. aggregation: token_mean, the mean over all tokens;
 * sequence_mean, the mean of the sequences' means; sequence_sum, the mean of their sums; constant, of their sums /
 * length. over: valid, means divide by all tokens that count; selected, by those that gates let through.
 * entropy_coefficient, beta: -beta times the mean entropy of the tokens covered, the same under every aggregation.
 * Others: kl_coefficient, kl_estimator; value_coefficient, value_clip; the gates top_share, top_by, entropy_ratio_low,
 * entropy_ratio_high; entropy_alpha, entropy_kappa; positive_weight, negative_weight.
 *
 * At the bound of a clip the derivative is that of its inside; where the clipped value loss takes the greater of two
 * equal numbers it is half of each, as torch has it.
 *
 * With a context that has a comm, every rank makes the call with its own tokens (whole sequences; it may have none) and
 * the same objective, settings and wish for a result: counts and means are those of all ranks together, and so the
 * derivatives are those of one loss. The bits depend neither on the threads, the ranks, nor the level of instructions.
 * Losses are within 1e-8 of the sum of the sizes of their terms, derivatives within 1e-6 of the greatest of them (most
 * within 1e-7).
 *
 * Errors on which nothing is written: ARGUMENT (the array or parameter is named) and MEMORY. Errors that leave NaN at
 * every token in the record's arrays (0 in `kept`), and the result as it was: COMMUNICATION (another rank's call
 * failed, or settings differ), and DATA, where `diagnosis` counts this rank's tokens in trouble and names the first:
 * NAN; INFINITE; RATIO, ln p - ln p_old (or where a reference is given, ln p_reference - ln p) above 88.72, or terms
 * of the loss whose sum may be beyond 2^62; EMPTY_SUPPORT, no token counts on any rank. Sequences take 40 bytes each
 * from the context's allocator, gates up to 9 a token; other calls need none.
 */
ENTROL_API entrol_status entrol_objective_compute(entrol_context *context, const entrol_objective_record *record,
                                                  entrol_objective_result *result, entrol_diagnosis *diagnosis,
                                                  const entrol_objective *objective, const entrol_tokens *tokens,
                                                  const entrol_objective_options *options);

/* How KL(p || q) is estimated of draws from p, d = ln p - ln q (Schulman, Approximating KL divergence, 2020). */
typedef enum entrol_kl_estimator {
    ENTROL_KL_K1 = 0, /* d: unbiased */
    ENTROL_KL_K2,     /* d^2 / 2: of a right gradient */
    ENTROL_KL_K3      /* e^-d - 1 + d: unbiased and never negative */
} entrol_kl_estimator;

/* "k1", "k2", "k3"; NULL for a number that is no estimator. */
ENTROL_API const char *entrol_kl_estimator_name(entrol_kl_estimator estimator);

/* The estimate of each of n_tokens draws, and (NULL: not wanted) its derivative by ln p: 1, d, 1 - e^-d. `mask` as in
 * entrol_tokens. Errors: ARGUMENT; DATA: NAN, INFINITE, RATIO. */
ENTROL_API entrol_status entrol_kl_estimate(entrol_context *context, float *kl, float *derivative,
                                            entrol_diagnosis *diagnosis, const float *logprob,
                                            const float *reference_logprob, const uint8_t *mask, size_t n_tokens,
                                            entrol_kl_estimator estimator);

/* What became of an episode after a step. */
enum { ENTROL_STEP_GOES_ON = 0, ENTROL_STEP_TERMINATED = 1, ENTROL_STEP_TRUNCATED = 2 };

/* Steps of several environments at once: element (t, e) of an array is data[t * n_environments + e]. */
typedef struct entrol_trajectory {
    size_t size; /* sizeof(entrol_trajectory) */
    size_t n_steps, n_environments;
    const float *rewards;      /* of the step */
    const float *values;       /* of the observation before it */
    const float *last_values;  /* n_environments: of the observations after the last step */
    const uint8_t *ends;       /* ENTROL_STEP_: what the step did to the episode; NULL: all go on. CleanRL's dones are
                                  those of the step before */
    const float *final_values; /* where a step is TRUNCATED: the value of the observation that it led to, before the
                                  environment began again; NULL where no step is */
} entrol_trajectory;

#define ENTROL_TRAJECTORY_INIT                                                                                         \
    { sizeof(entrol_trajectory), 0, 0, NULL, NULL, NULL, NULL, NULL }

/* Generalised advantage estimation (arXiv 1506.02438): A_t = d_t + gamma lambda A_t+1, d_t = r_t + gamma v_t+1 - v_t.
 * An episode that terminated has neither v_t+1 nor A_t+1; one that was truncated has the final value, but no A_t+1.
 * `returns` (NULL: not wanted) are A + v; neither overlaps an input. gamma and lambda are in [0, 1]. Computed in
 * double. Errors: ARGUMENT, OVERFLOW; DATA: NAN; INFINITE, 2^96 or more; by the element's index. */
ENTROL_API entrol_status entrol_advantage_gae(entrol_context *context, float *advantages, float *returns,
                                              entrol_diagnosis *diagnosis, const entrol_trajectory *trajectory,
                                              double gamma, double lambda);

/* What a group's advantages are divided by. */
typedef enum entrol_advantage_scale {
    ENTROL_SCALE_GROUP = 0, /* the group's standard deviation (GRPO) */
    ENTROL_SCALE_BATCH,     /* that of all rewards, of all ranks, about their mean */
    ENTROL_SCALE_NONE       /* nothing (Dr. GRPO) */
} entrol_advantage_scale;

/* The advantage of each of n_groups' rewards over the mean of its group: (R - mean) / (deviation + epsilon), the
 * deviation with n - 1 below it. Group g is rewards[group_starts[g]] up to [group_starts[g + 1]]; groups are whole on a
 * rank. GRPO's epsilon is 1e-4 in TRL.
 *
 * A group of equal rewards gets exactly 0; it is counted in the diagnosis, by its first row (DEVIATION), which is no
 * error where epsilon is above 0. `advantages` may be `rewards`. Errors: ARGUMENT, COMMUNICATION; DATA: NAN; INFINITE,
 * 2^126 or more; GROUP, one reward alone; DEVIATION. Then nothing is written. */
ENTROL_API entrol_status entrol_advantage_group(entrol_context *context, float *advantages, entrol_diagnosis *diagnosis,
                                                const float *rewards, const size_t *group_starts, size_t n_groups,
                                                entrol_advantage_scale scale, double epsilon);

/* R less the mean of the other rewards of its group (RLOO, arXiv 2402.14740). Errors as above. */
ENTROL_API entrol_status entrol_advantage_leave_one_out(entrol_context *context, float *advantages,
                                                        entrol_diagnosis *diagnosis, const float *rewards,
                                                        const size_t *group_starts, size_t n_groups);

/* (A - mean) / (deviation + epsilon) over all ranks' advantages that count (mask as in entrol_tokens; others become 0),
 * the deviation with n - 1 below it; CleanRL's epsilon is 1e-8. `whitened` may be `advantages`. Equal advantages become
 * 0, which is diagnosed as above. Errors as above: GROUP, fewer than two. */
ENTROL_API entrol_status entrol_advantage_whiten(entrol_context *context, float *whitened, entrol_diagnosis *diagnosis,
                                                 const float *advantages, const uint8_t *mask, size_t n_advantages,
                                                 double epsilon);

/* of_tokens[i] = of_sequences[s] for the tokens i of each sequence s, as a reward or an advantage of whole sequences.
 * sequence_starts as in entrol_tokens. Error: ARGUMENT. */
ENTROL_API entrol_status entrol_advantage_repeat(float *of_tokens, const float *of_sequences,
                                                 const size_t *sequence_starts, size_t n_sequences);

#ifdef __cplusplus
}
#endif
#endif
