/* Target entropy: what makes it work, dH / d ln T = V; where the target cannot be reached; and in how few passes.
 * Random rows and targets are test_sample's. */
#include "harness_sample.h"
#include "oracle.h"
#include "oracle_sample.h"

static entrol_context *context;

enum { N = 2000, MANY = 20000, LONG = 40000 };

static unsigned char all[LONG];

static double entropy_at(const double *logits, size_t n, double temperature) {
    const oracle_candidates candidates = {logits, all, n, 1};
    return oracle_entropy_at(&candidates, temperature);
}

static double *logits_of_kind(int kind, size_t n) {
    double *logits = malloc(n * sizeof *logits);
    for (size_t i = 0; i < n; i++)
        logits[i] = (double)(float)kind_value(kind, i, n);
    return logits;
}

static entrol_matrix row_of(const double *logits, size_t n) {
    return (entrol_matrix){logits, ENTROL_F64, 1, n, (ptrdiff_t)n};
}

/* The varentropy that is measured is the slope of the oracle's entropy. */
static void test_varentropy_is_the_slope(void) {
    static const int kinds[] = {NORMAL, PEAKED, LAST, RISING, NEARLY_CERTAIN, TWO_LEVEL, UNIFORM};
    const double h = 1e-4;
    entrol_sampler *sampler = sampler_with(context, NULL, 0, NULL);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        double *logits = logits_of_kind(kinds[k], N);
        const entrol_matrix row = row_of(logits, N);
        const double slope = (entropy_at(logits, N, exp(h)) - entropy_at(logits, N, exp(-h))) / (2 * h);
        CHECK_NEAR(draw_one(context, sampler, NULL, &row).varentropy, slope, 1e-5 * (1 + slope));
        free(logits);
    }
    entrol_sampler_destroy(context, sampler);
}

/* The draw under a target within these bounds. */
static entrol_drawn draw_at(const double *logits, size_t n, double target, double low, double high) {
    char rule[RULE_ROOM];
    snprintf(rule, sizeof rule, "target-entropy=%.17g,min=%.17g,max=%.17g", target, low, high);
    entrol_sampler *sampler = sampler_of(context, rule);
    const entrol_matrix row = row_of(logits, n);
    const entrol_drawn drawn = draw_one(context, sampler, NULL, &row);
    entrol_sampler_destroy(context, sampler);
    return drawn;
}

typedef struct found {
    uint64_t most_passes;
    double worst; /* |H - target| where it can be reached */
} found;

/* Within 1e-3 of it, or as near as at the bound. */
static void check_target(found *found, const double *logits, size_t n, double target, double low, double high,
                         const char *what) {
    const double least = entropy_at(logits, n, low), most = entropy_at(logits, n, high);
    const double out_of_reach = fmax(fmax(least - target, target - most), 0);
    const entrol_drawn drawn = draw_at(logits, n, target, low, high);
    const double error = fabs(entropy_at(logits, n, drawn.temperature) - target);
    CHECK_SAY(error <= 1e-3 + out_of_reach, "%s, %zu columns, target %g: T %.9g, H off by %g", what, n, target,
              drawn.temperature, error);
    CHECK(target < log((double)n) || drawn.n_passes <= 1); /* the end is where it stops */
    CHECK_NEAR(drawn.sampled_entropy, entropy_at(logits, n, drawn.temperature), 2e-5);
    found->most_passes = drawn.n_passes > found->most_passes ? drawn.n_passes : found->most_passes;
    found->worst = fmax(found->worst, error - out_of_reach);
}

/* Kinds of rows, targets from 0 to beyond ln n. */
static void check_kinds(size_t n, double by) {
    found found = {0, 0};
    for (int kind = 0; kind < N_KINDS; kind++) {
        double *logits = logits_of_kind(kind, n);
        for (size_t k = 0; by * (double)k < 11; k++)
            check_target(&found, logits, n, by * (double)k, k % 2 ? 0.01 : 1e-3, k % 3 ? 50 : 1e3, kind_name(kind));
        free(logits);
    }
    printf("    %zu columns: H within %.2g of the target, in at most %llu passes over many\n", n, found.worst,
           (unsigned long long)found.most_passes);
}

