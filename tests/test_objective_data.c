/* What objectives do with tokens that no loss can be made of. */
#include "harness.h"
#include "harness_objective.h"

static entrol_context *context;

static case_outputs untouched;

static void check_refused(const char *what, const entrol_objective *objective, const entrol_tokens *tokens,
                          entrol_status expected, entrol_reason reason, size_t row, size_t n_bad) {
    static case_outputs out;
    entrol_diagnosis diagnosis;
    case_blank(&out);
    case_blank(&untouched);
    case_spoil(&untouched, tokens->n_tokens);
    const entrol_status status = case_compute(context, &out, &diagnosis, objective, tokens, 0);
    CHECK_SAY(status == expected, "%s, %s: %s", objective->name, what, entrol_status_string(status));
    CHECK_SAY(diagnosis.reason == reason && diagnosis.first_row == row && diagnosis.n_bad == n_bad,
              "%s, %s: %zu rows, the first %zu: %s", objective->name, what, diagnosis.n_bad, diagnosis.first_row,
              entrol_reason_string(diagnosis.reason));
    CHECK_SAY(memcmp(&out, &untouched, sizeof out) == 0, "%s, %s: something else than NaN was written", objective->name,
              what);
}

/* A number into one array, at a token that counts and at one that does not. */
static void check_bad_number(const entrol_objective *objective, int array, float number, entrol_reason reason) {
    static case_outputs out;
    size_t own_starts[CASE_SEQUENCES + 1];
    const entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
    const size_t i = 1 + test_below(CASE_TOKENS - 1);
    const float before = case_data[array][i];
    const uint8_t mask_before = case_mask[i];
    case_data[array][i] = number;
    case_mask[i] = 1;
    check_refused(case_names[array], objective, &tokens, ENTROL_ERROR_DATA, reason, i, 1);
    case_mask[i] = 0;
    case_blank(&out);
    CHECK_SAY(case_compute(context, &out, NULL, objective, &tokens, 0) == ENTROL_OK, "%s: a masked %s", objective->name,
              case_names[array]);
    case_mask[i] = mask_before;
    case_data[array][i] = before;
}

static void test_bad_numbers(void) {
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        case_fill();
        for (int array = 0; array < CASE_ARRAYS; array++) {
            check_bad_number(entrol_objective_at(k), array, (float)NAN, ENTROL_REASON_NAN);
            check_bad_number(entrol_objective_at(k), array, (float)INFINITY, ENTROL_REASON_INFINITE);
            check_bad_number(entrol_objective_at(k), array, -(float)INFINITY, ENTROL_REASON_INFINITE);
        }
    }
}

static void test_ratios_too_great(void) {
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        case_fill();
        check_bad_number(entrol_objective_at(k), 1, -95, ENTROL_REASON_RATIO); /* ln p is at least -4 */
        check_bad_number(entrol_objective_at(k), 2, 88.8f, ENTROL_REASON_RATIO);
    }
    /* Below the greatest float, but of no exact sum; a clip that holds it makes it one. */
    size_t own_starts[CASE_SEQUENCES + 1];
    static case_outputs out;
    const entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
    case_mask[7] = 1;
    case_data[1][7] = case_data[0][7] - 60;
    case_data[3][7] = -1;
    check_refused("a term of e^60", entrol_objective_find("ppo"), &tokens, ENTROL_ERROR_DATA, ENTROL_REASON_RATIO, 7,
                  1);
    case_data[3][7] = 1;
    case_blank(&out);
    CHECK_INT(case_compute(context, &out, NULL, entrol_objective_find("ppo"), &tokens, 0), ENTROL_OK);
    CHECK(out.arrays[0][7] != 0); /* of the KL penalty alone */
    CHECK(isinf(out.result.kl_k3) && isfinite(out.result.loss));
    case_data[2][9] = case_data[0][9] + 60;
    case_mask[9] = 1;
    check_refused("a penalty of e^60", entrol_objective_find("ppo"), &tokens, ENTROL_ERROR_DATA, ENTROL_REASON_RATIO, 9,
                  1);
    case_data[2][9] = case_data[0][9];
    case_data[7][9] = 1e19f;
    check_refused("a value of 1e19", entrol_objective_find("ppo"), &tokens, ENTROL_ERROR_DATA, ENTROL_REASON_RATIO, 9,
                  1);
}

