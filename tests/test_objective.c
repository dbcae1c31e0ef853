/* Every objective of the registry against the oracle: its loss, its parts and its derivatives, under settings drawn at
 * random; the oracle itself against differences of its own losses. */
#include "harness.h"
#include "oracle_objective.h"

#include <entrol/entrol.h>

#include <float.h>

enum { MOST_TOKENS = 700, N_ARRAYS = 11 };

/* A batch of tokens, as the library takes it and as the oracle does. */
typedef struct batch {
    float data[N_ARRAYS][MOST_TOKENS];
    long double exact[N_ARRAYS][MOST_TOKENS];
    uint8_t mask[MOST_TOKENS], dropped[MOST_TOKENS];
    size_t starts[40];
    entrol_tokens tokens;
    oracle_tokens oracle;
} batch;

typedef struct outputs {
    float logprob[MOST_TOKENS], entropy[MOST_TOKENS], support_entropy[MOST_TOKENS], value[MOST_TOKENS],
        loss[MOST_TOKENS];
    uint8_t kept[MOST_TOKENS];
    entrol_objective_record record;
    entrol_objective_result result;
} outputs;

static entrol_context *context;

static void outputs_begin(outputs *out) {
    memset(out, 0x5a, sizeof *out);
    out->record = (entrol_objective_record){sizeof out->record, out->logprob, out->entropy, out->support_entropy,
                                            out->value,         out->loss,    out->kept};
    out->result.size = sizeof out->result;
}

static void point(batch *b, size_t n, size_t n_sequences, int has_mask) {
    const uint8_t *mask = has_mask ? b->mask : NULL;
    float(*d)[MOST_TOKENS] = b->data;
    b->tokens = (entrol_tokens){
        sizeof b->tokens, n,           d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], mask,
        b->starts,        n_sequences, 7};
    long double(*e)[MOST_TOKENS] = b->exact;
    b->oracle = (oracle_tokens){n,    e[0], e[1], e[2],  e[3], e[4],       e[5],      e[6],
                                e[7], e[8], e[9], e[10], mask, b->dropped, b->starts, n_sequences};
}

static float draw(int array, float logprob, float spread) {
    switch (array) {
    case 0:
        return (float)(-5 * test_uniform());
    case 1:
        return logprob - fminf(37, spread * (float)test_normal()); /* old; terms stay below 2^62 */
    case 2:
        return logprob - 0.5f * (float)test_normal(); /* reference */
    case 3:
        return test_below(12) == 0 ? 0 : (float)test_normal();
    case 4:
    case 5:
        return (float)(2 * test_uniform());
    case 6:
        return (float)(1.5 * test_uniform()); /* support entropy */
    case 10:
        return 0.5f + (float)test_uniform(); /* weight */
    default:
        return (float)(3 * test_normal());
    }
}

/* Sequences of any length, none too; what is masked holds anything. */
static void fill(batch *b, size_t n, float spread, int has_mask) {
    size_t n_sequences = 0;
    b->starts[0] = 0;
    while (b->starts[n_sequences] < n) {
        const size_t left = n - b->starts[n_sequences], most = n_sequences == 37 ? left : test_below(90);
        b->starts[n_sequences + 1] = b->starts[n_sequences] + (most < left ? most : left);
        n_sequences++;
    }
    for (size_t i = 0; i < n; i++) {
        b->mask[i] = i == n / 2 || test_below(5) != 0;
        b->dropped[i] = 0;
        for (int k = 0; k < N_ARRAYS; k++) {
            b->data[k][i] = draw(k, b->data[0][i], spread);
            b->exact[k][i] = b->data[k][i];
            if (has_mask && !b->mask[i])
                b->data[k][i] = test_below(2) ? (float)NAN : (float)INFINITY;
        }
        if (test_below(3) == 0) /* ties of entropies */
            for (int k = 4; k < 7; k++) {
                b->exact[k][i] = roundl(4 * b->exact[k][i]) / 4;
                b->data[k][i] = has_mask && !b->mask[i] ? b->data[k][i] : (float)b->exact[k][i];
            }
    }
    point(b, n, n_sequences, has_mask);
}

static void take_defaults(oracle_parameters *parameters, const entrol_objective *objective) {
    parameters->n = objective->n_parameters;
    for (size_t i = 0; i < objective->n_parameters; i++) {
        parameters->names[i] = objective->parameters[i].name;
        parameters->values[i] = objective->parameters[i].initial;
    }
}

/* Settings for the library, and the same for the oracle. */
typedef struct chosen {
    oracle_parameters parameters;
    entrol_setting settings[48];
    entrol_objective_options options;
} chosen;

