/* How fast a quantile is found, beside the speed at which the same threads read the values.
 *
 * One JSON object a line, as of bench_measure: case, dtype, rows (1), columns (the values), threads, cpu, seconds,
 * limit and ratio_to_limit. The limit is measured before every repetition and paired with it. Options: --quick,
 * --threads N. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REPEATS = 21 };

/* Entropies as a model's are: many near 0, a long tail, no two kinds alike. */
static void fill(float *values, size_t n, int is_tied) {
    uint64_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const float u = (float)(state >> 40) / 0x1p24f;
        values[i] = is_tied && u < 0.3f ? 0 : 8 * u * u * u;
    }
}

static void run_case(entrol_context *context, const char *name, const float *values, size_t n, size_t n_quantiles,
                     size_t repeats) {
    static const double q[] = {0.8, 0.1, 0.5, 0.95};
    double seconds[MAX_REPEATS], ratios[MAX_REPEATS], quantiles[4];
    const size_t n_threads = entrol_context_n_threads(context);
    entrol_quantile(context, quantiles, NULL, values, NULL, n, q, n_quantiles, NULL);
    for (size_t i = 0; i < repeats; i++) {
        const double limit = time_limit(values, NULL, n * sizeof *values, n_threads), start = now();
        entrol_quantile(context, quantiles, NULL, values, NULL, n, q, n_quantiles, NULL);
        seconds[i] = now() - start;
        ratios[i] = limit / seconds[i];
    }
    printf("{\"case\": \"%s\", \"dtype\": \"f32\", \"rows\": 1, \"columns\": %zu, \"threads\": %zu, \"cpu\": \"%s\"",
           name, n, n_threads, entrol_cpu_name(entrol_context_cpu(context)));
    print_spread("seconds", seconds, repeats, "%.6g");
    printf(", \"limit\": \"read bandwidth\"");
    print_spread("ratio_to_limit", ratios, repeats, "%.3f");
    printf("}\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    int quick = 0;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    entrol_context *context;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            quick = 1;
        else if (strcmp(argv[i], "--threads") == 0 && argv[i + 1])
            options.n_threads = strtoul(argv[++i], NULL, 10);
    }
    const size_t n = (size_t)1 << (quick ? 23 : 26), repeats = quick ? 5 : MAX_REPEATS;
    float *values = malloc(n * sizeof *values);
    if (!values || entrol_context_create(&context, &options) != ENTROL_OK) {
        fprintf(stderr, "no memory, or no such number of threads\n");
        return 2;
    }
    fill(values, n, 0);
    run_case(context, "a quantile", values, n, 1, repeats);
    run_case(context, "four quantiles", values, n, 4, repeats);
    fill(values, n, 1);
    run_case(context, "a quantile, a third tied", values, n, 1, repeats);
    entrol_context_destroy(context);
    free(values);
    return 0;
}
