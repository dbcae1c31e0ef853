/* A program of llama.cpp's own API whose sampler is a chain of Entrol's rules. By default each of its 64 tokens is
 * drawn from those of at least 0.02 of the greatest p, at the temperature at which their entropy is 1.5 nats.
 *
 *     cc -o sample examples/llama/sample.c $(pkg-config --cflags --libs entrol_llama)      (-rpath: see README.md)
 *     ./sample MODEL.gguf "Once upon a time" [RULE...]
 */
#include <entrol_llama.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quiet(enum ggml_log_level level, const char *text, void *user) {
    (void)user;
    fputs(level == GGML_LOG_LEVEL_ERROR ? text : "", stderr);
}

static void check(int ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "sample: %s\n", what);
    exit(2);
}

int main(int argc, char **argv) {
    static const char *const usual[] = {"min-p=0.02", "target-entropy=1.5"};
    static llama_token tokens[512];
    char error[300], piece[256];
    double entropy = 0;
    int n = 0, n_new = 0;
    check(argc > 2, "usage: sample MODEL.gguf PROMPT [RULE...]");
    llama_log_set(quiet, NULL);
    struct llama_sampler *sampler = entrol_llama_sampler(
        error, sizeof error, argc > 3 ? (const char *const *)argv + 3 : usual, argc > 3 ? (size_t)argc - 3 : 2, NULL);
    check(sampler != NULL, error);
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    check(model != NULL, "the model cannot be loaded");
    struct llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = 1024;
    struct llama_context *context = llama_init_from_model(model, parameters);
    const struct llama_vocab *vocab = llama_model_get_vocab(model);
    n_new = llama_tokenize(vocab, argv[2], (int)strlen(argv[2]), tokens, 512, true, false);
    check(context != NULL && n_new > 0, "expected memory for the model, and a prompt of 1 to 512 tokens");
    do {
        check(llama_decode(context, llama_batch_get_one(tokens, n_new)) == 0, "llama.cpp cannot go on");
        tokens[0] = entrol_llama_sample(sampler, context, -1); /* llama_sampler_sample is slower */
        check(entrol_llama_sampler_error(sampler)[0] == '\0', entrol_llama_sampler_error(sampler));
        entropy += entrol_llama_sampler_drawn(sampler)->sampled_entropy;
        const int size = llama_token_to_piece(vocab, tokens[0], piece, sizeof piece, 0, false);
        fwrite(piece, 1, size > 0 ? (size_t)size : 0, stdout);
        n_new = 1;
    } while (++n < 64 && !llama_vocab_is_eog(vocab, tokens[0]));
    printf("\n");
    fprintf(stderr, "%d tokens, drawn at %.3f nats on average\n", n, entropy / n);
    llama_sampler_free(sampler);
    llama_free(context);
    llama_model_free(model);
    return 0;
}
