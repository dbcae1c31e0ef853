/* The context: what it is made from, and its memory and threads. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "context.h"

#include "cpu.h"
#include "pool.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct entrol_context {
    entrol_context_options options;
    entrol_cpu cpu;
    entrol_comm comm;
    ent_pool pool;
    pthread_t *threads;
};

static void *allocate_default(void *user, size_t n_bytes) {
    (void)user;
    return malloc(n_bytes);
}

static void release_default(void *user, void *memory) {
    (void)user;
    free(memory);
}

/* The processors this process may run on, up to as many as the pool can use. */
static size_t n_processors(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
#endif
    return n < 1 ? 1 : n > ENT_MAX_THREADS ? ENT_MAX_THREADS : (size_t)n;
}

/* ENTROL_THREADS as a number from 1 to ENT_MAX_THREADS, else the processors. */
static entrol_status default_threads(size_t *n_threads) {
    const char *text = getenv("ENTROL_THREADS");
    *n_threads = n_processors();
    if (!text || !*text)
        return ENTROL_OK;
    char *end;
    errno = 0;
    const unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n < 1 || n > ENT_MAX_THREADS)
        return ENTROL_ERROR_ENVIRONMENT;
    *n_threads = n;
    return ENTROL_OK;
}

int ent_take(void *out, const void *in, size_t known_size) {
    size_t size;
    memcpy(&size, in, sizeof size);
    if (size <= sizeof size)
        return 0;
    memcpy(out, in, size < known_size ? size : known_size);
    return 1;
}

/* The caller's options over the defaults. */
static entrol_status take_options(entrol_context_options *taken, const entrol_context_options *given) {
    *taken = (entrol_context_options)ENTROL_CONTEXT_OPTIONS_INIT;
    if (given && !ent_take(taken, given, sizeof *taken))
        return ENTROL_ERROR_ARGUMENT;
    if (!taken->allocate != !taken->release || taken->n_threads > ENT_MAX_THREADS)
        return ENTROL_ERROR_ARGUMENT;
    if (taken->comm && (taken->comm->rank >= taken->comm->size || (taken->comm->size > 1 && !taken->comm->all_reduce)))
        return ENTROL_ERROR_ARGUMENT;
    if (!taken->allocate) {
        taken->allocate = allocate_default;
        taken->release = release_default;
    }
    return taken->n_threads ? ENTROL_OK : default_threads(&taken->n_threads);
}

entrol_status entrol_context_create(entrol_context **context, const entrol_context_options *options) {
    if (!context)
        return ENTROL_ERROR_ARGUMENT;
    entrol_context_options taken;
    entrol_cpu cpu;
    entrol_status status = take_options(&taken, options);
    if (status == ENTROL_OK)
        status = ent_cpu_choose(&cpu, taken.cpu);
    if (status != ENTROL_OK)
        return status;
    entrol_context *made = taken.allocate(taken.allocate_user, sizeof *made);
    pthread_t *threads = taken.allocate(taken.allocate_user, taken.n_threads * sizeof *threads);
    status = made && threads ? ENTROL_OK : ENTROL_ERROR_MEMORY;
    if (status == ENTROL_OK) {
        *made = (entrol_context){.options = taken, .cpu = cpu, .comm = {.size = 1}, .threads = threads};
        if (taken.comm)
            made->comm = *taken.comm;
        status = ent_pool_init(&made->pool, threads, taken.n_threads, n_processors());
    }
    if (status == ENTROL_OK) {
        *context = made;
        return ENTROL_OK;
    }
    if (made)
        taken.release(taken.allocate_user, made);
    if (threads)
        taken.release(taken.allocate_user, threads);
    return status;
}

void entrol_context_destroy(entrol_context *context) {
    if (!context)
        return;
    ent_pool_destroy(&context->pool);
    const entrol_context_options options = context->options;
    options.release(options.allocate_user, context->threads);
    options.release(options.allocate_user, context);
}

entrol_cpu entrol_context_cpu(const entrol_context *context) {
    return context->cpu;
}

