/* Opening and closing a model, and saying in a sentence why one cannot be opened. */
#include "internal.h"
#include "file.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#define DEFAULT_CONTEXT 2048u
#define DEFAULT_BATCH 128u      /* as fast as 256 and 512 (Gemma 3 270M), in 57 % and 34 % of their memory */
#define LEAST_CONTEXT 4u        /* a window must score something beside its context */
#define MOST_CONTEXT (1u << 30) /* llama.cpp rounds up to a multiple of 256 in 32 bits */

/* Where an error's sentence goes. */
typedef struct message {
    char *text;
    size_t size;
} message;

__attribute__((format(printf, 3, 4))) static entrol_status fail(const message *error, entrol_status status,
                                                                const char *format, ...) {
    if (error->text != NULL && error->size > 0) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, error->size, format, arguments);
        va_end(arguments);
    }
    return status;
}

static bool mentions(const char *text, const char *const *words) {
    for (; *words != NULL; words++) {
        if (strstr(text, *words) != NULL) {
            return true;
        }
    }
    return false;
}

/* llama.cpp says "failed to allocate", "bad_alloc", "Cannot allocate memory" and the like. */
static bool is_lack_of_memory(const char *text) {
    static const char *const words[] = {"alloc", "memory", "reserve", NULL};
    static const char *const others[] = {"invalid", "corrupt", "overflow", NULL};
    return mentions(text, words) && !mentions(text, others);
}

static entrol_status cannot_load(const message *error, const char *path, const char *reason) {
    static const char *const truncated[] = {"file bounds", "remaining file", "failed to read", "end of file", NULL};
    if (is_lack_of_memory(reason)) {
        return fail(error, ENTROL_ERROR_MEMORY, "there is not enough memory to load '%s': llama.cpp says \"%s\".", path,
                    reason);
    }
    if (mentions(reason, truncated)) {
        return fail(error, ENTROL_ERROR_ARGUMENT, "'%s' is a truncated or damaged GGUF file: llama.cpp says \"%s\".",
                    path, reason);
    }
    return fail(error, ENTROL_ERROR_UNSUPPORTED, "llama.cpp cannot load '%s': it says \"%s\".", path,
                reason[0] != '\0' ? reason : "nothing more");
}

static void start_backends(void) {
    llama_backend_init();
    if (ggml_backend_dev_count() == 0) { /* a llama.cpp whose processors are plug-ins */
        ggml_backend_load_all();
    }
}

static uint32_t n_processors(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    return (uint32_t)CPU_COUNT(&set);
}

static entrol_status load_model(entrol_llama *llama, const message *error, const entrol_llama_options *options) {
    struct llama_model_params parameters = llama_model_default_params();
    parameters.n_gpu_layers = options->n_gpu_layers;
    parameters.vocab_only = options->vocabulary_only != 0;
    llama->model = llama_model_load_from_file(options->model_path, parameters);
    if (llama->model == NULL) {
        return cannot_load(error, options->model_path, llama->log.error);
    }
    llama->vocab = llama_model_get_vocab(llama->model);
    llama->n_vocab = (size_t)llama_vocab_n_tokens(llama->vocab);
    ent_llama_begin_rules(llama);
    if (llama_vocab_type(llama->vocab) == LLAMA_VOCAB_TYPE_NONE || llama->n_vocab == 0) {
        return fail(error, ENTROL_ERROR_UNSUPPORTED, "'%s' has no vocabulary, so it cannot score text.",
                    options->model_path);
    }
    if (llama_model_has_encoder(llama->model) || !llama_model_has_decoder(llama->model) ||
        llama_model_is_diffusion(llama->model)) {
        return fail(error, ENTROL_ERROR_UNSUPPORTED,
                    "'%s' is not a decoder-only language model, so it does not predict a next token.",
                    options->model_path);
    }
    llama->bos = llama_vocab_get_add_bos(llama->vocab) ? llama_vocab_bos(llama->vocab) : -1;
    llama_model_desc(llama->model, llama->description, sizeof llama->description);
    return ENTROL_OK;
}

