/* The kernels of objective_kernels.h once; each instruction set's file includes this after it has defined
 *   ENT_LANES_OF_DOUBLE, ENT_OBJECTIVE_TABLE   how many doubles a vector has, and the name of the table
 *   ent_vd, ent_vi, ent_vu, ent_vf             a vector of doubles, and of as many integers and floats
 *   ent_v32, ent_vf32                          of twice as many integers and floats of 32 bits
 *   ent_min, ent_max, ent_add                  of two vectors; the last on other adders than +, if there are
 *   ent_choose_less(a, b, x, y)                x where a < b, else y
 *   ent_count_less(n, a, b, c, d)              n + 1 where a < b and c < d
 *   ent_or_difference(a, b, c)                 a | (b ^ c)
 *   ent_any(a)                                 1 if any bit is set
 *   ent_widen(a)                               floats as doubles
 *   ent_max_32, ent_min_u32                    of two ent_v32, as signed and as unsigned integers
 *   ent_stream_line(out, x), ent_stream_end()  16 floats past the caches to 64 aligned bytes; after the last
 * Loops without vectors are left to the compiler, which knows how long they are. */

static inline ent_vd load_doubles(const double *x) {
    ent_vd loaded;
    memcpy(&loaded, x, sizeof loaded);
    return loaded;
}

static inline ent_vf load_floats(const float *x) {
    ent_vf loaded;
    memcpy(&loaded, x, sizeof loaded);
    return loaded;
}

static inline ent_v32 load_patterns(const float *x) {
    ent_v32 loaded;
    memcpy(&loaded, x, sizeof loaded);
    return loaded;
}

static inline ent_vf32 load_wide_floats(const float *x) {
    ent_vf32 loaded;
    memcpy(&loaded, x, sizeof loaded);
    return loaded;
}

static inline void store_doubles(double *out, ent_vd x) {
    memcpy(out, &x, sizeof x);
}

static inline uint64_t sum_lanes(ent_vi x) {
    uint64_t total = 0;
    for (size_t lane = 0; lane < ENT_LANES_OF_DOUBLE; lane++)
        total += (uint64_t)x[lane];
    return total;
}

static uint64_t count_body(const uint8_t *mask, size_t n) {
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += mask[i] != 0;
    return total;
}

static void take_body(float *restrict out, const float *restrict x, const uint8_t *restrict mask, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = !mask || mask[i] ? x[i] : 0;
    for (size_t i = n; i < ENT_BLOCK; i++)
        out[i] = 0;
}

static void load_body(double *restrict out, const float *restrict x) {
    for (size_t i = 0; i < ENT_BLOCK; i++)
        out[i] = (double)x[i];
}

/* x = k ln 2 + f, |f| <= ln 2 / 2, and e^f = 1 + f + f^2 q(f): q is the series to f^6 / 8!, 2e-10 of e^f. What
 * e^x is beyond 1 + x is f^2 q for k = 0, without a difference of two numbers near 1. In two loops, since the machine
 * has room for few numbers that wait as long as one does for all of it. */
static void exponential_body(double *ratio, double *excess, const double *x) {
    for (size_t i = 0; i < ENT_BLOCK; i += ENT_LANES_OF_DOUBLE) {
        const ent_vd bounded = ent_max(load_doubles(x + i), (ent_vd){0} - 708);
        const ent_vd shifted = bounded * 0x1.71547652b82fep+0 + 0x1.8p52; /* log2 e; k is in the low bits */
        store_doubles(ratio + i, shifted);
        store_doubles(excess + i, bounded - (shifted - 0x1.8p52) * 0x1.62e42fefa39efp-1);
    }
    for (size_t i = 0; i < ENT_BLOCK; i += ENT_LANES_OF_DOUBLE) {
        const ent_vd shifted = load_doubles(ratio + i), f = load_doubles(excess + i), f2 = f * f, f4 = f2 * f2;
        const ent_vd k = shifted - 0x1.8p52;
        const ent_vd q0 = (f * (1.0 / 6) + 1.0 / 2) + (f * (1.0 / 120) + 1.0 / 24) * f2;
        const ent_vd q4 = (f * (1.0 / 5040) + 1.0 / 720) + f2 * (1.0 / 40320);
        const ent_vd beyond = f2 * (q0 + q4 * f4), of_f = 1.0 + (f + beyond);
        const ent_vd e = (ent_vd)((ent_vu)of_f + ((ent_vu)shifted << 52));
        store_doubles(ratio + i, e);
        store_doubles(excess + i, ent_choose_less(k * k, (ent_vd){0} + 0.5, beyond, (e - 1) - load_doubles(x + i)));
    }
}

