/* Entropy renormalised on a support: which columns each kind of support has, and the sums over them. With q = p / sum_S
 * p and the sums s, t over S as in entrol_state, H_S = ln(n_top + s) - t / (T (n_top + s)). */
#include "support.h"

#include <math.h>

static const entrol_support none = {NAN, NAN, NAN, NAN, NAN, NAN, NAN};

static size_t keep_f64(float *kept, double *n_ties, const entrol_support *support, const ent_chunk *chunk) {
    size_t n = 0;
    for (size_t i = 0; i < chunk->n; i++) {
        const double z = ent_chunk_f64(chunk, i);
        int is_kept = z > support->threshold;
        if (z == support->threshold && *n_ties > 0) {
            *n_ties -= 1;
            is_kept = 1;
        }
        kept[i] = is_kept ? chunk->z[i] : -INFINITY;
        n += (size_t)is_kept;
    }
    return n;
}

size_t ent_support_keep(float *kept, double *n_ties, const entrol_support *support, const ent_rows *rows,
                        const ent_chunk *chunk) {
    if (rows->logits->dtype == ENTROL_F64)
        return keep_f64(kept, n_ties, support, chunk);
    const float threshold = (float)support->threshold;
    ent_kept found = rows->kernels->keep(kept, chunk->z, chunk->n, threshold);
    if ((double)found.n_equal <= *n_ties) {
        *n_ties -= (double)found.n_equal;
        return found.n;
    }
    for (size_t i = 0; i < chunk->n; i++) { /* more of them than the support has */
        if (kept[i] != threshold)
            continue;
        if (*n_ties > 0) {
            *n_ties -= 1;
        } else {
            kept[i] = -INFINITY;
            found.n--;
        }
    }
    return found.n;
}

static void add_sums(entrol_support *support, const ent_rows *rows, size_t row) {
    ent_chunk chunk;
    float kept[ENT_CHUNK];
    double n_ties = support->n_ties;
    for (size_t column = 0; column < rows->logits->n_columns; column += ENT_CHUNK) {
        ent_chunk_load(&chunk, rows, row, column);
        if (!chunk.z)
            ent_chunk_narrow(&chunk, support->m);
        const size_t n_kept = ent_support_keep(kept, &n_ties, support, rows, &chunk);
        if (n_kept == 0)
            continue;
        ent_sums sums;
        const size_t step = entrol_dtype_size(rows->logits->dtype);
        const ent_sums_task task = {.z = kept,
                                    .n = chunk.n,
                                    .m = (float)(support->m - chunk.origin),
                                    .scale = (float)rows->scale,
                                    .has_top = 1,
                                    .next = chunk.source + chunk.n * step,
                                    .next_step = step};
        rows->kernels->sums(&sums, &task);
        support->n_columns += (double)n_kept;
        support->n_top += sums.n_top;
        support->s += sums.s;
        support->t += sums.t;
    }
}

static double count_possible(const ent_rows *rows, size_t row) {
    ent_chunk chunk;
    size_t n = 0;
    for (size_t column = 0; column < rows->logits->n_columns; column += ENT_CHUNK) {
        ent_chunk_load(&chunk, rows, row, column);
        if (chunk.z)
            n += rows->kernels->count_greater(chunk.z, chunk.n, -INFINITY);
        for (size_t i = 0; !chunk.z && i < chunk.n; i++)
            n += ent_chunk_f64(&chunk, i) > (double)-INFINITY;
    }
    return (double)n;
}

static entrol_support all_of(const entrol_state *state, double n_possible) {
    return (entrol_support){-INFINITY, 0, n_possible, state->m, state->n_top, state->s, state->t};
}

/* The first k columns. */
static void find_by_number(entrol_support *support, const ent_rows *rows, size_t row, const entrol_state *state,
                           double k, double n_possible) {
    if (k >= n_possible)
        *support = all_of(state, n_possible);
    else if (k > 0)
        support->threshold = ent_support_reach(&support->n_ties, rows, row, state, 0, k, n_possible);
}

void ent_row_support(entrol_support *support, const ent_rows *rows, size_t row, const entrol_state *state) {
    const entrol_support_kind kind = rows->options.support_kind;
    const double parameter = rows->options.support_parameter;
    *support = none;
    if (ent_state_trouble(state, 0) != ENTROL_REASON_NONE)
        return;
    *support = (entrol_support){.threshold = state->m, .m = state->m}; /* no column */
    if (kind == ENTROL_SUPPORT_TOP_K || kind == ENTROL_SUPPORT_DROP) {
        const double n = count_possible(rows, row);
        find_by_number(support, rows, row, state, kind == ENTROL_SUPPORT_TOP_K ? parameter : n - floor(parameter * n),
                       n);
    } else if (kind == ENTROL_SUPPORT_ALL || (kind == ENTROL_SUPPORT_TOP_P && parameter == 1)) {
        *support = all_of(state, count_possible(rows, row));
    } else {
        support->threshold = ent_support_reach(&support->n_ties, rows, row, state, 1, parameter, 0);
        support->n_ties -= kind == ENTROL_SUPPORT_BEFORE_P; /* the column that reaches p */
    }
    if (support->threshold > -INFINITY && (support->n_ties > 0 || support->threshold < support->m))
        add_sums(support, rows, row);
}

double ent_support_entropy(const entrol_support *support, double scale) {
    const double sum = support->n_top + support->s;
    return sum == 0 ? 0 : log1p(support->n_top - 1 + support->s) - scale * support->t / sum;
}

void ent_row_write_support(entrol_support *to, const ent_rows *rows, size_t row, const entrol_state *state) {
    entrol_support support;
    ent_row_support(&support, rows, row, state);
    if (rows->record.support_entropy)
        rows->record.support_entropy[row] = (float)ent_support_entropy(&support, rows->scale) + 0.0f; /* no -0 */
    if (rows->record.support)
        rows->record.support[row] = support;
    if (to)
        *to = support;
}
