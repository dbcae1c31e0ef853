/* --preview: what each share of the values costs, before anything is written. */
#include "select.h"

#include "../ranks.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Shares of the curve, in percent. */
static const double shares[] = {1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99};
enum { N_SHARES = sizeof(shares) / sizeof(shares[0]), WIDTH = 40 };

static bool find_quantiles(double quantiles[2 * N_SHARES], entrol_context *context, const select_settings *settings,
                           const select_values *values, trouble *trouble) {
    double q[2 * N_SHARES];
    select_stream blocks;
    for (size_t i = 0; i < N_SHARES; i++) {
        q[i] = shares[i] / 100;
        q[N_SHARES + i] = (100 - shares[i]) / 100;
    }
    select_stream_begin(&blocks, values, trouble);
    const entrol_stream stream = select_stream_of(&blocks);
    return select_stream_end(
        &blocks, entrol_quantile_of_stream(context, quantiles, NULL, &stream, q, 2 * N_SHARES, &settings->quantiles));
}

/* How many values each of the rules would keep: those up to a low quantile, from a high one. */
static bool count_kept(uint64_t kept[2 * N_SHARES], const double quantiles[2 * N_SHARES], const select_values *values,
                       trouble *trouble) {
    select_stream blocks;
    const float *block;
    const uint8_t *valid;
    size_t n = 1;
    bool ok = true;
    memset(kept, 0, 2 * N_SHARES * sizeof(*kept));
    select_stream_begin(&blocks, values, trouble);
    const entrol_stream stream = select_stream_of(&blocks);
    while (ok && n > 0) {
        ok = stream.read(stream.user, &block, &valid, &n) == 0;
        for (size_t i = 0; ok && i < n; i++)
            for (size_t j = 0; valid[i] != 0 && j < N_SHARES; j++) {
                kept[j] += (double)block[i] <= quantiles[j];
                kept[N_SHARES + j] += (double)block[i] >= quantiles[N_SHARES + j];
            }
    }
    ok = select_stream_end(&blocks, ok ? ENTROL_OK : ENTROL_ERROR_READ);
    return ranks_agree(ok, trouble) && ranks_add_up(kept, 2 * N_SHARES, trouble);
}

/* A bar as long as the value, from the least to the greatest of the curve. */
static void print_bar(double value, double least, double greatest) {
    const double place = greatest > least ? (value - least) / (greatest - least) : 0;
    const int n = isfinite(place) ? (int)lround(place * WIDTH) : 0;
    printf("  %.*s\n", n < 0 ? 0 : n > WIDTH ? WIDTH : n, "########################################");
}

static void print_curve(const select_settings *settings, const double quantiles[2 * N_SHARES],
                        const uint64_t kept[2 * N_SHARES]) {
    const char *unit = select_unit(settings);
    printf("%8s  %14s  %12s  %14s  %12s  %s\n", "share", "low: at most", "keeps", "high: at least", "keeps",
           "low's threshold as a bar");
    for (size_t i = 0; i < N_SHARES; i++) {
        printf("%6g %%  %14.6g  %12" PRIu64 "  %14.6g  %12" PRIu64, shares[i], select_in_unit(settings, quantiles[i]),
               kept[i], select_in_unit(settings, quantiles[N_SHARES + i]), kept[N_SHARES + i]);
        print_bar(quantiles[i], quantiles[0], quantiles[N_SHARES - 1]);
    }
    printf("values are of %s%s%s\n", settings->by, *unit ? ", in" : "", unit);
}

/* What the rule itself comes to. */
static bool apply_rule(select_outcome *outcome, entrol_context *context, const select_settings *settings,
                       const select_scope *scope, const entrol_rule *rule, trouble *trouble) {
    select_decision decision;
    select_told told = {0};
    const uint64_t n = select_values_count(&scope->values);
    bool found = true;
    bool ok = select_decision_begin(&decision, &outcome->tally, context, settings, scope, rule, trouble);
    for (uint64_t done = 0; ok && done < n; done += told.n) {
        told.n = 0;
        ok = select_decision_next(&decision, n - done < SELECT_BLOCK ? (size_t)(n - done) : SELECT_BLOCK, &told, &found,
                                  trouble);
    }
    select_told_free(&told);
    select_decision_end(&decision);
    return ranks_agree(ok, trouble) && select_share_outcome(outcome, settings, trouble);
}

static void print_rule(const select_outcome *outcome, const select_settings *settings, const char *name) {
    const select_tally *tally = &outcome->tally;
    for (; name != NULL && *name != '\0'; name++) /* nothing in it moves the cursor */
        putchar((unsigned char)*name < ' ' || *name == 127 ? '?' : *name);
    printf("%s--%s %s keeps %" PRIu64 " of %" PRIu64 " %s (%.6g %%)", name != NULL ? ": " : "",
           settings->is_mask ? "mask" : "keep", select_rule_text(settings), tally->n_kept, tally->n_valid,
           outcome->noun, tally->n_valid > 0 ? 100 * (double)tally->n_kept / (double)tally->n_valid : 0);
    if (tally->n_undecided > 0)
        printf(", %" PRIu64 " undecided", tally->n_undecided);
    putchar('\n');
}

bool select_preview(uint64_t *n_kept, entrol_context *context, const select_settings *settings,
                    const select_scope *scope, const entrol_rule *rule, const char *name, const char *noun,
                    trouble *trouble) {
    double quantiles[2 * N_SHARES];
    uint64_t kept[2 * N_SHARES];
    select_outcome outcome = {.noun = noun, .tally = SELECT_TALLY_INIT};
    if (!apply_rule(&outcome, context, settings, scope, rule, trouble) ||
        (name == NULL && (!find_quantiles(quantiles, context, settings, &scope->values, trouble) ||
                          !count_kept(kept, quantiles, &scope->values, trouble))))
        return false;
    if (name == NULL && outcome.tally.n_valid > 0)
        print_curve(settings, quantiles, kept);
    if (name == NULL && scope->has_upper)
        printf("of each value only bounds are known: these are the lower ones\n");
    print_rule(&outcome, settings, name);
    *n_kept += outcome.tally.n_kept;
    return true;
}