static void ratios_body(double *log_ratio, double *ratio, double *excess, const float *p, const float *q) {
    for (size_t i = 0; i < ENT_BLOCK; i += ENT_LANES_OF_DOUBLE)
        store_doubles(log_ratio + i, ent_widen(load_floats(p + i)) - ent_widen(load_floats(q + i)));
    exponential_body(ratio, excess, log_ratio);
}

/* Where clip(r) A is the lesser of the two, the clip holds. A dual clip holds what is below c A, A < 0. */
static inline __attribute__((always_inline)) void clip_block(double *term, double *slope, ent_clip_counts *counts,
                                                             const double *ratio, const double *advantage,
                                                             const ent_clip *clip, int has_dual) {
    const ent_vd zero = {0}, low = zero + clip->low, high = zero + clip->high;
    const ent_vd dual = zero + (has_dual ? clip->dual : 0);
    ent_vi n_low = {0}, n_high = {0}, n_dual = {0};
    for (size_t i = 0; i < ENT_BLOCK; i += ENT_LANES_OF_DOUBLE) {
        const ent_vd r = load_doubles(ratio + i), a = load_doubles(advantage + i);
        const ent_vd own = r * a, bounded = ent_min(ent_max(r, low), high) * a;
        ent_vd least = ent_min(bounded, own), slopes = ent_choose_less(bounded, own, zero, zero - own);
        n_high = ent_count_less(n_high, bounded, own, zero, a);
        n_low = ent_count_less(n_low, bounded, own, a, zero);
        if (has_dual) {
            const ent_vd most = ent_choose_less(a, zero, dual * a, least);
            n_dual = ent_count_less(n_dual, least, most, a, zero);
            slopes = ent_choose_less(least, most, zero, slopes);
            least = ent_max(least, most);
        }
        store_doubles(term + i, zero - least);
        store_doubles(slope + i, slopes);
    }
    counts->low += sum_lanes(n_low);
    counts->high += sum_lanes(n_high);
    counts->dual += sum_lanes(n_dual);
}

static void clipped_body(double *term, double *slope, ent_clip_counts *counts, const double *ratio,
                         const double *advantage, const ent_clip *clip) {
    if (clip->dual < INFINITY)
        clip_block(term, slope, counts, ratio, advantage, clip, 1);
    else
        clip_block(term, slope, counts, ratio, advantage, clip, 0);
}

static void value_plain_body(double *restrict error, double *restrict term, double *restrict slope,
                             const float *restrict value, const float *restrict target) {
    for (size_t i = 0; i < ENT_BLOCK; i++) {
        const double difference = (double)value[i] - (double)target[i];
        error[i] = -difference;
        term[i] = difference * difference;
        slope[i] = 2 * difference;
    }
}

