/* The controllers by name: one row each, one file each beside this one. */
#include "controller.h"

#include <string.h>

static const ent_law *const laws[] = {
    &ent_law_constant,   &ent_law_piecewise, &ent_law_linear,  &ent_law_cosine,      &ent_law_exponential,
    &ent_law_polynomial, &ent_law_sac,       &ent_law_skywork, &ent_law_pi,          &ent_law_entropic,
    &ent_law_box,        &ent_law_aer,       &ent_law_aepo,    &ent_law_adaptive_kl,
};

size_t entrol_controller_kind_count(void) {
    return sizeof laws / sizeof laws[0];
}

const entrol_controller_kind *entrol_controller_kind_at(size_t index) {
    return index < entrol_controller_kind_count() ? &laws[index]->kind : NULL;
}

const ent_law *ent_find_law(const char *name) {
    for (size_t i = 0; name && i < entrol_controller_kind_count(); i++)
        if (strcmp(laws[i]->kind.name, name) == 0)
            return laws[i];
    return NULL;
}

const entrol_controller_kind *entrol_controller_kind_find(const char *name) {
    const ent_law *law = ent_find_law(name);
    return law ? &law->kind : NULL;
}

const char *entrol_drive_name(entrol_drive drive) {
    switch (drive) {
    case ENTROL_DRIVE_ENTROPY_COEFFICIENT:
        return "entropy coefficient";
    case ENTROL_DRIVE_SAMPLE_WEIGHTS:
        return "sample weights";
    case ENTROL_DRIVE_TEMPERATURE:
        return "temperature";
    case ENTROL_DRIVE_KL_COEFFICIENT:
        return "KL coefficient";
    case ENTROL_DRIVE_PROMPT_COEFFICIENT:
        return "entropy coefficient by prompt";
    }
    return "unknown";
}
