/* Entropies renormalised on a support, against an oracle that sorts: every kind of support, row kind, dtype and level,
 * ties, masks, trouble; the same supports at every level, for any number of threads and any neighbours. */
#include "harness.h"

#include "harness_rows.h"
#include "oracle.h"

#include <float.h>

enum { MOST_ROWS = 32 };

static double worst[ENTROL_CPU_NEON + 1];       /* error of H_S as a share of what is allowed */
static double worst_mass;                       /* of mass at a support's end, of what is allowed */
static size_t n_rows_checked, n_other_supports; /* supports that are not the oracle's, by rounding */

static entrol_measure_options options_of(entrol_support_kind kind, double parameter) {
    entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
    options.support_kind = kind;
    options.support_parameter = parameter;
    return options;
}

static const char *const kind_of_support[] = {"all", "top p", "before p", "top k", "drop"};

typedef struct results {
    float entropy[MOST_ROWS];
    entrol_support support[MOST_ROWS];
} results;

static entrol_diagnosis measure(entrol_context *context, results *results, const sheet *sheet,
                                const entrol_measure_options *options) {
    entrol_record record = ENTROL_RECORD_INIT;
    entrol_diagnosis diagnosis;
    record.support_entropy = results->entropy;
    record.support = results->support;
    memset(results, 0x55, sizeof *results);
    CHECK_INT(entrol_measure_rows(context, &record, &diagnosis, &sheet->matrix, NULL, options), ENTROL_OK);
    return diagnosis;
}

/* What rounding may do to a share of the mass: terms by the contract of masses, and their units. */
static double mass_tolerance(const oracle_support *exact) {
    long double sum = 0, error = 0;
    for (size_t i = 0; i < exact->n_possible; i++) {
        const long double weight = exact->weight[i];
        sum += weight;
        error += weight > 1e-38L ? weight * (5e-7L + 1.5e-7L * fabsl(logl(weight))) : 0;
    }
    const double n = (double)exact->n_possible;
    return (double)(2 * error / sum) + n * n * 0x1p-62 / (double)sum + n * 0x1p-50;
}

/* The support is a first part of the order; 1 if so. */
static bool check_place(const entrol_support *support, const oracle_support *exact, const double *logits,
                        const char *what) {
    const size_t n = (size_t)support->n_columns;
    size_t n_above = 0, n_equal = 0;
    for (size_t i = 0; i < exact->n_possible; i++) {
        n_above += logits[exact->order[i]] > support->threshold;
        n_equal += logits[exact->order[i]] == support->threshold;
    }
    return CHECK_SAY(support->n_columns >= 0 && n <= exact->n_possible && support->n_ties <= (double)n_equal &&
                         (double)n_above + support->n_ties == support->n_columns &&
                         support->m == logits[exact->order[0]],
                     "%s: %g columns, %zu above %g and %g of %zu", what, support->n_columns, n_above,
                     support->threshold, support->n_ties, n_equal);
}

/* Exactly the oracle's; or, by mass, one that ends where rounding cannot tell. */
static void check_size(const entrol_support *support, const oracle_support *exact,
                       const entrol_measure_options *options, const char *what) {
    const size_t n = (size_t)support->n_columns;
    const double p = options->support_parameter;
    n_rows_checked++;
    if (n == exact->n)
        return;
    n_other_supports++;
    const bool is_by_mass =
        options->support_kind == ENTROL_SUPPORT_TOP_P || options->support_kind == ENTROL_SUPPORT_BEFORE_P;
    if (!CHECK_SAY(is_by_mass, "%s, %g: %zu columns, exactly %zu", what, p, n, exact->n))
        return;
    const size_t low = n < exact->n ? n : exact->n, high = n < exact->n ? exact->n : n;
    const size_t before = options->support_kind == ENTROL_SUPPORT_BEFORE_P; /* the ends of mass are a column further */
    const double tolerance = mass_tolerance(exact);
    const double mass_low = (double)exact->mass[low + before], mass_high = (double)exact->mass[high + before - 1];
    worst_mass = fmax(worst_mass, fmax(fabs(mass_low - p), fabs(mass_high - p)) / tolerance);
    CHECK_SAY(fabs(mass_low - p) <= tolerance && fabs(mass_high - p) <= tolerance,
              "%s, %.17g: %zu columns, exactly %zu, whose masses are %.9g and %.9g", what, p, n, exact->n, mass_low,
              mass_high);
}

/* The contract of measure.h for entropy. */
static double tolerance_of(double value, double temperature) {
    const double tolerance = 2e-6 * fmax(1, value);
    const double small = value < 1e-3 ? fmin(tolerance, 1e-3 * value + 1e-25) : tolerance;
    return temperature == 1 ? small : 2 * small;
}

