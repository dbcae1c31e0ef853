/* entrol_policy_gradient against the oracle for every kind in the registry, each part of the record alone and all
 * together, the oracle itself against finite differences; pathwise, clipped and shared ln sigma, special values,
 * trouble, bad arguments, and the same bits for any number of threads. */
#include "harness_policy.h"

#include "oracle.h"

enum { MOST_ROWS = 64 };

/* Parts of a gradient record. */
enum { ENTROPY, LOGPROB, KL_PQ, KL_QP, ACTION, PATHWISE_LOGPROB, N_PARTS };

static const char *const part_names[N_PARTS] = {"dL/dH",        "dL/dlogp", "dL/dKL(p||q)",
                                                "dL/dKL(q||p)", "dL/da",    "pathwise"};

static entrol_context *context;
static double worst[16], worst_of_row[16]; /* by kind: error by the greatest term, and by the row's largest */

static bool is_differentiable(entrol_policy_kind kind) {
    return kind == ENTROL_POLICY_GAUSSIAN || kind == ENTROL_POLICY_FULL_GAUSSIAN ||
           kind == ENTROL_POLICY_SQUASHED_GAUSSIAN;
}

static bool has_part(entrol_policy_kind kind, int part) {
    return part < ACTION || is_differentiable(kind);
}

/* --- The oracle against finite differences --- */

/* A row whose parameters can be moved. */
typedef struct movable {
    exact_row p, q;
    long double noise[MOST_PARAMETERS], d_action[MOST_PARAMETERS];
    int part;
} movable;

/* The noise that the action was made of. */
static void find_noise(long double *noise, const exact_row *exact) {
    const oracle_distribution *p = &exact->distribution;
    for (size_t i = 0; i < p->n; i++) {
        noise[i] = exact->action[i] - p->first[i];
        for (size_t j = 0; p->kind == ENTROL_POLICY_FULL_GAUSSIAN && j < i; j++)
            noise[i] -= p->second[i * p->n + j] * noise[j];
        noise[i] /= p->kind == ENTROL_POLICY_FULL_GAUSSIAN ? p->second[i * p->n + i] : expl(p->second[i]);
    }
}

static void movable_read(movable *row, const batch *batch, size_t index) {
    exact_row_read(&row->p, batch, false, index);
    exact_row_read(&row->q, batch, true, index);
    if (is_differentiable(batch->plan.kind))
        find_noise(row->noise, &row->p);
}

/* The part's value with the parameters as they are. */
static long double value_of(const movable *row) {
    const oracle_distribution *p = &row->p.distribution;
    long double x[MOST_PARAMETERS], a[MOST_PARAMETERS], sum = 0;
    switch (row->part) {
    case ENTROPY:
        return oracle_policy_entropy(p);
    case LOGPROB:
        return oracle_policy_logprob(p, row->p.action);
    case KL_PQ:
        return oracle_policy_kl(p, &row->q.distribution);
    case KL_QP:
        return oracle_policy_kl(&row->q.distribution, p);
    case PATHWISE_LOGPROB:
        oracle_policy_act(x, NULL, p, row->noise);
        return oracle_policy_logprob(p, x);
    default:
        oracle_policy_act(x, a, p, row->noise);
        for (size_t i = 0; i < p->n; i++)
            sum += row->d_action[i] * a[i];
        return sum;
    }
}

static void slope_of(oracle_slopes *slopes, const movable *row, long double by) {
    const oracle_distribution *p = &row->p.distribution, *q = &row->q.distribution;
    switch (row->part) {
    case ENTROPY:
        oracle_policy_slope_entropy(slopes, p, by);
        return;
    case LOGPROB:
        oracle_policy_slope_logprob(slopes, p, row->p.action, by);
        return;
    case KL_PQ:
        oracle_policy_slope_kl_pq(slopes, p, q, by);
        return;
    case KL_QP:
        oracle_policy_slope_kl_qp(slopes, p, q, by);
        return;
    case PATHWISE_LOGPROB:
        oracle_policy_slope_pathwise_logprob(slopes, p, row->noise, by);
        return;
    default:
        oracle_policy_slope_action(slopes, p, row->noise, row->d_action);
    }
}

