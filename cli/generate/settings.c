/* The flags of `entrol generate`. */
#include "generate.h"

#include "../output.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The flags of score that say which model and how prompts are read. */
static size_t take_score_options(option *rows, score_settings *score) {
    static const struct {
        const char *name, *help; /* NULL: score's own */
    } wanted[] = {
        {"model", NULL},
        {"ctx-size", "Tokens of a prompt and what follows it. Default: 2048, or the model's own if less."},
        {"batch-size", "Tokens of a prompt that are read at once. Default: 128."},
        {"ubatch-size", "Tokens of one micro-batch. Default: the batch."},
        {"threads", NULL},
        {"n-gpu-layers", NULL},
        {"flash-attn", NULL},
        {"field", "JSON Lines: the field with the prompt, a text or an array of messages. Default: prompt, messages or "
                  "text, the first that a line has."},
        {"plain", "Read every file as plain text, one prompt a file."},
        {"chat-template", NULL},
        {"verbose", "Say more: llama.cpp's warnings."},
    };
    option all[SCORE_MODEL_OPTIONS];
    size_t n = 0;
    score_model_options(all, score);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        for (size_t j = 0; j < SCORE_MODEL_OPTIONS; j++)
            if (strcmp(all[j].name, wanted[i].name) == 0) {
                rows[n] = all[j];
                rows[n].help = wanted[i].help != NULL ? wanted[i].help : all[j].help;
                n++;
            }
    return n;
}

