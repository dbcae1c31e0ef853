/* entrol_policy_measure against the oracle for every kind in the registry: ordinary, close and extreme parameters, all
 * dtypes, masks, shared ln sigma; special values, trouble, bad arguments, and the same bits for any number of threads.
 */
#include "harness_policy.h"

#include "oracle.h"

#include <float.h>

enum { MOST_ROWS = 64 };

typedef struct results {
    double entropy[MOST_ROWS], logprob[MOST_ROWS], kl_pq[MOST_ROWS], kl_qp[MOST_ROWS];
    entrol_policy_record record;
    entrol_diagnosis diagnosis;
} results;

static entrol_context *context;
static double worst[16]; /* by kind: the share of what is allowed */

static void results_reset(results *results) {
    memset(results, 0x55, sizeof *results);
    results->record = (entrol_policy_record){sizeof(entrol_policy_record), results->entropy, results->logprob,
                                             results->kl_pq, results->kl_qp};
}

static entrol_status measure(results *results, const batch *batch) {
    results_reset(results);
    return entrol_policy_measure(context, &results->record, &results->diagnosis, &batch->p, &batch->actions.matrix,
                                 &batch->q, NULL);
}

/* --- The registry --- */

static void test_names(void) {
    const int n = count_kinds();
    CHECK_INT(n, ENTROL_POLICY_BETA + 1);
    for (int i = 0; i < n; i++) {
        entrol_policy_kind kind;
        CHECK_INT(entrol_policy_kind_parse(&kind, entrol_policy_kind_name((entrol_policy_kind)i)), ENTROL_OK);
        CHECK_INT(kind, i);
    }
    entrol_policy_kind kind = ENTROL_POLICY_BETA;
    CHECK_INT(entrol_policy_kind_parse(&kind, "betta"), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_policy_kind_parse(&kind, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_policy_kind_parse(NULL, "beta"), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(kind, ENTROL_POLICY_BETA);
    CHECK(!entrol_policy_kind_name((entrol_policy_kind)-1));
}

/* --- Against the oracle --- */

/* What a Beta's terms of its shapes' size may cost. */
static double shapes_of(const exact_row *exact) {
    double sum = 0;
    for (size_t i = 0; exact->distribution.kind == ENTROL_POLICY_BETA && i < exact->distribution.n; i++)
        sum += exp((double)exact->first[i]) + exp((double)exact->second[i]);
    return sum;
}

/* The contract: 1e-13 of `terms`, and `more`; and numbers below DBL_MIN have fewer digits. */
static void check_value(const batch *batch, double got, long double exact, long double terms, double more,
                        const char *what) {
    const double allowed = 1e-13 * (double)terms + more + DBL_MIN;
    const double share = fabs(got - (double)exact) / allowed;
    worst[batch->plan.kind] = fmax(worst[batch->plan.kind], share);
    CHECK_SAY(share <= 1 || got == (double)exact, "%s, n = %zu: %s is %.17g, exactly %.17Lg",
              entrol_policy_kind_name(batch->plan.kind), batch->plan.n, what, got, exact);
}

/* Close rows keep their digits, as far as the oracle's do. */
static void check_divergence(const batch *batch, double got, const oracle_distribution *p, const oracle_distribution *q,
                             double more, const char *what) {
    const long double exact = oracle_policy_kl(p, q);
    const entrol_policy_kind kind = batch->plan.kind;
    const long double least = kind == ENTROL_POLICY_BETA ? 1 : kind == ENTROL_POLICY_FULL_GAUSSIAN ? 1e-10L : 1e-30L;
    const long double terms = oracle_policy_kl_terms(p, q), of_oracle = 1e-18L * terms;
    check_value(batch, got, exact, terms, more, what);
    CHECK(got >= 0);
    if (exact >= least)
        CHECK_SAY(fabs(got - (double)exact) <= 1e-7 * (double)exact + 1e-14 * sqrt((double)exact) + (double)of_oracle,
                  "%s: %s is %.9g, exactly %.9Lg, %g apart", entrol_policy_kind_name(kind), what, got, exact,
                  batch->plan.nearness);
}

static void check_row(const batch *batch, const results *results, size_t row) {
    exact_row p, q;
    exact_row_read(&p, batch, false, row);
    exact_row_read(&q, batch, true, row);
    const double of_p = 1e-14 * shapes_of(&p), of_q = 1e-14 * shapes_of(&q);
    /* A Beta's: what the oracle's own terms of its shapes' size cost. */
    const bool is_squashed = batch->plan.kind == ENTROL_POLICY_SQUASHED_GAUSSIAN;
    const long double h = oracle_policy_entropy(&p.distribution);
    const long double h_terms = is_squashed ? 10 * fmaxl(1, fabsl(h)) : oracle_policy_entropy_terms(&p.distribution);
    check_value(batch, results->entropy[row], h, h_terms, 2e-17 * shapes_of(&p), "H");
    check_value(batch, results->logprob[row], oracle_policy_logprob(&p.distribution, p.action),
                oracle_policy_logprob_terms(&p.distribution, p.action), of_p, "ln p");
    check_divergence(batch, results->kl_pq[row], &p.distribution, &q.distribution, of_p + of_q, "KL(p||q)");
    check_divergence(batch, results->kl_qp[row], &q.distribution, &p.distribution, of_p + of_q, "KL(q||p)");
}

static void check_batch(const batch_plan *plan) {
    static batch batch;
    static results results;
    batch_make(&batch, plan);
    CHECK_INT(measure(&results, &batch), ENTROL_OK);
    CHECK_INT(results.diagnosis.n_bad, 0);
    for (size_t row = 0; row < plan->n_rows; row++)
        check_row(&batch, &results, row);
    batch_free(&batch);
}

static void test_every_kind(void) {
    for (int kind = 0; kind < count_kinds(); kind++)
        for (int i = 0; i < (is_quick() ? 10 : 100); i++) {
            const batch_plan plan = plan_at_random((entrol_policy_kind)kind, 1 + test_below(5), i % 4 ? 6 : 12);
            check_batch(&plan);
        }
    for (int kind = 0; kind < count_kinds(); kind++)
        printf("  %-18s %.3f of what is allowed\n", entrol_policy_kind_name((entrol_policy_kind)kind), worst[kind]);
}

/* Sharp, flat and far ones. */
static void test_spread(void) {
    for (int kind = 0; kind < count_kinds(); kind++)
        for (int i = 0; i < (is_quick() ? 10 : 60); i++) {
            batch_plan plan = plan_at_random((entrol_policy_kind)kind, 1 + test_below(5), 6);
            plan.first = plan.second = plan.actions = ENTROL_F64;
            plan.spread = i % 2 ? 4 : 0.01;
            if (kind == ENTROL_POLICY_BETA)
                plan.spread = i % 2 ? 2.7 : 0.01; /* shapes from e^-8.1 to e^13.5 */
            check_batch(&plan);
        }
}

/* Scales that differ by many orders of magnitude, from dimension to dimension and from p to q: of what cancels then the
 * terms are far greater than the sum. */
static void test_ratios_of_scales(void) {
    for (int kind = 0; kind < count_kinds(); kind++)
        for (int i = 0; i < (is_quick() ? 10 : 100); i++) {
            batch_plan plan = plan_at_random((entrol_policy_kind)kind, 1 + test_below(5), 6);
            plan.first = plan.second = plan.actions = ENTROL_F64;
            plan.ratio = i % 2 ? 1 : 0.1;
            check_batch(&plan);
        }
}

/* Rows that use more memory than a thread has of its own. */
static void test_wide(void) {
    for (int kind = 0; kind < count_kinds(); kind++) {
        batch_plan plan = plan_at_random((entrol_policy_kind)kind, 3, 6);
        plan.first = plan.second = plan.actions = ENTROL_F64;
        plan.n = kind == ENTROL_POLICY_FULL_GAUSSIAN ? 16 : 120;
        plan.nearness = 0;
        check_batch(&plan);
    }
}

/* --- One dimension, for special values --- */

typedef struct one {
    double first, second, action; /* of the policy */
    double q_first, q_second;
    double low, high;
    double log_sigma_low, log_sigma_high;
} one;

static const one usual = {0, 0, 0, 0, 0, -1, 1, -INFINITY, INFINITY};

typedef struct values {
    double entropy, logprob, kl_pq, kl_qp;
    entrol_diagnosis diagnosis;
} values;

static values measure_one(entrol_policy_kind kind, const one *one, entrol_dtype actions) {
    values values = {1234, 1234, 1234, 1234, {0}};
    const entrol_policy_record record = {sizeof record, &values.entropy, &values.logprob, &values.kl_pq, &values.kl_qp};
    char action[8];
    oracle_encode(actions, action, 0, one->action);
    entrol_policy p = ENTROL_POLICY_INIT;
    p.kind = kind;
    p.first = (entrol_matrix){&one->first, ENTROL_F64, 1, 1, 1};
    p.second = (entrol_matrix){&one->second, ENTROL_F64, 1, 1, 1};
    p.low = one->low;
    p.high = one->high;
    p.log_sigma_low = one->log_sigma_low;
    p.log_sigma_high = one->log_sigma_high;
    entrol_policy q = p;
    q.first.data = &one->q_first;
    q.second.data = &one->q_second;
    const entrol_matrix matrix = {action, actions, 1, 1, 1};
    CHECK_INT(entrol_policy_measure(context, &record, &values.diagnosis, &p, &matrix, &q, NULL), ENTROL_OK);
    return values;
}

static void test_sigma_of_zero(void) {
    static const entrol_policy_kind kinds[] = {ENTROL_POLICY_GAUSSIAN, ENTROL_POLICY_SQUASHED_GAUSSIAN};
    for (size_t i = 0; i < 2; i++) {
        one one = usual;
        one.second = -INFINITY;
        values values = measure_one(kinds[i], &one, ENTROL_F64);
        CHECK_INT(values.diagnosis.n_bad, 0);
        CHECK(values.entropy == -INFINITY && values.logprob == INFINITY);
        CHECK(values.kl_pq == INFINITY && values.kl_qp == INFINITY);
        one.action = 0.5;
        one.q_second = -INFINITY;
        values = measure_one(kinds[i], &one, ENTROL_F64);
        CHECK(values.logprob == -INFINITY && values.kl_pq == 0 && values.kl_qp == 0);
        one.q_first = 1;
        values = measure_one(kinds[i], &one, ENTROL_F64);
        CHECK(values.kl_pq == INFINITY && values.kl_qp == INFINITY);
        CHECK_INT(values.diagnosis.n_bad, 0);
    }
}

static void test_great_and_small_sigma(void) {
    one one = usual;
    one.second = one.q_second = -700;
    values values = measure_one(ENTROL_POLICY_GAUSSIAN, &one, ENTROL_F64);
    CHECK_NEAR(values.entropy, 1.4189385332046727 - 700, 1e-12);
    CHECK_NEAR(values.logprob, 700 - 0.9189385332046727, 1e-12);
    CHECK(values.kl_pq == 0);
    one.action = 1e-3; /* 1e301 sigma: the square overflows */
    CHECK(measure_one(ENTROL_POLICY_GAUSSIAN, &one, ENTROL_F64).logprob == -INFINITY);
    one.second = 700;
    values = measure_one(ENTROL_POLICY_GAUSSIAN, &one, ENTROL_F64);
    CHECK_NEAR(values.logprob, -700 - 0.9189385332046727, 1e-12);
    CHECK(values.kl_pq == INFINITY);
    CHECK_NEAR(values.kl_qp, 1400 - 0.5, 1e-9);
    /* Squashed: nearly all on the bounds, H = -2 E|x| and what is small beside it. */
    values = measure_one(ENTROL_POLICY_SQUASHED_GAUSSIAN, &one, ENTROL_F64);
    CHECK_NEAR(values.entropy / (-2 * exp(700) * 0.7978845608028654), 1, 1e-12);
    one.second = 710; /* sigma itself overflows */
    CHECK(measure_one(ENTROL_POLICY_SQUASHED_GAUSSIAN, &one, ENTROL_F64).entropy == -INFINITY);
    one.second = -700;
    values = measure_one(ENTROL_POLICY_SQUASHED_GAUSSIAN, &one, ENTROL_F64);
    CHECK_NEAR(values.entropy, 1.4189385332046727 - 700, 1e-12);
}

static void test_clipped_sigma(void) {
    one one = usual;
    one.second = 50;
    one.log_sigma_low = -20;
    one.log_sigma_high = 2;
    CHECK_NEAR(measure_one(ENTROL_POLICY_GAUSSIAN, &one, ENTROL_F64).entropy, 1.4189385332046727 + 2, 1e-14);
    one.second = INFINITY;
    CHECK_NEAR(measure_one(ENTROL_POLICY_GAUSSIAN, &one, ENTROL_F64).entropy, 1.4189385332046727 + 2, 1e-14);
    one.second = -1e9;
    CHECK_NEAR(measure_one(ENTROL_POLICY_GAUSSIAN, &one, ENTROL_F64).entropy, 1.4189385332046727 - 20, 1e-14);
    one.second = NAN;
    CHECK_INT(measure_one(ENTROL_POLICY_GAUSSIAN, &one, ENTROL_F64).diagnosis.reason, ENTROL_REASON_NAN);
}

/* The last number of a dtype inside (-1, 1), and what a Gaussian squashed has there. */
static void test_on_the_bound(void) {
    static const double last[] = {1 - 0x1p-53, 1 - 0x1p-24, 1 - 0x1p-11, 1 - 0x1p-8};
    for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++)
        for (int side = -1; side <= 1; side += 2)
            for (int kind = ENTROL_POLICY_SQUASHED_GAUSSIAN; kind <= ENTROL_POLICY_BETA; kind++) {
                one at = usual, inside = usual;
                at.action = side;
                inside.action = side * last[dtype];
                const values on = measure_one((entrol_policy_kind)kind, &at, (entrol_dtype)dtype);
                const values in = measure_one((entrol_policy_kind)kind, &inside, (entrol_dtype)dtype);
                CHECK_INT(on.diagnosis.n_bad, 0);
                CHECK_SAY(on.logprob == in.logprob && isfinite(on.logprob), "%s %s: %g and %g",
                          entrol_policy_kind_name((entrol_policy_kind)kind), entrol_dtype_name((entrol_dtype)dtype),
                          on.logprob, in.logprob);
                at.action = side * 1.25;
                const values beyond = measure_one((entrol_policy_kind)kind, &at, (entrol_dtype)dtype);
                CHECK_INT(beyond.diagnosis.reason, ENTROL_REASON_ACTION);
                CHECK(isnan(beyond.logprob) && !isnan(beyond.entropy) && !isnan(beyond.kl_pq));
            }
}

/* 0.1 and 0.7 are no floats: 0.7 rounds up, past the bound, and counts as inside. */
static void test_bound_between_floats(void) {
    for (int dtype = ENTROL_F32; dtype <= ENTROL_BF16; dtype++)
        for (int side = 0; side < 2; side++) {
            one one = usual;
            one.low = 0.1;
            one.high = 0.7;
            one.action = side ? one.high : one.low;
            const values values = measure_one(ENTROL_POLICY_SQUASHED_GAUSSIAN, &one, (entrol_dtype)dtype);
            CHECK_INT(values.diagnosis.n_bad, 0);
            CHECK(isfinite(values.logprob));
        }
}

static void test_uniform_beta(void) {
    one one = usual;
    one.action = 0.3;
    values values = measure_one(ENTROL_POLICY_BETA, &one, ENTROL_F64);
    CHECK(values.entropy == log(2));
    CHECK_NEAR(values.logprob, -log(2), 1e-14);
    CHECK(values.kl_pq == 0 && values.kl_qp == 0);
    one.low = 0;
    CHECK(measure_one(ENTROL_POLICY_BETA, &one, ENTROL_F64).entropy == 0);
    static const double too_far[] = {INFINITY, 709, 691, -691, -740};
    for (size_t i = 0; i < sizeof too_far / sizeof *too_far; i++) {
        one.first = too_far[i];
        values = measure_one(ENTROL_POLICY_BETA, &one, ENTROL_F64);
        CHECK_INT(values.diagnosis.reason, ENTROL_REASON_PARAMETER);
        CHECK(isnan(values.entropy) && isnan(values.logprob) && isnan(values.kl_pq) && isnan(values.kl_qp));
    }
    static const double far[] = {690, -690};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        one.first = far[i];
        values = measure_one(ENTROL_POLICY_BETA, &one, ENTROL_F64);
        CHECK_INT(values.diagnosis.n_bad, 0);
        CHECK(isfinite(values.entropy) && isfinite(values.logprob) && values.kl_pq > 0 && isfinite(values.kl_pq));
    }
}

