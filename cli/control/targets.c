/* Targets and the greatest entropy on the command line. */
#include "targets.h"

#include <math.h>

void greatest_options(option rows[GREATEST_OPTIONS], greatest_entropy *greatest) {
    rows[0] = (option){
        .name = "actions",
        .type = OPTION_INTEGER,
        .value = &greatest->n_actions,
        .metavar = "N",
        .minimum = 2,
        .maximum = 1e15,
        .help =
            "How many actions, or tokens of a vocabulary, there are: the greatest entropy, of which max is a share, "
            "is ln N."};
    rows[1] = (option){.name = "max-entropy",
                       .type = OPTION_REAL,
                       .value = &greatest->max_entropy,
                       .metavar = "NATS",
                       .minimum = 1e-300,
                       .maximum = 1e6,
                       .help = "The same in nats. Beside --actions it must be ln N, within a thousandth."};
}

entrol_controller_options greatest_for_controller(const greatest_entropy *greatest) {
    entrol_controller_options options = ENTROL_CONTROLLER_OPTIONS_INIT;
    options.n_actions = (uint64_t)greatest->n_actions;
    options.max_entropy = greatest->max_entropy;
    return options;
}

/* 0: not known. */
static double nats_of(const greatest_entropy *greatest) {
    return greatest->max_entropy > 0 ? greatest->max_entropy
           : greatest->n_actions > 0 ? log((double)greatest->n_actions)
                                     : 0;
}

bool report_greatest(const greatest_entropy *greatest, trouble *trouble) {
    return trouble_set(trouble, "--max-entropy: expected ln of --actions, which is %.6g, found %.6g; give one of them",
                       log((double)greatest->n_actions), greatest->max_entropy);
}

bool is_target(const greatest_entropy *greatest, const char *text) {
    entrol_target target;
    return entrol_target_parse(&target, NULL, text) == ENTROL_OK &&
           (target.kind != ENTROL_TARGET_MAX_SHARE || nats_of(greatest) > 0);
}

bool report_target(const greatest_entropy *greatest, const char *flag, const char *text, trouble *trouble) {
    if (is_target(greatest, text))
        return trouble_set(trouble, "--%s: expected at most the greatest entropy, %.4g nats, found \"%s\"", flag,
                           nats_of(greatest), text);
    return trouble_set(trouble,
                       "--%s: expected nats as 0.3, a share of the greatest entropy as 0.7max (with --actions or "
                       "--max-entropy), or a share of the first observations as 0.4x, found \"%s\"",
                       flag, text);
}
