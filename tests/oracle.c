#include "oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int may_happen(const double *logits, const unsigned char *allowed, size_t i) {
    return (!allowed || allowed[i]) && !(logits[i] == -INFINITY);
}

/* The first value that makes a row meaningless. */
static void find_trouble(oracle_row *row, const double *logits, const unsigned char *allowed, size_t n) {
    size_t n_possible = 0;
    for (size_t i = 0; i < n; i++) {
        n_possible += (size_t)may_happen(logits, allowed, i);
        if ((allowed && !allowed[i]) || row->is_trouble || logits[i] < INFINITY)
            continue;
        row->is_trouble = 1;
        row->column = i;
        row->reason = isnan(logits[i]) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE;
    }
    if (n_possible == 0 && !row->is_trouble) {
        row->is_trouble = 1;
        row->reason = ENTROL_REASON_EMPTY_SUPPORT;
    }
}

static size_t find_top(const double *logits, const unsigned char *allowed, size_t n) {
    size_t top = n;
    for (size_t i = 0; i < n; i++)
        if (may_happen(logits, allowed, i) && (top == n || logits[i] > logits[top]))
            top = i;
    return top;
}

/* e^d of every column, d = (z - z_top) / T; 0 where it may not happen. The one exponential of a column: software
 * computes it under an emulator. */
static long double *weights(const double *logits, const unsigned char *allowed, size_t n, size_t top,
                            long double temperature) {
    long double *weight = malloc(n * sizeof *weight);
    if (!weight)
        abort();
    for (size_t i = 0; i < n; i++)
        weight[i] = may_happen(logits, allowed, i)
                        ? expl(((long double)logits[i] - (long double)logits[top]) / temperature)
                        : 0;
    return weight;
}

/* weight^order, for the Renyi entropies that are sums. */
static long double power_of(long double weight, long double order) {
    return order == 2 ? weight * weight : order == 0.5L ? sqrtl(weight) : powl(weight, order);
}

/* Sums over all columns but the top one, so that what is left of a nearly certain row keeps its digits. */
static void sum_up(oracle_row *row, const double *logits, const unsigned char *allowed, size_t n, size_t top,
                   long double temperature, long double order) {
    const int has_power = order != 0 && order != 1 && !isinf(order);
    long double *weight = weights(logits, allowed, n, top, temperature);
    long double rest = 0, power = 0, squares = 0, n_support = 0, second = 0;
    for (size_t i = 0; i < n; i++) {
        n_support += may_happen(logits, allowed, i);
        if (i == top)
            continue;
        rest += weight[i];
        squares += weight[i] * weight[i];
        power += has_power ? power_of(weight[i], order) : 0;
        second = weight[i] > second ? weight[i] : second;
    }
    const long double log_sum = log1pl(rest);
    row->log_sum = log_sum;
    row->logsumexp = (long double)logits[top] / temperature + log_sum;
    row->top_prob = expl(-log_sum);
    row->margin = (1 - second) * row->top_prob;
    row->sum_p_squared = (1 + squares) * row->top_prob * row->top_prob;
    row->entropy = row->varentropy = 0;
    for (int pass = 0; pass < 2; pass++) /* the second needs the entropy */
        for (size_t i = 0; i < n; i++) {
            if (weight[i] == 0)
                continue;
            const long double log_p = ((long double)logits[i] - (long double)logits[top]) / temperature - log_sum;
            const long double p = weight[i] * row->top_prob;
            if (pass == 0)
                row->entropy -= p * log_p;
            else
                row->varentropy += p * (log_p + row->entropy) * (log_p + row->entropy);
        }
    free(weight);
    if (order == 0)
        row->renyi = logl(n_support);
    else if (order == 1)
        row->renyi = row->entropy;
    else if (isinf(order))
        row->renyi = log_sum;
    else
        row->renyi = (log1pl(power) - order * log_sum) / (1 - order);
}

