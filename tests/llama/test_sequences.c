/* Texts that go on token by token: their logits are those of llama.cpp's own decoding of each text by itself, whatever
 * goes on beside them, and greedy texts are those of its greedy sampler. */
#include "harness.h"

#include "entrol_llama.h"
#include "internal.h"
#include "tiny_model.h"

enum { N_CTX = 64, N_SEQ = 5, MOST = 64 };

static entrol_llama *open_shared(const char *path, uint32_t n_ctx, uint32_t n_seq, uint32_t n_own, uint32_t n_batch) {
    char error[500];
    entrol_llama *llama = NULL;
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    options.model_path = path;
    options.n_ctx = n_ctx;
    options.n_batch = n_batch;
    options.n_seq_max = n_seq;
    options.n_threads = 1;
    options.n_own = n_own;
    options.flash_attention = 0; /* which on a CPU adds in half precision, and in an order that neighbours change */
    if (!CHECK_SAY(entrol_llama_open(&llama, error, sizeof error, &options) == ENTROL_OK, "%s", error)) {
        exit(1);
    }
    return llama;
}

static entrol_llama *open_tiny(uint32_t n_own) {
    return open_shared(tiny_model_write(&(tiny_model){.wants_bos = true}), N_CTX, N_SEQ, n_own, 8);
}

/* llama.cpp by itself. */
typedef struct peer {
    struct llama_model *model;
    struct llama_context *context;
    size_t n_vocab;
} peer;

static peer open_peer(const char *path, uint32_t n_ctx) {
    struct llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = parameters.n_batch = n_ctx;
    parameters.n_threads = parameters.n_threads_batch = 1;
    parameters.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    peer p = {.model = llama_model_load_from_file(path, llama_model_default_params())};
    p.context = llama_init_from_model(p.model, parameters);
    p.n_vocab = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(p.model));
    return p;
}

static void close_peer(peer *p) {
    llama_free(p->context);
    llama_model_free(p->model);
}

/* The text in one decode: what comes behind its last token. */
static const float *logits_of(peer *p, const int32_t *tokens, size_t n) {
    int32_t copy[MOST];
    memcpy(copy, tokens, n * sizeof *tokens);
    llama_memory_clear(llama_get_memory(p->context), true);
    CHECK(llama_decode(p->context, llama_batch_get_one(copy, (int32_t)n)) == 0);
    return llama_get_logits_ith(p->context, -1);
}

/* Sums in another order, by which a key or a value may be rounded to the next half: against logits of about 1. */
static void check_row(peer *p, const entrol_matrix *logits, size_t row, const int32_t *tokens, size_t n) {
    const float *expected = logits_of(p, tokens, n);
    const float *actual = (const float *)logits->data + (ptrdiff_t)row * logits->row_stride;
    double worst = 0;
    for (size_t i = 0; i < p->n_vocab; i++) {
        worst = fmax(worst, fabs((double)actual[i] - (double)expected[i]));
    }
    CHECK_SAY(worst < 5e-3, "a text of %zu tokens: a logit differs by %g", n, worst);
}

static int32_t random_token(void) {
    for (;;) {
        const int32_t token = TINY_FIRST_PIECE + (int32_t)test_below(TINY_N_PIECES);
        if (token != TINY_NAN_TOKEN) {
            return token;
        }
    }
}

/* What a test knows of the sequences: their tokens. */
typedef struct known {
    int32_t tokens[N_SEQ][MOST];
    size_t n[N_SEQ];
} known;

static void append_random(known *k, size_t sequence, size_t n) {
    for (size_t i = 0; i < n; i++) {
        k->tokens[sequence][k->n[sequence]++] = random_token();
    }
}

