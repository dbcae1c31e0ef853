/* How fast rows of logits are measured and their gradients taken, beside the limit of the machine in the same run.
 *
 * One JSON object a line: case, dtype, rows, columns, threads, cpu, seconds {min, median, max}, gigabytes_per_second of
 * logits, limit, ratio_to_limit and, of vocabularies, ratio_to_roofline. The limit of measuring is the read bandwidth:
 * the same bytes, only summed as integers, by the same threads; that of a gradient, which is written too, is memcpy. It
 * is measured before every repetition and paired with it. The roofline is the slower of the limit and the same work on
 * a row of 4,096 columns in the first-level cache. Options: --quick, --cpu NAME, --threads N, --filter WORD. */
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_REPEATS 31

typedef struct bench_case {
    const char *name;
    entrol_dtype dtype;
    size_t n_rows, n_columns;
    enum {
        FEW,
        ALL,
        GRADIENT
    } work; /* entropy and log-probability; every statistic; these two and a gradient by both */
} bench_case;

static const bench_case cases[] = {
    {"vocabulary", ENTROL_F32, 512, 262144, 0},      {"vocabulary", ENTROL_F32, 1024, 131072, 0},
    {"vocabulary, all", ENTROL_F32, 512, 131072, 1}, {"vocabulary", ENTROL_BF16, 1024, 131072, 0},
    {"vocabulary", ENTROL_F16, 1024, 131072, 0},     {"vocabulary", ENTROL_F64, 256, 131072, 0},
    {"odd vocabulary", ENTROL_F32, 1024, 128257, 0}, {"actions", ENTROL_F32, 16000000, 2, 0},
    {"actions", ENTROL_F32, 8000000, 4, 0},          {"actions", ENTROL_F32, 4000000, 18, 0},
    {"actions, all", ENTROL_F32, 4000000, 18, 1},    {"actions", ENTROL_F32, 1000000, 64, 0},
    {"actions", ENTROL_F32, 100000, 1024, 0},        {"one row", ENTROL_F32, 1, 262144, 0},
    {"one row", ENTROL_BF16, 1, 262144, 0},          {"cached row", ENTROL_F32, 1, 4096, 0},
    {"gradient", ENTROL_F32, 512, 131072, GRADIENT}, {"gradient", ENTROL_BF16, 512, 131072, GRADIENT},
    {"gradient", ENTROL_F32, 4000000, 18, GRADIENT}, {"cached gradient", ENTROL_F32, 1, 4096, GRADIENT},
};

/* Every array that a record can have, each n_rows long. */
static float *make_record(entrol_record *record, size_t n_rows, int all) {
    float *memory = malloc(8 * n_rows * sizeof *memory + n_rows * sizeof(int32_t));
    *record = (entrol_record)ENTROL_RECORD_INIT;
    if (!memory)
        return NULL;
    record->entropy = memory;
    record->logprob = memory + n_rows;
    if (!all)
        return memory;
    record->logsumexp = memory + 2 * n_rows;
    record->varentropy = memory + 3 * n_rows;
    record->top_prob = memory + 4 * n_rows;
    record->margin = memory + 5 * n_rows;
    record->sum_p_squared = memory + 6 * n_rows;
    record->renyi = memory + 7 * n_rows;
    record->rank = (int32_t *)(void *)(memory + 8 * n_rows);
    return memory;
}

/* What the repetitions of a case took, and what its limits took beside each. */
typedef struct times {
    size_t n;
    double seconds[MAX_REPEATS], ratios[MAX_REPEATS], rooflines[MAX_REPEATS];
    int has_roofline;
} times;

static void print_result(const bench_case *c, entrol_context *context, times *t, size_t n_rows) {
    const double bytes = (double)(n_rows * c->n_columns * entrol_dtype_size(c->dtype));
    const double middle = median(t->seconds, t->n);
    printf("{\"case\": \"%s\", \"dtype\": \"%s\", \"rows\": %zu, \"columns\": %zu, \"threads\": %zu, \"cpu\": \"%s\"",
           c->name, entrol_dtype_name(c->dtype), n_rows, c->n_columns, entrol_context_n_threads(context),
           entrol_cpu_name(entrol_context_cpu(context)));
    print_spread("seconds", t->seconds, t->n, "%.6g");
    printf(", \"gigabytes_per_second\": %.4g, \"nanoseconds_per_row\": %.4g, \"limit\": \"%s\"", bytes / middle / 1e9,
           middle / (double)n_rows * 1e9, c->work == GRADIENT ? "memcpy" : "read bandwidth");
    print_spread("ratio_to_limit", t->ratios, t->n, "%.3f");
    if (t->has_roofline)
        print_spread("ratio_to_roofline", t->rooflines, t->n, "%.3f");
    printf("}\n");
    fflush(stdout);
}

