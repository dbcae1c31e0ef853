/* Rows of at most ENT_SHORT columns (the actions of a game, the joints of a robot): a row a lane. */
#include "rows.h"

#include "base/dtype.h"

#include <math.h>
#include <string.h>

/* The row as f32, and its origin: 0, but for f64 its maximum, where that is finite. */
static double load_row(float *z, const ent_rows *rows, size_t row) {
    const entrol_matrix *logits = rows->logits;
    if (logits->dtype != ENTROL_F64) {
        rows->kernels->widen[logits->dtype](z, ent_rows_at(rows, row), logits->n_columns, ent_rows_mask(rows, row));
        return 0;
    }
    double max = -INFINITY;
    for (size_t j = 0; j < logits->n_columns; j++) {
        const double value = ent_rows_logit(rows, row, j);
        max = value > max ? value : max;
    }
    const double origin = isfinite(max) ? max : 0;
    for (size_t j = 0; j < logits->n_columns; j++)
        z[j] = (float)(ent_rows_logit(rows, row, j) - origin);
    return origin;
}

/* Rows that lie one behind the other and need no more than widening, all at once. */
static int load_rows(float *z, double *origin, const ent_rows *rows, size_t first_row, size_t n_rows) {
    const entrol_matrix *logits = rows->logits;
    const size_t n_columns = logits->n_columns;
    if (logits->dtype == ENTROL_F64 || rows->options.mask || logits->row_stride != (ptrdiff_t)n_columns)
        return 0;
    memset(origin, 0, ENT_LANES * sizeof *origin);
    rows->kernels->widen[logits->dtype](z, ent_rows_at(rows, first_row), n_rows * n_columns, NULL);
    return 1;
}

void ent_tile_fill(ent_tile *tile, const ent_rows *rows, size_t first_row, size_t n_rows) {
    const size_t n_columns = rows->logits->n_columns;
    float z[ENT_SHORT * ENT_LANES];
    const int is_loaded = load_rows(z, tile->origin, rows, first_row, n_rows);
    for (size_t lane = 0; lane < n_rows && !is_loaded; lane++)
        tile->origin[lane] = load_row(z + lane * n_columns, rows, first_row + lane);
    for (size_t lane = n_rows; lane < ENT_LANES; lane++)
        tile->origin[lane] = 0;
    for (size_t i = n_rows * n_columns; i < ENT_LANES * n_columns; i++)
        z[i] = -INFINITY;
    for (size_t j = 0; j < n_columns; j++)
        for (size_t lane = 0; lane < ENT_LANES; lane++)
            tile->z[j * ENT_LANES + lane] = z[lane * n_columns + j];
}

static void add_power(entrol_state *state, const ent_rows *rows, const float *z) {
    ent_sums sums;
    const ent_sums_task task = {.z = z,
                                .n = rows->logits->n_columns,
                                .m = (float)state->m,
                                .scale = (float)(rows->scale * rows->options.renyi_order),
                                .has_top = 1};
    rows->kernels->sums(&sums, &task);
    state->power = sums.s;
}

/* What needs the row itself again, gathered from its lane. The state's m is still relative to the origin. */
static void look_again(ent_row *result, const ent_rows *rows, size_t row, const ent_tile *tile, size_t lane) {
    float z[ENT_SHORT];
    const size_t n_columns = rows->logits->n_columns;
    for (size_t j = 0; j < n_columns; j++)
        z[j] = tile->z[j * ENT_LANES + lane];
    ent_row_order(result, rows, row, rows->logits->dtype == ENTROL_F64 ? NULL : z, 0, n_columns, result->state.m);
    if (rows->wants_power && isfinite(result->state.m))
        add_power(&result->state, rows, z);
}

