/* Records of documents: every token once, the numbers of a plain decode and a softmax in double, and nothing that
 * depends on what came before or on threads. */
#include "harness.h"

#include "entrol_llama.h"
#include "internal.h"
#include "tiny_model.h"

enum { MOST = 700 };

typedef struct columns {
    float entropy[MOST], logprob[MOST], top_prob[MOST], top_logprob[2 * MOST];
    int32_t rank[MOST], top_id[2 * MOST];
    entrol_state state[MOST];
} columns;

static entrol_record record_of(columns *c) {
    entrol_record record = ENTROL_RECORD_INIT;
    record.entropy = c->entropy;
    record.logprob = c->logprob;
    record.top_prob = c->top_prob;
    record.rank = c->rank;
    record.top_id = c->top_id;
    record.top_logprob = c->top_logprob;
    record.n_top = 2;
    record.state = c->state;
    return record;
}

static entrol_llama_options options_for(const char *path, uint32_t n_ctx, uint32_t n_batch) {
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    options.model_path = path;
    options.n_ctx = n_ctx;
    options.n_batch = n_batch;
    options.n_threads = 1;
    return options;
}

static entrol_llama *open_with(const entrol_llama_options *options) {
    char error[500];
    entrol_llama *llama = NULL;
    const entrol_status status = entrol_llama_open(&llama, error, sizeof error, options);
    if (!CHECK_SAY(status == ENTROL_OK, "%s", error)) {
        exit(1);
    }
    return llama;
}

static entrol_llama *open_tiny(bool wants_bos, uint32_t n_ctx, uint32_t n_batch) {
    const entrol_llama_options options =
        options_for(tiny_model_write(&(tiny_model){.wants_bos = wants_bos}), n_ctx, n_batch);
    return open_with(&options);
}

static entrol_context *new_context(size_t n_threads) {
    entrol_context *context = NULL;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = n_threads;
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

static columns *score(entrol_llama *llama, size_t n_threads, const int32_t *tokens, size_t n, size_t first,
                      entrol_llama_score_options *options) {
    columns *result = malloc(sizeof *result);
    memset(result, 0x5a, sizeof *result); /* what no measurement gives */
    entrol_context *context = new_context(n_threads);
    const entrol_record record = record_of(result);
    entrol_diagnosis diagnosis;
    const entrol_status status = entrol_llama_score(llama, context, &record, &diagnosis, tokens, n, first, options);
    CHECK_SAY(status == ENTROL_OK, "%s", entrol_status_string(status));
    entrol_context_destroy(context);
    return result;
}

/* A row of logits in double: the textbook's formulas. */
static void check_row(const columns *c, size_t row, const float *logits, size_t n_vocab, int32_t target,
                      double tolerance) {
    double greatest = -INFINITY, sum = 0, entropy = 0;
    int32_t rank = 1;
    for (size_t j = 0; j < n_vocab; j++) {
        greatest = fmax(greatest, logits[j]);
        rank += logits[j] > logits[target];
    }
    for (size_t j = 0; j < n_vocab; j++) {
        sum += exp(logits[j] - greatest);
    }
    for (size_t j = 0; j < n_vocab; j++) {
        const double logprob = logits[j] - greatest - log(sum);
        entropy -= exp(logprob) * logprob;
    }
    CHECK_SAY(test_near(c->entropy[row], entropy, tolerance), "row %zu: entropy %g, expected %g", row, c->entropy[row],
              entropy);
    CHECK_NEAR(c->logprob[row], logits[target] - greatest - log(sum), tolerance);
    CHECK_NEAR(c->top_prob[row], 1 / sum, tolerance);
    if (tolerance < 1e-5) {
        CHECK_INT(c->rank[row], rank);
    }
}

/* Reads tokens (the first of them maybe a BOS) in pieces of n_batch from an empty memory, with llama.cpp alone; rows
 * from `skip` on are compared with the record's from `row` on: position p predicts tokens[p + 1]. */
static void check_plain_decode(const char *path, const columns *c, size_t row, const int32_t *tokens, size_t n,
                               size_t skip, size_t n_batch, double tolerance) {
    struct llama_model *model = llama_model_load_from_file(path, llama_model_default_params());
    struct llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = 1024;
    parameters.n_batch = parameters.n_ubatch = (uint32_t)n_batch;
    parameters.n_threads = parameters.n_threads_batch = 1;
    struct llama_context *context = llama_init_from_model(model, parameters);
    const size_t n_vocab = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
    struct llama_batch batch = llama_batch_init((int32_t)n_batch, 0, 1);
    for (size_t from = 0; from + 1 < n; from += n_batch) {
        batch.n_tokens = 0;
        for (size_t p = from; p < from + n_batch && p + 1 < n; p++) {
            const int32_t i = batch.n_tokens++;
            batch.token[i] = tokens[p];
            batch.pos[i] = (llama_pos)p;
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i] = 1;
        }
        CHECK(llama_decode(context, batch) == 0);
        for (int32_t i = 0; i < batch.n_tokens; i++) {
            const size_t p = from + (size_t)i;
            if (p >= skip) {
                check_row(c, row + p - skip, llama_get_logits_ith(context, i), n_vocab, tokens[p + 1], tolerance);
            }
        }
    }
    llama_batch_free(batch);
    llama_free(context);
    llama_model_free(model);
}

