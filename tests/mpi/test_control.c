/* A controller on real processes: each has, to the bit, the coefficient that one with all tokens has. Rank 0 prints. */
#include "control.h"

#include <entrol_mpi.h>

enum { N_STEPS = 60, N_TOKENS = 997 };

static entrol_context *together, *alone;
static int rank, size;

/* 1 if it is so on every rank. */
static bool everywhere(bool is_so) {
    int all = is_so;
    return MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_LAND, MPI_COMM_WORLD) == MPI_SUCCESS && all;
}

static void test_same_coefficient(void) {
    for (size_t k = 0; k < entrol_controller_kind_count(); k++) {
        const char *name = entrol_controller_kind_at(k)->name;
        entrol_controller *ours = make_controller(together, name, NULL), *whole = make_controller(alone, name, NULL);
        bool is_same = true;
        for (size_t step = 0; step < N_STEPS; step++) {
            float tokens[N_TOKENS];
            entrol_command command = ENTROL_COMMAND_INIT, expected = ENTROL_COMMAND_INIT;
            for (size_t i = 0; i < N_TOKENS; i++) /* the same on all ranks: they have the same seed */
                tokens[i] = (float)(entropy_of_step(step) * test_uniform());
            const size_t begin = (size_t)rank * N_TOKENS / (size_t)size,
                         end = ((size_t)rank + 1) * N_TOKENS / (size_t)size;
            is_same &= entrol_controller_observe_tokens(together, &command, NULL, ours, tokens + begin, NULL,
                                                        end - begin) == ENTROL_OK;
            is_same &=
                entrol_controller_observe_tokens(alone, &expected, NULL, whole, tokens, NULL, N_TOKENS) == ENTROL_OK;
            is_same &= is_same_command(&command, &expected);
        }
        CHECK_SAY(everywhere(is_same), "%s on %d ranks", name, size);
        entrol_controller_destroy(together, ours);
        entrol_controller_destroy(alone, whole);
    }
}

int main(int argc, char **argv) {
    static char seed[] = "--seed", number[] = "20261128", *with_seed[] = {NULL, seed, number, NULL};
    entrol_mpi mpi;
    entrol_comm comm;
    if (MPI_Init(&argc, &argv) != MPI_SUCCESS || MPI_Comm_rank(MPI_COMM_WORLD, &rank) != MPI_SUCCESS ||
        MPI_Comm_size(MPI_COMM_WORLD, &size) != MPI_SUCCESS)
        return 1;
    if (rank > 0 && !freopen("/dev/null", "w", stdout))
        return 1;
    with_seed[0] = argv[0];
    test_begin(argc > 1 ? argc : 3, argc > 1 ? argv : with_seed);
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    if (entrol_mpi_begin(&mpi, &comm, MPI_COMM_WORLD) != ENTROL_OK ||
        entrol_context_create(&alone, &options) != ENTROL_OK)
        return 1;
    options.comm = &comm;
    if (entrol_context_create(&together, &options) != ENTROL_OK)
        return 1;
    TEST(test_same_coefficient);
    entrol_context_destroy(together);
    entrol_context_destroy(alone);
    entrol_mpi_end(&mpi);
    MPI_Finalize();
    return test_end();
}
