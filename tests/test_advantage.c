/* Advantages and KL estimates against their definitions in long double, and what they refuse. */
#include "harness.h"
#include "harness_team.h"

#include <entrol/entrol.h>

enum { STEPS = 37, ENVIRONMENTS = 70, N = STEPS * ENVIRONMENTS };

static entrol_context *context;
static float rewards[N], values[N], final_values[N], last_values[ENVIRONMENTS], advantages[N], returns[N];
static uint8_t ends[N];

static entrol_trajectory make_trajectory(void) {
    for (size_t i = 0; i < N; i++) {
        rewards[i] = (float)test_normal();
        values[i] = (float)test_normal();
        ends[i] = (uint8_t)(test_below(8) ? ENTROL_STEP_GOES_ON : 1 + test_below(2));
        final_values[i] = ends[i] == ENTROL_STEP_TRUNCATED ? (float)test_normal() : (float)NAN;
    }
    for (size_t e = 0; e < ENVIRONMENTS; e++)
        last_values[e] = ends[N - ENVIRONMENTS + e] == ENTROL_STEP_GOES_ON ? (float)test_normal() : (float)NAN;
    const entrol_trajectory trajectory = {sizeof trajectory, STEPS, ENVIRONMENTS, rewards, values,
                                          last_values,       ends,  final_values};
    return trajectory;
}

/* The definition: A_t = sum of (gamma lambda)^k d_t+k to the end of the episode. */
static long double advantage_of(size_t step, size_t e, long double gamma, long double lambda) {
    long double sum = 0, factor = 1;
    for (size_t t = step; t < STEPS; t++) {
        const size_t i = t * ENVIRONMENTS + e;
        const float next = t + 1 < STEPS ? values[i + ENVIRONMENTS] : last_values[e];
        const long double after = ends[i] == 0 ? next : ends[i] == ENTROL_STEP_TRUNCATED ? final_values[i] : 0.0L;
        sum += factor * (rewards[i] + gamma * after - values[i]);
        factor *= gamma * lambda;
        if (ends[i])
            break;
    }
    return sum;
}

static void test_gae(void) {
    const double gammas[4] = {0.99, 1, 0, 0.9}, lambdas[4] = {0.95, 1, 0.5, 0};
    for (int round = 0; round < 4; round++) {
        const entrol_trajectory trajectory = make_trajectory();
        CHECK_INT(entrol_advantage_gae(context, advantages, returns, NULL, &trajectory, gammas[round], lambdas[round]),
                  ENTROL_OK);
        for (size_t i = 0; i < N; i++) {
            const long double exact = advantage_of(i / ENVIRONMENTS, i % ENVIRONMENTS, gammas[round], lambdas[round]);
            CHECK_NEAR(advantages[i], exact, 1e-6 * (1 + fabsl(exact)));
            CHECK_NEAR(returns[i], exact + values[i], 1e-6 * (1 + fabsl(exact)));
        }
    }
}

/* CleanRL's loop (ppo.py), whose dones are those of the step before, in long double. */
static void test_gae_as_cleanrl(void) {
    const long double gamma = 0.99L, lambda = 0.95L;
    entrol_trajectory trajectory = make_trajectory();
    for (size_t i = 0; i < N; i++)
        ends[i] = ends[i] != 0; /* it knows no truncation */
    for (size_t e = 0; e < ENVIRONMENTS; e++)
        last_values[e] = (float)test_normal();
    trajectory.final_values = NULL;
    CHECK_INT(entrol_advantage_gae(context, advantages, NULL, NULL, &trajectory, 0.99, 0.95), ENTROL_OK);
    for (size_t e = 0; e < ENVIRONMENTS; e++) {
        long double last = 0;
        for (size_t t = STEPS; t-- > 0;) {
            const size_t i = t * ENVIRONMENTS + e;
            const long double nonterminal = 1 - ends[i]; /* dones[t + 1] */
            const long double next = t + 1 < STEPS ? values[i + ENVIRONMENTS] : last_values[e];
            last = rewards[i] + gamma * next * nonterminal - values[i] + gamma * lambda * nonterminal * last;
            CHECK_NEAR(advantages[i], last, 1e-6 * (1 + fabsl(last)));
        }
    }
}

