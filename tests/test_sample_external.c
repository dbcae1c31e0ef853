/* Rules of somebody else's: what they see, what they may do and what becomes of a draw when they misbehave; their state
 * in accept, reset and clone; and memory that is refused while there are some. */
#include "harness_sample.h"

static entrol_context *context;

enum { N = 6, MOST_SEEN = 8 };

static const float logits[N] = {1, -INFINITY, 3, 2, 0, 2.5f};

static entrol_matrix row(void) {
    return (entrol_matrix){logits, ENTROL_F32, 1, N, N};
}

/* One rule's state; all of them are counted. */
typedef struct state {
    double setting;
    int32_t accepted;
    int n_accepted, n_reset;
} state;

static int n_live;
static bool refuses_clone, has_no_clone;

/* What the last call of `see` was given, and the state of the last rule that was applied. */
static struct {
    int32_t tokens[MOST_SEEN];
    float logits[MOST_SEEN];
    size_t n;
    state state;
} seen;

static entrol_status see(void *user, entrol_candidates *candidates) {
    seen.n = candidates->n;
    seen.state = *(state *)user;
    CHECK_INT(candidates->chosen, -1);
    for (size_t i = 0; i < candidates->n && i < MOST_SEEN; i++) {
        seen.tokens[i] = candidates->tokens[i];
        seen.logits[i] = candidates->logits[i];
    }
    return ENTROL_OK;
}

static entrol_status drop_all(void *user, entrol_candidates *candidates) {
    (void)user;
    candidates->n = 0;
    return ENTROL_OK;
}

static entrol_status forbid_all(void *user, entrol_candidates *candidates) {
    (void)user;
    for (size_t i = 0; i < candidates->n; i++)
        candidates->logits[i] = -INFINITY;
    return ENTROL_OK;
}

static entrol_status give(entrol_candidates *candidates, float logit) {
    candidates->logits[candidates->n - 1] = logit;
    return ENTROL_OK;
}

static entrol_status give_nan(void *user, entrol_candidates *candidates) {
    (void)user;
    return give(candidates, NAN);
}

static entrol_status give_infinity(void *user, entrol_candidates *candidates) {
    (void)user;
    return give(candidates, INFINITY);
}

static entrol_status fail(void *user, entrol_candidates *candidates) {
    (void)user;
    candidates->n = 1;
    return ENTROL_ERROR_UNSUPPORTED;
}

/* The token that the setting names. */
static entrol_status choose(void *user, entrol_candidates *candidates) {
    candidates->chosen = (int32_t)((state *)user)->setting;
    return ENTROL_OK;
}

/* Token 0 is out, the others are turned round and 1 per token is added. */
static entrol_status turn(void *user, entrol_candidates *candidates) {
    (void)user;
    size_t n = 0;
    for (size_t i = candidates->n; i-- > 0;)
        if (candidates->tokens[i] != 0) {
            seen.tokens[n] = candidates->tokens[i];
            seen.logits[n++] = candidates->logits[i] + (float)candidates->tokens[i];
        }
    memcpy(candidates->tokens, seen.tokens, n * sizeof *seen.tokens);
    memcpy(candidates->logits, seen.logits, n * sizeof *seen.logits);
    candidates->n = n;
    return ENTROL_OK;
}

static void accept(void *user, int32_t token) {
    state *state = user;
    state->accepted = token;
    state->n_accepted++;
}

static void reset(void *user) {
    ((state *)user)->n_reset++;
}

static void *copy(const void *user) {
    state *made = refuses_clone ? NULL : malloc(sizeof *made);
    if (!made)
        return NULL;
    *made = *(const state *)user;
    n_live++;
    return made;
}

static void release(void *user) {
    n_live--;
    free(user);
}

static const char *const colours[] = {"red", "green", NULL};

static const entrol_parameter of_all[] = {
    {.name = "setting", .low = -100, .high = 100, .says = "what it says"},
    {.name = "n", .type = ENTROL_PARAMETER_WHOLE, .initial = 7, .low = 1, .high = 9, .says = "a number"},
    {.name = "colour", .type = ENTROL_PARAMETER_CHOICE, .choices = colours, .says = "a colour"},
};
static const entrol_parameter nine[9] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}, {.name = "e"},
                                         {.name = "f"}, {.name = "g"}, {.name = "h"}, {.name = "i"}};
