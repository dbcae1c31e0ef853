/* AVX-512 (F, BW, DQ, VL): eight doubles a vector. No fused products: the bits are those of every level. */
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))),              \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512")
#endif

#include "objective/kernels/objective_kernels.h"

#include "objective/kernels/objective_fixed.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define ENT_LANES_OF_DOUBLE 8
#define ENT_OBJECTIVE_TABLE ent_objective_kernels_avx512

typedef double __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(double)))) ent_vd;
typedef int64_t __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(int64_t)))) ent_vi;
typedef uint64_t __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(uint64_t)))) ent_vu;
typedef float __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(float)))) ent_vf;
typedef int32_t __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(double)))) ent_v32;
typedef float __attribute__((vector_size(ENT_LANES_OF_DOUBLE * sizeof(double)))) ent_vf32;

static inline ent_vd ent_choose_less(ent_vd a, ent_vd b, ent_vd x, ent_vd y) {
    return (ent_vd)_mm512_mask_blend_pd(_mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ), (__m512d)y, (__m512d)x);
}

static inline ent_vd ent_min(ent_vd a, ent_vd b) {
    return (ent_vd)_mm512_min_pd((__m512d)a, (__m512d)b);
}

static inline ent_vd ent_max(ent_vd a, ent_vd b) {
    return (ent_vd)_mm512_max_pd((__m512d)a, (__m512d)b);
}

/* a 1 + b is rounded once, too, and the multipliers do it. */
static inline ent_vd ent_add(ent_vd a, ent_vd b) {
    __m512d one = _mm512_set1_pd(1);
    __asm__("" : "+v"(one)); /* which the compiler shall not see */
    return (ent_vd)_mm512_fmadd_pd((__m512d)a, one, (__m512d)b);
}

static inline ent_vi ent_count_less(ent_vi n, ent_vd a, ent_vd b, ent_vd c, ent_vd d) {
    const __mmask8 less = _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ);
    const __mmask8 both = _mm512_mask_cmp_pd_mask(less, (__m512d)c, (__m512d)d, _CMP_LT_OQ);
    return (ent_vi)_mm512_mask_add_epi64((__m512i)n, both, (__m512i)n, _mm512_set1_epi64(1));
}

/* One instruction for both. */
static inline ent_vi ent_or_difference(ent_vi a, ent_vi b, ent_vi c) {
    return (ent_vi)_mm512_ternarylogic_epi64((__m512i)a, (__m512i)b, (__m512i)c, 0xf6);
}

static inline int ent_any(ent_vi a) {
    return _mm512_test_epi64_mask((__m512i)a, (__m512i)a) != 0;
}

static inline ent_vd ent_widen(ent_vf a) {
    return (ent_vd)_mm512_cvtps_pd((__m256)a);
}

static inline ent_v32 ent_max_32(ent_v32 a, ent_v32 b) {
    return (ent_v32)_mm512_max_epi32((__m512i)a, (__m512i)b);
}

static inline ent_v32 ent_min_u32(ent_v32 a, ent_v32 b) {
    return (ent_v32)_mm512_min_epu32((__m512i)a, (__m512i)b);
}

static inline void ent_stream_line(float *out, const float *x) {
    _mm512_stream_ps(out, _mm512_loadu_ps(x));
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
