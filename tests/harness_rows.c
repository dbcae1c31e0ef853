#include "harness_rows.h"

#include "oracle.h"

sheet sheet_make(size_t n_rows, size_t n_columns, entrol_dtype dtype) {
    sheet sheet = {.n_rows = n_rows, .n_columns = n_columns, .dtype = dtype};
    sheet.buffer = guarded_allocate(n_rows * n_columns * entrol_dtype_size(dtype), true);
    sheet.matrix = (entrol_matrix){sheet.buffer.data, dtype, n_rows, n_columns, (ptrdiff_t)n_columns};
    sheet.targets = calloc(n_rows + 1, sizeof *sheet.targets);
    return sheet;
}

void sheet_free(sheet *sheet) {
    guarded_free(&sheet->buffer);
    free(sheet->targets);
}

void sheet_put(sheet *sheet, size_t row, size_t column, double value) {
    oracle_encode(sheet->dtype, sheet->buffer.data, row * sheet->n_columns + column, value);
}

double sheet_get(const sheet *sheet, size_t row, size_t column) {
    return oracle_decode(sheet->dtype, sheet->buffer.data, row * sheet->n_columns + column);
}

double *sheet_row(const sheet *sheet, size_t row) {
    double *logits = malloc((sheet->n_columns + 1) * sizeof *logits);
    for (size_t j = 0; j < sheet->n_columns; j++)
        logits[j] = sheet_get(sheet, row, j);
    return logits;
}

entrol_destination destination_of(sheet *sheet, int add) {
    return (entrol_destination){sheet->buffer.data, sheet->dtype, (ptrdiff_t)sheet->n_columns, add};
}

double rounding(entrol_dtype dtype, double value) {
    const double size = fabs(value);
    return dtype == ENTROL_F16 ? fmax(size * 0x1p-11, 0x1p-25) : dtype == ENTROL_BF16 ? size * 0x1p-8 : size * 0x1p-23;
}

entrol_context *context_with(entrol_cpu cpu, size_t n_threads, entrol_gemm gemm) {
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.cpu = cpu;
    options.n_threads = n_threads;
    options.gemm = gemm;
    entrol_context *context = NULL;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    return context;
}

entrol_context *context_at(entrol_cpu cpu, size_t n_threads) {
    return context_with(cpu, n_threads, NULL);
}

entrol_context *contexts[ENTROL_CPU_NEON + 1];

void contexts_open(entrol_gemm gemm) {
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        contexts[cpu] = entrol_cpu_available((entrol_cpu)cpu) ? context_with((entrol_cpu)cpu, 1, gemm) : NULL;
}

void contexts_close(void) {
    for (int cpu = ENTROL_CPU_SCALAR; cpu <= ENTROL_CPU_NEON; cpu++)
        entrol_context_destroy(contexts[cpu]);
}

static const char *const kind_names[] = {
    "N(0,2.5)", "N(1000,2.5)",    "uniform",        "40 and N(0,1)", "two finite", "rising",    "falling",
    "top last", "all below -104", "nearly certain", "flat then top", "half -inf",  "two levels"};

double kind_value(int kind, size_t i, size_t n) {
    switch (kind) {
    case NORMAL:
        return test_normal() * 2.5;
    case NORMAL_FAR:
        return 1000 + test_normal() * 2.5;
    case UNIFORM:
        return 3;
    case PEAKED:
        return i == n / 3 ? 40 : test_normal();
    case TWO_FINITE:
        return i == 0 || i == n - 1 ? (double)i / (double)n : -INFINITY;
    case RISING:
        return 30.0 * (double)i / (double)n;
    case FALLING:
        return -30.0 * (double)i / (double)n;
    case LAST:
        return i == n - 1 ? 12 : test_normal();
    case BELOW:
        return -200 + test_normal();
    case NEARLY_CERTAIN:
        return i == n / 2 ? 30 : -10 + test_normal();
    case FLAT_THEN_TOP:
        return i < n - n / 4 ? -60 : test_normal() / 10;
    case SPARSE:
        return test_below(2) ? -INFINITY : test_normal() * 4;
    default:
        return i == n / 2 ? 0 : -(double)(kind - TWO_LEVEL + 1);
    }
}

const char *kind_name(int kind) {
    return kind_names[kind < TWO_LEVEL ? kind : TWO_LEVEL];
}