static void choose(chosen *c, const char *name, double value) {
    for (size_t i = 0; i < c->parameters.n; i++)
        if (strcmp(c->parameters.names[i], name) == 0) {
            c->parameters.values[i] = value;
            c->settings[c->options.n_settings++] = (entrol_setting){name, value, NULL};
        }
}

static void choose_needed(chosen *c, const entrol_objective *objective) {
    take_defaults(&c->parameters, objective);
    c->options = (entrol_objective_options){sizeof c->options, c->settings, 0, 0};
    choose(c, "length", 77);
    choose(c, "entropy_target", 0.7);
}

static double one_of(double a, double b, double c) {
    const double values[3] = {a, b, c};
    return values[test_below(3)];
}

static void choose_at_random(chosen *c, const entrol_objective *objective) {
    choose_needed(c, objective);
    choose(c, "aggregation", (double)test_below(4));
    choose(c, "over", (double)test_below(2));
    choose(c, "kl_coefficient", one_of(0, 0, 0.3));
    choose(c, "kl_estimator", (double)test_below(3));
    choose(c, "entropy_coefficient", one_of(0, 0.02, -0.1));
    choose(c, "value_coefficient", one_of(0, 0.5, 1));
    choose(c, "value_clip", one_of(INFINITY, 0.2, 1));
    choose(c, "dual_clip", one_of(INFINITY, 3, 1.1));
    choose(c, "positive_weight", one_of(1, 0.1, 2));
    choose(c, "negative_weight", one_of(1, 1, 0.5));
    choose(c, "top_share", one_of(1, 1, 0.3));
    choose(c, "top_by", one_of(0, 0, 3));
    choose(c, "entropy_ratio_low", one_of(0, 0, 0.6));
    choose(c, "entropy_ratio_high", one_of(INFINITY, INFINITY, 1.5));
    choose(c, "entropy_alpha", one_of(0, 0, 0.4));
    choose(c, "entropy_share", one_of(0.2, 0.5, 1));
    choose(c, "covariance_share", one_of(2e-4, 0.01, 0.2));
    choose(c, "ratio_high", one_of(5, 1.2, 0.9));
    choose(c, "ratio_low", one_of(0, 0.8, 0.5));
}

static double worst_slope; /* of the greatest of its array */

static void check_slopes(const char *name, const char *which, const float *actual, const long double *expected,
                         const batch *b) {
    long double greatest = 0;
    for (size_t i = 0; i < b->tokens.n_tokens; i++)
        greatest = fmaxl(greatest, fabsl(expected[i]));
    for (size_t i = 0; i < b->tokens.n_tokens; i++) {
        const double error = (double)(fabsl((long double)actual[i] - expected[i]) / (greatest > 0 ? greatest : 1));
        worst_slope = fmax(worst_slope, error);
        if (!CHECK_SAY(error <= 1e-6, "%s: dL/d%s of token %zu is %.9g, not %.9Lg (greatest %Lg)", name, which, i,
                       (double)actual[i], expected[i], greatest))
            return;
    }
}

/* What kernels/objective_kernels.h says of e^x - 1 - x is said of what is made of it. */
static void check_part(const char *name, const char *part, double actual, long double expected, long double size) {
    CHECK_SAY(fabsl((long double)actual - expected) <= 1e-8L * (size + 1e-12L), "%s: %s is %.15g, not %.15Lg", name,
              part, actual, expected);
}

/* Clip-Cov's draw is looked at by itself (test_draw): the oracle is told which tokens it was. */
static void tell_dropped(batch *b, const outputs *out, const chosen *c, const char *name) {
    memset(b->dropped, 0, sizeof b->dropped);
    if (strcmp(name, "clip_cov") != 0)
        return;
    for (size_t i = 0; i < b->tokens.n_tokens; i++)
        b->dropped[i] = out->loss[i] == 0 && out->kept[i] == 0;
    (void)c;
}

