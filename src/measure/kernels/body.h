/* The kernels once, over a vector type; each instruction set's file defines the type and includes this.
 *
 * It defines before: ENT_W, the floats in a vector; vf, the vector; and as inline functions
 *   ent_prefetch(address)           the memory of two vectors there, which may be any address; of f64 that is every
 *                                   other line, and the machine fetches neighbours itself
 *   vf_set, vf_load, vf_store, vf_add, vf_sub, vf_mul, vf_div, vf_fma (a b + c), vf_fms (a b - c)
 *   vf_max(a, b), vf_min(a, b)      the greater, the lesser; b where either is NaN
 *   vf_zero_unless_above(e, x, low) e where x > low or x is NaN, else 0
 *   vf_zero_where_zero(e, x)        0 where x = 0, else e
 *   vf_count_zeros(count, x)        count + 1 where x = 0
 *   vf_greater_bits(a, b)           one bit a lane, 1 where a > b
 *   vf_pack(x, bits, lanes)         the lanes of the 1 bits in front; their numbers, a byte each, unless ENT_W > 8
 *   vf_scale_by_power(p, t)         p 2^k, where k is in the low bits of t's pattern
 *   vf_nearest, vf_scale_nearest    as below, where there is something faster; ENT_HAS_NEAREST then
 *   vf_sum, vf_max_lane             over the lanes; the sum in double
 *   vf_mask(x, mask, i)             x, -inf where bit i + lane of the mask is 0; i is a multiple of ENT_W
 *   vf_widen_f32, vf_widen_f16, vf_widen_bf16  from memory of any alignment
 *   vf_narrow_f16                   to memory of any alignment, to the nearest, ties to even
 *   vf_store_halves                 the lower halves of the patterns, whose upper ones are 0; to any alignment
 *   vf_units, vf_add_units          ENT_W sums of 64 bits; adds the patterns of x + magic in double
 *   vf_stream                       vf_store past the caches, to ENT_W floats' alignment; vf_stream_end after the last
 *   vd, vd_set, vd_fma, vd_max      the same of ENT_W / 2 doubles, none of them NaN
 */

#define ENT_ALL_LANES ((1u << ENT_W) - 1)

/* The pattern of a vf, with the compiler's own operators. */
typedef uint32_t __attribute__((vector_size(ENT_W * sizeof(uint32_t)))) vf_bits;
typedef int32_t __attribute__((vector_size(ENT_W * sizeof(int32_t)))) vf_integers;
typedef float __attribute__((vector_size(ENT_W * sizeof(float)))) vf_floats;

/* exp: t = c x + 1.5 2^23 leaves the integer k nearest to c x in the low bits of t; f = c x - k is in [-1/2, 1/2]; a
 * polynomial gives 2^f, and k is added to its exponent. The polynomial is the minimax one of degree 5 for the relative
 * error (Remez), 7.5e-8 before its coefficients were rounded to float and 1.6e-7 after. c = scale log2(e). */
static inline vf exp_of(vf x, vf c) {
    const vf magic = vf_set(12582912.0f);
    const vf t = vf_fma(x, c, magic);
    const vf f = vf_fms(x, c, vf_sub(t, magic));
    vf p = vf_set(0x1.5c08e6p-10f);
    p = vf_fma(p, f, vf_set(0x1.3d0c52p-7f));
    p = vf_fma(p, f, vf_set(0x1.c6b6e4p-5f));
    p = vf_fma(p, f, vf_set(0x1.ebf918p-3f));
    p = vf_fma(p, f, vf_set(0x1.62e428p-1f));
    p = vf_fma(p, f, vf_set(1.0f));
    return vf_scale_by_power(p, t);
}

#ifndef ENT_HAS_NEAREST
/* The integer k nearest to x, |x| < 2^22, of a tie the even one. */
static inline vf vf_nearest(vf *power, vf x) {
    const vf magic = vf_set(12582912.0f);
    *power = vf_add(x, magic);
    return vf_sub(*power, magic);
}

/* p 2^k of a power that is found so; the result is normal. */
static inline vf vf_scale_nearest(vf p, vf power) {
    return vf_scale_by_power(p, power);
}
#endif

