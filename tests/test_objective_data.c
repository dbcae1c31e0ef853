/* What objectives do with tokens that no loss can be made of, at the bounds of clips, and on any number of threads,
 * ranks and levels. */
#include "harness.h"
#include "harness_team.h"
#include "oracle_objective.h"

#include <entrol/entrol.h>

enum { N = 3000, N_SEQUENCES = 60, N_ARRAYS = 11 };

static entrol_context *context;

/* Arrays in the order of entrol_tokens, and where each is in it. */
static float data[N_ARRAYS][N];
static uint8_t mask[N];
static size_t starts[N_SEQUENCES + 1];
static const char *const names[N_ARRAYS] = {
    "logprob",         "old_logprob", "reference_logprob", "advantage",     "entropy", "old_entropy",
    "support_entropy", "value",       "old_value",         "target_return", "weight"};

static void fill(void) {
    for (size_t i = 0; i < N; i++) {
        mask[i] = test_below(6) != 0;
        for (int k = 0; k < N_ARRAYS; k++)
            data[k][i] = (float)test_normal();
        data[0][i] = (float)(-4 * test_uniform());
        data[1][i] = data[0][i] + 0.3f * (float)test_normal();
        data[2][i] = data[0][i] + 0.3f * (float)test_normal();
        for (int k = 4; k < 7; k++)
            data[k][i] = (float)(2 * test_uniform());
        data[10][i] = (float)(0.5 + test_uniform());
    }
    mask[0] = 1;
    for (size_t s = 0; s <= N_SEQUENCES; s++)
        starts[s] = s * (N / N_SEQUENCES);
}

static entrol_tokens tokens_from(size_t first_sequence, size_t end_sequence, size_t *own_starts) {
    const size_t begin = starts[first_sequence], n_sequences = end_sequence - first_sequence;
    for (size_t s = 0; s <= n_sequences; s++)
        own_starts[s] = starts[first_sequence + s] - begin;
    const entrol_tokens tokens = {sizeof tokens,
                                  own_starts[n_sequences],
                                  data[0] + begin,
                                  data[1] + begin,
                                  data[2] + begin,
                                  data[3] + begin,
                                  data[4] + begin,
                                  data[5] + begin,
                                  data[6] + begin,
                                  data[7] + begin,
                                  data[8] + begin,
                                  data[9] + begin,
                                  data[10] + begin,
                                  mask + begin,
                                  own_starts,
                                  n_sequences,
                                  99};
    return tokens;
}

/* Everything that comes out. */
typedef struct outputs {
    float arrays[5][N];
    uint8_t kept[N];
    entrol_objective_result result;
} outputs;

static entrol_objective_record record_of(outputs *out, size_t begin) {
    const entrol_objective_record record = {sizeof record,          out->arrays[0] + begin, out->arrays[1] + begin,
                                            out->arrays[2] + begin, out->arrays[3] + begin, out->arrays[4] + begin,
                                            out->kept + begin};
    return record;
}

static void blank(outputs *out) {
    memset(out, 0x5a, sizeof *out);
    out->result.size = sizeof out->result;
}

static const entrol_setting usual[] = {
    {"length", 50, NULL},      {"entropy_target", 0.7, NULL}, {"value_coefficient", 0.5, NULL},
    {"value_clip", 0.3, NULL}, {"kl_coefficient", 0.1, NULL}, {"entropy_coefficient", 0.02, NULL}};

/* Those of the settings that an objective has. */
static size_t take_usual(entrol_setting *settings, const entrol_objective *objective) {
    size_t n = 0;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        for (size_t k = 0; k < objective->n_parameters; k++)
            if (strcmp(objective->parameters[k].name, usual[i].name) == 0)
                settings[n++] = usual[i];
    return n;
}

static entrol_status compute(entrol_context *on, outputs *out, entrol_diagnosis *diagnosis,
                             const entrol_objective *objective, const entrol_tokens *tokens, size_t begin) {
    entrol_setting settings[8];
    const entrol_objective_options options = {sizeof options, settings, take_usual(settings, objective), 0};
    const entrol_objective_record record = record_of(out, begin);
    return entrol_objective_compute(on, &record, &out->result, diagnosis, objective, tokens, &options);
}