static void check_entropy(entrol_cpu cpu, double got, const entrol_support *support, const oracle_support *exact,
                          const double *logits, size_t n, double temperature, const char *what) {
    const double value =
        (double)oracle_support_entropy(NULL, exact, logits, n, (size_t)support->n_columns, temperature);
    const double tolerance = tolerance_of(value, temperature);
    worst[cpu] = fmax(worst[cpu], fabs(got - value) / tolerance);
    CHECK_SAY(fabs(got - value) <= tolerance && !signbit(got), "%s, %s, V = %zu, T = %g: H_S is %.9g, exactly %.9g",
              entrol_cpu_name(cpu), what, n, temperature, got, value);
}

/* Every row of a sheet at every level; allowed (NULL: all) is for every row. */
static void check_sheet(const sheet *sheet, const unsigned char *allowed, const entrol_measure_options *options,
                        const char *name) {
    static results results[ENTROL_CPU_NEON + 1];
    char what[128];
    snprintf(what, sizeof what, "%s, %s %s, V = %zu", kind_of_support[options->support_kind],
             entrol_dtype_name(sheet->dtype), name, sheet->n_columns);
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        if (contexts[cpu])
            CHECK_INT(measure(contexts[cpu], &results[cpu], sheet, options).n_bad, 0);
    for (size_t row = 0; row < sheet->n_rows; row++) {
        double *logits = sheet_row(sheet, row);
        const entrol_support *first = &results[ENTROL_CPU_SCALAR].support[row];
        oracle_support exact;
        oracle_find_support(&exact, logits, allowed, sheet->n_columns, options->temperature, options->support_kind,
                            options->support_parameter);
        const bool is_place = check_place(first, &exact, logits, what);
        if (is_place)
            check_size(first, &exact, options, what);
        for (int cpu = ENTROL_CPU_SCALAR; is_place && cpu <= ENTROL_CPU_NEON; cpu++) {
            const entrol_support *support = &results[cpu].support[row];
            if (!contexts[cpu])
                continue;
            CHECK_SAY(support->threshold == first->threshold && support->n_ties == first->n_ties &&
                          support->n_columns == first->n_columns,
                      "%s, %s: not the plain level's support", entrol_cpu_name((entrol_cpu)cpu), what);
            check_entropy((entrol_cpu)cpu, (double)results[cpu].entropy[row], support, &exact, logits, sheet->n_columns,
                          options->temperature, what);
        }
        oracle_support_free(&exact);
        free(logits);
    }
}

/* --- Every row kind and support --- */

/* Of the k-th support; parameters that matter for n columns. */
static entrol_measure_options any_options(size_t k, size_t n) {
    static const double shares[] = {0, 0.9, 1e-9, 0.5, 0.3, 0.999, 1 - 1e-9, 0.8, 1};
    const entrol_support_kind kind = (entrol_support_kind)(k % 5);
    const double share = k / 5 % 3 ? shares[k / 5 % 9] : test_uniform();
    const size_t number = (size_t[]){1, 2, n / 2, n - 1, n, n + 1, 50, 1 + test_below(n)}[k / 5 % 8];
    return options_of(kind, kind == ENTROL_SUPPORT_TOP_K ? (double)(number ? number : 1) : share);
}

/* Temperatures are powers of two: 1 / T is rounded to float. */
static void check_kinds(size_t n, entrol_dtype dtype, size_t n_supports) {
    static const double temperatures[] = {1, 0.5, 4};
    for (int kind = 0; kind < N_KINDS; kind++) {
        sheet sheet = sheet_make(1, n, dtype);
        bool is_possible = false;
        for (size_t j = 0; j < n; j++) {
            sheet_put(&sheet, 0, j, kind_value(kind, j, n));
            is_possible = is_possible || sheet_get(&sheet, 0, j) > -INFINITY;
        }
        for (size_t k = 0; is_possible && k < n_supports; k++) {
            entrol_measure_options options = any_options(test_below(360), n);
            options.temperature = temperatures[kind % 3];
            check_sheet(&sheet, NULL, &options, kind_name(kind));
        }
        sheet_free(&sheet);
    }
}

static void test_short(void) {
    for (size_t n = 1; n <= 70; n += is_quick() ? 7 : 1)
        for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++)
            check_kinds(n, (entrol_dtype)dtype, 3);
}

static void test_long(void) {
    static const size_t sizes[] = {300, 2047, 2049, 5000};
    for (size_t i = 0; i < (is_quick() ? 1 : 4); i++)
        for (int dtype = ENTROL_F64; dtype <= ENTROL_BF16; dtype++)
            check_kinds(sizes[i], (entrol_dtype)dtype, i ? 2 : 8);
}

static void test_vocabulary(void) {
    const size_t n = 131072;
    for (size_t k = 0; k < (is_quick() ? 1 : 16); k++) {
        sheet sheet = sheet_make(1, n, (entrol_dtype)(k / 4 % 4));
        const int kind = (int)test_below(N_KINDS);
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j, k % 2 ? kind_value(NORMAL, j, n) : kind_value(kind, j, n));
        const entrol_measure_options options =
            options_of((entrol_support_kind)(1 + k % 4), k % 4 == 2 ? 1 + (double)test_below(n) : test_uniform());
        check_sheet(&sheet, NULL, &options, "vocabulary");
        sheet_free(&sheet);
    }
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        if (contexts[cpu])
            printf("    %s: largest error of H_S as a share of the contract: %.3f\n", entrol_cpu_name((entrol_cpu)cpu),
                   worst[cpu]);
    printf("    %zu of %zu supports end elsewhere than the oracle's, by up to %.3f of what rounding allows\n",
           n_other_supports, n_rows_checked, worst_mass);
}

