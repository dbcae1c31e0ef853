/* A context, or why there is none. */
#include "open_context.h"

#include <stdlib.h>

/* With a number of threads given, only ENTROL_CPU is left to be wrong. */
static bool is_cpu_understood(void) {
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    entrol_context *context;
    if (entrol_context_create(&context, &options) != ENTROL_OK)
        return false;
    entrol_context_destroy(context);
    return true;
}

entrol_context *open_context(size_t n_threads, trouble *trouble) {
    return open_context_over(NULL, n_threads, trouble);
}

entrol_context *open_context_over(const entrol_comm *comm, size_t n_threads, trouble *trouble) {
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = n_threads;
    options.comm = comm;
    entrol_context *context;
    entrol_status status = entrol_context_create(&context, &options);
    if (status == ENTROL_OK)
        return context;
    const char *cpu = getenv("ENTROL_CPU"), *threads = getenv("ENTROL_THREADS");
    if (status == ENTROL_ERROR_UNSUPPORTED)
        trouble_set(trouble, "ENTROL_CPU=%s: this machine has no such instruction set (entrol version lists them)",
                    cpu != NULL ? cpu : "");
    else if (status == ENTROL_ERROR_ENVIRONMENT && is_cpu_understood())
        trouble_set(trouble, "ENTROL_THREADS=%s: expected a number of threads, from 1 to 1024",
                    threads != NULL ? threads : "");
    else if (status == ENTROL_ERROR_ENVIRONMENT)
        trouble_set(trouble, "ENTROL_CPU=%s: expected scalar, avx2, avx512 or neon", cpu != NULL ? cpu : "");
    else
        trouble_set(trouble, "%s", entrol_status_string(status));
    return NULL;
}
