/* Status, dtypes, levels, the context and its threads. */
#include "harness.h"

#include "base/context.h"
#include "base/cpu.h"
#include "base/dtype.h"

#include <entrol/entrol.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
enum { HAS_THREAD_SANITIZER = 1 };
#else
enum { HAS_THREAD_SANITIZER = 0 };
#endif

/* Tests of the environment set it and put it back. */
static entrol_status create_with(entrol_context **context, const char *name, const char *value) {
    setenv(name, value, 1);
    const entrol_status status = entrol_context_create(context, NULL);
    unsetenv(name);
    return status;
}

static entrol_context *context_of(size_t n_threads) {
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = n_threads;
    entrol_context *context = NULL;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    return context;
}

static void test_strings(void) {
    CHECK_STRING(entrol_version(), ENTROL_VERSION);
    for (int status = ENTROL_ERROR_DATA; status <= 0; status++)
        CHECK(strcmp(entrol_status_string((entrol_status)status), entrol_status_string((entrol_status)77)) != 0);
    for (int reason = 0; reason <= ENTROL_REASON_DEVIATION; reason++)
        CHECK(strcmp(entrol_reason_string((entrol_reason)reason), entrol_reason_string((entrol_reason)77)) != 0);
    CHECK_STRING(entrol_cpu_name(ENTROL_CPU_BEST), "best");
    CHECK_STRING(entrol_cpu_name(ENTROL_CPU_SCALAR), "scalar");
    CHECK_STRING(entrol_cpu_name(ENTROL_CPU_AVX2), "avx2");
    CHECK_STRING(entrol_cpu_name(ENTROL_CPU_AVX512), "avx512");
    CHECK_STRING(entrol_cpu_name(ENTROL_CPU_NEON), "neon");
    CHECK_STRING(entrol_cpu_name((entrol_cpu)77), "unknown");
}

static void test_dtypes(void) {
    static const struct {
        entrol_dtype dtype;
        size_t size;
        const char *name;
    } cases[] = {{ENTROL_F64, 8, "f64"},
                 {ENTROL_F32, 4, "f32"},
                 {ENTROL_F16, 2, "f16"},
                 {ENTROL_BF16, 2, "bf16"},
                 {(entrol_dtype)77, 0, "unknown"}};
    for (size_t i = 0; i < 5; i++) {
        CHECK_INT(entrol_dtype_size(cases[i].dtype), cases[i].size);
        CHECK_STRING(entrol_dtype_name(cases[i].dtype), cases[i].name);
    }
}

/* All 65,536 patterns of both half types against the definition of their formats. */
static double half_by_definition(unsigned bits, int n_fraction_bits, int bias) {
    const unsigned exponents = 1u << (15 - n_fraction_bits), exponent = bits >> n_fraction_bits & (exponents - 1);
    const double fraction = ldexp(bits & ((1u << n_fraction_bits) - 1), -n_fraction_bits);
    double size = exponent == 0 ? ldexp(fraction, 1 - bias) : ldexp(1 + fraction, (int)exponent - bias);
    if (exponent == exponents - 1)
        size = fraction > 0 ? (double)NAN : (double)INFINITY;
    return bits & 0x8000 ? -size : size;
}

static void test_halves(void) {
    for (unsigned bits = 0; bits < 65536; bits++) {
        const double f16 = half_by_definition(bits, 10, 15), bf16 = half_by_definition(bits, 7, 127);
        const uint16_t half = (uint16_t)bits;
        CHECK_NEAR(ent_f16_to_float(half), f16, 0);
        CHECK_NEAR(ent_bf16_to_float(half), bf16, 0);
        CHECK_NEAR(ent_element(&half, ENTROL_F16, 0), f16, 0);
        CHECK_NEAR(ent_element(&half, ENTROL_BF16, 0), bf16, 0);
        CHECK(!signbit(ent_f16_to_float(half)) == !(bits & 0x8000));
    }
}

static void test_unaligned_elements(void) {
    const double f64[2] = {1.5, -2.25};
    const float f32[2] = {1.5f, -2.25f};
    char memory[17];
    memcpy(memory + 1, f64, sizeof f64);
    CHECK(ent_element(memory + 1, ENTROL_F64, 1) == -2.25);
    memcpy(memory + 1, f32, sizeof f32);
    CHECK(ent_element(memory + 1, ENTROL_F32, 1) == -2.25);
    CHECK(isnan(ent_element(memory, (entrol_dtype)77, 0)));
}

