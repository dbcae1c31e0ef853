/* Sketches: what a sample of a row's tail says of all of it is made right where the row itself has been looked at. */
#include "sketch.h"

#include <math.h>

/* The greatest candidates are all there: those within so many nats of the first, or half as many more, until they are
 * enough, or many. */
#define WIDTH 8.0
enum { ENOUGH = 2048 };
/* Of the others one line of a cache in so many. */
enum { LINE = 16, LINES = 32 };

/* Copies the sampled columns, -inf for those of the head. */
static size_t sample_tail(float *copy, const ent_candidates *candidates, float bound) {
    size_t n_copied = 0;
    for (size_t first = 0; first + LINE <= candidates->n; first += LINE * LINES)
        for (size_t i = first; i < first + LINE; i++)
            copy[n_copied++] = candidates->z[i] > bound ? -INFINITY : candidates->z[i];
    return n_copied;
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
    float *memory = (float *)(void *)candidates->workspace->items;
    double width = WIDTH * candidates->temperature;
    float bound = ent_float_below((double)candidates->m - width);
    size_t n_head = ent_copy_above(memory, candidates, bound);
    for (; n_head < ENOUGH && n_head < candidates->n_possible / LINES; width *= 1.5) {
        bound = ent_float_below((double)candidates->m - 1.5 * width);
        n_head = ent_copy_above(memory, candidates, bound);
    }
    const size_t n_tail = sample_tail(memory + n_head, candidates, bound);
    sketch->head = part_of(candidates, memory, n_head);
    sketch->tail = part_of(candidates, memory + n_head, n_tail);
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