static void test_one_window_equals_a_plain_decode(void) {
    const char *path = tiny_model_write(&(tiny_model){.wants_bos = true});
    const entrol_llama_options options = options_for(path, 64, 16);
    entrol_llama *llama = open_with(&options);
    int32_t tokens[65] = {TINY_BOS};
    random_tokens(tokens + 1, 64);
    entrol_llama_score_options score_options = {.size = sizeof score_options};
    columns *c = score(llama, 1, tokens + 1, 64, 0, &score_options); /* 64 tokens are one window of 64 */
    CHECK(score_options.seconds_in_model > 0);
    check_plain_decode(path, c, 0, tokens, 65, 0, 16, 2e-6 * 6);
    free(c);
    entrol_llama_close(llama);
}

/* n_ctx 16, min_context 4: windows score [0, 16), [16, 28) reading from 12 on, [28, 40) reading from 24 on. */
static void test_later_windows_equal_plain_decodes(void) {
    const char *path = tiny_model_write(&(tiny_model){.wants_bos = true});
    const entrol_llama_options options = options_for(path, 16, 16);
    entrol_llama *llama = open_with(&options);
    int32_t tokens[40], window[18] = {TINY_BOS};
    random_tokens(tokens, 40);
    entrol_llama_score_options score_options = {.size = sizeof score_options, .min_context = 4};
    columns *c = score(llama, 1, tokens, 40, 0, &score_options);
    memcpy(window + 1, tokens, 16 * sizeof *tokens);
    check_plain_decode(path, c, 0, window, 17, 0, 16, 2e-6 * 6);
    memcpy(window + 1, tokens + 12, 16 * sizeof *tokens);
    check_plain_decode(path, c, 16, window, 17, 4, 16, 2e-6 * 6);
    memcpy(window + 1, tokens + 24, 16 * sizeof *tokens);
    check_plain_decode(path, c, 28, window, 17, 4, 16, 2e-6 * 6);
    free(c);
    entrol_llama_close(llama);
}

static bool is_untouched(const columns *c, size_t row) {
    columns fresh;
    memset(&fresh, 0x5a, sizeof fresh);
    return memcmp(&c->entropy[row], fresh.entropy, sizeof(float)) == 0 && c->rank[row] == fresh.rank[0] &&
           c->top_id[2 * row] == fresh.top_id[0];
}

