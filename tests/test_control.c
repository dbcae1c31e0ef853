/* Controllers: every law against its formula, written again in long double from the paper or from the trainer that has
 * it; then the limits, the dead band, the slew, the targets and the alarms that all of them share. */
#include "control.h"

enum { N_STEPS = 400 };

/* What an oracle knows of a step: the entropy, the target and its own numbers. */
typedef struct oracle {
    long double value, low, high, target, memory[4];
    long double entropy;
    size_t step;
} oracle;

typedef void (*oracle_step)(oracle *oracle);

static long double clip(long double value, long double low, long double high) {
    return value < low ? low : value > high ? high : value;
}

/* Tells a controller N_STEPS entropies and compares what it commands with the oracle's `value`, or what the oracle puts
 * into memory[3] where is_applied. */
static void compare(const char *name, const entrol_setting *settings, oracle oracle, oracle_step step,
                    bool is_applied) {
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, name, settings);
    long double worst = 0;
    for (size_t i = 0; i < N_STEPS; i++) {
        const uint64_t count = 1 + test_below(5000);
        const double sum = entropy_of_step(i) * (double)count;
        const entrol_command command = tell(context, controller, sum, count);
        oracle.entropy = (long double)sum / (long double)count;
        oracle.step = i + 1;
        step(&oracle);
        const long double wanted = is_applied ? oracle.memory[3] : oracle.value;
        const long double error = fabsl((long double)command.coefficient - wanted);
        worst = error > worst ? error : worst;
        if (!CHECK_SAY(error <= 1e-12L * (1 + fabsl(wanted)), "%s, step %zu: %.17g and not %.17Lg", name, i,
                       command.coefficient, wanted))
            break;
    }
    printf("    %s: within %.1Lg of the formula over %d steps\n", name, worst, N_STEPS);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

/* --- Skywork: TRL's grpo_trainer --- */

/* entropy_coef goes up or down by delta within its bounds, and is applied in the next step if entropy <= target. */
static void step_skywork(oracle *oracle) {
    const long double delta = 5e-3;
    if (oracle->entropy <= oracle->target)
        oracle->value = fminl(oracle->value + delta, oracle->high);
    else
        oracle->value = fmaxl(oracle->value - delta, oracle->low);
    oracle->memory[3] = oracle->entropy <= oracle->target ? oracle->value : 0;
}

static void test_skywork(void) {
    const entrol_setting settings[] = {{"target", 0, "0.4"}, {"max", 0.2, NULL}, {NULL, 0, NULL}};
    compare("skywork", settings, (oracle){.low = 0, .high = 0.2, .target = 0.4}, step_skywork, true);
    const entrol_setting open[] = {{"target", 0, "0.4"}, {"gate", 0, "off"}, {NULL, 0, NULL}};
    compare("skywork", open, (oracle){.low = 0, .high = 1, .target = 0.4}, step_skywork, false);
}

/* TRL's first accumulation window applies no bonus: its last entropy is infinite. */
static void test_skywork_begins_with_nothing(void) {
    const entrol_setting settings[] = {{"target", 0, "0.4"}, {"initial", 0.1, NULL}, {NULL, 0, NULL}};
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "skywork", settings);
    CHECK(command_of(controller).coefficient == 0);
    CHECK_NEAR(tell(context, controller, 0.4, 1).coefficient, 0.105, 1e-15);
    CHECK(tell(context, controller, 0.5, 1).coefficient == 0);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

/* --- SAC: torch.optim.Adam on the loss of Stable-Baselines3 and of CleanRL --- */

static bool is_cleanrl;

/* The entropy stands for -logp. SB3: -(log_alpha * (logp + H_target)); CleanRL: -(alpha * (logp + H_target)). */
static void step_sac(oracle *oracle) {
    const long double logp = -oracle->entropy, rate = (long double)3e-4, b1 = (long double)0.9, b2 = (long double)0.999;
    long double gradient = -(logp + oracle->target);
    if (is_cleanrl)
        gradient *= expl(oracle->memory[0]);
    oracle->memory[1] = b1 * oracle->memory[1] + (1 - b1) * gradient;
    oracle->memory[2] = b2 * oracle->memory[2] + (1 - b2) * gradient * gradient;
    const long double t = (long double)oracle->step;
    const long double denominator = sqrtl(oracle->memory[2]) / sqrtl(1 - powl(b2, t)) + (long double)1e-8;
    oracle->memory[0] -= rate / (1 - powl(b1, t)) * oracle->memory[1] / denominator;
    oracle->memory[0] = clip(oracle->memory[0], logl(oracle->low), logl(oracle->high));
    oracle->value = expl(oracle->memory[0]);
}

static void test_sac(void) {
    const entrol_setting sb3[] = {{"target", 0, "0.5"}, {NULL, 0, NULL}};
    const entrol_setting cleanrl[] = {
        {"target", 0, "0.89max"}, {"loss", 0, "alpha"}, {"initial", 0.2, NULL}, {NULL, 0, NULL}};
    is_cleanrl = false;
    compare("sac", sb3, (oracle){.low = 1e-6, .high = 100, .target = 0.5}, step_sac, false);
    is_cleanrl = true;
    compare("sac", cleanrl,
            (oracle){.low = 1e-6, .high = 100, .target = 0.89 * log(N_ACTIONS), .memory = {logl((long double)0.2)}},
            step_sac, false);
}

