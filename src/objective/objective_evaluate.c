/* All tokens, a block at a time: surrogate, penalty, value and entropy, their derivatives into the record, and their
 * exact sums. Blocks are the same for any number of threads. */
#include "objective_call.h"

#include "base/context.h"

#include <math.h>
#include <string.h>

enum { TASK = 32 * ENT_BLOCK };

/* What one task comes to, and its room. */
typedef struct worker {
    ent_objective_call *call;
    ent_objective_block block;
    double loss[ENT_BLOCK], factor[ENT_BLOCK], a[ENT_BLOCK], b[ENT_BLOCK], c[ENT_BLOCK], d[ENT_BLOCK];
    size_t sequence; /* of the block's first token */
    entrol_sum sums[ENTROL_OBJECTIVE_SUMS];
    uint64_t n_kept;
    double greatest_ratio;
    uint64_t n_beyond;
    size_t first_beyond;
} worker;

static const uint8_t *mask_from(const ent_objective_call *call, size_t begin) {
    return call->tokens.mask ? call->tokens.mask + begin : NULL;
}

static void load(double *out, const ent_objective_call *call, const ent_objective_block *block, const float *data) {
    call->kernels->load(out, data + block->begin, mask_from(call, block->begin), block->n);
}

/* A + min(alpha H, |A| / kappa). */
static void shape_advantages(ent_objective_block *block, const ent_objective_call *call) {
    const double alpha = call->settings.entropy_alpha, kappa = call->settings.entropy_kappa;
    if (alpha == 0) {
        memcpy(block->shaped, block->advantage, sizeof block->shaped);
        return;
    }
    load(block->shaped, call, block, call->tokens.entropy);
    for (size_t i = 0; i < ENT_BLOCK; i++) {
        const double most = fabs(block->advantage[i]) / kappa, more = alpha * block->shaped[i];
        block->shaped[i] = block->advantage[i] + (more < most ? more : most);
    }
}

