/* Sketches: what a sample of a row's tail says of all of it is made right where the row itself has been looked at. */
#include "sketch.h"

#include <math.h>
#include <string.h>

/* The greatest candidates are all there: those within so many nats of the first, or half as many more, until the sample
 * of the others has enough of them. */
#define WIDTH 8.0
enum { ENOUGH = 2048, MOST_WIDTHS = 24 };
/* The sample is one line of a cache in so many. */
enum { LINE = 16, LINES = 32 };

static size_t sample(float *copy, const ent_candidates *candidates) {
    size_t n_copied = 0;
    for (size_t first = 0; first + LINE <= candidates->n; first += LINE * LINES, n_copied += LINE)
        memcpy(copy + n_copied, candidates->z + first, LINE * sizeof *copy);
    return n_copied;
}

static size_t count_above(const ent_candidates *candidates, const float *z, size_t n, float bound) {
    size_t count = 0;
    for (size_t first = 0; first < n; first += ENT_CHUNK)
        count += candidates->kernels->count_greater(z + first, n - first < ENT_CHUNK ? n - first : ENT_CHUNK, bound);
    return count;
}

/* Below what the head ends. */
static float find_bound(const ent_candidates *candidates, const float *z, size_t n) {
    double width = WIDTH * candidates->temperature;
    float bound = ent_float_below((double)candidates->m - width);
    for (int i = 0; i < MOST_WIDTHS && count_above(candidates, z, n, bound) < ENOUGH / LINES; i++) {
        width *= 1.5;
        bound = ent_float_below((double)candidates->m - width);
    }
    return bound;
}

static ent_candidates part_of(const ent_candidates *candidates, const float *z, size_t n) {
    ent_candidates part = *candidates;
    part.z = z;
    part.tokens = NULL;
    part.chunk_greatest = NULL;
    part.chunk_sums = NULL;
    part.n = n;
    return part;
}

void ent_sketch_begin(ent_sketch *sketch, const ent_candidates *candidates) {
    float *head = (float *)(void *)candidates->workspace->items, *tail = head + candidates->n;
    const size_t n_tail = sample(tail, candidates);
    const float bound = find_bound(candidates, tail, n_tail);
    const size_t n_head = ent_copy_above(head, candidates, bound);
    for (size_t i = 0; i < n_tail; i++)
        tail[i] = tail[i] > bound ? -INFINITY : tail[i];
    sketch->head = part_of(candidates, head, n_head);
    sketch->tail = part_of(candidates, tail, n_tail);
    sketch->weight = LINES;
    sketch->missing = 0;
}

static void add_up(ent_spread *spread, ent_sketch *sketch, double temperature, ent_spread *tail) {
    ent_candidates_spread_at(spread, &sketch->head, temperature);
    ent_candidates_spread_at(tail, &sketch->tail, temperature);
}

void ent_sketch_fit(ent_sketch *sketch, const ent_spread *spread) {
    ent_spread head, tail, fitted;
    const double temperature = 1 / spread->scale;
    add_up(&head, sketch, temperature, &tail);
    const double rest = spread->n_top + spread->s - head.n_top - head.s;
    sketch->weight = tail.s > 0 && rest > 0 ? rest / tail.s : 0;
    sketch->missing = 0;
    ent_sketch_spread_at(&fitted, sketch, temperature);
    sketch->missing = spread->entropy - fitted.entropy;
}

void ent_sketch_spread_at(ent_spread *spread, ent_sketch *sketch, double temperature) {
    ent_spread head, tail;
    const double weight = sketch->weight;
    add_up(&head, sketch, temperature, &tail);
    const ent_moments sums = {head.n_top, head.s + weight * tail.s, head.t + weight * tail.t, head.u + weight * tail.u,
                              head.q + weight * tail.q};
    ent_spread_of(spread, &sums, head.scale);
    spread->entropy += sketch->missing;
}
