/* AVX2: four doubles a vector. No fused products: the bits are those of every level. */
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

#include "objective/kernels/objective_kernels.h"

#include "objective/kernels/objective_fixed.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define ENT_LANES_OF_DOUBLE 4
#define ENT_OBJECTIVE_TABLE ent_objective_kernels_avx2

typedef double __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(double)))) ent_vd;
typedef int64_t __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(int64_t)))) ent_vi;
typedef uint64_t __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(uint64_t)))) ent_vu;
typedef float __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(float)))) ent_vf;
typedef int32_t __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(double)))) ent_v32;
typedef float __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(double)))) ent_vf32;

static inline ent_vd ent_choose_less(ent_vd a, ent_vd b, ent_vd x, ent_vd y) {
    return (ent_vd)_mm256_blendv_pd((__m256d)y, (__m256d)x, _mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_LT_OQ));
}

static inline ent_vd ent_min(ent_vd a, ent_vd b) {
    return (ent_vd)_mm256_min_pd((__m256d)a, (__m256d)b);
}

static inline ent_vd ent_max(ent_vd a, ent_vd b) {
    return (ent_vd)_mm256_max_pd((__m256d)a, (__m256d)b);
}

/* a 1 + b is rounded once, too, and the multipliers do it. */
static inline ent_vd ent_add(ent_vd a, ent_vd b) {
    __m256d one = _mm256_set1_pd(1);
    __asm__("" : "+x"(one)); /* which the compiler shall not see */
    return (ent_vd)_mm256_fmadd_pd((__m256d)a, one, (__m256d)b);
}

static inline ent_vi ent_count_less(ent_vi n, ent_vd a, ent_vd b, ent_vd c, ent_vd d) {
    return n - ((ent_vi)_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_LT_OQ) &
                (ent_vi)_mm256_cmp_pd((__m256d)c, (__m256d)d, _CMP_LT_OQ));
}

static inline ent_vi ent_or_difference(ent_vi a, ent_vi b, ent_vi c) {
    return a | (b ^ c);
}

static inline int ent_any(ent_vi a) {
    return !_mm256_testz_si256((__m256i)a, (__m256i)a);
}

static inline ent_vd ent_widen(ent_vf a) {
    return (ent_vd)_mm256_cvtps_pd((__m128)a);
}

static inline ent_v32 ent_max_32(ent_v32 a, ent_v32 b) {
    return (ent_v32)_mm256_max_epi32((__m256i)a, (__m256i)b);
}

static inline ent_v32 ent_min_u32(ent_v32 a, ent_v32 b) {
    return (ent_v32)_mm256_min_epu32((__m256i)a, (__m256i)b);
}

static inline void ent_stream_line(float *out, const float *x) {
    _mm256_stream_ps(out, _mm256_loadu_ps(x));
    _mm256_stream_ps(out + 8, _mm256_loadu_ps(x + 8));
}

static void ent_stream_end(void) {
    _mm_sfence();
}

#include "objective/kernels/objective_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int ent_not_this_architecture; /* a C file may not be empty */
#endif
