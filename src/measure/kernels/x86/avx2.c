/* AVX2 with FMA and F16C: eight lanes. */
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

#include "measure/kernels/kernels.h"

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define ENT_W 8
typedef __m256 vf;

static inline vf vf_set(float x) {
    return _mm256_set1_ps(x);
}

static inline vf vf_load(const float *z) {
    return _mm256_loadu_ps(z);
}

static inline void vf_store(float *z, vf x) {
    _mm256_storeu_ps(z, x);
}

static inline vf vf_add(vf a, vf b) {
    return _mm256_add_ps(a, b);
}

static inline vf vf_sub(vf a, vf b) {
    return _mm256_sub_ps(a, b);
}

static inline vf vf_mul(vf a, vf b) {
    return _mm256_mul_ps(a, b);
}

static inline vf vf_div(vf a, vf b) {
    return _mm256_div_ps(a, b);
}

static inline vf vf_fma(vf a, vf b, vf c) {
    return _mm256_fmadd_ps(a, b, c);
}

static inline vf vf_fms(vf a, vf b, vf c) {
    return _mm256_fmsub_ps(a, b, c);
}

static inline vf vf_max(vf a, vf b) {
    return _mm256_max_ps(a, b);
}

static inline vf vf_min(vf a, vf b) {
    return _mm256_min_ps(a, b);
}

static inline vf vf_zero_unless_above(vf e, vf x, vf low) {
    return _mm256_and_ps(e, _mm256_cmp_ps(x, low, _CMP_NLE_UQ));
}

static inline vf vf_zero_where_zero(vf e, vf x) {
    return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_EQ_OQ), e);
}

static inline vf vf_count_zeros(vf count, vf x) {
    const vf equal = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_EQ_OQ);
    return _mm256_add_ps(count, _mm256_and_ps(equal, _mm256_set1_ps(1.0f)));
}

static inline unsigned vf_greater_bits(vf a, vf b) {
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ));
}

static inline vf vf_scale_by_power(vf p, vf t) {
    const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), power));
}

static inline double vf_sum(vf x) {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
    const __m256d four = _mm256_add_pd(low, high);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

static inline float vf_max_lane(vf x) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

static inline vf vf_mask(vf x, const uint8_t *mask, size_t i) {
    const __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i bits = _mm256_and_si256(_mm256_set1_epi32(mask[i / 8]), each);
    const __m256i allowed = _mm256_cmpeq_epi32(bits, each);
    return _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), x, _mm256_castsi256_ps(allowed));
}

static inline vf vf_widen_f32(const char *z) {
    return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(const void *)z));
}

static inline vf vf_widen_f16(const char *z) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)z));
}

static inline vf vf_widen_bf16(const char *z) {
    const __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)z);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

static inline void vf_narrow_f16(char *out, vf x) {
    _mm_storeu_si128((__m128i *)(void *)out, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

static inline void vf_store_halves(char *out, vf x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
    _mm_storeu_si128((__m128i *)(void *)out, halves);
}

static inline vf vf_pack(vf x, unsigned bits, uint64_t lanes) {
    (void)bits;
    return _mm256_permutevar8x32_ps(x, _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)lanes)));
}

typedef struct vf_units {
    __m256i low, high;
} vf_units;

static inline vf_units vf_add_units(vf_units sums, vf x, double magic) {
    const __m256d shift = _mm256_set1_pd(magic);
    const __m256d low = _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)), shift);
    const __m256d high = _mm256_add_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)), shift);
    sums.low = _mm256_add_epi64(sums.low, _mm256_castpd_si256(low));
    sums.high = _mm256_add_epi64(sums.high, _mm256_castpd_si256(high));
    return sums;
}

static inline void vf_stream(float *out, vf x) {
    _mm256_stream_ps(out, x);
}

static inline void vf_stream_end(void) {
    _mm_sfence();
}

typedef __m256d vd;

static inline vd vd_set(double x) {
    return _mm256_set1_pd(x);
}

static inline vd vd_fma(vd a, vd b, vd c) {
    return _mm256_fmadd_pd(a, b, c);
}

static inline vd vd_max(vd a, vd b) {
    return _mm256_max_pd(a, b);
}

/* The line of two vectors of f32. */
static inline __attribute__((always_inline)) void ent_prefetch(uintptr_t address) {
    _mm_prefetch((const char *)address, _MM_HINT_T0);
}

#include "measure/kernels/body.h"

void ent_kernels_avx2(ent_kernels *kernels) {
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
