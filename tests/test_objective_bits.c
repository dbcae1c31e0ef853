/* Objectives have the same bits on any number of threads, ranks and levels, and their sums are exact. */
#include "harness.h"
#include "harness_objective.h"
#include "harness_team.h"

static entrol_context *context;
static case_outputs untouched;

static void check_same(const char *what, const entrol_objective *objective, const case_outputs *a,
                       const case_outputs *b) {
    for (int k = 0; k < 5; k++)
        CHECK_SAY(memcmp(a->arrays[k], b->arrays[k], sizeof a->arrays[k]) == 0, "%s: array %d differs on %s",
                  objective->name, k, what);
    CHECK_SAY(memcmp(a->kept, b->kept, sizeof a->kept) == 0, "%s: kept differs on %s", objective->name, what);
    CHECK_SAY(memcmp(&a->result, &b->result, sizeof a->result) == 0, "%s: the result differs on %s", objective->name,
              what);
}

static void test_threads_and_levels(void) {
    static case_outputs one, other;
    size_t own_starts[CASE_SEQUENCES + 1];
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        case_fill();
        const entrol_objective *objective = entrol_objective_at(k);
        const entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
        case_blank(&one);
        entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
        options.n_threads = 1;
        entrol_context *own;
        CHECK_INT(entrol_context_create(&own, &options), ENTROL_OK);
        CHECK_INT(case_compute(own, &one, NULL, objective, &tokens, 0), ENTROL_OK);
        entrol_context_destroy(own);
        for (int level = ENTROL_CPU_SCALAR; level <= ENTROL_CPU_NEON; level++) {
            if (!entrol_cpu_available((entrol_cpu)level))
                continue;
            options.cpu = (entrol_cpu)level;
            options.n_threads = 1 + test_below(5);
            CHECK_INT(entrol_context_create(&own, &options), ENTROL_OK);
            case_blank(&other);
            CHECK_INT(case_compute(own, &other, NULL, objective, &tokens, 0), ENTROL_OK);
            check_same(entrol_cpu_name((entrol_cpu)level), objective, &one, &other);
            entrol_context_destroy(own);
        }
    }
}

/* What the ranks of a test share. */
typedef struct shared {
    const entrol_objective *objective;
    size_t first[MOST_RANKS + 1]; /* sequence of each rank */
    const entrol_setting *more;   /* beside the usual settings */
    size_t n_more;
    case_outputs *together;
    entrol_objective_result results[MOST_RANKS];
    entrol_status status[MOST_RANKS];
} shared;

static size_t take_settings(entrol_setting *settings, const shared *s) {
    size_t n = case_take_usual(settings, s->objective);
    for (size_t i = 0; i < s->n_more; i++)
        settings[n++] = s->more[i];
    return n;
}

static void work_rank(entrol_context *own, size_t rank, void *user) {
    shared *s = user;
    entrol_setting settings[16];
    size_t own_starts[CASE_SEQUENCES + 1];
    const entrol_tokens tokens = case_tokens(s->first[rank], s->first[rank + 1], own_starts);
    const entrol_objective_options options = {sizeof options, settings, take_settings(settings, s), 0};
    const entrol_objective_record record = case_record(s->together, case_starts[s->first[rank]]);
    memset(&s->results[rank], 0x5a, sizeof s->results[rank]);
    s->results[rank].size = sizeof s->results[rank];
    s->status[rank] = entrol_objective_compute(own, &record, &s->results[rank], NULL, s->objective, &tokens, &options);
}

static void split(shared *s, size_t size) {
    s->first[0] = 0;
    for (size_t i = 1; i < size; i++) {
        const size_t left = CASE_SEQUENCES - s->first[i - 1];
        s->first[i] = i == 2 ? s->first[1] : s->first[i - 1] + test_below(left + 1); /* one has nothing */
    }
    s->first[size] = CASE_SEQUENCES;
}

