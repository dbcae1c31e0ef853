/* What the benchmarks share: the clock, medians and their spread as JSON, and logits to measure. */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <entrol/entrol.h>

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
