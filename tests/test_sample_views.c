/* Samplers: where rows, tokens and results lie. Every dtype of both, at the first byte after a guard page and at the
 * last one before the next, at odd addresses, too: the same as of an array of f32 and to one of f64. */
#include "harness_sample.h"
#include "oracle.h"

static entrol_context *context;

/* n elements of a dtype, beginning or ending at a guard page, or a byte beside it. */
typedef struct array {
    guarded memory;
    void *data;
} array;

static array array_of(entrol_dtype dtype, size_t n, int place) {
    const bool is_odd = place & 1, at_end = place & 2;
    array array = {.memory = guarded_allocate(n * entrol_dtype_size(dtype) + is_odd, at_end)};
    array.data = (char *)array.memory.data + (is_odd && !at_end); /* at the end it begins a byte lower */
    return array;
}

static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

/* What a dtype makes of a number. */
static double as(entrol_dtype dtype, double value) {
    char element[sizeof(double)];
    oracle_encode(dtype, element, 0, value);
    return oracle_decode(dtype, element, 0);
}

/* What was drawn from, of which `logprobs` says ln q by column; also when there is room for less. */
static void check_candidates(const entrol_sampler *sampler, const double *logprobs, const int32_t *tokens, size_t n) {
    size_t n_wanted = 0;
    for (size_t i = 0; i < n; i++)
        n_wanted += logprobs[i] > -(double)INFINITY;
    CHECK_INT(entrol_sampler_candidates(sampler, NULL, NULL, NULL, n), n_wanted);
    const size_t n_room = test_below(3) ? n_wanted : test_below(n_wanted + 1);
    guarded memory[3];
    for (int k = 0; k < 3; k++)
        memory[k] = guarded_allocate(n_room * sizeof(float), true);
    const int32_t *left = memory[0].data;
    const float *ln_q = memory[1].data, *q = memory[2].data;
    CHECK_INT(entrol_sampler_candidates(sampler, memory[0].data, memory[1].data, memory[2].data, n_room), n_wanted);
    for (size_t i = 0, k = 0; i < n && k < n_room; i++) {
        if (logprobs[i] == -(double)INFINITY)
            continue;
        const double expected = exp(logprobs[i]);
        if (!CHECK_SAY(left[k] == tokens[i] && ln_q[k] == (float)logprobs[i] &&
                           fabs((double)q[k] - expected) <= 2e-5 * expected + 1e-37,
                       "candidate %zu of %zu is token %d: %g, %g and not %g", k, n_room, (int)left[k], (double)ln_q[k],
                       (double)q[k], expected))
            break;
        k++;
    }
    for (int k = 0; k < 3; k++)
        guarded_free(&memory[k]);
}

static void check_views(const char *rule, entrol_dtype dtype, entrol_dtype result, int place, size_t n) {
    entrol_sampler *sampler = sampler_of(context, rule);
    float *plain = malloc(n * sizeof *plain);
    double *wanted = malloc(n * sizeof *wanted);
    array row = array_of(dtype, n, place), logprobs = array_of(result, n, place);
    guarded tokens = guarded_allocate(n * sizeof(int32_t), place & 2);
    for (size_t i = 0; i < n; i++) {
        const double z = i % 7 == 3 ? -INFINITY : as(dtype, 2 * test_normal());
        plain[i] = (float)z;
        oracle_encode(dtype, row.data, i, z);
        ((int32_t *)tokens.data)[i] = (int32_t)(3 * i + 1);
    }
    const entrol_matrix expected = {plain, ENTROL_F32, 1, n, (ptrdiff_t)n}, matrix = {row.data, dtype, 1, n, 0};
    const entrol_destination destination = {logprobs.data, result, 0, 0};
    const entrol_drawn alone = draw_one(context, sampler, wanted, &expected);
    entrol_drawn drawn = ENTROL_DRAWN_INIT;
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_sampler_draw(context, sampler, &drawn, 1, &destination, &diagnosis, &matrix, tokens.data),
              ENTROL_OK);
    CHECK(drawn.token == 3 * alone.token + 1 && drawn.entropy == alone.entropy &&
          drawn.sampled_logprob == alone.sampled_logprob && drawn.sampled_entropy == alone.sampled_entropy &&
          drawn.logprob == alone.logprob && drawn.n_candidates == alone.n_candidates);
    for (size_t i = 0; i < n; i++)
        if (!CHECK_SAY(same(oracle_decode(result, logprobs.data, i),
                            as(result, result == ENTROL_F64 ? wanted[i] : (double)(float)wanted[i])),
                       "%s, %s to %s, place %d: column %zu of %zu is %g and not %g", rule, entrol_dtype_name(dtype),
                       entrol_dtype_name(result), place, i, n, oracle_decode(result, logprobs.data, i), wanted[i]))
            break;
    check_candidates(sampler, wanted, tokens.data, n);
    guarded_free(&tokens);
    guarded_free(&logprobs.memory);
    guarded_free(&row.memory);
    free(wanted);
    free(plain);
    entrol_sampler_destroy(context, sampler);
}

