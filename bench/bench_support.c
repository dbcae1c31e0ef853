/* What the entropy on a support, and its gradient, cost beside the entropy of all columns.
 *
 * One JSON object a line: case, dtype, rows, columns, cpu, nanoseconds_per_row, of the plain measurement (or gradient)
 * in the same repetition too, and their ratio {min, median, max}. One thread. Rows are "flat", normal logits of
 * standard deviation 2.5, whose nucleus of 0.9 is a tenth of the vocabulary, or "peaked", on top of which 30 columns
 * stand out, as in a model that is fairly sure. Options: --quick, --cpu NAME, --filter WORD. */
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REPEATS = 21 };

typedef struct bench_case {
    const char *name;
    entrol_support_kind kind;
    double parameter;
} bench_case;

static const bench_case cases[] = {
    {"top p 0.9", ENTROL_SUPPORT_TOP_P, 0.9},   {"before p 0.8", ENTROL_SUPPORT_BEFORE_P, 0.8},
    {"top p 0.1", ENTROL_SUPPORT_TOP_P, 0.1},   {"top k 50", ENTROL_SUPPORT_TOP_K, 50},
    {"top k 5000", ENTROL_SUPPORT_TOP_K, 5000}, {"drop 0.3", ENTROL_SUPPORT_DROP, 0.3},
};

typedef struct shape {
    entrol_dtype dtype;
    size_t n_rows, n_columns;
    int peaked;
} shape;

static const shape shapes[] = {
    {ENTROL_F32, 64, 131072, 0},  {ENTROL_F32, 64, 131072, 1}, {ENTROL_BF16, 64, 131072, 0},
    {ENTROL_BF16, 64, 131072, 1}, {ENTROL_F64, 32, 131072, 0}, {ENTROL_F32, 4000, 1024, 0},
    {ENTROL_F32, 40000, 18, 0},
};

/* What one shape and case work on. */
typedef struct workload {
    entrol_context *context;
    entrol_matrix matrix;
    entrol_destination d_logits;
    entrol_measure_options options;
    float *entropy, *support_entropy, *derivatives;
    void *data, *gradient;
} workload;

/* A sum of four uniform numbers is near enough to a normal one. */
static void fill(void *data, const shape *shape) {
    uint64_t state = 1;
    for (size_t i = 0; i < shape->n_rows * shape->n_columns; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const uint64_t r = state >> 8;
        const double sum =
            (double)(r & 0x3fff) + (double)(r >> 14 & 0x3fff) + (double)(r >> 28 & 0x3fff) + (double)(r >> 42 & 0x3fff);
        const float z = (float)((sum / 16384 - 2) * 4.33) + (shape->peaked && r % shape->n_columns < 30 ? 12 : 0);
        uint32_t bits;
        memcpy(&bits, &z, sizeof bits);
        if (shape->dtype == ENTROL_F64)
            ((double *)data)[i] = (double)z;
        else if (shape->dtype == ENTROL_F32)
            ((float *)data)[i] = z;
        else
            ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
    }
}

static int workload_make(workload *w, const shape *shape) {
    const size_t n_bytes = shape->n_rows * shape->n_columns * entrol_dtype_size(shape->dtype);
    w->data = malloc(n_bytes);
    w->gradient = malloc(n_bytes);
    w->entropy = malloc(3 * shape->n_rows * sizeof *w->entropy);
    if (!w->data || !w->gradient || !w->entropy)
        return 0;
    w->support_entropy = w->entropy + shape->n_rows;
    w->derivatives = w->support_entropy + shape->n_rows;
    for (size_t i = 0; i < shape->n_rows; i++)
        w->derivatives[i] = 0.5f;
    fill(w->data, shape);
    memset(w->gradient, 0, n_bytes);
    w->matrix = (entrol_matrix){w->data, shape->dtype, shape->n_rows, shape->n_columns, (ptrdiff_t)shape->n_columns};
    w->d_logits = (entrol_destination){w->gradient, shape->dtype, (ptrdiff_t)shape->n_columns, 0};
    return 1;
}

static double measure(const workload *w, int with_support, int with_gradient) {
    entrol_record record = ENTROL_RECORD_INIT;
    entrol_gradient gradient = ENTROL_GRADIENT_INIT;
    record.entropy = w->entropy;
    record.support_entropy = with_support ? w->support_entropy : NULL;
    gradient.support_entropy = with_support ? w->derivatives : NULL;
    gradient.entropy = with_support ? NULL : w->derivatives;
    const double start = now();
    if (with_gradient)
        entrol_measure_and_gradient_rows(w->context, &w->d_logits, &record, NULL, &gradient, &w->matrix, NULL, NULL,
                                         NULL, &w->options);
    else
        entrol_measure_rows(w->context, &record, NULL, &w->matrix, NULL, &w->options);
    return now() - start;
}

static void run_case(workload *w, const shape *shape, const bench_case *c, int with_gradient, size_t repeats) {
    double plain[MAX_REPEATS], support[MAX_REPEATS], ratios[MAX_REPEATS];
    w->options = (entrol_measure_options)ENTROL_MEASURE_OPTIONS_INIT;
    w->options.support_kind = c->kind;
    w->options.support_parameter = c->parameter;
    measure(w, 1, with_gradient);
    for (size_t i = 0; i < repeats; i++) {
        plain[i] = measure(w, 0, with_gradient);
        support[i] = measure(w, 1, with_gradient);
        ratios[i] = support[i] / plain[i];
    }
    const double each = 1e9 / (double)shape->n_rows;
    printf("{\"case\": \"%s%s, %s\", \"dtype\": \"%s\", \"rows\": %zu, \"columns\": %zu, \"cpu\": \"%s\", "
           "\"nanoseconds_per_row\": {\"plain\": %.4g, \"support\": %.4g}",
           c->name, with_gradient ? ", gradient" : "", shape->peaked ? "peaked" : "flat",
           entrol_dtype_name(shape->dtype), shape->n_rows, shape->n_columns,
           entrol_cpu_name(entrol_context_cpu(w->context)), median(plain, repeats) * each,
           median(support, repeats) * each);
    print_spread("ratio_to_plain", ratios, repeats, "%.2f");
    printf("}\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    const char *filter = "";
    size_t repeats = 15;
    options.n_threads = 1;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--quick") == 0)
            repeats = 5;
        else if (strcmp(argv[i], "--filter") == 0)
            filter = value;
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
            if (strcmp(argv[i], "--cpu") == 0 && strcmp(value, entrol_cpu_name((entrol_cpu)cpu)) == 0)
                options.cpu = (entrol_cpu)cpu;
    }
    workload w;
    const entrol_status status = entrol_context_create(&w.context, &options);
    if (status != ENTROL_OK) {
        fprintf(stderr, "bench_support: %s\n", entrol_status_string(status));
        return 2;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (!workload_make(&w, &shapes[i])) {
            fprintf(stderr, "bench_support: no memory\n");
            return 1;
        }
        for (size_t j = 0; j < 2 * sizeof cases / sizeof *cases; j++)
            if (strstr(cases[j / 2].name, filter))
                run_case(&w, &shapes[i], &cases[j / 2], (int)(j % 2), repeats);
        free(w.data);
        free(w.gradient);
        free(w.entropy);
    }
    entrol_context_destroy(w.context);
    return 0;
}
