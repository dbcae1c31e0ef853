/* Quantiles: which ranks a quantile lies between, and where, by NumPy's methods (after Hyndman and Fan, The American
 * Statistician 50, 1996) and torch's. */
#include "order.h"

#include "context.h"

#include <math.h>

/* In the order of entrol_quantile_method. */
static const char *const method_names[] = {"linear",
                                           "inverted_cdf",
                                           "averaged_inverted_cdf",
                                           "closest_observation",
                                           "interpolated_inverted_cdf",
                                           "hazen",
                                           "weibull",
                                           "median_unbiased",
                                           "normal_unbiased",
                                           "lower",
                                           "higher",
                                           "midpoint",
                                           "nearest",
                                           "torch",
                                           "torch_f32_rank"};
enum { N_METHODS = sizeof method_names / sizeof *method_names };

const char *entrol_quantile_method_name(entrol_quantile_method method) {
    return (unsigned)method < N_METHODS ? method_names[method] : NULL;
}

entrol_status entrol_quantile_method_parse(entrol_quantile_method *method, const char *name) {
    const int found = ent_find_name(method_names, N_METHODS, name);
    if (method && found >= 0)
        *method = (entrol_quantile_method)found;
    return found >= 0 ? ENTROL_OK : ENTROL_ERROR_ARGUMENT;
}

/* NumPy's, operation by operation: the place of q among n values, from 0, as if there were some between them. */
static double index_by(double n, double q, double alpha, double beta) {
    return n * q + (alpha + q * (1 - alpha - beta)) - 1;
}

/* The place below, or the next one where what is left of the index is not 0 (or, to even, is). */
static double index_of_step(double index, int ties_to_odd) {
    const double below = floor(index), above = below + 1;
    const int stays = index == below && (!ties_to_odd || fmod(fabs(below), 2) == 1);
    return fmax(0, stays ? below : above);
}

static double index_of(double n, double q, entrol_quantile_method method) {
    switch (method) {
    case ENTROL_QUANTILE_LINEAR:
        break;
    case ENTROL_QUANTILE_INVERTED_CDF:
        return index_of_step(n * q - 1, 0);
    case ENTROL_QUANTILE_AVERAGED_INVERTED_CDF:
        return n * q - 1;
    case ENTROL_QUANTILE_CLOSEST_OBSERVATION:
        return index_of_step(n * q - 1 - 0.5, 1);
    case ENTROL_QUANTILE_INTERPOLATED_INVERTED_CDF:
        return index_by(n, q, 0, 1);
    case ENTROL_QUANTILE_HAZEN:
        return index_by(n, q, 0.5, 0.5);
    case ENTROL_QUANTILE_WEIBULL:
        return index_by(n, q, 0, 0);
    case ENTROL_QUANTILE_MEDIAN_UNBIASED:
        return index_by(n, q, 1 / 3.0, 1 / 3.0);
    case ENTROL_QUANTILE_NORMAL_UNBIASED:
        return index_by(n, q, 3 / 8.0, 3 / 8.0);
    case ENTROL_QUANTILE_LOWER:
        return floor((n - 1) * q);
    case ENTROL_QUANTILE_HIGHER:
        return ceil((n - 1) * q);
    case ENTROL_QUANTILE_MIDPOINT:
        return 0.5 * (floor((n - 1) * q) + ceil((n - 1) * q));
    case ENTROL_QUANTILE_NEAREST:
        return rint((n - 1) * q);
    case ENTROL_QUANTILE_TORCH:
        return (double)(float)q * (n - 1);
    case ENTROL_QUANTILE_TORCH_F32_RANK:
        return (double)((float)q * (float)(n - 1));
    }
    return (n - 1) * q;
}

uint64_t ent_quantile_rank(uint64_t n, double q, entrol_quantile_method method) {
    const double index = floor(index_of((double)n, q, method));
    return index <= 0 ? 0 : index >= (double)(n - 1) ? n - 1 : (uint64_t)index;
}

/* NumPy's interpolation between neighbours. Beside an infinity it would give NaN (inf - inf): there it is the infinity
 * that every point between the two has, and between -inf and +inf the nearer. */
static double interpolate(double a, double b, double w) {
    if (w == 0 || a == b)
        return a;
    if (isinf(a) && isinf(b))
        return w < 0.5 ? a : b;
    if (isinf(a) || isinf(b))
        return isinf(a) ? a : b;
    return w < 0.5 ? a + w * (b - a) : b - (b - a) * (1 - w);
}

/* torch's, in f32, where the product and the sum are rounded once. */
static double interpolate_f32(float a, float b, float w) {
    if (w == 0 || a == b || isinf(a) || isinf(b))
        return interpolate((double)a, (double)b, (double)w);
    return (double)(w < 0.5f ? fmaf(w, b - a, a) : fmaf(w - 1, b - a, b));
}

double ent_quantile_value(const ent_ranked *ranked, uint64_t n, double q, entrol_quantile_method method) {
    const double index = index_of((double)n, q, method), below = floor(index), w = index - below;
    const double a = (double)ranked->value, b = (double)ranked->next;
    if (index < 0 || index >= (double)(n - 1))
        return a;
    switch (method) {
    case ENTROL_QUANTILE_TORCH:
    case ENTROL_QUANTILE_TORCH_F32_RANK:
        return interpolate_f32(ranked->value, ranked->next, (float)w);
    case ENTROL_QUANTILE_AVERAGED_INVERTED_CDF:
        return interpolate(a, b, w == 0 ? 0.5 : 1);
    default:
        return interpolate(a, b, w);
    }
}

/* --- Calls --- */

typedef struct quantile_call {
    const double *q;
    entrol_quantile_method method;
} quantile_call;

