/* What the benchmarks share: the clock, medians and their spread as JSON, and logits to measure. */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <entrol/entrol.h>

/* What --quick, --cpu NAME, --threads N (1 to 64) and --filter WORD say; by default nothing, the best, 1, and all. */
typedef struct bench_settings {
    int quick;
    entrol_cpu cpu;
    size_t n_threads;
    const char *filter;
} bench_settings;
bench_settings read_bench_settings(int argc, char **argv);
/* 1 if the filter lets a case of this name be run. */
int is_wanted(const bench_settings *settings, const char *name);

/* Seconds, from any beginning. */
double now(void);

/* Sorts the values. */
double median(double *values, size_t n);

/* `, "NAME": {"min": , "median": , "max": }` of the values, which it sorts; the format is that of one number. */
void print_spread(const char *name, double *values, size_t n, const char *format);

/* Seconds that the machine needs to read n_bytes, or (copy is not NULL) to copy them, by so many threads, at most 64.
 */
double time_limit(const void *data, void *copy, size_t n_bytes, size_t n_threads);

/* Logits near a normal distribution. */
void fill_logits(void *data, entrol_dtype dtype, size_t n);

#endif