/* Shapes from 1e-6 to 1e6 of both, against the oracle. */
static void test_beta_shapes(void) {
    for (int i = 0; i <= 12; i++)
        for (int j = 0; j <= 12; j++) {
            one one = usual;
            one.low = 0;
            one.first = log(10) * (i - 6);
            one.second = log(10) * (j - 6);
            one.action = 0.375;
            const values values = measure_one(ENTROL_POLICY_BETA, &one, ENTROL_F64);
            const long double first = one.first, second = one.second, action = one.action;
            const oracle_distribution exact = {ENTROL_POLICY_BETA, 1, NULL, 0, 0, 1, &first, &second};
            const long double h = oracle_policy_entropy(&exact), logprob = oracle_policy_logprob(&exact, &action);
            CHECK_NEAR(values.entropy, h, 1e-13 * (20 + fabs((double)h)));
            const double size = exp(one.first) + exp(one.second);
            CHECK_NEAR(values.logprob, logprob, 1e-13 * (20 + fabs((double)logprob)) + 1e-14 * size);
        }
}

static void test_bits(void) {
    one one = usual;
    one.first = INFINITY;
    one.action = 1;
    values values = measure_one(ENTROL_POLICY_BERNOULLI, &one, ENTROL_F64);
    CHECK(values.entropy == 0 && values.logprob == 0 && values.kl_qp == INFINITY);
    CHECK_NEAR(values.kl_pq, log(2), 1e-15);
    one.action = 0;
    CHECK(measure_one(ENTROL_POLICY_BERNOULLI, &one, ENTROL_F64).logprob == -INFINITY);
    one.first = -INFINITY;
    values = measure_one(ENTROL_POLICY_BERNOULLI, &one, ENTROL_F64);
    CHECK(values.entropy == 0 && values.logprob == 0 && !signbit(values.entropy));
    one.first = -1e4;
    one.action = 1;
    values = measure_one(ENTROL_POLICY_BERNOULLI, &one, ENTROL_F64);
    CHECK(values.entropy == 0 && values.logprob == -1e4);
    one.first = 30; /* 1 - p = e^-30: no digit of it is lost */
    CHECK_NEAR(measure_one(ENTROL_POLICY_BERNOULLI, &one, ENTROL_F64).logprob / -exp(-30), 1, 1e-12);
    one.first = NAN;
    CHECK_INT(measure_one(ENTROL_POLICY_BERNOULLI, &one, ENTROL_F64).diagnosis.reason, ENTROL_REASON_NAN);
    one.first = 0;
    one.action = 0.5;
    CHECK_INT(measure_one(ENTROL_POLICY_BERNOULLI, &one, ENTROL_F64).diagnosis.reason, ENTROL_REASON_ACTION);
}