/* The last n < ENT_W numbers, filled up with -inf, which no kernel counts. */
static inline vf load_tail(const float *z, size_t n) {
    float block[ENT_W];
    for (size_t i = 0; i < ENT_W; i++)
        block[i] = -INFINITY;
    memcpy(block, z, n * sizeof *z);
    return vf_load(block);
}

static inline vf load_some(const float *z, size_t n) {
    return n >= ENT_W ? vf_load(z) : load_tail(z, n);
}

/* The first n of a vector's numbers, or all where n is at least ENT_W. */
static inline void store_some(float *out, size_t n, vf x) {
    if (n >= ENT_W) {
        vf_store(out, x);
        return;
    }
    float block[ENT_W];
    vf_store(block, x);
    memcpy(out, block, n * sizeof *out);
}

static float max_body(const float *z, size_t n) {
    vf m0 = vf_set(-INFINITY), m1 = m0, m2 = m0, m3 = m0;
    size_t i = 0;
    for (; i + 4 * ENT_W <= n; i += 4 * ENT_W) {
        m0 = vf_max(vf_load(z + i), m0);
        m1 = vf_max(vf_load(z + i + ENT_W), m1);
        m2 = vf_max(vf_load(z + i + 2 * ENT_W), m2);
        m3 = vf_max(vf_load(z + i + 3 * ENT_W), m3);
    }
    for (; i < n; i += ENT_W)
        m0 = vf_max(load_some(z + i, n - i), m0);
    return vf_max_lane(vf_max(vf_max(m0, m1), vf_max(m2, m3)));
}

static size_t count_greater_body(const float *z, size_t n, float threshold) {
    const vf limit = vf_set(threshold);
    size_t count = 0;
    for (size_t i = 0; i < n; i += ENT_W)
        count += (size_t)__builtin_popcount(vf_greater_bits(load_some(z + i, n - i), limit));
    return count;
}

static size_t sum_integers(vf_integers x) {
    size_t sum = 0;
    for (size_t lane = 0; lane < ENT_W; lane++)
        sum += (size_t)x[lane];
    return sum;
}

static size_t count_equal_body(const float *z, size_t n, float value) {
    const vf_floats wanted = (vf_floats)vf_set(value);
    vf_integers n0 = {0}, n1 = {0};
    size_t i = 0;
    for (; i + 2 * ENT_W <= n; i += 2 * ENT_W) {
        n0 -= (vf_floats)vf_load(z + i) == wanted; /* true is -1 */
        n1 -= (vf_floats)vf_load(z + i + ENT_W) == wanted;
    }
    size_t count = sum_integers(n0 + n1);
    for (; i < n; i++)
        count += z[i] == value;
    return count;
}

/* The lanes of a byte's bits, packed: byte k of compressed[bits] is the place of the k-th bit that is 1. */
#define PLACE(bits, k) ((bits) >> (k)&1 ? (uint64_t)(k) << 8 * __builtin_popcount((bits) & ((1 << (k)) - 1)) : 0)
#define PLACES(bits)                                                                                                   \
    (PLACE(bits, 0) | PLACE(bits, 1) | PLACE(bits, 2) | PLACE(bits, 3) | PLACE(bits, 4) | PLACE(bits, 5) |             \
     PLACE(bits, 6) | PLACE(bits, 7))
#define PLACES4(bits) PLACES(bits), PLACES(bits + 1), PLACES(bits + 2), PLACES(bits + 3)
#define PLACES16(bits) PLACES4(bits), PLACES4(bits + 4), PLACES4(bits + 8), PLACES4(bits + 12)
#define PLACES64(bits) PLACES16(bits), PLACES16(bits + 16), PLACES16(bits + 32), PLACES16(bits + 48)
static const uint64_t compressed[256] = {PLACES64(0), PLACES64(64), PLACES64(128), PLACES64(192)};

/* Writes eight places, of which those of the bits count. */
static inline size_t append_places(uint16_t *found, unsigned bits, size_t first) {
    typedef uint8_t __attribute__((vector_size(8))) bytes;
    typedef uint16_t __attribute__((vector_size(16))) places;
    bytes lanes;
    memcpy(&lanes, &compressed[bits], sizeof lanes);
    const places all = __builtin_convertvector(lanes, places) + (uint16_t)first;
    memcpy(found, &all, sizeof all);
    return (size_t)__builtin_popcount(bits);
}

