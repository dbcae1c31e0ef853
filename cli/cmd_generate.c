/* entrol generate: texts that a model goes on with, by rules that look at its entropy. */
#include "commands.h"
#include "generate/generate.h"
#include "open_context.h"
#include "open_files.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef ENTROL_HAVE_LLAMA

/* Whether more than one prompt may come: only arguments, and a file of plain text, are known to be one. */
static bool is_only_prompt(const generate_settings *settings, const generate_prompt *prompt) {
    return settings->prompts.n_items + settings->files.n_items == 1 && prompt->source.line_number == 0;
}

/* Every prompt in its turn. What a signal stops is written all the same. */
static bool make_all(generator *generator, generate_writer *writer, generate_prompts *prompts, trouble *trouble) {
    const generate_settings *settings = generator->settings;
    generate_prompt prompt = {.number = 0};
    bool ok = true;
    int more = 0;
    while (ok && score_stop_signal() == 0 && (more = generate_prompts_next(prompts, &prompt, trouble)) == 1) {
        if (prompts->n_prompts == 1)
            generate_writer_begin(writer, generator, is_only_prompt(settings, &prompt));
        ok = generate_prompt_tokenize(&prompt, generator->llama, settings, trouble) &&
             generator_run(generator, &prompt, trouble);
    }
    if (ok && more == 0 && prompts->n_prompts == 0)
        ok = score_stop_signal() != 0 || trouble_set(trouble, "there is no prompt in what was given");
    generate_prompt_free(&prompt);
    return ok && more >= 0;
}

/* Files that can be read twice. */
static bool are_plain(const string_list *files) {
    for (size_t i = 0; i < files->n_items; i++)
        if (!open_files_is_plain(files->items[i]))
            return false;
    return true;
}

/* Reads all prompts, where that can be done again, so that a bad one is found before the texts of others are made. */
static bool check_all(generator *generator, trouble *trouble) {
    const generate_settings *settings = generator->settings;
    generate_prompts prompts = {.settings = settings};
    generate_prompt prompt = {.number = 0};
    bool ok = true;
    int more = are_plain(&settings->files);
    while (ok && more == 1 && score_stop_signal() == 0 &&
           (more = generate_prompts_next(&prompts, &prompt, trouble)) == 1)
        ok = generate_prompt_tokenize(&prompt, generator->llama, settings, trouble);
    generate_prompt_free(&prompt);
    generate_prompts_close(&prompts);
    return ok && more >= 0;
}

/* What is held is missed where other rules, or the bounds of the temperature, leave no room for it. */
static void warn_of_hold(const generator *generator) {
    enum { FEW = 20 }; /* tokens, whose mean may be far off */
    const double wanted = generator->settings->hold;
    const double mean = generator->sampled_entropy / (double)generator->n_done;
    if (generator->n_done >= FEW && fabs(mean - wanted) > 0.1 * wanted)
        message_warning("--hold %g: the mean came to %.3g nats: other rules, or the bounds of the temperature (min and "
                        "max of target-entropy), left no room",
                        wanted, mean);
}

static int generate(generator *generator, generate_writer *writer, int argc, char **argv, trouble *trouble) {
    generate_prompts prompts = {.settings = generator->settings};
    bool ok = check_all(generator, trouble) && make_all(generator, writer, &prompts, trouble);
    progress_end(&generator->progress);
    generate_prompts_close(&prompts);
    ok = generate_writer_close(writer, ok, trouble) && generate_write_manifests(generator, argc, argv, trouble);
    if (!ok)
        return trouble->text[0] != '\0' ? message_trouble(trouble) : EXIT_ERROR;
    warn_of_hold(generator);
    const int number = score_stop_signal();
    if (number != 0)
        message_warning("stopped after %llu tokens", (unsigned long long)generator->n_done);
    return number != 0 ? 128 + number : EXIT_DONE;
}

