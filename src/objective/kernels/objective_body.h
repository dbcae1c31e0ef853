/* The kernels of objective_kernels.h once: each instruction set's file includes this after the macros
 * ENT_LANES_OF_DOUBLE, how many doubles a vector has, and ENT_OBJECTIVE_TABLE, the name of its table. Loops over whole
 * blocks are left to the compiler, which knows how long they are. */

typedef double __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(double)))) ent_vd;
typedef int64_t __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(int64_t)))) ent_vi;

static inline ent_vd load_doubles(const double *x) {
    ent_vd loaded;
    memcpy(&loaded, x, sizeof loaded);
    return loaded;
}

static inline void store_doubles(double *out, ent_vd x) {
    memcpy(out, &x, sizeof x);
}

/* a where the mask is -1, b where it is 0. */
static inline ent_vd choose(ent_vi mask, ent_vd a, ent_vd b) {
    return (ent_vd)((mask & (ent_vi)a) | (~mask & (ent_vi)b));
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

/* x = k ln 2 + f, |f| <= ln 2 / 2, and e^f = 1 + f + f^2 q(f): q is the series to f^9 / 11!, 1e-14 of e^f. What
 * e^x is beyond 1 + x is f^2 q for k = 0, without a difference of two numbers near 1. */
static void exponential_body(double *ratio, double *excess, const double *x) {
    for (size_t i = 0; i < ENT_BLOCK; i += ENT_LANES_OF_DOUBLE) {
        const ent_vd given = load_doubles(x + i), least = (ent_vd){0} - 708;
        const ent_vd bounded = choose(given > least, given, least);
        const ent_vd shifted = bounded * 0x1.71547652b82fep+0 + 0x1.8p52; /* log2 e; k is in the low bits */
        const ent_vd k = shifted - 0x1.8p52;
        const ent_vd f = (bounded - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
        const ent_vd f2 = f * f, f4 = f2 * f2;
        const ent_vd q0 = (f * (1.0 / 6) + 1.0 / 2) + (f * (1.0 / 120) + 1.0 / 24) * f2;
        const ent_vd q4 = (f * (1.0 / 5040) + 1.0 / 720) + (f * (1.0 / 362880) + 1.0 / 40320) * f2;
        const ent_vd q8 = f * (1.0 / 39916800) + 1.0 / 3628800;
        const ent_vd q = q0 + (q4 + q8 * f4) * f4;
        const ent_vd beyond = f2 * q, of_f = 1.0 + (f + beyond);
        const ent_vd e = (ent_vd)((ent_vi)of_f + ((ent_vi)shifted << 52));
        store_doubles(ratio + i, e);
        store_doubles(excess + i, choose(k == 0, beyond, (e - 1) - given));
    }
}

static void clipped_body(double *term, double *slope, ent_clip_counts *counts, const double *ratio,
                         const double *advantage, const ent_clip *clip) {
    const ent_vd zero = {0}, low = zero + clip->low, high = zero + clip->high, dual = zero + clip->dual;
    ent_vi n_low = {0}, n_high = {0}, n_dual = {0};
    for (size_t i = 0; i < ENT_BLOCK; i += ENT_LANES_OF_DOUBLE) {
        const ent_vd r = load_doubles(ratio + i), a = load_doubles(advantage + i);
        const ent_vi is_high = (a > zero) & (r > high), is_low = (a < zero) & (r < low),
                     is_dual = (a < zero) & (r > dual);
        const ent_vd bounded = choose(is_high, high, choose(is_low, low, choose(is_dual, dual, r)));
        store_doubles(term + i, zero - bounded * a);
        store_doubles(slope + i, choose(is_high | is_low | is_dual, zero, zero - r * a));
        n_low -= is_low;
        n_high -= is_high;
        n_dual -= is_dual;
    }
    counts->low += sum_lanes(n_low);
    counts->high += sum_lanes(n_high);
    counts->dual += sum_lanes(n_dual);
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
        const ent_vd move = v - old, held = choose(move > range, range, choose(move < -range, -range, move));
        const ent_vd own = v - r, other = old + held - r, square = own * own, other_square = other * other;
        const ent_vd own_slope = 2 * own, other_slope = choose(held == move, 2 * other, zero);
        const ent_vd slope_below = choose(other_square < square, own_slope, 0.5 * own_slope + 0.5 * other_slope);
        store_doubles(error + i, zero - own);
        store_doubles(term + i, choose(other_square > square, other_square, square));
        store_doubles(slope + i, choose(other_square > square, other_slope, slope_below));
    }
}

static void store_body(float *out, const double *x, double scale, size_t n) {
    if (n == ENT_BLOCK)
        for (size_t i = 0; i < ENT_BLOCK; i++)
            out[i] = (float)(x[i] * scale);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(x[i] * scale);
}

static double greatest_body(const double *x) {
    ent_vd most = load_doubles(x);
    for (size_t i = ENT_LANES_OF_DOUBLE; i < ENT_BLOCK; i += ENT_LANES_OF_DOUBLE)
        most = choose(load_doubles(x + i) > most, load_doubles(x + i), most);
    double greatest = most[0];
    for (size_t lane = 1; lane < ENT_LANES_OF_DOUBLE; lane++)
        greatest = most[lane] > greatest ? most[lane] : greatest;
    return greatest;
}

/* Exact sums in two integers a lane. A term is rounded to a multiple of 2^-20, by adding a number so large that this is
 * its last place; what is left, at most 2^-21, to one of 2^-64. The patterns of the two sums hold these multiples
 * beside a constant. Terms of 2^31 and more make another exponent, and are added one by one. */
static const double coarse = 0x1.8p32;
static const double fine = 0x1.8p-12;

typedef struct ent_lane_sums {
    ent_vi coarse, fine, exponents;
} ent_lane_sums;

static inline ent_vi bits_of_constant(double constant) {
    int64_t bits;
    memcpy(&bits, &constant, sizeof bits);
    return (ent_vi){0} + bits;
}

static inline void add_terms(ent_lane_sums *sums, ent_vd terms) {
    const ent_vd shifted = terms + coarse;
    const ent_vd rest = (terms - (shifted - coarse)) + fine;
    sums->coarse += (ent_vi)shifted;
    sums->fine += (ent_vi)rest;
    sums->exponents |= (ent_vi)shifted ^ bits_of_constant(coarse);
}

/* 0 if a term was too great, and then nothing is added. */
static int take_lanes(entrol_sum *sum, const ent_lane_sums *a, const ent_lane_sums *b) {
    const ent_vi exponents = (a->exponents | b->exponents) >> 52;
    const ent_vi coarse_sum = a->coarse + b->coarse, fine_sum = a->fine + b->fine;
    uint64_t total = 0, rest = 0;
    int64_t too_great = 0;
    for (size_t lane = 0; lane < ENT_LANES_OF_DOUBLE; lane++) {
        total += (uint64_t)coarse_sum[lane];
        rest += (uint64_t)fine_sum[lane];
        too_great |= exponents[lane];
    }
    if (too_great)
        return 0;
    total -= ENT_BLOCK * (uint64_t)bits_of_constant(coarse)[0];
    rest -= ENT_BLOCK * (uint64_t)bits_of_constant(fine)[0];
    ent_sum_add_fixed(sum, (int64_t)total, (int64_t)rest);
    return 1;
}

static void sum_body(entrol_sum *sum, const double *x) {
    ent_lane_sums a = {{0}, {0}, {0}}, b = a;
    for (size_t i = 0; i < ENT_BLOCK; i += 2 * ENT_LANES_OF_DOUBLE) {
        add_terms(&a, load_doubles(x + i));
        add_terms(&b, load_doubles(x + i + ENT_LANES_OF_DOUBLE));
    }
    if (!take_lanes(sum, &a, &b))
        ent_sum_add_each(sum, x, NULL, 1, ENT_BLOCK);
}

static void sum_products_body(entrol_sum *sum, const double *x, const double *y, double scale) {
    ent_lane_sums a = {{0}, {0}, {0}}, b = a;
    for (size_t i = 0; i < ENT_BLOCK; i += 2 * ENT_LANES_OF_DOUBLE) {
        const size_t next = i + ENT_LANES_OF_DOUBLE;
        add_terms(&a, scale * load_doubles(x + i) * load_doubles(y + i));
        add_terms(&b, scale * load_doubles(x + next) * load_doubles(y + next));
    }
    if (!take_lanes(sum, &a, &b))
        ent_sum_add_each(sum, x, y, scale, ENT_BLOCK);
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
    .greatest = greatest_body,
    .sum = sum_body,
    .sum_products = sum_products_body,
};
