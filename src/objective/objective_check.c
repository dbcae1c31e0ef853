/* What is wrong with tokens, found before anything is written: arrays that are missing, and numbers that no loss can be
 * made of. */
#include "objective_call.h"

#include "base/context.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 16384 };

/* e^88.72 is the greatest float, or nearly so. */
static const float greatest_log_ratio = 88.72f;

typedef struct array {
    unsigned need; /* 0: of no need's */
    const char *name;
    size_t offset; /* in entrol_tokens */
} array;

#define ARRAY(need, name)                                                                                              \
    { need, #name, offsetof(entrol_tokens, name) }

static const array arrays[] = {
    ARRAY(ENTROL_NEEDS_LOGPROB, logprob),
    ARRAY(0, old_logprob),
    ARRAY(ENTROL_NEEDS_REFERENCE_LOGPROB, reference_logprob),
    ARRAY(ENTROL_NEEDS_ADVANTAGE, advantage),
    ARRAY(ENTROL_NEEDS_ENTROPY, entropy),
    ARRAY(ENTROL_NEEDS_OLD_ENTROPY, old_entropy),
    ARRAY(ENTROL_NEEDS_SUPPORT_ENTROPY, support_entropy),
    ARRAY(ENTROL_NEEDS_VALUE, value),
    ARRAY(ENTROL_NEEDS_VALUE, target_return),
    ARRAY(ENTROL_NEEDS_OLD_VALUE, old_value),
    ARRAY(0, weight),
};
enum { N_ARRAYS = sizeof arrays / sizeof *arrays };

static const float *array_of(const entrol_tokens *tokens, const array *array) {
    const float *data;
    memcpy(&data, (const char *)tokens + array->offset, sizeof data);
    return data;
}

static const char *find_missing(const ent_objective_call *call) {
    const unsigned needs = ent_objective_needs(call->row, &call->settings);
    for (size_t i = 0; call->tokens.n_tokens && i < N_ARRAYS; i++)
        if ((needs & arrays[i].need) && !array_of(&call->tokens, &arrays[i]))
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

/* What is known of all tokens that count: the greatest size in each array, and the greatest differences. */
typedef struct census {
    const ent_objective_call *call;
    pthread_mutex_t lock;
    uint32_t sizes[N_ARRAYS];
    uint32_t log_ratio, reference_ratio;
} census;

static void raise_to(uint32_t *greatest, uint32_t other) {
    *greatest = other > *greatest ? other : *greatest;
}

static const float *from(const float *data, size_t begin) {
    return data ? data + begin : NULL;
}

static void look_at_chunk(void *argument, size_t index) {
    census *census = argument;
    const entrol_tokens *tokens = &census->call->tokens;
    const ent_objective_kernels *kernels = census->call->kernels;
    const size_t begin = index * CHUNK, left = tokens->n_tokens - begin, n = left < CHUNK ? left : CHUNK;
    const uint8_t *mask = tokens->mask ? tokens->mask + begin : NULL;
    uint32_t sizes[N_ARRAYS] = {0}, log_ratio = 0, reference_ratio = 0;
    for (size_t i = 0; i < N_ARRAYS; i++)
        if (array_of(tokens, &arrays[i]))
            sizes[i] = kernels->greatest_size(array_of(tokens, &arrays[i]) + begin, mask, n);
    if (tokens->old_logprob)
        log_ratio =
            kernels->greatest_difference(from(tokens->logprob, begin), from(tokens->old_logprob, begin), mask, n);
    if (tokens->reference_logprob)
        reference_ratio =
            kernels->greatest_difference(from(tokens->reference_logprob, begin), from(tokens->logprob, begin), mask, n);
    pthread_mutex_lock(&census->lock);
    for (size_t i = 0; i < N_ARRAYS; i++)
        raise_to(&census->sizes[i], sizes[i]);
    raise_to(&census->log_ratio, log_ratio);
    raise_to(&census->reference_ratio, reference_ratio);
    pthread_mutex_unlock(&census->lock);
}

static double number_of(uint32_t pattern) {
    float number;
    memcpy(&number, &pattern, sizeof number);
    return (double)number;
}

/* What is wrong with a token, by itself. */
static entrol_reason trouble_of(const entrol_tokens *tokens, size_t i) {
    entrol_reason found = ENTROL_REASON_NONE;
    for (size_t k = 0; k < N_ARRAYS; k++) {
        const float *data = array_of(tokens, &arrays[k]);
        if (data && isnan(data[i]))
            return ENTROL_REASON_NAN;
        if (data && isinf(data[i]))
            found = ENTROL_REASON_INFINITE;
    }
    if (found != ENTROL_REASON_NONE)
        return found;
    const int is_beyond = tokens->old_logprob && tokens->logprob[i] - tokens->old_logprob[i] > greatest_log_ratio;
    const int is_far =
        tokens->reference_logprob && tokens->reference_logprob[i] - tokens->logprob[i] > greatest_log_ratio;
    return is_beyond || is_far ? ENTROL_REASON_RATIO : ENTROL_REASON_NONE;
}

static entrol_status diagnose_tokens(const ent_objective_call *call, entrol_diagnosis *diagnosis) {
    entrol_diagnosis found = {0};
    for (size_t i = 0; i < call->tokens.n_tokens; i++) {
        const entrol_reason reason = ent_counts(call, i) ? trouble_of(&call->tokens, i) : ENTROL_REASON_NONE;
        if (reason == ENTROL_REASON_NONE)
            continue;
        if (found.n_bad++ == 0) {
            found.first_row = i;
            found.reason = reason;
        }
    }
    if (diagnosis)
        *diagnosis = found;
    return found.n_bad ? ENTROL_ERROR_DATA : ENTROL_OK;
}

/* 1 unless a term of the loss may be beyond 2^62, of which there is no exact sum: by the greatest of each factor. */
static int are_terms_small(const census *census) {
    const ent_objective_settings *settings = &census->call->settings;
    double sizes[N_ARRAYS];
    for (size_t i = 0; i < N_ARRAYS; i++)
        sizes[i] = number_of(census->sizes[i]);
    const double weight = census->call->tokens.weight ? sizes[10] : 1;
    const double of_sign = fmax(settings->positive_weight, settings->negative_weight);
    const double advantage = sizes[3] * (1 + 1 / settings->entropy_kappa) * weight * of_sign;
    const double ratio = exp(number_of(census->log_ratio)) * (1 + sizes[0]);
    const double difference = sizes[7] + sizes[8] + sizes[9];
    return advantage * ratio * fmax(1, 4 / fmin(settings->tau_positive, settings->tau_negative)) < 0x1p62 &&
           number_of(census->reference_ratio) < 40 && difference < 0x1p30;
}

/* Works off all tokens without writing, where a term may be too great. */
static entrol_status look_at_terms(ent_objective_call *call, entrol_diagnosis *diagnosis) {
    call->is_dry = 1;
    ent_evaluate_tokens(call);
    call->is_dry = 0;
    if (call->n_beyond && diagnosis)
        *diagnosis =
            (entrol_diagnosis){.n_bad = call->n_beyond, .first_row = call->first_beyond, .reason = ENTROL_REASON_RATIO};
    return call->n_beyond ? ENTROL_ERROR_DATA : ENTROL_OK;
}

entrol_status ent_check_data(ent_objective_call *call, entrol_diagnosis *diagnosis) {
    census census = {.call = call, .lock = PTHREAD_MUTEX_INITIALIZER};
    const size_t n_chunks = call->tokens.n_tokens / CHUNK + (call->tokens.n_tokens % CHUNK != 0);
    if (n_chunks)
        ent_parallel_for(call->context, n_chunks, look_at_chunk, &census);
    int is_finite = 1;
    for (size_t i = 0; i < N_ARRAYS; i++)
        is_finite = is_finite && isfinite(number_of(census.sizes[i]));
    if (!is_finite || number_of(census.log_ratio) > (double)greatest_log_ratio ||
        number_of(census.reference_ratio) > (double)greatest_log_ratio)
        return diagnose_tokens(call, diagnosis);
    call->greatest_ratio = exp(number_of(census.log_ratio));
    call->may_be_beyond = !are_terms_small(&census);
    return ENTROL_OK;
}

entrol_status ent_check_terms(ent_objective_call *call, entrol_diagnosis *diagnosis) {
    return call->may_be_beyond ? look_at_terms(call, diagnosis) : ENTROL_OK;
}
