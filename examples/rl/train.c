/* Trains a policy by PPO, with the entropy coefficient of one of Entrol's controllers, and prints its training as JSON
 * Lines: an object that says what was run, one for each update, and {"done": true} at the end. See --help. */
#include "learner.h"

#include <cblas.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_SETTINGS 32

typedef struct run {
    const char *environment, *models, *controller;
    size_t size, n_steps;
    uint64_t seed;
    entrol_setting settings[MAX_SETTINGS];
    size_t n_settings;
    int normalise; /* observations and rewards */
    learner_options learner;
} run;

static const char help[] = "usage: rl_train ENVIRONMENT [option value]...\n"
                           "\n"
                           "Trains a policy by PPO and prints JSON Lines. ENVIRONMENT is deep-sea, river-swim, hopper "
                           "or half-cheetah (these two\n"
                           "where it was built with MuJoCo).\n"
                           "\n"
                           "  --controller NAME       of the entropy coefficient (default: constant)\n"
                           "  --set NAME=VALUE        one of the controller's parameters; several times\n"
                           "  --seed N                (default: 1)\n"
                           "  --steps N               of the environment, all together (default: 200000)\n"
                           "  --size N                of the deep sea (default: 10)\n"
                           "  --models FOLDER         with gymnasium's MJCF files\n"
                           "and of PPO, by default as CleanRL has them for discrete | continuous actions:\n"
                           "  --environments N        side by side (4 | 1)\n"
                           "  --rollout N             steps of each between two updates (128 | 2048)\n"
                           "  --epochs N              of an update (4 | 10)\n"
                           "  --minibatches N         of an epoch (4 | 32)\n"
                           "  --learning-rate X       at the start; falls to 0 (2.5e-4 | 3e-4)\n"
                           "  --gamma X --lambda X    (0.99, 0.95)\n"
                           "  --clip X                (0.2)\n"
                           "  --value-coefficient X   (0.5)\n"
                           "  --max-norm X            of the gradient (0.5)\n"
                           "  --hidden N              units of a layer (64)\n"
                           "  --normalise 0 | 1       observations and rewards (0 | 1)\n"
                           "  --normalise-advantages 0 | 1   in each minibatch (1)\n";

static const learner_options of_choices = {64, 4, 128, 4, 4, 2.5e-4, 0.99, 0.95, 0.2, 0.5, 0.5, 1};
static const learner_options of_vectors = {64, 1, 2048, 10, 32, 3e-4, 0.99, 0.95, 0.2, 0.5, 0.5, 1};

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int fail(const char *what, const char *which) {
    fprintf(stderr, "rl_train: %s %s\n", what, which);
    return -1;
}

static int set_count(size_t *value, const char *name, const char *text, size_t low, size_t high) {
    char *end;
    errno = 0;
    const unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || *text == '-' || n < low || n > high)
        return fail("no number that will do for", name);
    *value = (size_t)n;
    return 0;
}

static int set_number(double *value, const char *name, const char *text) {
    char *end;
    *value = strtod(text, &end);
    return end == text || *end != 0 || !isfinite(*value) ? fail("no number for", name) : 0;
}

/* NAME=VALUE. */
static int set_setting(run *self, char *text) {
    char *equals = strchr(text, '=');
    if (equals == NULL || self->n_settings == MAX_SETTINGS)
        return fail("NAME=VALUE is wanted, not", text);
    *equals = 0;
    self->settings[self->n_settings++] = (entrol_setting){text, 0, equals + 1};
    return 0;
}

static int set_option(run *self, const char *name, char *text) {
    learner_options *l = &self->learner;
    size_t seed, flag;
    const struct {
        const char *name;
        size_t *value, low, high;
    } counts[] = {{"--steps", &self->n_steps, 1, SIZE_MAX},
                  {"--size", &self->size, 2, 64},
                  {"--environments", &l->n_environments, 1, MAX_ENVIRONMENTS},
                  {"--rollout", &l->n_rollout, 1, 1 << 20},
                  {"--epochs", &l->n_epochs, 1, 1 << 10},
                  {"--minibatches", &l->n_minibatches, 1, 1 << 20},
                  {"--hidden", &l->n_hidden, 1, 1 << 12}};
    const struct {
        const char *name;
        double *value;
    } numbers[] = {{"--learning-rate", &l->learning_rate},
                   {"--gamma", &l->gamma},
                   {"--lambda", &l->lambda},
                   {"--clip", &l->clip},
                   {"--value-coefficient", &l->value_coefficient},
                   {"--max-norm", &l->max_norm}};
    const struct {
        const char *name;
        const char **value;
    } texts[] = {{"--controller", &self->controller}, {"--models", &self->models}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (strcmp(name, counts[i].name) == 0)
            return set_count(counts[i].value, name, text, counts[i].low, counts[i].high);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(name, numbers[i].name) == 0)
            return set_number(numbers[i].value, name, text);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(name, texts[i].name) == 0)
            return *texts[i].value = text, 0;
    if (strcmp(name, "--set") == 0)
        return set_setting(self, text);
    if (strcmp(name, "--seed") == 0)
        return set_count(&seed, name, text, 0, SIZE_MAX) == 0 ? (self->seed = seed, 0) : -1;
    int *const flags[] = {&self->normalise, &l->normalise_advantages};
    for (size_t i = 0; i < 2; i++)
        if (strcmp(name, i == 0 ? "--normalise" : "--normalise-advantages") == 0)
            return set_count(&flag, name, text, 0, 1) == 0 ? (*flags[i] = (int)flag, 0) : -1;
    return fail("no option", name);
}