static void test_views(void) {
    static const char *const rules[] = {"temperature=0.7", "top-p=0.9", "top-k=3", "target-entropy=1"};
    static const size_t sizes[] = {1, 2, 15, 16, 17, 100, 4095, 4097, 20000};
    for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++)
        for (int place = 0; place < 4; place++)
            for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
                check_views(rules[test_below(4)], (entrol_dtype)dtype, (entrol_dtype)((dtype + place) % 4), place,
                            sizes[k]);
}

/* f64 counts as the nearest f32, infinities that it becomes, too. */
static void test_f64_counts_as_f32(void) {
    const double close[] = {1, 1 + 1e-12, 1 - 1e-12}, far[] = {1, 1e300, 2};
    const entrol_matrix tied = {close, ENTROL_F64, 1, 3, 3}, infinite = {far, ENTROL_F64, 1, 3, 3};
    entrol_sampler *sampler = sampler_of(context, "greedy");
    entrol_drawn drawn = draw_one(context, sampler, NULL, &tied);
    entrol_diagnosis diagnosis;
    CHECK_INT(drawn.token, 0);
    CHECK_NEAR(drawn.entropy, log(3), 1e-6);
    CHECK_INT(entrol_sampler_draw(context, sampler, &drawn, 1, NULL, &diagnosis, &infinite, NULL), ENTROL_OK);
    CHECK(drawn.token == -1 && diagnosis.reason == ENTROL_REASON_INFINITE && diagnosis.first_column == 1);
    entrol_sampler_destroy(context, sampler);
}

/* There are none before a draw, and none of a row in trouble. */
static void test_no_candidates(void) {
    const float good[] = {1, 2}, bad[] = {1, NAN};
    const entrol_matrix row = {good, ENTROL_F32, 1, 2, 2}, trouble = {bad, ENTROL_F32, 1, 2, 2};
    entrol_sampler *sampler = sampler_of(context, "temperature=3"), *clone;
    entrol_drawn drawn = ENTROL_DRAWN_INIT;
    CHECK_INT(entrol_sampler_candidates(NULL, NULL, NULL, NULL, 1), 0);
    CHECK_INT(entrol_sampler_candidates(sampler, NULL, NULL, NULL, 1), 0);
    draw_one(context, sampler, NULL, &row);
    CHECK_INT(entrol_sampler_candidates(sampler, NULL, NULL, NULL, 0), 2);
    CHECK_INT(entrol_sampler_clone(context, &clone, sampler), ENTROL_OK);
    CHECK_INT(entrol_sampler_candidates(clone, NULL, NULL, NULL, 1), 0);
    CHECK_INT(entrol_sampler_draw(context, sampler, &drawn, 1, NULL, NULL, &trouble, NULL), ENTROL_OK);
    CHECK_INT(entrol_sampler_candidates(sampler, NULL, NULL, NULL, 1), 0);
    entrol_sampler_destroy(context, clone);
    entrol_sampler_destroy(context, sampler);
}

/* An older caller has a shorter struct: no more of each is written. */
static void test_short_structs(void) {
    enum { SHORT = offsetof(entrol_drawn, temperature) };
    const float logits[] = {-INFINITY, 2, 1, 0};
    const entrol_matrix row = {logits, ENTROL_F32, 1, 4, 4};
    entrol_sampler *sampler = sampler_of(context, "temperature=3");
    guarded memory = guarded_allocate(2 * SHORT, true);
    entrol_drawn whole[2] = {ENTROL_DRAWN_INIT, ENTROL_DRAWN_INIT}, given;
    CHECK_INT(entrol_sampler_draw(context, sampler, whole, 2, NULL, NULL, &row, NULL), ENTROL_OK);
    *(size_t *)memory.data = SHORT;
    CHECK_INT(entrol_sampler_draw(context, sampler, memory.data, 2, NULL, NULL, &row, NULL), ENTROL_OK);
    for (size_t i = 0; i < 2; i++) {
        memcpy(&given, (char *)memory.data + i * SHORT, SHORT);
        CHECK(given.token == whole[i].token && given.logprob == whole[i].logprob &&
              given.sampled_logprob == whole[i].sampled_logprob && given.sampled_entropy == whole[i].sampled_entropy);
    }
    guarded_free(&memory);
    entrol_sampler_destroy(context, sampler);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    context = context_at(ENTROL_CPU_BEST, 1);
    TEST(test_views);
    TEST(test_f64_counts_as_f32);
    TEST(test_no_candidates);
    TEST(test_short_structs);
    entrol_context_destroy(context);
    return test_end();
}
