/* entrol_sum: 128-bit fixed point in two words, with 64 bits after the point. Addition of integers has no order. */
#include <entrol/base.h>

#include <math.h>

#define LIMIT 0x1p62 /* of one term */

/* |term| < 2^62 to the nearest multiple of 2^-64: the whole part, and the fraction times 2^64. */
static void to_fixed(double term, int64_t *high, uint64_t *low) {
    const double whole = floor(term);
    const double fraction = ldexp(term - whole, 64); /* exact: below 2^64, a multiple of the term's last bit */
    const double rounded = nearbyint(fraction);
    *high = (int64_t)whole;
    if (rounded >= 0x1p64) {
        *high += 1;
        *low = 0;
    } else {
        *low = (uint64_t)rounded;
    }
}

static void add(entrol_sum *sum, int64_t high, uint64_t low) {
    const uint64_t before = sum->low;
    sum->low += low;
    sum->high = (int64_t)((uint64_t)sum->high + (uint64_t)high + (sum->low < before));
}

void entrol_sum_add(entrol_sum *sum, double term) {
    if (!(fabs(term) < LIMIT)) {
        sum->n_bad++;
        return;
    }
    int64_t high;
    uint64_t low;
    to_fixed(term, &high, &low);
    add(sum, high, low);
    sum->n++;
}

void entrol_sum_merge(entrol_sum *sum, const entrol_sum *other) {
    add(sum, other->high, other->low);
    sum->n += other->n;
    sum->n_bad += other->n_bad;
}

/* The magnitude's leading 64 bits with a sticky last bit, so that the conversion to double rounds once. */
double entrol_sum_value(const entrol_sum *sum) {
    const int negative = sum->high < 0;
    uint64_t high = (uint64_t)sum->high, low = sum->low;
    if (negative) {
        low = 0 - low;
        high = ~high + (low == 0);
    }
    int exponent = -64;
    if (high) {
        int shift = 0;
        while (shift < 64 && high >> shift)
            shift++;
        const uint64_t lost = shift == 64 ? low : low & (((uint64_t)1 << shift) - 1);
        low = shift == 64 ? high : high << (64 - shift) | low >> shift;
        low |= lost != 0;
        exponent += shift;
    }
    const double value = ldexp((double)low, exponent);
    return negative ? -value : value;
}
