/* Calls that several ranks make together (harness_team.h). Every rank must get what
 * one that has all the values gets. */
#include "harness.h"
#include "harness_team.h"

#include <entrol/entrol.h>

typedef struct part part;
typedef void (*work)(part *part);

/* A rank and its share of the values. */
struct part {
    team *team;
    size_t rank, begin, end;
    const float *values;
    const uint8_t *valid;
    work work;
    entrol_context *context;
    entrol_status status;
    double quantiles[8];
    entrol_diagnosis diagnosis;
    const entrol_rule *rule;
    uint8_t *keep; /* of all values */
    entrol_selection selection;
};

static void *run_rank(void *argument) {
    part *part = argument;
    const entrol_comm comm = {part->rank, part->team->size, team_add_up, part->team};
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1 + part->rank % 2;
    options.comm = &comm;
    if (entrol_context_create(&part->context, &options) == ENTROL_OK)
        part->work(part);
    entrol_context_destroy(part->context);
    return NULL;
}

/* Cuts n values into parts, one of them empty where there are several, and runs the ranks. */
static void run_team(team *team, part *parts, size_t size, const part *like, size_t n) {
    pthread_t threads[MOST_RANKS];
    team_begin(team, size);
    size_t begin = 0;
    for (size_t i = 0; i < size; i++) {
        const size_t left = n - begin, most = i + 1 == size ? left : i == 1 ? 0 : test_below(left + 1);
        parts[i] = *like;
        parts[i].team = team;
        parts[i].rank = i;
        parts[i].begin = begin;
        parts[i].end = begin += most;
        CHECK(pthread_create(&threads[i], NULL, run_rank, &parts[i]) == 0);
    }
    for (size_t i = 0; i < size; i++)
        pthread_join(threads[i], NULL);
    team_end(team);
}

static const double q_of_tests[8] = {0, 0.1, 0.25, 0.5, 0.5, 0.8, 0.99, 1};

static void find_quantiles(part *part) {
    const uint8_t *valid = part->valid ? part->valid + part->begin : NULL;
    part->status = entrol_quantile(part->context, part->quantiles, &part->diagnosis, part->values + part->begin, valid,
                                   part->end - part->begin, q_of_tests, 8, NULL);
}

static void select_values(part *part) {
    const uint8_t *valid = part->valid ? part->valid + part->begin : NULL;
    part->status = entrol_select(part->context, part->keep + part->begin, &part->selection, &part->diagnosis,
                                 part->values + part->begin, valid, part->end - part->begin, part->rule, NULL);
}

/* Few or many values, smooth, tied, or each rank's of another kind. */
static void fill(float *values, uint8_t *valid, size_t n, int kind) {
    for (size_t i = 0; i < n; i++) {
        values[i] = kind == 1 ? (float)test_below(5) : kind == 2 ? (float)(i / 1000) : (float)test_normal();
        valid[i] = test_below(5) > 0;
        values[i] = valid[i] ? values[i] : (float)NAN;
    }
}

static size_t bytes_of[MOST_RANKS + 1]; /* exchanged by so many ranks */

static void check_team(size_t size, size_t n, int kind) {
    float *values = malloc((n + 1) * sizeof *values);
    uint8_t *valid = malloc(n + 1), *keep = malloc(n + 1), *alone = malloc(n + 1);
    static const char *const rules[] = {"high:20%", "low:100", "high:77",     "p10..p90",
                                        "..0.5",    "high:0",  "low:9999999", "high:=30%"};
    team team = {.fails_at = 0};
    part parts[MOST_RANKS], like = {.values = values, .valid = valid, .keep = keep};
    entrol_context *own;
    double quantiles[8];
    fill(values, valid, n, kind);
    CHECK_INT(entrol_context_create(&own, NULL), ENTROL_OK);
    like.work = find_quantiles;
    run_team(&team, parts, size, &like, n);
    if (bytes_of[size] == 0)
        bytes_of[size] = team.n_bytes;
    CHECK_SAY(n == 0 || team.n_bytes == bytes_of[size], "%zu ranks told each other %zu bytes of %zu values, kind %d",
              size, team.n_bytes, n, kind);
    CHECK_INT(entrol_quantile(own, quantiles, NULL, values, valid, n, q_of_tests, 8, NULL), ENTROL_OK);
    for (size_t i = 0; i < size; i++) {
        CHECK_INT(parts[i].status, ENTROL_OK);
        CHECK_SAY(memcmp(parts[i].quantiles, quantiles, sizeof quantiles) == 0, "rank %zu of %zu, n = %zu, kind %d", i,
                  size, n, kind);
    }
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        entrol_rule rule;
        entrol_selection selection;
        CHECK_INT(entrol_rule_parse(&rule, NULL, rules[r]), ENTROL_OK);
        rule.tie_seed = test_below(2) * (1 + test_below(100));
        like.rule = &rule;
        like.work = select_values;
        memset(keep, 9, n);
        run_team(&team, parts, size, &like, n);
        CHECK_INT(entrol_select(own, alone, &selection, NULL, values, valid, n, &rule, NULL), ENTROL_OK);
        CHECK_SAY(memcmp(keep, alone, n) == 0, "%s on %zu ranks, n = %zu, kind %d", rules[r], size, n, kind);
        for (size_t i = 0; i < size; i++) {
            CHECK_INT(parts[i].status, ENTROL_OK);
            CHECK(parts[i].selection.n_kept == selection.n_kept && parts[i].selection.n_valid == selection.n_valid);
            CHECK(parts[i].selection.n_ties == selection.n_ties);
        }
    }
    entrol_context_destroy(own);
    free(values);
    free(valid);
    free(keep);
    free(alone);
}

