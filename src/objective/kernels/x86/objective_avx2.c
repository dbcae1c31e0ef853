/* AVX2: four doubles a vector. No fused products: the bits are those of every level. */
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#include "objective/kernels/objective_kernels.h"

#include "objective/kernels/objective_fixed.h"

#include <math.h>
#include <string.h>

#define ENT_LANES_OF_DOUBLE 4
#define ENT_OBJECTIVE_TABLE ent_objective_kernels_avx2
#include "objective/kernels/objective_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int ent_not_this_architecture; /* a C file may not be empty */
#endif
