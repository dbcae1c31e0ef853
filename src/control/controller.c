/* What all controllers share: their settings, one observation over all ranks, and the limits, the dead band and the
 * slew of what a law wants. */
#include "controller.h"

#include "base/context.h"
#include "base/parameter.h"

#include <math.h>
#include <string.h>

/* --- Settings --- */

static size_t first_own(const ent_law *law) {
    return law->is_schedule ? ENT_SCHEDULE_OWN : ENT_OWN;
}

/* Both are given, and are more apart than rounding to four digits puts them. */
static int is_contradiction(const entrol_controller_options *options) {
    const double most = log((double)options->n_actions);
    return options->n_actions && options->max_entropy > 0 && fabs(options->max_entropy - most) > 1e-3 * most;
}

static entrol_status take_options(ent_controller_settings *settings, entrol_diagnosis *diagnosis,
                                  const entrol_controller_options *options) {
    entrol_controller_options taken = ENTROL_CONTROLLER_OPTIONS_INIT;
    if ((options && !ent_take(&taken, options, sizeof taken)) || !(taken.max_entropy >= 0) ||
        isinf(taken.max_entropy) || taken.n_actions == 1 || is_contradiction(&taken))
        return ent_bad_argument(diagnosis, "options");
    settings->max_entropy = taken.max_entropy > 0 ? taken.max_entropy
                            : taken.n_actions     ? log((double)taken.n_actions)
                                                  : (double)NAN;
    return ENTROL_OK;
}

/* A text is a target, "none" where an alarm may have none, or the points of a schedule. */
static int take_text(ent_controller_settings *settings, size_t i, const char *text, int is_points) {
    entrol_target *target = &settings->targets[i];
    if (is_points)
        return ent_parse_points(settings, text);
    if ((i == ENT_COLLAPSE || i == ENT_EXPLOSION) && strcmp(text, "none") == 0) {
        *target = (entrol_target){ENTROL_TARGET_NATS, (double)NAN};
        return 1;
    }
    return entrol_target_parse(target, NULL, text) == ENTROL_OK &&
           (target->kind != ENTROL_TARGET_MAX_SHARE || !isnan(settings->max_entropy));
}

/* More nats than there can be, by more than rounding to four digits makes of them. A KL has no such end. */
static int is_out_of_reach(const ent_law *law, const ent_controller_settings *settings) {
    const entrol_target *target = &settings->targets[ENT_TARGET];
    if (law->is_schedule || strcmp(law->kind.observes, "entropy") != 0)
        return 0;
    return target->kind == ENTROL_TARGET_MAX_SHARE
               ? target->value > 1
               : target->kind == ENTROL_TARGET_NATS && target->value > (1 + 1e-3) * settings->max_entropy;
}

static int is_given(const char *name, const entrol_setting *given, size_t n_given) {
    for (size_t i = 0; i < n_given; i++)
        if (strcmp(given[i].name, name) == 0)
            return 1;
    return 0;
}

/* Limits that leave out the default of "initial" move it. */
static void fit_initial(ent_controller_settings *settings, const ent_law *law, const entrol_setting *given,
                        size_t n_given) {
    double *values = settings->values;
    if (!law->is_schedule && !is_given("initial", given, n_given))
        values[ENT_INITIAL] = ent_clamp(values[ENT_INITIAL], values[ENT_MIN], values[ENT_MAX]);
}

static const char *find_contradiction(const ent_law *law, const ent_controller_settings *settings) {
    const double *values = settings->values;
    if (values[ENT_MIN] > values[ENT_MAX])
        return "min";
    if (!law->is_schedule && (values[ENT_INITIAL] < values[ENT_MIN] || values[ENT_INITIAL] > values[ENT_MAX]))
        return "initial";
    if (is_out_of_reach(law, settings))
        return "target";
    return law->check ? law->check(settings) : NULL;
}

static entrol_status take_settings(ent_controller_settings *settings, entrol_diagnosis *diagnosis, const ent_law *law,
                                   const entrol_setting *given, size_t n_given) {
    const entrol_parameter *parameters = law->kind.parameters;
    const char *texts[ENT_MAX_PARAMETERS];
    const entrol_status status =
        ent_take_settings(settings->values, texts, diagnosis, parameters, law->kind.n_parameters, given, n_given);
    if (status != ENTROL_OK)
        return status;
    for (size_t i = 0; i < law->kind.n_parameters; i++) {
        const int is_points = law == &ent_law_piecewise && i == first_own(law);
        if (parameters[i].type != ENTROL_PARAMETER_TEXT)
            continue;
        if (!take_text(settings, i, texts[i], is_points))
            return ent_bad_argument(diagnosis, parameters[i].name);
    }
    fit_initial(settings, law, given, n_given);
    const char *contradiction = find_contradiction(law, settings);
    return contradiction ? ent_bad_argument(diagnosis, contradiction) : ENTROL_OK;
}