/* --- bad input --- */

static outputs untouched;

/* What is left where there is no loss: NaN at every token, and no result. */
static void spoil(outputs *out, size_t n) {
    for (int k = 0; k < 5; k++)
        for (size_t i = 0; i < n; i++)
            out->arrays[k][i] = (float)NAN;
    memset(out->kept, 0, n);
}

static void check_refused(const char *what, const entrol_objective *objective, const entrol_tokens *tokens,
                          entrol_status expected, entrol_reason reason, size_t row, size_t n_bad) {
    static outputs out;
    entrol_diagnosis diagnosis;
    blank(&out);
    blank(&untouched);
    spoil(&untouched, tokens->n_tokens);
    const entrol_status status = compute(context, &out, &diagnosis, objective, tokens, 0);
    CHECK_SAY(status == expected, "%s, %s: %s", objective->name, what, entrol_status_string(status));
    CHECK_SAY(diagnosis.reason == reason && diagnosis.first_row == row && diagnosis.n_bad == n_bad,
              "%s, %s: %zu rows, the first %zu: %s", objective->name, what, diagnosis.n_bad, diagnosis.first_row,
              entrol_reason_string(diagnosis.reason));
    CHECK_SAY(memcmp(&out, &untouched, sizeof out) == 0, "%s, %s: something else than NaN was written", objective->name,
              what);
}

/* A number into one array, at a token that counts and at one that does not. */
static void check_bad_number(const entrol_objective *objective, int array, float number, entrol_reason reason) {
    static outputs out;
    size_t own_starts[N_SEQUENCES + 1];
    const entrol_tokens tokens = tokens_from(0, N_SEQUENCES, own_starts);
    const size_t i = 1 + test_below(N - 1);
    const float before = data[array][i];
    const uint8_t mask_before = mask[i];
    data[array][i] = number;
    mask[i] = 1;
    check_refused(names[array], objective, &tokens, ENTROL_ERROR_DATA, reason, i, 1);
    mask[i] = 0;
    blank(&out);
    CHECK_SAY(compute(context, &out, NULL, objective, &tokens, 0) == ENTROL_OK, "%s: a masked %s", objective->name,
              names[array]);
    mask[i] = mask_before;
    data[array][i] = before;
}

static void test_bad_numbers(void) {
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        fill();
        for (int array = 0; array < N_ARRAYS; array++) {
            check_bad_number(entrol_objective_at(k), array, (float)NAN, ENTROL_REASON_NAN);
            check_bad_number(entrol_objective_at(k), array, (float)INFINITY, ENTROL_REASON_INFINITE);
            check_bad_number(entrol_objective_at(k), array, -(float)INFINITY, ENTROL_REASON_INFINITE);
        }
    }
}

static void test_ratios_too_great(void) {
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        fill();
        check_bad_number(entrol_objective_at(k), 1, -95, ENTROL_REASON_RATIO); /* ln p is at least -4 */
        check_bad_number(entrol_objective_at(k), 2, 88.8f, ENTROL_REASON_RATIO);
    }
    /* Below the greatest float, but of no exact sum; a clip that holds it makes it one. */
    size_t own_starts[N_SEQUENCES + 1];
    static outputs out;
    const entrol_tokens tokens = tokens_from(0, N_SEQUENCES, own_starts);
    mask[7] = 1;
    data[1][7] = data[0][7] - 60;
    data[3][7] = -1;
    check_refused("a term of e^60", entrol_objective_find("ppo"), &tokens, ENTROL_ERROR_DATA, ENTROL_REASON_RATIO, 7,
                  1);
    data[3][7] = 1;
    blank(&out);
    CHECK_INT(compute(context, &out, NULL, entrol_objective_find("ppo"), &tokens, 0), ENTROL_OK);
    CHECK(out.arrays[0][7] != 0); /* of the KL penalty alone */
    CHECK(isinf(out.result.kl_k3) && isfinite(out.result.loss));
    data[2][9] = data[0][9] + 60;
    mask[9] = 1;
    check_refused("a penalty of e^60", entrol_objective_find("ppo"), &tokens, ENTROL_ERROR_DATA, ENTROL_REASON_RATIO, 9,
                  1);
    data[2][9] = data[0][9];
    data[7][9] = 1e19f;
    check_refused("a value of 1e19", entrol_objective_find("ppo"), &tokens, ENTROL_ERROR_DATA, ENTROL_REASON_RATIO, 9,
                  1);
}

