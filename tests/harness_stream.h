/* Values that are read in pieces. */
#ifndef TESTS_HARNESS_STREAM_H
#define TESTS_HARNESS_STREAM_H

#include <entrol/base.h>

typedef struct pieces {
    const float *values;
    const uint8_t *valid; /* NULL: all */
    size_t n, place, n_reads, fails_at;
    size_t n_lost; /* values that every further pass has less */
} pieces;

/* Of an entrol_stream whose user is pieces: pieces of random sizes. */
int read_piece(void *user, const float **values, const uint8_t **valid, size_t *n_values);

#endif
