/* The layout of --help: usage, a paragraph, one entry an option, examples. */
#include "help.h"

#include <stdio.h>
#include <string.h>

enum { COLUMNS = 80, OPTION_COLUMN = 28 };

void help_wrap(const char *text, int at, int indent) {
    while (*text) {
        int length = (int)strcspn(text, " \n");
        if (at > indent && at + 1 + length > COLUMNS) {
            printf("\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            putchar(' ');
            at++;
        } else {
            printf("%*s", indent - at, "");
            at = indent;
        }
        printf("%.*s", length, text);
        at += length;
        text += length;
        if (*text == '\n' && text[1] != '\0') {
            printf("\n%*s", indent, "");
            at = indent;
        }
        text += strspn(text, " \n");
    }
    putchar('\n');
}

/* "  -b, -ub, --micro-batch N" into text. */
static int option_heading(char *text, size_t size, const option *option) {
    char letter[8] = "    ", short_name[32] = "", metavar[64] = "";
    if (option->letter)
        snprintf(letter, sizeof letter, "-%c, ", option->letter);
    if (option->short_name)
        snprintf(short_name, sizeof short_name, "-%s, ", option->short_name);
    if (option->short_name && !option->letter)
        letter[0] = 0;
    if (option->type != OPTION_FLAG)
        snprintf(metavar, sizeof metavar, " %s", option->metavar ? option->metavar : option->choices);
    return snprintf(text, size, "  %s%s--%s%s", letter, short_name, option->name, metavar);
}

static void print_option(const option *option) {
    char heading[256];
    int at = option_heading(heading, sizeof heading, option);
    fputs(heading, stdout);
    if (at > OPTION_COLUMN - 2) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", OPTION_COLUMN - at, "");
    help_wrap(option->help, OPTION_COLUMN, OPTION_COLUMN);
}

void help_print(const command *command, const option *options, size_t n_options) {
    printf("usage: entrol %s %s\n\n", command->name, command->usage);
    help_wrap(command->description, 0, 0);
    printf("\nOptions:\n");
    for (size_t i = 0; i < n_options; i++)
        print_option(&options[i]);
    print_option(&(option){.letter = 'h', .name = "help", .help = "Print this and end."});
    if (command->examples)
        printf("\nExamples:\n%s", command->examples);
}