/* The same row, moved by t along a direction: masked columns and those above a diagonal stay. */
static long double value_along(const movable *row, const long double *direction, long double t) {
    static movable moved;
    moved = *row;
    const size_t n = row->p.distribution.n, n_second = oracle_policy_n_second(row->p.distribution.kind, n);
    for (size_t i = 0; i < n; i++)
        moved.p.first[i] += t * direction[i];
    for (size_t i = 0; i < n_second; i++)
        moved.p.second[i] += t * direction[n + i];
    moved.p.distribution.first = moved.p.first;
    moved.p.distribution.second = moved.p.second;
    moved.q.distribution.first = moved.q.first;
    moved.q.distribution.second = moved.q.second;
    return value_of(&moved);
}

static void check_direction(const movable *row) {
    const oracle_distribution *p = &row->p.distribution;
    const size_t n = p->n, n_second = oracle_policy_n_second(p->kind, n);
    long double first[MOST_PARAMETERS] = {0}, second[MOST_PARAMETERS] = {0}, direction[2 * MOST_PARAMETERS];
    oracle_slopes slopes = {first, second, 0};
    slope_of(&slopes, row, 1);
    long double exact = 0;
    const long double h = 1e-3L;
    for (size_t i = 0; i < n + n_second; i++) {
        direction[i] = (long double)test_normal();
        const size_t j = i - n;
        if (i >= n && p->kind == ENTROL_POLICY_FULL_GAUSSIAN && j % n > j / n)
            direction[i] = 0;
        exact += direction[i] * (i < n ? first[i] : second[j]);
    }
    /* Of the sixth order. */
    static const long double weights[] = {45, -9, 1};
    long double difference = 0;
    for (int k = 0; k < 3; k++)
        difference +=
            weights[k] * (value_along(row, direction, (k + 1) * h) - value_along(row, direction, -(k + 1) * h));
    difference /= 60 * h;
    CHECK_SAY(fabsl(difference - exact) <= 1e-8L * (slopes.greatest + 1e-3L), "%s, %s: %.12Lg by differences, %.12Lg",
              entrol_policy_kind_name(p->kind), part_names[row->part], difference, exact);
}

static void test_oracle(void) {
    static batch batch;
    static movable row;
    for (int kind = 0; kind < count_kinds(); kind++)
        for (int i = 0; i < (is_quick() ? 5 : 40); i++) {
            batch_plan plan = plan_at_random((entrol_policy_kind)kind, 1, 5);
            plan.nearness = 0;
            plan.spread = 0.5;
            batch_make(&batch, &plan);
            movable_read(&row, &batch, 0);
            for (size_t k = 0; k < plan.n; k++)
                row.d_action[k] = (long double)test_normal();
            for (row.part = 0; row.part < N_PARTS; row.part++)
                if (has_part(plan.kind, row.part))
                    check_direction(&row);
            batch_free(&batch);
        }
}

/* --- Every kind against the oracle --- */

typedef struct record {
    float values[4][MOST_ROWS];
    double d_action[MOST_ROWS * 16];
    entrol_matrix d_action_matrix;
    entrol_policy_gradient_record record;
} record;