static void check_ranks(const entrol_objective *objective, const entrol_setting *more, size_t n_more) {
    static case_outputs alone, together;
    static shared s;
    size_t own_starts[CASE_SEQUENCES + 1];
    entrol_setting settings[16];
    s = (shared){.objective = objective, .together = &together, .more = more, .n_more = n_more};
    const entrol_tokens tokens = case_tokens(0, CASE_SEQUENCES, own_starts);
    const entrol_objective_options options = {sizeof options, settings, take_settings(settings, &s), 0};
    for (size_t size = 2; size <= 5; size++) {
        team team = {.fails_at = 0};
        split(&s, size);
        case_blank(&alone);
        case_blank(&together);
        const entrol_objective_record record = case_record(&alone, 0);
        CHECK_INT(entrol_objective_compute(context, &record, &alone.result, NULL, objective, &tokens, &options),
                  ENTROL_OK);
        team_run(&team, size, work_rank, &s);
        for (size_t i = 0; i < size; i++) {
            CHECK_INT(s.status[i], ENTROL_OK);
            together.result = s.results[i];
            check_same("several ranks", objective, &alone, &together);
        }
    }
}

static void test_ranks(void) {
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        case_fill();
        check_ranks(entrol_objective_at(k), NULL, 0);
    }
}

/* Entropies of which many are equal: an exact share takes the first ones of lower ranks. */
static void test_ranks_with_ties(void) {
    static const entrol_setting exact[] = {
        {"top_share", 0.37, NULL}, {"top_by", 0, "exact"}, {"over", 0, "selected"}, {"entropy_ratio_low", 0.7, NULL}};
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        case_fill();
        for (size_t i = 0; i < CASE_TOKENS; i++)
            case_data[4][i] = roundf(2 * case_data[4][i]) / 2;
        check_ranks(entrol_objective_at(k), exact, sizeof exact / sizeof *exact);
    }
}

static void test_trouble_on_a_rank(void) {
    static case_outputs together;
    static shared s;
    case_fill();
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        team team = {.fails_at = 0};
        s.objective = entrol_objective_at(k);
        s.together = &together;
        for (size_t i = 0; i <= 3; i++)
            s.first[i] = i * 20;
        const size_t i = case_starts[25];
        const float before = case_data[3][i];
        case_data[3][i] = (float)NAN;
        case_mask[i] = 1;
        case_blank(&together);
        case_blank(&untouched);
        case_spoil(&untouched, CASE_TOKENS);
        team_run(&team, 3, work_rank, &s);
        case_data[3][i] = before;
        CHECK_INT(s.status[0], ENTROL_ERROR_COMMUNICATION);
        CHECK_INT(s.status[1], ENTROL_ERROR_DATA);
        CHECK_INT(s.status[2], ENTROL_ERROR_COMMUNICATION);
        CHECK(memcmp(&together, &untouched, sizeof together) == 0);
    }
}

static void work_otherwise(entrol_context *own, size_t rank, void *user) {
    shared *s = user;
    const int kind = (int)s->n_more, is_other = rank == 1;
    size_t own_starts[CASE_SEQUENCES + 1];
    const entrol_tokens tokens = case_tokens(s->first[rank], s->first[rank + 1], own_starts);
    const entrol_setting settings[] = {{"clip_high", is_other && kind == 1 ? 0.3 : 0.25, NULL},
                                       {"entropy_coefficient", 2e-4, NULL}}; /* all of GRPO and AEnt is now the same */
    const entrol_objective_options options = {sizeof options, settings, 2, is_other && kind == 3};
    const entrol_objective_record record = case_record(s->together, case_starts[s->first[rank]]);
    s->results[rank].size = sizeof s->results[rank];
    s->status[rank] =
        entrol_objective_compute(own, &record, is_other && kind == 2 ? NULL : &s->results[rank], NULL,
                                 entrol_objective_find(is_other && kind == 0 ? "aent" : "grpo"), &tokens, &options);
}

