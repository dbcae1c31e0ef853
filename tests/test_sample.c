/* Samplers: every rule of the registry, alone and in chains, against the oracle. A chain is judged step by step: the
 * candidates and the temperature after each of its rules from those after the ones before it, and what is drawn from
 * them by their formulas. */
#include "harness_sample.h"
#include "oracle.h"
#include "oracle_sample.h"

static entrol_context *context;

static double worst_logprob, worst_entropy, worst_varentropy;
static size_t n_steps, n_doubtful_steps, n_columns_seen, n_doubtful_columns;

/* A row, and what the rules so far have left of it. */
typedef struct progress {
    const entrol_matrix *matrix;
    double *logits, *logprobs;
    unsigned char *is_left, *verdicts;
    size_t n;
    double temperature;
} progress;

static void begin(progress *progress, const sheet *row) {
    const size_t n = row->n_columns;
    *progress = (struct progress){.matrix = &row->matrix, .logits = logits_to_sample(row), .n = n, .temperature = 1};
    progress->logprobs = malloc(n * sizeof(double));
    progress->is_left = malloc(n);
    progress->verdicts = malloc(n);
    for (size_t i = 0; i < n; i++)
        progress->is_left[i] = progress->logits[i] > -INFINITY;
}

static void end(progress *progress) {
    free(progress->logits);
    free(progress->logprobs);
    free(progress->is_left);
    free(progress->verdicts);
}

/* The columns that are left against the oracle's verdicts. */
static bool check_left(progress *progress, const char *what) {
    size_t n_doubtful = 0;
    bool ok = true;
    for (size_t i = 0; i < progress->n && ok; i++) {
        const bool is_left = progress->logprobs[i] > -INFINITY;
        n_doubtful += progress->verdicts[i] == ORACLE_EITHER;
        if (progress->verdicts[i] != ORACLE_EITHER)
            ok = CHECK_SAY(is_left == (progress->verdicts[i] == ORACLE_KEPT), "%s: column %zu (%g) of %zu is %s", what,
                           i, progress->logits[i], progress->n, is_left ? "left" : "left out");
    }
    n_steps++;
    n_doubtful_steps += n_doubtful > 0;
    n_columns_seen += progress->n;
    n_doubtful_columns += n_doubtful;
    return ok;
}

static bool is_within(double tolerance, double actual, long double expected, double *worst) {
    const double error = fabs((double)((long double)actual - expected)) / (1 + fabs((double)expected));
    *worst = fmax(*worst, error);
    return error <= tolerance;
}

static bool near(double actual, long double expected, double *worst) {
    return is_within(1e-5, actual, expected, worst);
}

/* What was drawn against q = softmax(z / T) over what is left. */
static bool check_drawn(const progress *progress, const entrol_drawn *drawn, const char *what) {
    oracle_row p, q;
    size_t n_left = 0;
    for (size_t i = 0; i < progress->n; i++)
        n_left += progress->is_left[i];
    const double temperature = n_left > 1 ? progress->temperature : 1; /* that of a greedy rule does not matter */
    if (!CHECK_SAY(drawn->token >= 0 && (size_t)drawn->token < progress->n && progress->is_left[drawn->token],
                   "%s: token %d", what, drawn->token))
        return false;
    oracle_measure(&p, progress->logits, NULL, progress->n, drawn->token, 1, 1);
    oracle_measure(&q, progress->logits, progress->is_left, progress->n, drawn->token, temperature, 1);
    bool ok = CHECK_SAY(drawn->n_candidates == n_left && drawn->is_chosen == 0, "%s: %llu candidates and not %zu", what,
                        (unsigned long long)drawn->n_candidates, n_left);
    ok &= CHECK_SAY(near(drawn->logprob, p.logprob, &worst_logprob), "%s: ln p %.9g and not %.9Lg", what,
                    drawn->logprob, p.logprob);
    ok &= CHECK_SAY(near(drawn->entropy, p.entropy, &worst_entropy), "%s: H %.9g and not %.9Lg", what, drawn->entropy,
                    p.entropy);
    ok &= CHECK_SAY(is_within(5e-5, drawn->varentropy, p.varentropy, &worst_varentropy), "%s: V %.9g and not %.9Lg",
                    what, drawn->varentropy, p.varentropy);
    ok &= CHECK_SAY(near(drawn->sampled_logprob, q.logprob, &worst_logprob), "%s: ln q %.9g and not %.9Lg", what,
                    drawn->sampled_logprob, q.logprob);
    ok &= CHECK_SAY(near(drawn->sampled_entropy, q.entropy, &worst_entropy), "%s: H(q) %.9g and not %.9Lg", what,
                    drawn->sampled_entropy, q.entropy);
    const long double base = q.logprob - (long double)progress->logits[drawn->token] / temperature;
    for (size_t i = 0; i < progress->n && ok; i++)
        if (progress->is_left[i])
            ok = CHECK_SAY(
                near(progress->logprobs[i], base + (long double)progress->logits[i] / temperature, &worst_logprob),
                "%s: ln q of column %zu is %.9g", what, i, progress->logprobs[i]);
    return ok;
}

