#include "harness_stream.h"

#include "harness.h"

int read_piece(void *user, const float **values, const uint8_t **valid, size_t *n_values) {
    pieces *pieces = user;
    if (++pieces->n_reads == pieces->fails_at)
        return 1;
    const size_t left = pieces->n - pieces->place, most = 1 + test_below(pieces->n / 7 + 1);
    *n_values = left < most ? left : most;
    *values = pieces->values + pieces->place;
    *valid = pieces->valid ? pieces->valid + pieces->place : NULL;
    pieces->place = *n_values ? pieces->place + *n_values : 0;
    pieces->n -= *n_values ? 0 : pieces->n_lost;
    return 0;
}
