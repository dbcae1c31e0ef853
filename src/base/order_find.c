/* Ranks among many values. A sorted sample says between which two values a wanted rank must lie; one pass counts what
 * is below them and at them and keeps what is between, and the rest is a selection among that little (the idea of Floyd
 * and Rivest's SELECT, CACM 1975). Where that fails, as it can be made to, counting the values' leading bits finds the
 * rank in three passes.
 *
 * Counts are all that the ranks of a comm tell each other, and always as many: they take a sample also of a few values,
 * and count where one process would know better, so that what they exchange depends neither on the number of values nor
 * on the values.
 *
 * Counting: a float's bits are mapped to an integer that sorts as the float does; three passes count its leading 11,
 * next 11 and last 10 bits, each only among the values that share the leading bits found so far. */
#include "order.h"

#include "context.h"

#include "measure/kernels/kernels.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum { N_PASSES = 3, MAX_BINS = 1 << 11, VALUES_PER_TASK = 1 << 18 };
static const int pass_shift[N_PASSES] = {21, 10, 0};
static const int pass_bits[N_PASSES] = {11, 11, 10};

/* Values from which on a sample is worth its time, and how many it has. */
enum { FEW_VALUES = 1 << 17, SAMPLE_SIZE = 1 << 15 };

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

/* --- Passes over a source --- */

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

entrol_status ent_visit(entrol_context *context, const ent_source *source, ent_visitor visitor, void *call) {
    ent_values part;
    if (!source->stream) {
        visitor(context, &source->memory, call);
        return ENTROL_OK;
    }
    for (uint64_t n = 0;; n += part.n) {
        part = (ent_values){NULL, NULL, 0};
        if (source->stream->read(source->stream->user, &part.values, &part.valid, &part.n) != 0)
            return ENTROL_ERROR_READ;
        if (part.n == 0 && *source->n_streamed == UINT64_MAX)
            *source->n_streamed = n;
        if (part.n == 0)
            return n == *source->n_streamed ? ENTROL_OK : ENTROL_ERROR_READ;
        visitor(context, &part, call);
    }
}

/* The number of the first NaN: of the lowest rank that has one, after all the values of the ranks below it. */
static entrol_status find_first_nan(entrol_context *context, uint64_t *first_nan, int has_nan, uint64_t n_own,
                                    uint64_t first_own) {
    const entrol_comm comm = ent_comm(context);
    uint64_t lowest = 0, counts[2];
    entrol_status status = ENTROL_OK;
    for (int bit = 63; bit >= 0 && status == ENTROL_OK; bit--) {
        if (comm.size - 1 < (uint64_t)1 << bit)
            continue;
        counts[0] = has_nan && comm.rank >> bit == lowest >> bit;
        status = ent_add_up(context, status, counts, 1);
        lowest |= (uint64_t)(counts[0] == 0) << bit;
    }
    counts[0] = comm.rank < lowest ? n_own : comm.rank == lowest ? first_own : 0;
    status = status == ENTROL_OK ? ent_add_up(context, status, counts, 1) : status;
    *first_nan = counts[0];
    return status;
}

/* --- By counting --- */

/* One pass: counts a digit of the keys whose digits above it are those of `prefix`. */
typedef struct count_call {
    const ent_values *part;
    int shift, bits;
    uint32_t prefix;
    atomic_uint_least64_t bins[MAX_BINS];
} count_call;

static void count_task(void *argument, size_t task) {
    count_call *call = argument;
    const span span = span_of(call->part, task);
    const int shift = call->shift, above = shift + call->bits;
    const uint32_t digits = ((uint32_t)1 << call->bits) - 1;
    const uint64_t wanted = (uint64_t)call->prefix >> above; /* 64 bits: above may be 32 */
    uint32_t bins[MAX_BINS] = {0};
    for (size_t i = span.begin; i < span.end; i++) {
        const float value = call->part->values[i];
        if (!ent_values_has(call->part, i) || isnan(value))
            continue;
        const uint32_t key = key_of(value);
        bins[(key >> shift) & digits] += (uint64_t)key >> above == wanted;
    }
    for (uint32_t digit = 0; digit <= digits; digit++)
        if (bins[digit])
            atomic_fetch_add_explicit(&call->bins[digit], bins[digit], memory_order_relaxed);
}

