/* Weights from values: how much a token counts, in place of whether it does. */
#include <entrol/select.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "NAME" and what follows its colon. */
static const char *after(const char *text, const char *name) {
    const size_t n = strlen(name);
    return strncmp(text, name, n) == 0 && (text[n] == ':' || text[n] == '\0') ? text + n : NULL;
}

/* The range of a ramp, which has two ends that differ. */
static int read_range(entrol_weighting *weighting, size_t *n_read, const char *text) {
    if (*text != ':')
        return 0;
    const entrol_status status = entrol_rule_parse(&weighting->range, n_read, text + 1);
    *n_read += 1;
    const entrol_rule *range = &weighting->range;
    const int is_range = range->kind == ENTROL_RULE_RANGE || range->kind == ENTROL_RULE_PERCENTILES;
    return status == ENTROL_OK && is_range && isfinite(range->low) && isfinite(range->high) && range->low < range->high;
}

entrol_status entrol_weighting_parse(entrol_weighting *weighting, size_t *n_read, const char *text) {
    static const struct {
        const char *name;
        entrol_weighting_kind kind;
    } names[] = {
        {"sigmoid", ENTROL_WEIGHTING_SIGMOID}, {"rise", ENTROL_WEIGHTING_RISE}, {"fall", ENTROL_WEIGHTING_FALL}};
    if (!text)
        return ENTROL_ERROR_ARGUMENT;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *rest = after(text, names[i].name);
        entrol_weighting read = {.kind = names[i].kind};
        size_t n = 0;
        if (!rest)
            continue;
        const int ok = read.kind == ENTROL_WEIGHTING_SIGMOID ? *rest == '\0' : read_range(&read, &n, rest);
        if (n_read)
            *n_read = (size_t)(rest - text) + n;
        if (ok && weighting)
            *weighting = read;
        return ok ? ENTROL_OK : ENTROL_ERROR_ARGUMENT;
    }
    if (n_read)
        *n_read = 0;
    return ENTROL_ERROR_ARGUMENT;
}

/* The two exponentials never overflow. */
static double sigmoid(double x) {
    const double e = exp(-fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}

static double ramp(double value, double low, double high) {
    return value <= low ? 0 : value >= high ? 1 : (value - low) / (high - low);
}

float entrol_weight(const entrol_weighting *weighting, const entrol_bounds *range, float value) {
    const double x = (double)value;
    if (isnan(x))
        return 0;
    switch (weighting->kind) {
    case ENTROL_WEIGHTING_SIGMOID:
        return (float)sigmoid(x);
    case ENTROL_WEIGHTING_RISE:
        return (float)ramp(x, range->low, range->high);
    case ENTROL_WEIGHTING_FALL:
        return (float)(1 - ramp(x, range->low, range->high));
    }
    return 0;
}