/* Without a bound alpha runs away where the target cannot be reached. */
static void test_sac_stays_in_its_bounds(void) {
    const entrol_setting settings[] = {{"target", 0, "1.2"}, {"max", 2, NULL}, {"rate", 0.1, NULL}, {NULL, 0, NULL}};
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "sac", settings);
    for (int i = 0; i < 1000; i++)
        CHECK(tell(context, controller, 0.4, 1).coefficient <= 2);
    CHECK_NEAR(command_of(controller).coefficient, 2, 1e-12);
    CHECK(command_of(controller).is_limited);
    for (int i = 0; i < 100; i++)
        tell(context, controller, 1.4, 1);
    CHECK(command_of(controller).coefficient < 1 && !command_of(controller).is_limited);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

/* --- PI and EntroPIC --- */

/* u = initial + kp e + ki sum e, where the sum is left alone if u is beyond a limit on the side that e pushes to. */
static void step_pi_with(oracle *oracle, long double kp, long double ki, long double initial) {
    const long double error = oracle->target - oracle->entropy, sum = oracle->memory[0] + error;
    const long double wanted = initial + kp * error + ki * sum;
    const bool is_wound = (wanted > oracle->high && error > 0) || (wanted < oracle->low && error < 0);
    if (!is_wound)
        oracle->memory[0] = sum;
    oracle->value = clip(wanted, oracle->low, oracle->high);
}

static void step_pi(oracle *oracle) {
    step_pi_with(oracle, 0.02, 0.002, 0.05);
}

static void step_entropic(oracle *oracle) {
    step_pi_with(oracle, 1, 0.01, 0);
}

static void test_pi(void) {
    const entrol_setting settings[] = {{"target", 0, "0.5"},    {"kp", 0.02, NULL},  {"ki", 0.002, NULL},
                                       {"initial", 0.05, NULL}, {"max", 0.08, NULL}, {NULL, 0, NULL}};
    compare("pi", settings, (oracle){.low = 0, .high = 0.08, .target = 0.5}, step_pi, false);
    const entrol_setting published[] = {{"target", 0, "0.1"}, {NULL, 0, NULL}};
    compare("entropic", published, (oracle){.low = -1, .high = 1, .target = 0.1}, step_entropic, false);
}

/* Samples of positive advantage lose weight where the entropy is too low. */
static void test_entropic_weights(void) {
    const entrol_setting settings[] = {{"target", 0, "0.5"}, {NULL, 0, NULL}};
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "entropic", settings);
    const entrol_command command = tell(context, controller, 0.25, 1);
    CHECK_NEAR(command.coefficient, 0.25 + 0.0025, 1e-15);
    CHECK(command.positive_weight == 1 - command.coefficient && command.negative_weight == 1 + command.coefficient);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

/* After a thousand steps at the limit the coefficient leaves it at once; a sum that went on would hold it there. */
static void test_no_windup(void) {
    const entrol_setting settings[] = {{"target", 0, "1"}, {"max", 0.1, NULL}, {NULL, 0, NULL}};
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "pi", settings);
    for (int i = 0; i < 1000; i++)
        tell(context, controller, 0.1, 1);
    CHECK(command_of(controller).coefficient == 0.1 && command_of(controller).is_limited);
    CHECK(tell(context, controller, 2, 1).coefficient < 0.09);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

/* --- Box, AER, AEPO, adaptive KL --- */

static void step_box(oracle *oracle) {
    const long double low = 0.4, high = 0.9;
    oracle->value -= (long double)2e-3 * (fminl(0, oracle->entropy - low) + fmaxl(0, oracle->entropy - high));
    oracle->value = clip(oracle->value, oracle->low, oracle->high);
}

static void step_aer(oracle *oracle) {
    oracle->value += (long double)1e-4 * (oracle->target - oracle->entropy);
    oracle->value = clip(oracle->value, oracle->low, oracle->high);
}

static void step_aepo(oracle *oracle) {
    oracle->value = oracle->entropy <= oracle->target ? (long double)1.2 : (long double)0.8;
}

/* What is observed stands for the KL; 256 samples a step of a horizon of 10000. */
static void step_kl(oracle *oracle) {
    const long double error = clip(oracle->entropy / oracle->target - 1, -(long double)0.2, (long double)0.2);
    oracle->value *= 1 + error * 256 / 10000;
    oracle->value = clip(oracle->value, oracle->low, oracle->high);
}

static void test_box(void) {
    const entrol_setting settings[] = {{"target", 0, "0.4"}, {"high", 0, "0.9"}, {NULL, 0, NULL}};
    compare("box", settings, (oracle){.value = 2e-4, .low = 4e-5, .high = 0.1}, step_box, false);
}

