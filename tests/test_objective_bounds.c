/* Objectives at the bounds of clips, what beta means, and what is drawn. */
#include "harness.h"
#include "harness_objective.h"
#include "oracle_objective.h"

static entrol_context *context;

static float slope_at(const char *name, const entrol_setting *settings, size_t n_settings, float log_ratio,
                      float advantage) {
    const float logprob = -1, old = -1 - log_ratio;
    const size_t one_sequence[2] = {0, 1};
    entrol_tokens tokens = ENTROL_TOKENS_INIT;
    tokens.n_tokens = 1;
    tokens.logprob = &logprob;
    tokens.old_logprob = &old;
    tokens.advantage = &advantage;
    tokens.sequence_starts = one_sequence;
    tokens.n_sequences = 1;
    float slope = 77;
    entrol_objective_record record = ENTROL_OBJECTIVE_RECORD_INIT;
    record.logprob = &slope;
    const entrol_objective_options options = {sizeof options, settings, n_settings, 0};
    CHECK_INT(entrol_objective_compute(context, &record, NULL, NULL, entrol_objective_find(name), &tokens, &options),
              ENTROL_OK);
    return slope;
}

/* A ratio of 1 is exact, and so are bounds that lie there. */
static void test_kinks(void) {
    const entrol_setting at_one[] = {{"clip_low", 0, NULL}, {"clip_high", 0, NULL}, {"dual_clip", 1, NULL}};
    const entrol_setting half[] = {{"clip_low", 0.5, NULL}, {"clip_high", 0.5, NULL}};
    CHECK_NEAR(slope_at("grpo", at_one, 2, 0, 2), -2, 0); /* the inside's, as torch.clamp and torch.min have it */
    CHECK_NEAR(slope_at("grpo", at_one, 2, 0, -2), 2, 0);
    CHECK_NEAR(slope_at("grpo", at_one, 3, 0, -2), 2, 0);
    CHECK_NEAR(slope_at("grpo", at_one, 2, 0.25f, 2), 0, 0);
    CHECK_NEAR(slope_at("grpo", at_one, 2, -0.25f, -2), 0, 0);
    CHECK_NEAR(slope_at("grpo", at_one, 2, 0.25f, 0), 0, 0);
    CHECK_NEAR(slope_at("gmpo", half, 2, 0.5f, 2), -2 * exp(0.5), 1e-6);
    CHECK_NEAR(slope_at("gmpo", half, 2, 0.75f, 2), 0, 0);
    CHECK_NEAR(slope_at("gmpo", half, 2, -0.5f, -2), 2 * exp(-0.5), 1e-6);
    CHECK_NEAR(slope_at("kl_cov", NULL, 0, 0, 2), -2, 0);                     /* |0| has no derivative: 0 */
    CHECK_NEAR(slope_at("kl_cov", NULL, 0, 0.5f, 2), 1 - 2 * exp(0.5), 1e-6); /* a token alone is the highest */
    CHECK_NEAR(slope_at("grpo", NULL, 0, -100, 2), 0, 1e-30);                 /* a ratio that is nearly 0 */
}

/* ERC's bounds themselves are outside. */
static void test_entropy_ratio_bounds(void) {
    const float logprob = -1, advantage = 2, entropy = 0.5f;
    entrol_tokens tokens = ENTROL_TOKENS_INIT;
    tokens.n_tokens = 1;
    tokens.logprob = &logprob;
    tokens.advantage = &advantage;
    tokens.entropy = tokens.old_entropy = &entropy; /* a ratio of 1 */
    for (int k = 0; k < 3; k++) {
        const entrol_setting settings[] = {{"entropy_ratio_low", k == 0 ? 1 : 0.5, NULL},
                                           {"entropy_ratio_high", k == 1 ? 1 : 2, NULL}};
        const entrol_objective_options options = {sizeof options, settings, 2, 0};
        float slope = 77;
        uint8_t kept = 77;
        entrol_objective_record record = ENTROL_OBJECTIVE_RECORD_INIT;
        record.logprob = &slope;
        record.kept = &kept;
        CHECK_INT(
            entrol_objective_compute(context, &record, NULL, NULL, entrol_objective_find("erc"), &tokens, &options),
            ENTROL_OK);
        CHECK_NEAR(slope, k == 2 ? -2 : 0, 0);
        CHECK_INT(kept, k == 2);
    }
}