static void check_against_oracle(batch *b, const entrol_objective *objective, chosen *c) {
    static outputs out;
    static long double slopes[4][MOST_TOKENS];
    const oracle_slopes s = {slopes[0], slopes[1], slopes[2], slopes[3]};
    entrol_diagnosis diagnosis;
    outputs_begin(&out);
    const entrol_status status =
        entrol_objective_compute(context, &out.record, &out.result, &diagnosis, objective, &b->tokens, &c->options);
    if (!CHECK_SAY(status == ENTROL_OK, "%s: %s, %s, row %zu", objective->name, entrol_status_string(status),
                   diagnosis.argument ? diagnosis.argument : entrol_reason_string(diagnosis.reason),
                   diagnosis.first_row))
        return;
    /* The penalty is no part of what is drawn by: it is 0 here where Clip-Cov's tokens are told from the record. */
    tell_dropped(b, &out, c, objective->name);
    const oracle_loss loss = oracle_objective(&s, objective->name, &c->parameters, &b->oracle, &b->oracle);
    check_part(objective->name, "policy_loss", out.result.policy_loss, loss.policy, loss.size);
    check_part(objective->name, "kl_loss", out.result.kl_loss, loss.kl, loss.size);
    check_part(objective->name, "entropy_loss", out.result.entropy_loss, loss.entropy, loss.size);
    check_part(objective->name, "value_loss", out.result.value_loss, loss.value, loss.size);
    check_part(objective->name, "loss", out.result.loss, loss.loss, loss.size);
    check_slopes(objective->name, "ln p", out.logprob, slopes[0], b);
    check_slopes(objective->name, "H", out.entropy, slopes[1], b);
    check_slopes(objective->name, "H_S", out.support_entropy, slopes[2], b);
    check_slopes(objective->name, "v", out.value, slopes[3], b);
}

static void test_published_settings(void) {
    static batch b;
    chosen c;
    for (size_t k = 0; k < entrol_objective_count(); k++)
        for (int round = 0; round < 4; round++) {
            fill(&b, 1 + test_below(MOST_TOKENS), 0.3f, round & 1);
            choose_needed(&c, entrol_objective_at(k));
            check_against_oracle(&b, entrol_objective_at(k), &c);
        }
}

static void test_any_settings(void) {
    static batch b;
    chosen c;
    static const float spreads[4] = {0.05f, 0.3f, 2, 12};
    for (size_t k = 0; k < entrol_objective_count(); k++)
        for (int round = 0; round < (is_quick() ? 10 : 60); round++) {
            fill(&b, 1 + test_below(MOST_TOKENS), spreads[round % 4], round & 1);
            choose_at_random(&c, entrol_objective_at(k));
            if (strcmp(entrol_objective_at(k)->name, "clip_cov") == 0)
                choose(&c, "kl_coefficient", 0);
            check_against_oracle(&b, entrol_objective_at(k), &c);
        }
    printf("    derivatives within %.2g of the greatest\n", worst_slope);
}

/* --- the oracle itself --- */

static void move(oracle_tokens *to, const oracle_tokens *from, long double data[4][MOST_TOKENS],
                 long double by[4][MOST_TOKENS], long double step) {
    long double *const arrays[4] = {from->logprob, from->entropy, from->support_entropy, from->value};
    for (int k = 0; k < 4; k++)
        for (size_t i = 0; i < from->n; i++)
            data[k][i] = arrays[k][i] + step * by[k][i];
    *to = *from;
    to->logprob = data[0];
    to->entropy = data[1];
    to->support_entropy = data[2];
    to->value = data[3];
}

static void check_differences(const batch *b, const char *name, const oracle_parameters *parameters) {
    static long double slopes[4][MOST_TOKENS], by[4][MOST_TOKENS], data[4][MOST_TOKENS];
    const oracle_slopes s = {slopes[0], slopes[1], slopes[2], slopes[3]}, none = {NULL, NULL, NULL, NULL};
    oracle_objective(&s, name, parameters, &b->oracle, &b->oracle);
    long double expected = 0, size = 0;
    for (int k = 0; k < 4; k++)
        for (size_t i = 0; i < b->oracle.n; i++) {
            by[k][i] = test_normal();
            expected += by[k][i] * slopes[k][i];
            size += fabsl(by[k][i] * slopes[k][i]);
        }
    /* A gate on the gradient alone (ERC) is not seen in a difference of losses. */
    const long double step = 1e-7L;
    oracle_tokens moved;
    move(&moved, &b->oracle, data, by, step);
    const long double above = oracle_objective(&none, name, parameters, &moved, &b->oracle).loss;
    move(&moved, &b->oracle, data, by, -step);
    const long double below = oracle_objective(&none, name, parameters, &moved, &b->oracle).loss;
    const long double actual = (above - below) / (2 * step);
    CHECK_SAY(fabsl(actual - expected) <= 1e-8L * size + 1e-11L, "%s: %.12Lg along a direction, not %.12Lg", name,
              actual, expected);
}

