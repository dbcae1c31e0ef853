/* What llama.cpp's tools/perplexity computes, step for step: its chunks, its packing of chunks as sequences of one
 * batch, its micro-batches, the positions that it asks logits for, and its estimate of the error. The same graph
 * runs over the same batches, so the logits are the same to the bit. */
#include "internal.h"

#include <math.h>

typedef struct compat {
    entrol_llama *llama;
    entrol_context *context;
    const entrol_record *record;
    size_t *positions;
    const int32_t *tokens;
    size_t n_ctx, first; /* positions from `first` on have logits; of those all but the last count */
    size_t row;
    double nll, nll2;
    entrol_llama_score_options options;
} compat;

/* Puts positions [from, to) of n_chunks chunks into the batch, chunk i as sequence i. */
static void fill(const compat *job, size_t chunk, size_t n_chunks, size_t from, size_t to) {
    for (size_t i = 0; i < n_chunks; i++) {
        const int32_t *tokens = job->tokens + (chunk + i) * job->n_ctx;
        for (size_t position = from; position < to; position++) {
            const bool is_bos = position == 0 && job->llama->bos >= 0;
            ent_llama_push(job->llama, is_bos ? job->llama->bos : tokens[position], position, i,
                           position >= job->first);
        }
    }
}

/* Reduces the rows of positions [from, to) of one chunk. */
static entrol_status reduce(compat *job, size_t chunk, size_t from, size_t to, const float *logits) {
    entrol_llama *llama = job->llama;
    const size_t n_rows = to - from;
    const size_t next = chunk * job->n_ctx + from + 1;
    for (size_t i = 0; i < n_rows; i++) {
        llama->targets[i] = job->tokens[next + i];
        if (job->positions != NULL) {
            job->positions[job->row + i] = next + i;
        }
    }
    entrol_record part = ent_record_at(job->record, job->row);
    const bool is_ours = part.logprob == NULL;
    part.logprob = is_ours ? llama->logprob : part.logprob;
    const entrol_status status = ent_llama_reduce(llama, job->context, &part, 0, NULL, logits, n_rows);
    if (status != ENTROL_OK) {
        return status;
    }
    for (size_t i = 0; i < n_rows; i++) {
        const double surprisal = -(double)part.logprob[i];
        job->nll += surprisal;
        job->nll2 += surprisal * surprisal;
    }
    job->row += n_rows;
    return ENTROL_OK;
}

/* Decodes positions [from, to) of n_chunks chunks at once and reduces what counts. */
static entrol_status score_piece(compat *job, size_t chunk, size_t n_chunks, size_t from, size_t to) {
    fill(job, chunk, n_chunks, from, to);
    const float *logits;
    entrol_status status = ent_llama_decode(job->llama, &logits);
    const size_t first_row = from > job->first ? from : job->first;
    const size_t n_outputs = to > first_row ? to - first_row : 0; /* of each chunk */
    const size_t end = to < job->n_ctx ? to : job->n_ctx - 1;     /* the last one predicts another chunk's token */
    for (size_t i = 0; i < n_chunks && status == ENTROL_OK && end > first_row; i++) {
        status = reduce(job, chunk + i, first_row, end, logits + i * n_outputs * job->llama->n_vocab);
    }
    if (status == ENTROL_OK && job->options.progress != NULL &&
        job->options.progress(job->options.progress_user, job->row) != 0) {
        status = ENTROL_ERROR_SYSTEM;
    }
    return status;
}

static entrol_status score_chunks(compat *job, size_t n_chunks) {
    const size_t n_batch = job->llama->n_batch;
    const size_t n_seq = n_batch / job->n_ctx > 1 ? n_batch / job->n_ctx : 1;
    for (size_t chunk = 0; chunk < n_chunks; chunk += n_seq) {
        const size_t n_packed = n_chunks - chunk < n_seq ? n_chunks - chunk : n_seq;
        ent_llama_clear(job->llama);
        for (size_t from = 0; from < job->n_ctx; from += n_batch) {
            const size_t to = job->n_ctx - from < n_batch ? job->n_ctx : from + n_batch;
            const entrol_status status = score_piece(job, chunk, n_packed, from, to);
            if (status != ENTROL_OK) {
                return status;
            }
        }
    }
    return ENTROL_OK;
}

/* exp of the mean, and the mean's standard error carried over to it. */
static entrol_llama_perplexity estimate(const compat *job, size_t n_chunks) {
    const double n = (double)job->row;
    const double mean = job->nll / n;
    const double variance = job->nll2 / n - mean * mean;
    entrol_llama_perplexity result = {exp(mean), NAN, n_chunks, job->row};
    if (variance > 0) {
        result.error = sqrt(variance / (n - 1)) * result.perplexity;
    }
    return result;
}

static entrol_status check(const compat *job, size_t n_tokens) {
    if (job->llama == NULL || job->context == NULL || job->record == NULL) {
        return ENTROL_ERROR_ARGUMENT;
    }
    if (job->llama->context == NULL || llama_vocab_get_add_eos(job->llama->vocab)) {
        return ENTROL_ERROR_UNSUPPORTED;
    }
    if (job->options.measure != NULL && job->options.measure->temperature != 1) {
        return ENTROL_ERROR_ARGUMENT; /* llama-perplexity has none */
    }
    if (n_tokens / 2 < job->llama->n_ctx || job->record->n_top > ENTROL_MAX_TOP) {
        return ENTROL_ERROR_ARGUMENT;
    }
    return ent_llama_check_tokens(job->llama, NULL, job->tokens, n_tokens);
}

entrol_status entrol_llama_score_compat(entrol_llama *llama, entrol_context *context, const entrol_record *record,
                                        size_t *positions, entrol_llama_perplexity *result, const int32_t *tokens,
                                        size_t n_tokens, entrol_llama_score_options *options) {
    compat job = {.llama = llama, .context = context, .record = record, .positions = positions, .tokens = tokens};
    entrol_status status =
        ent_llama_take_options(&job.options, options) ? check(&job, n_tokens) : ENTROL_ERROR_ARGUMENT;
    if (status != ENTROL_OK) {
        return status;
    }
    job.n_ctx = llama->n_ctx;
    job.first = llama->n_ctx / 2;
    llama->seconds = 0;
    llama->measure = job.options.measure;
    const size_t n_chunks = n_tokens / job.n_ctx;
    status = score_chunks(&job, n_chunks);
    if (status == ENTROL_OK && result != NULL) {
        *result = estimate(&job, n_chunks);
    }
    ent_llama_give_seconds(options, llama->seconds);
    return status;
}
