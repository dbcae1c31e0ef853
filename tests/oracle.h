/* The oracle: textbook formulas in long double, one row at a time. It judges every kernel, the plain one included. */
#ifndef ORACLE_H
#define ORACLE_H

#include <entrol/measure.h>

typedef struct oracle_row {
    long double log_sum; /* ln sum exp((z - max) / T) */
    long double entropy, logsumexp, logprob, varentropy, top_prob, margin, sum_p_squared, renyi;
    int64_t rank;   /* 0: no target */
    int is_trouble; /* NaN, +inf or nothing finite among the columns that may happen */
    entrol_reason reason;
    size_t column; /* of the first value in trouble */
} oracle_row;

/* n logits as double (exact for every dtype); allowed (NULL: all) says which columns may happen; target -1: none. */
void oracle_measure(oracle_row *row, const double *logits, const unsigned char *allowed, size_t n, int64_t target,
                    double temperature, double renyi_order);

/* The gradient by the logits of by[0] ln p_target + by[1] H + by[2] V, for a row that oracle_measure finds no trouble
 * in; of its parts (V has two), which may cancel, the greatest |element|, and the sum of all |elements|. */
typedef struct oracle_gradient {
    long double *d_logits; /* n of them, the caller's */
    long double greatest, sizes;
} oracle_gradient;
void oracle_differentiate(oracle_gradient *gradient, const double *logits, const unsigned char *allowed, size_t n,
                          int64_t target, double temperature, const double by[3]);

/* A row's possible columns in the order of falling logits, ties by lower column, and the mass of the first so many. */
typedef struct oracle_support {
    size_t n_possible;
    int64_t *order;
    long double *weight; /* e^d of order[i], d = (z - max) / T */
    long double *mass;   /* n_possible + 1: mass[i] is the share of the first i */
    size_t n;            /* columns in the support, by its definition */
} oracle_support;
void oracle_find_support(oracle_support *support, const double *logits, const unsigned char *allowed, size_t n,
                         double temperature, entrol_support_kind kind, double parameter);
void oracle_support_free(oracle_support *support);

/* The entropy of p renormalised on the first n_columns of the order, and (d_logits not NULL) its gradient by the n
 * logits, of which `greatest` is the greatest |element|. */
long double oracle_support_entropy(oracle_gradient *gradient, const oracle_support *support, const double *logits,
                                   size_t n, size_t n_columns, double temperature);

/* Two rows of the same columns that oracle_measure finds no trouble in. Divergences are sums of terms that are not
 * negative, so that small ones keep their digits. */
typedef struct oracle_pair {
    long double kl_pq, kl_qp, jsd, mean_entropy;
    long double textbook_kl, textbook_jsd; /* sum p (ln p - ln q) and H(m) - (H(p) + H(q)) / 2 */
} oracle_pair;
void oracle_compare(oracle_pair *pair, const double *p, const double *q, const unsigned char *allowed, size_t n,
                    double temperature);

/* n_rows rows of the same columns that oracle_measure finds no trouble in: the mean of KL(p_m || mean of all p), as a
 * sum of terms that are not negative; the same as H(mean) - mean H(p_m); and H(mean). */
typedef struct oracle_mixture {
    long double information, textbook_information, mean_entropy;
} oracle_mixture;
void oracle_mix(oracle_mixture *mixture, const double *const *rows, size_t n_rows, const unsigned char *allowed,
                size_t n, double temperature);

/* The gradient by p's logits of by[0] KL(p||q) + by[1] KL(q||p); of its two parts the greatest |element|, and of the
 * first the sum of all. 0 where p's column may not happen. */
void oracle_differentiate_pair(oracle_gradient *gradient, const double *p, const double *q,
                               const unsigned char *allowed, size_t n, double temperature, const double by[2]);

/* The n_top allowed columns above -inf with the greatest logits, best first, ties by lower column; returns how many. */
size_t oracle_top(int64_t *columns, const double *logits, const unsigned char *allowed, size_t n, size_t n_top);

/* One element of any dtype, and the nearest element to a value (round to nearest even), by the definition of the
 * format. */
double oracle_decode(entrol_dtype dtype, const void *data, size_t index);
void oracle_encode(entrol_dtype dtype, void *data, size_t index, double value);

#endif