static void test_every_kind_of_row(void) {
    check_kinds(N, 0.4);
    check_kinds(MANY, is_quick() ? 5.3 : 0.9);
}

/* --- Rows of which a sketch is made --- */

/* A few tokens, and all others far below them, near each other, or on levels; and what a model says: its logits fall
 * with the logarithm of the rank. */
enum { SPIKES, CLUSTERS, FLAT, CLOSE_LEVELS, PLATEAUS, OF_A_MODEL, N_SHAPES };

static void fill_shape(double *logits, size_t n, int shape) {
    const double spread = exp(5 * test_uniform() - 2.3), gap = 20 * test_uniform(), second = 30 * test_uniform();
    const size_t few = 1 + test_below(50);
    for (size_t i = 0; i < n; i++) {
        const double noise = test_normal();
        const bool is_few = test_below(n) < few, is_many = test_below(8) == 0;
        const double shapes[N_SHAPES] = {[SPIKES] = is_few ? gap + noise : spread * noise,
                                         [CLUSTERS] = is_many ? noise : 0.1 * spread * noise - gap,
                                         [FLAT] = i < 40 * few ? 0.3 * noise : -gap - 1,
                                         [CLOSE_LEVELS] =
                                             i < 40 * few ? 0.3 * noise : -gap - 1 - 1e-3 * (double)is_many,
                                         [PLATEAUS] = is_few    ? 0
                                                      : is_many ? -gap
                                                                : -gap - second,
                                         [OF_A_MODEL] = 0.5 * noise - 1.5 * log(1 + (double)test_below(n))};
        logits[i] = (double)(float)shapes[shape];
    }
}

/* Behind a temperature of any size, with wide bounds. */
static void test_rows_that_mislead(void) {
    double *logits = malloc(LONG * sizeof *logits);
    for (size_t k = 0; k < (is_quick() ? 2 : 20) * N_SHAPES; k++) {
        char rules[2][RULE_ROOM];
        const double target = test_uniform() * log(LONG);
        fill_shape(logits, LONG, (int)(k % N_SHAPES));
        snprintf(rules[0], RULE_ROOM, "temperature=%.9g", k % 3 ? 1 : exp(14 * test_uniform() - 7));
        snprintf(rules[1], RULE_ROOM, "target-entropy=%.9g,min=0.001,max=1000", target);
        entrol_sampler *sampler = sampler_with(context, (const char *[]){rules[0], rules[1]}, 2, NULL);
        const entrol_matrix row = row_of(logits, LONG);
        const entrol_drawn drawn = draw_one(context, sampler, NULL, &row);
        const double error = fabs(entropy_at(logits, LONG, drawn.temperature) - target);
        CHECK_SAY(error <= 1e-3 + fmax(entropy_at(logits, LONG, 1e-3) - target, 0),
                  "shape %d, %s, %s: T %.9g, H off by %g, %llu passes", (int)(k % N_SHAPES), rules[0], rules[1],
                  drawn.temperature, error, (unsigned long long)drawn.n_passes);
        entrol_sampler_destroy(context, sampler);
    }
    free(logits);
}

/* What a sketch foresees of a model's row is right. */
static void test_few_passes_of_a_models_rows(void) {
    enum { ROWS = 60 };
    double *logits = malloc(LONG * sizeof *logits);
    uint64_t n_passes = 0;
    for (size_t k = 0; k < ROWS; k++) {
        fill_shape(logits, LONG, OF_A_MODEL);
        n_passes += draw_at(logits, LONG, 0.5 + 0.1 * (double)k, 0.1, 2).n_passes;
    }
    printf("    %g passes over a row, on average\n", (double)n_passes / ROWS);
    CHECK((double)n_passes <= 1.3 * ROWS);
    free(logits);
}

