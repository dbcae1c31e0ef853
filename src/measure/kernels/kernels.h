/* The kernel table: what an instruction set must provide to measure rows of logits.
 *
 * A row is worked on in chunks that stay in the first-level cache. Per chunk the kernels give sums of e^d, d = scale
 * (z - m), where m is the greatest logit so far; the caller merges the chunks in double precision (../state.h). The
 * greatest columns can be counted and not summed, so that a nearly certain row keeps the small rest of which its
 * entropy consists.
 *
 * Accuracy contract of every kernel with sums, checked by tests/test_kernels.c against sums in long double: a term e^d
 * is within 2e-7 + 1.5e-7 |d| of itself (d is a product of floats), and a sum of n terms of one sign within another
 * 1e-6; u, for which z - m is rounded to float before the pivot is taken from it, also within
 * 1.2e-7 sum e^d |z - m - pivot| (|z - m| + |pivot|); q, whose terms can be too small for a float, also within 1e-37.
 * A gradient e^d (f + l x + c y^2) is within (5e-7 + 1.5e-7 |d|) e^d (|f| + |l x| + |c y^2|) +
 * 3.6e-7 e^d (|d| + |mu|) |c y| of itself.
 * A mass is within 5e-7 + 1.5e-7 |d| of e^d, and has the same bits at every level: what is in a support is decided by
 * it. Moments are sums of such terms, each sum within another 5e-6, with the same bits too. A soft cap is within 5e-7
 * of itself. Of two rows, with f = 3e-6 + 1.5e-7 (|d_p| + |d_q|), a sum is within the sum over its columns of f |term|,
 * and of f (p + q + |p delta| or |q delta|) more where |delta| > 1, for the delta of the difference and the shift as
 * they are given. Of mixtures (tests/test_mixture.c), with l = ln p as the task gives it, `information` is within the
 * sum over its columns of 1e-7 of the term and of 4e-16 p |ln(p / mean)| (2
 * + |l|) of every row; a gain within that of 1e-9 of the greatest p less the least, and of 4e-16 of the greatest times
 * 2 + |l|. In all but mixtures, columns with d < -87 count as 0, and some up to -86.98. A NaN column makes t NaN. n is
 * from 0 to ENT_CHUNK. What `widen` reads may have any alignment. */
#ifndef ENT_MEASURE_KERNELS_H
#define ENT_MEASURE_KERNELS_H

#include <entrol/base.h>

#include <string.h>

/* Columns a chunk: 8 KiB of f32, a quarter of the smallest first-level cache. */
#define ENT_CHUNK 2048

/* Rows of up to ENT_SHORT columns are measured ENT_LANES rows at once, a row a lane. */
#define ENT_SHORT 64
#define ENT_LANES 16

typedef struct ent_sums {
    double n_top;          /* columns with z = m, if the task has a top */
    double s;              /* sum of e^d over the others */
    double t;              /* sum of e^d (z - m) */
    double u;              /* sum of e^d (z - m - pivot)^2; 0 unless squares are wanted */
    double q;              /* sum of (e^d)^2; likewise */
    float greatest, least; /* of the columns, NaNs left out; -inf and inf for none */
} ent_sums;

typedef struct ent_sums_task {
    const float *z;
    size_t n;
    float m;     /* finite */
    float scale; /* 1 / temperature, above 0 */
    float pivot; /* near the mean of z - m under e^d */
    int has_top; /* 1: columns equal to m are counted and not summed */
    int is_near; /* 1 promises that no column counts as 0. Where least says otherwise the sums are worthless, as they
                    are for a greatest of more than m + 32 / scale: guessing and doing it again is faster than looking
                  */
    int squares; /* whether u and q are wanted */
    const char *next; /* memory to prefetch meanwhile, next_step bytes a column; may be any address */
    size_t next_step;
} ent_sums_task;

/* 1 if no column counts as 0, of which the least and the greatest are known; 86, as the kernels round what they compare
 * with 87. */
static inline int ent_are_near(double least, double greatest, double scale) {
    return scale * (least - greatest) > -86;
}