static void check_gae_refuses(const entrol_trajectory *trajectory, double gamma, entrol_status expected,
                              const char *argument, size_t row, entrol_reason reason) {
    entrol_diagnosis diagnosis = {0};
    memset(advantages, 0x5a, sizeof advantages);
    memset(returns, 0x5a, sizeof returns);
    CHECK_INT(entrol_advantage_gae(context, advantages, returns, &diagnosis, trajectory, gamma, 0.95), expected);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "", argument);
    CHECK_INT(diagnosis.first_row, row);
    CHECK_INT(diagnosis.reason, reason);
    float blank;
    memset(&blank, 0x5a, sizeof blank);
    for (size_t i = 0; i < N; i++)
        CHECK(memcmp(&advantages[i], &blank, sizeof blank) == 0 && memcmp(&returns[i], &blank, sizeof blank) == 0);
}

static void test_gae_refuses(void) {
    entrol_trajectory trajectory = make_trajectory();
    const float reward = rewards[500];
    rewards[500] = (float)NAN;
    check_gae_refuses(&trajectory, 0.99, ENTROL_ERROR_DATA, "", 500, ENTROL_REASON_NAN);
    rewards[500] = reward;
    values[3] = (float)INFINITY;
    check_gae_refuses(&trajectory, 0.99, ENTROL_ERROR_DATA, "", 3, ENTROL_REASON_INFINITE);
    values[3] = -1e30f; /* of which advantages may be infinite */
    check_gae_refuses(&trajectory, 0.99, ENTROL_ERROR_DATA, "", 3, ENTROL_REASON_INFINITE);
    values[3] = 0;
    ends[N - 1] = ENTROL_STEP_GOES_ON;
    last_values[ENVIRONMENTS - 1] = (float)NAN;
    check_gae_refuses(&trajectory, 0.99, ENTROL_ERROR_DATA, "", N - 1, ENTROL_REASON_NAN);
    last_values[ENVIRONMENTS - 1] = 0;
    check_gae_refuses(&trajectory, 1.01, ENTROL_ERROR_ARGUMENT, "gamma", 0, ENTROL_REASON_NONE);
    check_gae_refuses(&trajectory, NAN, ENTROL_ERROR_ARGUMENT, "gamma", 0, ENTROL_REASON_NONE);
    ends[7] = 3;
    check_gae_refuses(&trajectory, 0.99, ENTROL_ERROR_ARGUMENT, "ends", 0, ENTROL_REASON_NONE);
    ends[7] = ENTROL_STEP_TRUNCATED;
    trajectory.final_values = NULL;
    check_gae_refuses(&trajectory, 0.99, ENTROL_ERROR_ARGUMENT, "final_values", 0, ENTROL_REASON_NONE);
    trajectory.rewards = NULL;
    check_gae_refuses(&trajectory, 0.99, ENTROL_ERROR_ARGUMENT, "rewards", 0, ENTROL_REASON_NONE);
}

/* --- groups --- */

enum { GROUPS = 20, REWARDS = 120 };

static float group_rewards[REWARDS], group_advantages[REWARDS];
static size_t starts[GROUPS + 1];

static void make_groups(void) {
    for (size_t g = 0; g <= GROUPS; g++)
        starts[g] = g < 2 ? 0 : g == GROUPS ? REWARDS : 2 + (g - 2) * 6; /* one is empty, one has two */
    starts[2] = 2;
    for (size_t i = 0; i < REWARDS; i++)
        group_rewards[i] = (float)test_normal();
    for (size_t i = starts[5]; i < starts[6]; i++)
        group_rewards[i] = 0.1f; /* whose sum is rounded */
}

static void moments(long double *mean, long double *deviation, const float *x, size_t n) {
    long double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    *mean = sum / (long double)n;
    for (size_t i = 0; i < n; i++)
        squares += (x[i] - *mean) * (x[i] - *mean);
    *deviation = sqrtl(squares / (long double)(n - 1));
}

static void test_groups(void) {
    entrol_diagnosis diagnosis;
    make_groups();
    long double batch_mean, batch_deviation;
    moments(&batch_mean, &batch_deviation, group_rewards, REWARDS);
    for (int scale = 0; scale < 3; scale++) {
        CHECK_INT(entrol_advantage_group(context, group_advantages, &diagnosis, group_rewards, starts, GROUPS,
                                         (entrol_advantage_scale)scale, 1e-4),
                  ENTROL_OK);
        CHECK_INT(diagnosis.n_bad, 1);
        CHECK_INT(diagnosis.first_row, starts[5]);
        CHECK_INT(diagnosis.reason, ENTROL_REASON_DEVIATION);
        for (size_t g = 0; g < GROUPS; g++)
            for (size_t i = starts[g]; i < starts[g + 1]; i++) {
                long double mean, deviation;
                moments(&mean, &deviation, group_rewards + starts[g], starts[g + 1] - starts[g]);
                const long double divisors[3] = {deviation + 1e-4L, batch_deviation + 1e-4L, 1};
                const long double exact = g == 5 ? 0 : (group_rewards[i] - mean) / divisors[scale];
                CHECK_NEAR(group_advantages[i], exact, g == 5 ? 0 : 2e-7 * (1 + fabsl(exact)));
            }
    }
    CHECK_INT(entrol_advantage_leave_one_out(context, group_advantages, &diagnosis, group_rewards, starts, GROUPS),
              ENTROL_OK);
    for (size_t g = 0; g < GROUPS; g++)
        for (size_t i = starts[g]; i < starts[g + 1]; i++) {
            long double others = 0;
            for (size_t k = starts[g]; k < starts[g + 1]; k++)
                others += k == i ? 0 : group_rewards[k];
            const long double exact = group_rewards[i] - others / (long double)(starts[g + 1] - starts[g] - 1);
            CHECK_NEAR(group_advantages[i], exact, g == 5 ? 0 : 2e-7 * (1 + fabsl(exact)));
        }
}

