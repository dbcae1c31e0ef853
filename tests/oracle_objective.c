#include "oracle_objective.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef long double real;

/* One evaluation. */
typedef struct scene {
    const char *name;
    const oracle_parameters *parameters;
    const oracle_tokens *live, *frozen;
    const oracle_slopes *slopes;
    uint8_t *has_term, *has_slope, *is_covered, *is_penalised;
    oracle_loss out;
} scene;

double oracle_parameter(const oracle_parameters *parameters, const char *name) {
    double value = NAN;
    for (size_t i = 0; i < parameters->n; i++)
        if (strcmp(parameters->names[i], name) == 0)
            value = parameters->values[i];
    return value;
}

static double get(const scene *s, const char *name, double otherwise) {
    const double value = oracle_parameter(s->parameters, name);
    return isnan(value) ? otherwise : value;
}

static int is_named(const scene *s, const char *name) {
    return strcmp(s->name, name) == 0;
}

static int counts(const scene *s, size_t i) {
    return !s->live->mask || s->live->mask[i];
}

static int compare_reals(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* NumPy's linear quantile of the entries that count in [begin, end). */
static double quantile(const scene *s, const real *x, size_t begin, size_t end, double q) {
    double *sorted = malloc((end - begin + 1) * sizeof *sorted);
    size_t n = 0;
    for (size_t i = begin; i < end; i++)
        if (counts(s, i))
            sorted[n++] = (double)x[i];
    qsort(sorted, n, sizeof *sorted, compare_reals);
    double value = INFINITY;
    if (n) {
        const double at = q * (double)(n - 1), below = floor(at), w = at - below;
        const size_t low = (size_t)below, high = low + 1 < n ? low + 1 : low;
        value = w < 0.5 ? sorted[low] + w * (sorted[high] - sorted[low])
                        : sorted[high] - (sorted[high] - sorted[low]) * (1 - w);
    }
    free(sorted);
    return value;
}

void oracle_covariances(long double *covariances, const oracle_tokens *tokens) {
    real sum_a = 0, sum_l = 0, n = 0;
    for (size_t i = 0; i < tokens->n; i++)
        if (!tokens->mask || tokens->mask[i]) {
            sum_a += tokens->advantage[i];
            sum_l += tokens->logprob[i];
            n += 1;
        }
    for (size_t i = 0; i < tokens->n; i++)
        covariances[i] = (tokens->advantage[i] - sum_a / n) * (tokens->logprob[i] - sum_l / n);
}

static size_t n_counting(const scene *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->live->n; i++)
        n += counts(s, i) != 0;
    return n;
}

/* The k greatest of what counts, earlier ones first among equals. */
static void mark_greatest(const scene *s, uint8_t *marked, const real *x, size_t k) {
    for (; k > 0; k--) {
        size_t best = s->live->n;
        for (size_t i = 0; i < s->live->n; i++)
            if (counts(s, i) && !marked[i] && (best == s->live->n || x[i] > x[best]))
                best = i;
        if (best < s->live->n)
            marked[best] = 1;
    }
}

static size_t at_least_one(double x) {
    return x < 1 ? 1 : (size_t)x;
}

static void find_top(scene *s) {
    const double share = get(s, "top_share", 1);
    const real *entropy = s->frozen->entropy;
    if (!(share < 1))
        return;
    uint8_t *kept = calloc(s->live->n + 1, 1);
    if (get(s, "top_by", 0) == 3) {
        mark_greatest(s, kept, entropy, at_least_one(share * (double)n_counting(s) + 0.9999));
    } else {
        const double threshold = quantile(s, entropy, 0, s->live->n, 1 - share);
        for (size_t i = 0; i < s->live->n; i++)
            kept[i] = (double)entropy[i] >= threshold;
    }
    for (size_t i = 0; i < s->live->n; i++)
        if (!kept[i]) {
            s->has_term[i] = s->has_slope[i] = 0;
            if (get(s, "entropy_share", 1) >= 1)
                s->is_covered[i] = 0;
        }
    free(kept);
}