static void count_part(entrol_context *context, const ent_values *part, void *argument) {
    count_call *call = argument;
    call->part = part;
    ent_parallel_for(context, n_spans(part), count_task, call);
}

static entrol_status count_digit(entrol_context *context, uint64_t *bins, count_call *call, const ent_source *source,
                                 int pass) {
    call->shift = pass_shift[pass];
    call->bits = pass_bits[pass];
    for (int digit = 0; digit < MAX_BINS; digit++)
        atomic_init(&call->bins[digit], 0);
    const entrol_status status = ent_visit(context, source, count_part, call);
    const size_t n_bins = (size_t)1 << call->bits;
    for (size_t digit = 0; digit < n_bins; digit++)
        bins[digit] = atomic_load_explicit(&call->bins[digit], memory_order_relaxed);
    return ent_add_up(context, status, bins, n_bins);
}

/* The value of rank k, which there is; *n_after (may be NULL) more of the same follow. */
static entrol_status find_by_counting(entrol_context *context, float *value, uint64_t *n_after,
                                      const ent_source *source, uint64_t k) {
    count_call call = {.prefix = 0};
    uint64_t bins[MAX_BINS + 1], left = k;
    uint32_t digit = 0;
    for (int pass = 0; pass < N_PASSES; pass++) {
        const entrol_status status = count_digit(context, bins, &call, source, pass);
        if (status != ENTROL_OK)
            return status;
        const uint32_t last = ((uint32_t)1 << call.bits) - 1;
        for (digit = 0; digit < last && left >= bins[digit]; digit++)
            left -= bins[digit];
        call.prefix |= digit << call.shift;
    }
    *value = value_of(call.prefix);
    if (n_after)
        *n_after = bins[digit] > left ? bins[digit] - left - 1 : 0;
    return ENTROL_OK;
}

static int is_shared(entrol_context *context) {
    return ent_comm(context).size > 1;
}

static entrol_status rank_by_counting(entrol_context *context, ent_ranked *ranked, const ent_source *source,
                                      uint64_t n) {
    uint64_t n_after;
    const entrol_status status = find_by_counting(context, &ranked->value, &n_after, source, ranked->k);
    const uint64_t next = ranked->k + 1 < n ? ranked->k + 1 : ranked->k;
    ranked->next = ranked->value;
    if (status != ENTROL_OK || ((n_after || next == ranked->k) && !is_shared(context)))
        return status;
    return find_by_counting(context, &ranked->next, NULL, source, next);
}

/* --- A sample --- */

/* One value of each stretch of `every`; when there is no room for more, every second of them is left out. */
typedef struct sample {
    float *values; /* 2 * SAMPLE_SIZE */
    size_t n;
    uint64_t every;
    uint64_t seen, next; /* values that have gone by, and the number of the next one to take */
} sample;

