/* The kernel over several rows of the same columns, in double: normalisers of rows that nearly agree differ in digits
 * that a float does not have. A part of body.h, included by it.
 *
 * A column's term is the sum over the rows of p ln(p / mean) / n. With w = p / the greatest p, W = the mean of w and y
 * = ln(w / W), it is that greatest p times the mean of w y; since w and W have the same sum, also of w (y + e^-y - 1),
 * of which no part is negative, and an error that all y have alike counts only by its square. This is the form of close
 * rows, y^2 times a polynomial of degree 3 (Remez, within 5.3e-9 for |y| <= 1 / 16). */

#define ENT_HALF (ENT_W / 2)
typedef float __attribute__((vector_size(ENT_HALF * sizeof(float)))) vh_floats;
typedef double __attribute__((vector_size(ENT_HALF * sizeof(double)))) vd_doubles;
typedef int64_t __attribute__((vector_size(ENT_HALF * sizeof(int64_t)))) vd_integers;
typedef uint64_t __attribute__((vector_size(ENT_HALF * sizeof(uint64_t)))) vd_bits;

/* e^x for x from -700 to 0, as exp_of: 2^f = 1 + f Q(f), Q of degree 6 within 2.4e-10 of itself (Remez), so that what
 * is left of 1 near x = 0 keeps its digits. */
static inline vd exp_wide(vd x) {
    const vd log2e = vd_set(0x1.71547652b82fep+0), magic = vd_set(0x1.8p52);
    const vd t = vd_fma(x, log2e, magic), f = vd_fma(x, log2e, magic - t); /* t - magic is k */
    vd q = vd_set(0x1.ffcbe140e69d9p-17);
    q = vd_fma(q, f, vd_set(0x1.443f61fa6efe4p-13));
    q = vd_fma(q, f, vd_set(0x1.5d88bdae6e2dep-10));
    q = vd_fma(q, f, vd_set(0x1.3b2a1c366f82dp-7));
    q = vd_fma(q, f, vd_set(0x1.c6b08cb16a26fp-5));
    q = vd_fma(q, f, vd_set(0x1.ebfbe0453005ap-3));
    q = vd_fma(q, f, vd_set(0x1.62e42fefd32b8p-1));
    const vd p = vd_fma(f, q, vd_set(1));
    return (vd)((vd_bits)p + ((vd_bits)t << 52));
}

/* ln x for x from 2^-16 to 1: x = 2^k (1 + f), f from sqrt(1/2) - 1 to sqrt(2) - 1, and ln(1 + f) = 2 atanh(s), s = f /
 * (2 + f); atanh(s) / s is a polynomial of degree 4 in s^2 (Remez, within 4.3e-12). */
static inline vd ln_wide(vd x) {
    const uint64_t root = UINT64_C(0x3fe6a09e667f3bcd);                               /* sqrt(1/2) */
    const vd_bits k = ((vd_bits)x - root + ((uint64_t)16 << 52)) >> 52;               /* and 16 more: not negative */
    const vd exponent = (vd)(k | UINT64_C(0x4330000000000000)) - vd_set(0x1p52 + 16); /* the pattern of 2^52 + k */
    const vd f = (vd)((vd_bits)x - (k << 52) + ((uint64_t)16 << 52)) - vd_set(1);
    const vd s = f / (f + vd_set(2)), square = s * s;
    vd p = vd_set(0x1.e3af8a1c16757p-4);
    p = vd_fma(p, square, vd_set(0x1.2432c0e563f3cp-3));
    p = vd_fma(p, square, vd_set(0x1.999a9c8d6a6a8p-3));
    p = vd_fma(p, square, vd_set(0x1.555554dad28d1p-2));
    p = vd_fma(p, square, vd_set(0x1.0000000004a19p+0));
    return vd_fma(exponent, vd_set(0x1.62e42fefa39efp-1), (s + s) * p);
}

/* The first n numbers, filled up with -inf where they are no vector. */
static inline vd load_narrow(const float *z, size_t n) {
    float block[ENT_HALF];
    vh_floats x;
    for (size_t lane = 0; n < ENT_HALF && lane < ENT_HALF; lane++)
        block[lane] = lane < n ? z[lane] : -INFINITY;
    memcpy(&x, n < ENT_HALF ? block : z, sizeof x);
    return (vd) __builtin_convertvector(x, vd_doubles);
}

static inline vd load_wide(const double *z, size_t n) {
    double block[ENT_HALF];
    vd x;
    for (size_t lane = 0; n < ENT_HALF && lane < ENT_HALF; lane++)
        block[lane] = lane < n ? z[lane] : -(double)INFINITY;
    memcpy(&x, n < ENT_HALF ? block : z, sizeof x);
    return x;
}

