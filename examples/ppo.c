/* PPO that balances a pole within seconds, in one file, with nothing but Entrol and the C library:
 *
 *     scripts/amalgamate build/amalgamation
 *     cc -O2 -ffp-contract=off -Ibuild/amalgamation -o ppo examples/ppo.c build/amalgamation/entrol.c -lm -pthread
 *     ./ppo skywork target=0.5max
 *
 * It prints one object a line for each update, as JSON; `./ppo --help` says what it can be told.
 *
 * What is Entrol's here: drawing actions, their log-probabilities and entropies, advantages, the loss of PPO with its
 * derivatives, the gradient of the logits, and the coefficient. What is not: the pole, two networks of one hidden layer
 * with their backward pass, and Adam. */
#include "entrol.h"

#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    N_POLES = 8,       /* side by side */
    N_ROLLOUT = 128,   /* steps of each between two updates */
    N_EPOCHS = 6,      /* of an update */
    N_MINIBATCH = 128, /* steps that are learnt from at once */
    N_STEPS = N_POLES * N_ROLLOUT,
    N_SEEN = 4,    /* numbers in an observation */
    N_ACTIONS = 2, /* to the left, to the right */
    N_HIDDEN = 64,
    N_MOST = (N_SEEN + 1) * N_HIDDEN + (N_HIDDEN + 1) * N_ACTIONS /* numbers that a network learns */
};
static const double learning_rate = 2.5e-3, discount = 0.98, lambda = 0.95, max_norm = 0.5;

static uint64_t random_state;

