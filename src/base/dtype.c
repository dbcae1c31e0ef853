#include "dtype.h"

#include <math.h>
#include <string.h>

/* The two 16-bit formats: IEEE binary16 has 10 bits of fraction and bias 15, bfloat16 has 7 and 127. */
static double decode_half(unsigned bits, int fraction_bits, int bias) {
    const int greatest = (1 << (15 - fraction_bits)) - 1;
    const int exponent = (int)(bits >> fraction_bits) & greatest;
    const int fraction = (int)bits & ((1 << fraction_bits) - 1);
    double size;
    if (exponent == greatest)
        size = fraction ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        size = ldexp(fraction, 1 - bias - fraction_bits);
    else
        size = ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
    return bits & 0x8000 ? -size : size;
}

double ent_element(const void *data, entrol_dtype dtype, size_t index) {
    const char *place = (const char *)data + index * entrol_dtype_size(dtype);
    double f64;
    float f32;
    uint16_t half;
    switch (dtype) {
    case ENTROL_F64:
        memcpy(&f64, place, sizeof f64);
        return f64;
    case ENTROL_F32:
        memcpy(&f32, place, sizeof f32);
        return (double)f32;
    case ENTROL_F16:
        memcpy(&half, place, sizeof half);
        return decode_half(half, 10, 15);
    case ENTROL_BF16:
        memcpy(&half, place, sizeof half);
        return decode_half(half, 7, 127);
    }
    return (double)NAN;
}
