/* entrol_objective_compute: tokens are counted on all ranks, worked off, and checked on the way; where what is known of
 * other tokens is asked first, they are checked first. */
#include "objective_call.h"

#include "base/context.h"

#include <math.h>
#include <string.h>

/* Tokens whose arrays no second-level cache holds. */
enum { LARGE = 1 << 18 };

static entrol_status take_structs(ent_objective_call *call, entrol_diagnosis *diagnosis,
                                  const entrol_objective_record *record, const entrol_tokens *tokens) {
    call->tokens = (entrol_tokens)ENTROL_TOKENS_INIT;
    call->record = (entrol_objective_record)ENTROL_OBJECTIVE_RECORD_INIT;
    if (!tokens || !ent_take(&call->tokens, tokens, sizeof call->tokens))
        return ent_bad_argument(diagnosis, "tokens");
    call->is_large = call->tokens.n_tokens > LARGE;
    if (!call->tokens.sequence_starts)
        call->tokens.n_sequences = 0;
    if (record && !ent_take(&call->record, record, sizeof call->record))
        return ent_bad_argument(diagnosis, "record");
    return ENTROL_OK;
}

static entrol_status take_arguments(ent_objective_call *call, entrol_diagnosis *diagnosis,
                                    const entrol_objective_record *record, const entrol_objective *objective,
                                    const entrol_tokens *tokens, const entrol_objective_options *options) {
    entrol_objective_options taken = ENTROL_OBJECTIVE_OPTIONS_INIT;
    call->row = ent_objective_row_of(objective);
    if (!call->row)
        return ent_bad_argument(diagnosis, "objective");
    if (options && !ent_take(&taken, options, sizeof taken))
        return ent_bad_argument(diagnosis, "options");
    call->wants_logs = call->wants_result && !taken.loss_alone;
    entrol_status status =
        ent_take_objective_settings(&call->settings, diagnosis, objective, taken.settings, taken.n_settings);
    if (status == ENTROL_OK)
        status = take_structs(call, diagnosis, record, tokens);
    return status == ENTROL_OK ? ent_check_tokens(call, diagnosis) : status;
}

/* What all ranks must have been given alike. */
static uint64_t digest_of(const ent_objective_call *call) {
    const char *name = call->row->objective.name;
    const uint64_t digest = ent_digest(0, &call->settings, sizeof call->settings);
    const int wants[2] = {call->wants_result, call->wants_logs};
    return ent_digest(ent_digest(digest, name, strlen(name)), wants, sizeof wants);
}

static int wants_sequences(const ent_objective_call *call) {
    return call->tokens.n_tokens && (ent_objective_needs(call->row, &call->settings) & ENTROL_NEEDS_SEQUENCES) != 0;
}

static entrol_status allocate_parts(ent_objective_call *call) {
    size_t n_bytes;
    if (call->tokens.n_tokens && ent_has_gates(call->row, &call->settings)) {
        call->flags = ent_allocate(call->context, call->tokens.n_tokens);
        if (!call->flags)
            return ENTROL_ERROR_MEMORY;
    }
    if (!wants_sequences(call))
        return ENTROL_OK;
    if (!ent_multiply(&n_bytes, call->tokens.n_sequences, sizeof *call->sequences))
        return ENTROL_ERROR_OVERFLOW;
    call->sequences = ent_allocate(call->context, n_bytes);
    return call->sequences ? ENTROL_OK : ENTROL_ERROR_MEMORY;
}

/* 1 where numbers are looked at before the tokens are worked off: by gates, ratios of sequences, and an anchor. */
static int looks_ahead(const ent_objective_call *call) {
    return ent_has_gates(call->row, &call->settings) || call->row->ratio >= ENT_RATIO_SEQUENCE ||
           !isnan(call->settings.entropy_target);
}

/* Before anything is written. */
static entrol_status prepare(ent_objective_call *call, entrol_diagnosis *diagnosis) {
    entrol_status status = allocate_parts(call);
    if (status == ENTROL_OK && looks_ahead(call))
        status = ent_check_data(call, diagnosis);
    status = ent_agree(call->context, status);
    if (status == ENTROL_OK && ent_has_gates(call->row, &call->settings))
        status = ent_fill_flags(call);
    if (status == ENTROL_OK)
        status = ent_find_scales(call, diagnosis);
    if (status == ENTROL_OK && call->row->ratio >= ENT_RATIO_SEQUENCE && call->sequences)
        ent_find_sequence_ratios(call);
    return status;
}

static entrol_status compute(ent_objective_call *call, entrol_objective_result *result, entrol_diagnosis *diagnosis) {
    entrol_status status = prepare(call, diagnosis);
    if (status == ENTROL_OK) {
        ent_evaluate_tokens(call);
        status = ent_agree(call->context, ent_check_bounds(call, diagnosis));
    }
    if (status == ENTROL_OK && call->wants_result)
        status = ent_finish_result(call, result);
    ent_release(call->context, call->flags);
    ent_release(call->context, call->sequences);
    return status;
}

/* NaN for all that may have been written of a loss that there is not. */
static void spoil_record(const ent_objective_call *call) {
    const entrol_objective_record *record = &call->record;
    float *const outputs[] = {record->logprob, record->entropy, record->support_entropy, record->value, record->loss};
    for (size_t k = 0; k < sizeof outputs / sizeof *outputs; k++)
        for (size_t i = 0; outputs[k] && i < call->tokens.n_tokens; i++)
            outputs[k][i] = NAN;
    if (record->kept && call->tokens.n_tokens)
        memset(record->kept, 0, call->tokens.n_tokens);
}

/* No more of a result is written than the caller's has. */
static entrol_status give_result(entrol_objective_result *out, const entrol_objective_result *result, size_t size) {
    memcpy(out, result, size < sizeof *result ? size : sizeof *result);
    out->size = size;
    return ENTROL_OK;
}

entrol_status entrol_objective_compute(entrol_context *context, const entrol_objective_record *record,
                                       entrol_objective_result *result, entrol_diagnosis *diagnosis,
                                       const entrol_objective *objective, const entrol_tokens *tokens,
                                       const entrol_objective_options *options) {
    if (!context)
        return ent_bad_argument(diagnosis, "context");
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){0};
    ent_objective_call call = {.context = context,
                               .kernels = ent_objective_kernels_for(entrol_context_cpu(context)),
                               .wants_result = result != NULL,
                               .lock = PTHREAD_MUTEX_INITIALIZER};
    entrol_objective_result found = {.size = sizeof found};
    entrol_status status = take_arguments(&call, diagnosis, record, objective, tokens, options);
    if (status == ENTROL_OK && result && result->size <= sizeof result->size)
        status = ent_bad_argument(diagnosis, "result");
    const int is_understood = status == ENTROL_OK;
    status = ent_agree_on(context, status, is_understood ? digest_of(&call) : 0);
    if (status == ENTROL_OK)
        status = compute(&call, &found, diagnosis);
    if (is_understood && (status == ENTROL_ERROR_DATA || status == ENTROL_ERROR_COMMUNICATION))
        spoil_record(&call);
    return status == ENTROL_OK && result ? give_result(result, &found, result->size) : status;
}
