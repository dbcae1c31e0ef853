/* What the rooms of the library see of a context: its level, its memory, its threads, its matrix product. */
#ifndef ENT_BASE_CONTEXT_H
#define ENT_BASE_CONTEXT_H

#include <entrol/base.h>

/* Runs task(argument, i) for i in [0, n_tasks) on the context's threads; returns when all are done. One task, or one
 * thread, runs in the caller. SYSTEM if not even one thread could be started is never returned: the caller's thread
 * works too. */
void ent_parallel_for(entrol_context *context, size_t n_tasks, entrol_task task, void *argument);

/* 1 if the context was given a matrix product. */
int ent_has_gemm(const entrol_context *context);
/* Calls it; any thread may. The operands' sizes are at least 1. */
void ent_gemm(const entrol_context *context, const entrol_gemm_operands *operands);

/* The comm; one of size 1 where the context has none. */
entrol_comm ent_comm(const entrol_context *context);
/* Adds up n counts over the ranks, unless one of them has failed before (`status`): that is told in the same message,
 * for which `counts` has room for one more. Gives `status`, or COMMUNICATION where that is OK but another rank's is not
 * or the message is lost: so that all ranks go on or none does. */
entrol_status ent_add_up(const entrol_context *context, entrol_status status, uint64_t *counts, size_t n);
/* Adds up n sums over the ranks, exactly, at most ENT_MAX_SUMS; `status` as above. */
enum { ENT_MAX_SUMS = 32 };
entrol_status ent_add_up_sums(const entrol_context *context, entrol_status status, entrol_sum *sums, size_t n);
/* The same of nothing: `status`, or COMMUNICATION where it is OK but another rank's is not. */
entrol_status ent_agree(const entrol_context *context, entrol_status status);
/* The same at the beginning of a call, where all ranks must have been given the same: `digest` is ent_digest's. */
entrol_status ent_agree_on(const entrol_context *context, entrol_status status, uint64_t digest);
/* Of more bytes; begins with 0. */
uint64_t ent_digest(uint64_t digest, const void *bytes, size_t n_bytes);

/* Memory from the context's allocator; NULL when there is none. */
void *ent_allocate(entrol_context *context, size_t n_bytes);
void ent_release(entrol_context *context, void *memory);

/* a * b, or false when it does not fit. */
int ent_multiply(size_t *product, size_t a, size_t b);

/* A struct that may be shorter or longer than this library's: what is there is taken, the rest keeps its default. 0 if
 * its size is none. */
int ent_take(void *out, const void *in, size_t known_size);

/* The place of a name in a list (NULL is none); -1 where it is not there. */
int ent_find_name(const char *const *names, int n_names, const char *name);

/* Fills a diagnosis for a bad argument and returns ENTROL_ERROR_ARGUMENT. */
entrol_status ent_bad_argument(entrol_diagnosis *diagnosis, const char *argument);

#endif