/* Goes on by one rule, the last of these. */
static bool check_step(progress *progress, const char *const *rules, size_t n_rules, const made_rule *last) {
    char what[RULE_ROOM + 64];
    snprintf(what, sizeof what, "rule %zu, %s, after T %g", n_rules, last->text, progress->temperature);
    oracle_step step = {.verdicts = progress->verdicts};
    const oracle_candidates before = {progress->logits, progress->is_left, progress->n, progress->temperature};
    if (!CHECK_SAY(oracle_sample_step(&step, &before, last->rule, last->values), "no oracle for %s", last->rule->name))
        return false;
    const entrol_sampler_options options = {sizeof options, test_random(), test_below(100), NULL};
    entrol_sampler *sampler = sampler_with(context, rules, n_rules, &options);
    if (!sampler)
        return false;
    const entrol_drawn drawn = draw_one(context, sampler, progress->logprobs, progress->matrix);
    bool ok = check_left(progress, what);
    for (size_t i = 0; i < progress->n; i++)
        progress->is_left[i] = progress->logprobs[i] > -INFINITY;
    ok &= CHECK_SAY(drawn.temperature >= step.low && drawn.temperature <= step.high, "%s: T is %.9g and not %.9g..%.9g",
                    what, drawn.temperature, step.low, step.high);
    progress->temperature = drawn.temperature;
    ok = ok && check_drawn(progress, &drawn, what);
    entrol_sampler_destroy(context, sampler);
    return ok;
}

static const entrol_sampling_rule *any_rule(void) {
    return entrol_sampling_rule_at(test_below(entrol_sampling_rule_count()));
}

static void check_chain(const sheet *row, const entrol_sampling_rule *first) {
    const size_t n_rules = 1 + test_below(MOST_RULES);
    made_rule made[MOST_RULES];
    const char *texts[MOST_RULES];
    progress progress;
    begin(&progress, row);
    bool ok = true;
    size_t n_made = 0;
    for (; n_made < n_rules && ok; n_made++) {
        make_rule_at_random(&made[n_made], n_made == 0 ? first : any_rule());
        texts[n_made] = made[n_made].text;
        ok = check_step(&progress, texts, n_made + 1, &made[n_made]);
    }
    for (size_t i = 0; i < n_made && !ok; i++)
        printf("    (%s)\n", made[i].text);
    end(&progress);
}

static void check_chains(size_t n_chains, size_t most_columns, double doubtful, double doubtful_columns) {
    static const entrol_dtype dtypes[] = {ENTROL_F32, ENTROL_F32, ENTROL_F16, ENTROL_BF16, ENTROL_F64};
    n_steps = n_doubtful_steps = n_columns_seen = n_doubtful_columns = 0;
    for (size_t i = 0; i < n_chains; i++) {
        const size_t least = test_below(4) ? most_columns : 8;
        sheet row = sheet_to_sample(1 + test_below(least), dtypes[test_below(5)]);
        check_chain(&row, entrol_sampling_rule_at(i % entrol_sampling_rule_count()));
        sheet_free(&row);
    }
    printf("    %zu steps of up to %zu columns: ln p within %.1g, H within %.1g, V within %.1g, all of 1 + |x|;\n"
           "    rounding decides in %zu, of %.2g of the columns\n",
           n_steps, most_columns, worst_logprob, worst_entropy, worst_varentropy, n_doubtful_steps,
           (double)n_doubtful_columns / (double)n_columns_seen);
    CHECK((double)n_doubtful_steps <= doubtful * (double)n_steps);
    CHECK((double)n_doubtful_columns <= doubtful_columns * (double)n_columns_seen);
}