static void test_aer(void) {
    const entrol_setting settings[] = {{"target", 0, "0.5"}, {NULL, 0, NULL}};
    compare("aer", settings, (oracle){.low = 0, .high = 1, .target = 0.5}, step_aer, false);
}

static void test_aer_is_for_hard_prompts(void) {
    const entrol_setting settings[] = {{"initial", 0.02, NULL}, {NULL, 0, NULL}};
    entrol_context *context = open_alone();
    entrol_controller *aer = make_controller(context, "aer", settings);
    entrol_controller *pi = make_controller(context, "pi", settings);
    double coefficient = -1;
    CHECK(entrol_controller_coefficient_of(&coefficient, aer, 0.49) == ENTROL_OK && coefficient == 0.02);
    CHECK(entrol_controller_coefficient_of(&coefficient, aer, 0.5) == ENTROL_OK && coefficient == 0);
    CHECK(entrol_controller_coefficient_of(&coefficient, pi, 0.5) == ENTROL_OK && coefficient == 0.02);
    CHECK_INT(entrol_controller_coefficient_of(&coefficient, aer, 1.1), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_controller_coefficient_of(&coefficient, aer, (double)NAN), ENTROL_ERROR_ARGUMENT);
    entrol_controller_destroy(context, aer);
    entrol_controller_destroy(context, pi);
    entrol_context_destroy(context);
}

static void test_aepo(void) {
    const entrol_setting settings[] = {{"target", 0, "0.5"}, {NULL, 0, NULL}};
    compare("aepo", settings, (oracle){.target = 0.5}, step_aepo, false);
}

static void test_adaptive_kl(void) {
    const entrol_setting settings[] = {{"target", 0, "0.5"}, {"batch", 256, NULL}, {NULL, 0, NULL}};
    compare("adaptive_kl", settings, (oracle){.value = 0.2, .low = 1e-6, .high = 1e3, .target = 0.5}, step_kl, false);
}

/* The published counts are of samples: what is observed may count tokens, and the coefficient does not depend on how
 * many (TRL's PPO: 256 samples of a horizon of 10,000). Of a batch beyond the horizon the whole step is taken. */
static void test_adaptive_kl_counts(void) {
    const entrol_setting settings[] = {{"target", 0, "1"}, {NULL, 0, NULL}};
    const entrol_setting beyond[] = {{"target", 0, "1"}, {"batch", 50000, NULL}, {NULL, 0, NULL}};
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "adaptive_kl", settings);
    CHECK_NEAR(tell(context, controller, 2, 1).coefficient, 0.2 * 1.00512, 1e-15);
    CHECK_NEAR(tell(context, controller, 2 * 5000, 5000).coefficient, 0.2 * 1.00512 * 1.00512, 1e-15);
    CHECK_NEAR(tell(context, controller, 2 * 50000, 50000).coefficient, 0.2 * 1.00512 * 1.00512 * 1.00512, 1e-15);
    entrol_controller_destroy(context, controller);
    controller = make_controller(context, "adaptive_kl", beyond);
    CHECK_NEAR(tell(context, controller, 2, 1).coefficient, 0.2 * 1.2, 1e-15);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

/* --- Schedules --- */

static void step_piecewise(oracle *oracle) {
    const long double t = (long double)oracle->step;
    oracle->value = t <= 10    ? (long double)0.03
                    : t <= 100 ? (long double)0.03 + ((long double)0.01 - (long double)0.03) * (t - 10) / 90
                    : t <= 300 ? (long double)0.01 - (long double)0.01 * (t - 100) / 200
                               : 0;
}

static long double left_of(const oracle *oracle) {
    return oracle->step < 300 ? 1 - (long double)oracle->step / 300 : 0;
}

static void step_linear(oracle *oracle) {
    oracle->value = (long double)0.002 + ((long double)0.05 - (long double)0.002) * left_of(oracle);
}

static void step_cosine(oracle *oracle) {
    const long double wave = (1 + cosl(acosl(-1) * (1 - left_of(oracle)))) / 2;
    oracle->value = (long double)0.05 * ((long double)0.1 + (1 - (long double)0.1) * wave);
}

static void step_exponential(oracle *oracle) {
    oracle->value = fmaxl((long double)0.05 * powl((long double)0.99, (long double)oracle->step), (long double)0.004);
}

static void step_polynomial(oracle *oracle) {
    oracle->value =
        (long double)0.002 + ((long double)0.05 - (long double)0.002) * powl(left_of(oracle), (long double)1.7);
}

static void test_schedules(void) {
    const entrol_setting points[] = {{"points", 0, "10:0.03,100:0.01,300:0"}, {NULL, 0, NULL}};
    const entrol_setting ended[] = {
        {"initial", 0.05, NULL}, {"final", 0.002, NULL}, {"steps", 300, NULL}, {NULL, 0, NULL}};
    const entrol_setting cosine[] = {{"initial", 0.05, NULL}, {"steps", 300, NULL}, {NULL, 0, NULL}};
    const entrol_setting decay[] = {
        {"initial", 0.05, NULL}, {"decay", 0.99, NULL}, {"min", 0.004, NULL}, {NULL, 0, NULL}};
    const entrol_setting power[] = {
        {"initial", 0.05, NULL}, {"final", 0.002, NULL}, {"steps", 300, NULL}, {"power", 1.7, NULL}, {NULL, 0, NULL}};
    compare("piecewise", points, (oracle){0}, step_piecewise, false);
    compare("linear", ended, (oracle){0}, step_linear, false);
    compare("cosine", cosine, (oracle){0}, step_cosine, false);
    compare("exponential", decay, (oracle){0}, step_exponential, false);
    compare("polynomial", power, (oracle){0}, step_polynomial, false);
}