/* The places of the 16 bits of a block, with one branch, which few columns or many make predictable. */
static inline size_t append_block(uint16_t *found, unsigned bits, size_t first) {
    if (!bits)
        return 0;
    const size_t n_lower = append_places(found, bits & 0xff, first);
    return n_lower + append_places(found + n_lower, bits >> 8, first + 8);
}

static size_t find_greater_body(uint16_t *found, const float *z, size_t n, float threshold) {
    const vf limit = vf_set(threshold);
    size_t count = 0, i = 0;
    for (; i + 16 <= n; i += 16) {
        unsigned above = 0;
        for (size_t j = 0; j < 16; j += ENT_W)
            above |= vf_greater_bits(vf_load(z + i + j), limit) << j;
        count += append_block(found + count, above, i);
    }
    for (; i < n; i++) {
        found[count] = (uint16_t)i;
        count += z[i] > threshold;
    }
    return count;
}

static size_t copy_greater_body(float *out, const float *z, size_t n, float threshold) {
    const vf limit = vf_set(threshold);
    size_t count = 0, i = 0;
    for (; i + ENT_W <= n; i += ENT_W) {
        const vf x = vf_load(z + i);
        const unsigned above = vf_greater_bits(x, limit);
        vf_store(out + count, vf_pack(x, above, compressed[above & 0xff]));
        count += (size_t)__builtin_popcount(above);
    }
    for (; i < n; i++) {
        out[count] = z[i];
        count += z[i] > threshold;
    }
    return count;
}

static size_t find_between_body(uint16_t *found, const float *z, size_t n, float low, float high) {
    const vf least = vf_set(low), most = vf_set(high);
    size_t count = 0, i = 0;
    for (; i + 16 <= n; i += 16) {
        unsigned outside = 0;
        for (size_t j = 0; j < 16; j += ENT_W) {
            const vf x = vf_load(z + i + j);
            outside |= (vf_greater_bits(least, x) | vf_greater_bits(x, most)) << j;
        }
        count += append_block(found + count, ~outside & 0xffff, i);
    }
    for (; i < n; i++) {
        found[count] = (uint16_t)i;
        count += z[i] >= low && z[i] <= high;
    }
    return count;
}

/* What is between the bounds is little, but nobody knows where: its blocks are listed without a branch, and then it is
 * taken out one by one. */
static ent_sifted sift_body(float *inside, const float *z, size_t n, float low, float high) {
    const vf least = vf_set(low), most = vf_set(high);
    vf_integers n_below = {0}, n_upto_low = {0}, n_below_high = {0}, n_upto_high = {0};
    vf rest = vf_set(0); /* x - x is 0, but NaN where x is not finite */
    ent_sifted sifted = {.n_below = 0};
    uint16_t blocks[ENT_CHUNK / 16 + 1], masks[ENT_CHUNK / 16 + 1];
    size_t i = 0, n_blocks = 0;
    for (; i + 16 <= n; i += 16) {
        unsigned above_low = 0, below_high = 0;
        for (size_t j = 0; j < 16; j += ENT_W) {
            const vf x = vf_load(z + i + j);
            n_below -= (vf_floats)x < (vf_floats)least; /* true is -1 */
            n_upto_low -= (vf_floats)x <= (vf_floats)least;
            n_below_high -= (vf_floats)x < (vf_floats)most;
            n_upto_high -= (vf_floats)x <= (vf_floats)most;
            rest = vf_add(rest, vf_sub(x, x));
            above_low |= vf_greater_bits(x, least) << j;
            below_high |= vf_greater_bits(most, x) << j;
        }
        blocks[n_blocks] = (uint16_t)i;
        masks[n_blocks] = (uint16_t)(above_low & below_high);
        n_blocks += masks[n_blocks] != 0;
    }
    for (size_t k = 0; k < n_blocks; k++)
        for (unsigned bits = masks[k]; bits; bits &= bits - 1)
            inside[sifted.n_inside++] = z[(size_t)blocks[k] + (size_t)__builtin_ctz(bits)];
    sifted.has_nonfinite = vf_greater_bits(vf_set(1), rest) != ENT_ALL_LANES;
    sifted.n_below = sum_integers(n_below);
    sifted.n_upto_low = sum_integers(n_upto_low);
    sifted.n_below_high = sum_integers(n_below_high);
    sifted.n_upto_high = sum_integers(n_upto_high);
    for (; i < n; i++) {
        sifted.n_below += z[i] < low;
        sifted.n_upto_low += z[i] <= low;
        sifted.n_below_high += z[i] < high;
        sifted.n_upto_high += z[i] <= high;
        sifted.has_nonfinite |= !(z[i] - z[i] == 0);
        if (z[i] > low && z[i] < high)
            inside[sifted.n_inside++] = z[i];
    }
    return sifted;
}

