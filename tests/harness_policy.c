/* The harness of tests/harness_policy.h. */
#include "harness_policy.h"

int count_kinds(void) {
    int n = 0;
    while (entrol_policy_kind_name((entrol_policy_kind)n))
        n++;
    return n;
}

static bool has_bounds(entrol_policy_kind kind) {
    return kind == ENTROL_POLICY_SQUASHED_GAUSSIAN || kind == ENTROL_POLICY_BETA;
}

static bool is_choice(entrol_policy_kind kind) {
    return kind == ENTROL_POLICY_CATEGORICAL || kind == ENTROL_POLICY_MULTI_DISCRETE;
}

batch_plan plan_at_random(entrol_policy_kind kind, size_t n_rows, size_t most) {
    batch_plan plan = {.kind = kind, .n_rows = n_rows, .spread = 1};
    plan.n = 1 + test_below(most);
    if (kind == ENTROL_POLICY_MULTI_DISCRETE && plan.n < 3)
        plan.n = 3;
    plan.first = (entrol_dtype)test_below(4);
    plan.second = (entrol_dtype)test_below(4);
    plan.actions = (entrol_dtype)test_below(4);
    plan.shares_second = n_rows != 1 && test_below(2);
    plan.has_mask = test_below(2);
    if (test_below(2))
        plan.nearness = pow(10, -1 - 8 * test_uniform());
    return plan;
}

/* --- Parameters --- */

/* Of one column; `column` of the second is i n + j for a square. */
static double first_value(const batch_plan *plan) {
    if (plan->ratio > 0 && plan->kind == ENTROL_POLICY_BETA)
        return plan->ratio * (2 * test_uniform() - 1) * 13.8; /* shapes from 1e-6 to 1e6 */
    if (plan->ratio > 0 && (is_choice(plan->kind) || plan->kind == ENTROL_POLICY_BERNOULLI))
        return plan->ratio * test_normal() * 150;
    if (plan->kind == ENTROL_POLICY_BETA)
        return plan->spread * (test_uniform() * 8 - 3);
    return plan->spread * test_normal() * (is_choice(plan->kind) ? 3 : 1);
}

static double second_value(const batch_plan *plan, size_t column) {
    if (plan->kind == ENTROL_POLICY_BETA)
        return first_value(plan);
    if (plan->ratio > 0 && plan->kind == ENTROL_POLICY_GAUSSIAN)
        return plan->ratio * (2 * test_uniform() - 1) * 150;
    if (plan->ratio > 0 && plan->kind == ENTROL_POLICY_SQUASHED_GAUSSIAN)
        return plan->ratio * (2 * test_uniform() - 1) * 15;
    if (plan->kind != ENTROL_POLICY_FULL_GAUSSIAN)
        return plan->spread * (test_normal() - 0.5);
    const size_t i = column / plan->n, j = column % plan->n;
    return i == j ? exp(test_normal() / 2) : j < i ? test_normal() / 2 : NAN; /* which is not read */
}

static void fill_pair(sheet *p, sheet *q, const batch_plan *plan, bool is_second) {
    for (size_t row = 0; row < p->n_rows; row++)
        for (size_t column = 0; column < p->n_columns; column++) {
            const double value = is_second ? second_value(plan, column) : first_value(plan);
            sheet_put(p, row, column, value);
            const double other = is_second ? second_value(plan, column) : first_value(plan);
            sheet_put(q, row, column,
                      plan->nearness > 0 ? value + plan->nearness * test_normal() * fabs(value) : other);
        }
}

static void fill_mask(batch *batch) {
    const size_t stride = (batch->plan.n + 7) / 8;
    size_t first = 0;
    memset(batch->mask, 0, sizeof batch->mask);
    for (size_t row = 0; row < batch->plan.n_rows; row++)
        for (size_t j = 0; j < batch->plan.n; j++)
            if (test_below(3))
                batch->mask[row * stride + j / 8] |= (uint8_t)(1 << j % 8);
    for (size_t i = 0; i < batch->p.n_sizes; first += batch->sizes[i++]) /* some column of each may happen */
        for (size_t row = 0; row < batch->plan.n_rows; row++) {
            const size_t j = first + test_below(batch->sizes[i]);
            batch->mask[row * stride + j / 8] |= (uint8_t)(1 << j % 8);
        }
    batch->p.mask = batch->q.mask = batch->mask;
    batch->p.mask_row_stride = batch->q.mask_row_stride = (ptrdiff_t)stride;
}

/* A full covariance has its ratios from row to row of L. */
static void scale_rows(sheet *second, const batch_plan *plan) {
    for (size_t row = 0; row < second->n_rows; row++)
        for (size_t i = 0; i < plan->n; i++) {
            const double scale = exp(plan->ratio * (2 * test_uniform() - 1) * 75);
            for (size_t j = 0; j <= i; j++)
                sheet_put(second, row, i * plan->n + j, scale * sheet_get(second, row, i * plan->n + j));
        }
}

/* --- Actions --- */

static bool may_happen(const batch *batch, size_t row, size_t column) {
    const uint8_t *mask = batch->p.mask;
    return !mask || (mask[(ptrdiff_t)row * batch->p.mask_row_stride + (ptrdiff_t)column / 8] >> column % 8 & 1);
}

