/* entrol_sum: exactness against 128-bit integers and long hand-made cases. */
#include "harness.h"

#include <entrol/base.h>

#include <fenv.h>

__extension__ typedef __int128 int128;

static entrol_sum sum_of(const double *terms, size_t n) {
    entrol_sum sum = {0};
    for (size_t i = 0; i < n; i++)
        entrol_sum_add(&sum, terms[i]);
    return sum;
}

static int128 bits_of(const entrol_sum *sum) {
    return (int128)sum->high * ((int128)1 << 64) + (int128)sum->low;
}

static void test_exact_cancellation(void) {
    const double terms[] = {0x1p61, 1, -0x1p61, 0x1p-64};
    entrol_sum sum = sum_of(terms, 4);
    CHECK(entrol_sum_value(&sum) == 1); /* 1 + 2^-64 rounds to 1 */
    entrol_sum_add(&sum, -1);
    CHECK(entrol_sum_value(&sum) == 0x1p-64);
    CHECK_INT(sum.n, 5);
    CHECK_INT(sum.n_bad, 0);
}

/* A double that is a multiple of 2^-64 is added without any rounding, with either sign. */
static void test_single_terms_are_exact(void) {
    for (int round = 0; round < 20000; round++) {
        const int exponent = (int)test_below(62 + 12) - 11; /* size < 2^exponent; the last bit is 2^-64 or more */
        double term = ldexp((double)(test_random() >> 11), exponent - 53);
        if (round % 2)
            term = -term;
        const entrol_sum sum = sum_of(&term, 1);
        CHECK_SAY(entrol_sum_value(&sum) == term, "%a became %a", term, entrol_sum_value(&sum));
    }
    const double term = -ldexp(1 + 0x1p-40, -20);
    const entrol_sum sum = sum_of(&term, 1);
    CHECK(entrol_sum_value(&sum) == term);
}

/* Each term is rounded once to a multiple of 2^-64, to nearest, ties to even. */
static void test_rounding_of_terms(void) {
    static const struct {
        double term;
        int expected; /* in units of 2^-64 */
    } cases[] = {{0x1p-65, 0},
                 {0x3p-65, 2},
                 {0x5p-65, 2},
                 {0x7p-65, 4},
                 {0x1.8p-65, 1},
                 {0x1.0000001p-65, 1},
                 {0x1p-66, 0},
                 {0x1p-1074, 0},
                 {0x1.fp-64, 2},
                 {0x1.4p-64, 1},
                 {0x1.fffffffffffffp-65, 1},
                 {0, 0}};
    const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t mode = 0; mode < 4; mode++) {
            fesetround(modes[mode]);
            const double negative = -cases[i].term;
            const entrol_sum plus = sum_of(&cases[i].term, 1), minus = sum_of(&negative, 1);
            fesetround(FE_TONEAREST);
            CHECK_SAY(bits_of(&plus) == cases[i].expected, "%a", cases[i].term);
            CHECK_SAY(bits_of(&minus) == -cases[i].expected, "-%a", cases[i].term);
        }
}

static void test_value_is_correctly_rounded(void) {
    for (int round = 0; round < 20000; round++) {
        int128 bits = ((int128)(test_random() >> 1) << 63 | (int128)(test_random() >> 1)) >> test_below(127);
        if (round % 4 > 1) { /* a tie between two doubles, or a little above one */
            const int shift = 2 + (int)test_below(72);
            bits = (int128)(test_random() >> 11 | (uint64_t)1 << 52) << shift | (int128)1 << (shift - 1);
            bits |= (int128)test_below(2) << test_below((size_t)shift - 1);
        }
        if (round % 2)
            bits = -bits;
        const entrol_sum sum = {.low = (uint64_t)bits, .high = (int64_t)(bits >> 64)};
        const double expected = ldexp((double)bits, -64); /* the compiler's own conversion rounds to nearest even */
        CHECK_SAY(entrol_sum_value(&sum) == expected, "%a, expected %a", entrol_sum_value(&sum), expected);
    }
    const entrol_sum least = {.low = 0, .high = INT64_MIN};
    CHECK(entrol_sum_value(&least) == -0x1p63);
    const entrol_sum greatest = {.low = UINT64_MAX, .high = INT64_MAX};
    CHECK(entrol_sum_value(&greatest) == 0x1p63);
}

static void test_any_order_and_split(void) {
    enum { N = 1000 };
    double terms[N];
    for (int i = 0; i < N; i++)
        terms[i] = ldexp(test_normal(), (int)test_below(100) - 60);
    const entrol_sum all = sum_of(terms, N);
    for (int round = 0; round < 20; round++) {
        for (size_t i = N - 1; i > 0; i--) {
            const size_t j = test_below(i + 1);
            const double swap = terms[i];
            terms[i] = terms[j];
            terms[j] = swap;
        }
        const size_t cut = test_below(N + 1);
        entrol_sum first = sum_of(terms, cut);
        const entrol_sum second = sum_of(terms + cut, N - cut);
        entrol_sum_merge(&first, &second);
        CHECK(memcmp(&first, &all, sizeof all) == 0);
    }
}

static void test_refused_terms(void) {
    const double terms[] = {1, (double)NAN, (double)INFINITY, -(double)INFINITY, 0x1p62, -0x1p62, 0x1.fffffffffffffp61};
    entrol_sum sum = sum_of(terms, 7);
    CHECK_INT(sum.n, 2);
    CHECK_INT(sum.n_bad, 5);
    CHECK(entrol_sum_value(&sum) == 0x1.fffffffffffffp61);
    entrol_sum_merge(&sum, &sum);
    CHECK_INT(sum.n, 4);
    CHECK_INT(sum.n_bad, 10);
    const entrol_sum nothing = {0};
    CHECK(entrol_sum_value(&nothing) == 0 && !signbit(entrol_sum_value(&nothing)));
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_exact_cancellation);
    TEST(test_single_terms_are_exact);
    TEST(test_rounding_of_terms);
    TEST(test_value_is_correctly_rounded);
    TEST(test_any_order_and_split);
    TEST(test_refused_terms);
    return test_end();
}