/* Logits in steps, so that most columns are tied, and of the extremes of f64. */
static void test_ties(void) {
    for (size_t k = 0; k < (is_quick() ? 20 : 400); k++) {
        const size_t n = k % 3 ? 1 + test_below(300) : 4000 + test_below(9000), n_steps = 1 + test_below(6);
        sheet sheet = sheet_make(2, n, (entrol_dtype)(k % 4));
        for (size_t i = 0; i < 2 * n; i++)
            sheet_put(&sheet, i / n, i % n, (double)test_below(n_steps) * (k % 5 ? 1 : -0.0));
        const entrol_measure_options options = any_options(k, n);
        check_sheet(&sheet, NULL, &options, "steps");
        sheet_free(&sheet);
    }
}

/* Doubles that no float tells apart, columns of all sizes, and the ends of what a double holds. */
static void test_doubles(void) {
    for (size_t k = 0; k < (is_quick() ? 20 : 200); k++) {
        const size_t n = k % 3 ? 1 + test_below(300) : 4000 + test_below(9000);
        sheet sheet = sheet_make(1, n, ENTROL_F64);
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j,
                      k % 4 == 0   ? 1000 + 1e-12 * test_normal()
                      : k % 4 == 1 ? ldexp(1, -(int)test_below(1074)) * (test_below(2) ? 1 : -1)
                      : k % 4 == 2 ? ((double)test_below(3) - 1) * (0.9 * DBL_MAX)
                                   : -exp(20 * test_normal()));
        const entrol_measure_options options = any_options(k / 4 + 1, n);
        check_sheet(&sheet, NULL, &options, "doubles");
        sheet_free(&sheet);
    }
}

/* Long rows whose evenly spread columns are unlike the others. */
static void test_misleading_samples(void) {
    for (size_t k = 0; k < (is_quick() ? 20 : 200); k++) {
        const size_t n = 4097 + test_below(6000), n_sample = k % 2 ? 1024 : 64;
        sheet sheet = sheet_make(1, n, (entrol_dtype)(k / 2 % 4));
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j, test_normal());
        for (size_t i = 0; i < n_sample; i++)
            sheet_put(&sheet, 0, (size_t)((double)i / (double)n_sample * (double)n),
                      k % 3 == 0   ? -INFINITY
                      : k % 3 == 1 ? 4 + test_normal() / 4
                                   : -4 + test_normal() / 4);
        for (size_t i = 0; i < 5; i++) {
            const entrol_measure_options options = any_options(test_below(360), n);
            check_sheet(&sheet, NULL, &options, "misleading");
        }
        sheet_free(&sheet);
    }
}

static void test_masks(void) {
    for (size_t k = 0; k < (is_quick() ? 20 : 200); k++) {
        const size_t n = k % 2 ? 2 + test_below(62) : 65 + test_below(9000);
        unsigned char *allowed = malloc(n);
        uint8_t *mask = calloc(n / 8 + 1, 1);
        sheet sheet = sheet_make(2, n, (entrol_dtype)(k % 4));
        for (size_t j = 0; j < n; j++) {
            allowed[j] = test_below(3) > 0 || j == n / 2;
            mask[j / 8] |= (uint8_t)(allowed[j] << j % 8);
            sheet_put(&sheet, 0, j, allowed[j] ? test_normal() : NAN); /* what is masked is not looked at */
            sheet_put(&sheet, 1, j, allowed[j] ? test_normal() : INFINITY);
        }
        entrol_measure_options options = any_options(k, n);
        options.mask = mask;
        check_sheet(&sheet, allowed, &options, "masked");
        sheet_free(&sheet);
        free(allowed);
        free(mask);
    }
}

/* --- Gradients --- */

enum { AS_F32, AS_LOGITS, ADDED, IN_PLACE, N_WAYS };

/* What a loss says of each row; target 0 everywhere. */
typedef struct loss {
    float logprob[MOST_ROWS], entropy[MOST_ROWS], varentropy[MOST_ROWS], support_entropy[MOST_ROWS];
} loss;

/* Parts: 1 logprob, 2 entropy, 4 varentropy, and always H_S; 8: the same for all rows. */
static entrol_gradient loss_make(loss *loss, unsigned parts) {
    entrol_gradient gradient = ENTROL_GRADIENT_INIT;
    for (size_t row = 0; row < MOST_ROWS; row++) {
        loss->logprob[row] = (float)test_normal();
        loss->entropy[row] = (float)test_normal();
        loss->varentropy[row] = (float)test_normal();
        loss->support_entropy[row] = (float)test_normal();
    }
    gradient.logprob = parts & 1 ? loss->logprob : NULL;
    gradient.entropy = parts & 2 ? loss->entropy : NULL;
    gradient.varentropy = parts & 4 ? loss->varentropy : NULL;
    gradient.support_entropy = loss->support_entropy;
    return gradient;
}

