/* From the library's record to a document's columns. */
#include "score.h"

#include "../formats/record_parts.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Real columns that the library writes in place: the column, and its pointer in entrol_record. */
static const struct {
    column_id id;
    size_t offset;
} in_place[] = {
    {COLUMN_ENTROPY, offsetof(entrol_record, entropy)},
    {COLUMN_LOGPROB, offsetof(entrol_record, logprob)},
    {COLUMN_VARENTROPY, offsetof(entrol_record, varentropy)},
    {COLUMN_TOP_PROB, offsetof(entrol_record, top_prob)},
    {COLUMN_MARGIN, offsetof(entrol_record, margin)},
    {COLUMN_SUM_P_SQUARED, offsetof(entrol_record, sum_p_squared)},
    {COLUMN_RENYI, offsetof(entrol_record, renyi)},
    {COLUMN_LOGSUMEXP, offsetof(entrol_record, logsumexp)},
};
#define N_IN_PLACE (sizeof(in_place) / sizeof(in_place[0]))

static float **record_pointer(entrol_record *record, size_t offset) {
    return (float **)(void *)((char *)record + offset);
}

static bool needs_targets(column_id id) {
    return id == COLUMN_TOKEN_ID || id == COLUMN_LOGPROB || id == COLUMN_RANK || id == COLUMN_REFERENCE_LOGPROB;
}

static bool column_available(column_id id, score_source source) {
    if (needs_targets(id))
        return source.has_targets;
    switch (id) {
    case COLUMN_TOKEN:
    case COLUMN_BYTE_START:
    case COLUMN_BYTE_END:
    case COLUMN_TOP_TOKEN:
        return source.has_text;
    case COLUMN_ENTROPY_LOWER:
    case COLUMN_ENTROPY_UPPER:
        return false;
    default:
        return true;
    }
}

/* Totals need these whether they are written or not. */
static bool column_needed(column_id id, const score_settings *settings) {
    bool is_compared = settings->n_references > 0 && record_can_compare(id) && id < COLUMN_MEAN_ENTROPY;
    return settings->wanted[id] || is_compared || id == COLUMN_ENTROPY || id == COLUMN_LOGPROB ||
           id == COLUMN_BYTE_START || id == COLUMN_BYTE_END;
}

static bool is_derived_from_top(column_id id) {
    return id == COLUMN_TAIL_MASS || id == COLUMN_MEAN_TOPK_LOGPROB;
}

/* Why a column that was named cannot be had. */
static const char *lack_of(column_id id) {
    if (needs_targets(id))
        return "logits need --targets FILE for it";
    return id == COLUMN_ENTROPY_LOWER || id == COLUMN_ENTROPY_UPPER
               ? "bounds are those of recorded log-probabilities; here the entropy itself is measured"
               : "logits have no text";
}

static bool add_columns(document *document, const score_settings *settings, score_source source, const char *where,
                        trouble *trouble) {
    for (int i = 0; i < COLUMN_COUNT; i++) {
        column_id id = (column_id)i;
        if (!column_available(id, source)) {
            if (settings->named[id])
                return trouble_set(trouble, "%s: --columns %s: %s", where, record_columns[id].name, lack_of(id));
            continue;
        }
        bool derived = is_derived_from_top(id) && settings->n_top == 0;
        if (!column_needed(id, settings) || derived)
            continue;
        if (!document_add_column(document, id, record_columns[id].is_list ? (size_t)settings->n_top : 1))
            return trouble_set(trouble, "%s: out of memory for %zu tokens", where, document->n_tokens);
    }
    return true;
}

static bool add_narrow(score_columns *columns, const document *document, const score_settings *settings) {
    size_t n = document->n_tokens;
    if (document->columns[COLUMN_RANK].is_present) {
        columns->rank = calloc(n + 1, sizeof(*columns->rank));
        columns->record.rank = columns->rank;
        if (columns->rank == NULL)
            return false;
    }
    if (settings->n_top == 0)
        return true;
    size_t n_top = (size_t)settings->n_top;
    columns->record.n_top = n_top;
    columns->top_id = calloc(n * n_top + 1, sizeof(*columns->top_id));
    columns->record.top_id = columns->top_id;
    columns->record.top_logprob = document->columns[COLUMN_TOP_LOGPROB].reals;
    return columns->top_id != NULL;
}

bool score_columns_begin(score_columns *columns, document *document, const score_settings *settings,
                         score_source source, const char *where, trouble *trouble) {
    *columns = (score_columns){.record = ENTROL_RECORD_INIT};
    if (!add_columns(document, settings, source, where, trouble))
        return false;
    for (size_t i = 0; i < N_IN_PLACE; i++)
        if (document->columns[in_place[i].id].is_present)
            *record_pointer(&columns->record, in_place[i].offset) = document->columns[in_place[i].id].reals;
    if (!add_narrow(columns, document, settings))
        return trouble_set(trouble, "%s: out of memory for %zu tokens", where, document->n_tokens);
    return true;
}