static void find_gates(scene *s) {
    const size_t n = s->live->n;
    const double low = get(s, "entropy_ratio_low", 0), high = get(s, "entropy_ratio_high", INFINITY);
    for (size_t i = 0; i < n; i++)
        s->has_term[i] = s->has_slope[i] = s->is_covered[i] = (uint8_t)counts(s, i);
    find_top(s);
    for (size_t i = 0; i < n && (low > 0 || high < INFINITY); i++) {
        const real ratio = (s->frozen->entropy[i] + 1e-8L) / (s->frozen->old_entropy[i] + 1e-8L);
        if (!(ratio > low && ratio < high))
            s->has_slope[i] = 0;
    }
    for (size_t i = 0; i < n; i++)
        if (is_named(s, "clip_cov") && s->live->dropped && s->live->dropped[i])
            s->has_term[i] = s->has_slope[i] = 0;
    if (is_named(s, "kl_cov")) {
        real *covariances = malloc((n + 1) * sizeof *covariances);
        oracle_covariances(covariances, s->frozen);
        for (size_t i = 0; i < n; i++)
            if (!s->has_term[i])
                covariances[i] = -INFINITY;
        mark_greatest(s, s->is_penalised, covariances,
                      at_least_one(get(s, "covariance_share", 0) * (double)n_counting(s)));
        free(covariances);
    }
    for (size_t k = 0; k < s->live->n_sequences && get(s, "entropy_share", 1) < 1; k++) {
        const size_t begin = s->live->starts[k], end = s->live->starts[k + 1];
        const double threshold = quantile(s, s->frozen->support_entropy, begin, end, 1 - get(s, "entropy_share", 1));
        for (size_t i = begin; i < end; i++)
            s->is_covered[i] = s->is_covered[i] && (double)s->frozen->support_entropy[i] >= threshold;
    }
}

/* A number and its derivative by ln r. */
typedef struct dual {
    real x, d;
} dual;

/* torch.clamp: at a bound the derivative is that of the inside. */
static dual clamp(dual a, real low, real high) {
    return a.x < low ? (dual){low, 0} : a.x > high ? (dual){high, 0} : a;
}

/* torch.min: half of each derivative where both are equal. */
static dual minimum(dual a, dual b) {
    if (a.x == b.x)
        return (dual){a.x, (a.d + b.d) / 2};
    return a.x < b.x ? a : b;
}

static dual times(dual a, real factor) {
    return (dual){a.x * factor, a.d * factor};
}

static real shaped_advantage(const scene *s, size_t i) {
    const real a = s->frozen->advantage[i], alpha = get(s, "entropy_alpha", 0), kappa = get(s, "entropy_kappa", 2);
    return alpha == 0 ? a : a + fminl(alpha * s->frozen->entropy[i], fabsl(a) / kappa);
}

/* What is to be minimised of a token, by its ratio r = (r, r) or that of its sequence. */
static dual surrogate(const scene *s, dual r, size_t i) {
    const real a = shaped_advantage(s, i);
    if (is_named(s, "reinforce") || is_named(s, "a2c") || is_named(s, "w_reinforce"))
        return (dual){-s->live->logprob[i] * a, -a};
    if (is_named(s, "cispo")) {
        const real frozen = expl(s->frozen->logprob[i] - s->frozen->old_logprob[i]);
        const real weight = fminl(fmaxl(frozen, get(s, "ratio_low", 0)), get(s, "ratio_high", INFINITY));
        return (dual){-weight * a * s->live->logprob[i], -weight * a};
    }
    if (is_named(s, "sapo")) {
        const real tau = a > 0 ? get(s, "tau_positive", 1) : get(s, "tau_negative", 1);
        const real sigmoid = 1 / (1 + expl(-tau * (r.x - 1)));
        return times((dual){4 / tau * sigmoid, 4 * sigmoid * (1 - sigmoid) * r.d}, -a);
    }
    if (is_named(s, "kl_cov") || is_named(s, "gmpo"))
        return times(r, -a);
    const real low = 1 - (real)get(s, "clip_low", 0), high = 1 + (real)get(s, "clip_high", 0);
    const real most = get(s, "dual_clip", INFINITY);
    const dual least = minimum(times(r, a), times(clamp(r, low, high), a));
    return a < 0 && least.x < most * a ? (dual){-most * a, 0} : times(least, -1); /* at the bound: the inside's */
}

static real weight_of(const scene *s, size_t i) {
    const real a = s->live->advantage[i];
    const double of_sign = a > 0 ? get(s, "positive_weight", 1) : a < 0 ? get(s, "negative_weight", 1) : 1;
    return s->live->weight[i] * of_sign;
}