typedef struct constants {
    vf m, c, low, pivot;
} constants;

static inline constants constants_of(vf m, float scale, vf pivot) {
    const float c = scale * 0x1.715476p+0f;                       /* log2(e) */
    return (constants){m, vf_set(c), vf_set(-125.5f / c), pivot}; /* 2^-125.5 is still normal, and is e^-87 */
}

#include "measure/kernels/body_sums.h"

/* ln(1 + x) for x from 0 to 2^20. 1 + x = 2^k (1 + f), f in [-0.3, 0.42]; what 1 + x was rounded by is added to f. A
 * polynomial of degree 6 gives (ln(1 + f) - f + f^2 / 2) / f^3; the whole is within 4e-8 of itself (Remez). */
static inline vf log1p_of(vf x) {
    const vf one = vf_set(1.0f), u = vf_add(x, one), rounding = vf_sub(x, vf_sub(u, one));
    const vf_integers k = ((vf_integers)u - 0x3f3504f3) >> 23; /* 0x3f3504f3 is sqrt(1/2) */
    const vf_integers down = -k << 23;
    const vf power = (vf)((vf_integers)one + down);
    const vf f = vf_fma(rounding, power, vf_sub((vf)((vf_integers)u + down), one)), square = vf_mul(f, f);
    vf p = vf_set(0x1.645eb4p-4f);
    p = vf_fma(p, f, vf_set(-0x1.2432bap-3f));
    p = vf_fma(p, f, vf_set(0x1.317456p-3f));
    p = vf_fma(p, f, vf_set(-0x1.53824ap-3f));
    p = vf_fma(p, f, vf_set(0x1.98d7f2p-3f));
    p = vf_fma(p, f, vf_set(-0x1.000382p-2f));
    p = vf_fma(p, f, vf_set(0x1.5556d8p-2f));
    const vf exponent = (vf) __builtin_convertvector(k, vf_floats);
    /* ln 2 in two parts, the first with few enough digits that k times it is exact */
    const vf rest = vf_fma(exponent, vf_set(-0x1.bd0106p-13f), vf_mul(square, vf_fma(p, f, vf_set(-0.5f))));
    return vf_fma(exponent, vf_set(0x1.63p-1f), vf_add(f, rest));
}

/* One vector of lanes; + 0, so that none is -0. */
static inline unsigned values_step(ent_lanes_values *values, size_t lane, const ent_lanes_sums *sums,
                                   const float *targets, float scale, int squares) {
    const vf zero = vf_set(0), one = vf_set(1.0f), scales = vf_set(scale), m = vf_load(sums->m + lane);
    const vf n_top = vf_load(sums->n_top + lane), s = vf_load(sums->s + lane), t = vf_load(sums->t + lane);
    const vf each = vf_div(one, vf_add(n_top, s)), log_sum = log1p_of(vf_add(vf_sub(n_top, one), s));
    const vf mean = vf_mul(scales, vf_mul(t, each));
    vf_store(values->entropy + lane, vf_add(vf_sub(log_sum, mean), zero));
    vf_store(values->logsumexp + lane, vf_add(vf_fma(m, scales, log_sum), zero));
    vf_store(values->logprob + lane, vf_add(vf_fms(vf_sub(vf_load(targets + lane), m), scales, log_sum), zero));
    vf_store(values->top_prob + lane, each);
    if (squares) {
        const vf u = vf_mul(scales, vf_mul(scales, vf_load(sums->u + lane)));
        vf_store(values->varentropy + lane, vf_mul(u, each));
        vf_store(values->sum_p_squared + lane, vf_mul(vf_mul(vf_add(n_top, vf_load(sums->q + lane)), each), each));
    }
    /* t is at most 0; every comparison with a NaN is false */
    return ENT_ALL_LANES &
           ~(vf_greater_bits(m, vf_set(-INFINITY)) & vf_greater_bits(vf_set(INFINITY), m) & vf_greater_bits(one, t));
}

