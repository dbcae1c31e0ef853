/* Ranks by threads: what several of them share that add up counts by turns, as MPI would. */
#ifndef HARNESS_TEAM_H
#define HARNESS_TEAM_H

#include <entrol/base.h>

#include <pthread.h>

enum { MOST_RANKS = 7, MOST_COUNTS = 4096 };

typedef struct team {
    size_t size;
    pthread_barrier_t barrier;
    pthread_mutex_t lock;
    uint64_t sums[MOST_COUNTS];
    size_t n_bytes, n_calls; /* that each rank has sent */
    size_t fails_at;         /* the call that fails; 0: none */
} team;

/* Begins one of so many ranks; fails_at stays. team_end after the last has ended. */
void team_begin(team *team, size_t size);
void team_end(team *team);
/* An entrol_comm's, whose user the team is. */
int team_add_up(void *user, uint64_t *counts, size_t n);

/* Calls work(context, rank, user) on so many threads, each with a context that is a rank of the team. */
void team_run(team *team, size_t size, void (*work)(entrol_context *context, size_t rank, void *user), void *user);

#endif