/* The same for ENT_LANES short rows at once: column j of lane r is tile[j * ENT_LANES + r]. */
typedef struct ent_lanes_sums {
    float m[ENT_LANES];     /* the greatest logit, -inf for none */
    float least[ENT_LANES]; /* inf for none */
    float n_top[ENT_LANES];
    float s[ENT_LANES];
    float t[ENT_LANES];
    float u[ENT_LANES]; /* about the mean of z - m over all columns, those equal to m included */
    float q[ENT_LANES];
} ent_lanes_sums;

/* What ENT_LANES short rows come to, a row a lane. */
typedef struct ent_lanes_values {
    float entropy[ENT_LANES], logsumexp[ENT_LANES], logprob[ENT_LANES];
    float varentropy[ENT_LANES], top_prob[ENT_LANES], sum_p_squared[ENT_LANES];
    unsigned bad; /* bit i: row i is in trouble, and nothing of it holds */
} ent_lanes_values;

/* What a chunk of a gradient is made of: e^d (first + slope x + square y^2) with x = z - m, y = d - mu. */
typedef struct ent_gradient_task {
    const float *z;
    size_t n;
    float m, scale; /* d = scale x */
    float first, slope, square, mu;
    int is_near;      /* 1 promises that no column counts as 0; else the kernel looks */
    const float *add; /* is added; may be where the result goes; NULL: nothing */
    int stream;       /* the result is not read again soon: past the caches, if it is aligned to ENT_ALIGNMENT */
    const char *next; /* as in ent_sums_task */
    size_t next_step;
} ent_gradient_task;

/* Masses e^d of a chunk, d = scale (z - m), and their sums in units of 2^-51 or more: integers, so in any order. */
typedef struct ent_masses_task {
    const float *z; /* no NaN */
    size_t n;
    float m, scale;
    float high;   /* the columns above it are summed apart */
    double magic; /* 2^52 times the unit */
} ent_masses_task;

typedef struct ent_masses {
    uint64_t all, above;
} ent_masses;

/* Sums of a chunk by which tokens are chosen, x = z - m: column i is added up in float in lane i % ENT_LANES, and the
 * lanes in double by halves, the upper half to the lower, with a rounding after each product. So the bits are the same
 * at every level. Columns at m are counted and not summed. As much behind them is prefetched, whatever lies there. */
typedef struct ent_moments_task {
    const float *z;
    size_t n;
    float m, scale; /* d = scale x; no column is above m */
    int has_top;    /* 0 promises that none is at m, which is faster */
} ent_moments_task;

typedef struct ent_moments {
    double n_top;   /* columns with z = m */
    double s, t, u; /* over the others, sums of e^d, e^d x, e^d x^2 */
} ent_moments;

/* Of numbers and two bounds, low <= high. NaNs are counted nowhere. */
typedef struct ent_sifted {
    size_t n_below, n_upto_low;       /* less than low; less than it or equal */
    size_t n_below_high, n_upto_high; /* likewise */
    size_t n_inside;                  /* between, without the bounds */
    int has_nonfinite;                /* 1 if there is an infinity or a NaN */
} ent_sifted;

/* How many of a chunk's columns are kept, and how many of them equal the threshold. */
typedef struct ent_kept {
    size_t n, n_equal;
} ent_kept;

/* e^(scale x), x <= 0, with the polynomial of the kernels' exponential (body.h), but a rounding after each product, so
 * that a level without fused multiplication has the same bits; its terms are added in pairs, as a chain of products and
 * sums is slow. */
static inline float ent_mass(float x, float scale) {
    const float c = scale * 0x1.715476p+0f, low = -125.5f / c;
    const float scaled = (x > low ? x : low) * c, t = scaled + 12582912.0f, f = scaled - (t - 12582912.0f);
    const float square = f * f, high = 0x1.5c08e6p-10f * f + 0x1.3d0c52p-7f,
                middle = 0x1.c6b6e4p-5f * f + 0x1.ebf918p-3f;
    float p = (high * square + middle) * square + (0x1.62e428p-1f * f + 1.0f);
    uint32_t bits, power;
    memcpy(&bits, &p, sizeof bits);
    memcpy(&power, &t, sizeof power);
    bits += power << 23;
    memcpy(&p, &bits, sizeof p);
    return x > low ? p : 0;
}

