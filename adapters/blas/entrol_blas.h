/* Entrol's matrix product by OpenBLAS, for the output layer.
 *
 * A library of its own (libentrol_blas) on top of entrol.h:
 *     entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
 *     options.gemm = entrol_blas_gemm; */
#ifndef ENTROL_BLAS_H
#define ENTROL_BLAS_H

#include <entrol/entrol.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An entrol_gemm by cblas_sgemm, and cblas_sgemv where there is one row; `user` is not used. It may be called from
 * several threads at once and computes on the calling one: OpenBLAS's own threads are turned off for the process
 * (openblas_set_num_threads(1)) by any call that finds them on. A program that wants them elsewhere turns them on again
 * after a call of Entrol, and not during one. */
void entrol_blas_gemm(void *user, const entrol_gemm_operands *operands);

/* What OpenBLAS says of its version, its options and the processor it was tuned for. */
const char *entrol_blas_description(void);

#ifdef __cplusplus
}
#endif
#endif
