/* A sum of doubles that keeps what each addition rounds away (Kahan 1965): its error does not grow with the number of
 * terms. For one thread; entrol_sum is the exact one. */
#ifndef ENT_BASE_COMPENSATED_H
#define ENT_BASE_COMPENSATED_H

typedef struct ent_compensated {
    double sum, lost;
} ent_compensated;

static inline void ent_compensated_add(ent_compensated *total, double term) {
    const double corrected = term - total->lost, next = total->sum + corrected;
    total->lost = (next - total->sum) - corrected;
    total->sum = next;
}

#endif
