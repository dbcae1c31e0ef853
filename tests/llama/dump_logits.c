/* Writes a model's logits for a text as .npy, straight from libllama: rows for tests/cli/test_real_logits.py to
 * compare.
 *
 *     llama_dump_logits MODEL TEXT N LOGITS.npy TARGETS.npy
 *
 * Row i is what the model says before token i of the text's first N tokens (a BOS in front); targets are those tokens.
 */
#include <llama.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quiet(enum ggml_log_level level, const char *text, void *user) {
    (void)level;
    (void)text;
    (void)user;
}

static void die(const char *what) {
    fprintf(stderr, "llama_dump_logits: %s\n", what);
    exit(2);
}

/* A version 1.0 header, padded to 128 bytes as NumPy pads it. */
static void write_npy(const char *path, const char *descr, const char *shape, const void *data, size_t n_bytes) {
    char header[129];
    FILE *file = fopen(path, "wb");
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10);
    const int n = snprintf(header + 10, 119, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    memset(header + 10 + n, ' ', (size_t)(117 - n));
    header[127] = '\n';
    if (!file || fwrite(header, 1, 128, file) != 128 || fwrite(data, 1, n_bytes, file) != n_bytes || fclose(file) != 0)
        die("cannot write");
}

static char *read_text(const char *path, int32_t *size) {
    static char text[1 << 16];
    FILE *file = fopen(path, "rb");
    if (!file)
        die("cannot read the text");
    *size = (int32_t)fread(text, 1, sizeof text, file);
    fclose(file);
    return text;
}

int main(int argc, char **argv) {
    if (argc != 6)
        die("usage: llama_dump_logits MODEL TEXT N LOGITS.npy TARGETS.npy");
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    const int32_t n = (int32_t)strtol(argv[3], NULL, 10);
    if (!model || n < 1 || n > 4096)
        die("cannot load the model, or N is not from 1 to 4096");
    const struct llama_vocab *vocab = llama_model_get_vocab(model);
    struct llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = (uint32_t)n;
    struct llama_context *context = llama_init_from_model(model, parameters);

    static llama_token tokens[1 << 16];
    int32_t size;
    const char *text = read_text(argv[2], &size);
    const int32_t n_tokens = llama_tokenize(vocab, text, size, tokens + 1, (1 << 16) - 1, false, false);
    tokens[0] = llama_vocab_bos(vocab);
    if (!context || n_tokens < n)
        die("the text has fewer than N tokens");

    struct llama_batch batch = llama_batch_init(n, 0, 1);
    for (int32_t i = 0; i < n; i++) {
        batch.token[i] = tokens[i];
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    batch.n_tokens = n;
    if (llama_decode(context, batch) != 0)
        die("cannot decode");
    char shape[64];
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    snprintf(shape, sizeof shape, "(%d, %d)", n, n_vocab);
    write_npy(argv[4], "<f4", shape, llama_get_logits(context), (size_t)n * (size_t)n_vocab * sizeof(float));
    snprintf(shape, sizeof shape, "(%d,)", n);
    write_npy(argv[5], "<i4", shape, tokens + 1, (size_t)n * sizeof *tokens);
    llama_batch_free(batch);
    llama_free(context);
    llama_model_free(model);
    return 0;
}
