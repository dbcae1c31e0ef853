/* Independent categoricals, their logits side by side: CATEGORICAL is one, MULTI_DISCRETE several. Sums over them, and
 * gradients side by side. */
#include "choice.h"

/* The i-th of several choices, whose logits begin at column `first`. */
static ent_choice choice_at(const ent_policy_row *row, size_t i, size_t first) {
    return (ent_choice){row->p.first + first, row->q.first ? row->q.first + first : NULL, row->shape->sizes[i]};
}

static ent_fault choices_check(const ent_shape *shape, const ent_parameters *p, int needs_density) {
    (void)needs_density;
    size_t first = 0;
    for (size_t i = 0; i < shape->n_sizes; first += shape->sizes[i++]) {
        const ent_fault fault = ent_choice_check(p->first + first, shape->sizes[i]);
        if (fault.reason != ENTROL_REASON_NONE)
            return (ent_fault){fault.reason, first + fault.column};
    }
    return (ent_fault){ENTROL_REASON_NONE, 0};
}

static ent_fault choices_take_action(const ent_shape *shape, double *action) {
    for (size_t i = 0; i < shape->n_sizes; i++) {
        const ent_fault fault = ent_choice_take(action[i], shape->sizes[i]);
        if (fault.reason != ENTROL_REASON_NONE)
            return (ent_fault){fault.reason, i};
    }
    return (ent_fault){ENTROL_REASON_NONE, 0};
}

static double choices_entropy(const ent_policy_row *row) {
    double sum = 0;
    size_t first = 0;
    for (size_t i = 0; i < row->shape->n_sizes; first += row->shape->sizes[i++]) {
        const ent_choice choice = choice_at(row, i, first);
        sum += ent_choice_entropy(&choice);
    }
    return sum;
}

static double choices_logprob(const ent_policy_row *row) {
    double sum = 0;
    size_t first = 0;
    for (size_t i = 0; i < row->shape->n_sizes; first += row->shape->sizes[i++]) {
        const ent_choice choice = choice_at(row, i, first);
        sum += ent_choice_logprob(&choice, (size_t)row->action[i]);
    }
    return sum;
}

static double choices_kl(const ent_policy_row *row) {
    double sum = 0;
    size_t first = 0;
    for (size_t i = 0; i < row->shape->n_sizes; first += row->shape->sizes[i++]) {
        const ent_choice choice = choice_at(row, i, first);
        sum += ent_choice_kl(&choice);
    }
    return sum;
}

static void choices_slope_each(ent_slopes *slopes, const ent_policy_row *row, double by, ent_choice_slope slope) {
    size_t first = 0;
    for (size_t i = 0; i < row->shape->n_sizes; first += row->shape->sizes[i++]) {
        const ent_choice choice = choice_at(row, i, first);
        slope(slopes->first + first, &choice, by);
    }
}

static void choices_slope_entropy(ent_slopes *slopes, const ent_policy_row *row, double by) {
    choices_slope_each(slopes, row, by, ent_choice_slope_entropy);
}

static void choices_slope_logprob(ent_slopes *slopes, const ent_policy_row *row, double by) {
    size_t first = 0;
    for (size_t i = 0; i < row->shape->n_sizes; first += row->shape->sizes[i++]) {
        const ent_choice choice = choice_at(row, i, first);
        ent_choice_slope_logprob(slopes->first + first, &choice, (size_t)row->action[i], by);
    }
}

static void choices_slope_kl_pq(ent_slopes *slopes, const ent_policy_row *row, double by) {
    choices_slope_each(slopes, row, by, ent_choice_slope_kl_pq);
}

static void choices_slope_kl_qp(ent_slopes *slopes, const ent_policy_row *row, double by) {
    choices_slope_each(slopes, row, by, ent_choice_slope_kl_qp);
}

static void choices_sample(double *action, double *before, const ent_policy_row *row, ent_draws *draws) {
    (void)before;
    size_t first = 0;
    for (size_t i = 0; i < row->shape->n_sizes; first += row->shape->sizes[i++]) {
        const ent_choice choice = choice_at(row, i, first);
        action[i] = (double)ent_choice_sample(&choice, draws);
    }
}

#define CHOICES                                                                                                        \
    .takes_mask = 1, .check = choices_check, .take_action = choices_take_action, .entropy = choices_entropy,           \
    .logprob = choices_logprob, .kl = choices_kl, .slope_entropy = choices_slope_entropy,                              \
    .slope_logprob = choices_slope_logprob, .slope_kl_pq = choices_slope_kl_pq, .slope_kl_qp = choices_slope_kl_qp,    \
    .sample = choices_sample

/* Its shape has one size, n. */
const ent_distribution ent_categorical = {.name = "categorical", CHOICES};
const ent_distribution ent_multi_discrete = {.name = "multi-discrete", CHOICES};
