/* The kernels of sums, over the columns of one row and over rows a lane; a part of body.h, included by it. */

typedef struct accumulators {
    vf s, t, u, q;
} accumulators;

typedef struct range {
    vf greatest, least;
} range;

/* Sums grow as trees: this many vectors are a group, this many groups a run, this many runs a block, and this many
 * blocks a part. Equal terms are rounded the same way every time, and so are small ones that follow a great one: the
 * error of a sum grows with the additions from a leaf to the root, of which a chain has as many as terms. */
#define ENT_BRANCHES 4

typedef struct terms {
    vf e, x, from_pivot;
} terms;

/* The terms of one vector. `squares`, `has_top` and `is_near` are constants where this and what calls it are inlined.
 */
static inline __attribute__((always_inline)) terms terms_of(vf z, const constants *k, int has_top, int is_near) {
    const vf raw = vf_sub(z, k->m);
    const vf x = is_near ? raw : vf_max(k->low, raw); /* finite also for -inf, so that 0 * x is 0; NaN stays */
    vf e = exp_of(x, k->c);
    if (!is_near)
        e = vf_zero_unless_above(e, raw, k->low);
    if (has_top)
        e = vf_zero_where_zero(e, raw);
    return (terms){e, x, vf_sub(x, k->pivot)};
}

static inline accumulators no_terms(void) {
    const vf zero = vf_set(0);
    return (accumulators){zero, zero, zero, zero};
}

/* add_terms to none, without the additions. */
static inline __attribute__((always_inline)) accumulators first_terms(vf z, const constants *k, int squares,
                                                                      int has_top, int is_near) {
    const terms terms = terms_of(z, k, has_top, is_near);
    accumulators a = no_terms();
    a.s = terms.e;
    a.t = vf_mul(terms.e, terms.x);
    if (squares) {
        a.u = vf_mul(vf_mul(terms.e, terms.from_pivot), terms.from_pivot);
        a.q = vf_mul(terms.e, terms.e);
    }
    return a;
}

static inline __attribute__((always_inline)) void add_terms(accumulators *a, vf z, const constants *k, int squares,
                                                            int has_top, int is_near) {
    const terms terms = terms_of(z, k, has_top, is_near);
    a->s = vf_add(a->s, terms.e);
    a->t = vf_fma(terms.e, terms.x, a->t);
    if (squares) {
        a->u = vf_fma(vf_mul(terms.e, terms.from_pivot), terms.from_pivot, a->u);
        a->q = vf_fma(terms.e, terms.e, a->q);
    }
}

static inline __attribute__((always_inline)) void add_all(accumulators *a, const accumulators *b, int squares) {
    a->s = vf_add(a->s, b->s);
    a->t = vf_add(a->t, b->t);
    if (squares) {
        a->u = vf_add(a->u, b->u);
        a->q = vf_add(a->q, b->q);
    }
}

static inline __attribute__((always_inline)) void extend(range *r, vf z) {
    r->greatest = vf_max(z, r->greatest);
    r->least = vf_min(z, r->least);
}

/* What is left of a chunk, what is prefetched meanwhile, and the range and the top of what was read. */
typedef struct cursor {
    const float *z, *end;
    uintptr_t next;
    size_t next_step;
    range range;
    vf n_top;
} cursor;

static inline __attribute__((always_inline)) void count_top(vf *n_top, vf z, const constants *k) {
    *n_top = vf_count_zeros(*n_top, vf_sub(z, k->m));
}

static inline __attribute__((always_inline)) void note(cursor *at, vf z, const constants *k, int has_top) {
    extend(&at->range, z);
    if (has_top)
        count_top(&at->n_top, z, k);
}

static inline __attribute__((always_inline)) void read_two(vf two[2], cursor *at) {
    two[0] = vf_load(at->z);
    two[1] = vf_load(at->z + ENT_W);
    ent_prefetch(at->next);
    at->z += 2 * ENT_W;
    at->next += 2 * ENT_W * at->next_step;
}

