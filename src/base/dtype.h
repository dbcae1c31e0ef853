/* One element of any dtype as a number, by the definition of its format; where a row of a matrix lies, and what a mask
 * leaves of it. */
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

/* The nearest bfloat16, ties to even; a NaN stays one. */
static inline uint16_t ent_float_to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* The nearest binary16, ties to even; a NaN stays one. Subnormal halves are whole multiples of 2^-24: adding 0.5, whose
 * last place that is, rounds to one. */
static inline uint16_t ent_float_to_f16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
        return sign | 0x7e00;
    if (bits >= 0x477ff000) /* 65520, half way to 2^16 */
        return sign | 0x7c00;
    if (bits < 0x38800000) { /* 2^-14 */
        const float shifted = ent_float_of_bits(bits) + 0.5f;
        memcpy(&bits, &shifted, sizeof bits);
        return sign | (uint16_t)(bits - 0x3f000000);
    }
    bits += 0xfff + (bits >> 13 & 1);
    return sign | (uint16_t)((bits - ((127 - 15) << 23)) >> 13);
}

/* Element `index` of an array of any alignment; NaN for a number that is no dtype. */
double ent_element(const void *data, entrol_dtype dtype, size_t index);

/* Writes the nearest element to a value; nothing for a number that is no dtype. */
void ent_put_element(void *data, entrol_dtype dtype, size_t index, double value);

static inline const char *ent_matrix_row(const entrol_matrix *matrix, size_t row) {
    const ptrdiff_t n_elements = (ptrdiff_t)row * matrix->row_stride;
    return (const char *)matrix->data + n_elements * (ptrdiff_t)entrol_dtype_size(matrix->dtype);
}

/* 0 if the address of some row's element does not fit. */
int ent_fits_in_memory(const entrol_matrix *matrix);

/* 1 if the mask (NULL: none) leaves the column. */
static inline int ent_is_allowed(const uint8_t *mask, size_t column) {
    return !mask || ((mask[column / 8] >> (column % 8)) & 1);
}

#endif
