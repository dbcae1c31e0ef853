/* Real processes that share values: each gets, to the bit, what one that has all of them gets. Rank 0 prints. */
#include "ranks.h"

enum { N_QUANTILES = 5 };
static const double q[N_QUANTILES] = {0, 0.2, 0.5, 0.8, 1};

/* Of n values, this rank's: uneven parts, and of several ranks the second has none. */
static void find_part(size_t *begin, size_t *end, size_t n) {
    const size_t n_parts = (size_t)size > 1 ? (size_t)size - 1 : 1;
    const size_t part = rank > 1 ? (size_t)rank - 1 : 0;
    *begin = part * n / n_parts;
    *end = rank == 1 ? *begin : (part + 1) * n / n_parts;
}

static uint64_t check_values(size_t n, int kind) {
    float *values = malloc((n + 1) * sizeof *values);
    uint8_t *valid = malloc(n + 1), *keep = malloc(n + 1), *expected = malloc(n + 1);
    double quantiles[N_QUANTILES], whole[N_QUANTILES];
    size_t begin, end;
    entrol_rule rule;
    entrol_selection ours, theirs;
    for (size_t i = 0; i < n; i++) { /* the same on all ranks: they have the same seed */
        values[i] = kind ? (float)test_below(9) : (float)test_normal();
        valid[i] = test_below(4) > 0;
    }
    find_part(&begin, &end, n);
    const uint64_t n_bytes = mpi.n_bytes;
    bool is_ok = entrol_quantile(together, quantiles, NULL, values + begin, valid + begin, end - begin, q, N_QUANTILES,
                                 NULL) == ENTROL_OK;
    const uint64_t n_sent = mpi.n_bytes - n_bytes;
    is_ok &= entrol_quantile(alone, whole, NULL, values, valid, n, q, N_QUANTILES, NULL) == ENTROL_OK;
    CHECK_SAY(everywhere(is_ok && memcmp(quantiles, whole, sizeof whole) == 0), "quantiles of %zu values", n);

    is_ok = entrol_high_entropy_mask(together, keep, NULL, NULL, values + begin, valid + begin, end - begin, 0.8,
                                     NULL) == ENTROL_OK;
    is_ok &= entrol_high_entropy_mask(alone, expected, NULL, NULL, values, valid, n, 0.8, NULL) == ENTROL_OK;
    CHECK_SAY(everywhere(is_ok && memcmp(keep, expected + begin, end - begin) == 0), "the mask of %zu values", n);

    is_ok = entrol_rule_parse(&rule, NULL, "high:77") == ENTROL_OK;
    is_ok &= entrol_select(together, keep, &ours, NULL, values + begin, valid + begin, end - begin, &rule, NULL) ==
             ENTROL_OK;
    is_ok &= entrol_select(alone, expected, &theirs, NULL, values, valid, n, &rule, NULL) == ENTROL_OK;
    CHECK_SAY(everywhere(is_ok && memcmp(keep, expected + begin, end - begin) == 0 && ours.n_kept == theirs.n_kept),
              "77 of %zu values", n);
    free(values);
    free(valid);
    free(keep);
    free(expected);
    return n_sent;
}

static void test_values(void) {
    for (int kind = 0; kind < 2; kind++) {
        check_values(0, kind);
        check_values(1, kind);
        const uint64_t some = check_values(1000, kind), more = check_values(200000, kind);
        const uint64_t many = check_values(is_quick() ? 400000 : 3000000, kind);
        CHECK_INT(more, some);
        CHECK_INT(many, some);
        if (size > 1)
            printf("    five quantiles on %d ranks: each gave %llu bytes, for 1,000 values and for %s\n", size,
                   (unsigned long long)some, is_quick() ? "400,000" : "3,000,000");
    }
}

static void test_a_bad_argument(void) {
    const double none = 2, *own = rank == size - 1 ? &none : q;
    const float values[1] = {1};
    double quantile;
    const entrol_status status = entrol_quantile(together, &quantile, NULL, values, NULL, 1, own, 1, NULL);
    CHECK(everywhere(status == (rank == size - 1 ? ENTROL_ERROR_ARGUMENT : ENTROL_ERROR_COMMUNICATION)));
}

static void run_tests(void) {
    TEST(test_values);
    TEST(test_a_bad_argument);
}

int main(int argc, char **argv) {
    return run_ranks(argc, argv, run_tests);
}
