/* Which tokens have a surrogate, a gradient, and an entropy bonus: by their entropy among all tokens (the 80/20 mask),
 * by what became of it (ERC), or among those of their sequence (SIREN). */
#include "objective_call.h"
#include "objective_parameters.h"
#include "objective_rows.h"

#include "base/context.h"
#include "base/order.h"
#include "base/ranks.h"

#include <math.h>
#include <stdlib.h>

static void begin_flags(ent_objective_call *call) {
    for (size_t i = 0; i < call->tokens.n_tokens; i++)
        call->flags[i] = ent_counts(call, i) ? ENT_COUNTS | ENT_HAS_TERM | ENT_HAS_GRADIENT | ENT_IS_COVERED : 0;
}

static void shut(uint8_t *flags, unsigned closed) {
    *flags = (uint8_t)(*flags & ~closed);
}

/* TRL's: at least the quantile of all ranks' entropies, so that ties are kept. */
static entrol_status keep_above_quantile(ent_objective_call *call, unsigned closed) {
    static const entrol_quantile_method methods[] = {ENTROL_QUANTILE_LINEAR, ENTROL_QUANTILE_TORCH,
                                                     ENTROL_QUANTILE_TORCH_F32_RANK};
    const entrol_tokens *tokens = &call->tokens;
    const double q = 1 - call->settings.top_share;
    entrol_quantile_options options = ENTROL_QUANTILE_OPTIONS_INIT;
    options.method = methods[(size_t)call->settings.top_by];
    double threshold = INFINITY;
    const entrol_status status = entrol_quantile(call->context, &threshold, NULL, tokens->entropy, tokens->mask,
                                                 tokens->n_tokens, &q, 1, &options);
    for (size_t i = 0; status == ENTROL_OK && i < tokens->n_tokens; i++)
        if (call->flags[i] && !((double)tokens->entropy[i] >= threshold))
            shut(&call->flags[i], closed);
    return status;
}

uint64_t ent_choice_size(double share, uint64_t n, double more) {
    const uint64_t wanted = (uint64_t)(share * (double)n + more);
    return n == 0 ? 0 : wanted == 0 ? 1 : wanted > n ? n : wanted;
}

/* The paper's code: exactly so many, of equal ones the earlier. */
static entrol_status keep_exactly(ent_objective_call *call, unsigned closed) {
    const size_t n = call->tokens.n_tokens;
    size_t n_bytes = 0;
    uint64_t n_valid[2] = {0, 0};
    const int fits = ent_multiply(&n_bytes, n, sizeof(uint64_t));
    uint64_t *keys = fits ? ent_allocate(call->context, n_bytes) : NULL;
    for (size_t i = 0; keys && i < n; i++) {
        n_valid[0] += call->flags[i] != 0;
        keys[i] = call->flags[i] ? ~ent_key_of((double)call->tokens.entropy[i] + 0.0) : UINT64_MAX;
    }
    ent_lowest least;
    entrol_status status = ent_add_up(call->context, keys ? ENTROL_OK : ENTROL_ERROR_MEMORY, n_valid, 1);
    if (status == ENTROL_OK)
        status = ent_find_least(call->context, &least, keys, n,
                                ent_choice_size(call->settings.top_share, n_valid[0], 0.9999));
    for (size_t i = 0; status == ENTROL_OK && i < n; i++)
        if (!ent_take_lowest(&least, keys[i]) && call->flags[i])
            shut(&call->flags[i], closed);
    ent_release(call->context, keys);
    return status;
}

static void keep_steady_entropies(ent_objective_call *call) {
    const entrol_tokens *tokens = &call->tokens;
    for (size_t i = 0; i < tokens->n_tokens; i++) {
        if (!call->flags[i])
            continue;
        const double ratio = ((double)tokens->entropy[i] + 1e-8) / ((double)tokens->old_entropy[i] + 1e-8);
        if (!(ratio > call->settings.entropy_ratio_low && ratio < call->settings.entropy_ratio_high))
            shut(&call->flags[i], ENT_HAS_GRADIENT);
    }
}

