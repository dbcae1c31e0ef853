/* Several models in lockstep: the rows are those that each model gives by itself, in the windows and batches that all
 * of them have room for. */
#include "harness.h"

#include "entrol_llama.h"
#include "internal.h"
#include "tiny_model.h"

enum { MOST = 300, N_TOKENS = 200, MOST_MODELS = 3 };

/* What was measured of each model's rows. */
typedef struct measured {
    entrol_context *context;
    size_t n_models, n_calls, n_rows, most_rows;
    float entropy[MOST_MODELS][MOST], logprob[MOST_MODELS][MOST];
    entrol_status stop; /* what the callback returns */
} measured;

static entrol_llama *open_tiny(const tiny_model *model, uint32_t n_ctx, uint32_t n_batch, int vocabulary_only) {
    char error[500];
    entrol_llama *llama = NULL;
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    options.model_path = tiny_model_write(model);
    options.n_ctx = n_ctx;
    options.n_batch = n_batch;
    options.n_threads = 1;
    options.vocabulary_only = vocabulary_only;
    options.flash_attention = 0; /* which reads what is masked: see test_trouble_stays_in_its_document */
    if (!CHECK_SAY(entrol_llama_open(&llama, error, sizeof error, &options) == ENTROL_OK, "%s", error)) {
        exit(1);
    }
    return llama;
}

static entrol_context *new_context(void) {
    entrol_context *context = NULL;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    CHECK(entrol_context_create(&context, &options) == ENTROL_OK);
    return context;
}

static void random_tokens(int32_t *tokens, size_t n) {
    for (size_t i = 0; i < n; i++) {
        do {
            tokens[i] = TINY_FIRST_PIECE + (int32_t)test_below(TINY_N_PIECES);
        } while (tokens[i] == TINY_NAN_TOKEN);
    }
}

static entrol_status on_rows(void *user, size_t first_row, const entrol_matrix *logits, const int64_t *targets,
                             int *is_bad) {
    measured *m = user;
    for (size_t i = 0; i < m->n_models; i++) {
        entrol_record record = ENTROL_RECORD_INIT;
        entrol_diagnosis diagnosis;
        record.entropy = m->entropy[i] + first_row;
        record.logprob = m->logprob[i] + first_row;
        CHECK(logits[i].n_rows == logits[0].n_rows && !is_bad[i]);
        CHECK(entrol_measure_rows(m->context, &record, &diagnosis, &logits[i], targets, NULL) == ENTROL_OK);
        is_bad[i] = diagnosis.n_bad > 0;
    }
    m->n_calls++;
    m->n_rows += logits->n_rows;
    m->most_rows = logits->n_rows > m->most_rows ? logits->n_rows : m->most_rows;
    return m->stop;
}

static void measured_reset(measured *m, entrol_context *context, size_t n_models) {
    memset(m, 0x55, sizeof *m);
    m->context = context;
    m->n_models = n_models;
    m->n_calls = m->n_rows = m->most_rows = 0;
    m->stop = ENTROL_OK;
}

/* One model by itself. */
static void check_alone(const measured *together, size_t i, entrol_llama *llama, const int32_t *tokens, size_t n,
                        size_t first) {
    static float entropy[MOST], logprob[MOST];
    entrol_record record = ENTROL_RECORD_INIT;
    record.entropy = entropy;
    record.logprob = logprob;
    CHECK(entrol_llama_score(llama, together->context, &record, NULL, tokens, n, first, NULL) == ENTROL_OK);
    const size_t from = first == 0 && !entrol_llama_wants_bos(llama) ? 1 : 0;
    const size_t n_bytes = (n - first - from) * sizeof(float);
    CHECK(memcmp(entropy + from, together->entropy[i] + from, n_bytes) == 0);
    CHECK(memcmp(logprob + from, together->logprob[i] + from, n_bytes) == 0);
}