static void test_short_rows(void) {
    check_chains(is_quick() ? 300 : 3000, 100, 0.05, 0.03);
}

static void test_rows(void) {
    check_chains(is_quick() ? 60 : 600, 4000, 0.05, 0.02);
}

/* Beyond where rows are one piece of work; the mass of a column is near the border's error, so more are doubtful. */
static void test_long_rows(void) {
    check_chains(is_quick() ? 4 : 30, 70000, 0.15, 0.05);
}

/* How many of these a chain leaves. */
static void check_n_left(const float *logits, size_t n, const char *first, const char *second, size_t n_left) {
    const entrol_matrix row = {logits, ENTROL_F32, 1, n, (ptrdiff_t)n};
    const char *const rules[] = {first, second};
    entrol_sampler *sampler = sampler_with(context, rules, second ? 2 : 1, NULL);
    CHECK_INT(draw_one(context, sampler, NULL, &row).n_candidates, n_left);
    entrol_sampler_destroy(context, sampler);
}

/* What random rows came upon, and borders that are exact. */
static void test_borders(void) {
    static const float even[40] = {1, 2}, flat[1000] = {0},
                       close[] = {-0.0461425781f, -0.0341796875f, 0.00183105469f, 0.052734375f};
    float near_0[] = {10, 0, -5};
    for (int i = 0; i < 100; i++) {
        near_0[1] = (float)(test_normal() * 1e-12);
        check_n_left(near_0, 3, "top-k=2", NULL, 2);
    }
    check_n_left(close, 4, "temperature=0.044471510533010863", "typical=0.95", 4); /* three have 0.931 */
    check_n_left(even, 40, "typical=0.2", "greedy", 1);                            /* without the most probable */
    check_n_left(even, 40, "top-p=0", NULL, 1);
    check_n_left(even, 40, "typical=0", NULL, 1);
    check_n_left(even, 40, "top-p=1", "typical=1", 40);
    check_n_left(even, 40, "min-p=0", "min-p=1", 1);
    check_n_left(even, 40, "top-n-sigma=0", NULL, 1);
    check_n_left(flat, 1000, "min-p=1", "top-n-sigma=0", 1000);
    check_n_left(flat, 1000, "p-less", "p-less", 1000); /* p is sum p^2 */
    check_n_left(flat, 1000, "epsilon=1", "eta=1", 1000);
    check_n_left(flat, 1000, "top-h=1", "top-p=0.5", 500);
    check_n_left(flat, 1000, "top-k=999", "typical=0", 1);
}

/* Entropix's thinking token comes where H is high and V low, once; then the temperature is 1.3, as without one. */
static void test_thinking(void) {
    static const float flat[100] = {0};
    const entrol_matrix row = {flat, ENTROL_F32, 1, 100, 100};
    const char *const rules[] = {"entropix,thinking=42"};
    entrol_sampler *sampler = sampler_with(context, rules, 1, NULL);
    for (int i = 0; i < 3; i++) {
        entrol_drawn drawn = draw_one(context, sampler, NULL, &row);
        CHECK(drawn.token == 42 && drawn.n_candidates == 1 && drawn.temperature == 1);
        entrol_sampler_accept(sampler, 42);
        drawn = draw_one(context, sampler, NULL, &row);
        CHECK(drawn.n_candidates == 100 && drawn.temperature == 1.3);
        if (i == 0)
            entrol_sampler_reset(sampler);
        else
            entrol_sampler_accept(sampler, 41);
    }
    entrol_sampler_destroy(context, sampler);
    const char *const without[] = {"top-k=10", "entropix,thinking=42,high-entropy=1"}; /* tokens 0 to 9 are left */
    sampler = sampler_with(context, without, 2, NULL);
    const entrol_drawn drawn = draw_one(context, sampler, NULL, &row);
    CHECK(drawn.n_candidates == 10 && drawn.temperature == 1.3);
    entrol_sampler_destroy(context, sampler);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    context = context_at(ENTROL_CPU_BEST, 1);
    TEST(test_borders);
    TEST(test_thinking);
    TEST(test_short_rows);
    TEST(test_rows);
    TEST(test_long_rows);
    entrol_context_destroy(context);
    return test_end();
}