static void check_groups_refuse(entrol_advantage_scale scale, double epsilon, entrol_status expected,
                                const char *argument, size_t row, entrol_reason reason) {
    entrol_diagnosis diagnosis = {0};
    float blank;
    memset(&blank, 0x5a, sizeof blank);
    memset(group_advantages, 0x5a, sizeof group_advantages);
    CHECK_INT(
        entrol_advantage_group(context, group_advantages, &diagnosis, group_rewards, starts, GROUPS, scale, epsilon),
        expected);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "", argument);
    CHECK_INT(diagnosis.first_row, row);
    CHECK_INT(diagnosis.reason, reason);
    for (size_t i = 0; i < REWARDS; i++)
        CHECK(memcmp(&group_advantages[i], &blank, sizeof blank) == 0);
}

static void test_groups_refuse(void) {
    make_groups();
    check_groups_refuse(ENTROL_SCALE_GROUP, 0, ENTROL_ERROR_DATA, "", starts[5], ENTROL_REASON_DEVIATION);
    check_groups_refuse(ENTROL_SCALE_GROUP, -1, ENTROL_ERROR_ARGUMENT, "epsilon", 0, ENTROL_REASON_NONE);
    check_groups_refuse((entrol_advantage_scale)3, 1e-4, ENTROL_ERROR_ARGUMENT, "scale", 0, ENTROL_REASON_NONE);
    starts[3] = starts[2] + 1;
    check_groups_refuse(ENTROL_SCALE_GROUP, 1e-4, ENTROL_ERROR_DATA, "", starts[2], ENTROL_REASON_GROUP);
    make_groups();
    group_rewards[17] = -(float)INFINITY;
    check_groups_refuse(ENTROL_SCALE_NONE, 1e-4, ENTROL_ERROR_DATA, "", 17, ENTROL_REASON_INFINITE);
    group_rewards[17] = (float)NAN;
    check_groups_refuse(ENTROL_SCALE_BATCH, 1e-4, ENTROL_ERROR_DATA, "", 17, ENTROL_REASON_NAN);
    make_groups();
    starts[4] = starts[6] + 1;
    check_groups_refuse(ENTROL_SCALE_GROUP, 1e-4, ENTROL_ERROR_ARGUMENT, "group_starts", 0, ENTROL_REASON_NONE);
    make_groups();
    for (size_t i = 0; i < REWARDS; i++)
        group_rewards[i] = 0.1f;
    check_groups_refuse(ENTROL_SCALE_BATCH, 0, ENTROL_ERROR_DATA, "", 0, ENTROL_REASON_DEVIATION);
}

/* --- whitening --- */

static float batch[N], whitened[N];
static uint8_t mask[N];
static size_t n_of_rank[MOST_RANKS + 1];

static void whiten_part(entrol_context *own, size_t rank, void *user) {
    const size_t begin = n_of_rank[rank], n = n_of_rank[rank + 1] - begin;
    entrol_status *status = user;
    status[rank] = entrol_advantage_whiten(own, whitened + begin, NULL, batch + begin, mask + begin, n, 1e-8);
}

