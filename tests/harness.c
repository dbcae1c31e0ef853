/* The harness of tests/harness.h. */
#include "harness.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

/* Failures printed in full for one test; the rest is only counted. */
#define MAX_SHOWN 10

static struct {
    const char *program, *filter;
    const char *test; /* that is running */
    uint64_t seed, random_state;
    int n_passed, n_failed, n_skipped;
    int n_failures, is_skipped; /* of the test that is running */
    char skip_reason[256];
} run;

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
enum { N_CRASH_SIGNALS = sizeof crash_signals / sizeof *crash_signals };
static struct sigaction actions_before[N_CRASH_SIGNALS];

static void write_text(const char *text) {
    const ssize_t n_written = write(STDOUT_FILENO, text, strlen(text));
    (void)n_written; /* the program is crashing: there is nobody left to tell */
}

/* Names the test; the fault then happens again, as it would have without this handler. */
static void name_crash(int signal_number) {
    (void)signal_number;
    write_text("  CRASHED ");
    write_text(run.test ? run.test : "outside the tests");
    write_text("\n");
    for (int i = 0; i < N_CRASH_SIGNALS; i++)
        sigaction(crash_signals[i], &actions_before[i], NULL);
}

static void catch_crashes(void) {
    struct sigaction action = {.sa_handler = name_crash};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_CRASH_SIGNALS; i++)
        sigaction(crash_signals[i], &action, &actions_before[i]);
}

static void usage(void) {
    fprintf(stderr, "usage: %s [--seed N] [--filter WORD]\n", run.program);
    exit(2);
}

void test_begin(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/');
    const char *given = getenv("ENTROL_SEED");
    run.seed = given ? strtoull(given, NULL, 0) : 1;
    run.program = slash ? slash + 1 : argv[0];
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            run.seed = strtoull(argv[i + 1], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--filter") == 0)
            run.filter = argv[i + 1];
        else
            usage();
    }
    catch_crashes();
    printf("%s: seed %llu\n", run.program, (unsigned long long)run.seed);
    fflush(stdout);
}

int test_end(void) {
    printf("%s: %d passed, %d failed, %d skipped\n", run.program, run.n_passed, run.n_failed, run.n_skipped);
    fflush(stdout); /* a sanitizer may end the program before stdio does */
    return run.n_failed != 0;
}

void test_run(const char *name, void (*function)(void)) {
    if (run.filter && !strstr(name, run.filter))
        return;
    run.n_failures = run.is_skipped = 0;
    run.test = name;
    run.random_state = run.seed;
    for (const char *c = name; *c; c++) /* a test by itself draws what it draws among the others */
        run.random_state = run.random_state * 0x100000001b3 ^ (unsigned char)*c;
    function();
    run.test = NULL;
    if (run.n_failures) {
        run.n_failed++;
        printf("  FAILED %s: %d checks\n", name, run.n_failures);
    } else if (run.is_skipped) {
        run.n_skipped++;
        printf("  skipped %s: %s\n", name, run.skip_reason);
    } else {
        run.n_passed++;
    }
    fflush(stdout);
}

void test_skip(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(run.skip_reason, sizeof run.skip_reason, format, arguments);
    va_end(arguments);
    run.is_skipped = 1;
}

bool test_check(bool ok, const char *file, int line, const char *format, ...) {
    if (ok)
        return true;
    if (run.n_failures++ < MAX_SHOWN) {
        va_list arguments;
        printf("  %s:%d: ", file, line);
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
        printf("\n");
    }
    return false;
}

bool test_near(double actual, double expected, double tolerance) {
    if (isnan(expected))
        return isnan(actual);
    if (isinf(expected))
        return actual == expected;
    return fabs(actual - expected) <= tolerance;
}

bool test_check_int(long long actual, long long expected, const char *file, int line, const char *what) {
    return test_check(actual == expected, file, line, "%s is %lld, expected %lld", what, actual, expected);
}

bool test_check_string(const char *actual, const char *expected, const char *file, int line, const char *what) {
    const bool ok = actual && expected && strcmp(actual, expected) == 0;
    return test_check(ok, file, line, "%s is \"%s\", expected \"%s\"", what, actual ? actual : "(null)",
                      expected ? expected : "(null)");
}

bool test_check_near(double actual, double expected, double tolerance, const char *file, int line, const char *what) {
    return test_check(test_near(actual, expected, tolerance), file, line, "%s is %.17g, expected %.17g +- %g", what,
                      actual, expected, tolerance);
}

/* splitmix64 (Steele, Lea and Flood 2014). */
uint64_t test_random(void) {
    uint64_t z = run.random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double test_uniform(void) {
    return (double)(test_random() >> 11) * 0x1p-53;
}

/* Box and Muller's transform. */
double test_normal(void) {
    const double radius = sqrt(-2 * log(1 - test_uniform()));
    return radius * cos(6.283185307179586 * test_uniform());
}

size_t test_below(size_t n) {
    return (size_t)(test_random() % n);
}

void test_check_chi_square(const size_t *counts, const double *p, size_t n, const char *what) {
    double sum = 0, freedom = -1, n_draws = 0;
    for (size_t i = 0; i < n; i++)
        n_draws += (double)counts[i];
    for (size_t i = 0; i < n; i++) {
        CHECK(p[i] > 0 || counts[i] == 0);
        if (p[i] == 0)
            continue;
        const double expected = p[i] * n_draws;
        sum += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
        freedom++;
    }
    CHECK_SAY(sum < freedom + 7 * sqrt(2 * freedom) + 10, "%s: chi-square is %g of %g degrees", what, sum, freedom);
}

bool is_quick(void) {
    return getenv("ENTROL_QUICK") != NULL;
}

void *counted_allocate(void *user, size_t n_bytes) {
    counted_memory *counted = user;
    if (counted->n_left-- <= 0)
        return NULL;
    counted->n_held++;
    return malloc(n_bytes);
}

void counted_release(void *user, void *memory) {
    counted_memory *counted = user;
    counted->n_held--;
    free(memory);
}

guarded guarded_allocate(size_t n_bytes, bool at_end) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (n_bytes + page - 1) / page * page;
    guarded buffer = {.mapping_size = body + 2 * page};
    buffer.mapping = mmap(NULL, buffer.mapping_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer.mapping == MAP_FAILED ||
        (body && mprotect((char *)buffer.mapping + page, body, PROT_READ | PROT_WRITE) != 0)) {
        fprintf(stderr, "no memory for a guarded buffer of %zu bytes\n", n_bytes);
        abort();
    }
    buffer.data = (char *)buffer.mapping + page + (at_end ? body - n_bytes : 0);
    return buffer;
}

void guarded_free(guarded *buffer) {
    munmap(buffer->mapping, buffer->mapping_size);
    *buffer = (guarded){0};
}
