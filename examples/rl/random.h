/* Random numbers of the environments and of the networks' first weights: splitmix64 (Steele, Lea and Flood, OOPSLA
 * 2014). What a policy draws comes from Entrol. */
#ifndef RL_RANDOM_H
#define RL_RANDOM_H

#include <math.h>
#include <stdint.h>

typedef struct random_state {
    uint64_t state;
} random_state;

static inline uint64_t random_bits(random_state *random) {
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* In [0, 1). */
static inline double random_uniform(random_state *random) {
    return (double)(random_bits(random) >> 11) * 0x1p-53;
}

/* By Box and Muller. */
static inline double random_normal(random_state *random) {
    const double radius = sqrt(-2 * log(1 - random_uniform(random)));
    return radius * cos(6.283185307179586 * random_uniform(random));
}

#endif