static float value_slope(float value, float old, float target) {
    const float zero = 0;
    const entrol_setting settings[] = {
        {"value_clip", 0.25, NULL}, {"value_coefficient", 1, NULL}, {"entropy_coefficient", 0, NULL}};
    entrol_tokens tokens = ENTROL_TOKENS_INIT;
    tokens.n_tokens = 1;
    tokens.logprob = tokens.advantage = &zero;
    tokens.value = &value;
    tokens.old_value = &old;
    tokens.target_return = &target;
    float slope = 77;
    entrol_objective_record record = ENTROL_OBJECTIVE_RECORD_INIT;
    record.value = &slope;
    const entrol_objective_options options = {sizeof options, settings, 3, 0};
    CHECK_INT(entrol_objective_compute(context, &record, NULL, NULL, entrol_objective_find("ppo"), &tokens, &options),
              ENTROL_OK);
    return slope;
}

static void test_value_kinks(void) {
    CHECK_NEAR(value_slope(1.25f, 1, 0), 2.5, 0);       /* at the bound: the inside's */
    CHECK_NEAR(value_slope(1.5f, 1, 0), 3, 0);          /* beyond it, and the greater loss */
    CHECK_NEAR(value_slope(1.5f, 1, 2), 0, 0);          /* beyond it, the clipped loss is the greater one */
    CHECK_NEAR(value_slope(1.5f, 1, 1.375f), 0.125, 0); /* both are equal: half of 0.25 and of 0 */
}

static void test_beta_means_the_same(void) {
    static case_outputs out;
    size_t own_starts[CASE_SEQUENCES + 1];
    case_fill();
    const entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
    const entrol_objective_record record = case_record(&out, 0);
    long double sum = 0, n = 0;
    for (size_t i = 0; i < CASE_TOKENS; i++)
        if (case_mask[i]) {
            sum += case_data[4][i];
            n += 1;
        }
    for (double aggregation = 0; aggregation < 4; aggregation++) {
        const entrol_setting settings[] = {
            {"aggregation", aggregation, NULL}, {"length", 9, NULL}, {"entropy_coefficient", 0.5, NULL}};
        const entrol_objective_options options = {sizeof options, settings, 3, 0};
        case_blank(&out);
        CHECK_INT(entrol_objective_compute(context, &record, &out.result, NULL, entrol_objective_find("grpo"), &tokens,
                                           &options),
                  ENTROL_OK);
        CHECK_NEAR(out.result.entropy_loss, -0.5L * sum / n, 1e-12);
        CHECK_NEAR(out.arrays[1][0], -0.5L / n, 1e-10);
    }
}

