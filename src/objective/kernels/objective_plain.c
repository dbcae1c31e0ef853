/* Whatever the compiler takes for granted: SSE2 on x86-64, NEON on AArch64. */
#include "objective_kernels.h"

#include "objective_fixed.h"

#include <math.h>
#include <string.h>

#define ENT_LANES_OF_DOUBLE 2
#define ENT_OBJECTIVE_TABLE ent_objective_kernels_plain
#include "objective_body.h"
