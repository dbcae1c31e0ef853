/* Texts that go on token by token: the sequences of the model's memory, which share what they have in common, and one
 * decode a step for all of them. */
#include "internal.h"

#include <math.h>

static entrol_status check(const entrol_llama *llama, uint32_t sequence) {
    if (llama == NULL) {
        return ENTROL_ERROR_ARGUMENT;
    }
    if (llama->n_read == NULL) {
        return ENTROL_ERROR_UNSUPPORTED;
    }
    return sequence < llama->n_seq_max ? ENTROL_OK : ENTROL_ERROR_ARGUMENT;
}

/* What a sequence is to be given more of. */
static entrol_status check_more(const entrol_llama *llama, uint32_t sequence, const int32_t *tokens, size_t n_tokens) {
    entrol_status status = check(llama, sequence);
    if (status == ENTROL_OK) {
        status = n_tokens == 0 ? ENTROL_ERROR_ARGUMENT : ent_llama_check_tokens(llama, NULL, tokens, n_tokens);
    }
    if (status == ENTROL_OK && n_tokens > llama->n_ctx - llama->n_read[sequence]) {
        status = ENTROL_ERROR_OVERFLOW;
    }
    return status;
}

static void push(entrol_llama *llama, uint32_t sequence, int32_t token, bool wants_logits) {
    ent_llama_push(llama, token, llama->n_read[sequence]++, sequence, wants_logits);
}

/* Decodes the batch, which gives so many rows. A hidden state that is NaN makes all of its row NaN, and must not stay
 * in the memory. */
static entrol_status decode(entrol_llama *llama, entrol_matrix *logits, size_t n_rows) {
    const float *rows;
    const entrol_status status = ent_llama_decode(llama, &rows);
    for (size_t i = 0; i < n_rows && status == ENTROL_OK; i++) {
        llama->memory_tainted |= isnan(rows[i * llama->n_vocab]) != 0;
    }
    *logits = (entrol_matrix){rows, ENTROL_F32, n_rows, llama->n_vocab, (ptrdiff_t)llama->n_vocab};
    return status;
}

entrol_status entrol_llama_forget_all(entrol_llama *llama) {
    const entrol_status status = check(llama, 0);
    if (status != ENTROL_OK) {
        return status;
    }
    ent_llama_clear(llama);
    return ENTROL_OK;
}

entrol_status entrol_llama_forget(entrol_llama *llama, uint32_t sequence) {
    const entrol_status status = check(llama, sequence);
    if (status == ENTROL_OK) {
        llama_memory_seq_rm(llama_get_memory(llama->context), (llama_seq_id)sequence, -1, -1);
        llama->n_read[sequence] = 0;
    }
    return status;
}

entrol_status entrol_llama_fork(entrol_llama *llama, uint32_t copy, uint32_t sequence) {
    entrol_status status = check(llama, sequence);
    if (status == ENTROL_OK) {
        status = copy == sequence ? ENTROL_ERROR_ARGUMENT : entrol_llama_forget(llama, copy);
    }
    if (status == ENTROL_OK) {
        llama_memory_seq_cp(llama_get_memory(llama->context), (llama_seq_id)sequence, (llama_seq_id)copy, -1, -1);
        llama->n_read[copy] = llama->n_read[sequence];
    }
    return status;
}

entrol_status entrol_llama_read(entrol_llama *llama, entrol_matrix *logits, uint32_t sequence, const int32_t *tokens,
                                size_t n_tokens) {
    entrol_status status = logits == NULL ? ENTROL_ERROR_ARGUMENT : check_more(llama, sequence, tokens, n_tokens);
    for (size_t done = 0; done < n_tokens && status == ENTROL_OK;) {
        const size_t n = n_tokens - done < llama->n_batch ? n_tokens - done : llama->n_batch;
        const bool is_last = done + n == n_tokens;
        for (size_t i = 0; i < n; i++) {
            push(llama, sequence, tokens[done + i], is_last && i + 1 == n);
        }
        status = decode(llama, logits, is_last ? 1 : 0);
        done += n;
    }
    return status;
}

static bool names_twice(const uint32_t *sequences, size_t n_sequences) {
    for (size_t i = 0; i < n_sequences; i++) {
        for (size_t j = 0; j < i; j++) {
            if (sequences[i] == sequences[j]) {
                return true;
            }
        }
    }
    return false;
}

entrol_status entrol_llama_step(entrol_llama *llama, entrol_matrix *logits, const uint32_t *sequences,
                                const int32_t *tokens, size_t n_sequences) {
    if (llama == NULL || logits == NULL || sequences == NULL || tokens == NULL || n_sequences == 0 ||
        n_sequences > llama->n_batch || names_twice(sequences, n_sequences)) {
        return ENTROL_ERROR_ARGUMENT;
    }
    for (size_t i = 0; i < n_sequences; i++) {
        const entrol_status status = check_more(llama, sequences[i], &tokens[i], 1);
        if (status != ENTROL_OK) {
            return status;
        }
    }
    for (size_t i = 0; i < n_sequences; i++) {
        push(llama, sequences[i], tokens[i], true);
    }
    return decode(llama, logits, n_sequences);
}

size_t entrol_llama_n_read(const entrol_llama *llama, uint32_t sequence) {
    return check(llama, sequence) == ENTROL_OK ? llama->n_read[sequence] : 0;
}

static bool is_token(const entrol_llama *llama, int32_t token) {
    return llama != NULL && token >= 0 && (size_t)token < llama->n_vocab;
}

int entrol_llama_is_end(const entrol_llama *llama, int32_t token) {
    return is_token(llama, token) && llama_vocab_is_eog(llama->vocab, token);
}

int entrol_llama_is_control(const entrol_llama *llama, int32_t token) {
    return is_token(llama, token) && llama_vocab_is_control(llama->vocab, token);
}