static inline __attribute__((always_inline)) int has_group(const cursor *at) {
    return at->end - at->z >= ENT_BRANCHES * ENT_W;
}

static inline __attribute__((always_inline)) accumulators group_of(cursor *at, const constants *k, int squares,
                                                                   int has_top, int is_near) {
    vf z[2];
    read_two(z, at);
    note(at, z[0], k, has_top);
    accumulators group = first_terms(z[0], k, squares, has_top, is_near);
    note(at, z[1], k, has_top);
    add_terms(&group, z[1], k, squares, has_top, is_near);
    read_two(z, at);
    note(at, z[0], k, has_top);
    add_terms(&group, z[0], k, squares, has_top, is_near);
    note(at, z[1], k, has_top);
    add_terms(&group, z[1], k, squares, has_top, is_near);
    return group;
}

static inline __attribute__((always_inline)) accumulators run_of(cursor *at, const constants *k, int squares,
                                                                 int has_top, int is_near) {
    accumulators run = group_of(at, k, squares, has_top, is_near);
    for (size_t i = 1; i < ENT_BRANCHES && has_group(at); i++) {
        const accumulators group = group_of(at, k, squares, has_top, is_near);
        add_all(&run, &group, squares);
    }
    return run;
}

/* The vectors after the last group, and the columns after the last vector, filled up with -inf: never near. */
static inline __attribute__((always_inline)) accumulators rest_of(cursor *at, const constants *k, int squares,
                                                                  int has_top) {
    accumulators rest = no_terms();
    for (; at->z < at->end; at->z += ENT_W) {
        const size_t n = (size_t)(at->end - at->z);
        const vf some = load_some(at->z, n);
        add_terms(&rest, some, k, squares, has_top, 0);
        if (has_top)
            count_top(&at->n_top, some, k);
        at->range.greatest = vf_max(some, at->range.greatest);
        for (size_t i = 0; i < n && i < ENT_W; i++)
            at->range.least = vf_min(vf_set(at->z[i]), at->range.least);
    }
    return rest;
}

static inline __attribute__((always_inline)) void carry(accumulators *to, accumulators *from, int squares) {
    add_all(to, from, squares);
    *from = no_terms();
}

/* All that is left. */
static inline __attribute__((always_inline)) accumulators total_of(cursor *at, const constants *k, int squares,
                                                                   int has_top, int is_near) {
    accumulators total = no_terms(), part = total, block = total;
    for (size_t i = 1; has_group(at); i++) {
        const accumulators run = run_of(at, k, squares, has_top, is_near);
        add_all(&block, &run, squares);
        if (i % ENT_BRANCHES == 0)
            carry(&part, &block, squares);
        if (i % (ENT_BRANCHES * ENT_BRANCHES) == 0)
            carry(&total, &part, squares);
    }
    const accumulators rest = rest_of(at, k, squares, has_top);
    add_all(&block, &rest, squares);
    carry(&part, &block, squares);
    carry(&total, &part, squares);
    return total;
}

static inline __attribute__((always_inline)) void sums_loop(ent_sums *sums, const ent_sums_task *task, int squares,
                                                            int has_top, int is_near) {
    const constants k = constants_of(vf_set(task->m), task->scale, vf_set(task->pivot));
    cursor at = {.z = task->z,
                 .end = task->z + task->n,
                 .next = (uintptr_t)task->next,
                 .next_step = task->next_step,
                 .range = {vf_set(-INFINITY), vf_set(INFINITY)},
                 .n_top = vf_set(0)};
    const accumulators total = total_of(&at, &k, squares, has_top, is_near);
    sums->n_top = has_top ? vf_sum(at.n_top) : 0;
    sums->s = vf_sum(total.s);
    sums->t = vf_sum(total.t);
    sums->u = squares ? vf_sum(total.u) : 0;
    sums->q = squares ? vf_sum(total.q) : 0;
    sums->greatest = vf_max_lane(at.range.greatest);
    sums->least = -vf_max_lane(vf_sub(vf_set(0), at.range.least));
}