/* In [0, 1): splitmix64. */
static double uniform(void) {
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* ---- the pole: CartPole-v1 of gymnasium, after Barto, Sutton and Anderson 1983 ----------------------------------- */

typedef struct pole {
    double state[N_SEEN]; /* where the cart is, its speed, the pole's angle, its speed */
    int n_steps;          /* so far in this episode: its return */
} pole;

static void pole_reset(pole *p) {
    for (int i = 0; i < N_SEEN; i++)
        p->state[i] = 0.1 * uniform() - 0.05;
    p->n_steps = 0;
}

/* One step of 0.02 s by a push of 10 N. What it did to the episode: ENTROL_STEP_... */
static uint8_t pole_step(pole *p, int action) {
    const double gravity = 9.8, pole_mass = 0.1, mass = 1.1, half_length = 0.5, seconds = 0.02;
    double *x = p->state;
    const double cosine = cos(x[2]), sine = sin(x[2]);
    const double push = ((action == 1 ? 10 : -10) + pole_mass * half_length * x[3] * x[3] * sine) / mass;
    const double turn =
        (gravity * sine - cosine * push) / (half_length * (4.0 / 3 - pole_mass * cosine * cosine / mass));
    const double pull = push - pole_mass * half_length * turn * cosine / mass;
    const double change[N_SEEN] = {x[1], pull, x[3], turn};
    for (int i = 0; i < N_SEEN; i++)
        x[i] += seconds * change[i];
    p->n_steps++;
    if (fabs(x[0]) > 2.4 || fabs(x[2]) > 12 * 3.14159265358979323846 / 180)
        return ENTROL_STEP_TERMINATED;
    return p->n_steps == 500 ? ENTROL_STEP_TRUNCATED : ENTROL_STEP_GOES_ON;
}

/* ---- networks ---------------------------------------------------------------------------------------------------- */

/* Outputs = W2 tanh(W1 input + b1) + b2; what is learnt lies in the order W1, b1, W2, b2, a unit's weights together. */
typedef struct network {
    int n_out;
    float learnt[N_MOST], gradient[N_MOST], mean[N_MOST], square[N_MOST];
    float hidden[N_STEPS][N_HIDDEN], out[N_STEPS * N_ACTIONS];
} network;

static void network_create(network *net, int n_out, double last_scale) {
    memset(net, 0, sizeof *net);
    net->n_out = n_out;
    float *w2 = net->learnt + (N_SEEN + 1) * N_HIDDEN;
    for (int i = 0; i < N_SEEN * N_HIDDEN; i++)
        net->learnt[i] = (float)((2 * uniform() - 1) * sqrt(3.0 / N_SEEN));
    for (int i = 0; i < n_out * N_HIDDEN; i++)
        w2[i] = (float)((2 * uniform() - 1) * last_scale * sqrt(3.0 / N_HIDDEN));
}

static const float *forward(network *net, const float *input, size_t n_rows) {
    const float *w1 = net->learnt, *b1 = w1 + N_SEEN * N_HIDDEN, *w2 = b1 + N_HIDDEN, *b2 = w2 + net->n_out * N_HIDDEN;
    for (size_t r = 0; r < n_rows; r++) {
        for (int h = 0; h < N_HIDDEN; h++) {
            float sum = b1[h];
            for (int i = 0; i < N_SEEN; i++)
                sum += w1[h * N_SEEN + i] * input[r * N_SEEN + (size_t)i];
            net->hidden[r][h] = tanhf(sum);
        }
        for (int o = 0; o < net->n_out; o++) {
            float sum = b2[o];
            for (int h = 0; h < N_HIDDEN; h++)
                sum += w2[o * N_HIDDEN + h] * net->hidden[r][h];
            net->out[r * (size_t)net->n_out + (size_t)o] = sum;
        }
    }
    return net->out;
}

/* Adds to the gradient, given the loss's derivatives by the outputs of the last forward pass. */
static void backward(network *net, const float *input, const float *d_out, size_t n_rows) {
    const float *w2 = net->learnt + (N_SEEN + 1) * N_HIDDEN;
    float *d1 = net->gradient, *d_b1 = d1 + N_SEEN * N_HIDDEN, *d2 = d_b1 + N_HIDDEN,
          *d_b2 = d2 + net->n_out * N_HIDDEN;
    for (size_t r = 0; r < n_rows; r++) {
        const float *d = d_out + r * (size_t)net->n_out;
        for (int o = 0; o < net->n_out; o++)
            d_b2[o] += d[o];
        for (int h = 0; h < N_HIDDEN; h++) {
            const float y = net->hidden[r][h];
            float sum = 0;
            for (int o = 0; o < net->n_out; o++) {
                d2[o * N_HIDDEN + h] += d[o] * y;
                sum += d[o] * w2[o * N_HIDDEN + h];
            }
            sum *= 1 - y * y;
            d_b1[h] += sum;
            for (int i = 0; i < N_SEEN; i++)
                d1[h * N_SEEN + i] += sum * input[r * N_SEEN + (size_t)i];
        }
    }
}

/* Adam, after cutting the gradient's norm; the gradient is 0 afterwards. */
static void descend(network *net, double rate, int step) {
    double norm = 0;
    for (int i = 0; i < N_MOST; i++)
        norm += (double)net->gradient[i] * (double)net->gradient[i];
    const float scale = (float)fmin(1, max_norm / (sqrt(norm) + 1e-6));
    const float size = (float)(rate * sqrt(1 - pow(0.999, step)) / (1 - pow(0.9, step)));
    for (int i = 0; i < N_MOST; i++) {
        const float g = scale * net->gradient[i];
        net->mean[i] += 0.1f * (g - net->mean[i]);
        net->square[i] += 0.001f * (g * g - net->square[i]);
        net->learnt[i] -= size * net->mean[i] / (sqrtf(net->square[i]) + 1e-5f);
        net->gradient[i] = 0;
    }
}

/* ---- PPO --------------------------------------------------------------------------------------------------------- */

/* What was lived through since the last update: N_ROLLOUT rows of N_POLES steps. */
static struct {
    float seen[N_STEPS + N_POLES][N_SEEN], rewards[N_STEPS], logprobs[N_STEPS], values[N_STEPS + N_POLES];
    float final_values[N_STEPS], advantages[N_STEPS], returns[N_STEPS];
    double actions[N_STEPS], entropies[N_STEPS];
    uint8_t ends[N_STEPS];
} lived;

static network actor, critic;
static pole poles[N_POLES];
static entrol_context *context;

/* Every call of Entrol says whether it worked. */
static void check(entrol_status status, const char *what) {
    if (status != ENTROL_OK) {
        fprintf(stderr, "ppo: %s: %s\n", what, entrol_status_string(status));
        exit(1);
    }
}

static entrol_policy policy_of(const float *logits, size_t n_rows) {
    entrol_policy policy = ENTROL_POLICY_INIT;
    policy.kind = ENTROL_POLICY_CATEGORICAL;
    policy.first = (entrol_matrix){logits, ENTROL_F32, n_rows, N_ACTIONS, N_ACTIONS};
    return policy;
}

static void see(float *seen, const pole *p) {
    for (int i = 0; i < N_SEEN; i++)
        seen[i] = (float)p->state[i];
}

/* Draws an action for each pole and steps it. Returns of episodes that ended are added to *sum. */
static int act(int t, uint64_t seed, double *sum) {
    const size_t row = (size_t)t * N_POLES;
    const entrol_policy policy = policy_of(forward(&actor, lived.seen[row], N_POLES), N_POLES);
    const entrol_destination drawn = {lived.actions + row, ENTROL_F64, 1, 0};
    const entrol_matrix actions = {lived.actions + row, ENTROL_F64, N_POLES, 1, 1};
    static uint64_t n_drawn;
    entrol_policy_sample_options options = ENTROL_POLICY_SAMPLE_OPTIONS_INIT;
    options.seed = seed;
    options.first_row = n_drawn;
    n_drawn += N_POLES;
    check(entrol_policy_sample(context, &drawn, NULL, NULL, &policy, &options), "drawing actions");
    entrol_policy_record record = ENTROL_POLICY_RECORD_INIT;
    double logprobs[N_POLES];
    record.logprob = logprobs;
    record.entropy = lived.entropies + row;
    check(entrol_policy_measure(context, &record, NULL, &policy, &actions, NULL, NULL), "measuring them");
    memcpy(lived.values + row, forward(&critic, lived.seen[row], N_POLES), N_POLES * sizeof(float));
    int n_ended = 0;
    for (size_t i = 0; i < N_POLES; i++) {
        pole *p = &poles[i];
        lived.logprobs[row + i] = (float)logprobs[i];
        lived.ends[row + i] = pole_step(p, (int)lived.actions[row + i]);
        lived.rewards[row + i] = 1;
        float *next = lived.seen[row + N_POLES + i];
        see(next, p);
        if (lived.ends[row + i] != ENTROL_STEP_GOES_ON) {
            lived.final_values[row + i] = *forward(&critic, next, 1);
            *sum += p->n_steps;
            n_ended++;
            pole_reset(p);
            see(next, p);
        }
    }
    return n_ended;
}

static void estimate_advantages(void) {
    entrol_trajectory trajectory = ENTROL_TRAJECTORY_INIT;
    trajectory.n_steps = N_ROLLOUT;
    trajectory.n_environments = N_POLES;
    trajectory.rewards = lived.rewards;
    trajectory.values = lived.values;
    trajectory.last_values = forward(&critic, lived.seen[N_STEPS], N_POLES);
    trajectory.ends = lived.ends;
    trajectory.final_values = lived.final_values;
    check(entrol_advantage_gae(context, lived.advantages, lived.returns, NULL, &trajectory, discount, lambda),
          "estimating advantages");
    check(entrol_advantage_whiten(context, lived.advantages, NULL, lived.advantages, NULL, N_STEPS, 1e-8),
          "whitening them");
}

/* Learns from the steps that `rows` numbers. */
static void learn(entrol_objective_result *result, const size_t *rows, double coefficient, double rate, int step) {
    static float seen[N_MINIBATCH][N_SEEN], logprob[N_MINIBATCH], old_logprob[N_MINIBATCH], entropy[N_MINIBATCH],
        advantage[N_MINIBATCH], target_return[N_MINIBATCH], d_logprob[N_MINIBATCH], d_entropy[N_MINIBATCH],
        d_value[N_MINIBATCH], d_logits[N_MINIBATCH * N_ACTIONS];
    static double drawn[N_MINIBATCH], logprob64[N_MINIBATCH], entropy64[N_MINIBATCH];
    for (size_t i = 0; i < N_MINIBATCH; i++) {
        memcpy(seen[i], lived.seen[rows[i]], sizeof seen[i]);
        drawn[i] = lived.actions[rows[i]];
        old_logprob[i] = lived.logprobs[rows[i]];
        advantage[i] = lived.advantages[rows[i]];
        target_return[i] = lived.returns[rows[i]];
    }

    /* From observations to log-probabilities and entropies, ... */
    const entrol_policy policy = policy_of(forward(&actor, seen[0], N_MINIBATCH), N_MINIBATCH);
    const entrol_matrix actions = {drawn, ENTROL_F64, N_MINIBATCH, 1, 1};
    entrol_policy_record measured = ENTROL_POLICY_RECORD_INIT;
    measured.logprob = logprob64;
    measured.entropy = entropy64;
    check(entrol_policy_measure(context, &measured, NULL, &policy, &actions, NULL, NULL), "measuring");
    for (size_t i = 0; i < N_MINIBATCH; i++) {
        logprob[i] = (float)logprob64[i];
        entropy[i] = (float)entropy64[i];
    }

    /* to the loss and its derivatives by them and by the values, ... */
    const entrol_setting settings[] = {{"entropy_coefficient", coefficient, NULL}, {"value_coefficient", 0.25, NULL}};
    entrol_objective_options options = ENTROL_OBJECTIVE_OPTIONS_INIT;
    options.settings = settings;
    options.n_settings = 2;
    entrol_tokens tokens = ENTROL_TOKENS_INIT;
    tokens.n_tokens = N_MINIBATCH;
    tokens.logprob = logprob;
    tokens.old_logprob = old_logprob;
    tokens.advantage = advantage;
    tokens.entropy = entropy;
    tokens.value = forward(&critic, seen[0], N_MINIBATCH);
    tokens.target_return = target_return;
    entrol_objective_record d = ENTROL_OBJECTIVE_RECORD_INIT;
    d.logprob = d_logprob;
    d.entropy = d_entropy;
    d.value = d_value;
    check(entrol_objective_compute(context, &d, result, NULL, entrol_objective_find("ppo"), &tokens, &options),
          "the loss");

    /* to the gradients of the logits and of all weights. */
    const entrol_destination to_logits = {d_logits, ENTROL_F32, N_ACTIONS, 0};
    entrol_policy_gradient_record by = ENTROL_POLICY_GRADIENT_RECORD_INIT;
    by.logprob = d_logprob;
    by.entropy = d_entropy;
    check(entrol_policy_gradient(context, &to_logits, NULL, NULL, &by, &policy, &actions, NULL, NULL), "the gradient");
    backward(&actor, seen[0], d_logits, N_MINIBATCH);
    backward(&critic, seen[0], d_value, N_MINIBATCH);
    descend(&actor, rate, step);
    descend(&critic, rate, step);
}

static void update(entrol_objective_result *result, double coefficient, double rate) {
    static size_t order[N_STEPS];
    static int n_adam_steps;
    for (size_t i = 0; i < N_STEPS; i++)
        order[i] = i;
    for (int epoch = 0; epoch < N_EPOCHS; epoch++) {
        for (size_t i = N_STEPS - 1; i > 0; i--) {
            const size_t j = (size_t)(uniform() * (double)(i + 1)), kept = order[i];
            order[i] = order[j];
            order[j] = kept;
        }
        for (size_t i = 0; i < N_STEPS; i += N_MINIBATCH)
            learn(result, order + i, coefficient, rate, ++n_adam_steps);
    }
}

static void train(entrol_controller *controller, uint64_t seed, int n_steps) {
    for (int i = 0; i < N_POLES; i++) {
        pole_reset(&poles[i]);
        see(lived.seen[i], &poles[i]);
    }
    for (int done = 0; done < n_steps; done += N_STEPS) {
        double sum = 0, entropy = 0;
        int n_ended = 0;
        for (int t = 0; t < N_ROLLOUT; t++)
            n_ended += act(t, seed, &sum);
        estimate_advantages();
        for (int i = 0; i < N_STEPS; i++)
            entropy += lived.entropies[i];
        entrol_command command = ENTROL_COMMAND_INIT;
        check(entrol_controller_observe(context, &command, NULL, controller, entropy, N_STEPS), "the controller");
        entrol_objective_result result = {.size = sizeof result};
        update(&result, command.coefficient, learning_rate * (1 - (double)done / n_steps));
        memcpy(lived.seen[0], lived.seen[N_STEPS], N_POLES * sizeof lived.seen[0]);
        printf("{\"step\": %d, \"episodes\": %d, ", done + N_STEPS, n_ended);
        if (n_ended > 0)
            printf("\"return\": %.1f, ", sum / n_ended);
        printf("\"entropy\": %.4f, \"coefficient\": %.4g, \"loss\": %.4g, \"kl\": %.4g}\n", command.entropy,
               command.coefficient, result.loss, result.kl_k3);
    }
}

static const char usage[] =
    "usage: ppo [CONTROLLER [NAME=VALUE]...] [seed=N] [steps=N]\n"
    "\n"
    "PPO that learns to balance a pole. One object a line is printed for each update, as JSON.\n"
    "\n"
    "CONTROLLER sets the entropy coefficient, and NAME=VALUE are its parameters (docs/control.md; `entrol control\n"
    "--list` has all): \"skywork target=0.5max\". By default it is \"constant initial=0.01\". seed=1, and "
    "steps=102400,\n"
    "which is rounded up to whole updates of 1024.\n";

/* What the command line asks for. */
typedef struct request {
    const entrol_controller_kind *kind;
    entrol_setting settings[16];
    size_t n_settings;
    uint64_t seed;
    int n_steps;
} request;

/* A command line that cannot be followed: says why, and gives up. */
static void refuse(const char *what, const char *name) {
    fprintf(stderr, "ppo: %s: %s (ppo --help says more)\n", name, what);
    exit(2);
}

/* A whole number from `least` to `most`, and nothing else. */
static uint64_t count_of(const char *name, const char *text, uint64_t least, uint64_t most) {
    uint64_t value = 0;
    int is_good = *text != 0;
    for (const char *c = text; is_good && *c; c++) {
        const uint64_t digit = (uint64_t)*c - '0';
        is_good = digit <= 9 && value <= (most - digit) / 10;
        value = 10 * value + digit;
    }
    if (!is_good || value < least)
        refuse("a whole number is wanted, neither too small nor too large", name);
    return value;
}

/* What drives no coefficient of an entropy bonus would be of no use here, or of another than it is meant for. */
static const entrol_controller_kind *kind_of(const char *name) {
    const entrol_controller_kind *kind = entrol_controller_kind_find(name);
    if (kind == NULL)
        refuse("there is no such controller", name);
    else if (kind->drives != ENTROL_DRIVE_ENTROPY_COEFFICIENT) {
        fprintf(stderr, "ppo: %s drives the %s, and here is an entropy coefficient to drive\n", name,
                entrol_drive_name(kind->drives));
        exit(2);
    }
    return kind;
}

static void add_setting(request *asked, const char *name, const char *text) {
    size_t i = 0;
    while (i < asked->kind->n_parameters && strcmp(asked->kind->parameters[i].name, name) != 0)
        i++;
    if (i == asked->kind->n_parameters)
        refuse("the controller has no such parameter", name);
    if (asked->n_settings == sizeof asked->settings / sizeof *asked->settings)
        refuse("too many settings", name);
    asked->settings[asked->n_settings++] = (entrol_setting){name, 0, text};
}

static request read_words(int argc, char **argv) {
    const int is_named = argc > 1 && strchr(argv[1], '=') == NULL;
    request asked = {.kind = kind_of(is_named ? argv[1] : "constant"), .seed = 1, .n_steps = 102400};
    if (!is_named)
        add_setting(&asked, "initial", "0.01");
    for (int i = is_named ? 2 : 1; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals == NULL)
            refuse("NAME=VALUE is wanted here", argv[i]);
        *equals = 0;
        if (strcmp(argv[i], "seed") == 0)
            asked.seed = count_of("seed", equals + 1, 0, UINT64_MAX);
        else if (strcmp(argv[i], "steps") == 0)
            asked.n_steps = (int)count_of("steps", equals + 1, 1, INT_MAX - N_STEPS);
        else
            add_setting(&asked, argv[i], equals + 1);
    }
    return asked;
}

int main(int argc, char **argv) {
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    const request asked = read_words(argc, argv);
    random_state = asked.seed;
    network_create(&actor, N_ACTIONS, 0.01);
    network_create(&critic, 1, 1);
    check(entrol_context_create(&context, NULL), "the context");
    entrol_controller_options options = ENTROL_CONTROLLER_OPTIONS_INIT;
    options.n_actions = N_ACTIONS;
    entrol_controller *controller;
    entrol_diagnosis diagnosis = {0};
    if (entrol_controller_create(context, &controller, &diagnosis, asked.kind->name, asked.settings, asked.n_settings,
                                 &options) != ENTROL_OK)
        refuse("the controller refuses what it is set to", diagnosis.argument ? diagnosis.argument : asked.kind->name);
    train(controller, asked.seed, asked.n_steps);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
    return 0;
}
