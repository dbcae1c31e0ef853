/* Scoring a document in windows, one micro-batch of logits at a time. */
#include "internal.h"
#include "windows.h"

#include <math.h>
#include <string.h>

/* One call's arguments. */
typedef struct scoring {
    entrol_llama *llama;
    entrol_context *context;
    const entrol_record *record;
    entrol_diagnosis *diagnosis;
    const int32_t *tokens;
    size_t first;
    size_t n_scored;
    entrol_llama_score_options options;
} scoring;

/* The first token's row where there is no BOS to predict it. */
static void no_distribution(const entrol_record *record) {
    float *values[] = {record->entropy,  record->logsumexp, record->logprob,       record->varentropy,
                       record->top_prob, record->margin,    record->sum_p_squared, record->renyi};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (values[i] != NULL) {
            values[i][0] = NAN;
        }
    }
    if (record->rank != NULL) {
        record->rank[0] = 0;
    }
    for (size_t i = 0; i < record->n_top; i++) {
        if (record->top_id != NULL) {
            record->top_id[i] = -1;
        }
        if (record->top_logprob != NULL) {
            record->top_logprob[i] = NAN;
        }
    }
}

/* Fills the batch with the window's positions [from, to). Position p predicts the token `begin + p + 1 - n_bos`.
 * Returns how many of them are scored; they are the last ones. */
static size_t fill(const scoring *job, const ent_window *window, size_t from, size_t to) {
    entrol_llama *llama = job->llama;
    const size_t n_bos = llama->bos >= 0 ? 1 : 0;
    size_t n_rows = 0;
    for (size_t position = from; position < to; position++) {
        const size_t predicted = window->begin + position + 1 - n_bos;
        const bool scored = predicted >= window->first_scored;
        const int32_t token = position < n_bos ? llama->bos : job->tokens[predicted - 1];
        ent_llama_push(llama, token, position, 0, scored);
        if (scored) {
            llama->targets[n_rows++] = job->tokens[predicted];
        }
    }
    return n_rows;
}

static entrol_status report(scoring *job, size_t n_rows) {
    job->n_scored += n_rows;
    if (job->options.progress != NULL && job->options.progress(job->options.progress_user, job->n_scored) != 0) {
        return ENTROL_ERROR_SYSTEM;
    }
    return ENTROL_OK;
}

static entrol_status score_window(scoring *job, const ent_window *window) {
    entrol_llama *llama = job->llama;
    const size_t n_positions = window->end - 1 - window->begin + (llama->bos >= 0 ? 1 : 0);
    size_t row = window->first_scored - job->first;
    ent_llama_clear(llama);
    for (size_t from = 0; from < n_positions; from += llama->n_batch) {
        const size_t to = from + llama->n_batch < n_positions ? from + llama->n_batch : n_positions;
        const size_t n_rows = fill(job, window, from, to);
        const float *logits;
        entrol_status status = ent_llama_decode(llama, &logits);
        if (status == ENTROL_OK && n_rows > 0) {
            status = ent_llama_reduce(llama, job->context, job->record, row, job->diagnosis, logits, n_rows);
        }
        if (status == ENTROL_OK) {
            status = report(job, n_rows);
        }
        if (status != ENTROL_OK) {
            return status;
        }
        row += n_rows;
    }
    return ENTROL_OK;
}

static entrol_status score_windows(scoring *job, size_t n_tokens) {
    const entrol_llama *llama = job->llama;
    const size_t min_context = job->options.min_context == 0 ? llama->n_ctx / 2 : job->options.min_context;
    const ent_window_plan plan = {n_tokens, job->first, llama->n_ctx, min_context, llama->bos >= 0};
    if (!plan.has_bos && job->first == 0 && n_tokens > 0) {
        no_distribution(job->record);
    }
    ent_window window;
    for (size_t i = 0; ent_window_at(&window, &plan, i); i++) {
        const entrol_status status = score_window(job, &window);
        if (status != ENTROL_OK) {
            return status;
        }
    }
    return ENTROL_OK;
}

static entrol_status check(const scoring *job, size_t n_tokens) {
    if (job->llama == NULL || job->context == NULL || job->record == NULL) {
        return ent_llama_bad(job->diagnosis, job->llama == NULL     ? "llama"
                                             : job->context == NULL ? "context"
                                                                    : "record");
    }
    if (job->llama->context == NULL) {
        return ENTROL_ERROR_UNSUPPORTED;
    }
    if (job->first > n_tokens) {
        return ent_llama_bad(job->diagnosis, "first");
    }
    if (job->options.min_context > job->llama->n_ctx - 2) {
        return ent_llama_bad(job->diagnosis, "min_context");
    }
    if (job->record->n_top > ENTROL_MAX_TOP) {
        return ent_llama_bad(job->diagnosis, "n_top");
    }
    return ent_llama_check_tokens(job->llama, job->diagnosis, job->tokens, n_tokens);
}

entrol_status entrol_llama_score(entrol_llama *llama, entrol_context *context, const entrol_record *record,
                                 entrol_diagnosis *diagnosis, const int32_t *tokens, size_t n_tokens, size_t first,
                                 entrol_llama_score_options *options) {
    scoring job = {llama, context, record, diagnosis, tokens, first, 0, {.size = sizeof job.options}};
    if (options != NULL) {
        job.options = *options;
    }
    if (diagnosis != NULL) {
        *diagnosis = (entrol_diagnosis){0};
    }
    entrol_status status = check(&job, n_tokens);
    if (status != ENTROL_OK) {
        return status;
    }
    llama->seconds = 0;
    llama->measure = job.options.measure;
    status = score_windows(&job, n_tokens);
    if (options != NULL) {
        options->seconds_in_model = llama->seconds;
    }
    return status;
}