static void test_oracle_by_differences(void) {
    static batch b;
    chosen c;
    for (size_t k = 0; k < entrol_objective_count(); k++)
        for (int round = 0; round < 20; round++) {
            fill(&b, 60, round % 2 ? 0.3f : 2, 0);
            choose_at_random(&c, entrol_objective_at(k));
            choose(&c, "entropy_ratio_low", 0);
            choose(&c, "entropy_ratio_high", INFINITY);
            check_differences(&b, entrol_objective_at(k)->name, &c.parameters);
        }
}

/* --- the registry --- */

static void test_registry(void) {
    CHECK_INT(entrol_objective_count(), 18);
    CHECK(entrol_objective_at(entrol_objective_count()) == NULL);
    CHECK(entrol_objective_find("none") == NULL);
    CHECK(entrol_objective_find(NULL) == NULL);
    for (size_t i = 0; i < entrol_objective_count(); i++) {
        const entrol_objective *objective = entrol_objective_at(i);
        chosen c;
        unsigned needs = 0;
        CHECK(entrol_objective_find(objective->name) == objective);
        CHECK(objective->says && objective->source && objective->n_parameters > 0);
        choose_needed(&c, objective);
        CHECK_INT(entrol_objective_needs(&needs, NULL, objective, c.settings, c.options.n_settings), ENTROL_OK);
        CHECK_SAY(needs == objective->needs, "%s needs %u, and says %u", objective->name, needs, objective->needs);
        for (size_t k = 0; k < objective->n_parameters; k++) {
            const entrol_parameter *p = &objective->parameters[k];
            CHECK(p->name && p->says && *p->says);
            CHECK_SAY(p->type != ENTROL_PARAMETER_REAL || isnan(p->initial) ||
                          (p->initial >= p->low && p->initial <= p->high),
                      "%s: %s begins outside its bounds", objective->name, p->name);
        }
    }
}

/* Numbers of the papers, by objective and parameter: shared/reference of the project's design. */
static void test_published_numbers(void) {
    static const struct {
        const char *objective, *parameter;
        double value;
    } published[] = {
        {"ppo", "clip_low", 0.2},
        {"ppo", "clip_high", 0.2},
        {"ppo", "entropy_coefficient", 0.01},
        {"grpo", "aggregation", 1},
        {"grpo", "kl_estimator", 2},
        {"dr_grpo", "aggregation", 3},
        {"dapo", "clip_low", 0.2},
        {"dapo", "clip_high", 0.28},
        {"dapo", "aggregation", 0},
        {"gspo", "clip_low", 3e-4},
        {"gspo", "clip_high", 4e-4},
        {"gmpo", "clip_low", 0.4},
        {"gmpo", "clip_high", 0.4},
        {"cispo", "ratio_low", 0},
        {"cispo", "ratio_high", 5},
        {"sapo", "tau_positive", 1},
        {"sapo", "tau_negative", 1.05},
        {"clip_cov", "covariance_low", 1},
        {"clip_cov", "covariance_high", 5},
        {"clip_cov", "covariance_share", 2e-4},
        {"clip_cov", "clip_low", 1},
        {"clip_cov", "clip_high", 1},
        {"kl_cov", "covariance_share", 2e-3},
        {"kl_cov", "covariance_penalty", 1},
        {"high_entropy", "top_share", 0.2},
        {"entropy_advantage", "entropy_alpha", 0.4},
        {"entropy_advantage", "entropy_kappa", 2},
        {"siren", "entropy_coefficient", 5e-3},
        {"siren", "entropy_share", 0.2},
        {"aent", "entropy_coefficient", 2e-4},
        {"erc", "entropy_ratio_low", 0.8},
        {"erc", "entropy_ratio_high", 1.2},
        {"w_reinforce", "positive_weight", 0.1},
    };
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        oracle_parameters parameters;
        take_defaults(&parameters, entrol_objective_find(published[i].objective));
        CHECK_SAY(oracle_parameter(&parameters, published[i].parameter) == published[i].value, "%s: %s",
                  published[i].objective, published[i].parameter);
    }
    CHECK_INT(entrol_objective_find("siren")->support_kind, ENTROL_SUPPORT_BEFORE_P);
    CHECK_NEAR(entrol_objective_find("siren")->support_parameter, 0.8, 0);
    CHECK_INT(entrol_objective_find("aent")->support_kind, ENTROL_SUPPORT_DROP);
    CHECK_NEAR(entrol_objective_find("aent")->support_parameter, 0.3, 0);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    CHECK_INT(entrol_context_create(&context, NULL), ENTROL_OK);
    TEST(test_registry);
    TEST(test_published_numbers);
    TEST(test_oracle_by_differences);
    TEST(test_published_settings);
    TEST(test_any_settings);
    entrol_context_destroy(context);
    return test_end();
}