static void check_models(bool wants_bos, size_t n, size_t first) {
    static measured m;
    entrol_context *context = new_context();
    entrol_llama *llamas[MOST_MODELS];
    int32_t tokens[MOST];
    for (uint32_t i = 0; i < MOST_MODELS; i++) {
        llamas[i] = open_tiny(&(tiny_model){.wants_bos = wants_bos, .seed = i + 1}, 64, 16, 0);
    }
    random_tokens(tokens, n);
    measured_reset(&m, context, MOST_MODELS);
    entrol_llama_score_options options = ENTROL_LLAMA_SCORE_OPTIONS_INIT;
    CHECK(entrol_llama_score_together(llamas, MOST_MODELS, NULL, tokens, n, first, on_rows, &m, &options) == ENTROL_OK);
    CHECK_INT(m.n_rows, n - first - (n > first && first == 0 && !wants_bos));
    CHECK(m.most_rows <= 16 && (m.n_rows == 0 || options.seconds_in_model > 0));
    for (size_t i = 0; i < MOST_MODELS; i++) {
        check_alone(&m, i, llamas[i], tokens, n, first);
        entrol_llama_close(llamas[i]);
    }
    entrol_context_destroy(context);
}

static void test_the_rows_of_each_model(void) {
    for (int wants_bos = 0; wants_bos < 2; wants_bos++) {
        check_models(wants_bos, N_TOKENS, 0);
        check_models(wants_bos, N_TOKENS, 77);
        check_models(wants_bos, 17, 3);
        check_models(wants_bos, 1, 0);
        check_models(wants_bos, 5, 5);
    }
}

/* The windows are those of the least context, the batches those of the least batch. */
static void test_the_least_of_any(void) {
    static measured m;
    entrol_context *context = new_context();
    int32_t tokens[N_TOKENS];
    const tiny_model first = {.wants_bos = true}, second = {.wants_bos = true, .seed = 9};
    entrol_llama *llamas[2] = {open_tiny(&first, 128, 8, 0), open_tiny(&second, 64, 32, 0)};
    entrol_llama *alone[2] = {open_tiny(&first, 64, 8, 0), open_tiny(&second, 64, 8, 0)};
    random_tokens(tokens, N_TOKENS);
    measured_reset(&m, context, 2);
    CHECK(entrol_llama_score_together(llamas, 2, NULL, tokens, N_TOKENS, 0, on_rows, &m, NULL) == ENTROL_OK);
    CHECK_INT(m.most_rows, 8);
    for (size_t i = 0; i < 2; i++) {
        check_alone(&m, i, alone[i], tokens, N_TOKENS, 0);
        entrol_llama_close(llamas[i]);
        entrol_llama_close(alone[i]);
    }
    entrol_context_destroy(context);
}

/* NaNs of one document leave nothing behind for the next. */
static void test_trouble_stays_in_its_document(void) {
    static measured m;
    entrol_context *context = new_context();
    int32_t tokens[N_TOKENS], bad[60];
    entrol_llama *llamas[2] = {
        open_tiny(&(tiny_model){.wants_bos = true}, 64, 16, 0),
        open_tiny(&(tiny_model){.wants_bos = true, .seed = 3, .has_nan_token = true}, 64, 16, 0)};
    random_tokens(tokens, N_TOKENS);
    memcpy(bad, tokens, sizeof bad); /* one window, so that nothing overwrites it */
    bad[20] = TINY_NAN_TOKEN;
    measured_reset(&m, context, 2);
    CHECK(entrol_llama_score_together(llamas, 2, NULL, bad, 60, 0, on_rows, &m, NULL) == ENTROL_OK);
    CHECK(!isnan(m.entropy[0][25]) && isnan(m.entropy[1][25]) && !isnan(m.entropy[1][10]));
    measured_reset(&m, context, 2);
    CHECK(entrol_llama_score_together(llamas, 2, NULL, tokens, 20, 0, on_rows, &m, NULL) == ENTROL_OK);
    entrol_llama *fresh = open_tiny(&(tiny_model){.wants_bos = true, .seed = 3, .has_nan_token = true}, 64, 16, 0);
    check_alone(&m, 0, llamas[0], tokens, 20, 0);
    check_alone(&m, 1, fresh, tokens, 20, 0);
    entrol_llama_close(llamas[0]);
    entrol_llama_close(llamas[1]);
    entrol_llama_close(fresh);
    entrol_context_destroy(context);
}

static int stop_after(void *user, size_t n_scored) {
    size_t *most = user;
    return n_scored >= *most;
}

