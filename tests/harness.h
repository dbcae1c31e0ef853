/* The test harness: checks that count, a random generator with a printed seed, guarded buffers.
 *
 * A test program is a list of TEST functions and a main that runs them:
 *     static void test_median(void) { CHECK(median == 2); }
 *     int main(int argc, char **argv) { test_begin(argc, argv); TEST(test_median); return test_end(); }
 * A check that fails prints file, line and values and fails its test; the others go on. test_end prints "NAME: N
 * passed, N failed, N skipped" with the skipped ones named before, and returns 0 only if nothing failed. */
#ifndef HARNESS_H
#define HARNESS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Options of every test program: --seed N, --filter WORD (run the tests whose name holds it). */
void test_begin(int argc, char **argv);
int test_end(void);
void test_run(const char *name, void (*function)(void));
/* Ends nothing: the test counts as skipped with this reason, unless a check of it failed. */
void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool test_check(bool ok, const char *file, int line, const char *format, ...) __attribute__((format(printf, 4, 5)));

#define TEST(function) test_run(#function, function)
#define CHECK(condition) test_check((condition), __FILE__, __LINE__, "%s", #condition)
#define CHECK_SAY(condition, ...) test_check((condition), __FILE__, __LINE__, __VA_ARGS__)
/* These evaluate each argument once. */
#define CHECK_INT(actual, expected)                                                                                    \
    test_check_int((long long)(actual), (long long)(expected), __FILE__, __LINE__, #actual)
#define CHECK_STRING(actual, expected) test_check_string((actual), (expected), __FILE__, __LINE__, #actual)
/* Within an absolute tolerance; NaN equals NaN, an infinity equals itself. */
#define CHECK_NEAR(actual, expected, tolerance)                                                                        \
    test_check_near((double)(actual), (double)(expected), (double)(tolerance), __FILE__, __LINE__, #actual)
bool test_check_int(long long actual, long long expected, const char *file, int line, const char *what);
bool test_check_string(const char *actual, const char *expected, const char *file, int line, const char *what);
bool test_check_near(double actual, double expected, double tolerance, const char *file, int line, const char *what);
bool test_near(double actual, double expected, double tolerance);

/* Random numbers: the seed is printed at the start; the same seed gives the same run, of one test as of all. It is
 * --seed, ENTROL_SEED of the environment, or 1: a check that passed passes again. */
uint64_t test_random(void);
double test_uniform(void); /* [0, 1) */
double test_normal(void);
size_t test_below(size_t n); /* [0, n) */

/* How often each of n things came up against their probabilities; one in a million is beyond. What is impossible never
 * comes up. */
void test_check_chi_square(const size_t *counts, const double *p, size_t n, const char *what);

/* ENTROL_QUICK: fewer cases, as under an emulator, where the oracle's long double is software. */
bool is_quick(void);

/* An allocator of contexts that refuses when n_left calls have been granted, and knows what is still held. */
typedef struct counted_memory {
    int n_left, n_held;
} counted_memory;
void *counted_allocate(void *user, size_t n_bytes);
void counted_release(void *user, void *memory);

/* A buffer with inaccessible pages on both sides: its first byte follows one, or (at_end) its last byte precedes one.
 * Reading or writing outside it is a crash that names the test. */
typedef struct guarded {
    void *data;
    void *mapping;
    size_t mapping_size;
} guarded;
guarded guarded_allocate(size_t n_bytes, bool at_end);
void guarded_free(guarded *buffer);

#endif