static double at(const float *array, size_t row) {
    return array ? (double)array[row] : 0;
}

/* A row's gradient exactly, of the support that was found; the greatest element of any part. free() its d_logits. */
static oracle_gradient expect(const sheet *sheet, size_t row, const unsigned char *allowed,
                              const entrol_gradient *gradient, const entrol_support *support,
                              const entrol_measure_options *options) {
    const size_t n = sheet->n_columns;
    const double by[3] = {at(gradient->logprob, row), at(gradient->entropy, row), at(gradient->varentropy, row)};
    const double by_support = at(gradient->support_entropy, row);
    double *logits = sheet_row(sheet, row);
    oracle_gradient exact = {.d_logits = malloc(n * sizeof(long double))}, part = exact;
    oracle_support found;
    part.d_logits = malloc(n * sizeof(long double));
    oracle_find_support(&found, logits, allowed, n, options->temperature, ENTROL_SUPPORT_ALL, 0);
    oracle_differentiate(&exact, logits, allowed, n, sheet->targets[row], options->temperature, by);
    oracle_support_entropy(&part, &found, logits, n, (size_t)support->n_columns, options->temperature);
    for (size_t j = 0; j < n; j++)
        exact.d_logits[j] += (long double)by_support * part.d_logits[j];
    exact.greatest = fmaxl(exact.greatest, fabsl((long double)by_support) * part.greatest);
    oracle_support_free(&found);
    free(part.d_logits);
    free(logits);
    return exact;
}

static double worst_gradient; /* as a share of 1e-5 of the greatest part */

static void compare_gradient(const sheet *result, size_t row, const oracle_gradient *exact, double before,
                             const char *what) {
    for (size_t j = 0; j < result->n_columns; j++) {
        const double got = sheet_get(result, row, j), value = (double)exact->d_logits[j] + before;
        const double error = fabs(got - value), allowed = 1e-5 * (double)exact->greatest;
        if ((result->dtype == ENTROL_F32 || result->dtype == ENTROL_F64) && before == 0 && exact->greatest > 1e-12L)
            worst_gradient = fmax(worst_gradient, error / allowed);
        CHECK_SAY(error <= allowed + rounding(result->dtype, value) + 1e-18,
                  "%s: column %zu of row %zu is %.9g, expected %.9g, the greatest part %.3Lg", what, j, row, got, value,
                  exact->greatest);
    }
}

/* One call, or two; into a sheet of its own, added, or in place. */
static void check_way(entrol_cpu cpu, const sheet *logits, const unsigned char *allowed, entrol_gradient gradient,
                      const entrol_measure_options *options, int way, int is_fused, const char *what) {
    entrol_state states[MOST_ROWS];
    entrol_support supports[MOST_ROWS];
    float varentropy[MOST_ROWS];
    sheet result = sheet_make(logits->n_rows, logits->n_columns, way == AS_F32 ? ENTROL_F32 : logits->dtype);
    const double before = way == ADDED ? 0.25 : 0;
    for (size_t i = 0; i < result.n_rows * result.n_columns; i++)
        sheet_put(&result, 0, i, way == IN_PLACE ? sheet_get(logits, 0, i) : way == ADDED ? before : NAN);
    const entrol_destination to = {result.buffer.data, result.dtype, (ptrdiff_t)result.n_columns, way == ADDED};
    const entrol_matrix *from = way == IN_PLACE ? &result.matrix : &logits->matrix;
    entrol_record record = ENTROL_RECORD_INIT;
    entrol_diagnosis found;
    record.state = states;
    record.support = supports;
    record.varentropy = varentropy;
    if (is_fused) {
        CHECK_INT(entrol_measure_and_gradient_rows(contexts[cpu], &to, &record, &found, &gradient, from,
                                                   logits->targets, NULL, NULL, options),
                  ENTROL_OK);
    } else {
        CHECK_INT(entrol_measure_rows(contexts[cpu], &record, NULL, from, logits->targets, options), ENTROL_OK);
        gradient.supports = supports;
        CHECK_INT(entrol_gradient_rows(contexts[cpu], &to, &found, &gradient, states, from, logits->targets, options),
                  ENTROL_OK);
    }
    CHECK_INT(found.n_bad, 0);
    for (size_t row = 0; row < logits->n_rows; row++) {
        oracle_gradient exact = expect(logits, row, allowed, &gradient, &supports[row], options);
        compare_gradient(&result, row, &exact, before, what);
        free(exact.d_logits);
    }
    sheet_free(&result);
}