/* --- Rows of logits, for special values --- */

static values measure_choice(const double *logits, const double *q, size_t n, double action, const uint8_t *mask) {
    values values = {1234, 1234, 1234, 1234, {0}};
    const entrol_policy_record record = {sizeof record, &values.entropy, &values.logprob, &values.kl_pq, &values.kl_qp};
    entrol_policy p = ENTROL_POLICY_INIT;
    p.first = (entrol_matrix){logits, ENTROL_F64, 1, n, (ptrdiff_t)n};
    p.mask = mask;
    entrol_policy reference = p;
    reference.first.data = q;
    const entrol_matrix actions = {&action, ENTROL_F64, 1, 1, 1};
    CHECK_INT(entrol_policy_measure(context, &record, &values.diagnosis, &p, &actions, &reference, NULL), ENTROL_OK);
    return values;
}

static void test_logits(void) {
    static const double one[] = {-INFINITY, 3, -INFINITY}, far[] = {1e4, -1e4, 1e4}, huge[] = {1e308, -1e308, 0};
    static const double none[] = {-INFINITY, -INFINITY, -INFINITY}, flat[] = {5, 5, 5}, nan_one[] = {0, NAN, 0};
    static const double high[] = {0, 0, INFINITY};
    static const uint8_t middle = 2, nothing = 0;
    values values = measure_choice(one, one, 3, 1, NULL);
    CHECK(values.entropy == 0 && values.logprob == 0 && values.kl_pq == 0 && values.diagnosis.n_bad == 0);
    CHECK(measure_choice(one, flat, 3, 0, NULL).logprob == -INFINITY);
    CHECK(measure_choice(flat, one, 3, 0, NULL).kl_pq == INFINITY);
    values = measure_choice(nan_one, high, 3, 1, &middle); /* masked columns may hold anything but what is left */
    CHECK_INT(values.diagnosis.reason, ENTROL_REASON_NAN);
    values = measure_choice(high, high, 3, 1, &middle);
    CHECK(values.entropy == 0 && values.diagnosis.n_bad == 0);
    values = measure_choice(far, far, 3, 1, NULL);
    CHECK_NEAR(values.entropy, log(2), 1e-15);
    CHECK_NEAR(values.logprob, -2e4 - log(2), 1e-11);
    values = measure_choice(huge, flat, 3, 0, NULL);
    CHECK(values.entropy == 0 && values.logprob == 0 && isfinite(values.kl_qp));
    CHECK_INT(measure_choice(none, flat, 3, 0, NULL).diagnosis.reason, ENTROL_REASON_EMPTY_SUPPORT);
    CHECK_INT(measure_choice(flat, flat, 3, 0, &nothing).diagnosis.reason, ENTROL_REASON_EMPTY_SUPPORT);
    values = measure_choice(high, flat, 3, 0, NULL);
    CHECK_INT(values.diagnosis.reason, ENTROL_REASON_INFINITE);
    CHECK_INT(values.diagnosis.first_column, 2);
    CHECK(isnan(values.entropy) && isnan(values.logprob) && isnan(values.kl_pq) && isnan(values.kl_qp));
    values = measure_choice(flat, none, 3, 0, NULL); /* the reference's trouble is the divergences' */
    CHECK(isnan(values.kl_pq) && isnan(values.kl_qp) && !isnan(values.entropy) && !isnan(values.logprob));
    static const double bad_actions[] = {-1, 3, 0.5, NAN, INFINITY};
    for (size_t i = 0; i < 5; i++) {
        values = measure_choice(flat, flat, 3, bad_actions[i], NULL);
        CHECK(isnan(values.logprob) && values.entropy == log(3) && values.kl_pq == 0);
        CHECK_INT(values.diagnosis.reason, i < 3    ? ENTROL_REASON_ACTION
                                           : i == 3 ? ENTROL_REASON_NAN
                                                    : ENTROL_REASON_INFINITE);
    }
}