/* --- Making --- */

static void begin_state(entrol_controller *made) {
    const ent_controller_settings *settings = &made->settings;
    double *memory = made->state.memory;
    const double value = made->law->begin ? made->law->begin(memory, settings) : settings->values[ENT_INITIAL];
    made->state.value = ent_clamp(value, settings->values[ENT_MIN], settings->values[ENT_MAX]);
    made->state.entropy = (double)NAN;
}

static entrol_status make(entrol_context *context, entrol_controller **controller, entrol_diagnosis *diagnosis,
                          const char *name, const entrol_setting *given, size_t n_given,
                          const entrol_controller_options *options) {
    const ent_law *law = ent_find_law(name);
    ent_controller_settings settings = {.max_entropy = (double)NAN};
    if (!controller)
        return ent_bad_argument(diagnosis, "controller");
    if (!law)
        return ent_bad_argument(diagnosis, "name");
    entrol_status status = take_options(&settings, diagnosis, options);
    if (status == ENTROL_OK)
        status = take_settings(&settings, diagnosis, law, given, n_given);
    if (status != ENTROL_OK)
        return status;
    entrol_controller *made = ent_allocate(context, sizeof *made);
    if (!made)
        return ENTROL_ERROR_MEMORY;
    *made = (entrol_controller){.law = law, .settings = settings};
    begin_state(made);
    *controller = made;
    return ENTROL_OK;
}

/* What ranks must agree on: the state at the beginning names the controller and every setting. */
static uint64_t digest_of(const entrol_controller *made) {
    char text[ENTROL_CONTROLLER_STATE_ROOM];
    size_t n = 0;
    const int is_saved = made && entrol_controller_save(text, &n, sizeof text, made) == ENTROL_OK;
    return ent_digest(0, text, is_saved ? n : 0);
}

entrol_status entrol_controller_create(entrol_context *context, entrol_controller **controller,
                                       entrol_diagnosis *diagnosis, const char *name, const entrol_setting *settings,
                                       size_t n_settings, const entrol_controller_options *options) {
    entrol_controller *made = NULL;
    if (!context)
        return ent_bad_argument(diagnosis, "context");
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.argument = NULL};
    entrol_status status = make(context, controller ? &made : NULL, diagnosis, name, settings, n_settings, options);
    status = ent_agree_on(context, status, digest_of(made));
    if (status == ENTROL_OK)
        *controller = made;
    else
        ent_release(context, made);
    return status;
}

void entrol_controller_destroy(entrol_context *context, entrol_controller *controller) {
    if (context)
        ent_release(context, controller);
}

const entrol_controller_kind *entrol_controller_kind_of(const entrol_controller *controller) {
    return controller ? &controller->law->kind : NULL;
}

/* --- What holds --- */

entrol_status entrol_controller_command(entrol_command *command, const entrol_controller *controller) {
    if (!command || !controller || command->size <= sizeof command->size)
        return ENTROL_ERROR_ARGUMENT;
    const ent_law *law = controller->law;
    const ent_controller_state *state = &controller->state;
    const double target = law->is_schedule ? (double)NAN : ent_aim(&controller->settings, state, ENT_TARGET);
    const double value =
        law->apply ? law->apply(state->value, &controller->settings, state->entropy, target) : state->value;
    const int weighs = law->kind.drives == ENTROL_DRIVE_SAMPLE_WEIGHTS;
    const entrol_command full = {.size = command->size,
                                 .coefficient = value,
                                 .positive_weight = weighs ? 1 - value : 1,
                                 .negative_weight = weighs ? 1 + value : 1,
                                 .temperature = law->kind.drives == ENTROL_DRIVE_TEMPERATURE ? value : 1,
                                 .entropy = state->entropy,
                                 .target = target,
                                 .error = target - state->entropy,
                                 .step = state->step,
                                 .alarms = state->alarms,
                                 .is_limited = state->is_limited,
                                 .is_held = state->is_held};
    memcpy(command, &full, command->size < sizeof full ? command->size : sizeof full);
    return ENTROL_OK;
}

/* --- One observation --- */

/* 1 if the law must wait: a target is not known, or the error is inside the dead band. */
static int must_hold(const ent_law *law, const ent_controller_settings *settings, const ent_move *move) {
    if (law->is_schedule)
        return 0;
    return isnan(move->target) || isnan(move->far_target) ||
           fabs(move->target - move->entropy) < settings->values[ENT_DEAD_BAND];
}

