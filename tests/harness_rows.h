/* What tests of measured rows share: a guarded matrix of any dtype, and the kinds of rows that break kernels. */
#ifndef HARNESS_ROWS_H
#define HARNESS_ROWS_H

#include "harness.h"

#include <entrol/entrol.h>

/* A matrix in guarded memory that ends where it ends, with a target for each row (0 at first). */
typedef struct sheet {
    size_t n_rows, n_columns;
    entrol_dtype dtype;
    guarded buffer;
    entrol_matrix matrix;
    int64_t *targets;
} sheet;

sheet sheet_make(size_t n_rows, size_t n_columns, entrol_dtype dtype);
void sheet_free(sheet *sheet);
void sheet_put(sheet *sheet, size_t row, size_t column, double value);
double sheet_get(const sheet *sheet, size_t row, size_t column);
/* A row as the oracle takes it; free() it. */
double *sheet_row(const sheet *sheet, size_t row);

/* Where a gradient of the sheet's shape goes. */
entrol_destination destination_of(sheet *sheet, int add);
/* A unit in the last place of a dtype, for a value. */
double rounding(entrol_dtype dtype, double value);

/* A context of a level and this many threads; with a product of matrices, or (NULL) without. */
entrol_context *context_with(entrol_cpu cpu, size_t n_threads, entrol_gemm gemm);
entrol_context *context_at(entrol_cpu cpu, size_t n_threads);

/* One of each level, of one thread, between contexts_open and contexts_close; NULL: not on this machine. */
extern entrol_context *contexts[ENTROL_CPU_NEON + 1];
void contexts_open(entrol_gemm gemm);
void contexts_close(void);

/* The row kinds of the accuracy contract. */
enum {
    NORMAL,
    NORMAL_FAR,
    UNIFORM,
    PEAKED,
    TWO_FINITE,
    RISING,
    FALLING,
    LAST,
    BELOW,
    NEARLY_CERTAIN,
    FLAT_THEN_TOP,
    SPARSE,
    TWO_LEVEL, /* and the next 11: {0, rest -g}, g = 1..12 */
    N_KINDS = TWO_LEVEL + 12
};

/* Column i of n. */
double kind_value(int kind, size_t i, size_t n);
const char *kind_name(int kind);

#endif
