/* The rules of samplers by their formulas: sort everything, sum everything, in long double. Each is judged from the
 * candidates and the temperature that the rules before it left, so that a chain is right if each of its steps is. */
#ifndef ORACLE_SAMPLE_H
#define ORACLE_SAMPLE_H

#include <entrol/sample.h>

typedef struct oracle_candidates {
    const double *logits;         /* n columns, as the sampler takes them: numbers of f32 */
    const unsigned char *is_left; /* which columns the rules before have left; none of them is -inf */
    size_t n;
    double temperature;
} oracle_candidates;

typedef enum oracle_verdict {
    ORACLE_OUT,
    ORACLE_KEPT,
    ORACLE_EITHER /* so near the border that rounding decides: 1e-5 of what is compared */
} oracle_verdict;

/* What a rule leaves. */
typedef struct oracle_step {
    unsigned char *verdicts; /* one a column, the caller's */
    double low, high;        /* between which the temperature is */
} oracle_step;

/* A rule with the values of its parameters, in the registry's order. 0: the oracle does not know this rule. */
int oracle_sample_step(oracle_step *step, const oracle_candidates *before, const entrol_sampling_rule *rule,
                       const double *values);

/* H of the candidates at a temperature. */
double oracle_entropy_at(const oracle_candidates *candidates, double temperature);

#endif