void generate_options(option rows[GENERATE_OPTIONS], generate_settings *settings) {
    const option table[] = {
        {.letter = 'p',
         .name = "prompt",
         .type = OPTION_STRINGS,
         .value = &settings->prompts,
         .metavar = "TEXT",
         .help = "What a text begins with; may be given again."},
        {.letter = 'f',
         .name = "file",
         .type = OPTION_STRINGS,
         .value = &settings->files,
         .metavar = "FILE",
         .help = "Prompts from a file: plain text is one, without its last newline; JSON Lines are one a line. - is "
                 "standard input, which is read where there is neither -p nor -f. May be given again."},
        {.letter = 'n',
         .name = "n-predict",
         .type = OPTION_INTEGER,
         .value = &settings->n_tokens,
         .metavar = "N",
         .minimum = -1,
         .maximum = 1 << 24,
         .help = "At most N tokens a text; -1: until it ends or the context is full. Default: 256."},
        {.name = "samples",
         .type = OPTION_INTEGER,
         .value = &settings->n_samples,
         .metavar = "N",
         .minimum = 1,
         .maximum = 1000000,
         .help = "Texts for each prompt. Default: 1."},
        {.name = "rule",
         .type = OPTION_STRINGS,
         .value = &settings->rules,
         .metavar = "RULE",
         .help = "A rule of the chain, NAME, NAME=VALUE, or either with ,PARAMETER=VALUE behind it; given again, each "
                 "sees what the one before it left. Default: min-p=0.05, which leaves out what is 20 times less "
                 "probable than the best and keeps the model's own temperature."},
        {.name = "seed",
         .type = OPTION_INTEGER,
         .value = &settings->seed,
         .metavar = "N",
         .minimum = 0,
         .maximum = 1e15,
         .help = "Where chance starts. Default: 0, so that the same command gives the same texts."},
        {.name = "stop",
         .type = OPTION_STRINGS,
         .value = &settings->stops,
         .metavar = "TEXT",
         .help = "End a text where it says this, which is not part of it; may be given again."},
        {.name = "chat",
         .type = OPTION_FLAG,
         .value = &settings->is_chat,
         .help = "Each prompt is what a user says: it is written with the model's chat template, and the texts are "
                 "the assistant's answers. Lines with messages always are conversations."},
        {.name = "system",
         .type = OPTION_STRING,
         .value = &settings->system,
         .metavar = "TEXT",
         .help = "Conversations: the system's message, before the others."},
        {.name = "hold",
         .type = OPTION_REAL,
         .value = &settings->hold,
         .metavar = "NATS",
         .minimum = 0.01,
         .maximum = 20,
         .help = "Hold the mean entropy of what the tokens of a text are drawn from: after each token an integral "
                 "controller moves the target of the rule target-entropy, which is put first where the chain has "
                 "none."},
        {.name = "branch",
         .type = OPTION_REAL,
         .value = &settings->branch_above,
         .metavar = "NATS",
         .minimum = 0,
         .maximum = 100,
         .help = "Where the entropy of the model's distribution is above this, the text goes on with several different "
                 "tokens of those that the rules left. Each is a text of its own, with \"parent\" and \"fork_at\"."},
        {.name = "branches",
         .type = OPTION_INTEGER,
         .value = &settings->n_continuations,
         .metavar = "K",
         .minimum = 2,
         .maximum = 64,
         .help = "Of --branch: with how many tokens it goes on. Default: 2."},
        {.name = "max-branches",
         .type = OPTION_INTEGER,
         .value = &settings->max_branches,
         .metavar = "N",
         .minimum = 1,
         .maximum = GENERATE_MOST_AT_ONCE - 1,
         .help = "Of --branch: how many texts a sample has at most beside itself. Default: 16."},
        {.name = "parallel",
         .short_name = "np",
         .type = OPTION_INTEGER,
         .value = &settings->n_parallel,
         .metavar = "N",
         .minimum = 1,
         .maximum = GENERATE_MOST_AT_ONCE,
         .help = "Texts of a prompt that go on at once; with --branch, more where a sample and its branches are more. "
                 "Default: 8."},
        {.letter = 'o',
         .name = "output",
         .type = OPTION_STRING,
         .value = &settings->output_path,
         .metavar = "FILE",
         .help = "Write the texts here. Default: standard output."},
        {.name = "trace",
         .type = OPTION_STRING,
         .value = &settings->trace_path,
         .metavar = "FILE",
         .help = "Write token records of the texts here, which show, report and select read: entropy, varentropy and "
                 "log-probability before the rules, and temperature, candidates, entropy and log-probability behind "
                 "them. - is standard output, in the place of the texts."},
        {.name = "top",
         .type = OPTION_INTEGER,
         .value = &settings->n_top,
         .metavar = "N",
         .minimum = 1,
         .maximum = ENTROL_MAX_TOP,
         .help = "Of --trace: add the N most probable tokens in the place of each, before the rules, which show and "
                 "report list as its alternatives: top_id, top_token, top_logprob."},
        {.name = "show",
         .type = OPTION_FLAG,
         .value = &settings->shows,
         .help = "Print the texts for people, coloured by entropy as entrol show does; one text as it is made."},
        {.name = "list",
         .type = OPTION_FLAG,
         .value = &settings->lists,
         .help = "Print every rule with its parameters, what holds without them, and the sources; and end."},
    };
    const size_t n = take_score_options(rows, &settings->score);
    memcpy(rows + n, table, sizeof table);
    _Static_assert(sizeof table / sizeof *table + 11 == GENERATE_OPTIONS, "as many rows as the table has");
}

static void make_chain(generate_settings *settings) {
    const string_list *rules = &settings->rules;
    size_t held = rules->n_items;
    for (size_t i = 0; i < rules->n_items; i++)
        held = held == rules->n_items && generate_is_rule(rules->items[i], "target_entropy") ? i : held;
    const bool is_added = !isnan(settings->hold) && held == rules->n_items;
    if (is_added)
        settings->chain[settings->n_chain++] = settings->hold_text;
    snprintf(settings->hold_text, sizeof settings->hold_text, "target-entropy=%.17g", settings->hold);
    settings->held_rule = is_added ? 0 : held;
    for (size_t i = 0; i < rules->n_items; i++)
        settings->chain[settings->n_chain++] = rules->items[i];
    if (rules->n_items == 0)
        settings->chain[settings->n_chain++] = "min-p=0.05";
}

/* The folder of a path, which ends in its name: gives the name. */
static const char *find_folder(struct stat *folder, char *path) {
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return stat(".", folder) == 0 ? path : NULL;
    slash[0] = '\0';
    return stat(slash == path ? "/" : path, folder) == 0 ? slash + 1 : NULL;
}