static void test_multiply(void) {
    static const struct {
        size_t a, b;
        int fits;
    } cases[] = {{0, SIZE_MAX, 1},        {SIZE_MAX, 0, 1},     {1, SIZE_MAX, 1},         {2, SIZE_MAX, 0},
                 {SIZE_MAX, SIZE_MAX, 0}, {2, SIZE_MAX / 2, 1}, {2, SIZE_MAX / 2 + 1, 0}, {3, 5, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t product;
        CHECK_INT(ent_multiply(&product, cases[i].a, cases[i].b), cases[i].fits);
        if (cases[i].fits)
            CHECK(product == cases[i].a * cases[i].b);
    }
}

static void test_cpu_levels(void) {
    CHECK(entrol_cpu_available(ENTROL_CPU_SCALAR) && entrol_cpu_available(ENTROL_CPU_BEST));
    CHECK(!entrol_cpu_available((entrol_cpu)77) && !entrol_cpu_available((entrol_cpu)-1));
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
        entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
        options.cpu = (entrol_cpu)cpu;
        entrol_context *context = NULL;
        const entrol_status status = entrol_context_create(&context, &options);
        CHECK_INT(status, entrol_cpu_available(options.cpu) ? ENTROL_OK : ENTROL_ERROR_UNSUPPORTED);
        if (status == ENTROL_OK)
            CHECK_INT(entrol_context_cpu(context), cpu);
        entrol_context_destroy(context);
    }
#if defined(__x86_64__)
    /* The compiler's own reading of CPUID. */
    __builtin_cpu_init();
    CHECK_INT(entrol_cpu_available(ENTROL_CPU_AVX2), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    CHECK_INT(entrol_cpu_available(ENTROL_CPU_AVX512),
              __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
    CHECK(!entrol_cpu_available(ENTROL_CPU_NEON));
#elif defined(__aarch64__)
    CHECK(entrol_cpu_available(ENTROL_CPU_NEON) && !entrol_cpu_available(ENTROL_CPU_AVX2));
#endif
}

static void test_environment_cpu(void) {
    entrol_context *context = NULL;
    static const char *const wrong[] = {"nonsense", "AVX2", "avx", "avx2 ", "best", "unknown", "1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_SAY(create_with(&context, "ENTROL_CPU", wrong[i]) == ENTROL_ERROR_ENVIRONMENT, "%s", wrong[i]);
    CHECK(context == NULL);
    CHECK_INT(create_with(&context, "ENTROL_CPU", "scalar"), ENTROL_OK);
    CHECK_INT(entrol_context_cpu(context), ENTROL_CPU_SCALAR);
    entrol_context_destroy(context);
    const int has_neon = entrol_cpu_available(ENTROL_CPU_NEON);
    CHECK_INT(create_with(&context, "ENTROL_CPU", has_neon ? "avx2" : "neon"), ENTROL_ERROR_UNSUPPORTED);
    /* A level that the program asks for stands above the environment's. */
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.cpu = ENTROL_CPU_SCALAR;
    setenv("ENTROL_CPU", "nonsense", 1);
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    unsetenv("ENTROL_CPU");
    entrol_context_destroy(context);
}

static void test_environment_threads(void) {
    entrol_context *context = NULL;
    static const char *const wrong[] = {"0", "abc", "-1", "+2", " 2", "2x", "1025", "99999999999999999999", "2.5"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_SAY(create_with(&context, "ENTROL_THREADS", wrong[i]) == ENTROL_ERROR_ENVIRONMENT, "%s", wrong[i]);
    CHECK(context == NULL);
    CHECK_INT(create_with(&context, "ENTROL_THREADS", "7"), ENTROL_OK);
    CHECK_INT(entrol_context_n_threads(context), 7);
    entrol_context_destroy(context);
    setenv("ENTROL_THREADS", "7", 1);
    context = context_of(3);
    CHECK_INT(entrol_context_n_threads(context), 3);
    entrol_context_destroy(context);
    unsetenv("ENTROL_THREADS");
}

static void test_affinity(void) {
    cpu_set_t before, one;
    if (sched_getaffinity(0, sizeof before, &before) != 0) {
        test_skip("sched_getaffinity failed");
        return;
    }
    entrol_context *context = context_of(0);
    CHECK_INT(entrol_context_n_threads(context), CPU_COUNT(&before));
    entrol_context_destroy(context);
    CPU_ZERO(&one);
    for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    context = context_of(0);
    CHECK_INT(entrol_context_n_threads(context), 1);
    entrol_context_destroy(context);
    sched_setaffinity(0, sizeof before, &before);
}

static void test_bad_options(void) {
    entrol_context *context = NULL;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    CHECK_INT(entrol_context_create(NULL, NULL), ENTROL_ERROR_ARGUMENT);
    options.size = 0;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_ERROR_ARGUMENT);
    options = (entrol_context_options)ENTROL_CONTEXT_OPTIONS_INIT;
    options.cpu = (entrol_cpu)77;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_ERROR_ARGUMENT);
    options = (entrol_context_options)ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = SIZE_MAX;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_ERROR_ARGUMENT);
    /* An older program's shorter struct: what is beyond it does not count. */
    memset(&options, 0xff, sizeof options);
    options.size = offsetof(entrol_context_options, cpu);
    options.n_threads = 5;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    CHECK_INT(entrol_context_n_threads(context), 5);
    entrol_context_destroy(context);
    entrol_context_destroy(NULL);
}

static void note_product(void *user, const entrol_gemm_operands *operands) {
    *(size_t *)user = operands->k;
}

/* The matrix product comes last: a program that was built before it gives none. */
static void test_gemm(void) {
    size_t noted = 0;
    entrol_context *context = NULL;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.gemm = note_product;
    options.gemm_user = &noted;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    CHECK(ent_has_gemm(context));
    ent_gemm(context, &(entrol_gemm_operands){.m = 1, .n = 1, .k = 7});
    CHECK_INT(noted, 7);
    entrol_context_destroy(context);
    options.size = offsetof(entrol_context_options, gemm);
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    CHECK(!ent_has_gemm(context));
    entrol_context_destroy(context);
}

static void test_failing_allocator(void) {
    int n_refused = 0, is_done = 0;
    for (int n_allowed = 0; n_allowed < 20 && !is_done; n_allowed++) {
        counted_memory counted = {.n_left = n_allowed};
        entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
        options.allocate = counted_allocate;
        options.release = counted_release;
        options.allocate_user = &counted;
        entrol_context *context = NULL;
        const entrol_status status = entrol_context_create(&context, &options);
        is_done = status == ENTROL_OK;
        if (is_done) {
            CHECK(ent_allocate(context, 8) == NULL);
            entrol_context_destroy(context);
        } else {
            n_refused++;
            CHECK_INT(status, ENTROL_ERROR_MEMORY);
            CHECK(context == NULL);
        }
        CHECK_INT(counted.n_held, 0);
        options.release = NULL;
        CHECK_INT(entrol_context_create(&context, &options), ENTROL_ERROR_ARGUMENT);
    }
    CHECK(is_done && n_refused > 0);
}

/* Tasks that count how often each of them ran, and which threads were seen. */
typedef struct work {
    atomic_int *n_runs;
    pthread_t caller;
    atomic_int n_elsewhere;
} work;

static void count_run(void *argument, size_t index) {
    work *work = argument;
    atomic_fetch_add(&work->n_runs[index], 1);
    if (!pthread_equal(pthread_self(), work->caller))
        atomic_fetch_add(&work->n_elsewhere, 1);
}

/* Runs n tasks and checks that each of them ran once. */
static void run_tasks(entrol_context *context, size_t n) {
    work work = {.n_runs = calloc(n + 1, sizeof(atomic_int)), .caller = pthread_self()};
    ent_parallel_for(context, n, count_run, &work);
    for (size_t i = 0; i < n; i++)
        CHECK_INT(work.n_runs[i], 1);
    CHECK_INT(work.n_runs[n], 0);
    free(work.n_runs);
}

static void test_every_task_once(void) {
    static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 63, 1000};
    for (size_t n_threads = 1; n_threads <= 9; n_threads += 4) {
        entrol_context *context = context_of(n_threads);
        for (int round = 0; round < 200; round++)
            run_tasks(context, sizes[round % 8]);
        entrol_context_destroy(context);
    }
    entrol_context_destroy(context_of(8)); /* threads that never started */
}