static void test_nothing_counts(void) {
    size_t own_starts[N_SEQUENCES + 1];
    fill();
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        entrol_tokens tokens = tokens_from(0, N_SEQUENCES, own_starts);
        memset(mask, 0, sizeof mask);
        check_refused("all masked", entrol_objective_at(k), &tokens, ENTROL_ERROR_DATA, ENTROL_REASON_EMPTY_SUPPORT, 0,
                      1);
        tokens = (entrol_tokens)ENTROL_TOKENS_INIT;
        check_refused("no token", entrol_objective_at(k), &tokens, ENTROL_ERROR_DATA, ENTROL_REASON_EMPTY_SUPPORT, 0,
                      1);
    }
}

static void check_argument(const char *argument, const entrol_objective *objective, const entrol_tokens *tokens,
                           const entrol_objective_options *options) {
    static outputs out;
    entrol_diagnosis diagnosis = {0};
    blank(&out);
    blank(&untouched);
    const entrol_objective_record record = record_of(&out, 0);
    CHECK_INT(entrol_objective_compute(context, &record, &out.result, &diagnosis, objective, tokens, options),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument ? diagnosis.argument : "", argument);
    CHECK(memcmp(&out, &untouched, sizeof out) == 0);
}

static void test_bad_arguments(void) {
    size_t own_starts[N_SEQUENCES + 1];
    fill();
    const entrol_objective *ppo = entrol_objective_find("ppo"), *grpo = entrol_objective_find("grpo");
    const entrol_tokens good = tokens_from(0, N_SEQUENCES, own_starts);
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
    size_t own_starts[N_SEQUENCES + 1];
    static outputs out;
    fill();
    const entrol_tokens tokens = tokens_from(0, N_SEQUENCES, own_starts);
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
            blank(&out);
            blank(&untouched);
            const entrol_status status = compute(own, &out, NULL, entrol_objective_at(k), &tokens, 0);
            CHECK(status == ENTROL_OK || status == ENTROL_ERROR_MEMORY);
            CHECK(status == ENTROL_OK || memcmp(&out, &untouched, sizeof out) == 0);
            CHECK_SAY(allowed < 4 || status == ENTROL_OK, "%s needs memory more than four times",
                      entrol_objective_at(k)->name);
            entrol_context_destroy(own);
        }
}

/* --- the same bits --- */

static void check_same(const char *what, const entrol_objective *objective, const outputs *a, const outputs *b) {
    for (int k = 0; k < 5; k++)
        CHECK_SAY(memcmp(a->arrays[k], b->arrays[k], sizeof a->arrays[k]) == 0, "%s: array %d differs on %s",
                  objective->name, k, what);
    CHECK_SAY(memcmp(a->kept, b->kept, sizeof a->kept) == 0, "%s: kept differs on %s", objective->name, what);
    CHECK_SAY(memcmp(&a->result, &b->result, sizeof a->result) == 0, "%s: the result differs on %s", objective->name,
              what);
}