static void test_ranks(void) {
    for (size_t size = 1; size <= MOST_RANKS; size += 2)
        for (int kind = 0; kind < 3; kind++) {
            check_team(size, 5000, kind);
            check_team(size, 0, kind);
            check_team(size, 300, kind);
        }
    for (int kind = 0; kind < 3; kind++)
        check_team(3, is_quick() ? 140000 : 500000, kind);
    printf("    eight quantiles on 3 ranks, of few values or many: %zu bytes from each rank\n", bytes_of[3]);
}

static void test_nan_on_a_rank(void) {
    enum { N = 400 };
    float values[N];
    team team = {.fails_at = 0};
    part parts[MOST_RANKS], like = {.values = values, .work = find_quantiles};
    for (size_t k = 0; k < 20; k++) {
        for (size_t i = 0; i < N; i++)
            values[i] = (float)test_normal();
        const size_t first = test_below(N), second = first + test_below(N - first);
        values[first] = values[second] = (float)NAN;
        run_team(&team, parts, 1 + k % 6, &like, N);
        for (size_t i = 0; i < 1 + k % 6; i++) {
            CHECK(isnan(parts[i].quantiles[3]));
            CHECK_INT(parts[i].diagnosis.first_row, first);
            CHECK_INT(parts[i].diagnosis.n_bad, 1 + (second > first));
        }
    }
}

/* One rank's arguments are bad: all of them come back, each with its own status. */
static void find_badly(part *part) {
    const double bad = 2;
    part->status = entrol_quantile(part->context, part->quantiles, &part->diagnosis, part->values, NULL, 10,
                                   part->rank == 1 ? &bad : q_of_tests, 1, NULL);
}

static void test_bad_arguments_of_a_rank(void) {
    static const float values[10];
    team team = {.fails_at = 0};
    part parts[MOST_RANKS], like = {.values = values, .work = find_badly};
    run_team(&team, parts, 3, &like, 10);
    CHECK_INT(parts[0].status, ENTROL_ERROR_COMMUNICATION);
    CHECK_INT(parts[1].status, ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(parts[1].diagnosis.argument, "q");
    CHECK_INT(parts[2].status, ENTROL_ERROR_COMMUNICATION);
}

/* Ranks that ask for other quantiles, for more of them, by another method or rule: none gets a result. */
static int difference;

static void find_others(part *part) {
    static const double q[2][3] = {{0.8, 0.5, 0.1}, {0.8, 0.2, 0.1}};
    entrol_quantile_options options = ENTROL_QUANTILE_OPTIONS_INIT;
    entrol_rule rule = {.kind = ENTROL_RULE_HIGH_COUNT, .count = 3};
    const int is_other = part->rank == 1;
    options.method = is_other && difference == 2 ? ENTROL_QUANTILE_HAZEN : ENTROL_QUANTILE_LINEAR;
    options.nan = is_other && difference == 3 ? ENTROL_NAN_IGNORE : ENTROL_NAN_ERROR;
    rule.count += (uint64_t)(is_other && difference == 4);
    if (difference < 4)
        part->status = entrol_quantile(part->context, part->quantiles, NULL, part->values, NULL, 10,
                                       q[is_other && difference == 0], is_other && difference == 1 ? 2 : 3, &options);
    else
        part->status = entrol_select(part->context, NULL, NULL, NULL, part->values, NULL, 10, &rule, &options);
}

static void test_ranks_that_differ(void) {
    static const float values[10];
    team team = {.fails_at = 0};
    part parts[MOST_RANKS], like = {.values = values, .work = find_others};
    for (difference = 0; difference < 6; difference++) {
        run_team(&team, parts, 3, &like, 10);
        for (size_t i = 0; i < 3; i++)
            CHECK_INT(parts[i].status, difference < 5 ? ENTROL_ERROR_COMMUNICATION : ENTROL_OK);
    }
}

/* Every message in turn is lost. */
static void test_lost_messages(void) {
    enum { N = 1000 };
    float values[N];
    uint8_t keep[N];
    entrol_rule rule;
    CHECK_INT(entrol_rule_parse(&rule, NULL, "high:100"), ENTROL_OK);
    for (size_t i = 0; i < N; i++)
        values[i] = (float)test_below(50);
    for (size_t fails_at = 1;; fails_at++) {
        team team = {.fails_at = fails_at};
        part parts[MOST_RANKS], like = {.values = values, .work = select_values, .rule = &rule, .keep = keep};
        run_team(&team, parts, 2, &like, N);
        if (team.n_calls < fails_at)
            break;
        CHECK_INT(parts[0].status, ENTROL_ERROR_COMMUNICATION);
        CHECK_INT(parts[1].status, ENTROL_ERROR_COMMUNICATION);
    }
}

static void test_bad_comms(void) {
    team team = {.fails_at = 0};
    const entrol_comm bad[] = {{0, 0, team_add_up, &team}, {2, 2, team_add_up, &team}, {0, 2, NULL, NULL}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
        entrol_context *none;
        options.comm = &bad[i];
        CHECK_INT(entrol_context_create(&none, &options), ENTROL_ERROR_ARGUMENT);
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_ranks);
    TEST(test_nan_on_a_rank);
    TEST(test_bad_arguments_of_a_rank);
    TEST(test_ranks_that_differ);
    TEST(test_lost_messages);
    TEST(test_bad_comms);
    return test_end();
}
