/* Samplers: which tokens come. Their frequencies over many streams, places and seeds; several without putting any back;
 * the same ones at every level, for any number of threads, and by a clone; and where in a text a sampler stands. */
#include "harness_sample.h"

enum { N_FEW = 7, MOST_COLUMNS = 300000 };

static size_t n_draws(void) {
    return is_quick() ? 4000 : 20000;
}

static entrol_context *context;

static entrol_matrix row_of(const float *logits, size_t n) {
    return (entrol_matrix){logits, ENTROL_F32, 1, n, (ptrdiff_t)n};
}

static float *normal_row(size_t n) {
    float *logits = malloc(n * sizeof *logits);
    for (size_t i = 0; i < n; i++)
        logits[i] = (float)(2 * test_normal());
    return logits;
}

/* --- Frequencies --- */

typedef struct counted {
    double *p; /* q of each column */
    size_t *counts;
    size_t n;
} counted;

static counted count_of(entrol_sampler *sampler, const entrol_matrix *row) {
    counted counted = {malloc(row->n_columns * sizeof(double)), calloc(row->n_columns, sizeof(size_t)), row->n_columns};
    draw_one(context, sampler, counted.p, row);
    for (size_t i = 0; i < counted.n; i++)
        counted.p[i] = exp(counted.p[i]);
    return counted;
}

static void judge(counted *counted, const char *what) {
    test_check_chi_square(counted->counts, counted->p, counted->n, what);
    free(counted->p);
    free(counted->counts);
}

/* The first place of many streams, many places of one stream, and the first place of many seeds. */
static void check_frequencies(const char *const *rules, size_t n_rules, const entrol_matrix *row, const char *what) {
    entrol_sampler *sampler = sampler_with(context, rules, n_rules, NULL);
    counted streams = count_of(sampler, row), places = count_of(sampler, row), seeds = count_of(sampler, row);
    for (uint64_t i = 0; i < n_draws(); i++) {
        entrol_sampler_set_stream(sampler, i);
        streams.counts[draw_one(context, sampler, NULL, row).token]++;
    }
    for (uint64_t i = 0; i < n_draws(); i++) {
        const int32_t token = draw_one(context, sampler, NULL, row).token;
        places.counts[token]++;
        entrol_sampler_accept(sampler, token);
    }
    entrol_sampler_destroy(context, sampler);
    for (uint64_t i = 0; i < n_draws(); i++) {
        const entrol_sampler_options options = {sizeof options, i, 0, NULL};
        sampler = sampler_with(context, rules, n_rules, &options);
        seeds.counts[draw_one(context, sampler, NULL, row).token]++;
        entrol_sampler_destroy(context, sampler);
    }
    judge(&streams, what);
    judge(&places, what);
    judge(&seeds, what);
}

static void test_frequencies(void) {
    float *logits = normal_row(40);
    logits[3] = -INFINITY;
    const entrol_matrix row = row_of(logits, 40);
    const char *const warm[] = {"temperature=1.5", "min-p=0.02"}, *const target[] = {"target-entropy=1.5", "top-k=10"};
    check_frequencies(NULL, 0, &row, "no rules");
    check_frequencies(warm, 2, &row, warm[0]);
    check_frequencies(target, 2, &row, target[0]);
    free(logits);
}

/* Equal logits: every column as often, in a row of more than one piece, too. */
static void test_flat_frequencies(void) {
    static float flat[3 * 4096 + 5];
    enum { N = sizeof flat / sizeof *flat, N_PARTS = 37 };
    const entrol_matrix row = row_of(flat, N);
    entrol_sampler *sampler = sampler_with(context, NULL, 0, NULL);
    size_t counts[N_PARTS] = {0};
    double p[N_PARTS] = {0};
    for (size_t i = 0; i < N; i++)
        p[i * N_PARTS / N] += 1.0 / N;
    for (uint64_t i = 0; i < n_draws(); i++) {
        entrol_sampler_set_stream(sampler, i);
        counts[(size_t)draw_one(context, sampler, NULL, &row).token * N_PARTS / N]++;
    }
    test_check_chi_square(counts, p, N_PARTS, "a flat row");
    entrol_sampler_destroy(context, sampler);
}

