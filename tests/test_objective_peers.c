/* Objectives and advantages beside what TRL's own code gives for the same numbers (bench/objectives.py). */
#include "harness.h"
#include "objective_vectors.h"

#include <entrol/entrol.h>

enum { N = VECTOR_SEQUENCES * VECTOR_LENGTH, N_REWARDS = VECTOR_GROUPS * VECTOR_GROUP };

static entrol_context *context;

static size_t read_settings(entrol_setting *settings, char *text) {
    size_t n = 0;
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        char *equals = strchr(word, '=');
        *equals = 0;
        settings[n++] = (entrol_setting){word, 0, equals + 1};
    }
    return n;
}

static void check_slopes(const char *name, const float *actual, const double *expected) {
    double greatest = 0; /* without fmax, on whose vectors gcc 12 stops for AArch64 */
    for (size_t i = 0; i < N; i++)
        greatest = fabs(expected[i]) > greatest ? fabs(expected[i]) : greatest;
    for (size_t i = 0; i < N; i++)
        CHECK_SAY(fabs((double)actual[i] - expected[i]) <= 1e-6 * greatest, "%s: %zu: %.9g, not %.9g", name, i,
                  (double)actual[i], expected[i]);
}

static void check_vector(size_t i) {
    size_t starts[VECTOR_SEQUENCES + 1];
    float by_logprob[N], by_entropy[N];
    entrol_setting settings[8];
    char text[200];
    for (size_t s = 0; s <= VECTOR_SEQUENCES; s++)
        starts[s] = s * VECTOR_LENGTH;
    snprintf(text, sizeof text, "%s", vectors[i].settings);
    const entrol_objective_options options = {sizeof options, settings, read_settings(settings, text), 0};
    entrol_tokens tokens = ENTROL_TOKENS_INIT;
    tokens.n_tokens = N;
    tokens.logprob = vector_logprob;
    tokens.old_logprob = vectors[i].on_policy ? NULL : vector_old_logprob;
    tokens.reference_logprob = vector_reference_logprob;
    tokens.advantage = vector_advantage;
    tokens.entropy = vector_entropy;
    tokens.weight = vectors[i].weighted ? vector_weight : NULL;
    tokens.mask = vector_mask;
    tokens.sequence_starts = starts;
    tokens.n_sequences = VECTOR_SEQUENCES;
    entrol_objective_record record = ENTROL_OBJECTIVE_RECORD_INIT;
    record.logprob = by_logprob;
    record.entropy = by_entropy;
    entrol_objective_result result = {.size = sizeof result};
    CHECK_INT(entrol_objective_compute(context, &record, &result, NULL, entrol_objective_find(vectors[i].objective),
                                       &tokens, &options),
              ENTROL_OK);
    CHECK_SAY(fabs(result.loss - vectors[i].loss) <= 1e-7 * fabs(vectors[i].loss), "%s: the loss is %.12g, not %.12g",
              vectors[i].name, result.loss, vectors[i].loss);
    check_slopes(vectors[i].name, by_logprob, vectors[i].by_logprob);
    check_slopes(vectors[i].name, by_entropy, vectors[i].by_entropy);
}

static void test_losses(void) {
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check_vector(i);
}

static void check_advantages(const char *name, const float *actual, const double *expected) {
    for (size_t i = 0; i < N_REWARDS; i++)
        CHECK_SAY(fabs((double)actual[i] - expected[i]) <= 1e-6, "%s: %zu is %.9g, not %.9g", name, i,
                  (double)actual[i], expected[i]);
}

static void test_advantages(void) {
    size_t starts[VECTOR_GROUPS + 1];
    float advantages[N_REWARDS];
    for (size_t g = 0; g <= VECTOR_GROUPS; g++)
        starts[g] = g * VECTOR_GROUP;
    const struct {
        const char *name;
        entrol_advantage_scale scale;
        const double *expected;
    } cases[] = {{"group", ENTROL_SCALE_GROUP, vector_advantages_group},
                 {"batch", ENTROL_SCALE_BATCH, vector_advantages_batch},
                 {"none", ENTROL_SCALE_NONE, vector_advantages_none}};
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(entrol_advantage_group(context, advantages, NULL, vector_rewards, starts, VECTOR_GROUPS,
                                         cases[i].scale, 1e-4),
                  ENTROL_OK);
        check_advantages(cases[i].name, advantages, cases[i].expected);
    }
    CHECK_INT(entrol_advantage_leave_one_out(context, advantages, NULL, vector_rewards, starts, VECTOR_GROUPS),
              ENTROL_OK);
    check_advantages("leave one out", advantages, vector_advantages_leave_one_out);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    CHECK_INT(entrol_context_create(&context, NULL), ENTROL_OK);
    TEST(test_losses);
    TEST(test_advantages);
    entrol_context_destroy(context);
    return test_end();
}
