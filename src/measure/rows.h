/* One call of entrol_measure_rows, as its parts see it. */
#ifndef ENT_MEASURE_ROWS_H
#define ENT_MEASURE_ROWS_H

#include "state.h"

#include "base/dtype.h"
#include "base/trouble.h"

#include <entrol/measure.h>

#include <math.h>
#include <string.h>

/* What a call was given, checked, and what follows from it. */
typedef struct ent_rows {
    const ent_kernels *kernels;
    const entrol_matrix *logits;
    const int64_t *targets; /* NULL: none */
    entrol_record record;
    entrol_measure_options options;
    double scale;      /* 1 / temperature, rounded to float as the kernels use it */
    int wants_squares; /* u and q */
    int wants_power;   /* Renyi entropy of an order that no other sum gives */
    int wants_support; /* Renyi entropy of order 0 */
    int wants_rank;
    int wants_support_entropy; /* or the supports themselves */
    size_t n_best;             /* columns to find: n_top, or 2 for the margin */
    entrol_record rest;        /* what of the record is left to write where short rows got their values a row a lane */
} ent_rows;

/* The columns with the greatest logits so far, best first; of equal ones the lower column first. */
typedef struct ent_best {
    size_t n;
    double z[ENTROL_MAX_TOP];
    int32_t column[ENTROL_MAX_TOP];
} ent_best;

/* Everything found out about one row. */
typedef struct ent_row {
    entrol_state state;
    size_t n_greater;              /* columns greater than the target */
    int expects_top, expects_near; /* of the next chunk: see ent_sums_task; the top is otherwise taken out afterwards */
    int has_values;                /* only ent_rows.rest is left to write */
    ent_best *best;                /* NULL unless n_best is above 0 */
} ent_row;

/* The first option out of its bounds, NULL if there is none. */
const char *ent_check_options(const entrol_measure_options *options);

/* 1 / temperature, rounded to float as the kernels use it. */
double ent_scale(const entrol_measure_options *options);

/* What is wrong with a matrix of logits, NULL if nothing is. */
const char *ent_check_matrix(const entrol_matrix *logits);

/* The arguments of a call, checked. */
entrol_status ent_rows_prepare(ent_rows *rows, entrol_context *context, entrol_diagnosis *diagnosis,
                               const entrol_record *record, const entrol_matrix *logits, const int64_t *targets,
                               const entrol_measure_options *options);

/* Rows that keep a thread busy for a while; a multiple of ENT_LANES where rows share lanes. */
size_t ent_rows_per_task(const entrol_matrix *logits);

/* What is wrong with a row whose state this is, for what the record wants. */
entrol_reason ent_record_trouble(const entrol_record *record, const entrol_state *state);

/* Adds a row in trouble to what a task found. If it is the first, its logits are looked at for the column to blame, so
 * they must be there still. */
void ent_rows_blame(const ent_rows *rows, size_t row, entrol_reason reason, entrol_diagnosis *found);

/* Rows that are measured and worked on again, a block at a time, so that those that the second-level cache holds are
 * read from memory once: whose matrices have row_bytes a row together, in blocks of at most n_most. */
size_t ent_rows_per_block(size_t row_bytes, size_t n_most);

/* What is done to rows [begin, end); adds those in trouble to what the task found. */
typedef void (*ent_block_work)(const void *call, size_t begin, size_t end, entrol_diagnosis *found);

/* Does it to all rows of `logits` (and what goes with them), block by block, by the context's threads: each takes rows
 * of its own or (ent_rows_are_shared) works on the caller's. */
void ent_blocks_run(entrol_context *context, const entrol_matrix *logits, size_t rows_per_block, ent_block_work work,
                    const void *call, entrol_diagnosis *diagnosis);

/* Measures rows [begin, end) and writes their outputs, and (not NULL) the states and supports of these rows. With
 * a context, its threads share each row. */
void ent_rows_measure(const ent_rows *rows, size_t begin, size_t end, entrol_state *states, entrol_support *supports,
                      entrol_diagnosis *found, entrol_context *context);

const char *ent_rows_at(const ent_rows *rows, size_t row);
const uint8_t *ent_rows_mask(const ent_rows *rows, size_t row); /* NULL: none */

/* The logit of a column, -inf where masked. */
double ent_rows_logit(const ent_rows *rows, size_t row, size_t column);

