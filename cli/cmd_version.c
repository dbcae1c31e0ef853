/* `entrol version`: what this build is and what it uses on this machine. */
#include "commands.h"
#include "message.h"
#include "open_context.h"
#include "ranks.h"

#include <entrol/entrol.h>

#include <stdio.h>

#ifdef ENTROL_HAVE_LLAMA
#include <entrol_llama.h>
#endif

/* Every level this build knows, with what this machine makes of it. */
static void print_levels(entrol_cpu chosen) {
    printf("kernels: %s (here:", entrol_cpu_name(chosen));
    for (int level = ENTROL_CPU_SCALAR; level <= ENTROL_CPU_NEON; level++)
        if (entrol_cpu_available((entrol_cpu)level))
            printf(" %s", entrol_cpu_name((entrol_cpu)level));
    printf(")\n");
}

static int run(const command *command, int argc, char **argv) {
    operands operands;
    int exit_code;
    if (!options_parse(command, NULL, 0, argc, argv, &operands, &exit_code))
        return exit_code;
    if (operands.n_items > 0)
        return message_error("version takes no argument, found \"%s\"", operands.items[0]);
    trouble trouble;
    entrol_context *context = open_context(0, &trouble);
    if (context == NULL)
        return message_trouble(&trouble);
    printf("entrol %s\n", entrol_version());
    print_levels(entrol_context_cpu(context));
    printf("threads: %zu\n", entrol_context_n_threads(context));
#ifdef ENTROL_HAVE_LLAMA
    printf("llama.cpp: %s\n", entrol_llama_version());
#else
    printf("llama.cpp: not in this build\n");
#endif
    printf("MPI: %s\n", ranks_library() != NULL ? ranks_library() : "not in this build");
    entrol_context_destroy(context);
    return EXIT_DONE;
}

const command command_version = {
    .name = "version",
    .summary = "this build, its kernels and threads",
    .usage = "",
    .description = "Prints the version, the instruction-set level in use and those this machine can run, the number of "
                   "threads, and the versions of llama.cpp and MPI where they are built in. ENTROL_CPU (scalar, avx2, "
                   "avx512, neon) "
                   "and ENTROL_THREADS change what is used.",
    .examples = "  ENTROL_CPU=scalar entrol version   what the portable kernels would be\n",
    .run = run,
    .for_ranks = true,
};
