/* AVX-512 (F, BW, DQ, VL): sixteen lanes. */
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))),              \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512")
#endif

#include "measure/kernels/kernels.h"

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define ENT_W 16
typedef __m512 vf;

static inline vf vf_set(float x) {
    return _mm512_set1_ps(x);
}

static inline vf vf_load(const float *z) {
    return _mm512_loadu_ps(z);
}

static inline void vf_store(float *z, vf x) {
    _mm512_storeu_ps(z, x);
}

static inline vf vf_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}

static inline vf vf_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}

static inline vf vf_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}

static inline vf vf_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}

static inline vf vf_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}

static inline vf vf_fms(vf a, vf b, vf c) {
    return _mm512_fmsub_ps(a, b, c);
}

static inline vf vf_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}

static inline vf vf_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}

static inline vf vf_zero_unless_above(vf e, vf x, vf low) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, low, _CMP_NLE_UQ), e);
}

static inline vf vf_zero_where_zero(vf e, vf x) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NEQ_UQ), e);
}

static inline vf vf_count_zeros(vf count, vf x) {
    const __mmask16 equal = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_EQ_OQ);
    return _mm512_mask_add_ps(count, equal, count, _mm512_set1_ps(1.0f));
}

static inline unsigned vf_greater_bits(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}

static inline vf vf_scale_by_power(vf p, vf t) {
    const __m512i power = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), power));
}

#define ENT_HAS_NEAREST
static inline vf vf_nearest(vf *power, vf x) {
    *power = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return *power;
}

static inline vf vf_scale_nearest(vf p, vf power) {
    return _mm512_scalef_ps(p, power);
}

static inline double vf_sum(vf x) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(x));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}

static inline float vf_max_lane(vf x) {
    return _mm512_reduce_max_ps(x);
}

static inline vf vf_mask(vf x, const uint8_t *mask, size_t i) {
    const __mmask16 allowed = (__mmask16)(mask[i / 8] | mask[i / 8 + 1] << 8);
    return _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), allowed, x);
}

static inline vf vf_widen_f32(const char *z) {
    return _mm512_castsi512_ps(_mm512_loadu_si512((const void *)z));
}

static inline vf vf_widen_f16(const char *z) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)z));
}

static inline vf vf_widen_bf16(const char *z) {
    const __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)z);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static inline void vf_narrow_f16(char *out, vf x) {
    _mm256_storeu_si256((__m256i *)(void *)out, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

static inline void vf_store_halves(char *out, vf x) {
    _mm256_storeu_si256((__m256i *)(void *)out, _mm512_cvtepi32_epi16(_mm512_castps_si512(x)));
}

typedef struct vf_units {
    __m512i low, high;
} vf_units;

static inline vf_units vf_add_units(vf_units sums, vf x, double magic) {
    const __m512d shift = _mm512_set1_pd(magic);
    const __m512d low = _mm512_add_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(x)), shift);
    const __m512d high = _mm512_add_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)), shift);
    sums.low = _mm512_add_epi64(sums.low, _mm512_castpd_si512(low));
    sums.high = _mm512_add_epi64(sums.high, _mm512_castpd_si512(high));
    return sums;
}

static inline void vf_stream(float *out, vf x) {
    _mm512_stream_ps(out, x);
}

static inline void vf_stream_end(void) {
    _mm_sfence();
}

typedef __m512d vd;

static inline vd vd_set(double x) {
    return _mm512_set1_pd(x);
}

static inline vd vd_fma(vd a, vd b, vd c) {
    return _mm512_fmadd_pd(a, b, c);
}

static inline vd vd_max(vd a, vd b) {
    return _mm512_max_pd(a, b);
}

static inline vf vf_pack(vf x, unsigned bits, uint64_t lanes) {
    (void)lanes;
    return _mm512_maskz_compress_ps((__mmask16)bits, x);
}

/* The lines of two vectors of f32. */
static inline __attribute__((always_inline)) void ent_prefetch(uintptr_t address) {
    _mm_prefetch((const char *)address, _MM_HINT_T0);
    _mm_prefetch((const char *)(address + 64), _MM_HINT_T0);
}

#include "measure/kernels/body.h"

void ent_kernels_avx512(ent_kernels *kernels) {
    fill_body(kernels);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int ent_not_this_architecture; /* a C file may not be empty */
#endif
