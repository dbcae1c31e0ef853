/* From rows of logits to statistics, and the entropy of distributions given as numbers.
 *
 * A row z of V logits stands for p = softmax(z / T). All results are natural: nats, not bits.
 * -inf marks an impossible column: its probability and its contribution are exactly 0. */
#ifndef ENTROL_MEASURE_H
#define ENTROL_MEASURE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of softmax(z / T) of a row after some of its columns: the running state of a measurement, which another
 * set of the same row's columns can be merged into (entrol_state_merge) and a gradient be taken from.
 *
 * With x = z - m, m the greatest logit so far and e = exp(x / T): the columns at m are counted in n_top, and over the
 * others ("the rest") s = sum e, t = sum e x, q = sum e^2, m2 = sum e (x - t / s)^2. What was not asked for is NaN.
 * Leaving the top out of s keeps what is left of a nearly certain row: H = log1p(s) - t / (T (1 + s)). Plain data: it
 * may be sent to another process of the same architecture. Fields may be added at its end with a new soname. */
typedef struct entrol_state {
    double m; /* -inf before the first finite column */
    double n_top;
    double s, t;
    double q, m2;     /* for varentropy, sum_p_squared, and the Renyi entropy of order 2 */
    double power;     /* sum of e^renyi_order over the rest; for other orders */
    double second;    /* the greatest logit but for one column's, m for a tie, -inf for none; for margin */
    double target;    /* the target's logit, -inf for an impossible one, NaN where no column here is the target */
    double n_support; /* columns above -inf; for the Renyi entropy of order 0 */
    double least;     /* the least logit, -inf where one is impossible, inf before the first column; of f64 as near as a
                         float shows how far it is below the greatest. Gradients rely on it */
} entrol_state;

/* A subset S of a row's possible columns: of p renormalised on it, q = p / sum_S p, the entropy H_S is measured.
 * Columns come in the order of falling logits, equal ones the lower column first, and S is the first so many of them.
 */
typedef enum entrol_support_kind {
    ENTROL_SUPPORT_ALL = 0, /* every possible column: H_S = H */
    ENTROL_SUPPORT_TOP_P,   /* the fewest columns whose mass reaches p, at least one: the nucleus (arXiv 1904.09751), as
                               in Hugging Face's transformers and vLLM; p from 0 to 1, which is all */
    ENTROL_SUPPORT_BEFORE_P, /* those before the mass reaches p, without the column that does; may be none (SIREN, arXiv
                                2509.25133); p from 0, none, to 1 */
    ENTROL_SUPPORT_TOP_K,    /* the k greatest; a whole k from 1 to 2^53; all where there are fewer */
    ENTROL_SUPPORT_DROP /* all but the floor(f n) least of the n possible columns (AEnt, arXiv 2509.03493); f from 0,
                           all, to 1, none. Padding a row with impossible columns changes nothing. */
} entrol_support_kind;

/* The support of one row: what a gradient by its entropy needs, without another search. With e and x as in
 * entrol_state: the columns above `threshold`, and the first n_ties of those that equal it. H_S of no column is 0. */
typedef struct entrol_support {
    double threshold; /* -inf: all possible columns */
    double n_ties;
    double n_columns; /* of S */
    double m;         /* the row's greatest logit */
    double n_top;     /* columns of S at m */
    double s, t;      /* sum e and sum e x over the others of S */
} entrol_support;

/* The token record: one array per statistic, each of n_rows elements or NULL (not wanted, not
 * computed). A row in trouble gets NaN, rank 0 and ids -1, and is diagnosed. */