void oracle_measure(oracle_row *row, const double *logits, const unsigned char *allowed, size_t n, int64_t target,
                    double temperature, double renyi_order) {
    memset(row, 0, sizeof *row);
    find_trouble(row, logits, allowed, n);
    if (row->is_trouble)
        return;
    const size_t top = find_top(logits, allowed, n);
    sum_up(row, logits, allowed, n, top, temperature, renyi_order);
    if (target < 0)
        return;
    const int possible = may_happen(logits, allowed, (size_t)target);
    const long double d = ((long double)logits[target] - (long double)logits[top]) / (long double)temperature;
    row->logprob = possible ? d - row->log_sum : -INFINITY;
    row->rank = 1;
    for (size_t i = 0; i < n; i++)
        row->rank += may_happen(logits, allowed, i) && (!possible || logits[i] > logits[target]);
}

void oracle_differentiate(oracle_gradient *gradient, const double *logits, const unsigned char *allowed, size_t n,
                          int64_t target, double temperature, const double by[3]) {
    oracle_row row;
    oracle_measure(&row, logits, allowed, n, target, temperature, 1);
    const size_t top = find_top(logits, allowed, n);
    gradient->greatest = gradient->sizes = 0;
    for (size_t i = 0; i < n; i++) {
        gradient->d_logits[i] = 0;
        if (!may_happen(logits, allowed, i))
            continue;
        const long double d = ((long double)logits[i] - (long double)logits[top]) / (long double)temperature;
        const long double log_p = d - row.log_sum, p = expl(log_p), y = log_p + row.entropy;
        const long double parts[4] = {(int64_t)i == target ? -expm1l(log_p) : -p, -p * y, p * (y * y - row.varentropy),
                                      2 * p * y};
        for (size_t k = 0; k < 4; k++) {
            const long double part = (long double)by[k < 2 ? k : 2] * parts[k] / (long double)temperature;
            gradient->d_logits[i] += part;
            gradient->greatest = fmaxl(gradient->greatest, fabsl(part));
            gradient->sizes += fabsl(part);
        }
    }
}

typedef struct placed {
    double z;
    int64_t column;
} placed;

static int compare_placed(const void *a, const void *b) {
    const placed *x = a, *y = b;
    if (x->z != y->z)
        return x->z > y->z ? -1 : 1;
    return x->column < y->column ? -1 : 1;
}

static size_t support_size(const oracle_support *support, entrol_support_kind kind, double parameter) {
    const double n_possible = (double)support->n_possible;
    size_t n = 0;
    if (kind == ENTROL_SUPPORT_TOP_K)
        return parameter < n_possible ? (size_t)parameter : support->n_possible;
    if (kind == ENTROL_SUPPORT_DROP)
        return support->n_possible - (size_t)floor(parameter * n_possible);
    if (kind == ENTROL_SUPPORT_ALL || (kind == ENTROL_SUPPORT_TOP_P && parameter == 1))
        return support->n_possible;
    while (n < support->n_possible && support->mass[n + 1] < (long double)parameter)
        n++;
    return n + (kind == ENTROL_SUPPORT_TOP_P && n < support->n_possible);
}

void oracle_find_support(oracle_support *support, const double *logits, const unsigned char *allowed, size_t n,
                         double temperature, entrol_support_kind kind, double parameter) {
    placed *columns = malloc((n + 1) * sizeof *columns);
    *support = (oracle_support){.order = malloc((n + 1) * sizeof(int64_t)),
                                .weight = malloc((n + 1) * sizeof(long double)),
                                .mass = malloc((n + 1) * sizeof(long double))};
    if (!columns || !support->order || !support->weight || !support->mass)
        abort();
    for (size_t i = 0; i < n; i++)
        if (may_happen(logits, allowed, i))
            columns[support->n_possible++] = (placed){logits[i], (int64_t)i};
    qsort(columns, support->n_possible, sizeof *columns, compare_placed);
    support->mass[0] = 0;
    for (size_t i = 0; i < support->n_possible; i++) {
        support->order[i] = columns[i].column;
        support->weight[i] = i && columns[i].z == columns[i - 1].z
                                 ? support->weight[i - 1]
                                 : expl(((long double)columns[i].z - (long double)columns[0].z) / temperature);
        support->mass[i + 1] = support->mass[i] + support->weight[i];
    }
    for (size_t i = 0; i < support->n_possible; i++)
        support->mass[i] /= support->mass[support->n_possible];
    support->mass[support->n_possible] = 1;
    support->n = support_size(support, kind, parameter);
    free(columns);
}