/* Rows whose entropy no temperature, or every one, makes what is asked for. */
static void test_rows_that_do_not_move(void) {
    double certain[4] = {-INFINITY, 2, -INFINITY, -INFINITY}, flat[100] = {0}, tops[100];
    for (size_t i = 0; i < 100; i++)
        tops[i] = i == 7 || i == 80 ? 10 : -5 + 0.01 * (double)i;
    CHECK_NEAR(draw_at(certain, 4, 1, 0.1, 2).temperature, 2, 1e-6);
    CHECK_INT(draw_at(certain, 4, 1, 0.1, 2).token, 1);
    CHECK_INT(draw_at(certain, 4, 0, 0.1, 2).token, 1);
    CHECK_NEAR(draw_at(flat, 100, 2, 0.1, 3).temperature, 0.1, 1e-6);
    CHECK_NEAR(draw_at(flat, 100, 5, 0.1, 3).temperature, 3, 1e-6);
    CHECK_NEAR(draw_at(flat, 1, 5, 0.1, 3).sampled_entropy, 0, 0);
    const entrol_drawn same = draw_at(flat, 100, log(100), 0.1, 3); /* any will do */
    CHECK(same.temperature >= 0.1 && same.temperature <= 3 * (1 + 1e-6));
    const entrol_drawn low = draw_at(tops, 100, 0.3, 0.1, 3);
    CHECK_NEAR(low.temperature, 0.1, 1e-6);
    CHECK_NEAR(low.sampled_entropy, log(2), 1e-5);
    CHECK_NEAR(draw_at(tops, 100, 0.9, 0.1, 5).sampled_entropy, 0.9, 1e-3);
    CHECK_NEAR(draw_at(tops, 100, 0, 1e-3, 1e3).temperature, 1e-3, 1e-9);
    CHECK_NEAR(draw_at(tops, 100, 10, 1e-3, 1e3).temperature, 1e3, 1e-3);
}

/* Only what the rules before have left counts; a temperature before it changes nothing but where it starts. */
static void test_in_a_chain(void) {
    double *logits = logits_of_kind(NORMAL, N);
    const entrol_matrix row = row_of(logits, N);
    const char *const rules[] = {"temperature=0.25", "top-k=10", "target-entropy=2,max=50"};
    entrol_sampler *sampler = sampler_with(context, rules, 3, NULL);
    const entrol_drawn drawn = draw_one(context, sampler, NULL, &row);
    CHECK_NEAR(drawn.sampled_entropy, 2, 1e-3);
    CHECK_INT(drawn.n_candidates, 10);
    entrol_sampler_destroy(context, sampler);
    free(logits);
}

/* Rules that need nothing but the first look take no pass; a temperature before one that needs more takes one. p-less
 * looks at half the temperature, too. */
static void test_passes(void) {
    static const struct {
        const char *rules[2];
        uint64_t n;
    } chains[] = {{{"greedy", "typical"}, 0},          {{"temperature=2", "top-k=40"}, 0},
                  {{"min-p=0.1", "temperature=2"}, 0}, {{"typical=0.5", "greedy"}, 0},
                  {{"temperature=2", "typical"}, 1},   {{"temperature=2", "top-p=0.9"}, 1},
                  {{"p-less", "greedy"}, 1},           {{"dynamic-temperature=1,range=0.5", "p-less"}, 2}};
    double *logits = logits_of_kind(NORMAL, MANY);
    const entrol_matrix row = row_of(logits, MANY);
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        entrol_sampler *sampler = sampler_with(context, chains[i].rules, 2, NULL);
        CHECK_INT(draw_one(context, sampler, NULL, &row).n_passes, chains[i].n);
        entrol_sampler_destroy(context, sampler);
    }
    free(logits);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    memset(all, 1, sizeof all);
    context = context_at(ENTROL_CPU_BEST, 1);
    TEST(test_varentropy_is_the_slope);
    TEST(test_every_kind_of_row);
    TEST(test_rows_that_mislead);
    TEST(test_few_passes_of_a_models_rows);
    TEST(test_rows_that_do_not_move);
    TEST(test_in_a_chain);
    TEST(test_passes);
    entrol_context_destroy(context);
    return test_end();
}
