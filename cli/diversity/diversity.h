/* How diverse samples are, prompt by prompt and all together: `entrol report --diversity`.
 *
 * ngrams.c: n-grams, BLEU and repetition; mean.c: means over prompts; samples.c: records to samples of prompts;
 * measure.c: their measures; print.c: tables and JSON; run.c: the options and the whole. */
#ifndef CLI_DIVERSITY_DIVERSITY_H
#define CLI_DIVERSITY_DIVERSITY_H

#include "../answers/answers.h"
#include "../buffer.h"
#include "../message.h"
#include "../options.h"
#include "../select/select.h"
#include "mean.h"

#include <stdint.h>

/* --- Settings --- */

typedef struct diversity_settings {
    bool is_wanted, as_json;
    const char *of, *group, *label; /* NULL: not given; `of` is "tokens" or "words" */
    string_list references;
    bool is_given; /* any option but --diversity */
} diversity_settings;

enum { DIVERSITY_OPTIONS = 6 };
void diversity_options(option rows[DIVERSITY_OPTIONS], diversity_settings *settings);

/* Measures files, and writes to `output` ("-" or NULL: standard output): the exit code of the command. */
int diversity_run(const diversity_settings *settings, char **paths, size_t n_paths, const char *output,
                  const char *unit);

/* --- Samples --- */

/* What the tokens of a sample have a number of. */
enum { TOTAL_LOGPROB, TOTAL_ENTROPY, TOTAL_SAMPLED_ENTROPY, TOTAL_REFERENCE, DIVERSITY_TOTALS };

typedef struct diversity_total {
    double sum;
    uint64_t n; /* tokens that have it */
} diversity_total;

typedef struct diversity_sample {
    size_t prompt; /* its number */
    size_t first_unit, n_units;
    size_t first_byte, n_bytes; /* of the text */
    diversity_total totals[DIVERSITY_TOTALS];
} diversity_sample;

/* What is said of all files, by the first document of the first. */
typedef struct diversity_units {
    bool are_known;
    bool are_words;
} diversity_units;

/* The samples of one file. */
typedef struct diversity_samples {
    answers_settings texts, meanings; /* how the answers are read: for what they say, and for what they mean */
    answers_shape shape;
    prompts prompts; /* with the clusters of the samples */
    diversity_sample *items;
    size_t n, capacity;
    uint32_t *units; /* tokens, or the numbers of words */
    size_t n_units, unit_capacity;
    buffer text;
    json_t *words;  /* the number of each */
    uint64_t n_nan; /* values of columns that are left out */
} diversity_samples;

/* Zero samples are empty. */
bool diversity_samples_read(diversity_samples *samples, diversity_units *units, select_reference *reference,
                            const diversity_settings *settings, const char *path, trouble *trouble);
void diversity_samples_free(diversity_samples *samples);

/* --- Measures --- */

typedef enum diversity_measure {
    DIVERSITY_DISTINCT, /* of 1, and three more */
    DIVERSITY_SELF_BLEU = DIVERSITY_DISTINCT + 4,
    DIVERSITY_COMPRESSION,
    DIVERSITY_REPETITION,
    DIVERSITY_SEMANTIC,
    DIVERSITY_OF_TOKENS, /* means over tokens, in the order of the totals */
    DIVERSITY_MEASURES = DIVERSITY_OF_TOKENS + DIVERSITY_TOTALS
} diversity_measure;

/* In nats; NaN where there is none. */
typedef double diversity_values[DIVERSITY_MEASURES];

typedef struct diversity_result {
    const char *name; /* of the file */
    bool are_words;
    uint64_t n_samples, n_units, n_nan;
    size_t n_prompts, n_several; /* prompts with two samples or more */
    size_t *sizes;               /* of each prompt, its samples */
    diversity_values *prompts;   /* of each, its measures */
    diversity_mean means[DIVERSITY_MEASURES];
    diversity_values together; /* of all samples, as if of one prompt; there is no semantic entropy */
} diversity_result;

/* Zero results are empty. */
bool diversity_measure_samples(diversity_result *result, const diversity_samples *samples, entrol_context *context,
                               trouble *trouble);
void diversity_result_free(diversity_result *result);

/* --- What is written --- */

/* Tables with a row for each file. `unit`: "bits" or "nats". */
void diversity_print(buffer *out, const diversity_result *results, size_t n, const char *unit);
/* One line for a file, in nats; `out` has failed where memory is out. */
void diversity_print_json(buffer *out, const diversity_result *result, const diversity_samples *samples);

#endif
