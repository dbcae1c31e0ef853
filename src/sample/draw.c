/* A draw: a look at the row, the rules in their order, and tokens from what they leave. */
#include "drawing.h"

#include "base/context.h"
#include "base/dtype.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* --- Memory --- */

/* 0 where they do not fit. */
static int workspace_bytes(size_t *n_bytes, size_t n) {
    const size_t each = sizeof(ent_item) + sizeof(float) + sizeof(int32_t);
    const size_t chunk = sizeof(double) + sizeof(float);
    size_t columns;
    if (!ent_multiply(&columns, n, each) || columns > SIZE_MAX / 2)
        return 0;
    *n_bytes = columns + ent_n_chunks(n) * chunk;
    return 1;
}

static entrol_status make_room(entrol_context *context, ent_workspace *workspace, size_t n) {
    size_t n_bytes;
    if (n <= workspace->n)
        return ENTROL_OK;
    if (!workspace_bytes(&n_bytes, n))
        return ENTROL_ERROR_OVERFLOW;
    char *memory = ent_allocate(context, n_bytes);
    if (!memory)
        return ENTROL_ERROR_MEMORY;
    ent_release(context, workspace->memory);
    workspace->memory = memory;
    workspace->n = n;
    workspace->items = (ent_item *)(void *)memory; /* as an allocator's memory, aligned for anything */
    workspace->chunk_sums = (double *)(void *)(workspace->items + n);
    workspace->z = (float *)(void *)(workspace->chunk_sums + ent_n_chunks(n));
    workspace->chunk_greatest = workspace->z + n;
    workspace->tokens = (int32_t *)(void *)(workspace->chunk_greatest + ent_n_chunks(n));
    return ENTROL_OK;
}

/* --- Tokens and columns --- */

size_t ent_index_of(const int32_t *tokens, size_t n, int32_t token) {
    size_t low = 0, high = n;
    if (!tokens)
        return token >= 0 && (size_t)token < n ? (size_t)token : n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (tokens[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && tokens[low] == token ? low : n;
}

int ent_are_rising(const int32_t *tokens, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (tokens[i] <= tokens[i - 1])
            return 0;
    return 1;
}

size_t ent_column_of(const ent_drawing *drawing, int32_t token) {
    return ent_index_of(drawing->source.tokens, drawing->source.row->n_columns, token);
}

/* --- The chain --- */

void ent_note_trouble(ent_drawing *drawing, entrol_reason reason, size_t row, size_t column) {
    drawing->reason = reason;
    drawing->row = row;
    drawing->column = column;
}

/* What is known of a row in trouble, and of a token that there is not. */
static const entrol_drawn nothing = {
    sizeof(entrol_drawn), -1, 0, (double)NAN, (double)NAN, (double)NAN, (double)NAN, (double)NAN, (double)NAN, 0, 0};

static void look_at_row(ent_drawing *drawing, entrol_context *context) {
    ent_candidates *candidates = &drawing->candidates;
    size_t column;
    const entrol_reason reason = ent_candidates_begin(candidates, &column, context, &drawing->sampler->workspace,
                                                      drawing->source.row, drawing->source.tokens);
    if (reason != ENTROL_REASON_NONE) {
        ent_note_trouble(drawing, reason, 0, column);
        return;
    }
    candidates->last_token = drawing->sampler->last_token;
    drawing->first_m = candidates->m;
    drawing->first_log_sum = candidates->spread.log_sum;
    drawing->drawn.entropy = candidates->spread.entropy;
    drawing->drawn.varentropy = candidates->spread.varentropy;
}

static entrol_status run_rules(ent_drawing *drawing) {
    const entrol_sampler *sampler = drawing->sampler;
    entrol_status status = ENTROL_OK;
    for (size_t i = 0; i < sampler->n_steps && status == ENTROL_OK && drawing->reason == ENTROL_REASON_NONE; i++) {
        const ent_step *step = &sampler->steps[i];
        if (step->rule)
            step->rule->apply(&drawing->candidates, step->values);
        else
            status = ent_apply_external(drawing, &step->external, i);
    }
    return status;
}

static void look_at_result(ent_drawing *drawing) {
    ent_candidates *candidates = &drawing->candidates;
    drawing->drawn.n_passes = candidates->n_passes; /* without the next */
    drawing->drawn.sampled_entropy = ent_candidates_spread(candidates)->entropy;
    drawing->drawn.temperature = drawing->temperature * candidates->temperature;
    drawing->drawn.n_candidates = candidates->n_possible;
}

/* --- The call --- */

static const char *check(const entrol_sampler *sampler, const entrol_drawn *drawn, size_t n_drawn,
                         const entrol_destination *logprobs, const entrol_matrix *logits, const int32_t *tokens) {
    if (!sampler)
        return "sampler";
    if ((n_drawn && !drawn) || (n_drawn && drawn->size < offsetof(entrol_drawn, logprob)) ||
        (n_drawn && drawn->size % sizeof(double)))
        return "drawn";
    if (n_drawn > ENT_MOST_DRAWN)
        return "n_drawn";
    if (!logits || logits->n_rows != 1 || logits->n_columns > INT32_MAX || !entrol_dtype_size(logits->dtype) ||
        (!logits->data && logits->n_columns))
        return "logits";
    if (logprobs && (logprobs->add || !entrol_dtype_size(logprobs->dtype) || (!logprobs->data && logits->n_columns)))
        return "logprobs";
    return tokens && (!ent_are_rising(tokens, logits->n_columns) || (logits->n_columns && tokens[0] < 0)) ? "tokens"
                                                                                                          : NULL;
}

static entrol_status draw(entrol_context *context, entrol_sampler *sampler, entrol_drawn *drawn, size_t n_drawn,
                          const entrol_destination *logprobs, entrol_diagnosis *diagnosis, const entrol_matrix *logits,
                          const int32_t *tokens) {
    ent_drawing drawing = {.sampler = sampler,
                           .source = {logits, tokens},
                           .drawn = nothing,
                           .temperature = 1,
                           .chosen = -1,
                           .reason = ENTROL_REASON_NONE};
    sampler->left = (ent_candidates){.n = 0};
    look_at_row(&drawing, context);
    const entrol_status status = run_rules(&drawing);
    if (status != ENTROL_OK)
        return status;
    if (drawing.reason == ENTROL_REASON_NONE) {
        look_at_result(&drawing);
        ent_draw_tokens(drawn, n_drawn, &drawing);
        sampler->left = drawing.candidates;
    }
    for (size_t i = 0; i < n_drawn && drawing.reason != ENTROL_REASON_NONE; i++)
        ent_give_drawn(drawn, i, &nothing);
    if (logprobs)
        ent_write_logprobs(logprobs, &drawing);
    if (diagnosis && drawing.reason != ENTROL_REASON_NONE)
        *diagnosis = (entrol_diagnosis){NULL, 1, drawing.row, drawing.column, drawing.reason};
    return ENTROL_OK;
}

entrol_status entrol_sampler_draw(entrol_context *context, entrol_sampler *sampler, entrol_drawn *drawn, size_t n_drawn,
                                  const entrol_destination *logprobs, entrol_diagnosis *diagnosis,
                                  const entrol_matrix *logits, const int32_t *tokens) {
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.argument = NULL};
    const char *bad = context ? check(sampler, drawn, n_drawn, logprobs, logits, tokens) : "context";
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    const entrol_status status = make_room(context, &sampler->workspace, logits->n_columns);
    return status == ENTROL_OK ? draw(context, sampler, drawn, n_drawn, logprobs, diagnosis, logits, tokens) : status;
}
