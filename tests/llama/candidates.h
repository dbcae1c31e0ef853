/* llama.cpp's candidates in tests: of a row of logits, what a sampler leaves of them, and rows to sample from. */
#ifndef CANDIDATES_H
#define CANDIDATES_H

#include "entrol_llama.h"

#include <llama.h>
#include <stdbool.h>

/* Candidates, and what of them is left. */
typedef struct candidates {
    llama_token_data *data;
    llama_token_data_array array;
} candidates;

/* One for each logit above -inf; free() its data. */
candidates candidates_of(const float *logits, size_t n);
/* The token that was taken; -1: none. */
llama_token taken(const candidates *of);
/* What a sampler leaves of such. */
candidates apply_to(struct llama_sampler *sampler, const float *logits, size_t n);
/* The token that it takes, which it is told. */
llama_token next_token(struct llama_sampler *sampler, const float *logits, size_t n);

/* The probability of each token under softmax of what is left; 0 for the others. malloc'd. */
double *probabilities(const candidates *left, size_t n);

/* Whether both left the same tokens, with probabilities within the tolerance. `p` of ours is compared, too. Where the
 * peer sums in f32, the last tokens of one may be missing in the other: these have at most `mass` in all. */
void check_same(const candidates *ours, const candidates *peers, size_t n, double tolerance, double mass,
                const char *what);

/* A sampler of Entrol, or the end of the test; with the rules of `llama`, if it is not NULL. */
struct llama_sampler *make_sampler(const char *const *rules, size_t n_rules, uint64_t seed, entrol_llama *llama);

/* Independent normal logits. */
void fill_row(float *logits, size_t n, double deviation);

/* At most n_rows rows of logits of a model over a text, row after row, malloc'd; how many it has in *n_rows. */
float *rows_of_model(entrol_llama *llama, const char *text, size_t *n_rows);

#endif
