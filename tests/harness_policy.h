/* What tests of policies share: batches of every kind with their parameters in guarded memory, and rows as the oracle
 * takes them. */
#ifndef HARNESS_POLICY_H
#define HARNESS_POLICY_H

#include "harness_rows.h"
#include "oracle_policy.h"

enum { MOST_PARAMETERS = 256 };

/* How a batch is made. */
typedef struct batch_plan {
    entrol_policy_kind kind;
    size_t n_rows, n;
    entrol_dtype first, second, actions;
    bool shares_second, has_mask;
    double nearness; /* of q to p: how much q's parameters differ; 0: as p's do from 0 */
    double spread;   /* of the parameters; 1: usual ones */
    double ratio;    /* of the scales, 0: usual ones; 1: e^-150 to e^150, as far as the kind allows */
} batch_plan;

/* A policy, a reference and actions. */
typedef struct batch {
    batch_plan plan;
    sheet first, second, q_first, q_second, actions;
    uint8_t mask[64 * 16];
    size_t sizes[3];
    entrol_policy p, q;
} batch;

/* A plan of random sizes and dtypes; n up to `most`. */
batch_plan plan_at_random(entrol_policy_kind kind, size_t n_rows, size_t most);
/* A valid batch, whose actions have some probability. */
void batch_make(batch *batch, const batch_plan *plan);
void batch_free(batch *batch);

/* One row, for the oracle. */
typedef struct exact_row {
    long double first[MOST_PARAMETERS], second[MOST_PARAMETERS];
    long double action[MOST_PARAMETERS]; /* x of SQUASHED_GAUSSIAN */
    oracle_distribution distribution;
} exact_row;

void exact_row_read(exact_row *exact, const batch *batch, bool of_reference, size_t row);

/* How many kinds there are: they are walked by name. */
int count_kinds(void);

#endif