static void test_threads_and_levels(void) {
    static outputs one, other;
    size_t own_starts[N_SEQUENCES + 1];
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        fill();
        const entrol_objective *objective = entrol_objective_at(k);
        const entrol_tokens tokens = tokens_from(0, N_SEQUENCES, own_starts);
        blank(&one);
        entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
        options.n_threads = 1;
        entrol_context *own;
        CHECK_INT(entrol_context_create(&own, &options), ENTROL_OK);
        CHECK_INT(compute(own, &one, NULL, objective, &tokens, 0), ENTROL_OK);
        entrol_context_destroy(own);
        for (int level = ENTROL_CPU_SCALAR; level <= ENTROL_CPU_NEON; level++) {
            if (!entrol_cpu_available((entrol_cpu)level))
                continue;
            options.cpu = (entrol_cpu)level;
            options.n_threads = 1 + test_below(5);
            CHECK_INT(entrol_context_create(&own, &options), ENTROL_OK);
            blank(&other);
            CHECK_INT(compute(own, &other, NULL, objective, &tokens, 0), ENTROL_OK);
            check_same(entrol_cpu_name((entrol_cpu)level), objective, &one, &other);
            entrol_context_destroy(own);
        }
    }
}

/* What the ranks of a test share. */
typedef struct shared {
    const entrol_objective *objective;
    size_t first[MOST_RANKS + 1]; /* sequence of each rank */
    outputs *together;
    entrol_objective_result results[MOST_RANKS];
    entrol_status status[MOST_RANKS];
} shared;

static void work_rank(entrol_context *own, size_t rank, void *user) {
    shared *s = user;
    entrol_setting settings[8];
    size_t own_starts[N_SEQUENCES + 1];
    const entrol_tokens tokens = tokens_from(s->first[rank], s->first[rank + 1], own_starts);
    const entrol_objective_options options = {sizeof options, settings, take_usual(settings, s->objective), 0};
    const entrol_objective_record record = record_of(s->together, starts[s->first[rank]]);
    memset(&s->results[rank], 0x5a, sizeof s->results[rank]);
    s->results[rank].size = sizeof s->results[rank];
    s->status[rank] = entrol_objective_compute(own, &record, &s->results[rank], NULL, s->objective, &tokens, &options);
}

static void split(shared *s, size_t size) {
    s->first[0] = 0;
    for (size_t i = 1; i < size; i++) {
        const size_t left = N_SEQUENCES - s->first[i - 1];
        s->first[i] = i == 2 ? s->first[1] : s->first[i - 1] + test_below(left + 1); /* one has nothing */
    }
    s->first[size] = N_SEQUENCES;
}

static void test_ranks(void) {
    static outputs alone, together;
    static shared s;
    size_t own_starts[N_SEQUENCES + 1];
    for (size_t k = 0; k < entrol_objective_count(); k++)
        for (size_t size = 2; size <= 5; size++) {
            team team = {.fails_at = 0};
            fill();
            s.objective = entrol_objective_at(k);
            s.together = &together;
            split(&s, size);
            blank(&alone);
            blank(&together);
            const entrol_tokens tokens = tokens_from(0, N_SEQUENCES, own_starts);
            CHECK_INT(compute(context, &alone, NULL, s.objective, &tokens, 0), ENTROL_OK);
            team_run(&team, size, work_rank, &s);
            for (size_t i = 0; i < size; i++) {
                CHECK_INT(s.status[i], ENTROL_OK);
                together.result = s.results[i];
                check_same("several ranks", s.objective, &alone, &together);
            }
        }
}

static void test_trouble_on_a_rank(void) {
    static outputs together;
    static shared s;
    fill();
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        team team = {.fails_at = 0};
        s.objective = entrol_objective_at(k);
        s.together = &together;
        for (size_t i = 0; i <= 3; i++)
            s.first[i] = i * 20;
        const size_t i = starts[25];
        const float before = data[3][i];
        data[3][i] = (float)NAN;
        mask[i] = 1;
        blank(&together);
        blank(&untouched);
        spoil(&untouched, N);
        team_run(&team, 3, work_rank, &s);
        data[3][i] = before;
        CHECK_INT(s.status[0], ENTROL_ERROR_COMMUNICATION);
        CHECK_INT(s.status[1], ENTROL_ERROR_DATA);
        CHECK_INT(s.status[2], ENTROL_ERROR_COMMUNICATION);
        CHECK(memcmp(&together, &untouched, sizeof together) == 0);
    }
}

