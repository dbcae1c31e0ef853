/* The plain kernels that run anywhere: no intrinsics, libm's expf, sums in double. */
#include "kernels.h"

#include "base/dtype.h"

#include <math.h>
#include <string.h>

/* Below this d a column counts as impossible, at every level alike: e^-87 is about the least normal float. */
#define MIN_EXPONENT (-87.0f)

static float max_ref(const float *z, size_t n) {
    float m = -INFINITY;
    for (size_t i = 0; i < n; i++)
        m = z[i] > m ? z[i] : m;
    return m;
}

static size_t count_greater_ref(const float *z, size_t n, float threshold) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += z[i] > threshold;
    return count;
}

static size_t find_greater_ref(uint16_t *found, const float *z, size_t n, float threshold) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (z[i] > threshold)
            found[count++] = (uint16_t)i;
    return count;
}

/* e^(scale x) for x = z - m, exactly 0 below the cut, NaN for NaN. */
static double exp_ref(float x, float scale) {
    const float d = x * scale;
    return d < MIN_EXPONENT ? 0 : (double)expf(d);
}

static void sums_ref(ent_sums *sums, const ent_sums_task *task) {
    ent_sums total = {0, 0, 0, 0, 0};
    for (size_t i = 0; i < task->n; i++) {
        const float x = task->z[i] - task->m;
        const double e = x == 0 ? 0 : exp_ref(x, task->scale);
        total.n_top += x == 0;
        total.s += e;
        if (e == 0 && x >= -INFINITY) /* 0 * -inf is no term, but a NaN is one */
            continue;
        const double from_pivot = (double)x - (double)task->pivot;
        total.t += e * (double)x;
        total.u += e * from_pivot * from_pivot;
        total.q += e * e;
    }
    *sums = total;
}

/* One lane of lanes_ref, as if it were a row of its own. */
static void lane_ref(ent_lanes_sums *sums, size_t lane, const float *tile, size_t n_columns, float scale) {
    float row[ENT_SHORT];
    for (size_t j = 0; j < n_columns; j++)
        row[j] = tile[j * ENT_LANES + lane];
    const float m = max_ref(row, n_columns);
    ent_sums_task task = {row, n_columns, m == -INFINITY ? 0 : m, scale, 0, 1, 1, NULL, 0};
    ent_sums total, about_mean;
    sums_ref(&total, &task);
    const double mean = total.t / (total.s + total.n_top);
    task.pivot = (float)mean;
    sums_ref(&about_mean, &task);
    sums->m[lane] = m;
    sums->n_top[lane] = (float)total.n_top;
    sums->s[lane] = (float)total.s;
    sums->t[lane] = (float)total.t;
    sums->u[lane] = (float)(about_mean.u + total.n_top * mean * mean);
    sums->q[lane] = (float)total.q;
}

static void lanes_ref(ent_lanes_sums *sums, const float *tile, size_t n_columns, float scale, int squares) {
    (void)squares; /* everything is computed: this level is for correctness */
    for (size_t lane = 0; lane < ENT_LANES; lane++)
        lane_ref(sums, lane, tile, n_columns, scale);
}

static void apply_mask(float *out, size_t n, const uint8_t *mask) {
    for (size_t i = 0; mask && i < n; i++)
        out[i] = (mask[i / 8] >> (i % 8)) & 1 ? out[i] : -INFINITY;
}

static void widen_f32_ref(float *out, const void *z, size_t n, const uint8_t *mask) {
    memcpy(out, z, n * sizeof *out);
    apply_mask(out, n, mask);
}

static void widen_f16_ref(float *out, const void *z, size_t n, const uint8_t *mask) {
    for (size_t i = 0; i < n; i++)
        out[i] = (float)ent_element(z, ENTROL_F16, i);
    apply_mask(out, n, mask);
}

static void widen_bf16_ref(float *out, const void *z, size_t n, const uint8_t *mask) {
    for (size_t i = 0; i < n; i++)
        out[i] = (float)ent_element(z, ENTROL_BF16, i);
    apply_mask(out, n, mask);
}

void ent_kernels_ref(ent_kernels *kernels) {
    *kernels = (ent_kernels){
        .cpu = ENTROL_CPU_SCALAR,
        .max = max_ref,
        .count_greater = count_greater_ref,
        .find_greater = find_greater_ref,
        .sums = sums_ref,
        .lanes = lanes_ref,
        .widen = {[ENTROL_F32] = widen_f32_ref, [ENTROL_F16] = widen_f16_ref, [ENTROL_BF16] = widen_bf16_ref}};
}
