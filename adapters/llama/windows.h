/* Which windows a document is scored in. Plain arithmetic: no model is needed. */
#ifndef ENT_LLAMA_WINDOWS_H
#define ENT_LLAMA_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>

/* A document of n_tokens, of which those from `first` on are scored, in windows of n_ctx positions, one of which
 * the BOS takes where has_bos. 1 <= min_context <= n_ctx - 2. */
typedef struct ent_window_plan {
    size_t n_tokens;
    size_t first;
    size_t n_ctx;
    size_t min_context;
    bool has_bos;
} ent_window_plan;

/* One window: the model reads the BOS, where there is one, and tokens[begin, end - 1), and scores
 * tokens[first_scored, end): a position predicts the next token, so the last token is never read. */
typedef struct ent_window {
    size_t begin;
    size_t first_scored;
    size_t end;
} ent_window;

/* The window number `index`, from 0, of those that score something; false past the last one.
 *
 * The first window of a document starts at its start and fills the context; each one after it starts min_context
 * tokens before the first that it scores. `first` only leaves windows out: where they lie depends on the document
 * alone, so a token's context is the same whether or not the tokens before it are scored. */
bool ent_window_at(ent_window *window, const ent_window_plan *plan, size_t index);

#endif