void oracle_support_free(oracle_support *support) {
    free(support->order);
    free(support->weight);
    free(support->mass);
}

long double oracle_support_entropy(oracle_gradient *gradient, const oracle_support *support, const double *logits,
                                   size_t n, size_t n_columns, double temperature) {
    long double rest = 0, mean = 0; /* of d under q; ln q + H is d - mean, which is exactly 0 for a flat row */
    for (size_t i = 1; i < n_columns; i++)
        rest += support->weight[i];
    for (size_t i = 1; i < n_columns; i++) {
        const long double d = ((long double)logits[support->order[i]] - (long double)logits[support->order[0]]) /
                              (long double)temperature;
        if (support->weight[i] > 0)
            mean += support->weight[i] / (1 + rest) * d;
    }
    if (!gradient)
        return log1pl(rest) - mean;
    gradient->greatest = gradient->sizes = 0;
    for (size_t i = 0; i < n; i++)
        gradient->d_logits[i] = 0;
    for (size_t i = 0; i < n_columns; i++) {
        const long double d = ((long double)logits[support->order[i]] - (long double)logits[support->order[0]]) /
                              (long double)temperature;
        const long double q = support->weight[i] / (1 + rest);
        const long double element = q > 0 ? -q * (d - mean) / (long double)temperature : 0;
        gradient->d_logits[support->order[i]] = element;
        gradient->greatest = fmaxl(gradient->greatest, fabsl(element));
        gradient->sizes += fabsl(element);
    }
    return log1pl(rest) - mean;
}

/* ln p of every column, -inf where it may not happen; free() it. */
static long double *log_probabilities(const double *logits, const unsigned char *allowed, size_t n,
                                      double temperature) {
    oracle_row row;
    long double *log_p = malloc((n + 1) * sizeof *log_p);
    if (!log_p)
        abort();
    oracle_measure(&row, logits, allowed, n, -1, temperature, 1);
    const size_t top = find_top(logits, allowed, n);
    for (size_t i = 0; i < n; i++)
        log_p[i] = may_happen(logits, allowed, i)
                       ? ((long double)logits[i] - (long double)logits[top]) / (long double)temperature - row.log_sum
                       : (long double)-INFINITY;
    return log_p;
}

/* p (ln p - ln q) + q - p. */
static long double divergence(long double log_p, long double log_q) {
    const long double p = expl(log_p), delta = log_p - log_q;
    if (p == 0)
        return expl(log_q);
    return delta < -1 ? p * delta + expl(log_q) - p : p * (delta + expm1l(-delta));
}

/* p ln(2 p / (p + q)) + q ln(2 q / (p + q)): near each other by r = (p - q) / (p + q). */
static long double shannon_divergence(long double log_p, long double log_q) {
    const long double p = expl(log_p), q = expl(log_q), m = (p + q) / 2, r = tanhl((log_p - log_q) / 2);
    if (fabsl(r) < 0.5L)
        return m * ((1 + r) * log1pl(r) + (1 - r) * log1pl(-r));
    return (p > 0 ? p * logl(p / m) : 0) + (q > 0 ? q * logl(q / m) : 0);
}

void oracle_compare(oracle_pair *pair, const double *p, const double *q, const unsigned char *allowed, size_t n,
                    double temperature) {
    long double *log_p = log_probabilities(p, allowed, n, temperature);
    long double *log_q = log_probabilities(q, allowed, n, temperature);
    *pair = (oracle_pair){.kl_pq = 0};
    for (size_t i = 0; i < n; i++) {
        const long double of_p = expl(log_p[i]), of_q = expl(log_q[i]), m = (of_p + of_q) / 2;
        if (log_p[i] == (long double)-INFINITY && log_q[i] == (long double)-INFINITY)
            continue;
        pair->kl_pq += divergence(log_p[i], log_q[i]);
        pair->kl_qp += divergence(log_q[i], log_p[i]);
        pair->jsd += shannon_divergence(log_p[i], log_q[i]) / 2;
        pair->mean_entropy -= m > 0 ? m * logl(m) : 0;
        pair->textbook_kl += of_p > 0 ? of_p * (log_p[i] - log_q[i]) : 0;
        pair->textbook_jsd += ((of_p > 0 ? of_p * log_p[i] : 0) + (of_q > 0 ? of_q * log_q[i] : 0)) / 2;
    }
    pair->textbook_jsd += pair->mean_entropy;
    free(log_p);
    free(log_q);
}