static int over_selected(const scene *s) {
    return get(s, "over", 0) == 1;
}

static real count_in(const scene *s, size_t begin, size_t end, int selected) {
    real n = 0;
    for (size_t i = begin; i < end; i++)
        n += selected ? s->has_term[i] && s->has_slope[i] : counts(s, i) != 0;
    return n;
}

/* What a token of a sequence is multiplied by under the aggregation. */
static real share_of(const scene *s, size_t sequence, int selected) {
    const size_t begin = s->live->starts[sequence], end = s->live->starts[sequence + 1];
    const real n = count_in(s, begin, end, selected), all = count_in(s, 0, s->live->n, selected);
    const real n_sequences = (real)s->live->n_sequences;
    switch ((int)get(s, "aggregation", 0)) {
    case 1:
        return n > 0 ? 1 / (n * n_sequences) : 0;
    case 2:
        return 1 / n_sequences;
    case 3:
        return 1 / (n_sequences * get(s, "length", NAN));
    default:
        return all > 0 ? 1 / all : 0;
    }
}

static void add_slope(real *slopes, size_t i, real x) {
    if (slopes)
        slopes[i] += x;
}

static void add_term(scene *s, real *part, real x) {
    *part += x;
    s->out.size += fabsl(x);
}

static real log_ratio(const oracle_tokens *tokens, size_t i) {
    return tokens->logprob[i] - tokens->old_logprob[i];
}

static void add_token_terms(scene *s, size_t k) {
    const real share = share_of(s, k, over_selected(s));
    for (size_t i = s->live->starts[k]; i < s->live->starts[k + 1]; i++) {
        if (!s->has_term[i])
            continue;
        const real x = log_ratio(s->live, i), r = expl(x), factor = share * weight_of(s, i);
        dual term = surrogate(s, (dual){r, r}, i);
        if (s->is_penalised[i]) {
            const real penalty = get(s, "covariance_penalty", 0);
            term.x += penalty * fabsl(x);
            term.d += x > 0 ? penalty : x < 0 ? -penalty : 0;
        }
        add_term(s, &s->out.policy, factor * term.x);
        if (s->has_slope[i])
            add_slope(s->slopes->logprob, i, factor * term.d);
    }
}

/* GSPO and GMPO: the ratio of the sequence, and the derivative of its logarithm by each token's. */
static void add_sequence_terms(scene *s, size_t k) {
    const size_t begin = s->live->starts[k], end = s->live->starts[k + 1];
    const int is_gmpo = is_named(s, "gmpo");
    const real share = share_of(s, k, over_selected(s));
    real n = 0, sum = 0, slope = 0;
    real *by_token = calloc(end - begin + 1, sizeof *by_token);
    for (size_t i = begin; i < end; i++) {
        if (!(is_gmpo ? s->has_term[i] : counts(s, i)))
            continue;
        dual x = {log_ratio(s->live, i), 1};
        if (is_gmpo)
            x = s->live->advantage[i] > 0 ? clamp(x, -INFINITY, get(s, "clip_high", 0))
                                          : clamp(x, -get(s, "clip_low", 0), INFINITY);
        sum += x.x;
        by_token[i - begin] = x.d;
        n += 1;
    }
    const real ratio = n > 0 ? expl(sum / n) : 1;
    for (size_t i = begin; i < end; i++) {
        if (!s->has_term[i])
            continue;
        const dual term = surrogate(s, (dual){ratio, ratio}, i);
        const real factor = share * weight_of(s, i);
        add_term(s, &s->out.policy, factor * term.x);
        slope += s->has_slope[i] ? factor * term.d : 0;
    }
    for (size_t i = begin; i < end && n > 0; i++)
        add_slope(s->slopes->logprob, i, slope * by_token[i - begin] / n);
    free(by_token);
}

static void add_kl(scene *s, size_t k) {
    const real coefficient = get(s, "kl_coefficient", 0), share = share_of(s, k, 0);
    for (size_t i = s->live->starts[k]; i < s->live->starts[k + 1] && coefficient != 0; i++) {
        if (!counts(s, i))
            continue;
        const real d = s->live->logprob[i] - s->live->reference_logprob[i];
        const dual kinds[3] = {{d, 1}, {d * d / 2, d}, {expl(-d) - 1 + d, 1 - expl(-d)}};
        const dual kl = kinds[(int)get(s, "kl_estimator", 2)];
        add_term(s, &s->out.kl, coefficient * share * kl.x);
        add_slope(s->slopes->logprob, i, coefficient * share * kl.d);
    }
}