/* --- Several tokens --- */

static void draw_some(entrol_context *with, entrol_sampler *sampler, entrol_drawn *drawn, size_t n,
                      const entrol_matrix *row) {
    for (size_t i = 0; i < n; i++)
        drawn[i] = (entrol_drawn)ENTROL_DRAWN_INIT;
    CHECK_INT(entrol_sampler_draw(with, sampler, drawn, n, NULL, NULL, row, NULL), ENTROL_OK);
}

/* The second is drawn from q renormalised without the first: q_i q_j / (1 - q_i) for a pair. */
static void test_pairs_follow_what_is_left(void) {
    static const float logits[N_FEW] = {0, 1, -1, 0.5f, 2, -INFINITY, 0};
    const entrol_matrix row = row_of(logits, N_FEW);
    const char *rule = "temperature=2";
    entrol_sampler *sampler = sampler_of(context, rule);
    double q[N_FEW], p[N_FEW * N_FEW] = {0};
    size_t counts[N_FEW * N_FEW] = {0};
    draw_one(context, sampler, q, &row);
    for (size_t i = 0; i < N_FEW; i++)
        for (size_t j = 0; j < N_FEW; j++)
            p[i * N_FEW + j] = i == j ? 0 : exp(q[i] + q[j]) / (1 - exp(q[i]));
    for (uint64_t k = 0; k < n_draws(); k++) {
        entrol_drawn drawn[2];
        entrol_sampler_set_stream(sampler, k);
        draw_some(context, sampler, drawn, 2, &row);
        counts[(size_t)drawn[0].token * N_FEW + (size_t)drawn[1].token]++;
    }
    test_check_chi_square(counts, p, N_FEW * N_FEW, "pairs");
    entrol_sampler_destroy(context, sampler);
}

static bool same_statistics(const entrol_drawn *a, const entrol_drawn *b) {
    return a->entropy == b->entropy && a->varentropy == b->varentropy && a->sampled_entropy == b->sampled_entropy &&
           a->temperature == b->temperature && a->n_candidates == b->n_candidates && a->n_passes == b->n_passes;
}

/* All of them, distinct, each with its own ln p and ln q; the first is the one that is drawn alone; then none. */
static void test_all_that_there_are(void) {
    static const size_t sizes[] = {1, 2, 7, 300, 5000};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const size_t n = sizes[k];
        float *logits = normal_row(n);
        const entrol_matrix row = row_of(logits, n);
        const char *rule = "top-k=20";
        entrol_sampler *sampler = sampler_of(context, rule);
        double *q = malloc(n * sizeof *q);
        const entrol_drawn alone = draw_one(context, sampler, q, &row);
        bool *is_taken = calloc(n, sizeof *is_taken);
        entrol_drawn drawn[22];
        draw_some(context, sampler, drawn, 22, &row);
        CHECK(drawn[0].token == alone.token && same_statistics(&drawn[0], &alone));
        for (size_t i = 0; i < 22; i++) {
            if (i >= 20 || i >= n) {
                CHECK(drawn[i].token == -1);
                continue;
            }
            CHECK(!is_taken[drawn[i].token] && same_statistics(&drawn[i], &alone));
            CHECK_NEAR(drawn[i].sampled_logprob, q[drawn[i].token], 1e-12);
            CHECK_NEAR(drawn[i].logprob - alone.logprob, logits[drawn[i].token] - logits[alone.token], 1e-5);
            is_taken[drawn[i].token] = true;
        }
        free(is_taken);
        free(q);
        free(logits);
        entrol_sampler_destroy(context, sampler);
    }
}

/* --- The same everywhere --- */

static entrol_context *others[2 * (ENTROL_CPU_NEON + 1)];

