/* llama-perplexity's file of log-probabilities (--kl-divergence-base), memory-mapped.
 *
 * "_logits_", i32 n_ctx, n_vocab, n_chunk, the i32 tokens (n_chunk * n_ctx), and for each chunk n_ctx - 1 - n_ctx / 2
 * rows of 2 * ((n_vocab + 1) / 2) + 4 u16: f32 scale, f32 min_log_prob, and a level q for each token, whose ln p is
 * scale q + min_log_prob. Logits further than 16 below the row's greatest were raised to that before they were rounded
 * to levels, but not in the sum that p is normalised with: level 0 then is anything up to min_log_prob. Row i of a
 * chunk is of its token n_ctx / 2 + 1 + i. */
#ifndef CLI_FORMATS_KLD_H
#define CLI_FORMATS_KLD_H

#include "mapped.h"

typedef struct kld_file {
    char *name;
    mapped file;
    size_t n_context, n_vocabulary, n_chunks;
    size_t n_rows; /* of a chunk */
} kld_file;

/* One row. */
typedef struct kld_row {
    double scale, least;         /* ln p = scale q + least */
    double error;                /* and is within this of what the model said, in f32 */
    bool is_clipped;             /* level 0 has only an upper bound, of least + error */
    const unsigned char *levels; /* n_vocabulary u16, of any alignment */
} kld_row;

bool kld_detect(const unsigned char *bytes, size_t n_bytes);
/* Takes an input at its start, also on failure; NULL gives NULL. */
kld_file *kld_open_input(input *input, trouble *trouble);
/* From memory (tests, fuzzing); the bytes must outlive it. */
kld_file *kld_open_memory(const char *name, const void *bytes, size_t n_bytes, trouble *trouble);
void kld_close(kld_file *file);

/* Trouble names chunk and row: a scale or a least that cannot be. */
bool kld_row_at(kld_row *row, const kld_file *file, size_t chunk, size_t index, trouble *trouble);
unsigned kld_level(const kld_row *row, size_t token);
/* The token that row `index` of a chunk is about. Trouble if it is none of the vocabulary. */
bool kld_token_at(int64_t *token, const kld_file *file, size_t chunk, size_t index, trouble *trouble);

#endif
