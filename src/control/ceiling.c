/* The law R = b - a exp(H) of a run (arXiv 2505.22617), fitted with residuals that are correlated from step to step.
 *
 * With x = exp(H) and a correlation rho of neighbouring residuals, the transform of Prais and Winsten (1954) leaves
 * independent ones: the first pair times sqrt(1 - rho^2), of each other pair rho times the one before it taken off.
 * Least squares of those, the reward at any H is a t variable with n - 2 degrees of freedom. The weight of a rho is its
 * restricted likelihood (Patterson and Thompson, Biometrika 58, 1971), which with flat priors on a, b, ln sigma and rho
 * is its posterior density (Zellner and Tiao, J. Am. Stat. Assoc. 59, 1964):
 *     (1 - rho^2)^(1/2) |X'X|^(-1/2) S^(-(n - 2) / 2), X and S the transformed columns and their squared residuals.
 * What is given are the mean and the quantiles of the mixture over a grid of rho. */
#include "base/context.h"
#include "student.h"

#include <entrol/control.h>

#include <math.h>

/* A grid over [0, 1), denser towards 1, where the width of the interval changes fast: rho = 1 - (1 - i / N)^2. A
 * negative correlation would narrow the interval; it is taken for none. */
enum { N_GRID = 200, LEAST_PAIRS = 4 };

/* Least squares at one rho: reward at x is intercept + slope (x - mean_x), in units of the greatest x. */
typedef struct at_rho {
    double rho, weight; /* log weight, until all are known */
    double slope, intercept;
    double deviation;               /* of the transformed residuals */
    double v_slope, v_mixed, v_one; /* inverse of X'X: of the slope, of both, of the intercept */
} at_rho;

typedef struct fit {
    const double *entropies, *rewards;
    size_t n;
    double scale, mean_x, mean_r; /* exp(H) = scale x; both are centred, so that little cancels */
    ent_student student;
    at_rho grid[N_GRID];
} fit;

static double x_of(const fit *fit, double entropy) {
    return exp(entropy - fit->scale) - fit->mean_x;
}

/* Sums of products of the transformed columns: one, x, reward. */
typedef struct products {
    double oo, ox, xx, or, xr, rr;
} products;

static void add_products(products *sums, double one, double x, double reward) {
    sums->oo += one * one;
    sums->ox += one * x;
    sums->xx += x * x;
    sums->or += one * reward;
    sums->xr += x * reward;
    sums->rr += reward * reward;
}

static products sum_products(const fit *fit, const double *x, double rho) {
    products sums = {0, 0, 0, 0, 0, 0};
    const double first = sqrt(1 - rho * rho);
    add_products(&sums, first, first * x[0], first * (fit->rewards[0] - fit->mean_r));
    for (size_t i = 1; i < fit->n; i++)
        add_products(&sums, 1 - rho, x[i] - rho * x[i - 1],
                     fit->rewards[i] - fit->mean_r - rho * (fit->rewards[i - 1] - fit->mean_r));
    return sums;
}

static void solve_at(at_rho *at, const fit *fit, const double *x, double rho) {
    const products p = sum_products(fit, x, rho);
    const double determinant = p.oo * p.xx - p.ox * p.ox, freedom = (double)fit->n - 2;
    *at = (at_rho){
        .rho = rho, .v_slope = p.oo / determinant, .v_mixed = -p.ox / determinant, .v_one = p.xx / determinant};
    at->slope = at->v_mixed * p.or +at->v_slope * p.xr;
    at->intercept = at->v_one * p.or +at->v_mixed * p.xr;
    const double left = p.rr - at->intercept * p.or -at->slope * p.xr;
    /* What is left of an exact fit is rounding, and of rewards that do not differ nothing. */
    const double squares = fmax(left, fmax(1e-28 * p.rr, 1e-300));
    at->deviation = sqrt(squares / freedom);
    at->weight = 0.5 * log1p(-rho * rho) - 0.5 * log(determinant) - freedom / 2 * log(squares);
}

/* The width of a point of the grid, rho = 1 - (1 - u)^2, is 2 (1 - u) du. */
static void solve(fit *fit, const double *x) {
    double greatest = -(double)INFINITY, total = 0;
    for (int i = 0; i < N_GRID; i++) {
        const double left = 1 - (i + 0.5) / N_GRID;
        solve_at(&fit->grid[i], fit, x, 1 - left * left);
        fit->grid[i].weight += log(left);
        greatest = fmax(greatest, fit->grid[i].weight);
    }
    for (int i = 0; i < N_GRID; i++)
        total += fit->grid[i].weight = exp(fit->grid[i].weight - greatest);
    for (int i = 0; i < N_GRID; i++)
        fit->grid[i].weight /= total;
}