/* What holds for the first step, before anything was observed. */
static void test_first_step(void) {
    static const struct {
        const char *name;
        double coefficient;
    } cases[] = {
        {"constant", 0.01},   {"piecewise", 0.01}, {"linear", 0.01}, {"cosine", 0.01},    {"exponential", 0.01},
        {"polynomial", 0.01}, {"sac", 1},          {"skywork", 0},   {"pi", 0},           {"entropic", 0},
        {"box", 2e-4},        {"aer", 0},          {"aepo", 1},      {"adaptive_kl", 0.2}};
    entrol_context *context = open_alone();
    CHECK_INT(sizeof cases / sizeof cases[0], entrol_controller_kind_count());
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        entrol_controller *controller = make_controller(context, cases[i].name, NULL);
        const entrol_command command = command_of(controller);
        CHECK_SAY(command.coefficient == cases[i].coefficient, "%s begins with %g", cases[i].name, command.coefficient);
        CHECK(isnan(command.entropy) && command.step == 0 && command.alarms == 0);
        entrol_controller_destroy(context, controller);
    }
    entrol_context_destroy(context);
}

/* --- What all share --- */

/* The flags, keywords and help are made of these. */
static void test_registry(void) {
    for (size_t i = 0; i < entrol_controller_kind_count(); i++) {
        const entrol_controller_kind *kind = entrol_controller_kind_at(i);
        CHECK(entrol_controller_kind_find(kind->name) == kind);
        CHECK(strlen(kind->says) > 0 && strlen(kind->source) > 0);
        CHECK(strcmp(kind->observes, "entropy") == 0 || strcmp(kind->observes, "KL") == 0);
        CHECK(strcmp(entrol_drive_name(kind->drives), "unknown") != 0);
        for (size_t p = 0; p < kind->n_parameters; p++) {
            const entrol_parameter *parameter = &kind->parameters[p];
            CHECK(strlen(parameter->says) > 0 && (parameter->type != ENTROL_PARAMETER_TEXT || parameter->text));
            for (size_t q = 0; q < p; q++)
                CHECK(strcmp(parameter->name, kind->parameters[q].name) != 0);
        }
    }
    CHECK(!entrol_controller_kind_at(entrol_controller_kind_count()) && !entrol_controller_kind_find("none"));
    CHECK(!entrol_controller_kind_find(NULL));
    CHECK_STRING(entrol_drive_name((entrol_drive)99), "unknown");
}

/* Bounds, slew and dead band hold for every controller that has them, whatever is observed. */
static void test_limits(void) {
    entrol_context *context = open_alone();
    for (size_t i = 0; i < entrol_controller_kind_count(); i++) {
        const entrol_controller_kind *kind = entrol_controller_kind_at(i);
        const entrol_setting settings[] = {{"min", 0.9, NULL},   {"max", 1.1, NULL},   {"slew", 0.01, NULL},
                                           {"initial", 1, NULL}, {"target", 0, "0.5"}, {"dead_band", 0.1, NULL},
                                           {NULL, 0, NULL}};
        const entrol_setting scheduled[] = {
            {"min", 0.9, NULL}, {"max", 1.1, NULL}, {"slew", 0.01, NULL}, {NULL, 0, NULL}};
        const bool is_schedule = strcmp(kind->parameters[6].name, "target") != 0;
        const bool is_gated = strcmp(kind->name, "skywork") == 0;
        entrol_controller *controller = make_controller(context, kind->name, is_schedule ? scheduled : settings);
        double before = is_gated ? 1 : command_of(controller).coefficient;
        for (int step = 0; step < 200; step++) {
            const double entropy = test_below(4) ? 0.1 : test_below(2) ? 3 : 0.5 + 0.09 * (2 * test_uniform() - 1);
            const entrol_command command = tell(context, controller, entropy, 1);
            if (is_gated && entropy > 0.5) { /* the gate is no step of the law */
                CHECK(command.coefficient == 0);
                break;
            }
            CHECK(command.coefficient >= 0.9 && command.coefficient <= 1.1);
            CHECK(fabs(command.coefficient - before) <= 0.01 + 1e-12);
            const bool is_far_known = strcmp(kind->name, "box") != 0 || step >= 20; /* its "high" is 0.6x */
            CHECK(is_schedule || command.is_held == (fabs(entropy - 0.5) < 0.1) || !is_far_known);
            CHECK(!command.is_held || command.coefficient == before);
            before = command.coefficient;
        }
        entrol_controller_destroy(context, controller);
    }
    entrol_context_destroy(context);
}

