/* The perplexity that llama-perplexity prints: its formula once more, on plain decodes, in double. */
#include "harness.h"

#include "entrol_llama.h"
#include "internal.h"
#include "tiny_model.h"

enum { N_CTX = 32, N_TOKENS = 5 * N_CTX + 7, FIRST = N_CTX / 2, N_SCORED = N_CTX - 1 - FIRST };

static int32_t tokens[N_TOKENS];
static double surprisals[5 * N_SCORED]; /* the reference */

static double surprisal(const float *logits, size_t n_vocab, int32_t target) {
    double greatest = -INFINITY, sum = 0;
    for (size_t j = 0; j < n_vocab; j++) {
        greatest = fmax(greatest, logits[j]);
    }
    for (size_t j = 0; j < n_vocab; j++) {
        sum += exp(logits[j] - greatest);
    }
    return log(sum) + greatest - logits[target];
}

/* Each chunk by itself in one decode, its first token replaced by the BOS. */
static void make_reference(const char *path) {
    struct llama_model *model = llama_model_load_from_file(path, llama_model_default_params());
    struct llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = parameters.n_batch = 256;
    struct llama_context *context = llama_init_from_model(model, parameters);
    const size_t n_vocab = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
    struct llama_batch batch = llama_batch_init(N_CTX, 0, 1);
    for (size_t chunk = 0; chunk < 5; chunk++) {
        llama_memory_clear(llama_get_memory(context), true);
        batch.n_tokens = N_CTX;
        for (int32_t i = 0; i < N_CTX; i++) {
            batch.token[i] = i == 0 ? TINY_BOS : tokens[chunk * N_CTX + (size_t)i];
            batch.pos[i] = i;
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i] = 1;
        }
        CHECK(llama_decode(context, batch) == 0);
        for (size_t i = 0; i < N_SCORED; i++) {
            surprisals[chunk * N_SCORED + i] = surprisal(llama_get_logits_ith(context, (int32_t)(FIRST + i)), n_vocab,
                                                         tokens[chunk * N_CTX + FIRST + i + 1]);
        }
    }
    llama_batch_free(batch);
    llama_free(context);
    llama_model_free(model);
}

static void check_result(const entrol_llama_perplexity *result) {
    const size_t n = 5 * N_SCORED;
    double mean = 0, mean_square = 0;
    for (size_t i = 0; i < n; i++) {
        mean += surprisals[i] / (double)n;
        mean_square += surprisals[i] * surprisals[i] / (double)n;
    }
    CHECK_INT(result->n_chunks, 5);
    CHECK_INT(result->n_scored, n);
    CHECK_NEAR(result->perplexity, exp(mean), 1e-4 * exp(mean));
    CHECK_NEAR(result->error, sqrt((mean_square - mean * mean) / (double)(n - 1)) * exp(mean), 1e-3 * exp(mean));
}

static entrol_llama *open_as_llama_perplexity(const char *path, uint32_t n_batch, uint32_t n_ubatch) {
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    char error[500];
    entrol_llama *llama = NULL;
    options.model_path = path;
    options.n_ctx = N_CTX;
    options.n_batch = n_batch;
    options.n_ubatch = n_ubatch;
    options.n_seq_max = n_batch / N_CTX > 1 ? n_batch / N_CTX : 1;
    options.n_threads = 1;
    const entrol_status status = entrol_llama_open(&llama, error, sizeof error, &options);
    if (!CHECK_SAY(status == ENTROL_OK, "%s", error)) {
        exit(1);
    }
    return llama;
}

