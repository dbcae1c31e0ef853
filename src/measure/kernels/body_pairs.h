/* The kernels over two rows of the same columns; a part of body.h, included by it.
 *
 * With delta = ln p - ln q, a column's term of KL(p||q) = sum p delta is taken as p phi(delta), phi(x) = e^-x - 1 + x:
 * the sum is the same, since p and q both sum to one, but no term is negative, and an error of the normalisers, which
 * is one of delta's in all columns alike, counts only by its square. For |delta| <= 1 phi is x^2 (E - x O), where E and
 * O are the even and odd terms of its Taylor series, which end below 7e-8 of it; else p phi(delta) = q - p + p delta.
 *
 * The Jensen-Shannon divergence has p ln(p / m) + q ln(q / m) = m ((1 + r) ln(1 + r) + (1 - r) ln(1 - r)), m = (p + q)
 * / 2, r = (p - q) / (p + q) = tanh(delta / 2); its series is sum r^2k / (k (2k - 1)). Away from 0, with w =
 * e^-|delta|, it is the greater of p and q times (1 + w) (ln 2 - ln(1 + w)) - w |delta|. */

typedef struct pair_constants {
    constants p, q, unit;
    vf scale, p_each, q_each, top, top_rest, shift, shift_rest, pivot, pivot_rest, by_pq, by_qp;
} pair_constants;

static inline pair_constants pair_constants_of(const ent_pair_task *task) {
    const vf zero = vf_set(0);
    return (pair_constants){.p = constants_of(vf_set(task->p_m), task->scale, zero),
                            .q = constants_of(vf_set(task->q_m), task->scale, zero),
                            .unit = constants_of(zero, 1.0f, zero),
                            .scale = vf_set(task->scale),
                            .p_each = vf_set(task->p_each),
                            .q_each = vf_set(task->q_each),
                            .top = vf_set(task->tops[0]),
                            .top_rest = vf_set(task->tops[1]),
                            .shift = vf_set(task->shift[0]),
                            .shift_rest = vf_set(task->shift[1]),
                            .pivot = vf_set(task->pivot[0]),
                            .pivot_rest = vf_set(task->pivot[1]),
                            .by_pq = vf_set(task->by_pq),
                            .by_qp = vf_set(task->by_qp)};
}

/* Finite, also of what is not: a column that is impossible in a row multiplies it by 0. */
static inline vf finite_of(vf x) {
    return vf_min(vf_max(x, vf_set(-FLT_MAX)), vf_set(FLT_MAX));
}

static inline vf choose(vf_integers which, vf yes, vf no) {
    return (vf)(((vf_integers)yes & which) | ((vf_integers)no & ~which));
}

/* p - q in two parts without an error (Knuth's sum, 1969), the second 0 where the first is not finite. */
typedef struct apart {
    vf high, low;
} apart;

static inline apart apart_of(vf a, vf b) {
    const vf high = vf_sub(a, b), minus_b = vf_sub(high, a);
    const vf low = vf_sub(vf_sub(a, vf_sub(high, minus_b)), vf_add(b, minus_b));
    const vf_integers is_finite = (vf_floats)vf_sub(high, high) == (vf_floats)vf_set(0);
    return (apart){high, (vf)((vf_integers)low & is_finite)};
}

/* a - b less a number in two parts, likewise in two. */
static inline apart apart_beyond(vf a, vf b, vf from, vf rest) {
    const apart x = apart_of(a, b), y = apart_of(x.high, from);
    return (apart){y.high, vf_add(y.low, vf_sub(x.low, rest))};
}

/* The difference from a number in two parts: where the first two cancel, exact. */
static inline vf beyond(const apart *x, vf from, vf rest) {
    return vf_add(vf_sub(x->high, from), vf_sub(x->low, rest));
}

static inline vf pair_weight(vf z, const constants *k, vf each) {
    const vf raw = vf_sub(z, k->m);
    return vf_mul(each, vf_zero_unless_above(exp_of(vf_max(k->low, raw), k->c), raw, k->low));
}

/* What follows from two vectors of logits. */
typedef struct pair {
    vf p, q, u, delta;
    vf_integers is_near;  /* |delta| <= 1 */
    vf square, even, odd; /* delta^2, E and delta O */
} pair;

