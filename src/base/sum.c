/* entrol_sum: 128-bit fixed point in two words, with 64 bits after the point. Addition of integers has no order. */
#include <entrol/base.h>

#include <math.h>

/* A number of 128 bits in units of 2^-64. */
typedef struct fixed {
    uint64_t high, low;
} fixed;

/* n >> shift for shift in [1, 63], to nearest, ties to even. */
static uint64_t shift_right_rounded(uint64_t n, int shift) {
    const uint64_t half = (uint64_t)1 << (shift - 1), kept = n >> shift, lost = n - (kept << shift);
    return kept + (lost > half || (lost == half && (kept & 1)));
}

/* A size below 2^62 to the nearest multiple of 2^-64. In integers, so that the rounding mode does not matter. */
static fixed to_fixed(double size) {
    int exponent;
    const uint64_t fraction = (uint64_t)ldexp(frexp(size, &exponent), 53);
    const int shift = exponent - 53 + 64; /* size * 2^64 = fraction * 2^shift, fraction < 2^53 */
    if (shift >= 64)
        return (fixed){fraction << (shift - 64), 0};
    if (shift > 0)
        return (fixed){fraction >> (64 - shift), fraction << shift};
    if (shift == 0)
        return (fixed){0, fraction};
    return (fixed){0, shift < -53 ? 0 : shift_right_rounded(fraction, -shift)};
}

static fixed negate(fixed number) {
    return (fixed){~number.high + (number.low == 0), 0 - number.low};
}

static void add(entrol_sum *sum, fixed number) {
    const uint64_t before = sum->low;
    sum->low += number.low;
    sum->high = (int64_t)((uint64_t)sum->high + number.high + (sum->low < before));
}

void entrol_sum_add(entrol_sum *sum, double term) {
    if (!(fabs(term) < 0x1p62)) {
        sum->n_bad++;
        return;
    }
    const fixed size = to_fixed(fabs(term));
    add(sum, term < 0 ? negate(size) : size);
    sum->n++;
}

void entrol_sum_merge(entrol_sum *sum, const entrol_sum *other) {
    const fixed number = {(uint64_t)other->high, other->low};
    const uint64_t n = other->n, n_bad = other->n_bad;
    add(sum, number);
    sum->n += n;
    sum->n_bad += n_bad;
}

/* The size's leading 64 bits with a sticky last bit, so that the conversion to double rounds once. */
double entrol_sum_value(const entrol_sum *sum) {
    const int negative = sum->high < 0;
    fixed size = {(uint64_t)sum->high, sum->low};
    if (negative)
        size = negate(size);
    int shift = 0;
    while (shift < 64 && size.high >> shift)
        shift++;
    uint64_t leading = size.low;
    if (shift) {
        const uint64_t lost = shift == 64 ? size.low : size.low << (64 - shift);
        leading = shift == 64 ? size.high : size.high << (64 - shift) | size.low >> shift;
        leading |= lost != 0;
    }
    const double value = ldexp((double)leading, shift - 64);
    return negative ? -value : value;
}