static void test_every_row_is_written_once(void) {
    for (int wants_bos = 0; wants_bos < 2; wants_bos++) {
        entrol_llama *llama = open_tiny(wants_bos != 0, 16, 6);
        for (size_t n = 0; n <= 60; n += n < 20 ? 1 : 7) {
            for (size_t first = 0; first <= n; first += 5) {
                int32_t tokens[60];
                random_tokens(tokens, n);
                columns *c = score(llama, 1, tokens, n, first, NULL);
                for (size_t i = first; i < n; i++) {
                    const bool none = i == 0 && !wants_bos;
                    CHECK_SAY(none ? isnan(c->entropy[0]) && c->rank[0] == 0 && c->top_id[0] == -1 &&
                                         isnan(c->state[0].m) && isnan(c->state[0].s)
                                   : isfinite(c->state[i - first].m) && c->state[i - first].s >= 0 &&
                                         c->entropy[i - first] > 0 && c->logprob[i - first] < 0 &&
                                         c->rank[i - first] >= 1,
                              "bos %d, n %zu, first %zu, token %zu", wants_bos, n, first, i);
                }
                CHECK_SAY(is_untouched(c, n - first), "bos %d, n %zu, first %zu", wants_bos, n, first);
                free(c);
            }
        }
        entrol_llama_close(llama);
    }
}

/* Context tokens change what is scored, and scoring only the end gives the end's rows. */
static void test_first_gives_the_same_rows(void) {
    entrol_llama *llama = open_tiny(true, 32, 8);
    int32_t tokens[100];
    random_tokens(tokens, 100);
    columns *whole = score(llama, 1, tokens, 100, 0, NULL);
    for (size_t first = 1; first < 100; first += 9) {
        columns *part = score(llama, 1, tokens, 100, first, NULL);
        for (size_t i = first; i < 100; i++) {
            CHECK_NEAR(part->entropy[i - first], whole->entropy[i], 1e-5);
            CHECK_NEAR(part->logprob[i - first], whole->logprob[i], 1e-5);
        }
        free(part);
    }
    free(whole);
    entrol_llama_close(llama);
}

static void test_record_does_not_depend_on_the_one_before(void) {
    entrol_llama *llama = open_tiny(true, 32, 8);
    int32_t a[90], b[200];
    random_tokens(a, 90);
    random_tokens(b, 200);
    columns *before = score(llama, 1, a, 90, 0, NULL);
    columns *other = score(llama, 1, b, 200, 0, NULL);
    columns *after = score(llama, 2, a, 90, 0, NULL); /* nor on Entrol's threads */
    CHECK(memcmp(before, after, sizeof *before) == 0);
    CHECK(memcmp(before, other, sizeof *before) != 0);
    free(before);
    free(other);
    free(after);
    entrol_llama_close(llama);
}

/* A document whose rows are NaN must leave nothing behind in the model's memory. */
static void test_trouble_does_not_spread(void) {
    entrol_llama_options options =
        options_for(tiny_model_write(&(tiny_model){.wants_bos = true, .has_nan_token = true}), 64, 8);
    options.flash_attention = 0; /* it skips masked cells; plain attention reads them */
    entrol_llama *llama = open_with(&options);
    int32_t clean[20], bad[60];
    random_tokens(clean, 20);
    random_tokens(bad, 60);
    bad[10] = TINY_NAN_TOKEN;
    columns *before = score(llama, 1, clean, 20, 0, NULL);
    columns *trouble = score(llama, 1, bad, 60, 0, NULL);
    CHECK(isfinite(trouble->entropy[5]) && isnan(trouble->entropy[11]) && isnan(trouble->entropy[59]));
    columns *after = score(llama, 1, clean, 20, 0, NULL);
    CHECK(memcmp(before, after, sizeof *before) == 0);
    free(before);
    free(trouble);
    free(after);
    entrol_llama_close(llama);
}

