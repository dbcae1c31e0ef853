/* --target, and the greatest entropy that a share "max" is of: the same in every command that has targets. */
#ifndef CLI_CONTROL_TARGETS_H
#define CLI_CONTROL_TARGETS_H

#include "../message.h"
#include "../options.h"

#include <entrol/control.h>

typedef struct greatest_entropy {
    int64_t n_actions; /* 0: not given */
    double max_entropy;
} greatest_entropy;

enum { GREATEST_OPTIONS = 2 };

/* The rows of --actions and --max-entropy. */
void greatest_options(option rows[GREATEST_OPTIONS], greatest_entropy *greatest);
/* What a controller is made with. */
entrol_controller_options greatest_for_controller(const greatest_entropy *greatest);

/* Why a controller refused its "options"; always false. */
bool report_greatest(const greatest_entropy *greatest, trouble *trouble);
/* Why it refused the text of a target, which is of the flag of this name; always false. */
bool report_target(const greatest_entropy *greatest, const char *flag, const char *text, trouble *trouble);
/* 1 if the text is a target whose nats, or share of another one, a controller can take. */
bool is_target(const greatest_entropy *greatest, const char *text);

#endif