/* The state after one more observation. */
static void advance(ent_controller_state *state, const entrol_controller *controller, double entropy) {
    const ent_law *law = controller->law;
    const ent_controller_settings *settings = &controller->settings;
    const double *values = settings->values;
    if ((double)state->step < values[ENT_REFERENCE_STEPS])
        state->reference_sum += entropy;
    state->step++;
    state->entropy = entropy;
    ent_move move = {
        .settings = settings, .memory = state->memory, .value = state->value, .entropy = entropy, .step = state->step};
    move.low = fmax(values[ENT_MIN], state->value - values[ENT_SLEW]);
    move.high = fmin(values[ENT_MAX], state->value + values[ENT_SLEW]);
    move.target = law->is_schedule ? (double)NAN : ent_aim(settings, state, ENT_TARGET);
    move.far_target = law->far_target ? ent_aim(settings, state, law->far_target) : 0;
    state->is_held = must_hold(law, settings, &move);
    const double wanted = state->is_held ? state->value : law->move(&move);
    state->value = ent_clamp(wanted, move.low, move.high);
    state->is_limited = state->value < wanted || state->value > wanted;
    state->alarms = ent_watch(law, settings, state);
}

/* 1 where a target is a share of the first observations and this is one of them. */
static int needs_reference(const entrol_controller *controller) {
    const ent_law *law = controller->law;
    const entrol_target *targets = controller->settings.targets;
    if (law->is_schedule || (double)controller->state.step >= controller->settings.values[ENT_REFERENCE_STEPS])
        return 0;
    return targets[ENT_TARGET].kind == ENTROL_TARGET_FIRST_SHARE ||
           (law->far_target && targets[law->far_target].kind == ENTROL_TARGET_FIRST_SHARE);
}

static entrol_status bad_data(entrol_diagnosis *diagnosis, entrol_reason reason) {
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.n_bad = 1, .reason = reason};
    return ENTROL_ERROR_DATA;
}

/* Adds up this rank's sum, whose n counts tokens, over all ranks, unless `status` says that it is none; and moves. */
static entrol_status observe(entrol_context *context, entrol_command *command, entrol_diagnosis *diagnosis,
                             entrol_controller *controller, entrol_status status, entrol_sum *sum) {
    status = ent_add_up_sums(context, status, sum, 1);
    if (status != ENTROL_OK)
        return status;
    if (sum->n == 0)
        return bad_data(diagnosis, ENTROL_REASON_EMPTY_SUPPORT);
    const double entropy = entrol_sum_value(sum) / (double)sum->n;
    if (entropy < 0 && needs_reference(controller))
        return bad_data(diagnosis, ENTROL_REASON_NEGATIVE);
    ent_controller_state state = controller->state;
    advance(&state, controller, entropy);
    controller->state = state;
    return command ? entrol_controller_command(command, controller) : ENTROL_OK;
}

/* Arguments of an observation; also empties the diagnosis. */
static entrol_status check_call(entrol_diagnosis *diagnosis, const entrol_command *command,
                                const entrol_controller *controller) {
    if (!controller)
        return ent_bad_argument(diagnosis, "controller");
    if (command && command->size <= sizeof command->size)
        return ent_bad_argument(diagnosis, "command");
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.argument = NULL};
    return ENTROL_OK;
}

entrol_status entrol_controller_observe(entrol_context *context, entrol_command *command, entrol_diagnosis *diagnosis,
                                        entrol_controller *controller, double sum, uint64_t count) {
    if (!context)
        return ent_bad_argument(diagnosis, "context");
    entrol_status status = check_call(diagnosis, command, controller);
    entrol_sum total = {0};
    if (status == ENTROL_OK && isnan(sum))
        status = bad_data(diagnosis, ENTROL_REASON_NAN);
    else if (status == ENTROL_OK && !(fabs(sum) < 0x1p62))
        status = bad_data(diagnosis, ENTROL_REASON_INFINITE);
    else if (status == ENTROL_OK && count == 0 && (sum < 0 || sum > 0))
        status = bad_data(diagnosis, ENTROL_REASON_EMPTY_SUPPORT);
    else
        entrol_sum_add(&total, sum);
    total.n = count;
    return observe(context, command, diagnosis, controller, status, &total);
}

entrol_status entrol_controller_observe_tokens(entrol_context *context, entrol_command *command,
                                               entrol_diagnosis *diagnosis, entrol_controller *controller,
                                               const float *entropies, const uint8_t *valid, size_t n_tokens) {
    if (!context)
        return ent_bad_argument(diagnosis, "context");
    entrol_status status = check_call(diagnosis, command, controller);
    entrol_sum total = {0};
    if (status == ENTROL_OK && n_tokens && !entropies)
        status = ent_bad_argument(diagnosis, "entropies");
    for (size_t i = 0; status == ENTROL_OK && i < n_tokens; i++) {
        if (valid && !valid[i])
            continue;
        entrol_sum_add(&total, (double)entropies[i]);
        if (total.n_bad) {
            status = bad_data(diagnosis, isnan(entropies[i]) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE);
            if (diagnosis)
                diagnosis->first_row = i;
        }
    }
    return observe(context, command, diagnosis, controller, status, &total);
}