/* 1 if the row has a target that is one of its columns. */
int ent_rows_has_target(const ent_rows *rows, size_t row);

/* n columns of a row as floats, -inf where masked: where they are, or in `memory`, which has room for n. first_column
 * is a multiple of 8. NULL: f64. */
const float *ent_rows_floats(float *memory, const ent_rows *rows, size_t row, size_t first_column, size_t n);

/* A chunk of a row in the first-level cache, as the kernels read it: z = logit - origin. */
typedef struct ent_chunk {
    size_t first_column, n;
    const char *source;
    const uint8_t *mask;
    const float *z; /* NULL: f64, not narrowed yet */
    double origin;  /* 0, but for f64, whose differences from the top are what fits in a float */
    float memory[ENT_CHUNK];
} ent_chunk;

/* A double of the chunk, -inf where masked. */
static inline double ent_chunk_f64(const ent_chunk *chunk, size_t i) {
    double z;
    memcpy(&z, chunk->source + i * sizeof z, sizeof z);
    return ent_is_allowed(chunk->mask, i) ? z : -(double)INFINITY;
}

void ent_chunk_load(ent_chunk *chunk, const ent_rows *rows, size_t row, size_t first_column);
/* f64 is narrowed as z - origin, which keeps every digit that a float result can show. */
void ent_chunk_narrow(ent_chunk *chunk, double origin);

/* Logits of ENT_LANES rows of at most ENT_SHORT columns, transposed; what no row fills is -inf. Each row's values are
 * relative to its origin. */
typedef struct ent_tile {
    float z[ENT_SHORT * ENT_LANES];
    double origin[ENT_LANES];
} ent_tile;

void ent_tile_fill(ent_tile *tile, const ent_rows *rows, size_t first_row, size_t n_rows);

/* A row of no columns yet, and no target. `best` is memory for the greatest columns. */
void ent_row_clear(ent_row *result, const ent_rows *rows, ent_best *best);
/* The same with its target looked up. */
void ent_row_begin(ent_row *result, const ent_rows *rows, size_t row, ent_best *best);

/* Counts and keeps what rank, support and the greatest columns need of n columns from first_column on. `z` holds them
 * as f32, exactly (NULL for f64: they are read from the row); `max` is the greatest. */
void ent_row_order(ent_row *result, const ent_rows *rows, size_t row, const float *z, size_t first_column, size_t n,
                   double max);

/* Offers a column that comes after all that were offered. */
void ent_best_offer(ent_best *best, size_t n_best, double z, size_t column);

/* Measures the next chunk of a row whose target's logit is known. The row's own logits are read only for f64. */
void ent_row_measure_chunk(ent_row *result, const ent_rows *rows, size_t row, ent_chunk *chunk);

/* A row of more than ENT_PIECE columns is measured in pieces, which are merged in their order, so that threads may
 * share it. How many there are depends on the number of columns alone. */
#define ENT_PIECE ((size_t)32768)
enum { ENT_MAX_PIECES = 16 };
size_t ent_n_pieces(size_t n_columns);

/* The columns [first, end) of a piece; first is a multiple of ENT_CHUNK. */
typedef struct ent_piece {
    size_t first, end;
} ent_piece;
ent_piece ent_piece_at(size_t n_columns, size_t index);

/* 1 if there are so few rows that threads had better share each of them. */
int ent_rows_are_shared(const entrol_matrix *logits, const entrol_context *context);

/* Measures one row of more than ENT_SHORT columns, with the context's threads, or (NULL) in this one. `best` is memory
 * for the greatest columns. */
void ent_row_measure(ent_row *result, ent_best *best, const ent_rows *rows, size_t row, entrol_context *context);

/* Measures up to ENT_LANES rows of at most ENT_SHORT columns and writes what can be written a row a lane. `finish` is
 * called on each in turn, or only on those in trouble where nothing is left to write and `all` is 0. results[i].best
 * may share memory. */
void ent_rows_measure_short(const ent_rows *rows, size_t first_row, size_t n_rows, int all,
                            void (*finish)(const ent_rows *rows, size_t row, const ent_row *result, void *user),
                            void *user);

/* Writes the outputs of a row, NaN for what trouble leaves none of, and its state as users see it. */
entrol_reason ent_row_write(entrol_state *state, const ent_rows *rows, size_t row, const ent_row *result);

#endif
