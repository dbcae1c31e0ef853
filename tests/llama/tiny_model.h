/* GGUF files that the tests write themselves: real architectures, a few thousand random weights. */
#ifndef TINY_MODEL_H
#define TINY_MODEL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tiny_model {
    const char *name;          /* general.name; "phi-3" makes llama.cpp strip whitespace after special tokens */
    const char *chat_template; /* NULL: none */
    bool wants_bos;
    bool space_prefix;
    bool is_embedding;  /* a BERT instead of a Llama */
    bool has_nan_token; /* the embedding of TINY_NAN_TOKEN is NaN */
    uint32_t seed;      /* of the weights; 0 stands for 1 */
    float noise;        /* weights differ by up to this from those of the same model without it */
    bool other_token;   /* a piece of the vocabulary is another one, "und" for "and" */
    bool more_tokens;   /* and one token more, <pad> */
} tiny_model;

/* Writes the model to a new file in the temporary folder. The path lives until the program ends, when the file is
 * removed. */
const char *tiny_model_write(const tiny_model *model);

/* Ids of the tiny vocabulary: <unk>, <s>, </s>, the bytes, then pieces. */
enum { TINY_BOS = 1, TINY_FIRST_BYTE = 3, TINY_FIRST_PIECE = 259, TINY_NAN_TOKEN = 271, TINY_N_PIECES = 29 };

#endif