/* Whether both lead to one file, which need not be there. */
static bool is_same_file(const char *path, const char *other) {
    struct stat folder, other_folder;
    char *real = output_real_path(path), *other_real = output_real_path(other);
    const char *name = real != NULL ? find_folder(&folder, real) : NULL;
    const char *other_name = other_real != NULL ? find_folder(&other_folder, other_real) : NULL;
    const bool is_same = strcmp(path, "-") != 0 && strcmp(other, "-") != 0 && name != NULL && other_name != NULL &&
                         strcmp(name, other_name) == 0 && folder.st_dev == other_folder.st_dev &&
                         folder.st_ino == other_folder.st_ino;
    free(real);
    free(other_real);
    return is_same;
}

static bool check_not_read(const generate_settings *settings, const char *flag, const char *path, trouble *trouble) {
    for (size_t i = 0; i < settings->files.n_items && path != NULL; i++)
        if (is_same_file(settings->files.items[i], path))
            return trouble_set(trouble, "%s %s is a file that is read", flag, path);
    return true;
}

static bool check_outputs(generate_settings *settings, trouble *trouble) {
    if (settings->output_path != NULL && strcmp(settings->output_path, "-") == 0)
        settings->output_path = NULL;
    if (settings->trace_path != NULL && settings->shows && strcmp(settings->trace_path, "-") == 0)
        return trouble_set(trouble, "--show and --trace - would both write to standard output");
    if (settings->trace_path != NULL && settings->output_path != NULL &&
        is_same_file(settings->trace_path, settings->output_path))
        return trouble_set(trouble, "-o and --trace name the same file, %s", settings->output_path);
    return check_not_read(settings, "-o", settings->output_path, trouble) &&
           check_not_read(settings, "--trace", settings->trace_path, trouble);
}

/* Flags that say more of another one, which is not there. */
static bool check_details(const generate_settings *settings, trouble *trouble) {
    if (isnan(settings->branch_above) && settings->n_continuations > 0)
        return trouble_set(trouble, "--branches says how many tokens --branch goes on with, which is not given");
    if (isnan(settings->branch_above) && settings->max_branches > 0)
        return trouble_set(trouble, "--max-branches says how many texts --branch may make, which is not given");
    if (settings->files.n_items == 0 && settings->score.chat_template != NULL && !settings->is_chat)
        return trouble_set(trouble, "--chat-template is for conversations, and -p is a plain prompt: add --chat");
    if (settings->files.n_items == 0 && settings->score.texts.field != NULL)
        return trouble_set(trouble, "--field names a field of JSON Lines, and there is no file");
    if (settings->trace_path == NULL && settings->n_top > 0)
        return trouble_set(trouble, "--top says what --trace writes besides, which is not given");
    return true;
}

static bool check_hold(const generate_settings *settings, trouble *trouble) {
    size_t n_targets = 0;
    for (size_t i = 0; i < settings->n_chain && !isnan(settings->hold); i++) {
        n_targets += generate_is_rule(settings->chain[i], "target_entropy");
        if (generate_is_rule(settings->chain[i], "greedy"))
            return trouble_set(trouble, "--hold %g does not go with greedy, which leaves one token: its entropy is 0",
                               settings->hold);
    }
    return n_targets < 2 ||
           trouble_set(trouble, "--hold moves the target of one rule target-entropy, and there are %zu", n_targets);
}

bool generate_settings_check(generate_settings *settings, trouble *trouble) {
    for (size_t i = 0; i < settings->stops.n_items; i++)
        if (settings->stops.items[i][0] == '\0')
            return trouble_set(trouble, "--stop: expected a text, found an empty one");
    if (settings->score.texts.plain && settings->score.texts.field != NULL)
        return trouble_set(trouble, "--field does not go with --plain, which reads a file as one text without fields");
    make_chain(settings);
    if (!check_outputs(settings, trouble) || !check_details(settings, trouble) || !check_hold(settings, trouble))
        return false;
    settings->n_continuations = settings->n_continuations > 0 ? settings->n_continuations : 2;
    settings->max_branches = settings->max_branches > 0 ? settings->max_branches : 16;
    return true;
}