static void test_diagnosis_counts_over_the_document(void) {
    const entrol_llama_options options =
        options_for(tiny_model_write(&(tiny_model){.wants_bos = true, .has_nan_token = true}), 64, 8);
    entrol_llama *llama = open_with(&options);
    entrol_context *context = new_context(1);
    columns *c = malloc(sizeof *c);
    const entrol_record record = record_of(c);
    int32_t tokens[40];
    random_tokens(tokens, 40);
    tokens[20] = TINY_NAN_TOKEN;
    entrol_diagnosis diagnosis;
    CHECK(entrol_llama_score(llama, context, &record, &diagnosis, tokens, 40, 5, NULL) == ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 19); /* tokens 21 to 39 */
    CHECK_INT(diagnosis.first_row, 16);
    CHECK_INT(diagnosis.reason, ENTROL_REASON_NAN);
    free(c);
    entrol_context_destroy(context);
    entrol_llama_close(llama);
}

static int stop_after_ten(void *user, size_t n_scored) {
    *(size_t *)user = n_scored;
    return n_scored >= 10;
}

static void test_progress_can_stop(void) {
    entrol_llama *llama = open_tiny(true, 32, 4);
    entrol_context *context = new_context(1);
    columns *c = malloc(sizeof *c);
    const entrol_record record = record_of(c);
    int32_t tokens[64];
    random_tokens(tokens, 64);
    size_t seen = 0;
    entrol_llama_score_options options = {.size = sizeof options, .progress = stop_after_ten, .progress_user = &seen};
    CHECK(entrol_llama_score(llama, context, &record, NULL, tokens, 64, 0, &options) == ENTROL_ERROR_SYSTEM);
    CHECK_INT(seen, 12);
    free(c);
    entrol_context_destroy(context);
    entrol_llama_close(llama);
}

/* Documents for one decode: text that follows `first` tokens of context, of random tokens. */
typedef struct packed {
    int32_t tokens[80]; /* the BOS stands before them, for check_plain_decode */
    size_t n, first;
    columns *columns;
    entrol_record record;
    entrol_diagnosis diagnosis;
} packed;

static entrol_llama_document pack(packed *p, size_t n, size_t first) {
    p->tokens[0] = TINY_BOS;
    random_tokens(p->tokens + 1, n);
    p->n = n;
    p->first = first;
    p->columns = malloc(sizeof *p->columns);
    memset(p->columns, 0x5a, sizeof *p->columns);
    p->record = record_of(p->columns);
    return (entrol_llama_document){&p->record, &p->diagnosis, p->tokens + 1, n, first};
}

/* Each document of a pack has the rows of its own plain decode, whatever lies beside it. */
static void test_packed_documents_equal_plain_decodes(void) {
    static const size_t sizes[][2] = {{5, 0}, {0, 0}, {31, 7}, {1, 0}, {17, 17}, {12, 3}};
    for (int wants_bos = 0; wants_bos < 2; wants_bos++) {
        const char *path = tiny_model_write(&(tiny_model){.wants_bos = wants_bos != 0});
        entrol_llama_options options = options_for(path, 32, 100);
        options.n_seq_max = 6;
        entrol_llama *llama = open_with(&options);
        entrol_context *context = new_context(2);
        packed p[6];
        entrol_llama_document documents[6];
        for (size_t i = 0; i < 6; i++)
            documents[i] = pack(&p[i], sizes[i][0], sizes[i][1]);
        size_t seen = 0;
        entrol_llama_score_options score_options = {
            .size = sizeof score_options, .progress = stop_after_ten, .progress_user = &seen};
        CHECK(entrol_llama_score_packed(llama, context, documents, 6, &score_options) == ENTROL_ERROR_SYSTEM);
        CHECK_INT(seen, wants_bos ? 5 + 24 + 1 + 9 : 4 + 24 + 9);
        score_options.progress = NULL;
        CHECK(entrol_llama_score_packed(llama, context, documents, 6, &score_options) == ENTROL_OK);
        CHECK(score_options.seconds_in_model > 0);
        for (size_t i = 0; i < 6; i++) {
            const size_t skip = p[i].first, n_bos = (size_t)wants_bos;
            const size_t row = skip == 0 && !wants_bos ? 1 : 0;
            CHECK(is_untouched(p[i].columns, p[i].n - skip));
            CHECK(row == 0 || p[i].n == 0 || (isnan(p[i].columns->entropy[0]) && p[i].columns->rank[0] == 0));
            check_plain_decode(path, p[i].columns, row, p[i].tokens + 1 - n_bos, p[i].n + n_bos,
                               skip + row + n_bos > 0 ? skip + row + n_bos - 1 : 0, 64, 2e-6 * 6);
            free(p[i].columns);
        }
        entrol_context_destroy(context);
        entrol_llama_close(llama);
    }
}

