/* The registry of kinds, and what several of them share. */
#include "distribution.h"

#include "base/context.h"

#include <math.h>

/* In the order of entrol_policy_kind. */
static const ent_distribution *const distributions[] = {
    &ent_categorical,   &ent_multi_discrete,    &ent_bernoulli, &ent_gaussian,
    &ent_full_gaussian, &ent_squashed_gaussian, &ent_beta,
};

enum { N_DISTRIBUTIONS = sizeof distributions / sizeof *distributions };

const ent_distribution *ent_distribution_of(entrol_policy_kind kind) {
    return (int)kind >= 0 && (int)kind < N_DISTRIBUTIONS ? distributions[kind] : NULL;
}

const char *entrol_policy_kind_name(entrol_policy_kind kind) {
    const ent_distribution *distribution = ent_distribution_of(kind);
    return distribution ? distribution->name : NULL;
}

entrol_status entrol_policy_kind_parse(entrol_policy_kind *kind, const char *name) {
    const char *names[N_DISTRIBUTIONS];
    for (int i = 0; i < N_DISTRIBUTIONS; i++)
        names[i] = distributions[i]->name;
    const int place = ent_find_name(names, N_DISTRIBUTIONS, name);
    if (place < 0 || !kind)
        return ENTROL_ERROR_ARGUMENT;
    *kind = (entrol_policy_kind)place;
    return ENTROL_OK;
}

ent_fault ent_find_infinite(const double *values, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return (ent_fault){isnan(values[i]) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE, i};
    return (ent_fault){ENTROL_REASON_NONE, 0};
}

/* The Taylor series x^2 / 2 (1 + x / 3 (1 + x / 4 (...))) to its 16th power, whose rest is below 1e-17 of it. */
double ent_exp_rest(double x) {
    if (!(fabs(x) < 0.5))
        return isinf(x) ? (double)INFINITY : expm1(x) - x;
    double sum = 1;
    for (int i = 16; i > 2; i--)
        sum = 1 + x / i * sum;
    return x * x / 2 * sum;
}