/* Of another objective, other settings, and where not all ranks want the result, or its logs. */
static void test_ranks_that_differ(void) {
    static case_outputs together;
    static shared s;
    case_fill();
    for (size_t kind = 0; kind < 5; kind++) {
        team team = {.fails_at = 0};
        s = (shared){.together = &together, .n_more = kind};
        split(&s, 3);
        case_blank(&together);
        case_blank(&untouched);
        case_spoil(&untouched, CASE_TOKENS);
        team_run(&team, 3, work_otherwise, &s);
        for (size_t i = 0; i < 3; i++)
            CHECK_INT(s.status[i], kind < 4 ? ENTROL_ERROR_COMMUNICATION : ENTROL_OK);
        CHECK((memcmp(&together, &untouched, sizeof together) == 0) == (kind < 4));
    }
}

/* So many tokens that results go past the caches: to any alignment, and nowhere else. */
static void check_many(size_t offset, size_t n, entrol_cpu cpu) {
    float *in = malloc(3 * n * sizeof *in), *out = malloc((3 * n + 200) * sizeof *out);
    float *case_outputs[3] = {out + 20 + offset, out + 80 + n + offset, out + 140 + 2 * n + offset};
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    entrol_context *own;
    options.cpu = cpu;
    for (size_t i = 0; i < n; i++) {
        in[i] = (float)(-4 * test_uniform());
        in[n + i] = in[i] - 0.3f * (float)test_normal();
        in[2 * n + i] = (float)test_normal();
    }
    for (size_t i = 0; i < 3 * n + 200; i++)
        out[i] = 777;
    entrol_tokens tokens = ENTROL_TOKENS_INIT;
    tokens.n_tokens = n;
    tokens.logprob = tokens.entropy = tokens.value = in;
    tokens.old_logprob = in + n;
    tokens.advantage = tokens.target_return = in + 2 * n;
    entrol_objective_record record = ENTROL_OBJECTIVE_RECORD_INIT;
    record.logprob = case_outputs[0];
    record.entropy = case_outputs[1];
    record.value = case_outputs[2];
    CHECK_INT(entrol_context_create(&own, &options), ENTROL_OK);
    CHECK_INT(entrol_objective_compute(own, &record, NULL, NULL, entrol_objective_find("ppo"), &tokens, NULL),
              ENTROL_OK);
    size_t n_wrong = 0;
    for (size_t i = 0; i < n; i++) {
        const double a = in[2 * n + i], r = exp((double)in[i] - in[n + i]);
        const double slope = (a > 0 && r > 1.2) || (a < 0 && r < 0.8) ? 0 : -r * a / (double)n;
        n_wrong += !(fabs(case_outputs[0][i] - slope) <= 1e-6 * fabs(slope));
        n_wrong += case_outputs[1][i] != (float)(-0.01 / (double)n);
        n_wrong += !(fabs(case_outputs[2][i] - (in[i] - a) / (double)n) <= 1e-6 * fabs(in[i] - a) / (double)n);
        case_outputs[0][i] = case_outputs[1][i] = case_outputs[2][i] = 777;
    }
    for (size_t i = 0; i < 3 * n + 200; i++)
        n_wrong += out[i] != 777;
    CHECK_SAY(n_wrong == 0, "%zu numbers are wrong of %zu tokens at an offset of %zu on %s", n_wrong, n, offset,
              entrol_cpu_name(cpu));
    entrol_diagnosis diagnosis;
    const size_t bad = test_below(n);
    in[n + bad] = (float)NAN;
    CHECK_INT(entrol_objective_compute(own, &record, NULL, &diagnosis, entrol_objective_find("ppo"), &tokens, NULL),
              ENTROL_ERROR_DATA);
    CHECK(diagnosis.n_bad == 1 && diagnosis.first_row == bad && diagnosis.reason == ENTROL_REASON_NAN);
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < n; i++) {
            n_wrong += case_outputs[k][i] == case_outputs[k][i];
            case_outputs[k][i] = 777;
        }
    for (size_t i = 0; i < 3 * n + 200; i++)
        n_wrong += out[i] != 777;
    CHECK_SAY(n_wrong == 0, "%zu numbers are not NaN, or beside the arrays", n_wrong);
    entrol_context_destroy(own);
    free(in);
    free(out);
}

