/* Order statistics by radix counting. A float's bits are mapped to an integer that sorts as the float does; three
 * passes count its leading 11, next 11 and last 10 bits, each only among the values that share the leading bits found
 * so far. */
#include "order.h"

#include "context.h"

#include <math.h>
#include <string.h>

enum { N_PASSES = 3, MAX_BINS = 1 << 11 };
static const int pass_shift[N_PASSES] = {21, 10, 0};
static const int pass_bits[N_PASSES] = {11, 11, 10};

/* Negative numbers have their order reversed; -0 counts as 0. */
static uint32_t key_of(float value) {
    uint32_t bits;
    value += 0.0f;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float value_of(uint32_t key) {
    const uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

size_t ent_count_valid(const ent_values *view, size_t *first_nan) {
    size_t n_valid = 0;
    *first_nan = view->n;
    for (size_t i = 0; i < view->n; i++) {
        if (!ent_values_has(view, i))
            continue;
        n_valid++;
        if (*first_nan == view->n && isnan(view->values[i]))
            *first_nan = i;
    }
    return n_valid;
}

/* Counts one digit of the keys whose digits above it are those of `prefix`. */
static void count_digit(uint64_t *bins, const ent_values *view, int pass, uint32_t prefix) {
    const int shift = pass_shift[pass], bits = pass_bits[pass];
    const uint32_t above = shift + bits == 32 ? 0 : ~(uint32_t)0 << (shift + bits);
    memset(bins, 0, sizeof *bins << bits);
    for (size_t i = 0; i < view->n; i++) {
        if (!ent_values_has(view, i))
            continue;
        const uint32_t key = key_of(view->values[i]);
        bins[(key >> shift) & ((1u << bits) - 1)] += ((key ^ prefix) & above) == 0;
    }
}

float ent_kth_smallest(const ent_values *view, uint64_t k) {
    uint64_t bins[MAX_BINS];
    uint32_t prefix = 0;
    for (int pass = 0; pass < N_PASSES; pass++) {
        uint32_t digit = 0;
        count_digit(bins, view, pass, prefix);
        while (k >= bins[digit])
            k -= bins[digit++];
        prefix |= digit << pass_shift[pass];
    }
    return value_of(prefix);
}

/* The linearly interpolated quantile, as NumPy and torch compute it from the two values beside the rank. */
static double quantile(const ent_values *view, size_t n_valid, double q) {
    const double rank = q * (double)(n_valid - 1), below = floor(rank), w = rank - below;
    const double a = (double)ent_kth_smallest(view, (uint64_t)below);
    if (w == 0)
        return a;
    const double b = (double)ent_kth_smallest(view, (uint64_t)below + 1);
    if (a == b)
        return a;
    return w < 0.5 ? a + w * (b - a) : b - (b - a) * (1 - w);
}

entrol_status entrol_quantile(entrol_context *context, double *quantiles, entrol_diagnosis *diagnosis,
                              const float *values, const uint8_t *valid, size_t n_values, const double *q,
                              size_t n_quantiles) {
    const ent_values view = {values, valid, n_values};
    if (!context || (!values && n_values) || (n_quantiles && (!q || !quantiles)))
        return ent_bad_argument(diagnosis, !context              ? "context"
                                           : !values && n_values ? "values"
                                           : q                   ? "quantiles"
                                                                 : "q");
    for (size_t j = 0; j < n_quantiles; j++)
        if (!(q[j] >= 0 && q[j] <= 1))
            return ent_bad_argument(diagnosis, "q");
    size_t first_nan;
    const size_t n_valid = ent_count_valid(&view, &first_nan);
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){0};
    if (diagnosis && (n_valid == 0 || first_nan < n_values))
        *diagnosis = (entrol_diagnosis){.n_bad = 1,
                                        .first_row = n_valid ? first_nan : 0,
                                        .reason = n_valid ? ENTROL_REASON_NAN : ENTROL_REASON_EMPTY_SUPPORT};
    for (size_t j = 0; j < n_quantiles; j++)
        quantiles[j] = n_valid && first_nan == n_values ? quantile(&view, n_valid, q[j]) : (double)NAN;
    return ENTROL_OK;
}
