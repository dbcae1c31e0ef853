/* The tokens of which entropy is lost, by the covariance of ln p and A (arXiv 2505.22617): Clip-Cov takes some of them
 * out of the loss, KL-Cov holds them near the policy that acted. */
#include "objective_call.h"
#include "objective_parameters.h"
#include "objective_rows.h"

#include "base/context.h"
#include "base/random.h"
#include "base/ranks.h"

#include <string.h>

/* What is in the way, or in reach, of every token. */
typedef struct covariances {
    double logprob_mean, advantage_mean;
    uint64_t n_tokens;  /* that count, of all ranks */
    uint64_t first_own; /* tokens of lower ranks, counted or not */
} covariances;

static entrol_status find_means(ent_objective_call *call, covariances *found) {
    ent_objective_block block;
    ent_running_sum running[2];
    memset(running, 0, sizeof running);
    for (size_t at = 0; at < call->tokens.n_tokens; at += ENT_BLOCK) {
        const size_t left = call->tokens.n_tokens - at;
        ent_take_block(&block, call, at, left < ENT_BLOCK ? left : ENT_BLOCK);
        ent_load_block(&block, call);
        call->kernels->sum(&running[0], block.logprob);
        call->kernels->sum(&running[1], block.advantage);
    }
    ent_fold_sum(&running[0]);
    ent_fold_sum(&running[1]);
    entrol_sum sums[2] = {running[0].folded, running[1].folded};
    for (size_t i = 0; i < call->tokens.n_tokens; i++)
        sums[0].n += ent_counts(call, i) != 0;
    entrol_status status = ent_add_up_sums(call->context, ENTROL_OK, sums, 2);
    if (status == ENTROL_OK)
        status = ent_count_before(call->context, &found->first_own, NULL, call->tokens.n_tokens);
    found->n_tokens = sums[0].n;
    found->logprob_mean = entrol_sum_value(&sums[0]) / (double)sums[0].n;
    found->advantage_mean = entrol_sum_value(&sums[1]) / (double)sums[0].n;
    return status;
}

/* Draws among tokens are random numbers that each has, the least of which are taken. */
static uint64_t clip_key(const ent_objective_call *call, const covariances *means, size_t token, double covariance,
                         double slope, double term) {
    const int is_clipped = slope == 0 && term != 0;
    if (is_clipped || !(covariance > call->settings.covariance_low && covariance < call->settings.covariance_high))
        return UINT64_MAX;
    return ent_random(call->tokens.seed, means->first_own + token) >> 1;
}

static void fill_keys(uint64_t *keys, const ent_objective_call *call, const covariances *means) {
    ent_objective_block block;
    const ent_surrogate_call surrogate = {call->kernels, &call->settings};
    for (size_t at = 0; at < call->tokens.n_tokens; at += ENT_BLOCK) {
        const size_t left = call->tokens.n_tokens - at;
        ent_take_block(&block, call, at, left < ENT_BLOCK ? left : ENT_BLOCK);
        ent_load_block(&block, call);
        ent_find_ratios(&block, call);
        block.clips = (ent_clip_counts){0, 0, 0};
        call->row->surrogate(&block, &surrogate);
        for (size_t i = 0; i < block.n; i++) {
            const double covariance =
                (block.advantage[i] - means->advantage_mean) * (block.logprob[i] - means->logprob_mean);
            const int has_term = (call->flags[at + i] & ENT_HAS_TERM) != 0;
            keys[at + i] = !has_term ? UINT64_MAX
                           : call->row->covariance == ENT_COVARIANCE_KL
                               ? ~ent_key_of(covariance + 0.0)
                               : clip_key(call, means, at + i, covariance, block.slope[i], block.term[i]);
        }
    }
}

