#include "harness_team.h"

#include "harness.h"

void team_begin(team *team, size_t size) {
    *team = (struct team){.size = size, .fails_at = team->fails_at, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_barrier_init(&team->barrier, NULL, (unsigned)size);
}

void team_end(team *team) {
    pthread_barrier_destroy(&team->barrier);
}

int team_add_up(void *user, uint64_t *counts, size_t n) {
    team *team = user;
    if (n > MOST_COUNTS)
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

typedef struct member {
    team *team;
    size_t rank;
    void (*work)(entrol_context *context, size_t rank, void *user);
    void *user;
} member;

static void *run_member(void *argument) {
    member *member = argument;
    const entrol_comm comm = {member->rank, member->team->size, team_add_up, member->team};
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    entrol_context *context;
    options.n_threads = 1 + member->rank % 2;
    options.comm = &comm;
    if (entrol_context_create(&context, &options) != ENTROL_OK)
        abort();
    member->work(context, member->rank, member->user);
    entrol_context_destroy(context);
    return NULL;
}

void team_run(team *team, size_t size, void (*work)(entrol_context *context, size_t rank, void *user), void *user) {
    pthread_t threads[MOST_RANKS];
    member members[MOST_RANKS];
    team_begin(team, size);
    for (size_t i = 0; i < size; i++) {
        members[i] = (member){team, i, work, user};
        CHECK(pthread_create(&threads[i], NULL, run_member, &members[i]) == 0);
    }
    for (size_t i = 0; i < size; i++)
        pthread_join(threads[i], NULL);
    team_end(team);
}
