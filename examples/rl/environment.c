/* Environments by their names. */
#include "environment.h"

#include <stdio.h>
#include <string.h>

#define MAPPING_SEED 42 /* of the deep sea's actions: the same sea for every run, as in bsuite */

environment *environment_create(const char *name, size_t size, const char *models, char *error, size_t error_size) {
    snprintf(error, error_size, "out of memory");
    if (strcmp(name, "deep-sea") == 0)
        return deep_sea_create(size, MAPPING_SEED);
    if (strcmp(name, "river-swim") == 0)
        return river_swim_create();
#ifdef WITH_MUJOCO
    return mujoco_create(name, models, error, error_size);
#else
    (void)models;
    snprintf(error, error_size, "no environment \"%s\" (it was built without MuJoCo)", name);
    return NULL;
#endif
}
