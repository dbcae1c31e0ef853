/* How fast losses are computed, beside the limit of the machine in the same run.
 *
 * One JSON object a line: case, dtype, rows (tokens), columns (1), threads, cpu, seconds {min, median, max},
 * nanoseconds_per_token, limit and ratio_to_limit. The limit is the read bandwidth: the bytes of the arrays that go in
 * and come out, once, by the same threads; it is measured before every repetition and paired with it. A loss reads its
 * input twice where gates, ratios of sequences or an anchor look at it before. Cases are the objectives of the
 * registry, and PPO's gradient without its logs, and with arrays that the second-level cache holds. Options: --quick,
 * --cpu NAME, --threads N, --filter WORD. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 1 << 20, SMALL = 1 << 14, SEQUENCE = 512, N_ARRAYS = 15, REPEATS = 21 };
/* Not the same place in every cache set. */
enum { STRIDE = MOST_TOKENS + 1040 };

typedef struct workload {
    entrol_context *context;
    float *arrays; /* N_ARRAYS of STRIDE: eleven go in, four come out */
    size_t *starts;
    entrol_tokens tokens;
    entrol_objective_record record;
} workload;

static float *array(const workload *w, size_t k) {
    return w->arrays + k * STRIDE;
}

static int workload_make(workload *w) {
    w->arrays = aligned_alloc(64, (size_t)N_ARRAYS * STRIDE * sizeof *w->arrays);
    w->starts = malloc((MOST_TOKENS / SEQUENCE + 1) * sizeof *w->starts);
    if (!w->arrays || !w->starts)
        return 0;
    fill_logits(w->arrays, ENTROL_F32, (size_t)N_ARRAYS * STRIDE); /* a spread of 4 */
    for (size_t i = 0; i < MOST_TOKENS; i++) {
        array(w, 0)[i] = -array(w, 0)[i] * array(w, 0)[i] / 8;
        array(w, 1)[i] = array(w, 0)[i] + array(w, 1)[i] / 40;
        array(w, 2)[i] = array(w, 0)[i] + array(w, 2)[i] / 40;
        for (size_t k = 4; k < 7; k++)
            array(w, k)[i] = 1 + array(w, k)[i] / 20;
        array(w, 8)[i] = array(w, 7)[i] + array(w, 8)[i] / 40;
    }
    for (size_t i = 0; i <= MOST_TOKENS / SEQUENCE; i++)
        w->starts[i] = i * SEQUENCE;
    w->tokens = (entrol_tokens)ENTROL_TOKENS_INIT;
    w->record = (entrol_objective_record)ENTROL_OBJECTIVE_RECORD_INIT;
    w->record.logprob = array(w, 11);
    w->record.entropy = array(w, 12);
    w->record.value = array(w, 13);
    w->record.support_entropy = array(w, 14);
    return 1;
}

/* Only the arrays that the objective needs, and their number with those that come out. */
static size_t choose_arrays(workload *w, const entrol_objective *objective, size_t n_tokens) {
    entrol_tokens *t = &w->tokens;
    const unsigned needs = objective->needs;
    size_t n = 2;
    const float **const fields[] = {&t->logprob,   &t->old_logprob,  &t->reference_logprob, &t->advantage,
                                    &t->entropy,   &t->old_entropy,  &t->support_entropy,   &t->value,
                                    &t->old_value, &t->target_return};
    const unsigned bits[] = {
        ENTROL_NEEDS_LOGPROB,   ENTROL_NEEDS_OLD_LOGPROB, ENTROL_NEEDS_REFERENCE_LOGPROB, ENTROL_NEEDS_ADVANTAGE,
        ENTROL_NEEDS_ENTROPY,   ENTROL_NEEDS_OLD_ENTROPY, ENTROL_NEEDS_SUPPORT_ENTROPY,   ENTROL_NEEDS_VALUE,
        ENTROL_NEEDS_OLD_VALUE, ENTROL_NEEDS_VALUE};
    for (size_t k = 0; k < sizeof bits / sizeof *bits; k++) {
        *fields[k] = needs & bits[k] ? array(w, k) : NULL;
        n += *fields[k] != NULL;
    }
    w->record.value = objective->gives & ENTROL_NEEDS_VALUE ? array(w, 13) : NULL;
    w->record.support_entropy = objective->gives & ENTROL_NEEDS_SUPPORT_ENTROPY ? array(w, 14) : NULL;
    t->n_tokens = n_tokens;
    t->sequence_starts = w->starts;
    t->n_sequences = n_tokens / SEQUENCE;
    return n + (w->record.value != NULL) + (w->record.support_entropy != NULL);
}