static void test_factor(void) {
    double mean[2] = {0, 0}, l[4] = {2, NAN, 1, 0}, action[2] = {1, 1};
    values values = {1, 1, 1, 1, {0}};
    entrol_policy_record record = {sizeof record, &values.entropy, NULL, NULL, NULL};
    entrol_policy p = ENTROL_POLICY_INIT;
    p.kind = ENTROL_POLICY_FULL_GAUSSIAN;
    p.first = (entrol_matrix){mean, ENTROL_F64, 1, 2, 2};
    p.second = (entrol_matrix){l, ENTROL_F64, 1, 4, 4};
    const entrol_matrix actions = {action, ENTROL_F64, 1, 2, 2};
    CHECK_INT(entrol_policy_measure(context, &record, &values.diagnosis, &p, NULL, NULL, NULL), ENTROL_OK);
    CHECK(values.entropy == -INFINITY && values.diagnosis.n_bad == 0);
    record.logprob = &values.logprob;
    CHECK_INT(entrol_policy_measure(context, &record, &values.diagnosis, &p, &actions, NULL, NULL), ENTROL_OK);
    CHECK(isnan(values.logprob));
    CHECK_INT(values.diagnosis.reason, ENTROL_REASON_PARAMETER);
    CHECK_INT(values.diagnosis.first_column, 3);
    l[3] = -1;
    record.logprob = NULL;
    CHECK_INT(entrol_policy_measure(context, &record, &values.diagnosis, &p, NULL, NULL, NULL), ENTROL_OK);
    CHECK(isnan(values.entropy));
    CHECK_INT(values.diagnosis.reason, ENTROL_REASON_PARAMETER);
}