static void lanes_values_body(ent_lanes_values *values, const ent_lanes_sums *sums, const float *targets, float scale,
                              int squares) {
    values->bad = 0;
    for (size_t lane = 0; lane < ENT_LANES; lane += ENT_W)
        values->bad |= values_step(values, lane, sums, targets, scale, squares) << lane;
}

/* Whole vectors through `widen`; the rest by way of a padded block. */
static inline __attribute__((always_inline)) void widen_loop(float *out, const char *z, size_t n, const uint8_t *mask,
                                                             size_t size, vf (*widen)(const char *z)) {
    size_t i = 0;
    for (; i + ENT_W <= n; i += ENT_W) {
        const vf x = widen(z + i * size);
        vf_store(out + i, mask ? vf_mask(x, mask, i) : x);
    }
    if (i == n)
        return;
    char block[ENT_W * sizeof(float)] = {0};
    float tail[ENT_W];
    memcpy(block, z + i * size, (n - i) * size);
    vf_store(tail, widen(block));
    for (const float *x = tail; i < n; i++, x++)
        out[i] = !mask || ((mask[i / 8] >> (i % 8)) & 1) ? *x : -INFINITY;
}

static void widen_f32_body(float *out, const void *z, size_t n, const uint8_t *mask) {
    widen_loop(out, z, n, mask, sizeof(float), vf_widen_f32);
}

static void widen_f16_body(float *out, const void *z, size_t n, const uint8_t *mask) {
    widen_loop(out, z, n, mask, sizeof(uint16_t), vf_widen_f16);
}

static void widen_bf16_body(float *out, const void *z, size_t n, const uint8_t *mask) {
    widen_loop(out, z, n, mask, sizeof(uint16_t), vf_widen_bf16);
}

/* e^d (first + slope x + square y^2), exactly 0 where a column counts as impossible. */
typedef struct gradient_constants {
    vf m, c, low, scale, first, slope, square, mu;
} gradient_constants;

/* `is_near` and `has_square` are constants where this is inlined; near columns are those that do not count as 0. */
static inline __attribute__((always_inline)) vf gradient_of(vf z, const gradient_constants *k, int is_near,
                                                            int has_square) {
    const vf raw = vf_sub(z, k->m);
    const vf x = is_near ? raw : vf_max(k->low, raw);
    vf factor = vf_fma(x, k->slope, k->first);
    if (has_square) {
        const vf y = vf_fms(x, k->scale, k->mu);
        factor = vf_fma(vf_mul(y, k->square), y, factor);
    }
    const vf gradient = vf_mul(exp_of(x, k->c), factor);
    return is_near ? gradient : vf_zero_unless_above(gradient, raw, k->low);
}

/* 1 if every column is near, which is faster to see than to allow for. A NaN is not looked at. */
static int are_near(const float *z, size_t n, const gradient_constants *k) {
    const vf most = vf_set(INFINITY);
    vf r0 = most, r1 = most, r2 = most, r3 = most;
    size_t i = 0;
    for (; i + 4 * ENT_W <= n; i += 4 * ENT_W) {
        r0 = vf_min(vf_load(z + i), r0);
        r1 = vf_min(vf_load(z + i + ENT_W), r1);
        r2 = vf_min(vf_load(z + i + 2 * ENT_W), r2);
        r3 = vf_min(vf_load(z + i + 3 * ENT_W), r3);
    }
    for (; i < n; i++)
        r0 = vf_min(vf_set(z[i]), r0);
    const vf least = vf_min(vf_min(r0, r1), vf_min(r2, r3));
    return vf_greater_bits(vf_sub(least, k->m), k->low) == ENT_ALL_LANES;
}

