/* n-grams by sorting. An n-gram is the pair of the number of its first n - 1 units and its last unit: sorted by these
 * 64 bits, equal ones stand side by side, in the order of the samples, and get the next number. */
#include "ngrams.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct gram {
    uint64_t key;
    uint32_t start, sample;
} gram;

typedef struct count {
    uint32_t matched[NGRAM_ORDERS]; /* n-grams that another sample has, each as often as the one with most of them */
    uint32_t distinct;              /* of the greatest order */
} count;

typedef struct work {
    const uint32_t *units;
    const size_t *starts;
    size_t n_samples;
    gram *grams, *spare;
    uint32_t *numbers; /* of the n-gram that starts at each unit */
    count *counts;     /* of each sample */
} work;

static size_t length_of(const work *work, size_t sample) {
    return work->starts[sample + 1] - work->starts[sample];
}

/* The number of n-grams of n units. */
static size_t grams_of(size_t n_units, size_t order) {
    return n_units < order ? 0 : n_units - order + 1;
}

/* --- Sorting --- */

/* By one byte of the keys, stable; false where all have the same one, and nothing is done. */
static bool sort_by_byte(gram *to, const gram *from, size_t n, size_t positions[256], int shift) {
    size_t sum = 0;
    if (positions[from[0].key >> shift & 255] == n)
        return false;
    for (size_t i = 0; i < 256; i++) {
        const size_t here = positions[i];
        positions[i] = sum;
        sum += here;
    }
    for (size_t i = 0; i < n; i++)
        to[positions[from[i].key >> shift & 255]++] = from[i];
    return true;
}

/* By key; of equal keys the order stays. */
static void sort_grams(work *work, size_t n) {
    size_t positions[8][256] = {{0}};
    for (size_t i = 0; i < n; i++)
        for (int byte = 0; byte < 8; byte++)
            positions[byte][work->grams[i].key >> 8 * byte & 255]++;
    for (int byte = 0; n > 0 && byte < 8; byte++)
        if (sort_by_byte(work->spare, work->grams, n, positions[byte], 8 * byte)) {
            gram *sorted = work->spare;
            work->spare = work->grams;
            work->grams = sorted;
        }
}

/* --- Counting --- */

/* All n-grams of an order, in the order of the samples: how many. */
static size_t list_grams(work *work, size_t order) {
    size_t n = 0;
    for (size_t s = 0; s < work->n_samples; s++)
        for (size_t i = 0; i < grams_of(length_of(work, s), order); i++) {
            const size_t at = work->starts[s] + i;
            const uint64_t head = order > 1 ? work->numbers[at] : 0;
            work->grams[n++] = (gram){head << 32 | work->units[at + order - 1], (uint32_t)at, (uint32_t)s};
        }
    return n;
}

static size_t run_of_sample(const gram *grams, size_t n) {
    size_t end = 1;
    while (end < n && grams[end].sample == grams[0].sample)
        end++;
    return end;
}

static size_t run_of_key(const gram *grams, size_t n) {
    size_t end = 1;
    while (end < n && grams[end].key == grams[0].key)
        end++;
    return end;
}

/* One n-gram, n times: a sample's count is clipped at the greatest of the others, which is the greatest of all but for
 * the sample that has it. */
static void take_gram(work *work, const gram *grams, size_t n, size_t order) {
    size_t most = 0, second = 0, run;
    uint32_t owner = 0;
    for (size_t i = 0; i < n; i += run) {
        run = run_of_sample(grams + i, n - i);
        second = run > most ? most : run > second ? run : second;
        owner = run > most ? grams[i].sample : owner;
        most = run > most ? run : most;
    }
    for (size_t i = 0; i < n; i += run) {
        count *count = &work->counts[grams[i].sample];
        run = run_of_sample(grams + i, n - i);
        const size_t others = grams[i].sample == owner ? second : most;
        count->matched[order - 1] += (uint32_t)(run < others ? run : others);
        count->distinct += order == NGRAM_ORDERS;
    }
}

