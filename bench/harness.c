#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare_doubles);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void print_spread(const char *name, double *values, size_t n, const char *format) {
    const double middle = median(values, n); /* sorts them */
    const double three[3] = {values[0], middle, values[n - 1]};
    static const char *const names[] = {"{\"min\": ", ", \"median\": ", ", \"max\": "};
    printf(", \"%s\": ", name);
    for (size_t i = 0; i < 3; i++) {
        printf("%s", names[i]);
        printf(format, three[i]);
    }
    printf("}");
}

/* A sum of three uniform numbers is near enough to a normal one. */
void fill_logits(void *data, entrol_dtype dtype, size_t n) {
    uint64_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const uint64_t r = state >> 8;
        const double sum = (double)(r & 0x3fff) + (double)(r >> 14 & 0x3fff) + (double)(r >> 28 & 0x3fff);
        const float z = (float)((sum / 8192 - 3) * 4);
        uint32_t bits;
        memcpy(&bits, &z, sizeof bits);
        if (dtype == ENTROL_F64)
            ((double *)data)[i] = (double)z;
        else if (dtype == ENTROL_F32)
            ((float *)data)[i] = z;
        else if (dtype == ENTROL_BF16)
            ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
        else /* any finite half will do: sign, exponent below 18, fraction */
            ((uint16_t *)data)[i] = (uint16_t)((bits >> 16 & 0x8000) | (r % 18 << 10) | (r >> 20 & 0x3ff));
    }
}