static void test_many(void) {
    for (int level = ENTROL_CPU_SCALAR; level <= ENTROL_CPU_NEON; level++)
        for (size_t offset = 0; offset < 16 && entrol_cpu_available((entrol_cpu)level); offset += 5)
            check_many(offset, (1 << 18) + 1 + test_below(600), (entrol_cpu)level);
}

/* In some blocks such as have an exact sum in double; in others too far from each other, too near 0, or both. */
static float number_of_any_size(size_t i) {
    const float size = (float)(1 + test_uniform()), x = test_below(2) ? size : -size;
    switch (i / 512) {
    case 0:
        return (float)test_normal();
    case 1:
        return ldexpf(size, -(int)test_below(29));
    case 2:
        return ldexpf(x, -38 - (int)test_below(6));
    case 3:
        return test_below(3) ? ldexpf(x, (int)test_below(26)) : 0;
    default:
        return ldexpf(x, -(int)test_below(70));
    }
}

static void check_sum(entrol_cpu cpu, const char *what, const entrol_sum *found, const float *x, const float *less) {
    entrol_sum expected = {0};
    for (size_t i = 0; i < CASE_TOKENS; i++) {
        entrol_sum_add(&expected, (double)x[i]);
        if (less)
            entrol_sum_add(&expected, -(double)less[i]);
    }
    CHECK_SAY(found->low == expected.low && found->high == expected.high, "the sum of %s on %s", what,
              entrol_cpu_name(cpu));
}

/* Sums of arrays are those of entrol_sum_add to the last bit. */
static void test_exact_sums(void) {
    for (int level = ENTROL_CPU_SCALAR; level <= ENTROL_CPU_NEON; level++) {
        entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
        entrol_context *own;
        options.cpu = (entrol_cpu)level;
        if (!entrol_cpu_available(options.cpu))
            continue;
        for (int k = 0; k < CASE_ARRAYS; k++)
            for (size_t i = 0; i < CASE_TOKENS; i++)
                case_data[k][i] = k == 1 ? case_data[0][i] + 0.5f * fabsf(case_data[0][i]) : number_of_any_size(i);
        entrol_tokens tokens = ENTROL_TOKENS_INIT;
        tokens.n_tokens = CASE_TOKENS;
        tokens.logprob = case_data[0];
        tokens.old_logprob = case_data[1];
        tokens.advantage = case_data[3];
        tokens.entropy = case_data[4];
        tokens.value = case_data[7];
        tokens.target_return = case_data[9];
        entrol_objective_result result = {.size = sizeof result};
        CHECK_INT(entrol_context_create(&own, &options), ENTROL_OK);
        CHECK_INT(entrol_objective_compute(own, NULL, &result, NULL, entrol_objective_find("reinforce"), &tokens, NULL),
                  ENTROL_OK);
        entrol_context_destroy(own);
        check_sum(options.cpu, "ln p", &result.sums[ENTROL_SUM_LOGPROB], case_data[0], NULL);
        check_sum(options.cpu, "A", &result.sums[ENTROL_SUM_ADVANTAGE], case_data[3], NULL);
        check_sum(options.cpu, "H", &result.sums[ENTROL_SUM_ENTROPY], case_data[4], NULL);
        check_sum(options.cpu, "R", &result.sums[ENTROL_SUM_RETURN], case_data[9], NULL);
        check_sum(options.cpu, "R - v", &result.sums[ENTROL_SUM_ERROR], case_data[9], case_data[7]);
        check_sum(options.cpu, "-ln r", &result.sums[ENTROL_SUM_K1], case_data[1], case_data[0]);
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    CHECK_INT(entrol_context_create(&context, NULL), ENTROL_OK);
    TEST(test_threads_and_levels);
    TEST(test_ranks);
    TEST(test_ranks_with_ties);
    TEST(test_trouble_on_a_rank);
    TEST(test_ranks_that_differ);
    TEST(test_many);
    TEST(test_exact_sums);
    entrol_context_destroy(context);
    return test_end();
}
