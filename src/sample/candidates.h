/* The candidates of one draw: what rules see of a row, and the ways in which they change it.
 *
 * A row is not sorted, and not copied before some candidates are left out. What decides which are (sums, thresholds,
 * logarithms) is computed in the same order with the same roundings at every instruction-set level and for any number
 * of threads. */
#ifndef ENT_SAMPLE_CANDIDATES_H
#define ENT_SAMPLE_CANDIDATES_H

#include "measure/kernels/kernels.h"

#include <entrol/sample.h>

/* What is known of softmax(z / T) over some candidates, x = z - m and e = exp(scale x). */
typedef struct ent_spread {
    double scale;   /* 1 / T, as the kernels round it */
    double n_top;   /* candidates at m */
    double s, t, u; /* over the others: sums of e, e x, e x^2 */
    double log_sum; /* ln(n_top + s) */
    double entropy, varentropy;
} ent_spread;

/* A candidate and its place in an order of rising distances, equal ones by index. */
typedef struct ent_item {
    double distance;
    uint32_t index;
    float mass;
} ent_item;

/* Memory for rows of up to n columns. */
typedef struct ent_workspace {
    void *memory;
    size_t n;
    ent_item *items;
    double *chunk_sums;
    float *z, *chunk_greatest;
    int32_t *tokens;
} ent_workspace;

/* So many candidates cost next to nothing. */
enum { ENT_FEW = 16384 };

typedef struct ent_candidates {
    entrol_context *context;
    const ent_kernels *kernels;
    const ent_workspace *workspace;
    const float *z;              /* as they came, in the order of their tokens; -inf for none */
    const int32_t *tokens;       /* NULL: their indices */
    const float *chunk_greatest; /* of each ENT_CHUNK of z; NULL: not known */
    size_t n, n_possible;        /* how many; and above -inf */
    float m;                     /* the greatest */
    double temperature;          /* of these z */
    double *chunk_sums;          /* of e, of each ENT_CHUNK of z, at the scale that says the next; NULL: not wanted */
    double sums_scale;           /* 0: there are none */
    int has_spread;
    ent_spread spread;  /* at the temperature */
    int32_t last_token; /* that came before in the text; -1: none */
    uint64_t n_passes;  /* by which rules took a spread of more than ENT_FEW */
} ent_candidates;

static inline size_t ent_n_chunks(size_t n_columns) {
    return (n_columns + ENT_CHUNK - 1) / ENT_CHUNK;
}

/* A row's candidates at a temperature of 1, whose logits are f32 of any alignment or another dtype. What is wrong with
 * it, and the column: NAN, INFINITE or EMPTY_SUPPORT. The workspace has room for it. */
entrol_reason ent_candidates_begin(ent_candidates *candidates, size_t *column, entrol_context *context,
                                   const ent_workspace *workspace, const entrol_matrix *row, const int32_t *tokens);
/* The same of logits that are in the workspace, n of them, beside their tokens. */
entrol_reason ent_candidates_again(ent_candidates *candidates, size_t *column, size_t n);

/* What follows from sums about m. */
void ent_spread_of(ent_spread *spread, const ent_moments *sums, double scale);

const ent_spread *ent_candidates_spread(ent_candidates *candidates);
/* At another temperature, which stays as it is. */
void ent_candidates_spread_at(ent_spread *spread, ent_candidates *candidates, double temperature);

/* Within what temperatures are kept, as in entrol_measure_options. */
#define ENT_LEAST_TEMPERATURE 1e-6
#define ENT_MOST_TEMPERATURE 1e6
/* 0: only the most probable candidate is left. */
void ent_candidates_set_temperature(ent_candidates *candidates, double temperature);
/* The same with the spread at it, which is known. */
void ent_candidates_set_spread(ent_candidates *candidates, double temperature, const ent_spread *spread);

/* Leaves those whose logit is at least the threshold, and the most probable ones anyhow. */
void ent_keep_from(ent_candidates *candidates, double threshold);
/* The same of a probability. */
void ent_keep_probable(ent_candidates *candidates, double probability);
/* Leaves the most probable one, of a tie the first. */
void ent_keep_first(ent_candidates *candidates);
/* Leaves one token; 0, and nothing changes, if it is no candidate. */
int ent_keep_token(ent_candidates *candidates, int32_t token);

/* Some candidates: their number, sum of e and sum of e x. */
typedef struct ent_share {
    double n, s, t;
} ent_share;

/* 1 if these are enough, and so are all that hold them. */
typedef int (*ent_is_enough)(const ent_share *share, const void *user);

/* Leaves the candidates that are nearest to a logit, of equally near ones the first: the fewest that are enough, or,
 * where `without` is 1, those but for the last; at least one, and all where all are not enough. */
void ent_keep_nearest(ent_candidates *candidates, double logit, int without, ent_is_enough is_enough, const void *user);
/* The same, where a share p of all mass is enough; p from 0 to 1, which is all. */
void ent_keep_nearest_mass(ent_candidates *candidates, double logit, double p);

static inline int32_t ent_token_at(const ent_candidates *candidates, size_t index) {
    return candidates->tokens ? candidates->tokens[index] : (int32_t)index;
}

/* ln q, whose spread is known. */
static inline double ent_logprob_of(const ent_candidates *candidates, size_t index) {
    const ent_spread *spread = &candidates->spread;
    return spread->scale * ((double)candidates->z[index] - (double)candidates->m) - spread->log_sum;
}

/* Of the chunk that begins at `first`. */
static inline size_t ent_chunk_size(const ent_candidates *candidates, size_t first) {
    return candidates->n - first < ENT_CHUNK ? candidates->n - first : ENT_CHUNK;
}

/* The places in the chunk that begins at `first` of logits above a bound, rising; how many. */
size_t ent_find_above(uint16_t found[ENT_CHUNK], const ent_candidates *candidates, size_t first, float bound);

/* Copies the logits above a bound, in their order; how many. */
size_t ent_copy_above(float *copy, const ent_candidates *candidates, float bound);

/* Copies those that `keeps` says (all of a logit above the bound are asked) to the workspace. */
typedef int (*ent_keeps)(const ent_candidates *candidates, size_t index, const void *user);
void ent_candidates_compact(ent_candidates *candidates, float bound, ent_keeps keeps, const void *user);

/* Takes the greatest logit of those that are left for m. */
void ent_candidates_find_greatest(ent_candidates *candidates);

/* 1 if no candidate of a chunk is above the bound. */
static inline int ent_chunk_is_below(const ent_candidates *candidates, size_t chunk, float bound) {
    return candidates->chunk_greatest && !(candidates->chunk_greatest[chunk] > bound);
}

/* The greatest float below a number, so that z >= number is z > it. */
float ent_float_below(double number);

#endif
