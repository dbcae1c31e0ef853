/* The thread pool: tasks are taken by number from an atomic counter, by the caller's thread and by those that join it.
 * A thread that wakes after the work is done finds no place left, so a short job never waits for a slow wake. Waking
 * takes longer than a short job, so whoever waits looks for a while before it sleeps. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sigset_t */
#endif
#include "pool.h"

#include <signal.h>
#include <unistd.h>

/* Some tens of microseconds. */
enum { MAX_LOOKS = 2000 };

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Looks for a while until the number is, or is no longer, the value. */
static void look(const ent_pool *pool, const atomic_size_t *number, int until_equal, size_t value) {
    for (int i = 0; i < pool->n_looks; i++) {
        if ((atomic_load_explicit(number, memory_order_acquire) == value) == until_equal)
            return;
        pause_briefly();
    }
}

/* Takes tasks by number until there are none. */
static void work_off(ent_pool *pool) {
    for (;;) {
        const size_t index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (index >= pool->n_tasks)
            return;
        pool->task(pool->argument, index);
    }
}

static void *thread_main(void *argument) {
    ent_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        if (!pool->stop && pool->n_places == 0) {
            const size_t n_seen = atomic_load_explicit(&pool->n_jobs, memory_order_relaxed);
            pthread_mutex_unlock(&pool->lock);
            look(pool, &pool->n_jobs, 0, n_seen);
            pthread_mutex_lock(&pool->lock);
        }
        while (!pool->stop && pool->n_places == 0)
            pthread_cond_wait(&pool->work, &pool->lock);
        if (pool->stop)
            break;
        pool->n_places--;
        atomic_fetch_add_explicit(&pool->n_busy, 1, memory_order_relaxed);
        pthread_mutex_unlock(&pool->lock);
        work_off(pool);
        pthread_mutex_lock(&pool->lock);
        if (atomic_fetch_sub_explicit(&pool->n_busy, 1, memory_order_release) == 1)
            pthread_cond_signal(&pool->idle);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int init_locks(ent_pool *pool) {
    if (pthread_mutex_init(&pool->lock, NULL) != 0)
        return 0;
    if (pthread_cond_init(&pool->work, NULL) == 0) {
        if (pthread_cond_init(&pool->idle, NULL) == 0)
            return 1;
        pthread_cond_destroy(&pool->work);
    }
    pthread_mutex_destroy(&pool->lock);
    return 0;
}

entrol_status ent_pool_init(ent_pool *pool, pthread_t *threads, size_t n_threads, size_t n_processors) {
    *pool = (ent_pool){.n_threads = n_threads, .threads = threads, .owner = getpid()};
    pool->n_looks = n_threads <= n_processors ? MAX_LOOKS : 0; /* else another thread needs the processor */
    return init_locks(pool) ? ENTROL_OK : ENTROL_ERROR_SYSTEM;
}

/* The threads take no signals: those belong to the program. If the system refuses one, fewer do the work. */
static void start_threads(ent_pool *pool) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool->n_started + 1 < pool->n_threads &&
           pthread_create(&pool->threads[pool->n_started], NULL, thread_main, pool) == 0)
        pool->n_started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* After a fork the child has the pool's memory but none of its threads, and the lock may be one of theirs. */
static void start_if_needed(ent_pool *pool) {
    const pid_t process = getpid();
    if (pool->owner != process) {
        pool->owner = process;
        pool->n_started = pool->n_places = 0;
        atomic_store_explicit(&pool->n_busy, 0, memory_order_relaxed);
        if (!init_locks(pool))
            pool->n_threads = 1;
    }
    if (pool->n_started == 0 && pool->n_threads > 1)
        start_threads(pool);
}

static void open_job(ent_pool *pool, size_t n_tasks, entrol_task task, void *argument) {
    pthread_mutex_lock(&pool->lock);
    pool->task = task;
    pool->argument = argument;
    pool->n_tasks = n_tasks;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->n_places = n_tasks - 1 < pool->n_started ? n_tasks - 1 : pool->n_started;
    atomic_fetch_add_explicit(&pool->n_jobs, 1, memory_order_release);
    for (size_t i = 0; i < pool->n_places; i++)
        pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

static void close_job(ent_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->n_places = 0;
    pthread_mutex_unlock(&pool->lock);
    look(pool, &pool->n_busy, 1, 0);
    pthread_mutex_lock(&pool->lock);
    while (atomic_load_explicit(&pool->n_busy, memory_order_acquire) > 0)
        pthread_cond_wait(&pool->idle, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

void ent_pool_run(ent_pool *pool, size_t n_tasks, entrol_task task, void *argument) {
    const int alone = n_tasks < 2 || pool->n_threads < 2;
    if (!alone)
        start_if_needed(pool);
    if (alone || pool->n_started == 0) {
        for (size_t index = 0; index < n_tasks; index++)
            task(argument, index);
        return;
    }
    open_job(pool, n_tasks, task, argument);
    work_off(pool);
    close_job(pool);
}

void ent_pool_destroy(ent_pool *pool) {
    if (pool->owner != getpid())
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = 1;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->n_started; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
}