/* One dimension of sigma_p and sigma_q is a Gaussian, also where sigma_p / sigma_q is so small that less 1 it is -1. */
static void test_narrow_factor(void) {
    static const double sigmas[] = {0.3, 1e-3, 1e-10, 1e-17, 1e-200};
    for (size_t i = 0; i < sizeof sigmas / sizeof *sigmas; i++)
        for (int is_far = 0; is_far < 2; is_far++) {
            one one = usual;
            one.first = 0.1;
            one.second = sigmas[i];
            one.q_second = is_far ? 1e150 : 2;
            const values values = measure_one(ENTROL_POLICY_FULL_GAUSSIAN, &one, ENTROL_F64);
            const long double ratio = (long double)one.second / one.q_second, z = (long double)one.first / one.q_second;
            const long double exact = (ratio * ratio - 1 - 2 * logl(ratio) + z * z) / 2;
            CHECK_NEAR(values.kl_pq, exact, 1e-15 * (double)exact);
        }
}

/* x and a of the same draw have the same ln p, as far as a remembers x. */
static void test_before_squash(void) {
    for (int i = 0; i < 200; i++) {
        const double x = 6 * (test_uniform() - 0.5), a = tanh(x), mean = test_normal(), log_sigma = test_normal();
        double by_x, by_a;
        entrol_policy p = ENTROL_POLICY_INIT;
        p.kind = ENTROL_POLICY_SQUASHED_GAUSSIAN;
        p.first = (entrol_matrix){&mean, ENTROL_F64, 1, 1, 1};
        p.second = (entrol_matrix){&log_sigma, ENTROL_F64, 1, 1, 1};
        const entrol_matrix before = {&x, ENTROL_F64, 1, 1, 1}, after = {&a, ENTROL_F64, 1, 1, 1};
        entrol_policy_record record = {sizeof record, NULL, &by_x, NULL, NULL};
        const entrol_policy_options options = {sizeof options, 1};
        CHECK_INT(entrol_policy_measure(context, &record, NULL, &p, &before, NULL, &options), ENTROL_OK);
        record.logprob = &by_a;
        CHECK_INT(entrol_policy_measure(context, &record, NULL, &p, &after, NULL, NULL), ENTROL_OK);
        const double slack = 1e-16 / (1 - a * a) * exp(-2 * log_sigma) * (1 + fabs(x - mean));
        CHECK_NEAR(by_x, by_a, 1e-13 * (1 + fabs(by_x)) + 4 * slack);
    }
}

