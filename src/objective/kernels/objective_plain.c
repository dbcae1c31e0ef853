/* Whatever the compiler takes for granted: SSE2 on x86-64, NEON on AArch64. */
#include "objective_kernels.h"

#include "objective_fixed.h"

#include <math.h>
#include <string.h>

#define ENT_LANES_OF_DOUBLE 2
#define ENT_OBJECTIVE_TABLE ent_objective_kernels_plain

typedef double __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(double)))) ent_vd;
typedef int64_t __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(int64_t)))) ent_vi;

static inline ent_vd ent_choose_less(ent_vd a, ent_vd b, ent_vd x, ent_vd y) {
    const ent_vi mask = a < b;
    return (ent_vd)((mask & (ent_vi)x) | (~mask & (ent_vi)y));
}

static inline ent_vd ent_min(ent_vd a, ent_vd b) {
    return ent_choose_less(a, b, a, b);
}

static inline ent_vd ent_max(ent_vd a, ent_vd b) {
    return ent_choose_less(b, a, a, b);
}

static inline ent_vd ent_add(ent_vd a, ent_vd b) {
    return a + b;
}

/* Through the caches. */
static inline void ent_stream_line(float *out, const float *x) {
    memcpy(out, x, 16 * sizeof *x);
}

static void ent_stream_end(void) {
}

#include "objective_body.h"