static inline gradient_constants gradient_constants_of(vf m, float scale, vf first, vf slope, vf square, vf mu) {
    const constants k = constants_of(m, scale, vf_set(0));
    return (gradient_constants){k.m, k.c, k.low, vf_set(scale), first, slope, square, mu};
}

/* `way`: 0 written, 1 added, 2 past the caches. All but out, task and k are constants where this is inlined. */
static inline __attribute__((always_inline)) void gradient_loop(float *out, const ent_gradient_task *task,
                                                                const gradient_constants *k, int way, int is_near,
                                                                int has_square) {
    const float *z = task->z, *add = task->add;
    const size_t n = task->n, step = 2 * ENT_W * task->next_step;
    uintptr_t next = (uintptr_t)task->next;
    size_t i = 0;
    for (; i + 2 * ENT_W <= n; i += 2 * ENT_W, next += step) {
        ent_prefetch(next);
        vf g0 = gradient_of(vf_load(z + i), k, is_near, has_square);
        vf g1 = gradient_of(vf_load(z + i + ENT_W), k, is_near, has_square);
        if (way == 1) {
            g0 = vf_add(g0, vf_load(add + i));
            g1 = vf_add(g1, vf_load(add + i + ENT_W));
        }
        if (way == 2) {
            vf_stream(out + i, g0);
            vf_stream(out + i + ENT_W, g1);
        } else {
            vf_store(out + i, g0);
            vf_store(out + i + ENT_W, g1);
        }
    }
    for (; i < n; i += ENT_W) {
        const size_t n_left = n - i < ENT_W ? n - i : ENT_W;
        float block[ENT_W];
        vf_store(block, gradient_of(load_some(z + i, n_left), k, 0, 1));
        for (size_t j = 0; j < n_left; j++)
            out[i + j] = way == 1 ? add[i + j] + block[j] : block[j];
    }
}

static inline __attribute__((always_inline)) void gradient_way(float *out, const ent_gradient_task *task,
                                                               const gradient_constants *k, int way) {
    const int is_near = task->is_near || are_near(task->z, task->n, k);
    if (is_near && task->square == 0)
        gradient_loop(out, task, k, way, 1, 0);
    else if (is_near)
        gradient_loop(out, task, k, way, 1, 1);
    else
        gradient_loop(out, task, k, way, 0, 1);
}

static void stream_end_body(void) {
    vf_stream_end();
}

static void gradient_body(float *out, const ent_gradient_task *task) {
    const gradient_constants k = gradient_constants_of(vf_set(task->m), task->scale, vf_set(task->first),
                                                       vf_set(task->slope), vf_set(task->square), vf_set(task->mu));
    if (task->add)
        gradient_way(out, task, &k, 1);
    else if (task->stream && (uintptr_t)out % ENT_ALIGNMENT == 0)
        gradient_way(out, task, &k, 2);
    else
        gradient_way(out, task, &k, 0);
}

