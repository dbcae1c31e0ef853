/* Exact choices among what several ranks have. Every rank makes the same calls. */
#ifndef ENT_BASE_RANKS_H
#define ENT_BASE_RANKS_H

#include <entrol/base.h>

/* How many there are on lower ranks, and (`all` may be NULL) on all. Errors: MEMORY, COMMUNICATION. */
entrol_status ent_count_before(entrol_context *context, uint64_t *before, uint64_t *all, uint64_t n_own);

/* The `wanted` least keys of all ranks: those below the threshold, and the first n_ties of this rank's that equal it.
 * wanted is at most how many there are, and the same on all ranks; 0: threshold and n_ties are 0. Errors: as above. */
typedef struct ent_lowest {
    uint64_t threshold, n_ties;
} ent_lowest;
entrol_status ent_find_least(entrol_context *context, ent_lowest *least, const uint64_t *keys, size_t n_keys,
                             uint64_t wanted);

/* 1 if a key is among them; keys are asked for in their order, since each that equals the threshold takes a tie. */
int ent_take_lowest(ent_lowest *least, uint64_t key);

/* A key whose order is that of doubles, -0 below 0. */
uint64_t ent_key_of(double x);

#endif