/* One number in an array, and one setting, that together make one term too great. */
static void check_term(const char *name, const entrol_setting *settings, size_t n_settings, int array, float number) {
    static case_outputs out;
    size_t own_starts[CASE_SEQUENCES + 1];
    entrol_diagnosis diagnosis;
    case_fill();
    case_mask[11] = 1;
    case_data[array][11] = number;
    const entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
    const entrol_objective_options options = {sizeof options, settings, n_settings, 0};
    case_blank(&out);
    const entrol_objective_record record = case_record(&out, 0);
    const entrol_status status = entrol_objective_compute(context, &record, &out.result, &diagnosis,
                                                          entrol_objective_find(name), &tokens, &options);
    CHECK_SAY(status == ENTROL_ERROR_DATA && diagnosis.reason == ENTROL_REASON_RATIO && diagnosis.first_row == 11,
              "%s: %s, row %zu", name, entrol_status_string(status), diagnosis.first_row);
}

/* No loss is infinite, and none is a sum that has gone round. */
static void test_terms_too_great(void) {
    const entrol_setting k1[] = {{"kl_coefficient", 0.1, NULL}, {"kl_estimator", ENTROL_KL_K1, NULL}};
    const entrol_setting beta[] = {{"entropy_coefficient", 0.1, NULL}};
    const entrol_setting anchor[] = {{"entropy_target", 1, NULL}, {"entropy_share", 1, NULL}};
    const entrol_setting all[] = {{"covariance_share", 1, NULL}, {"covariance_penalty", 1e6, NULL}};
    const entrol_setting raised[] = {{"entropy_alpha", 1e6, NULL}};
    const entrol_setting short_length[] = {{"length", 1e-9, NULL}};
    check_term("grpo", k1, 2, 2, -1e22f);
    check_term("reinforce", beta, 1, 4, 1e19f);
    check_term("aent", NULL, 0, 6, -1e19f);
    check_term("siren", anchor, 2, 6, 1e21f);
    check_term("kl_cov", all, 2, 1, 1e16f);
    check_term("entropy_advantage", raised, 1, 4, -1e15f);
    check_term("dr_grpo", short_length, 1, 3, 1e12f);
}

static void test_sums_too_great(void) {
    static case_outputs out;
    entrol_diagnosis diagnosis;
    size_t own_starts[CASE_SEQUENCES + 1];
    case_fill();
    for (size_t i = 0; i < CASE_TOKENS; i++) {
        case_data[0][i] = case_data[1][i] = -1;
        case_data[3][i] = i >= 5 && i < 12 ? 4e18f : 1;
        case_data[10][i] = 1;
        case_mask[i] = 1;
    }
    const entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
    case_blank(&out);
    CHECK_INT(case_compute(context, &out, &diagnosis, entrol_objective_find("reinforce"), &tokens, 0),
              ENTROL_ERROR_DATA);
    CHECK(diagnosis.n_bad == 7 && diagnosis.first_row == 5 && diagnosis.reason == ENTROL_REASON_RATIO);
    for (size_t i = 6; i < 12; i++)
        case_data[3][i] = 1;
    case_blank(&out);
    CHECK_INT(case_compute(context, &out, &diagnosis, entrol_objective_find("reinforce"), &tokens, 0), ENTROL_OK);
    CHECK_NEAR(out.result.policy_loss, ((double)4e18f + CASE_TOKENS - 1) / CASE_TOKENS, 1);
}

static void test_nothing_counts(void) {
    size_t own_starts[CASE_SEQUENCES + 1];
    case_fill();
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
        memset(case_mask, 0, sizeof case_mask);
        check_refused("all masked", entrol_objective_at(k), &tokens, ENTROL_ERROR_DATA, ENTROL_REASON_EMPTY_SUPPORT, 0,
                      1);
        tokens = (entrol_tokens)ENTROL_TOKENS_INIT;
        check_refused("no token", entrol_objective_at(k), &tokens, ENTROL_ERROR_DATA, ENTROL_REASON_EMPTY_SUPPORT, 0,
                      1);
    }
}

static void check_argument(const char *argument, const entrol_objective *objective, const entrol_tokens *tokens,
                           const entrol_objective_options *options) {
    static case_outputs out;
    entrol_diagnosis diagnosis = {0};
    case_blank(&out);
    case_blank(&untouched);
    const entrol_objective_record record = case_record(&out, 0);
    CHECK_INT(entrol_objective_compute(context, &record, &out.result, &diagnosis, objective, tokens, options),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "", argument);
    CHECK(memcmp(&out, &untouched, sizeof out) == 0);
}

