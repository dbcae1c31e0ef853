/* Element types: their sizes and names, and reading and writing one element, and checked addresses. */
#include "dtype.h"

#include "context.h"

#include <math.h>

size_t entrol_dtype_size(entrol_dtype dtype) {
    switch (dtype) {
    case ENTROL_F64:
        return 8;
    case ENTROL_F32:
        return 4;
    case ENTROL_F16:
    case ENTROL_BF16:
        return 2;
    }
    return 0;
}

const char *entrol_dtype_name(entrol_dtype dtype) {
    switch (dtype) {
    case ENTROL_F64:
        return "f64";
    case ENTROL_F32:
        return "f32";
    case ENTROL_F16:
        return "f16";
    case ENTROL_BF16:
        return "bf16";
    }
    return "unknown";
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
        return (double)ent_f16_to_float(half);
    case ENTROL_BF16:
        memcpy(&half, place, sizeof half);
        return (double)ent_bf16_to_float(half);
    }
    return (double)NAN;
}

void ent_put_element(void *data, entrol_dtype dtype, size_t index, double value) {
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
        half = ent_float_to_f16(f32);
        memcpy(place, &half, sizeof half);
        return;
    case ENTROL_BF16:
        half = ent_float_to_bf16(f32);
        memcpy(place, &half, sizeof half);
        return;
    }
}

int ent_fits_in_memory(const entrol_matrix *matrix) {
    const size_t stride = matrix->row_stride < 0 ? 0 - (size_t)matrix->row_stride : (size_t)matrix->row_stride;
    size_t n_elements, n_bytes;
    return ent_multiply(&n_elements, matrix->n_rows, stride > matrix->n_columns ? stride : matrix->n_columns) &&
           ent_multiply(&n_bytes, n_elements, entrol_dtype_size(matrix->dtype)) && n_bytes <= PTRDIFF_MAX;
}
