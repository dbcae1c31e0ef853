/* Status, element types, views of matrices, the context, exact sums and order statistics.
 *
 * Everything that more than one room of the library shares. Conventions of every call:
 *   - the result is an entrol_status, 0 or negative; values go through out-parameters;
 *   - the order is context, outputs, inputs with each length after its pointer, options last;
 *   - an options struct starts with its own size, so that it can grow; NULL means the defaults;
 *   - the caller owns all data; any output pointer may be NULL: not wanted, not computed;
 *   - on a negative status no output was written, but where a call says what it leaves. */
#ifndef ENTROL_BASE_H
#define ENTROL_BASE_H

#include <stddef.h>
#include <stdint.h>

#if defined(ENTROL_STATIC)
#define ENTROL_API
#else
#define ENTROL_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define ENTROL_VERSION_MAJOR 0
#define ENTROL_VERSION_MINOR 1
#define ENTROL_VERSION_PATCH 0
#define ENTROL_VERSION "0.1.0"

/* The version of the library that is loaded, as ENTROL_VERSION was when it was built. */
ENTROL_API const char *entrol_version(void);

/* What a call returns. Only bad arguments and lack of memory are errors: trouble inside the data
 * (a NaN, an empty row) is counted in an entrol_diagnosis and never stops a call, except where all rows have one result
 * together, as a loss: DATA. */
typedef enum entrol_status {
    ENTROL_OK = 0,
    ENTROL_ERROR_ARGUMENT = -1,      /* an argument is out of its domain; the diagnosis names it */
    ENTROL_ERROR_MEMORY = -2,        /* the allocator returned NULL */
    ENTROL_ERROR_OVERFLOW = -3,      /* a size does not fit in size_t */
    ENTROL_ERROR_UNSUPPORTED = -4,   /* this build or this machine cannot do it */
    ENTROL_ERROR_ENVIRONMENT = -5,   /* ENTROL_CPU or ENTROL_THREADS is not understood */
    ENTROL_ERROR_SYSTEM = -6,        /* the operating system refused a thread */
    ENTROL_ERROR_COMMUNICATION = -7, /* the ranks could not be reached, or another rank's call failed */
    ENTROL_ERROR_READ = -8,          /* a stream could not be read */
    ENTROL_ERROR_DATA = -9 /* a value makes the one result of the call meaningless; the diagnosis names its row */
} entrol_status;

/* A sentence in English for a status; never NULL, also for an unknown number. */
ENTROL_API const char *entrol_status_string(entrol_status status);

/* Why a row's results are NaN. */
typedef enum entrol_reason {
    ENTROL_REASON_NONE = 0,
    ENTROL_REASON_NAN,           /* a NaN in a column that is not masked */
    ENTROL_REASON_INFINITE,      /* +inf in a column that is not masked */
    ENTROL_REASON_EMPTY_SUPPORT, /* every column is -inf or masked */
    ENTROL_REASON_TARGET,        /* the target is not a column; only its own results are NaN */
    ENTROL_REASON_NEGATIVE,      /* a probability below 0, or a log-probability above 0 */
    ENTROL_REASON_SUM,           /* probabilities that do not sum to one */
    ENTROL_REASON_GRADIENT,      /* a gradient record that is not finite, or dL/dV of a state without varentropy */
    ENTROL_REASON_COLUMNS,       /* there are fewer columns than the known ones and what they leave over need */
    ENTROL_REASON_ACTION,        /* an action that the distribution cannot give; only its own results are NaN */
    ENTROL_REASON_PARAMETER,     /* a parameter of a distribution out of its domain, as a negative sigma */
    ENTROL_REASON_RATIO,         /* the ratio of two probabilities is beyond the greatest float */
    ENTROL_REASON_GROUP,         /* a group too small for what is asked of it */
    ENTROL_REASON_DEVIATION      /* a standard deviation of 0, which nothing can be divided by */
} entrol_reason;

/* A few words in English for a reason; never NULL. */
ENTROL_API const char *entrol_reason_string(entrol_reason reason);

/* What went wrong. Filled by every call that takes one, NULL if not wanted. After an error status other than DATA
 * `argument` names the offending argument (a static string) and the rest is 0 (first_row: see entrol_setting); else
 * `argument` is NULL, n_bad counts the rows in trouble, and the rest describes the first of them. */
