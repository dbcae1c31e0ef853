/* What sampling a token costs beside llama.cpp's default chain, on the same rows of real logits, by turns: chains of
 * Entrol's rules straight from the logits, as entrol_llama_sample draws, and as a llama_sampler.
 *
 *     bench_sample MODEL.gguf TEXT [--quick] [--threads N] [--cpu NAME] [--filter WORD]
 *
 * One JSON object a line: case, dtype, rows, columns, threads, cpu, seconds of a token {min, median, max}, peer,
 * ratio_to_peer, and share_of_decode, of the time that the model itself takes for a token. The peer, on one thread, is
 * what llama.cpp's programs sample with unless they are told otherwise (common/sampling.cpp); its candidates are filled
 * in from the logits as by llama_sampler_sample, and so are those of Entrol's llama_sampler. First comes the model. */
#include "harness.h"

#include <entrol_llama.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 64, MOST_REPEATS = 15, MOST_RULES = 3 };

static const struct {
    const char *name, *rules[MOST_RULES];
    size_t n_rules;
} chains[] = {
    {"min-p, temperature", {"min-p=0.05", "temperature=0.8"}, 2},
    {"min-p, target entropy", {"min-p=0.02", "target-entropy=1.5"}, 2},
    {"target entropy", {"target-entropy=2.5"}, 1},
    {"top-p", {"top-p=0.95"}, 1},
    {"typical", {"typical=0.95"}, 1},
    {"top-h", {"top-h=0.4"}, 1},
};

typedef struct bench {
    bench_settings settings;
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    size_t n_rows, n_columns, n_repeats;
    llama_token last; /* token of the text */
    float *logits;
    llama_token_data *data;
    double decode; /* seconds of a token, the median */
    entrol_context *entrol;
} bench;

static void quiet(enum ggml_log_level level, const char *text, void *user) {
    (void)level;
    (void)text;
    (void)user;
}

static int die(const char *what) {
    fprintf(stderr, "bench_sample: %s\n", what);
    exit(2);
}

/* --- The model's rows --- */

static void open_model(bench *b, const char *path) {
    llama_log_set(quiet, NULL);
    llama_backend_init();
    b->model = llama_model_load_from_file(path, llama_model_default_params());
    if (!b->model)
        die("the model cannot be loaded");
    struct llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = 256;
    parameters.n_batch = parameters.n_ubatch = MOST_ROWS;
    parameters.n_threads = parameters.n_threads_batch = (int32_t)b->settings.n_threads;
    b->context = llama_init_from_model(b->model, parameters);
    if (!b->context)
        die("no context for the model");
    b->vocab = llama_model_get_vocab(b->model);
    b->n_columns = (size_t)llama_vocab_n_tokens(b->vocab);
}

static void read_rows(bench *b, const char *path) {
    static char text[4096];
    static llama_token tokens[sizeof text + 1];
    FILE *file = fopen(path, "rb");
    const size_t n_bytes = file ? fread(text, 1, sizeof text, file) : 0;
    const int32_t n_tokens =
        llama_tokenize(b->vocab, text, (int32_t)n_bytes, tokens, (int32_t)sizeof text, true, false);
    if (n_tokens < (int32_t)b->n_rows)
        die("the text is too short, or cannot be read");
    fclose(file);
    b->last = tokens[b->n_rows - 1];
    struct llama_batch batch = llama_batch_get_one(tokens, (int32_t)b->n_rows);
    int8_t wanted[MOST_ROWS];
    memset(wanted, 1, sizeof wanted);
    batch.logits = wanted;
    const size_t n_floats = b->n_rows * b->n_columns;
    b->logits = malloc(n_floats * sizeof *b->logits);
    b->data = malloc(b->n_columns * sizeof *b->data);
    if (!b->logits || !b->data || llama_decode(b->context, batch) != 0)
        die("the text cannot be decoded");
    memcpy(b->logits, llama_get_logits(b->context), n_floats * sizeof *b->logits);
}

/* --- A token's cost --- */

/* As llama_sampler_sample, from a row that is already there. */
static void sample_by_llama(bench *b, struct llama_sampler *sampler, const float *row) {
    for (size_t i = 0; i < b->n_columns; i++)
        b->data[i] = (llama_token_data){(llama_token)i, row[i], 0};
    llama_token_data_array array = {b->data, b->n_columns, -1, false};
    llama_sampler_apply(sampler, &array);
    if (array.selected < 0)
        die("no token was drawn");
    llama_sampler_accept(sampler, array.data[array.selected].id);
}

static double time_llama(bench *b, struct llama_sampler *sampler) {
    const double start = now();
    for (size_t i = 0; i < b->n_rows; i++)
        sample_by_llama(b, sampler, b->logits + i * b->n_columns);
    return (now() - start) / (double)b->n_rows;
}

static double time_entrol(bench *b, entrol_sampler *sampler) {
    const double start = now();
    for (size_t i = 0; i < b->n_rows; i++) {
        entrol_drawn drawn = ENTROL_DRAWN_INIT;
        const entrol_matrix row = {b->logits + i * b->n_columns, ENTROL_F32, 1, b->n_columns, (ptrdiff_t)b->n_columns};
        if (entrol_sampler_draw(b->entrol, sampler, &drawn, 1, NULL, NULL, &row, NULL) != ENTROL_OK || drawn.token < 0)
            die("no token was drawn");
        entrol_sampler_accept(sampler, drawn.token);
    }
    return (now() - start) / (double)b->n_rows;
}

static double time_decode(bench *b) {
    llama_token token = b->last;
    const double start = now();
    if (llama_decode(b->context, llama_batch_get_one(&token, 1)) != 0)
        die("a token cannot be decoded");
    llama_synchronize(b->context);
    return now() - start;
}