size_t entrol_context_n_threads(const entrol_context *context) {
    return context->options.n_threads;
}

void ent_parallel_for(entrol_context *context, size_t n_tasks, entrol_task task, void *argument) {
    if (n_tasks == 1)
        task(argument, 0);
    else if (context->options.parallel_for)
        context->options.parallel_for(context->options.parallel_user, n_tasks, task, argument);
    else
        ent_pool_run(&context->pool, n_tasks, task, argument);
}

int ent_has_gemm(const entrol_context *context) {
    return context->options.gemm != NULL;
}

void ent_gemm(const entrol_context *context, const entrol_gemm_operands *operands) {
    context->options.gemm(context->options.gemm_user, operands);
}

entrol_comm ent_comm(const entrol_context *context) {
    return context->comm;
}

entrol_status ent_add_up(const entrol_context *context, entrol_status status, uint64_t *counts, size_t n) {
    const entrol_comm *comm = &context->comm;
    counts[n] = status != ENTROL_OK;
    const int is_lost = comm->size > 1 && comm->all_reduce(comm->user, counts, n + 1) != 0;
    return status == ENTROL_OK && (is_lost || counts[n]) ? ENTROL_ERROR_COMMUNICATION : status;
}

/* 128 bits go as four counts of 32, whose sums over fewer than 2^32 ranks do not overflow. */
enum { SUM_COUNTS = 6 };

static void pack_sum(uint64_t *counts, const entrol_sum *sum) {
    const uint64_t high = (uint64_t)sum->high;
    const uint64_t packed[SUM_COUNTS] = {
        sum->low & UINT32_MAX, sum->low >> 32, high & UINT32_MAX, high >> 32, sum->n, sum->n_bad};
    memcpy(counts, packed, sizeof packed);
}

static void unpack_sum(entrol_sum *sum, const uint64_t *counts) {
    const uint64_t second = counts[1] + (counts[0] >> 32), third = counts[2] + (second >> 32);
    sum->low = second << 32 | (counts[0] & UINT32_MAX);
    sum->high = (int64_t)((counts[3] + (third >> 32)) << 32 | (third & UINT32_MAX));
    sum->n = counts[4];
    sum->n_bad = counts[5];
}

entrol_status ent_add_up_sums(const entrol_context *context, entrol_status status, entrol_sum *sums, size_t n) {
    uint64_t counts[ENT_MAX_SUMS * SUM_COUNTS + 1];
    for (size_t i = 0; i < n; i++)
        pack_sum(counts + i * SUM_COUNTS, &sums[i]);
    status = ent_add_up(context, status, counts, n * SUM_COUNTS);
    for (size_t i = 0; status == ENTROL_OK && i < n; i++)
        unpack_sum(&sums[i], counts + i * SUM_COUNTS);
    return status;
}

entrol_status ent_agree(const entrol_context *context, entrol_status status) {
    uint64_t n_failed;
    return ent_add_up(context, status, &n_failed, 0);
}

uint64_t ent_digest(uint64_t digest, const void *bytes, size_t n_bytes) {
    const unsigned char *byte = bytes;
    digest ^= 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < n_bytes; i++)
        digest = (digest ^ byte[i]) * 0x100000001b3u;
    return digest;
}

entrol_status ent_agree_on(const entrol_context *context, entrol_status status, uint64_t digest) {
    uint64_t of_first[2] = {context->comm.rank == 0 ? digest : 0, 0};
    status = ent_add_up(context, status, of_first, 1);
    if (status != ENTROL_OK)
        return status;
    uint64_t n_others[2] = {of_first[0] != digest, 0};
    status = ent_add_up(context, status, n_others, 1);
    return status == ENTROL_OK && n_others[0] ? ENTROL_ERROR_COMMUNICATION : status;
}

void *ent_allocate(entrol_context *context, size_t n_bytes) {
    return context->options.allocate(context->options.allocate_user, n_bytes ? n_bytes : 1);
}

void ent_release(entrol_context *context, void *memory) {
    if (memory)
        context->options.release(context->options.allocate_user, memory);
}
