/* What people log of an objective, the tokens that it keeps, and each one's loss, against their definitions in long
 * double. */
#include "harness.h"
#include "harness_objective.h"

static entrol_context *context;

typedef long double real;

enum { LOGPROB, OLD_LOGPROB, REFERENCE, ADVANTAGE, ENTROPY, VALUE = 7, RETURN = 9, WEIGHT };

static real at(int array, size_t i) {
    return case_data[array][i];
}

static real log_ratio(size_t i) {
    return at(LOGPROB, i) - at(OLD_LOGPROB, i);
}

/* The mean over the tokens that count of the product of two arrays, or of one (b < 0). */
static real mean_of(int a, int b) {
    real sum = 0, n = 0;
    for (size_t i = 0; i < CASE_TOKENS; i++)
        if (case_mask[i]) {
            sum += at(a, i) * (b < 0 ? 1 : at(b, i));
            n += 1;
        }
    return sum / n;
}

static real n_counting(void) {
    real n = 0;
    for (size_t i = 0; i < CASE_TOKENS; i++)
        n += case_mask[i];
    return n;
}

static void compute(case_outputs *out, const char *name, const entrol_setting *settings, size_t n_settings) {
    size_t own_starts[CASE_SEQUENCES + 1];
    const entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
    const entrol_objective_options options = {sizeof options, settings, n_settings, 0};
    const entrol_objective_record record = case_record(out, 0);
    case_blank(out);
    CHECK_INT(
        entrol_objective_compute(context, &record, &out->result, NULL, entrol_objective_find(name), &tokens, &options),
        ENTROL_OK);
}

static void check_sum(const entrol_objective_result *result, entrol_objective_sum which, real mean) {
    const entrol_sum *sum = &result->sums[which];
    CHECK_INT(sum->n, n_counting());
    CHECK_SAY(fabsl(entrol_sum_value(sum) / (real)sum->n - mean) <= 1e-12L * (1 + fabsl(mean)),
              "sum %d has the mean %.15g, not %.15Lg", (int)which, entrol_sum_value(sum) / (double)sum->n, mean);
}

static void check_ratios(const entrol_objective_result *result) {
    real k1 = 0, k2 = 0, k3 = 0, ratio = 0, greatest = 1;
    const real n = n_counting();
    for (size_t i = 0; i < CASE_TOKENS; i++) {
        if (!case_mask[i])
            continue;
        const real x = log_ratio(i);
        k1 -= x / n;
        k2 += x * x / 2 / n;
        k3 += (expl(x) - 1 - x) / n;
        ratio += expl(x) / n;
        greatest = fmaxl(greatest, expl(x));
    }
    CHECK_NEAR(result->kl_k1, k1, 1e-12);
    CHECK_NEAR(result->kl_k2, k2, 1e-12);
    CHECK_NEAR(result->kl_k3, k3, 1e-8);
    CHECK_NEAR(result->ratio_mean, ratio, 1e-8);
    CHECK_NEAR(result->ratio_greatest, greatest, 1e-6 * greatest); /* of a difference in float */
    check_sum(result, ENTROL_SUM_K1, k1);
    check_sum(result, ENTROL_SUM_K2, k2);
}

static void check_critic(const entrol_objective_result *result) {
    real error = 0, errors = 0, spread = 0, spread_of_errors = 0;
    const real n = n_counting(), mean = mean_of(RETURN, -1);
    for (size_t i = 0; i < CASE_TOKENS; i++)
        error += case_mask[i] ? (at(RETURN, i) - at(VALUE, i)) / n : 0;
    for (size_t i = 0; i < CASE_TOKENS; i++) {
        if (!case_mask[i])
            continue;
        const real own = at(RETURN, i) - at(VALUE, i);
        errors += own * own / n;
        spread += (at(RETURN, i) - mean) * (at(RETURN, i) - mean);
        spread_of_errors += (own - error) * (own - error);
    }
    CHECK_NEAR(result->explained_variance, 1 - spread_of_errors / spread, 1e-12);
    check_sum(result, ENTROL_SUM_ERROR, error);
    check_sum(result, ENTROL_SUM_ERROR_SQUARED, errors);
    check_sum(result, ENTROL_SUM_RETURN, mean);
    check_sum(result, ENTROL_SUM_RETURN_SQUARED, mean_of(RETURN, RETURN));
}