static void open_others(void) {
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        for (size_t i = 0; i < 2; i++)
            others[2 * cpu + (int)i] =
                entrol_cpu_available((entrol_cpu)cpu) ? context_at((entrol_cpu)cpu, 2 + i) : NULL;
}

static void close_others(void) {
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        entrol_context_destroy(others[i]);
}

static void check_same(const entrol_drawn *expected, entrol_context *with, const char *const *rules, size_t n_rules,
                       const entrol_sampler_options *options, const entrol_matrix *row) {
    if (!with)
        return;
    entrol_drawn drawn[3];
    entrol_sampler *sampler = sampler_with(with, rules, n_rules, options);
    draw_some(with, sampler, drawn, 3, row);
    for (size_t i = 0; i < 3; i++)
        CHECK_SAY(drawn[i].token == expected[i].token && drawn[i].temperature == expected[i].temperature &&
                      drawn[i].n_candidates == expected[i].n_candidates,
                  "token %zu at %s, %zu threads, %zu columns, %s: %d of %llu at %a and not %d of %llu at %a", i,
                  entrol_cpu_name(entrol_context_cpu(with)), entrol_context_n_threads(with), row->n_columns,
                  n_rules ? rules[0] : "no rules", drawn[i].token, (unsigned long long)drawn[i].n_candidates,
                  drawn[i].temperature, expected[i].token, (unsigned long long)expected[i].n_candidates,
                  expected[i].temperature);
    entrol_sampler_destroy(with, sampler);
}

static void check_same_everywhere(const sheet *row) {
    const size_t n_rules = test_below(MOST_RULES + 1);
    made_rule made[MOST_RULES];
    const char *rules[MOST_RULES];
    for (size_t i = 0; i < n_rules; i++) {
        make_rule_at_random(&made[i], entrol_sampling_rule_at(test_below(entrol_sampling_rule_count())));
        rules[i] = made[i].text;
    }
    const entrol_sampler_options options = {sizeof options, test_random(), test_random(), NULL};
    entrol_sampler *sampler = sampler_with(contexts[ENTROL_CPU_SCALAR], rules, n_rules, &options);
    entrol_drawn expected[3];
    draw_some(contexts[ENTROL_CPU_SCALAR], sampler, expected, 3, &row->matrix);
    entrol_sampler_destroy(contexts[ENTROL_CPU_SCALAR], sampler);
    for (int cpu = ENTROL_CPU_AVX2; cpu <= ENTROL_CPU_NEON; cpu++)
        check_same(expected, contexts[cpu], rules, n_rules, &options, &row->matrix);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check_same(expected, others[i], rules, n_rules, &options, &row->matrix);
}

/* What is left when nearly all mass is taken is drawn by its own masses, in whichever 2,048 columns it is. */
static void test_little_is_left(void) {
    enum { N_COLUMNS = 4096, N_GREAT = 17, N_WANTED = 40, N_STREAMS = 60 };
    float *logits = malloc(N_COLUMNS * sizeof *logits);
    for (size_t i = 0; i < N_COLUMNS; i++)
        logits[i] = i % 120 == 0 && i < 120 * N_GREAT ? 1 + (float)i / 1000 : -60; /* e^-62 of the greatest */
    const entrol_matrix row = row_of(logits, N_COLUMNS);
    entrol_sampler *sampler = sampler_of(context, "temperature=1");
    size_t counts[2] = {0};
    const double p[2] = {(2048.0 - N_GREAT) / (N_COLUMNS - N_GREAT), 2048.0 / (N_COLUMNS - N_GREAT)};
    for (uint64_t k = 0; k < N_STREAMS; k++) {
        entrol_drawn drawn[N_WANTED];
        entrol_sampler_set_stream(sampler, k);
        draw_some(context, sampler, drawn, N_WANTED, &row);
        for (size_t i = 0; i < N_WANTED; i++) {
            CHECK(drawn[i].token >= 0 && (logits[drawn[i].token] > 0) == (i < N_GREAT));
            if (i >= N_GREAT && drawn[i].token >= 0)
                counts[drawn[i].token / 2048]++;
        }
    }
    test_check_chi_square(counts, p, 2, "what is left");
    entrol_sampler_destroy(context, sampler);
    free(logits);
}

