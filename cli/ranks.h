/* The processes that an MPI launcher (mpirun, srun) started as one: ranks 0 to size - 1. A command that was started
 * alone is rank 0 of 1, for which all of this is nothing: MPI is not begun.
 *
 * Rank 0 speaks: what the others say and print goes nowhere, but for ranks_report. All ranks make the calls marked
 * "together", as often and in the same order; so a rank that fails goes on to the next ranks_agree, where all learn of
 * it. */
#ifndef CLI_RANKS_H
#define CLI_RANKS_H

#include "output.h"

#include <entrol/base.h>

/* First of all: joins the other processes, if there are any (ENTROL_MPI=off: there are none). On false it has said what
 * is wrong. ranks_end follows in any case. */
bool ranks_begin(int argc, char **argv);
/* Last of all, together: the exit code of every rank, the greatest of what they give. */
int ranks_end(int exit_code);
/* "Open MPI v4.1.4"; NULL where it is not in this build. */
const char *ranks_library(void);

size_t ranks_rank(void);
size_t ranks_size(void); /* 1: alone */
/* For a context whose calls are of all ranks together; NULL: alone. */
const entrol_comm *ranks_comm(void);
/* Bytes of counts that this rank has given to be added up, so far; the same on each. */
uint64_t ranks_n_bytes(void);

/* Together: whether all are well. Where not, the trouble of those that are is empty. */
bool ranks_agree(bool ok, trouble *trouble);
/* Together: adds up n counts over all ranks, element by element. False (for all): the others cannot be reached. */
bool ranks_add_up(uint64_t *counts, size_t n, trouble *trouble);
/* Together: of[rank * n ...] are the n numbers that a rank gives as `own`. */
bool ranks_tell(uint64_t *of, const uint64_t *own, size_t n, trouble *trouble);
/* Together: writes what the temporary files of all ranks hold, in their order, to rank 0's output (NULL on the others),
 * a piece at a time. It is whole only where all ranks agree then. */
bool ranks_collect(output *output, int fd, trouble *trouble);
/* Together, where they have not agreed: the first rank that has a trouble says it. EXIT_ERROR. */
int ranks_report(const trouble *trouble);

#endif