/* A row in trouble stays in its document's rows and diagnosis, and in this decode. */
static void test_trouble_in_a_pack(void) {
    entrol_llama_options options =
        options_for(tiny_model_write(&(tiny_model){.wants_bos = true, .has_nan_token = true}), 32, 64);
    options.n_seq_max = 3;
    options.flash_attention = 0; /* it skips masked cells; plain attention reads them */
    entrol_llama *llama = open_with(&options);
    entrol_context *context = new_context(1);
    packed p[3];
    entrol_llama_document documents[3];
    for (size_t i = 0; i < 3; i++)
        documents[i] = pack(&p[i], 10 + i, 0);
    const int32_t good = p[1].tokens[5];
    p[1].tokens[5] = TINY_NAN_TOKEN; /* document 1's token 4 */
    CHECK(entrol_llama_score_packed(llama, context, documents, 3, NULL) == ENTROL_OK);
    CHECK(p[0].diagnosis.n_bad == 0 && p[2].diagnosis.n_bad == 0);
    CHECK(p[1].diagnosis.n_bad >= 6 && p[1].diagnosis.reason == ENTROL_REASON_NAN); /* tokens 5 to 10 at least */
    CHECK(isfinite(p[0].columns->entropy[9]) && isfinite(p[2].columns->entropy[11]));
    p[1].tokens[5] = good;
    CHECK(entrol_llama_score_packed(llama, context, documents, 3, NULL) == ENTROL_OK);
    CHECK(p[1].diagnosis.n_bad == 0 && isfinite(p[1].columns->entropy[10]));
    for (size_t i = 0; i < 3; i++)
        free(p[i].columns);
    entrol_context_destroy(context);
    entrol_llama_close(llama);
}

/* What does not fit is refused before anything is written. */
static void check_pack_refused(entrol_llama *llama, const size_t *sizes, size_t n, const char *argument) {
    entrol_context *context = new_context(1);
    packed p[4];
    entrol_llama_document documents[4];
    for (size_t i = 0; i < n; i++)
        documents[i] = pack(&p[i], sizes[i], 0);
    CHECK(entrol_llama_score_packed(llama, context, documents, n, NULL) == ENTROL_ERROR_ARGUMENT);
    const entrol_diagnosis *last = &p[n - 1].diagnosis; /* every case here fails at its last document */
    CHECK_STRING(last->argument != NULL ? last->argument : "nothing", argument);
    for (size_t i = 0; i < n; i++) {
        CHECK(is_untouched(p[i].columns, 0));
        free(p[i].columns);
    }
    entrol_context_destroy(context);
}

