/* The rows of the registry, which the families' files define. */
#ifndef ENT_OBJECTIVE_ROWS_H
#define ENT_OBJECTIVE_ROWS_H

#include "objective_internal.h"

extern const ent_objective_row ent_objective_reinforce, ent_objective_a2c, ent_objective_w_reinforce; /* reinforce.c */
extern const ent_objective_row ent_objective_ppo, ent_objective_grpo, ent_objective_dr_grpo,
    ent_objective_dapo;                                                       /* ppo.c */
extern const ent_objective_row ent_objective_gspo, ent_objective_gmpo;        /* sequence_ratio.c */
extern const ent_objective_row ent_objective_cispo, ent_objective_sapo;       /* soft_clip.c */
extern const ent_objective_row ent_objective_clip_cov, ent_objective_kl_cov;  /* covariance.c */
extern const ent_objective_row ent_objective_high_entropy, ent_objective_erc; /* gates.c */
extern const ent_objective_row ent_objective_entropy_advantage, ent_objective_siren,
    ent_objective_aent; /* entropic.c */

#endif
