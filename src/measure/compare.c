/* entrol_compare_rows: two rows of the same columns are measured, and then compared in a second pass, a block of rows
 * at a time, so that rows which the caches hold are read from memory once.
 *
 * The normalisers' errors of some 1e-7 would drown the divergence of rows that are nearly equal. They are an error eta
 * of delta = ln p - ln q that all columns have alike: what the kernels sum for KL(p||q) and KL(q||p) is then too great
 * by eta^2 / 2 alone, and for nearly equal rows the Jensen-Shannon divergence, about sum p delta^2 / 8, by eta^2 / 8.
 * The sum of p (e^-delta - 1), which exactly is 0, gives eta itself: it is e^-eta - 1. */
#include "pairs.h"

#include "base/context.h"

#include <math.h>

enum { PAIRS_A_BLOCK = 128 };

typedef struct call {
    ent_rows p, q;
    entrol_comparison comparison;
    entrol_context *context; /* whose threads share each row; NULL: this thread alone */
} call;

/* --- One row --- */

typedef struct shared_row {
    const call *call;
    size_t row;
    ent_pair_row pair;
    ent_pair_sums pieces[ENT_MAX_PIECES];
} shared_row;

static void add_sums(ent_pair_sums *total, const ent_pair_sums *sums) {
    total->kl_pq += sums->kl_pq;
    total->kl_qp += sums->kl_qp;
    total->jsd += sums->jsd;
    total->gain += sums->gain;
    total->mean += sums->mean;
    total->only_p |= sums->only_p;
    total->only_q |= sums->only_q;
}

static void compare_piece(void *argument, size_t index) {
    shared_row *shared = argument;
    const call *call = shared->call;
    const ent_piece columns = ent_piece_at(call->p.logits->n_columns, index);
    ent_pair_sums total = {.kl_pq = 0};
    for (size_t column = columns.first; column < columns.end; column += ENT_CHUNK) {
        ent_pair_chunk chunk;
        ent_pair_task task;
        ent_pair_sums sums;
        ent_pair_load(&task, &chunk, &call->p, &call->q, shared->row, column, &shared->pair);
        task.wants_jsd = call->comparison.jsd || call->comparison.mean_entropy;
        call->p.kernels->pair_sums(&sums, &task);
        if (task.high) { /* floats may be -inf where doubles are not */
            sums.only_p = chunk.only_p;
            sums.only_q = chunk.only_q;
        }
        add_sums(&total, &sums);
    }
    shared->pieces[index] = total;
}

/* The pieces in their order, whoever works on them: the same bits. */
static ent_pair_sums compare_row(shared_row *shared) {
    const size_t n_pieces = ent_n_pieces(shared->call->p.logits->n_columns);
    if (shared->call->context)
        ent_parallel_for(shared->call->context, n_pieces, compare_piece, shared);
    ent_pair_sums total = {.kl_pq = 0};
    for (size_t i = 0; i < n_pieces; i++) {
        if (!shared->call->context)
            compare_piece(shared, i);
        add_sums(&total, &shared->pieces[i]);
    }
    return total;
}

/* The first column whose logit is the row's greatest. */
static size_t find_top(const ent_rows *rows, size_t row, double m) {
    const size_t n_columns = rows->logits->n_columns;
    for (size_t column = 0; column < n_columns; column += ENT_CHUNK) {
        ent_chunk chunk;
        uint16_t found[ENT_CHUNK];
        ent_chunk_load(&chunk, rows, row, column);
        if (chunk.z && rows->kernels->find_between(found, chunk.z, chunk.n, (float)m, (float)m))
            return column + found[0];
        for (size_t i = 0; !chunk.z && i < chunk.n; i++)
            if (ent_chunk_f64(&chunk, i) == m)
                return column + i;
    }
    return 0; /* never: m is the logit of a column */
}

/* The mean of zp - zq is summed from that of p's greatest column, so that where this column is nearly certain, no digit
 * of the others' is lost. Where q's logit there is beyond a float, any other number will do. */
static double pivot_of(const call *call, size_t row, double p_m, double q_m, double otherwise) {
    if (!call->comparison.pairs)
        return otherwise;
    const double pivot = q_m - ent_rows_logit(&call->q, row, find_top(&call->p, row, p_m));
    return pivot < 1e30 ? pivot : otherwise;
}

/* --- Outputs --- */

static void write_one(float *array, size_t row, double value) {
    if (array)
        array[row] = (float)value;
}

static void write_everywhere(const entrol_comparison *comparison, size_t row, double value) {
    float *const arrays[] = {comparison->kl_pq, comparison->kl_qp, comparison->jsd, comparison->mean_entropy};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        write_one(arrays[i], row, value);
    if (comparison->pairs)
        comparison->pairs[row] = (entrol_pair){value, value, value, value};
}

/* A divergence without what the error of delta has added to it. */
static double divergence(double sum, double error, double greatest) {
    const double value = sum - error;
    return value < 0 ? 0 : value < greatest ? value : greatest;
}

