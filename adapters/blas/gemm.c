#include "entrol_blas.h"

#include <cblas.h>

/* One row: y = B x, or B^T x. A product of matrices would first copy B into its own order. */
static void multiply_row(const entrol_gemm_operands *o) {
    const blasint rows = (blasint)(o->b_transposed ? o->n : o->k), columns = (blasint)(o->b_transposed ? o->k : o->n);
    cblas_sgemv(CblasRowMajor, o->b_transposed ? CblasNoTrans : CblasTrans, rows, columns, 1, o->b,
                (blasint)o->b_stride, o->a, o->a_transposed ? (blasint)o->a_stride : 1, o->add ? 1 : 0, o->c, 1);
}

void entrol_blas_gemm(void *user, const entrol_gemm_operands *operands) {
    const entrol_gemm_operands *o = operands;
    (void)user;
    if (openblas_get_num_threads() != 1)
        openblas_set_num_threads(1);
    if (o->m == 1) {
        multiply_row(o);
        return;
    }
    cblas_sgemm(CblasRowMajor, o->a_transposed ? CblasTrans : CblasNoTrans, o->b_transposed ? CblasTrans : CblasNoTrans,
                (blasint)o->m, (blasint)o->n, (blasint)o->k, 1, o->a, (blasint)o->a_stride, o->b, (blasint)o->b_stride,
                o->add ? 1 : 0, o->c, (blasint)o->c_stride);
}

const char *entrol_blas_description(void) {
    return openblas_get_config();
}
