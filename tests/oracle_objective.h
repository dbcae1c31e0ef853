/* The oracle of objectives: the papers' formulas in long double, token by token and sequence by sequence, with their
 * derivatives. It shares nothing with the library but the names of parameters. */
#ifndef ORACLE_OBJECTIVE_H
#define ORACLE_OBJECTIVE_H

#include <stddef.h>
#include <stdint.h>

/* Values of parameters by name. */
typedef struct oracle_parameters {
    size_t n;
    const char *names[48];
    double values[48];
} oracle_parameters;

/* NaN where it is not there. */
double oracle_parameter(const oracle_parameters *parameters, const char *name);

/* As entrol_tokens, in long double; none is NULL but mask and `dropped`. */
typedef struct oracle_tokens {
    size_t n;
    long double *logprob, *old_logprob, *reference_logprob, *advantage, *entropy, *old_entropy, *support_entropy;
    long double *value, *old_value, *target_return, *weight;
    const uint8_t *mask;
    const uint8_t *dropped; /* Clip-Cov: the tokens that were drawn; NULL: none */
    const size_t *starts;
    size_t n_sequences;
} oracle_tokens;

typedef struct oracle_loss {
    long double loss, policy, kl, entropy, value;
    long double size; /* the sum of |terms| over the scale: what rounding is compared with */
} oracle_loss;

/* Derivatives by each token, the caller's arrays of n, or all NULL. */
typedef struct oracle_slopes {
    long double *logprob, *entropy, *support_entropy, *value;
} oracle_slopes;

/* The loss of an objective by its name. What has no gradient (weights, gates, shaped advantages) is taken of `frozen`,
 * which is mostly `tokens` too, so that differences of losses are those of what has one. */
oracle_loss oracle_objective(const oracle_slopes *slopes, const char *name, const oracle_parameters *parameters,
                             const oracle_tokens *tokens, const oracle_tokens *frozen);

/* (A - mean A)(ln p - mean ln p) of each token that counts. */
void oracle_covariances(long double *covariances, const oracle_tokens *tokens);

#endif