static const entrol_parameter of_text[] = {{.name = "words", .type = ENTROL_PARAMETER_TEXT, .text = ""}};

#define OF_ALL of_all, 3, "", NULL
static const struct {
    entrol_sampling_rule kind;
    entrol_status (*apply)(void *user, entrol_candidates *candidates);
} known[] = {{{"see", OF_ALL}, see},
             {{"drop_all", OF_ALL}, drop_all},
             {{"forbid_all", OF_ALL}, forbid_all},
             {{"give_nan", OF_ALL}, give_nan},
             {{"give_infinity", OF_ALL}, give_infinity},
             {{"fail", OF_ALL}, fail},
             {{"choose", OF_ALL}, choose},
             {{"turn", OF_ALL}, turn},
             {{"lazy", NULL, 0, "", NULL}, NULL},
             {{"greedy", OF_ALL}, fail}, /* the registry has it */
             {{"nine", nine, 9, "", NULL}, see},
             {{"text", of_text, 1, "", NULL}, see}};

static const entrol_sampling_rule *find(void *user, const char *name) {
    CHECK(user == &n_live);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].kind.name, name) == 0)
            return &known[i].kind;
    return NULL;
}

/* What the last rule was made with. */
static struct {
    double values[3];
    uint64_t seed;
} made;

/* `choose` with a setting of 99 in green does not go together. */
static entrol_status make(void *user, entrol_external_rule *rule, const entrol_sampling_rule *kind,
                          const double *values, uint64_t seed) {
    CHECK(user == &n_live);
    size_t i = 0;
    while (&known[i].kind != kind)
        i++;
    memcpy(made.values, values, kind->n_parameters * sizeof *values);
    made.seed = seed;
    if (known[i].apply == choose && values[0] == 99 && values[2] == 1)
        return ENTROL_ERROR_ARGUMENT;
    if (refuses_clone)
        return ENTROL_ERROR_MEMORY;
    if (known[i].apply)
        *rule = (entrol_external_rule){
            known[i].apply, accept, reset, has_no_clone ? NULL : copy, release, copy(&(state){.setting = values[0]})};
    return ENTROL_OK;
}

static const entrol_rule_source source = {sizeof source, find, make, &n_live};
static const entrol_sampler_options options = {sizeof options, 3, 0, &source};

static entrol_sampler *sampler_after(const char *first, const char *external, const char *last) {
    const char *const rules[] = {first, external, last};
    return sampler_with(context, rules, last ? 3 : 2, &options);
}

/* --- What they see and do --- */

static void test_what_a_rule_sees(void) {
    const entrol_matrix matrix = row();
    entrol_sampler *sampler = sampler_after("temperature=0.5", "see", "top-k=2");
    double logprobs[N];
    const entrol_drawn drawn = draw_one(context, sampler, logprobs, &matrix);
    CHECK_INT(seen.n, 5);
    for (size_t i = 0, column = 0; i < 5; i++, column++) {
        column += column == 1; /* which is -inf */
        CHECK_INT(seen.tokens[i], column);
        CHECK_NEAR(seen.logits[i], logits[column] / 0.5f, 1e-6);
    }
    CHECK(drawn.n_candidates == 2 && drawn.is_chosen == 0);
    CHECK_NEAR(logprobs[2], -log1p(exp(-1)), 1e-6);
    const int32_t tokens[N] = {10, 11, 20, 21, 30, 40};
    entrol_drawn other = ENTROL_DRAWN_INIT;
    CHECK_INT(entrol_sampler_draw(context, sampler, &other, 1, NULL, NULL, &matrix, tokens), ENTROL_OK);
    CHECK(seen.tokens[0] == 10 && seen.tokens[1] == 20 && seen.tokens[4] == 40);
    entrol_sampler_destroy(context, sampler);
    sampler = sampler_after("top-k=2", "see", NULL);
    draw_one(context, sampler, NULL, &matrix);
    CHECK(seen.n == 2 && seen.tokens[0] == 2 && seen.tokens[1] == 5);
    entrol_sampler_destroy(context, sampler);
    CHECK_INT(n_live, 0);
}

