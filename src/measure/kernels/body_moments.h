/* Sums whose bits are the same at every level: ENT_LANES lanes, however wide a vector is. Part of body.h. */

#define MOMENT_VECTORS (ENT_LANES / ENT_W)

typedef struct moment_vectors {
    vf n_top[MOMENT_VECTORS], s[MOMENT_VECTORS], t[MOMENT_VECTORS], u[MOMENT_VECTORS], q[MOMENT_VECTORS];
} moment_vectors;

/* `has_top` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void add_moments(moment_vectors *sums, size_t j, vf z, const constants *k,
                                                              int has_top) {
    const vf raw = vf_sub(z, k->m), x = vf_max(k->low, raw), mass = mass_of(raw, k);
    const vf e = has_top ? vf_zero_where_zero(mass, raw) : mass, product = vf_mul(e, x);
    if (has_top)
        sums->n_top[j] = vf_count_zeros(sums->n_top[j], raw);
    sums->s[j] = vf_add(sums->s[j], e);
    sums->t[j] = vf_add(sums->t[j], product);
    sums->u[j] = vf_add(sums->u[j], vf_mul(product, x));
    sums->q[j] = vf_add(sums->q[j], vf_mul(e, e));
}

/* The lanes in their order. */
static double sum_lanes(const vf *sums) {
    float lanes[ENT_LANES];
    double sum = 0;
    for (size_t j = 0; j < MOMENT_VECTORS; j++)
        vf_store(lanes + j * ENT_W, sums[j]);
    for (size_t lane = 0; lane < ENT_LANES; lane++)
        sum += (double)lanes[lane];
    return sum;
}

static inline __attribute__((always_inline)) void moments_loop(ent_moments *moments, const ent_moments_task *task,
                                                               int has_top) {
    const constants k = constants_of(vf_set(task->m), task->scale, vf_set(0));
    moment_vectors sums;
    for (size_t j = 0; j < MOMENT_VECTORS; j++)
        sums.n_top[j] = sums.s[j] = sums.t[j] = sums.u[j] = sums.q[j] = vf_set(0);
    size_t i = 0;
    for (; i + ENT_LANES <= task->n; i += ENT_LANES)
        for (size_t j = 0; j < MOMENT_VECTORS; j++)
            add_moments(&sums, j, vf_load(task->z + i + j * ENT_W), &k, has_top);
    for (size_t j = 0; i < task->n; i += ENT_W, j++)
        add_moments(&sums, j, load_some(task->z + i, task->n - i), &k, has_top);
    *moments = (ent_moments){sum_lanes(sums.n_top), sum_lanes(sums.s), sum_lanes(sums.t), sum_lanes(sums.u),
                             sum_lanes(sums.q)};
}

static void moments_body(ent_moments *moments, const ent_moments_task *task) {
    if (task->has_top)
        moments_loop(moments, task, 1);
    else
        moments_loop(moments, task, 0);
}