/* A record of the parts that are wanted. */
static void fill_record(record *record, const batch *batch, const bool *wants) {
    const size_t n = batch->plan.n, n_rows = batch->plan.n_rows;
    for (int part = 0; part < 4; part++)
        for (size_t row = 0; row < n_rows; row++)
            record->values[part][row] = (float)test_normal();
    for (size_t i = 0; i < n_rows * n && i < MOST_ROWS * 16; i++)
        record->d_action[i] = test_normal();
    record->d_action_matrix = (entrol_matrix){record->d_action, ENTROL_F64, n_rows, n, (ptrdiff_t)n};
    record->record = (entrol_policy_gradient_record){
        .size = sizeof record->record,
        .entropy = wants[ENTROPY] ? record->values[ENTROPY] : NULL,
        .logprob = wants[LOGPROB] || wants[PATHWISE_LOGPROB] ? record->values[LOGPROB] : NULL,
        .kl_pq = wants[KL_PQ] ? record->values[KL_PQ] : NULL,
        .kl_qp = wants[KL_QP] ? record->values[KL_QP] : NULL,
        .d_action = wants[ACTION] ? &record->d_action_matrix : NULL,
        .is_pathwise = wants[PATHWISE_LOGPROB],
    };
}

/* The oracle's gradient of a row, 0 where ln sigma is clipped. */
static void exact_gradient(oracle_slopes *slopes, const batch *batch, const record *record, const bool *wants,
                           size_t index) {
    static movable row;
    movable_read(&row, batch, index);
    for (size_t i = 0; wants[ACTION] && i < batch->plan.n; i++)
        row.d_action[i] = (long double)record->d_action[index * batch->plan.n + i];
    for (row.part = 0; row.part < N_PARTS; row.part++) {
        const int array = row.part == PATHWISE_LOGPROB ? LOGPROB : row.part;
        if (wants[row.part])
            slope_of(slopes, &row, array < ACTION ? (long double)record->values[array][index] : 0);
    }
    const entrol_policy_kind kind = batch->plan.kind;
    const bool is_clipped = kind == ENTROL_POLICY_GAUSSIAN || kind == ENTROL_POLICY_SQUASHED_GAUSSIAN;
    for (size_t i = 0; is_clipped && i < batch->second.n_columns; i++) {
        const double given = sheet_get(&batch->second, batch->second.n_rows == 1 ? 0 : index, i);
        if (given < batch->p.log_sigma_low || given > batch->p.log_sigma_high)
            slopes->second[i] = 0;
    }
}

typedef struct gradients {
    double first[MOST_ROWS * 128], second[MOST_ROWS * 256];
    entrol_diagnosis diagnosis;
} gradients;

static entrol_status differentiate(gradients *out, const batch *batch, const record *record) {
    memset(out, 0x55, sizeof *out);
    const entrol_destination first = {out->first, ENTROL_F64, (ptrdiff_t)batch->first.n_columns, 0};
    const entrol_destination second = {out->second, ENTROL_F64, (ptrdiff_t)batch->second.n_columns, 0};
    return entrol_policy_gradient(context, &first, batch->second.n_columns ? &second : NULL, &out->diagnosis,
                                  &record->record, &batch->p, &batch->actions.matrix, &batch->q, NULL);
}

/* What a row's elements are measured by. */
typedef struct scale {
    long double terms;   /* the greatest term */
    long double largest; /* the row's largest element */
    double by;           /* the greatest derivative in the record */
    double oracle;       /* what the oracle's own terms cost */
} scale;

/* The contract: 1e-12 of the greatest term and 1e-14 dL/dKL more; and 1e-6 of the row's largest, but for
 * what is left of terms that cancel. */
static void check_elements(const batch *batch, const double *got, const long double *exact, size_t n,
                           const scale *scale, const char *what) {
    const entrol_policy_kind kind = batch->plan.kind;
    const double terms = (double)scale->terms, close = 1e-14 * scale->by + scale->oracle;
    const double largest = fmax((double)scale->largest, 1e-10 * terms);
    for (size_t i = 0; i < n; i++) {
        const double off = (double)fabsl(got[i] - exact[i]);
        worst[kind] = fmax(worst[kind], off / (1e-12 * terms + close));
        worst_of_row[kind] = fmax(worst_of_row[kind], off / (1e-6 * largest + close));
        CHECK_SAY(off <= 1e-12 * terms + close && off <= 1e-6 * largest + close,
                  "%s, %s, n = %zu, %g apart: element %zu is %.17g, exactly %.17Lg of %g, of terms of %g",
                  entrol_policy_kind_name(kind), what, batch->plan.n, batch->plan.nearness, i, got[i], exact[i],
                  largest, terms);
    }
}

