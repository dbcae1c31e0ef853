/* The `entrol` command: a table of commands, and what they share at the start and the end. */
#include "commands.h"
#include "help.h"
#include "message.h"
#include "ranks.h"
#include "suggest.h"

#include <entrol/base.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One row a command. */
/* clang-format off */
static const command *const commands[] = {
    &command_score,
    &command_select,
    &command_filter,
    &command_compare,
    &command_generate,
    &command_show,
    &command_report,
    &command_control,
    &command_diagnose,
    &command_entropy,
    &command_inspect,
    &command_version,
};
/* clang-format on */
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void) {
    printf("usage: entrol COMMAND [options] FILE...\n\n");
    help_wrap("Measures how uncertain a language model is, token by token, selects by it, and controls it in training.",
              0, 0);
    printf("\nCommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++) {
        printf("  %-10s", commands[i]->name);
        help_wrap(commands[i]->summary, 12, 12);
    }
    printf("\n\"entrol help COMMAND\" says more about one. \"-\" is standard input or output.\n"
           "Exit: 0 done, 1 nothing scored or selected, 2 an error in the usage, the input or the data,\n"
           "130 and 143 interrupted.\n");
}

static const command *find_command(const char *name) {
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int report_unknown(const char *name) {
    suggestion suggestion = suggestion_for(name);
    for (size_t i = 0; i < N_COMMANDS; i++)
        suggestion_offer(&suggestion, commands[i]->name);
    if (suggestion.best)
        return message_error("unknown command \"%s\"; did you mean \"%s\"?", name, suggestion.best);
    return message_error("unknown command \"%s\"; \"entrol --help\" lists them", name);
}

static int run_help(int argc, char **argv) {
    if (argc < 2) {
        print_help();
        return EXIT_DONE;
    }
    const command *command = find_command(argv[1]);
    if (!command)
        return report_unknown(argv[1]);
    char help[] = "--help", *arguments[] = {argv[1], help, NULL};
    return command->run(command, 2, arguments);
}

/* Under an MPI launcher, only what several processes can do together. */
static int run_among_ranks(const command *command, int argc, char **argv) {
    if (ranks_size() == 1 || command->for_ranks)
        return command->run(command, argc, argv);
    return message_error("%s is done by one process, and %zu were started together; select is what they share "
                         "(ENTROL_MPI=off: each does all of it)",
                         command->name, ranks_size());
}

static int run_command(int argc, char **argv) {
    if (argc < 2) {
        message_error("expected a command; \"entrol --help\" lists them");
        return EXIT_ERROR;
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0)
        return run_help(argc - 1, argv + 1);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return run_help(1, argv);
    if (strcmp(name, "--version") == 0) {
        printf("entrol %s\n", entrol_version());
        return EXIT_DONE;
    }
    const command *command = find_command(name);
    return command ? run_among_ranks(command, argc - 1, argv + 1) : report_unknown(name);
}

/* A standard stream that is closed would be the next file that is opened. In its place comes one that cannot be used,
 * so that using it is an error. */
static void hold_standard_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv) {
    hold_standard_streams();
    /* A reader that goes away is an error of write() like any other, so that no .part file is left behind. */
    signal(SIGPIPE, SIG_IGN);
    int exit_code = ranks_begin(argc, argv) ? run_command(argc, argv) : EXIT_ERROR;
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && exit_code != EXIT_ERROR)
        exit_code = message_error("cannot write standard output: %s",
                                  errno == EPIPE ? "its reader has closed it" : strerror(errno ? errno : EIO));
    return ranks_end(exit_code);
}
