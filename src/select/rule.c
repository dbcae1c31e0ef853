/* Rules as people write them (see select.h), read strictly: a byte that does not fit is an error that says where. */
#include "base/number.h"
#include <entrol/select.h>

#include <math.h>
#include <string.h>

/* Percent as a share: "80" is the nearest double to 0.8. */
static int take_share(double *share, ent_number *percent, ent_reader *in) {
    *share = ent_number_value(percent, -2);
    return !percent->is_negative && *share <= 1 ? 1 : ent_refuse(in, percent->start);
}

static int take_count(uint64_t *count, const ent_number *in, ent_reader *reader) {
    *count = 0;
    for (int i = 0; i < in->n_digits; i++) {
        const uint64_t digit = (uint64_t)(in->digits[i] - '0');
        if (*count > (UINT64_MAX - digit) / 10)
            return ent_refuse(reader, in->start);
        *count = *count * 10 + digit;
    }
    return 1;
}

/* What follows "low:" or "high:". */
static int read_amount(entrol_rule *rule, ent_reader *in, int is_high) {
    ent_number number;
    const int is_exact = ent_skip(in, "=");
    if (!ent_read_number(&number, in))
        return 0;
    if (*in->at == '%') {
        rule->kind = is_exact ? (is_high ? ENTROL_RULE_HIGH_EXACT : ENTROL_RULE_LOW_EXACT)
                              : (is_high ? ENTROL_RULE_HIGH_SHARE : ENTROL_RULE_LOW_SHARE);
        if (!take_share(&rule->share, &number, in))
            return 0;
        in->at++;
        return 1;
    }
    if (is_exact)
        return 0;
    rule->kind = is_high ? ENTROL_RULE_HIGH_COUNT : ENTROL_RULE_LOW_COUNT;
    return number.is_whole && take_count(&rule->count, &number, in);
}

/* A value, or a percentile where the rule is about those. */
static int read_end(double *end, ent_reader *in, int is_percentile) {
    ent_number number;
    if (is_percentile && !ent_skip(in, "p"))
        return 0;
    if (!ent_read_number(&number, in))
        return 0;
    if (is_percentile)
        return take_share(end, &number, in);
    *end = ent_number_value(&number, 0);
    return isfinite(*end) ? 1 : ent_refuse(in, number.start);
}

static int read_range(entrol_rule *rule, ent_reader *in) {
    const int has_low = strncmp(in->at, "..", 2) != 0;
    const int is_percentile = in->at[has_low ? 0 : 2] == 'p';
    rule->kind = is_percentile ? ENTROL_RULE_PERCENTILES : ENTROL_RULE_RANGE;
    rule->low = is_percentile ? 0 : -INFINITY;
    rule->high = is_percentile ? 1 : INFINITY;
    if (has_low && !read_end(&rule->low, in, is_percentile))
        return 0;
    if (!ent_skip(in, "..")) {
        in->at += *in->at == '.';
        return 0;
    }
    const char *high_start = in->at;
    if ((!has_low || *in->at) && !read_end(&rule->high, in, is_percentile))
        return 0;
    return rule->low <= rule->high ? 1 : ent_refuse(in, high_start);
}

entrol_status entrol_rule_parse(entrol_rule *rule, size_t *n_read, const char *text) {
    if (!text)
        return ENTROL_ERROR_ARGUMENT;
    entrol_rule read = {.kind = ENTROL_RULE_RANGE};
    ent_reader in = {text, text};
    int ok;
    if (ent_skip(&in, "low:"))
        ok = read_amount(&read, &in, 0);
    else if (ent_skip(&in, "high:"))
        ok = read_amount(&read, &in, 1);
    else
        ok = read_range(&read, &in);
    ok = ok && !*in.at;
    if (n_read)
        *n_read = (size_t)(in.at - in.start);
    if (ok && rule)
        *rule = read;
    return ok ? ENTROL_OK : ENTROL_ERROR_ARGUMENT;
}