static long double largest_of(const long double *values, size_t n, long double largest) {
    for (size_t i = 0; i < n; i++)
        largest = fmaxl(largest, fabsl(values[i]));
    return largest;
}

static double greatest_derivative(const record *record, size_t row) {
    double greatest = 0;
    for (int part = 0; part < 4; part++)
        greatest = fmax(greatest, fabs((double)record->values[part][row]));
    return greatest;
}

/* Of a Beta: its terms are its shapes times psi. */
static double shapes_of(const batch *batch, size_t row) {
    double sum = 0;
    for (size_t i = 0; batch->plan.kind == ENTROL_POLICY_BETA && i < batch->plan.n; i++)
        sum += exp(sheet_get(&batch->first, row, i)) +
               exp(sheet_get(&batch->second, batch->second.n_rows == 1 ? 0 : row, i));
    return sum;
}

static void check_gradients(const batch *batch, const gradients *got, const record *record, const bool *wants,
                            const char *what) {
    const size_t n = batch->plan.n, n_second = batch->second.n_columns;
    static long double first[MOST_PARAMETERS], second[MOST_PARAMETERS], total[MOST_PARAMETERS];
    long double all_terms = 0;
    memset(total, 0, sizeof total);
    for (size_t row = 0; row < batch->plan.n_rows; row++) {
        memset(first, 0, sizeof first);
        memset(second, 0, sizeof second);
        oracle_slopes slopes = {first, second, 0};
        exact_gradient(&slopes, batch, record, wants, row);
        const scale scale = {slopes.greatest + 1e-300L, largest_of(second, n_second, largest_of(first, n, 0)),
                             greatest_derivative(record, row), 1e-17 * shapes_of(batch, row)};
        check_elements(batch, got->first + row * n, first, n, &scale, what);
        if (!batch->plan.shares_second)
            check_elements(batch, got->second + row * n_second, second, n_second, &scale, what);
        for (size_t i = 0; i < n_second; i++)
            total[i] += second[i];
        all_terms += slopes.greatest;
    }
    const scale shared = {all_terms + 1e-7L, all_terms, 4, 0}; /* each term is rounded to a multiple of 2^-64 */
    if (batch->plan.shares_second)
        check_elements(batch, got->second, total, n_second, &shared, what);
}

static void check_parts(const batch *batch, const bool *wants, const char *what) {
    static record record;
    static gradients got;
    fill_record(&record, batch, wants);
    CHECK_INT(differentiate(&got, batch, &record), ENTROL_OK);
    CHECK_INT(got.diagnosis.n_bad, 0);
    check_gradients(batch, &got, &record, wants, what);
}

static void check_batch(const batch_plan *plan, bool clips) {
    static batch batch;
    batch_make(&batch, plan);
    if (clips) {
        batch.p.log_sigma_low = batch.q.log_sigma_low = -0.75;
        batch.p.log_sigma_high = batch.q.log_sigma_high = 0.25;
    }
    for (int part = 0; part < N_PARTS; part++) {
        bool wants[N_PARTS] = {0};
        wants[part] = true;
        if (has_part(plan->kind, part))
            check_parts(&batch, wants, part_names[part]);
    }
    const bool differentiable = is_differentiable(plan->kind), pathwise = differentiable && test_below(2);
    const bool all[N_PARTS] = {true, !pathwise, true, true, differentiable, pathwise};
    check_parts(&batch, all, "all");
    batch_free(&batch);
}