static void check_read(entrol_llama *llama, peer *p, known *k, uint32_t sequence, size_t n) {
    entrol_matrix logits;
    const size_t before = k->n[sequence];
    append_random(k, sequence, n);
    CHECK(entrol_llama_read(llama, &logits, sequence, k->tokens[sequence] + before, n) == ENTROL_OK);
    CHECK_INT(logits.n_rows, 1);
    CHECK_INT(logits.n_columns, p->n_vocab);
    check_row(p, &logits, 0, k->tokens[sequence], k->n[sequence]);
}

/* A step of the sequences that have some text and room, in a random order. */
static void check_step(entrol_llama *llama, peer *p, known *k) {
    uint32_t sequences[N_SEQ];
    int32_t tokens[N_SEQ];
    size_t n = 0;
    const uint32_t first = (uint32_t)test_below(N_SEQ);
    for (uint32_t i = 0; i < N_SEQ; i++) {
        const uint32_t sequence = (first + i) % N_SEQ;
        if (k->n[sequence] == 0 || k->n[sequence] == N_CTX) {
            continue;
        }
        append_random(k, sequence, 1);
        tokens[n] = k->tokens[sequence][k->n[sequence] - 1];
        sequences[n++] = sequence;
    }
    entrol_matrix logits;
    if (n == 0) {
        return;
    }
    CHECK(entrol_llama_step(llama, &logits, sequences, tokens, n) == ENTROL_OK);
    CHECK_INT(logits.n_rows, n);
    for (size_t i = 0; i < n; i++) {
        check_row(p, &logits, i, k->tokens[sequences[i]], k->n[sequences[i]]);
    }
}

/* Reads, steps, copies and forgets at random. */
static void test_each_text_is_as_if_alone(void) {
    const char *path = tiny_model_write(&(tiny_model){.wants_bos = true});
    entrol_llama *llama = open_shared(path, N_CTX, N_SEQ, N_CTX, 8);
    peer p = open_peer(path, 256);
    known k = {.n = {0}};
    for (int i = 0; i < 150; i++) {
        const uint32_t one = (uint32_t)test_below(N_SEQ), other = (uint32_t)test_below(N_SEQ);
        const size_t what = test_below(6);
        if (what == 0 && k.n[one] < N_CTX) {
            check_read(llama, &p, &k, one, 1 + test_below(N_CTX - k.n[one]) % 20);
        } else if (what == 1 && one != other) {
            CHECK(entrol_llama_fork(llama, one, other) == ENTROL_OK);
            memcpy(k.tokens[one], k.tokens[other], sizeof k.tokens[one]);
            k.n[one] = k.n[other];
        } else if (what == 2 && test_below(3) == 0) {
            CHECK(entrol_llama_forget(llama, one) == ENTROL_OK);
            k.n[one] = 0;
        } else if (what > 2) {
            check_step(llama, &p, &k);
        }
        CHECK_INT(entrol_llama_n_read(llama, one), k.n[one]);
    }
    CHECK(entrol_llama_forget_all(llama) == ENTROL_OK);
    memset(&k, 0, sizeof k);
    CHECK_INT(entrol_llama_n_read(llama, 1), 0);
    check_read(llama, &p, &k, 1, 3);
    close_peer(&p);
    entrol_llama_close(llama);
}

static int32_t greatest(const entrol_matrix *logits, size_t row) {
    const float *z = (const float *)logits->data + (ptrdiff_t)row * logits->row_stride;
    int32_t best = 0;
    for (size_t i = 1; i < logits->n_columns; i++) {
        best = z[i] > z[best] ? (int32_t)i : best;
    }
    return best;
}

/* llama.cpp's own loop, with its greedy sampler. */
static void go_on_greedily(peer *p, int32_t *text, const int32_t *prompt, size_t n_prompt, size_t n) {
    struct llama_sampler *sampler = llama_sampler_init_greedy();
    int32_t copy[MOST];
    memcpy(copy, prompt, n_prompt * sizeof *prompt);
    llama_memory_clear(llama_get_memory(p->context), true);
    struct llama_batch batch = llama_batch_get_one(copy, (int32_t)n_prompt);
    for (size_t i = 0; i < n; i++) {
        CHECK(llama_decode(p->context, batch) == 0);
        text[i] = llama_sampler_sample(sampler, p->context, -1);
        batch = llama_batch_get_one(&text[i], 1);
    }
    llama_sampler_free(sampler);
}

