/* The thread pool of a context. Threads start at the first call that has work for them; a forked child starts its own.
 */
#ifndef ENT_BASE_POOL_H
#define ENT_BASE_POOL_H

#include <entrol/base.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define ENT_MAX_THREADS 1024

typedef struct ent_pool {
    size_t n_threads;   /* wanted, the caller's included */
    size_t n_started;   /* running beside the caller; fewer where the system refused */
    pid_t owner;        /* the process the threads belong to */
    pthread_t *threads; /* n_threads - 1 of them */
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    size_t n_places;      /* threads that may still join the job */
    atomic_size_t n_busy; /* threads that have joined and not finished */
    atomic_size_t n_jobs; /* so far */
    int n_looks;          /* before a thread that waits goes to sleep */
    int stop;
    entrol_task task;
    void *argument;
    size_t n_tasks;
    atomic_size_t next;
} ent_pool;

/* `threads` is memory for n_threads handles, which outlives the pool. */
entrol_status ent_pool_init(ent_pool *pool, pthread_t *threads, size_t n_threads, size_t n_processors);
void ent_pool_destroy(ent_pool *pool);
void ent_pool_run(ent_pool *pool, size_t n_tasks, entrol_task task, void *argument);

#endif