/* `has_square` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void gradient_lane(float *tile, size_t n_columns,
                                                                const gradient_constants *k, int has_square) {
    for (size_t j = 0; j < n_columns; j++)
        vf_store(tile + j * ENT_LANES, gradient_of(vf_load(tile + j * ENT_LANES), k, 0, has_square));
}

static void gradient_lanes_body(float *tile, size_t n_columns, float scale, const ent_gradient_lanes *lanes) {
    const vf zero = vf_set(0);
    for (size_t lane = 0; lane < ENT_LANES; lane += ENT_W) {
        const vf square = vf_load(lanes->square + lane);
        const gradient_constants k =
            gradient_constants_of(vf_load(lanes->m + lane), scale, vf_load(lanes->first + lane),
                                  vf_load(lanes->slope + lane), square, vf_load(lanes->mu + lane));
        if (vf_greater_bits(square, zero) | vf_greater_bits(zero, square))
            gradient_lane(tile + lane, n_columns, &k, 1);
        else
            gradient_lane(tile + lane, n_columns, &k, 0);
    }
}

/* ent_mass, operation by operation; x is what is above low, or low, or NaN. */
static inline vf mass_of(vf x, const constants *k) {
    vf power;
    const vf scaled = vf_mul(x, k->c), f = vf_sub(scaled, vf_nearest(&power, scaled)), square = vf_mul(f, f);
    const vf high = vf_add(vf_mul(vf_set(0x1.5c08e6p-10f), f), vf_set(0x1.3d0c52p-7f));
    const vf middle = vf_add(vf_mul(vf_set(0x1.c6b6e4p-5f), f), vf_set(0x1.ebf918p-3f));
    const vf low = vf_add(vf_mul(vf_set(0x1.62e428p-1f), f), vf_set(1.0f));
    const vf p = vf_add(vf_mul(vf_add(vf_mul(high, square), middle), square), low);
    return vf_zero_unless_above(vf_scale_nearest(p, power), x, k->low);
}

/* What `n_vectors` calls of vf_add_units have added: ent_mass_units, and the magic number's own pattern each time. */
static inline uint64_t sum_of_units(vf_units sums, size_t n_vectors, double magic) {
    uint64_t lanes[ENT_W], none, total = 0;
    memcpy(lanes, &sums, sizeof lanes);
    memcpy(&none, &magic, sizeof none);
    for (size_t lane = 0; lane < ENT_W; lane++)
        total += lanes[lane] - n_vectors * none;
    return total;
}

/* `has_above` is a constant where this is inlined. */
static inline __attribute__((always_inline)) ent_masses masses_loop(float *out, const ent_masses_task *task,
                                                                    int has_above) {
    const constants k = constants_of(vf_set(task->m), task->scale, vf_set(0));
    const vf high = vf_set(task->high);
    const double magic = task->magic;
    const float *z = task->z;
    const size_t n = task->n;
    vf_units all, above;
    memset(&all, 0, sizeof all);
    memset(&above, 0, sizeof above);
    size_t i = 0, n_vectors = 0;
    for (; i < n; i += ENT_W, n_vectors++) {
        const vf x = load_some(z + i, n - i), mass = mass_of(vf_max(vf_sub(x, k.m), k.low), &k);
        all = vf_add_units(all, mass, magic);
        if (has_above)
            above = vf_add_units(above, vf_zero_unless_above(mass, x, high), magic);
        store_some(out + i, n - i, mass);
    }
    return (ent_masses){sum_of_units(all, n_vectors, magic), has_above ? sum_of_units(above, n_vectors, magic) : 0};
}

static ent_masses masses_body(float *out, const ent_masses_task *task) {
    return task->high < task->m ? masses_loop(out, task, 1) : masses_loop(out, task, 0);
}

#include "measure/kernels/body_moments.h"

static ent_kept keep_body(float *out, const float *z, size_t n, float threshold) {
    const vf_floats limit = (vf_floats)vf_set(threshold);
    const vf_integers least = (vf_integers)(vf_floats)vf_set(-INFINITY);
    vf_integers n_kept = {0}, n_equal = {0};
    for (size_t i = 0; i < n; i += ENT_W) {
        const vf_floats x = (vf_floats)load_some(z + i, n - i);
        const vf_integers is_kept = x >= limit;
        const vf result = (vf)(vf_floats)(((vf_integers)x & is_kept) | (least & ~is_kept));
        n_kept -= is_kept; /* true is -1 */
        n_equal -= x == limit;
        store_some(out + i, n - i, result);
    }
    return (ent_kept){sum_integers(n_kept), sum_integers(n_equal)};
}

/* tanh near 0: an odd polynomial, which keeps the digits of small x (x + x^3 P(x^2), minimax on |x| <= 0.625 for the
 * relative error: 9e-9 with its coefficients rounded). */
static inline vf tanh_small(vf x) {
    const vf square = vf_mul(x, x);
    vf p = vf_set(-0x1.75e1bcp-8f);
    p = vf_fma(p, square, vf_set(0x1.522698p-6f));
    p = vf_fma(p, square, vf_set(-0x1.b83c5ap-5f));
    p = vf_fma(p, square, vf_set(0x1.110726p-3f));
    p = vf_fma(p, square, vf_set(-0x1.555532p-2f));
    return vf_fma(vf_mul(p, square), x, x);
}