/* Candidates come back in any order, with other logits: q is softmax of those, and rules behind see them. */
static void test_what_a_rule_changes(void) {
    const entrol_matrix matrix = row();
    const double moved[N] = {-INFINITY, -INFINITY, 5, 5, 4, 7.5};
    double sum = 0, logprobs[N];
    for (size_t i = 0; i < N; i++)
        sum += exp(moved[i]);
    entrol_sampler *sampler = sampler_after("temperature=1", "turn", NULL);
    entrol_drawn drawn = draw_one(context, sampler, logprobs, &matrix);
    for (size_t i = 0; i < N; i++)
        CHECK_NEAR(logprobs[i], moved[i] - log(sum), 1e-6);
    CHECK(drawn.n_candidates == 4 && drawn.token >= 2);
    CHECK_NEAR(drawn.sampled_logprob, logprobs[drawn.token], 1e-6);
    CHECK_NEAR(drawn.logprob - logits[drawn.token], -log(exp(1) + exp(3) + exp(2) + exp(0) + exp(2.5)), 1e-6);
    entrol_sampler_destroy(context, sampler);
    sampler = sampler_after("temperature=1", "turn", "top-k=2"); /* 5 and, of equals, the lower column: 2 */
    drawn = draw_one(context, sampler, logprobs, &matrix);
    CHECK_INT(drawn.n_candidates, 2);
    CHECK_NEAR(logprobs[5], -log1p(exp(-2.5)), 1e-6);
    CHECK_NEAR(logprobs[2], -2.5 - log1p(exp(-2.5)), 1e-6);
    CHECK(logprobs[3] == -INFINITY);
    entrol_sampler_destroy(context, sampler);
    CHECK_INT(n_live, 0);
}

/* A chosen token is the one that comes, whatever the counter says; ln q of it is that of what is left. */
static void test_chosen(void) {
    const entrol_matrix matrix = row();
    double logprobs[N];
    entrol_sampler *sampler = sampler_after("temperature=2", "choose=4", NULL);
    for (uint64_t stream = 0; stream < 50; stream++) {
        entrol_sampler_set_stream(sampler, stream);
        const entrol_drawn drawn = draw_one(context, sampler, logprobs, &matrix);
        CHECK(drawn.token == 4 && drawn.is_chosen == 1 && drawn.n_candidates == 5);
        CHECK_NEAR(drawn.sampled_logprob, logprobs[4], 1e-6);
    }
    entrol_sampler_destroy(context, sampler);
    CHECK_INT(n_live, 0);
}

/* --- What they may not do --- */

static void check_trouble(const char *external, entrol_reason reason) {
    const entrol_matrix matrix = row();
    for (size_t n_before = 0; n_before < 3; n_before++) {
        const char *rules[] = {"temperature=0.5", "top-k=3", NULL, "top-p=0.9"};
        rules[n_before] = external;
        entrol_sampler *sampler = sampler_with(context, rules, n_before + 1, &options);
        entrol_drawn drawn = ENTROL_DRAWN_INIT;
        entrol_diagnosis diagnosis = {0};
        CHECK_INT(entrol_sampler_draw(context, sampler, &drawn, 1, NULL, &diagnosis, &matrix, NULL), ENTROL_OK);
        CHECK_SAY(drawn.token == -1 && isnan(drawn.sampled_logprob) && diagnosis.n_bad == 1 &&
                      diagnosis.reason == reason && diagnosis.first_row == 1 + n_before,
                  "%s: token %d, %zu bad, row %zu, %s", external, drawn.token, diagnosis.n_bad, diagnosis.first_row,
                  entrol_reason_string(diagnosis.reason));
        entrol_sampler_destroy(context, sampler);
    }
    CHECK_INT(n_live, 0);
}