static void take_keys(ent_objective_call *call, const uint64_t *keys, ent_lowest least) {
    for (size_t i = 0; i < call->tokens.n_tokens; i++) {
        if (!ent_take_lowest(&least, keys[i]))
            continue;
        if (call->row->covariance == ENT_COVARIANCE_KL)
            call->flags[i] |= ENT_IS_PENALISED;
        else
            call->flags[i] = (uint8_t)(call->flags[i] & ~(unsigned)(ENT_HAS_TERM | ENT_HAS_GRADIENT));
    }
}

entrol_status ent_fill_covariance_flags(ent_objective_call *call) {
    covariances means;
    ent_lowest least;
    size_t n_bytes = 0;
    const size_t n = call->tokens.n_tokens;
    const int fits = ent_multiply(&n_bytes, n, sizeof(uint64_t));
    uint64_t *keys = fits ? ent_allocate(call->context, n_bytes) : NULL, n_open[2] = {0, 0};
    entrol_status status = find_means(call, &means);
    if (status == ENTROL_OK && keys)
        fill_keys(keys, call, &means);
    for (size_t i = 0; status == ENTROL_OK && keys && i < n; i++)
        n_open[0] += keys[i] != UINT64_MAX;
    if (status == ENTROL_OK)
        status = ent_add_up(call->context, keys ? ENTROL_OK : ENTROL_ERROR_MEMORY, n_open, 1);
    if (status == ENTROL_OK) {
        const uint64_t wanted = ent_choice_size(call->settings.covariance_share, means.n_tokens, 0);
        status = ent_find_least(call->context, &least, keys, n, wanted < n_open[0] ? wanted : n_open[0]);
    }
    if (status == ENTROL_OK)
        take_keys(call, keys, least);
    ent_release(call->context, keys);
    return status;
}

static const entrol_parameter clip_cov_parameters[] = {
    ENT_REAL("covariance_share", 2e-4, 0, 1, "share of the tokens that leaves the loss, at least one",
             "arXiv 2505.22617"),
    ENT_REAL("covariance_low", 1, -INFINITY, INFINITY, "they are drawn among those with a covariance above this",
             "arXiv 2505.22617"),
    ENT_REAL("covariance_high", 5, -INFINITY, INFINITY, "and below this", "arXiv 2505.22617"),
    ENT_P_CLIP(1, 1, "arXiv 2505.22617"),
    ENT_P_AGGREGATION(ENT_TOKEN_MEAN, ENT_OVER_VALID, "arXiv 2505.22617"),
    ENT_P_PLAIN,
};

const ent_objective_row ent_objective_clip_cov = {
    {"clip_cov", "leaves out a few of the tokens with a high covariance of ln p and A, drawn at random",
     "arXiv 2505.22617", ENT_PARAMETERS(clip_cov_parameters), ENT_RATIO_NEEDS, ENTROL_NEEDS_LOGPROB, ENTROL_SUPPORT_ALL,
     0},
    ent_surrogate_ppo,
    ENT_RATIO_TOKEN,
    ENT_COVARIANCE_CLIP,
    0};

static const entrol_parameter kl_cov_parameters[] = {
    ENT_REAL("covariance_share", 2e-3, 0, 1, "share of the tokens that has the penalty, at least one; 2e-4 for 32B",
             "arXiv 2505.22617, for 7B"),
    ENT_REAL("covariance_penalty", 1, 0, 1e6, "of their |ln p - ln p_old|", "arXiv 2505.22617"),
    ENT_P_AGGREGATION(ENT_TOKEN_MEAN, ENT_OVER_VALID, "arXiv 2505.22617"),
    ENT_P_PLAIN,
};

const ent_objective_row ent_objective_kl_cov = {
    {"kl_cov", "holds the tokens with the highest covariance of ln p and A near the policy that acted",
     "arXiv 2505.22617", ENT_PARAMETERS(kl_cov_parameters), ENT_RATIO_NEEDS, ENTROL_NEEDS_LOGPROB, ENTROL_SUPPORT_ALL,
     0},
    ent_surrogate_unclipped,
    ENT_RATIO_TOKEN,
    ENT_COVARIANCE_KL,
    0};
