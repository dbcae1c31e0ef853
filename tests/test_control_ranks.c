/* Controllers over ranks: on 1, 2 and 4 of them, however the tokens are split, every rank has the coefficient that one
 * process with all tokens has, to the bit; and where one rank's observation is bad, no rank's controller moves. */
#include "control.h"
#include "harness_team.h"

enum { N_STEPS = 50, N_TOKENS = 600 };

/* A run's tokens, and how each step's are split: rank i has those from splits[i] to splits[i + 1]. */
typedef struct run {
    const char *name;
    float tokens[N_STEPS][N_TOKENS];
    size_t splits[N_STEPS][MOST_RANKS + 1];
} run;

typedef struct part part;

struct part {
    team *team;
    size_t rank;
    const run *run;
    void (*work)(part *part);
    entrol_context *context;
    entrol_status status, made;
    entrol_reason reason;
    entrol_command commands[N_STEPS];
    char state[ENTROL_CONTROLLER_STATE_ROOM];
};

static void *run_rank(void *argument) {
    part *part = argument;
    const entrol_comm comm = {part->rank, part->team->size, team_add_up, part->team};
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    options.comm = &comm;
    if (entrol_context_create(&part->context, &options) == ENTROL_OK)
        part->work(part);
    entrol_context_destroy(part->context);
    return NULL;
}

static void run_team(part *parts, size_t size, const run *run, void (*work)(part *part)) {
    pthread_t threads[MOST_RANKS];
    team team = {.fails_at = 0};
    team_begin(&team, size);
    for (size_t i = 0; i < size; i++) {
        parts[i] = (part){.team = &team, .rank = i, .run = run, .work = work};
        CHECK(pthread_create(&threads[i], NULL, run_rank, &parts[i]) == 0);
    }
    for (size_t i = 0; i < size; i++)
        pthread_join(threads[i], NULL);
    team_end(&team);
}

static bool is_same_run(const part *a, const part *b) {
    bool is_same = true;
    for (size_t step = 0; step < N_STEPS; step++)
        is_same &= is_same_command(&a->commands[step], &b->commands[step]);
    return is_same;
}

static void fill(run *run, const char *name) {
    run->name = name;
    for (size_t step = 0; step < N_STEPS; step++)
        for (size_t i = 0; i < N_TOKENS; i++)
            run->tokens[step][i] = (float)(entropy_of_step(4 * step) * ldexp(test_uniform(), (int)test_below(8) - 6));
}

/* Random parts, of which some are empty. */
static void split(run *run, size_t size) {
    for (size_t step = 0; step < N_STEPS; step++) {
        run->splits[step][0] = 0;
        for (size_t i = 1; i <= size; i++) {
            const size_t before = run->splits[step][i - 1];
            const size_t most = test_below(4) ? test_below(N_TOKENS + 1 - before) : 0;
            run->splits[step][i] = i == size ? N_TOKENS : before + most;
        }
    }
}

static void observe_run(part *part) {
    entrol_controller *controller = make_controller(part->context, part->run->name, NULL);
    for (size_t step = 0; step < N_STEPS; step++) {
        const size_t begin = part->run->splits[step][part->rank], end = part->run->splits[step][part->rank + 1];
        part->commands[step] = (entrol_command)ENTROL_COMMAND_INIT;
        part->status = entrol_controller_observe_tokens(part->context, &part->commands[step], NULL, controller,
                                                        part->run->tokens[step] + begin, NULL, end - begin);
        CHECK_INT(part->status, ENTROL_OK);
    }
    CHECK_INT(entrol_controller_save(part->state, NULL, sizeof part->state, controller), ENTROL_OK);
    entrol_controller_destroy(part->context, controller);
}

static void test_same_on_every_rank(void) {
    static run run;
    static part parts[MOST_RANKS], alone[1];
    for (size_t k = 0; k < entrol_controller_kind_count(); k++) {
        fill(&run, entrol_controller_kind_at(k)->name);
        split(&run, 1);
        run_team(alone, 1, &run, observe_run);
        for (size_t size = 1; size <= MOST_RANKS; size *= 2) {
            split(&run, size);
            run_team(parts, size, &run, observe_run);
            for (size_t i = 0; i < size; i++) {
                CHECK_SAY(is_same_run(&parts[i], &alone[0]), "%s, rank %zu of %zu", run.name, i, size);
                CHECK_STRING(parts[i].state, alone[0].state);
            }
        }
    }
}