/* A place in a stretch, the same each time, without a pattern that values may have, too (splitmix64). */
static uint64_t place_in(uint64_t stretch, uint64_t every) {
    uint64_t z = (stretch + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return stretch * every + (z ^ (z >> 31)) % every;
}

static void thin_out(sample *sample) {
    for (size_t i = 0; i < sample->n / 2; i++)
        sample->values[i] = sample->values[2 * i];
    sample->n /= 2;
    sample->every *= 2;
}

static void sample_part(entrol_context *context, const ent_values *part, void *argument) {
    sample *sample = argument;
    (void)context;
    while (sample->next - sample->seen < part->n) {
        const size_t i = (size_t)(sample->next - sample->seen);
        if (ent_values_has(part, i) && !isnan(part->values[i]))
            sample->values[sample->n++] = part->values[i];
        if (sample->n == 2 * SAMPLE_SIZE)
            thin_out(sample);
        sample->next = place_in(sample->next / sample->every + 1, sample->every);
    }
    sample->seen += part->n;
}

/* The same distance on all ranks: the greatest, which is another one's times a power of 2. Gives the size of all
 * samples together. */
static entrol_status even_out(entrol_context *context, sample *sample, uint64_t *n_sampled) {
    uint64_t counts[64 + 1] = {0};
    int level = 0;
    for (uint64_t every = sample->every; every > 1; every /= 2)
        level++;
    counts[level] = 1;
    entrol_status status = ent_add_up(context, ENTROL_OK, counts, 64);
    if (status != ENTROL_OK)
        return status;
    for (int greater = level + 1; greater < 64; greater++)
        for (; counts[greater] && level < greater; level++)
            thin_out(sample);
    uint64_t n[2] = {sample->n, 0};
    status = ent_add_up(context, ENTROL_OK, n, 1);
    *n_sampled = n[0];
    return status;
}

/* --- Sifting --- */

/* Brackets that one pass works on. */
enum { MOST_BRACKETS = 16 };

/* A pair of bounds that a rank is to lie between. */
typedef struct bracket {
    float low, high;
    float *inside; /* what is between them, of this rank of the comm */
    size_t capacity;
    atomic_uint_least64_t n_below, n_at_low, n_inside, n_at_high; /* n_inside may exceed the capacity */
} bracket;

typedef struct sift_call {
    const ent_kernels *kernels;
    const ent_values *part;
    uint64_t seen; /* values of earlier parts */
    bracket *brackets;
    size_t n_brackets;
    sample *sample; /* NULL: none to take */
    atomic_uint_least64_t n_valid, n_nan, first_nan;
} sift_call;

static void keep_inside(bracket *bracket, const float *inside, size_t n) {
    const uint64_t place = atomic_fetch_add_explicit(&bracket->n_inside, n, memory_order_relaxed);
    if (place + n <= bracket->capacity)
        memcpy(bracket->inside + place, inside, n * sizeof *inside);
}

/* Values that count, together: where they are, or in `memory`. */
static const float *valid_values(float *memory, size_t *n, const ent_values *part, size_t begin, size_t end) {
    const float *values = part->values + begin;
    *n = end - begin;
    if (!part->valid || !memchr(part->valid + begin, 0, *n))
        return values;
    size_t n_valid = 0;
    for (size_t i = 0; i < *n; i++) {
        memory[n_valid] = values[i];
        n_valid += part->valid[begin + i] != 0;
    }
    *n = n_valid;
    return memory;
}

/* Counts the NaNs among values that count; the first one's place is looked for only now. */
static void count_nans(sift_call *call, const float *values, size_t n, size_t begin, size_t end) {
    uint64_t n_nan = 0;
    for (size_t i = 0; i < n; i++)
        n_nan += isnan(values[i]) != 0;
    if (n_nan == 0)
        return;
    atomic_fetch_add_explicit(&call->n_nan, n_nan, memory_order_relaxed);
    size_t i = begin;
    while (i < end && !(ent_values_has(call->part, i) && isnan(call->part->values[i])))
        i++;
    uint64_t known = atomic_load_explicit(&call->first_nan, memory_order_relaxed);
    while (call->seen + i < known && !atomic_compare_exchange_weak(&call->first_nan, &known, call->seen + i))
        ;
}

/* What a task counts before it tells the others. */
typedef struct task_counts {
    uint64_t n_valid;
    uint64_t n_below[MOST_BRACKETS], n_at_low[MOST_BRACKETS], n_at_high[MOST_BRACKETS];
} task_counts;

/* At most ENT_CHUNK values. */
static void sift_chunk(sift_call *call, task_counts *counts, size_t begin, size_t end) {
    float memory[ENT_CHUNK], inside[ENT_CHUNK];
    size_t n;
    const float *values = valid_values(memory, &n, call->part, begin, end);
    ent_sifted sifted = {.n_below = 0};
    counts->n_valid += n;
    if (call->n_brackets == 0) /* it tells whether there are NaNs, too */
        sifted = call->kernels->sift(inside, values, n, INFINITY, INFINITY);
    for (size_t j = 0; j < call->n_brackets; j++) {
        bracket *bracket = &call->brackets[j];
        sifted = call->kernels->sift(inside, values, n, bracket->low, bracket->high);
        counts->n_below[j] += sifted.n_below;
        counts->n_at_low[j] += sifted.n_upto_low - sifted.n_below;
        counts->n_at_high[j] += sifted.n_upto_high - sifted.n_below_high;
        if (sifted.n_inside)
            keep_inside(bracket, inside, sifted.n_inside);
    }
    if (sifted.has_nonfinite)
        count_nans(call, values, n, begin, end);
}

static void sift_task(void *argument, size_t task) {
    sift_call *call = argument;
    const span span = span_of(call->part, task);
    task_counts counts = {.n_valid = 0};
    for (size_t begin = span.begin; begin < span.end; begin += ENT_CHUNK)
        sift_chunk(call, &counts, begin, span.end - begin < ENT_CHUNK ? span.end : begin + ENT_CHUNK);
    atomic_fetch_add_explicit(&call->n_valid, counts.n_valid, memory_order_relaxed);
    for (size_t j = 0; j < call->n_brackets; j++) {
        bracket *bracket = &call->brackets[j];
        atomic_fetch_add_explicit(&bracket->n_below, counts.n_below[j], memory_order_relaxed);
        atomic_fetch_add_explicit(&bracket->n_at_low, counts.n_at_low[j], memory_order_relaxed);
        atomic_fetch_add_explicit(&bracket->n_at_high, counts.n_at_high[j], memory_order_relaxed);
    }
}

static void sift_part(entrol_context *context, const ent_values *part, void *argument) {
    sift_call *call = argument;
    call->part = part;
    if (call->sample)
        sample_part(context, part, call->sample);
    ent_parallel_for(context, n_spans(part), sift_task, call);
    call->seen += part->n;
}

/* Bytes of values that brackets keep at most. */
#define MOST_INSIDE ((size_t)64 << 20)

/* Between which of the sample's values each rank lies: four standard deviations of what a sample may err, and three
 * places. `n` is the number of values, as far as it is known. Gives how many values may be inside, at most. */
static entrol_status set_bracket(entrol_context *context, bracket *bracket, uint64_t *n_inside, const sample *sample,
                                 uint64_t n_sampled, const ent_ranked *ranked, uint64_t n) {
    const ent_source source = {.memory = {sample->values, NULL, sample->n}};
    const double share = (double)ranked->k / (double)n, size = (double)n_sampled;
    const double margin = 4 * sqrt(size * share * (1 - share)) + 3;
    const double low = floor(share * size - margin), high = ceil(share * size + margin);
    const int has_low = low >= 0, has_high = high < size, counts_both = is_shared(context);
    entrol_status status = ENTROL_OK;
    if (has_low || counts_both)
        status = find_by_counting(context, &bracket->low, NULL, &source, has_low ? (uint64_t)low : 0);
    if (status == ENTROL_OK && (has_high || counts_both))
        status = find_by_counting(context, &bracket->high, NULL, &source, has_high ? (uint64_t)high : 0);
    bracket->low = has_low ? bracket->low : -INFINITY;
    bracket->high = has_high ? bracket->high : INFINITY;
    *n_inside = (uint64_t)(3 * (margin + 1) / size * (double)n) + FEW_VALUES;
    return status;
}

/* Room for what is inside the brackets; without it their ranks are found by counting. */
static float *make_room(entrol_context *context, bracket *brackets, size_t n_brackets, uint64_t n_inside, size_t n) {
    const size_t most = MOST_INSIDE / sizeof(float) / n_brackets;
    size_t capacity = n_inside < most ? (size_t)n_inside : most;
    capacity = capacity < n ? capacity : n;
    float *memory = ent_allocate(context, n_brackets * capacity * sizeof *memory);
    for (size_t j = 0; j < n_brackets; j++) {
        brackets[j].inside = memory ? memory + j * capacity : NULL;
        brackets[j].capacity = memory ? capacity : 0;
    }
    return memory;
}

static void clear_bracket(bracket *bracket) {
    atomic_init(&bracket->n_below, 0);
    atomic_init(&bracket->n_at_low, 0);
    atomic_init(&bracket->n_inside, 0);
    atomic_init(&bracket->n_at_high, 0);
}

/* What a bracket found on all ranks. */
typedef struct found {
    uint64_t n_below, n_at_low, n_inside, n_at_high;
    int is_complete; /* all that is inside is there */
} found;

static entrol_status gather_counts(entrol_context *context, found *found, const bracket *bracket) {
    const uint64_t n_inside = atomic_load(&bracket->n_inside);
    uint64_t counts[6] = {atomic_load(&bracket->n_below),   atomic_load(&bracket->n_at_low), n_inside,
                          atomic_load(&bracket->n_at_high), n_inside > bracket->capacity,    0};
    const entrol_status status = ent_add_up(context, ENTROL_OK, counts, 5);
    found->n_below = counts[0];
    found->n_at_low = counts[1];
    found->n_inside = counts[2];
    found->n_at_high = bracket->low == bracket->high ? 0 : counts[3]; /* counted already */
    found->is_complete = counts[4] == 0;
    return status;
}

static void no_ranks(ent_ranked *ranked, size_t n_ranked, uint64_t n, const void *user) {
    (void)ranked;
    (void)n_ranked;
    (void)n;
    (void)user;
}

static entrol_status find_inside(entrol_context *context, ent_ranked *ranked, const bracket *bracket, uint64_t n) {
    const ent_source source = {.memory = {bracket->inside, NULL, (size_t)atomic_load(&bracket->n_inside)}};
    ent_census census;
    if (is_shared(context))
        return rank_by_counting(context, ranked, &source, n);
    return ent_find_ranks(context, &census, ranked, 1, &source, no_ranks, NULL);
}

/* Finds the ranks k and k + 1 (or the last) by what their bracket found; *is_found is 0 where it does not hold them. */
static entrol_status find_in_bracket(entrol_context *context, ent_ranked *ranked, int *is_found, const bracket *bracket,
                                     const found *found, uint64_t n) {
    const uint64_t first_inside = found->n_below + found->n_at_low, first_high = first_inside + found->n_inside;
    const uint64_t k = ranked->k, last = k + 1 < n ? k + 1 : k;
    const int begins_inside = k >= first_inside && k < first_high;
    const int has_inside = begins_inside || (last >= first_inside && last < first_high);
    ent_ranked inside = {.k = begins_inside ? k - first_inside : 0};
    entrol_status status = ENTROL_OK;
    *is_found = k >= found->n_below && last < first_high + found->n_at_high && (found->is_complete || !has_inside);
    if (*is_found && (has_inside || is_shared(context)))
        status = find_inside(context, &inside, bracket, found->n_inside);
    const float after = begins_inside && last > k ? inside.next : inside.value;
    ranked->value = k < first_inside ? bracket->low : begins_inside ? inside.value : bracket->high;
    ranked->next = last < first_inside ? bracket->low : last < first_high ? after : bracket->high;
    ranked->value += 0.0f; /* no -0 */
    ranked->next += 0.0f;
    return status;
}

/* --- The whole --- */

/* What a call knows. */
typedef struct search {
    entrol_context *context;
    const ent_source *source;
    sample sample;
    uint64_t n_sampled; /* of all ranks together */
    ent_census census;
} search;

/* One pass that also takes the census, and fills the sample where it is wanted. */
static entrol_status sift(search *search, bracket *brackets, size_t n_brackets, int takes_sample) {
    sift_call call = {.kernels = ent_kernels_for(entrol_context_cpu(search->context)),
                      .brackets = brackets,
                      .n_brackets = n_brackets,
                      .sample = takes_sample && search->sample.values ? &search->sample : NULL};
    atomic_init(&call.n_valid, 0);
    atomic_init(&call.n_nan, 0);
    atomic_init(&call.first_nan, UINT64_MAX);
    for (size_t j = 0; j < n_brackets; j++)
        clear_bracket(&brackets[j]);
    const entrol_status status = ent_visit(search->context, search->source, sift_part, &call);
    const uint64_t n_nan = atomic_load(&call.n_nan);
    uint64_t counts[3] = {atomic_load(&call.n_valid), n_nan, 0};
    const entrol_status told = ent_add_up(search->context, status, counts, 2);
    if (told != ENTROL_OK)
        return told;
    search->census = (ent_census){counts[0], counts[1], 0};
    return counts[1] ? find_first_nan(search->context, &search->census.first_nan, n_nan > 0, call.seen,
                                      atomic_load(&call.first_nan))
                     : ENTROL_OK;
}

/* At most MOST_BRACKETS ranks, in one pass and what little remains. */
static entrol_status find_group(search *search, ent_ranked *ranked, size_t n_ranked, uint64_t n_guess,
                                ent_set_ranks set_ranks, const void *user) {
    entrol_context *context = search->context;
    bracket brackets[MOST_BRACKETS];
    uint64_t n_inside = 0;
    entrol_status status = ENTROL_OK;
    for (size_t j = 0; j < n_ranked && status == ENTROL_OK; j++) {
        uint64_t n_expected;
        status =
            set_bracket(context, &brackets[j], &n_expected, &search->sample, search->n_sampled, &ranked[j], n_guess);
        n_inside = n_expected > n_inside ? n_expected : n_inside;
    }
    if (status != ENTROL_OK)
        return status;
    const size_t n_own = search->source->stream ? SIZE_MAX : search->source->memory.n;
    float *memory = make_room(context, brackets, n_ranked, n_inside, n_own);
    status = sift(search, brackets, n_ranked, 0);
    const uint64_t n = search->census.n_valid - search->census.n_nan;
    if (status == ENTROL_OK && n > 0)
        set_ranks(ranked, n_ranked, n, user);
    for (size_t j = 0; j < n_ranked && status == ENTROL_OK && n > 0; j++) {
        found found;
        int is_found = 0;
        status = gather_counts(context, &found, &brackets[j]);
        if (status == ENTROL_OK)
            status = find_in_bracket(context, &ranked[j], &is_found, &brackets[j], &found, n);
        if (status == ENTROL_OK && !is_found)
            status = rank_by_counting(context, &ranked[j], search->source, n);
    }
    ent_release(context, memory);
    return status;
}

/* Without a sample. */
static entrol_status find_each(search *search, ent_ranked *ranked, size_t n_ranked, ent_set_ranks set_ranks,
                               const void *user) {
    const uint64_t n = search->census.n_valid - search->census.n_nan;
    entrol_status status = ENTROL_OK;
    if (n == 0)
        return status;
    set_ranks(ranked, n_ranked, n, user);
    for (size_t j = 0; j < n_ranked && status == ENTROL_OK; j++)
        status = rank_by_counting(search->context, &ranked[j], search->source, n);
    return status;
}

/* Fills the sample, and guesses how many numbers there are: from the sample in memory, from a pass over a stream. */
static entrol_status take_sample(search *search, uint64_t *n_guess) {
    const size_t n_bytes = 2 * SAMPLE_SIZE * sizeof(float);
    sample *sample = &search->sample;
    const ent_values *memory = &search->source->memory;
    entrol_status status;
    if (search->source->stream) {
        sample->values = ent_allocate(search->context, n_bytes);
        status = sift(search, NULL, 0, 1);
        if (status == ENTROL_OK)
            status = even_out(search->context, sample, &search->n_sampled);
        *n_guess = search->census.n_valid - search->census.n_nan;
        return status;
    }
    uint64_t counts[2] = {memory->n, 0};
    status = ent_add_up(search->context, ENTROL_OK, counts, 1);
    if (counts[0] > SAMPLE_SIZE)
        sample->every = counts[0] / SAMPLE_SIZE;
    if (status != ENTROL_OK || (counts[0] < FEW_VALUES && !is_shared(search->context)))
        return status;
    sample->next = place_in(0, sample->every);
    sample->values = ent_allocate(search->context, n_bytes);
    if (sample->values)
        sample_part(search->context, memory, sample);
    counts[0] = sample->n;
    status = ent_add_up(search->context, status, counts, 1);
    search->n_sampled = counts[0];
    *n_guess = counts[0] * sample->every;
    return status;
}

entrol_status ent_find_ranks(entrol_context *context, ent_census *census, ent_ranked *ranked, size_t n_ranked,
                             const ent_source *source, ent_set_ranks set_ranks, const void *user) {
    search search = {.context = context, .source = source, .sample = {.every = 1}};
    uint64_t n_guess = 0;
    entrol_status status = take_sample(&search, &n_guess);
    const uint64_t n_least = is_shared(context) ? 1 : FEW_VALUES;
    if (status == ENTROL_OK && (n_guess < n_least || search.n_sampled == 0 || n_ranked == 0)) {
        if (!source->stream)
            status = sift(&search, NULL, 0, 0);
        if (status == ENTROL_OK)
            status = find_each(&search, ranked, n_ranked, set_ranks, user);
    } else if (status == ENTROL_OK) {
        set_ranks(ranked, n_ranked, n_guess, user);
        for (size_t j = 0; j < n_ranked && status == ENTROL_OK; j += MOST_BRACKETS) {
            const size_t n_left = n_ranked - j;
            status = find_group(&search, ranked + j, n_left < MOST_BRACKETS ? n_left : MOST_BRACKETS, n_guess,
                                set_ranks, user);
        }
    }
    ent_release(context, search.sample.values);
    *census = search.census;
    return status;
}