/* A column of probabilities p[m] = e^log_p[m], of which the greatest is e^top, and its terms of the three sums. */
static void mix_column(oracle_mixture *mixture, const long double *log_p, size_t n_rows) {
    long double top = log_p[0], above = 0;
    for (size_t m = 1; m < n_rows; m++)
        top = fmaxl(top, log_p[m]);
    if (top == (long double)-INFINITY)
        return;
    for (size_t m = 0; m < n_rows; m++) /* mean / greatest - 1, which keeps its digits near 0 */
        above += expm1l(log_p[m] - top) / (long double)n_rows;
    const long double log_mean = top + log1pl(above), mean = expl(log_mean);
    mixture->mean_entropy -= mean > 0 ? mean * log_mean : 0;
    for (size_t m = 0; m < n_rows; m++) {
        const long double p = expl(log_p[m]);
        mixture->information += divergence(log_p[m], log_mean) / (long double)n_rows;
        mixture->textbook_information += p > 0 ? p * log_p[m] / (long double)n_rows : 0;
    }
}

void oracle_mix(oracle_mixture *mixture, const double *const *rows, size_t n_rows, const unsigned char *allowed,
                size_t n, double temperature) {
    long double **log_p = calloc(n_rows, sizeof *log_p), column[64];
    *mixture = (oracle_mixture){.information = 0};
    for (size_t m = 0; m < n_rows; m++)
        log_p[m] = log_probabilities(rows[m], allowed, n, temperature);
    for (size_t i = 0; i < n; i++) {
        for (size_t m = 0; m < n_rows; m++)
            column[m] = log_p[m][i];
        mix_column(mixture, column, n_rows);
    }
    mixture->textbook_information += mixture->mean_entropy;
    for (size_t m = 0; m < n_rows; m++)
        free(log_p[m]);
    free(log_p);
}

void oracle_differentiate_pair(oracle_gradient *gradient, const double *p, const double *q,
                               const unsigned char *allowed, size_t n, double temperature, const double by[2]) {
    long double *log_p = log_probabilities(p, allowed, n, temperature);
    long double *log_q = log_probabilities(q, allowed, n, temperature);
    oracle_pair pair;
    oracle_compare(&pair, p, q, allowed, n, temperature);
    gradient->greatest = gradient->sizes = 0;
    for (size_t i = 0; i < n; i++) {
        gradient->d_logits[i] = 0;
        if (log_p[i] == (long double)-INFINITY)
            continue;
        const long double of_p = expl(log_p[i]), delta = log_p[i] - log_q[i];
        const long double parts[2] = {by[0] == 0 ? 0 : of_p * (delta - pair.kl_pq),
                                      fabsl(delta) < 1 ? -of_p * expm1l(-delta) : of_p - expl(log_q[i])};
        for (size_t k = 0; k < 2; k++) {
            const long double part = (long double)by[k] * parts[k] / (long double)temperature;
            gradient->d_logits[i] += part;
            gradient->greatest = fmaxl(gradient->greatest, fabsl(part));
            gradient->sizes += k == 0 ? fabsl(part) : 0;
        }
    }
    free(log_p);
    free(log_q);
}

size_t oracle_top(int64_t *columns, const double *logits, const unsigned char *allowed, size_t n, size_t n_top) {
    size_t n_found = 0;
    for (; n_found < n_top; n_found++) {
        size_t best = n;
        for (size_t i = 0; i < n; i++) {
            int taken = !may_happen(logits, allowed, i);
            for (size_t j = 0; j < n_found; j++)
                taken = taken || columns[j] == (int64_t)i;
            if (!taken && (best == n || logits[i] > logits[best]))
                best = i;
        }
        if (best == n)
            break;
        columns[n_found] = (int64_t)best;
    }
    return n_found;
}
