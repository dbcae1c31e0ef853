/* Whatever the compiler takes for granted: SSE2 on x86-64, NEON on AArch64. */
#include "objective_kernels.h"

#include "objective_fixed.h"

#include <math.h>
#include <string.h>

#define ENT_LANES_OF_DOUBLE 2
#define ENT_OBJECTIVE_TABLE ent_objective_kernels_plain

/* Through them. */
static inline void ent_stream_line(float *out, const float *x) {
    memcpy(out, x, 16 * sizeof *x);
}

static void ent_stream_end(void) {
}

#include "objective_body.h"
