/* What the tests on real processes share: who they are, and a context with all of them and one without. */
#ifndef RANKS_H
#define RANKS_H

#include "harness.h"

#include <entrol_mpi.h>

extern entrol_mpi mpi;
extern entrol_context *together, *alone; /* a rank of all; by itself */
extern int rank, size;

/* 1 if it is so on every rank. */
bool everywhere(bool is_so);

/* Begins, runs the tests, ends: what main returns. All ranks have the same seed, --seed's or a fixed one; 0 prints. */
int run_ranks(int argc, char **argv, void (*tests)(void));

#endif