/* The greater of two squares; where they are equal, half of each one's derivative, as torch.max has it. */
static void value_body(double *restrict error, double *restrict term, double *restrict slope, const float *value,
                       const float *old_value, const float *target, const ent_value_clip *clip) {
    if (!(clip->range < INFINITY)) {
        value_plain_body(error, term, slope, value, target);
        return;
    }
    const ent_vd zero = {0}, range = zero + clip->range;
    for (size_t i = 0; i < ENT_BLOCK; i += ENT_LANES_OF_DOUBLE) {
        const ent_vd v = ent_widen(load_floats(value + i)), old = ent_widen(load_floats(old_value + i)),
                     r = ent_widen(load_floats(target + i));
        const ent_vd move = v - old, held = ent_min(ent_max(move, -range), range);
        const ent_vd own = v - r, other = old + held - r, square = own * own, other_square = other * other;
        const ent_vi is_free = held == move;
        const ent_vd own_slope = 2 * own, other_slope = (ent_vd)(is_free & (ent_vi)(2 * other));
        const ent_vd half = 0.5 * own_slope + 0.5 * other_slope;
        const ent_vd slope_below = ent_choose_less(other_square, square, own_slope, half);
        store_doubles(error + i, zero - own);
        store_doubles(term + i, ent_max(other_square, square));
        store_doubles(slope + i, ent_choose_less(square, other_square, other_slope, slope_below));
    }
}

/* Whole lines past the caches; what is left of the last one waits for the next block. A line of which a block before
 * this stream's first has a part is written through the caches. */
static void stream_lines(float *out, const float *x, size_t n, ent_stream *stream) {
    float lines[ENT_BLOCK + 16];
    memcpy(lines, stream->rest, stream->n * sizeof *x);
    memcpy(lines + stream->n, x, n * sizeof *x);
    float *to = out - stream->n; /* the beginning of a line, but for the first block */
    const size_t n_all = stream->n + n, head = (64 - ((uintptr_t)to & 63)) % 64 / sizeof *to;
    size_t i = head < n_all ? head : n_all;
    memcpy(to, lines, i * sizeof *to);
    for (; i + 16 <= n_all; i += 16)
        ent_stream_line(to + i, lines + i);
    stream->n = n_all - i;
    memcpy(stream->rest, lines + i, stream->n * sizeof *x);
}

static void store_body(float *out, const double *x, double scale, size_t n, ent_stream *stream) {
    float rounded[ENT_BLOCK];
    float *to = n == ENT_BLOCK && !stream ? out : rounded;
    for (size_t i = 0; i < ENT_BLOCK; i++)
        to[i] = (float)(x[i] * scale);
    if (stream)
        stream_lines(out, rounded, n, stream);
    else if (to == rounded)
        memcpy(out, rounded, n * sizeof *out);
}

static void fill_body(float *out, float x, size_t n, ent_stream *stream) {
    float same[ENT_BLOCK];
    for (size_t i = 0; i < ENT_BLOCK; i++)
        same[i] = x;
    if (stream)
        stream_lines(out, same, n, stream);
    else
        memcpy(out, same, n * sizeof *out);
}

static void stream_end_body(float *end, ent_stream *stream) {
    memcpy(end - stream->n, stream->rest, stream->n * sizeof *end);
    stream->n = 0;
    ent_stream_end();
}

/* Exact sums. A term is added to a number so large that this rounds it to a multiple of 2^-20; what is left, at most
 * 2^-21, is rounded to one of 2^-64 by another such number, whose patterns hold these multiples beside a constant.
 * Where a sum leaves the first number's exponent, its terms are added one by one. */
static const double coarse_shift = 0x1.8p32;
static const double fine_shift = 0x1.8p-12;

typedef struct ent_lane_sums {
    ent_vd coarse;
    ent_vu fine;
    ent_vi exponents;
} ent_lane_sums;

static inline ent_vi bits_of_constant(double constant) {
    int64_t bits;
    memcpy(&bits, &constant, sizeof bits);
    return (ent_vi){0} + bits;
}

static inline ent_lane_sums no_terms(void) {
    return (ent_lane_sums){(ent_vd){0} + coarse_shift, {0}, {0}};
}

