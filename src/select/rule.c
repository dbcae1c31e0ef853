/* Rules as people write them (see select.h), read strictly: a byte that does not fit is an error that says where. */
#include <entrol/select.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Longer numbers are refused: no rule needs them, and a buffer on the stack is enough. */
enum { MAX_DIGITS = 400, MAX_EXPONENT = 9999 };

typedef struct reader {
    const char *start, *at;
} reader;

/* A number as it was written: digits without their point, and the power of ten that belongs to them. */
typedef struct number {
    const char *start;
    char digits[MAX_DIGITS + 1];
    int n_digits, exponent;
    int is_negative, is_whole; /* whole: digits alone, no sign, point or exponent */
} number;

/* A number that does not fit is pointed at as a whole. */
static int refuse(reader *in, const char *at) {
    in->at = at;
    return 0;
}

static int is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int skip(reader *in, const char *word) {
    const size_t length = strlen(word);
    if (strncmp(in->at, word, length) != 0)
        return 0;
    in->at += length;
    return 1;
}

/* At least one digit. */
static int read_digits(number *out, reader *in) {
    const char *start = in->at;
    for (; is_digit(*in->at) && out->n_digits < MAX_DIGITS; in->at++)
        out->digits[out->n_digits++] = *in->at;
    return in->at > start && (!is_digit(*in->at) || refuse(in, out->start));
}

/* "e-3", where the e is there. */
static int read_exponent(number *out, reader *in) {
    const int is_negative = skip(in, "-");
    int exponent = 0;
    if (!is_negative)
        skip(in, "+");
    if (!is_digit(*in->at))
        return 0;
    for (; is_digit(*in->at) && exponent <= MAX_EXPONENT; in->at++)
        exponent = exponent * 10 + (*in->at - '0');
    out->exponent += is_negative ? -exponent : exponent;
    return exponent <= MAX_EXPONENT || refuse(in, out->start);
}

/* [-] digits [. digits] [e [sign] digits]. A point that no digit follows is left: "1..2" is a range. */
static int read_number(number *out, reader *in) {
    out->start = in->at;
    out->n_digits = out->exponent = 0;
    out->is_negative = skip(in, "-");
    out->is_whole = !out->is_negative;
    if (!read_digits(out, in))
        return 0;
    if (in->at[0] == '.' && is_digit(in->at[1])) {
        const int n_whole = out->n_digits;
        in->at++;
        if (!read_digits(out, in))
            return 0;
        out->exponent = n_whole - out->n_digits;
        out->is_whole = 0;
    }
    if (!skip(in, "e") && !skip(in, "E"))
        return 1;
    out->is_whole = 0;
    return read_exponent(out, in);
}

static char *write_whole(char *out, int value) {
    char digits[12];
    int n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        *out++ = digits[--n];
    return out;
}

/* The nearest double to number * 10^scale. Without its point a number means the same to strtod in every locale. */
static double value_of_number(number *in, int scale) {
    char text[MAX_DIGITS + 16], *end = text;
    const int exponent = in->exponent + scale;
    memcpy(end, in->digits, (size_t)in->n_digits);
    end += in->n_digits;
    *end++ = 'e';
    if (exponent < 0)
        *end++ = '-';
    end = write_whole(end, abs(exponent));
    *end = 0;
    const double value = strtod(text, NULL);
    return in->is_negative ? -value : value;
}

/* Percent as a share: "80" is the nearest double to 0.8. */
static int take_share(double *share, number *percent, reader *in) {
    *share = value_of_number(percent, -2);
    return !percent->is_negative && *share <= 1 ? 1 : refuse(in, percent->start);
}

static int take_count(uint64_t *count, const number *in, reader *reader) {
    *count = 0;
    for (int i = 0; i < in->n_digits; i++) {
        const uint64_t digit = (uint64_t)(in->digits[i] - '0');
        if (*count > (UINT64_MAX - digit) / 10)
            return refuse(reader, in->start);
        *count = *count * 10 + digit;
    }
    return 1;
}

/* What follows "low:" or "high:". */
static int read_amount(entrol_rule *rule, reader *in, int is_high) {
    number number;
    const int is_exact = skip(in, "=");
    if (!read_number(&number, in))
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
static int read_end(double *end, reader *in, int is_percentile) {
    number number;
    if (is_percentile && !skip(in, "p"))
        return 0;
    if (!read_number(&number, in))
        return 0;
    if (is_percentile)
        return take_share(end, &number, in);
    *end = value_of_number(&number, 0);
    return isfinite(*end) ? 1 : refuse(in, number.start);
}

static int read_range(entrol_rule *rule, reader *in) {
    const int has_low = strncmp(in->at, "..", 2) != 0;
    const int is_percentile = in->at[has_low ? 0 : 2] == 'p';
    rule->kind = is_percentile ? ENTROL_RULE_PERCENTILES : ENTROL_RULE_RANGE;
    rule->low = is_percentile ? 0 : -INFINITY;
    rule->high = is_percentile ? 1 : INFINITY;
    if (has_low && !read_end(&rule->low, in, is_percentile))
        return 0;
    if (!skip(in, "..")) {
        in->at += *in->at == '.';
        return 0;
    }
    const char *high_start = in->at;
    if ((!has_low || *in->at) && !read_end(&rule->high, in, is_percentile))
        return 0;
    return rule->low <= rule->high ? 1 : refuse(in, high_start);
}

entrol_status entrol_rule_parse(entrol_rule *rule, size_t *n_read, const char *text) {
    if (!text)
        return ENTROL_ERROR_ARGUMENT;
    entrol_rule read = {.kind = ENTROL_RULE_RANGE};
    reader in = {text, text};
    int ok;
    if (skip(&in, "low:"))
        ok = read_amount(&read, &in, 0);
    else if (skip(&in, "high:"))
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
