/* Semantic entropy: how many meanings a model gives to one prompt, over several answers to it (Kuhn, Gal and Farquhar,
 * arXiv 2302.09664; Farquhar et al., Nature 630, 2024).
 *
 * read.c: lines to answers; normalise.c: when two texts are one answer; prompts.c: the clusters of each prompt;
 * write.c: their entropies, and the line that says them; settings.c: the options; run.c: the whole. */
#ifndef CLI_ANSWERS_ANSWERS_H
#define CLI_ANSWERS_ANSWERS_H

#include "../buffer.h"
#include "../message.h"
#include "../options.h"

#include <entrol/entrol.h>

#include <jansson.h>
#include <stdint.h>

/* --- Settings --- */

typedef struct answers_settings {
    const char *field, *group, *label, *logprob; /* names of fields; NULL: not given */
    const char *match, *logprob_as;              /* "normalised" or "exact"; "sum" or "mean" */
    const char *output_path;
    const char *estimator, *unit; /* the command's; "all" estimators are the plug-in and the others beside it */
    int64_t n_outcomes;           /* 0: the clusters that were seen */
    bool is_given;                /* any option of this table */
} answers_settings;

#define ANSWERS_SETTINGS_INIT                                                                                          \
    { .match = "normalised", .logprob_as = "sum" }

enum { ANSWERS_OPTIONS = 8 };
void answers_options(option rows[ANSWERS_OPTIONS], answers_settings *settings);
/* On false it has said what is wrong. */
bool answers_settings_check(answers_settings *settings);

/* --- A line of a file --- */

typedef struct answers_line {
    const answers_settings *settings;
    const char *name; /* of the file, as messages show it */
    uint64_t number;
    json_t *fields;         /* owned */
    const json_t *array;    /* the answers, in fields; NULL: the line is one answer */
    const char *array_name; /* the field that they are in */
    size_t n_answers;
} answers_line;

typedef struct answer {
    const json_t *meaning; /* its label (a string or a number), else its text (a string); of the line's fields */
    bool has_logprob;
    double logprob; /* at most 0, may be -infinity */
} answer;

/* Reads what `settings` and `name` of the line say from n_bytes of text. */
bool answers_line_parse(answers_line *line, const answers_settings *settings, const char *name, uint64_t number,
                        const char *text, size_t n_bytes, trouble *trouble);
/* The same of an object that has been read, which becomes the line's, also on failure. */
bool answers_line_take(answers_line *line, const answers_settings *settings, const char *name, uint64_t number,
                       json_t *fields, trouble *trouble);
bool answers_line_answer(const answers_line *line, size_t index, answer *answer, trouble *trouble);
/* The value of the field that says whose answers these are. */
bool answers_line_group(const answers_line *line, const char *field, const json_t **value, trouble *trouble);
void answers_line_free(answers_line *line);

/* What all lines are, as the first one says. */
typedef struct answers_shape {
    const char *group; /* the field whose values tell prompts apart; NULL: each line is a prompt */
    bool has_arrays;
    char first[128]; /* where the first line stands; "": not read yet */
} answers_shape;

/* Takes the shape from the first line, and checks the others by it. */
bool answers_shape_check(answers_shape *shape, const answers_line *line, trouble *trouble);

/* --- Prompts, and the clusters of their answers --- */

/* All memory grows with the answers, and with the clusters' keys. */
typedef struct prompt {
    json_t *fields;         /* what of the first line is written again; owned */
    const char *array_name; /* the one that is not; NULL: none */
    const char *name;       /* where it began */
    uint64_t line_number;
    json_t *table;   /* the key of each cluster, and its number */
    json_t *meaning; /* of each cluster its first answer's */
    size_t n_clusters;
    size_t *cluster;  /* of each answer */
    double *logprobs; /* the same, if has_logprobs */
    bool has_logprobs;
    size_t n_answers, capacity;
} prompt;

typedef struct prompts {
    buffer key, word; /* memory to work in */
    json_t *table;    /* the key of each prompt that lines are joined to, and its number */
    prompt *items;
    size_t n, capacity;
} prompts;

/* The prompt of a line, made where it is a new one; `group` is the field whose values tell them apart, NULL: each line
 * is one. */
prompt *prompts_of_line(prompts *prompts, const answers_line *line, const char *group, trouble *trouble);
/* Puts the line's answers into the prompt's clusters. */
bool prompts_add(prompts *prompts, prompt *prompt, const answers_line *line, trouble *trouble);
/* Forgets the prompts; the memory to work in stays. */
void prompts_clear(prompts *prompts);
void prompts_free(prompts *prompts);

/* --- What is written --- */

enum { ANSWERS_ESTIMATORS = ENTROL_ESTIMATOR_NSB + 1 };

typedef struct answers_totals {
    uint64_t n_prompts, n_answers, n_certain, n_gave_way;
    uint64_t least, greatest; /* answers to a prompt */
    entrol_sum entropy[ANSWERS_ESTIMATORS];
    entrol_sum rao;
} answers_totals;

/* Appends the prompt's line, and counts it. */
bool answers_write(buffer *text, answers_totals *totals, entrol_context *context, const answers_settings *settings,
                   const prompt *prompt, trouble *trouble);
/* The entropy of the prompt's clusters by the estimator of the settings, which is not "all". */
bool answers_entropy(double *nats, entrol_context *context, const answers_settings *settings, const prompt *prompt,
                     trouble *trouble);
/* Whether an estimator was asked for. */
bool answers_wants(const answers_settings *settings, entrol_estimator estimator);

/* --- The whole --- */

/* Measures the answers in files: the exit code of the command. argv goes into the manifest. */
int answers_run(const answers_settings *settings, const operands *operands, const char *command, int argc, char **argv);

#endif