static void test_rules_in_trouble(void) {
    check_trouble("drop-all", ENTROL_REASON_EMPTY_SUPPORT);
    check_trouble("forbid-all", ENTROL_REASON_EMPTY_SUPPORT);
    check_trouble("give-nan", ENTROL_REASON_NAN);
    check_trouble("give-infinity", ENTROL_REASON_INFINITE);
}

/* The status is the rule's, and nothing was written. */
static void test_a_rule_that_fails(void) {
    const entrol_matrix matrix = row();
    static const struct {
        const char *rule;
        entrol_status status;
    } failing[] = {{"fail", ENTROL_ERROR_UNSUPPORTED},
                   {"choose=1", ENTROL_ERROR_ARGUMENT}, /* no candidate: -inf */
                   {"choose=6", ENTROL_ERROR_ARGUMENT},
                   {"choose=-2", ENTROL_ERROR_ARGUMENT}};
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
        entrol_sampler *sampler = sampler_after("temperature=0.5", failing[i].rule, "top-k=3");
        entrol_drawn drawn = {.size = sizeof drawn, .token = 77, .entropy = 77};
        double logprobs[N] = {77};
        const entrol_destination destination = {logprobs, ENTROL_F64, N, 0};
        CHECK_INT(entrol_sampler_draw(context, sampler, &drawn, 1, &destination, NULL, &matrix, NULL),
                  failing[i].status);
        CHECK(drawn.token == 77 && drawn.entropy == 77 && logprobs[0] == 77);
        entrol_sampler_destroy(context, sampler);
    }
    CHECK_INT(n_live, 0);
}

/* --- How they are made --- */

static void check_refused(const char *rule, const char *argument, size_t offset) {
    const char *const rules[] = {"see=1", rule};
    entrol_sampler *sampler = NULL;
    entrol_diagnosis diagnosis = {0};
    CHECK_INT(entrol_sampler_create(context, &sampler, &diagnosis, rules, 2, &options), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, argument);
    CHECK_SAY(diagnosis.first_row == 1 && diagnosis.first_column == offset, "%s: rule %zu, offset %zu", rule,
              diagnosis.first_row, diagnosis.first_column);
    CHECK(!sampler && n_live == 0);
}

/* Their texts are read as the registry's are. */
static void test_bad_settings_of_a_rule(void) {
    check_refused("nobody", "rules", 0);
    check_refused("see,much=1", "rules", 4);
    check_refused("see=1,much=1", "rules", 6);
    check_refused("see=1,", "rules", 6);
    check_refused("see=101", "setting", 4);
    check_refused("see=", "setting", 4);
    check_refused("see,setting", "rules", 11);
    check_refused("see=.5", "setting", 4); /* as of the registry's rules */
    check_refused("see=0x1", "setting", 4);
    check_refused("see=1,n=2.5", "n", 8);
    check_refused("see=1,n=2,colour=blue", "colour", 17);
    check_refused("choose=99,colour=green", "rules", 0); /* which only the source knows */
    check_refused("lazy=1", "rules", 5);
    check_refused("lazy", "rules", 0); /* one that does nothing is none */
}

static void test_settings_of_a_rule(void) {
    entrol_sampler_destroy(context, sampler_after("greedy", "see=2.5,colour=green", NULL));
    CHECK(made.values[0] == 2.5 && made.values[1] == 7 && made.values[2] == 1);
    entrol_sampler_destroy(context, sampler_after("top-k=2", "choose,setting=-1e1,n=3,setting=4", NULL));
    CHECK(made.values[0] == 4 && made.values[1] == 3 && made.values[2] == 0);
    CHECK_INT(n_live, 0);
}