static void test_every_kind(void) {
    for (int kind = 0; kind < count_kinds(); kind++)
        for (int i = 0; i < (is_quick() ? 10 : 80); i++) {
            const batch_plan plan = plan_at_random((entrol_policy_kind)kind, 1 + test_below(5), i % 4 ? 6 : 12);
            check_batch(&plan, i % 3 == 0);
        }
    for (int kind = 0; kind < count_kinds(); kind++)
        printf("  %-18s %.4f of what is allowed of the greatest term, %.4f of that of the row's largest\n",
               entrol_policy_kind_name((entrol_policy_kind)kind), worst[kind], worst_of_row[kind]);
}

static void test_spread(void) {
    for (int kind = 0; kind < count_kinds(); kind++)
        for (int i = 0; i < (is_quick() ? 5 : 40); i++) {
            batch_plan plan = plan_at_random((entrol_policy_kind)kind, 1 + test_below(5), 6);
            plan.first = plan.second = plan.actions = ENTROL_F64;
            plan.spread = i % 2 ? 2 : 0.01;
            check_batch(&plan, false);
        }
}

static void test_wide(void) {
    for (int kind = 0; kind < count_kinds(); kind++)
        for (int shared = 0; shared < 2; shared++) {
            batch_plan plan = {
                .kind = (entrol_policy_kind)kind, .n_rows = 3, .n = 16, .shares_second = shared, .spread = 1};
            if (kind < ENTROL_POLICY_GAUSSIAN)
                plan.n = 120;
            check_batch(&plan, false);
        }
}

/* --- Destinations --- */

/* A half gets the nearest; adding adds; NULL leaves the rest as it is. */
static void test_destinations(void) {
    static batch batch;
    static record record;
    static gradients exact;
    const bool wants[N_PARTS] = {true, true, false, false, false, false};
    for (int kind = 0; kind < count_kinds(); kind++)
        for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++) {
            batch_plan plan = plan_at_random((entrol_policy_kind)kind, 3, 5);
            plan.shares_second = dtype % 2;
            batch_make(&batch, &plan);
            fill_record(&record, &batch, wants);
            CHECK_INT(differentiate(&exact, &batch, &record), ENTROL_OK);
            sheet out = sheet_make(3, plan.n, (entrol_dtype)dtype);
            for (int add = 0; add < 2; add++) {
                for (size_t i = 0; i < 3 * plan.n; i++)
                    oracle_encode(out.dtype, out.buffer.data, i, 2);
                const entrol_destination first = destination_of(&out, add);
                CHECK_INT(entrol_policy_gradient(context, &first, NULL, NULL, &record.record, &batch.p,
                                                 &batch.actions.matrix, NULL, NULL),
                          ENTROL_OK);
                for (size_t i = 0; i < 3 * plan.n; i++) {
                    const double expected = exact.first[i] + 2 * add;
                    const double allowed =
                        dtype == ENTROL_F64 ? 1e-15 * (1 + fabs(expected)) : rounding(out.dtype, expected);
                    CHECK_NEAR(sheet_get(&out, i / plan.n, i % plan.n), expected, allowed + 1e-15);
                }
            }
            sheet_free(&out);
            batch_free(&batch);
        }
}

/* --- Special values --- */

typedef struct one {
    double first, second, action;
    float entropy, logprob, kl_pq, kl_qp;
    double q_first, q_second;
} one;

typedef struct slopes {
    double first, second;
    entrol_diagnosis diagnosis;
} slopes;

