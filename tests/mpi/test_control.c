/* A controller on real processes: each has, to the bit, the coefficient that one with all tokens has. Rank 0 prints. */
#include "control.h"
#include "ranks.h"

enum { N_STEPS = 60, N_TOKENS = 997 };

static void test_same_coefficient(void) {
    for (size_t k = 0; k < entrol_controller_kind_count(); k++) {
        const char *name = entrol_controller_kind_at(k)->name;
        entrol_controller *ours = make_controller(together, name, NULL), *whole = make_controller(alone, name, NULL);
        bool is_same = true;
        for (size_t step = 0; step < N_STEPS; step++) {
            float tokens[N_TOKENS];
            entrol_command command = ENTROL_COMMAND_INIT, expected = ENTROL_COMMAND_INIT;
            for (size_t i = 0; i < N_TOKENS; i++) /* the same on all ranks: they have the same seed */
                tokens[i] = (float)(entropy_of_step(step) * test_uniform());
            const size_t begin = (size_t)rank * N_TOKENS / (size_t)size,
                         end = ((size_t)rank + 1) * N_TOKENS / (size_t)size;
            is_same &= entrol_controller_observe_tokens(together, &command, NULL, ours, tokens + begin, NULL,
                                                        end - begin) == ENTROL_OK;
            is_same &=
                entrol_controller_observe_tokens(alone, &expected, NULL, whole, tokens, NULL, N_TOKENS) == ENTROL_OK;
            is_same &= is_same_command(&command, &expected);
        }
        CHECK_SAY(everywhere(is_same), "%s on %d ranks", name, size);
        entrol_controller_destroy(together, ours);
        entrol_controller_destroy(alone, whole);
    }
}

static void run_tests(void) {
    TEST(test_same_coefficient);
}

int main(int argc, char **argv) {
    return run_ranks(argc, argv, run_tests);
}