typedef struct entrol_record {
    size_t size;       /* sizeof(entrol_record) */
    float *entropy;    /* H = -sum p ln p, in [0, ln V] */
    float *logsumexp;  /* ln sum exp(z / T) */
    float *logprob;    /* ln p of the row's target; -inf for an impossible one; needs targets */
    float *varentropy; /* sum p (ln p + H)^2 */
    float *top_prob;   /* the greatest probability */
    float *margin;     /* the greatest probability minus the second (0 for a tie; 1 for V = 1) */
    float *sum_p_squared;
    float *renyi;            /* Renyi entropy of options.renyi_order */
    int32_t *rank;           /* of the target: 1 + the number of columns with a greater logit; needs targets */
    int32_t *top_id;         /* n_top a row: columns of the most probable, best first, ties by lower column; */
    float *top_logprob;      /* n_top a row: their ln p. Slots beyond the support hold -1 and -inf. */
    size_t n_top;            /* 0 to ENTROL_MAX_TOP */
    entrol_state *state;     /* what the other outputs and dL/dV (if given) need, and the targets' logits (if given) */
    float *support_entropy;  /* H_S = -sum_S q ln q, of options.support_kind; 0 where S has no column */
    entrol_support *support; /* its S */
} entrol_record;

#define ENTROL_RECORD_INIT                                                                                             \
    { sizeof(entrol_record), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL }

#define ENTROL_MAX_TOP 256

typedef struct entrol_measure_options {
    size_t size;               /* sizeof(entrol_measure_options) */
    double temperature;        /* T, from 1e-6 to 1e6; 1 by default */
    double renyi_order;        /* 0, 1e-6 to 1e6, or infinity; 2 by default; 1 gives H, 0 the
                                  log of the support's size, infinity -ln of the top probability */
    const uint8_t *mask;       /* bit j % 8 (least first) of byte j / 8 is 1 where column j may happen */
    ptrdiff_t mask_row_stride; /* bytes from one row's mask to the next; 0: one mask for all rows */
    entrol_support_kind support_kind;
    double support_parameter; /* its p, k or f */
} entrol_measure_options;

#define ENTROL_MEASURE_OPTIONS_INIT                                                                                    \
    { sizeof(entrol_measure_options), 1.0, 2.0, NULL, 0, ENTROL_SUPPORT_ALL, 0.0 }

/* Measures every row of `logits` in one pass over memory.
 *
 * `targets` holds n_rows columns, or is NULL when neither logprob nor rank is wanted; a row whose target is no column
 * is in trouble if they are.
 * Accuracy against exact arithmetic, for V up to 2^24, f32 logits: entropy, varentropy and logprob
 * within 2e-6 * max(1, value); entropy and varentropy also within 1e-3 of themselves when below 1e-3.
 * Columns more than 87 T below the greatest count as impossible in sums, not in logprob.
 * support_entropy is as exact as entropy for the S that is found, which is the same at every instruction-set level: a
 * column's mass e^d, d = (z - m) / T, is computed within 5e-7 + 1.5e-7 |d| of itself and rounded to a multiple of
 * 2^-(62 - b), b the bits of V (2^-51 for V below 2^11); sums of these are exact, and one reaches p where it is at
 * least p times the sum of all, a product of doubles. So two of four equal columns reach 0.5. The result of a row
 * depends on that row alone: not on its neighbours, its address or the threads. Never allocates. Errors: ARGUMENT (the
 * diagnosis names it), OVERFLOW. */
ENTROL_API entrol_status entrol_measure_rows(entrol_context *context, const entrol_record *record,
                                             entrol_diagnosis *diagnosis, const entrol_matrix *logits,
                                             const int64_t *targets, const entrol_measure_options *options);

/* What two rows of the same columns leave for the gradient of their divergences. */
typedef struct entrol_pair {
    double m;     /* q's greatest logit, m_q; m_p is p's, as in its state */
    double sum;   /* of e^((zq - m) / T) over q's columns */
    double shift; /* ln p_i - ln q_i = ((zp_i - m_p) - (zq_i - m_q) - shift) / T */
    double mean;  /* sum p_i ((zp_i - m_p) - (zq_i - m_q)); inf where KL(p||q) is */
} entrol_pair;