static void check_gradient(size_t n_rows, size_t n, entrol_dtype dtype, size_t k) {
    static loss loss;
    static const double temperatures[] = {1, 0.5, 4};
    char what[64];
    entrol_measure_options options = any_options(k, n);
    unsigned char *allowed = malloc(n);
    uint8_t *mask = calloc(n / 8 + 1, 1);
    sheet sheet = sheet_make(n_rows, n, dtype);
    const int kind = (int)test_below(N_KINDS);
    for (size_t i = 0; i < n_rows * n; i++) {
        const double value = kind_value(kind, i % n, n);
        sheet_put(&sheet, 0, i, k % 3 ? value : floor(value));
    }
    for (size_t j = 0; j < n; j++) {
        allowed[j] = k % 4 != 1 || j == 0 || test_below(3) > 0;
        mask[j / 8] |= (uint8_t)(allowed[j] << j % 8);
    }
    for (size_t row = 0; row < n_rows; row++)
        sheet_put(&sheet, row, 0, fmax(sheet_get(&sheet, row, 0), -300)); /* a target that is possible */
    options.temperature = temperatures[k % 3];
    options.mask = k % 4 == 1 ? mask : NULL;
    snprintf(what, sizeof what, "%s, %s %s, V = %zu", kind_of_support[options.support_kind], entrol_dtype_name(dtype),
             kind_name(kind), n);
    const entrol_gradient gradient = loss_make(&loss, (unsigned)test_below(8));
    for (size_t row = 2; row < n_rows; row += 5) /* nothing but the support, nothing but the rest */
        *(row % 2 ? &loss.support_entropy[row] : &loss.entropy[row]) = 0;
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        if (contexts[cpu])
            check_way((entrol_cpu)cpu, &sheet, allowed, gradient, &options, (int)(k / 2 % N_WAYS), k % 2, what);
    sheet_free(&sheet);
    free(allowed);
    free(mask);
}

static void test_gradients(void) {
    for (size_t k = 0; k < (is_quick() ? 60 : 500); k++) {
        const size_t n = k % 5 == 0 ? 65 + test_below(200) : 1 + test_below(64);
        check_gradient(1 + test_below(MOST_ROWS), n, (entrol_dtype)test_below(4), test_below(360));
    }
    for (size_t k = 0; k < (is_quick() ? 4 : 40); k++)
        check_gradient(1 + test_below(2), 2000 + test_below(5000), (entrol_dtype)(k % 4), test_below(360));
    check_gradient(1, 131072, ENTROL_F32, 5 * (1 + test_below(10)) + 1);
    printf("    largest error of a gradient as a share of 1e-5 of the greatest part: %.3f\n", worst_gradient);
}

/* More than the caches hold: written past them, from rows with and without their support's part. */
static void test_gradients_past_caches(void) {
    static loss loss;
    const size_t n_rows = 30, n = 150016;
    const entrol_measure_options options = options_of(ENTROL_SUPPORT_TOP_K, 5);
    entrol_gradient gradient = loss_make(&loss, 2);
    sheet logits = sheet_make(n_rows, n, ENTROL_F32), result = sheet_make(n_rows, n, ENTROL_F32);
    float *z = logits.buffer.data;
    for (size_t i = 0; i < n_rows * n; i++)
        z[i] = i < n ? (float)test_normal() : z[i % n];
    loss.entropy[3] = loss.support_entropy[4] = loss.entropy[5] = loss.support_entropy[5] = 0;
    entrol_context *context = context_at(ENTROL_CPU_BEST, 2);
    const entrol_record record = ENTROL_RECORD_INIT;
    const entrol_destination to = {result.buffer.data, ENTROL_F32, (ptrdiff_t)n, 0};
    CHECK_INT(entrol_measure_and_gradient_rows(context, &to, &record, NULL, &gradient, &logits.matrix, NULL, NULL, NULL,
                                               &options),
              ENTROL_OK);
    const entrol_support support = {.n_columns = 5};
    for (size_t row = 3; row < 6; row++) {
        oracle_gradient exact = expect(&logits, row, NULL, &gradient, &support, &options);
        compare_gradient(&result, row, &exact, 0, "past the caches");
        free(exact.d_logits);
    }
    entrol_context_destroy(context);
    sheet_free(&logits);
    sheet_free(&result);
}

/* The oracle's own: along a random direction, of a support that the step does not change. */
static void test_oracle_gradient(void) {
    for (size_t k = 0; k < 200; k++) {
        const size_t n = 1 + test_below(40), n_columns = test_below(n + 1);
        double z[40], up[40], down[40];
        long double dz[40], slope = 0;
        const double temperature = exp(test_normal() / 2);
        oracle_gradient gradient = {.d_logits = dz};
        oracle_support support[3];
        for (size_t i = 0; i < n; i++) {
            const double step = 1e-4 * test_normal();
            z[i] = (double)i + test_uniform() / 2; /* steps of at least 1/2: the order stays */
            up[i] = z[i] + step;
            down[i] = z[i] - step;
        }
        const double *const rows[3] = {z, up, down};
        long double entropy[3];
        for (int i = 0; i < 3; i++) {
            oracle_find_support(&support[i], rows[i], NULL, n, temperature, ENTROL_SUPPORT_ALL, 0);
            entropy[i] = oracle_support_entropy(i ? NULL : &gradient, &support[i], rows[i], n, n_columns, temperature);
            oracle_support_free(&support[i]);
        }
        for (size_t i = 0; i < n; i++)
            slope += dz[i] * ((long double)up[i] - (long double)down[i]);
        CHECK_NEAR(entropy[1] - entropy[2], slope, 3e-9 / (temperature * temperature * temperature));
    }
}

