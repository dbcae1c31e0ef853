/* What the calls of this room share: checked arguments, rows as doubles, and rows divided among threads. */
#ifndef ENT_POLICY_BATCH_H
#define ENT_POLICY_BATCH_H

#include "distribution.h"
#include "squash.h"

/* A caller's policies, checked. */
typedef struct ent_batch {
    const ent_distribution *distribution;
    entrol_policy p, q; /* q where there is a reference */
    int has_reference;
    const entrol_matrix *actions; /* NULL: none */
    ent_shape shape;
    int shares_second; /* one row of it for several of first */
    ent_squash squash;
} ent_batch;

/* Takes and checks them; `actions` and `reference` may be NULL. ARGUMENT, OVERFLOW. */
entrol_status ent_batch_prepare(ent_batch *batch, entrol_context *context, entrol_diagnosis *diagnosis,
                                const entrol_policy *policy, const entrol_matrix *actions,
                                const entrol_policy *reference, const entrol_policy_options *options);
/* The argument's name if a place for n_rows rows of n_columns results is none, or its rows lie on each other; NULL. */
const char *ent_check_destination(const entrol_destination *destination, size_t n_rows, size_t n_columns,
                                  const char *name);

/* The memory of one task. */
typedef struct ent_row_memory {
    double *p_first, *p_second, *q_first, *q_second, *action, *scratch;
    double *slopes_first, *slopes_second, *d_action; /* of entrol_policy_gradient and what else needs n numbers */
    entrol_sum *sums;                                /* n_second of them, 0 at first, where second is shared */
} ent_row_memory;

/* Which of a row's parts are looked at. */
typedef struct ent_needs {
    int action, reference, density;
} ent_needs;

/* A row's numbers and what is wrong with each part. */
typedef struct ent_loaded {
    ent_policy_row row;
    ent_fault of_policy, of_action, of_reference;
} ent_loaded;

void ent_batch_load(ent_loaded *loaded, const ent_batch *batch, const ent_row_memory *memory, size_t index,
                    ent_needs needs);
/* n numbers of a row of a matrix. */
void ent_read_row(double *out, const entrol_matrix *matrix, size_t index, size_t n);
/* Writes them to a row, or adds them. */
void ent_write_row(const entrol_destination *to, size_t index, const double *values, size_t n);

/* Works on rows [begin, end) of a call, and counts those in trouble. */
typedef void (*ent_batch_work)(void *call, const ent_row_memory *memory, size_t begin, size_t end,
                               entrol_diagnosis *found);
/* Adds a row in trouble to what a task found, which goes through its rows in order. */
void ent_blame(entrol_diagnosis *found, size_t row, ent_fault fault);

/* Runs the work on all rows, on the context's threads. `totals` (NULL: not wanted) gets what the tasks' sums come to;
 * it is called with n_second of them when all is done. MEMORY. */
typedef void (*ent_batch_totals)(void *call, const entrol_sum *sums);
entrol_status ent_batch_run(const ent_batch *batch, entrol_context *context, entrol_diagnosis *diagnosis,
                            ent_batch_work work, ent_batch_totals totals, void *call);

#endif