static void test_targets(void) {
    static const struct {
        const char *text;
        entrol_target_kind kind;
        double value;
    } good[] = {{"0.3", ENTROL_TARGET_NATS, 0.3},           {"-6", ENTROL_TARGET_NATS, -6},
                {"0.7max", ENTROL_TARGET_MAX_SHARE, 0.7},   {"0.4x", ENTROL_TARGET_FIRST_SHARE, 0.4},
                {"1e-2x", ENTROL_TARGET_FIRST_SHARE, 0.01}, {"0max", ENTROL_TARGET_MAX_SHARE, 0}};
    static const struct {
        const char *text;
        size_t at;
    } bad[] = {{"", 0},      {"x", 0},   {"max", 0}, {"0.3y", 3},  {"0.3 ", 3}, {"0.4xx", 4},
               {"-0.4x", 0}, {"nan", 0}, {"inf", 0}, {"1e999", 0}, {"40%", 2}};
    entrol_target target;
    size_t n_read;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK_INT(entrol_target_parse(&target, &n_read, good[i].text), ENTROL_OK);
        CHECK(target.kind == good[i].kind && target.value == good[i].value && n_read == strlen(good[i].text));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_INT(entrol_target_parse(&target, &n_read, bad[i].text), ENTROL_ERROR_ARGUMENT);
        CHECK_SAY(n_read == bad[i].at, "\"%s\": %zu", bad[i].text, n_read);
    }
    CHECK_INT(entrol_target_parse(&target, NULL, NULL), ENTROL_ERROR_ARGUMENT);
}

/* A share of the first observations: unknown, and the controller holds still, until they are all there. */
static void test_share_of_the_first(void) {
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "pi", NULL);
    double sum = 0;
    for (int i = 0; i < 20; i++) {
        const double entropy = 2 + test_uniform();
        CHECK(isnan(command_of(controller).target) && command_of(controller).coefficient == 0);
        const entrol_command command = tell(context, controller, entropy, 1);
        CHECK(i == 19 || (isnan(command.target) && isnan(command.error) && command.is_held));
        sum += entropy;
    }
    CHECK_NEAR(command_of(controller).target, 0.4 * sum / 20, 1e-15);
    const entrol_command command = tell(context, controller, 0.1, 1);
    CHECK_NEAR(command.target, 0.4 * sum / 20, 1e-15);
    CHECK_NEAR(command.error, command.target - 0.1, 1e-15);
    CHECK(command.coefficient > 0 && !command.is_held);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

static void test_share_of_the_greatest(void) {
    const entrol_setting settings[] = {{"target", 0, "0.7max"}, {NULL, 0, NULL}};
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "pi", settings);
    CHECK_NEAR(command_of(controller).target, 0.7 * log(N_ACTIONS), 1e-15);
    entrol_controller_destroy(context, controller);
    entrol_controller_options options = ENTROL_CONTROLLER_OPTIONS_INIT;
    options.max_entropy = 3;
    CHECK_INT(entrol_controller_create(context, &controller, NULL, "pi", settings, 1, &options), ENTROL_OK);
    CHECK_NEAR(command_of(controller).target, 2.1, 1e-15);
    entrol_controller_destroy(context, controller);
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_controller_create(context, &controller, &diagnosis, "pi", settings, 1, NULL),
              ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "target");
    entrol_context_destroy(context);
}

/* Raised below a tenth of the first mean, and until a quarter of the way back is made good. */
static void test_alarms(void) {
    const entrol_setting settings[] = {{"reference_steps", 4, NULL}, {NULL, 0, NULL}};
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "constant", settings);
    static const struct {
        double entropy;
        unsigned alarms;
    } run[] = {{1, 0},
               {1, 0},
               {1, 0},
               {1, 0},
               {0.11, 0},
               {0.09, ENTROL_ALARM_COLLAPSE},
               {0.12, ENTROL_ALARM_COLLAPSE},
               {0.32, ENTROL_ALARM_COLLAPSE},
               {0.33, 0},
               {0.11, 0},
               {1.9, 0},
               {2.1, ENTROL_ALARM_EXPLOSION},
               {1.8, ENTROL_ALARM_EXPLOSION},
               {1.74, 0},
               {0.05, ENTROL_ALARM_COLLAPSE},
               {2.5, ENTROL_ALARM_EXPLOSION}};
    for (size_t i = 0; i < sizeof run / sizeof run[0]; i++)
        CHECK_SAY(tell(context, controller, run[i].entropy, 1).alarms == run[i].alarms, "step %zu", i);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