typedef struct entrol_diagnosis {
    const char *argument;
    size_t n_bad;
    size_t first_row;
    size_t first_column; /* of the offending value; 0 where no single column is to blame */
    entrol_reason reason;
} entrol_diagnosis;

typedef enum entrol_dtype { ENTROL_F64 = 0, ENTROL_F32 = 1, ENTROL_F16 = 2, ENTROL_BF16 = 3 } entrol_dtype;

/* Bytes of one element; 0 for a number that is no dtype. */
ENTROL_API size_t entrol_dtype_size(entrol_dtype dtype);

/* "f64", "f32", "f16" or "bf16"; "unknown" for a number that is no dtype. */
ENTROL_API const char *entrol_dtype_name(entrol_dtype dtype);

/* A view of n_rows x n_columns elements. A row is contiguous; row i starts row_stride elements after
 * row i - 1 (any sign; n_columns when the matrix is dense). No alignment is required of `data`, not
 * even that of its own element. */
typedef struct entrol_matrix {
    const void *data;
    entrol_dtype dtype;
    size_t n_rows;
    size_t n_columns;
    ptrdiff_t row_stride;
} entrol_matrix;

/* Where a matrix of results goes, of as many rows and columns as the call says; views as in entrol_matrix. Rows may
 * not lie on each other: the size of row_stride is at least the number of columns where there are several rows. */
typedef struct entrol_destination {
    void *data;
    entrol_dtype dtype;
    ptrdiff_t row_stride;
    int add; /* 1: added to what is there; 0: written */
} entrol_destination;

/* Instruction-set levels, in the order in which they are preferred on their architecture. */
typedef enum entrol_cpu {
    ENTROL_CPU_BEST = 0, /* what ENTROL_CPU says, else the best level of this machine */
    ENTROL_CPU_SCALAR,
    ENTROL_CPU_AVX2,   /* with FMA and F16C */
    ENTROL_CPU_AVX512, /* F, BW, DQ and VL */
    ENTROL_CPU_NEON
} entrol_cpu;

/* "scalar", "avx2", "avx512", "neon"; "best" for ENTROL_CPU_BEST; "unknown" otherwise. */
ENTROL_API const char *entrol_cpu_name(entrol_cpu cpu);

/* 1 if this build has the level and this machine can run it, else 0. */
ENTROL_API int entrol_cpu_available(entrol_cpu cpu);

/* A context: allocator, thread pool, instruction-set level and matrix product. One context may be used by one call
 * at a time; different contexts are independent. It survives fork: a child starts its own threads. */
typedef struct entrol_context entrol_context;

/* Runs task(argument, i) once for every i in [0, n_tasks), in any order, on any threads, and returns
 * when all are done. A caller's own thread pool can be given to a context through this. */
typedef void (*entrol_task)(void *argument, size_t index);
typedef void (*entrol_parallel_for)(void *user, size_t n_tasks, entrol_task task, void *argument);

/* A product of matrices of f32: c = op(a) op(b), or c += op(a) op(b). Element (i, j) of a matrix is data[i * stride +
 * j]; op transposes where its flag is 1, so that op(a) is m x k, op(b) k x n and c m x n. No stride is greater than
 * INT32_MAX, and c overlaps neither a nor b. m, n and k are at least 1. */
typedef struct entrol_gemm_operands {
    float *c;
    const float *a, *b;
    size_t m, n, k;
    size_t c_stride, a_stride, b_stride;
    int a_transposed, b_transposed;
    int add; /* 1: c is added to; 0: it is written, and what it held (NaN too) does not matter */
} entrol_gemm_operands;

/* Computes such a product, on the calling thread alone: the library calls it from several threads at once. The bits of
 * an element must not depend on what other calls do. adapters/blas has one by CBLAS. */
typedef void (*entrol_gemm)(void *user, const entrol_gemm_operands *operands);

/* Ranks that work together, each on values of its own: processes of one program, as under MPI or torch.distributed. A
 * call that says so is made by every rank with the same options, and gives each the same results. */
typedef struct entrol_comm {
    size_t rank, size; /* this one, from 0; how many there are */
    /* Adds up n counts over all ranks, element by element, in place; every rank calls it as often and with the same n.
     * 0, or anything else where that failed. */
    int (*all_reduce)(void *user, uint64_t *counts, size_t n);
    void *user;
} entrol_comm;