/* The chain of common_params_sampling's defaults. */
static struct llama_sampler *default_chain(const bench *b) {
    struct llama_sampler_chain_params parameters = llama_sampler_chain_default_params();
    parameters.no_perf = true;
    struct llama_sampler *chain = llama_sampler_chain_init(parameters);
    const char *breakers[] = {"\n", ":", "\"", "*"};
    llama_sampler_chain_add(chain, llama_sampler_init_penalties((int32_t)b->n_columns, 64, 1, 0, 0));
    llama_sampler_chain_add(chain, llama_sampler_init_dry(b->vocab, 0, 1.75f, 2, 64, breakers, 4));
    llama_sampler_chain_add(chain, llama_sampler_init_top_n_sigma(-1));
    llama_sampler_chain_add(chain, llama_sampler_init_top_k(40));
    llama_sampler_chain_add(chain, llama_sampler_init_typical(1, 0));
    llama_sampler_chain_add(chain, llama_sampler_init_top_p(0.95f, 0));
    llama_sampler_chain_add(chain, llama_sampler_init_min_p(0.05f, 0));
    llama_sampler_chain_add(chain, llama_sampler_init_xtc(0, 0.1f, 0, 1));
    llama_sampler_chain_add(chain, llama_sampler_init_temp_ext(0.8f, 0, 1));
    llama_sampler_chain_add(chain, llama_sampler_init_dist(1));
    return chain;
}

/* --- Cases --- */

static void print_case(const bench *b, const char *name, const char *how, double *seconds, double *ratios) {
    printf(
        "{\"case\": \"%s%s\", \"dtype\": \"f32\", \"rows\": %zu, \"columns\": %zu, \"threads\": %zu, \"cpu\": \"%s\"",
        name, how, b->n_rows, b->n_columns, b->settings.n_threads, entrol_cpu_name(entrol_context_cpu(b->entrol)));
    const double middle = median(seconds, b->n_repeats);
    print_spread("seconds", seconds, b->n_repeats, "%.6g");
    if (ratios) {
        printf(", \"peer\": \"llama.cpp's default chain\"");
        print_spread("ratio_to_peer", ratios, b->n_repeats, "%.4g");
        printf(", \"share_of_decode\": %.4g", middle / b->decode);
    }
    printf("}\n");
    fflush(stdout);
}

static void run_model(bench *b) {
    double seconds[MOST_REPEATS];
    for (size_t i = 0; i <= b->n_repeats; i++) /* the first warms up */
        seconds[i ? i - 1 : 0] = time_decode(b);
    b->decode = median(seconds, b->n_repeats);
    print_case(b, "the model's decode of a token", "", seconds, NULL);
}

static void run_peer(bench *b, struct llama_sampler *peer) {
    double seconds[MOST_REPEATS];
    for (size_t i = 0; i <= b->n_repeats; i++)
        seconds[i ? i - 1 : 0] = time_llama(b, peer);
    print_case(b, "llama.cpp's default chain", "", seconds, NULL);
}

static struct llama_sampler *make_chain(const bench *b, size_t which) {
    char error[300];
    entrol_llama_sampler_options options = ENTROL_LLAMA_SAMPLER_OPTIONS_INIT;
    options.n_threads = b->settings.n_threads;
    struct llama_sampler *chain =
        entrol_llama_sampler(error, sizeof error, chains[which].rules, chains[which].n_rules, &options);
    if (!chain)
        die(error);
    return chain;
}

static void run_chain(bench *b, struct llama_sampler *peer, size_t which) {
    struct llama_sampler *chain = make_chain(b, which);
    double direct[MOST_REPEATS], wrapped[MOST_REPEATS], ratios[MOST_REPEATS], wrapped_ratios[MOST_REPEATS];
    for (size_t i = 0; i <= b->n_repeats; i++) {
        const size_t at = i ? i - 1 : 0;
        const double of_peer = time_llama(b, peer);
        direct[at] = time_entrol(b, entrol_llama_sampler_inside(chain));
        wrapped[at] = time_llama(b, chain);
        ratios[at] = of_peer / direct[at];
        wrapped_ratios[at] = of_peer / wrapped[at];
    }
    if (*entrol_llama_sampler_error(chain))
        die(entrol_llama_sampler_error(chain));
    print_case(b, chains[which].name, "", direct, ratios);
    print_case(b, chains[which].name, ", as a llama_sampler", wrapped, wrapped_ratios);
    llama_sampler_free(chain);
}

int main(int argc, char **argv) {
    bench b = {.settings = read_bench_settings(argc, argv)};
    if (argc < 3)
        return die("usage: bench_sample MODEL.gguf TEXT [--quick] [--threads N]");
    b.n_rows = b.settings.quick ? 4 : MOST_ROWS;
    b.n_repeats = b.settings.quick ? 3 : MOST_REPEATS;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = b.settings.n_threads;
    options.cpu = b.settings.cpu;
    if (entrol_context_create(&b.entrol, &options) != ENTROL_OK)
        return die("no such level, or no context");
    open_model(&b, argv[1]);
    read_rows(&b, argv[2]);
    run_model(&b);
    struct llama_sampler *peer = default_chain(&b);
    run_peer(&b, peer);
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++)
        if (is_wanted(&b.settings, chains[i].name))
            run_chain(&b, peer, i);
    llama_sampler_free(peer);
    llama_free(b.context);
    llama_model_free(b.model);
    entrol_context_destroy(b.entrol);
    free(b.logits);
    free(b.data);
    return 0;
}