static int wants_sums(const entrol_comparison *comparison) {
    return comparison->kl_pq || comparison->kl_qp || comparison->jsd || comparison->mean_entropy || comparison->pairs;
}

static void write_row(const call *call, size_t row, const entrol_state *p, const entrol_state *q) {
    const entrol_comparison *comparison = &call->comparison;
    const double scale = call->p.scale, shift = (ent_state_log_sum(p) - ent_state_log_sum(q)) / scale;
    shared_row shared = {.call = call, .row = row};
    shared.pair =
        (ent_pair_row){p->m, q->m, ent_state_sum(p), ent_state_sum(q), shift, pivot_of(call, row, p->m, q->m, shift)};
    const ent_pair_sums sums = compare_row(&shared);
    const double eta = -log1p(sums.gain), error = eta * eta / 2, infinity = (double)INFINITY;
    const double jsd = divergence(sums.jsd, error / 4, log(2));
    write_one(comparison->kl_pq, row, sums.only_p ? infinity : divergence(sums.kl_pq, error, infinity));
    write_one(comparison->kl_qp, row, sums.only_q ? infinity : divergence(sums.kl_qp, error, infinity));
    write_one(comparison->jsd, row, jsd);
    write_one(comparison->mean_entropy, row, jsd + (ent_state_entropy(p, scale) + ent_state_entropy(q, scale)) / 2);
    if (comparison->pairs)
        comparison->pairs[row] = (entrol_pair){q->m, shared.pair.q_sum, shift + eta / scale,
                                               sums.only_p ? infinity : shared.pair.pivot + sums.mean};
}

/* --- Rows --- */

static void compare_block(const void *argument, size_t begin, size_t end, entrol_diagnosis *found) {
    const call *call = argument;
    entrol_state p[PAIRS_A_BLOCK], q[PAIRS_A_BLOCK];
    entrol_diagnosis ignored = {0}; /* a row is in trouble once, also where both its rows are */
    ent_rows_measure(&call->p, begin, end, p, NULL, &ignored, call->context);
    ent_rows_measure(&call->q, begin, end, q, NULL, &ignored, call->context);
    for (size_t row = begin; row < end; row++) {
        const size_t i = row - begin;
        const entrol_reason of_p = ent_state_trouble(&p[i], 0), of_q = ent_state_trouble(&q[i], 0);
        if (of_p != ENTROL_REASON_NONE || of_q != ENTROL_REASON_NONE) {
            ent_rows_blame(of_p ? &call->p : &call->q, row, of_p ? of_p : of_q, found);
            write_everywhere(&call->comparison, row, (double)NAN);
        } else if (wants_sums(&call->comparison)) {
            write_row(call, row, &p[i], &q[i]);
        }
        if (call->comparison.p_states)
            call->comparison.p_states[row] = p[i];
        if (call->comparison.q_states)
            call->comparison.q_states[row] = q[i];
    }
}

/* --- Arguments --- */

static const char *check_arguments(call *call, entrol_context *context, const entrol_comparison *comparison,
                                   const entrol_matrix *p, const entrol_matrix *q) {
    call->comparison = (entrol_comparison)ENTROL_COMPARISON_INIT;
    if (!context)
        return "context";
    if (!comparison || !ent_take(&call->comparison, comparison, sizeof *comparison))
        return "comparison";
    if (ent_check_matrix(p))
        return "p";
    return ent_check_matrix(q) || p->n_rows != q->n_rows || p->n_columns != q->n_columns ? "q" : NULL;
}

static entrol_status prepare(call *call, entrol_context *context, const entrol_comparison *comparison,
                             entrol_diagnosis *diagnosis, const entrol_matrix *p, const entrol_matrix *q,
                             const entrol_measure_options *options) {
    const entrol_record nothing = ENTROL_RECORD_INIT;
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){0};
    const char *bad = check_arguments(call, context, comparison, p, q);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    const entrol_status status = ent_rows_prepare(&call->p, context, diagnosis, &nothing, p, NULL, options);
    return status != ENTROL_OK ? status : ent_rows_prepare(&call->q, context, diagnosis, &nothing, q, NULL, options);
}

entrol_status entrol_compare_rows(entrol_context *context, const entrol_comparison *comparison,
                                  entrol_diagnosis *diagnosis, const entrol_matrix *p, const entrol_matrix *q,
                                  const entrol_measure_options *options) {
    call call;
    const entrol_status status = prepare(&call, context, comparison, diagnosis, p, q, options);
    if (status != ENTROL_OK || p->n_rows == 0)
        return status;
    call.context = ent_rows_are_shared(p, context) ? context : NULL;
    const size_t row_bytes = p->n_columns * (entrol_dtype_size(p->dtype) + entrol_dtype_size(q->dtype));
    ent_blocks_run(context, p, ent_rows_per_block(row_bytes, PAIRS_A_BLOCK), compare_block, &call, diagnosis);
    return ENTROL_OK;
}
