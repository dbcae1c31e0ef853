/* All tokens, a block at a time: surrogate, penalty, value and entropy, their derivatives into the record, and their
 * exact sums. Blocks are the same for any number of threads. */
#include "objective_worker.h"

#include "base/context.h"

#include <math.h>
#include <string.h>

enum { TASK = 32 * ENT_BLOCK };

/* A + min(alpha H, |A| / kappa). */
static void shape_advantages(ent_objective_block *block, const ent_objective_call *call) {
    const double alpha = call->settings.entropy_alpha, kappa = call->settings.entropy_kappa;
    block->shaped = alpha == 0 ? block->advantage : block->raised;
    if (alpha == 0)
        return;
    call->kernels->load(block->raised, block->in[ENT_IN_ENTROPY]);
    for (size_t i = 0; i < ENT_BLOCK; i++) {
        const double most = fabs(block->advantage[i]) / kappa, more = alpha * block->raised[i];
        block->raised[i] = block->advantage[i] + (more < most ? more : most);
    }
}

void ent_take_block(ent_objective_block *block, const ent_objective_call *call, size_t begin, size_t n) {
    const uint8_t *mask = ent_mask_from(call, begin);
    block->begin = begin;
    block->n = n;
    for (size_t i = 0; i < ENT_INPUTS; i++) {
        const float *data = ent_input(&call->tokens, i);
        block->in[i] = data ? data + begin : NULL;
        if (!data || (n == ENT_BLOCK && !mask))
            continue;
        call->kernels->take(block->room[i], data + begin, mask, n);
        block->in[i] = block->room[i];
    }
}

void ent_load_block(ent_objective_block *block, const ent_objective_call *call) {
    call->kernels->load(block->logprob, block->in[ENT_IN_LOGPROB]);
    call->kernels->load(block->advantage, block->in[ENT_IN_ADVANTAGE]);
    shape_advantages(block, call);
}

void ent_find_ratios(ent_objective_block *block, const ent_objective_call *call) {
    if (call->tokens.old_logprob && (call->wants_logs || call->row->ratio != ENT_RATIO_NONE)) {
        call->kernels->ratios(block->log_ratio, block->ratio, block->excess, block->in[ENT_IN_LOGPROB],
                              block->in[ENT_IN_OLD_LOGPROB]);
        return;
    }
    for (size_t i = 0; i < ENT_BLOCK; i++) {
        block->log_ratio[i] = block->excess[i] = 0;
        block->ratio[i] = 1;
    }
}

double ent_term_factor(const ent_objective_call *call, size_t token) {
    if (!ent_counts(call, token) || (call->flags && !(call->flags[token] & ENT_HAS_TERM)))
        return 0;
    const double weight = call->tokens.weight ? (double)call->tokens.weight[token] : 1;
    const float advantage = call->tokens.advantage[token];
    const double of_sign = advantage > 0   ? call->settings.positive_weight
                           : advantage < 0 ? call->settings.negative_weight
                                           : 1;
    return weight * of_sign;
}

double ent_slope_factor(const ent_objective_call *call, size_t token, double term_factor) {
    return call->flags && !(call->flags[token] & ENT_HAS_GRADIENT) ? 0 : term_factor;
}

/* 1 where every factor is. */
static int has_factors(const ent_objective_call *call) {
    return call->flags || call->tokens.weight || call->settings.positive_weight != 1 ||
           call->settings.negative_weight != 1 || call->settings.aggregation == ENT_SEQUENCE_MEAN ||
           call->settings.aggregation == ENT_CONSTANT;
}

