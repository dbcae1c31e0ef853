/* One call of entrol_objective_compute on its way: what is known before the tokens are worked off, and what they come
 * to. */
#ifndef ENT_OBJECTIVE_CALL_H
#define ENT_OBJECTIVE_CALL_H

#include "objective_internal.h"

#include <pthread.h>

/* What gates say of a token; all are 0 where it does not count. */
enum {
    ENT_HAS_TERM = 1,     /* its surrogate is in the loss */
    ENT_HAS_GRADIENT = 2, /* and has a derivative */
    ENT_IS_COVERED = 4,   /* by the entropy bonus */
    ENT_IS_PENALISED = 8, /* KL-Cov's */
    ENT_COUNTS = 16
};

/* Of a sequence of this rank. */
typedef struct ent_sequence {
    double share;            /* of its tokens' surrogates: what each is multiplied by beside the scale of all */
    double kl_share;         /* of their KL penalties */
    double cover_share;      /* of their entropies, where the means of sequences are averaged */
    double log_ratio, slope; /* of its ratio: see sequence_ratio.c */
} ent_sequence;

/* Of all ranks. */
typedef struct ent_objective_counts {
    uint64_t tokens, sequences;
    uint64_t selected; /* tokens that gates let through */
    uint64_t covered;
    uint64_t covered_sequences; /* with at least one of them */
} ent_objective_counts;

/* What is known of all tokens that count: the greatest size in each array, and the greatest logarithms of ratios. */
typedef struct ent_bounds {
    ent_greatest sizes[ENT_INPUTS];
    ent_greatest log_ratio, reference_ratio;
} ent_bounds;

typedef struct ent_objective_call {
    entrol_context *context;
    const ent_objective_kernels *kernels;
    const ent_objective_row *row;
    ent_objective_settings settings;
    entrol_tokens tokens;
    entrol_objective_record record;
    int wants_result, wants_logs;     /* logs: all of it */
    uint8_t *flags;                   /* one a token; NULL where there is no gate */
    ent_sequence *sequences;          /* NULL where nothing is asked of them */
    ent_objective_counts own, counts; /* this rank's; those of all */
    double scale, kl_scale;           /* of a token's surrogate and penalty, beside its sequence's share */
    double entropy_slope;             /* dL/d(mean entropy of covered tokens) */
    double covered_mean;              /* known before only where the bonus is anchored */
    int is_large;                     /* results go past the caches */
    double greatest_ratio;            /* at least 1 */
    int is_dry;                       /* 1: nothing is written, tokens are only looked at */
    double term_limit;                /* of a dry call: a term is too great from here on */
    pthread_mutex_t lock;             /* of what follows */
    ent_bounds bounds;
    entrol_sum sums[ENTROL_OBJECTIVE_SUMS];
    ent_clip_counts clips;
    uint64_t n_kept;
    uint64_t n_beyond; /* of a dry call: terms that are too great, and the first one's token */
    size_t first_beyond;
    entrol_sum sizes; /* and the sum of all terms' sizes, in units of 2^31 */
} ent_objective_call;

/* objective_check.c: ARGUMENT for what is missing or does not fit; DATA for tokens that no loss can be made of. */
entrol_status ent_check_tokens(const ent_objective_call *call, entrol_diagnosis *diagnosis);
entrol_status ent_check_data(ent_objective_call *call, entrol_diagnosis *diagnosis);
/* The same of tokens that were worked off, and of terms that are beyond what can be summed. */
entrol_status ent_check_bounds(ent_objective_call *call, entrol_diagnosis *diagnosis);
/* An array of entrol_tokens, ENT_IN_. */
const float *ent_input(const entrol_tokens *tokens, size_t array);
/* Looks at a block's arrays, which are added to `sums` (ENT_INPUTS of them; NULL: not wanted). */
void ent_look_at_block(ent_bounds *bounds, ent_running_sum *const *sums, const ent_objective_kernels *kernels,
                       const ent_objective_block *block);
void ent_merge_bounds(ent_objective_call *call, const ent_bounds *bounds); /* under the lock */

/* gates.c: fills flags. */
entrol_status ent_fill_flags(ent_objective_call *call);
/* How many of n tokens a share is, and `more` of one: a whole number, at least 1. */
uint64_t ent_choice_size(double share, uint64_t n, double more);
/* covariance.c: Clip-Cov's and KL-Cov's part of it. */
entrol_status ent_fill_covariance_flags(ent_objective_call *call);
/* objective_scales.c: counts, shares and scales, which need the flags of all ranks. */
entrol_status ent_find_scales(ent_objective_call *call, entrol_diagnosis *diagnosis);
/* sequence_ratio.c: log_ratio and slope of sequences. */
void ent_find_sequence_ratios(ent_objective_call *call);
/* What a token's own ratio moves its sequence's by, but for the number of tokens: 1, or 0 where it is clipped. */
double ent_ratio_slope(const ent_objective_call *call, size_t token);

/* objective_evaluate.c: works off all tokens. */
void ent_evaluate_tokens(ent_objective_call *call);
/* A block's arrays as they are given, or with 0 for what does not count. */
void ent_take_block(ent_objective_block *block, const ent_objective_call *call, size_t begin, size_t n);
/* Fills, of a block that was taken, all but what is made of ratios; and that. */
void ent_load_block(ent_objective_block *block, const ent_objective_call *call);
void ent_find_ratios(ent_objective_block *block, const ent_objective_call *call);
/* What a token's surrogate is multiplied by: its weights, and 0 for a gate; and its derivative, of that. */
double ent_term_factor(const ent_objective_call *call, size_t token);
double ent_slope_factor(const ent_objective_call *call, size_t token, double term_factor);

/* objective_result.c: sums over the ranks, and what they come to. */
entrol_status ent_finish_result(ent_objective_call *call, entrol_objective_result *result);

static inline int ent_counts(const ent_objective_call *call, size_t token) {
    return !call->tokens.mask || call->tokens.mask[token];
}

#endif
