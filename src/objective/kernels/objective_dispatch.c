/* Which kernels a level uses, and what they share. */
#include "objective_kernels.h"

#include "objective_fixed.h"

/* Adds coarse 2^-20 + fine 2^-64. */
static void add_fixed(entrol_sum *sum, int64_t coarse, int64_t fine) {
    const entrol_sum parts[2] = {{(uint64_t)coarse << 44, coarse >> 20, 0, 0}, {(uint64_t)fine, fine >> 63, 0, 0}};
    entrol_sum_merge(sum, &parts[0]);
    entrol_sum_merge(sum, &parts[1]);
}

void ent_fold_sum(ent_running_sum *sum) {
    uint64_t coarse = 0, fine = 0;
    for (size_t lane = 0; lane < 8; lane++) {
        coarse += (uint64_t)sum->coarse[lane];
        fine += (uint64_t)sum->fine[lane];
        sum->coarse[lane] = sum->fine[lane] = 0;
    }
    add_fixed(&sum->folded, (int64_t)coarse, (int64_t)fine);
    sum->n_blocks = 0;
}

void ent_sum_add_each(entrol_sum *sum, const double *x, const double *y, double scale, size_t n) {
    const uint64_t n_before = sum->n;
    for (size_t i = 0; i < n; i++)
        entrol_sum_add(sum, y ? scale * x[i] * y[i] : x[i]);
    sum->n = n_before;
}

const ent_objective_kernels *ent_objective_kernels_for(entrol_cpu cpu) {
#if defined(__x86_64__)
    if (cpu == ENTROL_CPU_AVX512)
        return &ent_objective_kernels_avx512;
    if (cpu == ENTROL_CPU_AVX2)
        return &ent_objective_kernels_avx2;
#endif
    (void)cpu;
    return &ent_objective_kernels_plain;
}