/* Bisects: the last sequence that begins at or before the token and is not empty. */
static size_t first_sequence(const ent_objective_call *call, size_t token) {
    size_t low = 0, high = call->sequences ? call->tokens.n_sequences : 0;
    while (low + 1 < high) {
        const size_t middle = low + (high - low) / 2;
        if (call->tokens.sequence_starts[middle] <= token)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The ratio of each token's sequence in place of its own. */
static void take_sequence_ratios(ent_worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    size_t sequence = worker->sequence;
    for (size_t i = 0; i < block->n; i++) {
        sequence = ent_find_sequence(call, sequence, block->begin + i);
        block->ratio[i] = ent_counts(call, block->begin + i) ? exp(call->sequences[sequence].log_ratio) : 1;
    }
}

/* The surrogate moves a sequence's ratio, and through it each of its tokens. */
static void take_sequence_slopes(ent_worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    size_t sequence = worker->sequence;
    for (size_t i = 0; i < block->n; i++) {
        sequence = ent_find_sequence(call, sequence, block->begin + i);
        block->slope[i] = call->sequences[sequence].slope * ent_ratio_slope(call, block->begin + i);
    }
}

/* KL-Cov: |ln p - ln p_old| more, whose derivative is 0 at 0. */
static void add_penalties(ent_worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    const double penalty = call->settings.covariance_penalty;
    for (size_t i = 0; i < block->n; i++) {
        const double x = block->log_ratio[i];
        if (!(call->flags[block->begin + i] & ENT_IS_PENALISED))
            continue;
        block->term[i] += penalty * fabs(x);
        block->slope[i] += x > 0 ? penalty : x < 0 ? -penalty : 0;
    }
}

static uint64_t count_block(const ent_worker *worker) {
    const ent_objective_block *block = &worker->block;
    const uint8_t *mask = ent_mask_from(worker->call, block->begin);
    return mask ? worker->call->kernels->count(mask, block->n) : block->n;
}

/* A token is kept where neither a gate nor a clip makes its surrogate's derivative 0. */
static void keep_tokens(ent_worker *worker) {
    const ent_objective_call *call = worker->call;
    const ent_objective_block *block = &worker->block;
    uint8_t *kept = call->is_dry ? NULL : call->record.kept;
    if (!call->flags && !kept && call->row->ratio < ENT_RATIO_SEQUENCE) {
        worker->n_kept += count_block(worker) - block->n_held;
        return;
    }
    const int wanted = ENT_HAS_TERM | ENT_HAS_GRADIENT;
    for (size_t i = 0; i < block->n; i++) {
        const size_t token = block->begin + i;
        const int is_open = call->flags ? (call->flags[token] & wanted) == wanted : ent_counts(call, token);
        const int is_kept = is_open && !(block->slope[i] == 0 && block->term[i] != 0);
        worker->n_kept += (uint64_t)is_kept;
        if (kept)
            kept[token] = (uint8_t)is_kept;
    }
}

/* term becomes what the token adds to the loss but for the scale of all, `loss` what it is before its share. */
static void multiply_factors(ent_worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    const int is_sequence_slope = call->row->ratio >= ENT_RATIO_SEQUENCE; /* has its factors already */
    size_t sequence = worker->sequence;
    for (size_t i = 0; i < block->n; i++) {
        sequence = ent_find_sequence(call, sequence, block->begin + i);
        const double factor = ent_term_factor(call, block->begin + i);
        const double share = call->sequences ? call->sequences[sequence].share : 1;
        worker->loss[i] = block->term[i] * factor;
        block->term[i] = worker->loss[i] * share;
        if (!is_sequence_slope)
            block->slope[i] *= ent_slope_factor(call, block->begin + i, factor * share);
    }
}

static void scale_slopes(ent_worker *worker) {
    for (size_t i = 0; i < ENT_BLOCK; i++)
        worker->block.slope[i] *= worker->call->scale;
}

/* The penalty of a block's tokens into a, its derivatives by ln p into b. */
static void find_penalty(ent_worker *worker, const ent_objective_call *call) {
    const ent_objective_block *block = &worker->block;
    call->kernels->ratios(worker->c, worker->a, worker->b, block->in[ENT_IN_REFERENCE_LOGPROB],
                          block->in[ENT_IN_LOGPROB]);
    ent_estimate_kl(worker->a, worker->b, worker->c, (entrol_kl_estimator)call->settings.kl_estimator);
}

static void add_kl(ent_worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    const double coefficient = call->settings.kl_coefficient, scale = coefficient * call->kl_scale;
    size_t sequence = worker->sequence;
    find_penalty(worker, call);
    for (size_t i = 0; i < block->n; i++) {
        sequence = ent_find_sequence(call, sequence, block->begin + i);
        const double share_of_all = call->sequences ? call->sequences[sequence].kl_share : 1;
        const double share = ent_counts(call, block->begin + i) ? share_of_all : 0; /* k1 has a derivative anywhere */
        worker->loss[i] += coefficient * worker->a[i];
        worker->a[i] *= share;
        block->slope[i] += scale * share * worker->b[i];
    }
    if (call->is_dry)
        ent_look_for_beyond(worker, worker->a, worker->b);
    if (call->wants_result)
        call->kernels->sum(&worker->sums[ENTROL_SUM_KL], worker->a);
}

/* The policy's part: the surrogate and the KL penalty. */
static void work_policy(ent_worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    const ent_surrogate_call surrogate = {call->kernels, &call->settings};
    const int is_of_sequence = call->row->ratio >= ENT_RATIO_SEQUENCE;
    if (is_of_sequence)
        take_sequence_ratios(worker);
    ent_fetch_some(worker);
    call->row->surrogate(block, &surrogate);
    ent_fetch_some(worker);
    if (is_of_sequence)
        take_sequence_slopes(worker);
    if (call->row->covariance == ENT_COVARIANCE_KL)
        add_penalties(worker);
    keep_tokens(worker);
    if (has_factors(call))
        multiply_factors(worker);
    else if (call->record.loss || call->settings.kl_coefficient != 0)
        memcpy(worker->loss, block->term, sizeof worker->loss);
    if (call->is_dry)
        ent_look_for_beyond(worker, block->term, block->slope);
    if (call->settings.kl_coefficient != 0) {
        scale_slopes(worker);
        add_kl(worker);
    }
    if (call->wants_result)
        call->kernels->sum(&worker->sums[ENTROL_SUM_POLICY], block->term);
}

static void write_policy(ent_worker *worker) {
    const ent_objective_call *call = worker->call;
    const ent_objective_block *block = &worker->block;
    const double scale = call->settings.kl_coefficient != 0 ? 1 : call->scale; /* what it has already; what it lacks */
    if (call->record.logprob)
        call->kernels->store(call->record.logprob + block->begin, block->slope, scale, block->n,
                             ent_stream_of(worker, ENT_BY_LOGPROB));
    if (call->record.loss)
        call->kernels->store(call->record.loss + block->begin, worker->loss, 1, block->n,
                             ent_stream_of(worker, ENT_LOSS));
}

static void log_policy(ent_worker *worker) {
    const ent_objective_block *block = &worker->block;
    const ent_objective_kernels *kernels = worker->call->kernels;
    ent_running_sum *sums = worker->sums;
    kernels->sum_products(&sums[ENTROL_SUM_PRODUCT], block->logprob, block->advantage);
    ent_fetch_some(worker);
    if (!worker->call->tokens.old_logprob)
        return;
    kernels->sum_half_squares(&sums[ENTROL_SUM_K2], block->log_ratio);
    ent_fetch_some(worker);
    kernels->sum(&sums[ENTROL_SUM_K3], block->excess);
}

static void work_block(ent_worker *worker, size_t begin, size_t n) {
    const ent_objective_call *call = worker->call;
    worker->sequence = ent_find_sequence(call, worker->sequence, begin);
    worker->block.n_held = 0;
    worker->next_input = 0;
    ent_take_block(&worker->block, call, begin, n);
    ent_look_at_block(&worker->bounds, worker->sums_of_inputs, call->kernels, &worker->block);
    ent_fetch_some(worker);
    ent_load_block(&worker->block, call);
    ent_fetch_some(worker);
    ent_find_ratios(&worker->block, call);
    ent_fetch_some(worker);
    if (call->wants_logs && !call->is_dry)
        log_policy(worker);
    work_policy(worker);
    if (!call->is_dry)
        write_policy(worker);
    if (call->tokens.value && call->tokens.target_return &&
        (call->wants_logs ||
         ((call->wants_result || call->record.value || call->is_dry) && call->settings.value_coefficient != 0)))
        ent_work_value(worker);
    else if (call->record.value && !call->is_dry)
        memset(call->record.value + begin, 0, n * sizeof *call->record.value);
    ent_work_entropy(worker);
    while (worker->next_input < worker->n_inputs)
        ent_fetch_some(worker);
}

static void negate(entrol_sum *sum) {
    sum->high = -sum->high - (sum->low != 0);
    sum->low = 0 - sum->low;
}

static void merge_worker(ent_objective_call *call, const ent_worker *worker) {
    pthread_mutex_lock(&call->lock);
    if (worker->n_beyond) {
        call->first_beyond = call->n_beyond == 0 || worker->first_beyond < call->first_beyond ? worker->first_beyond
                                                                                              : call->first_beyond;
        call->n_beyond += worker->n_beyond;
    }
    entrol_sum_merge(&call->sizes, &worker->sizes);
    ent_merge_bounds(call, &worker->bounds);
    for (size_t i = 0; !call->is_dry && i < ENTROL_OBJECTIVE_SUMS; i++)
        entrol_sum_merge(&call->sums[i], &worker->sums[i].folded);
    if (!call->is_dry) {
        call->clips.low += worker->block.clips.low;
        call->clips.high += worker->block.clips.high;
        call->clips.dual += worker->block.clips.dual;
        call->n_kept += worker->n_kept;
    }
    pthread_mutex_unlock(&call->lock);
}

static void take_inputs(ent_worker *worker) {
    worker->n_inputs = 0;
    for (size_t i = 0; i < ENT_INPUTS && worker->call->is_large; i++)
        if (ent_input(&worker->call->tokens, i))
            worker->inputs[worker->n_inputs++] = ent_input(&worker->call->tokens, i);
}

static void end_streams(ent_worker *worker, size_t end) {
    const entrol_objective_record *record = &worker->call->record;
    float *const outputs[ENT_OUTPUTS] = {record->logprob, record->entropy, record->support_entropy, record->value,
                                         record->loss};
    for (size_t i = 0; i < ENT_OUTPUTS; i++)
        if (outputs[i])
            worker->call->kernels->stream_end(outputs[i] + end, &worker->streams[i]);
}

/* Sums that are made as arrays are looked at. */
static void take_sums(ent_worker *worker) {
    static const entrol_objective_sum all[ENT_INPUTS] = {[ENT_IN_LOGPROB] = ENTROL_SUM_LOGPROB,
                                                         [ENT_IN_OLD_LOGPROB] = ENTROL_SUM_K1,
                                                         [ENT_IN_ADVANTAGE] = ENTROL_SUM_ADVANTAGE,
                                                         [ENT_IN_VALUE] = ENTROL_SUM_ERROR,
                                                         [ENT_IN_TARGET_RETURN] = ENTROL_SUM_RETURN};
    const ent_objective_call *call = worker->call;
    const int has_critic = call->tokens.value && call->tokens.target_return;
    for (size_t i = 0; i < ENT_INPUTS; i++)
        worker->sums_of_inputs[i] = call->wants_logs && all[i] ? &worker->sums[all[i]] : NULL;
    if (!has_critic)
        worker->sums_of_inputs[ENT_IN_VALUE] = worker->sums_of_inputs[ENT_IN_TARGET_RETURN] = NULL;
    if (call->wants_result)
        worker->sums_of_inputs[ENT_IN_ENTROPY] = &worker->sums[ENTROL_SUM_ENTROPY];
}

/* -ln(p / p_old) and R - v are differences of sums; those of ln p_old and v stand in their places until here. */
static void end_sums(ent_worker *worker) {
    ent_running_sum *sums = worker->sums;
    for (size_t i = 0; i < ENTROL_OBJECTIVE_SUMS; i++)
        ent_fold_sum(&sums[i]);
    negate(&sums[ENTROL_SUM_ERROR].folded); /* of v */
    entrol_sum_merge(&sums[ENTROL_SUM_ERROR].folded, &sums[ENTROL_SUM_RETURN].folded);
    if (!worker->call->tokens.old_logprob)
        return;
    negate(&sums[ENTROL_SUM_K1].folded); /* of ln p_old */
    entrol_sum_merge(&sums[ENTROL_SUM_K1].folded, &sums[ENTROL_SUM_LOGPROB].folded);
    negate(&sums[ENTROL_SUM_K1].folded);
}

static void work_task(void *argument, size_t index) {
    ent_objective_call *call = argument;
    const size_t n_tokens = call->tokens.n_tokens, begin = index * TASK;
    const size_t end = n_tokens - begin < TASK ? n_tokens : begin + TASK;
    ent_worker worker;
    worker.call = call;
    worker.block.clips = (ent_clip_counts){0, 0, 0};
    worker.sequence = first_sequence(call, begin);
    take_inputs(&worker);
    memset(worker.sums, 0, sizeof worker.sums);
    take_sums(&worker);
    memset(&worker.bounds, 0, sizeof worker.bounds);
    memset(worker.streams, 0, sizeof worker.streams);
    worker.n_kept = worker.n_beyond = 0;
    worker.first_beyond = 0;
    worker.sizes = (entrol_sum){0};
    for (size_t at = begin; at < end; at += ENT_BLOCK)
        work_block(&worker, at, end - at < ENT_BLOCK ? end - at : ENT_BLOCK);
    if (call->is_large && !call->is_dry)
        end_streams(&worker, end);
    end_sums(&worker);
    merge_worker(call, &worker);
}

void ent_evaluate_tokens(ent_objective_call *call) {
    const size_t n_tasks = call->tokens.n_tokens / TASK + (call->tokens.n_tokens % TASK != 0);
    if (n_tasks)
        ent_parallel_for(call->context, n_tasks, work_task, call);
}
