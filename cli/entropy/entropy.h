/* What `entrol entropy` measures: numbers on the command line, the symbols of files. cmd_entropy.c has the table.
 *
 * distributions.c: probabilities and Gaussians; counts.c: counts, and files, whose symbols are counted; print.c. */
#ifndef CLI_ENTROPY_ENTROPY_H
#define CLI_ENTROPY_ENTROPY_H

#include "../message.h"

#include <stddef.h>
#include <stdint.h>

typedef struct entropy_settings {
    const char *of, *unit, *estimator;
    double tolerance;
    bool verbose;
} entropy_settings;

/* What is printed about one source. */
typedef struct entropy_result {
    double nats;
    size_t n_outcomes;  /* 0: the entropy has no maximum */
    uint64_t n_symbols; /* of a file; 0: not a file */
    size_t n_distinct;
} entropy_result;

/* Measures a list of numbers as a person types it; `name` is what messages call it. */
typedef bool (*entropy_of_list)(const entropy_settings *settings, const char *name, const char *list,
                                entropy_result *result, trouble *trouble);

bool entropy_of_probabilities(const entropy_settings *settings, const char *name, const char *list,
                              entropy_result *result, trouble *trouble);
bool entropy_of_log_probabilities(const entropy_settings *settings, const char *name, const char *list,
                                  entropy_result *result, trouble *trouble);
bool entropy_of_gaussian(const entropy_settings *settings, const char *name, const char *list, entropy_result *result,
                         trouble *trouble);
bool entropy_of_counts(const entropy_settings *settings, const char *name, const char *list, entropy_result *result,
                       trouble *trouble);
/* Of the bytes, words or characters of a file. */
bool entropy_of_file(const entropy_settings *settings, const char *path, entropy_result *result, trouble *trouble);

/* Nats in bits, nats or bans; never -0. */
double entropy_in_unit(const char *unit, double nats);
/* On standard output; `path` is NULL where there is only one source. */
bool entropy_print(const entropy_settings *settings, const entropy_result *result, const char *path, trouble *trouble);

#endif