/* A mass in units of magic / 2^52, to the nearest: adding the magic number leaves it in the low bits. */
static inline uint64_t ent_mass_units(float mass, double magic) {
    const double shifted = (double)mass + magic;
    uint64_t bits, none;
    memcpy(&bits, &shifted, sizeof bits);
    memcpy(&none, &magic, sizeof none);
    return bits - none;
}

/* Masses of n columns, n above 0, are in units of 2^-this: their sum fits in 62 bits. */
static inline int ent_unit_bits(size_t n) {
    const int n_bits = 64 - __builtin_clzll(n);
    return n_bits < 11 ? 51 : 62 - n_bits;
}

/* Bytes that the widest vector store past the caches wants its address to be a multiple of. */
#define ENT_ALIGNMENT 64

/* The same for ENT_LANES short rows at once; a lane without a gradient has a first, slope and square of 0. */
typedef struct ent_gradient_lanes {
    float m[ENT_LANES], first[ENT_LANES], slope[ENT_LANES], square[ENT_LANES], mu[ENT_LANES];
} ent_gradient_lanes;

/* Two rows of logits of the same columns, p and q as probabilities. */
typedef struct ent_pair_task {
    const float *p, *q;
    const float *high, *low; /* p - q - tops in two parts, where it is not that of these floats (f64); high infinite
                                where a logit is, low then 0. NULL: it is taken of them */
    size_t n;
    float p_m, q_m, scale; /* d = scale (z - m), as in ent_sums_task */
    float p_each, q_each;  /* 1 / sum of e^d of the whole rows */
    float tops[2];         /* the sum of two parts, as the next; unless high and low are there */
    float shift[2];        /* ln p - ln q = scale (p - q - tops - shift) */
    float pivot[2];        /* u = p - q - tops - pivot */
    int wants_jsd;
    float by_pq, by_qp; /* for the gradient */
} ent_pair_task;

/* With delta = ln p - ln q. An infinite delta or u of a column counts as FLT_MAX, so its sum is worthless, but where it
 * is multiplied by a probability of 0. */
typedef struct ent_pair_sums {
    double kl_pq;       /* sum of p (e^-delta - 1 + delta) */
    double kl_qp;       /* sum of q (e^delta - 1 - delta) */
    double jsd;         /* sum of (p ln(2 p / (p + q)) + q ln(2 q / (p + q))) / 2; 0 unless it is wanted */
    double gain;        /* sum of q - p, as p (e^-delta - 1) where |delta| <= 1 */
    double mean;        /* sum of p u */
    int only_p, only_q; /* 1 if a column is above -inf only in that row */
} ent_pair_sums;

/* Rows of logits of the same columns, as probabilities: ln p = scale (z - m) - log_sum. Where a column's ln p are no
 * more than ENT_CLOSE apart, its term is summed in the form that keeps the digits of close rows. */
enum { ENT_MIXTURE_ROWS = 16 }; /* ENTROL_MAX_MIXTURE */
#define ENT_CLOSE (1.0 / 16)
#define ENT_LEAST_LOG (-1000.0) /* a lesser ln p counts as this: e^-1000 is 0 in double */
typedef struct ent_mixture_task {
    size_t n, n_rows;                                      /* n_rows is from 1 to ENT_MIXTURE_ROWS */
    const float *z[ENT_MIXTURE_ROWS];                      /* no NaN and no +inf, as in wide; or NULL each */
    const double *wide[ENT_MIXTURE_ROWS];                  /* of f64 */
    double m[ENT_MIXTURE_ROWS], log_sum[ENT_MIXTURE_ROWS]; /* finite */
    double scale;
} ent_mixture_task;