static int compare_floats(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The linear quantile of the entropies of a sequence's tokens that count, which `room` has room for; inf of none. */
static double quantile_of_sequence(const ent_objective_call *call, float *room, const float *entropy, size_t sequence) {
    const size_t *starts = call->tokens.sequence_starts;
    const double q = 1 - call->settings.entropy_share;
    size_t n = 0;
    for (size_t i = starts[sequence]; i < starts[sequence + 1]; i++)
        if (call->flags[i])
            room[n++] = entropy[i];
    if (n == 0)
        return INFINITY;
    qsort(room, n, sizeof *room, compare_floats);
    const uint64_t k = ent_quantile_rank(n, q, ENTROL_QUANTILE_LINEAR);
    const ent_ranked ranked = {.k = k, .value = room[k], .next = room[k + 1 < n ? k + 1 : k]};
    return ent_quantile_value(&ranked, n, q, ENTROL_QUANTILE_LINEAR);
}

static size_t longest_sequence(const ent_objective_call *call) {
    size_t longest = 0;
    for (size_t s = 0; call->sequences && s < call->tokens.n_sequences; s++) {
        const size_t n = call->tokens.sequence_starts[s + 1] - call->tokens.sequence_starts[s];
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* Of each sequence, those at or above a quantile of its own. */
static entrol_status cover_top_of_sequences(ent_objective_call *call) {
    const entrol_tokens *tokens = &call->tokens;
    const float *entropy = call->row->bonus_on_support ? tokens->support_entropy : tokens->entropy;
    float *room = ent_allocate(call->context, longest_sequence(call) * sizeof *room); /* of an array in memory */
    for (size_t s = 0; room && call->sequences && s < tokens->n_sequences; s++) {
        const double threshold = quantile_of_sequence(call, room, entropy, s);
        for (size_t i = tokens->sequence_starts[s]; i < tokens->sequence_starts[s + 1]; i++)
            if (!((double)entropy[i] >= threshold))
                shut(&call->flags[i], ENT_IS_COVERED);
    }
    ent_release(call->context, room);
    return room ? ENTROL_OK : ENTROL_ERROR_MEMORY;
}

entrol_status ent_fill_flags(ent_objective_call *call) {
    const ent_objective_settings *settings = &call->settings;
    const unsigned closed =
        ENT_HAS_TERM | ENT_HAS_GRADIENT | (settings->entropy_share < 1 ? 0u : (unsigned)ENT_IS_COVERED);
    entrol_status status = ENTROL_OK;
    begin_flags(call);
    if (settings->top_share < 1)
        status = settings->top_by == ENT_TOP_EXACT ? keep_exactly(call, closed) : keep_above_quantile(call, closed);
    if (status == ENTROL_OK && (settings->entropy_ratio_low > 0 || settings->entropy_ratio_high < INFINITY))
        keep_steady_entropies(call);
    if (status == ENTROL_OK && call->row->covariance != ENT_COVARIANCE_NONE)
        status = ent_fill_covariance_flags(call);
    if (status == ENTROL_OK && settings->entropy_share < 1)
        status = ent_agree(call->context, cover_top_of_sequences(call));
    return status;
}

static const entrol_parameter high_entropy_parameters[] = {
    ENT_P_CLIP(0.2, 0.28, "arXiv 2506.01939"),
    ENT_P_AGGREGATION(ENT_TOKEN_MEAN, ENT_OVER_SELECTED, "arXiv 2506.01939"),
    ENT_P_TERMS(0, 0, NULL),
    ENT_P_WEIGHTS(1, 0, NULL),
    ENT_P_GATES(0.2, 0, INFINITY, "arXiv 2506.01939"),
};

const ent_objective_row ent_objective_high_entropy = {
    {"high_entropy", "the 80/20 rule: only the fifth of the tokens with the highest entropy teaches",
     "arXiv 2506.01939", ENT_PARAMETERS(high_entropy_parameters), ENT_RATIO_NEEDS | ENTROL_NEEDS_ENTROPY,
     ENTROL_NEEDS_LOGPROB, ENTROL_SUPPORT_ALL, 0},
    ent_surrogate_ppo,
    ENT_RATIO_TOKEN,
    ENT_COVARIANCE_NONE,
    0};

static const entrol_parameter erc_parameters[] = {
    ENT_P_CLIP(0.2, 0.28, "arXiv 2512.05591"),
    ENT_P_AGGREGATION(ENT_TOKEN_MEAN, ENT_OVER_VALID, NULL),
    ENT_P_TERMS(0, 0, NULL),
    ENT_P_WEIGHTS(1, 0, NULL),
    ENT_P_GATES(1, 0.8, 1.2, "arXiv 2512.05591; its released runs have 0.95 and 1.05"),
};

const ent_objective_row ent_objective_erc = {
    {"erc", "no gradient from a token whose entropy has changed by more than its share", "arXiv 2512.05591",
     ENT_PARAMETERS(erc_parameters), ENT_RATIO_NEEDS | ENTROL_NEEDS_ENTROPY | ENTROL_NEEDS_OLD_ENTROPY,
     ENTROL_NEEDS_LOGPROB, ENTROL_SUPPORT_ALL, 0},
    ent_surrogate_ppo,
    ENT_RATIO_TOKEN,
    ENT_COVARIANCE_NONE,
    0};
