/* Which tokens or samples to keep: the rule language and the masks it makes. */
#ifndef ENTROL_SELECT_H
#define ENTROL_SELECT_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The forms of a rule, as people write them:
 *   low:80%    high:20%    the share with the lowest or highest values: everything at or beyond the
 *                          linearly interpolated quantile, so equal values are kept or dropped together
 *   low:1000   high:1000   exactly that many (or all, if there are fewer); of equal values the earlier (or, with a
 * tie_seed, a draw) low:=80%   high:=20%   exactly so many of n values: int(n * share + 0.9999), at least one, as the
 * code of the 80/20 paper (arXiv 2506.01939) has it; of equal values the earlier
 *   ..2.5  2.5..  1..2     values up to, from, or between the numbers, ends included (an end is rounded to f32 as
 *                          the values are, so that ..0.1 holds the value that prints as 0.1)
 *   p5..p95  ..p95  p5..   the same with percentiles for ends */
typedef enum entrol_rule_kind {
    ENTROL_RULE_LOW_SHARE = 0,
    ENTROL_RULE_HIGH_SHARE,
    ENTROL_RULE_LOW_COUNT,
    ENTROL_RULE_HIGH_COUNT,
    ENTROL_RULE_RANGE,       /* low and high are values; an open end is -inf or +inf */
    ENTROL_RULE_PERCENTILES, /* low and high are shares in [0, 1] */
    ENTROL_RULE_LOW_EXACT,   /* share */
    ENTROL_RULE_HIGH_EXACT
} entrol_rule_kind;

typedef struct entrol_rule {
    entrol_rule_kind kind;
    double share;      /* LOW_SHARE, HIGH_SHARE, LOW_EXACT, HIGH_EXACT: in [0, 1] */
    uint64_t count;    /* LOW_COUNT, HIGH_COUNT */
    double low, high;  /* RANGE, PERCENTILES */
    uint64_t tie_seed; /* where a count ends among equal values: 0 keeps the earlier ones, another number those that it
                          draws, each as likely as the others. Not of the text */
} entrol_rule;

/* Reads a rule from text, the same in every locale. Error: ARGUMENT, and `n_read` (may be NULL) is then the offset of
 * the first byte that does not fit. */
ENTROL_API entrol_status entrol_rule_parse(entrol_rule *rule, size_t *n_read, const char *text);

/* What a rule did. */
typedef struct entrol_selection {
    size_t n_valid;
    size_t n_kept;
    size_t n_ties;         /* valid values equal to a threshold */
    double threshold_low;  /* values kept are >= this one, -inf where open */
    double threshold_high; /* and <= this one, +inf where open */
} entrol_selection;

/* keep[i] = 1 where values[i] is valid and satisfies the rule, else 0. `valid` (bytes, NULL: all) says which count;
 * what an invalid value holds does not matter. With no valid value nothing is kept and the thresholds are NaN, as is
 * that of a count of 0.
 *
 * `options` (NULL: defaults) has the method of the rule's quantiles, and what becomes of a NaN at a valid place:
 * ENTROL_NAN_ERROR keeps nothing and diagnoses it, by row; IGNORE leaves it out; PROPAGATE keeps nothing.
 * Deterministic; for any number of threads the same. With a context that has a comm, every rank makes the call with its
 * own values, the thresholds, counts and diagnosis are those of all ranks, and of equal values at the end of a count
 * those of lower ranks are the earlier ones. Errors: ARGUMENT, COMMUNICATION; MEMORY with a comm. */
ENTROL_API entrol_status entrol_select(entrol_context *context, uint8_t *keep, entrol_selection *selection,
                                       entrol_diagnosis *diagnosis, const float *values, const uint8_t *valid,
                                       size_t n_values, const entrol_rule *rule,
                                       const entrol_quantile_options *options);

/* What a rule comes to for given values: those from low to high are kept, but of those equal to `tie` only n_of_tie:
 * the next ones, or with a seed those that it draws of the n_ties that are still to come. */
typedef struct entrol_bounds {
    double low, high;  /* -inf and inf where open; NaN: nothing is kept */
    double tie;        /* NaN: there is no such limit */
    uint64_t n_of_tie; /* to be kept, of this rank's and those after it */
    uint64_t n_ties;   /* likewise, kept or not */
    uint64_t n_drawn;  /* decided before them */
    uint64_t tie_seed; /* the rule's */
    uint64_t n_valid;  /* values that count, of all ranks */
} entrol_bounds;

/* The bounds of a rule for values that do not fit in memory, as entrol_select finds them: in two passes, or a few more
 * (see entrol_quantile_of_stream). Also the error READ. */
ENTROL_API entrol_status entrol_bounds_of_stream(entrol_context *context, entrol_bounds *bounds,
                                                 entrol_diagnosis *diagnosis, const entrol_stream *stream,
                                                 const entrol_rule *rule, const entrol_quantile_options *options);

