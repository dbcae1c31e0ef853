/* How fast an output layer is measured and its gradients taken, beside the same BLAS's products of that size in the
 * same run; and the memory that this takes besides inputs and outputs.
 *
 * One JSON object a line: case, dtype, rows, depth, columns, threads, cpu, seconds {min, median, max}, gigaflops, limit
 * and ratio_to_limit; the memory comes first. The limit is one sgemm for measuring and three for gradients, each whole
 * and by BLAS's own threads, as many as the context has; it is timed before every repetition and paired with it. Where
 * only a fifth of the rows has a gradient, it is a fifth of that. The product needs rows x columns floats, which are
 * allocated after the memory has been read. Options: --rows N, --depth N, --columns N, --threads N, --repeats N,
 * --quick (an eighth of the columns), --bf16. */
#include "harness.h"

#include <entrol_blas.h>

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_REPEATS 31

typedef struct settings {
    size_t n_rows, depth, n_columns, n_threads, repeats;
    int is_bf16;
} settings;

typedef struct workload {
    settings settings;
    entrol_context *context;
    entrol_matrix hidden;
    entrol_output_layer layer;
    int64_t *targets;
    entrol_record record;
    entrol_gradient gradient, of_a_fifth;
    entrol_destination d_hidden, d_weight;
    void *workspace;
    size_t workspace_size;
    float *f32_hidden, *f32_weight, *logits; /* of the BLAS alone */
} workload;

static double peak_megabytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

static void *allocate(size_t n_bytes) {
    void *memory = malloc(n_bytes);
    if (!memory) {
        fprintf(stderr, "bench_output: no memory for %zu bytes\n", n_bytes);
        exit(2);
    }
    memset(memory, 1, n_bytes); /* resident: zeros might be promised and not written */
    return memory;
}

/* Uniform numbers within +- size. */
static void *make_operand(size_t n, float size, int is_bf16) {
    void *memory = allocate(n * (is_bf16 ? sizeof(uint16_t) : sizeof(float)));
    uint64_t state = n;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const float x = ((float)(state >> 40) * 0x1p-23f - 1) * size;
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        if (is_bf16)
            ((uint16_t *)memory)[i] = (uint16_t)(bits >> 16);
        else
            ((float *)memory)[i] = x;
    }
    return memory;
}

static void make_results(workload *w) {
    const size_t n = w->settings.n_rows, depth = w->settings.depth, n_columns = w->settings.n_columns;
    float *floats = allocate(4 * n * sizeof *floats);
    w->record = (entrol_record)ENTROL_RECORD_INIT;
    w->record.entropy = floats;
    w->record.logprob = floats + n;
    w->record.state = allocate(n * sizeof(entrol_state));
    for (size_t i = 0; i < n; i++) {
        floats[2 * n + i] = 0.5f;
        floats[3 * n + i] = i % 5 ? 0 : 0.5f;
    }
    w->gradient = w->of_a_fifth = (entrol_gradient)ENTROL_GRADIENT_INIT;
    w->gradient.logprob = w->gradient.entropy = floats + 2 * n;
    w->of_a_fifth.logprob = w->of_a_fifth.entropy = floats + 3 * n;
    w->d_hidden = (entrol_destination){allocate(n * depth * sizeof(float)), ENTROL_F32, (ptrdiff_t)depth, 0};
    w->d_weight = (entrol_destination){allocate(n_columns * depth * sizeof(float)), ENTROL_F32, (ptrdiff_t)depth, 0};
}

static void make_workload(workload *w) {
    const size_t n = w->settings.n_rows, depth = w->settings.depth, n_columns = w->settings.n_columns;
    const int is_bf16 = w->settings.is_bf16;
    const entrol_dtype dtype = is_bf16 ? ENTROL_BF16 : ENTROL_F32;
    w->hidden = (entrol_matrix){make_operand(n * depth, 1, is_bf16), dtype, n, depth, (ptrdiff_t)depth};
    w->layer = (entrol_output_layer)ENTROL_OUTPUT_LAYER_INIT;
    w->layer.weight =
        (entrol_matrix){make_operand(n_columns * depth, 0.125f, is_bf16), dtype, n_columns, depth, (ptrdiff_t)depth};
    w->targets = allocate(n * sizeof *w->targets);
    for (size_t i = 0; i < n; i++)
        w->targets[i] = (int64_t)(i * 7919 % n_columns);
    make_results(w);
}

/* --- What is timed --- */

static void measure(const workload *w) {
    entrol_measure_output(w->context, &w->record, NULL, w->workspace, w->workspace_size, &w->hidden, &w->layer,
                          w->targets, NULL);
}

static void differentiate_by(const workload *w, const entrol_gradient *gradient) {
    entrol_gradient_output(w->context, &w->d_hidden, &w->d_weight, NULL, NULL, w->workspace, w->workspace_size,
                           gradient, w->record.state, &w->hidden, &w->layer, w->targets, NULL);
}

static void differentiate(const workload *w) {
    differentiate_by(w, &w->gradient);
}

static void differentiate_a_fifth(const workload *w) {
    differentiate_by(w, &w->of_a_fifth);
}