/* ln p of the columns from i on in every row, and the greatest of each column. n_rows, if it is few, and is_wide are
 * constants where this and what follows is inlined. */
static inline __attribute__((always_inline)) vd log_probabilities(vd *log_p, const ent_mixture_task *task,
                                                                  size_t n_rows, size_t i, int is_wide) {
    const vd scale = vd_set(task->scale), lowest = vd_set(ENT_LEAST_LOG);
    vd top = lowest;
    for (size_t row = 0; row < n_rows; row++) {
        const size_t n_left = task->n - i;
        const vd z = is_wide ? load_wide(task->wide[row] + i, n_left) : load_narrow(task->z[row] + i, n_left);
        log_p[row] = vd_max(vd_fma(scale, z - vd_set(task->m[row]), vd_set(-task->log_sum[row])), lowest);
        top = vd_max(top, log_p[row]);
    }
    return top;
}

/* w y^2 times the polynomial, which is that of (y + e^-y - 1) / y^2. */
static inline vd close_term(vd w, vd y) {
    vd p = vd_set(-0x1.11133bdaae553p-7);
    p = vd_fma(p, y, vd_set(0x1.5560b61a71cfap-5));
    p = vd_fma(p, y, vd_set(-0x1.5555557c581e6p-3));
    p = vd_fma(p, y, vd_set(0x1.ffffffd27e42cp-2));
    return (w * y) * (y * p);
}

static inline vd choose_wide(vd_integers which, vd yes, vd no) {
    return (vd)(((vd_integers)yes & which) | ((vd_integers)no & ~which));
}

/* The mean over the rows of w y, of a column whose ln p are taken from the greatest; ln w becomes w - W. */
static inline __attribute__((always_inline)) vd column_terms(vd *log_w, size_t n_rows) {
    vd w[ENT_MIXTURE_ROWS], sum = vd_set(0), spread = sum, near = sum, far = sum;
    for (size_t row = 0; row < n_rows; row++) {
        w[row] = exp_wide(log_w[row]);
        sum = sum + w[row];
        spread = vd_max(spread, vd_set(0) - log_w[row]);
    }
    const vd each = vd_set(1 / (double)n_rows), mean = sum * each, log_mean = ln_wide(mean);
    for (size_t row = 0; row < n_rows; row++) {
        const vd y = log_w[row] - log_mean;
        near = near + close_term(w[row], y);
        far = vd_fma(w[row], y, far);
        log_w[row] = w[row] - mean;
    }
    return each * choose_wide((vd_integers)((vd_doubles)spread <= (vd_doubles)vd_set(ENT_CLOSE)), near, far);
}

static double sum_wide(vd x) {
    double sum = 0;
    for (size_t lane = 0; lane < ENT_HALF; lane++)
        sum += ((vd_doubles)x)[lane];
    return sum;
}

static inline __attribute__((always_inline)) void mixture_loop(ent_mixture_sums *sums, const ent_mixture_task *task,
                                                               size_t n_rows, int is_wide) {
    const vd zero = vd_set(0), lowest = vd_set(-700);
    vd information = zero, gain[ENT_MIXTURE_ROWS], log_p[ENT_MIXTURE_ROWS];
    for (size_t row = 0; row < n_rows; row++)
        gain[row] = zero;
    for (size_t i = 0; i < task->n; i += ENT_HALF) {
        const vd top = log_probabilities(log_p, task, n_rows, i, is_wide), p = exp_wide(vd_max(top, lowest));
        for (size_t row = 0; row < n_rows; row++)
            log_p[row] = vd_max(log_p[row] - top, lowest);
        information = vd_fma(p, column_terms(log_p, n_rows), information);
        for (size_t row = 0; row < n_rows; row++)
            gain[row] = vd_fma(p, log_p[row], gain[row]);
    }
    *sums = (ent_mixture_sums){.information = sum_wide(information)};
    for (size_t row = 0; row < n_rows; row++)
        sums->gain[row] = sum_wide(gain[row]);
}

static void mixture_sums_body(ent_mixture_sums *sums, const ent_mixture_task *task) {
    if (task->wide[0])
        mixture_loop(sums, task, task->n_rows, 1);
    else if (task->n_rows == 2)
        mixture_loop(sums, task, 2, 0);
    else if (task->n_rows == 3)
        mixture_loop(sums, task, 3, 0);
    else
        mixture_loop(sums, task, task->n_rows, 0);
}