/* The text by itself, and as the first of three that share the prompt. */
static void check_greedy(const char *path, uint32_t n_ctx, const int32_t *prompt, size_t n_prompt, size_t n) {
    entrol_llama *llama = open_shared(path, n_ctx, 4, (uint32_t)n, 0);
    peer p = open_peer(path, 256);
    int32_t expected[MOST];
    go_on_greedily(&p, expected, prompt, n_prompt, n);
    for (uint32_t n_texts = 1; n_texts <= 3; n_texts += 2) {
        static const uint32_t sequences[] = {0, 1, 2};
        entrol_matrix logits;
        int32_t tokens[3];
        CHECK(entrol_llama_forget_all(llama) == ENTROL_OK);
        CHECK(entrol_llama_read(llama, &logits, 3, prompt, n_prompt) == ENTROL_OK);
        for (uint32_t i = 0; i < n_texts; i++) {
            tokens[i] = greatest(&logits, 0);
            CHECK(entrol_llama_fork(llama, i, 3) == ENTROL_OK);
        }
        for (size_t i = 0; i < n; i++) {
            CHECK_SAY(tokens[0] == expected[i], "of %u texts, token %zu: %d, not %d", n_texts, i, tokens[0],
                      expected[i]);
            CHECK(entrol_llama_step(llama, &logits, sequences, tokens, n_texts) == ENTROL_OK);
            for (uint32_t j = 0; j < n_texts; j++) {
                tokens[j] = greatest(&logits, j);
            }
        }
    }
    close_peer(&p);
    entrol_llama_close(llama);
}

static void test_greedy_is_llama_cpps(void) {
    int32_t prompt[20] = {TINY_BOS};
    for (size_t i = 1; i < 20; i++) {
        prompt[i] = random_token();
    }
    check_greedy(tiny_model_write(&(tiny_model){.wants_bos = true}), N_CTX, prompt, 20, 40);
    check_greedy(tiny_model_write(&(tiny_model){.wants_bos = true, .seed = 7}), N_CTX, prompt, 1, 40);
}

static void test_greedy_of_the_real_model(void) {
    const char *path = getenv("ENTROL_MODEL");
    entrol_llama_token *tokens = NULL;
    int32_t prompt[MOST];
    size_t n = 0;
    if (path == NULL) {
        test_skip("ENTROL_MODEL is not set");
        return;
    }
    entrol_llama *llama = open_shared(path, N_CTX, 1, 1, 0);
    static const char text[] = "Once upon a time";
    CHECK(entrol_llama_tokenize(llama, &tokens, &n, text, sizeof text - 1, 1) == ENTROL_OK);
    prompt[0] = entrol_llama_bos(llama);
    for (size_t i = 0; i < n; i++) {
        prompt[i + 1] = tokens[i].id;
    }
    free(tokens);
    entrol_llama_close(llama);
    check_greedy(path, 256, prompt, n + 1, 40);
}

/* A copy of a text that is many times as long as the model's sliding window goes on. */
static void check_long_prompt(const char *path, const int32_t *tokens, size_t n_tokens) {
    entrol_llama *llama = open_shared(path, 4096, 2, 64, 0);
    entrol_matrix logits;
    const uint32_t copy = 1;
    CHECK(entrol_llama_read(llama, &logits, 0, tokens, n_tokens) == ENTROL_OK);
    CHECK(entrol_llama_fork(llama, copy, 0) == ENTROL_OK);
    for (size_t i = 0; i < 3; i++) {
        CHECK(entrol_llama_step(llama, &logits, &copy, tokens + i, 1) == ENTROL_OK);
    }
    CHECK_INT(entrol_llama_n_read(llama, 1), n_tokens + 3);
    entrol_llama_close(llama);
}

