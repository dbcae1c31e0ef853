/* An entropy in the unit that was asked for, with --verbose beside its maximum. */
#include "entropy.h"

#include "../buffer.h"
#include "../output.h"

#include <math.h>
#include <string.h>

static double nats_per_unit(const char *unit) {
    if (strcmp(unit, "bits") == 0)
        return log(2);
    return strcmp(unit, "bans") == 0 ? log(10) : 1;
}

double entropy_in_unit(const char *unit, double nats) {
    double value = nats / nats_per_unit(unit);
    return value == 0 ? 0 : value;
}

static void describe(buffer *text, const entropy_settings *settings, const entropy_result *result) {
    double value = entropy_in_unit(settings->unit, result->nats);
    if (result->n_symbols > 0)
        buffer_append_format(text, "%s: %llu, %zu distinct\n", settings->of, (unsigned long long)result->n_symbols,
                             result->n_distinct);
    buffer_append_format(text, "entropy: %.10g %s\n", value, settings->unit);
    if (result->n_outcomes == 0) {
        buffer_append_string(text, "maximum: none (a differential entropy has no bound, and can be negative)\n");
        return;
    }
    double maximum = entropy_in_unit(settings->unit, log((double)result->n_outcomes));
    buffer_append_format(text, "maximum: %.10g %s (%zu outcome%s)\n", maximum, settings->unit, result->n_outcomes,
                         result->n_outcomes == 1 ? "" : "s");
    if (maximum > 0)
        buffer_append_format(text, "ratio: %.10g\n", value / maximum);
}

bool entropy_print(const entropy_settings *settings, const entropy_result *result, const char *path, trouble *trouble) {
    buffer text = {0};
    char name[4096] = "";
    if (path)
        message_escape(name, sizeof name, path, strlen(path));
    if (path && settings->verbose)
        buffer_append_format(&text, "%s\n", name);
    if (settings->verbose)
        describe(&text, settings, result);
    else
        buffer_append_format(&text, "%.10g %s%s%s\n", entropy_in_unit(settings->unit, result->nats), settings->unit,
                             path ? "  " : "", name);
    const bool ok =
        (!text.failed || trouble_set(trouble, "out of memory")) && output_whole("-", text.data, text.size, trouble);
    buffer_free(&text);
    return ok;
}
