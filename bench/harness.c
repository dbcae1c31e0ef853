#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bench_settings read_bench_settings(int argc, char **argv) {
    bench_settings settings = {0, ENTROL_CPU_BEST, 1, NULL};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--quick") == 0)
            settings.quick = 1;
        else if (strcmp(argv[i], "--threads") == 0)
            settings.n_threads = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--filter") == 0)
            settings.filter = value;
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
            if (strcmp(argv[i], "--cpu") == 0 && strcmp(value, entrol_cpu_name((entrol_cpu)cpu)) == 0)
                settings.cpu = (entrol_cpu)cpu;
    }
    if (settings.n_threads < 1 || settings.n_threads > 64)
        settings.n_threads = 1;
    return settings;
}

int is_wanted(const bench_settings *settings, const char *name) {
    return !settings->filter || strstr(name, settings->filter);
}

double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare_doubles);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void print_spread(const char *name, double *values, size_t n, const char *format) {
    const double middle = median(values, n); /* sorts them */
    const double three[3] = {values[0], middle, values[n - 1]};
    static const char *const names[] = {"{\"min\": ", ", \"median\": ", ", \"max\": "};
    printf(", \"%s\": ", name);
    for (size_t i = 0; i < 3; i++) {
        printf("%s", names[i]);
        printf(format, three[i]);
    }
    printf("}");
}

/* A sum of three uniform numbers is near enough to a normal one. */
void fill_logits(void *data, entrol_dtype dtype, size_t n) {
    uint64_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const uint64_t r = state >> 8;
        const double sum = (double)(r & 0x3fff) + (double)(r >> 14 & 0x3fff) + (double)(r >> 28 & 0x3fff);
        const float z = (float)((sum / 8192 - 3) * 4);
        uint32_t bits;
        memcpy(&bits, &z, sizeof bits);
        if (dtype == ENTROL_F64)
            ((double *)data)[i] = (double)z;
        else if (dtype == ENTROL_F32)
            ((float *)data)[i] = z;
        else if (dtype == ENTROL_BF16)
            ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
        else /* any finite half will do: sign, exponent below 18, fraction */
            ((uint16_t *)data)[i] = (uint16_t)((bits >> 16 & 0x8000) | (r % 18 << 10) | (r >> 20 & 0x3ff));
    }
}

/* Reading as fast as the machine can: eight independent sums of words. Copying: memcpy. */
typedef struct reader {
    const uint64_t *words;
    uint64_t *copy; /* NULL: only read */
    size_t n_words;
    uint64_t sum;
} reader;

static void *read_all(void *argument) {
    reader *reader = argument;
    uint64_t sums[8] = {0};
    if (reader->copy) {
        memcpy(reader->copy, reader->words, reader->n_words * sizeof *reader->words);
        return NULL;
    }
    for (size_t i = 0; i + 8 <= reader->n_words; i += 8)
        for (size_t j = 0; j < 8; j++)
            sums[j] += reader->words[i + j];
    for (size_t j = 0; j < 8; j++)
        reader->sum += sums[j];
    return NULL;
}

double time_limit(const void *data, void *copy, size_t n_bytes, size_t n_threads) {
    reader readers[64];
    pthread_t threads[64];
    const size_t n_words = n_bytes / 8 / n_threads;
    const double start = now();
    for (size_t i = 0; i < n_threads; i++) {
        readers[i] =
            (reader){(const uint64_t *)data + i * n_words, copy ? (uint64_t *)copy + i * n_words : NULL, n_words, 0};
        if (i + 1 == n_threads || pthread_create(&threads[i], NULL, read_all, &readers[i]) != 0)
            read_all(&readers[i]);
    }
    for (size_t i = 0; i + 1 < n_threads; i++)
        pthread_join(threads[i], NULL);
    const double seconds = now() - start;
    volatile uint64_t sink = 0;
    for (size_t i = 0; i < n_threads; i++)
        sink += readers[i].sum;
    (void)sink; /* the sums are not left out for it */
    return seconds;
}