/* With the mean of the rows' probabilities of a column. A probability below e^-700 may count as that. */
typedef struct ent_mixture_sums {
    double information;            /* sum of p ln(p / mean) over columns and rows, divided by n_rows; no column's is
                                      negative, nor loses its digits where the rows are close */
    double gain[ENT_MIXTURE_ROWS]; /* of each row the sum of p - mean */
} ent_mixture_sums;

typedef struct ent_kernels {
    entrol_cpu cpu;
    /* The greatest of n numbers, NaNs left out; -inf for none. */
    float (*max)(const float *z, size_t n);
    /* How many are greater than the threshold. */
    size_t (*count_greater)(const float *z, size_t n, float threshold);
    size_t (*count_equal)(const float *z, size_t n, float value);
    /* The places of those that are greater, rising; returns how many. `found` has room for n. */
    size_t (*find_greater)(uint16_t *found, const float *z, size_t n, float threshold);
    /* The numbers that are greater, in their order; how many. `out` has room for n. */
    size_t (*copy_greater)(float *out, const float *z, size_t n, float threshold);
    /* The places of those from low to high, likewise. */
    size_t (*find_between)(uint16_t *found, const float *z, size_t n, float low, float high);
    /* `inside` gets the numbers between the bounds, in their order; it has room for n. */
    ent_sifted (*sift)(float *inside, const float *z, size_t n, float low, float high);
    void (*sums)(ent_sums *sums, const ent_sums_task *task);
    void (*lanes)(ent_lanes_sums *sums, const float *tile, size_t n_columns, float scale, int squares);
    /* The statistics, from the sums and the logits of the targets (-inf and NaN are kept). Varentropy and sum_p_squared
     * only where squares are wanted. Errors: 4e-7 of the greater of the terms that are added. */
    void (*lanes_values)(ent_lanes_values *values, const ent_lanes_sums *sums, const float *targets, float scale,
                         int squares);
    /* out may be task->z. */
    void (*gradient)(float *out, const ent_gradient_task *task);
    /* After the last of some gradients past the caches, before another thread may read them. */
    void (*stream_end)(void);
    /* The mass of every column. */
    ent_masses (*masses)(float *out, const ent_masses_task *task);
    /* A NaN makes t NaN. */
    void (*moments)(ent_moments *moments, const ent_moments_task *task);
    /* out (may be z) = z where it is at least the threshold (above -inf), else -inf. No z is NaN. */
    ent_kept (*keep)(float *out, const float *z, size_t n, float threshold);
    /* In place. */
    void (*gradient_lanes)(float *tile, size_t n_columns, float scale, const ent_gradient_lanes *lanes);
    void (*pair_sums)(ent_pair_sums *sums, const ent_pair_task *task);
    /* out = by_pq p scale u + by_qp (p - q), the terms of mean and gain; exactly 0 where p's column is at -inf. out is
     * neither row. */
    void (*pair_gradient)(float *out, const ent_pair_task *task);
    void (*mixture_sums)(ent_mixture_sums *sums, const ent_mixture_task *task);
    /* z = cap tanh(z / cap), in place; the cap is finite and above 0. */
    void (*soft_cap)(float *z, size_t n, float cap);
    /* out = z as f32, -inf where the mask's bit is 0 (NULL: no mask). By entrol_dtype; there is none for f64. */
    void (*widen[4])(float *out, const void *z, size_t n, const uint8_t *mask);
    /* out = x in the dtype, to the nearest, ties to even; `out` may have any alignment. There is none for f64. */
    void (*narrow[4])(void *out, const float *x, size_t n);
} ent_kernels;

/* The table of a level that entrol_cpu_available; filled once a process. */
const ent_kernels *ent_kernels_for(entrol_cpu cpu);

/* Each level's file puts what it has over what is there. */
void ent_kernels_ref(ent_kernels *kernels);
void ent_kernels_avx2(ent_kernels *kernels);
void ent_kernels_avx512(ent_kernels *kernels);
void ent_kernels_neon(ent_kernels *kernels);

#endif
