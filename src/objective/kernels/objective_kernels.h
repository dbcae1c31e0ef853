/* What is done to every token of a block, for each instruction set: one body, compiled several times. All of it is
 * elementwise arithmetic without fused products and sums of integers, so that every level gives the same bits. */
#ifndef ENT_OBJECTIVE_KERNELS_H
#define ENT_OBJECTIVE_KERNELS_H

#include <entrol/base.h>

/* Tokens a block: a double of each for about ten quantities stays in the first-level cache. */
enum { ENT_BLOCK = 256 };

/* Bounds of a ratio (entrol_objective's parameters of these names). */
typedef struct ent_clip {
    double low, high; /* of the ratio: 1 - clip_low, 1 + clip_high */
    double dual;      /* the greatest ratio for A < 0; inf: none */
} ent_clip;

typedef struct ent_clip_counts {
    uint64_t low, high, dual;
} ent_clip_counts;

typedef struct ent_value_clip {
    double range; /* inf: none, and old values are not read */
} ent_value_clip;

/* The greatest of numbers seen, in several lanes: patterns of positive floats as integers, which are ordered as the
 * floats are, with infinity and NaN last. It begins as {0}. */
typedef struct ent_greatest {
    int32_t lanes[16];
} ent_greatest;

/* An entrol_sum on its way: integers a lane, in units of 2^-20 and 2^-64. */
enum { ENT_BLOCKS_OF_SUM = 256 }; /* of 8 lanes, each below 2^51 a block: 62 bits */
typedef struct ent_running_sum {
    int64_t coarse[8], fine[8];
    uint64_t n_blocks;
    entrol_sum folded; /* its n stays 0 */
} ent_running_sum;

/* Brings all of it into `folded`. */
void ent_fold_sum(ent_running_sum *sum);

/* What is not yet written of an array's last line. */
typedef struct ent_stream {
    float rest[16];
    size_t n;
} ent_stream;

/* Arrays have ENT_BLOCK elements, but where n is given. */
typedef struct ent_objective_kernels {
    uint64_t (*count)(const uint8_t *mask, size_t n);
    /* out = x, or 0 where a token does not count (mask; NULL: all do) and beyond the first n. */
    void (*take)(float *out, const float *x, const uint8_t *mask, size_t n);
    /* Looks for the greatest |x|, and adds x to a sum (NULL: not wanted). */
    void (*look)(ent_greatest *size, ent_running_sum *sum, const float *x);
    /* Looks for the greatest x - y. */
    void (*look_at_difference)(ent_greatest *difference, const float *x, const float *y);
    void (*load)(double *out, const float *x);
    /* ratio = e^x and excess = e^x - 1 - x, which is never negative, for x <= 709; within 1e-9 and 1e-8 of
     * themselves. */
    void (*exponential)(double *ratio, double *excess, const double *x);
    /* The same of log_ratio = p - q. */
    void (*ratios)(double *log_ratio, double *ratio, double *excess, const float *p, const float *q);
    /* PPO's term -min(r A, clip(r) A), its derivative by ln r, and which of them are 0 for a clip. */
    void (*clipped)(double *term, double *slope, ent_clip_counts *counts, const double *ratio, const double *advantage,
                    const ent_clip *clip);
    /* error = R - v, the term (v - R)^2 or the clipped one where that is greater, and its derivative by v. */
    void (*value)(double *error, double *term, double *slope, const float *value, const float *old_value,
                  const float *target, const ent_value_clip *clip);
    /* out = scale x as floats, or all x. A stream (NULL: none) goes past the caches: it begins as {0}, each block of an
     * array follows the one before, and it is ended where the last one ends. */
    void (*store)(float *out, const double *x, double scale, size_t n, ent_stream *stream);
    void (*fill)(float *out, float x, size_t n, ent_stream *stream);
    void (*stream_end)(float *end, ent_stream *stream);
    /* Adds the elements of x, x y or x^2 / 2 to a sum as entrol_sum_add does. */
    void (*sum)(ent_running_sum *sum, const double *x);
    void (*sum_products)(ent_running_sum *sum, const double *x, const double *y);
    void (*sum_half_squares)(ent_running_sum *sum, const double *x);
} ent_objective_kernels;

const ent_objective_kernels *ent_objective_kernels_for(entrol_cpu cpu);

extern const ent_objective_kernels ent_objective_kernels_plain;
#if defined(__x86_64__)
extern const ent_objective_kernels ent_objective_kernels_avx2, ent_objective_kernels_avx512;
#endif

#endif
