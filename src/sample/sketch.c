/* Sketches: a sample of a row's tail stands for all of it. Where the row itself has been looked at, the sample gets the
 * weights e^(a + c x) with which it has the tail's mass and mean there. */
#include "sketch.h"

#include <math.h>
#include <string.h>

/* The sample is one line of a cache in so many. */
enum { LINE = 16, LINES = 32 };
/* The greatest candidates are all there: those within so many nats of the first, fewer where these are many, and more
 * where they are few. */
#define LEAST_WIDTH 2.0
#define WIDTH 8.0
enum { FEW_SAMPLED = 64, MANY_SAMPLED = 512, MOST_WIDTHS = 64 };
/* Less of the mass than this share is not known well enough, as the difference of two sums in float. */
#define LEAST_SHARE 1e-5
/* Newton's steps to the sample's mean, and how near it they end. */
enum { MOST_STEPS = 4 };
#define MEAN_WITHIN 1e-4
/* Of a mean's square, what rounding makes of no variance. */
#define LEAST_VARIANCE 1e-5

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
static float find_bound(const ent_candidates *candidates, const float *z, size_t n, double temperature) {
    double width = LEAST_WIDTH;
    for (int i = 0; i < MOST_WIDTHS; i++, width *= 1.25) {
        const float bound = ent_float_below((double)candidates->m - width * temperature);
        if (count_above(candidates, z, n, bound) >= (width < WIDTH ? MANY_SAMPLED : FEW_SAMPLED))
            return bound;
    }
    return -INFINITY;
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

void ent_sketch_begin(ent_sketch *sketch, const ent_candidates *candidates, double temperature) {
    float *head = (float *)(void *)candidates->workspace->items, *tail = head + candidates->n;
    const size_t n_tail = sample(tail, candidates);
    const float bound = find_bound(candidates, tail, n_tail, temperature);
    const size_t n_head = ent_copy_above(head, candidates, bound);
    for (size_t i = 0; i < n_tail; i++)
        tail[i] = tail[i] > bound ? -INFINITY : tail[i];
    sketch->head = part_of(candidates, head, n_head);
    sketch->tail = part_of(candidates, tail, n_tail);
}

/* The tail under its tilt, which never makes the lesser logits the more probable ones. */
static void look_at_tail(ent_spread *spread, ent_sketch *sketch, double scale) {
    ent_candidates_spread_at(spread, &sketch->tail, 1 / fmax(scale + sketch->tilt, scale / 4));
}

/* A step of Newton's towards a mean; 0, and nothing changes, where none brings it nearer. A variance that is lost in
 * the rounding of its sums says nothing. */
static int tilt_to(ent_sketch *sketch, ent_spread *tail, double scale, double mean) {
    ent_spread next;
    const double before = sketch->tilt, at = tail->t / tail->s, square = tail->scale * tail->scale;
    if (!(fabs(mean - at) > MEAN_WITHIN) || !(tail->varentropy > LEAST_VARIANCE * square * at * at))
        return 0;
    const double step = (mean - at) * square / tail->varentropy, most = scale / 2;
    sketch->tilt = fmin(fmax(before + step, -most), most);
    look_at_tail(&next, sketch, scale);
    const int is_nearer = next.s > 0 && fabs(mean - next.t / next.s) < fabs(mean - at);
    sketch->tilt = is_nearer ? sketch->tilt : before;
    *tail = is_nearer ? next : *tail;
    return is_nearer;
}

void ent_sketch_fit(ent_sketch *sketch, const ent_spread *spread) {
    ent_spread head, tail;
    ent_candidates_spread_at(&head, &sketch->head, 1 / spread->scale);
    const double mass = spread->n_top + spread->s, rest = mass - head.n_top - head.s;
    sketch->weight = LINES;
    sketch->tilt = 0;
    look_at_tail(&tail, sketch, spread->scale);
    if (!(rest > LEAST_SHARE * mass) || !(tail.s > 0))
        return;
    for (int i = 0; i < MOST_STEPS && tilt_to(sketch, &tail, spread->scale, (spread->t - head.t) / rest); i++)
        continue;
    sketch->weight = rest / tail.s;
}

void ent_sketch_spread_at(ent_spread *spread, ent_sketch *sketch, double temperature) {
    ent_spread head, tail;
    const double weight = sketch->weight;
    ent_candidates_spread_at(&head, &sketch->head, temperature);
    look_at_tail(&tail, sketch, head.scale);
    const ent_moments sums = {head.n_top, head.s + weight * tail.s, head.t + weight * tail.t, head.u + weight * tail.u};
    ent_spread_of(spread, &sums, head.scale);
}
