/* `entrol diagnose`: what a finished run says about its entropy. */
#include "commands.h"
#include "diagnose/diagnose.h"
#include "message.h"
#include "open_context.h"

#include <stdio.h>
#include <string.h>

enum { OWN_OPTIONS = RUN_COLUMNS + 3, N_OPTIONS = OWN_OPTIONS + GREATEST_OPTIONS };

static void fill_options(option *rows, diagnose_settings *settings) {
    const option table[OWN_OPTIONS] = {
        {.name = "entropy",
         .type = OPTION_STRING,
         .value = &settings->names[RUN_ENTROPY],
         .metavar = "NAME",
         .help = "The column with the mean entropy of a step, in nats. Of an object within an object both names: "
                 "policy/entropy. Default: the first that is there of entropy, "
                 "actor/entropy and the names of other trainers. Of train/entropy_loss and entropy_loss, which "
                 "Stable-Baselines3 minimises, the sign is turned."},
        {.name = "reward",
         .type = OPTION_STRING,
         .value = &settings->names[RUN_REWARD],
         .metavar = "NAME",
         .help = "The column with its mean reward. Default: likewise reward, critic/rewards/mean and others. A row "
                 "without one has the mean of those logged without an entropy since the row before."},
        {.name = "step",
         .type = OPTION_STRING,
         .value = &settings->names[RUN_STEP],
         .metavar = "NAME",
         .help = "The column with its number. Default: step, global_step and others, else the row's number."},
        {.name = "coefficient",
         .type = OPTION_STRING,
         .value = &settings->names[RUN_COEFFICIENT],
         .metavar = "NAME",
         .help = "The column with the coefficient that the run itself used. Default: entropy_coef, ent_coef, "
                 "train/ent_coef, actor/entropy_coeff and others, if there is one."},
        {.name = "target",
         .type = OPTION_STRING,
         .value = &settings->target,
         .metavar = "TARGET",
         .help = "What the controllers are told to hold: nats, as 0.3, a share of the greatest entropy, as 0.7max with "
                 "--actions or --max-entropy, or a share of the first rows' mean, as 0.4x: of 20 "
                 "rows, or a fortieth of a run with fewer than 800, but of 3, or half of a run with fewer than 6. "
                 "Default: 0.4x."},
        {.name = "confidence",
         .type = OPTION_REAL,
         .value = &settings->confidence,
         .metavar = "P",
         .minimum = 0.5,
         .maximum = 0.9999,
         .help = "Of the ceiling's interval. Default: 0.95."},
        {.name = "json", .type = OPTION_FLAG, .value = &settings->as_json, .help = "Print one object a file."},
    };
    memcpy(rows, table, sizeof table);
    greatest_options(rows + OWN_OPTIONS, &settings->greatest);
}

/* What was done with a log that is not as it should be. */
static void say_notes(const run_log *log, const char *name) {
    if (log->cut_line > 0)
        message_note("%s:%zu: the last line is cut off and left out", name, log->cut_line);
    if (log->n_back > 0)
        message_note("%s:%zu: the step is %.15g after %.15g, as where a run was begun again: the rows are taken in the "
                     "order of the file, all of them (%zu such place%s)",
                     name, log->back_place, log->back_step, log->back_from, log->n_back, log->n_back == 1 ? "" : "s");
}

static bool diagnose_file(entrol_context *context, const diagnose_settings *settings, const char *path,
                          trouble *trouble) {
    run_log log;
    diagnosis_of_run found;
    buffer out = {0};
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    bool ok = run_read(&log, path, settings->names, trouble);
    if (ok && log.n == 0)
        ok = trouble_set(trouble, "%s: expected entropies in %s, found none", name, log.names[RUN_ENTROPY]);
    if (ok)
        ok = run_diagnose(context, &found, &log, settings, trouble);
    if (ok)
        (settings->as_json ? run_print_json : run_print)(&out, &found, &log, name, settings->confidence);
    if (ok && out.failed)
        ok = trouble_set(trouble, "%s: out of memory", path);
    if (ok)
        say_notes(&log, name);
    if (ok)
        fwrite(out.data, 1, out.size, stdout); /* main looks whether it could be written */
    buffer_free(&out);
    run_free(&log);
    return ok;
}

static int run(const command *command, int argc, char **argv) {
    diagnose_settings settings = {.confidence = 0.95};
    option options[N_OPTIONS];
    operands operands;
    int exit_code;
    trouble trouble;
    fill_options(options, &settings);
    if (!options_parse(command, options, N_OPTIONS, argc, argv, &operands, &exit_code))
        return exit_code;
    if (operands.n_items == 0)
        return message_error("expected FILE..., the log of a run, found nothing");
    entrol_context *context = open_context(1, &trouble);
    bool ok = context != NULL;
    for (int i = 0; i < operands.n_items && ok; i++) {
        if (i > 0 && !settings.as_json)
            putchar('\n');
        ok = diagnose_file(context, &settings, operands.items[i], &trouble);
    }
    entrol_context_destroy(context);
    return ok ? EXIT_DONE : message_trouble(&trouble);
}

const command command_diagnose = {
    .name = "diagnose",
    .summary = "what a finished run says: its entropy's collapse, its reward's ceiling",
    .usage = "[options] FILE...",
    .description =
        "Reads the log of a training run: TRL's trainer_state.json, the JSON Lines of verl's file logger or of any "
        "other "
        "program with one object a step, or CSV with a header. Says when the entropy collapsed and how much of it is "
        "gone, "
        "fits R = b - a exp(H) (arXiv 2505.22617), whose b - a is the reward that is left to reach when the entropy is "
        "spent, with an interval that counts the correlation of neighbouring steps, and says what each controller of "
        "\"entrol control\" would have commanded. That is open loop: as if none had acted on this run; acting would "
        "have changed its entropies.",
    .examples = "  entrol diagnose checkpoint-2400/trainer_state.json\n"
                "  entrol diagnose metrics.jsonl --target 0.3          verl, with trainer.logger=['file']\n"
                "  entrol diagnose progress.csv --reward rollout/ep_rew_mean --json\n",
    .run = run,
};
