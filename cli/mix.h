/* Bits that follow from a number, for seeds and samples. */
#ifndef CLI_MIX_H
#define CLI_MIX_H

#include <stdint.h>

/* SplitMix64's output function (Steele, Lea and Flood 2014): every bit of the result depends on every bit of x. */
static inline uint64_t mix(uint64_t x) {
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#endif