/* The share of n-grams that are different, and what each sample has of them. */
static double count_order(work *work, size_t order) {
    const size_t n = list_grams(work, order);
    size_t n_distinct = 0, run;
    sort_grams(work, n);
    for (size_t i = 0; i < n; i += run, n_distinct++) {
        run = run_of_key(work->grams + i, n - i);
        take_gram(work, work->grams + i, run, order);
        for (size_t j = i; j < i + run; j++)
            work->numbers[work->grams[j].start] = (uint32_t)n_distinct;
    }
    return n > 0 ? (double)n_distinct / (double)n : (double)NAN;
}

/* --- BLEU --- */

static int compare_lengths(const void *a, const void *b) {
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* Of the other samples' lengths the one that is closest to that of a sample; of two the lesser. `sorted` are all. */
static size_t closest_length(const size_t *sorted, size_t n, size_t length) {
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (sorted[middle] < length)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return sorted[1];
    if (low + 1 == n)
        return sorted[low - 1];
    return sorted[low + 1] - length < length - sorted[low - 1] ? sorted[low + 1] : sorted[low - 1];
}

static double bleu(const count *count, size_t length, size_t closest) {
    static const double SMALL = 0.1; /* NLTK's method1 */
    double sum = 0;
    if (count->matched[0] == 0)
        return 0;
    for (size_t order = 1; order <= NGRAM_ORDERS; order++) {
        const size_t n = grams_of(length, order), matched = count->matched[order - 1];
        sum += log((matched > 0 ? (double)matched : SMALL) / (double)(n > 0 ? n : 1)) / NGRAM_ORDERS;
    }
    return exp(sum + (length < closest ? 1 - (double)closest / (double)length : 0));
}

static bool measure_bleu(double *mean, const work *work) {
    const size_t n = work->n_samples;
    double sum = 0;
    *mean = NAN;
    if (n < 2)
        return true;
    size_t *sorted = malloc(n * sizeof *sorted);
    if (!sorted)
        return false;
    for (size_t s = 0; s < n; s++)
        sorted[s] = length_of(work, s);
    qsort(sorted, n, sizeof *sorted, compare_lengths);
    for (size_t s = 0; s < n; s++)
        sum += bleu(&work->counts[s], length_of(work, s), closest_length(sorted, n, length_of(work, s)));
    free(sorted);
    *mean = sum / (double)n;
    return true;
}

/* --- All of it --- */

static double measure_repetition(const work *work) {
    double sum = 0;
    size_t n_long = 0;
    for (size_t s = 0; s < work->n_samples; s++) {
        const size_t n = grams_of(length_of(work, s), NGRAM_ORDERS);
        if (n == 0)
            continue;
        sum += 1 - (double)work->counts[s].distinct / (double)n;
        n_long++;
    }
    return n_long > 0 ? sum / (double)n_long : (double)NAN;
}

bool ngrams_measure(ngram_measures *measures, const uint32_t *units, const size_t *starts, size_t n_samples) {
    const size_t n = starts[n_samples] > 0 ? starts[n_samples] : 1;
    work work = {.units = units, .starts = starts, .n_samples = n_samples};
    work.grams = calloc(n, sizeof *work.grams);
    work.spare = calloc(n, sizeof *work.spare);
    work.numbers = calloc(n, sizeof *work.numbers);
    work.counts = calloc(n_samples > 0 ? n_samples : 1, sizeof *work.counts);
    bool ok = work.grams && work.spare && work.numbers && work.counts;
    for (size_t order = 1; ok && order <= NGRAM_ORDERS; order++)
        measures->distinct[order - 1] = count_order(&work, order);
    ok = ok && measure_bleu(&measures->self_bleu, &work);
    if (ok)
        measures->repetition = measure_repetition(&work);
    free(work.grams);
    free(work.spare);
    free(work.numbers);
    free(work.counts);
    return ok;
}