static void test_packs_that_do_not_fit(void) {
    entrol_llama_options options = options_for(tiny_model_write(&(tiny_model){.wants_bos = true}), 32, 48);
    options.n_seq_max = 3;
    entrol_llama *llama = open_with(&options);
    entrol_context *context = new_context(1);
    check_pack_refused(llama, (size_t[]){4, 4, 4, 4}, 4, "documents"); /* sequences */
    check_pack_refused(llama, (size_t[]){4, 33}, 2, "documents");      /* one window */
    check_pack_refused(llama, (size_t[]){30, 19}, 2, "documents");     /* one batch */
    packed p[2];
    entrol_llama_document fits[2] = {pack(&p[0], 30, 0), pack(&p[1], 18, 0)};
    CHECK(entrol_llama_score_packed(llama, context, fits, 2, NULL) == ENTROL_OK);
    fits[1].first = 19;
    CHECK(entrol_llama_score_packed(llama, context, fits, 2, NULL) == ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(p[1].diagnosis.argument, "first");
    CHECK(entrol_llama_score_packed(llama, context, NULL, 2, NULL) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_score_packed(llama, context, NULL, 0, NULL) == ENTROL_OK);
    for (size_t i = 0; i < 2; i++)
        free(p[i].columns);
    entrol_context_destroy(context);
    entrol_llama_close(llama);
}

static void check_refused(entrol_llama *llama, const int32_t *tokens, size_t n, size_t first,
                          entrol_llama_score_options *options, const char *argument) {
    entrol_context *context = new_context(1);
    columns *c = malloc(sizeof *c);
    const entrol_record record = record_of(c);
    entrol_diagnosis diagnosis = {0};
    CHECK(entrol_llama_score(llama, context, &record, &diagnosis, tokens, n, first, options) == ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument != NULL ? diagnosis.argument : "nothing", argument);
    free(c);
    entrol_context_destroy(context);
}

static void test_bad_arguments(void) {
    entrol_llama *llama = open_tiny(true, 16, 8);
    int32_t tokens[] = {260, -1, 261}, beyond[] = {260, 100000};
    entrol_llama_score_options options = {.size = sizeof options, .min_context = 15};
    check_refused(llama, tokens, 3, 0, NULL, "tokens");
    check_refused(llama, beyond, 2, 0, NULL, "tokens");
    check_refused(llama, NULL, 2, 0, NULL, "tokens");
    check_refused(llama, beyond, 1, 2, NULL, "first");
    check_refused(llama, beyond, 1, 0, &options, "min_context");
    options.min_context = 14;
    columns *c = score(llama, 1, beyond, 1, 0, &options);
    CHECK(c->rank[0] >= 1);
    free(c);
    entrol_llama_close(llama);
}

/* A struct of an older version ends earlier: what follows is neither read nor written. */
static void test_options_of_another_size(void) {
    entrol_llama *llama = open_tiny(true, 16, 8);
    int32_t tokens[40];
    random_tokens(tokens, 40);
    entrol_measure_options measure = ENTROL_MEASURE_OPTIONS_INIT;
    measure.temperature = 1000;
    entrol_llama_score_options options = ENTROL_LLAMA_SCORE_OPTIONS_INIT, plain = ENTROL_LLAMA_SCORE_OPTIONS_INIT;
    plain.min_context = options.min_context = 4;
    options.measure = &measure;
    options.seconds_in_model = -1;
    options.size = offsetof(entrol_llama_score_options, progress);
    columns *shorter = score(llama, 1, tokens, 40, 0, &options), *whole = score(llama, 1, tokens, 40, 0, &plain);
    CHECK(memcmp(shorter->entropy, whole->entropy, 40 * sizeof(float)) == 0);
    CHECK(options.seconds_in_model == -1 && plain.seconds_in_model > 0);
    options.size = sizeof options;
    free(shorter);
    shorter = score(llama, 1, tokens, 40, 0, &options);
    CHECK(memcmp(shorter->entropy, whole->entropy, 40 * sizeof(float)) != 0);
    options.size = 0;
    check_refused(llama, tokens, 40, 0, &options, "options");
    free(shorter);
    free(whole);
    entrol_llama_close(llama);
}

static void test_vocabulary_alone_scores_nothing(void) {
    entrol_llama_options options = options_for(tiny_model_write(&(tiny_model){.wants_bos = true}), 16, 8);
    options.vocabulary_only = 1;
    entrol_llama *llama = open_with(&options);
    entrol_context *context = new_context(1);
    const entrol_record record = ENTROL_RECORD_INIT;
    const int32_t token = 260;
    CHECK(entrol_llama_score(llama, context, &record, NULL, &token, 1, 0, NULL) == ENTROL_ERROR_UNSUPPORTED);
    CHECK(entrol_llama_score_compat(llama, context, &record, NULL, NULL, &token, 1, NULL) == ENTROL_ERROR_UNSUPPORTED);
    entrol_context_destroy(context);
    entrol_llama_close(llama);
}

/* At a temperature, by its definition: z / T in the place of z. */
static void test_temperature(void) {
    entrol_llama *llama = open_tiny(true, 32, 8);
    int32_t tokens[30];
    random_tokens(tokens, 30);
    entrol_measure_options measure = ENTROL_MEASURE_OPTIONS_INIT;
    measure.temperature = 1000;
    entrol_llama_score_options options = {.size = sizeof options, .measure = &measure};
    columns *hot = score(llama, 1, tokens, 30, 0, &options);
    CHECK_NEAR(hot->entropy[0], log((double)entrol_llama_n_vocab(llama)), 1e-3); /* all but uniform */
    measure.temperature = 1e-3;
    columns *cold = score(llama, 1, tokens, 30, 0, &options);
    CHECK(cold->entropy[0] < 0.1);
    free(hot);
    free(cold);
    entrol_llama_close(llama);
}

/* The same document under one and two of llama.cpp's threads, and against a plain decode, with the real model. */
static void test_real_model(void) {
    const char *path = getenv("ENTROL_MODEL");
    if (path == NULL) {
        test_skip("ENTROL_MODEL is not set");
        return;
    }
    static const char text[] = "It was the best of times, it was the worst of times, it was the age of wisdom, it was "
                               "the age of foolishness, it was the epoch of belief, it was the epoch of incredulity.";
    entrol_llama_options options = options_for(path, 64, 32);
    entrol_llama_token *found = NULL;
    int32_t tokens[MOST];
    size_t n = 0;
    columns *c[2] = {NULL, NULL};
    for (uint32_t i = 0; i < 2; i++) {
        options.n_threads = i + 1;
        entrol_llama *llama = open_with(&options);
        tokens[0] = entrol_llama_bos(llama);
        CHECK(entrol_llama_tokenize(llama, &found, &n, text, sizeof text - 1, 0) == ENTROL_OK);
        for (size_t j = 0; j < n; j++) {
            tokens[j + 1] = found[j].id;
        }
        free(found);
        c[i] = score(llama, i + 1, tokens + 1, n, 0, NULL);
        entrol_llama_close(llama);
    }
    CHECK(n > 30 && n <= 64);
    CHECK(memcmp(c[0], c[1], sizeof *c[0]) == 0);
    check_plain_decode(path, c[0], 0, tokens, n + 1, 0, 32, 2e-6 * 15);
    free(c[0]);
    free(c[1]);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_one_window_equals_a_plain_decode);
    TEST(test_later_windows_equal_plain_decodes);
    TEST(test_every_row_is_written_once);
    TEST(test_first_gives_the_same_rows);
    TEST(test_record_does_not_depend_on_the_one_before);
    TEST(test_trouble_does_not_spread);
    TEST(test_diagnosis_counts_over_the_document);
    TEST(test_progress_can_stop);
    TEST(test_packed_documents_equal_plain_decodes);
    TEST(test_trouble_in_a_pack);
    TEST(test_packs_that_do_not_fit);
    TEST(test_bad_arguments);
    TEST(test_options_of_another_size);
    TEST(test_vocabulary_alone_scores_nothing);
    TEST(test_temperature);
    TEST(test_real_model);
    return test_end();
}
