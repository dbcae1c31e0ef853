/* One element of any dtype as a number, by the definition of its format. */
#ifndef ENT_BASE_DTYPE_H
#define ENT_BASE_DTYPE_H

#include <entrol/base.h>

#include <string.h>

static inline float ent_float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* bfloat16 is the upper half of a float. */
static inline float ent_bf16_to_float(uint16_t half) {
    return ent_float_of_bits((uint32_t)half << 16);
}

/* IEEE binary16: 10 bits of fraction, exponents of bias 15. Exact. */
static inline float ent_f16_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, size = half & 0x7fff;
    if (size >= 0x7c00) /* infinity and NaN */
        return ent_float_of_bits(sign | 0x7f800000 | size << 13);
    if (size >= 0x400)
        return ent_float_of_bits(sign | ((size << 13) + ((127 - 15) << 23)));
    return sign ? -(float)size * 0x1p-24f : (float)size * 0x1p-24f;
}

/* Element `index` of an array of any alignment; NaN for a number that is no dtype. */
double ent_element(const void *data, entrol_dtype dtype, size_t index);

#endif
