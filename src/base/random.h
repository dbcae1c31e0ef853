/* Numbers from a seed and a counter: the same pair gives the same number on every machine, in any order. */
#ifndef ENT_BASE_RANDOM_H
#define ENT_BASE_RANDOM_H

#include <stdint.h>

/* 64 random bits: the output function of SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number
 * generators, 2014) at the counter's place in the stream that the seed begins. */
static inline uint64_t ent_random(uint64_t seed, uint64_t counter) {
    uint64_t z = seed + (counter + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The upper half of a product of 64 bits by 64. */
static inline uint64_t ent_multiply_high(uint64_t a, uint64_t b) {
    const uint64_t a0 = a & UINT32_MAX, a1 = a >> 32, b0 = b & UINT32_MAX, b1 = b >> 32;
    const uint64_t low = a0 * b1 + ((a0 * b0) >> 32), high = a1 * b0 + (low & UINT32_MAX);
    return a1 * b1 + (low >> 32) + (high >> 32);
}

/* A whole number below n, or 0 for an n of 0; none more likely than another by more than n / 2^64 of its share. */
static inline uint64_t ent_random_below(uint64_t seed, uint64_t counter, uint64_t n) {
    return ent_multiply_high(ent_random(seed, counter), n);
}

#endif
