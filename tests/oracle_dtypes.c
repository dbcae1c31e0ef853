/* The dtypes by the definitions of their formats. */
#include "oracle.h"

#include <math.h>
#include <string.h>

/* Sign, exponent and fraction of the two half formats: IEEE binary16 (5, 10) and bfloat16 (8, 7). */
static double decode_half(uint16_t bits, int fraction_bits, int bias) {
    const int exponent_mask = (1 << (15 - fraction_bits)) - 1;
    const int exponent = (bits >> fraction_bits) & exponent_mask, fraction = bits & ((1 << fraction_bits) - 1);
    const double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == exponent_mask)
        return fraction ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

double oracle_decode(entrol_dtype dtype, const void *data, size_t index) {
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
    default:
        memcpy(&half, place, sizeof half);
        return decode_half(half, 7, 127);
    }
}

/* The half whose value is nearest, ties to the even pattern, found by bisection over the non-negative patterns. */
static uint16_t encode_half(double value, int fraction_bits, int bias) {
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    const uint16_t infinity = (uint16_t)(0x7fff - ((1 << fraction_bits) - 1));
    const double size = fabs(value);
    if (isnan(value))
        return (uint16_t)(infinity + 1);
    if (isinf(value))
        return sign | infinity;
    uint16_t low = 0, high = infinity; /* value of low <= size; infinity stands for the next power of two */
    while (high - low > 1) {
        const uint16_t middle = (uint16_t)((low + high) / 2);
        if (decode_half(middle, fraction_bits, bias) <= size)
            low = middle;
        else
            high = middle;
    }
    const double below = decode_half(low, fraction_bits, bias);
    const double above = high == infinity ? ldexp(1, bias + 1) : decode_half(high, fraction_bits, bias);
    const int up = size - below > above - size || (size - below == above - size && (low & 1));
    return sign | (up ? high : low);
}

void oracle_encode(entrol_dtype dtype, void *data, size_t index, double value) {
    char *place = (char *)data + index * entrol_dtype_size(dtype);
    const float f32 = (float)value;
    uint16_t half;
    switch (dtype) {
    case ENTROL_F64:
        memcpy(place, &value, sizeof value);
        return;
    case ENTROL_F32:
        memcpy(place, &f32, sizeof f32);
        return;
    case ENTROL_F16:
        half = encode_half(value, 10, 15);
        break;
    default:
        half = encode_half(value, 7, 127);
        break;
    }
    memcpy(place, &half, sizeof half);
}