/* --- Trouble, threads, arguments --- */

static void test_trouble_is_counted(void) {
    double logits[300];
    double entropy[100];
    entrol_diagnosis diagnosis;
    for (size_t i = 0; i < 300; i++)
        logits[i] = i == 3 * 40 + 2 || i == 3 * 77 ? (double)NAN : test_normal();
    entrol_policy p = ENTROL_POLICY_INIT;
    p.first = (entrol_matrix){logits, ENTROL_F64, 100, 3, 3};
    const entrol_policy_record record = {sizeof record, entropy, NULL, NULL, NULL};
    CHECK_INT(entrol_policy_measure(context, &record, &diagnosis, &p, NULL, NULL, NULL), ENTROL_OK);
    CHECK_INT(diagnosis.n_bad, 2);
    CHECK_INT(diagnosis.first_row, 40);
    CHECK_INT(diagnosis.first_column, 2);
    CHECK_INT(diagnosis.reason, ENTROL_REASON_NAN);
    for (size_t i = 0; i < 100; i++)
        CHECK(isnan(entropy[i]) == (i == 40 || i == 77));
}

/* Also rows alone give the same bits as in a batch. */
static void test_threads(void) {
    static batch batch;
    static results one_thread, results;
    for (int kind = 0; kind < count_kinds(); kind++) {
        batch_plan plan = plan_at_random((entrol_policy_kind)kind, MOST_ROWS, 12);
        batch_make(&batch, &plan);
        CHECK_INT(measure(&one_thread, &batch), ENTROL_OK);
        entrol_context *own = context;
        for (size_t n_threads = 2; n_threads <= 5; n_threads++) {
            context = context_at(ENTROL_CPU_BEST, n_threads);
            CHECK_INT(measure(&results, &batch), ENTROL_OK);
            CHECK(memcmp(results.entropy, one_thread.entropy, sizeof results.entropy) == 0);
            CHECK(memcmp(results.logprob, one_thread.logprob, sizeof results.logprob) == 0);
            CHECK(memcmp(results.kl_pq, one_thread.kl_pq, sizeof results.kl_pq) == 0);
            CHECK(memcmp(results.kl_qp, one_thread.kl_qp, sizeof results.kl_qp) == 0);
            entrol_context_destroy(context);
        }
        context = own;
        batch_free(&batch);
    }
}

