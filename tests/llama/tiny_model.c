/* Writes tiny GGUF files through ggml's own writer. */
#include "tiny_model.h"

#include <ggml.h>
#include <gguf.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 32, HIDDEN = 64, CONTEXT = 256, HEADS = 2 };

/* A SentencePiece vocabulary: U+2581 stands for a space. */
static const char *const pieces[] = {
    "\xe2\x96\x81",
    "a",
    "b",
    "c",
    "d",
    "e",
    "h",
    "n",
    "o",
    "r",
    "s",
    "t",
    "w",
    ".",
    "th",
    "he",
    "the",
    "an",
    "nd",
    "and",
    "\xe2\x96\x81t",
    "\xe2\x96\x81th",
    "\xe2\x96\x81the",
    "\xe2\x96\x81\x61",
    "\xe2\x96\x81\x61n",
    "\xe2\x96\x81\x61nd",
    "\xe2\x96\x81\xe2\x96\x81",
    "\xc3\xa9",
    "\xe4\xb8\xad",
};
enum { N_PIECES = sizeof pieces / sizeof *pieces, N_SPECIAL = 3, MOST_TOKENS = 259 + N_PIECES + N_SPECIAL + 1 };
static const char *const specials[N_SPECIAL] = {"<|end|>", "<|endoftext|>",
                                                "<tool>"}; /* control, control, user-defined */

static int n_tokens_of(const tiny_model *model) {
    return model->more_tokens ? MOST_TOKENS : MOST_TOKENS - 1;
}

static char *paths[64];
static size_t n_paths;

static void remove_files(void) {
    for (size_t i = 0; i < n_paths; i++) {
        unlink(paths[i]);
        free(paths[i]);
    }
}

static void check(bool ok, const char *what) {
    if (!ok) {
        perror(what);
        abort();
    }
}

/* Small numbers that differ: a linear congruential generator (Numerical Recipes' constants). */
static float next_weight(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return ((float)(*state >> 8) / 16777216.0f - 0.5f) * 0.8f;
}

/* Where weights come from: their own numbers, and others that change them. */
typedef struct source {
    uint32_t state, of_noise;
    float noise;
} source;

static void add_tensor(struct gguf_context *file, struct ggml_context *memory, const char *name, int64_t columns,
                       int64_t rows, source *source) {
    struct ggml_tensor *tensor = rows == 0 ? ggml_new_tensor_1d(memory, GGML_TYPE_F32, columns)
                                           : ggml_new_tensor_2d(memory, GGML_TYPE_F32, columns, rows);
    ggml_set_name(tensor, name);
    float *values = ggml_get_data_f32(tensor);
    for (int64_t i = 0; i < ggml_nelements(tensor); i++) {
        values[i] =
            rows == 0 ? 1.0f : next_weight(&source->state) + source->noise * next_weight(&source->of_noise) / 0.4f;
    }
    gguf_add_tensor(file, tensor);
}

static void add_vocabulary(struct gguf_context *file, const tiny_model *model) {
    static char bytes[256][8];
    const char *tokens[MOST_TOKENS] = {"<unk>", "<s>", "</s>"};
    float scores[MOST_TOKENS] = {0};
    int32_t types[MOST_TOKENS] = {2, 3, 3}; /* unknown, control, control */
    const size_t n_tokens = (size_t)n_tokens_of(model);
    for (int i = 0; i < 256; i++) {
        snprintf(bytes[i], sizeof bytes[i], "<0x%02X>", (unsigned)i);
        tokens[3 + i] = bytes[i];
        types[3 + i] = model->is_embedding ? 1 : 6; /* WordPiece has no bytes */
    }
    for (int i = 0; i < N_PIECES; i++) {
        tokens[259 + i] = model->other_token && strcmp(pieces[i], "and") == 0 ? "und" : pieces[i];
        types[259 + i] = 1;
        scores[259 + i] = (float)strlen(pieces[i]); /* longer merges win */
    }
    for (int i = 0; i < N_SPECIAL; i++) {
        tokens[259 + N_PIECES + i] = specials[i];
        types[259 + N_PIECES + i] = i < 2 ? 3 : 4;
    }
    tokens[MOST_TOKENS - 1] = "<pad>";
    types[MOST_TOKENS - 1] = 5; /* unused */
    gguf_set_val_str(file, "tokenizer.ggml.model", model->is_embedding ? "bert" : "llama");
    gguf_set_arr_str(file, "tokenizer.ggml.tokens", tokens, n_tokens);
    gguf_set_arr_data(file, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores, n_tokens);
    gguf_set_arr_data(file, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types, n_tokens);
    gguf_set_val_u32(file, "tokenizer.ggml.unknown_token_id", 0);
    gguf_set_val_u32(file, "tokenizer.ggml.bos_token_id", 1);
    gguf_set_val_u32(file, "tokenizer.ggml.eos_token_id", 2);
    gguf_set_val_u32(file, "tokenizer.ggml.seperator_token_id", 2); /* the format's own spelling */
    gguf_set_val_u32(file, "tokenizer.ggml.padding_token_id", 0);
    gguf_set_val_bool(file, "tokenizer.ggml.add_bos_token", model->wants_bos);
    gguf_set_val_bool(file, "tokenizer.ggml.add_space_prefix", model->space_prefix);
    if (model->chat_template != NULL) {
        gguf_set_val_str(file, "tokenizer.chat_template", model->chat_template);
    }
}