/* What is known of pairs of rows, p = softmax(zp / T) and q = softmax(zq / T): one array per quantity, each of n_rows
 * elements or NULL (not wanted, not computed). A pair of which either row is in trouble gets NaN. */
typedef struct entrol_comparison {
    size_t size;         /* sizeof(entrol_comparison) */
    float *kl_pq;        /* KL(p||q) = sum p ln(p / q), at least 0; inf where a column is possible in p alone */
    float *kl_qp;        /* KL(q||p) */
    float *jsd;          /* Jensen-Shannon divergence, (KL(p||m) + KL(q||m)) / 2 of m = (p + q) / 2; in [0, ln 2] */
    float *mean_entropy; /* the entropy of m: jsd and the mean of both entropies */
    entrol_state *p_states, *q_states; /* of the rows, in trouble or not, without what entropy does not need */
    entrol_pair *pairs;
} entrol_comparison;

#define ENTROL_COMPARISON_INIT                                                                                         \
    { sizeof(entrol_comparison), NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/* Compares each row of `p` with the same row of `q`, both logits.
 *
 * The matrices have the same numbers of rows and columns; each has its own dtype and stride, and either may be the
 * other. Temperature and mask are those of both; of the options nothing else is used. A column is possible that is
 * not masked and above -inf, however far below the greatest: KL is inf exactly where one is possible in the first row
 * and not in the second. Masked columns do not exist.
 * Accuracy against exact arithmetic, for V up to 2^24: within 2e-6 * max(1, value), and the divergences also within
 * 1e-5 of themselves, or 1e-18, however small they are; equal rows of one dtype have exactly 0. Columns more than 87 T
 * below a row's greatest have probability 0 there, but their logarithms count where the other row has a probability;
 * one of ln(p_i / q_i) beyond FLT_MAX counts as that. The diagnosis names the first row in trouble, p's trouble before
 * q's. Two passes: rows that the second-level cache holds are read from memory once. The result of a row depends on
 * that row alone, and its bits not on the threads. Never allocates. Errors: ARGUMENT, OVERFLOW.
 */
ENTROL_API entrol_status entrol_compare_rows(entrol_context *context, const entrol_comparison *comparison,
                                             entrol_diagnosis *diagnosis, const entrol_matrix *p,
                                             const entrol_matrix *q, const entrol_measure_options *options);

#define ENTROL_MAX_MIXTURE 16

/* What the rows of several matrices of logits, all of as many rows and columns, say together: of the distributions p_m
 * of each row (n_matrices of them, from 1 to ENTROL_MAX_MIXTURE) the entropy of their mean, and the mutual information
 * of the outcome and which of them it is drawn from, H(mean) - mean H(p_m) = the mean of KL(p_m || mean), in [0, ln
 * n_matrices]: for an ensemble of models, BALD (arXiv 1112.5745); of two rows, their Jensen-Shannon divergence.
 *
 * Outputs have n_rows elements each, or are NULL (not wanted). Each matrix has its own dtype and stride; temperature
 * and mask are those of all; of the options nothing else is used. A row that is in trouble in any matrix gets NaN; the
 * diagnosis names the first of them, an earlier matrix's trouble before a later one's. Accuracy against exact
 * arithmetic, for V up to 2^24: within 2e-6 * max(1, value), and the mutual information also within 1e-5 of itself, or
 * 1e-18, however small it is; of equal rows of one dtype it is exactly 0. Two passes, as entrol_compare_rows. The
 * result of a row depends on that row alone, and its bits not on the threads. Never allocates. Errors: ARGUMENT,
 * OVERFLOW. */
ENTROL_API entrol_status entrol_mixture_rows(entrol_context *context, float *mean_entropy, float *mutual_information,
                                             entrol_diagnosis *diagnosis, const entrol_matrix *matrices,
                                             size_t n_matrices, const entrol_measure_options *options);

/* The gradient record: per row, the derivatives of a loss by what was measured of the row. Any array may be NULL: 0. */
typedef struct entrol_gradient {
    size_t size;                    /* sizeof(entrol_gradient) */
    const float *logprob;           /* dL/d ln p of the row's target; needs targets */
    const float *entropy;           /* dL/dH */
    const float *varentropy;        /* dL/dV; needs states that were measured with varentropy */
    const float *support_entropy;   /* dL/dH_S, the columns of S held fixed; needs supports */
    const entrol_support *supports; /* of the rows, as entrol_measure_rows gave them at the same options for all their
                                       columns; entrol_measure_and_gradient_rows has its own and does not read these */
    const float *kl_pq;             /* dL/dKL(p||q), q a constant; needs reference and pairs */
    const float *kl_qp;             /* dL/dKL(q||p); likewise */
    const entrol_matrix *reference; /* q's logits: as many rows and columns as p's */
    const entrol_pair *pairs;       /* of the rows, as entrol_compare_rows gave them at the same options */
} entrol_gradient;

#define ENTROL_GRADIENT_INIT                                                                                           \
    { sizeof(entrol_gradient), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/* The gradient of the logits, dL/dz, from the gradient record and the states of the rows, which entrol_measure_rows
 * gave (or merged ones, for one shard of a vocabulary: a target that is no column here is another shard's) at the same
 * options.
 *
 * One pass over memory. `d_logits` may be `logits` itself (same data, dtype and stride), else they may not overlap.
 * Columns that are impossible (-inf, masked, more than 87 T below the greatest) get exactly 0; a target that is only
 * far below keeps its own term. A row whose record is all 0 gets 0, or is left as it is when adding, without a look at
 * its logits. A row in trouble, one without a target whose dL/d ln p is not 0, and one whose record is not finite (or
 * so great that a float overflows), gets NaN and is diagnosed, by its state: first_column is 0 where the column to
 * blame is in another shard. Columns off a support get exactly nothing of dL/dH_S. Accuracy, before rounding to
 * d_logits' dtype: within 1e-5 of the greatest element that a part of the record alone would give the row; varentropy
 * has two parts, p (y^2 - V) and 2 p y with y = ln p + H, which cancel where V is stationary. The bits do not depend on
 * the threads.
 *
 * Of the divergences from a reference, which d_logits may not overlap: a column that is impossible in p alone gets 0,
 * although KL(q||p) is inf there; one that is far below (more than 87 T) gets q's term of dL/dKL(q||p). A row whose
 * KL(p||q) is inf has no dL/dKL(p||q), and one whose pair is NaN has neither: NaN and GRADIENT, as for a record that is
 * not finite. Their accuracy is as above, but no better than 1e-14 (dL/dKL) / T nor, as the mean of ln(p / q) is one of
 * terms of both signs, which may cancel, than 2e-8 of the sum of all |elements| of dL/dKL(p||q). Never allocates.
 * Errors: ARGUMENT, OVERFLOW. */
ENTROL_API entrol_status entrol_gradient_rows(entrol_context *context, const entrol_destination *d_logits,
                                              entrol_diagnosis *diagnosis, const entrol_gradient *gradient,
                                              const entrol_state *states, const entrol_matrix *logits,
                                              const int64_t *targets, const entrol_measure_options *options);

/* Is told that rows [first_row, first_row + n_rows) have been measured: their part of the record is there, and their
 * part of the gradient record is read when it returns. Called once for every row, from any of the context's threads,
 * several at a time. */
typedef void (*entrol_gradient_callback)(void *user, size_t first_row, size_t n_rows);

/* entrol_measure_rows and entrol_gradient_rows in one, for a loss whose derivatives by a row depend on that row's
 * results alone: the row is still in the cache when its gradient is taken. `record` may want nothing, but is not NULL.
 * `callback` may be NULL: the gradient record is known before. Errors: ARGUMENT, OVERFLOW. */
ENTROL_API entrol_status entrol_measure_and_gradient_rows(entrol_context *context, const entrol_destination *d_logits,
                                                          const entrol_record *record, entrol_diagnosis *diagnosis,
                                                          const entrol_gradient *gradient, const entrol_matrix *logits,
                                                          const int64_t *targets, entrol_gradient_callback callback,
                                                          void *user, const entrol_measure_options *options);

/* The last layer of a language model: the logits of a row h of hidden states are z = weight h + bias, or
 * soft_cap tanh(z / soft_cap) of them. */
typedef struct entrol_output_layer {
    size_t size;          /* sizeof(entrol_output_layer) */
    entrol_matrix weight; /* V x d: f32, f16 or bf16 */
    const float *bias;    /* V numbers; NULL: 0. -inf makes a column impossible, where there is no soft cap */
    double soft_cap;      /* 0: none; else 1e-6 to 1e6 */
} entrol_output_layer;

#define ENTROL_OUTPUT_LAYER_INIT                                                                                       \
    { sizeof(entrol_output_layer), {NULL, ENTROL_F32, 0, 0, 0}, NULL, 0 }

/* Bytes that entrol_measure_output and entrol_gradient_output need besides what they are given: at most 11 MB a thread
 * of the context and 18 MB more, however many rows and columns there are. Only sizes are looked at: data may be NULL.
 * Errors: ARGUMENT, OVERFLOW. */
ENTROL_API entrol_status entrol_output_workspace_size(const entrol_context *context, size_t *n_bytes,
                                                      const entrol_matrix *hidden, const entrol_output_layer *layer);

/* entrol_measure_rows of logits that are never whole in memory: those of `hidden` (n x d: f32, f16 or bf16) under a
 * layer. They are computed tile by tile with the context's matrix product, and each tile is measured while it is in the
 * cache.
 *
 * Outputs, trouble and accuracy are as in entrol_measure_rows, for the logits that the product gives: f32, after the
 * halves have been widened; a target's logit is summed in double. support_entropy and support must be NULL: no tile
 * knows which of its columns are in a row's support. `workspace` holds workspace_size bytes, at least
 * entrol_output_workspace_size, at any address. The bits do not depend on the threads, if the product's do not. Never
 * allocates. Errors: ARGUMENT; OVERFLOW; UNSUPPORTED if the context has no matrix product. */
ENTROL_API entrol_status entrol_measure_output(entrol_context *context, const entrol_record *record,
                                               entrol_diagnosis *diagnosis, void *workspace, size_t workspace_size,
                                               const entrol_matrix *hidden, const entrol_output_layer *layer,
                                               const int64_t *targets, const entrol_measure_options *options);

/* The gradients of the hidden states (n x d), the weight (V x d) and the bias (one row of V) of an output layer, from
 * the gradient record and the states of the rows, which entrol_measure_output gave at the same options. The logits are
 * computed again, tile by tile.
 *
 * Destinations are f32, aligned to it, with rows that follow each other (row_stride at least n_columns); NULL: not
 * wanted, not computed. They overlap nothing else. Rows whose record is all 0 cost nothing: their d_hidden is 0, or
 * left as it is when adding. A row in trouble (as in entrol_gradient_rows, by its state; first_column is 0) gets a
 * d_hidden of NaN, adds nothing to the gradients of weight and bias, which are those of the other rows, and is
 * diagnosed: look at n_bad before a step is taken. An element of hidden or weight that is not finite adds nothing where
 * the gradient of its logit is 0, as in a masked column. Accuracy: that of entrol_gradient_rows, and of sums of f32 in
 * the product. dL/dH_S, dL/dKL(p||q) and dL/dKL(q||p) must be NULL. `workspace` as in entrol_measure_output. The bits
 * do not depend on the threads, if the product's do not. Never allocates. Errors: ARGUMENT; OVERFLOW; UNSUPPORTED if
 * the context has no matrix product.
 */
ENTROL_API entrol_status entrol_gradient_output(entrol_context *context, const entrol_destination *d_hidden,
                                                const entrol_destination *d_weight, const entrol_destination *d_bias,
                                                entrol_diagnosis *diagnosis, void *workspace, size_t workspace_size,
                                                const entrol_gradient *gradient, const entrol_state *states,
                                                const entrol_matrix *hidden, const entrol_output_layer *layer,
                                                const int64_t *targets, const entrol_measure_options *options);

/* Merges what is known of other columns of the same row into a state: a vocabulary split over processes, or a row that
 * arrives in pieces. Measure each piece with `state`, the outputs that are wanted in the end (into memory that may be
 * thrown away: what they need is in the state then), and targets numbered from the piece's first column, which are
 * outside the piece's columns where the target is in another piece. Leave logprob to the merged state, which has the
 * target's logit all the same: a piece that is asked for it without holding the target is in trouble. `options` as for
 * the measuring. Within the accuracy of measuring the row as a whole, whatever the split and the order. Error:
 * ARGUMENT. */
ENTROL_API entrol_status entrol_state_merge(entrol_state *state, const entrol_state *other,
                                            const entrol_measure_options *options);

/* The statistics of rows whose columns have been merged: outputs as of entrol_measure_rows, but for rank, top_id,
 * top_logprob, state, support_entropy and support, which must be NULL (no piece knows which of its columns are in the
 * whole row's support), and n_top, which must be 0. What a state lacks is NaN; a row whose target
 * no piece held is in trouble if logprob is wanted. Error: ARGUMENT. */
ENTROL_API entrol_status entrol_measure_states(const entrol_record *record, entrol_diagnosis *diagnosis,
                                               const entrol_state *states, size_t n_states,
                                               const entrol_measure_options *options);

/* What the numbers of a distribution are. */
typedef enum entrol_scale { ENTROL_PROBABILITIES = 0, ENTROL_LOG_PROBABILITIES = 1 } entrol_scale;

/* The entropy of each row of a matrix of probabilities (or natural log-probabilities), as given:
 * nothing is normalised. A row whose sum is further than `tolerance` from one, or that holds a
 * NaN or a probability below 0 or above 1 + tolerance, gets NaN and is diagnosed. A certain event has entropy
 * exactly 0. `tolerance` is at least 0 and below 1; 1e-6 suits f32 and f64, 1e-2 suits bf16. */
ENTROL_API entrol_status entrol_entropy_of_distributions(entrol_context *context, double *entropy,
                                                         entrol_diagnosis *diagnosis,
                                                         const entrol_matrix *distributions, entrol_scale scale,
                                                         double tolerance);

/* What is known of rows of which only some columns were recorded, as by a server that gives the k most probable ones.
 */
typedef struct entrol_top_logprobs {
    size_t size;            /* sizeof(entrol_top_logprobs) */
    entrol_matrix logprobs; /* ln p of the k most probable columns of each row, in any order; any dtype; -inf for an
                               impossible one */
    const size_t *counts;   /* how many of a row's k are given, the first ones: the rest is not read. NULL: all */
    const double *chosen;   /* one a row: ln p of one column more, the token that came where it is none of the k; NaN or
                               -inf: there is none. NULL: in no row */
    const double *caps;     /* one a row: ln of the most that any other column can have. NaN, or NULL: the least of the
                               row's k (never the chosen one), since they are the most probable */
    const double *errors;   /* one a row, in place of error; NaN: error. NULL: in no row */
    double error;           /* each ln p is within max(error, relative_error |ln p|) of the truth; 0 to 1 each. The */
    double relative_error;  /* defaults, 2e-6, are what f32 leaves of it; 5e-5 for numbers of 4 decimals */
    uint64_t n_columns;     /* V, of the whole vocabulary; 0: unknown */
} entrol_top_logprobs;

#define ENTROL_TOP_LOGPROBS_INIT                                                                                       \
    { sizeof(entrol_top_logprobs), {NULL, ENTROL_F64, 0, 0, 0}, NULL, NULL, NULL, NULL, 2e-6, 2e-6, 0 }

/* One array per result, each of n_rows elements or NULL (not wanted). A row in trouble gets NaN. */
typedef struct entrol_entropy_interval {
    size_t size;         /* sizeof(entrol_entropy_interval) */
    float *lower;        /* no distribution that agrees with what is known has a smaller entropy, */
    float *upper;        /* or a greater one; inf where V is unknown and not all mass is known for certain */
    float *tail_mass;    /* 1 - sum p of what is given, at least 0 */
    float *mean_logprob; /* of the row's k that are above -inf; NaN where there is none */
} entrol_entropy_interval;

#define ENTROL_ENTROPY_INTERVAL_INIT                                                                                   \
    { sizeof(entrol_entropy_interval), NULL, NULL, NULL, NULL }

/* The least and the greatest entropy that each row can have. With H_k the entropy of what is known, r the mass that is
 * left to N = V - k columns of at most c each, m = floor(r / c) and s = r - m c:
 *     H_k - m c ln c - s ln s  <=  H  <=  H_k - r ln(r / N)
 * and both ends are attained, but for errors: each moves outward by what those of the given numbers can make of it, and
 * in the end to the next float. Both lie in [0, ln V].
 *
 * A sum of up to 1 + (k + 1) 1e-5 is rounding, as is one that the errors explain: r is 0 then, and the errors count as
 * at least twice what explains it. The same holds below 1 where nothing else is possible: k = V, or a row's least is
 * -inf. Trouble: NaN; NEGATIVE, a probability above 1; SUM, one beyond rounding; COLUMNS, more columns than V, or more
 * left over than the others can hold (of an unknown V: 2^31 of them); EMPTY_SUPPORT, nothing given. The bits do not
 * depend on the threads. Never allocates. Error: ARGUMENT. */
ENTROL_API entrol_status entrol_entropy_bounds(entrol_context *context, const entrol_entropy_interval *interval,
                                               entrol_diagnosis *diagnosis, const entrol_top_logprobs *top);

/* How an entropy is estimated from counts. n is a count, N the sum of all, K how many counts are given, those of 0
 * included: the outcomes that there are. */
typedef enum entrol_estimator {
    ENTROL_ESTIMATOR_PLUG_IN = 0,  /* of the distribution n / N (maximum likelihood); low for few counts */
    ENTROL_ESTIMATOR_MILLER_MADOW, /* and (outcomes seen - 1) / 2 N more (1955) */
    ENTROL_ESTIMATOR_CHAO_SHEN,    /* by the share of outcomes that were seen once (2003); any K */
    ENTROL_ESTIMATOR_GRASSBERGER,  /* ln N - sum n G(n) / N (physics/0307138); any K */
    ENTROL_ESTIMATOR_JAMES_STEIN,  /* shrunk towards the uniform distribution over K (Hausser and Strimmer, JMLR 10) */
    ENTROL_ESTIMATOR_NSB           /* Bayesian, for K outcomes (Nemenman, Shafee and Bialek, physics/0108025); the
                                      integral is taken to 1e-9. About 0.5 ms for each number that a count has */
} entrol_estimator;

/* "plug-in", "miller-madow", "chao-shen", "grassberger", "james-stein", "nsb"; NULL for a number that is no estimator.
 */
ENTROL_API const char *entrol_estimator_name(entrol_estimator estimator);
/* The estimator of a name. Error: ARGUMENT. */
ENTROL_API entrol_status entrol_estimator_parse(entrol_estimator *estimator, const char *name);

/* The entropy of a distribution over n_counts outcomes, estimated from how often each was seen. NaN when every count is
 * 0 or there is none. Errors: ARGUMENT; MEMORY, of which 16 bytes a count are needed; OVERFLOW when the sum passes
 * 2^64. */
ENTROL_API entrol_status entrol_entropy_of_counts(entrol_context *context, double *entropy, const uint64_t *counts,
                                                  size_t n_counts, entrol_estimator estimator);

#ifdef __cplusplus
}
#endif
#endif
