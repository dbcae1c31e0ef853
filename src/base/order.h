/* Order statistics of floats, exact and without a sort: of values in memory or in a stream, on one process or on the
 * ranks of a comm. Every rank of a comm makes the same calls, and gets the same results. */
#ifndef ENT_BASE_ORDER_H
#define ENT_BASE_ORDER_H

#include <entrol/base.h>

/* A view of values of which only some count. */
typedef struct ent_values {
    const float *values;
    const uint8_t *valid; /* NULL: all */
    size_t n;
} ent_values;

static inline int ent_values_has(const ent_values *view, size_t i) {
    return !view->valid || view->valid[i];
}

/* Where values are. */
typedef struct ent_source {
    ent_values memory;
    const entrol_stream *stream; /* NULL: in memory */
    uint64_t *n_streamed;        /* values that it gave, so that another number is noticed; UINT64_MAX: not known yet */
} ent_source;

/* Calls the visitor for each part of a source, in order, to its end. Error: READ, also where a stream gives another
 * number of values than before. */
typedef void (*ent_visitor)(entrol_context *context, const ent_values *part, void *call);
entrol_status ent_visit(entrol_context *context, const ent_source *source, ent_visitor visitor, void *call);

/* A stream's source, whose n_streamed it begins; NULL and one without a function are no source. */
ent_source ent_source_of(const entrol_stream *stream, uint64_t *n_streamed);
/* What a caller's source lacks, "stream" or "values"; NULL: nothing. */
const char *ent_check_source(const ent_source *source);

/* How many values count, on all ranks, and what would spoil their order. */
typedef struct ent_census {
    uint64_t n_valid;   /* NaNs included */
    uint64_t n_nan;     /* of those that count */
    uint64_t first_nan; /* its index, the values of lower ranks before one's own; 0 when there is none */
} ent_census;

/* A rank k among the values that count and are no NaN, from 0, and what is found there, -0 as 0. */
typedef struct ent_ranked {
    size_t index; /* the caller's */
    uint64_t k;
    float value, next; /* of rank k, and of rank k + 1 or the last */
} ent_ranked;

/* Sets the ranks that are wanted, all below n, for n values. */
typedef void (*ent_set_ranks)(ent_ranked *ranked, size_t n_ranked, uint64_t n, const void *user);

/* Takes the census, and then finds the ranks, for which it calls set_ranks twice or so: first for the number of values
 * that it guesses. With NaNs, and no value that is none, nothing is found. Mostly one pass over values in memory, two
 * over a stream; up to eight where what is wanted cannot be guessed from a sample. Errors: COMMUNICATION, READ; lack of
 * memory is none. */
entrol_status ent_find_ranks(entrol_context *context, ent_census *census, ent_ranked *ranked, size_t n_ranked,
                             const ent_source *source, ent_set_ranks set_ranks, const void *user);

/* The quantile q of n values of which `ranked` holds the ranks that ent_quantile_rank gave. */
double ent_quantile_value(const ent_ranked *ranked, uint64_t n, double q, entrol_quantile_method method);
uint64_t ent_quantile_rank(uint64_t n, double q, entrol_quantile_method method);

/* A caller's options over the defaults; 0 if one is none. */
int ent_take_quantile_options(entrol_quantile_options *taken, const entrol_quantile_options *given);

/* What a caller is told of the values. */
void ent_diagnose_values(entrol_diagnosis *diagnosis, const ent_census *census, entrol_nan_policy policy);

#endif