static void multiply_once(const workload *w) {
    const blasint n = (blasint)w->settings.n_rows, depth = (blasint)w->settings.depth;
    const blasint n_columns = (blasint)w->settings.n_columns;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n_columns, depth, 1, w->f32_hidden, depth, w->f32_weight,
                depth, 0, w->logits, n_columns);
}

static void multiply_thrice(const workload *w) {
    const blasint n = (blasint)w->settings.n_rows, depth = (blasint)w->settings.depth;
    const blasint n_columns = (blasint)w->settings.n_columns;
    multiply_once(w);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n_columns, depth, n, 1, w->logits, n_columns, w->f32_hidden,
                depth, 0, w->d_weight.data, depth);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, depth, n_columns, 1, w->logits, n_columns, w->f32_weight,
                depth, 0, w->d_hidden.data, depth);
}

static double time_of(void (*function)(const workload *w), const workload *w) {
    const double start = now();
    function(w);
    return now() - start;
}

/* `share` of the limiting products' time is the limit, and of their operations is done. */
static void run_case(const workload *w, const char *name, const char *limit, double n_products, double share,
                     void (*function)(const workload *w), void (*limiting)(const workload *w)) {
    double seconds[MAX_REPEATS], ratios[MAX_REPEATS];
    const settings *s = &w->settings;
    for (size_t i = 0; i < s->repeats; i++) {
        openblas_set_num_threads((int)s->n_threads);
        const double of_limit = share * time_of(limiting, w);
        seconds[i] = time_of(function, w);
        ratios[i] = of_limit / seconds[i];
    }
    const double flops = 2 * n_products * share * (double)s->n_rows * (double)s->depth * (double)s->n_columns;
    printf("{\"case\": \"%s\", \"dtype\": \"%s\", \"rows\": %zu, \"depth\": %zu, \"columns\": %zu, \"threads\": %zu, "
           "\"cpu\": \"%s\"",
           name, entrol_dtype_name(w->hidden.dtype), s->n_rows, s->depth, s->n_columns, s->n_threads,
           entrol_cpu_name(entrol_context_cpu(w->context)));
    print_spread("seconds", seconds, s->repeats, "%.4g");
    printf(", \"gigaflops\": %.4g, \"limit\": \"%s\"", flops / median(seconds, s->repeats) / 1e9, limit);
    print_spread("ratio_to_limit", ratios, s->repeats, "%.3f");
    printf("}\n");
    fflush(stdout);
}

/* Once through both calls, before the BLAS alone gets memory of its own. */
static double use_memory(workload *w) {
    const double before = peak_megabytes();
    entrol_output_workspace_size(w->context, &w->workspace_size, &w->hidden, &w->layer);
    w->workspace = malloc(w->workspace_size);
    if (!w->workspace)
        exit(2);
    measure(w);
    differentiate(w);
    return peak_megabytes() - before;
}

static settings read_settings(int argc, char **argv) {
    settings settings = {4096, 1024, 151936, 1, 3, 0};
    const struct {
        const char *name;
        size_t *number;
    } numbers[] = {{"--rows", &settings.n_rows},
                   {"--depth", &settings.depth},
                   {"--columns", &settings.n_columns},
                   {"--threads", &settings.n_threads},
                   {"--repeats", &settings.repeats}};
    for (int i = 1; i < argc; i++) {
        for (size_t j = 0; j < 5 && i + 1 < argc; j++)
            if (strcmp(argv[i], numbers[j].name) == 0)
                *numbers[j].number = strtoul(argv[i + 1], NULL, 10);
        settings.n_columns /= strcmp(argv[i], "--quick") == 0 ? 8 : 1;
        settings.is_bf16 |= strcmp(argv[i], "--bf16") == 0;
    }
    if (settings.repeats < 1 || settings.repeats > MAX_REPEATS)
        settings.repeats = 3;
    return settings;
}

int main(int argc, char **argv) {
    workload w = {.settings = read_settings(argc, argv)};
    const settings *s = &w.settings;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = s->n_threads;
    options.gemm = entrol_blas_gemm;
    if (!s->n_rows || !s->depth || !s->n_columns || entrol_context_create(&w.context, &options) != ENTROL_OK) {
        fprintf(stderr, "bench_output: cannot make a context, or nothing to do\n");
        return 2;
    }
    make_workload(&w);
    const double megabytes = use_memory(&w);
    printf("{\"case\": \"memory\", \"megabytes\": %.4g, \"workspace_megabytes\": %.4g, \"threads\": %zu}\n", megabytes,
           (double)w.workspace_size / 1048576, s->n_threads);
    w.logits = allocate(s->n_rows * s->n_columns * sizeof(float));
    w.f32_hidden = s->is_bf16 ? make_operand(s->n_rows * s->depth, 1, 0) : (float *)(uintptr_t)w.hidden.data;
    w.f32_weight =
        s->is_bf16 ? make_operand(s->n_columns * s->depth, 0.125f, 0) : (float *)(uintptr_t)w.layer.weight.data;
    run_case(&w, "output layer", "sgemm", 1, 1, measure, multiply_once);
    run_case(&w, "output layer's gradient", "three sgemms", 3, 1, differentiate, multiply_thrice);
    run_case(&w, "gradient of a fifth of the rows", "a fifth of three sgemms", 3, 0.2, differentiate_a_fifth,
             multiply_thrice);
    entrol_context_destroy(w.context); /* the rest is the system's to take back */
    return 0;
}