/* The loss alone is the same loss, and what it does not come with is NaN. */
static void test_loss_alone(void) {
    static case_outputs whole, alone;
    size_t own_starts[CASE_SEQUENCES + 1];
    case_fill();
    const entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        const entrol_objective *objective = entrol_objective_at(k);
        entrol_setting settings[8];
        const entrol_objective_options options = {sizeof options, settings, case_take_usual(settings, objective), 1};
        case_blank(&whole);
        case_blank(&alone);
        const entrol_objective_record record = case_record(&alone, 0);
        CHECK_INT(case_compute(context, &whole, NULL, objective, &tokens, 0), ENTROL_OK);
        CHECK_INT(entrol_objective_compute(context, &record, &alone.result, NULL, objective, &tokens, &options),
                  ENTROL_OK);
        const entrol_objective_result *a = &alone.result, *w = &whole.result;
        CHECK(memcmp(alone.arrays, whole.arrays, sizeof alone.arrays) == 0);
        CHECK(a->loss == w->loss && a->policy_loss == w->policy_loss && a->value_loss == w->value_loss);
        CHECK(a->kl_loss == w->kl_loss && a->entropy_loss == w->entropy_loss && a->entropy == w->entropy);
        CHECK(a->n_kept == w->n_kept && a->n_tokens == w->n_tokens && a->clip_high == w->clip_high);
        CHECK(isnan(a->kl_k1) && isnan(a->kl_k3) && isnan(a->covariance) && isnan(a->explained_variance));
        CHECK(!isnan(w->kl_k1) && !isnan(w->covariance) && !isnan(w->explained_variance));
    }
}

/* Clip-Cov: as many as the paper has it, in its range and none that is clipped; another seed draws others, each as
 * often as the rest. */
static void test_draw(void) {
    enum { DRAWS = 400 };
    static case_outputs out;
    static unsigned drawn[CASE_TOKENS];
    static long double exact[2][CASE_TOKENS], covariances[CASE_TOKENS];
    size_t own_starts[CASE_SEQUENCES + 1], n_open = 0, n_valid = 0;
    case_fill();
    entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
    const entrol_setting settings[] = {{"covariance_share", 0.02, NULL},
                                       {"clip_high", 0.1, NULL}}; /* which holds many */
    const entrol_objective_options options = {sizeof options, settings, 2, 0};
    const entrol_objective_record record = case_record(&out, 0);
    for (size_t i = 0; i < CASE_TOKENS; i++) {
        exact[0][i] = case_data[0][i];
        exact[1][i] = case_data[3][i];
        n_valid += case_mask[i];
    }
    const oracle_tokens oracle = {.n = CASE_TOKENS, .logprob = exact[0], .advantage = exact[1], .mask = case_mask};
    oracle_covariances(covariances, &oracle);
    memset(drawn, 0, sizeof drawn);
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        size_t n = 0;
        tokens.seed = seed;
        CHECK_INT(entrol_objective_compute(context, &record, NULL, NULL, entrol_objective_find("clip_cov"), &tokens,
                                           &options),
                  ENTROL_OK);
        for (size_t i = 0; i < CASE_TOKENS; i++)
            if (case_mask[i] && out.arrays[0][i] == 0 && out.arrays[4][i] == 0 && case_data[3][i] != 0) {
                n++;
                drawn[i]++;
                CHECK(covariances[i] > 1 && covariances[i] < 5);
                CHECK(!(case_data[3][i] > 0 && case_data[0][i] - case_data[1][i] > logf(1.1f)));
            }
        CHECK_INT(n, (size_t)(0.02 * (double)n_valid));
    }
    for (size_t i = 0; i < CASE_TOKENS; i++) {
        const float ratio = expf(case_data[0][i] - case_data[1][i]);
        n_open += case_mask[i] && covariances[i] > 1 && covariances[i] < 5 && !(case_data[3][i] > 0 && ratio > 1.1f);
    }
    const double expected = DRAWS * floor(0.02 * (double)n_valid) / (double)n_open;
    for (size_t i = 0; i < CASE_TOKENS; i++)
        CHECK_SAY(drawn[i] == 0 || fabs(drawn[i] - expected) < 6 * sqrt(expected), "token %zu was drawn %u times of %g",
                  i, drawn[i], expected);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    CHECK_INT(entrol_context_create(&context, NULL), ENTROL_OK);
    TEST(test_kinks);
    TEST(test_entropy_ratio_bounds);
    TEST(test_value_kinks);
    TEST(test_beta_means_the_same);
    TEST(test_loss_alone);
    TEST(test_draw);
    entrol_context_destroy(context);
    return test_end();
}