static slopes differentiate_one(entrol_policy_kind kind, const one *one) {
    slopes slopes = {7, 7, {0}};
    entrol_policy p = ENTROL_POLICY_INIT;
    static const size_t sizes[] = {1};
    p.kind = kind;
    p.sizes = sizes;
    p.n_sizes = 1;
    p.first = (entrol_matrix){&one->first, ENTROL_F64, 1, 1, 1};
    p.second = (entrol_matrix){&one->second, ENTROL_F64, 1, 1, 1};
    entrol_policy q = p;
    q.first.data = &one->q_first;
    q.second.data = &one->q_second;
    const entrol_matrix action = {&one->action, ENTROL_F64, 1, 1, 1};
    const entrol_destination first = {&slopes.first, ENTROL_F64, 1, 0}, second = {&slopes.second, ENTROL_F64, 1, 0};
    const entrol_policy_gradient_record record = {
        sizeof record, &one->entropy, &one->logprob, &one->kl_pq, &one->kl_qp, NULL, 0};
    CHECK_INT(entrol_policy_gradient(context, &first, kind < ENTROL_POLICY_GAUSSIAN ? NULL : &second, &slopes.diagnosis,
                                     &record, &p, &action, &q, NULL),
              ENTROL_OK);
    return slopes;
}

static void test_sigma_of_zero(void) {
    one one = {.second = -INFINITY, .entropy = 2};
    slopes got = differentiate_one(ENTROL_POLICY_GAUSSIAN, &one);
    CHECK(got.first == 0 && got.second == 2 && got.diagnosis.n_bad == 0);
    got = differentiate_one(ENTROL_POLICY_SQUASHED_GAUSSIAN, &one);
    CHECK(got.first == 0 && got.second == 2 && got.diagnosis.n_bad == 0);
    one.logprob = 1;
    got = differentiate_one(ENTROL_POLICY_GAUSSIAN, &one);
    CHECK(isnan(got.first) && isnan(got.second));
    CHECK_INT(got.diagnosis.reason, ENTROL_REASON_GRADIENT);
    one = (struct one){.kl_pq = 1, .q_second = -INFINITY};
    got = differentiate_one(ENTROL_POLICY_GAUSSIAN, &one);
    CHECK_INT(got.diagnosis.reason, ENTROL_REASON_GRADIENT);
}

/* torch.clamp: the whole gradient at a bound, none beyond. */
static void test_clipped_sigma(void) {
    static const double means[5] = {0}, log_sigmas[5] = {-3, -2, 0, 2, 2.5}, expected[5] = {0, 1, 1, 1, 0};
    static const float ones[5] = {1, 1, 1, 1, 1};
    double d_second[5];
    entrol_policy p = ENTROL_POLICY_INIT;
    p.kind = ENTROL_POLICY_GAUSSIAN;
    p.first = (entrol_matrix){means, ENTROL_F64, 1, 5, 5};
    p.second = (entrol_matrix){log_sigmas, ENTROL_F64, 1, 5, 5};
    p.log_sigma_low = -2;
    p.log_sigma_high = 2;
    const entrol_destination second = {d_second, ENTROL_F64, 5, 0};
    const entrol_policy_gradient_record record = {sizeof record, ones, NULL, NULL, NULL, NULL, 0};
    CHECK_INT(entrol_policy_gradient(context, NULL, &second, NULL, &record, &p, NULL, NULL, NULL), ENTROL_OK);
    for (size_t i = 0; i < 5; i++)
        CHECK(d_second[i] == expected[i]);
}

static void test_record_of_zero(void) {
    one one = {.first = NAN, .second = NAN, .action = NAN};
    for (int kind = 0; kind < count_kinds(); kind++) {
        const slopes got = differentiate_one((entrol_policy_kind)kind, &one);
        CHECK(got.first == 0 && (got.second == 0 || got.second == 7) && got.diagnosis.n_bad == 0);
    }
    one.entropy = INFINITY;
    for (int kind = 0; kind < count_kinds(); kind++)
        CHECK_INT(differentiate_one((entrol_policy_kind)kind, &one).diagnosis.reason, ENTROL_REASON_GRADIENT);
    one.entropy = 1;
    for (int kind = 0; kind < count_kinds(); kind++) {
        const slopes got = differentiate_one((entrol_policy_kind)kind, &one);
        CHECK_INT(got.diagnosis.reason, ENTROL_REASON_NAN);
        CHECK(isnan(got.first));
    }
}

