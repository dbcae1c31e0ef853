/* Policies against torch.distributions, and drawn numbers against a second implementation: the values of
 * tests/policy_peers.h, which bench/policy_peers.py made. */
#include "harness.h"

#include "policy_peers.h"

enum { N_CASES = sizeof peer_cases / sizeof *peer_cases };

static entrol_context *context;

/* A case as rows: one. */
typedef struct rows {
    entrol_policy p, q;
    entrol_matrix action;
    size_t n_second;
} rows;

static rows rows_of(const peer_case *peer) {
    rows rows = {.p = ENTROL_POLICY_INIT};
    const size_t n = N_PEER_COLUMNS;
    size_t n_actions = n;
    if (peer->kind == ENTROL_POLICY_CATEGORICAL || peer->kind == ENTROL_POLICY_MULTI_DISCRETE)
        n_actions = peer->kind == ENTROL_POLICY_CATEGORICAL ? 1 : 2;
    rows.n_second = peer->kind < ENTROL_POLICY_GAUSSIAN ? 0 : peer->kind == ENTROL_POLICY_FULL_GAUSSIAN ? n * n : n;
    rows.p.kind = peer->kind;
    rows.p.low = peer->low;
    rows.p.high = peer->high;
    rows.p.sizes = peer_sizes;
    rows.p.n_sizes = 2;
    rows.p.first = (entrol_matrix){peer->first, ENTROL_F64, 1, n, (ptrdiff_t)n};
    rows.p.second = (entrol_matrix){peer->second, ENTROL_F64, 1, rows.n_second, (ptrdiff_t)rows.n_second};
    rows.q = rows.p;
    rows.q.first.data = peer->q_first;
    rows.q.second.data = peer->q_second;
    rows.action = (entrol_matrix){peer->action, ENTROL_F64, 1, n_actions, (ptrdiff_t)n_actions};
    return rows;
}

/* torch loses some digits: its TanhTransform's inverse, and its digamma. */
static void test_results(void) {
    for (size_t i = 0; i < N_CASES; i++) {
        const peer_case *peer = &peer_cases[i];
        const rows rows = rows_of(peer);
        double got[N_PEER_RESULTS];
        const entrol_policy_record record = {sizeof record, &got[0], &got[1], &got[2], &got[3]};
        CHECK_INT(entrol_policy_measure(context, &record, NULL, &rows.p, &rows.action, &rows.q, NULL), ENTROL_OK);
        for (size_t k = 0; k < N_PEER_RESULTS; k++)
            if (!isnan(peer->results[k]))
                CHECK_NEAR(got[k], peer->results[k], 1e-11 * (1 + fabs(peer->results[k])));
    }
}

static void check_gradient(const peer_case *peer, const double *got, const double *expected, size_t n, double largest) {
    for (size_t i = 0; i < n; i++)
        CHECK_SAY(fabs(got[i] - expected[i]) <= 1e-9 * (1 + largest), "%s: %.15g, torch's %.15g",
                  entrol_policy_kind_name(peer->kind), got[i], expected[i]);
}

static void test_gradients(void) {
    static const float one = 1;
    for (size_t i = 0; i < N_CASES; i++)
        for (size_t k = 0; k < N_PEER_RESULTS; k++) {
            const peer_case *peer = &peer_cases[i];
            const rows rows = rows_of(peer);
            double first[N_PEER_COLUMNS], second[N_PEER_COLUMNS * N_PEER_COLUMNS], largest = 0;
            const entrol_destination d_first = {first, ENTROL_F64, N_PEER_COLUMNS, 0};
            const entrol_destination d_second = {second, ENTROL_F64, (ptrdiff_t)rows.n_second, 0};
            entrol_policy_gradient_record record = ENTROL_POLICY_GRADIENT_RECORD_INIT;
            const float **const arrays[] = {&record.entropy, &record.logprob, &record.kl_pq, &record.kl_qp};
            *arrays[k] = &one;
            if (isnan(peer->results[k]))
                continue;
            CHECK_INT(entrol_policy_gradient(context, &d_first, rows.n_second ? &d_second : NULL, NULL, &record,
                                             &rows.p, &rows.action, &rows.q, NULL),
                      ENTROL_OK);
            for (size_t j = 0; j < N_PEER_COLUMNS; j++)
                largest = fmax(largest, fabs(peer->d_first[k][j]));
            check_gradient(peer, first, peer->d_first[k], N_PEER_COLUMNS, largest);
            check_gradient(peer, second, peer->d_second[k], rows.n_second, largest);
        }
}

static void test_normal_numbers(void) {
    static const double zeros[N_PEER_ROWS * N_PEER_NUMBERS];
    double got[N_PEER_ROWS][N_PEER_NUMBERS];
    entrol_policy p = ENTROL_POLICY_INIT;
    p.kind = ENTROL_POLICY_GAUSSIAN;
    p.first = (entrol_matrix){zeros, ENTROL_F64, N_PEER_ROWS, N_PEER_NUMBERS, N_PEER_NUMBERS};
    p.second = (entrol_matrix){zeros, ENTROL_F64, 1, N_PEER_NUMBERS, N_PEER_NUMBERS};
    const entrol_destination to = {got, ENTROL_F64, N_PEER_NUMBERS, 0};
    const entrol_policy_sample_options options = {sizeof options, 2026, 0, 0};
    CHECK_INT(entrol_policy_sample(context, &to, NULL, NULL, &p, &options), ENTROL_OK);
    for (size_t row = 0; row < N_PEER_ROWS; row++)
        for (size_t i = 0; i < N_PEER_NUMBERS; i++)
            CHECK_NEAR(got[row][i], peer_normal_numbers[row][i], 1e-15 * fabs(peer_normal_numbers[row][i]));
}

int main(int argc, char **argv) {
    const entrol_context_options options = {.size = sizeof options, .n_threads = 1};
    test_begin(argc, argv);
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    TEST(test_results);
    TEST(test_gradients);
    TEST(test_normal_numbers);
    entrol_context_destroy(context);
    return test_end();
}
