/* A task over blocks of tokens: objective_evaluate.c works off the policy's part of each, objective_terms.c the
 * critic's and the entropy's. */
#ifndef ENT_OBJECTIVE_WORKER_H
#define ENT_OBJECTIVE_WORKER_H

#include "objective_call.h"

/* The arrays of a record. */
enum { ENT_BY_LOGPROB, ENT_BY_ENTROPY, ENT_BY_SUPPORT_ENTROPY, ENT_BY_VALUE, ENT_LOSS, ENT_OUTPUTS };

/* What one task comes to, and its room. */
typedef struct ent_worker {
    ent_objective_call *call;
    ent_objective_block block;
    double loss[ENT_BLOCK], factor[ENT_BLOCK], a[ENT_BLOCK], b[ENT_BLOCK], c[ENT_BLOCK], d[ENT_BLOCK];
    size_t sequence; /* of the block's first token */
    const float *inputs[ENT_INPUTS];
    size_t n_inputs, next_input; /* to be fetched */
    ent_bounds bounds;
    ent_running_sum sums[ENTROL_OBJECTIVE_SUMS];
    ent_running_sum *sums_of_inputs[ENT_INPUTS]; /* NULL: there is none */
    ent_stream streams[ENT_OUTPUTS];
    uint64_t n_kept, n_beyond;
    size_t first_beyond;
    entrol_sum sizes;
} ent_worker;

enum { BLOCKS_AHEAD = 3 };

/* Brings a block of an input nearer: between two kernels, since the machine waits for many lines at once, and blocks
 * are too short for it to see them coming. */
static inline void ent_fetch_some(ent_worker *worker) {
    if (worker->next_input >= worker->n_inputs)
        return;
    const size_t token = worker->block.begin + BLOCKS_AHEAD * ENT_BLOCK;
    const uintptr_t begin = (uintptr_t)worker->inputs[worker->next_input++] + token * sizeof(float);
    for (size_t i = 0; i < ENT_BLOCK * sizeof(float); i += 64)
        __builtin_prefetch((const void *)(begin + i));
}

/* The stream of an output; NULL where results stay in the caches. */
static inline ent_stream *ent_stream_of(ent_worker *worker, int output) {
    return worker->call->is_large ? &worker->streams[output] : NULL;
}

static inline const uint8_t *ent_mask_from(const ent_objective_call *call, size_t begin) {
    return call->tokens.mask ? call->tokens.mask + begin : NULL;
}

/* The sequence of a token, not before the one given. */
static inline size_t ent_find_sequence(const ent_objective_call *call, size_t sequence, size_t token) {
    while (call->sequences && call->tokens.sequence_starts[sequence + 1] <= token)
        sequence++;
    return sequence;
}

/* Counts tokens of which the term is beyond the call's limit, or the slope beyond 2^62; of a dry call. */
void ent_look_for_beyond(ent_worker *worker, const double *terms, const double *slopes);
/* The critic's part of a block, and the entropy bonus's. */
void ent_work_value(ent_worker *worker);
void ent_work_entropy(ent_worker *worker);

#endif