static void add_value(scene *s) {
    const real coefficient = get(s, "value_coefficient", 0), range = get(s, "value_clip", INFINITY);
    const real n = (real)n_counting(s);
    for (size_t i = 0; i < s->live->n && coefficient != 0; i++) {
        if (!counts(s, i))
            continue;
        const real v = s->live->value[i], old = s->live->old_value[i], target = s->live->target_return[i];
        dual square = {-(v - target) * (v - target), -2 * (v - target)};
        if (range < INFINITY) {
            dual move = clamp((dual){v - old, 1}, -range, range);
            const real x = old + move.x - target;
            square = minimum(square, (dual){-x * x, -2 * x * move.d}); /* the greater one, as both are negated */
        }
        add_term(s, &s->out.value, -coefficient * square.x / n);
        add_slope(s->slopes->value, i, -coefficient * square.d / n);
    }
}

static void add_bonus(scene *s) {
    const real beta = get(s, "entropy_coefficient", 0);
    const int on_support = is_named(s, "siren") || is_named(s, "aent");
    const real *entropy = on_support ? s->live->support_entropy : s->live->entropy;
    real *slopes = on_support ? s->slopes->support_entropy : s->slopes->entropy;
    real n = 0, mean = 0;
    for (size_t i = 0; i < s->live->n; i++)
        n += s->is_covered[i];
    if (beta == 0 || n == 0)
        return;
    for (size_t i = 0; i < s->live->n; i++)
        mean += s->is_covered[i] ? entropy[i] / n : 0;
    add_term(s, &s->out.entropy, -beta * mean);
    for (size_t i = 0; i < s->live->n; i++)
        if (s->is_covered[i])
            add_slope(slopes, i, -beta / n);
}

/* SIREN: the mean of sequences' means of covered tokens, held to H_0. */
static void add_anchor(scene *s) {
    const real c = get(s, "entropy_coefficient", 0), target = get(s, "entropy_target", 0);
    real n_sequences = 0, mean = 0;
    for (int pass = 0; pass < 3; pass++)
        for (size_t k = 0; k < s->live->n_sequences; k++) {
            const size_t begin = s->live->starts[k], end = s->live->starts[k + 1];
            real n = 0;
            for (size_t i = begin; i < end; i++)
                n += s->is_covered[i];
            n_sequences += pass == 0 && n > 0;
            for (size_t i = begin; i < end; i++) {
                if (!s->is_covered[i])
                    continue;
                mean += pass == 1 ? s->live->support_entropy[i] / (n * n_sequences) : 0;
                if (pass == 2)
                    add_slope(s->slopes->support_entropy, i, 2 * c * (mean - target) / (n * n_sequences));
            }
        }
    if (n_sequences > 0)
        add_term(s, &s->out.entropy, c * (mean - target) * (mean - target));
}

static void clear(real *slopes, size_t n) {
    for (size_t i = 0; slopes && i < n; i++)
        slopes[i] = 0;
}

oracle_loss oracle_objective(const oracle_slopes *slopes, const char *name, const oracle_parameters *parameters,
                             const oracle_tokens *tokens, const oracle_tokens *frozen) {
    uint8_t *marks = calloc(4 * tokens->n + 1, 1);
    scene s = {name,
               parameters,
               tokens,
               frozen,
               slopes,
               marks,
               marks + tokens->n,
               marks + 2 * tokens->n,
               marks + 3 * tokens->n,
               {0, 0, 0, 0, 0, 0}};
    clear(slopes->logprob, tokens->n);
    clear(slopes->entropy, tokens->n);
    clear(slopes->support_entropy, tokens->n);
    clear(slopes->value, tokens->n);
    find_gates(&s);
    for (size_t k = 0; k < tokens->n_sequences; k++) {
        if (is_named(&s, "gspo") || is_named(&s, "gmpo"))
            add_sequence_terms(&s, k);
        else
            add_token_terms(&s, k);
        add_kl(&s, k);
    }
    add_value(&s);
    if (is_named(&s, "siren"))
        add_anchor(&s);
    else
        add_bonus(&s);
    s.out.loss = s.out.policy + s.out.kl + s.out.entropy + s.out.value;
    free(marks);
    return s.out;
}