/* The reward at x, and its standard error, of one rho. A far x has no square. */
static double reward_at(const at_rho *at, double x, double *error) {
    const double size = fmax(1, fabs(x)), one = 1 / size, part = x / size;
    *error =
        at->deviation * size * sqrt(one * one * at->v_one + 2 * one * part * at->v_mixed + part * part * at->v_slope);
    return at->intercept + at->slope * x;
}

static double probability_below(const fit *fit, double x, double reward) {
    double below = 0;
    for (int i = 0; i < N_GRID; i++) {
        double error;
        const double at = reward_at(&fit->grid[i], x, &error);
        if (fit->grid[i].weight > 1e-12)
            below += fit->grid[i].weight *
                     (error > 0 ? ent_student_cdf(&fit->student, (reward - at) / error) : reward >= at);
    }
    return below;
}

/* Moves an end of a bracket out until what is below it is less (more, for a `sign` of -1) than the probability q. */
static double move_out(const fit *fit, double x, double q, double end, double width, double sign, double *left) {
    for (int i = 0; i < 200; i++) {
        *left = probability_below(fit, x, end) - q;
        if (sign * *left <= 0)
            break;
        end -= sign * (width *= 2);
    }
    return end;
}

/* Where the mixture has the probability q below it, to 1e-10 of its width: false position, where the end that stays
 * counts half each time (the Illinois method; Dowell and Jarratt, BIT 11, 1971). */
static double quantile_of(const fit *fit, double x, double q, double middle, double width) {
    double below, above, between = middle;
    double low = move_out(fit, x, q, middle - width, width, 1, &below);
    double high = move_out(fit, x, q, middle + width, width, -1, &above);
    int side = 0; /* that moved last */
    for (int i = 0; i < 200 && high - low > 1e-10 * width; i++) {
        between = above > below ? low - below * (high - low) / (above - below) : low + (high - low) / 2;
        const double left = probability_below(fit, x, between) - q;
        if (fabs(left) < 1e-14)
            break;
        const int moves = left < 0 ? -1 : 1;
        if (left < 0) {
            above *= side == moves ? 0.5 : 1;
            low = between;
            below = left;
        } else {
            below *= side == moves ? 0.5 : 1;
            high = between;
            above = left;
        }
        side = moves;
    }
    return between;
}

static void forecast(entrol_forecast *out, const fit *fit, double confidence) {
    const double x = x_of(fit, out->entropy);
    double middle = 0, width = 0;
    for (int i = 0; i < N_GRID; i++) {
        double error;
        middle += fit->grid[i].weight * reward_at(&fit->grid[i], x, &error);
        width += fit->grid[i].weight > 1e-12 ? fit->grid[i].weight * error : 0;
    }
    out->reward = middle + fit->mean_r;
    out->low = quantile_of(fit, x, (1 - confidence) / 2, middle, width) + fit->mean_r;
    out->high = quantile_of(fit, x, (1 + confidence) / 2, middle, width) + fit->mean_r;
}

/* --- What is given back --- */

static double mean_of(const at_rho *grid, double (*value)(const at_rho *)) {
    double sum = 0;
    for (int i = 0; i < N_GRID; i++)
        sum += grid[i].weight * value(&grid[i]);
    return sum;
}

static double slope_of(const at_rho *at) {
    return at->slope;
}

static double rho_of(const at_rho *at) {
    return at->rho;
}

/* Of the residuals themselves, not of what the correlation leaves of them. */
static void describe_residuals(entrol_ceiling *out, const fit *fit, const double *x) {
    const double slope = mean_of(fit->grid, slope_of), at_mean = out->ceiling - fit->mean_r - slope * x_of(fit, 0);
    double squares = 0, all = 0;
    for (size_t i = 0; i < fit->n; i++) {
        const double reward = fit->rewards[i] - fit->mean_r, residual = reward - at_mean - slope * x[i];
        squares += residual * residual;
        all += reward * reward;
    }
    out->deviation = sqrt(squares / ((double)fit->n - 2));
    const int differ = all > 1e-24 * (double)fit->n * fit->mean_r * fit->mean_r; /* by more than rounding */
    out->r_squared = differ ? 1 - squares / all : 0;
}