entrol_record score_columns_from(const score_columns *columns, size_t first) {
    entrol_record record = columns->record;
    for (size_t i = 0; i < N_IN_PLACE; i++) {
        float **values = record_pointer(&record, in_place[i].offset);
        if (*values != NULL)
            *values += first;
    }
    if (record.rank != NULL)
        record.rank += first;
    if (record.top_id != NULL)
        record.top_id += first * record.n_top;
    if (record.top_logprob != NULL)
        record.top_logprob += first * record.n_top;
    return record;
}

/* A row in trouble has no rank and no most probable tokens: null. A list longer than the support ends in nulls. */
static void widen(column *column, const int32_t *values, size_t n_values, int32_t none) {
    for (size_t i = 0; i < n_values; i++) {
        column->integers[i] = values[i];
        if (values[i] == none)
            column->valid[i] = 0;
    }
}

/* What the k most probable tokens leave over, and the mean of their log-probabilities. */
static void derive_from_top(document *document, size_t row, size_t n_top, const int32_t *ids, const float *logprobs) {
    double sum = 0, mass = 0;
    size_t n = 0;
    for (; n < n_top && ids[n] >= 0; n++) {
        sum += (double)logprobs[n];
        mass += exp((double)logprobs[n]);
    }
    column *tail = &document->columns[COLUMN_TAIL_MASS], *mean = &document->columns[COLUMN_MEAN_TOPK_LOGPROB];
    if (tail->is_present)
        tail->reals[row] = n == 0 ? NAN : (float)fmax(0, 1 - mass);
    if (mean->is_present)
        mean->reals[row] = n == 0 ? NAN : (float)(sum / (double)n);
}

void score_columns_end(score_columns *columns, document *document) {
    size_t n = document->n_tokens, n_top = columns->record.n_top;
    if (columns->rank != NULL)
        widen(&document->columns[COLUMN_RANK], columns->rank, n, 0);
    if (columns->top_id == NULL)
        return;
    column *ids = &document->columns[COLUMN_TOP_ID], *logprobs = &document->columns[COLUMN_TOP_LOGPROB];
    for (size_t row = 0; row < n; row++)
        derive_from_top(document, row, n_top, columns->top_id + row * n_top, logprobs->reals + row * n_top);
    if (ids->is_present)
        widen(ids, columns->top_id, n * n_top, -1);
    for (size_t i = 0; i < n * n_top; i++)
        if (columns->top_id[i] < 0)
            logprobs->valid[i] = 0;
}

void score_columns_free(score_columns *columns) {
    free(columns->rank);
    free(columns->top_id);
    *columns = (score_columns){.record = ENTROL_RECORD_INIT};
}

static bool describes_token(column_id id) {
    return id == COLUMN_TOKEN_ID || id == COLUMN_TOKEN || id == COLUMN_BYTE_START || id == COLUMN_BYTE_END;
}

void score_columns_null_row(document *document, size_t row) {
    for (int id = 0; id < COLUMN_COUNT; id++) {
        column *column = &document->columns[id];
        if (column->is_present && !describes_token((column_id)id))
            memset(column->valid + row * column->width, 0, column->width);
    }
}

static void gather_column(column *column, const size_t *rows, size_t n_rows) {
    size_t width = column->width;
    for (size_t i = 0; i < n_rows; i++) {
        size_t to = i * width, from = rows[i] * width;
        memmove(column->valid + to, column->valid + from, width);
        if (column->reals != NULL)
            memmove(column->reals + to, column->reals + from, width * sizeof(float));
        if (column->integers != NULL)
            memmove(column->integers + to, column->integers + from, width * sizeof(int64_t));
        for (size_t j = 0; column->strings != NULL && to != from && j < width; j++) {
            char *moved = column->strings[from + j];
            column->strings[from + j] = column->strings[to + j];
            column->strings[to + j] = moved; /* a swap: each string is still freed once */
        }
    }
}

/* Strings beyond the new end would never be freed. */
static void free_tail(column *column, size_t n_from, size_t n_until) {
    for (size_t i = n_from * column->width; column->strings != NULL && i < n_until * column->width; i++)
        free(column->strings[i]);
}

void score_columns_gather(document *document, const size_t *rows, size_t n_rows) {
    for (int id = 0; id < COLUMN_COUNT; id++) {
        column *column = &document->columns[id];
        if (!column->is_present)
            continue;
        gather_column(column, rows, n_rows);
        free_tail(column, n_rows, document->n_tokens);
    }
    document->n_tokens = n_rows;
}

void score_columns_drop(document *document, const score_settings *settings, bool all) {
    const bool *wanted = score_is_bounded(document) ? settings->wanted_recorded : settings->wanted;
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (all || !wanted[id])
            column_free(&document->columns[id], document->n_tokens);
}
