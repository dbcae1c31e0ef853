/* Distributions that a policy acts by: entropy, log-probability, divergence, draws, and the gradients of all of them.
 *
 * A row of parameters is a distribution. Rows of logits over a vocabulary are measure.h's; these are for actions: few
 * dimensions, in double precision. All results are nats, those of densities with respect to the action. */
#ifndef ENTROL_POLICY_H
#define ENTROL_POLICY_H

#include "base.h"

#include <math.h> /* HUGE_VAL */

#ifdef __cplusplus
extern "C" {
#endif

/* What the n columns of `first` and those of `second` are, and what an action is. */
typedef enum entrol_policy_kind {
    ENTROL_POLICY_CATEGORICAL = 0,   /* one of n: logits, no second. An action is a number below n */
    ENTROL_POLICY_MULTI_DISCRETE,    /* several independent categoricals, of sizes[i] choices each: their logits side by
                                        side, no second. An action has n_sizes numbers */
    ENTROL_POLICY_BERNOULLI,         /* n independent bits: logits of 1, no second. An action is n times 0 or 1 */
    ENTROL_POLICY_GAUSSIAN,          /* n independent dimensions: means, ln sigma */
    ENTROL_POLICY_FULL_GAUSSIAN,     /* means; the Cholesky factor L of the covariance L L^T, n x n row after row, whose
                                        elements above the diagonal are not read and get a gradient of 0 */
    ENTROL_POLICY_SQUASHED_GAUSSIAN, /* a = low + (high - low) (1 + tanh x) / 2 of independent Gaussian x: the means and
                                        ln sigma of x */
    ENTROL_POLICY_BETA /* n independent dimensions, a = low + (high - low) u, u of Beta(alpha, beta): ln alpha, ln beta.
                          Logarithms, so that every number a network gives is a distribution, as for ln sigma */
} entrol_policy_kind;

/* "categorical", "multi-discrete", "bernoulli", "gaussian", "full-gaussian", "squashed-gaussian", "beta"; NULL for a
 * number that is no kind: kinds are numbered without a gap. */
ENTROL_API const char *entrol_policy_kind_name(entrol_policy_kind kind);
/* The kind of a name. Error: ARGUMENT. */
ENTROL_API entrol_status entrol_policy_kind_parse(entrol_policy_kind *kind, const char *name);

/* A batch of distributions, one a row. */
typedef struct entrol_policy {
    size_t size; /* sizeof(entrol_policy) */
    entrol_policy_kind kind;
    entrol_matrix first;  /* n_rows x n */
    entrol_matrix second; /* n_rows x n, or n_rows x n*n; not read where the kind has none. Of one row: the same for all
                             rows, as a ln sigma that does not depend on the state */
    const size_t *sizes;  /* of MULTI_DISCRETE: n_sizes numbers above 0 whose sum is n */
    size_t n_sizes;
    const uint8_t *mask; /* of CATEGORICAL and MULTI_DISCRETE, as in entrol_measure_options: bit j % 8 (least first)
                            of byte j / 8 is 1 where column j may happen. NULL: all may */
    ptrdiff_t mask_row_stride;            /* bytes from one row's mask to the next; 0: one mask for all rows */
    double log_sigma_low, log_sigma_high; /* ln sigma is clipped to these: its gradient is 0 beyond them, and whole at a
                                             bound, as torch.clamp's. -inf and inf by default */
    double low, high;                     /* the actions' bounds, of SQUASHED_GAUSSIAN and BETA; -1 and 1 by default */
} entrol_policy;

#define ENTROL_POLICY_INIT                                                                                             \
    {                                                                                                                  \
        sizeof(entrol_policy), ENTROL_POLICY_CATEGORICAL, {NULL, ENTROL_F64, 0, 0, 0}, {NULL, ENTROL_F64, 0, 0, 0},    \
            NULL, 0, NULL, 0, -HUGE_VAL, HUGE_VAL, -1.0, 1.0                                                           \
    }

/* One array per result, each of n_rows elements or NULL (not wanted, not computed). */
typedef struct entrol_policy_record {
    size_t size;     /* sizeof(entrol_policy_record) */
    double *entropy; /* H = E[-ln p(a)]; of densities it may be negative, -inf where one dimension is certain */
    double *logprob; /* ln p(a), of densities with respect to a; needs actions */
    double *kl_pq;   /* KL(p||q), p the policy and q the reference; at least 0 */
    double *kl_qp;   /* KL(q||p) */
} entrol_policy_record;

#define ENTROL_POLICY_RECORD_INIT                                                                                      \
    { sizeof(entrol_policy_record), NULL, NULL, NULL, NULL }

typedef struct entrol_policy_options {
    size_t size;                   /* sizeof(entrol_policy_options) */
    int actions_are_before_squash; /* 1: `actions` holds x, as entrol_policy_sample gave it in `before`, and not a; of
                                      SQUASHED_GAUSSIAN alone. ln p is that of a, and dL/da by a, all the same. Exact
                                      where a, rounded, has forgotten x: beyond |x| of 9 in f32 and 18 in f64 */
} entrol_policy_options;

#define ENTROL_POLICY_OPTIONS_INIT                                                                                     \
    { sizeof(entrol_policy_options), 0 }

/* Measures every row of a policy.
 *
 * `actions` has n_rows rows of what the kind calls an action, of any dtype; NULL where logprob is not wanted.
 * `reference` has the policy's kind, shape, sizes and bounds, and its own mask and clipping; NULL where no KL is.
 *
 * Special values. Discrete kinds: a logit of -inf and a masked column are impossible, with ln p = -inf; a support of
 * one has H = 0 exactly; KL is inf where one may happen in the first and not in the second; a Bernoulli logit of +inf
 * is a certain 1. Finite logits count as at most 1e300 in size. A ln sigma of -inf is a sigma of 0: H = -inf, ln p =
 * inf at the mean and -inf elsewhere, KL 0 from itself and inf from or to anything else. ln p is -inf where its square
 * overflows. L_ii = 0 gives H = -inf, and PARAMETER where ln p or KL is wanted. On [low, high] an action that rounding
 * to its dtype has put on the bound, or past one that the dtype does not hold, counts as the last number of its dtype
 * inside. A Beta of alpha = beta = 1 has H = ln(high - low) exactly.
 *
 * Trouble: a row whose parameters are NaN, infinite (but for the above: NAN, INFINITE), empty (EMPTY_SUPPORT) or out of
 * their domain (PARAMETER: L_ii < 0, a shape below 1e-300 or above 1e300) has only NaN. An action that the
 * distribution cannot give (ACTION: no column's number, not 0 or 1, out of the bounds; NAN, INFINITE) makes its ln p
 * NaN, and a reference's row in trouble the divergences. The column in the diagnosis is the offending matrix's.
 *
 * Accuracy against exact arithmetic: within 1e-13 of the greatest term of the sum that a result is, each dimension with
 * its own; of ln p of SQUASHED_GAUSSIAN x^2 / (2 sigma^2) is one, as x is rounded where it is found from a. H of
 * SQUASHED_GAUSSIAN: within 1e-12 max(1, |H|), for any mean and sigma, by quadrature (docs/policies.md). Of BETA,
 * shapes from 1e-6 to 1e6: ln p and KL within 1e-14 (alpha + beta) more. KL of equal rows is exactly 0, and within 1e-7
 * of itself or 1e-14 sqrt(KL) however small it is, but for BETA. The result of a row depends on that row alone, and its
 * bits not on the threads. Allocates only for rows of more than 256 dimensions (of the discrete kinds 400, of
 * FULL_GAUSSIAN 19). Errors: ARGUMENT (the diagnosis names it), OVERFLOW, MEMORY. */
ENTROL_API entrol_status entrol_policy_measure(entrol_context *context, const entrol_policy_record *record,
                                               entrol_diagnosis *diagnosis, const entrol_policy *policy,
                                               const entrol_matrix *actions, const entrol_policy *reference,
                                               const entrol_policy_options *options);

/* The gradient record of a policy: per row, the derivatives of a loss by what was measured. Any array may be NULL: 0.
 */
typedef struct entrol_policy_gradient_record {
    size_t size;                   /* sizeof(entrol_policy_gradient_record) */
    const float *entropy;          /* dL/dH, n_rows */
    const float *logprob;          /* dL/d ln p(a); needs actions */
    const float *kl_pq;            /* dL/dKL(p||q), q a constant; needs reference */
    const float *kl_qp;            /* dL/dKL(q||p); likewise */
    const entrol_matrix *d_action; /* dL/da, n_rows x n: the action is a differentiable function of the parameters and
                                      its noise, which is held fixed. The three Gaussian kinds; needs actions */
    int is_pathwise; /* 1: so it is in ln p(a), too, as in SAC's alpha ln p(a) - Q(a). 0: ln p of a constant action, as
                        in a policy gradient */
} entrol_policy_gradient_record;

#define ENTROL_POLICY_GRADIENT_RECORD_INIT                                                                             \
    { sizeof(entrol_policy_gradient_record), NULL, NULL, NULL, NULL, NULL, 0 }

/* The gradients of the parameters, of first's and of second's shape, from the gradient record of the rows.
 *
 * A second of one row gets the sum over all rows, each term of which is rounded to a multiple of 2^-64 and added
 * exactly (entrol_sum): the same bits in any order. Destinations may be NULL: not wanted; they overlap nothing that is
 * read.
 *
 * Allocates as entrol_policy_measure does, and for a shared second of more than 64 numbers.
 *
 * A row whose record is all 0 gets 0, or is left as it is when adding, without a look at its parameters. Gradients are
 * exactly 0 where a column is impossible, and for a support of one. A row in trouble (as in entrol_policy_measure, by
 * what its record needs), and one whose record or gradient is not finite (GRADIENT: as that of ln p for a sigma of 0,
 * of KL(p||q) = inf, or of ln p = -inf of a Gaussian), gets NaN, adds nothing to a sum over rows, and is diagnosed. In
 * a discrete kind what is impossible in p alone has the gradient of its neighbours' limit, with 0 of its own, also
 * where the support is one: -p_i of an impossible action's ln p, p_i - q_i of KL(q||p) = inf. Accuracy, before rounding
 * to the destination's dtype (beyond whose greatest number an element is infinite): within 1e-12 of the greatest term
 * that a part of the record alone gives the row, and 1e-14 dL/dKL. Threads and errors as for entrol_policy_measure;
 * UNSUPPORTED for d_action or is_pathwise of a kind that has none. */
ENTROL_API entrol_status entrol_policy_gradient(entrol_context *context, const entrol_destination *d_first,
                                                const entrol_destination *d_second, entrol_diagnosis *diagnosis,
                                                const entrol_policy_gradient_record *gradient,
                                                const entrol_policy *policy, const entrol_matrix *actions,
                                                const entrol_policy *reference, const entrol_policy_options *options);

typedef struct entrol_policy_sample_options {
    size_t size;          /* sizeof(entrol_policy_sample_options) */
    uint64_t seed;        /* of this call: the same seed gives the same draws */
    uint64_t first_row;   /* the number of row 0 among the rows of all calls or ranks that share the seed */
    int is_deterministic; /* 1: no draw, the action for evaluation: the most probable choice (of equal ones the lower
                             number; a bit of logit 0 is 0), the mean (for SQUASHED_GAUSSIAN the squashed mean of x) */
} entrol_policy_sample_options;

#define ENTROL_POLICY_SAMPLE_OPTIONS_INIT                                                                              \
    { sizeof(entrol_policy_sample_options), 0, 0, 0 }

/* Draws an action from every row, into `actions` and, of SQUASHED_GAUSSIAN, x of a = f(x) into `before`; NULL: not
 * wanted. Their `add` is 0.
 *
 * Row i's numbers come from (seed, first_row + i) alone, by a counter (SplitMix64), and everything that decides an
 * action is computed with additions, products, quotients and square roots of doubles, without the C library's exp and
 * log: the same parameters give the same bits on every thread count, split over ranks, and machine with IEEE
 * arithmetic, if compiled as the library's own build does, with -ffp-contract=off. Normal numbers are Wichura's AS 241
 * of 52 random bits (relative error about 1e-16; none is beyond 8.3), choices the first whose cumulative mass passes 53
 * bits' share of the whole, Beta numbers ratios of Gamma numbers by Marsaglia and Tsang. A result is rounded to its
 * dtype, and may so come to lie on a bound; a dtype that does not hold every number below n is an ARGUMENT. A row in
 * trouble gets NaN, as does one whose action is beyond the greatest double (PARAMETER). Threads, allocation and errors
 * as for entrol_policy_measure. */
ENTROL_API entrol_status entrol_policy_sample(entrol_context *context, const entrol_destination *actions,
                                              const entrol_destination *before, entrol_diagnosis *diagnosis,
                                              const entrol_policy *policy, const entrol_policy_sample_options *options);

/* The differential entropy of a Gaussian with independent dimensions: the sum over them of
 * 0.5 ln(2 pi e) + ln sigma, in nats. It can be negative; a sigma of 0 gives -inf, a negative or NaN
 * sigma NaN. The mean does not enter. */
ENTROL_API entrol_status entrol_gaussian_entropy(double *entropy, const double *sigma, size_t n_dimensions);

#ifdef __cplusplus
}
#endif
#endif
