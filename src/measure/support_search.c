/* The support of a row, on which its entropy is renormalised: which columns are in it, and the sums over them.
 *
 * Along the columns in the order of falling logits runs a weight: their number, or their mass. A support ends where it
 * reaches a target. Nothing is sorted: the interval of logits in which that happens is narrowed by rounds. A round adds
 * up the weights of the interval's columns in bins and goes on with the bin in which the target is reached; as soon as
 * the columns that are left fit, they are copied out of the row. Bins are of equal width, which spreads a model's
 * logits well, in every second round of equal spans of keys (base/order.c), which ends with any row. Weights are
 * integers: sums do not depend on the order, nor on how columns were told apart.
 *
 * A long row's first interval is a guess from a sample of its columns (Floyd and Rivest 1975), above which kernels add
 * up the weights at full speed; a guess that missed costs another pass. So two or three passes over the row find the
 * support, and one takes its sums. */
#include "support.h"

#include <assert.h>
#include <float.h>
#include <math.h>

enum { BINS = 2048, FEWER_BINS = 256, FIT = 2048, FEW = ENT_SHORT, SAMPLE = 1024, SMALL_SAMPLE = 64 };

/* Where the weight reaches the target. */
typedef struct search {
    const ent_rows *rows;
    size_t row;
    double m;     /* the row's greatest logit */
    int by_mass;  /* 0: by number */
    double magic; /* as in ent_masses_task */
    uint64_t target;
    double low, high; /* the interval, its ends included */
    uint64_t above;   /* weight of the columns above it */
    size_t n;         /* columns in it; `fit` has their logits if there are at most FIT */
    double fit[FIT];
    uint64_t bins[BINS];
} search;

static int is_f64(const search *search) {
    return search->rows->logits->dtype == ENTROL_F64;
}

static uint64_t weight_of(const search *search, double z) {
    const float x = is_f64(search) ? (float)(z - search->m) : (float)z - (float)search->m; /* as in the kernels */
    return search->by_mass ? ent_mass_units(ent_mass(x, (float)search->rows->scale), search->magic) : 1;
}

/* --- Bins: falling logits have rising bins --- */

typedef struct binning {
    size_t n;
    double high, per_width; /* 0: by keys */
    uint64_t high_key;
    int shift;
} binning;

/* An integer that sorts as the number does. */
static uint64_t key_of(double z) {
    const double number = z + 0.0; /* -0 is 0 */
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits ^ ((0 - (bits >> 63)) | (uint64_t)1 << 63);
}

/* `n_columns` will be in the bins. */
static binning binning_of(const search *search, size_t n_columns, int by_keys) {
    const size_t n = n_columns > FIT ? BINS : FEWER_BINS;
    const double per_width = (double)(n - 1) / (search->high - search->low);
    binning binning = {n, search->high, 0, key_of(search->high), 0};
    if (!by_keys && per_width > 0 && per_width <= DBL_MAX)
        binning.per_width = per_width;
    while ((binning.high_key - key_of(search->low)) >> binning.shift >= n)
        binning.shift++;
    return binning;
}

static inline size_t bin_of(const binning *binning, double z) {
    if (binning->per_width > 0)
        return (size_t)((binning->high - z) * binning->per_width);
    return (size_t)((binning->high_key - key_of(z)) >> binning->shift);
}

/* The bin in which the target is reached (the last one that has a weight, should none be); the weight of those before
 * it joins `above`. */
static size_t reach(search *search, const binning *binning) {
    uint64_t sum = search->above;
    size_t last = 0;
    for (size_t bin = 0; bin < binning->n && sum < search->target; bin++)
        if (search->bins[bin]) {
            last = bin;
            search->above = sum;
            sum += search->bins[bin];
        }
    return last;
}

/* --- The columns of an interval --- */

static void take_none(search *search) {
    search->n = 0;
    search->low = INFINITY;
    search->high = -INFINITY;
}