/* Rows whose record is not finite, and those of a gradient without supports. */
static void test_bad_records(void) {
    static const double values[] = {NAN, INFINITY, -INFINITY, 3e38};
    for (size_t k = 0; k < 16; k++) {
        const size_t n = k % 2 ? 18 : 3000;
        const entrol_measure_options options =
            k / 2 % 2 ? options_of(ENTROL_SUPPORT_TOP_K, 3) : options_of(ENTROL_SUPPORT_DROP, 1); /* of no column */
        sheet sheet = sheet_make(4, n, ENTROL_F32), result = sheet_make(4, n, ENTROL_F32);
        float by[4] = {1, (float)values[k / 4], 1, (float)values[k / 4]};
        const int is_bad = k / 4 < 3 || k / 2 % 2; /* 3e38 of no column is 0 */
        entrol_state states[4];
        entrol_support supports[4];
        entrol_record record = ENTROL_RECORD_INIT;
        entrol_gradient gradient = ENTROL_GRADIENT_INIT;
        entrol_diagnosis found;
        record.state = states;
        record.support = supports;
        gradient.support_entropy = by;
        const entrol_destination to = {result.buffer.data, ENTROL_F32, (ptrdiff_t)n, 0};
        entrol_context *context = contexts[ENTROL_CPU_SCALAR];
        for (size_t i = 0; i < 4 * n; i++)
            sheet_put(&sheet, 0, i, test_normal());
        CHECK_INT(entrol_measure_rows(context, &record, NULL, &sheet.matrix, NULL, &options), ENTROL_OK);
        CHECK_INT(entrol_gradient_rows(context, &to, &found, &gradient, states, &sheet.matrix, NULL, &options),
                  ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(found.argument ? found.argument : "none", "gradient.supports");
        gradient.supports = supports;
        CHECK_INT(entrol_gradient_rows(context, &to, &found, &gradient, states, &sheet.matrix, NULL, &options),
                  ENTROL_OK);
        CHECK_INT(found.n_bad, 2 * is_bad);
        CHECK(!is_bad || (found.first_row == 1 && found.reason == ENTROL_REASON_GRADIENT));
        CHECK(isnan(sheet_get(&result, 1, n / 2)) == is_bad && isfinite(sheet_get(&result, 2, n / 2)));
        sheet_free(&sheet);
        sheet_free(&result);
    }
}

/* --- What is exact --- */

static double size_at(const sheet *sheet, entrol_support_kind kind, double parameter) {
    static results results;
    const entrol_measure_options options = options_of(kind, parameter);
    double size = -1;
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
        if (!contexts[cpu])
            continue;
        CHECK_INT(measure(contexts[cpu], &results, sheet, &options).n_bad, 0);
        CHECK(size < 0 || results.support[0].n_columns == size);
        size = results.support[0].n_columns;
        CHECK_NEAR(results.entropy[0], size > 0 ? log(size) : 0, 2e-6);
    }
    return size;
}

/* Of 2^k equal columns, j have a mass of exactly j / 2^k. */
static void test_mass_that_equals_p(void) {
    for (int k = 0; k <= 14; k += k < 7 ? 1 : 7) {
        const size_t n = (size_t)1 << k;
        sheet sheet = sheet_make(1, n, ENTROL_F32);
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j, -1.5);
        for (size_t i = 0; i <= n; i += n > 64 ? 1 + test_below(n / 4) : 1) {
            const double p = (double)i / (double)n;
            CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_TOP_P, p), i ? i : 1);
            CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_BEFORE_P, p), i ? i - 1 : 0);
            CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_DROP, p), n - i);
            if (i == n)
                continue;
            CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_TOP_P, nextafter(p, 1)), i + 1);
            CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_BEFORE_P, nextafter(p, 1)), i);
        }
        sheet_free(&sheet);
    }
}

/* Shares that no double is: ten equal columns, of which 0.1, 0.2, ... are meant as whole columns. */
static void test_tenths(void) {
    sheet sheet = sheet_make(1, 10, ENTROL_F32);
    for (size_t j = 0; j < 10; j++)
        sheet_put(&sheet, 0, j, 2);
    for (size_t i = 1; i < 10; i++) {
        CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_TOP_P, (double)i / 10), i);
        CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_BEFORE_P, (double)i / 10), i - 1);
        CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_DROP, (double)i / 10), 10 - i);
        CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_TOP_K, (double)i), i);
    }
    sheet_free(&sheet);
}

/* A probability that reaches p by itself: SIREN's empty set, and the nucleus of one. Impossible columns do not count.
 */
