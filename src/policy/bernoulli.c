/* Independent bits, each a choice of two with the logits 0 and z. */
#include "choice.h"

#include <math.h>

/* The logits of 0 and 1; an infinite one makes the other bit impossible. */
typedef struct bit {
    double p[2], q[2];
} bit;

static void set_logits(double logits[2], double z) {
    logits[0] = z == INFINITY ? -(double)INFINITY : 0;
    logits[1] = z == INFINITY ? 0 : z;
}

/* The choice points into `bit`. */
static ent_choice bit_at(bit *bit, const ent_policy_row *row, size_t i) {
    set_logits(bit->p, row->p.first[i]);
    set_logits(bit->q, row->q.first ? row->q.first[i] : 0);
    return (ent_choice){bit->p, bit->q, 2};
}

static ent_fault bits_check(const ent_shape *shape, const ent_parameters *p, int needs_density) {
    (void)needs_density;
    for (size_t i = 0; i < shape->n; i++)
        if (isnan(p->first[i]))
            return (ent_fault){ENTROL_REASON_NAN, i};
    return (ent_fault){ENTROL_REASON_NONE, 0};
}

static ent_fault bits_take_action(const ent_shape *shape, double *action) {
    for (size_t i = 0; i < shape->n; i++) {
        const ent_fault fault = ent_choice_take(action[i], 2);
        if (fault.reason != ENTROL_REASON_NONE)
            return (ent_fault){fault.reason, i};
    }
    return (ent_fault){ENTROL_REASON_NONE, 0};
}

static double bits_entropy(const ent_policy_row *row) {
    bit bit;
    double sum = 0;
    for (size_t i = 0; i < row->shape->n; i++) {
        const ent_choice choice = bit_at(&bit, row, i);
        sum += ent_choice_entropy(&choice);
    }
    return sum;
}

static double bits_logprob(const ent_policy_row *row) {
    bit bit;
    double sum = 0;
    for (size_t i = 0; i < row->shape->n; i++) {
        const ent_choice choice = bit_at(&bit, row, i);
        sum += ent_choice_logprob(&choice, (size_t)row->action[i]);
    }
    return sum;
}

static double bits_kl(const ent_policy_row *row) {
    bit bit;
    double sum = 0;
    for (size_t i = 0; i < row->shape->n; i++) {
        const ent_choice choice = bit_at(&bit, row, i);
        sum += ent_choice_kl(&choice);
    }
    return sum;
}

/* The gradient by z is that by the logit of 1. */
static void bits_slope_each(ent_slopes *slopes, const ent_policy_row *row, double by, ent_choice_slope slope) {
    bit bit;
    for (size_t i = 0; i < row->shape->n; i++) {
        const ent_choice choice = bit_at(&bit, row, i);
        double both[2] = {0, 0};
        slope(both, &choice, by);
        slopes->first[i] += both[1];
    }
}

static void bits_slope_entropy(ent_slopes *slopes, const ent_policy_row *row, double by) {
    bits_slope_each(slopes, row, by, ent_choice_slope_entropy);
}

static void bits_slope_logprob(ent_slopes *slopes, const ent_policy_row *row, double by) {
    bit bit;
    for (size_t i = 0; i < row->shape->n; i++) {
        const ent_choice choice = bit_at(&bit, row, i);
        double both[2] = {0, 0};
        ent_choice_slope_logprob(both, &choice, (size_t)row->action[i], by);
        slopes->first[i] += both[1];
    }
}

static void bits_slope_kl_pq(ent_slopes *slopes, const ent_policy_row *row, double by) {
    bits_slope_each(slopes, row, by, ent_choice_slope_kl_pq);
}

static void bits_slope_kl_qp(ent_slopes *slopes, const ent_policy_row *row, double by) {
    bits_slope_each(slopes, row, by, ent_choice_slope_kl_qp);
}

static void bits_sample(double *action, double *before, const ent_policy_row *row, ent_draws *draws) {
    (void)before;
    bit bit;
    for (size_t i = 0; i < row->shape->n; i++) {
        const ent_choice choice = bit_at(&bit, row, i);
        action[i] = (double)ent_choice_sample(&choice, draws);
    }
}

const ent_distribution ent_bernoulli = {.name = "bernoulli",
                                        .check = bits_check,
                                        .take_action = bits_take_action,
                                        .entropy = bits_entropy,
                                        .logprob = bits_logprob,
                                        .kl = bits_kl,
                                        .slope_entropy = bits_slope_entropy,
                                        .slope_logprob = bits_slope_logprob,
                                        .slope_kl_pq = bits_slope_kl_pq,
                                        .slope_kl_qp = bits_slope_kl_qp,
                                        .sample = bits_sample};