static inline void take(search *search, double z) {
    if (search->n < FIT)
        search->fit[search->n] = z;
    search->n++;
    search->low = z < search->low ? z : search->low;
    search->high = z > search->high ? z : search->high;
}

/* The places and logits of a chunk's columns from low to high. No float is lost by rounding the ends. */
static size_t chunk_between(uint16_t *found, double *z, const search *search, const ent_chunk *chunk, double low,
                            double high) {
    const int exact = is_f64(search);
    size_t n = chunk->n, n_between = 0;
    if (!exact)
        n = search->rows->kernels->find_between(found, chunk->z, chunk->n, (float)low, (float)high);
    for (size_t i = 0; i < n; i++) {
        const size_t place = exact ? i : found[i];
        const double logit = exact ? ent_chunk_f64(chunk, place) : (double)chunk->z[place];
        found[n_between] = (uint16_t)place;
        z[n_between] = logit;
        n_between += logit >= low && logit <= high;
    }
    return n_between;
}

/* Adds a chunk's weights in the interval to the bins, and returns the sums of all, and of those above the interval
 * where the logits are not f64, whose intervals begin with the greatest. */
static ent_masses bin_chunk(search *search, ent_chunk *chunk, const binning *binning) {
    const ent_kernels *kernels = search->rows->kernels;
    uint16_t found[ENT_CHUNK];
    double z[ENT_CHUNK];
    float mass[ENT_CHUNK];
    ent_masses sums = {0, 0};
    if (search->by_mass) {
        if (!chunk->z)
            ent_chunk_narrow(chunk, search->m);
        ent_masses_task task = {.z = chunk->z, .n = chunk->n, .scale = (float)search->rows->scale};
        task.m = (float)(search->m - chunk->origin);
        task.high = is_f64(search) ? INFINITY : (float)search->high;
        task.magic = search->magic;
        sums = kernels->masses(mass, &task);
    } else if (!is_f64(search) && search->high < search->m) {
        sums.above = kernels->count_greater(chunk->z, chunk->n, (float)search->high);
    }
    const size_t n = chunk_between(found, z, search, chunk, search->low, search->high);
    for (size_t i = 0; i < n; i++)
        search->bins[bin_of(binning, z[i])] += search->by_mass ? ent_mass_units(mass[found[i]], search->magic) : 1;
    return sums;
}

static ent_masses bin_row(search *search, const binning *binning) {
    ent_masses total = {0, 0};
    ent_chunk chunk;
    memset(search->bins, 0, binning->n * sizeof *search->bins);
    for (size_t column = 0; column < search->rows->logits->n_columns; column += ENT_CHUNK) {
        ent_chunk_load(&chunk, search->rows, search->row, column);
        const ent_masses sums = bin_chunk(search, &chunk, binning);
        total.all += sums.all;
        total.above += sums.above;
    }
    return total;
}

static void bin_fit(search *search, const binning *binning) {
    memset(search->bins, 0, binning->n * sizeof *search->bins);
    for (size_t i = 0; i < search->n; i++)
        search->bins[bin_of(binning, search->fit[i])] += weight_of(search, search->fit[i]);
}

/* The interval becomes that of the columns in a bin. The ends looked at leave a bin of room for rounding. */
static void narrow_row(search *search, const binning *binning, size_t bin) {
    uint16_t found[ENT_CHUNK];
    double z[ENT_CHUNK], low = search->low, high = search->high;
    ent_chunk chunk;
    if (binning->per_width > 0) {
        low = fmax(low, binning->high - ((double)bin + 2) / binning->per_width);
        high = fmin(high, binning->high - ((double)bin - 1) / binning->per_width);
    }
    take_none(search);
    for (size_t column = 0; column < search->rows->logits->n_columns; column += ENT_CHUNK) {
        ent_chunk_load(&chunk, search->rows, search->row, column);
        const size_t n = chunk_between(found, z, search, &chunk, low, high);
        for (size_t i = 0; i < n; i++)
            if (bin_of(binning, z[i]) == bin)
                take(search, z[i]);
    }
}

