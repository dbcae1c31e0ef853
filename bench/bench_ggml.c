/* Entropy and log-probability beside ggml's softmax of the same rows, by turns, on the same number of threads. ggml's
 * gives the probabilities and no more; what llama.cpp's users do with them comes on top.
 *
 * One JSON object a line: case, dtype, rows, columns, threads, cpu, seconds {min, median, max}, gigabytes_per_second,
 * peer and ratio_to_peer. Options: --quick, --threads N. */
#include "harness.h"

#include <ggml-cpu.h>
#include <ggml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 15 };

static int run_case(entrol_context *context, size_t n_rows, size_t n_columns, size_t repeats) {
    const size_t n = n_rows * n_columns;
    const int n_threads = (int)entrol_context_n_threads(context);
    struct ggml_context *ggml =
        ggml_init((struct ggml_init_params){2 * n * sizeof(float) + ((size_t)64 << 20), NULL, false});
    float *values = malloc(2 * n_rows * sizeof *values);
    int64_t *targets = calloc(n_rows, sizeof *targets);
    if (!ggml || !values || !targets) {
        fprintf(stderr, "bench_ggml: no memory\n");
        return 1;
    }
    struct ggml_tensor *logits = ggml_new_tensor_2d(ggml, GGML_TYPE_F32, (int64_t)n_columns, (int64_t)n_rows);
    struct ggml_cgraph *graph = ggml_new_graph(ggml);
    fill_logits(logits->data, ENTROL_F32, n);
    ggml_build_forward_expand(graph, ggml_soft_max(ggml, logits));
    entrol_record record = ENTROL_RECORD_INIT;
    record.entropy = values;
    record.logprob = values + n_rows;
    const entrol_matrix matrix = {logits->data, ENTROL_F32, n_rows, n_columns, (ptrdiff_t)n_columns};
    double seconds[MOST], ratios[MOST];
    for (size_t i = 0; i <= repeats; i++) { /* the first warms up */
        const size_t at = i ? i - 1 : 0;
        const double start = now();
        if (ggml_graph_compute_with_ctx(ggml, graph, n_threads) != GGML_STATUS_SUCCESS)
            return 1;
        const double middle = now();
        if (entrol_measure_rows(context, &record, NULL, &matrix, targets, NULL) != ENTROL_OK)
            return 1;
        seconds[at] = now() - middle;
        ratios[at] = (middle - start) / seconds[at];
    }
    printf("{\"case\": \"entropy and log-probability\", \"dtype\": \"f32\", \"rows\": %zu, \"columns\": %zu, "
           "\"threads\": %d, "
           "\"cpu\": \"%s\"",
           n_rows, n_columns, n_threads, entrol_cpu_name(entrol_context_cpu(context)));
    print_spread("seconds", seconds, repeats, "%.6g");
    printf(", \"gigabytes_per_second\": %.4g, \"peer\": \"ggml's softmax\"",
           (double)n * sizeof(float) / seconds[repeats / 2] / 1e9);
    print_spread("ratio_to_peer", ratios, repeats, "%.6g");
    printf("}\n");
    fflush(stdout);
    ggml_free(ggml);
    free(values);
    free(targets);
    return 0;
}

int main(int argc, char **argv) {
    int quick = 0;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    for (int i = 1; i < argc; i++) {
        quick |= strcmp(argv[i], "--quick") == 0;
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            options.n_threads = strtoul(argv[i + 1], NULL, 10);
    }
    entrol_context *context;
    if (entrol_context_create(&context, &options) != ENTROL_OK) {
        fprintf(stderr, "bench_ggml: no context of %zu threads\n", options.n_threads);
        return 2;
    }
    const int failed = run_case(context, quick ? 32 : 256, 131072, quick ? 5 : MOST);
    entrol_context_destroy(context);
    return failed;
}