/* What one case works on. */
typedef struct workload {
    entrol_context *context;
    entrol_matrix matrix;
    int64_t *targets;
    entrol_record record;
    entrol_gradient gradient;
    entrol_destination d_logits;
    float *results, *derivatives;
    void *data, *copy; /* copy: of gradients */
} workload;

static int workload_make(workload *w, const bench_case *c, size_t n_rows) {
    const size_t n_bytes = n_rows * c->n_columns * entrol_dtype_size(c->dtype);
    w->data = malloc(n_bytes);
    w->copy = c->work == GRADIENT ? aligned_alloc(4096, (n_bytes + 4095) / 4096 * 4096) : NULL;
    w->targets = calloc(n_rows, sizeof *w->targets);
    w->results = make_record(&w->record, n_rows, c->work == ALL);
    w->derivatives = malloc(n_rows * sizeof *w->derivatives);
    if (!w->data || !w->targets || !w->results || !w->derivatives || (c->work == GRADIENT && !w->copy)) {
        fprintf(stderr, "no memory for %s\n", c->name);
        return 0;
    }
    fill_logits(w->data, c->dtype, n_rows * c->n_columns);
    for (size_t i = 0; i < n_rows; i++)
        w->derivatives[i] = 0.5f;
    w->gradient = (entrol_gradient)ENTROL_GRADIENT_INIT;
    w->gradient.logprob = w->gradient.entropy = w->derivatives;
    w->matrix = (entrol_matrix){w->data, c->dtype, n_rows, c->n_columns, (ptrdiff_t)c->n_columns};
    w->d_logits = (entrol_destination){w->copy, c->dtype, (ptrdiff_t)c->n_columns, 0};
    return 1;
}

static void workload_free(workload *w) {
    free(w->data);
    free(w->copy);
    free(w->targets);
    free(w->results);
    free(w->derivatives);
}

static void work(const workload *w) {
    if (w->copy)
        entrol_measure_and_gradient_rows(w->context, &w->d_logits, &w->record, NULL, &w->gradient, &w->matrix,
                                         w->targets, NULL, NULL, NULL);
    else
        entrol_measure_rows(w->context, &w->record, NULL, &w->matrix, w->targets, NULL);
}

/* Seconds of one of so many passes. */
static double time_passes(const workload *w, size_t passes) {
    const double start = now();
    for (size_t pass = 0; pass < passes; pass++)
        work(w);
    return (now() - start) / (double)passes;
}

static void run_repeats(times *t, const workload *w, const workload *cached, size_t n_elements, size_t repeats) {
    const size_t n_bytes = n_elements * entrol_dtype_size(w->matrix.dtype),
                 n_threads = entrol_context_n_threads(w->context);
    const size_t passes = n_bytes <= 4 << 20 ? 1000 : 1; /* a row in the cache is measured many times */
    t->n = repeats;
    t->has_roofline = cached != NULL;
    time_passes(w, passes);
    for (size_t i = 0; i < repeats; i++) {
        const double limit = time_limit(w->data, w->copy, n_bytes, n_threads);
        const double in_cache = cached ? time_passes(cached, 200) / (double)cached->matrix.n_columns : 0;
        const double compute = in_cache * (double)n_elements / (double)n_threads;
        t->seconds[i] = time_passes(w, passes);
        t->ratios[i] = limit / t->seconds[i];
        t->rooflines[i] = (compute > limit ? compute : limit) / t->seconds[i];
    }
}

static int run_case(const bench_case *c, entrol_context *context, int quick) {
    const size_t n_rows = quick && c->n_rows > 16 ? c->n_rows / 8 : c->n_rows;
    bench_case in_cache = *c;
    in_cache.n_rows = 1;
    in_cache.n_columns = 4096;
    workload w = {.context = context}, cached = {.context = context};
    times times;
    const int has_roofline = c->n_columns > 65536;
    const int ok = workload_make(&w, c, n_rows) && (!has_roofline || workload_make(&cached, &in_cache, 1));
    if (ok) {
        run_repeats(&times, &w, has_roofline ? &cached : NULL, n_rows * c->n_columns, quick ? 5 : 15);
        print_result(c, context, &times, n_rows);
    }
    workload_free(&w);
    workload_free(&cached);
    return !ok;
}

int main(int argc, char **argv) {
    const bench_settings settings = read_bench_settings(argc, argv);
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.cpu = settings.cpu;
    options.n_threads = settings.n_threads;
    entrol_context *context;
    const entrol_status status = entrol_context_create(&context, &options);
    if (status != ENTROL_OK) {
        fprintf(stderr, "bench_measure: %s\n", entrol_status_string(status));
        return 2;
    }
    int failed = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (is_wanted(&settings, cases[i].name))
            failed |= run_case(&cases[i], context, settings.quick);
    entrol_context_destroy(context);
    return failed;
}