static void test_whitening(void) {
    static float alone[N], counting[N];
    size_t n = 0;
    for (size_t i = 0; i < N; i++) {
        mask[i] = test_below(4) != 0;
        batch[i] = mask[i] ? 100 + (float)test_normal() : (float)NAN;
        if (mask[i])
            counting[n++] = batch[i];
    }
    long double mean, deviation;
    moments(&mean, &deviation, counting, n);
    CHECK_INT(entrol_advantage_whiten(context, alone, NULL, batch, mask, N, 1e-8), ENTROL_OK);
    for (size_t i = 0; i < N; i++) {
        const long double exact = mask[i] ? (batch[i] - mean) / (deviation + 1e-8L) : 0;
        CHECK_NEAR(alone[i], exact, 2e-7 * (1 + fabsl(exact)));
    }
    for (size_t size = 2; size <= 5; size++) {
        team team = {.fails_at = 0};
        entrol_status status[MOST_RANKS];
        for (size_t i = 0; i <= size; i++)
            n_of_rank[i] = i == 1 ? 0 : i * N / size; /* the first has none */
        memset(whitened, 0x5a, sizeof whitened);
        team_run(&team, size, whiten_part, status);
        for (size_t i = 0; i < size; i++)
            CHECK_INT(status[i], ENTROL_OK);
        CHECK(memcmp(whitened, alone, sizeof alone) == 0);
    }
    memcpy(whitened, batch, sizeof batch); /* in place */
    CHECK_INT(entrol_advantage_whiten(context, whitened, NULL, whitened, mask, N, 1e-8), ENTROL_OK);
    CHECK(memcmp(whitened, alone, sizeof alone) == 0);
}

static void test_whitening_refuses(void) {
    entrol_diagnosis diagnosis;
    float x[3] = {1, 1, 1}, out[3] = {7, 7, 7};
    CHECK_INT(entrol_advantage_whiten(context, out, &diagnosis, x, NULL, 3, 1e-8), ENTROL_OK);
    CHECK(diagnosis.n_bad == 1 && diagnosis.reason == ENTROL_REASON_DEVIATION && out[0] == 0 && out[2] == 0);
    out[0] = 7;
    CHECK_INT(entrol_advantage_whiten(context, out, &diagnosis, x, NULL, 3, 0), ENTROL_ERROR_DATA);
    CHECK_INT(entrol_advantage_whiten(context, out, &diagnosis, x, NULL, 1, 1e-8), ENTROL_ERROR_DATA);
    CHECK_INT(diagnosis.reason, ENTROL_REASON_GROUP);
    CHECK_INT(entrol_advantage_whiten(context, out, &diagnosis, x, NULL, 0, 1e-8), ENTROL_ERROR_DATA);
    x[1] = (float)NAN;
    CHECK_INT(entrol_advantage_whiten(context, out, &diagnosis, x, NULL, 3, 1e-8), ENTROL_ERROR_DATA);
    CHECK(diagnosis.first_row == 1 && diagnosis.reason == ENTROL_REASON_NAN);
    CHECK_INT(entrol_advantage_whiten(context, out, &diagnosis, x, NULL, 3, -1), ENTROL_ERROR_ARGUMENT);
    CHECK(out[0] == 7 && out[1] == 0);
}

/* Of any size: 2^-100 is as good as 1. The expected ones are those of the same numbers at size 1, which are checked
 * above: a power of two changes no bit. */
static void test_any_size(void) {
    static const int exponents[] = {-140, -100, -50, -35, -20, 20, 40, 100, 120};
    static float one[REWARDS], scaled[REWARDS], expected[3][REWARDS];
    make_groups();
    for (size_t i = 0; i < REWARDS; i++)
        one[i] = roundf(64 * group_rewards[i]) / 64; /* which 2^-140 of is a float, too */
    CHECK_INT(entrol_advantage_group(context, expected[0], NULL, one, starts, GROUPS, ENTROL_SCALE_BATCH, 0),
              ENTROL_OK);
    CHECK_INT(entrol_advantage_whiten(context, expected[1], NULL, one, NULL, REWARDS, 0), ENTROL_OK);
    CHECK_INT(entrol_advantage_leave_one_out(context, expected[2], NULL, one, starts, GROUPS), ENTROL_OK);
    for (size_t k = 0; k < sizeof exponents / sizeof *exponents; k++) {
        for (size_t i = 0; i < REWARDS; i++)
            scaled[i] = ldexpf(one[i], exponents[k]);
        memcpy(group_advantages, scaled, sizeof scaled); /* in place */
        CHECK_INT(entrol_advantage_group(context, group_advantages, NULL, group_advantages, starts, GROUPS,
                                         ENTROL_SCALE_BATCH, 0),
                  ENTROL_OK);
        CHECK_SAY(memcmp(group_advantages, expected[0], sizeof one) == 0, "groups, 2^%d", exponents[k]);
        CHECK_INT(entrol_advantage_whiten(context, group_advantages, NULL, scaled, NULL, REWARDS, 0), ENTROL_OK);
        CHECK_SAY(memcmp(group_advantages, expected[1], sizeof one) == 0, "whitened, 2^%d", exponents[k]);
        CHECK_INT(entrol_advantage_leave_one_out(context, group_advantages, NULL, scaled, starts, GROUPS), ENTROL_OK);
        for (size_t i = 0; i < REWARDS; i++)
            CHECK_SAY(group_advantages[i] == ldexpf(expected[2][i], exponents[k]), "leave one out, 2^%d", exponents[k]);
    }
}