/* tanh: the polynomial, or 1 - 2 / (e^2x + 1), whose e is 1e17 where it is 1 in float. */
static inline vf tanh_of(vf x) {
    const vf zero = vf_set(0), least = vf_set(-20), small = tanh_small(x);
    const vf bounded = vf_sub(zero, vf_max(least, vf_sub(zero, vf_max(least, x))));
    const vf e = exp_of(bounded, vf_set(0x1.715476p+1f)); /* 2 log2(e) */
    const vf large = vf_sub(vf_set(1), vf_div(vf_set(2), vf_add(e, vf_set(1))));
    const vf size = vf_max(x, vf_sub(zero, x)), border = vf_set(0.625f), above_border = vf_set(0x1.400002p-1f);
    return vf_add(vf_zero_unless_above(large, size, border), vf_zero_unless_above(small, above_border, size));
}

static void soft_cap_body(float *z, size_t n, float cap) {
    const vf most = vf_set(cap), inverse = vf_set(1 / cap);
    for (size_t i = 0; i < n; i += ENT_W)
        store_some(z + i, n - i, vf_mul(most, tanh_of(vf_mul(inverse, load_some(z + i, n - i)))));
}

static inline __attribute__((always_inline)) void narrow_loop(char *out, const float *x, size_t n,
                                                              void (*narrow)(char *out, vf x)) {
    size_t i = 0;
    for (; i + ENT_W <= n; i += ENT_W)
        narrow(out + i * sizeof(uint16_t), vf_load(x + i));
    if (i == n)
        return;
    char block[ENT_W * sizeof(uint16_t)];
    narrow(block, load_tail(x + i, n - i));
    memcpy(out + i * sizeof(uint16_t), block, (n - i) * sizeof(uint16_t));
}

static void narrow_f16_body(void *out, const float *x, size_t n) {
    narrow_loop(out, x, n, vf_narrow_f16);
}

/* Rounded by adding just less than half of what is cut off, and one more where what stays is odd; a NaN stays one. */
static inline void narrow_bf16(char *out, vf x) {
    const vf_bits bits = (vf_bits)x, is_number = (vf_bits)(x == x);
    const vf_bits added = ((bits >> 16 & 1) + 0x7fff) & is_number, quiet = 0x400000 & ~is_number;
    vf_store_halves(out, (vf)(((bits + added) | quiet) >> 16));
}

static void narrow_bf16_body(void *out, const float *x, size_t n) {
    narrow_loop(out, x, n, narrow_bf16);
}

#include "measure/kernels/body_mixture.h"
#include "measure/kernels/body_pairs.h"

static void fill_body(ent_kernels *kernels) {
    kernels->max = max_body;
    kernels->count_greater = count_greater_body;
    kernels->count_equal = count_equal_body;
    kernels->find_greater = find_greater_body;
    kernels->copy_greater = copy_greater_body;
    kernels->find_between = find_between_body;
    kernels->sift = sift_body;
    kernels->masses = masses_body;
    kernels->moments = moments_body;
    kernels->keep = keep_body;
    kernels->sums = sums_body;
    kernels->lanes = lanes_body;
    kernels->lanes_values = lanes_values_body;
    kernels->gradient = gradient_body;
    kernels->stream_end = stream_end_body;
    kernels->gradient_lanes = gradient_lanes_body;
    kernels->soft_cap = soft_cap_body;
    kernels->pair_sums = pair_sums_body;
    kernels->pair_gradient = pair_gradient_body;
    kernels->mixture_sums = mixture_sums_body;
    kernels->narrow[ENTROL_F16] = narrow_f16_body;
    kernels->narrow[ENTROL_BF16] = narrow_bf16_body;
    kernels->widen[ENTROL_F32] = widen_f32_body;
    kernels->widen[ENTROL_F16] = widen_f16_body;
    kernels->widen[ENTROL_BF16] = widen_bf16_body;
}