typedef struct entrol_context_options {
    size_t size;                                   /* sizeof(entrol_context_options) */
    size_t n_threads;                              /* 0: ENTROL_THREADS, else the processors this process may use */
    entrol_cpu cpu;                                /* ENTROL_CPU_BEST by default */
    void *(*allocate)(void *user, size_t n_bytes); /* NULL: malloc */
    void (*release)(void *user, void *memory);     /* NULL: free; both or neither */
    void *allocate_user;
    entrol_parallel_for parallel_for; /* NULL: the context's own pool */
    void *parallel_user;
    entrol_gemm gemm; /* NULL: calls that need one return UNSUPPORTED */
    void *gemm_user;
    const entrol_comm *comm; /* copied; NULL: this process is alone */
} entrol_context_options;

#define ENTROL_CONTEXT_OPTIONS_INIT                                                                                    \
    { sizeof(entrol_context_options), 0, ENTROL_CPU_BEST, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/* Makes a context. Threads start at the first call that can use them.
 * Errors: ARGUMENT, MEMORY; UNSUPPORTED for a level this machine lacks; ENVIRONMENT for an
 * ENTROL_CPU or ENTROL_THREADS that is not understood. */
ENTROL_API entrol_status entrol_context_create(entrol_context **context, const entrol_context_options *options);

/* Ends the threads and releases the context. NULL is allowed. */
ENTROL_API void entrol_context_destroy(entrol_context *context);

/* The level in use, never ENTROL_CPU_BEST. */
ENTROL_API entrol_cpu entrol_context_cpu(const entrol_context *context);

ENTROL_API size_t entrol_context_n_threads(const entrol_context *context);

/* An exact, order-independent sum: each term is rounded once to a multiple of 2^-64 and added in
 * 128-bit fixed point, so any split over threads, ranks or runs gives the same bits. Start from
 * {0}. Terms must be finite and below 2^62 in size; others are not added but counted. Two sums are
 * merged with entrol_sum_merge. Safe for fewer than 2^63 terms of a total below 2^63. */
typedef struct entrol_sum {
    uint64_t low;
    int64_t high;
    uint64_t n;     /* terms added */
    uint64_t n_bad; /* terms refused */
} entrol_sum;

ENTROL_API void entrol_sum_add(entrol_sum *sum, double term);
ENTROL_API void entrol_sum_merge(entrol_sum *sum, const entrol_sum *other);
ENTROL_API double entrol_sum_value(const entrol_sum *sum);

/* What can be set of an entry of a registry: flags, keywords, help and tests are made of these. Strings that live as
 * long as the program. */
typedef enum entrol_parameter_type {
    ENTROL_PARAMETER_REAL = 0,
    ENTROL_PARAMETER_WHOLE,  /* a whole number */
    ENTROL_PARAMETER_CHOICE, /* one of `choices`, as a number from 0 */
    ENTROL_PARAMETER_TEXT    /* in a form that `says` tells */
} entrol_parameter_type;

typedef struct entrol_parameter {
    const char *name; /* lower case, words joined by _ */
    entrol_parameter_type type;
    double initial;             /* what holds where nothing is set; REAL: NaN for "none" */
    double low, high;           /* REAL, WHOLE: the least and the greatest that may be set */
    const char *text;           /* TEXT: what holds where nothing is set; "" for "none" */
    const char *const *choices; /* CHOICE: names, NULL after the last */
    const char *says;           /* one sentence, with units */
    const char *source;         /* where the value was published; NULL: nowhere */
} entrol_parameter;

/* One thing that is set. Where a call refuses one because there is no parameter of its name, the diagnosis has the
 * argument "settings" and first_row is its index among those given. */
typedef struct entrol_setting {
    const char *name;
    double value;     /* where text is NULL */
    const char *text; /* of any type: "0.2", "1000", the name of a choice; NULL: value */
} entrol_setting;

/* What the parameter of a name may be, in words, for messages: "a number from 0 to 1", "a whole number from 1 to 40",
 * "one of paper|transformers"; "" where the table has none of it. As snprintf: at most `size` bytes are written, the
 * last of them 0, and what is returned is how many it takes without that. */
ENTROL_API size_t entrol_parameter_expected(char *text, size_t size, const entrol_parameter *parameters,
                                            size_t n_parameters, const char *name);

/* How a quantile q of n sorted values is placed among them. All but torch's are NumPy's, by the same names. */
typedef enum entrol_quantile_method {
    ENTROL_QUANTILE_LINEAR = 0, /* rank q (n - 1) in f64, a + w (b - a) for w < 0.5, else b - (b - a)(1 - w) */
    ENTROL_QUANTILE_INVERTED_CDF,
    ENTROL_QUANTILE_AVERAGED_INVERTED_CDF,
    ENTROL_QUANTILE_CLOSEST_OBSERVATION,
    ENTROL_QUANTILE_INTERPOLATED_INVERTED_CDF,
    ENTROL_QUANTILE_HAZEN,
    ENTROL_QUANTILE_WEIBULL,
    ENTROL_QUANTILE_MEDIAN_UNBIASED,
    ENTROL_QUANTILE_NORMAL_UNBIASED,
    ENTROL_QUANTILE_LOWER,
    ENTROL_QUANTILE_HIGHER,
    ENTROL_QUANTILE_MIDPOINT,
    ENTROL_QUANTILE_NEAREST,
    ENTROL_QUANTILE_TORCH,         /* torch.quantile of f32, as in torch 2.15: q rounded to f32, the rank in f64,
                                      interpolated in f32 */
    ENTROL_QUANTILE_TORCH_F32_RANK /* the same as in torch 2.9, where the rank is a product of f32, too */
} entrol_quantile_method;

/* NumPy's name, or "torch" and "torch_f32_rank"; NULL for a number that is no method. */
ENTROL_API const char *entrol_quantile_method_name(entrol_quantile_method method);
/* The method of a name. Error: ARGUMENT. */
ENTROL_API entrol_status entrol_quantile_method_parse(entrol_quantile_method *method, const char *name);

/* What becomes of NaNs among the values that count. */
typedef enum entrol_nan_policy {
    ENTROL_NAN_ERROR = 0, /* results are NaN, and the diagnosis has their number and the first one's index */
    ENTROL_NAN_IGNORE,    /* they do not count */
    ENTROL_NAN_PROPAGATE  /* results are NaN, which is no trouble */
} entrol_nan_policy;

typedef struct entrol_quantile_options {
    size_t size; /* sizeof(entrol_quantile_options) */
    entrol_quantile_method method;
    entrol_nan_policy nan;
} entrol_quantile_options;

#define ENTROL_QUANTILE_OPTIONS_INIT                                                                                   \
    { sizeof(entrol_quantile_options), ENTROL_QUANTILE_LINEAR, ENTROL_NAN_ERROR }

/* Values that are read in pieces, as often as they are needed. */
typedef struct entrol_stream {
    /* Gives the next n_values values, and in `valid` which of them count (bytes; NULL: all); they stay until the next
     * call. 0 of them: this was the end, and the next call begins again. 0, or anything else where that failed. */
    int (*read)(void *user, const float **values, const uint8_t **valid, size_t *n_values);
    void *user;
} entrol_stream;

/* The quantiles of values at q, each in [0, 1], by options.method. `valid` (bytes, NULL: all) says which values count;
 * what another one holds does not matter. -0 is 0. Beside an infinity, where interpolating gives NaN, it is the
 * infinity.
 *
 * Exact and deterministic. With a context that has a comm, the quantiles of all ranks' values together, which may be
 * none: every rank makes the call, with the same q and options (COMMUNICATION where they differ), and an index in the
 * diagnosis counts the values of lower ranks first. Ranks tell each other counts, 16 KB at a time and 164 KB for each
 * q, as many for a thousand values as for a billion. A rank that calls without a context leaves the others waiting.
 * Where no value counts, every quantile is NaN, with EMPTY_SUPPORT.
 *
 * From 131,072 values on mostly one pass, in at most 70 MB from the context's allocator; for fewer, without that
 * memory, or for values that no sample of 32,768 represents, up to six more for each q. Errors: ARGUMENT,
 * COMMUNICATION; MEMORY for more than 16 quantiles. */
ENTROL_API entrol_status entrol_quantile(entrol_context *context, double *quantiles, entrol_diagnosis *diagnosis,
                                         const float *values, const uint8_t *valid, size_t n_values, const double *q,
                                         size_t n_quantiles, const entrol_quantile_options *options);

/* The same of a stream, in one pass more. Also the error READ, which a stream that gives another number of values in
 * another pass is, too. */
ENTROL_API entrol_status entrol_quantile_of_stream(entrol_context *context, double *quantiles,
                                                   entrol_diagnosis *diagnosis, const entrol_stream *stream,
                                                   const double *q, size_t n_quantiles,
                                                   const entrol_quantile_options *options);

#ifdef __cplusplus
}
#endif
#endif