static inline __attribute__((always_inline)) pair pair_of(const ent_pair_task *task, size_t i, vf zp, vf zq,
                                                          const pair_constants *k, int is_apart) {
    const size_t n_left = task->n - i;
    const apart x = is_apart ? (apart){load_some(task->high + i, n_left), load_some(task->low + i, n_left)}
                             : apart_beyond(zp, zq, k->top, k->top_rest);
    pair pair;
    pair.p = pair_weight(zp, &k->p, k->p_each);
    pair.q = pair_weight(zq, &k->q, k->q_each);
    pair.u = finite_of(beyond(&x, k->pivot, k->pivot_rest));
    const vf delta = finite_of(vf_mul(k->scale, beyond(&x, k->shift, k->shift_rest)));
    pair.delta = delta;
    pair.is_near = (vf_floats)vf_max(delta, vf_sub(vf_set(0), delta)) <= (vf_floats)vf_set(1.0f);
    const vf square = vf_mul(delta, delta);
    vf even = vf_set(0x1.27e4fcp-22f); /* 1/10!, 1/8!, ... */
    even = vf_fma(even, square, vf_set(0x1.a01a02p-16f));
    even = vf_fma(even, square, vf_set(0x1.6c16c2p-10f));
    even = vf_fma(even, square, vf_set(0x1.555556p-5f));
    even = vf_fma(even, square, vf_set(0.5f));
    vf odd = vf_set(0x1.71de3ap-19f); /* 1/9!, 1/7!, ... */
    odd = vf_fma(odd, square, vf_set(0x1.a01a02p-13f));
    odd = vf_fma(odd, square, vf_set(0x1.111112p-7f));
    odd = vf_fma(odd, square, vf_set(0x1.555556p-3f));
    pair.square = square;
    pair.even = even;
    pair.odd = vf_mul(delta, odd);
    return pair;
}

/* q - p. */
static inline vf pair_gain(const pair *pair) {
    const vf near = vf_mul(pair->p, vf_fms(pair->square, vf_sub(pair->even, pair->odd), pair->delta));
    return choose(pair->is_near, near, vf_sub(pair->q, pair->p));
}

/* Half of m g(r). */
static inline vf jsd_of(const pair *pair, const constants *unit) {
    const vf zero = vf_set(0), size = vf_max(pair->delta, vf_sub(zero, pair->delta));
    const vf r = tanh_small(vf_mul(vf_set(0.5f), pair->delta)), square = vf_mul(r, r);
    vf g = vf_set(0x1.111112p-7f); /* 1/120, 1/91, 1/66, ... */
    g = vf_fma(g, square, vf_set(0x1.681682p-7f));
    g = vf_fma(g, square, vf_set(0x1.f07c2p-7f));
    g = vf_fma(g, square, vf_set(0x1.6c16c2p-6f));
    g = vf_fma(g, square, vf_set(0x1.24924ap-5f));
    g = vf_fma(g, square, vf_set(0x1.111112p-4f));
    g = vf_fma(g, square, vf_set(0x1.555556p-3f));
    g = vf_fma(g, square, vf_set(1.0f));
    const vf near = vf_mul(vf_mul(vf_set(0.25f), vf_add(pair->p, pair->q)), vf_mul(square, g));
    if (!vf_greater_bits(size, vf_set(1.0f)))
        return near;
    const vf raw = vf_sub(zero, size);
    const vf w = vf_zero_unless_above(exp_of(vf_max(unit->low, raw), unit->c), raw, unit->low);
    const vf logs = vf_sub(vf_set(0x1.62e43p-1f), log1p_of(w)); /* ln 2 */
    const vf h = vf_fms(vf_add(w, vf_set(1.0f)), logs, vf_mul(w, size));
    return choose(pair->is_near, near, vf_mul(vf_mul(vf_set(0.5f), vf_max(pair->p, pair->q)), h));
}

typedef struct pair_accumulators {
    vf kl_pq, kl_qp, jsd, gain, mean;
} pair_accumulators;

static inline __attribute__((always_inline)) void add_pair(pair_accumulators *a, const pair *pair,
                                                           const pair_constants *k, int wants_jsd) {
    const vf gain = pair_gain(pair), even = vf_mul(pair->square, pair->even), odd = vf_mul(pair->square, pair->odd);
    const vf near_pq = vf_mul(pair->p, vf_sub(even, odd)), near_qp = vf_mul(pair->q, vf_add(even, odd));
    const vf far_pq = vf_fma(pair->p, pair->delta, gain);
    const vf far_qp = vf_sub(vf_set(0), vf_fma(pair->q, pair->delta, gain));
    a->kl_pq = vf_add(a->kl_pq, choose(pair->is_near, near_pq, far_pq));
    a->kl_qp = vf_add(a->kl_qp, choose(pair->is_near, near_qp, far_qp));
    a->gain = vf_add(a->gain, gain);
    a->mean = vf_fma(pair->p, pair->u, a->mean);
    if (wants_jsd)
        a->jsd = vf_add(a->jsd, jsd_of(pair, &k->unit));
}

