/* What the arithmetic of an entropy and its gradient allows: the kernels alone, over the columns of every row in turn,
 * with a row's top and totals known before, so that nothing is left but two exponentials a column. A measurement with
 * its gradient (bench_measure's "gradient") cannot take a smaller share of memcpy's time than this.
 *
 * One JSON object a line, as of bench_measure: "kernels" beside reading, "kernels and gradient" beside memcpy, each on
 * one thread. Options: --quick, --cpu NAME. */
#include "harness.h"

#include "measure/kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 131072, MAX_REPEATS = 21 };

typedef struct workload {
    const ent_kernels *kernels;
    const float *z;
    float *gradient;
    size_t n_rows;
} workload;

static ent_sums measure_row(const workload *w, const float *z) {
    ent_sums total = {0}, sums;
    for (size_t first = 0; first < COLUMNS; first += ENT_CHUNK) {
        const ent_sums_task task = {.z = z + first,
                                    .n = ENT_CHUNK,
                                    .m = 12,
                                    .scale = 1,
                                    .is_near = 1,
                                    .next = (const char *)(z + first + ENT_CHUNK),
                                    .next_step = sizeof *z};
        w->kernels->sums(&sums, &task);
        total.s += sums.s;
        total.t += sums.t;
    }
    return total;
}

static void differentiate_row(const workload *w, float *out, const float *z, const ent_sums *sums) {
    for (size_t left = COLUMNS; left > 0; left -= ENT_CHUNK) {
        const size_t first = left - ENT_CHUNK;
        const ent_gradient_task task = {.z = z + first,
                                        .n = ENT_CHUNK,
                                        .m = 12,
                                        .scale = 1,
                                        .first = (float)(sums->t / (sums->s * sums->s)),
                                        .slope = (float)(-1 / sums->s),
                                        .is_near = 1,
                                        .stream = 1,
                                        .next = (const char *)((uintptr_t)(z + first) - ENT_CHUNK * sizeof *z),
                                        .next_step = sizeof *z};
        w->kernels->gradient(out + first, &task);
    }
    w->kernels->stream_end();
}

static double measure(const workload *w, int with_gradient) {
    volatile double sink = 0; /* the sums are not left out */
    const double start = now();
    for (size_t row = 0; row < w->n_rows; row++) {
        const ent_sums sums = measure_row(w, w->z + row * COLUMNS);
        if (with_gradient)
            differentiate_row(w, w->gradient + row * COLUMNS, w->z + row * COLUMNS, &sums);
        sink = sink + sums.s;
    }
    return now() - start;
}

static void run_case(const workload *w, int with_gradient, size_t repeats) {
    const size_t n_bytes = w->n_rows * COLUMNS * sizeof *w->z;
    double seconds[MAX_REPEATS], ratios[MAX_REPEATS];
    measure(w, with_gradient);
    for (size_t i = 0; i < repeats; i++) {
        const double limit = time_limit(w->z, with_gradient ? w->gradient : NULL, n_bytes, 1);
        seconds[i] = measure(w, with_gradient);
        ratios[i] = limit / seconds[i];
    }
    printf("{\"case\": \"%s\", \"dtype\": \"f32\", \"rows\": %zu, \"columns\": %d, \"threads\": 1, \"cpu\": \"%s\"",
           with_gradient ? "kernels and gradient" : "kernels", w->n_rows, COLUMNS, entrol_cpu_name(w->kernels->cpu));
    print_spread("seconds", seconds, repeats, "%.6g");
    printf(", \"limit\": \"%s\"", with_gradient ? "memcpy" : "read bandwidth");
    print_spread("ratio_to_limit", ratios, repeats, "%.3f");
    printf("}\n");
}

int main(int argc, char **argv) {
    int quick = 0;
    entrol_cpu cpu = ENTROL_CPU_SCALAR;
    for (int level = ENTROL_CPU_AVX2; level <= ENTROL_CPU_NEON; level++)
        cpu = entrol_cpu_available((entrol_cpu)level) ? (entrol_cpu)level : cpu;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            quick = 1;
        for (int level = ENTROL_CPU_SCALAR; strcmp(argv[i], "--cpu") == 0 && level <= ENTROL_CPU_NEON; level++)
            if (argv[i + 1] && strcmp(argv[i + 1], entrol_cpu_name((entrol_cpu)level)) == 0)
                cpu = (entrol_cpu)level;
    }
    if (!entrol_cpu_available(cpu)) {
        fprintf(stderr, "this machine has no %s\n", entrol_cpu_name(cpu));
        return 2;
    }
    workload w = {.kernels = ent_kernels_for(cpu), .n_rows = quick ? 64 : 512};
    float *z = aligned_alloc(ENT_ALIGNMENT, w.n_rows * COLUMNS * sizeof *z);
    w.z = z;
    w.gradient = aligned_alloc(ENT_ALIGNMENT, w.n_rows * COLUMNS * sizeof *z);
    if (!z || !w.gradient) {
        fprintf(stderr, "no memory for %zu rows\n", w.n_rows);
        return 2;
    }
    fill_logits(z, ENTROL_F32, w.n_rows * COLUMNS);
    memset(w.gradient, 0, w.n_rows * COLUMNS * sizeof *z);
    run_case(&w, 0, quick ? 5 : MAX_REPEATS);
    run_case(&w, 1, quick ? 5 : MAX_REPEATS);
    free(z);
    free(w.gradient);
    return 0;
}
