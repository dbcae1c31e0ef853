/* What the parts of a draw share. */
#ifndef ENT_SAMPLE_DRAWING_H
#define ENT_SAMPLE_DRAWING_H

#include "sampler.h"

/* A row and what its columns stand for. */
typedef struct ent_row_source {
    const entrol_matrix *row;
    const int32_t *tokens; /* NULL: the columns' numbers */
} ent_row_source;

/* What a draw finds out. */
typedef struct ent_drawing {
    entrol_sampler *sampler;
    ent_row_source source;
    ent_candidates candidates;
    entrol_drawn drawn; /* what all drawn tokens share */
    float first_m;      /* of the row as it came */
    double first_log_sum;
    double temperature;   /* what logits have been divided by before the candidates' own one */
    int32_t chosen;       /* by an external rule; -1 */
    entrol_reason reason; /* of trouble, and where as in the diagnosis */
    size_t row, column;
} ent_drawing;

/* Where a token is among n that rise (NULL: 0, 1 ...); n if it is not. */
size_t ent_index_of(const int32_t *tokens, size_t n, int32_t token);
int ent_are_rising(const int32_t *tokens, size_t n);
/* The column of the source that has a candidate's token. */
size_t ent_column_of(const ent_drawing *drawing, int32_t token);

void ent_note_trouble(ent_drawing *drawing, entrol_reason reason, size_t row, size_t column);

/* Lets an external rule change the candidates; `index` is its place in the chain. */
entrol_status ent_apply_external(ent_drawing *drawing, const entrol_external_rule *rule, size_t index);

/* ln q by column, or NaN of a row in trouble. */
void ent_write_logprobs(const entrol_destination *to, const ent_drawing *drawing);

/* How many tokens may be drawn at once. */
enum { ENT_MOST_DRAWN = 256 };
/* Draws from the candidates that are left, whose spread is known, into structs of drawn->size. */
void ent_draw_tokens(entrol_drawn *drawn, size_t n_drawn, ent_drawing *drawing);
/* Writes as much of it as the caller's struct of this index holds. */
void ent_give_drawn(entrol_drawn *to, size_t index, const entrol_drawn *drawn);

#endif
