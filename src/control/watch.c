/* The reference, the mean of the first observations; targets that are a share of it; and the alarms. */
#include "controller.h"

#include <math.h>

double ent_reference(const ent_controller_settings *settings, const ent_controller_state *state) {
    const double most = settings->values[ENT_REFERENCE_STEPS], step = (double)state->step;
    return state->step ? state->reference_sum / (step < most ? step : most) : (double)NAN;
}

double ent_aim(const ent_controller_settings *settings, const ent_controller_state *state, size_t parameter) {
    const int is_settled = (double)state->step >= settings->values[ENT_REFERENCE_STEPS];
    const double reference = is_settled ? ent_reference(settings, state) : (double)NAN;
    return ent_target_nats(&settings->targets[parameter], reference, settings->max_entropy);
}

/* Whether an alarm of entropies beyond `edge` is raised; sign: 1 for those below it, -1 above. What the controller aims
 * at is no reason for one, and a share of a reference that is not above 0 means nothing. */
static int is_raised(double edge, double sign, int was_raised, double entropy, double reference, double target) {
    if (sign * (target - edge) <= 0 || isnan(edge))
        return 0;
    const double way = sign * (reference - edge);
    const double back = was_raised && way > 0 ? way / 4 : 0;
    return sign * (entropy - edge) < back;
}

unsigned ent_watch(const ent_law *law, const ent_controller_settings *settings, const ent_controller_state *state) {
    static const struct {
        unsigned alarm;
        int parameter;
        double sign;
    } alarms[] = {{ENTROL_ALARM_COLLAPSE, ENT_COLLAPSE, 1}, {ENTROL_ALARM_EXPLOSION, ENT_EXPLOSION, -1}};
    const double reference = ent_reference(settings, state);
    const double target = law->is_schedule ? (double)NAN : ent_aim(settings, state, ENT_TARGET);
    unsigned raised = 0;
    for (size_t i = 0; i < sizeof alarms / sizeof alarms[0]; i++) {
        const entrol_target *edge = &settings->targets[alarms[i].parameter];
        if (edge->kind == ENTROL_TARGET_FIRST_SHARE && !(reference > 0))
            continue;
        const double nats = ent_target_nats(edge, reference, settings->max_entropy);
        if (is_raised(nats, alarms[i].sign, (state->alarms & alarms[i].alarm) != 0, state->entropy, reference, target))
            raised |= alarms[i].alarm;
    }
    return raised;
}
