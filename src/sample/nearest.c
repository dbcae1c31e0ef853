/* The candidates that are nearest to a logit, as many as are enough: without a sort of the row.
 *
 * Candidates are gathered within a width that doubles until they are enough; of these, the ones that are needed are
 * found by partition, as in quickselect, with sums in place of ranks. */
#include "candidates.h"

#include "base/random.h"

#include <math.h>

/* In the beginning, in nats: beyond it a candidate has less than a thousandth of the greatest one's mass. */
#define FIRST_WIDTH 8.0
enum { SORTED = 16 };

typedef struct search {
    const ent_candidates *candidates;
    double logit;
    float scale;
    ent_is_enough is_enough;
    const void *user;
    ent_item *items;
    size_t n;
} search;

static double distance_of(const search *search, size_t index) {
    return fabs((double)search->candidates->z[index] - search->logit);
}

static void add_item(ent_share *share, const search *search, const ent_item *item) {
    const double x = (double)(search->candidates->z[item->index] - search->candidates->m), mass = (double)item->mass;
    share->n++;
    share->s += mass;
    share->t += mass > 0 ? mass * x : 0;
}

static int is_before(const ent_item *a, const ent_item *b) {
    return a->distance < b->distance || (a->distance == b->distance && a->index < b->index);
}

/* --- Gathering --- */

static void gather_chunk(search *search, ent_share *share, size_t first, double width) {
    uint16_t found[ENT_CHUNK];
    const ent_candidates *candidates = search->candidates;
    const size_t n_found = ent_find_above(found, candidates, first, ent_float_below(search->logit - width));
    for (size_t i = 0; i < n_found; i++) {
        const size_t index = first + found[i];
        const double distance = distance_of(search, index);
        if (distance > width)
            continue;
        const float mass = ent_mass(candidates->z[index] - candidates->m, search->scale);
        const ent_item item = {distance, (uint32_t)index, mass};
        search->items[search->n++] = item;
        add_item(share, search, &item);
    }
}

/* 0 if all candidates are not enough. */
static int gather(search *search) {
    for (double width = FIRST_WIDTH / (double)search->scale;; width *= 2) {
        ent_share share = {0, 0, 0};
        search->n = 0;
        for (size_t first = 0; first < search->candidates->n; first += ENT_CHUNK)
            gather_chunk(search, &share, first, width);
        if (search->is_enough(&share, search->user))
            return 1;
        if (search->n == search->candidates->n_possible)
            return 0;
    }
}

/* --- Selecting --- */

static void swap(ent_item *items, size_t i, size_t j) {
    const ent_item item = items[i];
    items[i] = items[j];
    items[j] = item;
}

/* Puts items [low, high) in front that are not behind one of them, which is then the last of these; returns its place.
 */
static size_t partition(ent_item *items, size_t low, size_t high) {
    const size_t pivot = low + (size_t)ent_random_below(high, low, high - low);
    size_t place = low;
    swap(items, pivot, high - 1);
    for (size_t i = low; i + 1 < high; i++)
        if (is_before(&items[i], &items[high - 1]))
            swap(items, i, place++);
    swap(items, place, high - 1);
    return place;
}

static void sort_few(ent_item *items, size_t low, size_t high) {
    for (size_t i = low + 1; i < high; i++)
        for (size_t j = i; j > low && is_before(&items[j], &items[j - 1]); j--)
            swap(items, j, j - 1);
}

/* How many of the nearest are enough; items[that - 1] is then the farthest of them. */
static size_t select_enough(search *search) {
    size_t low = 0, high = search->n;
    ent_share before = {0, 0, 0};
    while (high - low > SORTED) {
        const size_t pivot = partition(search->items, low, high);
        ent_share share = before;
        for (size_t i = low; i < pivot; i++)
            add_item(&share, search, &search->items[i]);
        if (share.n > 0 && search->is_enough(&share, search->user)) {
            high = pivot;
            continue;
        }
        add_item(&share, search, &search->items[pivot]);
        if (search->is_enough(&share, search->user))
            return pivot + 1;
        before = share;
        low = pivot + 1;
    }
    sort_few(search->items, low, high);
    while (low < high) {
        add_item(&before, search, &search->items[low++]);
        if (search->is_enough(&before, search->user))
            break;
    }
    return low;
}

/* Without the farthest, the one before it is. */
static size_t drop_farthest(const search *search, size_t n_kept) {
    size_t farthest = 0;
    for (size_t i = 1; i + 1 < n_kept; i++)
        farthest = is_before(&search->items[farthest], &search->items[i]) ? i : farthest;
    swap(search->items, farthest, n_kept - 2);
    return n_kept - 1;
}

typedef struct farthest {
    const search *search;
    ent_item item;
} farthest;

static int is_within(const ent_candidates *candidates, size_t index, const void *user) {
    const farthest *limit = user;
    (void)candidates;
    const ent_item item = {distance_of(limit->search, index), (uint32_t)index, 0};
    return !is_before(&limit->item, &item);
}

void ent_keep_nearest(ent_candidates *candidates, double logit, int without, ent_is_enough is_enough,
                      const void *user) {
    search search = {
        candidates, logit, (float)(1 / candidates->temperature), is_enough, user, candidates->workspace->items, 0};
    if (!gather(&search))
        return;
    size_t n_kept = select_enough(&search);
    if (without && n_kept > 1)
        n_kept = drop_farthest(&search, n_kept);
    const farthest limit = {&search, search.items[n_kept - 1]};
    /* Lower than the farthest one's logit, however the differences are rounded. */
    const double rounding = 0x1p-50 * (fabs(logit) + limit.item.distance);
    ent_candidates_compact(candidates, ent_float_below(logit - limit.item.distance - rounding), is_within, &limit);
    if (logit < (double)candidates->m)
        ent_candidates_find_greatest(candidates); /* which may not be near */
}

static int is_mass(const ent_share *share, const void *user) {
    return share->s >= *(const double *)user;
}

void ent_keep_nearest_mass(ent_candidates *candidates, double logit, double p) {
    const ent_spread *spread = ent_candidates_spread(candidates);
    const double wanted = p * (spread->n_top + spread->s);
    if (p < 1)
        ent_keep_nearest(candidates, logit, 0, is_mass, &wanted);
}