static double action_value(batch *batch, size_t row, size_t i, size_t *first) {
    const batch_plan *plan = &batch->plan;
    if (is_choice(plan->kind)) {
        size_t choice = test_below(batch->sizes[i]);
        while (!may_happen(batch, row, *first + choice))
            choice = (choice + 1) % batch->sizes[i];
        *first += batch->sizes[i];
        return (double)choice;
    }
    if (plan->kind == ENTROL_POLICY_BERNOULLI)
        return (double)test_below(2);
    if (has_bounds(plan->kind))
        return batch->p.low + (batch->p.high - batch->p.low) * (0.01 + 0.98 * test_uniform());
    return sheet_get(&batch->first, row, i) + 2 * test_normal();
}

static void fill_actions(batch *batch) {
    for (size_t row = 0; row < batch->plan.n_rows; row++) {
        size_t first = 0;
        for (size_t i = 0; i < batch->actions.n_columns; i++)
            sheet_put(&batch->actions, row, i, action_value(batch, row, i, &first));
    }
}

/* --- Batches --- */

static void set_sizes(batch *batch) {
    const size_t n = batch->plan.n;
    batch->p.n_sizes = 1;
    batch->p.sizes = batch->sizes;
    batch->sizes[0] = n;
    if (batch->plan.kind != ENTROL_POLICY_MULTI_DISCRETE)
        return;
    batch->p.n_sizes = 3;
    batch->sizes[0] = 1 + test_below(n - 2);
    batch->sizes[1] = 1 + test_below(n - 1 - batch->sizes[0]);
    batch->sizes[2] = n - batch->sizes[0] - batch->sizes[1];
}

void batch_make(batch *batch, const batch_plan *plan) {
    const size_t n_second = oracle_policy_n_second(plan->kind, plan->n),
                 n_rows = plan->shares_second ? 1 : plan->n_rows;
    memset(batch, 0, sizeof *batch);
    batch->plan = *plan;
    batch->p = (entrol_policy)ENTROL_POLICY_INIT;
    batch->p.kind = plan->kind;
    set_sizes(batch);
    batch->first = sheet_make(plan->n_rows, plan->n, plan->first);
    batch->q_first = sheet_make(plan->n_rows, plan->n, plan->first);
    batch->second = sheet_make(n_rows, n_second, plan->second);
    batch->q_second = sheet_make(n_rows, n_second, plan->second);
    if (has_bounds(plan->kind) && test_below(2)) {
        batch->p.low = -0.75;
        batch->p.high = 2;
    }
    batch->q = batch->p;
    fill_pair(&batch->first, &batch->q_first, plan, false);
    fill_pair(&batch->second, &batch->q_second, plan, true);
    if (plan->ratio > 0 && plan->kind == ENTROL_POLICY_FULL_GAUSSIAN) {
        scale_rows(&batch->second, plan);
        scale_rows(&batch->q_second, plan);
    }
    if (plan->has_mask && is_choice(plan->kind))
        fill_mask(batch);
    batch->actions = sheet_make(plan->n_rows, is_choice(plan->kind) ? batch->p.n_sizes : plan->n, plan->actions);
    fill_actions(batch);
    batch->p.first = batch->first.matrix;
    batch->p.second = batch->second.matrix;
    batch->q.first = batch->q_first.matrix;
    batch->q.second = batch->q_second.matrix;
}

void batch_free(batch *batch) {
    sheet *const sheets[] = {&batch->first, &batch->second, &batch->q_first, &batch->q_second, &batch->actions};
    for (size_t i = 0; i < sizeof sheets / sizeof *sheets; i++)
        sheet_free(sheets[i]);
}

/* --- Rows --- */

/* x of a = low + (high - low) (1 + tanh x) / 2. */
static long double unsquash(const batch *batch, long double action) {
    return (logl(action - (long double)batch->p.low) - logl((long double)batch->p.high - action)) / 2;
}

void exact_row_read(exact_row *exact, const batch *batch, bool of_reference, size_t row) {
    const sheet *first = of_reference ? &batch->q_first : &batch->first;
    const sheet *second = of_reference ? &batch->q_second : &batch->second;
    const entrol_policy *policy = of_reference ? &batch->q : &batch->p;
    for (size_t i = 0; i < first->n_columns; i++)
        exact->first[i] = !is_choice(batch->plan.kind) || may_happen(batch, row, i)
                              ? (long double)sheet_get(first, row, i)
                              : -INFINITY;
    for (size_t i = 0; i < second->n_columns; i++) {
        exact->second[i] = (long double)sheet_get(second, second->n_rows == 1 ? 0 : row, i);
        if (batch->plan.kind == ENTROL_POLICY_GAUSSIAN || batch->plan.kind == ENTROL_POLICY_SQUASHED_GAUSSIAN)
            exact->second[i] = fmaxl(fminl(exact->second[i], policy->log_sigma_high), policy->log_sigma_low);
    }
    for (size_t i = 0; i < batch->actions.n_columns; i++) {
        exact->action[i] = (long double)sheet_get(&batch->actions, row, i);
        if (batch->plan.kind == ENTROL_POLICY_SQUASHED_GAUSSIAN)
            exact->action[i] = unsquash(batch, exact->action[i]);
    }
    exact->distribution = (oracle_distribution){.kind = batch->plan.kind,
                                                .n = batch->plan.n,
                                                .sizes = batch->sizes,
                                                .n_sizes = batch->p.n_sizes,
                                                .low = (long double)batch->p.low,
                                                .high = (long double)batch->p.high,
                                                .first = exact->first,
                                                .second = exact->second};
}