static void test_certain(void) {
    for (size_t n = 2; n < 9000; n = n * 3 + 1) {
        sheet sheet = sheet_make(1, n, ENTROL_F32);
        for (size_t j = 0; j < n; j++)
            sheet_put(&sheet, 0, j, j == n / 2 ? 7 : j % 2 ? -INFINITY : -40);
        CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_BEFORE_P, 0.8), 0);
        CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_TOP_P, 0.8), 1);
        CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_DROP, 1), 0);
        sheet_put(&sheet, 0, 0, 7); /* n / 2 is above 0: two equal columns */
        CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_TOP_K, 1), 1);
        CHECK_INT(size_at(&sheet, ENTROL_SUPPORT_TOP_K, 2), 2);
        sheet_free(&sheet);
    }
}

/* All columns: H itself, with its bits. */
static void test_all_is_entropy(void) {
    static results results;
    for (size_t k = 0; k < 40; k++) {
        const size_t n = k % 2 ? 1 + test_below(64) : 65 + test_below(5000);
        const entrol_support_kind kinds[] = {ENTROL_SUPPORT_ALL, ENTROL_SUPPORT_TOP_P, ENTROL_SUPPORT_TOP_K,
                                             ENTROL_SUPPORT_DROP};
        const double parameters[] = {NAN, 1, 9000, 0};
        sheet sheet = sheet_make(3, n, ENTROL_F32);
        for (size_t i = 0; i < 3 * n; i++)
            sheet_put(&sheet, i / n, i % n, i % 7 == 1 ? -INFINITY : test_normal() * 5);
        const entrol_measure_options options = options_of(kinds[k / 2 % 4], parameters[k / 2 % 4]);
        float entropy[3];
        entrol_record record = ENTROL_RECORD_INIT;
        record.entropy = entropy;
        CHECK_INT(entrol_measure_rows(contexts[ENTROL_CPU_SCALAR], &record, NULL, &sheet.matrix, NULL, &options),
                  ENTROL_OK);
        measure(contexts[ENTROL_CPU_SCALAR], &results, &sheet, &options);
        CHECK(memcmp(entropy, results.entropy, sizeof entropy) == 0);
        sheet_free(&sheet);
    }
}

/* --- Rows together --- */

static void test_trouble(void) {
    static const size_t sizes[] = {1, 18, 64, 65, 5000};
    static results results;
    for (size_t k = 0; k < 5 * 5; k++) {
        const size_t n = sizes[k / 5];
        entrol_measure_options options = any_options(k, n);
        sheet sheet = sheet_make(5, n, ENTROL_F32);
        for (size_t i = 0; i < 5 * n; i++)
            sheet_put(&sheet, i / n, i % n, i / n == 3 ? -INFINITY : test_normal());
        sheet_put(&sheet, 1, n / 2, NAN);
        sheet_put(&sheet, 2, n / 3, INFINITY);
        for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++) {
            if (!contexts[cpu])
                continue;
            const entrol_diagnosis found = measure(contexts[cpu], &results, &sheet, &options);
            CHECK(found.n_bad == 3 && found.first_row == 1 && found.first_column == n / 2 &&
                  found.reason == ENTROL_REASON_NAN);
            for (size_t row = 0; row < 5; row++) {
                const int is_bad = row >= 1 && row <= 3;
                CHECK(isnan(results.entropy[row]) == is_bad && isnan(results.support[row].threshold) == is_bad);
                CHECK(isnan(results.support[row].n_columns) == is_bad && isnan(results.support[row].m) == is_bad);
            }
        }
        sheet_free(&sheet);
    }
}

/* The same bits for any number of threads, from any address, and whatever else is asked for. */
static void test_same_bits(void) {
    static results expected, got;
    for (size_t k = 0; k < 30; k++) {
        const size_t n = (size_t[]){4, 40, 64, 65, 700, 7000}[k / 5], n_rows = MOST_ROWS - 3;
        const entrol_measure_options options = any_options(k + 5 * (k % 3), n);
        sheet sheet = sheet_make(n_rows, n, ENTROL_F32);
        for (size_t i = 0; i < n_rows * n; i++)
            sheet_put(&sheet, i / n, i % n, test_normal() * 4);
        measure(contexts[ENTROL_CPU_SCALAR], &expected, &sheet, &options);
        entrol_context *one = context_at(ENTROL_CPU_BEST, 1);
        measure(one, &expected, &sheet, &options);
        for (size_t n_threads = 2; n_threads <= 7; n_threads += 5) {
            entrol_context *many = context_at(ENTROL_CPU_BEST, n_threads);
            measure(many, &got, &sheet, &options);
            CHECK(memcmp(&got, &expected, sizeof got) == 0);
            entrol_context_destroy(many);
        }
        char *odd = malloc(n * sizeof(float) + 3);
        for (size_t row = 0; row < n_rows; row += 5) {
            memcpy(odd + 3, (char *)sheet.buffer.data + row * n * sizeof(float), n * sizeof(float));
            const entrol_matrix alone = {odd + 3, ENTROL_F32, 1, n, 0};
            float entropy[1], support_entropy[1];
            entrol_record record = ENTROL_RECORD_INIT;
            record.entropy = entropy;
            record.support_entropy = support_entropy;
            CHECK_INT(entrol_measure_rows(one, &record, NULL, &alone, NULL, &options), ENTROL_OK);
            CHECK(memcmp(support_entropy, &expected.entropy[row], sizeof(float)) == 0);
        }
        free(odd);
        entrol_context_destroy(one);
        sheet_free(&sheet);
    }
}

