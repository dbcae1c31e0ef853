/* Targets as people write them, and the points of a schedule. */
#include "controller.h"

#include <math.h>

/* A number, and where it ends. */
static int read_real(double *value, ent_reader *in) {
    ent_number number;
    if (!ent_read_number(&number, in))
        return 0;
    *value = ent_number_value(&number, 0);
    return isfinite(*value) || ent_refuse(in, number.start);
}

static int read_target(entrol_target *target, ent_reader *in) {
    if (!read_real(&target->value, in))
        return 0;
    target->kind = ent_skip(in, "max") ? ENTROL_TARGET_MAX_SHARE
                   : ent_skip(in, "x") ? ENTROL_TARGET_FIRST_SHARE
                                       : ENTROL_TARGET_NATS;
    if (*in->at)
        return 0;
    return target->kind == ENTROL_TARGET_NATS || target->value >= 0 || ent_refuse(in, in->start);
}

entrol_status entrol_target_parse(entrol_target *target, size_t *n_read, const char *text) {
    ent_reader in = {text, text};
    entrol_target read = {ENTROL_TARGET_NATS, 0};
    const int is_target = text && read_target(&read, &in);
    if (n_read)
        *n_read = (size_t)(in.at - in.start);
    if (!is_target || !target)
        return ENTROL_ERROR_ARGUMENT;
    *target = read;
    return ENTROL_OK;
}

double ent_target_nats(const entrol_target *target, double reference, double max_entropy) {
    switch (target->kind) {
    case ENTROL_TARGET_NATS:
        return target->value;
    case ENTROL_TARGET_MAX_SHARE:
        return target->value * max_entropy;
    case ENTROL_TARGET_FIRST_SHARE:
        return target->value * reference;
    }
    return (double)NAN;
}

/* As of every other coefficient. */
static const double most_coefficient = 1e6;

int ent_parse_points(ent_controller_settings *settings, const char *text) {
    ent_reader in = {text, text};
    size_t n = 0;
    do {
        if (n == ENT_MAX_POINTS || !read_real(&settings->steps[n], &in) || !ent_skip(&in, ":") ||
            !read_real(&settings->points[n], &in))
            return 0;
        if (fabs(settings->points[n]) > most_coefficient || settings->steps[n] < 0 ||
            (n && settings->steps[n] <= settings->steps[n - 1]))
            return 0;
        n++;
    } while (ent_skip(&in, ","));
    settings->n_points = n;
    return *in.at == 0;
}
