/* Entrol over the ranks of an MPI program.
 *
 * A library of its own (libentrol_mpi) on top of entrol.h:
 *     entrol_mpi mpi;
 *     entrol_comm comm;
 *     entrol_mpi_begin(&mpi, &comm, MPI_COMM_WORLD);
 *     entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
 *     options.comm = &comm;
 * Then entrol_quantile, entrol_select and entrol_high_entropy_mask are calls that all ranks make together. */
#ifndef ENTROL_MPI_H
#define ENTROL_MPI_H

#include <entrol/entrol.h>

#include <mpi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a comm over MPI refers to: it must stay where it is as long as a context has the comm. */
typedef struct entrol_mpi {
    MPI_Comm communicator; /* Entrol's own: its messages cannot be mistaken for others */
    uint64_t n_bytes;      /* of counts that this rank has given to be added up, so far */
    uint64_t n_messages;
} entrol_mpi;

/* Fills a comm over the ranks of a communicator, of which all call this together, after MPI_Init or MPI_Init_thread.
 * Entrol calls MPI from the thread that calls Entrol (MPI_THREAD_FUNNELED is enough). Errors: ARGUMENT (NULL,
 * MPI_COMM_NULL, or before MPI_Init), COMMUNICATION. */
entrol_status entrol_mpi_begin(entrol_mpi *mpi, entrol_comm *comm, MPI_Comm communicator);

/* Before MPI_Finalize, by all ranks together. */
void entrol_mpi_end(entrol_mpi *mpi);

#ifdef __cplusplus
}
#endif
#endif