static void narrow_fit(search *search, const binning *binning, size_t bin) {
    const size_t n = search->n;
    take_none(search);
    for (size_t i = 0; i < n; i++)
        if (bin_of(binning, search->fit[i]) == bin)
            take(search, search->fit[i]);
}

/* Rounds until few columns are left, or equal ones only. */
static void narrow(search *search) {
    for (int round = 0; search->n > FEW && search->low < search->high; round++) {
        const binning binning = binning_of(search, search->n, round % 2);
        const int fits = search->n <= FIT;
        if (fits)
            bin_fit(search, &binning);
        else
            bin_row(search, &binning);
        const size_t bin = reach(search, &binning);
        if (fits)
            narrow_fit(search, &binning, bin);
        else
            narrow_row(search, &binning, bin);
    }
}

/* --- The last few --- */

static void sort_falling(double *z, size_t n) {
    for (size_t i = 1; i < n; i++) {
        const double moved = z[i];
        size_t place = i;
        for (; place > 0 && z[place - 1] < moved; place--)
            z[place] = z[place - 1];
        z[place] = moved;
    }
}

/* The logit at which the target is reached; of its equals, *n_ties are needed. */
static double reached_at(search *search, double *n_ties) {
    assert(search->n > 0);
    if (search->low == search->high) {
        const uint64_t weight = weight_of(search, search->low), missing = search->target - search->above;
        const uint64_t n = weight ? (missing - 1) / weight + 1 : 1;
        *n_ties = (double)(n < search->n ? n : search->n);
        return search->low;
    }
    sort_falling(search->fit, search->n);
    uint64_t sum = search->above;
    size_t last = 0, first_equal = 0;
    for (size_t i = 0; i < search->n && sum < search->target; i++) {
        sum += weight_of(search, search->fit[i]);
        first_equal = search->fit[i] == search->fit[first_equal] ? first_equal : i;
        last = i;
    }
    *n_ties = (double)(last - first_equal + 1);
    return search->fit[last];
}

/* --- The first interval --- */

/* The possible columns among n of the row's, evenly spread. */
static void take_sample(search *search, size_t n) {
    const size_t n_columns = search->rows->logits->n_columns;
    take_none(search);
    for (size_t i = 0; i < n; i++) {
        const double z = ent_rows_logit(search->rows, search->row, (size_t)((double)i / (double)n * (double)n_columns));
        if (z > -INFINITY)
            take(search, z);
    }
}

/* The logit at which the sample's weight reaches a target; `otherwise` if that is not above 0. */
static double guess(search *search, double target, double otherwise) {
    double n_ties;
    take_sample(search, SAMPLE);
    if (search->n == 0 || !(target >= 1))
        return otherwise;
    search->above = 0;
    search->target = (uint64_t)target;
    narrow(search);
    return reached_at(search, &n_ties);
}

/* By number: three standard deviations about the rank that the target has in the sample. By mass: a sample knows best
 * what lies below, the sum of many; from 0.6 to 1.6 times that much. `n_possible` is used by number, `below` is the
 * mass below the target in units. */
static void guess_interval(search *search, double n_possible, double below, double *low, double *high) {
    const double in_sample = (double)SAMPLE / (double)search->rows->logits->n_columns;
    const uint64_t target = search->target;
    const double top = *high, least = *low;
    take_sample(search, SAMPLE);
    if (search->by_mass) {
        double sum = 0;
        for (size_t i = 0; i < search->n; i++)
            sum += (double)weight_of(search, search->fit[i]);
        *low = fmax(least, guess(search, sum - 0.6 * below * in_sample, least));
        *high = guess(search, sum - 1.6 * below * in_sample, top);
    } else {
        const double n = (double)search->n, rank = (double)target * n / n_possible;
        const double margin = 3 * sqrt(fmax(rank * (1 - rank / n), 0)) + 4;
        *low = rank + margin < n ? guess(search, rank + margin, least) : least;
        *high = guess(search, rank - margin, top);
    }
    if (is_f64(search))
        *high = top;
    search->target = target;
}

