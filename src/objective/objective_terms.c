/* What is in a loss beside the surrogate: the critic's squares and the entropy bonus. */
#include "objective_worker.h"

#include <math.h>

void ent_look_for_beyond(ent_worker *worker, const double *terms, const double *slopes) {
    for (size_t i = 0; i < worker->block.n; i++) {
        entrol_sum_add(&worker->sizes, fabs(terms[i]) * 0x1p-31);
        if (fabs(terms[i]) < worker->call->term_limit && fabs(slopes[i]) < 0x1p62)
            continue;
        const size_t token = worker->block.begin + i;
        worker->first_beyond = worker->n_beyond++ == 0 || token < worker->first_beyond ? token : worker->first_beyond;
    }
}

/* The critic's part. */
void ent_work_value(ent_worker *worker) {
    const ent_objective_call *call = worker->call;
    const ent_objective_block *block = &worker->block;
    const int is_clipped = call->settings.value_clip < INFINITY && call->settings.value_coefficient != 0;
    const ent_value_clip clip = {is_clipped ? call->settings.value_clip : INFINITY};
    double *target = worker->b, *term = worker->d, *error = worker->factor, *slope = worker->loss;
    call->kernels->value(error, term, slope, block->in[ENT_IN_VALUE], block->in[ENT_IN_OLD_VALUE],
                         block->in[ENT_IN_TARGET_RETURN], &clip);
    ent_fetch_some(worker);
    if (call->is_dry && call->settings.value_coefficient != 0)
        ent_look_for_beyond(worker, term, slope);
    if (call->wants_result)
        call->kernels->sum(&worker->sums[ENTROL_SUM_VALUE], term);
    if (call->wants_logs) {
        ent_fetch_some(worker);
        call->kernels->sum_products(&worker->sums[ENTROL_SUM_ERROR_SQUARED], error, error);
        ent_fetch_some(worker);
        call->kernels->load(target, block->in[ENT_IN_TARGET_RETURN]);
        call->kernels->sum_products(&worker->sums[ENTROL_SUM_RETURN_SQUARED], target, target);
    }
    if (call->record.value && !call->is_dry)
        call->kernels->store(call->record.value + block->begin, slope,
                             call->settings.value_coefficient / (double)call->counts.tokens, block->n,
                             ent_stream_of(worker, ENT_BY_VALUE));
}

static int is_covered(const ent_objective_call *call, size_t token) {
    return call->flags ? (call->flags[token] & ENT_IS_COVERED) != 0 : ent_counts(call, token);
}

/* What the entropy bonus is of: the entropies of covered tokens, each with its share. */
static void work_covered(ent_worker *worker, const float *entropy) {
    const ent_objective_call *call = worker->call;
    const ent_objective_block *block = &worker->block;
    const int is_anchored = !isnan(call->settings.entropy_target);
    size_t sequence = worker->sequence;
    call->kernels->load(worker->a, entropy);
    for (size_t i = 0; (call->flags || is_anchored) && i < block->n; i++) {
        sequence = ent_find_sequence(call, sequence, block->begin + i);
        const double share = is_anchored ? call->sequences[sequence].cover_share : 1;
        worker->a[i] *= is_covered(call, block->begin + i) ? share : 0;
    }
    if (call->is_dry)
        ent_look_for_beyond(worker, worker->a, worker->a);
    else
        call->kernels->sum(&worker->sums[ENTROL_SUM_COVERED_ENTROPY], worker->a);
}

static void write_entropy_slopes(ent_worker *worker, int is_support) {
    const ent_objective_call *call = worker->call;
    float *out = is_support ? call->record.support_entropy : call->record.entropy;
    const int is_bonus = call->row->bonus_on_support == is_support;
    const ent_objective_block *block = &worker->block;
    const int is_anchored = !isnan(call->settings.entropy_target);
    size_t sequence = worker->sequence;
    if (!call->flags && !call->tokens.mask && !is_anchored) {
        call->kernels->fill(out + block->begin, is_bonus ? (float)call->entropy_slope : 0, block->n,
                            ent_stream_of(worker, is_support ? ENT_BY_SUPPORT_ENTROPY : ENT_BY_ENTROPY));
        return;
    }
    for (size_t i = 0; i < block->n; i++) {
        const size_t token = block->begin + i;
        double share = 1;
        if (is_anchored) {
            sequence = ent_find_sequence(call, sequence, token);
            share = call->sequences[sequence].cover_share;
        }
        out[token] = is_bonus && is_covered(call, token) ? (float)(call->entropy_slope * share) : 0;
    }
}

void ent_work_entropy(ent_worker *worker) {
    const ent_objective_call *call = worker->call;
    const int on_support = call->row->bonus_on_support;
    const float *entropy = worker->block.in[on_support ? ENT_IN_SUPPORT_ENTROPY : ENT_IN_ENTROPY];
    const int is_summed = call->wants_result && (on_support || call->flags); /* else it is the sum of all entropies */
    if (entropy && (call->is_dry ? call->settings.entropy_coefficient != 0 : is_summed))
        work_covered(worker, entropy);
    if (call->record.entropy && !call->is_dry)
        write_entropy_slopes(worker, 0);
    if (call->record.support_entropy && !call->is_dry)
        write_entropy_slopes(worker, 1);
}
