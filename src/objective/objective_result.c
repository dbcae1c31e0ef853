/* What the sums of all ranks come to. */
#include "objective_call.h"

#include "base/context.h"
#include "base/ranks.h"

#include <math.h>
#include <string.h>

/* A sum's value; what it refused was beyond 2^62. */
static double value_of(const entrol_sum *sum) {
    return sum->n_bad ? INFINITY : entrol_sum_value(sum);
}

static double mean_of(const entrol_objective_result *result, entrol_objective_sum which) {
    const entrol_sum *sum = &result->sums[which];
    return sum->n ? value_of(sum) / (double)sum->n : NAN;
}

/* What a sum is more than its value, which is rounded. */
static double rest_of(const entrol_sum *sum, double value) {
    entrol_sum rest = *sum;
    entrol_sum_add(&rest, -value);
    return entrol_sum_value(&rest);
}

/* n times the sum of squared deviations, n S2 - S1^2, in twice the digits: both are near each other. */
static double spread_of(const entrol_sum *first, const entrol_sum *second) {
    if (first->n_bad || second->n_bad || !(fabs(entrol_sum_value(first)) < 0x1p62))
        return NAN;
    const double n = (double)first->n, s1 = entrol_sum_value(first), s2 = entrol_sum_value(second);
    const double rest1 = rest_of(first, s1), rest2 = fabs(s2) < 0x1p62 ? rest_of(second, s2) : 0;
    const double a = n * s2, b = s1 * s1;
    return (a - b) + (fma(n, s2, -a) - fma(s1, s1, -b)) + (n * rest2 - 2 * s1 * rest1);
}

static double explained_variance(const entrol_objective_result *result) {
    const entrol_sum *sums = result->sums;
    const double of_returns = spread_of(&sums[ENTROL_SUM_RETURN], &sums[ENTROL_SUM_RETURN_SQUARED]);
    const double of_errors = spread_of(&sums[ENTROL_SUM_ERROR], &sums[ENTROL_SUM_ERROR_SQUARED]);
    return of_returns > 0 ? 1 - of_errors / of_returns : NAN;
}

static void set_losses(entrol_objective_result *result, const ent_objective_call *call) {
    const ent_objective_settings *settings = &call->settings;
    const entrol_sum *sums = result->sums;
    const int is_anchored = !isnan(settings->entropy_target);
    result->policy_loss = value_of(&sums[ENTROL_SUM_POLICY]) * call->scale;
    result->reference_kl = settings->kl_coefficient != 0 ? value_of(&sums[ENTROL_SUM_KL]) * call->kl_scale : NAN;
    result->kl_loss = settings->kl_coefficient != 0 ? settings->kl_coefficient * result->reference_kl : 0;
    result->covered_entropy = is_anchored ? call->covered_mean : mean_of(result, ENTROL_SUM_COVERED_ENTROPY);
    const double distance = result->covered_entropy - settings->entropy_target;
    result->entropy_loss = 0;
    if (settings->entropy_coefficient != 0 && call->counts.covered)
        result->entropy_loss = is_anchored ? settings->entropy_coefficient * distance * distance
                                           : -settings->entropy_coefficient * result->covered_entropy;
    result->value_loss =
        settings->value_coefficient != 0 ? settings->value_coefficient * mean_of(result, ENTROL_SUM_VALUE) : 0;
    result->loss = result->policy_loss + result->kl_loss + result->entropy_loss + result->value_loss;
}

static void set_logs(entrol_objective_result *result, const ent_objective_call *call) {
    const double n = (double)call->counts.tokens;
    const double mean_product = mean_of(result, ENTROL_SUM_PRODUCT);
    result->entropy = mean_of(result, ENTROL_SUM_ENTROPY);
    result->kl_k1 = mean_of(result, ENTROL_SUM_K1);
    result->kl_k2 = mean_of(result, ENTROL_SUM_K2);
    result->kl_k3 = mean_of(result, ENTROL_SUM_K3);
    result->ratio_mean = 1 + result->kl_k3 - result->kl_k1;
    result->ratio_greatest = call->greatest_ratio;
    result->clip_low = (double)call->clips.low / n;
    result->clip_high = (double)call->clips.high / n;
    result->clip_dual = (double)call->clips.dual / n;
    result->covariance = mean_product - mean_of(result, ENTROL_SUM_LOGPROB) * mean_of(result, ENTROL_SUM_ADVANTAGE);
    result->explained_variance = explained_variance(result);
    result->n_tokens = call->counts.tokens;
    result->n_sequences = call->counts.sequences;
    result->n_covered = call->counts.covered;
    result->n_kept = call->n_kept;
}

/* How many terms each sum has: this rank's tokens that count, where it had their array. */
static void set_terms(ent_objective_call *call, uint64_t n_tokens, uint64_t n_covered) {
    const entrol_tokens *tokens = &call->tokens;
    const int has_critic = tokens->value && tokens->target_return;
    const int has_bonus = call->row->bonus_on_support ? tokens->support_entropy != NULL : tokens->entropy != NULL;
    entrol_sum *sums = call->sums;
    if (!call->row->bonus_on_support && !call->flags)
        sums[ENTROL_SUM_COVERED_ENTROPY] = sums[ENTROL_SUM_ENTROPY];
    for (size_t i = 0; i < ENTROL_OBJECTIVE_SUMS; i++)
        sums[i].n = n_tokens;
    sums[ENTROL_SUM_KL].n = call->settings.kl_coefficient != 0 ? n_tokens : 0;
    sums[ENTROL_SUM_ENTROPY].n = tokens->entropy ? n_tokens : 0;
    sums[ENTROL_SUM_COVERED_ENTROPY].n = has_bonus ? n_covered : 0;
    for (size_t i = ENTROL_SUM_K1; i < ENTROL_OBJECTIVE_SUMS; i++)
        sums[i].n = call->wants_logs && (i < ENTROL_SUM_ERROR || has_critic) ? n_tokens : 0;
    sums[ENTROL_SUM_VALUE].n = has_critic && (call->wants_logs || call->settings.value_coefficient != 0) ? n_tokens : 0;
}

/* The greatest ratio of all ranks: the least of keys that fall as it grows. */
static entrol_status find_greatest(ent_objective_call *call) {
    const uint64_t key = ~ent_key_of(call->greatest_ratio);
    ent_lowest least;
    const entrol_status status = ent_find_least(call->context, &least, &key, 1, 1);
    const uint64_t pattern =
        ~least.threshold & ~(UINT64_C(1) << 63); /* a key's first bit is set where it is positive */
    memcpy(&call->greatest_ratio, &pattern, sizeof pattern);
    return status;
}

entrol_status ent_finish_result(ent_objective_call *call, entrol_objective_result *result) {
    set_terms(call, call->own.tokens, call->own.covered);
    entrol_status status = ent_add_up_sums(call->context, ENTROL_OK, call->sums, ENTROL_OBJECTIVE_SUMS);
    uint64_t counts[5] = {call->clips.low, call->clips.high, call->clips.dual, call->n_kept};
    if (status == ENTROL_OK)
        status = ent_add_up(call->context, ENTROL_OK, counts, 4);
    if (status == ENTROL_OK && ent_comm(call->context).size > 1)
        status = find_greatest(call);
    if (status != ENTROL_OK)
        return status;
    call->clips = (ent_clip_counts){counts[0], counts[1], counts[2]};
    call->n_kept = counts[3];
    memcpy(result->sums, call->sums, sizeof result->sums);
    set_losses(result, call);
    set_logs(result, call);
    return ENTROL_OK;
}