/* A certain choice has a gradient of exactly 0, an impossible column too. */
static void test_certain(void) {
    static const double logits[2][4] = {{-INFINITY, 2, -INFINITY, -INFINITY}, {0, -INFINITY, 1, 2}};
    static const double q_logits[2][4] = {{-INFINITY, 0, -INFINITY, -INFINITY}, {0, 0, 1, -INFINITY}};
    const double actions[2] = {1, 2};
    const float by[2] = {3, 3};
    double d_first[8];
    entrol_diagnosis diagnosis;
    entrol_policy p = ENTROL_POLICY_INIT, q;
    p.first = (entrol_matrix){logits, ENTROL_F64, 2, 4, 4};
    q = p;
    q.first.data = q_logits;
    const entrol_matrix matrix = {actions, ENTROL_F64, 2, 1, 1};
    const entrol_destination first = {d_first, ENTROL_F64, 4, 0};
    entrol_policy_gradient_record record = {sizeof record, by, by, NULL, by, NULL, 0};
    CHECK_INT(entrol_policy_gradient(context, &first, NULL, &diagnosis, &record, &p, &matrix, &q, NULL), ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 0);
    for (size_t i = 0; i < 4; i++)
        CHECK(d_first[i] == 0);
    CHECK(d_first[5] == 0);
    record.kl_pq = by; /* of which the second row has none */
    CHECK_INT(entrol_policy_gradient(context, &first, NULL, &diagnosis, &record, &p, &matrix, &q, NULL), ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 1);
    CHECK_INT(diagnosis.first_row, 1);
    CHECK_INT(diagnosis.reason, ENTROL_REASON_GRADIENT);
    CHECK(d_first[1] == 0 && isnan(d_first[4]) && isnan(d_first[5]));
    record = (entrol_policy_gradient_record){sizeof record, NULL, NULL, NULL, by, NULL, 0}; /* KL(q||p) = inf there */
    CHECK_INT(entrol_policy_gradient(context, &first, NULL, &diagnosis, &record, &p, &matrix, &q, NULL), ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 0);
    const double e = exp(1), p_sum = 1 + e + e * e, q_sum = 2 + e;
    const double exact[4] = {3 * (1 / p_sum - 1 / q_sum), 0, 3 * (e / p_sum - e / q_sum), 3 * (e * e / p_sum)};
    for (size_t i = 0; i < 4; i++)
        CHECK_NEAR(d_first[4 + i], exact[i], 1e-15);
    const one certain = {.first = INFINITY, .action = 1, .entropy = 1, .logprob = 1};
    CHECK(differentiate_one(ENTROL_POLICY_BERNOULLI, &certain).first == 0);
}

/* A row in trouble adds nothing to what the rows share. */
static void test_shared_sum(void) {
    static const double means[3] = {0, NAN, 0}, log_sigma = 0.5;
    static const float by[3] = {1, 1, 2};
    double d_second = 10;
    entrol_diagnosis diagnosis;
    entrol_policy p = ENTROL_POLICY_INIT;
    p.kind = ENTROL_POLICY_GAUSSIAN;
    p.first = (entrol_matrix){means, ENTROL_F64, 3, 1, 1};
    p.second = (entrol_matrix){&log_sigma, ENTROL_F64, 1, 1, 1};
    const entrol_destination second = {&d_second, ENTROL_F64, 1, 1};
    const entrol_policy_gradient_record record = {sizeof record, by, NULL, NULL, NULL, NULL, 0};
    CHECK_INT(entrol_policy_gradient(context, NULL, &second, &diagnosis, &record, &p, NULL, NULL, NULL), ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 1);
    CHECK_INT(diagnosis.first_row, 1);
    CHECK(d_second == 13);
}

/* --- Threads and arguments --- */