/* What a controller aims at is no alarm, nor is what a share of a negative reference would be. */
static void test_alarms_that_mean_nothing(void) {
    const entrol_setting aimed[] = {{"target", 0, "-6"}, {NULL, 0, NULL}};
    const entrol_setting nats[] = {
        {"target", 0, "-6"}, {"collapse", 0, "-9"}, {"explosion", 0, "none"}, {NULL, 0, NULL}};
    entrol_context *context = open_alone();
    entrol_controller *sac = make_controller(context, "sac", aimed), *own = make_controller(context, "sac", nats);
    for (int i = 0; i < 100; i++) {
        const double entropy = 2 - i / 10.0;
        CHECK_INT(tell(context, sac, entropy, 1).alarms, 0);
        CHECK_INT(tell(context, own, entropy, 1).alarms, 0);
    }
    CHECK_INT(tell(context, sac, 50, 1).alarms, ENTROL_ALARM_EXPLOSION);
    CHECK_INT(tell(context, own, 50, 1).alarms, 0);
    CHECK_INT(tell(context, own, -9.1, 1).alarms, ENTROL_ALARM_COLLAPSE);
    entrol_controller_destroy(context, sac);
    entrol_controller_destroy(context, own);
    entrol_context_destroy(context);
}

/* --- Bad input --- */