static void test_logs(void) {
    static case_outputs out;
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        case_fill();
        const entrol_setting settings[] = {{"length", 50, NULL}, {"entropy_target", 0.7, NULL}};
        const char *name = entrol_objective_at(k)->name;
        const size_t n_settings = strcmp(name, "siren") == 0 ? 2 : 1;
        compute(&out, name, settings, n_settings);
        const entrol_objective_result *result = &out.result;
        CHECK_INT(result->n_tokens, n_counting());
        CHECK_INT(result->n_sequences, CASE_SEQUENCES);
        CHECK_NEAR(result->entropy, mean_of(ENTROPY, -1), 1e-12);
        CHECK_NEAR(result->covariance, mean_of(LOGPROB, ADVANTAGE) - mean_of(LOGPROB, -1) * mean_of(ADVANTAGE, -1),
                   1e-12);
        check_sum(result, ENTROL_SUM_ENTROPY, mean_of(ENTROPY, -1));
        check_sum(result, ENTROL_SUM_LOGPROB, mean_of(LOGPROB, -1));
        check_sum(result, ENTROL_SUM_ADVANTAGE, mean_of(ADVANTAGE, -1));
        check_sum(result, ENTROL_SUM_PRODUCT, mean_of(LOGPROB, ADVANTAGE));
        check_ratios(result);
        check_critic(result);
    }
}

/* How a clip holds a token. */
static int is_low(size_t i, real bound) {
    return case_mask[i] && at(ADVANTAGE, i) < 0 && expl(log_ratio(i)) < bound;
}

static int is_high(size_t i, real bound) {
    return case_mask[i] && at(ADVANTAGE, i) > 0 && expl(log_ratio(i)) > bound;
}

static int is_dual(size_t i, real bound) {
    return case_mask[i] && at(ADVANTAGE, i) < 0 && expl(log_ratio(i)) > bound;
}

/* PPO's, with every factor: the shares of clips, and each token's loss. */
static void test_clips(void) {
    static case_outputs out;
    case_fill();
    const entrol_setting settings[] = {{"clip_low", 0.1, NULL},         {"clip_high", 0.3, NULL},
                                       {"dual_clip", 1.5, NULL},        {"kl_coefficient", 0.25, NULL},
                                       {"negative_weight", 0.5, NULL},  {"aggregation", 0, "sequence_mean"},
                                       {"value_coefficient", 0.5, NULL}};
    compute(&out, "ppo", settings, sizeof settings / sizeof *settings);
    real n_low = 0, n_high = 0, n_dual = 0, n_kept = 0;
    const real n = n_counting();
    for (size_t i = 0; i < CASE_TOKENS; i++) {
        const int low = is_low(i, 1 - (real)0.1), high = is_high(i, 1 + (real)0.3), dual = is_dual(i, 1.5L);
        const real a = at(ADVANTAGE, i), d = at(LOGPROB, i) - at(REFERENCE, i), r = expl(log_ratio(i));
        const real held = low ? 1 - (real)0.1 : high ? 1 + (real)0.3 : dual ? 1.5L : r;
        const real loss = -held * a * at(WEIGHT, i) * (a < 0 ? 0.5L : 1) + 0.25L * (expl(-d) - 1 + d);
        n_low += low;
        n_high += high;
        n_dual += dual;
        n_kept += case_mask[i] && !low && !high && !dual;
        CHECK_INT(out.kept[i], case_mask[i] && !low && !high && !dual);
        CHECK_NEAR(out.arrays[4][i], case_mask[i] ? loss : 0, 1e-6);
    }
    CHECK(n_low > 0 && n_high > 0 && n_dual > 0);
    CHECK_NEAR(out.result.clip_low, n_low / n, 1e-12);
    CHECK_NEAR(out.result.clip_high, n_high / n, 1e-12);
    CHECK_NEAR(out.result.clip_dual, n_dual / n, 1e-12);
    CHECK_INT(out.result.n_kept, n_kept);
    entrol_objective_result result = {.size = sizeof result}; /* without a record, tokens are counted otherwise */
    size_t own_starts[CASE_SEQUENCES + 1];
    const entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
    const entrol_objective_options options = {sizeof options, settings, sizeof settings / sizeof *settings, 0};
    CHECK_INT(entrol_objective_compute(context, NULL, &result, NULL, entrol_objective_find("ppo"), &tokens, &options),
              ENTROL_OK);
    CHECK_INT(result.n_kept, n_kept);
}