void ent_load_block(ent_objective_block *block, const ent_objective_call *call, size_t begin, size_t n) {
    block->begin = begin;
    block->n = n;
    load(block->logprob, call, block, call->tokens.logprob);
    load(block->advantage, call, block, call->tokens.advantage);
    if (call->tokens.old_logprob) {
        load(block->ratio, call, block, call->tokens.old_logprob);
        call->kernels->subtract(block->log_ratio, block->logprob, block->ratio);
    } else {
        memset(block->log_ratio, 0, sizeof block->log_ratio);
    }
    shape_advantages(block, call);
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

/* The sequence of a token, not before the one given. */
static size_t find_sequence(const ent_objective_call *call, size_t sequence, size_t token) {
    while (call->sequences && call->tokens.sequence_starts[sequence + 1] <= token)
        sequence++;
    return sequence;
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

static void find_ratios(worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    if (call->tokens.old_logprob && (call->wants_result || call->row->ratio != ENT_RATIO_NONE)) {
        call->kernels->exponential(block->ratio, block->excess, block->log_ratio);
        return;
    }
    for (size_t i = 0; i < ENT_BLOCK; i++) {
        block->ratio[i] = 1;
        block->excess[i] = 0;
    }
}

/* The ratio of each token's sequence in place of its own. */
static void take_sequence_ratios(worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    size_t sequence = worker->sequence;
    for (size_t i = 0; i < block->n; i++) {
        sequence = find_sequence(call, sequence, block->begin + i);
        block->ratio[i] = ent_counts(call, block->begin + i) ? exp(call->sequences[sequence].log_ratio) : 1;
    }
}

/* The surrogate moves a sequence's ratio, and through it each of its tokens. */
static void take_sequence_slopes(worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    size_t sequence = worker->sequence;
    for (size_t i = 0; i < block->n; i++) {
        sequence = find_sequence(call, sequence, block->begin + i);
        block->slope[i] = call->sequences[sequence].slope * ent_ratio_slope(call, block->begin + i);
    }
}

/* KL-Cov: |ln p - ln p_old| more, whose derivative is 0 at 0. */
static void add_penalties(worker *worker) {
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

static uint64_t count_block(const worker *worker) {
    const ent_objective_block *block = &worker->block;
    const uint8_t *mask = mask_from(worker->call, block->begin);
    return mask ? worker->call->kernels->count(mask, block->n) : block->n;
}

/* A token is kept where neither a gate nor a clip makes its surrogate's derivative 0. */
static void keep_tokens(worker *worker) {
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
static void multiply_factors(worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    const int is_sequence_slope = call->row->ratio >= ENT_RATIO_SEQUENCE; /* has its factors already */
    size_t sequence = worker->sequence;
    for (size_t i = 0; i < block->n; i++) {
        sequence = find_sequence(call, sequence, block->begin + i);
        const double factor = ent_term_factor(call, block->begin + i);
        const double share = call->sequences ? call->sequences[sequence].share : 1;
        worker->loss[i] = block->term[i] * factor;
        block->term[i] = worker->loss[i] * share;
        if (!is_sequence_slope)
            block->slope[i] *= ent_slope_factor(call, block->begin + i, factor * share);
    }
}

static void scale_slopes(worker *worker) {
    for (size_t i = 0; i < ENT_BLOCK; i++)
        worker->block.slope[i] *= worker->call->scale;
}

/* The penalty of a block's tokens into a, its derivatives by ln p into b. */
static void find_penalty(worker *worker, const ent_objective_call *call) {
    const ent_objective_block *block = &worker->block;
    load(worker->c, call, block, call->tokens.reference_logprob);
    call->kernels->subtract(worker->c, worker->c, block->logprob);
    call->kernels->exponential(worker->a, worker->b, worker->c); /* ratio and excess of reference over policy */
    ent_estimate_kl(worker->a, worker->b, worker->c, (entrol_kl_estimator)call->settings.kl_estimator);
}

static void add_kl(worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    const double coefficient = call->settings.kl_coefficient, scale = coefficient * call->kl_scale;
    size_t sequence = worker->sequence;
    find_penalty(worker, call);
    for (size_t i = 0; i < block->n; i++) {
        sequence = find_sequence(call, sequence, block->begin + i);
        const double share_of_all = call->sequences ? call->sequences[sequence].kl_share : 1;
        const double share = ent_counts(call, block->begin + i) ? share_of_all : 0; /* k1 has a derivative anywhere */
        worker->loss[i] += coefficient * worker->a[i];
        worker->a[i] *= share;
        block->slope[i] += scale * share * worker->b[i];
    }
    call->kernels->sum(&worker->sums[ENTROL_SUM_KL], worker->a);
}

static void look_for_beyond(worker *worker, const double *terms) {
    for (size_t i = 0; i < worker->block.n; i++) {
        if (fabs(terms[i]) < 0x1p62)
            continue;
        const size_t token = worker->block.begin + i;
        worker->first_beyond = worker->n_beyond++ == 0 || token < worker->first_beyond ? token : worker->first_beyond;
    }
}

/* The policy's part: the surrogate and the KL penalty. */
static void work_policy(worker *worker) {
    const ent_objective_call *call = worker->call;
    ent_objective_block *block = &worker->block;
    const ent_surrogate_call surrogate = {call->kernels, &call->settings};
    const int is_of_sequence = call->row->ratio >= ENT_RATIO_SEQUENCE;
    if (is_of_sequence)
        take_sequence_ratios(worker);
    call->row->surrogate(block, &surrogate);
    if (is_of_sequence)
        take_sequence_slopes(worker);
    if (call->row->covariance == ENT_COVARIANCE_KL)
        add_penalties(worker);
    keep_tokens(worker);
    if (has_factors(call))
        multiply_factors(worker);
    else if (call->record.loss || call->settings.kl_coefficient != 0)
        memcpy(worker->loss, block->term, sizeof worker->loss);
    if (call->is_dry) {
        look_for_beyond(worker, block->term);
        look_for_beyond(worker, block->slope);
    }
    scale_slopes(worker);
    if (call->settings.kl_coefficient != 0)
        add_kl(worker);
    if (call->wants_result)
        call->kernels->sum(&worker->sums[ENTROL_SUM_POLICY], block->term);
}

static void write_policy(const worker *worker) {
    const ent_objective_call *call = worker->call;
    const ent_objective_block *block = &worker->block;
    if (call->record.logprob)
        call->kernels->store(call->record.logprob + block->begin, block->slope, 1, block->n);
    if (call->record.loss)
        call->kernels->store(call->record.loss + block->begin, worker->loss, 1, block->n);
}

static double greatest_ratio(const worker *worker) {
    const ent_objective_call *call = worker->call;
    const ent_objective_block *block = &worker->block;
    if (block->n == ENT_BLOCK && !call->tokens.mask)
        return call->kernels->greatest(block->ratio);
    double greatest = 0;
    for (size_t i = 0; i < block->n; i++)
        if (ent_counts(call, block->begin + i) && block->ratio[i] > greatest)
            greatest = block->ratio[i];
    return greatest;
}

static void log_policy(worker *worker) {
    const ent_objective_block *block = &worker->block;
    const ent_objective_kernels *kernels = worker->call->kernels;
    entrol_sum *sums = worker->sums;
    kernels->sum(&sums[ENTROL_SUM_LOGPROB], block->logprob);
    kernels->sum(&sums[ENTROL_SUM_ADVANTAGE], block->advantage);
    kernels->sum_products(&sums[ENTROL_SUM_PRODUCT], block->logprob, block->advantage, 1);
    const double greatest = greatest_ratio(worker);
    worker->greatest_ratio = greatest > worker->greatest_ratio ? greatest : worker->greatest_ratio;
    if (!worker->call->tokens.old_logprob)
        return;
    kernels->sum(&sums[ENTROL_SUM_K1], block->log_ratio); /* its negative; see work_task */
    kernels->sum_products(&sums[ENTROL_SUM_K2], block->log_ratio, block->log_ratio, 0.5);
    kernels->sum(&sums[ENTROL_SUM_K3], block->excess);
}

/* The critic's part. */
static void work_value(worker *worker) {
    const ent_objective_call *call = worker->call;
    const ent_objective_block *block = &worker->block;
    const int is_clipped = call->settings.value_clip < INFINITY && call->settings.value_coefficient != 0;
    const ent_value_clip clip = {is_clipped ? call->settings.value_clip : INFINITY};
    double *value = worker->a, *target = worker->b, *old = worker->c, *term = worker->d;
    double *error = worker->factor, *slope = worker->loss;
    load(value, call, block, call->tokens.value);
    load(target, call, block, call->tokens.target_return);
    if (is_clipped)
        load(old, call, block, call->tokens.old_value);
    call->kernels->value(error, term, slope, value, old, target, &clip);
    if (call->is_dry && call->settings.value_coefficient != 0)
        look_for_beyond(worker, term);
    if (call->wants_result) {
        call->kernels->sum(&worker->sums[ENTROL_SUM_VALUE], term);
        call->kernels->sum(&worker->sums[ENTROL_SUM_ERROR], error);
        call->kernels->sum_products(&worker->sums[ENTROL_SUM_ERROR_SQUARED], error, error, 1);
        call->kernels->sum(&worker->sums[ENTROL_SUM_RETURN], target);
        call->kernels->sum_products(&worker->sums[ENTROL_SUM_RETURN_SQUARED], target, target, 1);
    }
    if (call->record.value && !call->is_dry)
        call->kernels->store(call->record.value + block->begin, slope,
                             call->settings.value_coefficient / (double)call->counts.tokens, block->n);
}

/* What the entropy bonus is of: the entropies of covered tokens, each with its share. */
static void sum_covered(worker *worker, const float *entropy) {
    const ent_objective_call *call = worker->call;
    const ent_objective_block *block = &worker->block;
    const int is_anchored = !isnan(call->settings.entropy_target);
    size_t sequence = worker->sequence;
    load(worker->a, call, block, entropy);
    for (size_t i = 0; call->flags && i < block->n; i++) {
        sequence = find_sequence(call, sequence, block->begin + i);
        const double share = is_anchored ? call->sequences[sequence].cover_share : 1;
        worker->a[i] *= call->flags[block->begin + i] & ENT_IS_COVERED ? share : 0;
    }
    call->kernels->sum(&worker->sums[ENTROL_SUM_COVERED_ENTROPY], worker->a);
}

static void write_entropy_slopes(const worker *worker, float *out, int is_bonus) {
    const ent_objective_call *call = worker->call;
    const ent_objective_block *block = &worker->block;
    const int is_anchored = !isnan(call->settings.entropy_target);
    size_t sequence = worker->sequence;
    for (size_t i = 0; i < block->n; i++) {
        const size_t token = block->begin + i;
        const int is_covered =
            is_bonus && (call->flags ? call->flags[token] & ENT_IS_COVERED : ent_counts(call, token));
        double share = 1;
        if (is_anchored) {
            sequence = find_sequence(call, sequence, token);
            share = call->sequences[sequence].cover_share;
        }
        out[token] = is_covered ? (float)(call->entropy_slope * share) : 0;
    }
}

static void work_entropy(worker *worker) {
    const ent_objective_call *call = worker->call;
    const entrol_tokens *tokens = &call->tokens;
    const int on_support = call->row->bonus_on_support;
    const float *of_bonus = on_support ? tokens->support_entropy : tokens->entropy;
    if (call->wants_result && tokens->entropy) {
        load(worker->a, call, &worker->block, tokens->entropy);
        call->kernels->sum(&worker->sums[ENTROL_SUM_ENTROPY], worker->a);
    }
    if (call->wants_result && of_bonus && (on_support || call->flags))
        sum_covered(worker, of_bonus);
    if (call->record.entropy)
        write_entropy_slopes(worker, call->record.entropy, !on_support);
    if (call->record.support_entropy)
        write_entropy_slopes(worker, call->record.support_entropy, on_support);
}

static void work_block(worker *worker, size_t begin, size_t n) {
    const ent_objective_call *call = worker->call;
    worker->sequence = find_sequence(call, worker->sequence, begin);
    worker->block.n_held = 0;
    ent_load_block(&worker->block, call, begin, n);
    find_ratios(worker);
    if (call->wants_result && !call->is_dry)
        log_policy(worker);
    work_policy(worker);
    if (!call->is_dry)
        write_policy(worker);
    if (call->tokens.value && call->tokens.target_return &&
        (call->wants_result || (call->record.value && call->settings.value_coefficient != 0)))
        work_value(worker);
    else if (call->record.value && !call->is_dry)
        memset(call->record.value + begin, 0, n * sizeof *call->record.value);
    if (!call->is_dry)
        work_entropy(worker);
}

static void negate(entrol_sum *sum) {
    sum->high = -sum->high - (sum->low != 0);
    sum->low = 0 - sum->low;
}

static void merge_worker(ent_objective_call *call, const worker *worker) {
    pthread_mutex_lock(&call->lock);
    if (worker->n_beyond) {
        call->first_beyond = call->n_beyond == 0 || worker->first_beyond < call->first_beyond ? worker->first_beyond
                                                                                              : call->first_beyond;
        call->n_beyond += worker->n_beyond;
    }
    for (size_t i = 0; !call->is_dry && i < ENTROL_OBJECTIVE_SUMS; i++)
        entrol_sum_merge(&call->sums[i], &worker->sums[i]);
    if (!call->is_dry) {
        call->clips.low += worker->block.clips.low;
        call->clips.high += worker->block.clips.high;
        call->clips.dual += worker->block.clips.dual;
        call->n_kept += worker->n_kept;
        if (worker->greatest_ratio > call->greatest_ratio)
            call->greatest_ratio = worker->greatest_ratio;
    }
    pthread_mutex_unlock(&call->lock);
}

static void work_task(void *argument, size_t index) {
    ent_objective_call *call = argument;
    const size_t n_tokens = call->tokens.n_tokens, begin = index * TASK;
    const size_t end = n_tokens - begin < TASK ? n_tokens : begin + TASK;
    worker worker;
    worker.call = call;
    worker.block.clips = (ent_clip_counts){0, 0, 0};
    worker.sequence = first_sequence(call, begin);
    memset(worker.sums, 0, sizeof worker.sums);
    worker.n_kept = worker.n_beyond = 0;
    worker.first_beyond = 0;
    worker.greatest_ratio = 0;
    for (size_t at = begin; at < end; at += ENT_BLOCK)
        work_block(&worker, at, end - at < ENT_BLOCK ? end - at : ENT_BLOCK);
    negate(&worker.sums[ENTROL_SUM_K1]);
    merge_worker(call, &worker);
}

void ent_evaluate_tokens(ent_objective_call *call) {
    const size_t n_tasks = call->tokens.n_tokens / TASK + (call->tokens.n_tokens % TASK != 0);
    if (n_tasks)
        ent_parallel_for(call->context, n_tasks, work_task, call);
}
