/* One ratio for a whole sequence, the geometric mean of its tokens' (GSPO), or of theirs clipped (GMPO). With
 * s = e^(sum c_t / n) and a loss of terms f(s, A_t), every token's ln p has the derivative s (sum_u df/ds) / n dc_t. */
#include "objective_call.h"
#include "objective_parameters.h"
#include "objective_rows.h"

#include "base/compensated.h"
#include "base/context.h"

#include <math.h>

enum { SEQUENCES_OF_TASK = 64 };

static double log_ratio_of(const ent_objective_call *call, size_t token) {
    const entrol_tokens *tokens = &call->tokens;
    return tokens->old_logprob ? (double)tokens->logprob[token] - (double)tokens->old_logprob[token] : 0;
}

/* 1 where the token's ratio is held at a bound, which is on the side where its advantage would push it. */
static int is_held(const ent_objective_call *call, size_t token) {
    const double x = log_ratio_of(call, token);
    return call->tokens.advantage[token] > 0 ? x > call->settings.clip_high : x < -call->settings.clip_low;
}

/* Whether the token is one of those whose mean is taken. GMPO's has no part of tokens that a gate leaves out. */
static int is_part(const ent_objective_call *call, size_t token) {
    if (call->row->ratio == ENT_RATIO_CLIPPED && call->flags)
        return (call->flags[token] & ENT_HAS_TERM) != 0;
    return ent_counts(call, token);
}

double ent_ratio_slope(const ent_objective_call *call, size_t token) {
    return is_part(call, token) && !(call->row->ratio == ENT_RATIO_CLIPPED && is_held(call, token));
}

static double part_of(const ent_objective_call *call, size_t token) {
    if (call->row->ratio != ENT_RATIO_CLIPPED || !is_held(call, token))
        return log_ratio_of(call, token);
    return call->tokens.advantage[token] > 0 ? call->settings.clip_high : -call->settings.clip_low;
}

/* The sum of the tokens' derivatives by ln s, each times its factors. */
static double sum_slopes(const ent_objective_call *call, ent_objective_block *block, size_t s) {
    const size_t begin = call->tokens.sequence_starts[s], end = call->tokens.sequence_starts[s + 1];
    const ent_surrogate_call surrogate = {call->kernels, &call->settings};
    const double ratio = exp(call->sequences[s].log_ratio);
    ent_compensated sum = {0, 0};
    for (size_t at = begin; at < end; at += ENT_BLOCK) {
        ent_take_block(block, call, at, end - at < ENT_BLOCK ? end - at : ENT_BLOCK);
        ent_load_block(block, call);
        for (size_t i = 0; i < ENT_BLOCK; i++)
            block->ratio[i] = ratio;
        call->row->surrogate(block, &surrogate);
        for (size_t i = 0; i < block->n; i++) {
            const double factor = ent_term_factor(call, at + i) * call->sequences[s].share;
            ent_compensated_add(&sum, block->slope[i] * ent_slope_factor(call, at + i, factor));
        }
    }
    return sum.sum;
}

static void find_ratio(ent_objective_call *call, ent_objective_block *block, size_t s) {
    ent_compensated sum = {0, 0};
    size_t n = 0;
    for (size_t i = call->tokens.sequence_starts[s]; i < call->tokens.sequence_starts[s + 1]; i++) {
        if (!is_part(call, i))
            continue;
        ent_compensated_add(&sum, part_of(call, i));
        n++;
    }
    call->sequences[s].log_ratio = n ? sum.sum / (double)n : 0;
    call->sequences[s].slope = n ? sum_slopes(call, block, s) / (double)n : 0;
}

static void find_ratios_of_task(void *argument, size_t index) {
    ent_objective_call *call = argument;
    const size_t begin = index * SEQUENCES_OF_TASK, n = call->tokens.n_sequences;
    ent_objective_block block = {.n = 0};
    for (size_t s = begin; s < n && s < begin + SEQUENCES_OF_TASK; s++)
        find_ratio(call, &block, s);
}

void ent_find_sequence_ratios(ent_objective_call *call) {
    const size_t n = call->tokens.n_sequences, n_tasks = n / SEQUENCES_OF_TASK + (n % SEQUENCES_OF_TASK != 0);
    if (n_tasks)
        ent_parallel_for(call->context, n_tasks, find_ratios_of_task, call);
}

static const entrol_parameter gspo_parameters[] = {
    ENT_P_CLIP(3e-4, 4e-4, "arXiv 2507.18071"),
    ENT_P_AGGREGATION(ENT_SEQUENCE_MEAN, ENT_OVER_VALID, "arXiv 2507.18071"),
    ENT_P_PLAIN,
};

const ent_objective_row ent_objective_gspo = {
    {"gspo", "one ratio for each response, the geometric mean of its tokens', clipped", "arXiv 2507.18071",
     ENT_PARAMETERS(gspo_parameters), ENT_RATIO_NEEDS | ENTROL_NEEDS_SEQUENCES, ENTROL_NEEDS_LOGPROB,
     ENTROL_SUPPORT_ALL, 0},
    ent_surrogate_ppo,
    ENT_RATIO_SEQUENCE,
    ENT_COVARIANCE_NONE,
    0};

static const entrol_parameter gmpo_parameters[] = {
    ENT_REAL("clip_low", 0.4, 0, INFINITY, "a token's ln ratio is held above minus this where A <= 0",
             "arXiv 2507.20673"),
    ENT_REAL("clip_high", 0.4, 0, INFINITY, "a token's ln ratio is held below this where A > 0", "arXiv 2507.20673"),
    ENT_P_AGGREGATION(ENT_SEQUENCE_MEAN, ENT_OVER_SELECTED, "arXiv 2507.20673"),
    ENT_P_PLAIN,
};

const ent_objective_row ent_objective_gmpo = {
    {"gmpo", "the geometric mean of a response's clipped ratios in place of the mean of its tokens' terms",
     "arXiv 2507.20673", ENT_PARAMETERS(gmpo_parameters), ENT_RATIO_NEEDS | ENTROL_NEEDS_SEQUENCES,
     ENTROL_NEEDS_LOGPROB, ENTROL_SUPPORT_ALL, 0},
    ent_surrogate_unclipped,
    ENT_RATIO_CLIPPED,
    ENT_COVARIANCE_NONE,
    0};
