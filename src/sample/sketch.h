/* A sketch of many candidates: those with most of the mass, and some of the others for all of them. */
#ifndef ENT_SAMPLE_SKETCH_H
#define ENT_SAMPLE_SKETCH_H

#include "candidates.h"

typedef struct ent_sketch {
    ent_candidates head, tail;
    double weight; /* of the tail's sums */
    double tilt;   /* is added to the scale of the tail's masses */
} ent_sketch;

/* For temperatures about this one. In memory of the workspace that the search for the nearest candidates uses, too. */
void ent_sketch_begin(ent_sketch *sketch, const ent_candidates *candidates, double temperature);
/* Before it is looked at: makes its sum and its mean, and so its entropy, those of the candidates at the temperature of
 * their spread, as far as they can be. */
void ent_sketch_fit(ent_sketch *sketch, const ent_spread *spread);
void ent_sketch_spread_at(ent_spread *spread, ent_sketch *sketch, double temperature);

#endif