static inline void add_terms(ent_lane_sums *sums, ent_vd terms) {
    const ent_vd coarse = ent_add(terms, sums->coarse);
    const ent_vd rest = ent_add(terms - (coarse - sums->coarse), (ent_vd){0} + fine_shift);
    sums->coarse = coarse;
    sums->fine += (ent_vu)rest;
    sums->exponents = ent_or_difference(sums->exponents, (ent_vi)coarse, bits_of_constant(coarse_shift));
}

/* Of n_terms a lane in each. 0 if a sum became too great, and then nothing is added. */
static inline int take_lanes(ent_running_sum *sum, const ent_lane_sums *a, const ent_lane_sums *b, int n_terms) {
    if (ent_any((a->exponents | b->exponents) >> 52))
        return 0;
    const ent_vu no_coarse = (ent_vu)bits_of_constant(coarse_shift), no_fine = (ent_vu)bits_of_constant(fine_shift);
    ent_vu coarse_sum, fine_sum;
    memcpy(&coarse_sum, sum->coarse, sizeof coarse_sum);
    memcpy(&fine_sum, sum->fine, sizeof fine_sum);
    coarse_sum += ((ent_vu)a->coarse - no_coarse) + ((ent_vu)b->coarse - no_coarse);
    fine_sum += (a->fine + b->fine) - no_fine * (uint64_t)(2 * n_terms);
    memcpy(sum->coarse, &coarse_sum, sizeof coarse_sum);
    memcpy(sum->fine, &fine_sum, sizeof fine_sum);
    if (++sum->n_blocks == ENT_BLOCKS_OF_SUM)
        ent_fold_sum(sum);
    return 1;
}

static void sum_body(ent_running_sum *sum, const double *x) {
    ent_lane_sums a = no_terms(), b = a;
    for (size_t i = 0; i < ENT_BLOCK; i += 2 * ENT_LANES_OF_DOUBLE) {
        add_terms(&a, load_doubles(x + i));
        add_terms(&b, load_doubles(x + i + ENT_LANES_OF_DOUBLE));
    }
    if (!take_lanes(sum, &a, &b, ENT_BLOCK / ENT_LANES_OF_DOUBLE / 2))
        ent_sum_add_each(&sum->folded, x, NULL, 1, ENT_BLOCK);
}

/* Two sums of floats that lose nothing: where numbers of 24 bits lie near each other, and not near 0. */
typedef struct ent_float_sums {
    ent_v32 greatest, least; /* patterns, the second less 1, so that 0 is the greatest of all */
    ent_vd a, b;
} ent_float_sums;

static inline int are_exact(const ent_float_sums *sums) {
    enum {
        N_A_LANE = ENT_BLOCK / (2 * ENT_LANES_OF_DOUBLE), /* 16, 32 or 64 */
        MOST_BITS_APART = 53 - 24 -
                          (N_A_LANE == 16   ? 4
                           : N_A_LANE == 32 ? 5
                                            : 6),
        LEAST_EXPONENT = 127 - 64 + 23, /* whose last bit is 2^-64 */
        BEYOND_EXPONENT = 127 + 31 - 7  /* 64 below it are below 2^31 */
    };
    const ent_v32 sign = (ent_v32){0} + INT32_MIN;
    const ent_v32 distance = sums->greatest - sums->least; /* 1 of zeros */
    return !ent_any((ent_vi)((distance > MOST_BITS_APART << 23) |
                             ((sums->least ^ sign) < (LEAST_EXPONENT << 23 ^ INT32_MIN)) |
                             (sums->greatest >= BEYOND_EXPONENT << 23)));
}

static inline ent_float_sums look_at_sizes(const float *x) {
    ent_float_sums s = {{0}, (ent_v32){0} - 1, {0}, {0}};
    for (size_t i = 0; i < ENT_BLOCK; i += 2 * ENT_LANES_OF_DOUBLE) {
        const ent_v32 size = load_patterns(x + i) & INT32_MAX;
        s.greatest = ent_max_32(s.greatest, size);
        s.least = ent_min_u32(s.least, size - 1);
    }
    return s;
}