static void test_bad_arguments(void) {
    static results results;
    const struct {
        int kind;
        double parameter;
        const char *argument; /* NULL: none */
    } cases[] = {{ENTROL_SUPPORT_ALL, NAN, NULL},
                 {5, 0.5, "options.support_kind"},
                 {-1, 0.5, "options.support_kind"},
                 {ENTROL_SUPPORT_TOP_P, -0.1, "options.support_parameter"},
                 {ENTROL_SUPPORT_TOP_P, 1.1, "options.support_parameter"},
                 {ENTROL_SUPPORT_TOP_P, NAN, "options.support_parameter"},
                 {ENTROL_SUPPORT_TOP_P, 0, NULL},
                 {ENTROL_SUPPORT_BEFORE_P, 1.1, "options.support_parameter"},
                 {ENTROL_SUPPORT_BEFORE_P, 1, NULL},
                 {ENTROL_SUPPORT_TOP_K, 0, "options.support_parameter"},
                 {ENTROL_SUPPORT_TOP_K, 1.5, "options.support_parameter"},
                 {ENTROL_SUPPORT_TOP_K, INFINITY, "options.support_parameter"},
                 {ENTROL_SUPPORT_TOP_K, 0x1p53, NULL},
                 {ENTROL_SUPPORT_DROP, -1, "options.support_parameter"},
                 {ENTROL_SUPPORT_DROP, 2, "options.support_parameter"},
                 {ENTROL_SUPPORT_DROP, 1, NULL}};
    const float z[4] = {1, 2, 3, 4};
    const entrol_matrix logits = {z, ENTROL_F32, 1, 4, 4};
    entrol_record record = ENTROL_RECORD_INIT;
    record.support_entropy = results.entropy;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const entrol_measure_options options = options_of((entrol_support_kind)cases[i].kind, cases[i].parameter);
        entrol_diagnosis found;
        const entrol_status status =
            entrol_measure_rows(contexts[ENTROL_CPU_SCALAR], &record, &found, &logits, NULL, &options);
        CHECK_INT(status, cases[i].argument ? ENTROL_ERROR_ARGUMENT : ENTROL_OK);
        if (cases[i].argument)
            CHECK_STRING(found.argument ? found.argument : "none", cases[i].argument);
    }
}

/* No piece knows the whole row's support. */
static void test_states_have_none(void) {
    const entrol_state state = {.m = 0, .n_top = 1};
    float entropy[1];
    entrol_support support[1];
    for (int i = 0; i < 2; i++) {
        entrol_record record = ENTROL_RECORD_INIT;
        entrol_diagnosis found;
        record.support_entropy = i ? NULL : entropy;
        record.support = i ? support : NULL;
        CHECK_INT(entrol_measure_states(&record, &found, &state, 1, NULL), ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(found.argument, "record");
    }
}

/* The structs as they were before supports: what they end with is not read. */
static void test_shorter_structs(void) {
    const float z[4] = {1, 2, 3, 4};
    const entrol_matrix logits = {z, ENTROL_F32, 1, 4, 4};
    float entropy[1] = {0}, untouched[1] = {7};
    entrol_record record = ENTROL_RECORD_INIT;
    entrol_measure_options options = options_of((entrol_support_kind)77, NAN);
    record.size = offsetof(entrol_record, support_entropy);
    record.entropy = entropy;
    record.support_entropy = untouched;
    options.size = offsetof(entrol_measure_options, support_kind);
    CHECK_INT(entrol_measure_rows(contexts[ENTROL_CPU_SCALAR], &record, NULL, &logits, NULL, &options), ENTROL_OK);
    CHECK(entropy[0] > 0 && untouched[0] == 7);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    contexts_open(NULL);
    TEST(test_short);
    TEST(test_long);
    TEST(test_ties);
    TEST(test_doubles);
    TEST(test_misleading_samples);
    TEST(test_masks);
    TEST(test_mass_that_equals_p);
    TEST(test_tenths);
    TEST(test_certain);
    TEST(test_all_is_entropy);
    TEST(test_trouble);
    TEST(test_same_bits);
    TEST(test_bad_arguments);
    TEST(test_states_have_none);
    TEST(test_shorter_structs);
    TEST(test_oracle_gradient);
    TEST(test_gradients);
    if (!is_quick())
        TEST(test_gradients_past_caches);
    TEST(test_bad_records);
    TEST(test_vocabulary);
    contexts_close();
    return test_end();
}