static void test_tables_that_cannot_be_read(void) {
    static const char *const rules[] = {"nine", "text"};
    entrol_sampler *sampler = NULL;
    for (size_t i = 0; i < 2; i++)
        CHECK_INT(entrol_sampler_create(context, &sampler, NULL, &rules[i], 1, &options), ENTROL_ERROR_UNSUPPORTED);
    const entrol_rule_source bad[] = {
        {0, find, make, &n_live}, {sizeof source, NULL, make, &n_live}, {sizeof source, find, NULL, &n_live}};
    for (size_t i = 0; i < 3; i++) {
        const entrol_sampler_options other = {sizeof other, 3, 0, &bad[i]};
        entrol_diagnosis diagnosis = {0};
        CHECK_INT(entrol_sampler_create(context, &sampler, &diagnosis, NULL, 0, &other), ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(diagnosis.argument, "options");
    }
    CHECK(!sampler);
}

static uint64_t seed_made(uint64_t seed, uint64_t stream, size_t n_before) {
    const entrol_sampler_options other = {sizeof other, seed, stream, &source};
    const char *rules[] = {"top-k=2", "top-k=2", "top-k=2"};
    rules[n_before] = "see";
    entrol_sampler_destroy(context, sampler_with(context, rules, n_before + 1, &other));
    return made.seed;
}

/* Of the sampler's seed, its stream and the rule's place, and of nothing else. */
static void test_seeds_of_rules(void) {
    uint64_t seeds[27];
    size_t n = 0;
    for (uint64_t seed = 0; seed < 3; seed++)
        for (uint64_t stream = 0; stream < 3; stream++)
            for (size_t n_before = 0; n_before < 3; n_before++) {
                seeds[n] = seed_made(seed, stream, n_before);
                CHECK(seeds[n++] == seed_made(seed, stream, n_before));
            }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            CHECK((uint32_t)seeds[i] != (uint32_t)seeds[j]);
}

/* A rule by its text. */
static void test_rules_of_texts(void) {
    CHECK(entrol_sampling_rule_of("min-p=0.1,x", NULL) == entrol_sampling_rule_find("min_p"));
    CHECK(entrol_sampling_rule_of("min_p", &source) == entrol_sampling_rule_find("min_p"));
    CHECK(entrol_sampling_rule_of("greedy,x=1", &source) == entrol_sampling_rule_find("greedy"));
    CHECK(entrol_sampling_rule_of("drop-all,x=1", &source) == &known[1].kind);
    static const char *const none[] = {"", "=1", "min-p ", "nobody", "drop-all"};
    for (size_t i = 0; i < 5; i++)
        CHECK(entrol_sampling_rule_of(none[i], NULL) == NULL);
    char name[80] = "";
    memset(name, 'a', sizeof name - 1);
    CHECK(entrol_sampling_rule_of(name, &source) == NULL);
}

/* --- State --- */

static state state_of(entrol_sampler *sampler) {
    const entrol_matrix matrix = row();
    draw_one(context, sampler, NULL, &matrix);
    return seen.state;
}

static void test_state(void) {
    entrol_sampler *sampler = sampler_after("top-k=3", "see=2.5", NULL), *clone = NULL;
    CHECK(state_of(sampler).setting == 2.5 && n_live == 1);
    entrol_sampler_accept(sampler, 5);
    entrol_sampler_accept(sampler, 3);
    CHECK(state_of(sampler).n_accepted == 2 && state_of(sampler).accepted == 3);
    CHECK_INT(entrol_sampler_clone(context, &clone, sampler), ENTROL_OK);
    CHECK(n_live == 2 && state_of(clone).n_accepted == 2);
    entrol_sampler_accept(clone, 2);
    entrol_sampler_reset(sampler);
    CHECK(state_of(sampler).n_accepted == 2 && state_of(sampler).n_reset == 1);
    CHECK(state_of(clone).n_accepted == 3 && state_of(clone).accepted == 2 && state_of(clone).n_reset == 0);
    CHECK_INT(entrol_sampler_set(sampler, 1, "setting", 1), ENTROL_ERROR_ARGUMENT); /* not of the registry */
    entrol_sampler_destroy(context, sampler);
    CHECK(n_live == 1 && state_of(clone).setting == 2.5);
    entrol_sampler_destroy(context, clone);
    CHECK_INT(n_live, 0);
    has_no_clone = true; /* what is released cannot be shared */
    sampler = sampler_after("top-k=3", "see=2.5", NULL);
    CHECK_INT(entrol_sampler_clone(context, &clone, sampler), ENTROL_ERROR_UNSUPPORTED);
    entrol_sampler_destroy(context, sampler);
    has_no_clone = false;
    CHECK(n_live == 0);
}

/* Tokens of a prompt are told, and move nothing: the text is the same one. */
static void test_prompts(void) {
    const entrol_matrix matrix = row();
    entrol_sampler *sampler = sampler_after("temperature=2", "see", NULL),
                   *other = sampler_after("temperature=2", "see", NULL);
    entrol_sampler_read(sampler, 900);
    entrol_sampler_read(sampler, 4);
    CHECK(state_of(sampler).n_accepted == 2 && state_of(sampler).accepted == 4);
    CHECK(state_of(other).n_accepted == 0);
    for (size_t i = 0; i < 50; i++) {
        const int32_t token = draw_one(context, other, NULL, &matrix).token;
        CHECK_INT(draw_one(context, sampler, NULL, &matrix).token, token);
        entrol_sampler_accept(sampler, token);
        entrol_sampler_accept(other, token);
    }
    entrol_sampler_destroy(context, sampler);
    entrol_sampler_destroy(context, other);
    sampler = sampler_after("temperature=2", "top-k=3", NULL);
    entrol_sampler_read(sampler, 4); /* nobody to tell */
    entrol_sampler_destroy(context, sampler);
    CHECK_INT(n_live, 0);
}

/* Only `apply`: nothing to tell, to copy or to release. */
static entrol_status make_plain(void *user, entrol_external_rule *rule, const entrol_sampling_rule *kind,
                                const double *values, uint64_t seed) {
    (void)user, (void)kind, (void)values, (void)seed;
    *rule = (entrol_external_rule){.apply = turn};
    return ENTROL_OK;
}

static void test_a_rule_without_state(void) {
    const entrol_rule_source of_plain = {sizeof of_plain, find, make_plain, &n_live};
    const entrol_sampler_options plain = {sizeof plain, 3, 0, &of_plain};
    const entrol_matrix matrix = row();
    const char *const rules[] = {"turn"};
    entrol_sampler *sampler = sampler_with(context, rules, 1, &plain), *clone = NULL;
    entrol_sampler_accept(sampler, 2);
    CHECK_INT(entrol_sampler_clone(context, &clone, sampler), ENTROL_OK);
    CHECK_INT(draw_one(context, clone, NULL, &matrix).token, draw_one(context, sampler, NULL, &matrix).token);
    entrol_sampler_reset(clone);
    entrol_sampler_destroy(context, sampler);
    CHECK_INT(draw_one(context, clone, NULL, &matrix).n_candidates, 4);
    entrol_sampler_destroy(context, clone);
}

/* --- Memory --- */

static counted_memory counted;

static entrol_context *context_of_some(void) {
    entrol_context_options some = ENTROL_CONTEXT_OPTIONS_INIT;
    some.n_threads = 1;
    some.allocate = counted_allocate;
    some.release = counted_release;
    some.allocate_user = &counted;
    entrol_context *limited = NULL;
    counted.n_left = 100;
    CHECK_INT(entrol_context_create(&limited, &some), ENTROL_OK);
    return limited;
}

static const char *const five[] = {"temperature=2", "see=1", "dynamic-temperature=1,range=0.5", "see=2", "top-p=0.9"};

static entrol_sampler *make_as_memory_allows(entrol_context *some) {
    entrol_sampler *sampler = NULL;
    const int n_before = counted.n_held;
    entrol_status status = ENTROL_ERROR_MEMORY;
    for (int k = 0; k < 100 && status == ENTROL_ERROR_MEMORY; k++) {
        CHECK(!sampler && counted.n_held == n_before && n_live == 0);
        counted.n_left = k;
        status = entrol_sampler_create(some, &sampler, NULL, five, 5, &options);
        CHECK(k > 0 || status == ENTROL_ERROR_MEMORY);
    }
    CHECK(status == ENTROL_OK && n_live == 2);
    return sampler;
}

static entrol_sampler *clone_as_memory_allows(entrol_context *some, const entrol_sampler *sampler) {
    entrol_sampler *clone = NULL;
    const int n_before = counted.n_held;
    entrol_status status = ENTROL_ERROR_MEMORY;
    for (int k = 0; k < 100 && status == ENTROL_ERROR_MEMORY; k++) {
        CHECK(!clone && counted.n_held == n_before && n_live == 2);
        counted.n_left = k;
        status = entrol_sampler_clone(some, &clone, sampler);
        CHECK(k > 0 || status == ENTROL_ERROR_MEMORY);
    }
    CHECK(status == ENTROL_OK && n_live == 4);
    return clone;
}

/* A longer row needs more memory each time; the same row again, or a shorter one, none. */
static void draw_as_memory_allows(entrol_context *some, entrol_sampler *sampler, size_t n) {
    float *values = calloc(n, sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)test_normal();
    const entrol_matrix matrix = {values, ENTROL_F32, 1, n, (ptrdiff_t)n};
    entrol_drawn drawn = {.size = sizeof drawn, .token = 77}, again = ENTROL_DRAWN_INIT;
    entrol_status status = ENTROL_ERROR_MEMORY;
    for (int k = 0; k < 100 && status == ENTROL_ERROR_MEMORY; k++) {
        CHECK_INT(drawn.token, 77);
        counted.n_left = k;
        status = entrol_sampler_draw(some, sampler, &drawn, 1, NULL, NULL, &matrix, NULL);
        CHECK(k > 0 || status == ENTROL_ERROR_MEMORY);
    }
    counted.n_left = 0;
    CHECK(status == ENTROL_OK && drawn.token >= 0);
    CHECK_INT(entrol_sampler_draw(some, sampler, &again, 1, NULL, NULL, &matrix, NULL), ENTROL_OK);
    CHECK_INT(again.token, drawn.token);
    const entrol_matrix shorter = {values, ENTROL_F32, 1, n / 2, (ptrdiff_t)n};
    CHECK_INT(entrol_sampler_draw(some, sampler, &again, 1, NULL, NULL, &shorter, NULL), ENTROL_OK);
    free(values);
}

static void test_no_memory(void) {
    entrol_context *some = context_of_some();
    entrol_sampler *sampler = make_as_memory_allows(some);
    draw_as_memory_allows(some, sampler, 100);
    draw_as_memory_allows(some, sampler, 100000);
    entrol_sampler *clone = clone_as_memory_allows(some, sampler);
    entrol_sampler_destroy(some, sampler);
    entrol_sampler_destroy(some, clone);
    CHECK_INT(n_live, 0);
    entrol_context_destroy(some);
    CHECK_INT(counted.n_held, 0);
}

/* The rule itself has none: neither is made, and what was copied before it is released. */
static void test_a_rule_without_memory(void) {
    entrol_sampler *sampler = NULL, *clone = NULL;
    refuses_clone = true;
    CHECK_INT(entrol_sampler_create(context, &sampler, NULL, five, 5, &options), ENTROL_ERROR_MEMORY);
    CHECK(!sampler && n_live == 0);
    refuses_clone = false;
    sampler = sampler_with(context, five, 5, &options);
    refuses_clone = true;
    CHECK_INT(entrol_sampler_clone(context, &clone, sampler), ENTROL_ERROR_MEMORY);
    refuses_clone = false;
    CHECK(!clone && n_live == 2);
    const entrol_matrix matrix = row();
    CHECK(draw_one(context, sampler, NULL, &matrix).token >= 0);
    entrol_sampler_destroy(context, sampler);
    CHECK_INT(n_live, 0);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    context = context_at(ENTROL_CPU_BEST, 1);
    TEST(test_what_a_rule_sees);
    TEST(test_what_a_rule_changes);
    TEST(test_chosen);
    TEST(test_rules_in_trouble);
    TEST(test_a_rule_that_fails);
    TEST(test_bad_settings_of_a_rule);
    TEST(test_settings_of_a_rule);
    TEST(test_tables_that_cannot_be_read);
    TEST(test_seeds_of_rules);
    TEST(test_rules_of_texts);
    TEST(test_state);
    TEST(test_prompts);
    TEST(test_a_rule_without_state);
    TEST(test_no_memory);
    TEST(test_a_rule_without_memory);
    entrol_context_destroy(context);
    return test_end();
}
