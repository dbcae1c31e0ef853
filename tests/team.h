/* Ranks that are threads: they add up counts by turns, as processes under MPI would. */
#ifndef TEAM_H
#define TEAM_H

#include "harness.h"

#include <pthread.h>

enum { TEAM_MOST_COUNTS = 4096 };

/* What the ranks share. */
typedef struct team {
    size_t size;
    pthread_barrier_t barrier;
    pthread_mutex_t lock;
    uint64_t sums[TEAM_MOST_COUNTS];
    size_t n_bytes, n_calls; /* that each rank has sent */
    size_t fails_at;         /* the call that fails; 0: none */
} team;

/* An entrol_comm's all_reduce. */
static inline int team_add_up(void *user, uint64_t *counts, size_t n) {
    team *team = user;
    if (n > TEAM_MOST_COUNTS)
        abort();
    if (pthread_barrier_wait(&team->barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
        memset(team->sums, 0, n * sizeof *team->sums);
        team->n_bytes += n * sizeof *counts;
        team->n_calls++;
    }
    pthread_barrier_wait(&team->barrier);
    pthread_mutex_lock(&team->lock);
    for (size_t i = 0; i < n; i++)
        team->sums[i] += counts[i];
    pthread_mutex_unlock(&team->lock);
    pthread_barrier_wait(&team->barrier);
    memcpy(counts, team->sums, n * sizeof *counts);
    return team->n_calls == team->fails_at;
}

static inline void team_begin(team *team, size_t size) {
    const size_t fails_at = team->fails_at;
    memset(team, 0, sizeof *team);
    team->size = size;
    team->fails_at = fails_at;
    pthread_mutex_init(&team->lock, NULL);
    pthread_barrier_init(&team->barrier, NULL, (unsigned)size);
}

static inline void team_end(team *team) {
    pthread_barrier_destroy(&team->barrier);
    pthread_mutex_destroy(&team->lock);
}

#endif