static void test_same_at_every_level(void) {
    static const entrol_dtype dtypes[] = {ENTROL_F32, ENTROL_F16, ENTROL_BF16, ENTROL_F64};
    contexts_open(NULL);
    open_others();
    const size_t n_cases = is_quick() ? 60 : 1000;
    for (size_t i = 0; i < n_cases; i++) {
        sheet row = sheet_to_sample(1 + test_below(i % 20 ? 3000 : 70000), dtypes[i % 4]);
        check_same_everywhere(&row);
        sheet_free(&row);
    }
    for (size_t i = 0; i < (is_quick() ? 2 : 12); i++) {
        sheet row = sheet_to_sample(MOST_COLUMNS, dtypes[i % 4]);
        check_same_everywhere(&row);
        sheet_free(&row);
    }
    close_others();
    contexts_close();
}

/* --- Places, streams, clones --- */

enum { N_PLACES = 200 };

/* Draws N_PLACES tokens, each of which comes. */
static void draw_text(entrol_sampler *sampler, int32_t *tokens, const entrol_matrix *row) {
    for (size_t i = 0; i < N_PLACES; i++) {
        tokens[i] = draw_one(context, sampler, NULL, row).token;
        entrol_sampler_accept(sampler, tokens[i]);
    }
}

static size_t n_equal(const int32_t *a, const int32_t *b) {
    size_t n = 0;
    for (size_t i = 0; i < N_PLACES; i++)
        n += a[i] == b[i];
    return n;
}

/* A sampler of two rules, of seed 5 and a stream. */
static entrol_sampler *of_stream(uint64_t stream) {
    static const char *const rules[] = {"temperature=2", "top-p=0.99"};
    const entrol_sampler_options options = {sizeof options, 5, stream, NULL};
    return sampler_with(context, rules, 2, &options);
}

static void test_places(void) {
    float *logits = normal_row(1000);
    const entrol_matrix row = row_of(logits, 1000);
    int32_t first[N_PLACES], again[N_PLACES], other[N_PLACES];
    entrol_sampler *sampler = of_stream(3), *second = of_stream(4);
    const int32_t token = draw_one(context, sampler, NULL, &row).token;
    CHECK_INT(draw_one(context, sampler, NULL, &row).token, token); /* drawing moves nothing */
    draw_text(sampler, first, &row);
    CHECK_INT(first[0], token);
    size_t n_of_the_first = 0;
    for (size_t i = 0; i < N_PLACES; i++)
        n_of_the_first += first[i] == token;
    CHECK(n_of_the_first < N_PLACES / 4);
    draw_text(sampler, other, &row);
    CHECK(n_equal(first, other) < N_PLACES / 4);
    entrol_sampler_reset(sampler);
    draw_text(sampler, again, &row);
    CHECK_INT(n_equal(first, again), N_PLACES);
    draw_text(second, other, &row);
    CHECK(n_equal(first, other) < N_PLACES / 4);
    entrol_sampler_set_stream(second, 3); /* stays at its place, where the first would be now */
    draw_text(sampler, first, &row);
    draw_text(second, again, &row);
    CHECK_INT(n_equal(first, again), N_PLACES);
    entrol_sampler_reset(second);
    entrol_sampler_reset(sampler);
    draw_text(sampler, first, &row);
    draw_text(second, again, &row);
    CHECK_INT(n_equal(first, again), N_PLACES);
    entrol_sampler_destroy(context, sampler);
    entrol_sampler_destroy(context, second);
    free(logits);
}

