/* The windows of a document: every token once, enough context, nothing read in vain. Exhaustive over small sizes. */
#include "harness.h"

#include "windows.h"

/* Checks one plan against what entrol_llama.h promises. False ends the search after the first failure. */
static bool check_plan(const ent_window_plan *plan) {
    const size_t n_bos = plan->has_bos ? 1 : 0;
    const size_t first_possible = 1 - n_bos;
    size_t expected = plan->first > first_possible ? plan->first : first_possible;
    bool ok = true;
    ent_window window = {0};
    size_t index = 0;
    for (; ent_window_at(&window, plan, index); index++) {
        const size_t n_positions = window.end - 1 - window.begin + n_bos;
        ok &= window.begin <= window.first_scored && window.first_scored < window.end && window.end <= plan->n_tokens;
        ok &= window.first_scored == expected;                /* once each, in order */
        ok &= n_positions >= 1 && n_positions <= plan->n_ctx; /* fits */
        ok &= window.begin == 0 || window.first_scored - window.begin >= plan->min_context;
        ok &= window.end == plan->n_tokens || n_positions == plan->n_ctx; /* only the last is short */
        ok &= plan->has_bos || window.first_scored > window.begin;        /* something to predict from */
        expected = window.end;
    }
    ok &= expected >= plan->n_tokens; /* to the end */
    return CHECK_SAY(ok, "n_tokens %zu, first %zu, n_ctx %zu, min_context %zu, bos %d: window %zu", plan->n_tokens,
                     plan->first, plan->n_ctx, plan->min_context, plan->has_bos, index);
}

static void test_every_small_plan(void) {
    for (size_t n_ctx = 4; n_ctx <= 12; n_ctx++) {
        for (size_t min_context = 1; min_context <= n_ctx - 2; min_context++) {
            for (size_t n_tokens = 0; n_tokens <= 40; n_tokens++) {
                for (size_t first = 0; first <= n_tokens; first++) {
                    for (int bos = 0; bos < 2; bos++) {
                        const ent_window_plan plan = {n_tokens, first, n_ctx, min_context, bos != 0};
                        if (!check_plan(&plan)) {
                            return;
                        }
                    }
                }
            }
        }
    }
}

/* What a token sees must not depend on which tokens before it are scored. */
static void test_first_only_leaves_windows_out(void) {
    for (size_t first = 0; first < 50; first++) {
        const ent_window_plan whole = {50, 0, 8, 3, true}, part = {50, first, 8, 3, true};
        ent_window window, same;
        for (size_t i = 0; ent_window_at(&window, &part, i); i++) {
            size_t j = 0;
            while (ent_window_at(&same, &whole, j) && same.end != window.end) {
                j++;
            }
            CHECK_INT(window.begin, same.begin);
            CHECK_INT(window.end, same.end);
        }
    }
}

/* The numbers in the header: a window of n_ctx positions, BOS + n_ctx - 1 tokens, scores n_ctx tokens. */
static void test_known_windows(void) {
    const ent_window_plan plan = {5000, 0, 2048, 1024, true};
    ent_window window;
    CHECK(ent_window_at(&window, &plan, 0));
    CHECK_INT(window.begin, 0);
    CHECK_INT(window.end, 2048);
    CHECK(ent_window_at(&window, &plan, 1));
    CHECK_INT(window.begin, 1024);
    CHECK_INT(window.first_scored, 2048);
    CHECK_INT(window.end, 3072);
    CHECK(ent_window_at(&window, &plan, 2));
    CHECK(ent_window_at(&window, &plan, 3));
    CHECK_INT(window.end, 5000);
    CHECK(!ent_window_at(&window, &plan, 4));
}

static void test_nothing_to_score(void) {
    ent_window window;
    const ent_window_plan empty = {0, 0, 8, 4, true}, single = {1, 0, 8, 4, false}, past = {9, 9, 8, 4, true};
    CHECK(!ent_window_at(&window, &empty, 0));
    CHECK(!ent_window_at(&window, &single, 0));
    CHECK(!ent_window_at(&window, &past, 0));
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_every_small_plan);
    TEST(test_first_only_leaves_windows_out);
    TEST(test_known_windows);
    TEST(test_nothing_to_score);
    return test_end();
}