static void wait_for_other(void *argument, size_t index) {
    atomic_int *n_here = argument;
    (void)index;
    atomic_fetch_add(n_here, 1);
    while (atomic_load(n_here) < 4)
        sched_yield();
}

/* Four tasks that end only when all of them have begun need four threads. */
static void test_tasks_run_together(void) {
    entrol_context *context = context_of(4);
    for (int round = 0; round < 50; round++) {
        atomic_int n_here = 0;
        ent_parallel_for(context, 4, wait_for_other, &n_here);
        CHECK_INT(n_here, 4);
    }
    entrol_context_destroy(context);
}

static void *use_contexts(void *unused) {
    (void)unused;
    for (int round = 0; round < 10; round++) {
        entrol_context *context = context_of(3);
        for (int i = 0; i < 5; i++)
            run_tasks(context, 20);
        entrol_context_destroy(context);
    }
    return NULL;
}

static void test_many_contexts_in_many_threads(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        if (!CHECK(pthread_create(&threads[i], NULL, use_contexts, NULL) == 0))
            abort();
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

/* A caller's pool that runs backwards, and counts its calls. */
static void backwards(void *user, size_t n_tasks, entrol_task task, void *argument) {
    *(int *)user += 1;
    for (size_t i = n_tasks; i > 0; i--)
        task(argument, i - 1);
}

static void test_own_parallel_for(void) {
    int n_calls = 0;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 4;
    options.parallel_for = backwards;
    options.parallel_user = &n_calls;
    entrol_context *context = NULL;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    run_tasks(context, 100);
    CHECK_INT(n_calls, 1);
    work work = {.n_runs = calloc(100, sizeof(atomic_int)), .caller = pthread_self()};
    ent_parallel_for(context, 100, count_run, &work);
    CHECK_INT(work.n_elsewhere, 0);
    free(work.n_runs);
    entrol_context_destroy(context);
}

/* In a child: the status with which it ended, or -1. */
static int in_child(void (*function)(entrol_context *), entrol_context *context) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        alarm(60); /* a pool that waits for threads that are not there must not hang the tests */
        function(context);
        _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

/* All four threads have begun: AddressSanitizer cannot be forked while one begins. */
static bool run_together(entrol_context *context) {
    atomic_int n_here = 0;
    ent_parallel_for(context, 4, wait_for_other, &n_here);
    return n_here == 4;
}

static void use_inherited(entrol_context *context) {
    const bool together = run_together(context); /* needs the child's own threads */
    run_tasks(context, 100);
    entrol_context_destroy(context);
    _exit(together ? 42 : 1);
}

static void use_twice_inherited(entrol_context *context) {
    _exit(run_together(context) ? in_child(use_inherited, context) : 1);
}

static void destroy_inherited(entrol_context *context) {
    entrol_context_destroy(context);
    _exit(42);
}

static void test_fork(void) {
    if (HAS_THREAD_SANITIZER) {
        test_skip("ThreadSanitizer allows no threads after a fork");
        return;
    }
    entrol_context *context = context_of(4);
    CHECK_INT(in_child(use_inherited, context), 42); /* before any thread started */
    CHECK(run_together(context));
    for (int round = 0; round < 10; round++) {
        CHECK_INT(in_child(use_inherited, context), 42);
        CHECK_INT(in_child(destroy_inherited, context), 42);
        CHECK_INT(in_child(use_twice_inherited, context), 42);
        run_tasks(context, 100); /* and the parent goes on */
    }
    entrol_context_destroy(context);
}

static void use_without_threads(entrol_context *context) {
    const struct rlimit none = {1, 1};
    if (setrlimit(RLIMIT_NPROC, &none) != 0 || setuid(65534) != 0)
        _exit(77);
    pthread_t thread;
    if (pthread_create(&thread, NULL, use_contexts, NULL) == 0)
        _exit(77);
    run_tasks(context, 100);
    entrol_context_destroy(context);
    _exit(42);
}

/* Where the system refuses threads, the caller's does the work. */
static void test_no_threads(void) {
    if (geteuid() != 0 || HAS_THREAD_SANITIZER) {
        test_skip("needs root, to become a user who may start no thread, and no ThreadSanitizer");
        return;
    }
    entrol_context *context = context_of(4);
    const int status = in_child(use_without_threads, context);
    if (status == 77)
        test_skip("this system does not limit threads");
    else
        CHECK_INT(status, 42);
    entrol_context_destroy(context);
}

int main(int argc, char **argv) {
    unsetenv("ENTROL_CPU");
    unsetenv("ENTROL_THREADS");
    test_begin(argc, argv);
    TEST(test_strings);
    TEST(test_dtypes);
    TEST(test_halves);
    TEST(test_unaligned_elements);
    TEST(test_multiply);
    TEST(test_cpu_levels);
    TEST(test_environment_cpu);
    TEST(test_environment_threads);
    TEST(test_affinity);
    TEST(test_bad_options);
    TEST(test_gemm);
    TEST(test_failing_allocator);
    TEST(test_every_task_once);
    TEST(test_tasks_run_together);
    TEST(test_many_contexts_in_many_threads);
    TEST(test_own_parallel_for);
    TEST(test_fork);
    TEST(test_no_threads);
    return test_end();
}