/* The penalty's mean is over sequences where they are averaged. */
static void test_reference_kl(void) {
    static case_outputs out;
    case_fill();
    const entrol_setting settings[] = {{"kl_coefficient", 0.25, NULL}};
    compute(&out, "grpo", settings, 1);
    real kl = 0;
    for (size_t s = 0; s < CASE_SEQUENCES; s++) {
        real sum = 0, n = 0;
        for (size_t i = case_starts[s]; i < case_starts[s + 1]; i++) {
            const real d = at(LOGPROB, i) - at(REFERENCE, i);
            sum += case_mask[i] ? expl(-d) - 1 + d : 0;
            n += case_mask[i];
        }
        kl += n > 0 ? sum / n / CASE_SEQUENCES : 0;
    }
    CHECK_NEAR(out.result.reference_kl, kl, 1e-9);
    CHECK_NEAR(out.result.kl_loss, 0.25L * kl, 1e-9);
}

/* Weights that are bounded keep every gradient. */
static void test_bounded_weights(void) {
    static case_outputs out;
    case_fill();
    const entrol_setting settings[] = {{"ratio_low", 0.8, NULL}, {"ratio_high", 1.25, NULL}};
    compute(&out, "cispo", settings, 2);
    real n_low = 0, n_high = 0;
    for (size_t i = 0; i < CASE_TOKENS; i++) {
        n_low += is_low(i, 0.8);
        n_high += is_high(i, 1.25);
    }
    CHECK_NEAR(out.result.clip_low, n_low / n_counting(), 1e-12);
    CHECK_NEAR(out.result.clip_high, n_high / n_counting(), 1e-12);
    CHECK_INT(out.result.n_kept, n_counting());
}

/* The bonus covers the tokens of the top share, and these alone are kept. */
static void test_covered(void) {
    static case_outputs out;
    case_fill();
    const entrol_setting settings[] = {{"top_share", 0.25, NULL},
                                       {"top_by", 0, "exact"},
                                       {"clip_low", 0.1, NULL},
                                       {"clip_high", 0.3, NULL},
                                       {"entropy_coefficient", 0.1, NULL}};
    compute(&out, "high_entropy", settings, sizeof settings / sizeof *settings);
    const size_t n_covered = (size_t)(0.25 * (double)n_counting() + 0.9999);
    real sum = 0, n = 0, n_kept = 0;
    for (size_t i = 0; i < CASE_TOKENS; i++) {
        size_t n_above = 0;
        for (size_t k = 0; case_mask[i] && k < CASE_TOKENS; k++)
            n_above += case_mask[k] && (at(ENTROPY, k) > at(ENTROPY, i) || (at(ENTROPY, k) == at(ENTROPY, i) && k < i));
        const int is_covered = case_mask[i] && n_above < n_covered;
        const int is_kept = is_covered && !is_low(i, 1 - (real)0.1) && !is_high(i, 1 + (real)0.3);
        sum += is_covered ? at(ENTROPY, i) : 0;
        n += is_covered;
        n_kept += is_kept;
        CHECK_INT(out.kept[i], is_kept);
    }
    CHECK_INT(out.result.n_covered, n_covered);
    CHECK_NEAR(out.result.covered_entropy, sum / n, 1e-12);
    CHECK_NEAR(out.result.entropy_loss, -0.1L * sum / n, 1e-12);
    CHECK_INT(out.result.n_kept, n_kept);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    CHECK_INT(entrol_context_create(&context, NULL), ENTROL_OK);
    TEST(test_logs);
    TEST(test_clips);
    TEST(test_reference_kl);
    TEST(test_bounded_weights);
    TEST(test_covered);
    entrol_context_destroy(context);
    return test_end();
}