static void check_batch(const char *path, uint32_t n_batch, uint32_t n_ubatch, bool with_logprob) {
    static float entropy[N_TOKENS], logprob[N_TOKENS];
    static size_t positions[N_TOKENS];
    entrol_llama *llama = open_as_llama_perplexity(path, n_batch, n_ubatch);
    entrol_context *context = NULL;
    CHECK(entrol_context_create(&context, NULL) == ENTROL_OK);
    entrol_record record = ENTROL_RECORD_INIT;
    record.entropy = entropy;
    record.logprob = with_logprob ? logprob : NULL;
    entrol_llama_perplexity result = {0};
    entrol_llama_score_options options = {.size = sizeof options};
    const entrol_status status =
        entrol_llama_score_compat(llama, context, &record, positions, &result, tokens, N_TOKENS, &options);
    CHECK_SAY(status == ENTROL_OK, "-b %u -ub %u: %s", (unsigned)n_batch, (unsigned)n_ubatch,
              entrol_status_string(status));
    check_result(&result);
    CHECK(options.seconds_in_model > 0);
    for (size_t i = 0; i < result.n_scored; i++) {
        CHECK_INT(positions[i], i / N_SCORED * N_CTX + FIRST + 1 + i % N_SCORED);
        CHECK(entropy[i] > 0);
        CHECK_SAY(!with_logprob || test_near(-logprob[i], surprisals[i], 1e-3), "-b %u -ub %u: row %zu is %g, not %g",
                  (unsigned)n_batch, (unsigned)n_ubatch, i, -logprob[i], surprisals[i]);
    }
    entrol_context_destroy(context);
    entrol_llama_close(llama);
}

static void test_every_way_of_batching(void) {
    const char *path = tiny_model_write(&(tiny_model){.wants_bos = true});
    for (size_t i = 0; i < N_TOKENS; i++) {
        tokens[i] = TINY_FIRST_PIECE + (int32_t)test_below(TINY_N_PIECES);
    }
    ent_log_use(NULL); /* llama.cpp is silent from here on */
    make_reference(path);
    check_batch(path, N_CTX, N_CTX, true);
    check_batch(path, N_CTX, 8, false);
    check_batch(path, 10, 10, true); /* a chunk in pieces, the last of them short */
    check_batch(path, 10, 4, true);
    check_batch(path, 2 * N_CTX, 16, true); /* chunks packed, the last batch not full */
    check_batch(path, 4 * N_CTX, 4 * N_CTX, true);
    check_batch(path, 50, 50, true); /* capped to n_ctx, as llama-perplexity does */
}

static void test_what_llama_perplexity_cannot_do(void) {
    entrol_llama *llama = open_as_llama_perplexity(tiny_model_write(&(tiny_model){.wants_bos = true}), N_CTX, N_CTX);
    entrol_context *context = NULL;
    CHECK(entrol_context_create(&context, NULL) == ENTROL_OK);
    const entrol_record record = ENTROL_RECORD_INIT;
    entrol_llama_perplexity result;
    CHECK(entrol_llama_score_compat(llama, context, &record, NULL, &result, tokens, 2 * N_CTX - 1, NULL) ==
          ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_score_compat(llama, context, &record, NULL, &result, tokens, 2 * N_CTX, NULL) == ENTROL_OK);
    CHECK_INT(result.n_chunks, 2);
    entrol_measure_options measure = ENTROL_MEASURE_OPTIONS_INIT;
    entrol_llama_score_options options = {.size = sizeof options, .measure = &measure};
    CHECK(entrol_llama_score_compat(llama, context, &record, NULL, &result, tokens, 2 * N_CTX, &options) == ENTROL_OK);
    measure.temperature = 0.5;
    CHECK(entrol_llama_score_compat(llama, context, &record, NULL, &result, tokens, 2 * N_CTX, &options) ==
          ENTROL_ERROR_ARGUMENT);
    options.size = offsetof(entrol_llama_score_options, measure); /* an older struct, without the temperature */
    CHECK(entrol_llama_score_compat(llama, context, &record, NULL, &result, tokens, 2 * N_CTX, &options) == ENTROL_OK);
    options.size = 0;
    CHECK(entrol_llama_score_compat(llama, context, &record, NULL, &result, tokens, 2 * N_CTX, &options) ==
          ENTROL_ERROR_ARGUMENT);
    entrol_context_destroy(context);
    entrol_llama_close(llama);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_every_way_of_batching);
    TEST(test_what_llama_perplexity_cannot_do);
    return test_end();
}
