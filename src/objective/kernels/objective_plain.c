/* Whatever the compiler takes for granted: SSE2 on x86-64, NEON on AArch64. */
#include "objective_kernels.h"

#include "objective_fixed.h"

#include <math.h>
#include <string.h>

#define ENT_LANES_OF_DOUBLE 2
#define ENT_OBJECTIVE_TABLE ent_objective_kernels_plain

typedef double __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(double)))) ent_vd;
typedef int64_t __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(int64_t)))) ent_vi;
typedef uint64_t __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(uint64_t)))) ent_vu;
typedef float __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(float)))) ent_vf;
typedef int32_t __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(double)))) ent_v32;
typedef float __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(double)))) ent_vf32;

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

static inline ent_vi ent_count_less(ent_vi n, ent_vd a, ent_vd b, ent_vd c, ent_vd d) {
    return n - ((a < b) & (c < d));
}

static inline ent_vi ent_or_difference(ent_vi a, ent_vi b, ent_vi c) {
    return a | (b ^ c);
}

static inline int ent_any(ent_vi a) {
    return (a[0] | a[1]) != 0;
}

static inline ent_vd ent_widen(ent_vf a) {
    return __builtin_convertvector(a, ent_vd);
}

static inline ent_v32 ent_max_32(ent_v32 a, ent_v32 b) {
    const ent_v32 mask = a > b;
    return (mask & a) | (~mask & b);
}

static inline ent_v32 ent_min_u32(ent_v32 a, ent_v32 b) {
    const ent_v32 sign = (ent_v32){0} + INT32_MIN, mask = (a ^ sign) < (b ^ sign);
    return (mask & a) | (~mask & b);
}

/* Through the caches. */
static inline void ent_stream_line(float *out, const float *x) {
    memcpy(out, x, 16 * sizeof *x);
}

static void ent_stream_end(void) {
}

#include "objective_body.h"