/* So many tokens that results go past the caches: to any alignment, and nowhere else. */
static void check_many(size_t offset, size_t n, entrol_cpu cpu) {
    float *in = malloc(3 * n * sizeof *in), *out = malloc((3 * n + 200) * sizeof *out);
    float *outputs[3] = {out + 20 + offset, out + 80 + n + offset, out + 140 + 2 * n + offset};
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
    record.logprob = outputs[0];
    record.entropy = outputs[1];
    record.value = outputs[2];
    CHECK_INT(entrol_context_create(&own, &options), ENTROL_OK);
    CHECK_INT(entrol_objective_compute(own, &record, NULL, NULL, entrol_objective_find("ppo"), &tokens, NULL),
              ENTROL_OK);
    size_t n_wrong = 0;
    for (size_t i = 0; i < n; i++) {
        const double a = in[2 * n + i], r = exp((double)in[i] - in[n + i]);
        const double slope = (a > 0 && r > 1.2) || (a < 0 && r < 0.8) ? 0 : -r * a / (double)n;
        n_wrong += !(fabs(outputs[0][i] - slope) <= 1e-6 * fabs(slope));
        n_wrong += outputs[1][i] != (float)(-0.01 / (double)n);
        n_wrong += !(fabs(outputs[2][i] - (in[i] - a) / (double)n) <= 1e-6 * fabs(in[i] - a) / (double)n);
        outputs[0][i] = outputs[1][i] = outputs[2][i] = 777;
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
            n_wrong += outputs[k][i] == outputs[k][i];
            outputs[k][i] = 777;
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
    for (size_t i = 0; i < N; i++) {
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
        for (int k = 0; k < N_ARRAYS; k++)
            for (size_t i = 0; i < N; i++)
                data[k][i] = k == 1 ? data[0][i] + 0.5f * fabsf(data[0][i]) : number_of_any_size(i);
        entrol_tokens tokens = ENTROL_TOKENS_INIT;
        tokens.n_tokens = N;
        tokens.logprob = data[0];
        tokens.old_logprob = data[1];
        tokens.advantage = data[3];
        tokens.entropy = data[4];
        tokens.value = data[7];
        tokens.target_return = data[9];
        entrol_objective_result result = {.size = sizeof result};
        CHECK_INT(entrol_context_create(&own, &options), ENTROL_OK);
        CHECK_INT(entrol_objective_compute(own, NULL, &result, NULL, entrol_objective_find("reinforce"), &tokens, NULL),
                  ENTROL_OK);
        entrol_context_destroy(own);
        check_sum(options.cpu, "ln p", &result.sums[ENTROL_SUM_LOGPROB], data[0], NULL);
        check_sum(options.cpu, "A", &result.sums[ENTROL_SUM_ADVANTAGE], data[3], NULL);
        check_sum(options.cpu, "H", &result.sums[ENTROL_SUM_ENTROPY], data[4], NULL);
        check_sum(options.cpu, "R", &result.sums[ENTROL_SUM_RETURN], data[9], NULL);
        check_sum(options.cpu, "R - v", &result.sums[ENTROL_SUM_ERROR], data[9], data[7]);
        check_sum(options.cpu, "-ln r", &result.sums[ENTROL_SUM_K1], data[1], data[0]);
    }
}

/* --- at the bounds --- */

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

/* --- beta, and what is drawn --- */

static void test_beta_means_the_same(void) {
    static outputs out;
    size_t own_starts[N_SEQUENCES + 1];
    fill();
    const entrol_tokens tokens = tokens_from(0, N_SEQUENCES, own_starts);
    const entrol_objective_record record = record_of(&out, 0);
    long double sum = 0, n = 0;
    for (size_t i = 0; i < N; i++)
        if (mask[i]) {
            sum += data[4][i];
            n += 1;
        }
    for (double aggregation = 0; aggregation < 4; aggregation++) {
        const entrol_setting settings[] = {
            {"aggregation", aggregation, NULL}, {"length", 9, NULL}, {"entropy_coefficient", 0.5, NULL}};
        const entrol_objective_options options = {sizeof options, settings, 3, 0};
        blank(&out);
        CHECK_INT(entrol_objective_compute(context, &record, &out.result, NULL, entrol_objective_find("grpo"), &tokens,
                                           &options),
                  ENTROL_OK);
        CHECK_NEAR(out.result.entropy_loss, -0.5L * sum / n, 1e-12);
        CHECK_NEAR(out.arrays[1][0], -0.5L / n, 1e-10);
    }
}

/* The loss alone is the same loss, and what it does not come with is NaN. */
static void test_loss_alone(void) {
    static outputs whole, alone;
    size_t own_starts[N_SEQUENCES + 1];
    fill();
    const entrol_tokens tokens = tokens_from(0, N_SEQUENCES, own_starts);
    for (size_t k = 0; k < entrol_objective_count(); k++) {
        const entrol_objective *objective = entrol_objective_at(k);
        entrol_setting settings[8];
        const entrol_objective_options options = {sizeof options, settings, take_usual(settings, objective), 1};
        blank(&whole);
        blank(&alone);
        const entrol_objective_record record = record_of(&alone, 0);
        CHECK_INT(compute(context, &whole, NULL, objective, &tokens, 0), ENTROL_OK);
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
    static outputs out;
    static unsigned drawn[N];
    static long double exact[2][N], covariances[N];
    size_t own_starts[N_SEQUENCES + 1], n_open = 0, n_valid = 0;
    fill();
    entrol_tokens tokens = tokens_from(0, N_SEQUENCES, own_starts);
    const entrol_setting settings[] = {{"covariance_share", 0.02, NULL}};
    const entrol_objective_options options = {sizeof options, settings, 1, 0};
    const entrol_objective_record record = record_of(&out, 0);
    for (size_t i = 0; i < N; i++) {
        exact[0][i] = data[0][i];
        exact[1][i] = data[3][i];
        n_valid += mask[i];
    }
    const oracle_tokens oracle = {.n = N, .logprob = exact[0], .advantage = exact[1], .mask = mask};
    oracle_covariances(covariances, &oracle);
    memset(drawn, 0, sizeof drawn);
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        size_t n = 0;
        tokens.seed = seed;
        CHECK_INT(entrol_objective_compute(context, &record, NULL, NULL, entrol_objective_find("clip_cov"), &tokens,
                                           &options),
                  ENTROL_OK);
        for (size_t i = 0; i < N; i++)
            if (mask[i] && out.arrays[0][i] == 0 && out.arrays[4][i] == 0 && data[3][i] != 0) {
                n++;
                drawn[i]++;
                CHECK(covariances[i] > 1 && covariances[i] < 5);
            }
        CHECK_INT(n, (size_t)(0.02 * (double)n_valid));
    }
    for (size_t i = 0; i < N; i++) {
        const float ratio = expf(data[0][i] - data[1][i]);
        n_open += mask[i] && covariances[i] > 1 && covariances[i] < 5 && !(data[3][i] > 0 && ratio > 2);
    }
    const double expected = DRAWS * floor(0.02 * (double)n_valid) / (double)n_open;
    for (size_t i = 0; i < N; i++)
        CHECK_SAY(drawn[i] == 0 || fabs(drawn[i] - expected) < 6 * sqrt(expected), "token %zu was drawn %u times of %g",
                  i, drawn[i], expected);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    CHECK_INT(entrol_context_create(&context, NULL), ENTROL_OK);
    TEST(test_bad_numbers);
    TEST(test_ratios_too_great);
    TEST(test_nothing_counts);
    TEST(test_bad_arguments);
    TEST(test_no_memory);
    TEST(test_threads_and_levels);
    TEST(test_ranks);
    TEST(test_trouble_on_a_rank);
    TEST(test_many);
    TEST(test_exact_sums);
    TEST(test_kinks);
    TEST(test_value_kinks);
    TEST(test_beta_means_the_same);
    TEST(test_loss_alone);
    TEST(test_draw);
    entrol_context_destroy(context);
    return test_end();
}
