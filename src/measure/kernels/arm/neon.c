/* NEON of 64-bit Arm: four lanes. */
#if defined(__aarch64__)

#include "measure/kernels/kernels.h"

#include <arm_neon.h>
#include <float.h>
#include <math.h>
#include <string.h>

#define ENT_W 4
typedef float32x4_t vf;

static inline vf vf_set(float x) {
    return vdupq_n_f32(x);
}

static inline vf vf_load(const float *z) {
    return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)z));
}

static inline void vf_store(float *z, vf x) {
    vst1q_u8((uint8_t *)z, vreinterpretq_u8_f32(x));
}

static inline vf vf_add(vf a, vf b) {
    return vaddq_f32(a, b);
}

static inline vf vf_sub(vf a, vf b) {
    return vsubq_f32(a, b);
}

static inline vf vf_mul(vf a, vf b) {
    return vmulq_f32(a, b);
}

static inline vf vf_div(vf a, vf b) {
    return vdivq_f32(a, b);
}

static inline vf vf_fma(vf a, vf b, vf c) {
    return vfmaq_f32(c, a, b);
}

static inline vf vf_fms(vf a, vf b, vf c) {
    return vfmaq_f32(vnegq_f32(c), a, b);
}

/* A comparison and a choice, since vmaxq_f32 gives NaN wherever there is one. */
static inline vf vf_max(vf a, vf b) {
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline vf vf_min(vf a, vf b) {
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline vf vf_zero_unless_above(vf e, vf x, vf low) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(e), vcleq_f32(x, low)));
}

static inline vf vf_zero_where_zero(vf e, vf x) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(e), vceqzq_f32(x)));
}

static inline vf vf_count_zeros(vf count, vf x) {
    const uint32x4_t one = vreinterpretq_u32_f32(vdupq_n_f32(1.0f));
    return vaddq_f32(count, vreinterpretq_f32_u32(vandq_u32(vceqzq_f32(x), one)));
}

static inline unsigned vf_greater_bits(vf a, vf b) {
    static const uint32_t each[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgtq_f32(a, b), vld1q_u32(each)));
}

static inline vf vf_scale_by_power(vf p, vf t) {
    const int32x4_t power = vshlq_n_s32(vreinterpretq_s32_f32(t), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), power));
}

static inline double vf_sum(vf x) {
    return vaddvq_f64(vaddq_f64(vcvt_f64_f32(vget_low_f32(x)), vcvt_high_f64_f32(x)));
}

static inline float vf_max_lane(vf x) {
    return vmaxvq_f32(x);
}

static inline vf vf_mask(vf x, const uint8_t *mask, size_t i) {
    static const uint32_t each[4] = {1, 2, 4, 8};
    const uint32x4_t bits = vdupq_n_u32((uint32_t)mask[i / 8] >> (i % 8));
    return vbslq_f32(vtstq_u32(bits, vld1q_u32(each)), x, vdupq_n_f32(-INFINITY));
}

static inline vf vf_widen_f32(const char *z) {
    return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)z));
}

static inline vf vf_widen_f16(const char *z) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8((const uint8_t *)z)));
}

static inline vf vf_widen_bf16(const char *z) {
    const uint16x4_t halves = vreinterpret_u16_u8(vld1_u8((const uint8_t *)z));
    return vreinterpretq_f32_u32(vshll_n_u16(halves, 16));
}

static inline void vf_narrow_f16(char *out, vf x) {
    vst1_u8((uint8_t *)out, vreinterpret_u8_f16(vcvt_f16_f32(x)));
}

static inline void vf_store_halves(char *out, vf x) {
    vst1_u8((uint8_t *)out, vreinterpret_u8_u16(vmovn_u32(vreinterpretq_u32_f32(x))));
}

static inline vf vf_pack(vf x, unsigned bits, uint64_t lanes) {
    (void)bits;
    const uint32x4_t places = vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(lanes))));
    const uint32x4_t bytes = vmlaq_n_u32(vdupq_n_u32(0x03020100), places, 0x04040404);
    return vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(x), vreinterpretq_u8_u32(bytes)));
}

typedef struct vf_units {
    uint64x2_t low, high;
} vf_units;

static inline vf_units vf_add_units(vf_units sums, vf x, double magic) {
    const float64x2_t shift = vdupq_n_f64(magic);
    const float64x2_t low = vaddq_f64(vcvt_f64_f32(vget_low_f32(x)), shift);
    const float64x2_t high = vaddq_f64(vcvt_high_f64_f32(x), shift);
    sums.low = vaddq_u64(sums.low, vreinterpretq_u64_f64(low));
    sums.high = vaddq_u64(sums.high, vreinterpretq_u64_f64(high));
    return sums;
}

/* There are no such stores here. */
static inline void vf_stream(float *out, vf x) {
    vf_store(out, x);
}

static inline void vf_stream_end(void) {
}

typedef float64x2_t vd;

static inline vd vd_set(double x) {
    return vdupq_n_f64(x);
}

static inline vd vd_fma(vd a, vd b, vd c) {
    return vfmaq_f64(c, a, b);
}

static inline vd vd_max(vd a, vd b) {
    return vmaxq_f64(a, b);
}

/* The line of two vectors of f32. */
static inline __attribute__((always_inline)) void ent_prefetch(uintptr_t address) {
    __builtin_prefetch((const void *)address);
}

#include "measure/kernels/body.h"

void ent_kernels_neon(ent_kernels *kernels) {
    fill_body(kernels);
}

#else
typedef int ent_not_this_architecture; /* a C file may not be empty */
#endif