static void test_bad_arguments(void) {
    size_t own_starts[CASE_SEQUENCES + 1];
    case_fill();
    const entrol_objective *ppo = entrol_objective_find("ppo"), *grpo = entrol_objective_find("grpo");
    const entrol_tokens good = case_tokens(0, CASE_SEQUENCES, own_starts);
    entrol_tokens bad = good;
    entrol_setting setting = {"clip_low", -1, NULL};
    entrol_objective_options options = {sizeof options, &setting, 1, 0};
    entrol_objective copy = *ppo;
    bad.advantage = NULL;
    check_argument("advantage", ppo, &bad, NULL);
    bad = good;
    bad.target_return = NULL;
    check_argument("target_return", ppo, &bad, NULL);
    bad = good;
    bad.sequence_starts = NULL;
    check_argument("sequence_starts", grpo, &bad, NULL);
    bad = good;
    bad.n_tokens--; /* lengths that do not fit */
    check_argument("sequence_starts", ppo, &bad, NULL);
    bad = good;
    own_starts[3] = own_starts[5] + 1;
    check_argument("sequence_starts", grpo, &bad, NULL);
    check_argument("clip_low", ppo, &good, &options);
    setting = (entrol_setting){"clip", 0.2, NULL};
    check_argument("settings", ppo, &good, &options);
    setting = (entrol_setting){"aggregation", 0, "mean"};
    check_argument("aggregation", ppo, &good, &options);
    setting = (entrol_setting){"aggregation", 0, "constant"};
    check_argument("length", ppo, &good, &options);
    check_argument("length", entrol_objective_find("dr_grpo"), &good, NULL);
    check_argument("entropy_target", entrol_objective_find("siren"), &good, NULL);
    setting = (entrol_setting){"entropy_coefficient", 0, NULL}; /* what is covered is still found by H_S */
    bad = case_tokens(0, CASE_SEQUENCES, own_starts);
    bad.support_entropy = NULL;
    check_argument("support_entropy", entrol_objective_find("siren"), &bad, &options);
    check_argument("objective", &copy, &good, NULL);
    check_argument("tokens", ppo, NULL, NULL);
    bad.size = 0;
    check_argument("tokens", ppo, &bad, NULL);
    CHECK_INT(entrol_objective_compute(NULL, NULL, NULL, NULL, ppo, &good, NULL), ENTROL_ERROR_ARGUMENT);
}

static void *refuse(void *user, size_t n_bytes) {
    int *left = user;
    return (*left)-- > 0 ? malloc(n_bytes) : NULL;
}

static void release(void *user, void *memory) {
    (void)user;
    free(memory);
}

static void test_no_memory(void) {
    size_t own_starts[CASE_SEQUENCES + 1];
    static case_outputs out;
    case_fill();
    const entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
    for (size_t k = 0; k < entrol_objective_count(); k++)
        for (int allowed = 0; allowed < 5; allowed++) {
            int left = 1000;
            entrol_context *own;
            entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
            options.n_threads = 1;
            options.allocate = refuse;
            options.release = release;
            options.allocate_user = &left;
            CHECK_INT(entrol_context_create(&own, &options), ENTROL_OK);
            left = allowed;
            case_blank(&out);
            case_blank(&untouched);
            const entrol_status status = case_compute(own, &out, NULL, entrol_objective_at(k), &tokens, 0);
            CHECK(status == ENTROL_OK || status == ENTROL_ERROR_MEMORY);
            CHECK(status == ENTROL_OK || memcmp(&out, &untouched, sizeof out) == 0);
            CHECK_SAY(allowed < 4 || status == ENTROL_OK, "%s needs memory more than four times",
                      entrol_objective_at(k)->name);
            entrol_context_destroy(own);
        }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    CHECK_INT(entrol_context_create(&context, NULL), ENTROL_OK);
    TEST(test_bad_numbers);
    TEST(test_ratios_too_great);
    TEST(test_terms_too_great);
    TEST(test_sums_too_great);
    TEST(test_nothing_counts);
    TEST(test_bad_arguments);
    TEST(test_no_memory);
    entrol_context_destroy(context);
    return test_end();
}
