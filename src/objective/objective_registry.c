/* Published objectives by name: one row each, defined in its family's file. */
#include "objective_rows.h"

#include <string.h>

static const ent_objective_row *const rows[] = {
    &ent_objective_reinforce,    &ent_objective_a2c,
    &ent_objective_ppo,          &ent_objective_grpo,
    &ent_objective_dr_grpo,      &ent_objective_dapo,
    &ent_objective_gspo,         &ent_objective_gmpo,
    &ent_objective_cispo,        &ent_objective_sapo,
    &ent_objective_clip_cov,     &ent_objective_kl_cov,
    &ent_objective_high_entropy, &ent_objective_entropy_advantage,
    &ent_objective_siren,        &ent_objective_aent,
    &ent_objective_erc,          &ent_objective_w_reinforce,
};

size_t entrol_objective_count(void) {
    return sizeof rows / sizeof *rows;
}

const entrol_objective *entrol_objective_at(size_t index) {
    return index < entrol_objective_count() ? &rows[index]->objective : NULL;
}

const entrol_objective *entrol_objective_find(const char *name) {
    for (size_t i = 0; name && i < entrol_objective_count(); i++)
        if (strcmp(rows[i]->objective.name, name) == 0)
            return &rows[i]->objective;
    return NULL;
}

const ent_objective_row *ent_objective_row_of(const entrol_objective *objective) {
    for (size_t i = 0; i < entrol_objective_count(); i++)
        if (&rows[i]->objective == objective)
            return rows[i];
    return NULL;
}