static int run_model(generate_settings *settings, entrol_context *context, int argc, char **argv) {
    trouble trouble = {""};
    generator generator = {.settings = settings};
    int exit_code = EXIT_ERROR;
    generate_writer *writer = NULL;
    score_stop_install();
    if (generator_open(&generator, settings, context, &trouble) &&
        (writer = generate_writer_open(settings, &trouble)) != NULL)
        exit_code = generate(&generator, writer, argc, argv, &trouble);
    else if (trouble.text[0] != '\0')
        message_trouble(&trouble);
    generator_close(&generator);
    return exit_code;
}

#else

static int run_model(generate_settings *settings, entrol_context *context, int argc, char **argv) {
    (void)settings, (void)context, (void)argc, (void)argv;
    return message_error("this entrol was built without llama.cpp (ENTROL_LLAMA=OFF): it generates no texts");
}

#endif

/* Standard input where nothing is named, as filters do. */
static bool take_inputs(generate_settings *settings, const operands *operands, trouble *trouble) {
    if (operands->n_items > 0)
        return trouble_set(trouble, "expected options, found \"%s\": a prompt stands behind -p, a file behind -f",
                           operands->items[0]);
    if (settings->prompts.n_items + settings->files.n_items > 0)
        return true;
    if (isatty(STDIN_FILENO))
        return trouble_set(trouble, "nothing to go on from: give a prompt with -p, or a file with -f");
    settings->files.items[settings->files.n_items++] = "-";
    return true;
}

static int generate_command(generate_settings *settings, const operands *operands, int argc, char **argv) {
    trouble trouble = {""};
    entrol_context *context = NULL;
    int exit_code = EXIT_ERROR;
    if (!take_inputs(settings, operands, &trouble) || !generate_settings_check(settings, &trouble) ||
        !score_settings_model(&settings->score, &trouble) ||
        (context = open_context((size_t)settings->score.n_threads, &trouble)) == NULL)
        message_trouble(&trouble);
    else
        exit_code = run_model(settings, context, argc, argv);
    entrol_context_destroy(context);
    return exit_code;
}

static int run(const command *command, int argc, char **argv) {
    generate_settings settings = GENERATE_SETTINGS_INIT;
    option options[GENERATE_OPTIONS];
    operands operands;
    int exit_code = EXIT_DONE;
    trouble trouble = {""};
    struct command described = *command;
    generate_options(options, &settings);
    described.description = generate_describe(&settings, command->description);
    const bool goes_on = options_parse(&described, options, GENERATE_OPTIONS, argc, argv, &operands, &exit_code);
    if (goes_on && settings.lists)
        exit_code = generate_list(&trouble) ? EXIT_DONE : message_trouble(&trouble);
    else if (goes_on)
        exit_code = generate_command(&settings, &operands, argc, argv);
    free(settings.description);
    return exit_code;
}

const command command_generate = {
    .name = "generate",
    .summary = "texts from a model, by rules that look at its entropy, with a record of every choice",
    .usage = "[options] -p TEXT | -f FILE",
    .description =
        "Goes on with each prompt, a token at a time: the rules see the distribution that the model gives and say what "
        "may come and at which temperature, and one of that is drawn. One text is printed as it grows; of several, "
        "each is a line of JSON with the prompt, the text, why it stopped (end, length, string, interrupted), and the "
        "mean entropy. The same command gives the same texts on the same machine, with any number of threads. What is "
        "drawn of given "
        "logits is the same on every machine and at every ENTROL_CPU; the logits are of llama.cpp's own kernels, which "
        "follow the processor. The random numbers of a sample follow from the seed, its number and its prompt's, and "
        "not from how many others "
        "there are; llama.cpp's logits depend a little on how many texts go on at once, which can turn a text: with "
        "--parallel 1 each is what it is alone. Ctrl-C writes what there is.",
    .examples = "  entrol generate -p \"Once upon a time\"\n"
                "  entrol generate -p \"Once upon a time\" --rule min-p=0.02 --rule target-entropy=1.5 --show\n"
                "  entrol generate -f prompts.jsonl --samples 8 --trace trace.jsonl -o texts.jsonl\n"
                "  entrol generate -p \"Why is the sky blue?\" --chat --chat-template gemma --trace - | entrol show\n"
                "  entrol generate -p \"The answer is\" --branch 3 --max-branches 8 -n 40\n"
                "  entrol generate --list                       every rule, with its parameters\n",
    .run = run,
};
