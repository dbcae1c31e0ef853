#include "entrol_mpi.h"

#include <limits.h>

static int all_reduce(void *user, uint64_t *counts, size_t n) {
    entrol_mpi *mpi = user;
    while (n > 0) {
        const int part = n < INT_MAX ? (int)n : INT_MAX;
        if (MPI_Allreduce(MPI_IN_PLACE, counts, part, MPI_UINT64_T, MPI_SUM, mpi->communicator) != MPI_SUCCESS)
            return 1;
        mpi->n_bytes += (uint64_t)part * sizeof *counts;
        mpi->n_messages++;
        counts += part;
        n -= (size_t)part;
    }
    return 0;
}

entrol_status entrol_mpi_begin(entrol_mpi *mpi, entrol_comm *comm, MPI_Comm communicator) {
    int rank = 0, size = 1, is_ready = 0;
    if (!mpi || !comm || communicator == MPI_COMM_NULL || MPI_Initialized(&is_ready) != MPI_SUCCESS || !is_ready)
        return ENTROL_ERROR_ARGUMENT;
    *mpi = (entrol_mpi){.communicator = MPI_COMM_NULL};
    if (MPI_Comm_dup(communicator, &mpi->communicator) != MPI_SUCCESS)
        return ENTROL_ERROR_COMMUNICATION;
    /* errors come back as codes, where MPI's default is to end the program */
    if (MPI_Comm_set_errhandler(mpi->communicator, MPI_ERRORS_RETURN) != MPI_SUCCESS ||
        MPI_Comm_rank(mpi->communicator, &rank) != MPI_SUCCESS ||
        MPI_Comm_size(mpi->communicator, &size) != MPI_SUCCESS) {
        entrol_mpi_end(mpi);
        return ENTROL_ERROR_COMMUNICATION;
    }
    *comm = (entrol_comm){(size_t)rank, (size_t)size, all_reduce, mpi};
    return ENTROL_OK;
}

void entrol_mpi_end(entrol_mpi *mpi) {
    if (mpi->communicator != MPI_COMM_NULL)
        MPI_Comm_free(&mpi->communicator);
}
