/* One decode of the model and the reduction of its logits: what plain and compatible scoring share. */
#include "internal.h"

#include <math.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

entrol_status ent_llama_bad(entrol_diagnosis *diagnosis, const char *argument) {
    if (diagnosis != NULL) {
        *diagnosis = (entrol_diagnosis){.argument = argument};
    }
    return ENTROL_ERROR_ARGUMENT;
}

bool ent_llama_take(void *out, const void *in, size_t known_size) {
    size_t size;
    memcpy(&size, in, sizeof size);
    if (size <= sizeof size) {
        return false;
    }
    memcpy(out, in, size < known_size ? size : known_size);
    return true;
}

bool ent_llama_take_options(entrol_llama_score_options *taken, const entrol_llama_score_options *given) {
    *taken = (entrol_llama_score_options)ENTROL_LLAMA_SCORE_OPTIONS_INIT;
    return given == NULL || ent_llama_take(taken, given, sizeof *taken);
}

void ent_llama_give_seconds(entrol_llama_score_options *given, double seconds) {
    const size_t end = offsetof(entrol_llama_score_options, seconds_in_model) + sizeof given->seconds_in_model;
    if (given != NULL && given->size >= end) {
        given->seconds_in_model = seconds;
    }
}

entrol_status ent_llama_check_tokens(const entrol_llama *llama, entrol_diagnosis *diagnosis, const int32_t *tokens,
                                     size_t n_tokens) {
    if (tokens == NULL && n_tokens > 0) {
        return ent_llama_bad(diagnosis, "tokens");
    }
    for (size_t i = 0; i < n_tokens; i++) {
        if (tokens[i] < 0 || (size_t)tokens[i] >= llama->n_vocab) {
            return ent_llama_bad(diagnosis, "tokens");
        }
    }
    return ENTROL_OK;
}

void ent_llama_clear(entrol_llama *llama) {
    /* Cells that belong to no token are masked, weight 0: what they hold does not matter as long as it is finite. So
     * the buffers themselves are only wiped, which costs time, after a row in trouble. */
    const double start = now();
    llama_memory_clear(llama_get_memory(llama->context), llama->memory_tainted);
    llama->memory_tainted = false;
    llama->batch.n_tokens = 0;
    if (llama->n_read != NULL) {
        memset(llama->n_read, 0, llama->n_seq_max * sizeof *llama->n_read);
    }
    llama->seconds += now() - start;
}

void ent_llama_push(entrol_llama *llama, int32_t token, size_t position, size_t sequence, bool wants_logits) {
    struct llama_batch *batch = &llama->batch;
    const int32_t i = batch->n_tokens++;
    batch->token[i] = token;
    batch->pos[i] = (llama_pos)position;
    batch->n_seq_id[i] = 1;
    batch->seq_id[i][0] = (llama_seq_id)sequence;
    batch->logits[i] = wants_logits ? 1 : 0;
}

static entrol_status status_of(int code) {
    if (code == 0) {
        return ENTROL_OK;
    }
    return code == 1    ? ENTROL_ERROR_OVERFLOW /* no room for these tokens beside those that were read */
           : code == -2 ? ENTROL_ERROR_MEMORY   /* a buffer could not be had */
                        : ENTROL_ERROR_SYSTEM;
}

entrol_status ent_llama_decode(entrol_llama *llama, const float **logits) {
    ent_log *before = ent_log_use(&llama->log);
    const double start = now();
    entrol_status status = status_of(llama_decode(llama->context, llama->batch));
    *logits = NULL;
    if (status == ENTROL_OK) {
        *logits = llama_get_logits(llama->context); /* waits for the computation */
    }
    llama->seconds += now() - start;
    llama->batch.n_tokens = 0;
    ent_log_use(before);
    return status;
}

static float *shift_floats(float *array, size_t n) {
    return array == NULL ? NULL : array + n;
}

static int32_t *shift_ids(int32_t *array, size_t n) {
    return array == NULL ? NULL : array + n;
}

entrol_record ent_record_at(const entrol_record *record, size_t row) {
    entrol_record part = *record;
    part.entropy = shift_floats(record->entropy, row);
    part.logsumexp = shift_floats(record->logsumexp, row);
    part.logprob = shift_floats(record->logprob, row);
    part.varentropy = shift_floats(record->varentropy, row);
    part.top_prob = shift_floats(record->top_prob, row);
    part.margin = shift_floats(record->margin, row);
    part.sum_p_squared = shift_floats(record->sum_p_squared, row);
    part.renyi = shift_floats(record->renyi, row);
    part.state = record->state == NULL ? NULL : record->state + row;
    part.rank = shift_ids(record->rank, row);
    part.top_id = shift_ids(record->top_id, row * record->n_top);
    part.top_logprob = shift_floats(record->top_logprob, row * record->n_top);
    return part;
}

static void merge(entrol_diagnosis *total, const entrol_diagnosis *part, size_t row) {
    if (part->n_bad > 0 && total->n_bad == 0) {
        total->first_row = row + part->first_row;
        total->first_column = part->first_column;
        total->reason = part->reason;
    }
    total->n_bad += part->n_bad;
}

entrol_status ent_llama_reduce(entrol_llama *llama, entrol_context *context, const entrol_record *record, size_t row,
                               entrol_diagnosis *diagnosis, const float *logits, size_t n_rows) {
    const entrol_record part = ent_record_at(record, row);
    const entrol_matrix matrix = {logits, ENTROL_F32, n_rows, llama->n_vocab, (ptrdiff_t)llama->n_vocab};
    entrol_diagnosis found = {0};
    const entrol_status status = entrol_measure_rows(context, &part, &found, &matrix, llama->targets, llama->measure);
    if (found.n_bad > 0) {
        llama->memory_tainted = true;
    }
    if (diagnosis != NULL && status == ENTROL_OK) {
        merge(diagnosis, &found, row);
    } else if (diagnosis != NULL) {
        *diagnosis = found;
    }
    return status;
}