/* Cells of a sliding window that two sequences have in common stay behind when both have gone on. */
static void test_many_copies_of_long_texts(void) {
    const char *path = getenv("ENTROL_MODEL");
    enum { LONG = 600, COPIES = 4, LONGER = 2400 };
    int32_t *tokens = calloc(LONGER, sizeof *tokens);
    if (path == NULL || is_quick()) {
        test_skip(path == NULL ? "ENTROL_MODEL is not set" : "ENTROL_QUICK");
        free(tokens);
        return;
    }
    entrol_llama *llama = open_shared(path, (COPIES + 1) * LONG, COPIES, (COPIES + 1) * LONG, 0);
    entrol_matrix logits;
    for (int32_t i = 0; i < LONGER; i++) {
        tokens[i] = 1000 + 7 * i;
    }
    check_long_prompt(path, tokens, LONGER);
    for (uint32_t copy = 1; copy < COPIES; copy++) {
        CHECK(entrol_llama_read(llama, &logits, copy - 1, tokens, LONG) == ENTROL_OK);
        CHECK(entrol_llama_fork(llama, copy, copy - 1) == ENTROL_OK);
    }
    for (uint32_t i = 0; i < COPIES; i++) {
        CHECK(entrol_llama_read(llama, &logits, i, tokens, LONG) == ENTROL_OK);
    }
    free(tokens);
    entrol_llama_close(llama);
}

static void test_what_has_no_room(void) {
    entrol_llama *llama = open_tiny(4);
    int32_t tokens[MOST + 1];
    entrol_matrix logits;
    for (size_t i = 0; i <= MOST; i++) {
        tokens[i] = random_token();
    }
    CHECK(entrol_llama_read(llama, &logits, 0, tokens, N_CTX + 1) == ENTROL_ERROR_OVERFLOW);
    CHECK_INT(entrol_llama_n_read(llama, 0), 0);
    CHECK(entrol_llama_read(llama, &logits, 0, tokens, N_CTX) == ENTROL_OK);
    const uint32_t zero = 0;
    CHECK(entrol_llama_step(llama, &logits, &zero, tokens, 1) == ENTROL_ERROR_OVERFLOW);
    entrol_llama_close(llama);
}

/* llama.cpp rounds the memory up to 256 tokens. */
static void test_memory_that_is_full(void) {
    entrol_llama *llama = open_shared(tiny_model_write(&(tiny_model){.wants_bos = true}), 200, 3, 1, 0);
    int32_t tokens[200];
    entrol_matrix logits;
    for (size_t i = 0; i < 200; i++) {
        tokens[i] = random_token();
    }
    CHECK(entrol_llama_read(llama, &logits, 0, tokens, 200) == ENTROL_OK);
    CHECK(entrol_llama_read(llama, &logits, 1, tokens, 200) == ENTROL_ERROR_OVERFLOW);
    CHECK(entrol_llama_forget_all(llama) == ENTROL_OK);
    CHECK(entrol_llama_read(llama, &logits, 1, tokens, 200) == ENTROL_OK);
    entrol_llama_close(llama);
}