static const char *complain(const entrol_policy *p, const entrol_matrix *actions, const entrol_policy *q,
                            const entrol_policy_options *options) {
    static results results;
    results_reset(&results);
    const double before = results.entropy[0];
    if (!q)
        results.record.kl_pq = results.record.kl_qp = NULL;
    const entrol_status status =
        entrol_policy_measure(context, &results.record, &results.diagnosis, p, actions, q, options);
    CHECK_INT(status, ENTROL_ERROR_ARGUMENT);
    CHECK(memcmp(&before, &results.entropy[0], sizeof before) == 0); /* nothing was written */
    return results.diagnosis.argument ? results.diagnosis.argument : "nothing";
}

static void test_arguments(void) {
    static batch batch;
    batch_plan plan = {.kind = ENTROL_POLICY_SQUASHED_GAUSSIAN, .n_rows = 4, .n = 3, .spread = 1};
    const entrol_policy_options no_size = {0, 0}, before = {sizeof before, 1};
    entrol_policy p, q;
    entrol_matrix actions;
#define BROKEN(change, named)                                                                                          \
    do {                                                                                                               \
        p = batch.p, q = batch.q, actions = batch.actions.matrix;                                                      \
        change;                                                                                                        \
        CHECK_STRING(complain(&p, &actions, &q, NULL), named);                                                         \
    } while (0)
    batch_make(&batch, &plan);
    BROKEN(p.size = 0, "policy");
    BROKEN(p.kind = (entrol_policy_kind)99, "policy.kind");
    BROKEN(p.first.data = NULL, "policy.first");
    BROKEN(p.first.dtype = (entrol_dtype)9, "policy.first");
    BROKEN(p.second.n_rows = 3, "policy.second");
    BROKEN(p.second.n_columns = 2, "policy.second");
    BROKEN(p.log_sigma_low = 3; p.log_sigma_high = 2, "policy.log_sigma_low");
    BROKEN(p.log_sigma_low = NAN, "policy.log_sigma_low");
    BROKEN(p.low = p.high, "policy.low");
    BROKEN(p.low = -INFINITY, "policy.low");
    BROKEN((p.low = q.low = 0.1, p.high = q.high = nextafter(0.1, 1)), "policy.low"); /* no number is between them */
    BROKEN(q.kind = ENTROL_POLICY_GAUSSIAN, "reference.kind");
    BROKEN(q.first.n_rows = 3, "reference.first");
    BROKEN(q.second.n_columns = 2, "reference.second");
    BROKEN(q.low = -0.5, "reference.low");
    BROKEN(q.size = 1, "reference");
    BROKEN(actions.n_columns = 2, "actions");
    BROKEN(actions.n_rows = 5, "actions");
    CHECK_STRING(complain(&batch.p, NULL, &batch.q, NULL), "actions");
    CHECK_STRING(complain(&batch.p, &batch.actions.matrix, &batch.q, &no_size), "options");
    CHECK_STRING(complain(NULL, &batch.actions.matrix, NULL, NULL), "policy");
    batch_free(&batch);
    plan.kind = ENTROL_POLICY_MULTI_DISCRETE;
    batch_make(&batch, &plan);
    BROKEN(p.sizes = NULL, "policy.sizes");
    BROKEN(p.n_sizes = 2, "policy.sizes");
    BROKEN(p.n_sizes = 0, "policy.sizes");
    BROKEN(q.n_sizes = 1, "reference.sizes");
    CHECK_STRING(complain(&batch.p, &batch.actions.matrix, &batch.q, &before), "options.actions_are_before_squash");
    batch_free(&batch);
#undef BROKEN
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_policy_measure(NULL, NULL, &diagnosis, NULL, NULL, NULL, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "context");
}

