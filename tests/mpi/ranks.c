/* Real processes of a test: see ranks.h. */
#include "ranks.h"

entrol_mpi mpi;
entrol_context *together, *alone;
int rank, size;

bool everywhere(bool is_so) {
    int all = is_so;
    return MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_LAND, MPI_COMM_WORLD) == MPI_SUCCESS && all;
}

int run_ranks(int argc, char **argv, void (*tests)(void)) {
    static char seed[] = "--seed", number[] = "20261125", *with_seed[] = {NULL, seed, number, NULL};
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
    tests();
    entrol_context_destroy(together);
    entrol_context_destroy(alone);
    entrol_mpi_end(&mpi);
    MPI_Finalize();
    return test_end();
}