/* A stream is not another one's some places further on, nor is a seed. */
static void test_streams_do_not_overlap(void) {
    float *logits = normal_row(1000);
    const entrol_matrix row = row_of(logits, 1000);
    int32_t first[2 * N_PLACES], other[2 * N_PLACES];
    size_t most = 0;
    for (uint64_t k = 1; k <= 4; k++) {
        const entrol_sampler_options options[] = {{sizeof *options, 5, 0, NULL},
                                                  {sizeof *options, k <= 2 ? 5 : 4 + k - 2, k, NULL}};
        entrol_sampler *samplers[] = {sampler_with(context, NULL, 0, &options[0]),
                                      sampler_with(context, NULL, 0, &options[1])};
        for (size_t half = 0; half < 2; half++) {
            draw_text(samplers[0], first + half * N_PLACES, &row);
            draw_text(samplers[1], other + half * N_PLACES, &row);
        }
        for (size_t shift = 0; shift < N_PLACES; shift++) {
            most = (size_t)fmax((double)most, (double)n_equal(first + shift, other));
            most = (size_t)fmax((double)most, (double)n_equal(first, other + shift));
        }
        entrol_sampler_destroy(context, samplers[0]);
        entrol_sampler_destroy(context, samplers[1]);
    }
    CHECK_SAY(most < N_PLACES / 4, "%zu of %d tokens are another stream's", most, N_PLACES);
    free(logits);
}

static void test_clone_goes_on_alike(void) {
    float *logits = normal_row(1000);
    const entrol_matrix row = row_of(logits, 1000);
    int32_t first[N_PLACES], of_clone[N_PLACES];
    entrol_sampler *sampler = of_stream(3), *clone = NULL;
    draw_text(sampler, first, &row);
    CHECK_INT(entrol_sampler_set(sampler, 0, "temperature", 1.25), ENTROL_OK);
    CHECK_INT(entrol_sampler_clone(context, &clone, sampler), ENTROL_OK);
    draw_text(sampler, first, &row);
    CHECK_NEAR(draw_one(context, clone, NULL, &row).temperature, 1.25, 1e-6);
    entrol_sampler_reset(sampler); /* nothing of the clone's */
    CHECK_INT(entrol_sampler_set(sampler, 0, "temperature", 0), ENTROL_OK);
    entrol_sampler_destroy(context, sampler);
    draw_text(clone, of_clone, &row);
    CHECK_INT(n_equal(first, of_clone), N_PLACES);
    entrol_sampler_destroy(context, clone);
    free(logits);
}

/* What a column stands for is what comes, and does not change which column it is. */
static void test_tokens_of_columns(void) {
    float *logits = normal_row(500);
    int32_t tokens[500];
    for (size_t i = 0; i < 500; i++)
        tokens[i] = (int32_t)(i ? (size_t)tokens[i - 1] + 1 + test_below(5) : test_below(3));
    tokens[499] = INT32_MAX;
    const entrol_matrix row = row_of(logits, 500);
    for (uint64_t stream = 0; stream < N_PLACES; stream++) {
        entrol_sampler *sampler = of_stream(stream);
        entrol_drawn drawn = ENTROL_DRAWN_INIT;
        const entrol_drawn plain = draw_one(context, sampler, NULL, &row);
        CHECK_INT(entrol_sampler_draw(context, sampler, &drawn, 1, NULL, NULL, &row, tokens), ENTROL_OK);
        CHECK(drawn.token == tokens[plain.token] && drawn.sampled_logprob == plain.sampled_logprob &&
              drawn.logprob == plain.logprob);
        entrol_sampler_destroy(context, sampler);
    }
    free(logits);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    context = context_at(ENTROL_CPU_BEST, 1);
    TEST(test_frequencies);
    TEST(test_flat_frequencies);
    TEST(test_pairs_follow_what_is_left);
    TEST(test_all_that_there_are);
    TEST(test_little_is_left);
    TEST(test_same_at_every_level);
    TEST(test_places);
    TEST(test_streams_do_not_overlap);
    TEST(test_clone_goes_on_alike);
    TEST(test_tokens_of_columns);
    entrol_context_destroy(context);
    return test_end();
}
