/* Command-line options from a table: parsing, --help, and messages about bad ones.
 *
 * A command declares an array of options that point into its own settings struct, and calls
 * options_parse. Long options take "--name value" or "--name=value"; "--" ends options; "-" is an operand.
 * -h / --help is understood everywhere. A name that is close to a known one is suggested. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum option_type {
    OPTION_FLAG,    /* bool */
    OPTION_STRING,  /* const char *, the argument itself */
    OPTION_STRINGS, /* string_list, may be given again */
    OPTION_INTEGER, /* int64_t */
    OPTION_REAL,    /* double */
    OPTION_CHOICE   /* const char *, one of choices */
} option_type;

typedef struct string_list {
    const char *items[64];
    size_t n_items;
} string_list;

typedef struct option {
    char letter;            /* 0: none */
    const char *name;       /* without the dashes; llama.cpp's multi-letter short options ("-ub") go in short_name */
    const char *short_name; /* such as "ub"; NULL: none */
    option_type type;
    void *value;
    const char *metavar;     /* "FILE"; NULL for flags, and for choices, which are listed */
    const char *help;        /* one or two sentences; says the default */
    double minimum, maximum; /* INTEGER, REAL: bounds, checked when minimum < maximum */
    const char *choices; /* CHOICE: "a|b|c"; a unit among them is read in the singular too, and becomes the plural */
    bool *was_given;     /* may be NULL */
} option;

/* A command: a row of the table in main.c. */
typedef struct command {
    const char *name;
    const char *summary;                                              /* one line in `entrol --help` */
    const char *usage;                                                /* "[options] FILE..." */
    const char *description;                                          /* a paragraph */
    const char *examples;                                             /* lines of "  entrol ...   what it does\n" */
    int (*run)(const struct command *command, int argc, char **argv); /* argv[0] is the command's name */
    bool for_ranks; /* the processes of an mpirun may be given it together (ranks.h) */
} command;

typedef struct operands {
    char **items; /* points into argv, reordered */
    int n_items;
} operands;

/* Returns true to go on; false if the command should return *exit_code (help was printed, or an error said). */
bool options_parse(const command *command, const option *options, size_t n_options, int argc, char **argv,
                   operands *operands, int *exit_code);

#endif
