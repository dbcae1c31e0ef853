/* Order statistics by radix counting. A float's bits are mapped to an integer that sorts as the float does; three
 * passes count its leading 11, next 11 and last 10 bits, each only among the values that share the leading bits found
 * so far. Counts are integers, so any division of the work over threads gives the same result. */
#include "order.h"

#include "context.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum { N_PASSES = 3, MAX_BINS = 1 << 11, VALUES_PER_TASK = 1 << 18 };
static const int pass_shift[N_PASSES] = {21, 10, 0};
static const int pass_bits[N_PASSES] = {11, 11, 10};

/* Negative numbers have their order reversed. */
static uint32_t key_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (bits == 0x80000000) /* -0 counts as 0 */
        bits = 0;
    return bits ^ ((0 - (bits >> 31)) | 0x80000000);
}

static float value_of(uint32_t key) {
    const uint32_t bits = key & 0x80000000 ? key ^ 0x80000000 : ~key;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The values of one task. */
typedef struct span {
    size_t begin, end;
} span;

static span span_of(const ent_values *view, size_t task) {
    const size_t begin = task * VALUES_PER_TASK, left = view->n - begin;
    return (span){begin, begin + (left < VALUES_PER_TASK ? left : VALUES_PER_TASK)};
}

static size_t n_spans(const ent_values *view) {
    return view->n / VALUES_PER_TASK + (view->n % VALUES_PER_TASK != 0);
}

typedef struct census_call {
    const ent_values *view;
    atomic_size_t n_valid, n_nan, first_nan;
} census_call;

static void census_task(void *argument, size_t task) {
    census_call *call = argument;
    const span span = span_of(call->view, task);
    size_t n_valid = 0, n_nan = 0, first_nan = SIZE_MAX;
    for (size_t i = span.begin; i < span.end; i++) {
        const int counts = ent_values_has(call->view, i);
        n_valid += (size_t)counts;
        if (counts && isnan(call->view->values[i]) && n_nan++ == 0)
            first_nan = i;
    }
    atomic_fetch_add_explicit(&call->n_valid, n_valid, memory_order_relaxed);
    atomic_fetch_add_explicit(&call->n_nan, n_nan, memory_order_relaxed);
    size_t first = atomic_load_explicit(&call->first_nan, memory_order_relaxed);
    while (first_nan < first && !atomic_compare_exchange_weak(&call->first_nan, &first, first_nan))
        ;
}

ent_census ent_take_census(entrol_context *context, const ent_values *view) {
    census_call call = {.view = view};
    atomic_init(&call.n_valid, 0);
    atomic_init(&call.n_nan, 0);
    atomic_init(&call.first_nan, SIZE_MAX);
    ent_parallel_for(context, n_spans(view), census_task, &call);
    const size_t n_nan = atomic_load(&call.n_nan);
    return (ent_census){atomic_load(&call.n_valid), n_nan, n_nan ? atomic_load(&call.first_nan) : 0};
}

/* One pass: counts a digit of the keys whose digits above it are those of `prefix`. */
typedef struct count_call {
    const ent_values *view;
    int shift, bits;
    uint32_t prefix;
    atomic_uint_least32_t least_above; /* the least key whose digits above this one are greater than the prefix's */
    atomic_uint_least64_t bins[MAX_BINS];
} count_call;

static void count_task(void *argument, size_t task) {
    count_call *call = argument;
    const span span = span_of(call->view, task);
    const int shift = call->shift, above = shift + call->bits;
    const uint32_t digits = ((uint32_t)1 << call->bits) - 1;
    const uint64_t wanted = (uint64_t)call->prefix >> above; /* 64 bits: above may be 32 */
    uint32_t bins[MAX_BINS] = {0}, least = UINT32_MAX;
    for (size_t i = span.begin; i < span.end; i++) {
        if (!ent_values_has(call->view, i))
            continue;
        const uint32_t key = key_of(call->view->values[i]);
        const uint64_t leading = (uint64_t)key >> above;
        bins[(key >> shift) & digits] += leading == wanted;
        if (leading > wanted && key < least)
            least = key;
    }
    for (uint32_t digit = 0; digit <= digits; digit++)
        if (bins[digit])
            atomic_fetch_add_explicit(&call->bins[digit], bins[digit], memory_order_relaxed);
    uint32_t known = atomic_load_explicit(&call->least_above, memory_order_relaxed);
    while (least < known && !atomic_compare_exchange_weak(&call->least_above, &known, least))
        ;
}

static void count_digit(entrol_context *context, count_call *call, int pass) {
    call->shift = pass_shift[pass];
    call->bits = pass_bits[pass];
    atomic_init(&call->least_above, UINT32_MAX);
    for (int digit = 0; digit < MAX_BINS; digit++)
        atomic_init(&call->bins[digit], 0);
    ent_parallel_for(context, n_spans(call->view), count_task, call);
}

/* After the last pass: the key after the one whose bin is `digit`, of which `n_after` follow in the same bin. */
static uint32_t next_key(const count_call *call, uint32_t key, uint64_t n_after) {
    if (n_after)
        return key;
    const uint32_t digits = ((uint32_t)1 << call->bits) - 1;
    for (uint32_t digit = (key & digits) + 1; digit <= digits; digit++)
        if (call->bins[digit])
            return (key & ~digits) | digit;
    return call->least_above == UINT32_MAX ? key : call->least_above;
}

float ent_kth_smallest(entrol_context *context, float *next, const ent_values *view, uint64_t k) {
    count_call call = {.view = view};
    uint64_t n_in_bin = 0;
    for (int pass = 0; pass < N_PASSES; pass++) {
        uint32_t digit = 0;
        count_digit(context, &call, pass);
        while (k >= (n_in_bin = call.bins[digit])) {
            k -= n_in_bin;
            digit++;
        }
        call.prefix |= digit << call.shift;
    }
    if (next)
        *next = value_of(next_key(&call, call.prefix, n_in_bin - k - 1));
    return value_of(call.prefix);
}

/* NumPy's interpolation between neighbours. Beside an infinity it would give NaN (inf - inf): there it is the infinity
 * that every point between the two has, and between -inf and +inf the nearer. */
static double interpolate(double a, double b, double w) {
    if (w == 0 || a == b)
        return a;
    if (isinf(a) && isinf(b))
        return w < 0.5 ? a : b;
    if (isinf(a) || isinf(b))
        return isinf(a) ? a : b;
    return w < 0.5 ? a + w * (b - a) : b - (b - a) * (1 - w);
}

double ent_quantile(entrol_context *context, const ent_values *view, size_t n_valid, double q) {
    const double rank = q * (double)(n_valid - 1), below = floor(rank);
    float next;
    const float value = ent_kth_smallest(context, &next, view, (uint64_t)below);
    return interpolate((double)value, (double)next, rank - below);
}

static const char *bad_argument(entrol_context *context, const float *values, size_t n_values, const double *q,
                                size_t n_quantiles) {
    if (!context)
        return "context";
    if (!values && n_values)
        return "values";
    if (!q && n_quantiles)
        return "q";
    for (size_t j = 0; j < n_quantiles; j++)
        if (!(q[j] >= 0 && q[j] <= 1))
            return "q";
    return NULL;
}

entrol_status entrol_quantile(entrol_context *context, double *quantiles, entrol_diagnosis *diagnosis,
                              const float *values, const uint8_t *valid, size_t n_values, const double *q,
                              size_t n_quantiles) {
    const ent_values view = {values, valid, n_values};
    const char *bad = bad_argument(context, values, n_values, q, n_quantiles);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    const ent_census census = ent_take_census(context, &view);
    const int is_sound = census.n_valid && !census.n_nan;
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){0};
    if (diagnosis && !is_sound)
        *diagnosis = (entrol_diagnosis){.n_bad = census.n_valid ? census.n_nan : 1,
                                        .first_row = census.first_nan,
                                        .reason = census.n_valid ? ENTROL_REASON_NAN : ENTROL_REASON_EMPTY_SUPPORT};
    for (size_t j = 0; quantiles && j < n_quantiles; j++)
        quantiles[j] = is_sound ? ent_quantile(context, &view, census.n_valid, q[j]) : (double)NAN;
    return ENTROL_OK;
}