/* keep[i] = 1 for what the bounds keep of the next values, in the order in which the stream gave them: piece by piece,
 * all of them together are marked as by entrol_select. Counts are added to `selection` (NULL: not wanted), which begins
 * as {0} and is of this rank alone. */
ENTROL_API void entrol_apply_bounds(entrol_bounds *bounds, uint8_t *keep, entrol_selection *selection,
                                    const float *values, const uint8_t *valid, size_t n_values);

/* TRL's get_high_entropy_mask: keep[i] = 1 where entropies[i] is valid and at least the quantile `threshold` (1 -
 * top_entropy_quantile; 0 to 1) of those that are, over all ranks of the context's comm. Ties are kept, so that a
 * threshold of 0 keeps all valid ones and 1 the greatest. Entropies of continuous policies may be negative.
 *
 * Two things are as they should be and not as in TRL: padding does not matter, whatever it holds, and a NaN is an error
 * that is diagnosed (or what options.nan says), where it silently empties TRL's mask on every rank. options.method is
 * ENTROL_QUANTILE_TORCH where `options` is NULL: what TRL does on the same torch is then the same to the bit. Options
 * that are given hold as they are: ENTROL_QUANTILE_OPTIONS_INIT alone means ENTROL_QUANTILE_LINEAR. */
ENTROL_API entrol_status entrol_high_entropy_mask(entrol_context *context, uint8_t *keep, entrol_selection *selection,
                                                  entrol_diagnosis *diagnosis, const float *entropies,
                                                  const uint8_t *valid, size_t n_entropies, double threshold,
                                                  const entrol_quantile_options *options);

/* How a token's weight in a loss follows from a value of it. */
typedef enum entrol_weighting_kind {
    ENTROL_WEIGHTING_SIGMOID = 0, /* 1 / (1 + e^-x) */
    ENTROL_WEIGHTING_RISE,        /* 0 up to the range's low end, 1 from its high end, a straight line between them */
    ENTROL_WEIGHTING_FALL         /* 1 less that */
} entrol_weighting_kind;

typedef struct entrol_weighting {
    entrol_weighting_kind kind;
    entrol_rule range; /* RISE, FALL: RANGE or PERCENTILES with two finite ends that differ */
} entrol_weighting;

/* "sigmoid", "rise:A..B" and "fall:A..B", the range as in a rule (p5..p95 too). Error: ARGUMENT; n_read as in
 * entrol_rule_parse. */
ENTROL_API entrol_status entrol_weighting_parse(entrol_weighting *weighting, size_t *n_read, const char *text);

/* The weight of a value, from 0 to 1; 0 for NaN. `low` and `high` are the ends of weighting->range, or for PERCENTILES
 * the quantiles that they stand for; they may be equal or infinite. Where one is NaN, since there was no value, so is
 * no weight: 0. SIGMOID does not read them. */
ENTROL_API float entrol_weight(const entrol_weighting *weighting, double low, double high, float value);

/* FlexMatch's threshold of each class (arXiv 2110.08263): cutoff b / (2 - b), b = n_sure / max n_sure, where those of
 * n_samples of which no class is sure count as one more. `n_sure`: how many samples of each class have a probability of
 * at least `cutoff`, in (0, 1]. Where none has, every threshold is `cutoff`. Error: ARGUMENT. */
ENTROL_API entrol_status entrol_flexmatch_thresholds(double *thresholds, const uint64_t *n_sure, size_t n_classes,
                                                     uint64_t n_samples, double cutoff);

/* A published rule by its name, or what a purpose begins with (those whose name is their purpose). Strings that live as
 * long as the program. */
typedef struct entrol_recipe {
    const char *name;
    const char *purpose; /* self-training, active-learning, distillation, noise, defects, reinforcement */
    const char *level;   /* "token", "sample" */
    const char *by;      /* the column or statistic that the rule looks at */
    const char *rule;    /* as entrol_rule_parse reads it, or "flexmatch:CUTOFF" */
    int is_mask;         /* 1: what the rule names is left out */
    const char *scope;   /* "corpus", "document", "group:FIELD" */
    const char *emit;    /* what is mostly wanted of it: "records", "samples", "spans" */
    const char *method;  /* of quantiles, as entrol_quantile_method_parse reads it */
    const char *weight;  /* as entrol_weighting_parse reads it; NULL: 0 or 1 */
    const char *says;    /* one sentence */
    const char *source;  /* where it was published */
} entrol_recipe;

ENTROL_API size_t entrol_recipe_count(void);
ENTROL_API const entrol_recipe *entrol_recipe_at(size_t index);       /* NULL beyond the last */
ENTROL_API const entrol_recipe *entrol_recipe_find(const char *name); /* NULL for none */

#ifdef __cplusplus
}
#endif
#endif