static void test_bad_arguments(void) {
    entrol_llama *llama = open_tiny(N_CTX);
    entrol_matrix logits;
    const int32_t token = TINY_FIRST_PIECE, none = 100000, pair[] = {token, token};
    const uint32_t zero = 0, far = N_SEQ, twice[] = {1, 1};
    CHECK(entrol_llama_read(llama, &logits, N_SEQ, &token, 1) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_read(llama, &logits, 0, &token, 0) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_read(llama, &logits, 0, &none, 1) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_read(llama, NULL, 0, &token, 1) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_step(llama, &logits, &far, &token, 1) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_step(llama, &logits, &zero, &none, 1) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_step(llama, &logits, &zero, &token, 0) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_step(llama, &logits, twice, pair, 2) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_fork(llama, 0, 0) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_fork(llama, 0, N_SEQ) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_forget(llama, N_SEQ) == ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_llama_n_read(llama, 0) + entrol_llama_n_read(llama, 1), 0);
    entrol_llama_close(llama);
    llama = open_tiny(0);
    CHECK(entrol_llama_read(llama, &logits, 0, &token, 1) == ENTROL_ERROR_UNSUPPORTED);
    CHECK(entrol_llama_forget_all(llama) == ENTROL_ERROR_UNSUPPORTED);
    entrol_llama_close(llama);
}

/* What was NaN in the memory is not there for the next text; flash attention would read it behind its mask. */
static void test_trouble_is_forgotten(void) {
    const char *path = tiny_model_write(&(tiny_model){.wants_bos = true, .has_nan_token = true});
    entrol_llama *llama = open_shared(path, N_CTX, N_SEQ, N_CTX, 8);
    peer p = open_peer(path, 256);
    known k = {.n = {0}};
    entrol_matrix logits;
    const int32_t bad[] = {TINY_BOS, TINY_NAN_TOKEN};
    CHECK(entrol_llama_read(llama, &logits, 0, bad, 2) == ENTROL_OK);
    CHECK(isnan(((const float *)logits.data)[5]));
    CHECK(entrol_llama_forget_all(llama) == ENTROL_OK);
    check_read(llama, &p, &k, 0, 3);
    close_peer(&p);
    entrol_llama_close(llama);
}

/* </s> and <|endoftext|> end a text. <s> is for the model alone, as they are; <tool> and the pieces are text. */
static void test_roles_of_tokens(void) {
    entrol_llama *llama = open_tiny(1);
    entrol_llama_token *tokens = NULL;
    size_t n = 0;
    static const char text[] = "<|endoftext|><tool>";
    CHECK(entrol_llama_tokenize(llama, &tokens, &n, text, sizeof text - 1, 1) == ENTROL_OK);
    CHECK_INT(n, 2);
    CHECK(entrol_llama_is_end(llama, 2) && entrol_llama_is_control(llama, 2));
    CHECK(!entrol_llama_is_end(llama, TINY_BOS) && entrol_llama_is_control(llama, TINY_BOS));
    CHECK(n == 2 && entrol_llama_is_end(llama, tokens[0].id) && !entrol_llama_is_control(llama, tokens[1].id));
    CHECK(!entrol_llama_is_end(llama, TINY_FIRST_PIECE) && !entrol_llama_is_control(llama, TINY_FIRST_PIECE));
    CHECK(!entrol_llama_is_end(llama, -1) && !entrol_llama_is_control(llama, 100000));
    free(tokens);
    entrol_llama_close(llama);
}

static void test_too_many_sequences(void) {
    char error[500] = "";
    entrol_llama *llama = NULL;
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    options.model_path = tiny_model_write(&(tiny_model){.wants_bos = true});
    options.n_ctx = 16;
    options.n_seq_max = 257;
    options.n_own = 1;
    CHECK(entrol_llama_open(&llama, error, sizeof error, &options) == ENTROL_ERROR_ARGUMENT);
    CHECK_SAY(strstr(error, "256") != NULL, "%s", error);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    llama_log_set(NULL, NULL);
    TEST(test_each_text_is_as_if_alone);
    TEST(test_greedy_is_llama_cpps);
    TEST(test_greedy_of_the_real_model);
    TEST(test_many_copies_of_long_texts);
    TEST(test_what_has_no_room);
    TEST(test_memory_that_is_full);
    TEST(test_bad_arguments);
    TEST(test_trouble_is_forgotten);
    TEST(test_roles_of_tokens);
    TEST(test_too_many_sequences);
    return test_end();
}
