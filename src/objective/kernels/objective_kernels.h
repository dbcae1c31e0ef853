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

/* An entrol_sum on its way: integers a lane, in units of 2^-20 and 2^-64, beside constants for every block. */
enum { ENT_BLOCKS_OF_SUM = 8 }; /* 2048 terms below 2^51 fit in 63 bits */
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

/* Arrays of doubles have ENT_BLOCK elements; what a block has fewer tokens, load makes 0. `mask` may be NULL. */
typedef struct ent_objective_kernels {
    /* The pattern of the greatest |x| of tokens that count, as an integer: these are ordered as the sizes are, with
     * infinity and NaN last. */
    uint32_t (*greatest_size)(const float *x, const uint8_t *mask, size_t n);
    /* The same of x - y where that is positive; 0 for none. Of finite numbers. */
    uint32_t (*greatest_difference)(const float *x, const float *y, const uint8_t *mask, size_t n);
    uint64_t (*count)(const uint8_t *mask, size_t n);
    /* out = x, or 0 where a token does not count. */
    void (*load)(double *out, const float *x, const uint8_t *mask, size_t n);
    void (*subtract)(double *out, const double *x, const double *y);
    /* ratio = e^x and excess = e^x - 1 - x, which is never negative, for x <= 709; within 1e-9 and 1e-8 of
     * themselves. */
    void (*exponential)(double *ratio, double *excess, const double *x);
    /* PPO's term -min(r A, clip(r) A), its derivative by ln r, and which of them are 0 for a clip. */
    void (*clipped)(double *term, double *slope, ent_clip_counts *counts, const double *ratio, const double *advantage,
                    const ent_clip *clip);
    /* error = R - v, the term (v - R)^2 or the clipped one where that is greater, and its derivative by v. */
    void (*value)(double *error, double *term, double *slope, const double *value, const double *old_value,
                  const double *target, const ent_value_clip *clip);
    /* out = scale x as floats, or all x. A stream (NULL: none) goes past the caches: it begins as {0}, each block of an
     * array follows the one before, and it is ended where the last one ends. */
    void (*store)(float *out, const double *x, double scale, size_t n, ent_stream *stream);
    void (*fill)(float *out, float x, size_t n, ent_stream *stream);
    void (*stream_end)(float *end, ent_stream *stream);
    /* Adds the elements of x, or of scale x y, to a sum as entrol_sum_add does. */
    void (*sum)(ent_running_sum *sum, const double *x);
    void (*sum_products)(ent_running_sum *sum, const double *x, const double *y, double scale);
} ent_objective_kernels;

const ent_objective_kernels *ent_objective_kernels_for(entrol_cpu cpu);

extern const ent_objective_kernels ent_objective_kernels_plain;
#if defined(__x86_64__)
extern const ent_objective_kernels ent_objective_kernels_avx2, ent_objective_kernels_avx512;
#endif

#endif
