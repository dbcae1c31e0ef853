/* Which kernels a level uses: the plain ones, overwritten upward by each instruction set that the level includes. */
#include "kernels.h"

#include <stdatomic.h>

/* In rising order. A new instruction set is one file and one row here. */
static const struct {
    entrol_cpu cpu;
    void (*fill)(ent_kernels *kernels);
} levels[] = {
    {ENTROL_CPU_SCALAR, ent_kernels_ref},
#if defined(__x86_64__)
    {ENTROL_CPU_AVX2, ent_kernels_avx2},
    {ENTROL_CPU_AVX512, ent_kernels_avx512},
#endif
#if defined(__aarch64__)
    {ENTROL_CPU_NEON, ent_kernels_neon},
#endif
};

enum { N_LEVELS = sizeof levels / sizeof *levels };
enum { EMPTY, FILLING, READY };

static ent_kernels tables[N_LEVELS];
static atomic_int states[N_LEVELS];

static void fill_table(int index) {
    for (int i = 0; i <= index; i++)
        levels[i].fill(&tables[index]);
    tables[index].cpu = levels[index].cpu;
}

const ent_kernels *ent_kernels_for(entrol_cpu cpu) {
    int index = 0;
    for (int i = 0; i < N_LEVELS; i++)
        index = levels[i].cpu == cpu ? i : index;
    int expected = EMPTY;
    if (atomic_compare_exchange_strong(&states[index], &expected, FILLING)) {
        fill_table(index);
        atomic_store(&states[index], READY);
    }
    while (atomic_load(&states[index]) != READY)
        ; /* another thread fills it: a few hundred instructions */
    return &tables[index];
}