static uint32_t window_size(const entrol_llama *llama, const entrol_llama_options *options) {
    if (options->n_ctx != 0) {
        return options->n_ctx;
    }
    const int32_t trained = llama_model_n_ctx_train(llama->model);
    return trained > 0 && (uint32_t)trained < DEFAULT_CONTEXT ? (uint32_t)trained : DEFAULT_CONTEXT;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* n_ctx, n_batch and n_ubatch are made to agree as llama-perplexity's main() does.
 *
 * A sliding window keeps no more cells than it sees, as in llama.cpp's own tools; but llama.cpp gives none of them free
 * that two sequences have, so that those that are shared need room for all. */
static struct llama_context_params context_parameters(entrol_llama *llama, const entrol_llama_options *options) {
    const uint32_t n_ctx = window_size(llama, options);
    const uint32_t n_seq = options->n_seq_max == 0 ? 1 : options->n_seq_max;
    const uint32_t wanted = options->n_batch == 0 ? DEFAULT_BATCH : options->n_batch;
    const uint32_t n_threads = options->n_threads == 0 ? n_processors() : options->n_threads;
    struct llama_context_params parameters = llama_context_default_params();
    parameters.kv_unified = options->n_own > 0;
    parameters.n_ctx = parameters.kv_unified ? n_ctx + (n_seq - 1) * least(options->n_own, n_ctx) : n_ctx * n_seq;
    parameters.n_seq_max = n_seq;
    parameters.n_batch = least(wanted, n_ctx * n_seq);
    if (parameters.kv_unified && parameters.n_batch < parameters.n_seq_max) {
        parameters.n_batch = parameters.n_seq_max; /* llama.cpp wants room for a row of each */
    }
    parameters.n_ubatch = options->n_ubatch == 0 ? parameters.n_batch : least(options->n_ubatch, parameters.n_batch);
    parameters.n_threads = (int32_t)n_threads;
    parameters.n_threads_batch = (int32_t)n_threads;
    parameters.flash_attn_type = options->flash_attention < 0    ? LLAMA_FLASH_ATTN_TYPE_AUTO
                                 : options->flash_attention == 0 ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                                                                 : LLAMA_FLASH_ATTN_TYPE_ENABLED;
    parameters.swa_full = parameters.kv_unified;
    parameters.no_perf = true;
    llama->n_ctx = n_ctx;
    llama->n_seq_max = n_seq;
    llama->n_batch = parameters.n_batch;
    llama->n_ubatch = parameters.n_ubatch;
    return parameters;
}

static entrol_status check_sizes(const message *error, const entrol_llama *llama, const entrol_llama_options *options) {
    const uint32_t n_ctx = window_size(llama, options);
    const uint32_t n_seq = options->n_seq_max == 0 ? 1 : options->n_seq_max;
    if (n_ctx < LEAST_CONTEXT || n_ctx > MOST_CONTEXT / n_seq) {
        return fail(error, ENTROL_ERROR_ARGUMENT, "a context of %u tokens is not possible: it is %u to %u.",
                    (unsigned)n_ctx, LEAST_CONTEXT, MOST_CONTEXT / n_seq);
    }
    const size_t most = llama_max_parallel_sequences();
    if (n_seq > most) {
        return fail(error, ENTROL_ERROR_ARGUMENT, "%u sequences do not fit in one batch: llama.cpp takes %zu.",
                    (unsigned)n_seq, most);
    }
    return ENTROL_OK;
}

static entrol_status make_context(entrol_llama *llama, const message *error, const entrol_llama_options *options) {
    entrol_status status = check_sizes(error, llama, options);
    if (status != ENTROL_OK) {
        return status;
    }
    const struct llama_context_params parameters = context_parameters(llama, options);
    llama->context = llama_init_from_model(llama->model, parameters);
    if (llama->context == NULL) {
        const bool memory = is_lack_of_memory(llama->log.error);
        return fail(error, memory ? ENTROL_ERROR_MEMORY : ENTROL_ERROR_UNSUPPORTED,
                    "%s '%s' with a context of %zu tokens in batches of %zu: llama.cpp says \"%s\".",
                    memory ? "there is not enough memory to run" : "llama.cpp cannot run", options->model_path,
                    llama->n_ctx, llama->n_batch, llama->log.error[0] != '\0' ? llama->log.error : "nothing more");
    }
    if (llama_get_memory(llama->context) == NULL) { /* BERT and its like */
        return fail(error, ENTROL_ERROR_UNSUPPORTED,
                    "'%s' is an embedding model: it has no decoder, so it does not predict a next token.",
                    options->model_path);
    }
    llama->batch = llama_batch_init((int32_t)llama->n_batch, 0, 1);
    llama->targets = calloc(llama->n_batch, sizeof *llama->targets);
    llama->logprob = calloc(llama->n_batch, sizeof *llama->logprob);
    llama->n_read = options->n_own > 0 ? calloc(llama->n_seq_max, sizeof *llama->n_read) : NULL;
    if ((options->n_own > 0 && llama->n_read == NULL) || llama->targets == NULL || llama->logprob == NULL ||
        llama->batch.token == NULL) {
        return fail(error, ENTROL_ERROR_MEMORY, "there is not enough memory for a batch of %zu tokens.",
                    llama->n_batch);
    }
    llama->batch.n_tokens = 0;
    return ENTROL_OK;
}

static entrol_status open_model(entrol_llama *llama, const message *error, const entrol_llama_options *options) {
    llama->log.forward = options->log;
    llama->log.user = options->log_user;
    ent_log *before = ent_log_use(&llama->log);
    static once_flag started = ONCE_FLAG_INIT;
    call_once(&started, start_backends);
    entrol_status status = load_model(llama, error, options);
    if (status == ENTROL_OK && !options->vocabulary_only) {
        status = make_context(llama, error, options);
    }
    if (status == ENTROL_OK) {
        ent_llama_study_tokenizer(llama);
    }
    llama->log.error[0] = '\0';
    ent_log_use(before);
    return status;
}

entrol_status entrol_llama_open(entrol_llama **llama, char *error, size_t error_size,
                                const entrol_llama_options *options) {
    const message sentence = {error, error_size};
    entrol_llama_options taken = ENTROL_LLAMA_OPTIONS_INIT;
    if (options != NULL && !ent_llama_take(&taken, options, sizeof taken)) {
        return fail(&sentence, ENTROL_ERROR_ARGUMENT, "the options have no size.");
    }
    if (llama == NULL || taken.model_path == NULL) {
        return fail(&sentence, ENTROL_ERROR_ARGUMENT, "no model was named.");
    }
    entrol_status status = ent_gguf_check(error, error_size, taken.model_path);
    if (status != ENTROL_OK) {
        return status;
    }
    if (taken.chat_template != NULL && !ent_template_is_known(taken.chat_template)) {
        return fail(&sentence, ENTROL_ERROR_ARGUMENT,
                    "llama.cpp knows no chat template \"%.80s\" (chatml, gemma, llama3, mistral-v7 and others; its "
                    "documentation lists them).",
                    taken.chat_template);
    }
    entrol_llama *opened = calloc(1, sizeof *opened);
    if (opened == NULL) {
        return fail(&sentence, ENTROL_ERROR_MEMORY, "there is not enough memory.");
    }
    if (taken.chat_template != NULL && (opened->chat_template = strdup(taken.chat_template)) == NULL) {
        status = fail(&sentence, ENTROL_ERROR_MEMORY, "there is not enough memory.");
    } else {
        status = open_model(opened, &sentence, &taken);
    }
    if (status != ENTROL_OK) {
        entrol_llama_close(opened);
        return status;
    }
    *llama = opened;
    return ENTROL_OK;
}

void entrol_llama_close(entrol_llama *llama) {
    if (llama == NULL) {
        return;
    }
    ent_log *before = ent_log_use(&llama->log);
    if (llama->batch.token != NULL) {
        llama_batch_free(llama->batch);
    }
    llama_free(llama->context);
    llama_model_free(llama->model);
    ent_log_use(before == &llama->log ? NULL : before);
    free(llama->targets);
    free(llama->logprob);
    free(llama->chat_template);
    free(llama->n_read);
    free(llama);
}

size_t entrol_llama_n_vocab(const entrol_llama *llama) {
    return llama->n_vocab;
}

size_t entrol_llama_n_ctx(const entrol_llama *llama) {
    return llama->n_ctx;
}

size_t entrol_llama_n_batch(const entrol_llama *llama) {
    return llama->n_batch;
}

size_t entrol_llama_n_ubatch(const entrol_llama *llama) {
    return llama->n_ubatch;
}

const char *entrol_llama_token_text(const entrol_llama *llama, int32_t token) {
    const bool exists = token >= 0 && (size_t)token < llama->n_vocab;
    return exists ? llama_vocab_get_text(llama->vocab, token) : NULL;
}

int entrol_llama_wants_bos(const entrol_llama *llama) {
    return llama->bos >= 0;
}

int32_t entrol_llama_bos(const entrol_llama *llama) {
    return llama->bos;
}

const char *entrol_llama_error(const entrol_llama *llama) {
    return llama->log.error;
}

const char *entrol_llama_description(const entrol_llama *llama) {
    return llama->description;
}

const char *entrol_llama_version(void) {
    return llama_version();
}