static void describe(entrol_ceiling *out, const fit *fit, const double *x, double confidence) {
    entrol_forecast spent = {.entropy = 0};
    forecast(&spent, fit, confidence);
    *out = (entrol_ceiling){.a = -mean_of(fit->grid, slope_of) * exp(-fit->scale),
                            .ceiling = spent.reward,
                            .low = spent.low,
                            .high = spent.high,
                            .autocorrelation = mean_of(fit->grid, rho_of),
                            .n = fit->n};
    out->b = out->ceiling + out->a;
    describe_residuals(out, fit, x);
}

/* --- The call --- */

static entrol_status blame(entrol_diagnosis *diagnosis, size_t row, entrol_reason reason) {
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.n_bad = 1, .first_row = row, .reason = reason};
    return ENTROL_ERROR_DATA;
}

/* The greatest entropy for which exp and its square are finite. */
#define GREATEST_ENTROPY 350.0

/* Rhos that weigh less than 1e-12 are left out, and a quantile is found to 1e-14 of probability: far enough out in the
 * tails that would be all there is. */
#define GREATEST_CONFIDENCE 0.9999

static entrol_status check_pairs(entrol_diagnosis *diagnosis, const double *entropies, const double *rewards,
                                 size_t n) {
    if (n < LEAST_PAIRS)
        return blame(diagnosis, 0, ENTROL_REASON_GROUP);
    int is_constant = 1;
    for (size_t i = 0; i < n; i++) {
        if (isnan(entropies[i]) || isnan(rewards[i]))
            return blame(diagnosis, i, ENTROL_REASON_NAN);
        if (!(fabs(entropies[i]) < GREATEST_ENTROPY) || !(fabs(rewards[i]) < 1e150))
            return blame(diagnosis, i, ENTROL_REASON_INFINITE);
        is_constant &= fabs(entropies[i] - entropies[0]) <= 1e-12 * (1 + fabs(entropies[0]));
    }
    return is_constant ? blame(diagnosis, 0, ENTROL_REASON_DEVIATION) : ENTROL_OK;
}

static void begin_fit(fit *made, double *x, const double *entropies, const double *rewards, size_t n) {
    *made = (fit){.entropies = entropies,
                  .rewards = rewards,
                  .n = n,
                  .scale = entropies[0],
                  .student = ent_student_of((double)n - 2)};
    for (size_t i = 1; i < n; i++)
        made->scale = fmax(made->scale, entropies[i]);
    for (size_t i = 0; i < n; i++) {
        made->mean_x += exp(entropies[i] - made->scale) / (double)n;
        made->mean_r += rewards[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        x[i] = x_of(made, entropies[i]);
}

entrol_status entrol_fit_ceiling(entrol_context *context, entrol_ceiling *ceiling, entrol_forecast *forecasts,
                                 size_t n_forecasts, entrol_diagnosis *diagnosis, const double *entropies,
                                 const double *rewards, size_t n, const entrol_ceiling_options *options) {
    entrol_ceiling_options taken = ENTROL_CEILING_OPTIONS_INIT;
    if (!context || (n && (!entropies || !rewards)) || (n_forecasts && !forecasts))
        return ent_bad_argument(diagnosis, !context                    ? "context"
                                           : n_forecasts && !forecasts ? "forecasts"
                                                                       : "entropies");
    if ((options && !ent_take(&taken, options, sizeof taken)) ||
        !(taken.confidence > 0 && taken.confidence <= GREATEST_CONFIDENCE))
        return ent_bad_argument(diagnosis, "options");
    for (size_t i = 0; i < n_forecasts; i++)
        if (!(fabs(forecasts[i].entropy) < GREATEST_ENTROPY))
            return ent_bad_argument(diagnosis, "forecasts");
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.argument = NULL};
    const entrol_status status = check_pairs(diagnosis, entropies, rewards, n);
    size_t n_bytes;
    if (status != ENTROL_OK)
        return status;
    if (!ent_multiply(&n_bytes, n, sizeof(double)))
        return ENTROL_ERROR_OVERFLOW;
    double *x = ent_allocate(context, n_bytes);
    fit *made = ent_allocate(context, sizeof *made);
    if (x && made) {
        begin_fit(made, x, entropies, rewards, n);
        solve(made, x);
        if (ceiling)
            describe(ceiling, made, x, taken.confidence);
        for (size_t i = 0; i < n_forecasts; i++)
            forecast(&forecasts[i], made, taken.confidence);
    }
    const int has_memory = x && made;
    ent_release(context, x);
    ent_release(context, made);
    return has_memory ? ENTROL_OK : ENTROL_ERROR_MEMORY;
}
