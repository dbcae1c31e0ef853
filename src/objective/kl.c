/* Estimates of a KL divergence from draws (Schulman 2020). */
#include "objective_internal.h"
#include "objective_parameters.h"

#include "base/context.h"
#include "base/trouble.h"

#include <math.h>

void ent_estimate_kl(double *ratio, double *excess, const double *d, entrol_kl_estimator estimator) {
    for (size_t i = 0; i < ENT_BLOCK; i++) {
        const double k3 = excess[i], slope3 = -(excess[i] + d[i]); /* 1 - q / p */
        const double k2 = 0.5 * d[i] * d[i];
        ratio[i] = estimator == ENTROL_KL_K1 ? 0 - d[i] : estimator == ENTROL_KL_K2 ? k2 : k3;
        excess[i] = estimator == ENTROL_KL_K1 ? 1 : estimator == ENTROL_KL_K2 ? -d[i] : slope3;
    }
}

const char *entrol_kl_estimator_name(entrol_kl_estimator estimator) {
    return (unsigned)estimator <= ENTROL_KL_K3 ? ent_kl_estimator_names[estimator] : NULL;
}

static entrol_reason trouble_of(float p, float q) {
    if (isnan(p) || isnan(q))
        return ENTROL_REASON_NAN;
    if (isinf(p) || isinf(q))
        return ENTROL_REASON_INFINITE;
    return fabsf(q - p) > ENT_GREATEST_LOG_RATIO ? ENTROL_REASON_RATIO : ENTROL_REASON_NONE;
}

static entrol_diagnosis diagnose(const float *p, const float *q, const uint8_t *mask, size_t n,
                                 entrol_kl_estimator estimator) {
    entrol_diagnosis found = {0};
    for (size_t i = 0; i < n; i++) {
        entrol_reason reason = !mask || mask[i] ? trouble_of(p[i], q[i]) : ENTROL_REASON_NONE;
        if (reason == ENTROL_REASON_RATIO && (estimator != ENTROL_KL_K3 || q[i] < p[i]))
            reason = ENTROL_REASON_NONE; /* there is no ratio, or one that is small */
        if (reason != ENTROL_REASON_NONE)
            ent_trouble_note(&found, i, 0, reason);
    }
    return found;
}

typedef struct estimate {
    const ent_objective_kernels *kernels;
    float *kl, *derivative;
    const float *p, *q;
    const uint8_t *mask;
    size_t n;
    entrol_kl_estimator estimator;
} estimate;

static void estimate_block(void *argument, size_t index) {
    const estimate *call = argument;
    const size_t begin = index * ENT_BLOCK, left = call->n - begin, n = left < ENT_BLOCK ? left : ENT_BLOCK;
    const uint8_t *mask = call->mask ? call->mask + begin : NULL;
    float p[ENT_BLOCK], q[ENT_BLOCK];
    double d[ENT_BLOCK], kl[ENT_BLOCK], derivative[ENT_BLOCK];
    call->kernels->take(p, call->p + begin, mask, n);
    call->kernels->take(q, call->q + begin, mask, n);
    call->kernels->ratios(d, kl, derivative, q, p); /* where there is no ratio, the estimator does not look at it */
    ent_estimate_kl(kl, derivative, d, call->estimator);
    for (size_t i = 0; mask && i < n; i++)
        derivative[i] = mask[i] ? derivative[i] : 0; /* k1's is 1 */
    if (call->kl)
        call->kernels->store(call->kl + begin, kl, 1, n, NULL);
    if (call->derivative)
        call->kernels->store(call->derivative + begin, derivative, 1, n, NULL);
}

entrol_status entrol_kl_estimate(entrol_context *context, float *kl, float *derivative, entrol_diagnosis *diagnosis,
                                 const float *logprob, const float *reference_logprob, const uint8_t *mask,
                                 size_t n_tokens, entrol_kl_estimator estimator) {
    const char *bad = !context                             ? "context"
                      : (unsigned)estimator > ENTROL_KL_K3 ? "estimator"
                      : n_tokens && !logprob               ? "logprob"
                      : n_tokens && !reference_logprob     ? "reference_logprob"
                                                           : NULL;
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    const entrol_diagnosis found = diagnose(logprob, reference_logprob, mask, n_tokens, estimator);
    if (diagnosis)
        *diagnosis = found;
    if (found.n_bad)
        return ENTROL_ERROR_DATA;
    estimate call = {ent_objective_kernels_for(entrol_context_cpu(context)),
                     kl,
                     derivative,
                     logprob,
                     reference_logprob,
                     mask,
                     n_tokens,
                     estimator};
    if (n_tokens)
        ent_parallel_for(context, n_tokens / ENT_BLOCK + (n_tokens % ENT_BLOCK != 0), estimate_block, &call);
    return ENTROL_OK;
}
