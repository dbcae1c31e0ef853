/* The kernels of objective_kernels.h once; each instruction set's file includes this after it has defined
 *   ENT_LANES_OF_DOUBLE, ENT_OBJECTIVE_TABLE   how many doubles a vector has, and the name of the table
 *   ent_vd, ent_vi                             a vector of doubles, and of as many integers
 *   ent_min, ent_max, ent_add                  of two vectors; the last on other adders than +, if there are
 *   ent_choose_less(a, b, x, y)                x where a < b, else y
 *   ent_stream_line(out, x), ent_stream_end()  16 floats past the caches to 64 aligned bytes; after the last
 * Loops without vectors are left to the compiler, which knows how long they are. */

static inline ent_vd load_doubles(const double *x) {
    ent_vd loaded;
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

static inline int32_t pattern_of(float x) {
    int32_t pattern;
    memcpy(&pattern, &x, sizeof pattern);
    return pattern;
}

static inline int32_t size_of(float x) {
    return pattern_of(x) & INT32_MAX;
}

static uint32_t greatest_size_body(const float *x, const uint8_t *mask, size_t n) {
    int32_t greatest = 0;
    if (mask)
        for (size_t i = 0; i < n; i++) {
            const int32_t size = mask[i] ? size_of(x[i]) : 0;
            greatest = size > greatest ? size : greatest;
        }
    else
        for (size_t i = 0; i < n; i++)
            greatest = size_of(x[i]) > greatest ? size_of(x[i]) : greatest;
    return (uint32_t)greatest;
}

static uint32_t greatest_difference_body(const float *x, const float *y, const uint8_t *mask, size_t n) {
    int32_t greatest = 0;
    if (mask)
        for (size_t i = 0; i < n; i++) {
            const int32_t pattern = mask[i] ? pattern_of(x[i] - y[i]) : 0;
            greatest = pattern > greatest ? pattern : greatest; /* those of negative floats are negative */
        }
    else
        for (size_t i = 0; i < n; i++) {
            const int32_t pattern = pattern_of(x[i] - y[i]);
            greatest = pattern > greatest ? pattern : greatest;
        }
    return (uint32_t)greatest;
}

static uint64_t count_body(const uint8_t *mask, size_t n) {
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += mask[i] != 0;
    return total;
}

static void load_body(double *out, const float *x, const uint8_t *mask, size_t n) {
    if (n < ENT_BLOCK || mask) {
        float padded[ENT_BLOCK] = {0};
        for (size_t i = 0; i < n; i++)
            padded[i] = !mask || mask[i] ? x[i] : 0;
        for (size_t i = 0; i < ENT_BLOCK; i++)
            out[i] = (double)padded[i];
        return;
    }
    for (size_t i = 0; i < ENT_BLOCK; i++)
        out[i] = (double)x[i];
}

static void subtract_body(double *restrict out, const double *x, const double *y) {
    for (size_t i = 0; i < ENT_BLOCK; i++)
        out[i] = x[i] - y[i];
}

/* x = k ln 2 + f, |f| <= ln 2 / 2, and e^f = 1 + f + f^2 q(f): q is the series to f^6 / 8!, 2e-10 of e^f. What
 * e^x is beyond 1 + x is f^2 q for k = 0, without a difference of two numbers near 1. */
static void exponential_body(double *ratio, double *excess, const double *x) {
    for (size_t i = 0; i < ENT_BLOCK; i += ENT_LANES_OF_DOUBLE) {
        const ent_vd given = load_doubles(x + i), bounded = ent_max(given, (ent_vd){0} - 708);
        const ent_vd shifted = bounded * 0x1.71547652b82fep+0 + 0x1.8p52; /* log2 e; k is in the low bits */
        const ent_vd k = shifted - 0x1.8p52;
        const ent_vd f = bounded - k * 0x1.62e42fefa39efp-1;
        const ent_vd f2 = f * f, f4 = f2 * f2;
        const ent_vd q0 = (f * (1.0 / 6) + 1.0 / 2) + (f * (1.0 / 120) + 1.0 / 24) * f2;
        const ent_vd q4 = (f * (1.0 / 5040) + 1.0 / 720) + f2 * (1.0 / 40320);
        const ent_vd q = q0 + q4 * f4;
        const ent_vd beyond = f2 * q, of_f = 1.0 + (f + beyond);
        const ent_vd e = (ent_vd)((ent_vi)of_f + ((ent_vi)shifted << 52));
        store_doubles(ratio + i, e);
        store_doubles(excess + i, ent_choose_less(k * k, (ent_vd){0} + 0.5, beyond, (e - 1) - given));
    }
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
        const ent_vi is_held = bounded < own, is_high = is_held & (a > zero);
        ent_vd least = ent_min(bounded, own), slopes = ent_choose_less(bounded, own, zero, zero - own);
        n_high -= is_high;
        n_low -= is_held;
        if (has_dual) {
            const ent_vd most = ent_choose_less(a, zero, dual * a, least);
            n_dual -= least < most;
            slopes = ent_choose_less(least, most, zero, slopes);
            least = ent_max(least, most);
        }
        store_doubles(term + i, zero - least);
        store_doubles(slope + i, slopes);
    }
    counts->low += sum_lanes(n_low) - sum_lanes(n_high);
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

static void value_plain_body(double *restrict error, double *restrict term, double *restrict slope, const double *value,
                             const double *target) {
    for (size_t i = 0; i < ENT_BLOCK; i++) {
        const double difference = value[i] - target[i];
        error[i] = -difference;
        term[i] = difference * difference;
        slope[i] = 2 * difference;
    }
}

/* The greater of two squares; where they are equal, half of each one's derivative, as torch.max has it. */
static void value_body(double *restrict error, double *restrict term, double *restrict slope, const double *value,
                       const double *old_value, const double *target, const ent_value_clip *clip) {
    if (!(clip->range < INFINITY)) {
        value_plain_body(error, term, slope, value, target);
        return;
    }
    const ent_vd zero = {0}, range = zero + clip->range;
    for (size_t i = 0; i < ENT_BLOCK; i += ENT_LANES_OF_DOUBLE) {
        const ent_vd v = load_doubles(value + i), old = load_doubles(old_value + i), r = load_doubles(target + i);
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

/* Exact sums in two integers a lane. A term is rounded to a multiple of 2^-20, by adding a number so large that this is
 * its last place; what is left, at most 2^-21, to one of 2^-64. The patterns of the two sums hold these multiples
 * beside a constant. Terms of 2^31 and more make another exponent, and are added one by one. */
static const double coarse_shift = 0x1.8p32;
static const double fine_shift = 0x1.8p-12;

typedef struct ent_lane_sums {
    ent_vi coarse, fine, exponents;
} ent_lane_sums;

static inline ent_vi bits_of_constant(double constant) {
    int64_t bits;
    memcpy(&bits, &constant, sizeof bits);
    return (ent_vi){0} + bits;
}

static inline void add_terms(ent_lane_sums *sums, ent_vd terms) {
    const ent_vd shifted = ent_add(terms, (ent_vd){0} + coarse_shift);
    const ent_vd rest = ent_add(terms - (shifted - coarse_shift), (ent_vd){0} + fine_shift);
    sums->coarse += (ent_vi)shifted;
    sums->fine += (ent_vi)rest;
    sums->exponents |= (ent_vi)shifted ^ bits_of_constant(coarse_shift);
}

/* 0 if a term was too great, and then nothing is added. */
static inline int take_lanes(ent_running_sum *sum, const ent_lane_sums *a, const ent_lane_sums *b) {
    const ent_vi exponents = (a->exponents | b->exponents) >> 52;
    int64_t too_great = 0;
    for (size_t lane = 0; lane < ENT_LANES_OF_DOUBLE; lane++)
        too_great |= exponents[lane];
    if (too_great)
        return 0;
    ent_vi coarse_sum, fine_sum;
    memcpy(&coarse_sum, sum->coarse, sizeof coarse_sum);
    memcpy(&fine_sum, sum->fine, sizeof fine_sum);
    coarse_sum += a->coarse + b->coarse;
    fine_sum += a->fine + b->fine;
    memcpy(sum->coarse, &coarse_sum, sizeof coarse_sum);
    memcpy(sum->fine, &fine_sum, sizeof fine_sum);
    if (++sum->n_blocks == ENT_BLOCKS_OF_SUM)
        ent_fold_sum(sum);
    return 1;
}

static void sum_body(ent_running_sum *sum, const double *x) {
    ent_lane_sums a = {{0}, {0}, {0}}, b = a;
    for (size_t i = 0; i < ENT_BLOCK; i += 2 * ENT_LANES_OF_DOUBLE) {
        add_terms(&a, load_doubles(x + i));
        add_terms(&b, load_doubles(x + i + ENT_LANES_OF_DOUBLE));
    }
    if (!take_lanes(sum, &a, &b))
        ent_sum_add_each(&sum->folded, x, NULL, 1, ENT_BLOCK);
}

static void sum_products_body(ent_running_sum *sum, const double *x, const double *y, double scale) {
    ent_lane_sums a = {{0}, {0}, {0}}, b = a;
    for (size_t i = 0; i < ENT_BLOCK; i += 2 * ENT_LANES_OF_DOUBLE) {
        const size_t next = i + ENT_LANES_OF_DOUBLE;
        add_terms(&a, scale * load_doubles(x + i) * load_doubles(y + i));
        add_terms(&b, scale * load_doubles(x + next) * load_doubles(y + next));
    }
    if (!take_lanes(sum, &a, &b))
        ent_sum_add_each(&sum->folded, x, y, scale, ENT_BLOCK);
}

const ent_objective_kernels ENT_OBJECTIVE_TABLE = {
    .greatest_size = greatest_size_body,
    .greatest_difference = greatest_difference_body,
    .count = count_body,
    .load = load_body,
    .subtract = subtract_body,
    .exponential = exponential_body,
    .clipped = clipped_body,
    .value = value_body,
    .store = store_body,
    .fill = fill_body,
    .stream_end = stream_end_body,
    .sum = sum_body,
    .sum_products = sum_products_body,
};