static void add_number(struct gguf_context *file, const char *architecture, const char *key, uint32_t value) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", architecture, key);
    gguf_set_val_u32(file, name, value);
}

static void add_settings(struct gguf_context *file, const tiny_model *model) {
    const char *architecture = model->is_embedding ? "bert" : "llama";
    gguf_set_val_str(file, "general.architecture", architecture);
    gguf_set_val_str(file, "general.name", model->name != NULL ? model->name : "tiny");
    add_number(file, architecture, "context_length", CONTEXT);
    add_number(file, architecture, "embedding_length", WIDTH);
    add_number(file, architecture, "feed_forward_length", HIDDEN);
    add_number(file, architecture, "block_count", 1);
    add_number(file, architecture, "attention.head_count", HEADS);
    if (model->is_embedding) {
        gguf_set_val_f32(file, "bert.attention.layer_norm_epsilon", 1e-5f);
        gguf_set_val_bool(file, "bert.attention.causal", false);
        gguf_set_val_u32(file, "tokenizer.ggml.token_type_count", 2);
    } else {
        add_number(file, architecture, "rope.dimension_count", WIDTH / HEADS);
        gguf_set_val_f32(file, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    }
}

typedef struct shape {
    const char *name;
    int64_t columns, rows; /* rows 0: a vector, -1: as many as tokens */
} shape;

static const shape llama_tensors[] = {
    {"token_embd.weight", WIDTH, -1},       {"output_norm.weight", WIDTH, 0},
    {"output.weight", WIDTH, -1},           {"blk.0.attn_norm.weight", WIDTH, 0},
    {"blk.0.attn_q.weight", WIDTH, WIDTH},  {"blk.0.attn_k.weight", WIDTH, WIDTH},
    {"blk.0.attn_v.weight", WIDTH, WIDTH},  {"blk.0.attn_output.weight", WIDTH, WIDTH},
    {"blk.0.ffn_norm.weight", WIDTH, 0},    {"blk.0.ffn_gate.weight", WIDTH, HIDDEN},
    {"blk.0.ffn_up.weight", WIDTH, HIDDEN}, {"blk.0.ffn_down.weight", HIDDEN, WIDTH},
};
static const shape bert_tensors[] = {
    {"token_embd.weight", WIDTH, -1},
    {"token_types.weight", WIDTH, 2},
    {"position_embd.weight", WIDTH, CONTEXT},
    {"token_embd_norm.weight", WIDTH, 0},
    {"token_embd_norm.bias", WIDTH, 0},
    {"blk.0.attn_q.weight", WIDTH, WIDTH},
    {"blk.0.attn_q.bias", WIDTH, 0},
    {"blk.0.attn_k.weight", WIDTH, WIDTH},
    {"blk.0.attn_k.bias", WIDTH, 0},
    {"blk.0.attn_v.weight", WIDTH, WIDTH},
    {"blk.0.attn_v.bias", WIDTH, 0},
    {"blk.0.attn_output.weight", WIDTH, WIDTH},
    {"blk.0.attn_output.bias", WIDTH, 0},
    {"blk.0.attn_output_norm.weight", WIDTH, 0},
    {"blk.0.attn_output_norm.bias", WIDTH, 0},
    {"blk.0.ffn_up.weight", WIDTH, HIDDEN},
    {"blk.0.ffn_up.bias", HIDDEN, 0},
    {"blk.0.ffn_down.weight", HIDDEN, WIDTH},
    {"blk.0.ffn_down.bias", WIDTH, 0},
    {"blk.0.layer_output_norm.weight", WIDTH, 0},
    {"blk.0.layer_output_norm.bias", WIDTH, 0},
};

static char *new_path(void) {
    check(n_paths < sizeof paths / sizeof *paths, "too many tiny models");
    const char *folder = getenv("TMPDIR");
    char *path = NULL;
    check(asprintf(&path, "%s/entrol-tiny-XXXXXX", folder != NULL ? folder : "/tmp") > 0, "asprintf");
    const int file = mkstemp(path);
    check(file >= 0, path);
    close(file);
    if (n_paths == 0) {
        atexit(remove_files);
    }
    paths[n_paths++] = path;
    return path;
}

const char *tiny_model_write(const tiny_model *model) {
    char *path = new_path();
    struct ggml_init_params parameters = {.mem_size = (size_t)4 << 20};
    struct ggml_context *memory = ggml_init(parameters);
    struct gguf_context *file = gguf_init_empty();
    check(memory != NULL && file != NULL, "ggml");
    add_settings(file, model);
    add_vocabulary(file, model);
    const shape *tensors = model->is_embedding ? bert_tensors : llama_tensors;
    const size_t n_tensors =
        model->is_embedding ? sizeof bert_tensors / sizeof *bert_tensors : sizeof llama_tensors / sizeof *llama_tensors;
    const uint32_t seed = model->seed != 0 ? model->seed : 1;
    source source = {seed, seed + 1, model->noise};
    for (size_t i = 0; i < n_tensors; i++) {
        const int64_t rows = tensors[i].rows == -1 ? n_tokens_of(model) : tensors[i].rows;
        add_tensor(file, memory, tensors[i].name, tensors[i].columns, rows, &source);
    }
    if (model->has_nan_token) {
        float *embeddings = ggml_get_data_f32(ggml_get_tensor(memory, "token_embd.weight"));
        embeddings[TINY_NAN_TOKEN * WIDTH] = NAN;
    }
    check(gguf_write_to_file(file, path, false), path);
    gguf_free(file);
    ggml_free(memory);
    return path;
}