static inline pair_accumulators no_pairs(void) {
    const vf zero = vf_set(0);
    return (pair_accumulators){zero, zero, zero, zero, zero};
}

/* Moves what is in one level of the tree to the next. */
static inline __attribute__((always_inline)) void carry_pairs(pair_accumulators *to, pair_accumulators *from) {
    to->kl_pq = vf_add(to->kl_pq, from->kl_pq);
    to->kl_qp = vf_add(to->kl_qp, from->kl_qp);
    to->jsd = vf_add(to->jsd, from->jsd);
    to->gain = vf_add(to->gain, from->gain);
    to->mean = vf_add(to->mean, from->mean);
    *from = no_pairs();
}

/* A tree as in sums_loop, but as a pair costs so much more than an addition, with more branches. */
#define ENT_PAIR_BRANCHES 8

static inline __attribute__((always_inline)) void pair_loop(ent_pair_sums *sums, const ent_pair_task *task,
                                                            int is_apart, int wants_jsd) {
    const pair_constants k = pair_constants_of(task);
    const vf least = vf_set(-INFINITY);
    pair_accumulators group = no_pairs(), run = group, total = group;
    unsigned only_p = 0, only_q = 0;
    for (size_t i = 0; i < task->n;) {
        const vf zp = load_some(task->p + i, task->n - i), zq = load_some(task->q + i, task->n - i);
        const unsigned in_p = vf_greater_bits(zp, least), in_q = vf_greater_bits(zq, least);
        const pair pair = pair_of(task, i, zp, zq, &k, is_apart);
        add_pair(&group, &pair, &k, wants_jsd);
        only_p |= in_p & ~in_q;
        only_q |= in_q & ~in_p;
        i += ENT_W;
        if (i % (ENT_PAIR_BRANCHES * ENT_W) == 0)
            carry_pairs(&run, &group);
        if (i % (ENT_PAIR_BRANCHES * ENT_PAIR_BRANCHES * ENT_W) == 0)
            carry_pairs(&total, &run);
    }
    carry_pairs(&run, &group);
    carry_pairs(&total, &run);
    *sums = (ent_pair_sums){vf_sum(total.kl_pq), vf_sum(total.kl_qp), vf_sum(total.jsd), vf_sum(total.gain),
                            vf_sum(total.mean),  only_p != 0,         only_q != 0};
}

/* p by_pq scale u + by_qp (p - q), exactly 0 where p's column is impossible. */
static inline __attribute__((always_inline)) void pair_gradient_loop(float *out, const ent_pair_task *task,
                                                                     int is_apart) {
    const pair_constants k = pair_constants_of(task);
    for (size_t i = 0; i < task->n; i += ENT_W) {
        const vf zp = load_some(task->p + i, task->n - i), zq = load_some(task->q + i, task->n - i);
        const pair pair = pair_of(task, i, zp, zq, &k, is_apart);
        const vf of_pq = vf_mul(vf_mul(k.by_pq, k.scale), vf_mul(pair.p, pair.u));
        const vf sum = vf_sub(of_pq, vf_mul(k.by_qp, pair_gain(&pair)));
        const vf gradient = vf_zero_unless_above(sum, zp, vf_set(-INFINITY));
        store_some(out + i, task->n - i, gradient);
    }
}

static void pair_gradient_body(float *out, const ent_pair_task *task) {
    if (task->high)
        pair_gradient_loop(out, task, 1);
    else
        pair_gradient_loop(out, task, 0);
}

static void pair_sums_body(ent_pair_sums *sums, const ent_pair_task *task) {
    if (task->high && task->wants_jsd)
        pair_loop(sums, task, 1, 1);
    else if (task->high)
        pair_loop(sums, task, 1, 0);
    else if (task->wants_jsd)
        pair_loop(sums, task, 0, 1);
    else
        pair_loop(sums, task, 0, 0);
}