static void test_repeat(void) {
    const float of_sequences[3] = {1, 2, 3};
    const size_t sequence_starts[4] = {0, 2, 2, 3}, bad[3] = {0, 2, 1};
    float of_tokens[3] = {0, 0, 0};
    CHECK_INT(entrol_advantage_repeat(of_tokens, of_sequences, bad, 2), ENTROL_ERROR_ARGUMENT);
    CHECK(of_tokens[0] == 0);
    CHECK_INT(entrol_advantage_repeat(of_tokens, of_sequences, sequence_starts, 3), ENTROL_OK);
    CHECK(of_tokens[0] == 1 && of_tokens[1] == 1 && of_tokens[2] == 3);
}

/* --- KL --- */

static void test_kl(void) {
    enum { TOKENS = 700 };
    static float p[TOKENS], q[TOKENS], kl[TOKENS], derivative[TOKENS];
    for (size_t i = 0; i < TOKENS; i++) {
        mask[i] = test_below(5) != 0;
        p[i] = (float)(-5 * test_uniform());
        q[i] = p[i] + (i % 3 == 0 ? 20 : i % 3 == 1 ? 1e-3f : 1) * (float)test_normal();
        q[i] = mask[i] ? q[i] : (float)NAN;
    }
    for (int estimator = 0; estimator < 3; estimator++) {
        CHECK_INT(entrol_kl_estimate(context, kl, derivative, NULL, p, q, mask, TOKENS, (entrol_kl_estimator)estimator),
                  ENTROL_OK);
        for (size_t i = 0; i < TOKENS; i++) {
            const long double d = (long double)p[i] - q[i];
            const long double kinds[3] = {d, d * d / 2, expm1l(-d) + d}, slopes[3] = {1, d, -expm1l(-d)};
            CHECK_NEAR(kl[i], mask[i] ? kinds[estimator] : 0, mask[i] ? 1e-7 * fabsl(kinds[estimator]) : 0);
            CHECK_NEAR(derivative[i], mask[i] ? slopes[estimator] : 0, mask[i] ? 1e-7 * fabsl(slopes[estimator]) : 0);
        }
    }
    CHECK_STRING(entrol_kl_estimator_name(ENTROL_KL_K3), "k3");
    CHECK(entrol_kl_estimator_name((entrol_kl_estimator)3) == NULL);
}

static void test_kl_refuses(void) {
    entrol_diagnosis diagnosis;
    const float p[2] = {-1, -90}, q[2] = {-1, 0}, bad[2] = {(float)NAN, 0};
    float kl[2] = {7, 7};
    CHECK_INT(entrol_kl_estimate(context, kl, NULL, &diagnosis, p, q, NULL, 2, ENTROL_KL_K3), ENTROL_ERROR_DATA);
    CHECK(diagnosis.first_row == 1 && diagnosis.reason == ENTROL_REASON_RATIO);
    CHECK_INT(entrol_kl_estimate(context, kl, NULL, &diagnosis, p, bad, NULL, 2, ENTROL_KL_K1), ENTROL_ERROR_DATA);
    CHECK(diagnosis.first_row == 0 && diagnosis.reason == ENTROL_REASON_NAN);
    CHECK_INT(entrol_kl_estimate(context, kl, NULL, &diagnosis, p, q, NULL, 2, (entrol_kl_estimator)7),
              ENTROL_ERROR_ARGUMENT);
    CHECK(kl[0] == 7 && kl[1] == 7);
    CHECK_INT(entrol_kl_estimate(context, kl, NULL, NULL, p, q, NULL, 2, ENTROL_KL_K1), ENTROL_OK);
    CHECK_NEAR(kl[1], -90, 0);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    CHECK_INT(entrol_context_create(&context, NULL), ENTROL_OK);
    TEST(test_gae);
    TEST(test_gae_as_cleanrl);
    TEST(test_gae_refuses);
    TEST(test_groups);
    TEST(test_groups_refuse);
    TEST(test_whitening);
    TEST(test_whitening_refuses);
    TEST(test_any_size);
    TEST(test_repeat);
    TEST(test_kl);
    TEST(test_kl_refuses);
    entrol_context_destroy(context);
    return test_end();
}