/* Sums and counts of ranks are the sum and count of one. */
static void observe_sums(part *part) {
    entrol_controller *controller = make_controller(part->context, "pi", NULL);
    for (size_t step = 0; step < N_STEPS; step++) {
        const size_t begin = part->run->splits[step][part->rank], n = part->run->splits[step][part->rank + 1] - begin;
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += floor(ldexp((double)part->run->tokens[step][begin + i], 20)); /* whole numbers: without rounding */
        part->commands[step] = (entrol_command)ENTROL_COMMAND_INIT;
        CHECK_INT(entrol_controller_observe(part->context, &part->commands[step], NULL, controller, ldexp(sum, -20), n),
                  ENTROL_OK);
    }
    entrol_controller_destroy(part->context, controller);
}

static void test_sums(void) {
    static run run;
    static part parts[MOST_RANKS], alone[1];
    fill(&run, "pi");
    split(&run, 1);
    run_team(alone, 1, &run, observe_sums);
    split(&run, 4);
    run_team(parts, 4, &run, observe_sums);
    for (size_t i = 0; i < 4; i++)
        CHECK(is_same_run(&parts[i], &alone[0]));
}

/* Rank 1 observes a NaN: it is told so, the others that one of them failed, and all go on as if it had not been. */
static void observe_nan(part *part) {
    entrol_controller *controller = make_controller(part->context, "pi", NULL);
    entrol_diagnosis diagnosis;
    entrol_command command = ENTROL_COMMAND_INIT;
    CHECK_INT(entrol_controller_observe(part->context, &command, NULL, controller, 3, 2), ENTROL_OK);
    part->status = entrol_controller_observe(part->context, &command, &diagnosis, controller,
                                             part->rank == 1 ? (double)NAN : 1, 1);
    part->reason = diagnosis.reason;
    CHECK_INT(command_of(controller).step, 1);
    CHECK_INT(entrol_controller_observe(part->context, &command, &diagnosis, controller, 0, 0), ENTROL_ERROR_DATA);
    CHECK_INT(diagnosis.reason, ENTROL_REASON_EMPTY_SUPPORT);
    CHECK_INT(entrol_controller_observe(part->context, &command, NULL, controller, 1, part->rank),
              ENTROL_OK + (part->rank == 0 ? ENTROL_ERROR_DATA : ENTROL_ERROR_COMMUNICATION));
    CHECK_INT(command_of(controller).step, 1);
    entrol_controller_destroy(part->context, controller);
}

static void test_a_bad_rank(void) {
    static part parts[MOST_RANKS];
    run_team(parts, 3, NULL, observe_nan);
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(parts[i].status, i == 1 ? ENTROL_ERROR_DATA : ENTROL_ERROR_COMMUNICATION);
    CHECK_INT(parts[1].reason, ENTROL_REASON_NAN);
}

/* Ranks that make other controllers, or one a bad one. */
static int difference;

static void make_others(part *part) {
    const bool is_other = part->rank == 1;
    const char *const names[] = {"aer", "pi", "pi", "pi", "pid"};
    entrol_controller_options options = ENTROL_CONTROLLER_OPTIONS_INIT;
    const entrol_setting setting = {"kp", is_other && difference == 1 ? 0.03 : 0.02, NULL};
    entrol_controller *controller = NULL;
    options.n_actions = is_other && difference == 2 ? 3 : 4;
    part->status = entrol_controller_create(part->context, &controller, NULL, is_other ? names[difference] : "pi",
                                            is_other && difference == 0 ? NULL : &setting,
                                            is_other && difference == 0 ? 0 : 1, &options);
    CHECK(!controller == (part->status != ENTROL_OK));
    entrol_controller_destroy(part->context, controller);
}

static void test_ranks_that_differ(void) {
    static part parts[MOST_RANKS];
    for (difference = 0; difference < 5; difference++) {
        run_team(parts, 2, NULL, make_others);
        CHECK_INT(parts[0].status, difference == 3 ? ENTROL_OK : ENTROL_ERROR_COMMUNICATION);
        CHECK_INT(parts[1].status, difference == 3   ? ENTROL_OK
                                   : difference == 4 ? ENTROL_ERROR_ARGUMENT
                                                     : ENTROL_ERROR_COMMUNICATION);
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_same_on_every_rank);
    TEST(test_sums);
    TEST(test_a_bad_rank);
    TEST(test_ranks_that_differ);
    return test_end();
}