static int read_options(run *self, int argc, char **argv) {
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fputs(help, argc < 2 ? stderr : stdout);
        exit(argc < 2 ? 2 : 0);
    }
    *self = (run){
        .environment = argv[1], .models = ".", .controller = "constant", .size = 10, .n_steps = 200000, .seed = 1};
    const int chooses = strcmp(argv[1], "deep-sea") == 0 || strcmp(argv[1], "river-swim") == 0;
    self->learner = chooses ? of_choices : of_vectors;
    self->normalise = !chooses;
    for (int i = 2; i < argc; i += 2)
        if (i + 1 == argc || set_option(self, argv[i], argv[i + 1]) != 0)
            return i + 1 == argc ? fail("a value is missing behind", argv[i]) : -1;
    if (self->learner.n_rollout * self->learner.n_environments % self->learner.n_minibatches != 0)
        return fail("the steps of an update do not divide into", "--minibatches");
    return 0;
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

static void print_start(const run *self) {
    printf("{\"environment\": \"%s\", \"seed\": %llu, \"steps\": %zu, \"controller\": \"%s\", \"settings\": {",
           self->environment, (unsigned long long)self->seed, self->n_steps, self->controller);
    for (size_t i = 0; i < self->n_settings; i++)
        printf("%s\"%s\": \"%s\"", i ? ", " : "", self->settings[i].name, self->settings[i].text);
    printf("}}\n");
}

/* One update. An episode's return is missing where none ended. */
static void print_update(const worlds *worlds, const update_report *report, const entrol_command *command,
                         double coefficient, size_t step) {
    const episodes *ended = &worlds->ended;
    printf("{\"step\": %zu, \"episodes\": %zu, ", step, ended->n);
    if (ended->n > 0)
        printf("\"return\": %.6g, \"length\": %.6g, ", ended->sum_of_returns / (double)ended->n,
               (double)ended->n_steps / (double)ended->n);
    printf("\"entropy\": %.6g, \"coefficient\": %.6g, \"loss\": %.6g, \"policy_loss\": %.6g, \"value_loss\": %.6g, "
           "\"kl\": %.6g, \"clip_fraction\": %.6g}\n",
           command->entropy, coefficient, report->loss, report->policy_loss, report->value_loss, report->kl,
           report->clip_fraction);
    fflush(stdout);
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static entrol_status train(const run *self, learner *learner, entrol_context *context, entrol_controller *controller) {
    const size_t n = self->learner.n_rollout * self->learner.n_environments, n_updates = self->n_steps / n;
    for (size_t update = 0; update < n_updates; update++) {
        double entropy;
        update_report report;
        entrol_command command = ENTROL_COMMAND_INIT;
        entrol_status status = learner_act(learner, &entropy);
        if (status == ENTROL_OK)
            status = entrol_controller_observe(context, &command, NULL, controller, entropy, n);
        const double left = 1 - (double)update / (double)n_updates;
        if (status == ENTROL_OK)
            status = learner_update(learner, &report, command.coefficient, left * self->learner.learning_rate);
        if (status != ENTROL_OK)
            return status;
        print_update(&learner->worlds, &report, &command, command.coefficient, (update + 1) * n);
        learner->worlds.ended = (episodes){0, 0, 0};
    }
    return ENTROL_OK;
}

static entrol_status make_controller(const run *self, entrol_context *context, entrol_controller **controller,
                                     const environment *environment) {
    entrol_diagnosis diagnosis = {0};
    entrol_controller_options options = ENTROL_CONTROLLER_OPTIONS_INIT;
    options.n_actions = environment->n_actions;
    const entrol_status status = entrol_controller_create(context, controller, &diagnosis, self->controller,
                                                          self->settings, self->n_settings, &options);
    if (status == ENTROL_ERROR_ARGUMENT)
        fail("the controller refuses", diagnosis.argument);
    return status;
}

static int start(run *self, learner *learner, entrol_context *context) {
    char error[1024];
    entrol_controller *controller = NULL;
    if (worlds_create(&learner->worlds, self->learner.n_environments, self->environment, self->size, self->models,
                      self->seed, error, sizeof error) != 0)
        return fail("cannot begin:", error);
    learner->worlds.normalise = self->normalise;
    learner->options = self->learner;
    if (learner_create(learner, context, self->seed) != 0)
        return fail("out of", "memory");
    entrol_status status = make_controller(self, context, &controller, learner->worlds.each[0].environment);
    if (status == ENTROL_OK) {
        print_start(self);
        status = train(self, learner, context, controller);
        if (status != ENTROL_OK)
            fail("training stopped:", entrol_status_string(status));
    }
    entrol_controller_destroy(context, controller);
    return status == ENTROL_OK ? 0 : -1;
}

int main(int argc, char **argv) {
    run self;
    learner learner = {0};
    entrol_context *context = NULL;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1; /* the batches are small; the runs themselves go side by side */
    openblas_set_num_threads(1);
    if (read_options(&self, argc, argv) != 0)
        return 2;
    if (entrol_context_create(&context, &options) != ENTROL_OK)
        return fail("no", "context"), 1;
    const time_t begun = time(NULL);
    const int failed = start(&self, &learner, context);
    learner_destroy(&learner);
    entrol_context_destroy(context);
    if (failed)
        return 2;
    printf("{\"done\": true, \"seconds\": %.0f}\n", difftime(time(NULL), begun));
    return fflush(stdout) == 0 ? 0 : 1;
}