/* A logit below which no sample is, or which keeps a mass that is too small below it. */
static double floor_of(search *search, double below_units) {
    if (search->by_mass) {
        const double one = 0x1p52 / search->magic, n = (double)search->rows->logits->n_columns;
        return search->m - (log(n * one / fmax(below_units, 1)) + 1) / search->rows->scale;
    }
    take_sample(search, SMALL_SAMPLE);
    return search->n ? search->low - (search->m - search->low) / 4 - 1 : -DBL_MAX;
}

/* --- A row --- */

/* Of masses, the target is a share p of their sum. */
static uint64_t target_of(uint64_t total, double p) {
    const double target = ceil(p * (double)total); /* rounding may take it past the sum */
    return target < 1 ? 1 : target < (double)total ? (uint64_t)target : total;
}

/* A row of a few columns. */
static void search_short(search *search, double p) {
    take_none(search);
    uint64_t total = 0;
    for (size_t column = 0; column < search->rows->logits->n_columns; column++) {
        const double z = ent_rows_logit(search->rows, search->row, column);
        if (z > -INFINITY) {
            take(search, z);
            total += weight_of(search, z);
        }
    }
    if (search->by_mass)
        search->target = target_of(total, p);
}

/* The next logit of the row's type. */
static double next_to(const search *search, double z, double direction) {
    return is_f64(search) ? nextafter(z, direction) : (double)nextafterf((float)z, (float)direction);
}

/* Finds the first bin, from intervals that are tried: the guess, what is above it, what is below. `total` is near the
 * sum of all masses, in units. */
static void search_long(search *search, double p, double n_possible, double total) {
    const double below = (1 - p) * total, floor = (double)(float)floor_of(search, below);
    double low = floor, high = search->m;
    uint64_t above = 0; /* the interval, where no kernel says it */
    if (search->rows->logits->n_columns > 4 * SAMPLE)
        guess_interval(search, n_possible, below, &low, &high);
    low = fmax(low < high ? low : high, -DBL_MAX);
    for (;;) {
        uint64_t inside = 0;
        search->low = low;
        search->high = high;
        const binning binning = binning_of(search, search->rows->logits->n_columns, 0);
        const ent_masses sums = bin_row(search, &binning);
        search->above = is_f64(search) ? above : sums.above;
        if (search->by_mass)
            search->target = target_of(sums.all, p);
        for (size_t bin = 0; bin < binning.n; bin++)
            inside += search->bins[bin];
        if (search->target <= search->above && high < search->m) {
            low = next_to(search, high, INFINITY);
            high = search->m;
        } else if (search->target > search->above + inside && low > -DBL_MAX) {
            above = search->above + inside;
            high = next_to(search, low, -INFINITY);
            low = low > floor ? floor : -DBL_MAX;
        } else {
            narrow_row(search, &binning, reach(search, &binning));
            return;
        }
    }
}

double ent_support_reach(double *n_ties, const ent_rows *rows, size_t row, const entrol_state *state, int by_mass,
                         double target, double n_possible) {
    search search; /* large: its arrays need no zeros */
    search.rows = rows;
    search.row = row;
    search.m = state->m;
    search.by_mass = by_mass;
    search.above = 0;
    const size_t n_columns = rows->logits->n_columns;
    const int unit_bits = ent_unit_bits(n_columns);
    search.magic = ldexp(1, 52 - unit_bits);
    search.target = by_mass ? 0 : (uint64_t)target;
    if (n_columns <= FEW)
        search_short(&search, target);
    else
        search_long(&search, target, n_possible, ldexp(ent_state_sum(state), unit_bits));
    narrow(&search);
    return reached_at(&search, n_ties);
}
