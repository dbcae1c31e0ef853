/* A task over blocks of tokens: objective_evaluate.c works off the policy's part of each, objective_terms.c the
 * critic's and the entropy's. */
#ifndef ENT_OBJECTIVE_WORKER_H
#define ENT_OBJECTIVE_WORKER_H

#include "objective_call.h"

/* What one task comes to, and its room. */
typedef struct ent_worker {
    ent_objective_call *call;
    ent_objective_block block;
    double loss[ENT_BLOCK], factor[ENT_BLOCK], a[ENT_BLOCK], b[ENT_BLOCK], c[ENT_BLOCK], d[ENT_BLOCK];
    size_t sequence; /* of the block's first token */
    const float *inputs[11];
    size_t n_inputs, next_line; /* of the next block's, all inputs one after the other, to be fetched */
    ent_running_sum sums[ENTROL_OBJECTIVE_SUMS];
    uint64_t n_kept, n_beyond;
    size_t first_beyond;
} ent_worker;

enum { ENT_LINE = 64 / sizeof(float), ENT_LINES = ENT_BLOCK / ENT_LINE, ENT_LINES_AT_ONCE = 8 };

/* Brings a few lines of the next block's input nearer: between two kernels, since the machine waits for many at once,
 * and blocks are too short for it to see them coming. */
static inline void ent_fetch_some(ent_worker *worker) {
    const size_t end = worker->next_line + ENT_LINES_AT_ONCE;
    for (size_t i = worker->next_line; i < end && i < worker->n_inputs * ENT_LINES; i++) {
        const uintptr_t begin = (uintptr_t)(worker->inputs[i / ENT_LINES] + worker->block.begin);
        __builtin_prefetch((const void *)(begin + (ENT_BLOCK + i % ENT_LINES * ENT_LINE) * sizeof(float)));
    }
    worker->next_line = end;
}

static inline const uint8_t *ent_mask_from(const ent_objective_call *call, size_t begin) {
    return call->tokens.mask ? call->tokens.mask + begin : NULL;
}

static inline void ent_load(double *out, const ent_objective_call *call, const ent_objective_block *block,
                            const float *data) {
    call->kernels->load(out, data + block->begin, ent_mask_from(call, block->begin), block->n);
}

/* The sequence of a token, not before the one given. */
static inline size_t ent_find_sequence(const ent_objective_call *call, size_t sequence, size_t token) {
    while (call->sequences && call->tokens.sequence_starts[sequence + 1] <= token)
        sequence++;
    return sequence;
}

/* Counts terms that have no exact sum; of a dry call. */
void ent_look_for_beyond(ent_worker *worker, const double *terms);
/* The critic's part of a block, and the entropy bonus's. */
void ent_work_value(ent_worker *worker);
void ent_work_entropy(ent_worker *worker);

#endif
