/* What is wrong with tokens: arrays that are missing, and numbers that no loss can be made of. */
#include "objective_call.h"

#include "base/context.h"
#include "base/trouble.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 64 * ENT_BLOCK, N_PARTS = 4 }; /* of a loss: policy, penalty, value, entropy */

typedef struct array {
    unsigned need; /* 0: of no need's */
    const char *name;
    size_t offset; /* in entrol_tokens */
} array;

#define ARRAY(need, name)                                                                                              \
    { need, #name, offsetof(entrol_tokens, name) }

static const array arrays[ENT_INPUTS] = {
    [ENT_IN_LOGPROB] = ARRAY(ENTROL_NEEDS_LOGPROB, logprob),
    [ENT_IN_OLD_LOGPROB] = ARRAY(0, old_logprob),
    [ENT_IN_REFERENCE_LOGPROB] = ARRAY(ENTROL_NEEDS_REFERENCE_LOGPROB, reference_logprob),
    [ENT_IN_ADVANTAGE] = ARRAY(ENTROL_NEEDS_ADVANTAGE, advantage),
    [ENT_IN_ENTROPY] = ARRAY(ENTROL_NEEDS_ENTROPY, entropy),
    [ENT_IN_OLD_ENTROPY] = ARRAY(ENTROL_NEEDS_OLD_ENTROPY, old_entropy),
    [ENT_IN_SUPPORT_ENTROPY] = ARRAY(ENTROL_NEEDS_SUPPORT_ENTROPY, support_entropy),
    [ENT_IN_VALUE] = ARRAY(ENTROL_NEEDS_VALUE, value),
    [ENT_IN_TARGET_RETURN] = ARRAY(ENTROL_NEEDS_VALUE, target_return),
    [ENT_IN_OLD_VALUE] = ARRAY(ENTROL_NEEDS_OLD_VALUE, old_value),
    [ENT_IN_WEIGHT] = ARRAY(0, weight),
};

const float *ent_input(const entrol_tokens *tokens, size_t array) {
    const float *data;
    memcpy(&data, (const char *)tokens + arrays[array].offset, sizeof data);
    return data;
}

static const char *find_missing(const ent_objective_call *call) {
    const unsigned needs = ent_objective_needs(call->row, &call->settings);
    for (size_t i = 0; call->tokens.n_tokens && i < ENT_INPUTS; i++)
        if ((needs & arrays[i].need) && !ent_input(&call->tokens, i))
            return arrays[i].name;
    return (needs & ENTROL_NEEDS_SEQUENCES) && !call->tokens.sequence_starts && call->tokens.n_tokens
               ? "sequence_starts"
               : NULL;
}

static int are_starts(const size_t *starts, size_t n_sequences, size_t n_tokens) {
    for (size_t i = 0; i < n_sequences; i++)
        if (starts[i] > starts[i + 1])
            return 0;
    return starts[0] == 0 && starts[n_sequences] == n_tokens;
}

entrol_status ent_check_tokens(const ent_objective_call *call, entrol_diagnosis *diagnosis) {
    const entrol_tokens *tokens = &call->tokens;
    const char *missing = find_missing(call);
    if (missing)
        return ent_bad_argument(diagnosis, missing);
    if (tokens->sequence_starts && !are_starts(tokens->sequence_starts, tokens->n_sequences, tokens->n_tokens))
        return ent_bad_argument(diagnosis, "sequence_starts");
    return ENTROL_OK;
}

static void raise_to(ent_greatest *greatest, const ent_greatest *other) {
    for (size_t i = 0; i < sizeof other->lanes / sizeof *other->lanes; i++)
        greatest->lanes[i] = other->lanes[i] > greatest->lanes[i] ? other->lanes[i] : greatest->lanes[i];
}

void ent_look_at_block(ent_bounds *bounds, ent_running_sum *const *sums, const ent_objective_kernels *kernels,
                       const ent_objective_block *block) {
    const float *const *in = block->in;
    for (size_t i = 0; i < ENT_INPUTS; i++)
        if (in[i])
            kernels->look(&bounds->sizes[i], sums[i], in[i]);
    if (in[ENT_IN_OLD_LOGPROB])
        kernels->look_at_difference(&bounds->log_ratio, in[ENT_IN_LOGPROB], in[ENT_IN_OLD_LOGPROB]);
    if (in[ENT_IN_REFERENCE_LOGPROB])
        kernels->look_at_difference(&bounds->reference_ratio, in[ENT_IN_REFERENCE_LOGPROB], in[ENT_IN_LOGPROB]);
}

void ent_merge_bounds(ent_objective_call *call, const ent_bounds *bounds) {
    for (size_t i = 0; i < ENT_INPUTS; i++)
        raise_to(&call->bounds.sizes[i], &bounds->sizes[i]);
    raise_to(&call->bounds.log_ratio, &bounds->log_ratio);
    raise_to(&call->bounds.reference_ratio, &bounds->reference_ratio);
}

static void look_at_chunk(void *argument, size_t index) {
    ent_objective_call *call = argument;
    const size_t begin = index * CHUNK, left = call->tokens.n_tokens - begin,
                 end = begin + (left < CHUNK ? left : CHUNK);
    ent_objective_block block;
    ent_running_sum *const no_sums[ENT_INPUTS] = {NULL};
    ent_bounds bounds;
    memset(&bounds, 0, sizeof bounds);
    for (size_t at = begin; at < end; at += ENT_BLOCK) {
        ent_take_block(&block, call, at, end - at < ENT_BLOCK ? end - at : ENT_BLOCK);
        ent_look_at_block(&bounds, no_sums, call->kernels, &block);
    }
    pthread_mutex_lock(&call->lock);
    ent_merge_bounds(call, &bounds);
    pthread_mutex_unlock(&call->lock);
}

static double number_of(const ent_greatest *greatest) {
    int32_t pattern = 0;
    float number;
    for (size_t i = 0; i < sizeof greatest->lanes / sizeof *greatest->lanes; i++)
        pattern = greatest->lanes[i] > pattern ? greatest->lanes[i] : pattern;
    memcpy(&number, &pattern, sizeof number);
    return (double)number;
}

/* What is wrong with a token, by itself. */
static entrol_reason trouble_of(const entrol_tokens *tokens, size_t i) {
    entrol_reason found = ENTROL_REASON_NONE;
    for (size_t k = 0; k < ENT_INPUTS; k++) {
        const float *data = ent_input(tokens, k);
        if (data && isnan(data[i]))
            return ENTROL_REASON_NAN;
        if (data && isinf(data[i]))
            found = ENTROL_REASON_INFINITE;
    }
    if (found != ENTROL_REASON_NONE)
        return found;
    const int is_beyond = tokens->old_logprob && tokens->logprob[i] - tokens->old_logprob[i] > ENT_GREATEST_LOG_RATIO;
    const int is_far =
        tokens->reference_logprob && tokens->reference_logprob[i] - tokens->logprob[i] > ENT_GREATEST_LOG_RATIO;
    return is_beyond || is_far ? ENTROL_REASON_RATIO : ENTROL_REASON_NONE;
}

static int is_sound(const ent_bounds *bounds) {
    int is_finite = 1;
    for (size_t i = 0; i < ENT_INPUTS; i++)
        is_finite = is_finite && isfinite(number_of(&bounds->sizes[i]));
    return is_finite && number_of(&bounds->log_ratio) <= (double)ENT_GREATEST_LOG_RATIO &&
           number_of(&bounds->reference_ratio) <= (double)ENT_GREATEST_LOG_RATIO;
}

static entrol_status diagnose_tokens(const ent_objective_call *call, entrol_diagnosis *diagnosis) {
    entrol_diagnosis found = {0};
    for (size_t i = 0; i < call->tokens.n_tokens; i++) {
        const entrol_reason reason = ent_counts(call, i) ? trouble_of(&call->tokens, i) : ENTROL_REASON_NONE;
        if (reason != ENTROL_REASON_NONE)
            ent_trouble_note(&found, i, 0, reason);
    }
    if (diagnosis)
        *diagnosis = found;
    return found.n_bad ? ENTROL_ERROR_DATA : ENTROL_OK;
}

/* What no term of the policy's loss is beyond, nor its derivative, by the greatest of each factor. */
static double bound_of_policy(const ent_objective_call *call, const double *sizes) {
    const ent_objective_settings *settings = &call->settings;
    const double weight = call->tokens.weight ? sizes[ENT_IN_WEIGHT] : 1;
    const double of_sign = fmax(1, fmax(settings->positive_weight, settings->negative_weight));
    const double raised =
        fmax(sizes[ENT_IN_ADVANTAGE] / settings->entropy_kappa, settings->entropy_alpha * sizes[ENT_IN_ENTROPY]);
    const double advantage = sizes[ENT_IN_ADVANTAGE] + (settings->entropy_alpha != 0 ? raised : 0);
    const double ratio = exp(number_of(&call->bounds.log_ratio)) * (1 + sizes[ENT_IN_LOGPROB]);
    const double penalty = settings->covariance_penalty * (1 + sizes[ENT_IN_LOGPROB] + sizes[ENT_IN_OLD_LOGPROB]);
    const double steepness = fmax(1, 4 / fmin(settings->tau_positive, settings->tau_negative));
    return (advantage * ratio * steepness + penalty) * weight * of_sign;
}

/* The same of all parts of the loss. */
static double bound_of_terms(const ent_objective_call *call) {
    const ent_objective_settings *settings = &call->settings;
    double sizes[ENT_INPUTS];
    for (size_t i = 0; i < ENT_INPUTS; i++)
        sizes[i] = number_of(&call->bounds.sizes[i]);
    const double share = settings->aggregation == ENT_CONSTANT ? fmax(1, 1 / settings->length) : 1;
    const double distance = sizes[ENT_IN_LOGPROB] + sizes[ENT_IN_REFERENCE_LOGPROB];
    const double kl = distance + distance * distance + exp(number_of(&call->bounds.reference_ratio));
    const double error = sizes[ENT_IN_VALUE] + sizes[ENT_IN_TARGET_RETURN] + sizes[ENT_IN_OLD_VALUE];
    const double entropy = sizes[call->row->bonus_on_support ? ENT_IN_SUPPORT_ENTROPY : ENT_IN_ENTROPY];
    double bound = bound_of_policy(call, sizes) * share;
    bound += settings->kl_coefficient != 0 ? kl * share : 0;
    bound += settings->value_coefficient != 0 ? error * (1 + error) : 0;
    return bound + (settings->entropy_coefficient != 0 ? entropy : 0);
}

/* Works off all tokens once more, without writing, where terms may be too great for an exact sum of all ranks'. */
static entrol_status look_at_terms(ent_objective_call *call, entrol_diagnosis *diagnosis) {
    const double n_ranks = (double)ent_comm(call->context).size;
    call->is_dry = 1;
    call->term_limit = 0x1p62;
    ent_evaluate_tokens(call);
    if (call->n_beyond == 0 && entrol_sum_value(&call->sizes) * n_ranks >= 0x1p31) { /* then these are */
        call->term_limit = 0x1p62 / ((double)call->own.tokens * n_ranks * N_PARTS);
        ent_evaluate_tokens(call);
    }
    call->is_dry = 0;
    if (call->n_beyond && diagnosis)
        *diagnosis =
            (entrol_diagnosis){.n_bad = call->n_beyond, .first_row = call->first_beyond, .reason = ENTROL_REASON_RATIO};
    return call->n_beyond ? ENTROL_ERROR_DATA : ENTROL_OK;
}

entrol_status ent_check_data(ent_objective_call *call, entrol_diagnosis *diagnosis) {
    const size_t n_chunks = call->tokens.n_tokens / CHUNK + (call->tokens.n_tokens % CHUNK != 0);
    if (n_chunks)
        ent_parallel_for(call->context, n_chunks, look_at_chunk, call);
    return is_sound(&call->bounds) ? ENTROL_OK : diagnose_tokens(call, diagnosis);
}

entrol_status ent_check_bounds(ent_objective_call *call, entrol_diagnosis *diagnosis) {
    if (!is_sound(&call->bounds))
        return diagnose_tokens(call, diagnosis);
    call->greatest_ratio = exp(number_of(&call->bounds.log_ratio));
    const int are_small = bound_of_terms(call) * (double)call->counts.tokens < 0x1p62;
    return are_small ? ENTROL_OK : look_at_terms(call, diagnosis);
}