static void run_case(workload *w, const char *name, const entrol_objective *objective, size_t n_tokens, int has_logs,
                     int quick) {
    static const entrol_setting needed[] = {{"length", SEQUENCE, NULL}, {"entropy_target", 1, NULL}};
    const int is_siren = strcmp(objective->name, "siren") == 0, is_dr = strcmp(objective->name, "dr_grpo") == 0;
    const entrol_objective_options options = {sizeof options, is_siren ? needed + 1 : needed, is_siren || is_dr,
                                              !has_logs};
    const size_t n_arrays = choose_arrays(w, objective, n_tokens), repeats = quick ? 5 : REPEATS;
    const size_t n_bytes = n_arrays * n_tokens * sizeof(float), passes = n_tokens > SMALL ? 1 : 100;
    const size_t n_threads = entrol_context_n_threads(w->context);
    double seconds[REPEATS], ratios[REPEATS];
    entrol_status status = ENTROL_OK;
    for (size_t i = 0; i <= repeats; i++) {
        const double limit = time_limit(w->arrays, NULL, n_bytes, n_threads), start = now();
        for (size_t pass = 0; pass < passes && status == ENTROL_OK; pass++) {
            entrol_objective_result result = {.size = sizeof result};
            status = entrol_objective_compute(w->context, &w->record, &result, NULL, objective, &w->tokens, &options);
        }
        if (i == 0)
            continue; /* the first one warms up */
        seconds[i - 1] = (now() - start) / (double)passes;
        ratios[i - 1] = limit / seconds[i - 1];
    }
    if (status != ENTROL_OK)
        fprintf(stderr, "bench_objective: %s: %s\n", name, entrol_status_string(status));
    printf("{\"case\": \"%s\", \"dtype\": \"f32\", \"rows\": %zu, \"columns\": 1, \"threads\": %zu, \"cpu\": \"%s\"",
           name, n_tokens, n_threads, entrol_cpu_name(entrol_context_cpu(w->context)));
    print_spread("seconds", seconds, repeats, "%.6g");
    printf(", \"nanoseconds_per_token\": %.4g, \"limit\": \"read bandwidth\"",
           median(seconds, repeats) / (double)n_tokens * 1e9);
    print_spread("ratio_to_limit", ratios, repeats, "%.3f");
    printf("}\n");
    fflush(stdout);
}

static void run_all(workload *w, const bench_settings *settings) {
    const entrol_objective *ppo = entrol_objective_find("ppo");
    for (size_t i = 0; i < entrol_objective_count(); i++) {
        const entrol_objective *objective = entrol_objective_at(i);
        if (is_wanted(settings, objective->name))
            run_case(w, objective->name, objective, MOST_TOKENS, 1, settings->quick);
    }
    if (is_wanted(settings, "ppo, no logs"))
        run_case(w, "ppo, no logs", ppo, MOST_TOKENS, 0, settings->quick);
    if (is_wanted(settings, "cached ppo"))
        run_case(w, "cached ppo", ppo, SMALL, 1, settings->quick);
}

int main(int argc, char **argv) {
    const bench_settings settings = read_bench_settings(argc, argv);
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.cpu = settings.cpu;
    options.n_threads = settings.n_threads;
    workload w = {.context = NULL};
    const entrol_status status = entrol_context_create(&w.context, &options);
    const int ok = status == ENTROL_OK && workload_make(&w);
    if (ok)
        run_all(&w, &settings);
    else
        fprintf(stderr, "bench_objective: %s\n", status ? entrol_status_string(status) : "no memory");
    free(w.arrays);
    free(w.starts);
    entrol_context_destroy(w.context);
    return ok ? 0 : 2;
}