static void test_stopping(void) {
    static measured m;
    entrol_context *context = new_context();
    int32_t tokens[N_TOKENS];
    entrol_llama *llamas[2];
    for (uint32_t i = 0; i < 2; i++) {
        llamas[i] = open_tiny(&(tiny_model){.wants_bos = true, .seed = i + 1}, 64, 16, 0);
    }
    random_tokens(tokens, N_TOKENS);
    measured_reset(&m, context, 2);
    m.stop = ENTROL_ERROR_MEMORY;
    CHECK_INT(entrol_llama_score_together(llamas, 2, NULL, tokens, N_TOKENS, 0, on_rows, &m, NULL),
              ENTROL_ERROR_MEMORY);
    CHECK_INT(m.n_calls, 1);
    size_t most = 40;
    entrol_llama_score_options options = ENTROL_LLAMA_SCORE_OPTIONS_INIT;
    options.progress = stop_after;
    options.progress_user = &most;
    measured_reset(&m, context, 2);
    CHECK_INT(entrol_llama_score_together(llamas, 2, NULL, tokens, N_TOKENS, 0, on_rows, &m, &options),
              ENTROL_ERROR_SYSTEM);
    CHECK_INT(m.n_rows, 48);
    for (size_t i = 0; i < 2; i++) {
        entrol_llama_close(llamas[i]);
    }
    entrol_context_destroy(context);
}

static void check_refused(entrol_llama *const *llamas, size_t n_llamas, const char *argument) {
    entrol_diagnosis diagnosis = {0};
    measured m = {.n_models = 0};
    const int32_t token = TINY_FIRST_PIECE;
    CHECK_INT(entrol_llama_score_together(llamas, n_llamas, &diagnosis, &token, 1, 0, on_rows, &m, NULL),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "none", argument);
}

static void test_what_cannot_go_together(void) {
    const tiny_model plain = {.wants_bos = true}, more = {.wants_bos = true, .more_tokens = true}, no_bos = {0};
    entrol_llama *llamas[17];
    entrol_llama *first = open_tiny(&plain, 64, 16, 0);
    for (size_t i = 0; i < 17; i++) {
        llamas[i] = first;
    }
    check_refused(NULL, 1, "llamas");
    check_refused(llamas, 0, "llamas");
    check_refused(llamas, 17, "llamas");
    const tiny_model *others[2] = {&more, &no_bos};
    for (size_t i = 0; i < 2; i++) {
        llamas[1] = open_tiny(others[i], 64, 16, 0);
        check_refused(llamas, 2, "llamas");
        entrol_llama_close(llamas[1]);
    }
    entrol_diagnosis diagnosis = {0};
    const int32_t token = TINY_FIRST_PIECE;
    CHECK_INT(entrol_llama_score_together(llamas, 1, &diagnosis, &token, 1, 0, NULL, NULL, NULL),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "none", "rows");
    llamas[1] = open_tiny(&plain, 0, 0, 1);
    CHECK_INT(entrol_llama_score_together(llamas, 2, NULL, &token, 1, 0, on_rows, NULL, NULL),
              ENTROL_ERROR_UNSUPPORTED);
    entrol_llama_close(llamas[1]);
    entrol_llama_close(first);
}

static void test_the_texts_of_tokens(void) {
    entrol_llama *llama = open_tiny(&(tiny_model){.wants_bos = true, .other_token = true}, 0, 0, 1);
    CHECK_STRING(entrol_llama_token_text(llama, TINY_BOS), "<s>");
    CHECK_STRING(entrol_llama_token_text(llama, TINY_FIRST_BYTE + 10), "<0x0A>");
    CHECK_STRING(entrol_llama_token_text(llama, TINY_FIRST_PIECE + 22), "\xe2\x96\x81the");
    CHECK_STRING(entrol_llama_token_text(llama, TINY_FIRST_PIECE + 19), "und");
    CHECK(entrol_llama_token_text(llama, -1) == NULL);
    CHECK(entrol_llama_token_text(llama, (int32_t)entrol_llama_n_vocab(llama)) == NULL);
    entrol_llama_close(llama);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_the_rows_of_each_model);
    TEST(test_the_least_of_any);
    TEST(test_trouble_stays_in_its_document);
    TEST(test_stopping);
    TEST(test_what_cannot_go_together);
    TEST(test_the_texts_of_tokens);
    return test_end();
}