static void read_lane(ent_row *result, const ent_lanes_sums *sums, size_t lane, int squares) {
    const double n_top = (double)sums->n_top[lane], s = (double)sums->s[lane], t = (double)sums->t[lane];
    result->state.m = (double)sums->m[lane];
    result->state.n_top = n_top;
    result->state.s = s;
    result->state.t = t;
    result->state.least = (double)sums->least[lane];
    if (!squares || n_top == 0) /* nothing finite: its mean is 0 / 0 */
        return;
    /* u is about the mean of all columns: what the top adds to it is added again when the row is written */
    const double top = s > 0 ? t / s * (t / s) * n_top * (s / (s + n_top)) : 0;
    const double m2 = (double)sums->u[lane] - top;
    result->state.m2 = m2 < 0 ? 0 : m2;
    result->state.q = (double)sums->q[lane];
}

/* --- A row a lane --- */

static void write_values(const ent_rows *rows, size_t first_row, size_t n_rows, const ent_lanes_values *values) {
    const entrol_record *record = &rows->record;
    float *const to[] = {record->entropy,    record->logsumexp, record->logprob,
                         record->varentropy, record->top_prob,  record->sum_p_squared};
    const float *const from[] = {values->entropy,    values->logsumexp, values->logprob,
                                 values->varentropy, values->top_prob,  values->sum_p_squared};
    for (size_t i = 0; i < sizeof to / sizeof *to; i++)
        if (to[i])
            memcpy(to[i] + first_row, from[i], n_rows * sizeof(float));
}

/* The logits of the rows' targets; a bit is returned for each row that should have one and does not. */
static unsigned find_targets(float *targets, const ent_rows *rows, size_t first_row, size_t n_rows,
                             const ent_tile *tile) {
    unsigned without = 0;
    const int64_t *columns = rows->targets ? rows->targets + first_row : NULL;
    const size_t n_columns = rows->logits->n_columns;
    for (size_t lane = 0; lane < n_rows; lane++) {
        const uint64_t column = columns ? (uint64_t)columns[lane] : UINT64_MAX; /* a negative one is great, too */
        const int has_target = column < n_columns;
        targets[lane] = has_target ? tile->z[column * ENT_LANES + lane] : NAN;
        without |= (unsigned)!has_target << lane;
    }
    return without;
}

/* Not of f64, whose lanes are relative to an origin: there every row is written by itself. */
static void find_values(ent_lanes_values *values, const ent_rows *rows, size_t first_row, size_t n_rows,
                        const ent_tile *tile, const ent_lanes_sums *sums) {
    float targets[ENT_LANES] = {0};
    unsigned without = 0;
    if (rows->record.logprob || rows->wants_rank)
        without = find_targets(targets, rows, first_row, n_rows, tile);
    rows->kernels->lanes_values(values, sums, targets, (float)rows->scale, rows->wants_squares);
    values->bad |= without;
    write_values(rows, first_row, n_rows, values);
}

void ent_rows_measure_short(const ent_rows *rows, size_t first_row, size_t n_rows, int all,
                            void (*finish)(const ent_rows *rows, size_t row, const ent_row *result, void *user),
                            void *user) {
    ent_tile tile;
    ent_lanes_sums sums;
    ent_lanes_values values = {.bad = 0};
    ent_best best;
    const int has_values = rows->logits->dtype != ENTROL_F64;
    const int again = rows->wants_rank || rows->wants_support || rows->wants_power || rows->n_best;
    const int each = all || again || !has_values || rows->rest.renyi || rows->rest.state || rows->wants_support_entropy;
    ent_tile_fill(&tile, rows, first_row, n_rows);
    rows->kernels->lanes(&sums, tile.z, rows->logits->n_columns, (float)rows->scale, rows->wants_squares);
    if (has_values)
        find_values(&values, rows, first_row, n_rows, &tile, &sums);
    if (!each && !values.bad)
        return;
    for (size_t lane = 0; lane < n_rows; lane++) {
        if (!each && !((values.bad >> lane) & 1))
            continue;
        ent_row result;
        ent_row_begin(&result, rows, first_row + lane, &best);
        read_lane(&result, &sums, lane, rows->wants_squares);
        if (again)
            look_again(&result, rows, first_row + lane, &tile, lane);
        result.state.m += tile.origin[lane];
        result.state.least += tile.origin[lane];
        result.has_values = has_values;
        finish(rows, first_row + lane, &result, user);
    }
}
