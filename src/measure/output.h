/* The fused output layer as its parts see it: the logits of hidden states under a weight matrix, which exist only tile
 * by tile.
 *
 * The grid is fixed: blocks of rows by tiles of columns, products over the depth in pieces. What thread computes a tile
 * does not change its bits, and a row's tiles are used in rising order, so neither do the results. 512 x 1024 keeps a
 * BLAS within 2 % of its rate on the whole product, and a tile (2 MB) in the second- and third-level caches. */
#ifndef ENT_MEASURE_OUTPUT_H
#define ENT_MEASURE_OUTPUT_H

#include "gradient.h"

#include <stdatomic.h>

enum {
    ENT_BLOCK_ROWS = 512,
    ENT_TILE_COLUMNS = 1024,
    ENT_DEPTH = 1024,      /* of a product at a time: what is widened to f32 is bounded */
    ENT_GROUP_BLOCKS = 8,  /* blocks that are worked on together and share what is loaded of the weights */
    ENT_TILE_PADDING = 16, /* floats between a tile's rows, so that a column's elements do not share a cache set */
    ENT_GROUP_ROWS = ENT_GROUP_BLOCKS * ENT_BLOCK_ROWS
};

/* What is known of a row while its tiles are measured. */
typedef struct ent_output_row {
    ent_row measured;
    entrol_reason reason; /* of the first value in trouble */
    size_t column;        /* that it is in */
} ent_output_row;

/* How a workspace is divided, for a context and the sizes of a layer. Offsets are from its aligned start: first a slot
 * for each thread, then what a group of rows needs, which is one thing in measuring and another in gradients. */
typedef struct ent_output_plan {
    size_t n_slots;
    size_t block_rows, tile_columns, depth;        /* of the greatest block, tile and piece that there are */
    size_t tile_stride;                            /* of a tile of logits */
    size_t tile_bytes, weight_bytes, hidden_bytes; /* of a slot's parts */
    size_t n_units;                                /* tiles of gradients that there is room for */
    size_t rows, bests;                            /* measuring: ent_output_row and ent_best a row */
    size_t terms, index, units;                    /* gradients: ent_gradient_terms and a number a row; tiles */
    size_t n_bytes;
} ent_output_plan;

/* 0 if its size does not fit in size_t. */
int ent_output_plan_make(ent_output_plan *plan, const entrol_context *context, size_t n_rows, size_t n_columns,
                         size_t depth);

/* Memory of one thread: a tile, and operands that are not f32 in memory already. */
typedef struct ent_slot {
    float *tile, *weight, *hidden;
} ent_slot;

/* One call, checked. */
typedef struct ent_output {
    entrol_context *context;
    ent_rows rows; /* of logits that have no address */
    entrol_matrix logits, hidden;
    entrol_output_layer layer;
    size_t n_tiles; /* at least 1, which may be empty */
    ent_output_plan plan;
    char *memory; /* the workspace, aligned */
    ent_trouble trouble;
} ent_output;

/* What a call was given. */
typedef struct ent_output_arguments {
    entrol_context *context;
    entrol_diagnosis *diagnosis;
    const entrol_record *record;
    void *workspace;
    size_t workspace_size;
    const entrol_matrix *hidden;
    const entrol_output_layer *layer;
    const int64_t *targets;
    const entrol_measure_options *options;
} ent_output_arguments;

entrol_status ent_output_prepare(ent_output *output, const ent_output_arguments *arguments);

/* Rows of a matrix: index[0 .. n - 1], or (NULL) n of them from `first` on. */
typedef struct ent_rows_list {
    const size_t *index;
    size_t first, n;
} ent_rows_list;

static inline size_t ent_list_row(const ent_rows_list *list, size_t i) {
    return list->index ? list->index[i] : list->first + i;
}

/* 1 if they follow each other. An index rises. */
int ent_list_is_run(const ent_rows_list *list);

/* A part of a matrix as f32. */
typedef struct ent_part {
    const float *data;
    size_t stride;
} ent_part;

/* Columns [column, column + n_columns) of rows of a matrix, in place where they are f32 that a product can take, else
 * widened into `memory`. `clean`: with 0 for what is not finite, so that 0 times it is 0. */
ent_part ent_output_load(const ent_output *output, float *memory, const entrol_matrix *matrix,
                         const ent_rows_list *list, size_t column, size_t n_columns, int clean);

/* 1 if no element of these rows is infinite or NaN. */
int ent_output_is_finite(const ent_output *output, const entrol_matrix *matrix, const ent_rows_list *list);

/* The columns of a tile. */
size_t ent_tile_width(const ent_output *output, size_t tile);

/* The logits of tile `index`, -inf where masked, into `tile`, plan.tile_stride floats a row. */
void ent_output_logits(const ent_output *output, float *tile, const ent_slot *slot, const ent_rows_list *list,
                       size_t index);

/* The logit of one row's target, summed in double and rounded once; -inf where masked. The row must have one. */
float ent_output_target(const ent_output *output, size_t row);

/* Runs run(call, slot, i) for i in [0, n_items), on as many threads as there are slots. Items are taken in order. */
typedef void (*ent_output_run)(void *call, const ent_slot *slot, size_t item);
void ent_output_run_items(const ent_output *output, ent_output_run run, void *call, size_t n_items);

static inline size_t ent_least(size_t a, size_t b) {
    return a < b ? a : b;
}

#endif