static void test_bad_settings(void) {
    static const struct {
        const char *name;
        entrol_setting setting;
        const char *argument;
    } cases[] = {{"pid", {"min", 0, NULL}, "name"},
                 {NULL, {"min", 0, NULL}, "name"},
                 {"pi", {"gain", 0, NULL}, "settings"},
                 {"pi", {"target", 0, "high"}, "target"},
                 {"pi", {"target", 0.5, NULL}, "target"},
                 {"pi", {"kp", -1, NULL}, "kp"},
                 {"pi", {"kp", (double)NAN, NULL}, "kp"},
                 {"pi", {"min", 2, NULL}, "min"},
                 {"pi", {"initial", 2, NULL}, "initial"},
                 {"sac", {"min", 0, NULL}, "min"},
                 {"sac", {"loss", 0, "both"}, "loss"},
                 {"skywork", {"collapse", 0, "never"}, "collapse"},
                 {"linear", {"steps", 0, NULL}, "steps"},
                 {"linear", {"target", 0, "1"}, "settings"},
                 {"piecewise", {"points", 0, ""}, "points"},
                 {"piecewise", {"points", 0, "5:1,5:2"}, "points"},
                 {"piecewise", {"points", 0, "5"}, "points"},
                 {"piecewise", {"points", 0, "-1:2"}, "points"},
                 {"piecewise", {"points", 0, "1:2,"}, "points"},
                 {"piecewise", {"points", 0, "0:-1e308,10:1e308"}, "points"}, /* their difference is no number */
                 {"box", {"high", 0, "none"}, "high"},
                 {"sac", {"initial", 0, "0"}, "initial"},
                 {"adaptive_kl", {"batch", 0, NULL}, "batch"}};
    entrol_context *context = open_alone();
    entrol_controller *none = NULL;
    entrol_diagnosis diagnosis;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_INT(entrol_controller_create(context, &none, &diagnosis, cases[i].name, &cases[i].setting, 1, NULL),
                  ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(diagnosis.argument, cases[i].argument);
    }
    const entrol_controller_options bad[] = {{sizeof *bad, -1, 0},    {sizeof *bad, (double)INFINITY, 0},
                                             {sizeof *bad, 0, 1},     {0, 0, 0},
                                             {sizeof *bad, 2.19, 9},  {sizeof *bad, 2.2, 9},
                                             {sizeof *bad, 1e-300, 9}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_INT(entrol_controller_create(context, &none, &diagnosis, "pi", NULL, 0, &bad[i]), ENTROL_ERROR_ARGUMENT);
        CHECK_STRING(diagnosis.argument, "options");
    }
    const entrol_controller_options agreeing = {sizeof agreeing, 2.197, 9}; /* ln 9 with four digits */
    CHECK_INT(entrol_controller_create(context, &none, &diagnosis, "pi", NULL, 0, &agreeing), ENTROL_OK);
    entrol_controller_destroy(context, none);
    none = NULL;
    CHECK_INT(entrol_controller_create(NULL, &none, &diagnosis, "pi", NULL, 0, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_controller_create(context, NULL, &diagnosis, "pi", NULL, 0, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK(!none);
    char many[1000] = "";
    for (int i = 0; i < 65; i++)
        sprintf(many + strlen(many), "%s%d:1", i ? "," : "", i);
    const entrol_setting points = {"points", 0, many};
    CHECK_INT(entrol_controller_create(context, &none, &diagnosis, "piecewise", &points, 1, NULL),
              ENTROL_ERROR_ARGUMENT);
    entrol_context_destroy(context);
}

/* Settings that are right each, but not together; of a greatest entropy of ln 9 = 2.197 nats. */
static void test_settings_that_contradict(void) {
    static const struct {
        const char *name;
        entrol_setting settings[2];
        const char *argument; /* NULL: they do not */
    } cases[] = {{"pi", {{"target", 0, "2.3"}}, "target"},
                 {"pi", {{"target", 0, "2.2"}}, "target"},
                 {"pi", {{"target", 0, "2.1973"}}, NULL}, /* rounded */
                 {"pi", {{"target", 0, "1.01max"}}, "target"},
                 {"pi", {{"target", 0, "1max"}}, NULL},
                 {"pi", {{"target", 0, "3x"}}, NULL},
                 {"pi", {{"explosion", 0, "5"}}, NULL},
                 {"adaptive_kl", {{"target", 0, "6"}}, NULL},
                 {"linear", {{"explosion", 0, "5"}}, NULL},
                 {"box", {{"target", 0, "0.6x"}}, "high"},
                 {"box", {{"target", 0, "0.7x"}}, "high"},
                 {"box", {{"high", 0, "0.3x"}}, "high"},
                 {"box", {{"target", 0, "1"}, {"high", 0, "0.9"}}, "high"},
                 {"box", {{"target", 0, "0.5max"}, {"high", 0, "1"}}, "high"}, /* 1.1 nats */
                 {"box", {{"target", 0, "0.5max"}, {"high", 0, "1.2"}}, NULL},
                 {"box", {{"target", 0, "1"}}, NULL}, /* of 0.6x nothing is known yet */
                 {"pi", {{"min", 0.1, NULL}, {"initial", 0, NULL}}, "initial"},
                 {"pi", {{"max", -1, NULL}}, "min"}};
    const entrol_controller_options options = {sizeof options, 0, 9};
    entrol_context *context = open_alone();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        entrol_controller *made = NULL;
        entrol_diagnosis diagnosis;
        const size_t n = cases[i].settings[1].name ? 2 : 1;
        const entrol_status status =
            entrol_controller_create(context, &made, &diagnosis, cases[i].name, cases[i].settings, n, &options);
        CHECK_SAY(status == (cases[i].argument ? ENTROL_ERROR_ARGUMENT : ENTROL_OK), "case %zu", i);
        if (cases[i].argument)
            CHECK_STRING(diagnosis.argument, cases[i].argument);
        entrol_controller_destroy(context, made);
    }
    entrol_context_destroy(context);
}

/* A limit that leaves out the default of "initial" moves it. */
static void test_limits_move_the_default(void) {
    static const struct {
        const char *name;
        entrol_setting limit;
        double initial;
    } cases[] = {{"pi", {"min", 0.001, NULL}, 0.001},
                 {"sac", {"max", 0.5, NULL}, 0.5},
                 {"sac", {"min", 2, NULL}, 2},
                 {"skywork", {"min", 0.25, NULL}, 0.25}};
    entrol_context *context = open_alone();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const entrol_setting settings[] = {cases[i].limit, {"collapse", 0, "none"}};
        char line[64];
        entrol_controller *made = NULL;
        CHECK_INT(entrol_controller_create(context, &made, NULL, cases[i].name, settings, 2, NULL), ENTROL_OK);
        char text[ENTROL_CONTROLLER_STATE_ROOM];
        CHECK_INT(entrol_controller_save(text, NULL, sizeof text, made), ENTROL_OK);
        sprintf(line, "set initial %g\n", cases[i].initial);
        CHECK_SAY(strstr(text, line), "%s has no \"%s\"", cases[i].name, line);
        entrol_controller_destroy(context, made);
    }
    entrol_context_destroy(context);
}

/* Which of the settings it is that no parameter is named. */
static void test_an_unknown_setting_is_placed(void) {
    const entrol_setting settings[] = {{"kp", 1, NULL}, {"ki", 0, "0.1"}, {"kd", 1, NULL}};
    entrol_context *context = open_alone();
    entrol_controller *none = NULL;
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_controller_create(context, &none, &diagnosis, "pi", settings, 3, NULL), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(diagnosis.argument, "settings");
    CHECK_INT(diagnosis.first_row, 2);
    entrol_context_destroy(context);
}

static const char *state_of(const entrol_controller *controller) {
    static char text[ENTROL_CONTROLLER_STATE_ROOM];
    CHECK_INT(entrol_controller_save(text, NULL, sizeof text, controller), ENTROL_OK);
    return text;
}

static void test_bad_observations(void) {
    static const struct {
        double sum;
        uint64_t count;
        entrol_reason reason;
    } cases[] = {{(double)NAN, 1, ENTROL_REASON_NAN},
                 {(double)INFINITY, 1, ENTROL_REASON_INFINITE},
                 {-(double)INFINITY, 3, ENTROL_REASON_INFINITE},
                 {0x1p62, 1, ENTROL_REASON_INFINITE},
                 {0, 0, ENTROL_REASON_EMPTY_SUPPORT},
                 {1, 0, ENTROL_REASON_EMPTY_SUPPORT},
                 {(double)NAN, 0, ENTROL_REASON_NAN},
                 {-0.5, 1, ENTROL_REASON_NEGATIVE}};
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "pi", NULL);
    char before[ENTROL_CONTROLLER_STATE_ROOM];
    tell(context, controller, 2, 1);
    strcpy(before, state_of(controller));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        entrol_command command = {sizeof command, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
        entrol_diagnosis diagnosis;
        CHECK_INT(entrol_controller_observe(context, &command, &diagnosis, controller, cases[i].sum, cases[i].count),
                  ENTROL_ERROR_DATA);
        CHECK_INT(diagnosis.reason, cases[i].reason);
        CHECK(!diagnosis.argument && command.coefficient == 77);
        CHECK_STRING(state_of(controller), before);
    }
    CHECK_INT(entrol_controller_observe(context, NULL, NULL, NULL, 1, 1), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_controller_observe(NULL, NULL, NULL, controller, 1, 1), ENTROL_ERROR_ARGUMENT);
    entrol_command none = {0};
    CHECK_INT(entrol_controller_observe(context, &none, NULL, controller, 1, 1), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(state_of(controller), before);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

static void test_tokens(void) {
    const float entropies[] = {1, 2, NAN, 4, INFINITY};
    const uint8_t valid[] = {1, 1, 0, 1, 0};
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "constant", NULL);
    entrol_command command = ENTROL_COMMAND_INIT;
    entrol_diagnosis diagnosis;
    CHECK_INT(entrol_controller_observe_tokens(context, &command, &diagnosis, controller, entropies, valid, 5),
              ENTROL_OK);
    CHECK_NEAR(command.entropy, 7.0 / 3, 1e-15);
    CHECK_INT(entrol_controller_observe_tokens(context, &command, &diagnosis, controller, entropies, NULL, 5),
              ENTROL_ERROR_DATA);
    CHECK(diagnosis.first_row == 2 && diagnosis.reason == ENTROL_REASON_NAN);
    CHECK_INT(entrol_controller_observe_tokens(context, &command, &diagnosis, controller, entropies + 3, NULL, 2),
              ENTROL_ERROR_DATA);
    CHECK(diagnosis.first_row == 1 && diagnosis.reason == ENTROL_REASON_INFINITE);
    CHECK_INT(entrol_controller_observe_tokens(context, &command, &diagnosis, controller, NULL, NULL, 2),
              ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_controller_observe_tokens(context, &command, &diagnosis, controller, NULL, NULL, 0),
              ENTROL_ERROR_DATA);
    CHECK_INT(diagnosis.reason, ENTROL_REASON_EMPTY_SUPPORT);
    CHECK_INT(command_of(controller).step, 1);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

/* Memory that is refused: no controller, and nothing is lost. */
static void test_no_memory(void) {
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    entrol_context *context = NULL;
    entrol_controller *controller = NULL;
    const double entropies[] = {4, 3, 2, 1, 0}, rewards[] = {0, 1, 2, 2, 3};
    entrol_ceiling ceiling = {.a = 77};
    counted_memory counted = {100, 0};
    options.n_threads = 1;
    options.allocate = counted_allocate;
    options.release = counted_release;
    options.allocate_user = &counted;
    CHECK_INT(entrol_context_create(&context, &options), ENTROL_OK);
    const int n_before = counted.n_held;
    counted.n_left = 0;
    CHECK_INT(entrol_controller_create(context, &controller, NULL, "pi", NULL, 0, NULL), ENTROL_ERROR_MEMORY);
    CHECK(!controller && counted.n_held == n_before);
    for (int i = 0; i < 2; i++) {
        counted.n_left = i;
        CHECK_INT(entrol_fit_ceiling(context, &ceiling, NULL, 0, NULL, entropies, rewards, 5, NULL),
                  ENTROL_ERROR_MEMORY);
        CHECK(ceiling.a == 77 && counted.n_held == n_before);
    }
    counted.n_left = 100;
    CHECK_INT(entrol_controller_create(context, &controller, NULL, "pi", NULL, 0, NULL), ENTROL_OK);
    entrol_controller_destroy(context, controller);
    CHECK_INT(entrol_fit_ceiling(context, &ceiling, NULL, 0, NULL, entropies, rewards, 5, NULL), ENTROL_OK);
    CHECK_INT(counted.n_held, n_before);
    entrol_context_destroy(context);
}

/* A caller of an older library has a shorter struct, of which no more is written. */
static void test_short_command(void) {
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "constant", NULL);
    entrol_command command = ENTROL_COMMAND_INIT;
    command.size = offsetof(entrol_command, positive_weight);
    command.positive_weight = 77;
    CHECK_INT(entrol_controller_command(&command, controller), ENTROL_OK);
    CHECK(command.coefficient == 0.01 && command.positive_weight == 77);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_skywork);
    TEST(test_skywork_begins_with_nothing);
    TEST(test_sac);
    TEST(test_sac_stays_in_its_bounds);
    TEST(test_pi);
    TEST(test_entropic_weights);
    TEST(test_no_windup);
    TEST(test_box);
    TEST(test_aer);
    TEST(test_aer_is_for_hard_prompts);
    TEST(test_aepo);
    TEST(test_adaptive_kl);
    TEST(test_adaptive_kl_counts);
    TEST(test_schedules);
    TEST(test_first_step);
    TEST(test_registry);
    TEST(test_limits);
    TEST(test_targets);
    TEST(test_share_of_the_first);
    TEST(test_share_of_the_greatest);
    TEST(test_alarms);
    TEST(test_alarms_that_mean_nothing);
    TEST(test_bad_settings);
    TEST(test_settings_that_contradict);
    TEST(test_limits_move_the_default);
    TEST(test_an_unknown_setting_is_placed);
    TEST(test_bad_observations);
    TEST(test_tokens);
    TEST(test_no_memory);
    TEST(test_short_command);
    return test_end();
}
