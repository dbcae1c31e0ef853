/* What was set of an objective, by name, and what follows from it. */
#include "objective_internal.h"
#include "objective_parameters.h"

#include "base/context.h"
#include "base/parameter.h"

#include <math.h>
#include <string.h>

const char *const ent_aggregation_names[] = {"token_mean", "sequence_mean", "sequence_sum", "constant", NULL};
const char *const ent_over_names[] = {"valid", "selected", NULL};
const char *const ent_top_names[] = {"linear", "torch", "torch_f32_rank", "exact", NULL};
const char *const ent_kl_estimator_names[] = {"k1", "k2", "k3", NULL};

/* Where a parameter's value goes, and what it is for an objective that does not have it. */
typedef struct field {
    const char *name;
    size_t offset;
    double off;
} field;

#define FIELD(name, off)                                                                                               \
    { #name, offsetof(ent_objective_settings, name), off }

static const field fields[] = {
    FIELD(clip_low, INFINITY),
    FIELD(clip_high, INFINITY),
    FIELD(dual_clip, INFINITY),
    FIELD(ratio_low, 0),
    FIELD(ratio_high, INFINITY),
    FIELD(tau_positive, 1),
    FIELD(tau_negative, 1),
    FIELD(positive_weight, 1),
    FIELD(negative_weight, 1),
    FIELD(entropy_alpha, 0),
    FIELD(entropy_kappa, 1),
    FIELD(top_share, 1),
    FIELD(top_by, ENT_TOP_LINEAR),
    FIELD(entropy_ratio_low, 0),
    FIELD(entropy_ratio_high, INFINITY),
    FIELD(covariance_low, -INFINITY),
    FIELD(covariance_high, INFINITY),
    FIELD(covariance_share, 0),
    FIELD(covariance_penalty, 0),
    FIELD(entropy_coefficient, 0),
    FIELD(entropy_target, NAN),
    FIELD(entropy_share, 1),
    FIELD(kl_coefficient, 0),
    FIELD(kl_estimator, ENTROL_KL_K3),
    FIELD(value_coefficient, 0),
    FIELD(value_clip, INFINITY),
    FIELD(aggregation, ENT_TOKEN_MEAN),
    FIELD(over, ENT_OVER_VALID),
    FIELD(length, NAN),
};
enum { N_FIELDS = sizeof fields / sizeof *fields, MOST_PARAMETERS = 40 };

static void set_field(ent_objective_settings *settings, const char *name, double value) {
    for (size_t i = 0; i < N_FIELDS; i++)
        if (strcmp(fields[i].name, name) == 0)
            memcpy((char *)settings + fields[i].offset, &value, sizeof value);
}

static int has_parameter(const entrol_objective *objective, const char *name) {
    for (size_t i = 0; i < objective->n_parameters; i++)
        if (strcmp(objective->parameters[i].name, name) == 0)
            return 1;
    return 0;
}

entrol_status ent_take_objective_settings(ent_objective_settings *settings, entrol_diagnosis *diagnosis,
                                          const entrol_objective *objective, const entrol_setting *given, size_t n) {
    double values[MOST_PARAMETERS];
    const entrol_status status =
        ent_take_settings(values, NULL, diagnosis, objective->parameters, objective->n_parameters, given, n);
    if (status != ENTROL_OK)
        return status;
    for (size_t i = 0; i < N_FIELDS; i++)
        memcpy((char *)settings + fields[i].offset, &fields[i].off, sizeof fields[i].off);
    for (size_t i = 0; i < objective->n_parameters; i++)
        set_field(settings, objective->parameters[i].name, values[i]);
    if (settings->aggregation == ENT_CONSTANT && isnan(settings->length))
        return ent_bad_argument(diagnosis, "length");
    if (settings->entropy_coefficient != 0 && isnan(settings->entropy_target) &&
        has_parameter(objective, "entropy_target"))
        return ent_bad_argument(diagnosis, "entropy_target");
    return ENTROL_OK;
}

static int has_entropy_ratio_gate(const ent_objective_settings *settings) {
    return settings->entropy_ratio_low > 0 || settings->entropy_ratio_high < INFINITY;
}

int ent_has_gates(const ent_objective_row *row, const ent_objective_settings *settings) {
    return settings->top_share < 1 || has_entropy_ratio_gate(settings) || row->covariance != ENT_COVARIANCE_NONE ||
           settings->entropy_share < 1;
}

unsigned ent_objective_needs(const ent_objective_row *row, const ent_objective_settings *settings) {
    unsigned needs = ENTROL_NEEDS_LOGPROB | ENTROL_NEEDS_ADVANTAGE;
    const int is_anchored = !isnan(settings->entropy_target), has_cover = settings->entropy_share < 1;
    if (row->ratio != ENT_RATIO_NONE)
        needs |= ENTROL_NEEDS_OLD_LOGPROB;
    if (settings->entropy_coefficient != 0 || is_anchored || has_cover) /* these ask for it at any coefficient */
        needs |= row->bonus_on_support ? ENTROL_NEEDS_SUPPORT_ENTROPY : ENTROL_NEEDS_ENTROPY;
    if (settings->entropy_alpha != 0 || settings->top_share < 1)
        needs |= ENTROL_NEEDS_ENTROPY;
    if (has_entropy_ratio_gate(settings))
        needs |= ENTROL_NEEDS_ENTROPY | ENTROL_NEEDS_OLD_ENTROPY;
    if (settings->kl_coefficient != 0)
        needs |= ENTROL_NEEDS_REFERENCE_LOGPROB;
    if (settings->value_coefficient != 0)
        needs |= ENTROL_NEEDS_VALUE | (settings->value_clip < INFINITY ? (unsigned)ENTROL_NEEDS_OLD_VALUE : 0u);
    if (settings->aggregation != ENT_TOKEN_MEAN || row->ratio >= ENT_RATIO_SEQUENCE || is_anchored || has_cover)
        needs |= ENTROL_NEEDS_SEQUENCES;
    return needs;
}

entrol_status entrol_objective_needs(unsigned *needs, entrol_diagnosis *diagnosis, const entrol_objective *objective,
                                     const entrol_setting *settings, size_t n_settings) {
    const ent_objective_row *row = ent_objective_row_of(objective);
    if (!row || !needs)
        return ent_bad_argument(diagnosis, row ? "needs" : "objective");
    ent_objective_settings taken;
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){0};
    entrol_status status = ent_take_objective_settings(&taken, diagnosis, objective, settings, n_settings);
    if (status == ENTROL_OK)
        *needs = ent_objective_needs(row, &taken);
    return status;
}