static void set_ranks(ent_ranked *ranked, size_t n_ranked, uint64_t n, const void *user) {
    const quantile_call *call = user;
    for (size_t j = 0; j < n_ranked; j++)
        ranked[j].k = ent_quantile_rank(n, call->q[ranked[j].index], call->method);
}

ent_source ent_source_of(const entrol_stream *stream, uint64_t *n_streamed) {
    static const entrol_stream none = {NULL, NULL};
    *n_streamed = UINT64_MAX;
    return (ent_source){.stream = stream ? stream : &none, .n_streamed = n_streamed};
}

const char *ent_check_source(const ent_source *source) {
    if (source->stream)
        return source->stream->read ? NULL : "stream";
    return source->memory.values || !source->memory.n ? NULL : "values";
}

static const char *bad_argument(const entrol_context *context, const ent_source *source, const double *q,
                                size_t n_quantiles) {
    const char *bad = context ? ent_check_source(source) : "context";
    if (bad)
        return bad;
    if (!q && n_quantiles)
        return "q";
    for (size_t j = 0; j < n_quantiles; j++)
        if (!(q[j] >= 0 && q[j] <= 1))
            return "q";
    return NULL;
}

int ent_take_quantile_options(entrol_quantile_options *taken, const entrol_quantile_options *given) {
    *taken = (entrol_quantile_options)ENTROL_QUANTILE_OPTIONS_INIT;
    return (!given || ent_take(taken, given, sizeof *taken)) && entrol_quantile_method_name(taken->method) &&
           (unsigned)taken->nan <= ENTROL_NAN_PROPAGATE;
}

void ent_diagnose_values(entrol_diagnosis *diagnosis, const ent_census *census, entrol_nan_policy policy) {
    *diagnosis = (entrol_diagnosis){0};
    if (census->n_valid == (policy == ENTROL_NAN_IGNORE ? census->n_nan : 0))
        *diagnosis = (entrol_diagnosis){.n_bad = 1, .reason = ENTROL_REASON_EMPTY_SUPPORT};
    else if (census->n_nan && policy == ENTROL_NAN_ERROR)
        *diagnosis = (entrol_diagnosis){
            .n_bad = (size_t)census->n_nan, .first_row = (size_t)census->first_nan, .reason = ENTROL_REASON_NAN};
}

static entrol_status find_quantiles(entrol_context *context, double *quantiles, entrol_diagnosis *diagnosis,
                                    const ent_source *source, const double *q, size_t n_quantiles,
                                    const entrol_quantile_options *options) {
    const quantile_call call = {q, options->method};
    ent_ranked few[16], *ranked = few;
    ent_census census = {0};
    entrol_status status = ENTROL_OK;
    if (n_quantiles > 16)
        ranked = ent_allocate(context, n_quantiles * sizeof *ranked);
    status = ent_agree(context, ranked ? ENTROL_OK : ENTROL_ERROR_MEMORY);
    for (size_t j = 0; status == ENTROL_OK && j < n_quantiles; j++)
        ranked[j] = (ent_ranked){.index = j};
    if (status == ENTROL_OK)
        status = ent_find_ranks(context, &census, ranked, n_quantiles, source, set_ranks, &call);
    const uint64_t n = census.n_valid - census.n_nan;
    const int is_sound = n > 0 && (census.n_nan == 0 || options->nan == ENTROL_NAN_IGNORE);
    if (diagnosis && status == ENTROL_OK)
        ent_diagnose_values(diagnosis, &census, options->nan);
    for (size_t j = 0; status == ENTROL_OK && quantiles && j < n_quantiles; j++)
        quantiles[j] = is_sound ? ent_quantile_value(&ranked[j], n, q[j], options->method) : (double)NAN;
    if (ranked != few)
        ent_release(context, ranked);
    return status;
}

static entrol_status quantiles_of(entrol_context *context, double *quantiles, entrol_diagnosis *diagnosis,
                                  const ent_source *source, const double *q, size_t n_quantiles,
                                  const entrol_quantile_options *options) {
    entrol_quantile_options taken;
    const char *bad = bad_argument(context, source, q, n_quantiles);
    if (!bad && !ent_take_quantile_options(&taken, options))
        bad = "options";
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.argument = bad};
    if (!context)
        return ENTROL_ERROR_ARGUMENT;
    uint64_t digest = 0;
    if (!bad) {
        digest = n_quantiles ? ent_digest(n_quantiles, q, n_quantiles * sizeof *q) : 0;
        digest = ent_digest(digest, &taken.method, sizeof taken.method);
        digest = ent_digest(digest, &taken.nan, sizeof taken.nan);
    }
    const entrol_status status = ent_agree_on(context, bad ? ENTROL_ERROR_ARGUMENT : ENTROL_OK, digest);
    return status == ENTROL_OK ? find_quantiles(context, quantiles, diagnosis, source, q, n_quantiles, &taken) : status;
}

entrol_status entrol_quantile(entrol_context *context, double *quantiles, entrol_diagnosis *diagnosis,
                              const float *values, const uint8_t *valid, size_t n_values, const double *q,
                              size_t n_quantiles, const entrol_quantile_options *options) {
    const ent_source source = {.memory = {values, valid, n_values}};
    return quantiles_of(context, quantiles, diagnosis, &source, q, n_quantiles, options);
}

entrol_status entrol_quantile_of_stream(entrol_context *context, double *quantiles, entrol_diagnosis *diagnosis,
                                        const entrol_stream *stream, const double *q, size_t n_quantiles,
                                        const entrol_quantile_options *options) {
    uint64_t n_streamed;
    const ent_source source = ent_source_of(stream, &n_streamed);
    return quantiles_of(context, quantiles, diagnosis, &source, q, n_quantiles, options);
}
