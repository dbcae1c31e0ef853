/* Exact choices among what several ranks have: see ranks.h. */
#include "ranks.h"

#include "context.h"

#include <string.h>

entrol_status ent_count_before(entrol_context *context, uint64_t *before, uint64_t *all, uint64_t n_own) {
    const entrol_comm comm = ent_comm(context);
    uint64_t alone[2], *of_ranks = comm.size > 1 ? ent_allocate(context, (comm.size + 1) * sizeof *of_ranks) : alone;
    entrol_status status = ent_agree(context, of_ranks ? ENTROL_OK : ENTROL_ERROR_MEMORY);
    if (status == ENTROL_OK) {
        for (size_t i = 0; i < comm.size; i++)
            of_ranks[i] = i == comm.rank ? n_own : 0;
        status = ent_add_up(context, status, of_ranks, comm.size);
    }
    uint64_t total = 0;
    *before = 0;
    for (size_t i = 0; status == ENTROL_OK && i < comm.size; i++) {
        *before += i < comm.rank ? of_ranks[i] : 0;
        total += of_ranks[i];
    }
    if (all)
        *all = total;
    if (of_ranks != alone)
        ent_release(context, of_ranks);
    return status;
}

enum { DIGITS = 256 };

/* The digit at `shift` of the key of rank `left` (from 1) among those that begin as `begun`; left becomes its rank
 * among those that begin with that digit, too. */
static entrol_status find_digit(entrol_context *context, uint64_t *begun, uint64_t *left, const uint64_t *keys,
                                size_t n, int shift) {
    uint64_t counts[DIGITS + 1] = {0};
    for (size_t i = 0; i < n; i++)
        if (shift == 56 || keys[i] >> (shift + 8) == *begun >> (shift + 8))
            counts[keys[i] >> shift & (DIGITS - 1)]++;
    const entrol_status status = ent_add_up(context, ENTROL_OK, counts, DIGITS);
    if (status != ENTROL_OK)
        return status;
    uint64_t digit = 0;
    while (digit < DIGITS - 1 && counts[digit] < *left)
        *left -= counts[digit++];
    *begun |= digit << shift;
    return ENTROL_OK;
}

entrol_status ent_find_least(entrol_context *context, ent_lowest *least, const uint64_t *keys, size_t n_keys,
                             uint64_t wanted) {
    *least = (ent_lowest){0, 0};
    uint64_t left = wanted, n_equal = 0, before;
    if (wanted == 0)
        return ENTROL_OK;
    for (int shift = 56; shift >= 0; shift -= 8) {
        const entrol_status status = find_digit(context, &least->threshold, &left, keys, n_keys, shift);
        if (status != ENTROL_OK)
            return status;
    }
    for (size_t i = 0; i < n_keys; i++)
        n_equal += keys[i] == least->threshold;
    const entrol_status status = ent_count_before(context, &before, NULL, n_equal);
    if (before < left)
        least->n_ties = left - before < n_equal ? left - before : n_equal;
    return status;
}

int ent_take_lowest(ent_lowest *least, uint64_t key) {
    const int is_tie = key == least->threshold && least->n_ties > 0;
    least->n_ties -= (uint64_t)is_tie;
    return is_tie || key < least->threshold;
}

uint64_t ent_key_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}