static inline __attribute__((always_inline)) void sums_of(ent_sums *sums, const ent_sums_task *task, int squares) {
    if (task->has_top && task->is_near)
        sums_loop(sums, task, squares, 1, 1);
    else if (task->has_top)
        sums_loop(sums, task, squares, 1, 0);
    else if (task->is_near)
        sums_loop(sums, task, squares, 0, 1);
    else
        sums_loop(sums, task, squares, 0, 0);
}

static void sums_body(ent_sums *sums, const ent_sums_task *task) {
    if (task->squares)
        sums_of(sums, task, 1);
    else
        sums_of(sums, task, 0);
}

/* Columns whose terms are added one after the other. */
#define ENT_RUN 16

/* All columns of one vector of lanes, in runs. */
static inline __attribute__((always_inline)) accumulators add_columns(vf *n_top, const float *tile, size_t n_columns,
                                                                      const constants *k, int squares, int is_near) {
    accumulators total = no_terms();
    for (size_t j = 0; j < n_columns;) {
        accumulators a = no_terms();
        for (const size_t end = j + ENT_RUN < n_columns ? j + ENT_RUN : n_columns; j < end; j++) {
            const vf z = vf_load(tile + j * ENT_LANES);
            count_top(n_top, z, k);
            add_terms(&a, z, k, squares, 1, is_near);
        }
        add_all(&total, &a, squares);
    }
    return total;
}

/* Sums, and the squares about the mean: each a pass over a tile in L1. */
static inline __attribute__((always_inline)) void lanes_sums(ent_lanes_sums *sums, size_t lane, const float *tile,
                                                             size_t n_columns, constants *k, int squares, int is_near) {
    vf n_top = vf_set(0), again = n_top;
    const accumulators a = add_columns(&n_top, tile, n_columns, k, 0, is_near);
    vf_store(sums->n_top + lane, n_top);
    vf_store(sums->s + lane, a.s);
    vf_store(sums->t + lane, a.t);
    if (!squares)
        return;
    k->pivot = vf_div(a.t, vf_add(a.s, n_top));
    const accumulators about_mean = add_columns(&again, tile, n_columns, k, 1, is_near);
    /* the columns equal to m stand at 0: their share of the squares is n_top mean^2 */
    vf_store(sums->u + lane, vf_fma(vf_mul(n_top, k->pivot), k->pivot, about_mean.u));
    vf_store(sums->q + lane, about_mean.q);
}

/* One vector of lanes: the range, a pass of its own, says whether every column is near. */
static inline __attribute__((always_inline)) void lanes_step(ent_lanes_sums *sums, size_t lane, const float *tile,
                                                             size_t n_columns, float scale, int squares) {
    range r = {vf_set(-INFINITY), vf_set(INFINITY)};
    for (size_t j = 0; j < n_columns; j++)
        extend(&r, vf_load(tile + j * ENT_LANES));
    const vf m = vf_zero_unless_above(r.greatest, r.greatest, vf_set(-INFINITY));
    constants k = constants_of(m, scale, vf_set(0));
    vf_store(sums->m + lane, r.greatest);
    vf_store(sums->least + lane, r.least);
    if (vf_greater_bits(vf_sub(r.least, m), k.low) == ENT_ALL_LANES)
        lanes_sums(sums, lane, tile, n_columns, &k, squares, 1);
    else
        lanes_sums(sums, lane, tile, n_columns, &k, squares, 0);
}

static void lanes_body(ent_lanes_sums *sums, const float *tile, size_t n_columns, float scale, int squares) {
    for (size_t lane = 0; lane < ENT_LANES; lane += ENT_W)
        lanes_step(sums, lane, tile + lane, n_columns, scale, squares);
}
