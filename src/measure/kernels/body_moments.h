/* Sums whose bits are the same at every level: ENT_LANES lanes, however wide a vector is. Part of body.h. */

typedef struct moment_vectors {
    vf n_top, s, t, u;
} moment_vectors;

typedef struct moment_lanes {
    float n_top[ENT_LANES], s[ENT_LANES], t[ENT_LANES], u[ENT_LANES];
} moment_lanes;

/* `has_top` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void add_moments(moment_vectors *sums, vf z, const constants *k,
                                                              int has_top) {
    const vf raw = vf_sub(z, k->m), x = vf_max(k->low, raw), mass = mass_of(x, k);
    const vf e = has_top ? vf_zero_where_zero(mass, raw) : mass, product = vf_mul(e, x);
    if (has_top)
        sums->n_top = vf_count_zeros(sums->n_top, raw);
    sums->s = vf_add(sums->s, e);
    sums->t = vf_add(sums->t, product);
    sums->u = vf_add(sums->u, vf_mul(product, x));
}

/* The lanes from `lane` on, of a vector: so few sums stay in registers everywhere. The first ones prefetch. */
static inline __attribute__((always_inline)) void sum_vector(moment_lanes *lanes, size_t lane,
                                                             const ent_moments_task *task, int has_top) {
    enum { STEP = ENT_LANES > 2 * ENT_W ? ENT_LANES : 2 * ENT_W };
    const constants k = constants_of(vf_set(task->m), task->scale, vf_set(0));
    const vf zero = vf_set(0);
    const float *z = task->z;
    moment_vectors sums = {zero, zero, zero, zero};
    size_t i = lane;
    for (; i + STEP <= task->n; i += STEP) {
        if (lane == 0)
            ent_prefetch((uintptr_t)(z + task->n) + i * sizeof(float));
        for (size_t j = i; j < i + STEP; j += ENT_LANES)
            add_moments(&sums, vf_load(z + j), &k, has_top);
    }
    for (; i < task->n; i += ENT_LANES)
        add_moments(&sums, load_some(z + i, task->n - i), &k, has_top);
    vf_store(lanes->n_top + lane, sums.n_top);
    vf_store(lanes->s + lane, sums.s);
    vf_store(lanes->t + lane, sums.t);
    vf_store(lanes->u + lane, sums.u);
}

static inline double sum_lanes(const float *lanes) {
    double sums[ENT_LANES / 2];
    for (size_t lane = 0; lane < ENT_LANES / 2; lane++)
        sums[lane] = (double)lanes[lane] + (double)lanes[lane + ENT_LANES / 2];
    for (size_t half = ENT_LANES / 4; half; half /= 2)
        for (size_t lane = 0; lane < half; lane++)
            sums[lane] += sums[lane + half];
    return sums[0];
}

static void moments_body(ent_moments *moments, const ent_moments_task *task) {
    moment_lanes lanes;
    for (size_t lane = 0; lane < ENT_LANES; lane += ENT_W)
        if (task->has_top)
            sum_vector(&lanes, lane, task, 1);
        else
            sum_vector(&lanes, lane, task, 0);
    *moments = (ent_moments){sum_lanes(lanes.n_top), sum_lanes(lanes.s), sum_lanes(lanes.t), sum_lanes(lanes.u)};
}
