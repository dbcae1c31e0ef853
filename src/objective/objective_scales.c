/* How many tokens and sequences there are, on all ranks, and what each token's part of the loss is multiplied by. */
#include "objective_call.h"

#include "base/context.h"

typedef struct own_counts {
    uint64_t tokens, selected, covered;
} own_counts;

static int has(const ent_objective_call *call, size_t token, int flag) {
    return call->flags ? (call->flags[token] & flag) != 0 : ent_counts(call, token);
}

static own_counts count_tokens(const ent_objective_call *call, size_t begin, size_t end) {
    own_counts counts = {0, 0, 0};
    if (!call->flags) {
        const uint8_t *mask = call->tokens.mask;
        counts.tokens = mask ? call->kernels->count(mask + begin, end - begin) : end - begin;
        counts.selected = counts.covered = counts.tokens;
        return counts;
    }
    for (size_t i = begin; i < end; i++) {
        counts.tokens += (uint64_t)has(call, i, ENT_COUNTS);
        counts.selected += (uint64_t)(has(call, i, ENT_HAS_TERM) && has(call, i, ENT_HAS_GRADIENT));
        counts.covered += (uint64_t)has(call, i, ENT_IS_COVERED);
    }
    return counts;
}

static double one_over(uint64_t n) {
    return n ? 1 / (double)n : 0;
}

static void set_shares(ent_sequence *sequence, const ent_objective_settings *settings, const own_counts *own) {
    const int over_selected = settings->over == ENT_OVER_SELECTED;
    sequence->share = sequence->kl_share = 1;
    if (settings->aggregation == ENT_SEQUENCE_MEAN) {
        sequence->share = one_over(over_selected ? own->selected : own->tokens);
        sequence->kl_share = one_over(own->tokens);
    } else if (settings->aggregation == ENT_CONSTANT) {
        sequence->share = sequence->kl_share = 1 / settings->length;
    }
    sequence->cover_share = one_over(own->covered);
}

static void count_own(ent_objective_call *call, ent_objective_counts *counts) {
    const entrol_tokens *tokens = &call->tokens;
    const own_counts all = count_tokens(call, 0, tokens->n_tokens);
    *counts = (ent_objective_counts){all.tokens, tokens->n_sequences, all.selected, all.covered, 0};
    for (size_t i = 0; call->sequences && i < tokens->n_sequences; i++) {
        const own_counts own = count_tokens(call, tokens->sequence_starts[i], tokens->sequence_starts[i + 1]);
        set_shares(&call->sequences[i], &call->settings, &own);
        counts->covered_sequences += own.covered != 0;
    }
}

/* The mean of covered entropies, which an anchored bonus needs before its derivative is known. */
static entrol_status find_covered_mean(ent_objective_call *call) {
    entrol_sum sum = {0};
    for (size_t s = 0; call->sequences && s < call->tokens.n_sequences; s++)
        for (size_t i = call->tokens.sequence_starts[s]; i < call->tokens.sequence_starts[s + 1]; i++)
            if (has(call, i, ENT_IS_COVERED))
                entrol_sum_add(&sum, call->sequences[s].cover_share * (double)call->tokens.support_entropy[i]);
    const entrol_status status = ent_add_up_sums(call->context, ENTROL_OK, &sum, 1);
    call->covered_mean = entrol_sum_value(&sum) * one_over(call->counts.covered_sequences);
    return status;
}

entrol_status ent_find_scales(ent_objective_call *call, entrol_diagnosis *diagnosis) {
    const ent_objective_settings *settings = &call->settings;
    ent_objective_counts *counts = &call->counts;
    const ent_objective_counts *own = &call->own;
    count_own(call, &call->own);
    uint64_t sent[6] = {own->tokens, own->sequences, own->selected, own->covered, own->covered_sequences};
    entrol_status status = ent_add_up(call->context, ENTROL_OK, sent, 5);
    if (status != ENTROL_OK)
        return status;
    *counts = (ent_objective_counts){sent[0], sent[1], sent[2], sent[3], sent[4]};
    if (counts->tokens == 0) {
        if (diagnosis)
            *diagnosis = (entrol_diagnosis){.n_bad = 1, .reason = ENTROL_REASON_EMPTY_SUPPORT};
        return ENTROL_ERROR_DATA;
    }
    const int is_by_token = settings->aggregation == ENT_TOKEN_MEAN;
    const uint64_t n_terms = settings->over == ENT_OVER_SELECTED ? counts->selected : counts->tokens;
    call->scale = one_over(is_by_token ? n_terms : counts->sequences);
    call->kl_scale = one_over(is_by_token ? counts->tokens : counts->sequences);
    const double beta = settings->entropy_coefficient;
    call->entropy_slope = -beta * one_over(counts->covered);
    if (!(settings->entropy_target == settings->entropy_target)) /* NaN: there is no anchor */
        return ENTROL_OK;
    status = find_covered_mean(call);
    call->entropy_slope =
        2 * beta * (call->covered_mean - settings->entropy_target) * one_over(counts->covered_sequences);
    return status;
}