static void test_threads(void) {
    static batch batch;
    static record record;
    static gradients one_thread, got;
    for (int kind = 0; kind < count_kinds(); kind++)
        for (int shared = 0; shared < 2; shared++) {
            batch_plan plan = plan_at_random((entrol_policy_kind)kind, MOST_ROWS, 12);
            plan.shares_second = shared;
            const bool wants[N_PARTS] = {true, true, true, true, is_differentiable(plan.kind), false};
            batch_make(&batch, &plan);
            fill_record(&record, &batch, wants);
            CHECK_INT(differentiate(&one_thread, &batch, &record), ENTROL_OK);
            entrol_context *own = context;
            for (size_t n_threads = 2; n_threads <= 5; n_threads++) {
                context = context_at(ENTROL_CPU_BEST, n_threads);
                CHECK_INT(differentiate(&got, &batch, &record), ENTROL_OK);
                CHECK(memcmp(&got.first, &one_thread.first, sizeof got.first) == 0);
                CHECK(memcmp(&got.second, &one_thread.second, sizeof got.second) == 0);
                entrol_context_destroy(context);
            }
            context = own;
            batch_free(&batch);
        }
}

static const char *complain(const batch *batch, const record *record, const entrol_destination *first,
                            const entrol_destination *second, bool has_actions, bool has_reference) {
    entrol_diagnosis diagnosis = {0};
    CHECK_INT(entrol_policy_gradient(context, first, second, &diagnosis, &record->record, &batch->p,
                                     has_actions ? &batch->actions.matrix : NULL, has_reference ? &batch->q : NULL,
                                     NULL),
              ENTROL_ERROR_ARGUMENT);
    return diagnosis.argument ? diagnosis.argument : "nothing";
}

static void test_arguments(void) {
    static batch batch;
    static record record;
    static gradients out;
    const bool all[N_PARTS] = {true, true, true, true, true, false};
    batch_plan plan = {.kind = ENTROL_POLICY_GAUSSIAN, .n_rows = 3, .n = 2, .spread = 1};
    const entrol_destination good = {out.first, ENTROL_F64, 2, 0}, no_data = {NULL, ENTROL_F64, 2, 0},
                             no_dtype = {out.first, (entrol_dtype)7, 2, 0};
    batch_make(&batch, &plan);
    fill_record(&record, &batch, all);
    CHECK_STRING(complain(&batch, &record, &no_data, NULL, true, true), "d_first");
    CHECK_STRING(complain(&batch, &record, &no_dtype, NULL, true, true), "d_first");
    CHECK_STRING(complain(&batch, &record, &good, &no_data, true, true), "d_second");
    CHECK_STRING(complain(&batch, &record, &good, NULL, false, true), "actions");
    CHECK_STRING(complain(&batch, &record, &good, NULL, true, false), "reference");
    record.d_action_matrix.n_columns = 1;
    CHECK_STRING(complain(&batch, &record, &good, NULL, true, true), "gradient.d_action");
    record.record.size = 2;
    CHECK_STRING(complain(&batch, &record, &good, NULL, true, true), "gradient");
    batch_free(&batch);
    plan.kind = ENTROL_POLICY_BERNOULLI;
    batch_make(&batch, &plan);
    fill_record(&record, &batch, all);
    CHECK_STRING(complain(&batch, &record, &good, &good, true, true), "d_second");
    CHECK_INT(entrol_policy_gradient(context, &good, NULL, NULL, &record.record, &batch.p, &batch.actions.matrix,
                                     &batch.q, NULL),
              ENTROL_ERROR_UNSUPPORTED);
    batch_free(&batch);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    context = context_at(ENTROL_CPU_BEST, 1);
    TEST(test_oracle);
    TEST(test_every_kind);
    TEST(test_spread);
    TEST(test_wide);
    TEST(test_destinations);
    TEST(test_sigma_of_zero);
    TEST(test_clipped_sigma);
    TEST(test_record_of_zero);
    TEST(test_certain);
    TEST(test_shared_sum);
    TEST(test_threads);
    TEST(test_arguments);
    entrol_context_destroy(context);
    return test_end();
}