static void sum_floats(ent_running_sum *sum, const float *x, ent_float_sums *s) {
    if (!are_exact(s)) {
        double wide[ENT_BLOCK];
        load_body(wide, x);
        sum_body(sum, wide);
        return;
    }
    ent_vd c = {0}, d = {0}; /* four sums, so that none waits for itself; they are exact in any order */
    for (size_t i = 0; i < ENT_BLOCK; i += 4 * ENT_LANES_OF_DOUBLE) {
        s->a += ent_widen(load_floats(x + i));
        s->b += ent_widen(load_floats(x + i + ENT_LANES_OF_DOUBLE));
        c += ent_widen(load_floats(x + i + 2 * ENT_LANES_OF_DOUBLE));
        d += ent_widen(load_floats(x + i + 3 * ENT_LANES_OF_DOUBLE));
    }
    s->a += c;
    s->b += d;
    ent_lane_sums a = no_terms(), b = a;
    add_terms(&a, s->a);
    add_terms(&b, s->b);
    take_lanes(sum, &a, &b, 1);
}

static void look_body(ent_greatest *size, ent_running_sum *sum, const float *x) {
    ent_float_sums s = look_at_sizes(x);
    ent_v32 greatest;
    memcpy(&greatest, size->lanes, sizeof greatest);
    greatest = ent_max_32(greatest, s.greatest);
    memcpy(size->lanes, &greatest, sizeof greatest);
    if (sum)
        sum_floats(sum, x, &s);
}

static void look_at_difference_body(ent_greatest *difference, const float *x, const float *y) {
    ent_v32 greatest;
    memcpy(&greatest, difference->lanes, sizeof greatest);
    for (size_t i = 0; i < ENT_BLOCK; i += ENT_LANES_OF_DOUBLE * 2) {
        const ent_v32 first = (ent_v32)(load_wide_floats(x + i) - load_wide_floats(y + i));
        greatest = ent_max_32(greatest, first); /* patterns of negative floats are negative */
    }
    memcpy(difference->lanes, &greatest, sizeof greatest);
}

static inline __attribute__((always_inline)) void sum_scaled(ent_running_sum *sum, const double *x, const double *y,
                                                             double scale) {
    ent_lane_sums a = no_terms(), b = a;
    for (size_t i = 0; i < ENT_BLOCK; i += 2 * ENT_LANES_OF_DOUBLE) {
        const size_t next = i + ENT_LANES_OF_DOUBLE;
        add_terms(&a, scale * load_doubles(x + i) * load_doubles(y + i));
        add_terms(&b, scale * load_doubles(x + next) * load_doubles(y + next));
    }
    if (!take_lanes(sum, &a, &b, ENT_BLOCK / ENT_LANES_OF_DOUBLE / 2))
        ent_sum_add_each(&sum->folded, x, y, scale, ENT_BLOCK);
}

static void sum_products_body(ent_running_sum *sum, const double *x, const double *y) {
    sum_scaled(sum, x, y, 1);
}

static void sum_half_squares_body(ent_running_sum *sum, const double *x) {
    sum_scaled(sum, x, x, 0.5);
}

const ent_objective_kernels ENT_OBJECTIVE_TABLE = {
    .count = count_body,
    .take = take_body,
    .look = look_body,
    .look_at_difference = look_at_difference_body,
    .load = load_body,
    .exponential = exponential_body,
    .ratios = ratios_body,
    .clipped = clipped_body,
    .value = value_body,
    .store = store_body,
    .fill = fill_body,
    .stream_end = stream_end_body,
    .sum = sum_body,
    .sum_products = sum_products_body,
    .sum_half_squares = sum_half_squares_body,
};