/* --- Memory --- */

static size_t n_allocated, n_left = SIZE_MAX;

static void *allocate(void *user, size_t n_bytes) {
    (void)user;
    n_allocated++;
    return n_left && n_left-- ? malloc(n_bytes) : NULL;
}

static void release(void *user, void *memory) {
    (void)user;
    free(memory);
}

/* Usual rows need no memory; without it, wide ones write nothing. */
static void test_memory(void) {
    static batch batch;
    static results results;
    entrol_context *own = context;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.allocate = allocate;
    options.release = release;
    options.n_threads = 2;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    for (int kind = 0; kind < count_kinds(); kind++) {
        const bool is_full = kind == ENTROL_POLICY_FULL_GAUSSIAN;
        batch_plan plan = {.kind = (entrol_policy_kind)kind, .n_rows = 40, .n = is_full ? 16 : 120, .spread = 0.1};
        batch_make(&batch, &plan);
        n_allocated = 0;
        CHECK_INT(measure(&results, &batch), ENTROL_OK);
        CHECK_INT(n_allocated, 0);
        batch_free(&batch);
    }
    static const double zeros[500];
    entrol_policy p = ENTROL_POLICY_INIT;
    p.first = (entrol_matrix){zeros, ENTROL_F64, 2, 500, 0};
    double entropy[2] = {7, 7};
    const entrol_policy_record record = {sizeof record, entropy, NULL, NULL, NULL};
    n_left = 0;
    CHECK_INT(entrol_policy_measure(context, &record, NULL, &p, NULL, NULL, NULL), ENTROL_ERROR_MEMORY);
    CHECK(entropy[0] == 7 && entropy[1] == 7 && n_allocated == 1);
    n_left = SIZE_MAX;
    CHECK_INT(entrol_policy_measure(context, &record, NULL, &p, NULL, NULL, NULL), ENTROL_OK);
    CHECK(n_allocated == 2 && entropy[1] == log(500));
    entrol_context_destroy(context);
    context = own;
}

static void test_no_rows(void) {
    for (int kind = 0; kind < count_kinds(); kind++) {
        static const size_t sizes[3] = {1, 1, 2};
        entrol_policy p = ENTROL_POLICY_INIT;
        p.kind = (entrol_policy_kind)kind;
        p.sizes = sizes;
        p.n_sizes = 3;
        p.first = (entrol_matrix){NULL, ENTROL_F64, 0, 4, 4};
        p.second = (entrol_matrix){NULL, ENTROL_F64, 0, oracle_policy_n_second(p.kind, 4), 4};
        double entropy = 1;
        const entrol_policy_record record = {sizeof record, &entropy, NULL, NULL, NULL};
        entrol_diagnosis diagnosis;
        CHECK_INT(entrol_policy_measure(context, &record, &diagnosis, &p, NULL, NULL, NULL), ENTROL_OK);
        CHECK(entropy == 1 && diagnosis.n_bad == 0);
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    context = context_at(ENTROL_CPU_BEST, 1);
    TEST(test_names);
    TEST(test_every_kind);
    TEST(test_spread);
    TEST(test_ratios_of_scales);
    TEST(test_wide);
    TEST(test_sigma_of_zero);
    TEST(test_great_and_small_sigma);
    TEST(test_clipped_sigma);
    TEST(test_on_the_bound);
    TEST(test_bound_between_floats);
    TEST(test_uniform_beta);
    TEST(test_beta_shapes);
    TEST(test_bits);
    TEST(test_logits);
    TEST(test_factor);
    TEST(test_narrow_factor);
    TEST(test_before_squash);
    TEST(test_trouble_is_counted);
    TEST(test_threads);
    TEST(test_arguments);
    TEST(test_memory);
    TEST(test_no_rows);
    entrol_context_destroy(context);
    return test_end();
}
