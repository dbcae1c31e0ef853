/* The library's context, as the commands make it. */
#ifndef CLI_OPEN_CONTEXT_H
#define CLI_OPEN_CONTEXT_H

#include "message.h"

#include <entrol/base.h>

/* A context of so many threads; 0: ENTROL_THREADS, else the processors. NULL for trouble, which names the variable of
 * the environment that is not understood. */
entrol_context *open_context(size_t n_threads, trouble *trouble);
/* The same over the ranks of a comm (NULL: alone). */
entrol_context *open_context_over(const entrol_comm *comm, size_t n_threads, trouble *trouble);

#endif
